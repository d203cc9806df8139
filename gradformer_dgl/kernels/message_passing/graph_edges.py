"""Edges of a graph in the forms that message passing reads, found once for all layers and steps."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import dgl
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.graphs.edge_list import EdgeList, Graph

Value = TypeVar("Value")


class PerGraph(Generic[Value]):
    """Cache of a value per graph, until the graph is deleted or its nodes or edges change in place.

    Parameters
    ----------
    make : callable
        Called with a graph; returns its value.

    Examples
    --------
    >>> sizes, graph = PerGraph(lambda graph: graph.num_edges()), dgl.graph(([0], [1]))
    >>> before = sizes[graph]
    >>> graph.add_edges([1], [0])
    >>> before, sizes[graph]
    (1, 2)
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make
        self._known: WeakKeyDictionary[Graph, tuple[object, Value]] = WeakKeyDictionary()

    def __getitem__(self, graph: Graph) -> Value:
        # A DGLGraph that changes in place gets another structure; an EdgeList does not change.
        structure = None if isinstance(graph, EdgeList) else graph._graph
        known = self._known.get(graph)
        if known is None or known[0] is not structure:
            known = self._known[graph] = (structure, self._make(graph))
        return known[1]


def edges_of(graph: Graph) -> tuple[Int64[Tensor, " edges"], Int64[Tensor, " edges"]]:
    """Return sources and destinations (edges,), whatever formats a graph is restricted to.

    Examples
    --------
    >>> [part.tolist() for part in edges_of(dgl.graph(([2, 0], [1, 2])).formats("csc"))]
    [[2, 0], [1, 2]]
    """
    if not isinstance(graph, EdgeList) and not lists_edges(graph):
        graph = graph.formats("coo")
    src, dst = graph.edges()
    return src.long(), dst.long()


def lists_edges(graph: dgl.DGLGraph) -> bool:
    """Tell whether a graph has a COO list of its edges, as DGL's kernels need, or may make one.

    Examples
    --------
    >>> graph = dgl.graph(([0], [1]))
    >>> lists_edges(graph), lists_edges(graph.formats("csc"))
    (True, False)
    """
    return "coo" in _formats(graph)


def incoming_of(graph: dgl.DGLGraph) -> tuple[Int64[Tensor, " begins"], ...]:
    """Return the incoming edges as CSC: indptr (nodes + 1,), sources (edges,) and edge numbers (edges,).

    Examples
    --------
    >>> [part.tolist() for part in incoming_of(dgl.graph(([0, 2, 1], [1, 0, 1])))]
    [[0, 1, 3, 3], [2, 0, 1], [1, 0, 2]]
    """
    if "csc" not in _formats(graph):
        graph = graph.formats("csc")
    return tuple(part.long() for part in graph.adj_tensors("csc"))


def _formats(graph: dgl.DGLGraph) -> list[str]:
    """Return the formats that a graph has or may make."""
    formats = graph.formats()
    return [*formats["created"], *formats["not created"]]
