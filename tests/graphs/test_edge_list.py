import dgl
import pytest
import torch

from gradformer_dgl import Gradformer, PairDistances
from gradformer_dgl.data import PackedGraphs
from gradformer_dgl.graphs import edge_list
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.preprocess import shortest_path_distances


def packed():
    """Return graphs with features, distances and an encoding."""
    torch.manual_seed(0)
    graphs = [dgl.rand_graph(size, min(2 * size, size * size)) for size in (5, 1, 8, 3)]
    for graph in graphs:
        graph.ndata["feat"] = torch.randn(graph.num_nodes(), 7)
        graph.edata["feat"] = torch.randn(graph.num_edges(), 2)
    found = PackedGraphs.from_graphs(graphs)
    values = torch.cat([shortest_path_distances(graph).flatten() for graph in graphs])
    found.distances = PairDistances(values, found.node_counts)
    found.encodings = {"rwse:3": torch.randn(17, 3)}
    return found


@pytest.fixture
def without_dgl(monkeypatch):
    """As on a GPU with a CPU build of DGL."""
    monkeypatch.setattr(edge_list, "dgl_has_graphs_on", lambda device_type: False)


def test_a_batch_has_the_same_edges(monkeypatch):
    graphs = packed()
    expected = graphs.batch([2, 0, 1]).graph
    monkeypatch.setattr(edge_list, "dgl_has_graphs_on", lambda device_type: False)
    found = graphs.batch([2, 0, 1]).graph
    assert isinstance(found, EdgeList)
    assert isinstance(expected, dgl.DGLGraph)
    for mine, other in zip(found.edges(), expected.edges(), strict=True):
        assert torch.equal(mine, other)
    assert (found.num_nodes(), found.num_edges(), found.batch_size) == (14, expected.num_edges(), 3)
    assert torch.equal(found.batch_num_nodes(), expected.batch_num_nodes())
    assert torch.equal(found.batch_num_edges(), expected.batch_num_edges())
    assert found.device == expected.device
    assert torch.equal(found.to("cpu").edges()[0], expected.edges()[0])


@pytest.mark.parametrize("message_passing", ["gin", "gine", "gatedgcn", "gatedgcn_gate", None])
def test_a_model_gives_the_same_values_and_gradients(message_passing, monkeypatch):
    graphs = packed()
    model = Gradformer(
        2,
        16,
        2,
        2,
        node_size=7,
        edge_encoder="linear",
        edge_size=2,
        encoding="rwse:3",
        message_passing=message_passing,
        drop_path=0.5,
    )
    results = []
    for there in (True, False):
        monkeypatch.setattr(edge_list, "dgl_has_graphs_on", lambda device_type, there=there: there)
        model.zero_grad()
        torch.manual_seed(1)
        batch = graphs.batch([2, 0, 3])
        assert isinstance(batch.graph, EdgeList) is not there
        out = model(batch)
        out.square().sum().backward()
        grads = [part.grad for part in model.parameters() if part.grad is not None]
        results.append([out.detach(), *grads])
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_what_it_lacks_is_said(without_dgl):
    graph = packed().batch([0]).graph
    with pytest.raises(
        AttributeError, match="a list of edges has no 'local_scope': the installed DGL has no"
    ):
        graph.local_scope()
