"""What the models of a graph have in common: encoders before the layers, a readout and a head after."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.models.colour_weights import ColourWeights
from gradformer_dgl.nn.encoders import (
    EDGE_ENCODERS,
    NODE_ENCODERS,
    StructuralEncoder,
    make_encoder,
)
from gradformer_dgl.nn.readout import READOUTS
from gradformer_dgl.pairs.sparse import Distances
from gradformer_dgl.support.did_you_mean import suggestion
from gradformer_dgl.support.errors import ConfigError, GraphError

HEADS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": lambda feat_size, out_size: nn.Linear(feat_size, out_size),
    "mlp": lambda feat_size, out_size: nn.Sequential(
        nn.Linear(feat_size, feat_size // 2),
        nn.ReLU(),
        nn.Linear(feat_size // 2, feat_size // 4),
        nn.ReLU(),
        nn.Linear(feat_size // 4, out_size),
    ),
}
"""What maps channels to outputs, by name."""

COLOUR_USES = ("head", "embedding", "both")
"""Where the weights of colours are added: to the outputs, to the nodes before the first layer, or to both."""


class GraphModel(nn.Module):
    """What the models of a graph have in common: encoders before the layers, a readout and a head after.

    A subclass makes its layers, then the head, and defines :meth:`transform`. See :class:`Gradformer` for
    the parameters; ``edge_channels`` is the size of encoded edge features, ``feat_size`` if not given.

    Raises
    ------
    ConfigError
        If an option makes no sense.

    Examples
    --------
    >>> from gradformer_dgl import GraphBatch
    >>> import dgl
    >>> class Perceptron(GraphModel):
    ...     def __init__(self, node_size):
    ...         super().__init__(3, 5, 1, node_size=node_size)
    ...         self.head = make_head("linear", 5, 3)
    ...
    ...     def transform(self, batch, x, edges, encodings):
    ...         return x.relu()
    >>> Perceptron(7)(GraphBatch(dgl.rand_graph(2, 1), node_features=torch.rand(2, 7))).shape
    torch.Size([1, 3])
    """

    head: nn.Module

    def __init__(
        self,
        out_size: int,
        feat_size: int,
        num_layers: int,
        *,
        node_encoder: str | nn.Module = "linear",
        node_size: int | Sequence[int] | None = None,
        edge_encoder: str | nn.Module | None = None,
        edge_size: int | Sequence[int] | None = None,
        edge_channels: int | None = None,
        encoding: str | None = None,
        encoding_mode: str = "add",
        encoding_feat_size: int | None = None,
        encoding_norm: bool = False,
        colours: Sequence[Int64[Tensor, " _"]] | None = None,
        colour_drop: float = 0.0,
        colours_apart: bool = False,
        colour_share: float = 0.5,
        colour_use: str = "head",
        readout: str | None = "sum",
    ) -> None:
        super().__init__()
        for name, size in [("out_size", out_size), ("feat_size", feat_size), ("num_layers", num_layers)]:
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, but is {size}")
        _known(encoding_mode, ("add", "concat"), "encoding_mode")
        self.readout = None if readout is None else READOUTS[_known(readout, READOUTS, "readout")]
        self.encoding, self.encoding_mode = encoding, encoding_mode
        node_channels = feat_size
        self.structural_encoder = None
        if encoding is not None:
            channels = feat_size
            if encoding_mode == "concat":
                channels = feat_size // 4 if encoding_feat_size is None else encoding_feat_size
                if not 0 < channels < feat_size:
                    raise ConfigError(
                        f"encoding_feat_size must be above 0 and below feat_size, which is {feat_size}, "
                        f"but is {channels}"
                    )
                node_channels = feat_size - channels
            self.structural_encoder = StructuralEncoder(_columns(encoding), channels, encoding_norm)
        self.node_encoder = make_encoder(NODE_ENCODERS, node_encoder, node_size, node_channels)
        _known(colour_use, COLOUR_USES, "colour_use")
        if not 0 <= colour_share <= 1:
            raise ConfigError(f"colour_share must lie between 0 and 1, but is {colour_share}")
        self.colour_head = self.colour_embedding = None
        if colours and colour_use != "embedding":
            self.colour_head = ColourWeights(colours, out_size, colour_drop)
        if colours and colour_use != "head":
            self.colour_embedding = ColourWeights(colours, feat_size, colour_drop)
        self.colours_apart, self.colour_share = colours_apart, colour_share
        self.edge_encoder = None
        if edge_encoder is not None:
            self.edge_encoder = make_encoder(
                EDGE_ENCODERS, edge_encoder, edge_size, edge_channels or feat_size
            )

    def forward(self, batch: GraphBatch) -> Float[Tensor, "rows out"]:
        """Return the outputs of a batch.

        Parameters
        ----------
        batch : GraphBatch
            With distances, node features, and the edge features and encoding that the model uses.

        Returns
        -------
        Tensor
            Shape (graphs, out_size), or (nodes, out_size) without a readout.

        Raises
        ------
        GraphError
            If the batch lacks something the model uses, or it has another shape than expected.
        """
        return self.averaged(self.parts(batch))

    def parts(self, batch: GraphBatch) -> list[Float[Tensor, "rows out"]]:
        """Return the outputs of a batch, those of the network and of the colours apart if they are so.

        :meth:`averaged` makes the outputs of the model of them. Parameters and errors are those of
        :meth:`forward`.
        """
        if batch.node_features is None:
            raise GraphError("the batch has no node features")
        # Under autocast a linear encoder gives bfloat16; what layers add up is not rounded to it.
        dtype = next(self.head.parameters()).dtype
        x = self.node_encoder(batch.node_features).to(dtype)
        encodings = None
        if self.structural_encoder is not None:
            assert self.encoding is not None
            encodings = _encoding(batch, self.encoding).to(dtype)
            encoded = self.structural_encoder(encodings)
            x = x + encoded if self.encoding_mode == "add" else torch.cat([x, encoded], dim=1)
        if self.colour_embedding is not None:
            x = x + self.colour_embedding(_encoding(batch, self.colour_embedding.encoding))
        edges = None
        if self.edge_encoder is not None:
            if batch.edge_features is None:
                raise GraphError("the batch has no edge features, which the model's edge encoder needs")
            edges = self.edge_encoder(batch.edge_features)
        x = self._read_out(self.transform(batch, x, edges, encodings), batch)
        with torch.autocast(x.device.type, enabled=False):
            out = self.head(x)
        if self.colour_head is not None:
            of_nodes = self.colour_head(_encoding(batch, self.colour_head.encoding))
            of_colours = self._read_out(of_nodes, batch)
            return [out, of_colours] if self.colours_apart else [out + of_colours]
        return [out]

    def averaged(self, parts: Sequence[Float[Tensor, "rows out"]]) -> Float[Tensor, "rows out"]:
        """Return the outputs of the model, given its :meth:`parts`: each with its share."""
        return parts[0] if len(parts) == 1 else torch.lerp(parts[0], parts[1], self.colour_share)

    def _read_out(self, x: Tensor, batch: GraphBatch) -> Tensor:
        if self.readout is None:
            return x
        assert batch.node_counts is not None
        return self.readout(x, batch.node_counts)

    def transform(
        self, batch: GraphBatch, x: Tensor, edges: Tensor | None, encodings: Tensor | None
    ) -> Float[Tensor, "nodes channels"]:
        """Run the layers on encoded nodes (nodes, feat_size) and encoded edges, if there are any."""
        raise NotImplementedError


def make_head(head: str, feat_size: int, out_size: int) -> nn.Module:
    """Return the head of that name.

    Raises
    ------
    ConfigError
        If there is no such name, or no outputs.

    Examples
    --------
    >>> make_head("linear", 5, 3)
    Linear(in_features=5, out_features=3, bias=True)
    """
    if out_size < 1:
        raise ConfigError(f"out_size must be at least 1, but is {out_size}")
    return HEADS[_known(head, HEADS, "head")](feat_size, out_size)


def distances_of(batch: GraphBatch) -> Distances:
    """Return the distances of a batch; raise GraphError where it has none."""
    if batch.distances is None:
        raise GraphError("the batch has no distances: preprocess the graphs and attach the cache")
    return batch.distances


def _encoding(batch: GraphBatch, name: str) -> Tensor:
    if name not in batch.encodings:
        there = ", ".join(batch.encodings) or "none"
        raise GraphError(f"the batch has no encoding {name!r} (there are: {there})")
    return batch.encodings[name]


def _columns(encoding: str) -> int:
    _, _, columns = encoding.partition(":")
    if not columns.isdecimal() or int(columns) < 1:
        raise ConfigError(
            f"an encoding is named with its number of columns, like 'rwse:20', but this is {encoding!r}"
        )
    return int(columns)


def _known(choice: str, known: Sequence[str] | Mapping[str, object], option: str) -> str:
    if choice not in known:
        raise ConfigError(
            f"{option} must be one of {', '.join(known)}, but is {choice!r}{suggestion(choice, known)}"
        )
    return choice
