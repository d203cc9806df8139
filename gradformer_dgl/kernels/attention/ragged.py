"""Backend "ragged": the CPU in single precision, compiled loops over graphs and heads.

The work is that of the real pairs, and no matrix over pairs is saved: the backward pass recomputes the
attention weights from the largest logit and the sum of each row, and the dropout from its seed.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gradformer_dgl.kernels.attention.attention_op import Backend, Inputs, register, run
from gradformer_dgl.kernels.attention.dropout import as_threshold
from gradformer_dgl.kernels.attention.ragged_cpu_kernel import attend, attend_backward
from gradformer_dgl.kernels.autograd import arrays
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.support.errors import ConfigError


def _layout(distances: PairDistances) -> tuple[Any, ...]:
    """Return distances (pairs,), and sizes, first nodes and first pairs (graphs,), as NumPy arrays."""
    if "ragged" not in distances.plans:
        sizes = torch.tensor(distances.sizes, dtype=torch.int64)
        squares = sizes.square()
        parts = (distances.values, sizes, sizes.cumsum(0) - sizes, squares.cumsum(0) - squares)
        distances.plans["ragged"] = tuple(arrays(*parts))
    return distances.plans["ragged"]


def _statistics(qkv: Tensor) -> list[Tensor]:
    """Allocate the largest logit of each row and one over the sum of its weights, both (heads, nodes)."""
    return [qkv.new_empty(qkv.shape[2], qkv.shape[0]) for _ in range(2)]


def _attend(inputs: Inputs, out: Tensor, *statistics: Tensor) -> None:
    qkv, table, distances, dropout_p, seed = inputs
    if out.numel():
        dropout = (as_threshold(dropout_p), seed)
        attend(_rows(qkv), _layout(distances), *arrays(table), dropout, (_rows(out), *arrays(*statistics)))


def _gradients(
    grad_out: Tensor, inputs: Inputs, by_table: bool, out: Tensor, *statistics: Tensor
) -> tuple[Tensor, Tensor | None]:
    qkv, table, distances, dropout_p, seed = inputs
    grad_qkv = torch.empty_like(qkv)
    lanes = torch.zeros(8, table.shape[0], table.shape[1] if by_table else 0, dtype=torch.float64)
    if qkv.numel():
        dropout, saved = (as_threshold(dropout_p), seed), tuple(arrays(*statistics))
        grads = (_rows(grad_out.contiguous()), _rows(grad_qkv), lanes.numpy())
        attend_backward(_rows(qkv), _layout(distances), *arrays(table), dropout, saved, *grads)
    return grad_qkv, lanes.sum(0).to(table.dtype) if by_table else None


def _rows(x: Tensor) -> Any:
    """Return (nodes, ...) as a NumPy array (nodes, channels) in the same memory."""
    return x.detach().view(len(x), -1).numpy()


def ragged_attention(
    qkv: Float[Tensor, "nodes 3 heads head_dim"],
    distances: PairDistances,
    table: Float[Tensor, "heads columns"],
    dropout_p: float = 0.0,
    seed: int | Tensor = 0,
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute decay attention graph by graph in compiled loops, for float32 on the CPU.

    See :func:`~gradformer_dgl.kernels.attention.attention_op.run` for the parameters. Other types and devices
    raise `ConfigError`.

    Examples
    --------
    >>> x = torch.ones(1, 3, 2, 5)
    >>> one = PairDistances(torch.zeros(1, dtype=torch.uint8), torch.tensor([1]))
    >>> ragged_attention(x, one, torch.ones(2, 2)).shape
    torch.Size([1, 2, 5])
    """
    if qkv.dtype != torch.float32 or qkv.device.type != "cpu":
        raise ConfigError(
            f"the attention backend ragged computes in float32 on the CPU, not in {str(qkv.dtype)[6:]} on "
            f"{qkv.device.type}: leave the choice to gradformer_dgl, or take blocks"
        )
    return run(RAGGED, qkv.contiguous(), table.contiguous(), distances, dropout_p, seed)


RAGGED = register(Backend("ragged", _statistics, _attend, _gradients))
