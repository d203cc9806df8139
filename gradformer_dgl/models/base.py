"""The two bases of models: what training asks of any model, and encoders, readout and head around layers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradformer_dgl.data.batch import GraphBatch
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.nn.encoders import (
    EDGE_ENCODERS,
    NODE_ENCODERS,
    StructuralEncoder,
    make_encoder,
)
from gradformer_dgl.nn.registry import HEADS, READOUTS
from gradformer_dgl.pairs.sparse import Distances
from gradformer_dgl.support.did_you_mean import suggestion
from gradformer_dgl.support.errors import ConfigError, GraphError

Size = int | Sequence[int] | None
_Model = TypeVar("_Model", bound="GraphModel")


@runtime_checkable
class DataSizes(Protocol):
    """Sizes of the data that a model needs: a data set has them, or its description in a run folder."""

    @property
    def level(self) -> str: ...
    @property
    def out_size(self) -> int: ...
    @property
    def node_encoder(self) -> str: ...
    @property
    def node_size(self) -> Any: ...
    @property
    def edge_encoder(self) -> str | None: ...
    @property
    def edge_size(self) -> Any: ...


class GraphModel(nn.Module):
    """Base of all models that training, prediction and plots take.

    A subclass maps a batch to outputs. The class methods say how a model is made of settings, and what it
    needs beside the features, distances and encodings of a batch: most models need nothing else.
    """

    node_encoder: nn.Module | None
    edge_encoder: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.node_encoder = self.edge_encoder = None

    @classmethod
    def from_settings(
        cls: type[_Model], data: DataSizes, settings: Mapping[str, Any], **fitted: Any
    ) -> _Model:
        """Return a freshly initialised model.

        Parameters
        ----------
        data : GraphDataset or DatasetInfo
            The data that the model is for.
        settings : mapping of str to object
            All settings of the run by name.
        **fitted
            What :meth:`fit` has found in the training graphs.
        """
        raise NotImplementedError

    @classmethod
    def prepare(cls, graphs: PackedGraphs, settings: Mapping[str, Any]) -> PackedGraphs:
        """Return the graphs with encodings that this model computes itself."""
        return graphs

    @classmethod
    def fit(cls, graphs: PackedGraphs, settings: Mapping[str, Any], training: Tensor) -> dict[str, Any]:
        """Return what the model has to know of the training graphs, numbers of shape (chosen,)."""
        return {}

    @classmethod
    def fitted(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return what :meth:`fit` found, from saved weights of the model."""
        return {}

    def reads_edge_features(self, kind: str | None) -> bool:
        """Return whether the model reads edge features of a kind: "number", "category" or "flag"."""
        return self.edge_encoder is not None

    def forward(self, batch: GraphBatch) -> Float[Tensor, "rows out"]:
        """Return the outputs of a batch, (graphs, out_size), or (nodes, out_size) for tasks on nodes."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class InputOptions:
    """Options of a model for what comes in: features of nodes and edges, and a node encoding.

    Parameters
    ----------
    node_encoder : {"linear", "embedding", "ogb"} or nn.Module
        The encoder of node features. In "concat" mode a module of one's own must give
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
    """

    node_encoder: str | nn.Module = "linear"
    node_size: Size = None
    edge_encoder: str | nn.Module | None = None
    edge_size: Size = None
    encoding: str | None = None
    encoding_mode: str = "add"
    encoding_feat_size: int | None = None
    encoding_norm: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "InputOptions":
        """Return the options given by name.

        Raises
        ------
        ConfigError
            For a name that is none of them.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                raise ConfigError(f"no option is called {name!r}{suggestion(name, known)}")
        return cls(**options)


