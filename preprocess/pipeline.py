"""Preprocessing: distances and node encodings of many graphs into one finished cache file."""

import contextlib
import dataclasses
import functools
import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.cache.chunks import ENCODER
from gradformer_dgl.cache.format import DENSE, LAYOUTS, SPARSE, TYPE, VERSION
from gradformer_dgl.cache.writer import CachePlan, CacheSizes, reason_of
from gradformer_dgl.graphs.structures import GraphStructures, structure_stream
from gradformer_dgl.preprocess import tasks as task_sizes
from gradformer_dgl.preprocess.encodings import NodeEncoding, parse_encodings
from gradformer_dgl.preprocess.estimate import tell_how_long
from gradformer_dgl.preprocess.extra_distances import parse_extra_distances
from gradformer_dgl.preprocess.merge import Merge
from gradformer_dgl.preprocess.parallel import Engine
from gradformer_dgl.preprocess.part_store import PartStore
from gradformer_dgl.preprocess.parts import Part, PartSummary, compute_part
from gradformer_dgl.preprocess.present_cache import PresentCache
from gradformer_dgl.preprocess.shortest_paths import checked_max_distance
from gradformer_dgl.preprocess.tasks import Task, cut_tasks
from gradformer_dgl.support.errors import CacheError, ConfigError, GraphError
from gradformer_dgl.support.lock import exclusive
from gradformer_dgl.support.progress import Progress

logger = logging.getLogger("gradformer_dgl")

# Up to this many parts are not worth keeping on disk: computing them again is a matter of a second.
MOST_PARTS_IN_MEMORY = 16

Report = Callable[[int], None]


