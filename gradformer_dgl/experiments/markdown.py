"""Text of a table in Markdown: scores, notes, and a comparison of the lines split by split."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gradformer_dgl.experiments.comparison import compare
from gradformer_dgl.experiments.records import Record
from gradformer_dgl.experiments.table_lines import Line
from gradformer_dgl.experiments.tables import PRESET, PRESETS, Table

DASH = "—"


def markdown_text(table: Table, lines: Sequence[Line], figure: Path | None) -> str:
    """Return the text of a table of at least one line, with the figure beside it."""
    folds = lines[0].experiment.folds
    title = table.title if folds is None else f"{table.title} in {folds} folds"
    parts = [f"# {title}", _explanation(table, lines), _scores(table, lines), *_notes(table, lines)]
    if table.name not in ("efficiency", "decay"):
        parts += _comparisons(table, lines)
    if figure is not None:
        parts.append(f"![{table.title}]({figure.name})")
    parts.append(_versions_and_machines(lines))
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
    used = any("gpu" in run["machine"] for line in lines for run in line.record.runs)
    gpus = ", and a GPU where one is named below" if used else ""
    return (
        f"Test scores, mean ± sample standard deviation over {splits}, each at its best validation epoch; "
        f"nothing is chosen on test data. Settings: the presets ({', '.join(origins)}) but for what "
        f"the line says. Seconds are those of one training on one thread{gpus}."
    )


def _preset(table: Table, line: Line) -> str:
    """Return the preset of a line, by the name of the table's own tuned one where it has one."""
    made = line.experiment
    return table.tuned.get(made.dataset, made.origin) if made.origin == "tuned" else made.origin


def _notes(table: Table, lines: Sequence[Line]) -> Iterator[str]:
    yield from table.notes
    if any(len({run["parameters"] for run in line.record.runs}) > 1 for line in lines):
        yield (
            "Parameters are those of the first training where they differ: Weisfeiler-Leman labels have a "
            "weight each, and which there are depends on the training graphs."
        )
    if any(line.experiment.is_shortened for line in lines):
        yield (
            "Epochs such as 30 of 100: training was shortened from the preset's 100 epochs to 30, a cosine "
            "and its warm-up with it. The score is what so much training gives, not what the settings reach."
        )
    if late := _monitored_late(lines):
        yield f"The best validation epoch is looked for after the first part of the epochs: {late}."
    trained = {line.experiment.dataset for line in lines if line.record.runs}
    yield from (note for dataset, note in table.data_notes.items() if dataset in trained)


def _monitored_late(lines: Sequence[Line]) -> str:
    """Return the presets that pass over early epochs, each with the fraction: "MUTAG tuned (50 %)"."""
    made = [line.experiment for line in lines if line.experiment.config.monitor_from]
    names = (f"{one.dataset} {one.origin} ({one.config.monitor_from:.0%})".replace("%", " %") for one in made)
    return ", ".join(dict.fromkeys(names))


def _scores(table: Table, lines: Sequence[Line]) -> str:
    rows = [_cells(table, line) for line in lines]
    heads = list(rows[0])
    # Words to the left, numbers to the right.
    return _grid(heads, 4, [list(row.values()) for row in rows])


def _grid(heads: Sequence[str], words: int, rows: Sequence[Sequence[str]]) -> str:
    marks = [":--"] * words + ["--:"] * (len(heads) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, marks, *rows))


