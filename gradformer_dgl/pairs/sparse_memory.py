"""Memory of sparse pairs and of a training step on them, estimated before the search."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64

from gradformer_dgl.graphs.structures import GraphStructures
from gradformer_dgl.support.errors import GraphError
from gradformer_dgl.support.memory import machine_memory

if TYPE_CHECKING:
    from gradformer_dgl.pairs.sparse import SparsePairDistances

SAMPLE = 1024
"""Nodes whose pairs are counted."""
SMALL = 20_000
"""Nodes below which only the largest graphs and a sample of the others are searched."""
LOOKED = 32
"""Number of the largest graphs, and of the sample."""
PAIR_BYTES = 13
"""Bytes of a pair during the search: 5, and half as many again, copied once, while the arrays grow."""
HUBS = 3
"""Nodes with the most neighbours that an error message names."""


@dataclass(frozen=True)
class PairEstimate:
    """Number of pairs within a cut-off, estimated from some nodes of a graph.

    Parameters
    ----------
    num_nodes : int
        Nodes of the graph.
    per_node : numpy.ndarray
        Shape (distances,): mean number of nodes within 0, 1, 2, ... hops of a node.
    """

    num_nodes: int
    per_node: Float64[np.ndarray, "distances"]

    def pairs(self, max_distance: int) -> float:
        """Return the number of pairs."""
        return self.num_nodes * float(self.per_node[min(max_distance, len(self.per_node) - 1)])

    def num_bytes(self, max_distance: int) -> float:
        """Return the memory of the search, in bytes."""
        return PAIR_BYTES * self.pairs(max_distance)

    def fitting(self, memory: float) -> int:
        """Return the largest cut-off whose search fits into ``memory`` bytes, 0 if none does."""
        sizes = [self.num_bytes(distance) for distance in range(len(self.per_node))]
        return max((distance for distance, size in enumerate(sizes) if size <= memory), default=0)


def estimate_pairs(
    structures: GraphStructures, max_distance: int, directed: bool = False, sample: int = SAMPLE
) -> PairEstimate:
    """Estimate the pairs of one graph at every cut-off up to ``max_distance`` from a ``sample`` of its nodes.

    Examples
    --------
    >>> ring = GraphStructures([9], [9], range(9), [*range(1, 9), 0])
    >>> estimate_pairs(ring, max_distance=2).per_node
    array([1., 3., 5.])
    """
    from gradformer_dgl.preprocess.sparse_pairs import packed_sparse_pairs

    num_nodes = int(structures.node_counts[0])
    # One by one: neighbouring ids often have much the same neighbourhood.
    blocks = [(0, num_nodes)]
    if num_nodes > sample:
        chosen = np.random.default_rng(0).choice(num_nodes, sample, replace=False)
        blocks = [(node, node + 1) for node in np.sort(chosen).tolist()]
    searched, histogram = 0, np.zeros(max_distance + 1, np.int64)
    for rows in blocks:
        found, _, _, _, by_distance = packed_sparse_pairs(
            structures, np.uint8, directed, max_distance, rows=rows
        )
        histogram[: len(by_distance)] += by_distance
        searched += len(found)
    per_node = np.cumsum(histogram) / max(1, searched)
    # A sample may miss the neighbours of a hub, whose pairs are known.
    of_hub = max(pairs_of_hubs(structures, directed, most=1).values(), default=0)
    per_node[2:] = np.maximum(per_node[2:], of_hub / max(1, num_nodes))
    return PairEstimate(num_nodes, per_node)


def pairs_of_hubs(structures: GraphStructures, directed: bool = False, most: int = HUBS) -> dict[int, int]:
    """Count the pairs within two hops that each of the ``most`` nodes with the most neighbours adds.

    All neighbours of a hub are at most two hops apart: a hub with k of them adds (k + 1) ** 2 pairs. Returns
    pairs by node, most first.

    Examples
    --------
    >>> star = GraphStructures([5], [4], [0, 0, 0, 0], [1, 2, 3, 4])
    >>> pairs_of_hubs(star, most=2)
    {0: 25, 1: 4}
    """
    src, dst = structures.src, structures.dst
    ends = np.bincount(np.concatenate([src, dst]), minlength=int(structures.node_counts[0]))
    found = {}
    for node in np.argsort(-ends, kind="stable")[:most].tolist():
        after, before = dst[(src == node) & (dst != node)], src[(dst == node) & (src != node)]
        if not directed:
            after = before = np.concatenate([after, before])
        found[node] = (len(np.unique(after)) + 1) * (len(np.unique(before)) + 1)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def require_memory(
    structures: GraphStructures,
    max_distance: int,
    directed: bool = False,
    memory: int | None = None,
    node_bytes: float = 0.0,
) -> None:
    """Raise an error if a search, and a training step beside its pairs, does not fit into memory.

    Parameters
    ----------
    structures : GraphStructures
        The graphs; none is searched where all their pairs would fit.
    max_distance, directed
        Cut-off in hops; whether edges are followed from source to destination only.
    memory : int, optional
        Bytes there are; those of this machine if not given.
    node_bytes : float
        Bytes per node of a training step, as ``training.step_memory.step_bytes`` measures them.

    Raises
    ------
    GraphError
        With the size, the cut-off that would fit, and the fraction of the pairs that each hub adds.
    """
    memory = machine_memory() if memory is None else memory
    sizes = structures.node_counts.astype(np.float64)
    if PAIR_BYTES * np.square(sizes).sum() + node_bytes * sizes.sum() <= memory:
        return
    order = np.argsort(-sizes, kind="stable")
    alone = max(LOOKED, int((sizes >= SMALL).sum()))
    taken = 0.0
    for graph in np.sort(order[:alone]).tolist():
        part = structures.slice(graph, graph + 1)
        found = estimate_pairs(part, max_distance, directed)
        step = node_bytes * found.num_nodes
        taken += found.num_bytes(max_distance) + step
        if taken <= memory:
            continue
        others = taken - found.num_bytes(max_distance)
        fits = found.fitting(memory - others)
        advice = "no cut-off fits"
        if fits:
            advice = f"max_distance={fits} would take {_gib(found.num_bytes(fits) + others)}"
        beside = f", and a training step another {_gib(step)}" if step else ""
        if others > step:
            beside += f", beside {_gib(others - step)} of the graphs before it"
        raise GraphError(
            f"graph {graph} of {found.num_nodes:,} nodes has about {found.pairs(max_distance):,.0f} pairs "
            f"within {max_distance} hops, which take {_gib(found.num_bytes(max_distance))}{beside}; "
            f"this machine has {_gib(memory)} of memory: {advice}"
            + _hubs(part, found.pairs(max_distance), max_distance, directed)
        )
    rest = order[alone:]
    if len(rest):
        pairs = _pairs_of_many(structures, rest, max_distance, directed)
        taken += PAIR_BYTES * pairs + node_bytes * sizes[rest].sum()
        if taken > memory:
            raise GraphError(
                f"{len(rest):,} of {len(sizes):,} graphs have about {pairs:,.0f} pairs within {max_distance} "
                f"hops, and all together take {_gib(taken)}; this machine has {_gib(memory)} of memory: take "
                "fewer graphs at a time, or a smaller max_distance"
            )


def _pairs_of_many(
    structures: GraphStructures, graphs: np.ndarray, max_distance: int, directed: bool
) -> float:
    """Estimate the number of pairs of many graphs from a sample of them."""
    looked = graphs
    if len(graphs) > LOOKED:
        looked = np.random.default_rng(0).choice(graphs, LOOKED, replace=False)
    nodes, pairs = 0, 0.0
    for graph in looked.tolist():
        found = estimate_pairs(structures.slice(graph, graph + 1), max_distance, directed)
        nodes, pairs = nodes + found.num_nodes, pairs + found.pairs(max_distance)
    return pairs * float(structures.node_counts[graphs].sum()) / max(1, nodes)


def require_step(
    sparse: "SparsePairDistances", node_bytes: float, beside: float = 0.0, memory: int | None = None
) -> float:
    """Return the bytes of a training step, about; raise an error if it does not fit beside the sparse pairs.

    Parameters
    ----------
    sparse : SparsePairDistances
        On the CPU.
    node_bytes : float
        Bytes per node, as ``training.step_memory.step_bytes`` measures them.
    beside : float
        Bytes of other data.
    memory : int, optional
        Bytes there are; those of this machine if not given.

    Raises
    ------
    GraphError
        With the size, and the cut-off that would fit.

    Examples
    --------
    >>> from gradformer_dgl import SparsePairDistances
    >>> sparse = SparsePairDistances.from_graph(([0, 1, 2], [1, 2, 3], 4), max_distance=2)
    >>> require_step(sparse, node_bytes=1000)
    4000.0
    """
    memory = machine_memory() if memory is None else memory
    step = float(node_bytes * sparse.num_nodes)
    found = torch.bincount(sparse.distances, minlength=sparse.max_distance + 1).numpy()
    pairs = np.cumsum(found, dtype=np.float64)
    sizes = sparse.indptr.nbytes + (sparse.indices.itemsize + sparse.distances.itemsize) * pairs
    if step + beside + sizes[-1] <= memory:
        return step
    fits = int(np.flatnonzero(step + beside + sizes <= memory).max(initial=0))
    advice = "no cut-off fits, but fewer channels or layers may"
    if fits:
        advice = f"max_distance={fits} would take {_gib(step + beside + sizes[fits])}"
    raise GraphError(
        f"a training step on {sparse.num_nodes:,} nodes takes about {_gib(step)}, and "
        f"{sparse.num_pairs:,} pairs within {sparse.max_distance} hops and other data "
        f"{_gib(beside + sizes[-1])}; this machine has {_gib(memory)} of memory: {advice}"
    )


def _hubs(structures: GraphStructures, pairs: float, max_distance: int, directed: bool) -> str:
    if max_distance < 2:
        return ""
    percentages = [
        f"node {node} adds {min(100, 100 * count / max(1, pairs)):.2g} %"
        for node, count in pairs_of_hubs(structures, directed).items()
    ]
    return f" (of the pairs, the neighbourhood of {', of '.join(percentages)})"


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB"
