"""Optuna study of a search: kept in a folder as a journal, resumed by later searches, written as CSV.

The journal is Optuna's own, of JSON lines: nothing in it is unpickled.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.experiments.tune_space import Range, Space, contains
from gradformer_dgl.experiments.tune_trials import WINDOW
from gradformer_dgl.support.atomic_write import write_whole
from gradformer_dgl.support.errors import ConfigError, RunError, one_line
from gradformer_dgl.training.data_description import data_digests
from gradformer_dgl.training.objectives import Objective
from gradformer_dgl.training.run_spec import RunSpec

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

JOURNAL, TRIALS = "study.jsonl", "trials.csv"
_STARTUP_TRIALS = 5


@dataclasses.dataclass(frozen=True)
class TuneSpec:
    """Specification of a search.

    The seeds of ``run`` are those whose splits a trial is averaged over; ``seed`` is that of the search.
    The ``trials`` include those of earlier calls.
    """

    run: RunSpec
    space: Space
    trials: int
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Folder of the search."""
        return Path(self.run.folder)

    def resumes(self, saved: dict[str, Any]) -> bool:
        """Return whether trials of a saved description compare with those of this one."""
        today = self.as_dict()
        # Older studies do not tell the options of their data, and have older names of settings.
        before = {"data_options": today["data_options"]} | saved
        same_settings = self.run.config.matches(before.get("config"))
        return same_settings and before | {"config": today["config"]} == today

    def as_dict(self) -> dict[str, Any]:
        """Return all that trials of one study have in common, as JSON would load it."""
        description = {
            "dataset": self.run.dataset,
            "data_options": self.run.data_options.given(),
            "config": self.run.config.as_dict(),
            "seeds": self.run.seeds,
            "seed": self.seed,
            "space": {
                name: dataclasses.asdict(values) if isinstance(values, Range) else values
                for name, values in self.space.items()
            },
        }
        loaded: dict[str, Any] = json.loads(json.dumps(description))
        return loaded


def import_optuna() -> Any:
    """Import Optuna, or raise ConfigError with the command that installs it."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise ConfigError("tune needs Optuna: pip install gradformer-dgl[tune]") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class TuneStudy:
    """Study in a folder that gives the same trials for a seed, whatever interruptions there were."""

    def __init__(self, spec: TuneSpec, dataset: GraphDataset, objective: Objective) -> None:
        optuna = import_optuna()
        self._spec, self._optuna = spec, optuna
        self._states = optuna.trial.TrialState
        self._distributions = {
            name: _distribution(values, getattr(spec.run.config, name), optuna.distributions)
            for name, values in spec.space.items()
        }
        self.study: Study = self._open(objective)
        self._check_same("request", spec.as_dict(), spec.resumes, "with other settings")
        digests = data_digests(dataset)
        self._check_same("data_digests", digests, digests.__eq__, "on data that has changed since")
        # Nobody else is at work in the folder: running trials were interrupted, and are done again.
        for trial in self.trials("RUNNING"):
            self.study.tell(trial.number, state=self._states.FAIL)
            self.study.enqueue_trial(trial.params)
        if not self.study.get_trials(deepcopy=False):
            self._begin_with_present_settings()

    def trials(self, *states: str) -> "list[FrozenTrial]":
        """Return the trials in some states, such as ``"COMPLETE"``."""
        return self.study.get_trials(deepcopy=False, states=tuple(self._states[state] for state in states))

    def finished(self) -> "list[FrozenTrial]":
        """Return the trials that count."""
        return self.trials("COMPLETE", "PRUNED")

    def next_trial(self) -> "Trial":
        """Return a new trial with its settings."""
        place = len(self.trials("COMPLETE", "PRUNED", "RUNNING"))
        # Each trial has its own sampler: one for all would draw other numbers after an interruption.
        seed = (self._spec.seed * 1_000_003 + place) % 2**32
        self.study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        return self.study.ask(self._distributions)

    def complete(self, trial: "Trial", value: float) -> None:
        """End a trial with its score."""
        self.study.tell(trial, value)

    def give_up(self, trial: "Trial", error: str | None = None) -> None:
        """End a trial without a score."""
        if error is not None:
            trial.set_user_attr("error", error)
        self.study.tell(trial, state=self._states.PRUNED)

    def write_trials(self) -> Path:
        """Write all trials as CSV: state, validation score, epochs and settings."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["trial", "state", "val", "epochs", "seconds", "error", *self._spec.space])
        for trial in self.study.get_trials(deepcopy=False):
            seconds = None if trial.duration is None else round(trial.duration.total_seconds(), 1)
            cells = [trial.number, trial.state.name.lower(), trial.value, trial.last_step, seconds]
            cells.append(trial.user_attrs.get("error"))
            writer.writerow([*cells, *(trial.params.get(name) for name in self._spec.space)])
        write_whole(self._spec.folder / TRIALS, stream.getvalue())
        return self._spec.folder / TRIALS

    def _open(self, objective: Objective) -> "Study":
        optuna, folder, epochs = self._optuna, self._spec.folder, self._spec.run.config.epochs
        direction = "maximize" if objective.higher_is_better else "minimize"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _drop_unfinished_line(folder / JOURNAL)
        except OSError as error:
            raise RunError(f"{folder} cannot be made ready: {error.strerror}") from None
        try:
            backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
            study: Study = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name="tune",
                load_if_exists=True,
                direction=direction,
                pruner=optuna.pruners.MedianPruner(_STARTUP_TRIALS, max(WINDOW, epochs // 5)),
            )
        except (ValueError, KeyError) as error:
            reason = one_line(error)
            raise RunError(f"{folder / JOURNAL} is broken ({reason}): choose another --out") from None
        if study.direction.name.lower() != direction:
            raise RunError(
                f"{folder} holds a search by another metric than {objective.name}: choose another --out"
            )
        return study

    def _check_same(
        self, name: str, today: dict[str, Any], same: Callable[[Any], bool], difference: str
    ) -> None:
        """Keep a description of the search with the first trial, and refuse another one later."""
        before = self.study.user_attrs.get(name)
        if before is None:
            self.study.set_user_attr(name, today)
        elif not same(before):
            raise RunError(f"{self._spec.folder} holds a search {difference}: choose another --out")

    def _begin_with_present_settings(self) -> None:
        config = self._spec.run.config
        present = {name: getattr(config, name) for name in self._distributions}
        if all(contains(values, present[name]) for name, values in self._spec.space.items()):
            self.study.enqueue_trial(present)


def _distribution(values: Range | tuple[Any, ...], present: Any, distributions: Any) -> Any:
    if not isinstance(values, Range):
        return distributions.CategoricalDistribution(values)
    if isinstance(present, int):
        step = int(values.step or 1)
        return distributions.IntDistribution(int(values.low), int(values.high), values.log, step)
    return distributions.FloatDistribution(values.low, values.high, values.log, values.step)


def _drop_unfinished_line(file: Path) -> None:
    """Remove what a process that was killed while it wrote left of a line."""
    if not file.exists():
        return
    content = file.read_bytes()
    if content and not content.endswith(b"\n"):
        with file.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)
