"""Partition of a batch of graphs into few dense blocks with little padding."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from gradformer_dgl.pairs.distances import PairDistances

BLOCK_OVERHEAD = {"cpu": 2_000, "cuda": 1_000_000}
"""Cost of one more block in padded pairs, by type of device."""


@dataclass(frozen=True)
class Block:
    """Graphs of similar size, padded to the largest of them.

    ``nodes`` are the real nodes in the order of ``slots``, their places among graphs x size padded
    rows. ``cells`` are the places of the pairs ``pairs`` among graphs x size x size. ``pairs`` are
    counted in the order of the batch's distances. ``padding`` marks padded keys and is None where
    all graphs are of one size; ``column`` is what to look up in a decay table, int64.
    """

    graphs: int
    size: int
    nodes: Int64[Tensor, " block_nodes"]
    slots: Int64[Tensor, " block_nodes"]
    pairs: Int64[Tensor, " block_pairs"]
    cells: Int64[Tensor, " block_pairs"]
    padding: Bool[Tensor, "block_graphs 1 1 size"] | None
    column: Int64[Tensor, "block_graphs size size"]


def cut(sizes: list[int], overhead: float, max_blocks: int | None = None) -> list[list[int]]:
    """Partition graphs, sorted by size, into blocks of the least total cost.

    A block costs the cells of its padded matrices and ``overhead``. The best partition is found by dynamic
    programming over the distinct sizes.

    Parameters
    ----------
    sizes : list of int
        Nodes per graph; empty graphs go into no block.
    overhead : float
        Cost of a block, in cells.
    max_blocks : int, optional
        The most blocks allowed; 1 pads all graphs to the largest.

    Returns
    -------
    list of list of int
        The graphs of each block.

    Examples
    --------
    >>> cut([3, 100, 4, 0, 99], overhead=1000)
    [[0, 2], [4, 1]]
    >>> cut([3, 100, 4, 0, 99], overhead=1000, max_blocks=1)
    [[0, 2, 4, 1]]
    """
    counts = np.asarray(sizes, dtype=np.int64)
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    if not len(order):
        return []
    distinct, per_size = np.unique(counts[order], return_counts=True)
    before = np.concatenate([[0], np.cumsum(per_size)])
    while True:
        cost = np.zeros(len(distinct) + 1)
        start_of = np.zeros(len(distinct) + 1, dtype=np.int64)
        for end in range(1, len(distinct) + 1):
            cells = (before[end] - before[:end]) * float(distinct[end - 1]) ** 2
            total = cost[:end] + cells + overhead
            start_of[end] = np.argmin(total)
            cost[end] = total[start_of[end]]
        blocks, end = [], len(distinct)
        while end > 0:
            start = int(start_of[end])
            blocks.append(order[before[start] : before[end]].tolist())
            end = start
        if max_blocks is None or len(blocks) <= max_blocks:
            return blocks[::-1]
        overhead = 2 * overhead + 1


def plan(distances: PairDistances, columns: int, max_blocks: int | None = None) -> list[Block]:
    """Return the dense blocks of a batch; computed once and kept with its distances.

    Parameters
    ----------
    distances : PairDistances
        Of the batch.
    columns : int
        Columns of the decay table, the last being that of unreachable pairs.
    max_blocks : int, optional
        The most blocks allowed.
    """
    key = ("blocks", columns, max_blocks)
    if key not in distances.plans:
        overhead = BLOCK_OVERHEAD.get(distances.device.type, BLOCK_OVERHEAD["cuda"])
        groups = cut(distances.sizes, overhead, max_blocks)
        distances.plans[key] = [_block(distances, group, columns) for group in groups]
    return distances.plans[key]


def _block(distances: PairDistances, graphs: list[int], columns: int) -> Block:
    device = distances.device
    counts = torch.tensor(distances.sizes)
    node_start, pair_start = counts.cumsum(0) - counts, counts.square().cumsum(0) - counts.square()
    chosen = torch.tensor(graphs)
    n, first_node, first_pair = (part[chosen] for part in (counts, node_start, pair_start))
    size = int(n.max())
    position = torch.arange(size)
    real = position < n[:, None]
    both = real[:, :, None] & real[:, None, :]
    node = first_node[:, None] + position
    pair = first_pair[:, None, None] + position[:, None] * n[:, None, None] + position
    pairs = pair[both].to(device)
    cells = both.flatten().nonzero()[:, 0].to(device)
    found = distances.values.to(torch.int64)[pairs]
    column = torch.full((len(graphs) * size * size,), columns - 1, device=device)
    column[cells] = found.masked_fill(found == distances.unreachable, columns - 1)
    return Block(
        graphs=len(graphs),
        size=size,
        nodes=node[real].to(device),
        slots=real.flatten().nonzero()[:, 0].to(device),
        pairs=pairs,
        cells=cells,
        padding=None if bool(real.all()) else ~real[:, None, None, :].to(device),
        column=column.view(len(graphs), size, size),
    )
