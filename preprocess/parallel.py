"""Parallel computation with joblib: threads, processes, or the workers of a Dask or Ray cluster."""

import contextlib
import itertools
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
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
    """Parallel application of a function to tasks, at most a few of which are held at a time."""

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
        """True where results come back without being copied to another process."""
        return self.backend == "threading"

    def run(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Generator[_Result]:
        """Yield the results in the order in which they are finished.

        Tasks are drawn when there is room for them, from a thread of joblib's too. Where a worker process
        dies, the tasks that it may have held are given to new ones. A caller that stops early closes the
        generator: then nothing runs any more.
        """
        from joblib import delayed
        from joblib.externals.loky.process_executor import BrokenProcessPool

        rest = iter(tasks)
        held: dict[int, _Task] = {}
        deaths = 0
        with contextlib.ExitStack() as stack:
            call = stack.enter_context(_Finishing(function)) if self.shares_memory else function
            pool = self._pool(stack)
            while True:
                drawn = _Drawn(itertools.chain(list(held.values()), rest), held)
                try:
                    with _closed(pool(delayed(call)(task) for task in drawn)) as results:
                        for result in results:
                            held.pop(result.number, None)
                            deaths = 0
                            yield result
                except BrokenProcessPool as error:
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

    def _pool(self, stack: contextlib.ExitStack) -> Callable[[Iterable[Any]], Generator[Any]]:
        """Return what runs calls with joblib and yields their results as they are finished.

        joblib looks for results every 10 milliseconds: with more than one worker, a call takes about as much
        longer, however many tasks it has.
        """
        from joblib import Parallel, effective_n_jobs, parallel_config

        if self.backend == "dask":
            stack.enter_context(_dask_client(self.scheduler))
        elif self.backend == "ray":
            _join_ray_cluster(self.scheduler)
        # Arrays travel with their task: mapping them from files would leave those behind after a kill.
        options: dict[str, Any] = {"batch_size": 1, "max_nbytes": None}
        with parallel_config(backend=self.backend, n_jobs=self.n_jobs):
            if self.backend != "ray":
                return Parallel(return_as="generator_unordered", **options)
            # Ray's backend gives back whole lists only.
            lists, size = stack.enter_context(Parallel(**options)), 4 * effective_n_jobs(self.n_jobs)

        def by_windows(calls: Iterable[Any]) -> Generator[Any]:
            rest = iter(calls)
            while window := list(itertools.islice(rest, size)):
                yield from lists(window)

        return by_windows


class _Drawn:
    """Tasks on their way to the workers; an error in making them is kept, for it would be lost in there."""

    def __init__(self, tasks: Iterable[Any], held: dict[int, Any]) -> None:
        self._tasks, self._held = tasks, held
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            for task in self._tasks:
                self._held[task.number] = task
                yield task
        except (Exception, KeyboardInterrupt) as error:
            self.error = error


class _Finishing:
    """A function called by threads, and a context manager that is left when no thread is in it any more.

    joblib does not wait for its threads where it stops early. They would go on writing to a folder in which
    the next run may be at work already.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function, self._inside, self._changed = function, 0, threading.Condition()

    def __call__(self, task: Any) -> Any:
        self._count(1)
        try:
            return self._function(task)
        finally:
            self._count(-1)

    def _count(self, step: int) -> None:
        with self._changed:
            self._inside += step
            self._changed.notify_all()

    def __enter__(self) -> "_Finishing":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._inside)


@contextlib.contextmanager
def _closed(results: Generator[Any]) -> Iterator[Generator[Any]]:
    """Close a generator of results in the end, without joblib's warnings of tasks that are not done."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.close()


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


def _join_ray_cluster(address: str | None) -> None:
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
