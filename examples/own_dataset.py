"""A DGLDataset of one's own, in DGL's and in torch's data loader, with and without workers."""

import tempfile
from functools import partial
from pathlib import Path

from gradformer_dgl import Gradformer
from gradformer_dgl.data import CachedGraphDataset, collate
from gradformer_dgl.preprocess import preprocess_graphs

import dgl
import networkx as nx
import torch
from dgl.data import DGLDataset
from dgl.dataloading import GraphDataLoader
from torch.utils.data import DataLoader


class TreesAndRings(DGLDataset):
    """Random trees (class 0), and the same with one edge more (class 1)."""

    def __init__(self, num_graphs: int) -> None:
        self.num_graphs = num_graphs
        super().__init__(name="trees-and-rings")

    def process(self) -> None:
        self.items = []
        for number in range(self.num_graphs):
            tree = nx.full_rary_tree(2 + number % 3, 8 + number % 9)
            if number % 2:
                tree.add_edge(len(tree) - 1, len(tree) - 4)
            graph = dgl.from_networkx(tree)
            graph.ndata["x"] = graph.in_degrees().float()[:, None]
            self.items.append((graph, torch.tensor(number % 2)))

    def __getitem__(self, number: int) -> tuple[dgl.DGLGraph, torch.Tensor]:
        return self.items[number]

    def __len__(self) -> int:
        return self.num_graphs


def main() -> None:
    torch.manual_seed(0)
    dataset = TreesAndRings(64)
    with tempfile.TemporaryDirectory() as folder:
        cache = preprocess_graphs(dataset, Path(folder) / "trees.h5", encodings=("rwse:8",))
        cached = CachedGraphDataset(dataset, cache)
        into_batch = partial(collate, node_features="x")
        loaders = {
            "GraphDataLoader": GraphDataLoader(cached, batch_size=16, collate_fn=into_batch),
            "DataLoader": DataLoader(cached, batch_size=16, collate_fn=into_batch),
            "DataLoader with a worker": DataLoader(
                cached, batch_size=16, collate_fn=into_batch, num_workers=1, multiprocessing_context="spawn"
            ),
        }
        model = Gradformer(2, 16, 2, 4, node_size=1, encoding="rwse:8").eval()
        for name, loader in loaders.items():
            with torch.no_grad():
                outputs = torch.cat([model(batch) for batch in loader])
            print(f"{name}: outputs {tuple(outputs.shape)}, sum {outputs.sum().item():.4f}")


if __name__ == "__main__":
    main()
