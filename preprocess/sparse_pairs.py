"""Sparse pair distances: the pairs of nodes within a cut-off, as the sparse layout of a cache holds them."""

import threading
import weakref
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64, Shaped, UInt64

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.shortest_paths import NO_LIMIT, checked_rows, overflow

# Pairs of a node that there is room for at first.
FIRST_GUESS = 8

SparsePairDistances = tuple[
    Int32[np.ndarray, "nodes"],
    Int32[np.ndarray, "sparse_pairs"],
    Shaped[np.ndarray, "sparse_pairs"],
    UInt64[np.ndarray, "graphs"],
    Int64[np.ndarray, "distances"],
]


def packed_sparse_pairs(
    structures: GraphStructures,
    dtype: Any,
    directed: bool = False,
    max_distance: int | None = None,
    first_graph: int = 0,
    rows: tuple[int, int] | None = None,
) -> SparsePairDistances:
    """Find the nodes within reach of every node of many graphs and their distances, without Python per graph.

    Returned are the number of nodes within reach of each node, itself included, shape ``(nodes,)``, their ids
    within the graph, ascending for each node, and their distances in hops, both ``(sparse_pairs,)``, and
    fingerprints and histogram as of `packed_distances`, which explains the arguments. Blocks of ``rows`` of
    one `GraphStructures` object share the work of preparing its graph.
    """
    from gradformer_dgl.preprocess.sparse_pairs_kernels import sparse_pairs, sparse_rows

    dtype = np.dtype(dtype)
    limit = NO_LIMIT if max_distance is None else max_distance
    histogram = np.zeros(1 << (8 * dtype.itemsize), np.int64)
    if rows is None:
        start, stop = 0, int(structures.node_counts.sum())
    else:
        start, stop = checked_rows(structures, rows)
    counts = np.empty(stop - start, np.int32)
    nodes, distances = (np.empty(FIRST_GUESS * len(counts), kind) for kind in (np.dtype(np.int32), dtype))
    if rows is None:
        prints = np.empty(len(structures), np.uint64)
        nodes, distances, filled, failed = sparse_pairs(
            *structures.arrays, directed, limit, counts, nodes, distances, prints, histogram
        )
    else:
        offsets, heads, fingerprint = _LAST_GRAPH.heads_by_tail(structures, directed)
        prints = np.array([fingerprint], np.uint64)
        graph = (len(offsets) - 1, offsets, heads)
        nodes, distances, filled = sparse_rows(
            *graph, limit, start, stop, counts, nodes, distances, 0, histogram
        )
        failed = 0 if filled < 0 else -1
    if failed >= 0:
        raise overflow(first_graph + failed, dtype)
    longest = int(np.flatnonzero(histogram)[-1]) if histogram.any() else 0
    return counts, nodes[:filled], distances[:filled], prints, histogram[: longest + 1]


class _LastGraph:
    """The edges by tail of the graph that was asked for last, for as long as its structures live."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: weakref.ref[GraphStructures] | None = None
        self._directed = False
        self._edges: tuple[np.ndarray, np.ndarray, int] | None = None

    def heads_by_tail(
        self, structures: GraphStructures, directed: bool
    ) -> tuple[np.ndarray, np.ndarray, int]:
        from gradformer_dgl.preprocess.sparse_pairs_kernels import heads_by_tail

        with self._lock:
            owner = None if self._owner is None else self._owner()
            edges = self._edges
            if owner is not structures or self._directed != directed or edges is None:
                self._owner = self._edges = None
                edges = heads_by_tail(*structures.arrays, directed)
                self._owner = weakref.ref(structures, self._forget)
                self._directed, self._edges = directed, edges
            return edges

    def _forget(self, owner: weakref.ref[GraphStructures]) -> None:
        if owner is self._owner:
            self._edges = None


_LAST_GRAPH = _LastGraph()
