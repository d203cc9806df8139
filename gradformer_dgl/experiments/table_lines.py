"""Lines of a table: experiments with their results, those of earlier commands too."""

import dataclasses
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradformer_dgl.data import dataset_names
from gradformer_dgl.experiments.experiment import Experiment, experiments_of
from gradformer_dgl.experiments.records import Record, load_record
from gradformer_dgl.experiments.tables import ORIGINS, Table
from gradformer_dgl.support.errors import ConfigError, RunError, one_line


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a table: an experiment and its results; without any, the line has dashes."""

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
        """Return the mean of a number over the trainings that have it; None where none has."""
        known = [run[name] for run in self.record.runs if run[name] is not None]
        return statistics.fmean(known) if known else None

    @property
    def parameters(self) -> int | None:
        """Parameters of the first training."""
        return self.record.runs[0]["parameters"] if self.record.runs else None

    @property
    def seeds(self) -> int:
        """Number of different seeds."""
        return len({run["seed"] for run in self.record.runs})


def lines_of(table: Table, experiments: Sequence[Experiment], out: Path) -> list[Line]:
    """Read the results of a table, and those of the same table that earlier commands left beside them.

    A data set, model, preset and number of epochs without any training has no lines; single settings that
    lack one have a line without results.
    """
    if table.gathers:
        experiments = gather(table, experiments, out)
    lines = [Line(experiment, load_record(out, experiment)) for experiment in experiments]

    def group(line: Line) -> tuple[str, str, str, int]:
        made = line.experiment
        return made.dataset, made.model, made.origin, made.config.epochs

    begun = {group(line) for line in lines if line.record.runs}
    return [line for line in lines if group(line) in begun]


def gather(table: Table, asked: Sequence[Experiment], out: Path) -> list[Experiment]:
    """Add to the experiments asked for those of the same table that have results, in the table's order.

    So a table does not lose the lines of an earlier command that trained other data sets, with another preset
    or other epochs.
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
            ORIGINS.index(line.origin),
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
        if origin not in ORIGINS or dataset.startswith("."):
            continue
        try:
            epochs = json.loads(file.read_text(encoding="utf-8"))["config"]["epochs"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(f"{file} cannot be read as results ({one_line(error)})") from None
        # Results of other settings than those of the table with this preset and these epochs are not its own.
        try:
            candidates = experiments_of(table, [dataset], [model], origin, epochs, folds)
        except ConfigError:
            continue
        yield from (line for line in candidates if _key(line) == (dataset, variant, model))
