"""Sparse attention on the CPU in single precision: compiled loops over queries.

No tensor over pairs is made. The backward pass recomputes the weights from each row's largest logit and sum,
and the dropout from its seed.
"""

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from gradformer_dgl.jit.simd import WIDTH
from gradformer_dgl.kernels.attention.dropout import as_threshold
from gradformer_dgl.kernels.attention.sparse_cpu_kernel import attend, attend_backward
from gradformer_dgl.kernels.autograd import arrays, differentiable_once
from gradformer_dgl.pairs.sparse import SparsePairDistances


def _layout(sparse: SparsePairDistances) -> tuple[Any, ...]:
    sizes = torch.tensor(sparse.sizes, dtype=torch.int64)
    return tuple(arrays(sparse.indptr, sparse.indices, sparse.distances, sizes))


def _rows(x: Tensor) -> Tensor:
    """Return (nodes, ..., head_dim) as (nodes, channels), each head filled up to whole vectors."""
    x = x.detach()
    if x.shape[-1] % WIDTH:
        x = functional.pad(x, (0, -x.shape[-1] % WIDTH))
    return x.flatten(1).contiguous()


def _prepared(qkv: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return qkv as rows of channels, and the table scaled by 1 / sqrt(head_dim)."""
    return _rows(qkv), (table.detach() * qkv.shape[-1] ** -0.5).contiguous()


class SparseCpu(torch.autograd.Function):
    """Attention row by row; saves its inputs, its output and two tensors (nodes, heads)."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, table: Tensor, sparse: SparsePairDistances, dropout_p: float, seed: int
    ) -> Tensor:
        ctx.shape = heads, head_dim = qkv.shape[2:]
        ctx.sparse, ctx.dropout = sparse, (as_threshold(dropout_p), seed)
        rows, scaled = _prepared(qkv, table)
        out = rows.new_empty(len(rows), rows.shape[1] // 3)
        row_max, inverse_sum = (rows.new_empty(len(rows), heads) for _ in range(2))
        saved = tuple(arrays(out, row_max, inverse_sum))
        attend(rows.numpy(), _layout(sparse), scaled.numpy(), ctx.dropout, saved)
        ctx.save_for_backward(qkv, table, out, row_max, inverse_sum)
        return out.unflatten(1, (heads, -1))[:, :, :head_dim]

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        qkv, table, *saved = ctx.saved_tensors
        heads, head_dim = ctx.shape
        rows, scaled = _prepared(qkv, table)
        grad = torch.zeros_like(rows)
        columns = scaled.shape[1] if ctx.needs_input_grad[1] else 0
        lanes = torch.zeros(4, heads, columns, dtype=torch.float64)
        given = arrays(_rows(grad_out), grad, lanes)
        attend_backward(
            rows.numpy(), _layout(ctx.sparse), scaled.numpy(), ctx.dropout, tuple(arrays(*saved)), *given
        )
        grad_table = None
        if ctx.needs_input_grad[1]:
            grad_table = (lanes.sum(0) * head_dim**-0.5).to(scaled.dtype)
        return grad.unflatten(1, (3, heads, -1))[..., :head_dim], grad_table, None, None, None


def sparse_cpu_attention(
    qkv: Float32[Tensor, "nodes 3 heads head_dim"],
    sparse: SparsePairDistances,
    table: Float32[Tensor, "heads columns"],
    dropout_p: float = 0.0,
    seed: int = 0,
) -> Float32[Tensor, "nodes heads head_dim"]:
    """Compute sparse attention in compiled loops, for float32 on the CPU.

    See :func:`~gradformer_dgl.kernels.attention.sparse.sparse_attention` for the parameters.

    Examples
    --------
    >>> sparse = SparsePairDistances.from_graph(([0], [1], 3), max_distance=1)
    >>> sparse_cpu_attention(torch.ones(3, 3, 2, 5), sparse, torch.ones(2, 3)).shape
    torch.Size([3, 2, 5])
    """
    return SparseCpu.apply(qkv, table, sparse, dropout_p, seed)
