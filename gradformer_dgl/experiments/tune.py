"""Search for good settings with Optuna, by validation scores alone.

How a trial is scored, and why so, stands in :mod:`gradformer_dgl.experiments.tune_trials`.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import yaml

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.experiments.tune_space import check_space
from gradformer_dgl.experiments.tune_study import TuneSpec, TuneStudy
from gradformer_dgl.experiments.tune_trials import TrialTask, validate
from gradformer_dgl.support.atomic_write import write_whole
from gradformer_dgl.support.errors import RunError
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.support.progress import Progress
from gradformer_dgl.training.objectives import Objective, objective_of
from gradformer_dgl.training.workers import Workers

BEST = "best.yaml"


def tune(
    spec: TuneSpec, dataset: GraphDataset, jobs: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Search until there are enough trials, and write the best settings; the result says which they are.

    The study is kept in the folder, so that another call resumes it; a trial that was interrupted is done
    again. From a fifth of the epochs on, a trial is given up where it is behind the median of the others at
    the same epoch. The first trial is that of the settings themselves, where they lie within the space. One
    job gives the same trials each time, interrupted or not; with several jobs they depend on which trial ends
    first.
    """
    config = spec.run.config
    check_space(spec.space, config)
    objective = objective_of(dataset.task, config)
    progress = progress or Progress()
    with exclusive(spec.folder):
        study = TuneStudy(spec, dataset, objective)
        progress.plan(spec.trials, len(study.finished()))
        waiting: dict[int, Any] = {}

        def tasks() -> Iterator[TrialTask]:
            while len(study.finished()) + len(waiting) < spec.trials:
                trial = study.next_trial()
                waiting[trial.number] = trial
                run = dataclasses.replace(spec.run, config=config.updated(trial.params))
                yield TrialTask(trial.number, run)

        def on_report(task: TrialTask, record: dict[str, Any]) -> bool:
            epoch, trial = record["epoch"], waiting[task.number]
            progress.epoch(task.title, epoch, config.epochs, _score_text(objective, record["val"]))
            # A mean over no item is no number, and tells nothing of the trial.
            if math.isfinite(record["val"]):
                trial.report(record["val"], epoch)
            if epoch == config.epochs or not trial.should_prune():
                return True
            study.give_up(waiting.pop(task.number))
            progress.finished(task.title, f"given up after epoch {epoch}")
            return False

        def on_result(task: TrialTask, value: float | str) -> None:
            trial = waiting.pop(task.number)
            if isinstance(value, str) or not math.isfinite(value):
                study.give_up(trial, str(value))
                progress.finished(task.title, str(value))
            else:
                study.complete(trial, value)
                progress.finished(task.title, _score_text(objective, value))

        Workers(validate, jobs).run(tasks(), on_report, on_result)
        return _write_best(study, spec, objective)


def _score_text(objective: Objective, value: float) -> str:
    return f"validation {objective.name} {value:.4g}"


def _write_best(study: TuneStudy, spec: TuneSpec, objective: Objective) -> dict[str, Any]:
    table = study.write_trials()
    pruned, finished = study.trials("PRUNED"), study.finished()
    if len(pruned) == len(finished):
        raise RunError(f"none of the {len(pruned)} trials ended well: see {table}")
    best, config = study.study.best_trial, spec.run.config
    settings = config.updated(best.params).as_dict()
    write_whole(spec.folder / BEST, yaml.safe_dump(settings, sort_keys=False))
    return {
        "dataset": spec.run.dataset,
        "model": config.model,
        "metric": objective.name,
        "unit": objective.unit,
        "best_val": best.value,
        "trial": best.number,
        "settings": best.params,
        "trials": len(finished),
        "pruned": len(pruned),
        "epochs": config.epochs,
        "seeds": list(spec.run.seeds),
        "config": str(spec.folder / BEST),
    }
