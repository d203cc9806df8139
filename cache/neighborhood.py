"""Sparse pair distances of a graph in CSR form, ready for DGL."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Shaped, UInt


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """The nodes within reach of each of some nodes of one graph, and how far they are: a matrix in CSR form.

    Parameters
    ----------
    indptr : numpy.ndarray
        Shape ``(rows + 1,)``, int64: where the entries of each row begin, and where the last one ends.
    indices : numpy.ndarray
        Shape ``(pairs,)``, int32: ids of the nodes within reach, ascending in each row, the row's own
        node included.
    distances : numpy.ndarray
        Shape ``(pairs,)``, uint8 or uint16, in hops.
    num_nodes : int
        Nodes of the graph: the columns of the matrix.

    Examples
    --------
    Nodes 0 - 1 - 2 and, apart from them, 3:

    >>> import dgl
    >>> matrix = np.array([[0, 1, 2, 255], [1, 0, 1, 255], [2, 1, 0, 255], [255, 255, 255, 0]], np.uint8)
    >>> near = Neighborhood.from_rows(matrix)
    >>> near.indptr
    array([ 0,  3,  6,  9, 10])
    >>> graph = dgl.graph(("csr", (near.indptr, near.indices, [])))
    >>> [ends.tolist() for ends in graph.edges()]
    [[0, 0, 0, 1, 1, 1, 2, 2, 2, 3], [0, 1, 2, 0, 1, 2, 0, 1, 2, 3]]
    >>> near.distances
    array([0, 1, 2, 1, 0, 1, 2, 1, 0, 0], dtype=uint8)
    """

    indptr: Int64[np.ndarray, "rows_and_one"]
    indices: Int32[np.ndarray, "sparse_pairs"]
    distances: UInt[np.ndarray, "sparse_pairs"]
    num_nodes: int

    @classmethod
    def from_rows(cls, rows: Shaped[np.ndarray, "rows nodes"]) -> "Neighborhood":
        """Take the reachable pairs of rows of a distance matrix, shape ``(rows, nodes)``, unsigned."""
        near = rows != np.iinfo(rows.dtype).max
        indptr = np.concatenate([[0], np.cumsum(near.sum(1, dtype=np.int64))])
        return cls(indptr, np.nonzero(near)[1].astype(np.int32), rows[near], rows.shape[1])
