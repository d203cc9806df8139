"""Large graphs of several kinds for the tests of sparse attention, and their distances by SciPy."""

import networkx as nx
import numpy as np
import torch
from scipy.sparse.csgraph import shortest_path

from gradformer_dgl import PairDistances


def with_loops(nodes: int) -> nx.MultiGraph:
    """Return a random graph with self loops, and edges that are there several times."""
    graph, rng = nx.empty_graph(nodes, nx.MultiGraph), np.random.default_rng(6)
    edges = rng.integers(nodes, size=(2 * nodes, 2)).tolist()
    graph.add_edges_from([*edges, *edges[: nodes // 2], *((node, node) for node in range(0, nodes, 3))])
    return graph


KINDS = {
    "grid": lambda nodes=667: nx.grid_2d_graph(23, nodes // 23),
    "blocks": lambda nodes=518: nx.stochastic_block_model(
        [2 * nodes // 5, 3 * nodes // 5], [[15 / nodes, 1 / nodes], [1 / nodes, 10 / nodes]], seed=1
    ),
    "tree": lambda nodes=541: nx.random_labeled_tree(nodes, seed=4),
    "power law": lambda nodes=503: nx.barabasi_albert_graph(nodes, 2, seed=2),
    "components": lambda nodes=502: nx.disjoint_union_all(
        [
            nx.cycle_graph(19),
            nx.star_graph(nodes // 3),
            nx.path_graph(nodes // 6),
            nx.Graph(with_loops(nodes // 2)),
        ]
    ),
    "directed": lambda nodes=509: nx.fast_gnp_random_graph(nodes, 4 / nodes, seed=3, directed=True),
    "loops and parallel edges": lambda nodes=523: with_loops(nodes),
}


def hops(graph: nx.Graph) -> np.ndarray:
    """Return the hops between all nodes, infinite where there is no path."""
    if not len(graph):
        return np.zeros((0, 0))
    # As SciPy before 1.15 has it: of sparse matrices it takes those with indices of 32 bits only.
    return shortest_path(nx.to_numpy_array(graph), directed=graph.is_directed(), unweighted=True)


def dense_distances(found: np.ndarray, max_distance: int = 254) -> PairDistances:
    """Return distances for dense attention, pairs beyond a cut-off unreachable."""
    values = np.where(found <= max_distance, found, 255).astype(np.uint8)
    return PairDistances(torch.from_numpy(values).flatten(), torch.tensor([len(found)]))
