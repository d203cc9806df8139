"""In-degree and out-degree as node encoding."""

import numpy as np
from jaxtyping import Float32

from gradformer_dgl.graphs.structures import GraphStructures


def node_degrees(
    structures: GraphStructures, columns: int = 2, directed: bool = False
) -> Float32[np.ndarray, "nodes 2"]:
    """Count the edges that end and that begin at each node of the simple graph, shape ``(nodes, 2)``.

    `dgl.nn.DegreeEncoder`, of Graphormer, takes them as ``torch.from_numpy(degrees).long()``.
    """
    from gradformer_dgl.graphs.adjacency_kernels import degrees_of_all

    result = np.empty((int(structures.node_counts.sum()), 2), np.float32)
    degrees_of_all(*structures.arrays, directed, result)
    return result
