"""Laplacian eigenvectors as node encoding."""

import numpy as np
from jaxtyping import Float32
from scipy import linalg, sparse

from gradformer_dgl.graphs.structures import GraphStructures

# Graphs beyond this size: a few eigenvectors of the sparse matrix instead of all of the dense one.
MOST_DENSE_NODES = 1024
# Entries of the stacked matrices that one call decomposes.
MOST_STACKED = 1 << 20
# Values within this fraction of a vector's largest are taken as tied for the choice of its sign.
TIE = 1e-6


def laplacian_eigenvectors(
    structures: GraphStructures, columns: int, directed: bool = False
) -> Float32[np.ndarray, "nodes channels"]:
    r"""Compute eigenvectors 1 .. k of the symmetric normalised Laplacian, by ascending eigenvalue.

    .. math:: L = I - D^{-1/2} A D^{-1/2}

    of Dwivedi and Bresson, *A Generalization of Transformer Networks to Graphs* (2021), on the simple
    undirected graph; eigenvector 0 is dropped. Directed edges count both ways. D is at least 1: an isolated
    node is an eigenvector of eigenvalue 1. Unit norm; the first of a vector's largest entries in magnitude is
    positive. Where a graph has fewer than k + 1 nodes the last columns are 0. A graph of c components has
    eigenvalue 0 c times: the basis of such an eigenspace (as of any repeated eigenvalue) is whatever the
    solver finds, the same in every run on a machine.

    Parameters
    ----------
    structures : GraphStructures
        The graphs.
    columns : int
        Number of eigenvectors k.
    directed : bool
        Makes no difference.

    Returns
    -------
    numpy.ndarray
        Shape ``(nodes, k)``, nodes of all graphs one graph after the other.

    Examples
    --------
    >>> from gradformer_dgl.preprocess import GraphStructures
    >>> laplacian_eigenvectors(GraphStructures([2], [1], [0], [1]), 2).round(3)
    array([[ 0.707,  0.   ],
           [-0.707,  0.   ]], dtype=float32)
    """
    counts = structures.node_counts
    starts = np.cumsum(counts) - counts
    matrix = _normalised_adjacency(structures, starts)
    result = np.zeros((int(counts.sum()), columns), np.float32)
    for size in np.unique(counts):
        size = int(size)
        if size < 2:
            continue
        graphs = np.flatnonzero(counts == size)
        if size > MOST_DENSE_NODES:
            for start in starts[graphs]:
                block = matrix[start : start + size, start : start + size]
                vectors = _vectors_of_large(block, columns)
                result[start : start + size, : vectors.shape[1]] = _with_sign(vectors)
            continue
        step = max(1, MOST_STACKED // size**2)
        for first in range(0, len(graphs), step):
            rows = starts[graphs[first : first + step], None] + np.arange(size)
            stack = _stacked(matrix, rows)
            vectors = np.linalg.eigh(np.eye(size) - stack)[1][:, :, 1 : columns + 1]
            result[rows, : vectors.shape[2]] = _with_sign(vectors)
    return result


def _normalised_adjacency(structures: GraphStructures, starts: np.ndarray) -> sparse.csr_array:
    """Return the block diagonal matrix D^-1/2 A D^-1/2 of all graphs."""
    shift = np.repeat(starts, structures.edge_counts)
    src = structures.src + shift
    dst = structures.dst + shift
    keep = src != dst
    src, dst = np.concatenate([src[keep], dst[keep]]), np.concatenate([dst[keep], src[keep]])
    total = int(structures.node_counts.sum())
    matrix = sparse.csr_array((np.ones(len(src)), (src, dst)), shape=(total, total))
    matrix.sum_duplicates()
    degrees = np.maximum(np.diff(matrix.indptr), 1)
    rows = np.repeat(np.arange(total), np.diff(matrix.indptr))
    matrix.data = 1 / np.sqrt(degrees[rows] * degrees[matrix.indices].astype(np.float64))
    return matrix


def _stacked(matrix: sparse.csr_array, rows: np.ndarray) -> np.ndarray:
    """Return dense diagonal blocks of the graphs whose nodes the rows of ``rows`` name."""
    number, size = rows.shape
    lengths = np.diff(matrix.indptr)[rows.ravel()]
    first = np.repeat(matrix.indptr[rows.ravel()] - (np.cumsum(lengths) - lengths), lengths)
    entries = first + np.arange(len(first))
    local = np.repeat(np.arange(number * size), lengths)
    stack = np.zeros((number * size, size))
    stack[local, matrix.indices[entries] - rows[local // size, 0]] = matrix.data[entries]
    return stack.reshape(number, size, size)


def _vectors_of_large(block: sparse.csr_array, columns: int) -> np.ndarray:
    from scipy.sparse.linalg import eigsh

    size = block.shape[0]
    wanted = min(columns + 1, size)
    if 4 * wanted > size:
        return linalg.eigh(np.eye(size) - block.toarray(), subset_by_index=(0, wanted - 1))[1][:, 1:]
    laplacian = (sparse.eye_array(size) - block).tocsc()
    # A fixed start makes runs repeatable; a shift just below the spectrum finds its lower end quickly.
    start = np.random.default_rng(0).standard_normal(size)
    values, vectors = eigsh(laplacian, k=wanted, sigma=-1e-2, v0=start)
    return vectors[:, np.argsort(values, kind="stable")][:, 1:]


def _with_sign(vectors: np.ndarray) -> np.ndarray:
    """Flip columns whose first of the largest entries is negative."""
    size = np.abs(vectors)
    largest = (size >= (1 - TIE) * size.max(axis=-2, keepdims=True)).argmax(axis=-2)
    sign = np.sign(np.take_along_axis(vectors, largest[..., None, :], axis=-2))
    return (vectors * np.where(sign == 0, 1, sign)).astype(np.float32)
