"""The preprocess stage: many graphs in, one finished cache file out."""

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.chunks import ENCODER
from gradformer_dgl.cache.format import TYPE, VERSION
from gradformer_dgl.cache.lock import exclusive
from gradformer_dgl.cache.reader import ForeignFileError
from gradformer_dgl.cache.writer import CacheWriter, cache_layouts, data_fingerprint, reason_of
from gradformer_dgl.errors import CacheError, ConfigError, GraphError
from gradformer_dgl.preprocess.encodings import NodeEncoding, parse_encodings
from gradformer_dgl.preprocess.parts import Part, PartStore, Task, compute_part
from gradformer_dgl.preprocess.shortest_paths import (
    DistanceOverflowError,
    checked_max_distance,
    structure_fingerprints,
)
from gradformer_dgl.preprocess.structures import GraphStructures, as_structures

logger = logging.getLogger("gradformer_dgl")

# Bytes of results of one part: some milliseconds of work, and what a worker holds in memory at a time.
PART_BYTES = 1 << 22
# Up to this many parts are not worth keeping on disk: computing them again is a matter of a second.
MOST_PARTS_IN_MEMORY = 8

Report = Callable[[int], None]


def preprocess_graphs(
    graphs: Any,
    path: str | os.PathLike[str],
    *,
    n_jobs: int = -1,
    encodings: Iterable[str] = (),
    directed: bool = False,
    max_distance: int | None = None,
    resume: bool = True,
    progress: bool = False,
) -> DistanceCache:
    """Compute distances and node encodings of many graphs into one cache file.

    A call with the same graphs and options as the file's does nothing. A run that was interrupted continues
    where it ended. The file at ``path`` changes only when the new one is whole.

    Parameters
    ----------
    graphs : GraphStructures, object with a ``structures()`` method, DGL data set, or iterable of graphs
        The graphs; see `GraphStructures.from_graphs` for the kinds of graphs.
    path : path-like
        The file to write.
    n_jobs : int
        Threads, as in joblib: -1 for one per core.
    encodings : iterable of str
        Node encodings: ``"rwse:k"`` (random-walk return probabilities), ``"lappe:k"`` (Laplacian
        eigenvectors).
    directed : bool
        Follow edges from source to destination only.
    max_distance : int, optional
        Pairs farther apart count as unreachable.
    resume : bool
        Use what is there already: a current file, or finished parts of an interrupted run.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    DistanceCache
        The finished cache, open.

    Raises
    ------
    GraphError
        Where there are no graphs, or one is not valid or too large.
    ConfigError
        Where an option makes no sense.
    CacheError
        Where the file cannot be written, another process is writing it, or something else has its name.

    Examples
    --------
    >>> import tempfile
    >>> from gradformer_dgl.preprocess import preprocess_graphs
    >>> folder = tempfile.TemporaryDirectory()
    >>> cache = preprocess_graphs([([0, 1], [1, 2], 3), ([], [], 1)], folder.name + "/two.h5", n_jobs=1)
    >>> cache.node_counts
    array([3, 1])
    >>> folder.cleanup()
    """
    wanted = parse_encodings(encodings)
    max_distance = checked_max_distance(max_distance)
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise ConfigError(f"n_jobs must be a number of threads, or -1 for one per core, got {n_jobs!r}")
    path = Path(path)
    structures = as_structures(graphs)
    if not len(structures):
        raise GraphError("no graphs to preprocess: the data set is empty")
    _check_sizes(structures)
    cache = _current(structures, path, wanted, directed, max_distance)
    if resume and cache is not None:
        logger.info("%s is current (%d graphs)", path, len(cache))
        return cache
    with exclusive(path):
        run = _Run(structures, path, wanted, directed, max_distance, n_jobs, resume)
        with contextlib.ExitStack() as stack:
            report = stack.enter_context(_progress_bar(structures.num_pairs)) if progress else None
            run.into_file(report)
    return DistanceCache(path)


