"""Reproduction of tables: the trainings of their experiments that are left to do, side by side."""

import contextlib
import dataclasses
import functools
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gradformer_dgl.data import load_dataset
from gradformer_dgl.experiments.caches import ensure_cache
from gradformer_dgl.experiments.experiment import Experiment
from gradformer_dgl.experiments.records import describe_machine, load_record, record_file, save_record
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.support.memory import peak_memory
from gradformer_dgl.support.progress import Progress
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer
from gradformer_dgl.training.objectives import objective_of
from gradformer_dgl.training.run_spec import RunSpec, open_once
from gradformer_dgl.training.runs import train_seed
from gradformer_dgl.training.seed_files import read_records, score_name
from gradformer_dgl.training.splits import fold_split, with_split
from gradformer_dgl.training.workers import Report, Workers
from gradformer_dgl.version import __version__

MEASURED_EPOCHS = 6
"""The first of them warms up; the others are measured."""


@dataclasses.dataclass(frozen=True)
class Folders:
    """Folders of a reproduction, and the device.

    ``out`` takes the small results (a JSON file for each experiment, tables, figures), ``work`` weights,
    checkpoints, metrics and TensorBoard events.
    """

    out: Path
    work: Path
    cache_dir: Path
    data_root: Path | None = None
    device: str = "cpu"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the right to write ``out`` and ``work``, which may be one, or raise CacheError."""
        with exclusive(self.work):
            is_one = self.out.resolve() == self.work.resolve()
            with contextlib.nullcontext() if is_one else exclusive(self.out):
                yield

    def spec(self, experiment: Experiment, seeds: Sequence[int]) -> RunSpec:
        """Return the run of an experiment; a training that has files there resumes from them."""
        folder = self.work / experiment.dataset / experiment.variant / experiment.model
        return RunSpec(
            dataset=experiment.dataset,
            data_root=None if self.data_root is None else str(self.data_root.resolve()),
            cache=str((self.cache_dir / f"{experiment.dataset}.h5").resolve()),
            folder=str(folder.resolve()),
            config=experiment.config,
            seeds=tuple(seeds),
            device=self.device,
            resume=True,
        )


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of an experiment, in a cross-validation with the ``fold`` that is tested on."""

    experiment: Experiment
    spec: RunSpec
    seed: int
    fold: int | None = None

    @property
    def title(self) -> str:
        """Experiment, seed and fold in a few words."""
        fold = "" if self.fold is None else f" fold {self.fold + 1}"
        return f"{self.experiment.title} seed {self.seed}{fold}"


def trainings_of(experiments: Sequence[Experiment], folders: Folders, seeds: Sequence[int]) -> list[Training]:
    """List the trainings of experiments, each once even where experiments have it in common."""
    trainings: dict[tuple[Path, int, int | None], Training] = {}
    for experiment in experiments:
        spec = folders.spec(experiment, seeds)
        for seed in seeds:
            for fold in [None] if experiment.folds is None else range(experiment.folds):
                key = record_file(folders.out, experiment), seed, fold
                trainings.setdefault(key, Training(experiment, spec, seed, fold))
    return list(trainings.values())


