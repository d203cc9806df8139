"""Searching for good settings with Optuna, by validation scores alone.

How a trial is scored, and why so, stands in :mod:`gradformer_dgl.experiments.trials`.
"""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.experiments.search_space import Range, Space, check_space, contains
from gradformer_dgl.experiments.trials import WINDOW, TrialTask, validate
from gradformer_dgl.support.errors import ConfigError, RunError
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.support.progress import Progress
from gradformer_dgl.training.checkpoint import write_whole
from gradformer_dgl.training.data_digests import data_digests
from gradformer_dgl.training.objectives import Objective, objective_for
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.workers import Workers

if TYPE_CHECKING:
    import optuna

JOURNAL, BEST, TRIALS = "study.jsonl", "best.yaml", "trials.csv"
_STARTUP_TRIALS = 5


@dataclasses.dataclass(frozen=True)
class TuneRequest:
    """What is to be tuned.

    Parameters
    ----------
    run : RunSpec
        Data, cache and folder, the settings that are not searched, and the seeds whose splits a trial is
        averaged over.
    space : Space
        What is searched.
    trials : int
        Trials in all, those of earlier calls included.
    seed : int
        Seed of the search.
    """

    run: RunSpec
    space: Space
    trials: int
    seed: int = 0


def import_optuna() -> Any:
    """Import Optuna.

    Raises
    ------
    ConfigError
        Where it is not installed.

    Examples
    --------
    >>> from gradformer_dgl.experiments.tuning import import_optuna
    >>> import_optuna().__name__
    'optuna'
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise ConfigError("tune needs Optuna: pip install gradformer-dgl[tune]") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def tune(
    request: TuneRequest, dataset: GraphDataset, jobs: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Search until there are enough trials, and write the best settings.

    The study is kept in the folder, so that another call goes on with it; a trial that was interrupted is
    done again. From a fifth of the epochs on, a trial is given up where it is behind the median of the others
    at the same epoch. The first trial is that of the settings themselves, where they lie within the space.
    One job gives the same trials each time, interrupted or not; with several jobs they depend on which trial
    ends first.

    Parameters
    ----------
    request : TuneRequest
        What to tune.
    dataset : GraphDataset
        The data set, open: its task decides the metric.
    jobs : int
        Trials at a time, in processes of one thread each.
    progress : Progress, optional
        Is told how it goes on.

    Returns
    -------
    dict
        ``dataset``, ``model``, ``metric``; ``best_val``, the score of the best trial (see
        :func:`~gradformer_dgl.experiments.trials.best_window`), its number and its settings; how many
        ``trials`` there are, and how many of them were ``pruned``; the file with the best settings.

    Raises
    ------
    GradformerError
        Where something makes no sense or is missing, the folder holds another study, or no trial ended well.
    """
    optuna = import_optuna()
    check_space(request.space, request.run.config)
    folder, config = Path(request.run.folder), request.run.config
    objective = objective_for(dataset.task, config.class_weights)
    progress = progress or Progress()
    with exclusive(folder):
        study = _open_study(optuna, request, dataset, objective)
        search = _Search(study, request, optuna)
        progress.plan(request.trials, len(search.finished()))
        waiting: dict[int, Any] = {}

        def tasks() -> Iterator[TrialTask]:
            while len(search.finished()) + len(waiting) < request.trials:
                trial = search.next_trial()
                waiting[trial.number] = trial
                settings = dataclasses.replace(request.run, config=config.updated(trial.params))
                yield TrialTask(trial.number, settings)

        def on_report(task: TrialTask, record: dict[str, Any]) -> bool:
            text = f"validation {objective.name} {record['val']:.4g}"
            progress.epoch(task.title, record["epoch"], config.epochs, text)
            trial = waiting[task.number]
            # A mean over no item is no number, and tells nothing of the trial.
            if math.isfinite(record["val"]):
                trial.report(record["val"], record["epoch"])
            if record["epoch"] == config.epochs or not trial.should_prune():
                return True
            study.tell(waiting.pop(task.number), state=optuna.trial.TrialState.PRUNED)
            progress.finished(task.title, f"given up after epoch {record['epoch']}")
            return False

        def on_result(task: TrialTask, value: float | str) -> None:
            trial = waiting.pop(task.number)
            if isinstance(value, str) or not math.isfinite(value):
                trial.set_user_attr("error", str(value))
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                progress.finished(task.title, str(value))
            else:
                study.tell(trial, value)
                progress.finished(task.title, f"validation {objective.name} {value:.4g}")

        Workers(validate, jobs).run(tasks(), on_report, on_result)
        return _write_best(study, request, objective, optuna)


