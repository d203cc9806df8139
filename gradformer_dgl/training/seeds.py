"""Training the seeds of a run, one after the other or side by side in processes."""

import functools
import logging
from typing import Any

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.training.distributed import ALONE, Ranks
from gradformer_dgl.training.loop import EpochCallback, SeedResult, Trainer
from gradformer_dgl.training.resume import load_checkpoint
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.tensorboard import EventWriter
from gradformer_dgl.training.workers import Report, Workers

_logger = logging.getLogger("gradformer_dgl")


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
    with EventWriter(folder, trainer.records) as events:

        def report(seed: int, record: dict[str, Any]) -> None:
            events.write(record)
            if on_epoch is not None:
                on_epoch(seed, record)

        return trainer.run(report)


def train_seeds_in_processes(
    spec: RunSpec, jobs: int, on_epoch: EpochCallback | None = None
) -> list[SeedResult]:
    """Train all seeds of a run, a number of them at a time, each in a process.

    Parameters
    ----------
    spec : RunSpec
        The run.
    jobs : int
        Processes.
    on_epoch : callable, optional
        Called in this process with seed and record after every epoch.

    Returns
    -------
    list of SeedResult
        In the order of the seeds.

    Raises
    ------
    GradformerError
        The first error of a seed; the other processes are ended.
    """
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
    return train_seed(spec, seed, _open_once(spec), lambda _, record: report(record))


@functools.lru_cache(maxsize=1)
def _open_once(spec: RunSpec) -> GraphDataset:
    # A process trains several seeds of one run; it reads the data once.
    return spec.open_dataset()
