import dgl
import pytest
import torch
from batches import random_distances, random_graph

from gradformer_dgl import ExponentialDecay, GradformerLayer, SparsePairDistances
from gradformer_dgl.support.errors import ConfigError, GraphError

SIZES = [7, 1, 5]


def test_padded_distances_give_what_ragged_ones_give():
    graph, distances = random_graph(SIZES), random_distances(SIZES)
    layer, x = GradformerLayer(12, 3), torch.randn(13, 12)
    ragged, padded = layer(graph, x, distances), layer(graph, x, distances.pad(-1))
    assert torch.equal(ragged, padded)
    single = layer.eval()(random_graph([5]), x[:5], random_distances([5]).pad(-1)[0])
    assert single.shape == (5, 12)


@pytest.mark.parametrize(
    "message_passing", [None, lambda size: dgl.nn.GraphConv(size, size, allow_zero_in_degree=True)]
)
def test_other_message_passing(message_passing):
    layer = GradformerLayer(12, 3, message_passing)
    x = torch.randn(13, 12, requires_grad=True)
    layer(random_graph(SIZES), x, random_distances(SIZES)).square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(p.grad is not None for p in layer.parameters())


def test_module_with_edge_features():
    graph = random_graph(SIZES)
    layer = GradformerLayer(12, 3, dgl.nn.GINEConv(torch.nn.Linear(12, 12)))
    out = layer(graph, torch.randn(13, 12), random_distances(SIZES), torch.randn(graph.num_edges(), 12))
    assert out.shape == (13, 12)


def test_one_node_graphs_make_no_nan():
    sizes = [1, 1, 1]
    x = torch.randn(3, 12, requires_grad=True)
    out = GradformerLayer(12, 3)(random_graph(sizes), x, random_distances(sizes))
    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()


def test_order_of_the_graphs_does_not_matter():
    graphs, order = [random_graph([n], seed=n) for n in SIZES], [2, 0, 1]
    parts = [random_distances([n], seed=n) for n in SIZES]
    features = [torch.randn(n, 12, dtype=torch.float64) for n in SIZES]
    layer = GradformerLayer(12, 3).double()

    def run(order):
        padded = torch.cat([parts[g].pad(-1, size=7) for g in order])
        out = layer(dgl.batch([graphs[g] for g in order]), torch.cat([features[g] for g in order]), padded)
        return dict(zip(order, out.split([SIZES[g] for g in order]), strict=True))

    here, there = run([0, 1, 2]), run(order)
    for graph in order:
        torch.testing.assert_close(here[graph], there[graph], rtol=1e-10, atol=1e-12)


def test_drop_path_drops_whole_graphs():
    layer = GradformerLayer(12, 3, drop_path=0.5)
    sizes = [3] * 200
    kept = layer._keep_path(torch.ones(600, 12), random_distances(sizes)).view(200, 36)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert (kept == kept[:, :1]).all()
    assert 60 < int((kept[:, 0] > 0).sum()) < 140
    layer.eval()
    assert (layer._keep_path(torch.ones(600, 12), random_distances(sizes)) == 1).all()


def test_a_shared_decay_is_one():
    decay = ExponentialDecay(3)
    first, second = GradformerLayer(12, 3, decay=decay), GradformerLayer(12, 3, decay=decay)
    assert first.decay is second.decay


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 5}, "feat_size must be divisible by num_heads, but 12 is not by 5"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, but is 1.0"),
        ({"attn_drop": -0.1}, "attn_drop must be"),
        ({"drop_path": float("nan")}, "drop_path must be .* but is nan"),
    ],
)
def test_config_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        GradformerLayer(**{"feat_size": 12, "num_heads": 3} | options)


def test_graph_errors():
    layer, graph, distances = GradformerLayer(12, 3), random_graph(SIZES), random_distances(SIZES)
    with pytest.raises(GraphError, match=r"shape \(13, 12\) \(nodes, feat_size\), but have \(13, 11\)"):
        layer(graph, torch.zeros(13, 11), distances)
    with pytest.raises(GraphError, match="graph has 13 nodes, but the distances are those of 4 nodes"):
        layer(graph, torch.zeros(13, 12), random_distances([4]))
    wrong = GradformerLayer(12, 3, dgl.nn.GraphConv(12, 11, allow_zero_in_degree=True))
    with pytest.raises(
        GraphError, match=r"must return the shape \(13, 12\), but GraphConv returned \(13, 11\)"
    ):
        wrong(graph, torch.zeros(13, 12), distances)


def test_distances_of_other_graphs_with_as_many_nodes_are_refused():
    layer, x = GradformerLayer(12, 3), torch.randn(13, 12)
    graph, distances = random_graph(SIZES), random_distances([5, 1, 7])
    with pytest.raises(GraphError, match=r"graphs of 7, 1, 5 nodes, but .* graphs of 5, 1, 7 nodes"):
        layer(graph, x, distances)
    near = SparsePairDistances.from_graph(random_graph([6, 7]), 2)
    with pytest.raises(GraphError, match=r"graphs of 7, 1, 5 nodes, but .* graphs of 6, 7 nodes"):
        layer(graph, x, near)
    many = [1] * 9
    with pytest.raises(GraphError, match=r"1, 1, 1, 1, 1, 1, 1, 1, ... nodes, but .* of 4, 5 nodes"):
        layer(random_graph(many), torch.randn(9, 12), random_distances([4, 5]))


def test_a_graph_that_is_a_batch_no_more_takes_the_distances_of_its_parts():
    graph, x, distances = random_graph(SIZES), torch.randn(13, 12), random_distances(SIZES)
    src, dst = graph.edges()
    layer = GradformerLayer(12, 3).eval()
    alone = layer(dgl.graph((src, dst), num_nodes=13), x, distances)
    torch.testing.assert_close(alone, layer(graph, x, distances))


def test_norms_without_weights_may_take_the_place_of_the_layers():
    layer, x, distances = GradformerLayer(12, 3), torch.randn(13, 12), random_distances(SIZES)
    norm = torch.nn.BatchNorm1d(12, affine=False)
    layer.norm_local = layer.norm_global = layer.norm_out = norm
    graph = random_graph(SIZES)
    h = norm(x + layer.message_passing(graph, x))
    h = norm(x + layer.attention(x, distances, layer.decay.table(255))) + h
    torch.testing.assert_close(layer(graph, x, distances), norm(h + layer.mlp(h)))
