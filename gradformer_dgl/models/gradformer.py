"""The whole model: encoders, layers with one shared decay, readout and head."""

from collections.abc import Callable, Sequence
from typing import SupportsFloat, cast

from jaxtyping import Float, Int64
from torch import Tensor, nn

from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.models.base import GraphModel, distances_of, make_head
from gradformer_dgl.nn.decay import Decay, make_decay
from gradformer_dgl.nn.layer import GradformerLayer
from gradformer_dgl.nn.message_passing import MessagePassing
from gradformer_dgl.support.errors import ConfigError


class Gradformer(GraphModel):
    r"""Graph transformer with exponential decay.

    Nodes are encoded, pass through layers of message passing and decay attention, and are read out to
    one output per graph or per node. All layers share the decay, and so its thresholds :math:`\tau`.

    Parameters
    ----------
    out_size : int
        Outputs per graph (or per node).
    feat_size : int
        Channels, divisible by ``num_heads``.
    num_layers, num_heads : int
        Layers, and attention heads in each.
    node_encoder : {"linear", "embedding", "ogb"} or nn.Module
        What turns node features into channels. In "concat" mode a module of one's own must give
        ``feat_size - encoding_feat_size`` channels.
    node_size : int or sequence of int, optional
        Columns for "linear"; categories for "embedding", a sequence for several columns.
    edge_encoder, edge_size
        The same for edge features; None for no edge features.
    encoding : str, optional
        Name of a node encoding of the batch, such as "rwse:20": its number of columns after the colon.
    encoding_mode : {"add", "concat"}
        Whether the encoding's channels are added to the node's, or stand after them.
    encoding_feat_size : int, optional
        Channels of the encoding in "concat" mode; a quarter if not given.
    encoding_norm : bool
        Batch norm of the raw encoding.
    colours : sequence of Tensor, optional
        For every round of colour refinement the colours that have weights of their own; see
        :class:`~gradformer_dgl.models.colour_weights.ColourWeights`. The batch must have an encoding
        ``"wl:R"`` for R rounds.
    colour_drop : float
        Chance that a colour is left out in training.
    colours_apart : bool
        Whether what the colours and the network say is averaged, not added up: :meth:`parts` has both, so
        that each can be trained on a loss of its own.
    colour_share : float
        Weight of the colours in that average, in [0, 1]; the network has the rest.
    colour_use : {"head", "embedding", "both"}
        Where the weights are added: to the outputs, read out as nodes are, to the encoded nodes before the
        first layer, or to both, with weights for each. An embedding is for colours that do not depend on
        the order of nodes, as counted ones do.
    message_passing : str, callable or None
        See :class:`GradformerLayer`; a callable makes a module for every layer of the channels.
    gamma, hop, slope, learn_hop
        See :class:`ExponentialDecay` (``learn_hop`` is its ``learnable``).
    decay : {"exponential", "none"} or nn.Module
        Which decay.
    distance_unit : float
        ``unit`` of :class:`ExponentialDecay`.
    attention : bool
        False leaves message passing alone: a plain message passing network with the rest unchanged.
    dropout, attn_drop, drop_path : float
        See :class:`GradformerLayer`.
    readout : {"sum", "mean", "max"} or None
        How nodes make a graph; None for one output per node.
    head : {"linear", "mlp"}
        What maps channels to outputs.

    Raises
    ------
    ConfigError
        If an option makes no sense.

    Notes
    -----
    Liu et al., "Gradformer: Graph Transformer with Exponential Decay", IJCAI 2024.

    Examples
    --------
    >>> from gradformer_dgl import GraphBatch, PairDistances
    >>> import dgl, torch
    >>> model = Gradformer(out_size=2, feat_size=16, num_layers=2, node_size=7)
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
        node_encoder: str | nn.Module = "linear",
        node_size: int | Sequence[int] | None = None,
        edge_encoder: str | nn.Module | None = None,
        edge_size: int | Sequence[int] | None = None,
        encoding: str | None = None,
        encoding_mode: str = "add",
        encoding_feat_size: int | None = None,
        encoding_norm: bool = False,
        colours: Sequence[Int64[Tensor, " _"]] | None = None,
        colour_drop: float = 0.0,
        colours_apart: bool = False,
        colour_share: float = 0.5,
        colour_use: str = "head",
        message_passing: str | Callable[[int], nn.Module] | None = "gin",
        gamma: float = 0.6,
        hop: SupportsFloat | Sequence[float] = 5.0,
        slope: float = 0.0,
        learn_hop: bool = True,
        decay: str | nn.Module = "exponential",
        distance_unit: float = 1.0,
        attention: bool = True,
        dropout: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        readout: str | None = "sum",
        head: str = "linear",
    ) -> None:
        super().__init__(
            out_size,
            feat_size,
            num_layers,
            node_encoder=node_encoder,
            node_size=node_size,
            edge_encoder=edge_encoder,
            edge_size=edge_size,
            encoding=encoding,
            encoding_mode=encoding_mode,
            encoding_feat_size=encoding_feat_size,
            encoding_norm=encoding_norm,
            colours=colours,
            colour_drop=colour_drop,
            colours_apart=colours_apart,
            colour_share=colour_share,
            colour_use=colour_use,
            readout=readout,
        )
        if isinstance(message_passing, nn.Module):
            raise ConfigError(
                "message_passing must be a name or a function that makes a module for each layer"
            )
        self.decay = None
        if attention:
            self.decay = make_decay(decay, num_heads, gamma, hop, slope, learn_hop, distance_unit)
        layers = [
            GradformerLayer(
                feat_size,
                num_heads,
                message_passing,
                dropout=dropout,
                attn_drop=attn_drop,
                drop_path=drop_path,
                decay=self.decay,
                attention=attention,
            )
            for _ in range(num_layers)
        ]
        for layer in layers:
            # Layers are given the table: the thresholds shall stand in the state dict once.
            layer.decay = None
        self.layers = nn.ModuleList(layers)
        self.head = make_head(head, feat_size, out_size)
        local = layers[0].message_passing
        if isinstance(local, MessagePassing):
            if local.needs_edge_features and self.edge_encoder is None:
                raise ConfigError(
                    f"message_passing={message_passing!r} needs edge features: give edge_encoder"
                )
            if local.needs_encodings and encoding is None:
                raise ConfigError(f"message_passing={message_passing!r} needs encodings: give encoding")

    def transform(
        self, batch: GraphBatch, x: Tensor, edges: Tensor | None, encodings: Tensor | None
    ) -> Float[Tensor, "nodes channels"]:
        table = None
        if self.decay is not None:
            distances = distances_of(batch)
            table = cast(Decay, self.decay).table(distances.num_distances)
        for layer in self.layers:
            x = layer(batch.graph, x, batch.distances, edges, encodings, table)
        return x
