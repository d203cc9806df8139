"""Decay attention: the checks of its inputs, and the choice of a backend."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gradformer_dgl.kernels.attention.blocks import block_attention
from gradformer_dgl.kernels.attention.fused import fused_attention, suits
from gradformer_dgl.kernels.attention.ragged import ragged_attention
from gradformer_dgl.kernels.attention.reference import reference_attention
from gradformer_dgl.kernels.attention.sparse import sparse_attention
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, GraphError


def _reference(
    qkv: Tensor, distances: PairDistances, table: Tensor, dropout_p: float, seed: int | Tensor
) -> Tensor:
    if dropout_p:
        raise ConfigError("the reference backend has no attention dropout; set attn_drop to 0")
    query, key, value = qkv.unbind(1)
    return reference_attention(query, key, value, distances, table)


BACKENDS: dict[str, Callable[..., Tensor]] = {
    "ragged": ragged_attention,
    "fused": fused_attention,
    "blocks": block_attention,
    "reference": _reference,
}
"""Backends by name; each takes (qkv, distances, table, dropout_p, seed) and options of its own."""

SPARSE = "sparse"
"""Backend of :class:`SparsePairDistances`; a forced backend of another name computes its dense graphs."""

_OLD_NAMES = {"near": SPARSE}


def _fastest(qkv: Tensor) -> str:
    if qkv.device.type == "cpu":
        return "ragged" if qkv.dtype == torch.float32 else "blocks"
    return "fused" if suits(qkv) else "blocks"


_forced: list[tuple[str, dict[str, Any]]] = []


@contextmanager
def attention_backend(name: str, **options: Any) -> Iterator[None]:
    """Use one backend for all decay attention of the process, other threads too, in a ``with`` block.

    Parameters
    ----------
    name : str
        "ragged", "fused", "blocks" or "reference"; or "sparse", for options of :class:`SparsePairDistances`.
    **options
        Passed to the backend, such as ``max_blocks=1`` for "blocks".

    Raises
    ------
    ConfigError
        If there is no such backend.

    Examples
    --------
    >>> with attention_backend("blocks", max_blocks=1):
    ...     pass
    """
    name = _OLD_NAMES.get(name, name)
    if name not in BACKENDS and name != SPARSE:
        raise ConfigError(f"no attention backend named {name!r} (there are {', '.join([*BACKENDS, SPARSE])})")
    _forced.append((name, options))
    try:
        yield
    finally:
        _forced.pop()


def decay_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distances: PairDistances | SparsePairDistances,
    table: Tensor,
    dropout_p: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Compute softmax attention within each graph, the logits multiplied by a decay of the distance.

    .. math::

        A_{hij} = \mathrm{softmax}_j\left(\frac{q_{hi} \cdot k_{hj}}{\sqrt{d}}\ T_{h,\psi(i,j)}\right),
        \quad \text{out}_{hi} = \sum_j A_{hij} v_{hj}

    An unreachable pair has the logit :math:`0 \cdot T = 0`, not minus infinity, where the last column
    of the table is 0.

    Parameters
    ----------
    query, key, value : Tensor
        Shape (nodes, heads, head_dim), nodes of all graphs one after the other.
    distances : PairDistances or SparsePairDistances
        Of the same graphs. With sparse ones all farther pairs have the logit 0, in time and memory that grow
        with the sparse pairs alone; the table's last column then must be 0, and has no gradient.
    table : Tensor
        Shape (heads, D + 1): factor by head and distance 0 .. D - 1; last, that of unreachable pairs.
    dropout_p : float
        Probability for an attention weight to be dropped, 0 <= dropout_p < 1. The weights of pairs beyond a
        cut-off are not dropped.
    generator : torch.Generator, optional
        On the CPU, for the seed of the dropout; torch's default if not given.

    Returns
    -------
    Tensor
        Shape (nodes, heads, head_dim). Differentiable once by query, key, value and table.

    Raises
    ------
    GraphError
        If shapes do not fit together, or a distance has no column in the table.
    ConfigError
        If ``dropout_p`` is not a probability below 1.

    Examples
    --------
    >>> from gradformer_dgl import ExponentialDecay, PairDistances
    >>> q, k, v = torch.rand(3, 5, 2, 8)
    >>> distances = PairDistances(torch.zeros(13, dtype=torch.uint8), torch.tensor([3, 2]))
    >>> decay_attention(q, k, v, distances, ExponentialDecay(num_heads=2).table(1)).shape
    torch.Size([5, 2, 8])
    """
    if query.ndim != 3 or key.shape != query.shape or value.shape != query.shape:
        given = ", ".join(str(tuple(part.shape)) for part in (query, key, value))
        raise GraphError(
            f"query, key and value must have one shape (nodes, heads, head_dim), but have {given}"
        )
    qkv = torch.stack([query, key, value], dim=1)
    return packed_decay_attention(qkv, distances, table, dropout_p, generator)


