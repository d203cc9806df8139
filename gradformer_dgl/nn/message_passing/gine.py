"""Graph isomorphism network with edge features."""

from jaxtyping import Float
from torch import Tensor

from gradformer_dgl.graphs.edge_list import Graph
from gradformer_dgl.kernels.message_passing.aggregate import add_activated
from gradformer_dgl.nn.message_passing.gin import GIN


class GINE(GIN):
    r"""GIN with edge features: :math:`\mathrm{mlp}(x_v + \sum_{u \to v} \mathrm{relu}(x_u + e_{uv}))`.

    Parameters
    ----------
    feat_size : int
        Channels in, hidden and out; edge features have as many.

    Notes
    -----
    Hu et al., "Strategies for Pre-training Graph Neural Networks", ICLR 2020.

    Examples
    --------
    >>> import dgl, torch
    >>> GINE(feat_size=5)(dgl.rand_graph(3, 7), torch.rand(3, 5), torch.rand(7, 5)).shape
    torch.Size([3, 5])
    """

    takes_edge_features = needs_edge_features = True

    def forward(
        self,
        graph: Graph,
        x: Float[Tensor, "nodes channels"],
        edge_features: Tensor | None = None,
        encodings: Tensor | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        self.check(graph, x, edge_features, encodings)
        assert edge_features is not None
        return self.mlp(add_activated(graph, x, edge_features.to(x.dtype)))
