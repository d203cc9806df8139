"""Parts: the encoded rows of the cache that one task gives."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.chunks import EncodedRows, decode_chunk, encode_rows
from gradformer_dgl.cache.format import ArrayLayout
from gradformer_dgl.cache.writer import CachePlan, CacheSizes
from gradformer_dgl.graphs.fingerprints import structure_fingerprints, weight_fingerprints
from gradformer_dgl.preprocess.shortest_paths import DistanceOverflowError, packed_distances
from gradformer_dgl.preprocess.tasks import Task

# With so many numbers the identity of a part says where it lies; the fingerprints follow.
_PLACE_WORDS = 5
_SPARSE = (cache_format.NEAR_NODES, cache_format.NEAR_DISTANCES)


@dataclasses.dataclass(frozen=True)
class PartSummary:
    """Place, size and type of distances of a part: what merging needs to know of it beforehand."""

    number: int
    sizes: CacheSizes
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class Part:
    """Encoded rows of each array of the cache by its name, and the distance histogram, ``(distances,)``.

    Rows of sparse pairs begin at 0, for their place is known in the end only. The identity says what the part
    was computed from: where it lies, and the fingerprints of its graphs.
    """

    summary: PartSummary
    identity: np.ndarray
    rows: dict[str, EncodedRows]
    histogram: np.ndarray

    @property
    def number(self) -> int:
        """Place among the parts."""
        return self.summary.number

    @property
    def fingerprints(self) -> np.ndarray:
        """Fingerprints of the graphs that begin in this part."""
        return self.identity[_PLACE_WORDS:][: self.summary.sizes.graphs]


def compute_part(task: Task) -> Part:
    """Compute and encode all that the cache holds of a task's graphs, in the smallest type that fits."""
    try:
        return _computed(task, np.dtype(np.uint8))
    except DistanceOverflowError:
        return _computed(task, np.dtype(np.uint16))


def _computed(task: Task, dtype: np.dtype) -> Part:
    structures, plan, before = task.structures, task.plan, task.before
    layouts = dataclasses.replace(plan, dtype=dtype).layouts()
    rows: dict[str, EncodedRows] = {}

    def keep(name: str, start: int, values: np.ndarray) -> None:
        rows[name] = encode_rows(layouts[name], start, values)

    sizes = task.sizes
    arguments = (structures, dtype, plan.directed, plan.max_distance, before.graphs, task.rows)
    if plan.layout == cache_format.SPARSE:
        from gradformer_dgl.preprocess.sparse_pairs import packed_sparse_pairs

        counts, nodes, distances, prints, histogram = packed_sparse_pairs(*arguments)
        sizes = dataclasses.replace(sizes, sparse_pairs=len(nodes))
        keep(cache_format.NEAR_COUNTS, before.nodes, counts)
        keep(cache_format.NEAR_NODES, 0, nodes)
        keep(cache_format.NEAR_DISTANCES, 0, distances)
    else:
        distances, prints, histogram = packed_distances(*arguments)
        keep(cache_format.DISTANCES, before.pairs, distances)
    weight_prints = _weight_prints(task)
    if task.begins_graphs:
        keep(cache_format.NODE_COUNTS, before.graphs, structures.node_counts.astype(np.int32))
        keep(cache_format.FINGERPRINTS, before.graphs, prints)
        for encoding in task.encodings:
            values = encoding(structures, plan.directed)
            keep(cache_format.encoding_array(encoding.name), before.nodes, values)
        for name in plan.extra_distances:
            from gradformer_dgl.preprocess.extra_distances import extra_distances

            values = extra_distances(structures, name, plan.directed, before.graphs)
            keep(cache_format.extra_distances_array(name), before.pairs, values)
        if plan.weighted:
            keep(cache_format.WEIGHT_FINGERPRINTS, before.graphs, weight_prints)
    identity = _identity(task, prints, weight_prints)
    return Part(PartSummary(task.number, sizes, dtype), identity, rows, histogram)


def identity_of(task: Task) -> np.ndarray:
    """Return the identity of the part of a task without computing it, to tell whether one on disk is that."""
    prints = structure_fingerprints(task.structures, task.plan.directed)
    return _identity(task, prints, _weight_prints(task))


def _identity(task: Task, prints: np.ndarray, weight_prints: np.ndarray) -> np.ndarray:
    rows = (-1, -1) if task.rows is None else task.rows
    place = (task.before.graphs, task.before.nodes, task.before.pairs, *rows)
    return np.concatenate([np.array(place, np.int64).view(np.uint64), prints, weight_prints])


def _weight_prints(task: Task) -> np.ndarray:
    if not task.plan.weighted:
        return np.empty(0, np.uint64)
    return weight_fingerprints(task.structures, task.plan.directed)


def placed_rows(part: Part, plan: CachePlan, sparse_pairs_before: int) -> Iterator[tuple[str, EncodedRows]]:
    """Yield the rows of a part as they go into the file, by name of the array.

    The plan is that of the file, whose type of distances may be wider than the part's.
    """
    narrow = dataclasses.replace(plan, dtype=part.summary.dtype).layouts()
    for name, new in plan.layouts().items():
        if name not in part.rows:
            continue
        rows, old = part.rows[name], narrow[name]
        start = sparse_pairs_before if name in _SPARSE else rows.start
        if (rows.start, old.dtype) != (start, new.dtype):
            rows = encode_rows(new, start, _widened(_decoded(old, rows), new.dtype))
        yield name, rows


def _decoded(layout: ArrayLayout, rows: EncodedRows) -> np.ndarray:
    return np.concatenate([rows.head, *(decode_chunk(layout, chunk) for chunk in rows.chunks), rows.tail])


def _widened(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the same distances in a wider type, whose largest value marks an unreachable pair."""
    if values.dtype == dtype:
        return values
    widened = values.astype(dtype)
    widened[values == np.iinfo(values.dtype).max] = np.iinfo(dtype).max
    return widened
