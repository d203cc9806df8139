"""Many graphs as one sparse matrix of their edges, and cut into stacks of dense matrices of like size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import sparse

from gradformer_dgl.graphs.structures import GraphStructures

# Entries of the stacked matrices that are worked on at a time: a megabyte, which stays in the cache.
MOST_STACKED = 1 << 17


@dataclass(frozen=True)
class SimpleGraphs:
    """The edges of many graphs by source: no self loops, of parallel edges the one of least weight.

    ``offsets`` says where the edges of each node begin, ``targets`` where each edge ends: ascending for each
    node, numbered through all graphs. Weights are 1 where the graphs have none.
    """

    node_counts: Int64[np.ndarray, "graphs"]
    offsets: Int64[np.ndarray, "nodes_and_end"]
    targets: Int64[np.ndarray, "edges"]
    weights: Float64[np.ndarray, "edges"]

    @classmethod
    def of(
        cls, structures: GraphStructures, directed: bool, weights: np.ndarray | None = None
    ) -> "SimpleGraphs":
        """Collect the edges, with one weight for each; unless ``directed``, every edge both ways."""
        counts = structures.node_counts
        shift = np.repeat(np.cumsum(counts) - counts, structures.edge_counts)
        keep = structures.src != structures.dst
        sources, targets = (structures.src + shift)[keep], (structures.dst + shift)[keep]
        # The sum turns a negative zero, which has other bits, into the usual one.
        weights = np.ones(len(sources)) if weights is None else weights[keep] + 0.0
        if not directed:
            sources, targets = np.concatenate([sources, targets]), np.concatenate([targets, sources])
            weights = np.concatenate([weights, weights])
        order = np.lexsort((weights, targets, sources))
        sources, targets, weights = sources[order], targets[order], weights[order]
        first = np.ones(len(order), bool)
        first[1:] = (sources[1:] != sources[:-1]) | (targets[1:] != targets[:-1])
        degrees = np.bincount(sources[first], minlength=int(counts.sum()))
        return cls(counts, _ends(degrees), targets[first], weights[first])

    @property
    def node_starts(self) -> np.ndarray:
        """Number of the first node of each graph, and of all nodes, shape ``(graphs + 1,)``."""
        return _ends(self.node_counts)

    @property
    def pair_starts(self) -> np.ndarray:
        """Number of the first pair of each graph, and of all pairs, shape ``(graphs + 1,)``."""
        return _ends(np.square(self.node_counts))

    def groups(self, most_stacked: int | None = None) -> Iterator[np.ndarray]:
        """Yield the numbers of graphs of equal size, as many as make a stack; none without nodes."""
        most_stacked = MOST_STACKED if most_stacked is None else most_stacked
        for size in np.unique(self.node_counts[self.node_counts > 0]).tolist():
            graphs = np.flatnonzero(self.node_counts == size)
            step = max(1, most_stacked // size**2)
            yield from (graphs[first : first + step] for first in range(0, len(graphs), step))

    def nodes_of(self, graphs: np.ndarray) -> np.ndarray:
        """Return the numbers of the nodes of graphs of equal size, shape ``(graphs, nodes)``."""
        return self.node_starts[graphs, None] + np.arange(self.node_counts[graphs[0]])

    def stacked(self, graphs: np.ndarray, absent: float) -> np.ndarray:
        """Return the weights between all nodes of graphs of equal size, shape ``(graphs, nodes, nodes)``."""
        nodes = self.nodes_of(graphs)
        number, size = nodes.shape
        degrees = np.diff(self.offsets)[nodes.ravel()]
        edges = np.repeat(self.offsets[nodes.ravel()] - _ends(degrees)[:-1], degrees)
        edges += np.arange(len(edges))
        rows = np.repeat(np.arange(number * size), degrees)
        stack = np.full((number * size, size), absent)
        stack[rows, self.targets[edges] - nodes[rows // size, 0]] = self.weights[edges]
        return stack.reshape(number, size, size)

    def matrix(self, graph: int | None = None) -> sparse.csr_array:
        """Return the weights of one graph's edges, or of all graphs' along the diagonal; zeros are stored."""
        start, stop = (0, int(self.node_counts.sum())) if graph is None else self.node_starts[graph:][:2]
        offsets = self.offsets[start : stop + 1]
        edges = slice(offsets[0], offsets[-1])
        # SciPy before 1.15 searches graphs with indices of 32 bits only.
        fits = max(stop - start, edges.stop - edges.start) <= np.iinfo(np.int32).max
        index = np.int32 if fits else np.int64
        indices, ends = (self.targets[edges] - start).astype(index), (offsets - offsets[0]).astype(index)
        return sparse.csr_array((self.weights[edges], indices, ends), shape=(stop - start, stop - start))


def _ends(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])
