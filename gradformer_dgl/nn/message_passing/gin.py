"""Graph isomorphism network."""

from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.graphs.edge_list import Graph
from gradformer_dgl.kernels.message_passing.aggregate import sum_neighbors
from gradformer_dgl.nn.message_passing.base import MessagePassing
from gradformer_dgl.nn.mlp import Perceptron


class GIN(MessagePassing):
    r"""Graph isomorphism network: :math:`\mathrm{mlp}(x_v + \sum_{u \to v} x_u)`.

    Parameters
    ----------
    feat_size : int
        Channels in, hidden and out.

    Notes
    -----
    Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019, equation 4.1 with epsilon = 0.

    Examples
    --------
    >>> import dgl, torch
    >>> GIN(feat_size=5)(dgl.rand_graph(3, 7), torch.rand(3, 5)).shape
    torch.Size([3, 5])
    """

    def __init__(self, feat_size: int) -> None:
        super().__init__()
        self.mlp = Perceptron(
            nn.Linear(feat_size, feat_size), nn.ReLU(inplace=True), nn.Linear(feat_size, feat_size)
        )

    def forward(
        self,
        graph: Graph,
        x: Float[Tensor, "nodes channels"],
        edge_features: Tensor | None = None,
        encodings: Tensor | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        return self.mlp(sum_neighbors(graph, x).add_(x))
