"""Pictures of a run as PNG files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradformer_dgl.errors import RunError
from gradformer_dgl.training.config import RunConfig

DISTANCES_SHOWN = 17


def _save(figure: Any, file: Path) -> None:
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None


def read_records(seed_folder: Path) -> list[dict[str, Any]]:
    """Read the epochs of one seed from its metrics file."""
    try:
        return [json.loads(line) for line in (seed_folder / "metrics.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise RunError(f"the metrics in {seed_folder} cannot be read: {error}") from None


def training_figure(seed_folders: Sequence[Path], file: Path) -> None:
    """Draw loss and validation score of every seed against epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, score_axes = figure.subplots(1, 2)
    score_name = ""
    for number, folder in enumerate(seed_folders):
        records = read_records(folder)
        epochs = [record["epoch"] for record in records]
        score_name = next(
            name for name in records[0] if name.startswith("val_") and name != "val_loss"
        ).removeprefix("val_")
        names = ("training", "validation") if number == 0 else (None, None)
        loss_axes.plot(epochs, [r["train_loss"] for r in records], "C0", lw=1, label=names[0])
        loss_axes.plot(epochs, [r["val_loss"] for r in records], "C1", lw=1, label=names[1])
        score_axes.plot(epochs, [r[f"val_{score_name}"] for r in records], "C1", lw=1, alpha=0.7)
    loss_axes.set(xlabel="epoch", ylabel="loss", title="Loss")
    loss_axes.legend(frameon=False)
    score_axes.set(xlabel="epoch", ylabel=score_name.replace("_", " "), title="Validation score")
    for axes in (loss_axes, score_axes):
        axes.grid(alpha=0.3)
    _save(figure, file)


def decay_curves(config: RunConfig, tau: Sequence[float], num_distances: int) -> np.ndarray:
    """Return the decay of each head at the distances 0, 1, ... steps, (heads, num_distances)."""
    from gradformer_dgl.decay import ExponentialDecay

    decay = ExponentialDecay(len(tau), config.gamma, tau, config.slope, False, config.distance_unit)
    return decay.table(num_distances)[:, :-1].numpy()


def decay_figure(folder: Path, seed_folders: Sequence[Path], config: RunConfig) -> None:
    """Draw the decay that each head of the first seed learned, beside the one that it started from.

    A model without a decay that is learned leaves no picture, not even that of an earlier run in the folder.
    """
    from matplotlib.figure import Figure

    records = read_records(seed_folders[0])
    file = folder / "decay.png"
    if "tau" not in records[-1]:
        file.unlink(missing_ok=True)
        return
    distances = config.distance_unit * np.arange(DISTANCES_SHOWN)
    learned = records[-1]["tau"]
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    start = decay_curves(config, [config.hop], DISTANCES_SHOWN)[0]
    axes.plot(distances, start, "k--", lw=1.5, zorder=5, label=f"start, tau = {config.hop:.2f}")
    for head, curve in enumerate(decay_curves(config, learned, DISTANCES_SHOWN)):
        axes.plot(distances, curve, "o-", ms=3, label=f"head {head + 1}, tau = {learned[head]:.2f}")
    axes.set(
        xlabel="shortest-path distance in hops"
        if config.distance_unit == 1
        else f"{config.distance} distance",
        ylabel="factor on the attention logit",
        title="Decay learned by each head",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    _save(figure, file)
