"""In-degree and out-degree as node encoding."""

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures


def node_degrees(
    structures: GraphStructures, columns: int = 2, directed: bool = False
) -> Float32[np.ndarray, "nodes 2"]:
    """Count the edges that end and that begin at each node: the centrality that Graphormer embeds.

    Of the simple graph: self loops do not count, parallel edges count once. Whole numbers, exact up to 2^24;
    `dgl.nn.DegreeEncoder` takes them as ``torch.from_numpy(degrees).long()``. The columns are in-degree and
    out-degree; unless ``directed``, both are the number of neighbours.

    Examples
    --------
    >>> from gradformer_dgl.preprocess import GraphStructures
    >>> node_degrees(GraphStructures([3], [2], [0, 1], [2, 2]), directed=True)
    array([[0., 1.],
           [0., 1.],
           [2., 0.]], dtype=float32)
    """
    from gradformer_dgl.graphs.adjacency_kernels import degrees_of_all

    result = np.empty((int(structures.node_counts.sum()), 2), np.float32)
    degrees_of_all(
        structures.node_counts, structures.edge_counts, structures.src, structures.dst, directed, result
    )
    return result
