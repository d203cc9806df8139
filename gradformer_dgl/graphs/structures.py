"""Structures of many graphs as four arrays, from which distances, encodings and fingerprints are computed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64

from gradformer_dgl.support.errors import GraphError

# Graphs converted at a time: enough to make DGL's cost per call small, few enough to keep memory low.
BATCH_SIZE = 4096
MOST_NODES = np.iinfo(np.int32).max


@dataclass(frozen=True)
class GraphStructures:
    """Edges of many graphs, one graph after the other, without any object per graph.

    Parameters
    ----------
    node_counts : numpy.ndarray
        Nodes of each graph, shape ``(graphs,)``.
    edge_counts : numpy.ndarray
        Edges of each graph, shape ``(graphs,)``; an undirected edge may be listed once or in both directions.
    src, dst : numpy.ndarray
        Source and destination of every edge, shape ``(edges,)``, as node ids local to their graph:
        edges of graph 0 first, then those of graph 1, and so on.
    weights : numpy.ndarray, optional
        Length of every edge, shape ``(edges,)``; only weighted distances read them.

    Raises
    ------
    GraphError
        Where counts are negative or do not add up, or an edge names a node that its graph does not have.

    Examples
    --------
    >>> from gradformer_dgl.preprocess import GraphStructures
    >>> structures = GraphStructures([3, 2], [2, 1], [0, 1, 0], [1, 2, 1])
    >>> len(structures), structures.num_pairs
    (2, 13)
    >>> structures.slice(1, 2).node_counts
    array([2])
    """

    node_counts: Int64[np.ndarray, "graphs"]
    edge_counts: Int64[np.ndarray, "graphs"]
    src: Int32[np.ndarray, "edges"]
    dst: Int32[np.ndarray, "edges"]
    weights: Float64[np.ndarray, "edges"] | None

    def __init__(self, node_counts: Any, edge_counts: Any, src: Any, dst: Any, weights: Any = None) -> None:
        object.__setattr__(self, "node_counts", _counts(node_counts, "node_counts"))
        object.__setattr__(self, "edge_counts", _counts(edge_counts, "edge_counts"))
        if len(self.node_counts) != len(self.edge_counts):
            raise GraphError(
                f"{len(self.node_counts)} node counts but {len(self.edge_counts)} edge counts: "
                "give one of each per graph"
            )
        src, dst = _integers(src, "src"), _integers(dst, "dst")
        if not len(src) == len(dst) == self.edge_counts.sum():
            raise GraphError(
                f"the edge counts add up to {self.edge_counts.sum()}, "
                f"but src has {len(src)} and dst {len(dst)} entries"
            )
        self._check_ids(src, dst)
        object.__setattr__(self, "src", np.ascontiguousarray(src, dtype=np.int32))
        object.__setattr__(self, "dst", np.ascontiguousarray(dst, dtype=np.int32))
        object.__setattr__(self, "weights", None if weights is None else self._as_weights(weights))

    def _as_weights(self, weights: Any) -> np.ndarray:
        array = np.asarray(weights)
        if array.shape != self.src.shape or array.dtype.kind not in "biuf":
            raise GraphError(
                f"weights must be one number for each of the {len(self.src)} edges, "
                f"got {array.dtype} of shape {array.shape}"
            )
        return np.ascontiguousarray(array, dtype=np.float64)

    def _check_ids(self, src: np.ndarray, dst: np.ndarray) -> None:
        bound = np.repeat(self.node_counts, self.edge_counts)
        wrong = (src < 0) | (dst < 0) | (src >= bound) | (dst >= bound)
        if wrong.any():
            edge = int(wrong.argmax())
            graph, local = self.place_of_edge(edge)
            raise GraphError(
                f"edge {local} of graph {graph} goes from node {src[edge]} to node {dst[edge]}, "
                f"but the graph has {self.node_counts[graph]} nodes (ids start at 0)"
            )

    @classmethod
    def from_graphs(cls, graphs: Any, edge_weight: str | None = None) -> "GraphStructures":
        """Collect the structure of graphs of any supported kind.

        Parameters
        ----------
        graphs : iterable
            Each item a DGLGraph, a networkx graph (any node labels; nodes in the graph's own order), a square
            SciPy sparse matrix (a stored non-zero at ``[i, j]`` is an edge from i to j), a triple
            ``(src, dst, num_nodes)``, or a tuple that begins with a DGLGraph, networkx graph or matrix
            (an item of a data set: graph, label). Consumed once, a few thousand graphs at a time.
        edge_weight : str, optional
            Read the lengths of edges too: the edge feature of a DGLGraph or the edge attribute of a networkx
            graph that has this name, the stored values of a matrix, the fourth member of
            ``(src, dst, num_nodes, weights)``.

        Raises
        ------
        GraphError
            Where an item is no graph, or not a valid one.

        Examples
        --------
        >>> import networkx as nx
        >>> from gradformer_dgl.preprocess import GraphStructures
        >>> GraphStructures.from_graphs([nx.path_graph(3), ([0, 1], [1, 0], 2)]).node_counts
        array([3, 2])
        """
        return cls.concatenate(_converted(_items(graphs), edge_weight))

    @classmethod
    def concatenate(cls, parts: Iterable["GraphStructures"]) -> "GraphStructures":
        """Return the graphs of all parts, one part after the other; a single part as it is."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        none = np.empty(0, np.int64)
        return cls(
            np.concatenate([none, *(part.node_counts for part in parts)]),
            np.concatenate([none, *(part.edge_counts for part in parts)]),
            np.concatenate([none, *(part.src for part in parts)], dtype=np.int32, casting="unsafe"),
            np.concatenate([none, *(part.dst for part in parts)], dtype=np.int32, casting="unsafe"),
            _joined([part.weights for part in parts]),
        )

    @cached_property
    def _edge_offsets(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.edge_counts)])

    def place_of_edge(self, edge: int) -> tuple[int, int]:
        """Return the graph of an edge, and its number within the graph."""
        graph = int(np.searchsorted(self._edge_offsets, edge, side="right")) - 1
        return graph, edge - int(self._edge_offsets[graph])

    @property
    def num_pairs(self) -> int:
        """Number of node pairs: the sum of squared node counts."""
        return int(np.square(self.node_counts).sum())

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Node counts, edge counts, sources and destinations, as compiled functions take them."""
        return self.node_counts, self.edge_counts, self.src, self.dst

    def __len__(self) -> int:
        return len(self.node_counts)

    def slice(self, start: int, stop: int) -> "GraphStructures":
        """Return the graphs from ``start`` to before ``stop``, a view of the arrays."""
        first, end = self._edge_offsets[start], self._edge_offsets[stop]
        part = object.__new__(GraphStructures)
        part.__dict__.update(
            node_counts=self.node_counts[start:stop],
            edge_counts=self.edge_counts[start:stop],
            src=self.src[first:end],
            dst=self.dst[first:end],
            weights=None if self.weights is None else self.weights[first:end],
        )
        return part


def as_structures(graphs: Any, edge_weight: str | None = None) -> GraphStructures:
    """Return the structure of whatever holds graphs: structures, a packed data set, an iterable of either."""
    return GraphStructures.concatenate(structure_stream(graphs, edge_weight))


def structure_stream(graphs: Any, edge_weight: str | None = None) -> Iterator[GraphStructures]:
    """Return the structure of graphs piece by piece, a few thousand graphs converted at a time."""
    if isinstance(graphs, GraphStructures):
        return iter((graphs,))
    if callable(getattr(graphs, "structures", None)):
        return iter((graphs.structures(),))
    return _converted(_items(graphs), edge_weight)


def _converted(items: Iterator[Any], edge_weight: str | None) -> Iterator[GraphStructures]:
    from gradformer_dgl.graphs.from_dgl_networkx_scipy import edges_of_all

    first = 0
    for packed, run in groupby(items, key=lambda item: isinstance(item, GraphStructures)):
        if packed:
            for piece in run:
                yield piece
                first += len(piece)
            continue
        while batch := list(islice(run, BATCH_SIZE)):
            yield GraphStructures(*edges_of_all(batch, first, edge_weight))
            first += len(batch)


def _joined(weights: list[np.ndarray | None]) -> np.ndarray | None:
    given = [part for part in weights if part is not None]
    if 0 < len(given) < len(weights):
        raise GraphError("some graphs have edge weights and others have none: give all of them weights")
    return np.concatenate(given) if given else None


def _items(graphs: Any) -> Iterator[Any]:
    from gradformer_dgl.graphs.from_dgl_networkx_scipy import is_graph

    if is_graph(graphs):
        raise GraphError("expected graphs (a list, a data set, an iterable), got a single one: give [graph]")
    if isinstance(graphs, Mapping):
        raise GraphError(
            "expected graphs (a list, a data set, an iterable), "
            f"got {type(graphs).__name__}: give its values()"
        )
    if hasattr(graphs, "__len__") and hasattr(graphs, "__getitem__"):
        # A DGL data set has items; plain iteration would run on to an IndexError that not all of them raise.
        return (graphs[index] for index in range(len(graphs)))
    try:
        return iter(graphs)
    except TypeError:
        raise GraphError(
            f"expected graphs (a list, a data set, an iterable), got {type(graphs).__name__}"
        ) from None


def _integers(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise GraphError(f"{name} must have one dimension, got shape {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise GraphError(f"{name} must hold integers, got {array.dtype}")
    return array if array.size else array.astype(np.int64)


def _counts(values: Any, name: str) -> np.ndarray:
    array = _integers(values, name).astype(np.int64, copy=False)
    if array.size and (array.min() < 0 or array.max() > MOST_NODES):
        graph = int(((array < 0) | (array > MOST_NODES)).argmax())
        raise GraphError(f"{name} of graph {graph} is {array[graph]}: it must be between 0 and {MOST_NODES}")
    return np.ascontiguousarray(array)
