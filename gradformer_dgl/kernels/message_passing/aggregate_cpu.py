"""Autograd functions of the compiled sums over edges, on the CPU in single precision."""

from typing import Any

import dgl
import torch
from torch import Tensor

from gradformer_dgl.kernels.autograd import arrays, differentiable_once
from gradformer_dgl.kernels.message_passing import aggregate_cpu_kernel as loops
from gradformer_dgl.kernels.message_passing.graph_edges import PerGraph, incoming_of

_incoming = PerGraph(lambda graph: tuple(arrays(*incoming_of(graph))))


class AddActivated(torch.autograd.Function):
    """Sum of x and of ``relu(x[u] + e[k])`` over the incoming edges; saves x and e, both contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, e: Tensor, graph: dgl.DGLGraph) -> Tensor:
        ctx.edges = _incoming[graph]
        ctx.save_for_backward(x, e)
        out = torch.empty_like(x)
        loops.add_activated(ctx.edges, *arrays(x, e, out))
        return out

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, e = ctx.saved_tensors
        grad_x, grad_e = torch.empty_like(x), torch.empty_like(e)
        loops.add_activated_backward(ctx.edges, *arrays(x, e, grad.contiguous(), grad_x, grad_e))
        return grad_x, grad_e, None


class GatedMean(torch.autograd.Function):
    """Mean of messages weighted by gates; of contiguous inputs, and saves no other tensor over edges."""

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
        ctx.edges, ctx.given = _incoming[graph], (edges is not None, scale is not None)
        edges = target.new_empty(0, target.shape[1]) if edges is None else edges
        scale = target.new_empty(0) if scale is None else scale
        inputs = (target, origin, message, edges, scale)
        mean, weight = torch.empty_like(target), torch.empty_like(target)
        loops.gated_mean(ctx.edges, *arrays(*inputs, mean, weight))
        ctx.save_for_backward(*inputs, mean, weight)
        return mean

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        of_nodes = [torch.zeros_like(part) for part in saved[:3]]
        of_edges, of_scale = (torch.empty_like(part) for part in saved[3:5])
        inputs, results = tuple(arrays(*saved[:5])), arrays(*saved[5:], grad.contiguous())
        loops.gated_mean_backward(
            ctx.edges, inputs, *results, tuple(arrays(*of_nodes)), *arrays(of_edges, of_scale)
        )
        by_edge, scaled = ctx.given
        return *of_nodes, of_edges if by_edge else None, of_scale if scaled else None, None
