"""Decay attention over near pairs, with the cheaper of two forms for each graph of a batch.

A far pair counts as one with the logit 0, so that a query i needs its near nodes alone, and one sum over all:

    out_i = (sum_near (exp(a_ij - m) - exp(-m)) v_j + exp(-m) sum_all v_j)
            / (sum_near (exp(a_ij - m) - exp(-m)) + exp(-m) n),    a_ij = q_i . k_j / sqrt(d) * M_ij

with m the largest logit, the 0 of far pairs among them. In a graph where most pairs are near, matrices over
all pairs are faster: far pairs are there unreachable ones, and the table's last column is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gradformer_dgl.kernels.attention.ragged import takes
from gradformer_dgl.kernels.attention.sparse_loop import near_loop
from gradformer_dgl.kernels.attention.sparse_tensors import near_tensors, row_parts
from gradformer_dgl.kernels.autograd import loops_take
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, GraphError

FORMS = {"loop": near_loop, "tensors": near_tensors}
"""What computes the near pairs, by name."""

NEAR_COST = {"cpu": 3.5, "cuda": 50.0}
"""What a near pair takes, in cells of a dense matrix, by type of device.

That of the CPU is measured. That of a GPU is a guess, which no measurement stands behind: matrices are what
GPUs are fast at, so that more graphs are taken as matrices there.
"""

PLACED = 1 << 22
"""Near pairs that are put into matrices at a time."""


@dataclass(frozen=True)
class Mix:
    """Which nodes of a batch are in graphs that are taken as dense matrices, and which are not.

    ``order`` brings results, those of ``dense_nodes`` first, into the order of the batch.
    """

    dense: PairDistances
    near: SparsePairDistances
    dense_nodes: Int64[Tensor, " dense_nodes"]
    near_nodes: Int64[Tensor, " near_nodes"]
    order: Int64[Tensor, " nodes"]


def dense_graphs(near: SparsePairDistances) -> list[int]:
    """Return the graphs whose distances are cheaper as a dense matrix.

    Examples
    --------
    >>> ring = (range(99), [*range(1, 99), 0], 99)
    >>> parts = [SparsePairDistances.from_graph(graph, max_distance=1) for graph in (([0], [1], 2), ring)]
    >>> dense_graphs(SparsePairDistances.batch(parts))
    [0]
    """
    cost = NEAR_COST.get(near.device.type, NEAR_COST["cuda"])
    return [
        graph
        for graph, (size, pairs) in enumerate(zip(near.sizes, near.pairs_per_graph, strict=True))
        if size * size <= cost * pairs
    ]


def as_matrices(near: SparsePairDistances) -> PairDistances:
    """Return near pairs as matrices, in which far pairs are unreachable.

    Examples
    --------
    >>> as_matrices(SparsePairDistances.from_graph(([0, 1], [1, 2], 3), max_distance=1))[0].tolist()
    [[0, 1, 255], [1, 0, 1], [255, 1, 0]]
    """
    counts = near.node_counts.to(near.device)
    sizes = counts.repeat_interleave(counts, output_size=near.num_nodes)
    # A row begins where the rows before it end.
    begins = sizes.cumsum(0) - sizes
    per_row = near.indptr.diff()
    total = sum(size * size for size in near.sizes)
    values = torch.full((total,), 255, dtype=torch.uint8, device=near.device)
    # Where a pair belongs takes more room than the pair.
    for rows, pairs in row_parts(near, PLACED):
        length = pairs.stop - pairs.start
        place = begins[rows].repeat_interleave(per_row[rows], output_size=length)
        values[place.add_(near.indices[pairs])] = near.distances[pairs]
    return PairDistances(values, near.node_counts)


def mix_of(near: SparsePairDistances) -> Mix:
    """Return the cheaper form of each graph of a batch, worked out once and kept with its pairs."""
    if "mix" not in near.plans:
        chosen = torch.zeros(len(near), dtype=torch.bool)
        chosen[dense_graphs(near)] = True
        of_node = chosen.repeat_interleave(torch.tensor(near.sizes, dtype=torch.int64))
        dense_nodes, near_nodes = (part.nonzero()[:, 0] for part in (of_node, ~of_node))
        graphs = [part.nonzero()[:, 0] for part in (chosen, ~chosen)]
        near.plans["mix"] = Mix(
            as_matrices(near.select(graphs[0])),
            near.select(graphs[1]) if len(graphs[0]) else near,
            dense_nodes.to(near.device),
            near_nodes.to(near.device),
            torch.cat([dense_nodes, near_nodes]).argsort().to(near.device),
        )
    return near.plans["mix"]


def _require_decay(near: SparsePairDistances, table: Tensor) -> None:
    """Refuse a table whose last column is not 0; on a GPU, which has to be waited for, once for a batch."""
    if near.plans.get("decays") and table.device.type != "cpu":
        return
    if bool((table[:, -1] != 0).any()):
        raise GraphError(
            "near pairs stand for all where far pairs decay to 0, but this decay is not 0 for unreachable "
            "pairs: use PairDistances, or a dense cache"
        )
    near.plans["decays"] = True


def near_attention(
    qkv: Float[Tensor, "nodes 3 heads head_dim"],
    near: SparsePairDistances,
    table: Float[Tensor, "heads columns"],
    dropout_p: float,
    seed: int | Tensor,
    dense: Callable[..., Tensor],
    form: str | None = None,
    mixed: bool = True,
) -> Float[Tensor, "nodes heads head_dim"]:
    """Compute decay attention over the near pairs of a batch.

    Parameters
    ----------
    qkv : Tensor
        Shape (nodes, 3, heads, head_dim): query, key and value. Half precision is computed in float32; single
        precision on the CPU in float64 where gradients are asked for and a factor exceeds 256.
    near : SparsePairDistances
        Of the same nodes.
    table : Tensor
        Shape (heads, columns): factor by head and distance; the last, of far and unreachable pairs, is 0
        and has no gradient.
    dropout_p : float
        Probability for the weight of a near pair to be dropped; the others are scaled by
        1 / (1 - dropout_p). What far pairs add, a mean over many nodes, is kept whole: the expectation of
        the output is the output without dropout.
    seed : int or Tensor
        Of the dropout; a tensor of shape (), on the CPU.
    dense : callable
        Called as ``dense(qkv, distances, table, dropout_p, seed)`` with the graphs that are cheaper dense.
    form : {"loop", "tensors"}, optional
        What computes near pairs; the fastest if not given.
    mixed : bool
        False takes no graph as a dense matrix.

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
        raise ConfigError(f"no form of near attention named {form!r} (there are {', '.join(FORMS)})")
    _require_decay(near, table)
    if qkv.dtype not in (torch.float32, torch.float64):
        single = near_attention(qkv.float(), near, table.float(), dropout_p, seed, dense, form, mixed)
        return single.to(qkv.dtype)
    by_gradients = torch.is_grad_enabled() and (qkv.requires_grad or table.requires_grad)
    if form is None and by_gradients and loops_take(qkv) and not takes(table):
        double = near_attention(qkv.double(), near, table.double(), dropout_p, seed, dense, None, mixed)
        return double.to(qkv.dtype)
    table = torch.cat([table[:, :-1], torch.zeros_like(table[:, -1:])], dim=1)
    if form is None:
        form = "loop" if loops_take(qkv) else "tensors"
    if not mixed:
        return FORMS[form](qkv, near, table, dropout_p, seed)
    mix = mix_of(near)
    if not len(mix.near_nodes):
        return dense(qkv, mix.dense, table, dropout_p, seed)
    if not len(mix.dense_nodes):
        return FORMS[form](qkv, mix.near, table, dropout_p, seed)
    parts = [
        dense(qkv.index_select(0, mix.dense_nodes), mix.dense, table, dropout_p, seed),
        FORMS[form](qkv.index_select(0, mix.near_nodes), mix.near, table, dropout_p, seed),
    ]
    return torch.cat(parts).index_select(0, mix.order)
