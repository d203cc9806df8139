"""Nodes and edges of a data set in the TU format, as packed."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, Integer, Shaped
from torch import Tensor

from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.readers.tu_tables import RawFile, RawFolder
from gradformer_dgl.support.errors import DataError


@dataclass(frozen=True)
class TuLayout:
    """Nodes and edges as packed, and the rows of the raw files that they come from.

    Ends of edges are counted from 0 in each graph. ``node_rows`` and ``edge_rows`` say the rows in the raw
    files, None: all in their order; ``raw_nodes`` and ``raw_edges`` count the rows there.
    """

    node_counts: Int64[np.ndarray, " graphs"]
    edge_counts: Int64[np.ndarray, " graphs"]
    src: Integer[np.ndarray, " edges"]
    dst: Integer[np.ndarray, " edges"]
    out_degrees: Int64[np.ndarray, " nodes"]
    node_rows: Int64[np.ndarray, " nodes"] | None
    edge_rows: Int64[np.ndarray, " edges"] | None
    raw_nodes: int
    raw_edges: int

    def packed(
        self,
        node_features: Shaped[Tensor, "nodes *columns"] | None,
        edge_features: Shaped[Tensor, "edges *edge_columns"] | None,
    ) -> PackedGraphs:
        """Return the graphs with these features."""
        return PackedGraphs(
            torch.from_numpy(self.node_counts),
            torch.from_numpy(self.edge_counts),
            torch.from_numpy(self.src),
            torch.from_numpy(self.dst),
            node_features=node_features,
            edge_features=edge_features,
        )


def read_layout(folder: RawFolder, name: str) -> TuLayout:
    """Read ``NAME_graph_indicator.txt`` and ``NAME_A.txt``; refuse those that do not fit together."""
    graph_of, node_counts = _read_nodes(folder, name)
    adjacency = folder[f"{name}_A.txt"]
    ends = adjacency.integers(columns=2, may_be_empty=True)
    if len(ends):
        _check_ends(adjacency, ends, graph_of)
    else:
        _check_without_edges(folder, name, adjacency)
    src, dst = ends[:, 0] - 1, ends[:, 1] - 1
    raw_edges = len(ends)
    del ends
    node_rows = None
    if np.any(graph_of[1:] < graph_of[:-1]):
        node_rows = np.argsort(graph_of, kind="stable")
        place = np.empty(len(graph_of), dtype=np.int32)
        place[node_rows] = np.arange(len(graph_of), dtype=np.int32)
        src, dst, graph_of = place[src], place[dst], graph_of[node_rows]
    src, dst, edge_rows = _sorted_without_parallels(src, dst, len(graph_of))
    out_degrees = np.bincount(src, minlength=len(graph_of))
    first_nodes = (np.cumsum(node_counts) - node_counts).astype(np.int32)
    edge_graph = graph_of[src]
    edge_counts = np.bincount(edge_graph, minlength=len(node_counts))
    shift = first_nodes[edge_graph]
    return TuLayout(
        node_counts,
        edge_counts,
        src - shift,
        dst - shift,
        out_degrees,
        node_rows,
        edge_rows,
        len(graph_of),
        raw_edges,
    )


def _read_nodes(folder: RawFolder, name: str) -> tuple[np.ndarray, np.ndarray]:
    indicator = folder[f"{name}_graph_indicator.txt"]
    graph_of = indicator.integers(columns=1)[:, 0] - 1
    if graph_of.min() < 0:
        line = int(graph_of.argmin()) + 1
        raise DataError(
            f"{indicator}, line {line}: graph {graph_of.min() + 1}, but graphs are counted from 1"
        )
    if graph_of.max() >= len(graph_of) + (1 << 20):
        line = int(graph_of.argmax()) + 1
        raise DataError(
            f"{indicator}, line {line}: graph {graph_of.max() + 1}, but there are {len(graph_of)} nodes"
        )
    return graph_of, np.bincount(graph_of)


def _check_ends(adjacency: RawFile, ends: np.ndarray, graph_of: np.ndarray) -> None:
    if ends.min() < 1 or ends.max() > len(graph_of):
        row, column = np.argwhere((ends < 1) | (ends > len(graph_of)))[0]
        raise DataError(
            f"{adjacency}, line {row + 1}: an edge to node {ends[row, column]}, "
            f"but nodes are counted from 1 to {len(graph_of)}"
        )
    across = graph_of[ends[:, 0] - 1] != graph_of[ends[:, 1] - 1]
    if across.any():
        row = int(across.argmax())
        one, other = graph_of[ends[row] - 1] + 1
        raise DataError(f"{adjacency}, line {row + 1}: an edge between graph {one} and graph {other}")


def _check_without_edges(folder: RawFolder, name: str, adjacency: RawFile) -> None:
    for kind in ("labels", "attributes"):
        file = folder.get(f"{name}_edge_{kind}.txt")
        if file is not None and file.read().strip():
            raise DataError(f"{adjacency} is empty, but {file} is not; get the data again")


def _sorted_without_parallels(
    src: np.ndarray, dst: np.ndarray, num_nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Sort edges by their ends and drop repeated ones; also return the rows kept (None: all, as they are)."""
    keys = src.astype(np.int64) * num_nodes + dst
    if np.all(np.diff(keys) > 0):
        return src, dst, None
    rows = np.unique(keys, return_index=True)[1]
    return src[rows], dst[rows], rows
