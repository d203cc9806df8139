"""Results that lie in a folder beside those that are asked for."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradformer_dgl.data import dataset_names
from gradformer_dgl.experiments.tables import PRESETS, Experiment, Table, experiments_of
from gradformer_dgl.support.errors import ConfigError, RunError


def gather(table: Table, asked: Sequence[Experiment], out: Path) -> list[Experiment]:
    """Add to the experiments asked for those of the same table that have results, in the table's order.

    So a table does not lose the lines of an earlier command that trained other data sets, with another preset
    or other epochs.

    Parameters
    ----------
    table : Table
        What is compared.
    asked : sequence of Experiment
        Lines that the table has in any case.
    out : Path
        Folder of the results.

    Raises
    ------
    RunError
        Where a file there cannot be read.

    Examples
    --------
    >>> from gradformer_dgl.experiments.gathering import gather
    >>> from gradformer_dgl.experiments.tables import TABLES, experiments_of
    >>> asked = experiments_of(TABLES["main"], ["MUTAG"])
    >>> gather(TABLES["main"], asked, Path("nowhere")) == asked
    True
    """
    folds = asked[0].folds if asked else None
    lines = {_key(line): line for line in (*asked, *_found(table, folds, out))}
    datasets = list(dict.fromkeys([*table.datasets, *dataset_names()]))
    models = list(dict.fromkeys([*table.models, *sorted(line.model for line in lines.values())]))

    def place(line: Experiment) -> tuple[int, str, int, int, int]:
        known = line.dataset in datasets
        return (
            datasets.index(line.dataset) if known else len(datasets),
            "" if known else line.dataset,
            PRESETS.index(line.origin),
            -line.config.epochs,
            models.index(line.model),
        )

    return sorted(lines.values(), key=place)


def _key(line: Experiment) -> tuple[str, str, str]:
    return line.dataset, line.variant, line.model


def _found(table: Table, folds: int | None, out: Path) -> Iterator[Experiment]:
    for file in sorted((out / "runs").glob("*/*/*.json")):
        dataset, variant, model = file.parts[-3], file.parts[-2], file.stem
        origin = variant.partition(",")[0]
        if origin not in PRESETS or dataset.startswith("."):
            continue
        try:
            epochs = json.loads(file.read_text(encoding="utf-8"))["config"]["epochs"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(f"{file} cannot be read as results ({' '.join(str(error).split())})") from None
        # What would the table train with this preset and these epochs? Other results are not its own.
        try:
            candidates = experiments_of(table, [dataset], [model], origin, epochs, folds)
        except ConfigError:
            continue
        yield from (line for line in candidates if _key(line) == (dataset, variant, model))
