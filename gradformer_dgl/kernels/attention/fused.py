"""Backend "fused": one Triton kernel over the ragged batch on a GPU, and two for its gradients.

No tensor over pairs is written: the distances are read as they are, and the backward pass recomputes the
weights from the logarithm of each row's sum, and the dropout from its seed.

One program attends from a tile of a graph's nodes to all nodes of the graph, tile by tile. All tiles of a
batch have one edge, of 16, 32 or 64 nodes: that of the least total cost, where a tile costs its pairs and,
for loading nodes, 32 pairs per node. So molecules of 30 nodes have tiles of 32, and graphs of hundreds of
nodes have tiles of 64; less where head_dim is large. Programs of large graphs start first.
"""

import os
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gradformer_dgl.kernels.attention.attention_op import Backend, Inputs, register, run
from gradformer_dgl.kernels.attention.dropout import as_threshold
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.support.errors import ConfigError

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_HEAD_DIM = 256
LANES = 512
"""Most partial sums of the table's gradient."""


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _runs_on(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0) and _has_triton()


# torch.compile calls it at compile time; the decorator that says so would import all of the compiler.
_runs_on._dynamo_marked_constant = True  # type: ignore[attr-defined]


def suits(qkv: Tensor) -> bool:
    """Tell whether the kernel takes qkv (nodes, 3, heads, head_dim), and the machine has what it needs.

    Triton is looked for, but not imported, and for CUDA tensors alone.
    """
    return (
        qkv.device.type == "cuda"
        and qkv.dtype in DTYPES
        and qkv.shape[3] <= MAX_HEAD_DIM
        and _runs_on(qkv.device)
    )


def _refuse(qkv: Tensor) -> None:
    if qkv.dtype not in DTYPES:
        raise ConfigError(f"the fused backend takes float32, bfloat16 or float16, not {qkv.dtype}")
    if not 0 < qkv.shape[3] <= MAX_HEAD_DIM:
        raise ConfigError(f"the fused backend takes a head_dim of 1 to {MAX_HEAD_DIM}, not {qkv.shape[3]}")
    if not _has_triton():
        raise ConfigError("the fused backend needs Triton: pip install 'gradformer-dgl[triton]'")
    if qkv.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError(f"the fused backend needs tensors on a GPU, but they lie on {qkv.device}")


