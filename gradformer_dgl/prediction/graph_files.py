"""Graphs in files of their own: GraphML, and lists of edges."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx
import torch
from torch import Tensor

from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.data.dgl_features import FeatureKey, feature_keys
from gradformer_dgl.prediction.fit import FeatureFit
from gradformer_dgl.support.errors import DataError, GraphError, one_line

_ATTRIBUTES = re.compile(r"\s\{.*\}\s*$")


@dataclass(frozen=True)
class _FileGraph:
    """One graph: the ends of its edges as numbers, names and features of its nodes, features of its edges."""

    names: list[str]
    src: list[int]
    dst: list[int]
    nodes: list[list[float]] | None = None
    edges: list[list[float]] | None = None


def graph_files(path: Path) -> list[Path]:
    """Return the file, or those of a folder that hold graphs, in the order of their names."""
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )


def pack_files(files: Sequence[Path], fit: FeatureFit) -> tuple[PackedGraphs, list[str]]:
    """Read a graph, with the features that the run reads, from each file; return the names of all nodes too.

    A file is GraphML (the first graph in it), or lines of two nodes each; a line of one node is a node
    without edges, ``#`` begins a comment, and attributes in braces, as networkx writes them, are passed over.
    The edges of a list, and those of an undirected graph, count in both directions. The features in GraphML
    are one attribute, ``feat`` or another usual name: a number, or text with numbers between blanks or
    commas. Parallel edges are removed, the first one stays.
    """
    graphs = [SUFFIXES[file.suffix.lower()](file, fit) for file in files]
    node_counts = torch.tensor([len(graph.names) for graph in graphs])
    edge_counts = torch.tensor([len(graph.src) for graph in graphs])
    try:
        packed = PackedGraphs(
            node_counts,
            edge_counts,
            torch.tensor([end for graph in graphs for end in graph.src], dtype=torch.int32),
            torch.tensor([end for graph in graphs for end in graph.dst], dtype=torch.int32),
            node_features=_stacked(files, [graph.nodes for graph in graphs], node_counts),
            edge_features=_stacked(files, [graph.edges for graph in graphs], edge_counts),
        )
        return fit.fitted(packed, raw_labels=True), [name for graph in graphs for name in graph.names]
    except (DataError, GraphError) as error:
        where = files[0] if len(files) == 1 else files[0].parent
        raise DataError(f"{where}: {error}") from None


def _stacked(files: Sequence[Path], tables: list[list[list[float]] | None], counts: Tensor) -> Tensor | None:
    widths = {
        len(row): file for file, table in zip(files, tables, strict=True) for row in table or () if table
    }
    if not widths:
        return None
    if len(widths) > 1:
        raise DataError(
            "the features are of several lengths: "
            + ", ".join(f"{width} in {file.name}" for width, file in widths.items())
        )
    for file, table, count in zip(files, tables, counts.tolist(), strict=True):
        if table is None and count:
            raise DataError(f"{file.name} has no features, but other graphs have")
    rows = [row for table in tables for row in table or ()]
    whole = all(isinstance(value, int) for row in rows for value in row)
    return torch.tensor(rows, dtype=torch.int64 if whole else torch.float32)


def _read_graphml(file: Path, fit: FeatureFit) -> _FileGraph:
    try:
        graph = nx.read_graphml(file)
    except (ParseError, nx.NetworkXException, ValueError, KeyError, TypeError, StopIteration) as error:
        raise DataError(f"{file} is no GraphML ({one_line(error)})") from None
    names = list(graph)
    places = {name: place for place, name in enumerate(names)}
    edges: dict[tuple[int, int], Mapping[str, Any]] = {}
    for source, target, attributes in graph.edges(data=True):
        ends = places[source], places[target]
        edges.setdefault(ends, attributes)
        if not graph.is_directed():
            edges.setdefault(ends[::-1], attributes)
    node_key = None if fit.info.source.degrees else fit.node_key
    edge_key = fit.edge_key if fit.uses_edges else None
    return _FileGraph(
        names=[str(name) for name in names],
        src=[source for source, _ in edges],
        dst=[target for _, target in edges],
        nodes=_features(file, "node", [graph.nodes[name] for name in names], node_key),
        edges=_features(file, "edge", list(edges.values()), edge_key),
    )


def _features(
    file: Path, of: str, attributes: list[Mapping[str, Any]], key: FeatureKey
) -> list[list[float]] | None:
    # What some have and others lack is no feature.
    common = set.intersection(*map(set, attributes)) if attributes else set()
    keys = feature_keys(common, key, "ndata" if of == "node" else "edata") if common else []
    if not keys:
        return None
    return [_numbers(file, of, keys[0], one[keys[0]]) for one in attributes]


def _numbers(file: Path, of: str, key: str, value: Any) -> list[float]:
    if not isinstance(value, str):
        return [int(value) if isinstance(value, bool) else value]
    tokens = [token for token in re.split(r"[\s,;]+", value.strip("[]() \n\t")) if token]
    try:
        if all(re.fullmatch(r"[+-]?\d+", token) for token in tokens):
            return [int(token) for token in tokens]
        return [float(token) for token in tokens]
    except ValueError:
        raise DataError(f"{file}: the attribute {key} of a {of}, {value!r}, is not made of numbers") from None


def _read_edge_list(file: Path, fit: FeatureFit) -> _FileGraph:
    if not fit.info.source.degrees or fit.uses_edges:
        of = "edges" if fit.info.source.degrees else "nodes"
        raise DataError(
            f"{file}: the run reads features of {of}, which a list of edges does not have: give GraphML or a "
            "DGL file"
        )
    places: dict[str, int] = {}
    edges: dict[tuple[int, int], None] = {}
    try:
        # A byte order mark is not part of the first name.
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text ({error.reason})") from None
    for number, line in enumerate(lines, start=1):
        nodes = _ATTRIBUTES.sub("", line).partition("#")[0].replace(",", " ").split()
        if len(nodes) > 2:
            raise DataError(f"{file}, line {number}: {len(nodes)} words; a line has the two ends of an edge")
        ends = tuple(places.setdefault(node, len(places)) for node in nodes)
        if len(ends) == 2:
            edges[ends], edges[ends[::-1]] = None, None
    if not places:
        raise DataError(f"{file} is empty")
    return _FileGraph(list(places), [source for source, _ in edges], [target for _, target in edges])


SUFFIXES: dict[str, Callable[[Path, FeatureFit], _FileGraph]] = {
    ".graphml": _read_graphml,
    ".edgelist": _read_edge_list,
    ".txt": _read_edge_list,
}
"""Reader of a graph by the suffix of its file."""
