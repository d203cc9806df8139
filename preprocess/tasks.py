"""Tasks of like size, cut from a stream of graphs of any length: ranges of graphs, or rows of a large one."""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from gradformer_dgl.cache import format as cache_format
from gradformer_dgl.cache.writer import CachePlan, CacheSizes
from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.preprocess.encodings import NodeEncoding
from gradformer_dgl.support.errors import GraphError
from gradformer_dgl.support.memory import machine_memory

# Bytes of results of one part: some milliseconds of work, and what a worker holds in memory at a time.
PART_BYTES = 1 << 22
# Of little work the parts are smaller, so that no worker is left without.
LEAST_PART_BYTES = 1 << 18
LEAST_PARTS = 15
# A larger graph is cut into blocks of rows of about this size, which makes up for preparing it for each.
BLOCK_BYTES = 1 << 24
# Distances of so many sources are found at once.
ROWS_AT_ONCE = 256
# A pair of the sparse layout is its node and its distance.
SPARSE_PAIR_BYTES = 5
# Other distances are computed for a whole graph, in some matrices of double precision.
WHOLE_PAIR_BYTES = 40
SAMPLES, SAMPLE_ROWS = 4, 64


@dataclasses.dataclass(frozen=True)
class Task:
    """Input of one part, plain arrays and numbers that can be sent anywhere."""

    number: int
    structures: GraphStructures
    # The first and the one after the last, where it is some rows of one large graph.
    rows: tuple[int, int] | None
    before: CacheSizes
    plan: CachePlan
    encodings: tuple[NodeEncoding, ...]

    @property
    def begins_graphs(self) -> bool:
        """True where what is kept once per graph belongs to the part: not for later rows of a large graph."""
        return self.rows is None or self.rows[0] == 0

    @property
    def sizes(self) -> CacheSizes:
        """Graphs, nodes and pairs of the part."""
        counts = self.structures.node_counts
        if self.rows is None:
            return CacheSizes(len(counts), int(counts.sum()), self.structures.num_pairs)
        num_rows = self.rows[1] - self.rows[0]
        return CacheSizes(int(self.begins_graphs), num_rows, num_rows * int(counts[0]))


def part_bytes_for(structures: GraphStructures, plan: CachePlan, encodings: tuple[NodeEncoding, ...]) -> int:
    """Return the size of the parts into which all that there is to do is best cut."""
    fraction = int(_costs(structures, plan, encodings).sum()) // LEAST_PARTS
    return min(PART_BYTES, max(LEAST_PART_BYTES, fraction))


def cut_tasks(
    pieces: Iterable[GraphStructures],
    plan: CachePlan,
    encodings: tuple[NodeEncoding, ...],
    part_bytes: int | None = None,
) -> Iterator[Task]:
    """Yield the tasks of all graphs in order, each of some ``part_bytes`` of results."""
    number = 0
    before = CacheSizes(0, 0, 0)
    size = PART_BYTES if part_bytes is None else part_bytes

    def task(structures: GraphStructures, rows: tuple[int, int] | None = None) -> Task:
        nonlocal number, before
        made = Task(number, structures, rows, before, plan, encodings)
        number += 1
        before += made.sizes
        return made

    # Graphs that wait for others to fill a part with.
    waiting: list[GraphStructures] = []
    waiting_bytes = 0
    for piece in pieces:
        costs = _costs(piece, plan, encodings)
        for start, stop in _ranges(costs, size):
            part = piece.slice(start, stop)
            cost = int(costs[start:stop].sum())
            large = stop == start + 1 and cost > size
            if waiting and (large or waiting_bytes + cost > size):
                yield task(GraphStructures.concatenate(waiting))
                waiting, waiting_bytes = [], 0
            if not large:
                waiting.append(part)
                waiting_bytes += cost
                continue
            num_nodes = int(part.node_counts[0])
            row_bytes = _row_bytes(part, plan)
            _check_size(num_nodes, row_bytes, plan, before.graphs)
            block = _block_rows(num_nodes, row_bytes, plan)
            if block >= num_nodes:
                yield task(part)
                continue
            for first in range(0, num_nodes, block):
                yield task(part, (first, min(first + block, num_nodes)))
    if waiting:
        yield task(GraphStructures.concatenate(waiting))


def _costs(structures: GraphStructures, plan: CachePlan, encodings: tuple[NodeEncoding, ...]) -> np.ndarray:
    """Return the bytes of the results of each graph, and of the graph itself."""
    counts = structures.node_counts
    columns = sum(encoding.columns for encoding in encodings)
    pair = SPARSE_PAIR_BYTES if plan.layout == cache_format.SPARSE else 1 + 4 * len(plan.extra_distances)
    # The last term keeps graphs without nodes from making a part endless.
    return pair * np.square(counts) + 4 * columns * counts + structures.edge_counts + 1


def _ranges(costs: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of graphs of at most the size of a part; a larger graph is a range of its own."""
    ends = np.cumsum(costs)
    start = 0
    while start < len(costs):
        before = int(ends[start] - costs[start])
        stop = max(int(np.searchsorted(ends, before + size, side="right")), start + 1)
        yield start, stop
        start = stop


def _row_bytes(graph: GraphStructures, plan: CachePlan) -> float:
    """Return the memory that a row of a large graph takes."""
    if plan.layout == cache_format.SPARSE:
        return SPARSE_PAIR_BYTES * _mean_degree_within(graph, plan)
    return float(graph.node_counts[0]) * (WHOLE_PAIR_BYTES if plan.extra_distances else 1)


def _block_rows(num_nodes: int, row_bytes: float, plan: CachePlan) -> int:
    """Return the rows of a large graph that make one part: all, or whole groups that are searched at once."""
    if plan.extra_distances:
        return num_nodes
    return max(1, int(BLOCK_BYTES / row_bytes) // ROWS_AT_ONCE) * ROWS_AT_ONCE


def _mean_degree_within(graph: GraphStructures, plan: CachePlan) -> float:
    """Return the mean number of nodes within the cut-off of a node, from some of the nodes."""
    from gradformer_dgl.preprocess.sparse_pairs import packed_sparse_pairs

    num_nodes = int(graph.node_counts[0])
    found, rows = 0, 0
    for first in np.linspace(0, max(0, num_nodes - SAMPLE_ROWS), SAMPLES).astype(int).tolist():
        stop = min(first + SAMPLE_ROWS, num_nodes)
        options = (plan.directed, plan.max_distance)
        counts = packed_sparse_pairs(graph, np.uint16, *options, rows=(first, stop))[0]
        found, rows = found + int(counts.sum()), rows + stop - first
    return found / rows


def _check_size(num_nodes: int, row_bytes: float, plan: CachePlan, number: int) -> None:
    needed, memory = num_nodes * row_bytes, machine_memory()
    if needed <= memory:
        return
    if plan.layout == cache_format.SPARSE:
        what = "pairs within max_distance"
        advice = "choose a smaller max_distance"
    else:
        what = "distances of all its pairs"
        advice = (
            'keep those within a few hops only: layout="sparse", max_distance=3 '
            "(--layout sparse --max-distance 3)"
        )
    raise GraphError(
        f"graph {number} has {num_nodes:,} nodes: the {what} take about {needed / 2**30:,.0f} GiB, "
        f"this machine has {memory / 2**30:,.0f} GiB of memory; {advice}"
    )
