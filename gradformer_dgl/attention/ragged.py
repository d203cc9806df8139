"""Decay attention on the CPU in single precision: a compiled loop over graphs and heads.

The work is that of the real pairs, and no matrix over pairs is ever kept: the backward pass computes
the attention weights anew from the largest logit and the sum of each row, and the dropout from its seed.
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
    """Attention graph by graph; saves its inputs, its output and two numbers per node and head."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, table: Tensor, distances: PairDistances, dropout_p: float, seed: int
    ) -> Tensor:
        out = torch.empty_like(qkv[:, 0], memory_format=torch.contiguous_format)
        peak, inverse = qkv.new_empty(2, qkv.shape[2], len(qkv))
        ctx.threshold, ctx.seed, ctx.distances = round(dropout_p * 2**32), seed, distances
        if out.numel():
            arrays = (_rows(qkv), *_layout(distances), table.detach().numpy())
            attend(*arrays, ctx.threshold, seed, _rows(out), peak.numpy(), inverse.numpy())
        ctx.save_for_backward(qkv, table, out, peak, inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        qkv, table, out, peak, inverse = ctx.saved_tensors
        grad_qkv = torch.empty_like(qkv)
        columns = table.shape[1] if ctx.needs_input_grad[1] else 0
        lanes = torch.zeros(8, table.shape[0], columns, dtype=torch.float64)
        if qkv.numel():
            attend_backward(
                _rows(qkv),
                *_layout(ctx.distances),
                table.detach().numpy(),
                ctx.threshold,
                ctx.seed,
                _rows(out),
                peak.numpy(),
                inverse.numpy(),
                _rows(grad_out.contiguous()),
                _rows(grad_qkv),
                lanes.numpy(),
            )
        grad_table = lanes.sum(0).to(table.dtype) if ctx.needs_input_grad[1] else None
        return grad_qkv, grad_table, None, None, None


def _rows(x: Tensor) -> Any:
    """Return a tensor as a NumPy array of one row a node."""
    return x.detach().view(len(x), -1).numpy()


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
    return RaggedAttention.apply(qkv.contiguous(), table.contiguous(), distances, dropout_p, seed)
