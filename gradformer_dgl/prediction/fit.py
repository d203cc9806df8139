"""Features of new graphs in the form of the training data."""

import copy
import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

import dgl
import torch
from torch import Tensor

from gradformer_dgl.data import GraphDataset, PackedGraphs
from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.data.dgl_features import AUTO, FeatureKey
from gradformer_dgl.data.readers.label_encoding import label_codes, one_hot
from gradformer_dgl.pairs.ragged_rows import starts_of
from gradformer_dgl.support.errors import DataError, GraphError

_logger = logging.getLogger("gradformer_dgl")


@dataclasses.dataclass(frozen=True)
class FeatureFit:
    """Bring graphs into the form of the training data that ``info`` describes.

    ``node_key`` and ``edge_key`` choose features of DGL graphs; see
    :func:`gradformer_dgl.data.dgl_features.frame_features`.
    """

    info: DatasetInfo
    uses_edges: bool
    node_key: FeatureKey = AUTO
    edge_key: FeatureKey = AUTO

    def packed(self, graphs: PackedGraphs | GraphDataset | Iterable[Any]) -> PackedGraphs:
        """Return graphs, or pairs of a DGL graph and a label, as packed ones that the run can read.

        In packed graphs features stand as in training: places of labels among their values, or one-hot. In
        DGL graphs integers are the labels themselves.
        """
        if isinstance(graphs, GraphDataset):
            return self.fitted(graphs.graphs)
        if isinstance(graphs, PackedGraphs):
            return self.fitted(graphs)
        if isinstance(graphs, dgl.DGLGraph):
            raise GraphError("this is one graph: give a list, [graph]")
        bare = [item[0] if isinstance(item, (tuple, list)) else item for item in graphs]
        packed = PackedGraphs.from_graphs(
            bare,
            [0] * len(bare),
            node_features=None if self.info.source.degrees else self.node_key,
            edge_features=self.edge_key if self.uses_edges else None,
        )
        return self.fitted(packed, raw_labels=True)

    def fitted(self, graphs: PackedGraphs, raw_labels: bool = False) -> PackedGraphs:
        """Return packed graphs with the features that the run reads, or refuse them.

        ``raw_labels``: integers are labels, not their places among the values of the training data.
        """
        info, fitted = self.info, copy.copy(graphs)
        fitted.labels, fitted.distances, fitted.encodings = None, None, {}
        if info.source.degrees:
            fitted.node_features = _degrees(graphs, info.node_size)
        else:
            nodes = _Side("node", info.node_size, info.node_kind, info.source.node_labels)
            fitted.node_features = nodes.fitted(graphs.node_features, graphs.num_nodes, raw_labels)
        fitted.edge_features = None
        if self.uses_edges:
            edges = _Side("edge", info.edge_size, info.edge_kind, info.source.edge_labels)
            fitted.edge_features = edges.fitted(graphs.edge_features, graphs.num_edges, raw_labels)
        return fitted


@dataclasses.dataclass(frozen=True)
class _Side:
    """Form of the features of nodes, or of edges."""

    of: str
    size: Any
    kind: str | None
    labels: tuple[tuple[int, ...], ...]

    def fitted(self, features: Tensor | None, rows: int, raw_labels: bool) -> Tensor:
        if features is None and rows:
            raise DataError(f"the graphs have no {self.of} features, but the run takes {self._description()}")
        if features is None or not rows:
            features = torch.empty(0, self._columns, dtype=torch.long)
        columns = features[:, None] if features.ndim == 1 else features.flatten(1)
        if raw_labels and rows and self.labels and not _is_continuous(columns):
            codes = label_codes(columns.numpy(), self.labels, f"the {self.of} labels")
            columns = torch.from_numpy(codes if self.kind == "category" else one_hot(codes, self.labels))
        if columns.shape[1] != self._columns:
            raise DataError(
                f"the graphs have {_counted(columns.shape[1])} of {self.of} features, but the run takes "
                f"{self._description()}"
            )
        if self.kind == "category":
            return self._categories(columns)
        if self.kind == "flag":
            if not bool(((columns == 0) | (columns == 1)).all()):
                raise DataError(
                    f"a {self.of} feature is neither 0 nor 1, but the run takes {self._description()}"
                )
            return columns.bool()
        return columns.float()

    def _categories(self, columns: Tensor) -> Tensor:
        if _is_continuous(columns):
            raise DataError(
                f"the {self.of} features are {columns.dtype}, but the run takes {self._description()}"
            )
        columns = columns.long()
        wrong = (columns < 0) | (columns >= torch.tensor(self._sizes))
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            raise DataError(
                f"a {self.of} has the category {int(columns[row, column])} in column {column}, but the run "
                f"takes {self._description()}"
            )
        return columns

    @property
    def _sizes(self) -> list[int]:
        return [self.size] if isinstance(self.size, int) else list(self.size)

    @property
    def _columns(self) -> int:
        return len(self._sizes) if self.kind == "category" else int(self.size)

    def _description(self) -> str:
        if self.kind == "category":
            sizes = ", ".join(str(size) for size in self._sizes)
            return f"{_counted(self._columns)} of whole numbers from 0, below {sizes}"
        what = "numbers" if self.kind == "number" else "0 and 1"
        if self.labels:
            what += f" (or {len(self.labels)} of labels)"
        return f"{_counted(self.size)} of {what}"


def _counted(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"


def _is_continuous(columns: Tensor) -> bool:
    return columns.is_floating_point() or columns.dtype == torch.bool


def _degrees(graphs: PackedGraphs, size: int) -> Tensor:
    first = torch.repeat_interleave(starts_of(graphs.node_counts), graphs.edge_counts)
    degrees = torch.bincount(graphs.src + first, minlength=graphs.num_nodes)
    beyond = int((degrees >= size).sum())
    if beyond:
        _logger.warning(
            "%d nodes have more than %d neighbours, which no node of the training data has: counted as %d",
            beyond,
            size - 1,
            size - 1,
        )
    return degrees.clamp(max=size - 1)[:, None] == torch.arange(size)
