"""The pictures of the documentation, drawn with the package itself.

`python docs/extensions/pictures.py` draws docs/images/mask.png, which the README shows too, decay.png, and
trees-NAME.png from the run of the page docs/howto/pictures.md.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from rdkit import Chem
from rdkit.Chem import rdDepictor

from gradformer_dgl import ExponentialDecay
from gradformer_dgl.preprocess import shortest_path_distances

CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
THRESHOLDS = (0.0, 1.0, 2.5, 5.0)
IMAGES = Path(__file__).resolve().parents[1] / "images"
README_PICTURE = IMAGES / "mask.png"
DECAY_PICTURE = IMAGES / "decay.png"
PICTURES_PAGE = IMAGES.parent / "howto" / "pictures.md"


def draw_mask(file: Path) -> None:
    """Draw a molecule, its distances, and the factors of two heads with different thresholds."""
    molecule = Chem.MolFromSmiles(CAFFEINE)
    edges = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    src, dst = (list(ends) for ends in zip(*edges, strict=True))
    distances = shortest_path_distances((src, dst, molecule.GetNumAtoms()))
    decay = ExponentialDecay(num_heads=2, gamma=0.5, hop=[1.0, 3.0], learnable=False)
    near, far = decay(distances[None].long())[0].permute(2, 0, 1).numpy()
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    atoms, *axes = figure.subplots(1, 4, width_ratios=(1, 1.1, 1.1, 1.1))
    _draw_atoms(atoms, molecule, edges)
    panels = [
        ("hops between atoms", distances.numpy(), "viridis_r", None),
        ("factor of a head with tau = 1", near, "magma", 1),
        ("factor of a head with tau = 3", far, "magma", 1),
    ]
    for place, (title, matrix, colour_map, top) in zip(axes, panels, strict=True):
        image = place.imshow(matrix, cmap=colour_map, vmin=0, vmax=top)
        place.set_title(title, fontsize=10)
        place.set_xticks([])
        place.set_yticks([])
        figure.colorbar(image, ax=place, shrink=0.8)
    figure.savefig(file, dpi=110)


def _draw_atoms(place: Axes, molecule: Chem.Mol, edges: list[tuple[int, int]]) -> None:
    rdDepictor.Compute2DCoords(molecule)
    points = molecule.GetConformer().GetPositions()[:, :2]
    for edge in edges:
        place.plot(*points[list(edge)].T, color="0.3", linewidth=1.5, zorder=1)
    place.scatter(*points.T, s=150, color="white", edgecolors="black", zorder=2)
    for number, point in enumerate(points):
        place.annotate(str(number), point, ha="center", va="center", fontsize=8)
    place.set_title("atoms of caffeine", fontsize=10)
    place.set_aspect("equal")
    place.set_axis_off()
    place.margins(0.1)


def draw_decay(file: Path) -> None:
    """Draw the factor by distance for some thresholds, for both forms of the exponent."""
    figure = Figure(figsize=(8, 3.1), layout="constrained")
    hops = torch.arange(13)
    for place, slope in zip(figure.subplots(1, 2, sharey=True), (0.0, 0.1), strict=True):
        decay = ExponentialDecay(len(THRESHOLDS), gamma=0.6, hop=THRESHOLDS, slope=slope, learnable=False)
        for row, tau in zip(decay.table(len(hops))[:, :-1], THRESHOLDS, strict=True):
            place.plot(hops, row, marker="o", markersize=3, label=f"tau = {tau:g}")
        place.set(title=f"slope {slope:g}", xlabel="distance in hops")
        place.grid(alpha=0.3)
    place.legend(fontsize=8)
    figure.axes[0].set_ylabel("factor (gamma = 0.6)")
    figure.savefig(file, dpi=110)


def draw_run(folder: Path) -> None:
    """Train the run of the page of pictures, and draw it into trees-NAME.png."""
    page = PICTURES_PAGE.read_text(encoding="utf-8")
    (module,) = re.findall(r":caption: trees.py\n(.*?)```", page, re.DOTALL)
    commands = re.findall(r"^\$ gradformer-dgl (.*)$", page, re.MULTILINE)[:3]
    with tempfile.TemporaryDirectory() as work:
        Path(work, "trees.py").write_text(module)
        for command in commands:
            words = [sys.executable, "-m", "gradformer_dgl", *command.split()]
            subprocess.run(words, cwd=work, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        for file in Path(work, "runs", "trees", "plots").glob("*.png"):
            # 64 colours: a third of the bytes.
            Image.open(file).convert("RGB").quantize(64).save(folder / f"trees-{file.name}", optimize=True)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    draw_mask(README_PICTURE)
    draw_decay(DECAY_PICTURE)
    draw_run(IMAGES)
