"""Data sets of the TU Dortmund collection: text files in a folder or zip, straight to packed tensors.

Format: Morris et al., "TUDataset: A collection of benchmark datasets for learning with graphs" (2020),
https://chrsmrrs.github.io/datasets/docs/format/.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradformer_dgl.data.dataset import FeatureSource, GraphDataset
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.readers.download import default_folder
from gradformer_dgl.data.readers.label_encoding import label_codes, one_hot, values_of
from gradformer_dgl.data.readers.tu_files import download_raw_files, find_raw_files, the_data_set_in
from gradformer_dgl.data.readers.tu_tables import RawFile, RawFolder
from gradformer_dgl.support.errors import DataError

MAX_DEGREE = 512


def read_tu(
    name: str,
    data_root: str | Path | None = None,
    *,
    tu_features: str | None = None,
    use_node_attributes: bool | None = None,
    use_edge_attributes: bool | None = None,
    max_degree: int = MAX_DEGREE,
) -> GraphDataset:
    """Read a TU data set, downloading it if it is not there.

    Node labels become one column each (one-hot). Node attributes are real numbers. Where nodes have
    neither, the degree takes the place of a label (self loops count once). Edge labels become
    categories, or columns (one-hot) where attributes stand beside them. Parallel edges are removed, the
    first one stays; self loops and directions are kept as listed. An empty ``NAME_A.txt`` lists no edges.

    Parameters
    ----------
    name : str
        For example ``"PROTEINS"``, with upper and lower case as in the file names.
    data_root : str or Path, optional
        The folder with ``NAME/NAME.zip``, ``NAME.zip``, or ``NAME_A.txt`` and its siblings in ``NAME/``,
        ``NAME/NAME/``, ``NAME/raw/`` or DGL's ``NAME_<hash>/NAME/``. What is not there is downloaded to
        ``NAME/NAME.zip``. Default: ``~/.cache/gradformer_dgl``.
    tu_features : {"labels", "all"}, optional
        Whether the attributes that there are, of nodes and of edges, are put in front of the labels' columns.
        Default: as the next two say.
    use_node_attributes, use_edge_attributes : bool, optional
        Put the attributes in front of the labels' columns. Default: only where there are no labels.
        (So PROTEINS has its 3 node labels, and not the attribute, as in the published benchmarks.)
    max_degree : int
        Higher degrees are counted as this one.

    Returns
    -------
    GraphDataset
        Task ``"multiclass"``, the classes numbered in the order of their values; or ``"regression"`` on
        the graph attributes where there are no graph labels.

    Raises
    ------
    DataError
        If a file is missing or broken; the message names the file and line.

    Notes
    -----
    The environment variable ``GRADFORMER_DGL_TU_URL`` names a mirror to download from, with ``{name}``
    in place of the data set's name.
    """
    root = default_folder() if data_root is None else Path(data_root)
    folder = find_raw_files(name, root) or download_raw_files(name, root)
    layout = _read_layout(folder, name)
    if tu_features is not None:
        use_node_attributes, use_edge_attributes = _attributes_used(folder, name, tu_features)
    nodes = _node_features(folder, name, layout, use_node_attributes, max_degree)
    edges = _edge_features(folder, name, layout, use_edge_attributes)
    task, labels, names = _read_targets(folder, name, layout)
    out_size = len(names) if task == "multiclass" else labels.shape[1]
    graphs = layout.packed(nodes.columns, edges.columns)
    graphs.labels = labels
    return GraphDataset(
        name=name,
        graphs=graphs,
        task=task,
        level="graph",
        out_size=out_size,
        node_encoder="linear",
        node_size=nodes.size,
        edge_encoder=edges.encoder,
        edge_size=edges.size,
        output_names=names,
        source=FeatureSource(
            degrees=nodes.encoder is None, node_labels=nodes.values, edge_labels=edges.values
        ),
    )


def read_tu_graphs(
    path: Path,
    source: FeatureSource,
    *,
    use_node_attributes: bool = False,
    use_edge_attributes: bool = False,
    with_edges: bool = True,
) -> PackedGraphs:
    """Read the graphs of a folder or zip in the TU format with the columns of another data set.

    Parameters
    ----------
    path : Path
        The folder or zip with ``NAME_A.txt`` and its siblings.
    source : FeatureSource
        Of the other data set; columns of degrees are left to the caller.
    use_node_attributes, use_edge_attributes : bool
        Whether the other data set has attributes in front of the labels' columns.
    with_edges : bool
        Whether to read the features of edges.

    Returns
    -------
    PackedGraphs
        Without labels of graphs, which need not be there.

    Raises
    ------
    DataError
        If a file is missing or broken, or has labels that the other data set does not have.
    """
    folder, name = the_data_set_in(path)
    layout = _read_layout(folder, name)
    nodes = _node_features(folder, name, layout, use_node_attributes, MAX_DEGREE, source.node_labels)
    if not with_edges:
        return layout.packed(nodes.columns, None)
    edges = _edge_features(folder, name, layout, use_edge_attributes, source.edge_labels)
    return layout.packed(nodes.columns, edges.columns)


@dataclass(frozen=True)
class _Layout:
    """Nodes and edges as packed, and which rows of the raw files they come from."""

    node_counts: np.ndarray
    edge_counts: np.ndarray
    src: np.ndarray
    dst: np.ndarray
    out_degrees: np.ndarray
    node_rows: np.ndarray | None
    edge_rows: np.ndarray | None
    raw_nodes: int
    raw_edges: int

    def packed(self, node_features: Tensor, edge_features: Tensor | None) -> PackedGraphs:
        """Return the graphs with these features."""
        return PackedGraphs(
            torch.from_numpy(self.node_counts),
            torch.from_numpy(self.edge_counts),
            torch.from_numpy(self.src),
            torch.from_numpy(self.dst),
            node_features=node_features,
            edge_features=edge_features,
        )


class _Features(NamedTuple):
    """Columns, their encoder and size, and the values that labels have."""

    columns: Any
    encoder: str | None
    size: Any
    values: tuple[tuple[int, ...], ...]


def _read_layout(folder: RawFolder, name: str) -> _Layout:
    graph_of, node_counts = _read_nodes(folder, name)
    node_rows = None
    adjacency = folder[f"{name}_A.txt"]
    ends = adjacency.integers(columns=2, may_be_empty=True)
    raw_edges = len(ends)
    if raw_edges:
        _check_ends(adjacency, ends, graph_of)
    else:
        _check_without_edges(folder, name, adjacency)
    src, dst = ends[:, 0] - 1, ends[:, 1] - 1
    del ends
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
    return _Layout(
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
    steps = np.diff(keys)
    if np.all(steps > 0):
        return src, dst, None
    rows = np.argsort(keys, kind="stable") if np.any(steps < 0) else np.arange(len(keys))
    keys = keys[rows]
    rows = rows[np.concatenate(([True], keys[1:] != keys[:-1]))]
    return src[rows], dst[rows], rows


def _rows(table: np.ndarray, file: RawFile, rows: np.ndarray | None, expected: int, what: str) -> np.ndarray:
    if len(table) != expected:
        raise DataError(f"{file} has {len(table)} lines, but there are {expected} {what}; get the data again")
    return table if rows is None else table[rows]


def _node_features(
    folder: RawFolder,
    name: str,
    layout: _Layout,
    use_attributes: bool | None,
    max_degree: int,
    known: tuple[tuple[int, ...], ...] | None = None,
) -> _Features:
    labels, attributes = folder.get(f"{name}_node_labels.txt"), folder.get(f"{name}_node_attributes.txt")
    parts = []
    if attributes is not None and (labels is None if use_attributes is None else use_attributes):
        parts.append(_rows(attributes.floats(), attributes, layout.node_rows, layout.raw_nodes, "nodes"))
    elif use_attributes:
        raise DataError(
            f"{folder.path} has no {name}_node_attributes.txt; read it without use_node_attributes"
        )
    codes, values = _labels(folder, labels, name, "node", layout.node_rows, layout.raw_nodes, known)
    if values:
        parts.append(one_hot(codes, values))
    # No encoder stands for degrees.
    encoder = "linear" if parts else None
    columns = _columns(parts or [degree_columns(layout.out_degrees, max_degree)])
    return _Features(columns, encoder, columns.shape[1], values)


def _attributes_used(folder: RawFolder, name: str, features: str) -> tuple[bool, bool]:
    """Whether the attributes of nodes and those of edges are features."""
    if features == "labels":
        return False, False
    nodes, edges = (folder.get(f"{name}_{of}_attributes.txt") is not None for of in ("node", "edge"))
    if not (nodes or edges):
        raise DataError(f"{folder.path} has attributes neither of nodes nor of edges: it has labels alone")
    return nodes, edges


def _labels(
    folder: RawFolder,
    file: RawFile | None,
    name: str,
    of: str,
    rows: np.ndarray | None,
    expected: int,
    known: tuple[tuple[int, ...], ...] | None,
) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
    """Return the labels as places among their values: those that occur, or those known beforehand."""
    if known and file is None:
        raise DataError(f"{folder.path} has no {name}_{of}_labels.txt, but the training data had {of} labels")
    if file is None or known == ():
        return np.empty((expected, 0), np.int64), ()
    labels = _rows(file.integers(), file, rows, expected, f"{of}s")
    values = values_of(labels) if known is None else known
    return label_codes(labels, values, f"{file}: the {of} labels"), values


def degree_columns(degrees: np.ndarray, max_degree: int = MAX_DEGREE) -> np.ndarray:
    """Return a column for each degree, True where a node has it; higher ones are counted as ``max_degree``.

    Examples
    --------
    >>> degree_columns(np.array([0, 2, 9]), max_degree=2).astype(int).tolist()
    [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    """
    capped = np.minimum(degrees, max_degree)
    return capped[:, None] == np.arange(capped.max(initial=0) + 1)


def _edge_features(
    folder: RawFolder,
    name: str,
    layout: _Layout,
    use_attributes: bool | None,
    known: tuple[tuple[int, ...], ...] | None = None,
) -> _Features:
    if not layout.raw_edges:
        return _Features(None, None, None, ())
    labels, attributes = folder.get(f"{name}_edge_labels.txt"), folder.get(f"{name}_edge_attributes.txt")
    codes, values = _labels(folder, labels, name, "edge", layout.edge_rows, layout.raw_edges, known)
    if attributes is not None and (labels is None if use_attributes is None else use_attributes):
        parts = [_rows(attributes.floats(), attributes, layout.edge_rows, layout.raw_edges, "edges")]
        if values:
            parts.append(one_hot(codes, values))
        columns = _columns(parts)
        return _Features(columns, "linear", columns.shape[1], values)
    if use_attributes:
        raise DataError(
            f"{folder.path} has no {name}_edge_attributes.txt; read it without use_edge_attributes"
        )
    if not values:
        return _Features(None, None, None, ())
    categories, sizes = torch.from_numpy(codes), tuple(map(len, values))
    if len(sizes) == 1:
        return _Features(categories[:, 0], "embedding", sizes[0], values)
    return _Features(categories, "embedding", sizes, values)


def _read_targets(folder: RawFolder, name: str, layout: _Layout) -> tuple[str, Tensor, tuple[str, ...]]:
    graphs = len(layout.node_counts)
    attributes = folder.get(f"{name}_graph_attributes.txt")
    if attributes is not None and folder.get(f"{name}_graph_labels.txt") is None:
        values = _rows(attributes.floats(), attributes, None, graphs, "graphs")
        return "regression", torch.from_numpy(values), ()
    file = folder[f"{name}_graph_labels.txt"]
    labels = _rows(file.integers(columns=1)[:, 0], file, None, graphs, "graphs")
    classes, codes = np.unique(labels, return_inverse=True)
    return "multiclass", torch.from_numpy(codes), tuple(str(value) for value in classes.tolist())


def _columns(parts: list[np.ndarray]) -> Tensor:
    # bool columns stay bool: a quarter of the memory, floats once in a batch
    table = (
        parts[0] if len(parts) == 1 else np.concatenate([part.astype(np.float32) for part in parts], axis=1)
    )
    return torch.from_numpy(table)
