"""Figures of the tables as PNG files, made from the JSON files alone."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradformer_dgl.experiments.records import Record
from gradformer_dgl.experiments.tables import Experiment, Table
from gradformer_dgl.plots.decay import decay_curves
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.config import RunConfig

Results = Sequence[tuple[Experiment, Record]]

_AXIS_LABELS = {"num_layers": "layers", "train_share": "share of the training graphs, %"}
_DISTANCES_SHOWN = 17
_PANELS_IN_A_ROW = 3


def draw_figure(table: Table, results: Results, out: Path) -> Path | None:
    """Draw the figure of a table.

    Parameters
    ----------
    table : Table
        What is compared.
    results : sequence of (Experiment, Record)
        Its lines.
    out : Path
        Folder of the figure, which is named after the table.

    Returns
    -------
    Path or None
        The file; None where the table has no figure, or no results to draw.

    Raises
    ------
    RunError
        Where it cannot be written.
    """
    known = [(experiment, record) for experiment, record in results if record.runs]
    if table.axis is not None:
        figure = _curves(table.axis, known)
    elif table.name == "efficiency":
        known = [(experiment, record) for experiment, record in known if record.efficiency]
        figure = _costs(known) if known else None
    elif table.name == "decay":
        known = [(experiment, record) for experiment, record in known if record.runs[0].get("tau")]
        figure = _decays(known) if known else None
    else:
        return None
    if figure is None:
        return None
    file = out / f"{table.name}.png"
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None
    return file


def _panels(count: int, width: float = 4.6, height: float = 3.6) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    columns = min(count, _PANELS_IN_A_ROW)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    for used in axes[:count]:
        used.grid(alpha=0.3)
    return figure, axes[:count]


def _metric(record: Record) -> str:
    return f"test {record.metric.replace('_', ' ')}{record.unit and ', ' + record.unit}"


def _value(experiment: Experiment, axis: str) -> float:
    value = float(getattr(experiment.config, axis))
    return 100 * value if axis == "train_share" else value


def _curves(axis: str, results: Results) -> Any:
    """Scores against the setting that a table varies: a panel for each data set, a line for each model."""
    datasets = list(dict.fromkeys(experiment.dataset for experiment, _ in results))
    models = list(dict.fromkeys(experiment.model for experiment, _ in results))
    figure, panels = _panels(len(datasets))
    for dataset, axes in zip(datasets, panels, strict=True):
        for number, model in enumerate(models):
            points = [
                (_value(experiment, axis), experiment, record)
                for experiment, record in results
                if (experiment.dataset, experiment.model) == (dataset, model)
            ]
            if not points:
                continue
            axes.errorbar(
                [value for value, _, _ in points],
                [statistics.fmean(record.scores) for _, _, record in points],
                [statistics.stdev(record.scores) if len(record.runs) > 1 else 0.0 for _, _, record in points],
                fmt="o-",
                color=f"C{number}",
                capsize=3,
                label=model,
            )
            reported = [(value, point.paper) for value, point, _ in points if point.paper is not None]
            if reported:
                axes.plot(
                    *zip(*reported, strict=True),
                    "D",
                    color=f"C{number}",
                    mfc="none",
                    label=f"{model}, paper",
                )
            axes.set(ylabel=_metric(points[0][2]))
        values = {_value(experiment, axis) for experiment, _ in results if experiment.dataset == dataset}
        axes.set(xlabel=_AXIS_LABELS[axis], xticks=sorted(values), title=dataset)
        axes.legend(frameon=False, fontsize="small")
    return figure


def _costs(results: Results) -> Any:
    """Scores against the time of an epoch and against peak memory: a point for each data set and model."""
    figure, panels = _panels(2)
    models = list(dict.fromkeys(experiment.model for experiment, _ in results))
    datasets = list(dict.fromkeys(experiment.dataset for experiment, _ in results))
    for axes, (name, scale, label) in zip(
        panels,
        [
            ("seconds_per_epoch", 1.0, "seconds per epoch"),
            ("peak_memory_bytes", 1e-6, "peak memory of the training process, MB"),
        ],
        strict=True,
    ):
        for experiment, record in results:
            assert record.efficiency is not None
            axes.errorbar(
                record.efficiency[name] * scale,
                statistics.fmean(record.scores),
                statistics.stdev(record.scores) if len(record.runs) > 1 else 0.0,
                fmt="os^Dv"[datasets.index(experiment.dataset) % 5],
                color=f"C{models.index(experiment.model)}",
                capsize=3,
                label=f"{experiment.dataset} {experiment.model}",
            )
        axes.set(xlabel=label, ylabel=_metric(results[0][1]))
        axes.legend(frameon=False, fontsize="small")
    return figure


def _decays(results: Results) -> Any:
    """The decay that each head learned with the first seed: a panel for each line of the table."""
    figure, panels = _panels(len(results), height=3.0)
    distances = np.arange(_DISTANCES_SHOWN)
    for axes, (experiment, record) in zip(panels, results, strict=True):
        config: RunConfig = experiment.config
        start = decay_curves(config, [config.hop], _DISTANCES_SHOWN)[0]
        axes.plot(distances, start, "k--", lw=1.5, zorder=5, label=f"start, tau = {config.hop:.2f}")
        learned = record.runs[0]["tau"]
        for head, curve in enumerate(decay_curves(config, learned, _DISTANCES_SHOWN)):
            axes.plot(distances, curve, "o-", ms=3, label=f"head {head + 1}, tau = {learned[head]:.2f}")
        axes.set(
            xlabel="shortest-path distance in hops",
            ylabel="factor on the logit",
            title=f"{experiment.dataset}, {experiment.setting}, seed {record.runs[0]['seed']}",
        )
        axes.legend(frameon=False, fontsize="x-small")
    return figure
