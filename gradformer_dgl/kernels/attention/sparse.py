"""Backend "sparse": attention over the pairs within a cut-off, and as a matrix where that is cheaper.

A far pair, one beyond the cut-off, has the logit 0. A query i then needs its sparse pairs, and one sum over
all nodes:

    out_i = (sum_sparse (exp(a_ij - m) - exp(-m)) v_j + exp(-m) sum_all v_j)
            / (sum_sparse (exp(a_ij - m) - exp(-m)) + exp(-m) n),    a_ij = q_i . k_j / sqrt(d) * M_ij

with m the largest logit, the 0 of far pairs among them. For graphs most of whose pairs are within the
cut-off, matrices over all pairs are faster: there, far pairs are unreachable, and the table's last column
is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gradformer_dgl.kernels.attention.sparse_cpu import sparse_cpu_attention
from gradformer_dgl.kernels.attention.sparse_torch import row_parts, sparse_torch_attention
from gradformer_dgl.kernels.autograd import loops_take
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, GraphError

FORMS = {"cpu": sparse_cpu_attention, "torch": sparse_torch_attention}
"""Implementations by name, for the CPU in single precision and for all else."""

SPARSE_COST = {"cpu": 3.5, "cuda": 50.0}
"""Time of a sparse pair in those of a cell of a dense matrix, by type of device.

