"""Graphormer of DGL's modules: the baseline that adds a bias to attention logits by distance."""

from typing import Any

import torch
from dgl.nn import DegreeEncoder, GraphormerLayer, SpatialEncoder
from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.graphs.edge_list import Graph
from gradformer_dgl.kernels.attention.block_plan import Block, plan
from gradformer_dgl.kernels.message_passing.aggregate import degrees, endpoints
from gradformer_dgl.models.base import InputOptions, LayeredModel, distances_of, make_head
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.pairs.sparse import SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, GraphError


class Graphormer(LayeredModel):
    r"""Transformer over the nodes of a graph with degree embeddings and attention biased by distance.

    .. math::

        x_i &\leftarrow x_i + z^-_{\deg^-(i)} + z^+_{\deg^+(i)} \\
        A_{hij} &= \mathrm{softmax}_j\left(\frac{q_{hi} \cdot k_{hj}}{\sqrt{d}} + b_{h,\psi(i,j)}
            + \sum_{e: i \to j} c_{h,e}\right)

    A layer normalises first: ``x + attention(norm(x))``, then ``x + mlp(norm(x))`` with GELU, and nodes are
    normalised once more after the last layer. All layers share the biases of distances and edges.

    Parameters
    ----------
    out_size : int
        Outputs per graph (or per node).
    feat_size, num_layers, num_heads : int
        Channels, divisible by ``num_heads``; layers; attention heads in each. The hidden layer of a
        feed-forward network is twice as wide, as in :class:`GradformerLayer`.
    readout, head
        See :class:`Gradformer`.
    max_degree : int
        Larger degrees share an embedding. Degree 0 has none.
    max_distance : int
        Larger distances, in hops, share a bias. Unreachable pairs have the bias 0.
    dropout, attn_drop : float
        Dropout of activations and of attention weights.
    **options
        The options of :class:`~gradformer_dgl.models.base.InputOptions`; edge features become a bias of each
        head.

    Raises
    ------
    ConfigError
        If an option makes no sense.

    Notes
    -----
    Ying et al., "Do Transformers Really Perform Bad for Graph Representation?", NeurIPS 2021, built of
    :class:`dgl.nn.DegreeEncoder`, :class:`dgl.nn.SpatialEncoder` and :class:`dgl.nn.GraphormerLayer`. It
    differs from the paper in two ways. There is no virtual node: the readout is that of the other models,
    and so are tasks on nodes. And edge features bias the pairs that an edge joins, in place of averages
    along shortest paths, which would need the paths and not their lengths alone.

    Graphs of like size are padded to the largest of them and pass through the layers together. The outputs
    do not depend on the padding, whose bias is minus infinity.

    Examples
    --------
    >>> from gradformer_dgl import GraphBatch, PairDistances
    >>> import dgl
    >>> model = Graphormer(out_size=2, feat_size=16, num_layers=2, node_size=7)
    >>> graph = dgl.graph(([0, 1], [1, 0]))
    >>> distances = PairDistances(torch.tensor([0, 1, 1, 0], dtype=torch.uint8), torch.tensor([2]))
    >>> model(GraphBatch(graph, distances, node_features=torch.rand(2, 7))).shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        out_size: int,
        feat_size: int = 64,
        num_layers: int = 4,
        num_heads: int = 4,
        *,
        max_degree: int = 64,
        max_distance: int = 20,
        dropout: float = 0.0,
        attn_drop: float = 0.0,
        readout: str | None = "sum",
        head: str = "linear",
        **options: Any,
    ) -> None:
        if num_heads < 1 or feat_size % num_heads:
            raise ConfigError(
                f"feat_size must be divisible by num_heads, but {feat_size} is not by {num_heads}"
            )
        for name, size in [("max_degree", max_degree), ("max_distance", max_distance)]:
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, but is {size}")
        inputs = InputOptions.of(options)
        super().__init__(out_size, feat_size, num_layers, inputs, edge_channels=num_heads, readout=readout)
        self.degree_encoder = DegreeEncoder(max_degree, feat_size)
        self.spatial_encoder = SpatialEncoder(max_distance, num_heads)
        self.layers = nn.ModuleList(
            GraphormerLayer(
                feat_size,
                2 * feat_size,
                num_heads,
                attn_bias_type="add",
                norm_first=True,
                dropout=dropout,
                attn_dropout=attn_drop,
                activation=nn.GELU(),
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(feat_size)
        self.head = make_head(head, feat_size, out_size)

    def transform(
        self, batch: GraphBatch, x: Tensor, edges: Tensor | None, encodings: Tensor | None
    ) -> Float[Tensor, "nodes channels"]:
        distances = distances_of(batch)
        if isinstance(distances, SparsePairDistances):
            raise GraphError("Graphormer biases all pairs: give it PairDistances, or a dense cache")
        if distances.num_nodes != len(x):
            raise GraphError(
                f"the batch has {len(x)} nodes, but the distances are those of {distances.num_nodes} nodes"
            )
        in_and_out = torch.stack(degrees(batch.graph, x.device))
        x = x + self.degree_encoder(in_and_out[:, None])[0]
        of_pairs = None if edges is None else _at_pairs(batch.graph, distances, edges.to(x.dtype))
        unreachable = distances.num_distances
        # An empty batch too passes through the layers, whose gradients other processes may wait for.
        blocks = plan(distances, unreachable + 1) or [_empty_block(x.device)]
        outputs = []
        for block in blocks:
            hops = block.column.masked_fill(block.column == unreachable, -1)
            bias = self.spatial_encoder(hops)
            if of_pairs is not None:
                cells = bias.flatten(0, 2).index_add(0, block.cells, of_pairs[block.pairs].to(bias.dtype))
                bias = cells.view_as(bias)
            if block.padding is not None:
                bias = bias.masked_fill(block.padding.view(block.graphs, 1, block.size, 1), -torch.inf)
            padded = x.new_zeros(block.graphs * block.size, x.shape[1])
            padded = padded.index_copy(0, block.slots, x[block.nodes])
            padded = padded.view(block.graphs, block.size, x.shape[1])
            for layer in self.layers:
                padded = layer(padded, bias)
            outputs.append(padded.flatten(0, 1)[block.slots])
        order = torch.cat([block.nodes for block in blocks])
        return self.norm(torch.empty_like(x).index_copy(0, order, torch.cat(outputs)))


def _at_pairs(
    graph: Graph, distances: PairDistances, edges: Float[Tensor, "edges heads"]
) -> Float[Tensor, "pairs heads"]:
    """Return what each edge gives at the pair of its ends, pairs in the order of the distances."""
    src, dst = endpoints(graph, edges.device)
    counts = distances.node_counts
    graph_of_node = torch.arange(len(counts), device=src.device).repeat_interleave(
        counts, output_size=distances.num_nodes
    )
    number = graph_of_node[src]
    first = (counts.cumsum(0) - counts)[number]
    pairs = distances.offsets[number] + (src - first) * counts[number] + dst - first
    return edges.new_zeros(len(distances.values), edges.shape[1]).index_add(0, pairs, edges)


def _empty_block(device: torch.device) -> Block:
    none = torch.zeros(0, dtype=torch.int64, device=device)
    return Block(0, 1, none, none, none, none, None, none.view(0, 1, 1))
