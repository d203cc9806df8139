"""Training of a run: one configuration with several seeds, in a folder of its own."""

import contextlib
import dataclasses
import logging
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.training.checkpoint import load_checkpoint
from gradformer_dgl.training.config import read_settings
from gradformer_dgl.training.data_description import describe_data, require_same_data
from gradformer_dgl.training.distributed import ALONE, Ranks
from gradformer_dgl.training.loop import EpochCallback, SeedResult, Trainer
from gradformer_dgl.training.objectives import objective_of
from gradformer_dgl.training.outputs import labels_of
from gradformer_dgl.training.run_folder import (
    CONFIG,
    prepare_folder,
    resumes,
    withdraw,
    write_result,
    write_spec,
)
from gradformer_dgl.training.run_spec import RunSpec, open_once
from gradformer_dgl.training.seed_files import score_name
from gradformer_dgl.training.splits import split_of
from gradformer_dgl.training.tensorboard import EventWriter
from gradformer_dgl.training.workers import Report, Workers
from gradformer_dgl.version import __version__

_logger = logging.getLogger("gradformer_dgl")


def train_run(
    spec: RunSpec,
    jobs: int = 1,
    on_epoch: EpochCallback | None = None,
    dataset: GraphDataset | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train all seeds of a run and write its folder.

    Parameters
    ----------
    spec : RunSpec
        The run.
    jobs : int
        Processes; each trains one seed at a time.
    on_epoch : callable, optional
        Called with seed and record after every epoch.
    dataset : GraphDataset, optional
        The data set, where it has been read already.
    ranks : Ranks
        The processes that share the training of each seed; the first writes the folder.

    Returns
    -------
    dict
        The content of ``result.json``: mean and sample standard deviation of the test scores at the best
        validation epochs, and the scores of each seed.

    Raises
    ------
    GradformerError
        Where a seed cannot be trained, or another process is at work in the folder.
    """
    folder = Path(spec.folder).absolute()
    with exclusive(folder) if ranks.is_first else contextlib.nullcontext():
        return _train_run(spec, jobs, on_epoch, dataset, ranks)


def _train_run(
    spec: RunSpec,
    jobs: int,
    on_epoch: EpochCallback | None,
    dataset: GraphDataset | None,
    ranks: Ranks,
) -> dict[str, Any]:
    begin = time.perf_counter()
    on_epoch = _tells_of_epochs_without_score(spec, on_epoch)
    resumed = ranks.is_first and resumes(spec)
    alone = jobs == 1 or len(spec.seeds) == 1
    if dataset is None:
        dataset = spec.open_dataset() if alone else spec.load_dataset()
    data = describe_data(dataset, spec) if ranks.is_first else {}
    if resumed:
        file = Path(spec.folder) / CONFIG
        require_same_data(file, read_settings(file), data)
    if ranks.is_first:
        prepare_folder(spec)
    try:
        if ranks.is_first:
            write_spec(spec, data)
        if alone:
            results = [train_seed(spec, seed, dataset, on_epoch, ranks) for seed in spec.seeds]
        else:
            results = train_seeds_in_processes(spec, min(jobs, len(spec.seeds)), on_epoch)
    except BaseException:
        if ranks.is_first and not resumed:
            withdraw(spec)
        raise
    result = _summary(spec, dataset, results, time.perf_counter() - begin)
    if ranks.is_first:
        write_result(spec, result)
    return result


def _tells_of_epochs_without_score(spec: RunSpec, on_epoch: EpochCallback | None) -> EpochCallback:
    """Return a callback for epochs that says once what selects among those without a validation score."""
    told = spec.config.monitor == "loss"

    def report(seed: int, record: dict[str, Any]) -> None:
        nonlocal told
        name = score_name(record)
        if not told and math.isnan(record[f"val_{name}"]):
            told = True
            _logger.warning(
                "seed %d: the validation %s is not a number in epoch %d: epochs without it are compared by "
                "the validation loss",
                seed,
                name,
                record["epoch"],
            )
        if on_epoch is not None:
            on_epoch(seed, record)

    return report


def train_seed(
    spec: RunSpec,
    seed: int,
    dataset: GraphDataset,
    on_epoch: EpochCallback | None = None,
    ranks: Ranks = ALONE,
) -> SeedResult:
    """Train one seed of a run on a data set with distances, from its checkpoint where the run resumes."""
    folder = spec.seed_folder(seed)
    trainer = Trainer(dataset, spec.config, seed, folder, spec.device, ranks)
    sizes = ", ".join(f"{len(items):,} {part}" for part, items in trainer.split.items())
    _logger.debug("seed %d: %s parameters on %s; %s", seed, f"{trainer.parameters:,}", spec.device, sizes)
    if spec.resume:
        load_checkpoint(trainer)
        if trainer.records:
            _logger.debug("seed %d resumes after epoch %d", seed, len(trainer.records))
    if not ranks.is_first:
        return trainer.run()
    with contextlib.closing(EventWriter(folder, trainer.records)) as events:

        def report(seed: int, record: dict[str, Any]) -> None:
            events.write(record)
            if on_epoch is not None:
                on_epoch(seed, record)

        return trainer.run(report)


def train_seeds_in_processes(
    spec: RunSpec, jobs: int, on_epoch: EpochCallback | None = None
) -> list[SeedResult]:
    """Train the seeds of a run in processes; the results are in their order, and the first error ends all."""
    results: dict[int, SeedResult] = {}

    def on_report(task: tuple[RunSpec, int], record: dict[str, Any]) -> bool:
        if on_epoch is not None:
            on_epoch(task[1], record)
        return True

    def on_result(task: tuple[RunSpec, int], result: SeedResult) -> None:
        results[task[1]] = result

    workers = Workers(_train_in_process, jobs, threads=spec.threads)
    workers.run(((spec, seed) for seed in spec.seeds), on_report, on_result)
    return [results[seed] for seed in spec.seeds]


def _train_in_process(task: tuple[RunSpec, int], report: Report) -> SeedResult:
    # The parent has given all messages about the data.
    _logger.setLevel(logging.ERROR)
    spec, seed = task
    return train_seed(spec, seed, open_once(spec), lambda _, record: report(record))


def _summary(
    spec: RunSpec, dataset: GraphDataset, results: Sequence[SeedResult], seconds: float
) -> dict[str, Any]:
    objective = objective_of(dataset.task, spec.config)
    baseline = {}
    if dataset.task == "regression":
        baseline["predicting_the_mean"] = constant_prediction_error(spec, dataset)
    return {
        "dataset": dataset.name,
        **objective.summary([result.test for result in results], [result.also for result in results]),
        **baseline,
        "val_mean": statistics.fmean(result.val for result in results),
        "runs": [dataclasses.asdict(result) for result in results],
        "seconds": round(seconds, 3),
        "version": __version__,
        "torch": torch.__version__,
    }


def constant_prediction_error(spec: RunSpec, dataset: GraphDataset) -> float:
    """Return the error of predicting the mean of the training targets, averaged over the seeds' splits.

    A baseline of regressions: the mean absolute error, whatever metric is reported.
    """
    errors = []
    for seed in spec.seeds:
        split = split_of(dataset, spec.config, seed)
        guess = labels_of(dataset, split["train"]).double().nanmean(0)
        errors.append((labels_of(dataset, split["test"]).double() - guess).abs().nanmean().item())
    return statistics.fmean(errors)
