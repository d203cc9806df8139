"""Figures of the tables: scores against a setting, time and memory, and learned decays."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradformer_dgl.experiments.experiment import Experiment
from gradformer_dgl.experiments.records import Record
from gradformer_dgl.experiments.table_lines import Line
from gradformer_dgl.experiments.tables import Table
from gradformer_dgl.plots.decay import draw_decay
from gradformer_dgl.plots.style import colour, marker, panels, styled, write_picture

_AXIS_LABELS = {"num_layers": "layers", "train_fraction": "training graphs used, %"}
_PANELS_IN_A_ROW = 3
_COSTS = {
    "seconds_per_epoch": (1.0, "seconds per epoch"),
    "peak_memory_bytes": (1e-6, "peak memory of the training process, MB"),
}


def draw_figure(table: Table, lines: Sequence[Line], out: Path) -> Path | None:
    """Draw the figure of a table into a folder; return None where it has none, or no results to draw."""
    shown = [line for line in lines if line.record.runs]
    with styled():
        if table.axis is not None:
            figure = _draw_scores(table.axis, shown)
        elif table.name == "efficiency":
            figure = _draw_costs([line for line in shown if line.record.efficiency])
        elif table.name == "decay":
            figure = _draw_decays([line for line in shown if line.record.runs[0].get("tau")])
        else:
            figure = None
    if figure is None:
        return None
    file = out / f"{table.name}.png"
    write_picture(figure, file)
    return file


def _panels(count: int) -> tuple[Any, list[Any]]:
    columns = min(count, _PANELS_IN_A_ROW)
    return panels(count, columns, 3.2, 4.0 * columns)


def _metric(record: Record) -> str:
    return f"test {record.metric.replace('_', ' ')}{record.unit and ', ' + record.unit}"


def _value(experiment: Experiment, axis: str) -> float:
    value = float(getattr(experiment.config, axis))
    return 100 * value if axis == "train_fraction" else value


def _draw_scores(axis: str, lines: Sequence[Line]) -> Any:
    """Draw scores against the setting that a table varies: a panel per data set, a curve per model."""
    datasets = list(dict.fromkeys(line.experiment.dataset for line in lines))
    models = list(dict.fromkeys(line.experiment.model for line in lines))
    figure, axes = _panels(len(datasets))
    for dataset, place in zip(datasets, axes, strict=True):
        here = [line for line in lines if line.experiment.dataset == dataset]
        for number, model in enumerate(models):
            points = [line for line in here if line.experiment.model == model]
            if not points:
                continue
            place.errorbar(
                [_value(line.experiment, axis) for line in points],
                [line.mean for line in points],
                [line.std or 0.0 for line in points],
                fmt=f"{marker(number)}-",
                color=colour(number),
                capsize=3,
                label=model,
            )
            reported = [line.experiment for line in points if line.experiment.paper is not None]
            if reported:
                place.plot(
                    [_value(one, axis) for one in reported],
                    [one.paper for one in reported],
                    "D",
                    color=colour(number),
                    mfc="none",
                    label=f"{model}, paper",
                )
            place.set(ylabel=_metric(points[0].record))
        ticks = sorted({_value(line.experiment, axis) for line in here})
        place.set(xlabel=_AXIS_LABELS[axis], xticks=ticks, title=dataset)
        place.grid(True)
        place.legend()
    return figure


def _draw_costs(lines: Sequence[Line]) -> Any:
    """Draw scores against the time of an epoch and against peak memory: a point per data set and model."""
    if not lines:
        return None
    figure, axes = _panels(len(_COSTS))
    models = list(dict.fromkeys(line.experiment.model for line in lines))
    datasets = list(dict.fromkeys(line.experiment.dataset for line in lines))
    for place, (name, (scale, label)) in zip(axes, _COSTS.items(), strict=True):
        for line in lines:
            made, record = line.experiment, line.record
            assert record.efficiency is not None
            place.errorbar(
                record.efficiency[name] * scale,
                statistics.fmean(record.scores),
                line.std or 0.0,
                fmt=marker(datasets.index(made.dataset)),
                color=colour(models.index(made.model)),
                capsize=3,
                label=f"{made.dataset} {made.model}",
            )
        place.set(xlabel=label, ylabel=_metric(lines[0].record))
        place.grid(True)
        place.legend()
    return figure


def _draw_decays(lines: Sequence[Line]) -> Any:
    """Draw the decay that each head learned with the first seed: a panel per line of the table."""
    if not lines:
        return None
    figure, axes = _panels(len(lines))
    for place, line in zip(axes, lines, strict=True):
        made, first = line.experiment, line.record.runs[0]
        title = f"{made.dataset}, {made.setting}, seed {first['seed']}"
        draw_decay(place, made.config, first["tau"], title)
    return figure
