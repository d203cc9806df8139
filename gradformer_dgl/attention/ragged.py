"""Decay attention on the CPU in single precision: a compiled loop over graphs and heads.

The work is that of the real pairs, and no matrix over pairs is ever kept: the backward pass computes
the attention weights anew from the logarithm of each row's sum, and the dropout from its seed.
Channels come before nodes in memory, so that what a head reads of a graph lies in few runs; a result
has the strides that say so, and matrix products take them as they are.
"""

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.autograd.function import once_differentiable

from gradformer_dgl.attention.ragged_kernel import attend, attend_backward
from gradformer_dgl.distances import PairDistances


def _layout(distances: PairDistances) -> tuple[Any, ...]:
    """Return distances, sizes and where each graph's nodes and pairs begin, as NumPy arrays."""
    if "ragged" not in distances.plans:
        sizes = torch.tensor(distances.sizes, dtype=torch.int64)
        squares = sizes.square()
        parts = (distances.values, sizes, sizes.cumsum(0) - sizes, squares.cumsum(0) - squares)
        distances.plans["ragged"] = tuple(part.numpy() for part in parts)
    return distances.plans["ragged"]


class RaggedAttention(torch.autograd.Function):
    """Attention graph by graph; saves its inputs and one number per node and head."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, table: Tensor, distances: PairDistances, dropout_p: float, seed: int
    ) -> Tensor:
        qkv, table = qkv.permute(1, 2, 3, 0).contiguous(), table.contiguous()
        out, log_sum = torch.empty_like(qkv[0]), torch.empty_like(qkv[0, :, 0])
        ctx.threshold, ctx.seed, ctx.distances = round(dropout_p * 2**32), seed, distances
        if out.numel():
            arrays = (qkv.detach().numpy(), *_layout(distances), table.detach().numpy())
            attend(*arrays, ctx.threshold, seed, out.numpy(), log_sum.numpy())
        ctx.save_for_backward(qkv, table, log_sum)
        return out.permute(2, 0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        qkv, table, log_sum = ctx.saved_tensors
        grad_qkv = torch.zeros_like(qkv)
        columns = table.shape[1] if ctx.needs_input_grad[1] else 0
        lanes = torch.zeros(4, table.shape[0], columns, dtype=torch.float64)
        if qkv.numel():
            attend_backward(
                qkv.detach().numpy(),
                *_layout(ctx.distances),
                table.detach().numpy(),
                ctx.threshold,
                ctx.seed,
                log_sum.numpy(),
                grad_out.permute(1, 2, 0).contiguous().numpy(),
                grad_qkv.numpy(),
                lanes.numpy(),
            )
        grad_table = lanes.sum(0).to(table.dtype) if ctx.needs_input_grad[1] else None
        return grad_qkv.permute(3, 0, 1, 2), grad_table, None, None, None


def ragged_attention(
    qkv: Float32[Tensor, "nodes 3 heads head_dim"],
    distances: PairDistances,
    table: Float32[Tensor, "heads columns"],
    dropout_p: float = 0.0,
    seed: int = 0,
) -> Float32[Tensor, "nodes heads head_dim"]:
    """Compute decay attention graph by graph, compiled for the CPU.

    Parameters
    ----------
    qkv : Tensor
        Shape (nodes, 3, heads, head_dim): query, key and value, float32, on the CPU.
    distances : PairDistances
        Of the same nodes.
    table : Tensor
        Shape (heads, columns): factor by head and distance, the unreachable last.
    dropout_p : float
        Probability for an attention weight to be dropped.
    seed : int
        Of the dropout.

    Returns
    -------
    Tensor
        Shape (nodes, heads, head_dim).

    Examples
    --------
    >>> x = torch.ones(1, 3, 2, 5)
    >>> one = PairDistances(torch.zeros(1, dtype=torch.uint8), torch.tensor([1]))
    >>> ragged_attention(x, one, torch.ones(2, 2)).shape
    torch.Size([1, 2, 5])
    """
    return RaggedAttention.apply(qkv, table, distances, dropout_p, seed)
