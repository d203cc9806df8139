"""Laplacian eigenvectors as node encoding."""

import dataclasses

import numpy as np
from jaxtyping import Float32
from scipy import linalg, sparse

from gradformer_dgl.graphs.simple_graphs import SimpleGraphs
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
    """Compute eigenvectors 1 .. k of the symmetric normalised Laplacian, by ascending eigenvalue.

    .. math:: L = I - D^{-1/2} A D^{-1/2}

    of Dwivedi and Bresson, *A Generalization of Transformer Networks to Graphs* (2021), on the simple
    undirected graph; eigenvector 0 is dropped. D is at least 1: an isolated node is an eigenvector of
    eigenvalue 1. Unit norm; the first of a vector's largest entries in magnitude is positive. Where a graph
    has fewer than k + 1 nodes the last columns are 0. The basis of the eigenspace of a repeated eigenvalue is
    whatever the solver finds, the same in every run on a machine. The shape is ``(nodes, k)``.
    """
    graphs = _normalised(SimpleGraphs.of(structures, directed=False))
    result = np.zeros((int(structures.node_counts.sum()), columns), np.float32)
    for group in graphs.groups(MOST_STACKED):
        nodes = graphs.nodes_of(group)
        size = nodes.shape[1]
        if size > MOST_DENSE_NODES:
            for graph in group.tolist():
                vectors = _vectors_of_large(graphs.matrix(graph), columns)
                start = graphs.node_starts[graph]
                result[start : start + size, : vectors.shape[1]] = _with_sign(vectors)
        elif size > 1:
            laplacians = np.eye(size) - graphs.stacked(group, 0.0)
            vectors = np.linalg.eigh(laplacians)[1][:, :, 1 : columns + 1]
            result[nodes, : vectors.shape[2]] = _with_sign(vectors)
    return result


def _normalised(graphs: SimpleGraphs) -> SimpleGraphs:
    """Return the graphs with the entries of D^-1/2 A D^-1/2 as weights."""
    degrees = np.diff(graphs.offsets)
    products = np.repeat(degrees, degrees) * degrees[graphs.targets].astype(np.float64)
    return dataclasses.replace(graphs, weights=1 / np.sqrt(products))


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
