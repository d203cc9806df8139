"""Data sets of one graph whose nodes are classified."""

import numpy as np
import torch
from jaxtyping import Float32, Int64, Integer
from torch import Tensor

from gradformer_dgl.data.dataset import GraphDataset
from gradformer_dgl.data.packed import PackedGraphs


def node_dataset(
    name: str,
    src: Integer[np.ndarray, " edges"],
    dst: Integer[np.ndarray, " edges"],
    features: Float32[np.ndarray, "nodes columns"],
    labels: Int64[np.ndarray, " nodes"],
    classes: int,
    splits: dict[str, Int64[Tensor, " _"]],
) -> GraphDataset:
    """Return the data set of one graph whose nodes are classified.

    ``src`` and ``dst`` are (edges,), ``features`` (nodes, columns), ``labels`` (nodes,); ``splits`` has the
    node numbers of ``"train"``, ``"val"`` and ``"test"``.
    """
    graphs = PackedGraphs(
        torch.tensor([len(features)]),
        torch.tensor([len(src)]),
        torch.from_numpy(np.ascontiguousarray(src, dtype=np.int32)),
        torch.from_numpy(np.ascontiguousarray(dst, dtype=np.int32)),
        node_features=torch.from_numpy(features),
        labels=torch.from_numpy(labels),
        label_level="node",
    )
    return GraphDataset(
        name=name,
        graphs=graphs,
        task="multiclass",
        level="node",
        out_size=classes,
        output_names=tuple(map(str, range(classes))),
        node_encoder="linear",
        node_size=features.shape[1],
        node_splits=splits,
    )


def both_ways(
    src: Integer[np.ndarray, " edges"], dst: Integer[np.ndarray, " edges"], nodes: int
) -> tuple[Int64[np.ndarray, " both"], Int64[np.ndarray, " both"]]:
    """Return the ends (edges,) of edges in both directions, each once, sorted by source."""
    src, dst = src.astype(np.int64), dst.astype(np.int64)
    return np.divmod(np.unique(np.concatenate([src * nodes + dst, dst * nodes + src])), nodes)
