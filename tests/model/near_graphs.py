"""Large graphs of several kinds for the tests of attention over near pairs, and their distances by SciPy."""

import networkx as nx
import numpy as np
import torch
from scipy.sparse.csgraph import shortest_path

from gradformer_dgl import PairDistances

KINDS = {
    "grid": lambda: nx.grid_2d_graph(23, 29),
    "blocks": lambda: nx.stochastic_block_model([211, 307], [[0.03, 0.002], [0.002, 0.02]], seed=1),
    "tree": lambda: nx.random_labeled_tree(541, seed=4),
    "power law": lambda: nx.barabasi_albert_graph(503, 2, seed=2),
    "components": lambda: nx.disjoint_union_all([nx.cycle_graph(19), nx.star_graph(400), nx.path_graph(83)]),
    "directed": lambda: nx.gnp_random_graph(509, 0.008, seed=3, directed=True),
}


def hops(graph: nx.Graph) -> np.ndarray:
    """Return the hops between all nodes, infinite where there is no path."""
    if not len(graph):
        return np.zeros((0, 0))
    return shortest_path(nx.to_scipy_sparse_array(graph), directed=graph.is_directed(), unweighted=True)


def dense_distances(found: np.ndarray, max_distance: int = 254) -> PairDistances:
    """Return distances for dense attention, pairs beyond a cut-off unreachable."""
    values = np.where(found <= max_distance, found, 255).astype(np.uint8)
    return PairDistances(torch.from_numpy(values).flatten(), torch.tensor([len(found)]))