def packed_decay_attention(
    qkv: Tensor,
    distances: PairDistances | SparsePairDistances,
    table: Tensor,
    dropout_p: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Compute :func:`decay_attention` of query, key and value in one tensor.

    Parameters
    ----------
    qkv : Tensor
        Shape (nodes, 3, heads, head_dim).
    distances, table, dropout_p, generator
        See :func:`decay_attention`.

    Returns
    -------
    Tensor
        Shape (nodes, heads, head_dim).

    Examples
    --------
    >>> from gradformer_dgl import ExponentialDecay, PairDistances
    >>> projected = torch.nn.Linear(16, 3 * 16)(torch.rand(5, 16))
    >>> distances = PairDistances(torch.zeros(13, dtype=torch.uint8), torch.tensor([3, 2]))
    >>> table = ExponentialDecay(num_heads=2).table(1)
    >>> packed_decay_attention(projected.view(5, 3, 2, 8), distances, table).shape
    torch.Size([5, 2, 8])
    """
    _check(qkv, distances, table)
    if not 0 <= dropout_p < 1:
        raise ConfigError(f"dropout_p must be at least 0 and below 1, but is {dropout_p}")
    seed: int | Tensor = 0
    if dropout_p:
        seed = torch.randint(2**62, (), generator=generator)
        # In a graph of torch.compile the number is not known yet.
        seed = seed if torch.compiler.is_compiling() else int(seed)
    if not isinstance(distances, SparsePairDistances):
        return _dense(qkv, distances, table, dropout_p, seed)
    name, options = _forced[-1] if _forced else ("", {})
    # Its split of a batch reads numbers of pairs, which breaks a graph of torch.compile once.
    attend = torch.compiler.disable(sparse_attention) if torch.compiler.is_compiling() else sparse_attention
    return attend(qkv, distances, table, dropout_p, seed, _dense, **(options if name == SPARSE else {}))


def _dense(
    qkv: Tensor, distances: PairDistances, table: Tensor, dropout_p: float, seed: int | Tensor
) -> Tensor:
    name, options = _forced[-1] if _forced and _forced[-1][0] != SPARSE else (_fastest(qkv), {})
    if table.shape[1] > distances.unreachable + 1:
        # The value that stands for unreachable pairs is no distance: it has no column of its own.
        table = torch.cat([table[:, : distances.unreachable], table[:, -1:]], dim=1)
    return BACKENDS[name](qkv, distances, table, dropout_p, seed, **options)


def _check(qkv: Tensor, distances: PairDistances | SparsePairDistances, table: Tensor) -> None:
    if qkv.ndim != 4 or qkv.shape[1] != 3:
        raise GraphError(
            "query, key and value must have the shape (nodes, 3, heads, head_dim), "
            f"but have {tuple(qkv.shape)}"
        )
    if not qkv.is_floating_point():
        raise GraphError(f"query, key and value must be floating-point numbers, but are {qkv.dtype}")
    nodes, _, heads, _ = qkv.shape
    if distances.num_nodes != nodes:
        raise GraphError(
            f"{nodes} nodes are given, but the distances are those of {distances.num_nodes} nodes"
        )
    if table.ndim != 2 or table.shape[0] != heads or table.shape[1] == 0:
        raise GraphError(f"the table must have the shape ({heads}, D + 1), but has {tuple(table.shape)}")
    if table.dtype != qkv.dtype:
        raise GraphError(f"table and nodes must be of one dtype, but are {table.dtype} and {qkv.dtype}")
    if distances.device != qkv.device:
        raise GraphError(f"the distances lie on {distances.device}, but the nodes on {qkv.device}")
    # With a column for every value of uint8 the distances need not be read.
    if table.shape[1] <= distances.num_distances and distances.longest >= table.shape[1] - 1:
        raise GraphError(
            f"the table has columns for distances below {table.shape[1] - 1}, "
            f"but a distance is {distances.longest}; make it with table({distances.longest + 1})"
        )
