"""Decay attention on the CPU in single precision: a compiled loop over graphs and heads.

The work is that of the real pairs, and no matrix over pairs is ever kept: the backward pass computes
the attention weights anew from the largest logit and the sum of each row, and the dropout from its seed.
That makes an error of the gradients in single precision which grows with the factors of the decay; where
these are large, as no published setting makes them, dense blocks serve instead.
"""

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from gradformer_dgl.kernels.attention.backend import Backend, register, run
from gradformer_dgl.kernels.attention.blocks import BLOCKS
from gradformer_dgl.kernels.attention.dropout import as_threshold
from gradformer_dgl.kernels.attention.ragged_kernel import attend, attend_backward
from gradformer_dgl.pairs.distances import PairDistances

LARGEST_FACTOR = 256.0
"""Up to this factor the gradients of the loops are as exact as those of dense blocks."""


def takes(table: Tensor) -> bool:
    """Whether the factors of a table, on the CPU, are small enough for weights that are worked out anew.

    Examples
    --------
    >>> takes(torch.tensor([[1.0, 0.5, 0.0]])), takes(torch.tensor([[1e9, 0.5, 0.0]]))
    (True, False)
    """
    factors = table.detach().numpy()
    return not (factors.size and max(factors.max(), -factors.min()) > LARGEST_FACTOR)


def _layout(distances: PairDistances) -> tuple[Any, ...]:
    """Return distances, sizes and where each graph's nodes and pairs begin, as NumPy arrays."""
    if "ragged" not in distances.plans:
        sizes = torch.tensor(distances.sizes, dtype=torch.int64)
        squares = sizes.square()
        parts = (distances.values, sizes, sizes.cumsum(0) - sizes, squares.cumsum(0) - squares)
        distances.plans["ragged"] = tuple(part.numpy() for part in parts)
    return distances.plans["ragged"]


def _statistics(qkv: Tensor) -> list[Tensor]:
    """Room for the largest logit of each row and head, and for the inverse of its sum."""
    return [qkv.new_empty(qkv.shape[2], qkv.shape[0]) for _ in range(2)]


def _attend(
    qkv: Tensor,
    table: Tensor,
    distances: PairDistances,
    dropout_p: float,
    seed: int,
    out: Tensor,
    *kept: Tensor,
) -> None:
    # The loop's outputs are exact; but what is dropped has to be the same in both passes.
    if (dropout_p or qkv.requires_grad or table.requires_grad) and not takes(table):
        BLOCKS.attend(qkv, table, distances, dropout_p, seed, out)
    elif out.numel():
        arrays = (_rows(qkv), *_layout(distances), table.detach().numpy())
        attend(*arrays, as_threshold(dropout_p), seed, _rows(out), *(part.numpy() for part in kept))


def _gradients(
    grad_out: Tensor,
    qkv: Tensor,
    table: Tensor,
    distances: PairDistances,
    dropout_p: float,
    seed: int,
    by_table: bool,
    out: Tensor,
    *kept: Tensor,
) -> tuple[Tensor, Tensor | None]:
    if not takes(table):
        return BLOCKS.gradients(grad_out, qkv, table, distances, dropout_p, seed, by_table, out)
    grad_qkv = torch.empty_like(qkv)
    lanes = torch.zeros(8, table.shape[0], table.shape[1] if by_table else 0, dtype=torch.float64)
    if qkv.numel():
        attend_backward(
            _rows(qkv),
            *_layout(distances),
            table.detach().numpy(),
            as_threshold(dropout_p),
            seed,
            _rows(out),
            *(part.numpy() for part in kept),
            _rows(grad_out.contiguous()),
            _rows(grad_qkv),
            lanes.numpy(),
        )
    return grad_qkv, lanes.sum(0).to(table.dtype) if by_table else None


def _rows(x: Tensor) -> Any:
    """Return a tensor as a NumPy array of one row a node."""
    return x.detach().view(len(x), -1).numpy()


def ragged_attention(
    qkv: Float32[Tensor, "nodes 3 heads head_dim"],
    distances: PairDistances,
    table: Float32[Tensor, "heads columns"],
    dropout_p: float = 0.0,
    seed: int | Tensor = 0,
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
    seed : int or Tensor
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
    return run(RAGGED, qkv.contiguous(), table.contiguous(), distances, dropout_p, seed)


RAGGED = register(Backend("ragged", _statistics, _attend, _gradients))