def work_list(distances: PairDistances, largest_tile: int = 64) -> tuple[int, Int64[Tensor, "items 4"]]:
    """Return the edge of a batch's tiles and the work of each program; computed once per batch.

    Parameters
    ----------
    distances : PairDistances
        Of the batch.
    largest_tile : int
        The largest edge allowed.

    Returns
    -------
    tuple of int and Tensor
        Shape (items, 4): for each program the first node of its graph, its number of nodes, the tile's first
        node within it and the graph's first pair. Empty graphs have none; large graphs come first.

    Examples
    --------
    >>> sizes = torch.tensor([3, 0, 20])
    >>> tile, items = work_list(PairDistances(torch.zeros(409, dtype=torch.uint8), sizes), largest_tile=16)
    >>> tile, items.tolist()
    (16, [[3, 20, 0, 9], [3, 20, 16, 9], [0, 3, 0, 0]])
    """
    key = ("fused", largest_tile)
    if key not in distances.plans:
        sizes = torch.tensor(distances.sizes, dtype=torch.int64)
        edges = [edge for edge in (16, 32, 64) if edge <= largest_tile]
        costs = [edge * (edge + 32) * int(((sizes + edge - 1) // edge).square().sum()) for edge in edges]
        tile = edges[costs.index(min(costs))]
        tiles = (sizes + tile - 1) // tile
        graph = torch.arange(len(sizes)).repeat_interleave(tiles)
        nth = torch.arange(len(graph)) - (tiles.cumsum(0) - tiles)[graph]
        pairs = sizes.square()
        of_graph = torch.stack([sizes.cumsum(0) - sizes, sizes, pairs.cumsum(0) - pairs], dim=1)[graph]
        items = torch.stack([of_graph[:, 0], of_graph[:, 1], tile * nth, of_graph[:, 2]], dim=1)
        items = items[sizes[graph].argsort(descending=True, stable=True)]
        distances.plans[key] = tile, items.to(distances.device, non_blocking=True)
    return distances.plans[key]


def _launch(inputs: Inputs) -> tuple[int, tuple[Any, ...], dict[str, Any]]:
    """Return the number of work items, the arguments that all kernels take first, and their constants."""
    qkv, table, distances, dropout_p, seed = inputs
    heads, head_dim = qkv.shape[2:]
    channels = max(16, 1 << (head_dim - 1).bit_length())
    node_bytes = channels * qkv.element_size()
    # Beyond 8 KiB a tile of nodes, the matrices over it and the accumulators outgrow the registers.
    tile, items = work_list(distances, largest_tile=max(16, min(64, 8192 // node_bytes)))
    threshold = as_threshold(dropout_p)
    values, last = distances.values.contiguous(), table.shape[1] - 1
    constants = {
        "HEADS": heads,
        "HEAD_DIM": head_dim,
        "CHANNELS": channels,
        "TILE": tile,
        "DROPOUT": threshold > 0,
        "num_warps": tile // 8 * max(1, node_bytes // 256),
        "num_stages": 2 if node_bytes <= 128 else 1,
    }
    return len(items), (qkv, values, table, items, last, seed, threshold), constants


def _statistics(qkv: Tensor) -> list[Tensor]:
    """Allocate the logarithm of the sum of each row of weights, (nodes, heads)."""
    return [qkv.new_empty(qkv.shape[0], qkv.shape[2], dtype=torch.float32)]


def _attend(inputs: Inputs, out: Tensor, log_sum: Tensor) -> None:
    from gradformer_dgl.kernels.attention.fused_triton_kernel import attend

    items, common, options = _launch(inputs)
    if items:
        with torch.cuda.device_of(out):
            attend[(items * out.shape[1],)](*common, out, log_sum, **options)


def _gradients(
    grad_out: Tensor, inputs: Inputs, by_table: bool, out: Tensor, log_sum: Tensor
) -> tuple[Tensor, Tensor | None]:
    from gradformer_dgl.kernels.attention.fused_triton_kernel import (
        attend_backward_keys,
        attend_backward_queries,
    )

    items, common, options = _launch(inputs)
    table, grad_out = inputs.table, grad_out.contiguous()
    grad_qkv, mean = torch.empty_like(inputs.qkv), torch.empty_like(log_sum)
    lanes = items if torch.are_deterministic_algorithms_enabled() else min(items, LANES)
    sums = table.new_zeros(lanes if by_table else 0, *table.shape, dtype=torch.float32)
    if items:
        grid, results = (items * out.shape[1],), (grad_out, grad_qkv, mean)
        with torch.cuda.device_of(out):
            attend_backward_queries[grid](
                *common, out, log_sum, *results, sums, lanes, TABLE=by_table, **options
            )
            attend_backward_keys[grid](*common, log_sum, *results, **options)
    return grad_qkv, sums.sum(0).to(table.dtype) if by_table else None


def fused_attention(
    qkv: Float[Tensor, "nodes 3 heads head_dim"],
    distances: PairDistances,
    table: Float[Tensor, "heads columns"],
    dropout_p: float = 0.0,
    seed: int | Tensor = 0,
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute decay attention in Triton kernels, for float32, bfloat16 or float16 on a GPU.

    Takes at most 256 channels a head; on other devices with ``TRITON_INTERPRET=1``. Products and sums are
    accumulated in single precision. The gradients of query, key and value are deterministic. That of the
    table is summed in as many lanes as there are tiles of queries, up to 512, beyond which the order of a
    lane's sums is left to the device; under :func:`torch.use_deterministic_algorithms` every tile has a lane
    of its own. See :func:`~gradformer_dgl.kernels.attention.attention_op.run` for the parameters.

    Raises
    ------
    ConfigError
        If Triton is not installed, or does not take these tensors.

    Notes
    -----
    Dao, "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning", 2023.

    Examples
    --------
    >>> x = torch.ones(1, 3, 2, 5, dtype=torch.float64)
    >>> one = PairDistances(torch.zeros(1, dtype=torch.uint8), torch.tensor([1]))
    >>> fused_attention(x, one, torch.ones(2, 2, dtype=torch.float64))
    Traceback (most recent call last):
    gradformer_dgl.support.errors.ConfigError: the fused backend takes float32, bfloat16 or float16, not torch.float64
    """  # noqa: E501
    _refuse(qkv)
    return run(FUSED, qkv.contiguous(), table.contiguous(), distances, dropout_p, seed)


FUSED = register(Backend("fused", _statistics, _attend, _gradients))