class _Search:
    """Asks for trials so that a seed gives the same ones whatever interruptions there were."""

    def __init__(self, study: "optuna.Study", request: TuneRequest, optuna: Any) -> None:
        self._study, self._request, self._optuna = study, request, optuna
        self._distributions = {
            name: _distribution(values, getattr(request.run.config, name), optuna)
            for name, values in request.space.items()
        }
        states = optuna.trial.TrialState
        # Nobody else is at work in the folder: what runs was interrupted.
        for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            study.tell(trial.number, state=states.FAIL)
            study.enqueue_trial(trial.params)
        if not study.get_trials(deepcopy=False):
            self._begin_with_present_settings()

    def finished(self) -> list[Any]:
        """Return the trials that count."""
        states = self._optuna.trial.TrialState
        return self._study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))

    def next_trial(self) -> "optuna.trial.Trial":
        """Return a trial with its settings."""
        states = self._optuna.trial.TrialState
        others = (states.COMPLETE, states.PRUNED, states.RUNNING)
        place = len(self._study.get_trials(deepcopy=False, states=others))
        # Each trial has its own sampler: one for all would draw other numbers after an interruption.
        seed = (self._request.seed * 1_000_003 + place) % 2**32
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        return self._study.ask(self._distributions)

    def _begin_with_present_settings(self) -> None:
        config = self._request.run.config
        present = {name: getattr(config, name) for name in self._distributions}
        if all(contains(values, present[name]) for name, values in self._request.space.items()):
            self._study.enqueue_trial(present)


def _distribution(values: Range | tuple[Any, ...], present: Any, optuna: Any) -> Any:
    if not isinstance(values, Range):
        return optuna.distributions.CategoricalDistribution(values)
    if isinstance(present, int):
        step = int(values.step or 1)
        return optuna.distributions.IntDistribution(int(values.low), int(values.high), values.log, step)
    return optuna.distributions.FloatDistribution(values.low, values.high, values.log, values.step)


def _open_study(
    optuna: Any, request: TuneRequest, dataset: GraphDataset, objective: Objective
) -> "optuna.Study":
    folder = Path(request.run.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _drop_unfinished_line(folder / JOURNAL)
    except OSError as error:
        raise RunError(f"{folder} cannot be made ready: {error.strerror}") from None
    warmup = max(WINDOW, request.run.config.epochs // 5)
    direction = "maximize" if objective.higher_is_better else "minimize"
    try:
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
        )
        study = optuna.create_study(
            storage=storage,
            study_name="tune",
            load_if_exists=True,
            direction=direction,
            pruner=optuna.pruners.MedianPruner(_STARTUP_TRIALS, warmup),
        )
    except (ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{folder / JOURNAL} is broken ({reason}): choose another --out") from None
    if study.direction.name.lower() != direction:
        raise RunError(
            f"{folder} holds a search by another metric than {objective.name}: choose another --out"
        )
    asked = _description(request)
    found = study.user_attrs.get("request")
    if found is None:
        study.set_user_attr("request", asked)
    # Studies of before do not tell the options of their data, of which the metric is all that is known.
    elif {"data_options": asked["data_options"]} | found != asked:
        raise RunError(f"{folder} holds a search with other settings: choose another --out")
    digests = data_digests(dataset)
    known = study.user_attrs.get("data_digests")
    if known is None:
        study.set_user_attr("data_digests", digests)
    elif known != digests:
        raise RunError(f"{folder} holds a search on data that has changed since: choose another --out")
    return study


def _drop_unfinished_line(file: Path) -> None:
    """Remove what a process that was killed while it wrote left of a line."""
    if not file.exists():
        return
    content = file.read_bytes()
    if content and not content.endswith(b"\n"):
        with file.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _description(request: TuneRequest) -> dict[str, Any]:
    """What a study is of; trials of another do not compare."""
    description = {
        "dataset": request.run.dataset,
        "data_options": request.run.data_options.given(),
        "config": request.run.config.as_dict(),
        "seeds": request.run.seeds,
        "seed": request.seed,
        "space": {
            name: dataclasses.asdict(values) if isinstance(values, Range) else values
            for name, values in request.space.items()
        },
    }
    loaded: dict[str, Any] = json.loads(json.dumps(description))
    return loaded


def _write_best(
    study: "optuna.Study", request: TuneRequest, objective: Objective, optuna: Any
) -> dict[str, Any]:
    folder, states = Path(request.run.folder), optuna.trial.TrialState
    _write_trials(study, request, folder)
    complete = study.get_trials(deepcopy=False, states=(states.COMPLETE,))
    pruned = study.get_trials(deepcopy=False, states=(states.PRUNED,))
    if not complete:
        raise RunError(f"none of the {len(pruned)} trials ended well: see {folder / TRIALS}")
    best = study.best_trial
    settings = request.run.config.updated(best.params).as_dict()
    write_whole(folder / BEST, yaml.safe_dump(settings, sort_keys=False))
    return {
        "dataset": request.run.dataset,
        "model": request.run.config.model,
        "metric": objective.name,
        "unit": objective.unit,
        "best_val": best.value,
        "trial": best.number,
        "settings": best.params,
        "trials": len(complete) + len(pruned),
        "pruned": len(pruned),
        "epochs": request.run.config.epochs,
        "seeds": list(request.run.seeds),
        "config": str(folder / BEST),
    }


def _write_trials(study: "optuna.Study", request: TuneRequest, folder: Path) -> None:
    """Write all trials as CSV: state, validation score, epochs and settings."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", "state", "val", "epochs", "seconds", "error", *request.space])
    for trial in study.get_trials(deepcopy=False):
        seconds = None if trial.duration is None else round(trial.duration.total_seconds(), 1)
        facts = [trial.number, trial.state.name.lower(), trial.value, trial.last_step, seconds]
        error = trial.user_attrs.get("error")
        writer.writerow([*facts, error, *(trial.params.get(name) for name in request.space)])
    write_whole(folder / TRIALS, stream.getvalue())
