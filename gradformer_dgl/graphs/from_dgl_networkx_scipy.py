"""Kinds of graph objects that are supported, and the edges of each."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradformer_dgl.support.errors import GraphError

# Sources, destinations, number of nodes, and the weights where they are asked for.
Edges = tuple[np.ndarray, np.ndarray, int, np.ndarray | None]
Packed = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]

SUPPORTED = "a DGLGraph, a networkx graph, a SciPy sparse matrix or (src, dst, num_nodes)"


def _is_dgl(graph: Any) -> bool:
    # A DGLGraph exists only where dgl has been imported: no need to import it for other kinds.
    dgl = sys.modules.get("dgl")
    return dgl is not None and isinstance(graph, dgl.DGLGraph)


def _is_networkx(graph: Any) -> bool:
    networkx = sys.modules.get("networkx")
    return networkx is not None and isinstance(graph, networkx.Graph)


def _is_sparse(graph: Any) -> bool:
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(graph)


def _is_triple(graph: Any) -> bool:
    return (
        isinstance(graph, tuple | list)
        and len(graph) in (3, 4)
        and isinstance(graph[2], int | np.integer)
        and not isinstance(graph[2], bool)
        and not any(check(graph[0]) for check in (_is_dgl, _is_networkx, _is_sparse))
    )


def _edges_of_dgl(graph: Any, edge_weight: str | None) -> Edges:
    if len(graph.canonical_etypes) != 1 or len(graph.ntypes) != 1:
        raise GraphError(
            f"has {len(graph.ntypes)} node types and {len(graph.canonical_etypes)} edge types: "
            "convert it with dgl.to_homogeneous first"
        )
    weights = None
    if edge_weight is not None:
        if edge_weight not in graph.edata:
            raise GraphError(f"has no edge feature {edge_weight!r} to take edge weights from")
        weights = graph.edata[edge_weight].detach().cpu()
        # NumPy has no bfloat16.
        half = weights.is_floating_point() and weights.element_size() < 4
        weights = (weights.float() if half else weights).numpy()
        weights = weights[:, 0] if weights.ndim == 2 and weights.shape[1] == 1 else weights
    if "coo" not in graph.formats()["created"]:
        # Made for csr or csc alone, it cannot list its edges.
        graph = graph.formats("coo")
    src, dst = graph.edges(order="eid")
    return src.cpu().numpy(), dst.cpu().numpy(), graph.num_nodes(), weights


def _edges_of_networkx(graph: Any, edge_weight: str | None) -> Edges:
    place = {node: index for index, node in enumerate(graph)}
    ends = np.array([(place[u], place[v]) for u, v in graph.edges()], dtype=np.int64).reshape(-1, 2)
    weights = None
    if edge_weight is not None:
        values = [weight for _, _, weight in graph.edges(data=edge_weight)]
        if None in values:
            raise GraphError(f"has an edge without the attribute {edge_weight!r} to take its weight from")
        weights = np.asarray(values or np.empty(0))
    if graph.is_directed():
        return ends[:, 0], ends[:, 1], len(place), weights
    # Listed once by networkx; both directions, so that it stays undirected with directed=True.
    both = None if weights is None else np.concatenate([weights, weights])
    return ends.T.ravel(), ends[:, ::-1].T.ravel(), len(place), both


def _edges_of_sparse(graph: Any, edge_weight: str | None) -> Edges:
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise GraphError(f"is a matrix of shape {graph.shape}: an adjacency matrix is square")
    entries = graph.tocoo()
    stored = entries.data != 0
    weights = None if edge_weight is None else entries.data[stored]
    return entries.row[stored], entries.col[stored], graph.shape[0], weights


def _edges_of_triple(graph: Any, edge_weight: str | None) -> Edges:
    src, dst, num_nodes = graph[:3]
    weights = None
    if edge_weight is not None:
        if len(graph) == 3:
            raise GraphError("has no weights: give (src, dst, num_nodes, weights)")
        weights = _as_array(graph[3])
    return _as_ids(src), _as_ids(dst), int(num_nodes), weights


def _as_array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _as_ids(values: Any) -> np.ndarray:
    array = _as_array(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise GraphError(
            f"has node ids of type {array.dtype} and shape {array.shape}: give integers, one per edge"
        )
    return array.astype(np.int64, copy=False)


KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str | None], Edges]], ...] = (
    (_is_dgl, _edges_of_dgl),
    (_is_networkx, _edges_of_networkx),
    (_is_sparse, _edges_of_sparse),
    (_is_triple, _edges_of_triple),
)


def is_graph(item: Any) -> bool:
    """Return whether something is one graph of a supported kind."""
    return any(matches(item) for matches, _ in KINDS)


def _graph_of(item: Any) -> Any:
    """Return the graph of a data set's item: the item itself, or the first of a tuple."""
    if isinstance(item, tuple | list) and not _is_triple(item) and len(item):
        return item[0]
    return item


