"""Training curves: loss, score and learning rate by epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gradformer_dgl.plots.plotted_run import PlottedRun
from gradformer_dgl.plots.style import WIDTH, colour, dashes, marker, styled
from gradformer_dgl.training.seed_files import score_name

Records = Sequence[dict[str, Any]]
_PARTS = {"train": "training", "val": "validation"}
_MOST_IN_LEGEND = 20


def draw_curves(run: PlottedRun) -> Any:
    """Draw the training curves of a run; see :func:`curves_figure`."""
    return curves_figure(run.records_by_seed, run.best_epochs, str((run.result or {}).get("unit", "")))


def curves_figure(
    records: Mapping[int, Records], best: Mapping[int, int] | None = None, unit: str = ""
) -> Any:
    """Draw the training of every seed.

    A seed has a colour, and a marker at its best epoch; training is drawn through, validation dashed. The
    score of the training data is drawn over the epochs that have it: those of older runs do not.
    """
    from matplotlib.figure import Figure

    score = score_name(next(iter(records.values()))[0])
    with styled():
        figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
        (loss_axes, score_axes), (rate_axes, legend_axes) = figure.subplots(2, 2, height_ratios=(3, 2))
        for number, (seed, epochs) in enumerate(records.items()):
            chosen = (best or {}).get(seed)
            for axes, name in ((loss_axes, "loss"), (score_axes, score)):
                for style, part in enumerate(_PARTS):
                    if any(f"{part}_{name}" in record for record in epochs):
                        _line(axes, epochs, f"{part}_{name}", number, style)
                _mark(axes, epochs, f"val_{name}", number, chosen)
            if number == 0 or _values(epochs, "lr") != _values(next(iter(records.values())), "lr"):
                _line(rate_axes, epochs, "lr", number, 0)
        loss_axes.set(title="Loss", ylabel="loss")
        score_axes.set(title="Score", ylabel=score.replace("_", " ") + (unit and f", {unit}"))
        rate_axes.set(title="Learning rate", ylabel="learning rate", ylim=(0, None))
        if _spans_decades(records):
            loss_axes.set_yscale("log", subs=[])
            loss_axes.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
            loss_axes.yaxis.set_major_formatter("{x:g}")
        for axes in (loss_axes, score_axes, rate_axes):
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(True)
        _legend(legend_axes, list(records), best or {})
    return figure


def _values(epochs: Records, name: str) -> list[float]:
    return [record.get(name, math.nan) for record in epochs]


def _spans_decades(records: Mapping[int, Records]) -> bool:
    losses = [record[f"{part}_loss"] for epochs in records.values() for record in epochs for part in _PARTS]
    finite = [loss for loss in losses if math.isfinite(loss)]
    return bool(finite) and 0 < 30 * min(finite) < max(finite)


def _line(axes: Any, epochs: Records, name: str, number: int, style: int) -> None:
    axes.plot(
        _values(epochs, "epoch"),
        _values(epochs, name),
        marker="." if len(epochs) == 1 else None,
        ls=dashes(style),
        lw=1.1,
        color=colour(number),
    )


def _mark(axes: Any, epochs: Records, name: str, number: int, chosen: int | None) -> None:
    for record in epochs:
        if record["epoch"] == chosen:
            axes.plot(chosen, record[name], **_point(number), zorder=5)


def _point(number: int) -> dict[str, Any]:
    return {"marker": marker(number), "ms": 7, "color": colour(number), "mec": "white", "ls": "none"}


def _legend(axes: Any, seeds: Sequence[int], best: Mapping[int, int]) -> None:
    from matplotlib.lines import Line2D

    axes.set_axis_off()
    lines = [Line2D([], [], color="0.3", ls=dashes(style)) for style, _ in enumerate(_PARTS)]
    names = list(_PARTS.values())
    for number, seed in enumerate(seeds[:_MOST_IN_LEGEND]):
        if seed in best:
            lines.append(Line2D([], [], **_point(number)))
            names.append(f"seed {seed}, best epoch {best[seed]}")
        else:
            lines.append(Line2D([], [], color=colour(number)))
            names.append(f"seed {seed}")
    if len(seeds) > _MOST_IN_LEGEND:
        lines.append(Line2D([], [], ls="none"))
        names.append(f"and {len(seeds) - _MOST_IN_LEGEND} more")
    columns = -(-len(names) // 8)
    narrow = {} if columns == 1 else {"fontsize": 7.5, "handlelength": 2.2, "columnspacing": 1.0}
    axes.legend(lines, names, loc="center", ncols=columns, **narrow)
