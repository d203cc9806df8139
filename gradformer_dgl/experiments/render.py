"""Tables as Markdown and CSV, made from the JSON files alone."""

import csv
import dataclasses
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gradformer_dgl.experiments.comparison import compare
from gradformer_dgl.experiments.gathering import gather
from gradformer_dgl.experiments.records import Record, load_record
from gradformer_dgl.experiments.table_plots import draw_figure
from gradformer_dgl.experiments.tables import PRESET, Experiment, Table
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.checkpoint import write_whole

DASH = "—"


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a table: an experiment and what is known of it.

    Parameters
    ----------
    experiment : Experiment
        What was trained.
    record : Record
        Its results; without any, the line has dashes.
    """

    experiment: Experiment
    record: Record

    @property
    def mean(self) -> float | None:
        """Mean of the test scores."""
        return statistics.fmean(self.record.scores) if self.record.runs else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation of the test scores; None for fewer than two."""
        return statistics.stdev(self.record.scores) if len(self.record.runs) > 1 else None

    def average(self, name: str) -> float | None:
        """Mean of a fact over the trainings that have it; None where none has."""
        known = [run[name] for run in self.record.runs if run[name] is not None]
        return statistics.fmean(known) if known else None

    @property
    def seeds(self) -> int:
        """Number of different seeds."""
        return len({run["seed"] for run in self.record.runs})


def render(table: Table, experiments: Sequence[Experiment], out: Path) -> Path:
    """Write a table as Markdown and CSV, and its figure as PNG.

    A table that gathers has lines for what else there is of it in the folder, too. A data set, model, preset
    and number of epochs without any training has no lines; single settings that lack one have dashes. A
    cross-validation is written to a file of its own.

    Parameters
    ----------
    table : Table
        What is compared.
    experiments : sequence of Experiment
        Its lines.
    out : Path
        Folder of the results.

    Returns
    -------
    Path
        The Markdown file.

    Raises
    ------
    RunError
        Where there are no results at all, or a file is broken or cannot be written.

    Examples
    --------
    >>> from gradformer_dgl.experiments.render import render
    >>> from gradformer_dgl.experiments.tables import TABLES, experiments_of
    >>> render(TABLES["main"], experiments_of(TABLES["main"]), Path("nowhere"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    gradformer_dgl.support.errors.RunError: nowhere/runs holds no results of this table: ...
    """
    if table.gathers:
        experiments = gather(table, experiments, out)
    lines = _begun([Line(experiment, load_record(out, experiment)) for experiment in experiments])
    if not lines:
        raise RunError(
            f"{out / 'runs'} holds no results of this table: run the same command without --render-only first"
        )
    figure = draw_figure(table, [(line.experiment, line.record) for line in lines], out)
    folds = lines[0].experiment.folds
    file = out / (f"{table.name}.md" if folds is None else f"{table.name}-{folds}-folds.md")
    write_whole(file, _markdown(table, lines, figure))
    write_whole(file.with_suffix(".csv"), _csv(table, lines))
    return file


def _begun(lines: Sequence[Line]) -> list[Line]:
    """Leave out the lines of data sets, models, presets and numbers of epochs that nobody has trained."""

    def group(line: Line) -> tuple[str, str, str, int]:
        made = line.experiment
        return made.dataset, made.model, made.origin, made.config.epochs

    begun = {group(line) for line in lines if line.record.runs}
    return [line for line in lines if group(line) in begun]


def _csv(table: Table, lines: Iterable[Line]) -> str:
    stream = io.StringIO()
    rows = [_facts(table, line) for line in lines]
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _facts(table: Table, line: Line) -> dict[str, Any]:
    experiment, record = line.experiment, line.record
    facts = {
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
        "parameters": record.runs[0]["parameters"] if record.runs else None,
        "seconds": line.average("seconds"),
    }
    if table.name == "efficiency":
        measured = record.efficiency or {}
        facts |= {
            name: measured.get(name)
            for name in ("seconds_per_epoch", "peak_memory_bytes", "memory_before_bytes")
        }
    return facts


