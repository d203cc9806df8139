"""GradformerLayer on a heterogeneous and on a weighted graph.

Types of nodes and edges become features of one homogeneous graph. Attention looks distances up in a table, so
lengths of weighted paths are counted in steps of a unit.
"""

import tempfile
from pathlib import Path

from gradformer_dgl import GradformerLayer, PairDistances
from gradformer_dgl.preprocess import preprocess_graphs, shortest_path_distances

import dgl
import numpy as np
import torch
from torch import nn


def heterogeneous() -> torch.Tensor:
    """Run a layer over users, items and the ratings between them."""
    rating = torch.tensor([[0, 0, 1, 2, 2], [0, 1, 1, 1, 3]])
    graph = dgl.heterograph(
        {("user", "rates", "item"): tuple(rating), ("item", "rated by", "user"): tuple(rating.flip(0))}
    )
    whole = dgl.to_homogeneous(graph)
    kinds = nn.Embedding(len(graph.ntypes), 16)
    relations = nn.Embedding(len(graph.canonical_etypes), 16)
    layer = GradformerLayer(feat_size=16, num_heads=4, message_passing="gine")
    distances = shortest_path_distances(whole)
    h = layer(
        whole,
        kinds(whole.ndata[dgl.NTYPE]),
        PairDistances(distances.flatten(), torch.tensor([whole.num_nodes()])),
        edge_features=relations(whole.edata[dgl.ETYPE]),
    )
    print(f"heterogeneous: {len(graph.ntypes)} types of nodes, {tuple(h.shape)} channels")
    return h


def weighted(unit: float = 0.25) -> torch.Tensor:
    """Run a layer over towns, by the length of the shortest way in steps of a unit."""
    graph = dgl.graph(([0, 1, 2, 3, 0], [1, 2, 3, 4, 4]))
    graph.edata["weight"] = torch.tensor([0.5, 0.3, 1.1, 0.2, 4.0])
    graph = dgl.add_reverse_edges(graph, copy_edata=True)
    with tempfile.TemporaryDirectory() as folder:
        cache = preprocess_graphs([graph], Path(folder) / "towns.h5", extra_distances=("weighted",))
        lengths = cache.extra_distance("weighted", 0)
    steps = np.full(lengths.shape, -1, np.int64)
    reached = np.isfinite(lengths)
    steps[reached] = np.rint(lengths[reached] / unit)
    layer = GradformerLayer(feat_size=16, num_heads=4, message_passing="gin", gamma=0.8, hop=4.0)
    # A padded tensor of one graph: -1 where there is no way.
    h = layer(graph, torch.randn(5, 16), torch.from_numpy(steps)[None])
    ways = ", ".join(f"{length:.1f}" for length in lengths[0])
    print(f"weighted: from the first town {ways}; in steps {steps[0].tolist()}")
    return h


if __name__ == "__main__":
    torch.manual_seed(0)
    heterogeneous()
    weighted()
