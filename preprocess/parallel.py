"""Parallel computation with joblib: threads, processes, or the workers of a Dask or Ray cluster."""

import contextlib
import itertools
import queue
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
_Pool = Callable[[Iterable[Any]], Generator[Any]]


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
        from joblib.externals.loky.process_executor import BrokenProcessPool

        drawn, deaths = _Drawn(tasks), 0
        with contextlib.ExitStack() as stack:
            pool = self._pool(stack)
            results_of = _results_at_once if self.shares_memory and self.workers > 1 else _results
            while True:
                try:
                    with contextlib.closing(results_of(pool, function, drawn)) as results:
                        for result in results:
                            drawn.held.pop(result.number, None)
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

    def _pool(self, stack: contextlib.ExitStack) -> _Pool:
        """Return what runs calls with joblib and yields their results as they are finished."""
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
    """Tasks on their way to the workers; an error in making them is kept, for it would be lost in there.

    A task is held until its result is there: where workers died, those that are held are given again.
    """

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._rest = iter(tasks)
        self.held: dict[int, Any] = {}
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        yield from list(self.held.values())
        try:
            for task in self._rest:
                self.held[task.number] = task
                yield task
        except (Exception, KeyboardInterrupt) as error:
            self.error = error


def _results(pool: _Pool, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Generator[Any]:
    """Yield results when joblib looks for them: with several workers every 10 milliseconds."""
    from joblib import delayed

    with _closed(pool(delayed(function)(task) for task in tasks)) as results:
        yield from results


def _results_at_once(pool: _Pool, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Generator[Any]:
    """Yield results of threads as soon as they are there."""
    with _Calls(function) as calls, _closed(pool(calls.of(tasks))):
        yield from calls.results()


class _Calls:
    """Calls of a function by joblib's threads: their results, and an end after which no thread is in it.

    joblib does not wait for its threads where it stops early. They would go on writing to a folder in which
    the next run may be at work already.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._outcomes: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._inside, self._ended, self._changed = 0, False, threading.Condition()

    def of(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield the calls for joblib."""
        from joblib import delayed

        given = 0
        for task in tasks:
            given += 1
            yield delayed(self)(task)
        self._outcomes.put(("given", given))

    def __call__(self, task: Any) -> None:
        with self._changed:
            if self._ended:
                return
            self._inside += 1
        try:
            self._outcomes.put(("result", self._function(task)))
        except BaseException as error:
            self._outcomes.put(("error", error))
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def results(self) -> Iterator[Any]:
        """Yield the results, until there is one of each call."""
        given, results = -1, 0
        while results != given:
            kind, value = self._outcomes.get()
            if kind == "given":
                given = value
            elif kind == "error":
                raise value
            else:
                results += 1
                yield value

    def __enter__(self) -> "_Calls":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._ended = True
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
