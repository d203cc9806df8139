"""Sums over the incoming edges of the nodes, each by the fastest implementation for its tensors.

In single precision on the CPU, sums that would need tensors over edges are compiled loops. Otherwise DGL's
kernels serve where DGL takes the tensors, and torch's where it does not: DGL's builds for CUDA end at an
older torch, and its CPU kernels take float32 and float64 only.
"""

from typing import TypeGuard

import dgl
import torch
from dgl import ops
from jaxtyping import Float, Int64
from torch import Tensor

from gradformer_dgl.graphs.edge_list import EdgeList, Graph
from gradformer_dgl.kernels.autograd import apply, loops_take
from gradformer_dgl.kernels.message_passing.aggregate_cpu import AddActivated, GatedMean
from gradformer_dgl.kernels.message_passing.graph_edges import PerGraph, edges_of, lists_edges

EPSILON = 1e-6

_edges: PerGraph[dict[torch.device, tuple[Int64[Tensor, " edges"], Int64[Tensor, " edges"]]]] = PerGraph(
    lambda graph: {}
)


_lists_edges = PerGraph(lists_edges)


def compiled_runs_on(graph: Graph, x: Tensor) -> TypeGuard[dgl.DGLGraph]:
    """Tell whether the compiled loops take this graph and tensor (nodes, channels)."""
    return dgl_runs_on(graph, x) and loops_take(x)


def dgl_runs_on(graph: Graph, x: Tensor) -> TypeGuard[dgl.DGLGraph]:
    """Tell whether DGL's kernels take this graph and tensor (nodes, channels)."""
    if not isinstance(graph, dgl.DGLGraph) or graph.device != x.device:
        return False
    return x.dtype in (torch.float32, torch.float64) and _lists_edges[graph]


def endpoints(graph: Graph, device: torch.device) -> tuple[Int64[Tensor, " edges"], Int64[Tensor, " edges"]]:
    """Return sources and destinations (edges,) on a device, to which they are moved once per graph."""
    if isinstance(graph, EdgeList) and graph.device == device:
        return graph.edges()
    by_device = _edges[graph]
    if device not in by_device:
        src, dst = edges_of(graph)
        by_device[device] = (src.to(device), dst.to(device))
    return by_device[device]


def degrees(graph: Graph, device: torch.device) -> tuple[Int64[Tensor, " nodes"], Int64[Tensor, " nodes"]]:
    """Return the in-degrees and the out-degrees (nodes,) on a device.

    Examples
    --------
    >>> degrees(dgl.graph(([0, 1], [2, 2])), torch.device("cpu"))
    (tensor([0, 0, 2]), tensor([1, 1, 0]))
    """
    src, dst = endpoints(graph, device)
    none, one = torch.zeros(graph.num_nodes(), dtype=torch.int64, device=device), torch.ones_like(src)
    return none.index_add(0, dst, one), none.index_add(0, src, one)


def sum_neighbors(graph: Graph, x: Float[Tensor, "nodes channels"]) -> Float[Tensor, "nodes channels"]:
    """Sum x[u] over the edges from u to every node, (nodes, channels).

    Examples
    --------
    >>> sum_neighbors(dgl.graph(([0, 1], [2, 2])), torch.tensor([[1.0], [2.0], [3.0]])).tolist()
    [[0.0], [0.0], [3.0]]
    """
    if dgl_runs_on(graph, x):
        return ops.copy_u_sum(graph, x)
    src, dst = endpoints(graph, x.device)
    return torch.zeros_like(x).index_add(0, dst, x.index_select(0, src))


def add_activated(
    graph: Graph, x: Float[Tensor, "nodes channels"], e: Float[Tensor, "edges channels"]
) -> Float[Tensor, "nodes channels"]:
    """Return x (nodes, channels) plus the sum of ``relu(x[u] + e[k])`` over the edges k from u to each node.

    Examples
    --------
    >>> graph = dgl.graph(([0, 1], [1, 1]))
    >>> add_activated(graph, torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [-4.0]])).tolist()
    [[1.0], [6.0]]
    """
    if compiled_runs_on(graph, x):
        return apply(AddActivated, x.contiguous(), e.contiguous(), graph)
    if dgl_runs_on(graph, x):
        return x + ops.copy_e_sum(graph, torch.relu(ops.u_add_e(graph, x, e)))
    src, dst = endpoints(graph, x.device)
    return x.index_add(0, dst, torch.relu(x.index_select(0, src) + e))


def gated_mean(
    graph: Graph,
    target: Float[Tensor, "nodes channels"],
    origin: Float[Tensor, "nodes channels"],
    message: Float[Tensor, "nodes channels"],
    edges: Float[Tensor, "edges channels"] | None = None,
    scale: Float[Tensor, "edges 1"] | None = None,
) -> Float[Tensor, "nodes channels"]:
    r"""Average the messages of the sources at every node, weighted by a gate for each channel.

    .. math::

        y_v = \frac{\sum_k g_k \odot m_{u_k}}{\sum_k g_k + 10^{-6}}, \quad
        g_k = s_k\, \mathrm{sigmoid}(t_v + o_{u_k} + e_k), \quad \text{over the edges } k: u_k \to v

    Parameters
    ----------
    graph : dgl.DGLGraph or EdgeList
        The graph.
    target, origin, message : Tensor
        Shape (nodes, channels): t, o and m.
    edges : Tensor, optional
        Shape (edges, channels): e; 0 if not given.
    scale : Tensor, optional
        Shape (edges, 1): s; 1 if not given.

    Returns
    -------
    Tensor
        Shape (nodes, channels).

    Examples
    --------
    >>> zeros, message = torch.zeros(2, 1), torch.tensor([[6.0], [8.0]])
    >>> gated_mean(dgl.graph(([0, 1], [1, 1])), zeros, zeros, message).round(decimals=3).tolist()
    [[0.0], [7.0]]
    """
    if compiled_runs_on(graph, target):
        inputs = (target, origin, message, edges, None if scale is None else scale.flatten())
        return apply(GatedMean, *(None if one is None else one.contiguous() for one in inputs), graph)
    by_dgl = dgl_runs_on(graph, target)
    src, dst = endpoints(graph, target.device)
    gates = ops.u_add_v(graph, origin, target) if by_dgl else origin[src] + target[dst]
    gates = torch.sigmoid(gates if edges is None else gates + edges)
    gates = gates if scale is None else gates * scale
    if by_dgl:
        return ops.u_mul_e_sum(graph, message, gates) / (ops.copy_e_sum(graph, gates) + EPSILON)
    total = torch.zeros_like(target).index_add(0, dst, gates)
    return torch.zeros_like(target).index_add(0, dst, message[src] * gates) / (total + EPSILON)
