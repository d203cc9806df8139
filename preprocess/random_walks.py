"""Random-walk structural encoding."""

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures


def return_probabilities(
    structures: GraphStructures, columns: int, directed: bool = False
) -> Float32[np.ndarray, "nodes channels"]:
    r"""Compute the probabilities that a random walk is back at its start after 1 .. k steps (RWSE).

    .. math:: p_i = [(P)_{ii}, (P^2)_{ii}, \ldots, (P^k)_{ii}], \qquad P = D^{-1} A

    of Dwivedi et al., *Graph Neural Networks with Learnable Structural and Positional Representations*
    (2022), section 3.2, on the simple graph without self loops. D holds the out-degrees, at least 1: a
    walk ends at a node without outgoing edges, so that an isolated node has zeros. Computed in float64, of
    shape ``(nodes, k)``. Unless ``directed``, a walk goes both ways along an edge.

    Examples
    --------
    >>> from gradformer_dgl.preprocess import GraphStructures
    >>> return_probabilities(GraphStructures([3], [3], [0, 1, 2], [1, 2, 0]), 3)
    array([[0.  , 0.5 , 0.25],
           [0.  , 0.5 , 0.25],
           [0.  , 0.5 , 0.25]], dtype=float32)
    """
    from gradformer_dgl.preprocess.random_walks_kernels import return_probabilities_of_all

    out = np.empty((int(structures.node_counts.sum()), columns), np.float32)
    return_probabilities_of_all(
        structures.node_counts, structures.edge_counts, structures.src, structures.dst, directed, columns, out
    )
    return out
