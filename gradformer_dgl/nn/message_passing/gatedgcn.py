"""Gated graph convolution, optionally with a gate on the distance of the nodes' encodings."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.graphs.edge_list import Graph
from gradformer_dgl.kernels.message_passing.aggregate import endpoints, gated_mean
from gradformer_dgl.nn.message_passing.base import MessagePassing


class GatedGCN(MessagePassing):
    r"""Residual gated graph convolution.

    .. math::

        \sigma_{uv} &= \mathrm{sigmoid}(D x_v + E x_u + C e_{uv}) \\
        y_v &= x_v + \mathrm{relu}\left(\mathrm{BatchNorm}\left(A x_v +
            \frac{\sum_{u \to v} \sigma_{uv} \odot B x_u}{\sum_{u \to v} \sigma_{uv} + 10^{-6}}\right)\right)

    With ``encoding_gate`` every :math:`\sigma_{uv}` is multiplied by a learned function of
    :math:`\lVert p_v - p_u \rVert^2`, the squared distance of the nodes' encodings. Edge features that
    are not given count as 0.

    Parameters
    ----------
    feat_size : int
        Channels of nodes and edges.
    encoding_gate : bool
        Whether to use encodings.

    Notes
    -----
    Bresson and Laurent, "Residual Gated Graph ConvNets", 2017; the gate follows Dwivedi et al., "Graph
    Neural Networks with Learnable Structural and Positional Representations", ICLR 2022. Edge features
    are not updated.

    Examples
    --------
    >>> import dgl, torch
    >>> GatedGCN(feat_size=5)(dgl.rand_graph(3, 7), torch.rand(3, 5), torch.rand(7, 5)).shape
    torch.Size([3, 5])
    """

    takes_edge_features = True

    def __init__(self, feat_size: int, encoding_gate: bool = False) -> None:
        super().__init__()
        self.needs_encodings = encoding_gate
        self.self_weight = nn.Linear(feat_size, feat_size)
        self.message_weight = nn.Linear(feat_size, feat_size)
        self.gate_edge = nn.Linear(feat_size, feat_size)
        self.gate_target = nn.Linear(feat_size, feat_size)
        self.gate_source = nn.Linear(feat_size, feat_size)
        self.norm = nn.BatchNorm1d(feat_size)
        if encoding_gate:
            self.encoding_gate = nn.Sequential(
                nn.Linear(1, feat_size), nn.ReLU(inplace=True), nn.Linear(feat_size, 1), nn.Sigmoid()
            )

    def forward(
        self,
        graph: Graph,
        x: Float[Tensor, "nodes channels"],
        edge_features: Tensor | None = None,
        encodings: Tensor | None = None,
    ) -> Float[Tensor, "nodes channels"]:
        self.check(graph, x, edge_features, encodings)
        target, edges = self.gate_target(x), None
        if edge_features is None:
            target = target + self.gate_edge(x.new_zeros(1, x.shape[1]))
        else:
            edges = self.gate_edge(edge_features).to(x.dtype)
        scale = None
        if self.needs_encodings:
            assert encodings is not None
            src, dst = endpoints(graph, x.device)
            apart = (encodings[dst] - encodings[src]).square().sum(1, keepdim=True)
            scale = self.encoding_gate(apart).to(x.dtype)
        # Under autocast products are bfloat16, but the sums over edges keep the precision of x.
        projected = (target, self.gate_source(x), self.message_weight(x))
        target, origin, message = (part.to(x.dtype) for part in projected)
        gated = gated_mean(graph, target, origin, message, edges, scale)
        updated = self.norm(self.self_weight(x).to(x.dtype).add_(gated))
        return x + torch.relu_(updated)


class EncodingGatedGCN(GatedGCN):
    """Residual gated graph convolution with ``encoding_gate``; see :class:`GatedGCN`."""

    def __init__(self, feat_size: int) -> None:
        super().__init__(feat_size, encoding_gate=True)
