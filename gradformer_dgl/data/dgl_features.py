"""Features, labels and node splits of DGL graphs, and their tensors as packed graphs."""

from collections.abc import Collection, Iterable, Mapping
from itertools import combinations
from typing import Any

import dgl
import numpy as np
import torch
from torch import Tensor

from gradformer_dgl.pairs.ragged_rows import starts_of
from gradformer_dgl.support.errors import GraphError, one_line

AUTO = "auto"
FeatureKey = str | None

_FEATURE_KEYS = {
    "ndata": ("feat", "attr", "node_attr", "node_labels", "h"),
    "edata": ("feat", "attr", "edge_attr", "edge_labels", "e"),
}
NODE_LABEL_KEY = "label"


def frame_features(frame: Mapping[str, Tensor], key: FeatureKey, frame_name: str) -> Tensor | None:
    """Return the features in the ``ndata`` or ``edata`` of a graph: (rows, ...), float32 or int64 categories.

    The key ``"auto"`` takes the first usual one that exists, None takes none. Bool becomes float32.
    """
    chosen = feature_keys(frame, key, frame_name)
    if not chosen:
        return None
    values = frame[chosen[0]]
    if values.is_complex():
        raise GraphError(
            f"{frame_name}[{chosen[0]!r}] holds complex numbers; give real ones, as torch.view_as_real does"
        )
    return values.float() if values.is_floating_point() or values.dtype == torch.bool else values.long()


def feature_keys(frame: Collection[str], key: FeatureKey, frame_name: str) -> list[str]:
    """Return the key of the features as a list of one, or of none; see :func:`frame_features`."""
    if key == AUTO:
        return [usual for usual in _FEATURE_KEYS[frame_name] if usual in frame][:1]
    if key is not None and key not in frame:
        raise GraphError(f"the graphs have no {frame_name}[{key!r}]; choose one of {sorted(frame)} or None")
    return [] if key is None else [key]


def node_labels(graph: dgl.DGLGraph) -> Tensor | None:
    """Return ``graph.ndata["label"]``, the labels of a node task, where there are any."""
    return graph.ndata.get(NODE_LABEL_KEY)


def split_by_masks(graph: dgl.DGLGraph) -> dict[str, Tensor] | None:
    """Return the node numbers of ``"train"``, ``"val"`` and ``"test"`` by the masks in ``ndata``, if any.

    Refuse a mask that is missing, empty or not of shape (nodes,), and a node in two of them.
    """
    keys = {part: f"{part}_mask" for part in ("train", "val", "test")}
    if not any(key in graph.ndata for key in keys.values()):
        return None
    split = {}
    for part, key in keys.items():
        mask = graph.ndata.get(key)
        if mask is None or mask.ndim != 1 or not bool(mask.any()):
            what = "no" if mask is None else "an empty" if mask.ndim == 1 else "more than one column of"
            raise GraphError(f"the graph has {what} ndata[{key!r}]: each part needs nodes")
        split[part] = mask.bool().nonzero()[:, 0]
    for one, other in combinations(keys.values(), 2):
        shared = int((graph.ndata[one].bool() & graph.ndata[other].bool()).sum())
        if shared:
            raise GraphError(f"{shared} nodes of the graph are in ndata[{one!r}] and in ndata[{other!r}]")
    return split


def stack_labels(labels: Any) -> Tensor | None:
    """Stack one label per graph, scalars or arrays of one shape, to (graphs, ...): int64 or float32."""
    if labels is None:
        return None
    try:
        stacked = labels if isinstance(labels, Tensor) else torch.stack([*map(_as_tensor, labels)])
    except (RuntimeError, TypeError, ValueError) as error:
        raise GraphError(f"labels cannot be stacked: {one_line(error)}") from error
    if stacked.is_complex():
        raise GraphError("labels are complex numbers; give real ones")
    return stacked.float() if stacked.is_floating_point() else stacked.long()


def _as_tensor(label: Any) -> Tensor:
    return label if isinstance(label, Tensor) else torch.as_tensor(np.asarray(label))


def graphs_and_labels(items: Iterable[Any]) -> tuple[list[dgl.DGLGraph], list[Any] | None]:
    """Return the DGL graphs of a data set and, where its items are (graph, label), their labels."""
    graphs, labels = [], []
    for number, item in enumerate(items):
        graph, *rest = item if isinstance(item, (tuple, list)) else (item,)
        if not isinstance(graph, dgl.DGLGraph):
            raise GraphError(
                f"item {number} is a {type(graph).__name__}, not a DGLGraph; pack DGL graphs only"
            )
        if len(graph.ntypes) != 1 or len(graph.canonical_etypes) != 1:
            raise GraphError(
                f"graph {number} has {len(graph.ntypes)} node types and {len(graph.canonical_etypes)} edge "
                "types: convert it with dgl.to_homogeneous first"
            )
        graphs.append(graph)
        labels.extend(rest[:1])
    if labels and len(labels) != len(graphs):
        raise GraphError(f"{len(labels)} of {len(graphs)} graphs have a label; give all of them one, or none")
    return graphs, labels or None


def packed_tensors(
    items: Iterable[Any], labels: Any, node_features: FeatureKey, edge_features: FeatureKey
) -> dict[str, Any]:
    """Return the tensors of :meth:`PackedGraphs.from_graphs` by name, and the level of the labels."""
    graphs, own_labels = graphs_and_labels(items)
    if not graphs:
        raise GraphError("no graphs to pack: the list is empty")
    # Only what is read has to agree. A graph without nodes or edges may lack their features.
    with_nodes = next((graph for graph in graphs if graph.num_nodes()), graphs[0])
    with_edges = next((graph for graph in graphs if graph.num_edges()), graphs[0])
    node_keys = feature_keys(with_nodes.ndata, node_features, "ndata")
    edge_keys = feature_keys(with_edges.edata, edge_features, "edata")
    given = stack_labels(own_labels if labels is None else labels)
    if given is None and NODE_LABEL_KEY in with_nodes.ndata:
        node_keys.append(NODE_LABEL_KEY)
    try:
        whole = dgl.batch(graphs, node_keys, edge_keys)
    except dgl.DGLError as error:
        raise GraphError(f"these graphs cannot be one data set: {one_line(error)}") from error
    node_counts, edge_counts = whole.batch_num_nodes().long(), whole.batch_num_edges().long()
    src, dst = whole.edges()
    first = torch.repeat_interleave(starts_of(node_counts), edge_counts)
    of_nodes = node_labels(whole) if given is None else None
    return {
        "node_counts": node_counts,
        "edge_counts": edge_counts,
        "src": (src - first).int(),
        "dst": (dst - first).int(),
        "node_features": frame_features(whole.ndata, node_features, "ndata"),
        "edge_features": frame_features(whole.edata, edge_features, "edata"),
        "labels": of_nodes if given is None else given,
        "label_level": "graph" if of_nodes is None else "node",
    }
