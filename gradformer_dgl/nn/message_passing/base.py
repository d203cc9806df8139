"""Base class of message passing modules."""

from torch import Tensor, nn

from gradformer_dgl.graphs.edge_list import Graph
from gradformer_dgl.support.errors import GraphError


class MessagePassing(nn.Module):
    """Base of message passing modules: called as ``module(graph, x, edge_features, encodings)``.

    Attributes
    ----------
    takes_edge_features, needs_edge_features, needs_encodings : bool
        What the module uses where it is given, and what it cannot do without.

    Examples
    --------
    The sum of the neighbours, for a layer to take as ``message_passing=Sum()``:

    >>> from gradformer_dgl.kernels.message_passing.aggregate import sum_neighbors
    >>> import dgl, torch
    >>> class Sum(MessagePassing):
    ...     def forward(self, graph, x, edge_features=None, encodings=None):
    ...         return sum_neighbors(graph, x)
    >>> Sum()(dgl.graph(([0, 1], [2, 2])), torch.eye(3))[2]
    tensor([1., 1., 0.])
    """

    takes_edge_features = False
    needs_edge_features = False
    needs_encodings = False

    def check(self, graph: Graph, x: Tensor, edge_features: Tensor | None, encodings: Tensor | None) -> None:
        """Raise GraphError where features are missing or of another shape than the graph needs."""
        name = type(self).__name__
        if self.needs_edge_features and edge_features is None:
            raise GraphError(f"{name} needs edge features; pass edge_features, or choose 'gin'")
        if self.takes_edge_features and edge_features is not None:
            wanted = (graph.num_edges(), x.shape[1])
            if edge_features.shape != wanted:
                raise GraphError(
                    f"{name} needs edge features of the shape {wanted} (edges, channels), "
                    f"but has {tuple(edge_features.shape)}"
                )
        if self.needs_encodings:
            if encodings is None:
                raise GraphError(f"{name} with a distance gate needs node encodings; pass encodings")
            if encodings.ndim != 2 or len(encodings) != len(x):
                raise GraphError(
                    f"{name} needs encodings of the shape ({len(x)}, columns), "
                    f"but has {tuple(encodings.shape)}"
                )
