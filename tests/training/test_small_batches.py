"""Batches of one node, and batches without an edge."""

import dataclasses
import math

import dgl
import pytest
import torch

from gradformer_dgl.data import GraphDataset, PackedGraphs
from gradformer_dgl.pairs.distances import PairDistances
from gradformer_dgl.preprocess import shortest_path_distances
from gradformer_dgl.support.errors import ConfigError
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.loop import Trainer

SMALL = {"epochs": 2, "feat_size": 8, "num_layers": 2, "num_heads": 2}
EDGE_NORM = """
from torch import nn
import torch

class EdgeNorm(nn.Module):
    def __init__(self, feat_size):
        super().__init__()
        self.norm = nn.BatchNorm1d(feat_size)

    def forward(self, graph, x):
        src, dst = graph.edges()
        return torch.zeros_like(x).index_add(0, dst.long(), self.norm(x[src.long()]))
"""


def dataset_of(shapes):
    """Graphs of so many nodes and undirected edges, with categories, and a number as the target."""
    graphs = []
    for nodes, edges in shapes:
        ends = torch.arange(edges), torch.arange(edges) + 1
        graph = dgl.graph((torch.cat(ends), torch.cat(ends[::-1])), num_nodes=nodes)
        graph.ndata["feat"] = torch.arange(nodes)[:, None] % 3
        graph.edata["feat"] = torch.zeros(2 * edges, 2, dtype=torch.int64)
        graphs.append(graph)
    packed = PackedGraphs.from_graphs(graphs, [float(nodes) for nodes, _ in shapes], edge_features="feat")
    values = torch.cat([shortest_path_distances(graph).flatten() for graph in graphs])
    packed = dataclasses.replace(
        packed, labels=packed.labels[:, None], distances=PairDistances(values, packed.node_counts)
    )
    numbers = torch.arange(len(shapes))
    splits = dict.fromkeys(("train", "val", "test"), numbers)
    return GraphDataset(
        "SMALL", packed, "regression", "graph", out_size=1, node_encoder="embedding", node_size=3,
        edge_encoder="embedding", edge_size=(4, 5), splits=splits,
    )  # fmt: skip


@pytest.mark.parametrize("model", ["gradformer", "graphormer", "gatedgcn", "gin", "gcn"])
@pytest.mark.parametrize("shapes", [[(1, 0)] * 4, [(1, 0), (3, 2), (2, 0), (1, 0)]], ids=["atoms", "mixed"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_batch_of_any_graphs_is_trained_on(model, shapes, batch_size, tmp_path):
    config = RunConfig(model=model, batch_size=batch_size, message_passing="gine", **SMALL)
    trainer = Trainer(dataset_of(shapes), config, 0, tmp_path)
    before = {name: weight.clone() for name, weight in trainer.network.named_parameters()}
    result = trainer.run()
    assert math.isfinite(result.test)
    assert all(tensor.isfinite().all() for tensor in trainer.network.state_dict().values())
    assert not torch.equal(trainer.network.model.head.weight, before["model.head.weight"])


def test_a_batch_of_one_node_leaves_the_running_statistics(tmp_path):
    config = RunConfig(batch_size=1, message_passing="gin", **SMALL)
    trainer = Trainer(dataset_of([(1, 0), (4, 3)]), config, 0, tmp_path)
    norm = trainer.network.model.layers[0].norm_out
    for number, counted in ((0, 0), (1, 1), (0, 1)):
        part = torch.tensor([number])
        trainer.network.train()
        trainer.train_step(number, part, trainer.loader.batch(part))
        assert norm.num_batches_tracked == counted
        assert norm.training


def test_a_norm_of_ones_own_over_a_single_edge_names_the_option(own_module, tmp_path):
    name = own_module("edge_norm", EDGE_NORM)
    dataset = dataset_of([(2, 1), (2, 1), (2, 1)])
    # One direction of each edge.
    graphs = dataset.graphs
    one = dataclasses.replace(
        graphs,
        edge_counts=graphs.edge_counts // 2,
        src=graphs.src[::2],
        dst=graphs.dst[::2],
        edge_features=graphs.edge_features[::2],
    )
    config = RunConfig(batch_size=1, message_passing=f"{name}:EdgeNorm", **SMALL)
    trainer = Trainer(dataclasses.replace(dataset, graphs=one), config, 0, tmp_path)
    with pytest.raises(ConfigError, match="a larger --batch-size than 1"):
        trainer.run()
