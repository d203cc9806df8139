"""What tells data from other data of the same kind: a digest of each of its parts."""

import hashlib

import torch
from torch import Tensor

from gradformer_dgl.data import GraphDataset


def data_digests(dataset: GraphDataset) -> dict[str, str]:
    """Return a SHA-256 of each part of a data set; distances and encodings, which follow from it, are none.

    The same data has the same digests on every machine and device.

    Parameters
    ----------
    dataset : GraphDataset
        With or without a cache.

    Returns
    -------
    dict of str to str
        Hexadecimal digests of ``"graphs"``, ``"labels"``, ``"node_features"``, ``"edge_features"`` and
        ``"splits"``, but for those that the data set does not have.

    Examples
    --------
    >>> import dgl
    >>> from gradformer_dgl.data import PackedGraphs
    >>> def digests(label):
    ...     packed = PackedGraphs.from_graphs([dgl.graph(([0], [1]))], torch.tensor([[label]]))
    ...     return data_digests(GraphDataset("one", packed, "regression", "graph", 1, "none", 0))
    >>> list(digests(0.5))
    ['graphs', 'labels']
    >>> digests(0.5) == digests(0.5), digests(0.5)["labels"] == digests(0.6)["labels"]
    (True, False)
    """
    graphs = dataset.graphs
    parts: dict[str, dict[str, Tensor | None]] = {
        "graphs": {name: getattr(graphs, name) for name in ("node_counts", "edge_counts", "src", "dst")},
        "labels": {graphs.label_level: graphs.labels},
        "node_features": {"": graphs.node_features},
        "edge_features": {"": graphs.edge_features},
        "splits": dict(sorted((dataset.splits or dataset.node_splits or {}).items())),
    }
    given = {
        part: {name: tensor for name, tensor in tensors.items() if tensor is not None}
        for part, tensors in parts.items()
    }
    return {part: _digest(tensors) for part, tensors in given.items() if tensors}


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # There are many NaN, and which one a missing label is depends on who made it.
        whole = tensor.masked_fill(tensor.isnan(), torch.nan) if tensor.is_floating_point() else tensor
        found.update(whole.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()
