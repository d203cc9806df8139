"""Fingerprints of graphs: a hash of the structure of each, and one of its edge weights."""

import numpy as np
from jaxtyping import UInt64

from gradformer_dgl.graphs.simple_graphs import SimpleGraphs
from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.jit.splitmix64 import GOLDEN_GAMMA, mix64_array
from gradformer_dgl.support.errors import ConfigError


def structure_fingerprints(
    structures: GraphStructures, directed: bool = False
) -> UInt64[np.ndarray, "graphs"]:
    """Hash each graph's structure, its number of nodes and its set of edges; shape ``(graphs,)``.

    The order of the edges, self loops and parallel edges make no difference, nor does the direction of
    edges unless ``directed``.
    """
    from gradformer_dgl.graphs.adjacency_kernels import fingerprints

    result = np.empty(len(structures), np.uint64)
    fingerprints(*structures.arrays, directed, result)
    return result


def weight_fingerprints(structures: GraphStructures, directed: bool = False) -> UInt64[np.ndarray, "graphs"]:
    """Hash each graph's set of edges together with their weights; shape ``(graphs,)``.

    Of parallel edges the one of least weight counts, as for weighted distances.
    """
    graphs = SimpleGraphs.of(structures, directed, edge_weights(structures))
    nodes, starts = graphs.node_counts, graphs.node_starts
    local = np.arange(starts[-1]) - np.repeat(starts[:-1], nodes)
    sources = np.repeat(local, np.diff(graphs.offsets)).astype(np.uint64)
    edges = _mixed((sources << np.uint64(32)) | local[graphs.targets].astype(np.uint64))
    edges = _mixed(edges ^ graphs.weights.view(np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(edges, dtype=np.uint64)])
    return _mixed(np.diff(sums[graphs.offsets[starts]]) ^ _mixed(nodes.astype(np.uint64)))


def edge_weights(structures: GraphStructures) -> np.ndarray:
    """Return the edge weights of graphs, or raise :class:`ConfigError` where they have none."""
    if structures.weights is None:
        raise ConfigError(
            "weighted distances need edge weights, and these graphs have none: name the edge feature or "
            "attribute that holds them with edge_weight, or give GraphStructures its weights"
        )
    return structures.weights


def _mixed(values: np.ndarray) -> np.ndarray:
    return mix64_array(values + GOLDEN_GAMMA)
