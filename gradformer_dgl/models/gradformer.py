"""The whole model: encoders, layers with one shared decay, readout and head."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.models.base import (
    DataSizes,
    InputOptions,
    LayeredModel,
    common_arguments,
    distances_of,
    edge_arguments,
    make_head,
)
from gradformer_dgl.nn.decay import Decay, make_decay
from gradformer_dgl.nn.layer import GradformerLayer
from gradformer_dgl.nn.message_passing import MessagePassing
from gradformer_dgl.nn.registry import DECAYS, DISTANCE_UNITS, MESSAGE_PASSING
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.support.registry import Option


class Gradformer(LayeredModel):
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
    message_passing : str, callable or None
        See :class:`GradformerLayer`; a callable makes a module for every layer of the channels.
    decay : str or nn.Module
        A name in the registry of decays, ``module:Class``, or a module.
    attention : bool
        False leaves message passing alone: a plain message passing network with the rest unchanged.
    dropout, attn_drop, drop_path : float
        See :class:`GradformerLayer`.
    readout : {"sum", "mean", "max"} or None
        How nodes make a graph; None for one output per node.
    head : {"linear", "mlp"}
        The map from channels to outputs.
    **options
        The options of :class:`~gradformer_dgl.models.base.InputOptions` (``node_size``, ``encoding``,
        ``edge_encoder``, ...); those of the decay: ``gamma``, ``hop``, ``slope``, ``learn_hop``; and
        ``distance_unit``, the ``unit`` of :class:`ExponentialDecay`.

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
        message_passing: str | Callable[[int], nn.Module] | None = "gin",
        decay: str | nn.Module = "exponential",
        attention: bool = True,
        dropout: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        readout: str | None = "sum",
        head: str = "linear",
        **options: Any,
    ) -> None:
        names = {option.name for option in (*_decay_options(decay), *DECAYS.all_options())}
        decay_options = {name: options.pop(name) for name in names & options.keys()}
        unit = options.pop("distance_unit", 1.0)
        super().__init__(out_size, feat_size, num_layers, InputOptions.of(options), readout=readout)
        if isinstance(message_passing, nn.Module):
            raise ConfigError(
                "message_passing must be a name or a function that makes a module for each layer"
            )
        self.decay = None
        if attention:
            self.decay = make_decay(decay, num_heads, unit, **decay_options)
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
        self._uses_edges = bool(getattr(local, "takes_edge_features", True))
        if isinstance(local, MessagePassing):
            if local.needs_edge_features and self.edge_encoder is None:
                raise ConfigError(
                    f"message_passing={message_passing!r} needs edge features: give edge_encoder"
                )
            if local.needs_encodings and self.encoding is None:
                raise ConfigError(f"message_passing={message_passing!r} needs encodings: give encoding")

    @classmethod
    def from_settings(
        cls,
        data: DataSizes,
        settings: Mapping[str, Any],
        **changed: Any,
    ) -> "Gradformer":
        """Return the model of a run; ``changed`` are arguments that a baseline has otherwise."""
        options = {name: settings[name] for name in ("message_passing", "decay", "drop_path")} | changed
        options["distance_unit"] = DISTANCE_UNITS[settings["distance"]]
        options |= {option.name: settings[option.name] for option in _decay_options(options["decay"])}
        if options["message_passing"] == "none":
            options["message_passing"] = None
        edges = edge_arguments(data) if _takes_edges(options["message_passing"]) else {}
        return cls(**common_arguments(data, settings), **options, **edges)

    def transform(
        self, batch: GraphBatch, x: Tensor, edges: Tensor | None, encodings: Tensor | None
    ) -> Float[Tensor, "nodes channels"]:
        table = None
        if self.decay is not None:
            distances = distances_of(batch)
            table = cast(Decay, self.decay).table(distances.num_distances)
        edges = edges if self._uses_edges else None
        for layer in self.layers:
            x = layer(batch.graph, x, batch.distances, edges, encodings, table)
        return x


def _decay_options(decay: str | nn.Module) -> tuple[Option, ...]:
    return DECAYS.part(decay).options if isinstance(decay, str) else DECAYS["exponential"].options


def _takes_edges(message_passing: str | None) -> bool:
    if message_passing is None:
        return False
    made = MESSAGE_PASSING.load(message_passing)
    return bool(getattr(made, "takes_edge_features", False))