Measured for the CPU. A guess for GPUs: they are fast at matrices, so that more graphs become matrices there.
"""

PLACED = 1 << 22
"""Sparse pairs that are stored in matrices at a time."""


@dataclass(frozen=True)
class Mix:
    """A batch split into graphs that become dense matrices and graphs that stay sparse.

    ``order`` sorts results, those of ``dense_nodes`` first, into the order of the batch.
    """

    dense: PairDistances
    sparse: SparsePairDistances
    dense_nodes: Int64[Tensor, " dense_nodes"]
    sparse_nodes: Int64[Tensor, " sparse_nodes"]
    order: Int64[Tensor, " nodes"]


def dense_graphs(sparse: SparsePairDistances) -> list[int]:
    """Return the graphs whose distances are cheaper as a dense matrix.

    Examples
    --------
    >>> ring = (range(99), [*range(1, 99), 0], 99)
    >>> parts = [SparsePairDistances.from_graph(graph, max_distance=1) for graph in (([0], [1], 2), ring)]
    >>> dense_graphs(SparsePairDistances.batch(parts))
    [0]
    """
    cost = SPARSE_COST.get(sparse.device.type, SPARSE_COST["cuda"])
    return [
        graph
        for graph, (size, pairs) in enumerate(zip(sparse.sizes, sparse.pairs_per_graph, strict=True))
        if size * size <= cost * pairs
    ]


def as_matrices(sparse: SparsePairDistances) -> PairDistances:
    """Return sparse pairs as matrices, in which far pairs are unreachable.

    Examples
    --------
    >>> as_matrices(SparsePairDistances.from_graph(([0, 1], [1, 2], 3), max_distance=1))[0].tolist()
    [[0, 1, 255], [1, 0, 1], [255, 1, 0]]
    """
    counts = sparse.node_counts.to(sparse.device)
    sizes = counts.repeat_interleave(counts, output_size=sparse.num_nodes)
    # A row begins where the rows before it end.
    begins = sizes.cumsum(0) - sizes
    per_row = sparse.indptr.diff()
    total = sum(size * size for size in sparse.sizes)
    values = torch.full((total,), 255, dtype=torch.uint8, device=sparse.device)
    # In parts: the place of a pair takes more memory than the pair.
    for rows, pairs in row_parts(sparse, PLACED):
        length = pairs.stop - pairs.start
        place = begins[rows].repeat_interleave(per_row[rows], output_size=length)
        values[place.add_(sparse.indices[pairs])] = sparse.distances[pairs]
    return PairDistances(values, sparse.node_counts)


def mix_of(sparse: SparsePairDistances) -> Mix:
    """Split a batch by the cheaper form of each graph; computed once and kept with its pairs."""
    if "mix" not in sparse.plans:
        chosen = torch.zeros(len(sparse), dtype=torch.bool)
        chosen[dense_graphs(sparse)] = True
        of_node = chosen.repeat_interleave(torch.tensor(sparse.sizes, dtype=torch.int64))
        dense_nodes, sparse_nodes = (part.nonzero()[:, 0] for part in (of_node, ~of_node))
        graphs = [part.nonzero()[:, 0] for part in (chosen, ~chosen)]
        sparse.plans["mix"] = Mix(
            as_matrices(sparse.select(graphs[0])),
            sparse.select(graphs[1]) if len(graphs[0]) else sparse,
            dense_nodes.to(sparse.device),
            sparse_nodes.to(sparse.device),
            torch.cat([dense_nodes, sparse_nodes]).argsort().to(sparse.device),
        )
    return sparse.plans["mix"]


def _require_decay(sparse: SparsePairDistances, table: Tensor) -> None:
    """Refuse a table whose last column is not 0; on a GPU, where the check waits, once for a batch."""
    if sparse.plans.get("decays") and table.device.type != "cpu":
        return
    if bool((table[:, -1] != 0).any()):
        raise GraphError(
            "sparse pairs stand for all where far pairs decay to 0, but this decay is not 0 for unreachable "
            "pairs: use PairDistances, or a dense cache"
        )
    sparse.plans["decays"] = True


LARGEST_FACTOR = 256.0
"""Largest factor up to which gradients in single precision are as exact as those of dense attention."""


def _beyond(bound: float, table: Tensor) -> bool:
    factors = table.detach()
    return bool(factors.numel()) and float(factors.abs().max()) > bound


def sparse_attention(
    qkv: Float[Tensor, "nodes 3 heads head_dim"],
    sparse: SparsePairDistances,
    table: Float[Tensor, "heads columns"],
    dropout_p: float,
    seed: int | Tensor,
    dense: Callable[..., Tensor],
    form: str | None = None,
    mixed: bool = True,
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute decay attention over the sparse pairs of a batch.

    Parameters
    ----------
    qkv : Tensor
        Shape (nodes, 3, heads, head_dim): query, key and value. Half precision is computed in float32; single
        precision on the CPU in float64 where gradients are asked for and a factor exceeds 256.
    sparse : SparsePairDistances
        Of the same nodes.
    table : Tensor
        Shape (heads, columns): factor by head and distance; the last, of far and unreachable pairs, is 0
        and has no gradient.
    dropout_p : float
        Probability for the weight of a sparse pair to be dropped; the others are scaled by
        1 / (1 - dropout_p). What far pairs add, a mean over many nodes, is kept whole: the expectation of
        the output is the output without dropout.
    seed : int or Tensor
        Of the dropout; a tensor of shape (), on the CPU.
    dense : callable
        Called as ``dense(qkv, distances, table, dropout_p, seed)`` with the graphs that are cheaper dense.
    form : {"cpu", "torch"}, optional
        The implementation; the fastest if not given.
    mixed : bool
        False computes no graph as a dense matrix.

    Returns
    -------
    Tensor
        Shape (nodes, heads, head_dim).

    Raises
    ------
    GraphError
        If the last column of the table is not 0. On a GPU the first table of a batch alone is looked at; of
        all of them the last column counts as 0.
    ConfigError
        If there is no such form.
    """
    seed = int(seed)
    if form is not None and form not in FORMS:
        raise ConfigError(f"no form of sparse attention named {form!r} (there are {', '.join(FORMS)})")
    _require_decay(sparse, table)
    if qkv.dtype not in (torch.float32, torch.float64):
        single = sparse_attention(qkv.float(), sparse, table.float(), dropout_p, seed, dense, form, mixed)
        return single.to(qkv.dtype)
    by_gradients = torch.is_grad_enabled() and (qkv.requires_grad or table.requires_grad)
    if form is None and by_gradients and loops_take(qkv) and _beyond(LARGEST_FACTOR, table):
        double = sparse_attention(qkv.double(), sparse, table.double(), dropout_p, seed, dense, None, mixed)
        return double.to(qkv.dtype)
    table = torch.cat([table[:, :-1], torch.zeros_like(table[:, -1:])], dim=1)
    if form is None:
        form = "cpu" if loops_take(qkv) else "torch"
    if not mixed:
        return FORMS[form](qkv, sparse, table, dropout_p, seed)
    mix = mix_of(sparse)
    if not len(mix.sparse_nodes):
        return dense(qkv, mix.dense, table, dropout_p, seed)
    if not len(mix.dense_nodes):
        return FORMS[form](qkv, mix.sparse, table, dropout_p, seed)
    parts = [
        dense(qkv.index_select(0, mix.dense_nodes), mix.dense, table, dropout_p, seed),
        FORMS[form](qkv.index_select(0, mix.sparse_nodes), mix.sparse, table, dropout_p, seed),
    ]
    return torch.cat(parts).index_select(0, mix.order)
