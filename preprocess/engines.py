"""Who computes the parts: this thread, threads, processes, or the workers of a Dask or Ray cluster."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, Protocol, TypeVar

from gradformer_dgl.support.errors import ConfigError, GradformerError

BACKENDS = ("threading", "loky", "dask", "ray")
# Workers that die one after the other, with nothing finished between, are killed by what they are given.
MOST_DEATHS = 3
SECONDS_TO_CONNECT = 30


class _Numbered(Protocol):
    @property
    def number(self) -> int: ...


_Task = TypeVar("_Task", bound=_Numbered)
_Result = TypeVar("_Result", bound=_Numbered)


class Engine:
    """Apply a function to tasks, at most a few of which are held at a time.

    Parameters
    ----------
    n_jobs : int
        Workers, as in joblib: -1 for one per core, or for all of a cluster.
    backend : str
        ``"threading"``, ``"loky"`` (processes), ``"dask"`` or ``"ray"``.
    scheduler : str, optional
        Address of the Dask scheduler or the Ray cluster; without it one is started on this machine.

    Raises
    ------
    ConfigError
        Where there is no such backend, or its package is not installed.
    """

    def __init__(self, n_jobs: int, backend: str = "threading", scheduler: str | None = None) -> None:
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
            raise ConfigError(f"n_jobs must be a number of workers, or -1 for one per core, got {n_jobs!r}")
        if backend not in BACKENDS:
            raise ConfigError(f"no backend {backend!r}: there are {', '.join(BACKENDS)}")
        if scheduler is not None and backend not in ("dask", "ray"):
            raise ConfigError(f"a scheduler goes with the backend dask or ray, not with {backend}")
        self.n_jobs, self.backend, self.scheduler = n_jobs, backend, scheduler

    @property
    def workers(self) -> int:
        """Parts that are computed at a time, as far as that is known here."""
        import joblib

        return int(joblib.effective_n_jobs(self.n_jobs))

    @property
    def shares_memory(self) -> bool:
        """Whether results come back without being copied to another process."""
        return self.backend == "threading"

    def run(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
        """Yield the results in the order in which they are finished.

        Tasks are drawn when there is room for them. Where a worker process dies, the tasks that it may have
        held are given to new ones.

        Raises
        ------
        GradformerError
            What the function or the tasks raise, or where workers keep dying.
        """
        if self.backend == "threading" and self.n_jobs == 1:
            yield from map(function, tasks)
            return
        if self.backend == "threading":
            yield from _in_threads(function, tasks, self.n_jobs)
            return
        rest = iter(tasks)
        held: dict[int, _Task] = {}
        deaths = 0
        with _configured(self.backend, self.n_jobs, self.scheduler) as pool:
            while True:
                drawn = _Drawn(itertools.chain(list(held.values()), rest), held)
                try:
                    for result in pool(_delayed(function, task) for task in drawn):
                        held.pop(result.number, None)
                        deaths = 0
                        yield result
                except _worker_deaths() as error:
                    deaths += 1
                    if deaths > MOST_DEATHS:
                        raise GradformerError(
                            f"worker processes died {deaths} times in a row, perhaps for want of memory: "
                            "take fewer with n_jobs (--jobs)"
                        ) from error
                    continue
                if drawn.error is not None:
                    raise drawn.error
                return


def _in_threads(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], n_jobs: int
) -> Iterator[_Result]:
    """Results as threads finish them, at once: joblib looks for some every 10 milliseconds."""
    from joblib import effective_n_jobs, parallel_config

    with parallel_config(backend="threading"):
        workers = effective_n_jobs(n_jobs)
    rest = iter(tasks)
    with ThreadPoolExecutor(workers) as pool:
        try:
            running = {pool.submit(function, task) for task in itertools.islice(rest, 2 * workers)}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, task) for task in itertools.islice(rest, len(finished))}
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Drawn:
    """Tasks on their way to the workers; an error in making them is kept, for it would be lost in there."""

    def __init__(self, tasks: Iterable[Any], held: dict[int, Any]) -> None:
        self._tasks, self._held = tasks, held
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            for task in self._tasks:
                self._held[task.number] = task
                yield task
        except Exception as error:
            self.error = error


def _delayed(function: Callable[[_Task], _Result], task: _Task) -> Any:
    from joblib import delayed

    return delayed(function)(task)


@contextlib.contextmanager
def _configured(backend: str, n_jobs: int, scheduler: str | None) -> Iterator[Any]:
    """A joblib pool that yields results as they come."""
    from joblib import Parallel, effective_n_jobs, parallel_config

    with contextlib.ExitStack() as stack:
        if backend == "dask":
            stack.enter_context(_dask_client(scheduler))
        elif backend == "ray":
            _ray_cluster(scheduler)
        stack.enter_context(parallel_config(backend=backend, n_jobs=n_jobs))
        # Arrays travel with their task: mapping them from files would leave those behind after a kill.
        if backend == "ray":
            # Ray's backend gives back whole lists only.
            pool = stack.enter_context(Parallel(batch_size=1, max_nbytes=None))
            yield functools.partial(_by_windows, pool, 4 * effective_n_jobs(n_jobs))
        else:
            yield Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=None)


def _by_windows(pool: Any, size: int, calls: Iterable[Any]) -> Iterator[Any]:
    """Results of so many calls at a time."""
    rest = iter(calls)
    while window := list(itertools.islice(rest, size)):
        yield from pool(window)


def _dask_client(scheduler: str | None) -> Any:
    try:
        from dask.distributed import Client
    except ImportError:
        raise ConfigError(
            "the backend dask needs dask.distributed: pip install gradformer-dgl[dask]"
        ) from None
    try:
        return Client(scheduler, set_as_default=True, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {scheduler}: start one with `dask scheduler` ({error})"
        ) from None


def _ray_cluster(address: str | None) -> None:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise ConfigError("the backend ray needs Ray: pip install gradformer-dgl[ray]") from None
    try:
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"no Ray cluster answers at {address}: {error}") from None
    register_ray()


def _worker_deaths() -> tuple[type[Exception], ...]:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return (BrokenProcessPool,)
