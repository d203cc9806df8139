"""Files of a table, made from the JSON files alone: Markdown, CSV and a figure."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gradformer_dgl.experiments.experiment import Experiment
from gradformer_dgl.experiments.markdown import markdown_text
from gradformer_dgl.experiments.table_figures import draw_figure
from gradformer_dgl.experiments.table_lines import Line, lines_of
from gradformer_dgl.experiments.tables import Table
from gradformer_dgl.support.atomic_write import write_whole
from gradformer_dgl.support.errors import RunError


def write_table(table: Table, experiments: Sequence[Experiment], out: Path) -> Path:
    """Write a table as Markdown and CSV, and its figure as PNG; return the Markdown file.

    A cross-validation is written to a file of its own.
    """
    lines = lines_of(table, experiments, out)
    if not lines:
        raise RunError(
            f"{out / 'runs'} holds no results of this table: run the same command without --render-only first"
        )
    figure = draw_figure(table, lines, out)
    folds = lines[0].experiment.folds
    file = out / (f"{table.name}.md" if folds is None else f"{table.name}-{folds}-folds.md")
    write_whole(file, markdown_text(table, lines, figure))
    write_whole(file.with_suffix(".csv"), _csv_text(table, lines))
    return file


def _csv_text(table: Table, lines: Iterable[Line]) -> str:
    stream = io.StringIO()
    rows = [_csv_row(table, line) for line in lines]
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _csv_row(table: Table, line: Line) -> dict[str, Any]:
    experiment, record = line.experiment, line.record
    row = {
        "dataset": experiment.dataset,
        "model": experiment.model,
        "setting": experiment.setting,
        "variant": experiment.variant,
        "metric": record.metric,
        "unit": record.unit,
        "seeds": line.seeds,
        "trainings": len(record.runs),
        "epochs": experiment.config.epochs,
        "preset_epochs": experiment.preset_epochs or experiment.config.epochs,
        "mean": line.mean,
        "std": line.std,
        "paper": experiment.paper,
        "val_mean": line.average("val"),
        "parameters": line.parameters,
        "seconds": line.average("seconds"),
    }
    if table.name == "efficiency":
        measured = record.efficiency or {}
        names = ("seconds_per_epoch", "peak_memory_bytes", "memory_before_bytes")
        row |= {name: measured.get(name) for name in names}
    return row
