"""Results of an experiment: one small JSON file, from which tables and figures are made."""

import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

from gradformer_dgl.experiments.experiment import Experiment
from gradformer_dgl.support.atomic_write import write_whole
from gradformer_dgl.support.errors import ConfigError, RunError, one_line
from gradformer_dgl.support.json_text import json_text, with_nan

_RUN_KEYS = {"seed", "fold", "best_epoch", "val", "test", "parameters", "seconds", "version", "machine"}


@dataclasses.dataclass
class Record:
    """Results of one experiment; ``config`` has all its settings.

    Each of the ``runs`` has ``seed``, ``fold`` (or None), ``best_epoch``, the scores ``val`` and ``test``
    there, ``parameters``, ``seconds`` (None where the training was halted in between, or other work had a
    part of its core), ``tau`` where the model has it, ``version`` of the package, and ``machine``.
    ``efficiency`` has the ``epochs`` measured, ``seconds_per_epoch``, ``peak_memory_bytes``,
    ``memory_before_bytes``, and ``machine``.
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
        made = experiment
        return cls(made.dataset, made.model, made.variant, made.config.as_dict(), made.folds)

    @property
    def scores(self) -> list[float]:
        """Test scores, in the order of seeds and folds."""
        return [run["test"] for run in self.runs]

    def is_done(self, seed: int, fold: int | None) -> bool:
        """Return whether a training is finished."""
        return any(run["seed"] == seed and run["fold"] == fold for run in self.runs)

    def add(self, run: dict[str, Any]) -> None:
        """Add a training."""
        self.runs.append(run)
        self.runs.sort(key=lambda run: (run["seed"], run["fold"] or 0))


def record_file(out: Path, experiment: Experiment) -> Path:
    """Return the file with the results of an experiment."""
    return out / "runs" / experiment.dataset / experiment.variant / f"{experiment.model}.json"


def load_record(out: Path, experiment: Experiment) -> Record:
    """Read the results of an experiment, empty where there are none; those of other settings are refused."""
    file = record_file(out, experiment)
    if not file.exists():
        return Record.empty(experiment)
    try:
        record = Record(**json.loads(file.read_text(encoding="utf-8")))
        complete = all(run.keys() >= _RUN_KEYS for run in record.runs)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{file} cannot be read as results ({one_line(error)})") from None
    for run in record.runs:
        # Of scores that are not numbers, which JSON does not have.
        run.update({key: with_nan(run[key]) for key in run.keys() & {"val", "test", "also"}})
    if not complete:
        keys = ", ".join(sorted(_RUN_KEYS))
        raise RunError(f"{file} cannot be read as results: a training there lacks one of {keys}")
    try:
        same = experiment.config.matches(record.config) and record.folds == experiment.folds
    except ConfigError as error:
        raise RunError(f"{file}: {error}") from None
    if not same:
        raise RunError(f"{file} holds results of other settings: choose another --out, or move it away")
    return record


def save_record(out: Path, experiment: Experiment, record: Record) -> None:
    """Write the results of an experiment, one training on each line."""
    file = record_file(out, experiment)
    lines = []
    for name, value in dataclasses.asdict(record).items():
        if name == "runs" and value:
            content = "[\n" + ",\n".join("  " + json_text(run) for run in value) + "\n ]"
        else:
            content = json_text(value)
        lines.append(f" {json.dumps(name)}: {content}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}") from None
    write_whole(file, "{\n" + ",\n".join(lines) + "\n}\n")


def describe_machine(device: str = "cpu") -> dict[str, Any]:
    """Return the name and number of processors and the version of torch; ``gpu``, its name, if used."""
    import torch

    from gradformer_dgl.training.threads import available_processors

    machine = {"cpu": _processor(), "cores": available_processors(), "torch": torch.__version__}
    return machine if device == "cpu" else machine | {"gpu": torch.cuda.get_device_name(device)}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
