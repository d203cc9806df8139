"""A decay of one's own, trained.

A decay is a module with a table: one factor per head and distance, the last column for pairs without a path.
This one learns every factor by itself. docs/howto/extend.md names such a class on the command line.
"""

from gradformer_dgl import Gradformer, GraphBatch, PairDistances
from gradformer_dgl.nn.decay import Decay
from gradformer_dgl.preprocess import shortest_path_distances

import dgl
import torch
from torch import nn
from torch.nn import functional


class FreeDecay(Decay):
    """A factor per head and distance; those beyond the longest share one."""

    def __init__(self, num_heads: int, longest: int = 12) -> None:
        super().__init__(num_heads)
        self.factors = nn.Parameter(torch.ones(num_heads, longest + 1))

    def table(self, num_distances: int) -> torch.Tensor:
        index = torch.arange(num_distances).clamp(max=self.factors.shape[1] - 1)
        unreachable = self.factors.new_zeros(self.num_heads, 1)
        return torch.cat([self.factors[:, index], unreachable], dim=1)


def main() -> None:
    torch.manual_seed(0)
    graphs = [dgl.to_bidirected(dgl.rand_graph(size, size + 4)) for size in (12, 17, 23, 30)]
    values = torch.cat([shortest_path_distances(graph).flatten() for graph in graphs])
    distances = PairDistances(values, torch.tensor([graph.num_nodes() for graph in graphs]))
    whole = dgl.batch(graphs)
    hops = torch.block_diag(*((shortest_path_distances(graph) == 3).float() for graph in graphs))
    model = Gradformer(1, 32, 2, 4, node_size=8, message_passing=None, decay=FreeDecay(4), readout=None)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first = model.decay.factors.detach().clone()
    errors = []
    # To learn: the mean of a number over the nodes that are three hops away.
    for step in range(300):
        x = torch.randn(whole.num_nodes(), 8)
        wanted = hops @ x[:, :1] / hops.sum(1, keepdim=True).clamp(min=1)
        loss = functional.mse_loss(model(GraphBatch(whole, distances, node_features=x)), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item() / wanted.var().item())
        if step % 60 == 59:
            print(f"step {step + 1}  unexplained fraction of the variance {sum(errors[-60:]) / 60:.2f}")
    moved = (model.decay.factors.detach() - first).abs().mean(0)
    print("mean change of the factors by distance:", [round(change, 2) for change in moved.tolist()])


if __name__ == "__main__":
    main()