class LayeredModel(GraphModel):
    """Base of models with encoders before the layers, and a readout and a head after.

    A subclass makes its layers, then the head, and defines :meth:`transform`.

    Parameters
    ----------
    out_size : int
        Outputs per graph (or per node).
    feat_size, num_layers : int
        Channels and layers.
    inputs : InputOptions
        Encoders.
    edge_channels : int, optional
        Channels of encoded edge features; ``feat_size`` if not given.
    readout : str or None
        How nodes make a graph; None for one output per node.

    Raises
    ------
    ConfigError
        If an option makes no sense.

    Examples
    --------
    >>> from gradformer_dgl import GraphBatch
    >>> import dgl
    >>> class OneLayer(LayeredModel):
    ...     def __init__(self, node_size):
    ...         super().__init__(3, 5, 1, InputOptions(node_size=node_size))
    ...         self.head = make_head("linear", 5, 3)
    ...
    ...     def transform(self, batch, x, edges, encodings):
    ...         return x.relu()
    >>> OneLayer(7)(GraphBatch(dgl.rand_graph(2, 1), node_features=torch.rand(2, 7))).shape
    torch.Size([1, 3])
    """

    head: nn.Module
    node_encoder: nn.Module

    def __init__(
        self,
        out_size: int,
        feat_size: int,
        num_layers: int,
        inputs: InputOptions,
        edge_channels: int | None = None,
        readout: str | None = "sum",
    ) -> None:
        super().__init__()
        for name, size in [("out_size", out_size), ("feat_size", feat_size), ("num_layers", num_layers)]:
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, but is {size}")
        if inputs.encoding_mode not in ("add", "concat"):
            raise ConfigError(
                f"encoding_mode must be one of add, concat, but is {inputs.encoding_mode!r}"
                f"{suggestion(inputs.encoding_mode, ('add', 'concat'))}"
            )
        self.readout = None if readout is None else READOUTS.load(readout)
        self.encoding, self.encoding_mode = inputs.encoding, inputs.encoding_mode
        node_channels = feat_size
        self.structural_encoder = None
        if inputs.encoding is not None:
            channels = feat_size
            if inputs.encoding_mode == "concat":
                given = inputs.encoding_feat_size
                channels = feat_size // 4 if given is None else given
                if not 0 < channels < feat_size:
                    raise ConfigError(
                        f"encoding_feat_size must be above 0 and below feat_size, which is {feat_size}, "
                        f"but is {channels}"
                    )
                node_channels = feat_size - channels
            columns = _columns(inputs.encoding)
            self.structural_encoder = StructuralEncoder(columns, channels, inputs.encoding_norm)
        self.node_encoder = make_encoder(NODE_ENCODERS, inputs.node_encoder, inputs.node_size, node_channels)
        if inputs.edge_encoder is not None:
            self.edge_encoder = make_encoder(
                EDGE_ENCODERS, inputs.edge_encoder, inputs.edge_size, edge_channels or feat_size
            )

    @classmethod
    def from_settings(
        cls: type[_Model], data: DataSizes, settings: Mapping[str, Any], **fitted: Any
    ) -> _Model:
        """Return a freshly initialised model, see :class:`GraphModel`; a subclass adds its own options."""
        return cls(**common_arguments(data, settings), **edge_arguments(data), **fitted)

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
        if batch.node_features is None:
            raise GraphError("the batch has no node features")
        # Under autocast a linear encoder gives bfloat16; what layers add up is not rounded to it.
        dtype = next(self.head.parameters()).dtype
        x = self.node_encoder(batch.node_features).to(dtype)
        encodings = None
        if self.structural_encoder is not None:
            assert self.encoding is not None
            # Gates of message passing are given the normalised encodings too, as in the published model.
            encodings = self.structural_encoder.normalize(encoding_of(batch, self.encoding)).to(dtype)
            encoded = self.structural_encoder.linear(encodings)
            x = x + encoded if self.encoding_mode == "add" else torch.cat([x, encoded], dim=1)
        edges = None
        if self.edge_encoder is not None:
            if batch.edge_features is None:
                raise GraphError("the batch has no edge features, which the model's edge encoder needs")
            edges = self.edge_encoder(batch.edge_features)
        x = self.transform(batch, x, edges, encodings)
        if self.readout is not None:
            x = self.readout(x, batch.node_counts)
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = self.head(x)
        return out

    def transform(
        self, batch: GraphBatch, x: Tensor, edges: Tensor | None, encodings: Tensor | None
    ) -> Float[Tensor, "nodes channels"]:
        """Run the layers on encoded nodes (nodes, feat_size) and encoded edges, if there are any."""
        raise NotImplementedError


def common_arguments(data: DataSizes, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that all layered models share, from the data and the settings of a run."""
    encoding = settings["encoding"]
    return {
        "out_size": data.out_size,
        "node_encoder": data.node_encoder,
        "node_size": data.node_size,
        "encoding": None if encoding == "none" else encoding,
        "encoding_feat_size": settings["encoding_feat_size"] or None,
        "readout": None if data.level == "node" else settings["readout"],
    } | {
        name: settings[name]
        for name in (
            "feat_size",
            "num_layers",
            "num_heads",
            "encoding_mode",
            "encoding_norm",
            "dropout",
            "attn_drop",
            "head",
        )
    }


def edge_arguments(data: DataSizes) -> dict[str, Any]:
    """Return the arguments of a model that reads edge features."""
    return {"edge_encoder": data.edge_encoder, "edge_size": data.edge_size}


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
    module: nn.Module = HEADS.load(head)(feat_size, out_size)
    return module


def distances_of(batch: GraphBatch) -> Distances:
    """Return the distances of a batch; raise GraphError where it has none."""
    if batch.distances is None:
        raise GraphError("the batch has no distances: preprocess the graphs and attach the cache")
    return batch.distances


def encoding_of(batch: GraphBatch, name: str) -> Tensor:
    """Return an encoding of a batch, (nodes, columns); raise GraphError where it is missing."""
    if name not in batch.encodings:
        there = ", ".join(batch.encodings) or "none"
        raise GraphError(f"the batch has no encoding {name!r} (there are: {there})")
    return batch.encodings[name]


def _columns(encoding: str) -> int:
    columns = encoding.rpartition(":")[2]
    if not columns.isdecimal() or int(columns) < 1:
        raise ConfigError(
            f"an encoding is named with its number of columns, like 'rwse:20', but this is {encoding!r}"
        )
    return int(columns)
