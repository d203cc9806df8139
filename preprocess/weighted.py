"""Shortest paths over edge weights."""

import numpy as np
from jaxtyping import Float32
from scipy.sparse import csgraph

from gradformer_dgl.graphs.fingerprints import edge_weights
from gradformer_dgl.graphs.simple_graphs import SimpleGraphs
from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.support.errors import GraphError

# Graphs up to this size by the method of Floyd and Warshall, many at once; others by Dijkstra's.
MOST_DENSE_NODES = 96
# Distances in float64 that are held beside the result.
BLOCK_PAIRS = 1 << 21


def weighted_distances(
    structures: GraphStructures, directed: bool = False, first_graph: int = 0
) -> Float32[np.ndarray, "pairs"]:
    """Compute the lengths of the shortest paths, the length of a path being the sum of its edges' weights.

    Of parallel edges the one of least weight counts. An edge of weight 0 is an edge: its ends have distance
    0. The shape is ``(pairs,)``, row-major matrices one after the other; infinite without a path.
    """
    _check_weights(structures, first_graph)
    graphs = SimpleGraphs.of(structures, directed, structures.weights)
    pair_starts = graphs.pair_starts
    result = np.empty(structures.num_pairs, np.float32)
    for group in graphs.groups():
        size = int(graphs.node_counts[group[0]])
        if size <= MOST_DENSE_NODES:
            places = pair_starts[group, None] + np.arange(size**2)
            result[places] = _floyd_warshall(graphs.stacked(group, np.inf)).reshape(places.shape)
            continue
        step = max(1, BLOCK_PAIRS // size)
        for graph in group.tolist():
            matrix = graphs.matrix(graph)
            rows = result[pair_starts[graph] : pair_starts[graph + 1]].reshape(size, size)
            for start in range(0, size, step):
                sources = np.arange(start, min(start + step, size))
                rows[sources] = csgraph.dijkstra(matrix, directed=True, indices=sources)
    return result


def _check_weights(structures: GraphStructures, first_graph: int) -> None:
    weights = edge_weights(structures)
    wrong = ~((weights >= 0) & np.isfinite(weights))
    if wrong.any():
        edge = int(wrong.argmax())
        graph, local = structures.place_of_edge(edge)
        raise GraphError(
            f"edge {local} of graph {first_graph + graph} has weight {weights[edge]}: "
            "the weights of shortest paths must be finite and not negative"
        )
    # No path is longer than all edges together.
    graph_of_edge = np.repeat(np.arange(len(structures)), structures.edge_counts)
    with np.errstate(over="ignore"):
        totals = np.bincount(graph_of_edge, weights, minlength=len(structures))
    most = np.finfo(np.float32).max
    if (totals > most).any():
        raise GraphError(
            f"the edge weights of graph {first_graph + int((totals > most).argmax())} add up to more than "
            f"{most:.2g}, the most that float32 holds: give them in a larger unit"
        )


def _floyd_warshall(stack: np.ndarray) -> np.ndarray:
    """Turn a stack of edge weights, infinite where there is no edge, into path lengths, in place."""
    size = stack.shape[1]
    stack[:, np.arange(size), np.arange(size)] = 0
    for between in range(size):
        np.minimum(stack, stack[:, :, between, None] + stack[:, between, None, :], out=stack)
    return stack
