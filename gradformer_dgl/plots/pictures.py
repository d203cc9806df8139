"""The table of pictures, and drawing those of a run that can be drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.plots import PICTURE_NAMES
from gradformer_dgl.plots.attention import attention_figure, read_attention
from gradformer_dgl.plots.curves import curves_figure
from gradformer_dgl.plots.decay import decay_figure, learned_tau
from gradformer_dgl.plots.distances import distances_figure
from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.predictions import predictions_figure
from gradformer_dgl.plots.style import write_picture
from gradformer_dgl.support.errors import ConfigError, GradformerError, RunError


@dataclass(frozen=True)
class Picture:
    """A picture of a run.

    Parameters
    ----------
    name : str
        Its key in :data:`PICTURES`, and the name of its file.
    title, caption : str
        What it shows.
    figure : matplotlib.figure.Figure
        The picture.
    """

    name: str
    title: str
    caption: str
    figure: Any


def _curves(run: PlottedRun) -> Any:
    return curves_figure(run.records_by_seed, run.best_epochs, str((run.result or {}).get("unit", "")))


def _decay(run: PlottedRun) -> Any:
    return decay_figure(run.config, learned_tau(run.records_by_seed, run.config.model))


def _attention(run: PlottedRun) -> Any:
    return attention_figure(read_attention(run))


def _predictions(run: PlottedRun) -> Any:
    return predictions_figure(run.tests, run.dataset.task, run.info.outputs)


def _distances(run: PlottedRun) -> Any:
    cache = DistanceCache(run.spec.cache)
    try:
        learned = learned_tau(run.records_by_seed) if run.config.distance == "shortest_path" else {}
    except RunError:
        learned = {}
    return distances_figure(cache, learned)


PICTURES: dict[str, tuple[str, str, Callable[[PlottedRun], Any]]] = {
    "curves": (
        "Training",
        "Loss, score and learning rate by epoch. A marker stands at the epoch whose weights a seed keeps, "
        "the best on the validation data.",
        _curves,
    ),
    "decay": (
        "Decay",
        "What attention logits are multiplied by, against the distance of two nodes: the wide grey line is "
        "the start of training, the others are the heads at its end.",
        _decay,
    ),
    "attention": (
        "Attention",
        "One graph. Lines between nodes are as wide as the attention that the two pay each other (mean of "
        "both directions): edges are solid, the strongest pairs without an edge dashed. Dark nodes receive "
        "much attention.",
        _attention,
    ),
    "predictions": (
        "Test data",
        "What the kept weights predict for test data.",
        _predictions,
    ),
    "distances": (
        "Distances",
        "How many pairs of nodes there are at each distance, over all graphs. Markers above the bars, where "
        "there are any, are the distances at which the decay of the heads sets in.",
        _distances,
    ),
}
"""For each of the names: title, caption, and what draws the picture."""


def draw_pictures(
    run: PlottedRun,
    names: Sequence[str] = PICTURE_NAMES,
    on_picture: Callable[[str], None] = lambda name: None,
) -> tuple[list[Picture], list[str]]:
    """Draw the pictures of a run that can be drawn.

    Parameters
    ----------
    run : PlottedRun
        The run.
    names : sequence of str
        Which pictures.
    on_picture : callable
        Called with the name of each picture before it is drawn.

    Returns
    -------
    tuple of list
        The pictures, and a line for each thing that is left out, with the reason.

    Raises
    ------
    ConfigError
        Where a graph or layer is asked for that there is not.
    """
    drawn, left_out = [], []
    for name in names:
        on_picture(name)
        title, caption, draw = PICTURES[name]
        try:
            drawn.append(Picture(name, title, caption, draw(run)))
        except ConfigError:
            raise
        except GradformerError as error:
            left_out.append(f"{name} left out: {' '.join(str(error).split())}")
    return drawn, run.notes + left_out


def write_pictures(pictures: Sequence[Picture], out: Path, formats: Sequence[str]) -> list[Path]:
    """Write pictures into a folder, each under its name in every format; return the files.

    Raises
    ------
    RunError
        Where one cannot be written, or there is none.
    """
    if not pictures:
        raise RunError(f"nothing to write to {out}: no picture can be drawn")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out} cannot be made: {error.strerror}") from None
    files = []
    for picture in pictures:
        for kind in formats:
            files.append(out / f"{picture.name}.{kind}")
            write_picture(picture.figure, files[-1])
    return files
