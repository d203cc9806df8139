"""Training the seeds of a run, one after the other or side by side in processes."""

import functools
import logging
import multiprocessing
import queue
import signal
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any

from gradformer_dgl.data import GraphDataset
from gradformer_dgl.support.errors import GradformerError, RunError
from gradformer_dgl.support.parent_watchdog import end_with_parent
from gradformer_dgl.training.distributed import ALONE, Ranks
from gradformer_dgl.training.loop import EpochCallback, SeedResult, Trainer
from gradformer_dgl.training.resume import load_checkpoint
from gradformer_dgl.training.run_spec import RunSpec
from gradformer_dgl.training.tensorboard import EventWriter
from gradformer_dgl.training.threads import use_threads

_logger = logging.getLogger("gradformer_dgl")


def train_seed(
    request: RunSpec,
    seed: int,
    dataset: GraphDataset,
    on_epoch: EpochCallback | None = None,
    ranks: Ranks = ALONE,
) -> SeedResult:
    """Train one seed of a run on an open data set."""
    folder = request.seed_folder(seed)
    trainer = Trainer(dataset, request.config, seed, folder, request.device, ranks)
    sizes = ", ".join(f"{len(items):,} {part}" for part, items in trainer.split.items())
    _logger.debug("seed %d: %s parameters on %s; %s", seed, f"{trainer.parameters:,}", request.device, sizes)
    if request.resume:
        load_checkpoint(trainer)
        if trainer.records:
            _logger.debug("seed %d goes on after epoch %d", seed, len(trainer.records))
    if not ranks.is_first:
        return trainer.run()
    with EventWriter(folder, trainer.records) as events:

        def report(seed: int, record: dict[str, Any]) -> None:
            events.write(record)
            if on_epoch is not None:
                on_epoch(seed, record)

        return trainer.run(report)


def train_seeds_in_processes(
    request: RunSpec, jobs: int, on_epoch: EpochCallback | None = None
) -> list[SeedResult]:
    """Train all seeds of a run, a number of them at a time, each in a process of its own threads.

    Parameters
    ----------
    request : RunSpec
        What to train.
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
        The first that a seed ran into; the other processes are ended.
    """
    # Spawned, not forked: the OpenMP threads of torch and DGL do not survive a fork.
    context = multiprocessing.get_context("spawn")
    events = context.Queue()
    pool = ProcessPoolExecutor(jobs, context, _begin_process, (events, request.threads))
    try:
        futures = [pool.submit(_train_in_process, request, seed) for seed in request.seeds]
        while not all(future.done() for future in futures):
            _deliver(events, on_epoch, seconds=0.2)
            if any(future.done() and future.exception() for future in futures):
                break
        results = [_result_of(future) for future in as_completed(futures)]
        _deliver(events, on_epoch, seconds=0.2)
        return sorted(results, key=lambda result: request.seeds.index(result.seed))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown()


def _result_of(future: "Future[SeedResult]") -> SeedResult:
    try:
        return future.result()
    except GradformerError:
        raise
    except Exception as error:
        raise RunError(f"a training process ended early: {error or type(error).__name__}") from error


def _deliver(events: Any, on_epoch: EpochCallback | None, seconds: float) -> None:
    try:
        while True:
            seed, record = events.get(timeout=seconds)
            if on_epoch is not None:
                on_epoch(seed, record)
    except queue.Empty:
        return


_events: Any = None


def _begin_process(events: Any, threads: int) -> None:
    global _events
    _events = events
    end_with_parent()
    # An interruption is the caller's to answer: it ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_threads(threads)
    # What is to be said about the data, the caller has said.
    logging.getLogger("gradformer_dgl").setLevel(logging.ERROR)


def _train_in_process(request: RunSpec, seed: int) -> SeedResult:
    return train_seed(request, seed, _opened(request), lambda *event: _events.put(event))


@functools.lru_cache(maxsize=1)
def _opened(request: RunSpec) -> GraphDataset:
    # A process trains several seeds of one run; it reads the data once.
    return request.open_dataset()
