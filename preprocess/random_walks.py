"""Random-walk structural encoding."""

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures


def return_probabilities(
    structures: GraphStructures, columns: int, directed: bool = False
) -> Float32[np.ndarray, "nodes channels"]:
    r"""Compute the probabilities that a random walk is back after 1 .. k steps, shape ``(nodes, k)``.

    .. math:: p_i = [(P)_{ii}, (P^2)_{ii}, \ldots, (P^k)_{ii}], \qquad P = D^{-1} A

    of Dwivedi et al., *Graph Neural Networks with Learnable Structural and Positional Representations*
    (2022), section 3.2, on the simple graph. D holds the out-degrees, at least 1: a walk ends at a node
    without outgoing edges, so that an isolated node has zeros. Computed in float64.
    """
    from gradformer_dgl.preprocess.random_walks_kernels import return_probabilities_of_all

    out = np.empty((int(structures.node_counts.sum()), columns), np.float32)
    return_probabilities_of_all(*structures.arrays, directed, columns, out)
    return out
