"""Node classification on one graph of the size of Cora: 2,708 nodes in 7 communities.

The graph is drawn from a stochastic block model; a twentieth of the nodes show their class.
"""

import argparse

from gradformer_dgl import ExponentialDecay, GradformerLayer, PairDistances
from gradformer_dgl.preprocess import shortest_path_distances

import dgl
import torch
from torch import nn
from torch.nn import functional


def community_graph(nodes: int, classes: int) -> tuple[dgl.DGLGraph, torch.Tensor, torch.Tensor]:
    """Return a graph, features that hint at the class, and the classes."""
    labels = torch.randint(classes, (nodes,))
    same = labels[:, None] == labels
    chance = torch.where(same, 3.0 * classes / nodes, 1.5 / nodes)
    src, dst = torch.nonzero(torch.rand(nodes, nodes) < chance, as_tuple=True)
    graph = dgl.to_simple(dgl.to_bidirected(dgl.graph((src, dst), num_nodes=nodes)))
    hints = functional.one_hot(labels, classes) + 1.5 * torch.randn(nodes, classes)
    return graph, hints, labels


class NodeClassifier(nn.Module):
    """Two layers that share one decay."""

    def __init__(self, in_size: int, feat_size: int, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(in_size, feat_size)
        self.decay = ExponentialDecay(num_heads=4, gamma=0.4, hop=1.0)
        self.layers = nn.ModuleList(
            GradformerLayer(feat_size, 4, "gin", dropout=0.3, decay=self.decay) for _ in range(2)
        )
        self.head = nn.Linear(feat_size, num_classes)

    def forward(self, graph: dgl.DGLGraph, x: torch.Tensor, distances: PairDistances) -> torch.Tensor:
        h = self.encoder(x)
        for layer in self.layers:
            h = layer(graph, h, distances)
        return self.head(h)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, default=2708)
    options.add_argument("--epochs", type=int, default=20)
    chosen = options.parse_args()
    torch.manual_seed(0)
    graph, x, labels = community_graph(chosen.nodes, classes=7)
    distances = PairDistances(shortest_path_distances(graph).flatten(), torch.tensor([chosen.nodes]))
    order = torch.randperm(chosen.nodes)
    train, test = order[: chosen.nodes // 20], order[chosen.nodes // 20 :]
    model = NodeClassifier(7, 32, 7)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-3)
    for epoch in range(chosen.epochs):
        model.train()
        loss = functional.cross_entropy(model(graph, x, distances)[train], labels[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}  loss {loss.item():.3f}")
    model.eval()
    with torch.no_grad():
        found = model(graph, x, distances).argmax(1)
    by_hint = (x.argmax(1) == labels)[test].float().mean().item()
    accuracy = (found == labels)[test].float().mean().item()
    print(f"test accuracy {accuracy:.2f} (by the node's own hint: {by_hint:.2f})")


if __name__ == "__main__":
    main()
