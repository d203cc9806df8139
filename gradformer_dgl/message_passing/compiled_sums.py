"""Sums over edges with gradients, compiled for the CPU in single precision."""

from typing import Any
from weakref import WeakKeyDictionary

import dgl
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gradformer_dgl.functions import arrays
from gradformer_dgl.message_passing import edge_kernels

_incoming: WeakKeyDictionary[dgl.DGLGraph, tuple[Any, ...]] = WeakKeyDictionary()


def incoming(graph: dgl.DGLGraph) -> tuple[Any, ...]:
    """Return where each node's incoming edges begin, their sources and their numbers, once per graph.

    Examples
    --------
    >>> [part.tolist() for part in incoming(dgl.graph(([0, 2, 1], [1, 0, 1])))]
    [[0, 1, 3, 3], [2, 0, 1], [1, 0, 2]]
    """
    if graph not in _incoming:
        _incoming[graph] = tuple(part.long().numpy() for part in graph.adj_tensors("csc"))
    return _incoming[graph]


class AddActivated(torch.autograd.Function):
    """Sum of x and of ``relu(x[u] + e[k])`` over the incoming edges; keeps its inputs alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, e: Tensor, graph: dgl.DGLGraph) -> Tensor:
        x, e = x.contiguous(), e.contiguous()
        ctx.edges = incoming(graph)
        ctx.save_for_backward(x, e)
        out = torch.empty_like(x)
        edge_kernels.add_activated(*ctx.edges, *arrays(x, e, out))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, e = ctx.saved_tensors
        grad_x, grad_e = torch.empty_like(x), torch.empty_like(e)
        edge_kernels.add_activated_backward(*ctx.edges, *arrays(x, e, grad.contiguous(), grad_x, grad_e))
        return grad_x, grad_e, None


class GatedMean(torch.autograd.Function):
    """Mean of messages weighted by gates; keeps nothing over the edges but its inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        target: Tensor,
        origin: Tensor,
        message: Tensor,
        edges: Tensor | None,
        scale: Tensor | None,
        graph: dgl.DGLGraph,
    ) -> Tensor:
        ctx.edges, ctx.given = incoming(graph), (edges is not None, scale is not None)
        edges = target.new_empty(0, target.shape[1]) if edges is None else edges
        scale = target.new_empty(0) if scale is None else scale.flatten()
        inputs = [part.contiguous() for part in (target, origin, message, edges, scale)]
        mean, weight = torch.empty_like(inputs[0]), torch.empty_like(inputs[0])
        edge_kernels.gated_mean(*ctx.edges, *arrays(*inputs, mean, weight))
        ctx.save_for_backward(*inputs, mean, weight)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        of_nodes = [torch.zeros_like(part) for part in saved[:3]]
        of_edges, of_scale = (torch.empty_like(part) for part in saved[3:5])
        edge_kernels.gated_mean_backward(
            *ctx.edges, *arrays(*saved, grad.contiguous(), *of_nodes, of_edges, of_scale)
        )
        by_edge, scaled = ctx.given
        return *of_nodes, of_edges if by_edge else None, of_scale[:, None] if scaled else None, None