def _cells(table: Table, line: Line) -> dict[str, str]:
    experiment, record = line.experiment, line.record
    seeds = str(line.seeds)
    if experiment.folds is not None:
        complete = len(record.runs) == line.seeds * experiment.folds
        seeds = f"{seeds} x {experiment.folds}" if complete else f"{len(record.runs)} folds"
    epochs = str(experiment.config.epochs)
    if experiment.is_shortened:
        epochs += f" of {experiment.preset_epochs}"
    seconds, parameters = line.average("seconds"), line.parameters
    ours = _score(record, line.mean)
    cells = {
        "data": experiment.dataset,
        "model": experiment.model,
        "setting": experiment.origin if experiment.setting == PRESET else experiment.setting,
        "metric": f"{record.metric}{record.unit and ', ' + record.unit}" or DASH,
        "seeds" if experiment.folds is None else "seeds x folds": seeds,
        "epochs": epochs,
        "ours": ours if line.std is None else f"{ours} ± {_score(record, line.std)}",
        "paper": DASH if experiment.paper is None else f"{experiment.paper:.2f}",
        "validation": _score(record, line.average("val")),
        "parameters": DASH if parameters is None else f"{parameters:,}",
        "seconds": DASH if seconds is None else f"{seconds:,.0f}",
    }
    if table.name == "efficiency":
        cells |= {"seconds per epoch": DASH, "peak memory, MB": DASH}
        if measured := record.efficiency:
            peak, before = measured["peak_memory_bytes"] / 1e6, measured["memory_before_bytes"] / 1e6
            cells["seconds per epoch"] = f"{measured['seconds_per_epoch']:.3g}"
            cells["peak memory, MB"] = f"{peak:.0f} (+{peak - before:.0f})"
    return cells


def _score(record: Record, value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:.2f}" if record.unit == "%" else f"{value:.4f}"


def _comparisons(table: Table, lines: Sequence[Line]) -> Iterator[str]:
    """Compare models with the first, at each setting; settings without an order with the first of them."""
    of_settings = len(table.settings) > 1 and table.axis is None
    several = len({(line.experiment.dataset, line.experiment.label) for line in lines}) > len(
        {line.experiment.dataset for line in lines}
    )
    groups: dict[tuple[str, str], list[Line]] = {}
    own = [] if of_settings else [line for line in lines if line.experiment.origin not in PRESETS]
    for line in lines:
        if line in own:
            continue
        made = line.experiment
        groups.setdefault((made.dataset, made.model if of_settings else made.label), []).append(line)
    for (dataset, _), members in groups.items():
        # A model with a preset of its own is compared at every preset of the others.
        setting = members[0].experiment.setting
        members += [
            line for line in own if (line.experiment.dataset, line.experiment.setting) == (dataset, setting)
        ]
    rows = []
    for (dataset, common), (first, *others) in groups.items():
        for other in others:
            result = compare(first.record, other.record)
            if result is None:
                continue
            both, error = (first.experiment, other.experiment), result.standard_error
            rows.append(
                [
                    dataset,
                    *([common] if several else []),
                    " against ".join(one.setting if of_settings else one.model for one in both),
                    str(result.pairs),
                    f"{result.difference:+.{2 if first.record.unit == '%' else 4}f}",
                    DASH if math.isnan(error) else _score(first.record, error),
                    str(result.wins),
                    str(result.ties),
                ]
            )
    if not rows:
        return
    common_head = ["model" if of_settings else "setting"] if several else []
    heads = ["data", *common_head, "settings" if of_settings else "models"]
    yield "## Pair by pair"
    yield (
        "Both on the same splits: the mean of the differences of their test scores, its standard error, and "
        "the splits on which the first is the better one. Different splits share graphs, so that the "
        "standard error is rather too small."
    )
    yield _grid([*heads, "pairs", "difference", "standard error", "wins", "ties"], len(heads), rows)


def _versions_and_machines(lines: Iterable[Line]) -> str:
    versions: dict[str, None] = {}
    machines: dict[str, None] = {}
    for line in lines:
        for run in line.record.runs:
            versions[run["version"]] = None
            machine = run["machine"]
            name = machine["cpu"] if "gpu" not in machine else f"{machine['gpu']} beside {machine['cpu']}"
            machines[f"{name} (cores: {machine['cores']}, torch {machine['torch']})"] = None
    return f"gradformer-dgl {', '.join(versions)} on {'; '.join(machines)}."
