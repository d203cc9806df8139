"""ExponentialDecay as the multiplied bias of dgl.nn.GraphormerLayer.

DGL's layer works on padded batches; the decay is all that this package adds to it.
"""

from gradformer_dgl import ExponentialDecay, PairDistances
from gradformer_dgl.preprocess import shortest_path_distances

import dgl
import torch
from dgl.nn import GraphormerLayer
from torch import nn
from torch.nn import functional

SIZES = (6, 9, 14)


class DecayedGraphormer(nn.Module):
    """Two of DGL's Graphormer layers that share one decay."""

    def __init__(self, feat_size: int, num_heads: int) -> None:
        super().__init__()
        self.decay = ExponentialDecay(num_heads, gamma=0.5, hop=1.0)
        self.layers = nn.ModuleList(
            GraphormerLayer(feat_size, 2 * feat_size, num_heads, attn_bias_type="mul") for _ in range(2)
        )
        self.head = nn.Linear(feat_size, 1)

    def forward(self, x: torch.Tensor, distances: PairDistances) -> torch.Tensor:
        hops = distances.pad(-1)
        padding = torch.arange(x.shape[1]) >= distances.node_counts[:, None]
        # DGL masks keys; a padded query attends to the real nodes and is not read.
        mask = padding[:, None, :].expand(-1, x.shape[1], -1)
        bias = self.decay(hops)
        for layer in self.layers:
            x = layer(x, attn_bias=bias, attn_mask=mask)
        return self.head(x).squeeze(-1)


def main() -> None:
    torch.manual_seed(0)
    graphs = [dgl.to_bidirected(dgl.rand_graph(size, 2 * size)) for size in SIZES]
    values = torch.cat([shortest_path_distances(graph).flatten() for graph in graphs])
    distances = PairDistances(values, torch.tensor(SIZES))
    hops = distances.pad(-1)
    real = torch.arange(hops.shape[1]) < distances.node_counts[:, None]
    model = DecayedGraphormer(feat_size=32, num_heads=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    # To learn: a number at every node, averaged over the nodes at most two hops away.
    errors = []
    for step in range(300):
        x = torch.randn(len(SIZES), hops.shape[1], 32)
        near = ((hops >= 0) & (hops <= 2)).float()
        wanted = (near @ x[:, :, :1]).squeeze(-1) / near.sum(-1).clamp(min=1)
        loss = functional.mse_loss(model(x, distances)[real], wanted[real])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item() / wanted[real].var().item())
        if step % 60 == 59:
            print(f"step {step + 1}  unexplained fraction of the variance {sum(errors[-60:]) / 60:.2f}")
    print("thresholds in hops:", [round(tau, 2) for tau in model.decay.tau.tolist()])


if __name__ == "__main__":
    main()
