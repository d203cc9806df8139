import csv
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import dgl
import networkx as nx
import pytest

from gradformer_dgl.cli import main

# The modules beside the tests are imported by name, which importlib mode does not provide for.
sys.path.insert(0, str(Path(__file__).parent))

from faults import QUICK

MODULE = """
import dgl, torch

def rings():
    return [(dgl.to_bidirected(dgl.graph((list(range(n)), [*range(1, n), 0]))), n % 2) for n in [3, 4, 5] * 8]
"""


@dataclass(frozen=True)
class Sound:
    """A folder of inputs that are as they should be, and runs trained on them.

    ``raw/SHAPES`` (TU), ``mine.csv``, ``cache``, ``runs/{SHAPES,mine,rings}``, and the inputs of predictions
    ``rings.bin``, ``ring.graphml`` and ``ring.edgelist``.
    """

    folder: Path

    def copied(self, name: str, place: Path) -> Path:
        """Return a copy to be broken."""
        source = self.folder / name
        target = place / source.name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
        return target


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Sound:
    """Inputs without fault, and what is trained on them."""
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(shapes_root, folder / "raw")
    draw = random.Random(5)
    with (folder / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "smiles", "y", "kind", "part"])
        for number in range(40):
            smiles = "C" * draw.randint(1, 7) + draw.choice(["", "O", "N", "C1CC1", "c1ccccc1"])
            part = ("train", "train", "val", "test")[number % 4]
            writer.writerow([f"m{number}", smiles, len(smiles) + 0.5, "ab"[number % 2], part])
    (folder / "fuzzed_rings.py").write_text(MODULE)
    rings = [dgl.to_bidirected(dgl.graph((list(range(n)), [*range(1, n), 0]))) for n in (3, 5, 8)]
    dgl.save_graphs(str(folder / "rings.bin"), rings)
    nx.write_graphml(nx.cycle_graph(6), folder / "ring.graphml")
    (folder / "ring.edgelist").write_text("".join(f"{a} {(a + 1) % 7}\n" for a in range(7)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "home"))
        patch.setattr(sys, "path", [str(folder), *sys.path])
        for name, options in (
            ("SHAPES", ["--data-root", "raw"]),
            ("mine.csv", ["--target-column", "y"]),
            ("fuzzed_rings:rings", []),
        ):
            out = {"fuzzed_rings:rings": "rings", "mine.csv": "mine"}.get(name, name)
            targets = options if name != "mine.csv" else []
            main(["-q", "preprocess", name, *targets, "--jobs", "1", "--encodings", "rwse:3"])
            main(["-q", "train", name, *options, *QUICK, "--out", f"runs/{out}"])
        yield Sound(folder)
    sys.modules.pop("fuzzed_rings", None)
