"""Shortest-path distances of one graph, and of many."""

from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped, UInt64
from torch import Tensor

from gradformer_dgl.graphs.structures import MOST_NODES, GraphStructures
from gradformer_dgl.support.errors import ConfigError, GraphError

# Beyond any path: the cut-off of the kernels where there is none.
NO_LIMIT = 1 << 40


class DistanceOverflowError(GraphError):
    """A finite distance does not fit the type that was asked for."""


def checked_max_distance(max_distance: Any) -> int | None:
    """Return the cut-off as a Python integer, or raise `ConfigError`."""
    if max_distance is None:
        return None
    if isinstance(max_distance, bool) or not isinstance(max_distance, int | np.integer) or max_distance < 1:
        raise ConfigError(f"max_distance must be a positive number of hops or None, got {max_distance!r}")
    # No path has more hops than a graph may have nodes, and no more fits the attribute of the file.
    return min(int(max_distance), MOST_NODES)


def checked_rows(structures: GraphStructures, rows: tuple[int, int]) -> tuple[int, int]:
    """Return the first row and the one after the last, or raise `ConfigError` where there are none such."""
    start, stop = rows
    if len(structures) != 1:
        raise ConfigError(f"rows can be taken of one graph, got {len(structures)}: pass slice(i, i + 1)")
    if not 0 <= start <= stop <= structures.node_counts[0]:
        raise ConfigError(f"no rows {start} to {stop} in a graph of {structures.node_counts[0]} nodes")
    return int(start), int(stop)


def overflow(graph: int, dtype: Any) -> DistanceOverflowError:
    """Return the error of a graph with a distance that does not fit the type."""
    most = np.iinfo(dtype).max - 1
    return DistanceOverflowError(
        f"graph {graph} has a shortest path longer than {most} hops: "
        f"pass max_distance={most} or less to leave farther pairs out"
    )


def packed_distances(
    structures: GraphStructures,
    dtype: Any,
    directed: bool = False,
    max_distance: int | None = None,
    first_graph: int = 0,
    rows: tuple[int, int] | None = None,
) -> tuple[Shaped[np.ndarray, "pairs"], UInt64[np.ndarray, "graphs"], Int64[np.ndarray, "distances"]]:
    """Compute distances, fingerprints and the distance histogram of many graphs, without Python per graph.

    The distances have shape ``(pairs,)``, uint8 or uint16: row-major matrices one after the other, ``[i, j]``
    from i to j, the largest value where there is no path within the cut-off. A distance that does not fit
    raises `DistanceOverflowError`, with the number of the graph counted from ``first_graph``. With ``rows``,
    the first row and the one after the last of a single graph, only these are computed, in memory for the
    result and some 500 bytes a node beside it.
    """
    from gradformer_dgl.preprocess.shortest_paths_kernels import pair_distances, row_distances

    dtype = np.dtype(dtype)
    prints = np.empty(len(structures), np.uint64)
    histogram = np.zeros(1 << (8 * dtype.itemsize), np.int64)
    limit = NO_LIMIT if max_distance is None else max_distance
    if rows is None:
        num_pairs = structures.num_pairs
        # The kernel writes 64 entries at a time, beyond the last pair too.
        distances = np.empty(num_pairs + 64, dtype)
        failed = pair_distances(*structures.arrays, directed, limit, distances, prints, histogram)
    else:
        start, stop = checked_rows(structures, rows)
        num_pairs = (stop - start) * int(structures.node_counts[0])
        distances = np.empty(num_pairs, dtype)
        outputs = (distances, prints, histogram)
        failed = row_distances(*structures.arrays, directed, limit, start, stop, *outputs)
    if failed >= 0:
        raise overflow(first_graph + failed, dtype)
    longest = int(np.flatnonzero(histogram)[-1]) if histogram.any() else 0
    return distances[:num_pairs], prints, histogram[: longest + 1]


def narrowest_distances(
    structures: GraphStructures, directed: bool = False, max_distance: int | None = None, first_graph: int = 0
) -> np.ndarray:
    """Return the distances of :func:`packed_distances` as uint8, or as uint16 where one needs it."""
    arguments = (directed, max_distance, first_graph)
    try:
        return packed_distances(structures, np.uint8, *arguments)[0]
    except DistanceOverflowError:
        return packed_distances(structures, np.uint16, *arguments)[0]


def shortest_path_distances(graph: Any, max_distance: int | None = None, directed: bool = False) -> Tensor:
    """Compute the hops between all pairs of nodes of one graph.

    This is psi(i, j) of Gradformer's exponential-decay attention mask. Self loops and parallel edges
    make no difference; edge weights are not read.

    Parameters
    ----------
    graph : dgl.DGLGraph, networkx.Graph, scipy.sparse array or matrix, or tuple
        The graph; a tuple is ``(src, dst, num_nodes)``. Rows and columns of the result follow the
        graph's own order of nodes (for networkx, whatever the labels).
    max_distance : int, optional
        Cut-off in hops: pairs farther apart count as unreachable.
    directed : bool
        Follow edges from source to destination only. By default every edge counts both ways.

    Returns
    -------
    torch.Tensor
        Shape ``(nodes, nodes)``, ``[i, j]`` the hops from i to j; uint8, or uint16 where a finite distance
        is 255 or more. The dtype's largest value marks an unreachable pair.

    Raises
    ------
    GraphError
        Where it is no valid graph, or a distance exceeds 65,534 hops.
    ConfigError
        Where ``max_distance`` is not a positive integer.

    Examples
    --------
    >>> from gradformer_dgl.preprocess import shortest_path_distances
    >>> shortest_path_distances(([0, 1], [1, 2], 4))
    tensor([[  0,   1,   2, 255],
            [  1,   0,   1, 255],
            [  2,   1,   0, 255],
            [255, 255, 255,   0]], dtype=torch.uint8)
    """
    import torch

    max_distance = checked_max_distance(max_distance)
    structures = GraphStructures.from_graphs([graph])
    num_nodes = int(structures.node_counts[0])
    distances = narrowest_distances(structures, directed, max_distance)
    return torch.from_numpy(distances.reshape(num_nodes, num_nodes))