class _Run:
    """One pass over the graphs with one set of options."""

    def __init__(
        self,
        structures: GraphStructures,
        path: Path,
        encodings: tuple[NodeEncoding, ...],
        directed: bool,
        max_distance: int | None,
        n_jobs: int,
        resume: bool,
    ) -> None:
        self.structures = structures
        self.path = path
        self.parts_folder = path.with_name(path.name + ".parts")
        self.encodings = encodings
        self.directed = directed
        self.max_distance = max_distance
        self.n_jobs = n_jobs
        self.resume = resume
        self.bounds = _bounds(structures, encodings)

    def into_file(self, report: Report | None) -> None:
        in_memory = len(self.bounds) - 1 <= MOST_PARTS_IN_MEMORY
        key = "" if in_memory else self._key()
        attempts: list[np.dtype] = [np.dtype(np.uint8), np.dtype(np.uint16)]
        found = PartStore.plan_in(self.parts_folder) or {}
        if not in_memory and (found.get("key"), found.get("dtype")) == (key, "uint16"):
            # An interrupted run has found out already.
            attempts = attempts[1:]
        for attempt in attempts:
            try:
                self._write(attempt, None if in_memory else self._store(key, attempt), report)
            except DistanceOverflowError:
                if attempt == np.uint16:
                    raise
                logger.info("a distance exceeds 254 hops: starting again with 16 bits per pair")
            else:
                PartStore.remove(self.parts_folder)
                return

    def _key(self) -> str:
        prints = structure_fingerprints(self.structures, self.directed)
        options = (
            VERSION,
            ENCODER,
            PART_BYTES,
            [encoding.name for encoding in self.encodings],
            self.directed,
            self.max_distance,
        )
        text = f"{data_fingerprint(prints)} {options}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _store(self, key: str, dtype: np.dtype) -> PartStore:
        plan = {"type": TYPE, "key": key, "dtype": dtype.name, "parts": len(self.bounds) - 1}
        try:
            return PartStore(self.parts_folder, plan, self.resume)
        except OSError as error:
            raise CacheError(f"cannot write {self.parts_folder}: {reason_of(error)}") from error

    def _write(self, dtype: np.dtype, store: PartStore | None, report: Report | None) -> None:
        tasks = self._tasks(dtype)
        finished = self._finish_parts(tasks, store, report)
        prints: list[np.ndarray] = []
        histogram = np.zeros(1 << (8 * dtype.itemsize), np.int64)
        columns = {encoding.name: encoding.columns for encoding in self.encodings}
        with CacheWriter(
            self.path, self.structures.node_counts, dtype, columns, self.directed, self.max_distance
        ) as writer:
            for part in finished:
                for name, rows in part.rows.items():
                    writer.append(name, rows)
                prints.append(part.fingerprints)
                histogram[: len(part.histogram)] += part.histogram
            longest = int(np.flatnonzero(histogram)[-1]) if histogram.any() else 0
            writer.finish(np.concatenate(prints), histogram[: longest + 1])

    def _tasks(self, dtype: np.dtype) -> "_Tasks":
        return _Tasks(self, dtype)

    def _finish_parts(
        self, tasks: "_Tasks", store: PartStore | None, report: Report | None
    ) -> Iterator[Part]:
        """Parts in order: straight from the threads, or from disk when all are there."""
        if store is None:
            for number, part in enumerate(
                self._parallel(compute_part, (tasks[i] for i in range(len(tasks))))
            ):
                if report is not None:
                    report(tasks.pairs(number))
                yield part
            return
        missing = []
        for number in range(len(tasks)):
            if number not in store:
                missing.append(number)
            elif report is not None:
                report(tasks.pairs(number))
        if 0 < len(missing) < len(tasks):
            logger.info("continuing with %d of %d parts finished", len(tasks) - len(missing), len(tasks))
        keep = _KeepPart(store)
        for number in self._parallel(keep, (tasks[i] for i in missing)):
            if report is not None:
                report(tasks.pairs(number))
        for number in range(len(tasks)):
            part = store.load(number)
            yield compute_part(tasks[number]) if part is None else part

    def _parallel(self, function: Callable[[Task], Any], tasks: Iterable[Task]) -> Iterator[Any]:
        if self.n_jobs == 1:
            yield from map(function, tasks)
            return
        from joblib import Parallel, delayed

        pool = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator", batch_size=1)
        results = pool(delayed(function)(task) for task in tasks)
        with contextlib.closing(results):
            yield from results


