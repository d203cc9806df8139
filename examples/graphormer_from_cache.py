"""A Graphormer-style model that reads its spatial bias and degrees from a cache.

The distances are computed once, into a file that any model can read.
"""

import tempfile
from pathlib import Path

from gradformer_dgl.cache import DistanceCache
from gradformer_dgl.preprocess import preprocess_graphs

import torch
from dgl.data import MiniGCDataset
from dgl.nn import DegreeEncoder, GraphormerLayer, SpatialEncoder
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

MAX_DISTANCE, MAX_DEGREE = 8, 24


class Graphormer(nn.Module):
    """Degrees on the nodes, distances on the logits."""

    def __init__(self, feat_size: int, num_heads: int, num_classes: int) -> None:
        super().__init__()
        self.degrees = DegreeEncoder(MAX_DEGREE, feat_size, direction="both")
        self.spatial = SpatialEncoder(MAX_DISTANCE, num_heads)
        self.layers = nn.ModuleList(GraphormerLayer(feat_size, 2 * feat_size, num_heads) for _ in range(2))
        self.head = nn.Linear(feat_size, num_classes)

    def forward(self, degrees: torch.Tensor, hops: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        real = torch.arange(hops.shape[1]) < counts[:, None]
        mask = ~real[:, None, :].expand(-1, hops.shape[1], -1)
        x, bias = self.degrees(degrees), self.spatial(hops)
        for layer in self.layers:
            x = layer(x, attn_bias=bias, attn_mask=mask)
        return self.head((x * real[:, :, None]).sum(1) / counts[:, None])


def padded(cache: DistanceCache, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return degrees (2, graphs, N), hops (graphs, N, N) and node counts of some graphs."""
    counts = torch.from_numpy(cache.node_counts).long()[numbers]
    numbers, size = numbers.tolist(), int(counts.max())
    degrees = [torch.from_numpy(cache.encoding("degree", number)).long() for number in numbers]
    hops = torch.full((len(numbers), size, size), -1)
    for row, number in enumerate(numbers):
        matrix = torch.from_numpy(cache.as_graphormer_bias(number))
        hops[row, : len(matrix), : len(matrix)] = matrix
    in_and_out = pad_sequence(degrees, batch_first=True).clamp(max=MAX_DEGREE)
    return in_and_out.permute(2, 0, 1), hops, counts


def main() -> None:
    torch.manual_seed(0)
    dataset = MiniGCDataset(400, min_num_v=8, max_num_v=24, seed=0)
    labels = torch.as_tensor([int(label) for _, label in dataset])
    with tempfile.TemporaryDirectory() as folder:
        preprocess_graphs(dataset, Path(folder) / "mini.h5", encodings=("degree",))
        # Elsewhere, later, by another program:
        cache = DistanceCache(Path(folder) / "mini.h5")
        model = Graphormer(feat_size=32, num_heads=4, num_classes=8)
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        train, test = torch.arange(0, 400, 2), torch.arange(1, 400, 2)
        for epoch in range(8):
            model.train()
            for numbers in train[torch.randperm(len(train))].split(25):
                loss = functional.cross_entropy(model(*padded(cache, numbers)), labels[numbers])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch + 1}  loss {loss.item():.3f}")
        model.eval()
        with torch.no_grad():
            accuracy = (model(*padded(cache, test)).argmax(1) == labels[test]).float().mean().item()
    print(f"test accuracy {accuracy:.2f} (one class of eight: 0.12)")


if __name__ == "__main__":
    main()
