"""Graphs without edges, in a batch of their own and beside others."""

import dgl
import pytest
import torch

from gradformer_dgl.data.dataset_info import DatasetInfo
from gradformer_dgl.nn.registry import MESSAGE_PASSING, READOUTS
from gradformer_dgl.prediction.predictor import Predictor
from gradformer_dgl.training.config import RunConfig
from gradformer_dgl.training.network import Network, build_model

SIZES = {"linear": 3, "flag": 3, "embedding": (4, 5), "ogb": None}
KINDS = {"linear": "number", "flag": "flag", "embedding": "category", "ogb": "category"}
COLUMNS = {"linear": 3, "flag": 3, "embedding": 2}
BONDLESS = {
    "one node": [(1, 0)],
    "two of one node": [(1, 0), (1, 0)],
    "salt": [(2, 0)],
    "mixed": [(1, 0), (3, 2)],
}


def features(kind, rows, of_ogb):
    columns = COLUMNS.get(kind, of_ogb)
    if kind == "linear":
        return torch.rand(rows, columns)
    return torch.randint(2, (rows, columns)).bool() if kind == "flag" else torch.randint(2, (rows, columns))


def graph_of(nodes, edges, node, edge):
    ends = torch.arange(edges), torch.arange(edges) + 1
    graph = dgl.graph((torch.cat(ends), torch.cat(ends[::-1])), num_nodes=nodes)
    graph.ndata["feat"] = features(node, nodes, 9)
    if edge is not None:
        graph.edata["feat"] = features(edge, 2 * edges, 3)
    return graph


def predictor_of(node, edge, level="graph", **settings):
    def name(kind):
        return "linear" if kind == "flag" else kind

    sizes = {"node_size": SIZES[node] or (119, 5, 12, 12, 10, 6, 6, 2, 2)}
    if edge is not None:
        sizes |= {"edge_size": SIZES[edge] or (5, 6, 2), "edge_encoder": name(edge), "edge_kind": KINDS[edge]}
    info = DatasetInfo(
        "made", "multiclass", level, 3, node_encoder=name(node), node_kind=KINDS[node], **sizes
    )
    config = RunConfig(feat_size=10, num_layers=2, num_heads=2, **settings)
    torch.manual_seed(5)
    return Predictor(info, config, {0: Network(build_model(info, config))})


def check(predictor, node, edge):
    for shapes in BONDLESS.values():
        graphs = [graph_of(*shape, node, edge) for shape in shapes]
        alone = predictor.predict(graphs)
        beside = predictor.predict([*graphs, graph_of(7, 5, node, edge)])
        nodes = sum(graph.num_nodes() for graph in graphs)
        count = len(graphs) if predictor.info.level == "graph" else nodes
        assert len(alone) == count
        assert torch.allclose(alone, beside[:count], atol=1e-6)


@pytest.mark.parametrize("edge", [None, *SIZES])
@pytest.mark.parametrize("node", SIZES)
def test_every_encoder_takes_graphs_without_edges(node, edge):
    check(predictor_of(node, edge), node, edge)


@pytest.mark.parametrize("edge", ["linear", "embedding"])
@pytest.mark.parametrize("name", MESSAGE_PASSING)
def test_every_message_passing_takes_graphs_without_edges(name, edge):
    encoding = "rwse:4" if name == "gatedgcn_gate" else "none"
    check(predictor_of("linear", edge, message_passing=name, encoding=encoding), "linear", edge)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("model", ["gradformer", "graphormer", "gatedgcn", "gin", "gcn"])
def test_every_model_and_readout_takes_graphs_without_edges(model, readout):
    check(predictor_of("embedding", "embedding", model=model, readout=readout), "embedding", "embedding")


def test_nodes_of_graphs_without_edges():
    check(predictor_of("ogb", "ogb", level="node", message_passing="gine"), "ogb", "ogb")