def _markdown(table: Table, lines: Sequence[Line], figure: Path | None) -> str:
    folds = lines[0].experiment.folds
    title = table.title if folds is None else f"{table.title} in {folds} folds"
    parts = [f"# {title}", _explanation(table, lines), _grid(table, lines), *_notes(table, lines)]
    if table.name not in ("efficiency", "decay"):
        parts += _comparisons(table, lines)
    if figure is not None:
        parts.append(f"![{table.title}]({figure.name})")
    parts.append(_origin(lines))
    return "\n\n".join(parts) + "\n"


def _explanation(table: Table, lines: Sequence[Line]) -> str:
    folds = lines[0].experiment.folds
    origins = dict.fromkeys(_preset(table, line) for line in lines)
    if len(origins) > 1 and len(table.settings) > 1:
        # The settings of these tables are other than presets, so that no line names its preset.
        origins = dict.fromkeys(f"{line.experiment.dataset} {_preset(table, line)}" for line in lines)
    splits = (
        "random splits (or the data set's own), one for each seed"
        if folds is None
        else f"{folds} stratified folds, cut anew for each seed (the fold after the tested one validates)"
    )
    return (
        f"Test scores, mean ± sample standard deviation over {splits}, each at its best validation epoch; "
        f"nothing is chosen on test data. Settings: the presets ({', '.join(origins)}) but for what "
        f"the line says. Seconds are those of one training on one thread{_gpus(lines)}."
    )


def _preset(table: Table, line: Line) -> str:
    """Name the preset of a line; where the table has a tuned one of its own, by that one's name."""
    made = line.experiment
    return table.tuned.get(made.dataset, made.origin) if made.origin == "tuned" else made.origin


def _gpus(lines: Sequence[Line]) -> str:
    used = any("gpu" in run["machine"] for line in lines for run in line.record.runs)
    return ", and a GPU where one is named below" if used else ""


def _notes(table: Table, lines: Sequence[Line]) -> Iterator[str]:
    yield from table.notes
    if any(len({run["parameters"] for run in line.record.runs}) > 1 for line in lines):
        yield (
            "Parameters are those of the first training where they differ: colours have a weight each, and "
            "which there are depends on the training graphs."
        )
    if any(line.experiment.is_shortened for line in lines):
        yield (
            "Epochs such as 30 of 100: training was shortened from the preset's 100 epochs to 30, a cosine "
            "and its warm-up with it. The score is what so much training gives, not what the settings reach."
        )
    if late := _selected_late(lines):
        yield f"The best validation epoch is looked for after the first part of the epochs: {late}."
    trained = {line.experiment.dataset for line in lines if line.record.runs}
    yield from (note for dataset, note in table.data_notes.items() if dataset in trained)


def _selected_late(lines: Sequence[Line]) -> str:
    """Name the presets that pass over early epochs, and which share of them, such as "MUTAG tuned (50 %)"."""
    made = [line.experiment for line in lines if line.experiment.config.select_after]
    names = (f"{one.dataset} {one.origin} ({one.config.select_after:.0%})".replace("%", " %") for one in made)
    return ", ".join(dict.fromkeys(names))


