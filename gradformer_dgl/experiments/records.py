"""The results of an experiment: one small JSON file, from which tables and figures are made."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from gradformer_dgl.experiments.tables import Experiment
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.training.checkpoint import write_whole

_RUN_FACTS = {"seed", "fold", "best_epoch", "val", "test", "parameters", "seconds", "version", "machine"}


@dataclasses.dataclass
class Record:
    """What is known of one experiment.

    Parameters
    ----------
    dataset, model, variant : str
        Which experiment.
    config : dict of str to Any
        All settings.
    folds : int or None
        Folds of the cross-validation, if it is one.
    metric, unit : str
        What the scores are.
    higher_is_better : bool
        Of two scores.
    runs : list of dict
        For each training: ``seed``, ``fold`` (or None), ``best_epoch``, the scores ``val`` and ``test``
        there, ``parameters``, ``seconds`` (None where the training was halted in between, or other work had
        a part of its core), ``tau`` where the model has it, ``version`` of the package, and ``machine``.
    efficiency : dict, optional
        ``epochs`` measured, ``seconds_per_epoch``, ``peak_memory_bytes``, ``memory_before_bytes``, and
        ``machine``.

    Examples
    --------
    >>> from gradformer_dgl.experiments.records import Record
    >>> from gradformer_dgl.experiments.tables import TABLES, experiments_of
    >>> record = Record.empty(experiments_of(TABLES["main"])[0])
    >>> record.add({"seed": 1, "fold": None, "test": 80.5})
    >>> record.scores, record.is_done(1, None), record.is_done(2, None)
    ([80.5], True, False)
    """

    dataset: str
    model: str
    variant: str
    config: dict[str, Any]
    folds: int | None
    metric: str = ""
    unit: str = ""
    higher_is_better: bool = True
    runs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    efficiency: dict[str, Any] | None = None

    @classmethod
    def empty(cls, experiment: Experiment) -> "Record":
        """Return the record of an experiment that has not begun."""
        return cls(
            experiment.dataset,
            experiment.model,
            experiment.variant,
            experiment.config.as_dict(),
            experiment.folds,
        )

    @property
    def scores(self) -> list[float]:
        """Test scores, in the order of seeds and folds."""
        return [run["test"] for run in self.runs]

    def is_done(self, seed: int, fold: int | None) -> bool:
        """Whether a training is finished."""
        return any(run["seed"] == seed and run["fold"] == fold for run in self.runs)

    def add(self, run: dict[str, Any]) -> None:
        """Add a training."""
        self.runs.append(run)
        self.runs.sort(key=lambda run: (run["seed"], run["fold"] or 0))


def record_file(out: Path, experiment: Experiment) -> Path:
    """Where the results of an experiment lie.

    Examples
    --------
    >>> from gradformer_dgl.experiments.records import record_file
    >>> from gradformer_dgl.experiments.tables import TABLES, experiments_of
    >>> record_file(Path("results"), experiments_of(TABLES["depth"])[1]).as_posix()
    'results/runs/NCI1/published,lr=0.0003,num_layers=8/gradformer.json'
    """
    return out / "runs" / experiment.dataset / experiment.variant / f"{experiment.model}.json"


def load_record(out: Path, experiment: Experiment) -> Record:
    """Read the results of an experiment; an empty record where there are none.

    Raises
    ------
    RunError
        Where the file is broken, or holds results of other settings.

    Examples
    --------
    >>> from gradformer_dgl.experiments.records import load_record
    >>> from gradformer_dgl.experiments.tables import TABLES, experiments_of
    >>> load_record(Path("nowhere"), experiments_of(TABLES["main"])[0]).runs
    []
    """
    file = record_file(out, experiment)
    if not file.exists():
        return Record.empty(experiment)
    try:
        record = Record(**json.loads(file.read_text(encoding="utf-8")))
        complete = all(run.keys() >= _RUN_FACTS for run in record.runs)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{file} cannot be read as results ({' '.join(str(error).split())})") from None
    if not complete:
        facts = ", ".join(sorted(_RUN_FACTS))
        raise RunError(f"{file} cannot be read as results: a training there lacks one of {facts}")
    if not experiment.config.matches(record.config) or record.folds != experiment.folds:
        raise RunError(f"{file} holds results of other settings: choose another --out, or move it away")
    return record


def save_record(out: Path, experiment: Experiment, record: Record) -> None:
    """Write the results of an experiment, one training on each line.

    Raises
    ------
    RunError
        Where the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from gradformer_dgl.experiments.records import Record, load_record, save_record
    >>> from gradformer_dgl.experiments.tables import TABLES, experiments_of
    >>> experiment = experiments_of(TABLES["main"])[0]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_record(Path(folder), experiment, Record.empty(experiment))
    ...     load_record(Path(folder), experiment) == Record.empty(experiment)
    True
    """
    file = record_file(out, experiment)
    facts = dataclasses.asdict(record)
    lines = []
    for name, value in facts.items():
        if name == "runs" and value:
            content = "[\n" + ",\n".join("  " + json.dumps(run) for run in value) + "\n ]"
        else:
            content = json.dumps(value)
        lines.append(f" {json.dumps(name)}: {content}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None
    write_whole(file, "{\n" + ",\n".join(lines) + "\n}\n")
