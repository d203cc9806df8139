"""Graph convolution with symmetric normalisation."""

from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.graphs.edge_list import Graph
from gradformer_dgl.kernels.message_passing.aggregate import degrees, sum_neighbors
from gradformer_dgl.nn.message_passing.base import MessagePassing


class GCN(MessagePassing):
    r"""Graph convolution over each node's neighbours and the node itself.

    .. math::

        y_v = b + W \sum_{u \in \mathcal{N}(v) \cup \{v\}} \frac{x_u}{\sqrt{(1 + d^-_v)(1 + d^+_u)}}

    with in-degrees :math:`d^-` and out-degrees :math:`d^+`, which are one and the same where the graph is
    undirected. It equals :class:`dgl.nn.GraphConv` on a graph to which :func:`dgl.add_self_loop` has added
    one self loop for each node; a self loop that the graph has counts besides. There is no activation.

    Parameters
    ----------
    feat_size : int
        Channels in and out.

    Notes
    -----
    Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017,
    equation 2.

    Examples
    --------
    >>> import dgl, torch
    >>> GCN(feat_size=5)(dgl.rand_graph(3, 7), torch.rand(3, 5)).shape
    torch.Size([3, 5])
    """

    def __init__(self, feat_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feat_size, feat_size)

    def forward(
        self,
        graph: Graph,
        x: Float[Tensor, "nodes channels"],
        edge_features: Tensor | None = None,
        encodings: Tensor | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        of_target, of_source = (
            (1 + degree).to(x.dtype).rsqrt()[:, None] for degree in degrees(graph, x.device)
        )
        scaled = of_source * x
        return self.linear(of_target * (scaled + sum_neighbors(graph, scaled)))