def _grid(table: Table, lines: Sequence[Line]) -> str:
    folds = lines[0].experiment.folds
    headings = {
        "data": ":--",
        "model": ":--",
        "setting": ":--",
        "metric": ":--",
        "seeds" if folds is None else "seeds x folds": "--:",
        "epochs": "--:",
        "ours": "--:",
        "paper": "--:",
        "validation": "--:",
        "parameters": "--:",
        "seconds": "--:",
    }
    if table.name == "efficiency":
        headings |= {"seconds per epoch": "--:", "peak memory, MB": "--:"}
    rows = [list(headings), list(headings.values()), *(_cells(table, line) for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(table: Table, line: Line) -> list[str]:
    experiment, record = line.experiment, line.record
    seeds = str(line.seeds)
    if experiment.folds is not None:
        complete = len(record.runs) == line.seeds * experiment.folds
        seeds = f"{seeds} x {experiment.folds}" if complete else f"{len(record.runs)} folds"
    epochs = str(experiment.config.epochs)
    if experiment.is_shortened:
        epochs += f" of {experiment.preset_epochs}"
    seconds = line.average("seconds")
    cells = [
        experiment.dataset,
        experiment.model,
        experiment.origin if experiment.setting == PRESET else experiment.setting,
        f"{record.metric}{record.unit and ', ' + record.unit}" or DASH,
        seeds,
        epochs,
        _spread(line),
        DASH if experiment.paper is None else f"{experiment.paper:.2f}",
        _score(record, line.average("val")),
        f"{record.runs[0]['parameters']:,}" if record.runs else DASH,
        DASH if seconds is None else f"{seconds:,.0f}",
    ]
    if table.name == "efficiency":
        measured = record.efficiency
        if measured is None:
            cells += [DASH, DASH]
        else:
            peak, before = measured["peak_memory_bytes"] / 1e6, measured["memory_before_bytes"] / 1e6
            cells += [f"{measured['seconds_per_epoch']:.3g}", f"{peak:.0f} (+{peak - before:.0f})"]
    return cells


def _score(record: Record, value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:.2f}" if record.unit == "%" else f"{value:.4f}"


def _spread(line: Line) -> str:
    mean = _score(line.record, line.mean)
    return mean if line.std is None else f"{mean} ± {_score(line.record, line.std)}"


def _comparisons(table: Table, lines: Sequence[Line]) -> Iterator[str]:
    """Compare models with the first, at each setting; settings without an order with the first of them."""
    of_settings = len(table.settings) > 1 and table.axis is None
    several = len({(line.experiment.dataset, line.experiment.label) for line in lines}) > len(
        {line.experiment.dataset for line in lines}
    )
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        made = line.experiment
        groups.setdefault((made.dataset, made.model if of_settings else made.label), []).append(line)
    rows = []
    for (dataset, common), (first, *others) in groups.items():
        for other in others:
            result = compare(first.record, other.record)
            if result is None:
                continue
            names = [
                each.experiment.setting if of_settings else each.experiment.model for each in (first, other)
            ]
            decimals = 2 if first.record.unit == "%" else 4
            cells = [
                dataset,
                *([common] if several else []),
                " against ".join(names),
                str(result.pairs),
                f"{result.difference:+.{decimals}f}",
                DASH if math.isnan(result.standard_error) else _score(first.record, result.standard_error),
                str(result.wins),
                str(result.ties),
            ]
            rows.append(f"| {' | '.join(cells)} |")
    if not rows:
        return
    common_head = ["model" if of_settings else "setting"] if several else []
    head = ["data", *common_head, "settings" if of_settings else "models"]
    yield "## Pair by pair"
    yield (
        "Both on the same splits: the mean of the differences of their test scores, its standard error, and "
        "the splits on which the first is the better one. Different splits share graphs, so that the "
        "standard error is rather too small."
    )
    yield "\n".join(
        [
            f"| {' | '.join([*head, 'pairs', 'difference', 'standard error', 'wins', 'ties'])} |",
            f"|{' :-- |' * len(head)}{' --: |' * 5}",
            *rows,
        ]
    )


def _origin(lines: Iterable[Line]) -> str:
    """Name versions and machines."""
    versions: dict[str, None] = {}
    machines: dict[str, None] = {}
    for line in lines:
        for run in line.record.runs:
            versions[run["version"]] = None
            machine = run["machine"]
            name = machine["cpu"] if "gpu" not in machine else f"{machine['gpu']} beside {machine['cpu']}"
            machines[f"{name} (cores: {machine['cores']}, torch {machine['torch']})"] = None
    return f"gradformer-dgl {', '.join(versions)} on {'; '.join(machines)}."
