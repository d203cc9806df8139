"""Random batches of graphs for the tests of the model."""

import dgl
import torch

from gradformer_dgl import PairDistances


def random_distances(sizes: list[int], longest: int = 11, seed: int = 0, dtype: torch.dtype = torch.uint8):
    """Distances of no particular graph, a tenth of them unreachable."""
    generator = torch.Generator().manual_seed(seed)
    pairs = sum(n * n for n in sizes)
    values = torch.randint(longest + 1, (pairs,), generator=generator)
    unreachable = torch.rand(pairs, generator=generator) < 0.1
    return PairDistances(
        values.masked_fill(unreachable, 255 if dtype == torch.uint8 else 65535).to(dtype),
        torch.tensor(sizes, dtype=torch.int64),
    )


def random_graph(sizes: list[int], seed: int = 0) -> dgl.DGLGraph:
    """Return a batch of sparse random graphs, some nodes without edges."""
    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for n in sizes:
        ends = torch.randint(max(n, 1), (2, n // 2), generator=generator)
        graphs.append(dgl.graph((torch.cat([ends[0], ends[1]]), torch.cat([ends[1], ends[0]])), num_nodes=n))
    return dgl.batch(graphs)