def reproduce(
    experiments: Sequence[Experiment],
    folders: Folders,
    seeds: Sequence[int],
    jobs: int = 1,
    measure: bool = False,
    progress: Progress | None = None,
    show_preprocessing: bool = False,
) -> None:
    """Train what has no results yet, each experiment with each seed and fold, and keep the results.

    Finished trainings are not repeated; one that was interrupted resumes from its checkpoint. Data sets that
    are not cached are preprocessed. ``jobs`` trainings run at a time, in processes of one thread each; with
    ``measure``, time and memory of each experiment are measured after them, one at a time.
    """
    progress = progress or Progress()
    with folders.alone():
        wanted = trainings_of(experiments, folders, seeds)
        records = {task.experiment: load_record(folders.out, task.experiment) for task in wanted}
        left = [task for task in wanted if not records[task.experiment].is_done(task.seed, task.fold)]
        unmeasured = [
            Training(experiment, folders.spec(experiment, (0,)), seed=0)
            for experiment, record in records.items()
            if measure and record.efficiency is None
        ]
        _prepare_caches([task.spec for task in [*left, *unmeasured]], jobs, show_preprocessing)
        progress.plan(len(wanted) + len(unmeasured), len(wanted) - len(left))
        show = functools.partial(_show, progress)

        def keep_scores(task: Training, result: dict[str, Any]) -> None:
            record = load_record(folders.out, task.experiment)
            record.metric, record.unit, record.higher_is_better = result["objective"]
            record.add(result["run"])
            save_record(folders.out, task.experiment, record)
            score = result["run"]
            progress.finished(
                task.title,
                f"test {record.metric} {score['test']:.4g}{record.unit and ' ' + record.unit}, "
                f"epoch {score['best_epoch']}, {score['seconds']:.0f} s",
            )

        def keep_efficiency(task: Training, result: dict[str, Any]) -> None:
            record = load_record(folders.out, task.experiment)
            record.efficiency = result
            save_record(folders.out, task.experiment, record)
            megabytes = result["peak_memory_bytes"] / 1e6
            seconds = f"{result['seconds_per_epoch']:.3g} s an epoch"
            progress.finished(task.title, f"measured, {seconds}, {megabytes:.0f} MB")

        Workers(train, jobs).run(iter(left), show, keep_scores)
        # Each in a new process, while nothing else is at work.
        Workers(measure_epochs, fresh=True).run(iter(unmeasured), show, keep_efficiency)


def _show(progress: Progress, task: Training, record: dict[str, Any]) -> bool:
    score = score_name(record)
    text = f"val {score} {record[f'val_{score}']:.4g}"
    progress.epoch(task.title, record["epoch"], task.spec.config.epochs, text)
    return True


def _prepare_caches(specs: Sequence[RunSpec], jobs: int, progress: bool) -> None:
    configs: dict[tuple[str, str | None, str], list[RunConfig]] = {}
    for spec in specs:
        configs.setdefault((spec.dataset, spec.data_root, spec.cache), []).append(spec.config)
    for (name, data_root, cache), needed in configs.items():
        encodings = [encoding for config in needed for encoding in config.encodings]
        others = [distance for config in needed for distance in config.extra_distances]
        ensure_cache(load_dataset(name, data_root), Path(cache), encodings, jobs, progress, others)


def train(task: Training, report: Report) -> dict[str, Any]:
    """Do one training; return ``run``, as records keep it, and name, unit and direction as ``objective``."""
    dataset, spec = open_once(task.spec), task.spec
    if task.fold is not None:
        assert task.experiment.folds is not None
        split = fold_split(dataset, task.experiment.folds, task.fold, task.seed)
        dataset, config = with_split(dataset, split), spec.config.updated({"split": "auto"})
        spec = dataclasses.replace(spec, folder=f"{spec.folder}/fold-{task.fold}", config=config)
    result = train_seed(spec, task.seed, dataset, lambda seed, record: report(record))
    best = read_records(spec.seed_folder(task.seed))[result.best_epoch - 1]
    objective = objective_of(dataset.task, spec.config)
    run = {"seed": task.seed, "fold": task.fold, **dataclasses.asdict(result)}
    run |= {"tau": best["tau"]} if "tau" in best else {}
    run |= {"version": __version__, "machine": describe_machine(spec.device)}
    return {"run": run, "objective": (objective.name, objective.unit, objective.higher_is_better)}


def measure_epochs(task: Training, report: Report) -> dict[str, Any]:
    """Train a few epochs, and return their time and the memory of this process; nothing is written."""
    spec, device = task.spec, task.spec.device
    trainer = Trainer(open_once(spec), spec.config, task.seed, spec.seed_folder(task.seed), device)
    before, seconds = peak_memory(device), []
    for epoch in range(min(MEASURED_EPOCHS, spec.config.epochs)):
        begin = time.perf_counter()
        report(trainer.run_epoch(epoch))
        seconds.append(time.perf_counter() - begin)
    return {
        "epochs": len(seconds),
        "seconds_per_epoch": round(statistics.median(seconds[1:] or seconds), 4),
        "peak_memory_bytes": peak_memory(device),
        "memory_before_bytes": before,
        "machine": describe_machine(device),
    }