class _KeepPart:
    """Compute a part and keep it on disk; only its number goes back to the caller."""

    def __init__(self, store: PartStore) -> None:
        self.store = store

    def __call__(self, task: Task) -> int:
        part = compute_part(task)
        try:
            self.store.save(task.number, part)
        except OSError as error:
            raise CacheError(f"cannot write {self.store.folder}: {reason_of(error)}") from error
        return task.number


class _Tasks:
    """The tasks of a run, made when they are asked for."""

    def __init__(self, run: _Run, dtype: np.dtype) -> None:
        self._run = run
        counts = run.structures.node_counts
        self._nodes = np.concatenate([[0], np.cumsum(counts)])
        self._pairs = np.concatenate([[0], np.cumsum(np.square(counts))])
        columns = {encoding.name: encoding.columns for encoding in run.encodings}
        self._layouts = cache_layouts(int(self._pairs[-1]), int(self._nodes[-1]), dtype, columns)

    def __len__(self) -> int:
        return len(self._run.bounds) - 1

    def pairs(self, number: int) -> int:
        start, stop = self._run.bounds[number : number + 2]
        return int(self._pairs[stop] - self._pairs[start])

    def __getitem__(self, number: int) -> Task:
        run = self._run
        start, stop = run.bounds[number : number + 2]
        return Task(
            number=number,
            structures=run.structures.slice(start, stop),
            first_graph=start,
            first_node=int(self._nodes[start]),
            first_pair=int(self._pairs[start]),
            layouts=self._layouts,
            encodings=run.encodings,
            directed=run.directed,
            max_distance=run.max_distance,
        )


def _bounds(structures: GraphStructures, encodings: tuple[NodeEncoding, ...]) -> list[int]:
    """Cut the graphs into ranges whose results are of like size."""
    columns = sum(encoding.columns for encoding in encodings)
    counts = structures.node_counts
    # The last term keeps graphs without nodes, and edges without bounds, from making a part endless.
    cost = np.cumsum(np.square(counts) + 4 * columns * counts + structures.edge_counts + 1)
    bounds = [0]
    while bounds[-1] < len(counts):
        before = int(cost[bounds[-1] - 1]) if bounds[-1] else 0
        stop = int(np.searchsorted(cost, before + PART_BYTES, side="right"))
        bounds.append(max(stop, bounds[-1] + 1))
    return bounds


def _check_sizes(structures: GraphStructures) -> None:
    graph = int(structures.node_counts.argmax())
    num_nodes = int(structures.node_counts[graph])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_nodes**2 > memory:
        raise GraphError(
            f"graph {graph} has {num_nodes:,} nodes: the distances of all its pairs take "
            f"{num_nodes**2 / 2**30:,.0f} GiB, this machine has {memory / 2**30:,.0f} GiB of memory; "
            "cut it into smaller graphs"
        )


def _current(
    structures: GraphStructures,
    path: Path,
    encodings: tuple[NodeEncoding, ...],
    directed: bool,
    max_distance: int | None,
) -> DistanceCache | None:
    """The cache at ``path`` where it holds just these graphs with these options."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return None
    try:
        cache = DistanceCache(path)
    except ForeignFileError:
        raise
    except CacheError:
        logger.warning("%s is broken and will be replaced", path)
        return None
    if (
        (cache.directed, cache.max_distance) != (directed, max_distance)
        or not {encoding.name for encoding in encodings} <= set(cache.encodings)
        or not np.array_equal(cache.node_counts, structures.node_counts)
    ):
        return None
    try:
        cache.verify(structures)
    except CacheError:
        return None
    return cache


@contextlib.contextmanager
def _progress_bar(total: int) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("distances", total=max(total, 1))
        yield lambda pairs: bar.advance(task, pairs)