def preprocess_graphs(
    graphs: Any,
    path: str | os.PathLike[str],
    *,
    n_jobs: int = -1,
    encodings: Iterable[str] = (),
    directed: bool = False,
    max_distance: int | None = None,
    layout: str = DENSE,
    extra_distances: Iterable[str] = (),
    edge_weight: str = "weight",
    backend: str = "threading",
    scheduler: str | None = None,
    resume: bool = True,
    progress: bool = False,
) -> DistanceCache:
    """Compute distances and node encodings of many graphs into one cache file.

    A call with the same graphs and options as the file's does nothing. A run that was interrupted continues
    where it ended. The file at ``path`` changes only when the new one is whole, and a new one of the same
    graphs has the encodings and extra distances of the old one too.

    Graphs are taken as they come: memory does not grow with their number, apart from 24 bytes for each in the
    cache that is returned.

    Parameters
    ----------
    graphs : GraphStructures, object with a ``structures()`` method, DGL data set, or iterable
        The graphs; see `GraphStructures.from_graphs` for the kinds of graphs. Items of an iterable may
        also be `GraphStructures` of many graphs each. An iterable that can be run over again is compared with
        a file that is there; an iterator cannot, and is computed anew.
    path : path-like
        The file to write.
    n_jobs : int
        Workers, as in joblib: -1 for one per core.
    encodings : iterable of str
        Node encodings: ``"rwse:k"`` (random-walk return probabilities), ``"lappe:k"`` (Laplacian
        eigenvectors), ``"degree"`` (in- and out-degree), and those of your own: ``"module:name:k"`` for the
        function ``name(structures, columns, directed)`` of a module, or a class whose instances are called
        so. It returns float32 of shape (nodes, k); with an attribute ``traits = {"columns": k}``,
        ``"module:name"`` is enough.
    directed : bool
        Follow edges from source to destination only.
    max_distance : int, optional
        Pairs farther apart count as unreachable.
    layout : str
        ``"dense"`` for the distances of all pairs, ``"sparse"`` for those within ``max_distance`` only.
    extra_distances : iterable of str
        Other distances to compute too, of the dense layout: ``"weighted"`` (shortest paths over edge
        weights), ``"resistance"``, and ``"module:name"`` for a function ``name(structures, directed,
        first_graph)`` of your own, which returns float32 of shape (pairs,).
    edge_weight : str
        Edge feature or attribute with the weights, for ``"weighted"``.
    backend : str
        ``"threading"``, ``"loky"`` (processes), ``"dask"`` or ``"ray"``. Workers on other machines write to
        the folder of ``path``, which they must share.
    scheduler : str, optional
        Address of a Dask scheduler or Ray cluster; without it one is started here.
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
    encodings = [encodings] if isinstance(encodings, str) else list(encodings)
    extra = [extra_distances] if isinstance(extra_distances, str) else list(extra_distances)
    options = layout, directed, checked_max_distance(max_distance)
    plan, wanted = _planned(encodings, extra, *options)
    engine = Engine(n_jobs, backend, scheduler)
    path = Path(path)
    if callable(getattr(graphs, "structures", None)):
        graphs = graphs.structures()

    def pieces(weighted: bool) -> Iterator[GraphStructures]:
        return structure_stream(graphs, edge_weight if weighted else None)

    present = PresentCache.find(path)
    if present is not None:
        again = None if hasattr(graphs, "__next__") else pieces
        if present.cache is not None and resume and again and present.will_do(plan, again):
            logger.info("%s is current (%d graphs)", path, len(present.cache))
            return present.cache
        more_encodings, more_extra = present.lacking(plan, again)
        plan, wanted = _planned(encodings + more_encodings, extra + more_extra, *options)
    with exclusive(path), contextlib.ExitStack() as stack:
        sizes = _known_sizes(graphs)
        bar = stack.enter_context(Progress("distances", progress, keep="done", anywhere=True))
        bar.plan(max(sizes.pairs, 1) if sizes else None)
        part_bytes = task_sizes.part_bytes_for(graphs, plan, wanted) if sizes else task_sizes.PART_BYTES
        # How many pairs a sparse file holds is known when they have been found.
        sizes = None if plan.layout == SPARSE else sizes
        run = _Run(path, plan, wanted, engine, resume, part_bytes)
        run.into_file(pieces(plan.weighted), bar.advance, sizes)
    return DistanceCache(path)


@dataclasses.dataclass(frozen=True)
class _Run:
    """One pass over the graphs with one set of options."""

    path: Path
    plan: CachePlan
    encodings: tuple[NodeEncoding, ...]
    engine: Engine
    resume: bool
    part_bytes: int

    def into_file(
        self, pieces: Iterable[GraphStructures], report: Report, sizes: CacheSizes | None = None
    ) -> None:
        """Compute what the pieces of the stream hold, and write the file."""
        tasks = cut_tasks(pieces, self.plan, self.encodings, self.part_bytes)
        first = list(itertools.islice(tasks, MOST_PARTS_IN_MEMORY + 1))
        if not first:
            raise GraphError("no graphs to preprocess: the data set is empty")
        if len(first) <= MOST_PARTS_IN_MEMORY and self.engine.shares_memory:
            self._in_memory(first, report, sizes)
        else:
            if sizes is not None:
                tell_how_long(str(self.path), first[0], sizes, self.engine.workers)
            self._on_disk(itertools.chain(first, tasks), report, sizes)

    def _in_memory(self, tasks: list[Task], report: Report, sizes: CacheSizes | None) -> None:
        parts: dict[int, Part] = {}
        with Merge(self.path, self.plan, lambda summary: parts[summary.number], sizes) as merge:
            with contextlib.closing(self.engine.run(compute_part, tasks)) as computed:
                for part in computed:
                    parts[part.number] = part
                    merge.add(part.summary)
                    merge.write()
                    report(part.summary.sizes.pairs)
            merge.finish()

    def _on_disk(self, tasks: Iterable[Task], report: Report, sizes: CacheSizes | None) -> None:
        store = self._store()
        if not self.engine.shares_memory:
            # Kernels are compiled here, once, and found on disk by the workers' processes.
            one_graph = GraphStructures([1], [0], [], [], [] if self.plan.weighted else None)
            compute_part(next(cut_tasks([one_graph], self.plan, self.encodings)))
        # What is merged at once need not be read again.
        at_hand: dict[int, Part] = {}

        def load(summary: PartSummary) -> Part:
            return at_hand.pop(summary.number, None) or _loaded(store, summary)

        def compute(task: Task) -> PartSummary:
            part = _kept(store, task)
            if sizes is not None and len(at_hand) < MOST_PARTS_IN_MEMORY:
                at_hand[part.number] = part
            return part.summary

        with Merge(self.path, self.plan, load, sizes) as merge:

            def missing() -> Iterator[Task]:
                for task in tasks:
                    summary = store.finished(task) if self.resume else None
                    if summary is None:
                        yield task
                        continue
                    if not merge.summaries:
                        logger.info("continuing from the parts of an interrupted run")
                    merge.add(summary)
                    report(summary.sizes.pairs)

            worker = compute if self.engine.shares_memory else functools.partial(_kept_summary, store)
            with contextlib.closing(self.engine.run(worker, missing())) as computed:
                for summary in computed:
                    merge.add(summary)
                    merge.write()
                    report(summary.sizes.pairs)
            merge.finish()
        store.remove()

    def _store(self) -> PartStore:
        plan = dataclasses.asdict(self.plan)
        del plan["dtype"]
        options = {
            "type": TYPE,
            "version": VERSION,
            "encoder": ENCODER,
            "sizes": [self.part_bytes, task_sizes.BLOCK_BYTES],
            **plan,
            "extra_distances": list(self.plan.extra_distances),
        }
        # Workers elsewhere must find the same folder.
        folder = self.path.absolute().with_name(self.path.name + ".parts")
        try:
            return PartStore(folder, options, self.resume)
        except OSError as error:
            raise CacheError(f"cannot write {folder}: {reason_of(error)}") from error


def _loaded(store: PartStore, summary: PartSummary) -> Part:
    part = store.load(summary.number)
    if part is None:
        raise CacheError(f"part {summary.number} in {store.folder} has been damaged: run it again")
    return part


def _kept_summary(store: PartStore, task: Task) -> PartSummary:
    """Compute a part and keep it on disk; only its summary goes back to the caller."""
    return _kept(store, task).summary


def _kept(store: PartStore, task: Task) -> Part:
    """Compute a part and keep it on disk."""
    part = compute_part(task)
    try:
        store.save(part)
    except OSError as error:
        raise CacheError(f"cannot write {store.folder}: {reason_of(error)}") from error
    return part


def _planned(
    encodings: list[str],
    extra_distances: list[str],
    layout: str,
    directed: bool,
    max_distance: int | None,
) -> tuple[CachePlan, tuple[NodeEncoding, ...]]:
    """Return what the file has to hold, and the encodings to compute for it."""
    wanted = parse_encodings(encodings)
    extra, weighted = parse_extra_distances(extra_distances, directed)
    columns = {encoding.name: encoding.columns for encoding in wanted}
    plan = CachePlan(np.dtype(np.uint8), layout, columns, extra, weighted, directed, max_distance)
    _check_layout(plan)
    return plan, wanted


def _check_layout(plan: CachePlan) -> None:
    if plan.layout not in LAYOUTS:
        raise ConfigError(f"no layout {plan.layout!r}: there are {' and '.join(LAYOUTS)}")
    if plan.layout == SPARSE and plan.max_distance is None:
        raise ConfigError("the sparse layout holds the pairs within max_distance: give it (--max-distance 3)")
    if plan.layout == SPARSE and plan.extra_distances:
        raise ConfigError("extra distances are of all pairs: they go with the dense layout only")


def _known_sizes(graphs: Any) -> CacheSizes | None:
    """Return how much there is to do, where that is known without converting the graphs."""
    if not isinstance(graphs, GraphStructures):
        return None
    return CacheSizes(len(graphs), int(graphs.node_counts.sum()), graphs.num_pairs)
