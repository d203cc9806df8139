"""Features of nodes and edges in the TU format: attributes, labels, or degrees."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from gradformer_dgl.data.readers.label_encoding import degree_columns, label_codes, one_hot, values_of
from gradformer_dgl.data.readers.tu_graphs import TuLayout
from gradformer_dgl.data.readers.tu_tables import RawFile, RawFolder
from gradformer_dgl.support.errors import DataError

LabelValues = tuple[tuple[int, ...], ...]


class TuFeatures(NamedTuple):
    """Columns of shape (rows, ...), their encoder and size, and the values of labels.

    No encoder stands for degrees as the columns of nodes, no columns for edges without features.
    """

    columns: Shaped[Tensor, "rows *columns"] | None
    encoder: str | None
    size: int | tuple[int, ...] | None
    values: LabelValues


def node_features(
    folder: RawFolder,
    name: str,
    layout: TuLayout,
    use_attributes: bool | None,
    max_degree: int,
    known: LabelValues | None = None,
) -> TuFeatures:
    """Return attributes and one-hot labels, or one-hot degrees: shape (nodes, columns)."""
    parts, codes, values = _attributes_and_labels(
        folder, name, "node", (layout.node_rows, layout.raw_nodes), use_attributes, known
    )
    if values:
        parts.append(one_hot(codes, values))
    encoder = "linear" if parts else None
    columns = _joined(parts or [degree_columns(layout.out_degrees, max_degree)])
    return TuFeatures(columns, encoder, columns.shape[1], values)


def edge_features(
    folder: RawFolder,
    name: str,
    layout: TuLayout,
    use_attributes: bool | None,
    known: LabelValues | None = None,
) -> TuFeatures:
    """Return attributes and one-hot labels, or labels as categories: shape (edges, ...)."""
    if not layout.raw_edges:
        return TuFeatures(None, None, None, ())
    parts, codes, values = _attributes_and_labels(
        folder, name, "edge", (layout.edge_rows, layout.raw_edges), use_attributes, known
    )
    if parts:
        columns = _joined([*parts, one_hot(codes, values)] if values else parts)
        return TuFeatures(columns, "linear", columns.shape[1], values)
    if not values:
        return TuFeatures(None, None, None, ())
    categories, sizes = torch.from_numpy(codes), tuple(map(len, values))
    if len(sizes) == 1:
        return TuFeatures(categories[:, 0], "embedding", sizes[0], values)
    return TuFeatures(categories, "embedding", sizes, values)


def attributes_used(folder: RawFolder, name: str, features: str) -> tuple[bool, bool]:
    """Return for the option ``tu_features`` if node attributes and edge attributes are features."""
    if features == "labels":
        return False, False
    nodes, edges = (folder.get(f"{name}_{of}_attributes.txt") is not None for of in ("node", "edge"))
    if not (nodes or edges):
        raise DataError(f"{folder.path} has attributes neither of nodes nor of edges: it has labels alone")
    return nodes, edges


def read_rows(
    table: Shaped[np.ndarray, "raw *columns"],
    file: RawFile,
    rows: Int64[np.ndarray, " rows"] | None,
    expected: int,
    kind: str,
) -> Shaped[np.ndarray, "rows *columns"]:
    """Return a table in the order of ``rows``; refuse one with another number of lines than expected."""
    if len(table) != expected:
        raise DataError(f"{file} has {len(table)} lines, but there are {expected} {kind}; get the data again")
    return table if rows is None else table[rows]


def _attributes_and_labels(
    folder: RawFolder,
    name: str,
    of: str,
    order: tuple[Int64[np.ndarray, " rows"] | None, int],
    use_attributes: bool | None,
    known: LabelValues | None,
) -> tuple[list[Shaped[np.ndarray, "rows _"]], Int64[np.ndarray, "rows label_columns"], LabelValues]:
    """Return attributes (none or one array), the codes of labels, and the values that they stand for."""
    labels, attributes = (folder.get(f"{name}_{of}_{kind}.txt") for kind in ("labels", "attributes"))
    found: list[np.ndarray] = []
    if attributes is not None and (labels is None if use_attributes is None else use_attributes):
        found.append(read_rows(attributes.floats(), attributes, *order, f"{of}s"))
    elif use_attributes:
        raise DataError(
            f"{folder.path} has no {name}_{of}_attributes.txt; read it without use_{of}_attributes"
        )
    if known and labels is None:
        raise DataError(f"{folder.path} has no {name}_{of}_labels.txt, but the training data had {of} labels")
    if labels is None or known == ():
        return found, np.empty((order[1], 0), np.int64), ()
    table = read_rows(labels.integers(), labels, *order, f"{of}s")
    values = values_of(table) if known is None else known
    return found, label_codes(table, values, f"{labels}: the {of} labels"), values


def _joined(parts: list[Shaped[np.ndarray, "rows _"]]) -> Shaped[Tensor, "rows columns"]:
    # One part of bool stays bool: a quarter of the memory, floats once in a batch.
    if len(parts) == 1:
        return torch.from_numpy(parts[0])
    return torch.from_numpy(np.concatenate([part.astype(np.float32) for part in parts], axis=1))
