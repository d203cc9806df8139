"""One batch of graphs, with all that a model reads."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from gradformer_dgl.graphs.edge_list import Graph, moved
from gradformer_dgl.pairs.sparse import Distances


@dataclass
class GraphBatch:
    """Several graphs as one, with distances, features and labels.

    Parameters
    ----------
    graph : dgl.DGLGraph or EdgeList
        The batched graph (``batch_num_nodes()`` gives the parts).
    distances : PairDistances, SparsePairDistances or None
        Shortest-path distances of the same graphs.
    node_features, edge_features : Tensor or None
        Shape (rows, columns), float; or (rows,) or (rows, columns), int64 categories; in the graph's order.
    encodings : dict of str to Tensor
        Node encodings by name, e.g. ``"rwse:20"``: shape (nodes, 20), float32.
    labels : Tensor or None
        Shape (graphs, ...) or (nodes, ...).
    node_counts : Tensor, optional
        Shape (graphs,), int64; taken from the distances or the graph if not given.

    Examples
    --------
    >>> import dgl, torch
    >>> batch = GraphBatch(dgl.batch([dgl.rand_graph(3, 4), dgl.rand_graph(2, 1)]))
    >>> batch.num_graphs, batch.node_counts.tolist()
    (2, [3, 2])
    """

    graph: Graph
    distances: Distances | None = None
    node_features: Shaped[Tensor, "nodes *columns"] | None = None
    edge_features: Shaped[Tensor, "edges *edge_columns"] | None = None
    encodings: dict[str, Tensor] = field(default_factory=dict)
    labels: Tensor | None = None
    node_counts: Int64[Tensor, " graphs"] | None = None

    def __post_init__(self) -> None:
        if self.node_counts is None:
            if self.distances is not None:
                self.node_counts = self.distances.node_counts
            else:
                self.node_counts = self.graph.batch_num_nodes().to(torch.int64)

    @property
    def num_graphs(self) -> int:
        """Number of graphs."""
        assert self.node_counts is not None
        return len(self.node_counts)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "GraphBatch":
        """Return the same batch on another device."""
        return self._map(
            lambda part: (
                moved(part, device) if part is self.graph else part.to(device, non_blocking=non_blocking)
            )
        )

    def pin_memory(self) -> "GraphBatch":
        """Return the same batch with its tensors in page-locked memory."""
        return self._map(lambda part: part if part is self.graph else part.pin_memory())

    def _map(self, move: Callable[[Any], Any]) -> "GraphBatch":
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        encodings = {name: move(encoding) for name, encoding in parts.pop("encodings").items()}
        moved = {name: None if part is None else move(part) for name, part in parts.items()}
        return GraphBatch(encodings=encodings, **moved)
