"""A data set with what a model needs to know about it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.support.errors import DataError


@dataclass(frozen=True)
class FeatureSource:
    """Source of the feature columns, from which those of other graphs are made the same way.

    Parameters
    ----------
    molecules : str, optional
        Key of :data:`~gradformer_dgl.data.readers.molecule_features.TABLES`, for features of SMILES.
    unsanitized : bool
        Molecules that fail RDKit's checks are read without them.
    degrees : bool
        Node columns are degrees, one-hot.
    node_labels, edge_labels : tuple of tuple of int
        Values that occur in each column of labels, in the order of their one-hot columns (behind those of
        attributes) or categories.
    """

    molecules: str | None = None
    unsanitized: bool = False
    degrees: bool = False
    node_labels: tuple[tuple[int, ...], ...] = ()
    edge_labels: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class GraphDataset:
    """Packed graphs, their task, and the encoders that fit their features.

    Parameters
    ----------
    name : str
        As in the catalogue.
    graphs : PackedGraphs
        Graphs, features and labels.
    task : {"multiclass", "binary", "multilabel", "regression"}
        Labels are (graphs,) int64 classes for ``"multiclass"``, and (graphs, out_size) float32 for the
        others (nodes in place of graphs where ``level`` is ``"node"``). A missing label is -1 or NaN.
    level : {"graph", "node"}
        Owner of a label.
    out_size : int
        Classes for ``"multiclass"``, else columns of the labels.
    node_encoder, edge_encoder : str or None
        Encoder of features: ``"linear"``, ``"embedding"``, ``"ogb"`` or None.
    node_size, edge_size : int, tuple of int or None
        Columns for ``"linear"``; categories for ``"embedding"``, one number per column if there are several.
    splits : dict of str to Tensor, optional
        Fixed ``"train"``, ``"val"`` and ``"test"`` graph numbers; None: drawn at random by seed.
    node_splits : dict of str to Tensor, optional
        The same with node numbers, where the data set is one graph.
    output_names : tuple of str
        Names of the classes for ``"multiclass"``, else of the columns of the labels; empty: not known.
    source : FeatureSource
        Where the columns of features come from.

    Examples
    --------
    >>> import dgl, torch
    >>> graphs = [dgl.graph(([0, 1], [1, 0])), dgl.graph(([0], [0]))]
    >>> for graph in graphs:
    ...     graph.ndata["feat"] = torch.ones(graph.num_nodes(), 5)
    >>> packed = PackedGraphs.from_graphs(graphs, labels=[0, 1])
    >>> data = GraphDataset(
    ...     "two", packed, task="multiclass", level="graph", out_size=2, node_encoder="linear", node_size=5
    ... )
    >>> len(data), data.splits
    (2, None)
    """

    name: str
    graphs: PackedGraphs
    task: str
    level: str
    out_size: int
    node_encoder: str
    node_size: Any
    edge_encoder: str | None = None
    edge_size: Any = None
    splits: dict[str, Int64[Tensor, " _"]] | None = None
    node_splits: dict[str, Int64[Tensor, " _"]] | None = None
    output_names: tuple[str, ...] = ()
    source: FeatureSource = field(default_factory=FeatureSource)

    def __post_init__(self) -> None:
        if self.node_splits is not None and not self.splits_nodes:
            raise DataError(f"{self.name} has {len(self)} graphs: parts of nodes go with one graph")

    def __len__(self) -> int:
        return len(self.graphs)

    @property
    def splits_nodes(self) -> bool:
        """True for one graph whose nodes are trained on, validated and tested."""
        return self.level == "node" and self.graphs.splits_nodes

    @property
    def labelled(self) -> Int64[Tensor, " _"]:
        """Numbers (labelled,) of the graphs that have a label, or nodes where it :attr:`splits_nodes`."""
        labels = self.graphs.labels
        if labels is None or (self.level == "node" and not self.splits_nodes):
            return torch.arange(len(self))
        return _is_given(labels).reshape(len(labels), -1).any(1).nonzero()[:, 0]

    def check_classes(self) -> None:
        """Raise :class:`DataError` where all labels of a multi-class or binary task are equal."""
        labels = self.graphs.labels
        if labels is None or self.task not in ("multiclass", "binary"):
            return
        given = labels[_is_given(labels)]
        if len(given) and bool((given == given[0]).all()):
            raise DataError(f"all labels of {self.name} are of one class; a {self.task} task needs two")


def _is_given(labels: Tensor) -> Tensor:
    return ~labels.isnan() if labels.is_floating_point() else labels >= 0
