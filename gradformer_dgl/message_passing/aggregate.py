"""Sums over the edges of a graph: DGL's kernels where DGL runs on the tensors, torch's otherwise.

DGL's builds for CUDA end at an older torch, and its CPU kernels know float32 and float64 only.
"""

from weakref import WeakKeyDictionary

import dgl
import torch
from dgl import ops
from jaxtyping import Float, Int64
from torch import Tensor

_edges: WeakKeyDictionary[
    dgl.DGLGraph, dict[torch.device, tuple[Int64[Tensor, " edges"], Int64[Tensor, " edges"]]]
] = WeakKeyDictionary()


def dgl_runs_on(graph: dgl.DGLGraph, x: Tensor) -> bool:
    """Whether DGL's kernels take this graph and tensor together."""
    return graph.device == x.device and x.dtype in (torch.float32, torch.float64)


def endpoints(
    graph: dgl.DGLGraph, device: torch.device
) -> tuple[Int64[Tensor, " edges"], Int64[Tensor, " edges"]]:
    """Return sources and destinations of the edges, moved to a device once per graph."""
    by_device = _edges.setdefault(graph, {})
    if device not in by_device:
        src, dst = graph.edges()
        by_device[device] = (src.to(device, torch.int64), dst.to(device, torch.int64))
    return by_device[device]


def sum_neighbors(graph: dgl.DGLGraph, x: Float[Tensor, "nodes channels"]) -> Float[Tensor, "nodes channels"]:
    """Sum the sources' rows at every destination.

    Examples
    --------
    >>> sum_neighbors(dgl.graph(([0, 1], [2, 2])), torch.tensor([[1.0], [2.0], [3.0]])).tolist()
    [[0.0], [0.0], [3.0]]
    """
    if dgl_runs_on(graph, x):
        return ops.copy_u_sum(graph, x)
    src, dst = endpoints(graph, x.device)
    return torch.zeros_like(x).index_add(0, dst, x.index_select(0, src))


def sum_edges(graph: dgl.DGLGraph, e: Float[Tensor, "edges channels"]) -> Float[Tensor, "nodes channels"]:
    """Sum the edges' rows at every destination.

    Examples
    --------
    >>> sum_edges(dgl.graph(([0, 1], [2, 2])), torch.tensor([[1.0], [2.0]])).tolist()
    [[0.0], [0.0], [3.0]]
    """
    if dgl_runs_on(graph, e):
        return ops.copy_e_sum(graph, e)
    _, dst = endpoints(graph, e.device)
    return e.new_zeros(graph.num_nodes(), *e.shape[1:]).index_add(0, dst, e)


def add_source(
    graph: dgl.DGLGraph, x: Float[Tensor, "nodes channels"], e: Float[Tensor, "edges channels"]
) -> Float[Tensor, "edges channels"]:
    """Add to every edge's row that of its source.

    Examples
    --------
    >>> add_source(dgl.graph(([0, 1], [1, 0])), torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)).tolist()
    [[1.0], [2.0]]
    """
    if dgl_runs_on(graph, x):
        return ops.u_add_e(graph, x, e)
    src, _ = endpoints(graph, x.device)
    return e + x.index_select(0, src)


def add_ends(
    graph: dgl.DGLGraph, source: Float[Tensor, "nodes channels"], target: Float[Tensor, "nodes channels"]
) -> Float[Tensor, "edges channels"]:
    """Add, for every edge, a row of its source and one of its destination.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [2.0]])
    >>> add_ends(dgl.graph(([0], [1])), x, 10 * x).tolist()
    [[21.0]]
    """
    if dgl_runs_on(graph, source):
        return ops.u_add_v(graph, source, target)
    src, dst = endpoints(graph, source.device)
    return source.index_select(0, src) + target.index_select(0, dst)


def weighted_sum(
    graph: dgl.DGLGraph, x: Float[Tensor, "nodes channels"], weight: Float[Tensor, "edges channels"]
) -> Float[Tensor, "nodes channels"]:
    """Sum the sources' rows at every destination, channel by channel weighted by the edge.

    Examples
    --------
    >>> graph = dgl.graph(([0, 1], [1, 1]))
    >>> weighted_sum(graph, torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])).tolist()
    [[0.0], [11.0]]
    """
    if dgl_runs_on(graph, x):
        return ops.u_mul_e_sum(graph, x, weight)
    src, dst = endpoints(graph, x.device)
    return torch.zeros_like(x).index_add(0, dst, x.index_select(0, src) * weight)
