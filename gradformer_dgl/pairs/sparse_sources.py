"""Rows of sparse pairs: searched in graphs, or taken over from a cache."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt8

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.pairs.sparse_checks import MOST_HOPS, checked_cutoff
from gradformer_dgl.support.errors import GraphError

if TYPE_CHECKING:
    from gradformer_dgl.cache.neighborhood import Neighborhood


class SparseRows(NamedTuple):
    """The arrays of :class:`~gradformer_dgl.SparsePairDistances`, and its cut-off."""

    indptr: Int64[np.ndarray, "nodes_and_one"]
    indices: Int32[np.ndarray, " pairs"]
    distances: UInt8[np.ndarray, " pairs"]
    node_counts: Int64[np.ndarray, " graphs"]
    max_distance: int


def search_rows(graph: Any, max_distance: int, directed: bool, node_bytes: float) -> SparseRows:
    """Search the pairs within a cut-off; see :meth:`SparsePairDistances.from_graph` for the parameters."""
    from gradformer_dgl.pairs.sparse_memory import require_memory
    from gradformer_dgl.preprocess.sparse_pairs import packed_sparse_pairs

    max_distance = checked_cutoff(max_distance, least=1)
    structures = _structures(graph)
    require_memory(structures, max_distance, directed, node_bytes=node_bytes)
    counts, nodes, distances, _, _ = packed_sparse_pairs(structures, np.uint8, directed, max_distance)
    return SparseRows(_indptr(counts), nodes, distances, structures.node_counts, max_distance)


def rows_of(neighborhoods: Iterable["Neighborhood"], max_distance: int | None) -> SparseRows:
    """Concatenate the rows of whole graphs, without pairs beyond the cut-off.

    See :meth:`SparsePairDistances.from_neighborhoods` for the parameters.
    """
    found = list(neighborhoods)
    for graph, part in enumerate(found):
        if len(part.indptr) != part.num_nodes + 1:
            raise GraphError(
                f"neighborhood {graph} has {len(part.indptr) - 1} of {part.num_nodes} rows: all are needed"
            )
    distances = np.concatenate([np.empty(0, np.uint8), *(part.distances for part in found)])
    indices = np.concatenate([np.empty(0, np.int32), *(part.indices for part in found)])
    counts = np.concatenate([np.empty(0, np.int64), *(np.diff(part.indptr) for part in found)])
    longest = int(distances.max(initial=0))
    limit = max(longest, min(longest + 1, MOST_HOPS))
    if max_distance is not None:
        limit = checked_cutoff(max_distance)
    if limit < longest:
        stays = distances <= limit
        owner = np.repeat(np.arange(len(counts)), counts)
        counts = np.bincount(owner[stays], minlength=len(counts)).astype(np.int64)
        indices, distances, longest = indices[stays], distances[stays], limit
    if longest > MOST_HOPS:
        raise GraphError(
            f"a distance is {longest}, but sparse pairs are at most {MOST_HOPS} hops apart: give max_distance"
        )
    node_counts = np.array([part.num_nodes for part in found], np.int64)
    distances = distances.astype(np.uint8, copy=False)
    return SparseRows(_indptr(counts), indices, distances, node_counts, checked_cutoff(limit))


def _indptr(counts: Integer[np.ndarray, " nodes"]) -> Int64[np.ndarray, "nodes_and_one"]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _structures(graph: Any) -> GraphStructures:
    if isinstance(graph, GraphStructures):
        return graph
    if isinstance(graph, list | tuple) and not (len(graph) == 3 and isinstance(graph[2], int | np.integer)):
        raise GraphError(
            "sparse pairs are those of one graph, or of a batch: join several with dgl.batch, or take "
            "GraphStructures.from_graphs"
        )
    if not callable(getattr(graph, "batch_num_nodes", None)):
        return GraphStructures.from_graphs([graph])
    node_counts, edge_counts = (
        part.cpu().long().numpy() for part in (graph.batch_num_nodes(), graph.batch_num_edges())
    )
    first = np.repeat(np.cumsum(node_counts) - node_counts, edge_counts)
    src, dst = (ends.cpu().long().numpy() - first for ends in graph.edges())
    return GraphStructures(node_counts, edge_counts, src, dst)
