"""Sparse attention in torch's operations: any device, any precision.

The pairs are taken some rows at a time, so that no tensor over all pairs and channels is made. The backward
pass recomputes the weights of these rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gradformer_dgl.kernels.attention.dropout import draw_mask
from gradformer_dgl.kernels.autograd import differentiable_once
from gradformer_dgl.pairs.sparse import SparsePairDistances

CHUNK = 1 << 22
"""Most numbers of a tensor over pairs and channels, but for a row that has more."""


@dataclass(frozen=True)
class _Rows:
    """Some rows and their pairs, with the row (from 0), the other node and the distance of each."""

    rows: slice
    row: Int64[Tensor, " pairs"]
    node: Int64[Tensor, " pairs"]
    distance: Int64[Tensor, " pairs"]
    far: Int64[Tensor, "rows 1"]
    graph: Int64[Tensor, " rows"]


def row_parts(sparse: SparsePairDistances, most: int) -> list[tuple[slice, slice]]:
    """Cut sparse pairs into parts of at most ``most`` pairs, or of one row; return their rows and pairs.

    Examples
    --------
    >>> row_parts(SparsePairDistances.from_graph(([0, 1], [1, 2], 3), max_distance=1), most=5)
    [(slice(0, 2, None), slice(0, 5, None)), (slice(2, 3, None), slice(5, 7, None))]
    """
    key = ("parts", most)
    if key not in sparse.plans:
        indptr = sparse.indptr.cpu().numpy()
        cuts = [0]
        while cuts[-1] < len(indptr) - 1:
            end = int(np.searchsorted(indptr, indptr[cuts[-1]] + most, side="right")) - 1
            cuts.append(max(end, cuts[-1] + 1))
        ends = indptr[cuts].tolist()
        sparse.plans[key] = [
            (slice(*rows), slice(*pairs)) for rows, pairs in zip(pairwise(cuts), pairwise(ends), strict=True)
        ]
    return sparse.plans[key]


def _owner(sparse: SparsePairDistances) -> Int64[Tensor, " nodes"]:
    graphs = torch.arange(len(sparse), device=sparse.device)
    return graphs.repeat_interleave(sparse.node_counts.to(sparse.device), output_size=sparse.num_nodes)


def _parts(sparse: SparsePairDistances, channels: int) -> Iterator[_Rows]:
    owner, counts = _owner(sparse), sparse.node_counts.to(sparse.device)
    firsts, per_row = counts.cumsum(0) - counts, sparse.indptr.diff()
    for rows, pairs in row_parts(sparse, max(1, CHUNK // max(1, channels))):
        here = torch.arange(rows.stop - rows.start, device=sparse.device)
        row = here.repeat_interleave(per_row[rows], output_size=pairs.stop - pairs.start)
        graph = owner[rows]
        yield _Rows(
            rows,
            row,
            sparse.indices[pairs].long() + firsts[graph][row],
            sparse.distances[pairs].long(),
            (counts[graph] - per_row[rows])[:, None],
            graph,
        )


def _logits(
    part: _Rows, query: Tensor, key: Tensor, table: Float[Tensor, "heads columns"]
) -> tuple[Float[Tensor, "pairs heads"], Float[Tensor, "pairs heads"]]:
    """Return the scaled products of queries and keys of the pairs, and their factors."""
    products = (query[part.rows][part.row] * key[part.node]).sum(-1) * query.shape[2] ** -0.5
    return products, table.t()[part.distance]


def _mask(part: _Rows, like: Tensor, dropout_p: float, seed: int) -> Tensor | float:
    if dropout_p == 0:
        return 1.0
    # A seed of its own for each part, which draws the same again in the backward pass.
    stays, scale = draw_mask(like.numel(), dropout_p, seed ^ (part.rows.start << 20), like.device)
    return stays.view_as(like).to(like.dtype).mul_(scale)


class SparseTorch(torch.autograd.Function):
    """Attention some rows at a time; saves its inputs, its output and one tensor (nodes, heads)."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, table: Tensor, sparse: SparsePairDistances, dropout_p: float, seed: int
    ) -> Tensor:
        query, key, value = qkv.unbind(1)
        values = value.new_zeros(len(sparse), *value.shape[1:], dtype=torch.float64)
        values = values.index_add_(0, _owner(sparse), value.double()).to(value.dtype)
        out, log_sum = torch.empty_like(value), value.new_empty(value.shape[:2])
        for part in _parts(sparse, value[0].numel() if len(value) else 1):
            products, factors = _logits(part, query, key, table)
            logits = products * factors
            # A far pair has the logit 0.
            top = torch.where(part.far > 0, 0.0, -torch.inf).to(logits.dtype)
            top = top.expand(-1, logits.shape[1]).contiguous()
            top.scatter_reduce_(0, part.row[:, None].expand_as(logits), logits, "amax")
            weights = torch.exp(logits - top[part.row])
            base = torch.where(part.far > 0, torch.exp(-top), 0.0)
            whole = (part.far * base).index_add_(0, part.row, weights)
            weights = weights * _mask(part, weights, dropout_p, seed) - base[part.row]
            mixed = base[:, :, None] * values[part.graph]
            mixed.index_add_(0, part.row, weights[:, :, None] * value[part.node])
            out[part.rows] = mixed / whole[:, :, None]
            log_sum[part.rows] = top + whole.log()
        ctx.save_for_backward(qkv, table, out, log_sum)
        ctx.sparse, ctx.dropout = sparse, (dropout_p, seed)
        return out

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        qkv, table, out, log_sum = ctx.saved_tensors
        query, key, value = qkv.unbind(1)
        sparse, scale = ctx.sparse, query.shape[2] ** -0.5
        grad_query, grad_key, grad_value = (torch.zeros_like(value) for _ in range(3))
        by_distance = table.new_zeros(table.shape[1], table.shape[0], dtype=torch.float64)
        far_grad = value.new_zeros(len(sparse), *value.shape[1:], dtype=torch.float64)
        mean = (grad_out * out).sum(-1)
        for part in _parts(sparse, value[0].numel() if len(value) else 1):
            products, factors = _logits(part, query, key, table)
            weights = torch.exp(products * factors - log_sum[part.rows][part.row])
            mask = _mask(part, weights, *ctx.dropout)
            base = torch.where(part.far > 0, torch.exp(-log_sum[part.rows]), 0.0)
            grad = grad_out[part.rows]
            far_grad.index_add_(0, part.graph, (base[:, :, None] * grad).double())
            grad_of_pair = grad[part.row]
            grad_weights = (grad_of_pair * value[part.node]).sum(-1) * mask
            of_value = (weights * mask - base[part.row])[:, :, None] * grad_of_pair
            grad_value.index_add_(0, part.node, of_value)
            grad_logits = weights * (grad_weights - mean[part.rows][part.row])
            by_distance.index_add_(0, part.distance, (grad_logits * products).double())
            grad_products = (grad_logits * factors * scale)[:, :, None]
            own = torch.zeros_like(grad)
            grad_query[part.rows] = own.index_add_(0, part.row, grad_products * key[part.node])
            grad_key.index_add_(0, part.node, grad_products * query[part.rows][part.row])
        grad_value += far_grad.to(value.dtype)[_owner(sparse)]
        grad_qkv = torch.stack([grad_query, grad_key, grad_value], dim=1)
        return grad_qkv, by_distance.t().to(table.dtype), None, None, None


def sparse_torch_attention(
    qkv: Float[Tensor, "nodes 3 heads head_dim"],
    sparse: SparsePairDistances,
    table: Float[Tensor, "heads columns"],
    dropout_p: float = 0.0,
    seed: int = 0,
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute sparse attention in torch's operations, for float32 or float64.

    See :func:`~gradformer_dgl.kernels.attention.sparse.sparse_attention` for the parameters.

    Examples
    --------
    >>> sparse = SparsePairDistances.from_graph(([0], [1], 3), max_distance=1)
    >>> sparse_torch_attention(torch.ones(3, 3, 2, 5), sparse, torch.ones(2, 3)).shape
    torch.Size([3, 2, 5])
    """
    return SparseTorch.apply(qkv, table, sparse, dropout_p, seed)
