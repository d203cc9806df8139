"""Resistance distance."""

import numpy as np
from jaxtyping import Float32
from scipy.sparse import csgraph

from gradformer_dgl.graphs.simple_graphs import SimpleGraphs
from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.support.errors import ConfigError


def resistance_distances(
    structures: GraphStructures, directed: bool = False, first_graph: int = 0
) -> Float32[np.ndarray, "pairs"]:
    r"""Compute resistances between nodes of an electrical network with a resistor of 1 ohm for every edge.

    .. math:: r_{ij} = L^+_{ii} + L^+_{jj} - 2 L^+_{ij}

    of Klein and Randić, *Resistance distance* (1993), with the Laplacian L of the simple undirected graph.
    Computed in float64 from the inverse of :math:`L + \sum_c 1_c 1_c^T / |c|` over the components c, the
    constants of which cancel. The shape is ``(pairs,)``, row-major matrices one after the other; infinite
    between components.
    """
    if directed:
        raise ConfigError("the resistance distance is one of undirected graphs: leave out directed or it")
    graphs = SimpleGraphs.of(structures, directed=False)
    component = csgraph.connected_components(graphs.matrix(), directed=False)[1]
    fraction = 1 / np.bincount(component)[component] if len(component) else np.empty(0)
    pair_starts = graphs.pair_starts
    result = np.empty(structures.num_pairs, np.float32)
    for group in graphs.groups():
        nodes = graphs.nodes_of(group)
        together = component[nodes][:, :, None] == component[nodes][:, None, :]
        matrix = _grounded(graphs.stacked(group, 0.0), together, fraction[nodes])
        places = pair_starts[group, None] + np.arange(nodes.shape[1] ** 2)
        result[places] = _resistances(np.linalg.inv(matrix), together).reshape(places.shape)
    return result


def _grounded(stack: np.ndarray, together: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Turn adjacency matrices into Laplacians with each component's constant vector added, in place."""
    size = stack.shape[1]
    degrees = stack.sum(axis=2)
    np.negative(stack, out=stack)
    stack[:, np.arange(size), np.arange(size)] = degrees
    np.add(stack, fraction[:, :, None], out=stack, where=together)
    return stack


def _resistances(inverse: np.ndarray, together: np.ndarray) -> np.ndarray:
    diagonal = np.einsum("gii->gi", inverse).copy()
    # The mean of both triangles, so that rounding leaves it symmetric.
    inverse = inverse + inverse.transpose(0, 2, 1)
    resistances = np.maximum(diagonal[:, :, None] + diagonal[:, None, :] - inverse, 0)
    return np.where(together, resistances, np.inf)