def edges_of(item: Any, index: int = 0, edge_weight: str | None = None) -> Edges:
    """Return ``(src, dst, num_nodes, weights)`` of one graph; ``index`` is its number, for messages."""
    graph = _graph_of(item)
    for matches, read in KINDS:
        if matches(graph):
            try:
                src, dst, num_nodes, weights = read(graph, edge_weight)
            except GraphError as error:
                raise GraphError(f"graph {index} {error}") from None
            if len(src) != len(dst):
                raise GraphError(f"graph {index} has {len(src)} sources but {len(dst)} destinations")
            if weights is not None and weights.shape != src.shape:
                raise GraphError(f"graph {index} has {len(src)} edges but weights of shape {weights.shape}")
            if num_nodes < 0:
                raise GraphError(f"graph {index} has {num_nodes} nodes: the number must not be negative")
            return src, dst, num_nodes, weights
    raise GraphError(f"item {index} is no graph: expected {SUPPORTED}, got {type(graph).__name__}")


def edges_of_all(items: Sequence[Any], first: int = 0, edge_weight: str | None = None) -> Packed:
    """Return the arguments of `GraphStructures` for many graphs; ``first`` is the number of the first."""
    graphs = [_graph_of(item) for item in items]
    if edge_weight is None and graphs and all(_is_dgl(graph) for graph in graphs):
        packed = _edges_of_dgl_graphs(graphs)
        if packed is not None:
            return packed
    edges = [edges_of(graph, first + number, edge_weight) for number, graph in enumerate(graphs)]
    none = np.empty(0, np.int64)
    return (
        np.array([num_nodes for _, _, num_nodes, _ in edges], dtype=np.int64),
        np.array([len(src) for src, _, _, _ in edges], dtype=np.int64),
        np.concatenate([none, *(src for src, _, _, _ in edges)]),
        np.concatenate([none, *(dst for _, dst, _, _ in edges)]),
        None if edge_weight is None else np.concatenate([np.empty(0), *(edge[3] for edge in edges)]),
    )


def _edges_of_dgl_graphs(graphs: list[Any]) -> Packed | None:
    """Join homogeneous CPU graphs in DGL's C++ core, leaving features aside: no Python per edge array.

    The core's functions are not public: None where this DGL has them no longer, and for graphs of
    several types, which the general path refuses by name.
    """
    if any(len(graph._ntypes) != 1 or len(graph._etypes) != 1 for graph in graphs):
        return None
    from dgl import DGLError

    try:
        from dgl.heterograph_index import disjoint_union

        cores = [graph._graph for graph in graphs]
        src, dst, _ = disjoint_union(cores[0].metagraph, cores).edges(0, "eid")
        node_counts = np.fromiter((core.num_nodes(0) for core in cores), np.int64, len(cores))
        edge_counts = np.fromiter((core.num_edges(0) for core in cores), np.int64, len(cores))
    except (ImportError, AttributeError, TypeError, DGLError):
        return None
    starts = np.repeat(np.cumsum(node_counts) - node_counts, edge_counts)
    return node_counts, edge_counts, src.cpu().numpy() - starts, dst.cpu().numpy() - starts, None
