"""Graph of a batch on a device that the installed DGL has no build for."""

from functools import cache
from typing import TypeAlias

import dgl
import torch
from jaxtyping import Int64, Integer
from torch import Tensor


class EdgeList:
    """Edges of a batch of graphs, where no :class:`dgl.DGLGraph` can be: on a GPU with a CPU build of DGL.

    Has those methods of ``DGLGraph`` that this package's message passing calls, and no others. Tensors have
    any device.

    Parameters
    ----------
    src, dst : Tensor
        Shape (edges,), integer: the ends of the edges, nodes of all graphs counted together.
    num_nodes : int
        Nodes of all graphs.
    node_counts, edge_counts : Tensor
        Shape (graphs,), int64: nodes and edges of each graph.

    Examples
    --------
    >>> pair = torch.tensor([0, 1])
    >>> graph = EdgeList(pair, pair.flip(0), 2, torch.tensor([2]), torch.tensor([2]))
    >>> graph.num_nodes(), graph.num_edges(), graph.edges()[1].tolist()
    (2, 2, [1, 0])
    """

    def __init__(
        self,
        src: Integer[Tensor, " edges"],
        dst: Integer[Tensor, " edges"],
        num_nodes: int,
        node_counts: Int64[Tensor, " graphs"],
        edge_counts: Int64[Tensor, " graphs"],
    ) -> None:
        # As indices, of which torch takes int64 alone.
        self._ends = (src.long(), dst.long())
        self._num_nodes = num_nodes
        self._counts = (node_counts, edge_counts)

    @property
    def device(self) -> torch.device:
        """Device of the edges."""
        return self._ends[0].device

    @property
    def batch_size(self) -> int:
        """Number of graphs."""
        return len(self._counts[0])

    def num_nodes(self) -> int:
        """Return the number of nodes of all graphs."""
        return self._num_nodes

    def num_edges(self) -> int:
        """Return the number of edges of all graphs."""
        return len(self._ends[0])

    def edges(self) -> tuple[Int64[Tensor, " edges"], Int64[Tensor, " edges"]]:
        """Return the ends of all edges."""
        return self._ends

    def batch_num_nodes(self) -> Int64[Tensor, " graphs"]:
        """Return the number of nodes of each graph."""
        return self._counts[0]

    def batch_num_edges(self) -> Int64[Tensor, " graphs"]:
        """Return the number of edges of each graph."""
        return self._counts[1]

    def to(self, device: torch.device | str) -> "EdgeList":
        """Return the same edges on another device."""
        src, dst, nodes, edges = (part.to(device) for part in (*self._ends, *self._counts))
        return EdgeList(src, dst, self._num_nodes, nodes, edges)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"a list of edges has no {name!r}: the installed DGL has no graphs on this device; "
            "use the CPU, or a DGL with CUDA (environment.yml)"
        )


Graph: TypeAlias = dgl.DGLGraph | EdgeList
"""Graph of a batch, on which message passing runs."""


@cache
def dgl_has_graphs_on(device_type: str) -> bool:
    """Return whether the installed DGL has graphs on a kind of device."""
    if device_type == "cpu":
        return True
    try:
        dgl.graph(([0], [0])).to(device_type)
    except (dgl.DGLError, RuntimeError):
        return False
    return True


def batched_graph(
    src: Int64[Tensor, " edges"],
    dst: Int64[Tensor, " edges"],
    num_nodes: int,
    node_counts: Int64[Tensor, " graphs"],
    edge_counts: Int64[Tensor, " graphs"],
) -> Graph:
    """Return the graph of a batch: DGL's wherever DGL has graphs on that device, else an `EdgeList`."""
    if not dgl_has_graphs_on(src.device.type):
        return EdgeList(src, dst, num_nodes, node_counts, edge_counts)
    graph = dgl.graph((src, dst), num_nodes=num_nodes)
    graph.set_batch_num_nodes(node_counts)
    graph.set_batch_num_edges(edge_counts)
    return graph


def moved(graph: Graph, device: torch.device | str) -> Graph:
    """Return a graph on another device, as a list of edges where DGL has no graphs there."""
    device = torch.device(device)
    if isinstance(graph, EdgeList) or dgl_has_graphs_on(device.type):
        return graph.to(device)
    src, dst = graph.edges()
    counts = graph.batch_num_nodes().long(), graph.batch_num_edges().long()
    return EdgeList(src.long(), dst.long(), graph.num_nodes(), *counts).to(device)
