"""Models that are Gradformer with a part left out."""

import numpy as np
import pytest
import torch
from batches import random_distances, random_graph
from torch.nn import functional

from gradformer_dgl import ExponentialDecay, Gradformer, GradformerLayer, GraphBatch
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.nn.decay import Decay
from gradformer_dgl.nn.layer import _as_pairs
from gradformer_dgl.nn.message_passing import MESSAGE_PASSING
from gradformer_dgl.support.errors import ConfigError, GraphError

SIZES = [7, 1, 0, 13]


class Ones(Decay):
    def table(self, num_distances):
        return torch.ones(self.num_heads, num_distances + 1, dtype=torch.float64)


def gradients(out, module, x):
    weight = torch.arange(out.numel(), dtype=torch.float64).view(out.shape).cos()
    return torch.autograd.grad((out * weight).sum(), [x, *module.parameters()])


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def plain_attention(attention, x):
    """Softmax attention of each graph, by torch's own function."""
    outputs = []
    for part in x.split(SIZES):
        qkv = attention.qkv(part).view(len(part), 3, attention.num_heads, 4).permute(1, 2, 0, 3)
        mixed = functional.scaled_dot_product_attention(*qkv).transpose(0, 1).reshape(part.shape)
        outputs.append(attention.out(mixed))
    return torch.cat(outputs)


@pytest.mark.parametrize("message_passing", ["gin", None])
def test_without_decay_attention_is_that_of_a_dense_softmax(message_passing):
    torch.manual_seed(1)
    graph, distances = random_graph(SIZES), random_distances(SIZES)
    layer = GradformerLayer(12, 3, message_passing, decay="none").double()
    x = torch.randn(graph.num_nodes(), 12, dtype=torch.float64, requires_grad=True)
    h = layer.norm_global(x + plain_attention(layer.attention, x))
    if message_passing is not None:
        h = h + layer.norm_local(x + layer.message_passing(graph, x))
    expected = layer.norm_out(h + layer.mlp(h))
    found = layer(graph, x, distances)
    close(found, expected)
    ours, theirs = gradients(found, layer, x), gradients(expected, layer, x)
    assert ours[0].abs().sum() > 0
    close(ours, theirs)
    ones = GradformerLayer(12, 3, message_passing, decay=Ones(3)).double()
    ones.load_state_dict(layer.state_dict())
    close(ones(graph, x, distances), found)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("name", ["gin", "gcn", "gatedgcn"])
def test_without_attention_a_layer_is_message_passing_and_a_feed_forward_network(name, dropout):
    torch.manual_seed(1)
    graph = random_graph(SIZES)
    layer = GradformerLayer(12, 3, name, dropout=dropout, attention=False).double()
    x = torch.randn(graph.num_nodes(), 12, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(2)
    found = layer(graph, x, None)
    torch.manual_seed(2)
    h = layer.norm_local(x + functional.dropout(layer.message_passing(graph, x), dropout))
    hidden = functional.dropout(torch.relu(layer.mlp[0](h)), dropout)
    expected = layer.norm_out(h + functional.dropout(layer.mlp[3](hidden), dropout))
    close(found, expected)
    ours, theirs = gradients(found, layer, x), gradients(expected, layer, x)
    assert all(grad.abs().sum() > 0 for grad in (ours[0], ours[-1]))
    close(ours, theirs)


@pytest.mark.parametrize("name", ["gin", "gcn", "gatedgcn"])
def test_parameters_without_attention(name):
    model = Gradformer(3, 16, 2, node_size=5, message_passing=name, attention=False)
    local = {"gin": 2 * (16 * 16 + 16), "gcn": 16 * 16 + 16, "gatedgcn": 5 * (16 * 16 + 16) + 2 * 16}[name]
    feed_forward = 16 * 32 + 32 + 32 * 16 + 16
    norms = 2 * 2 * 16
    encoder, head = 5 * 16 + 16, 16 * 3 + 3
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted == encoder + 2 * (local + feed_forward + norms) + head
    assert model.decay is None


def test_parameters_without_decay():
    counts = [
        sum(p.numel() for p in Gradformer(3, 16, 2, node_size=5, decay=decay).parameters())
        for decay in ("exponential", "none")
    ]
    assert counts[0] - counts[1] == 4


@pytest.mark.parametrize("name", ["gin", "gcn", "gatedgcn", "gine"])
def test_without_attention_no_distances_are_read(name):
    graph = random_graph(SIZES)
    batch = GraphBatch(graph, None, torch.randn(21, 5), torch.randn(graph.num_edges(), 2))
    edges = {} if name in ("gin", "gcn") else {"edge_encoder": "linear", "edge_size": 2}
    model = Gradformer(3, 16, 2, node_size=5, message_passing=name, attention=False, **edges)
    out = model(batch)
    assert out.shape == (4, 3)
    out.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["gin", "gcn"])
def test_edge_features_that_would_not_be_used_are_not_dropped_without_a_word(name):
    graph = random_graph([5])
    layer, edges = GradformerLayer(12, 3, name, attention=False), torch.zeros(graph.num_edges(), 12)
    with pytest.warns(UserWarning, match=f"{name.upper()} takes no edge features: those given are not used"):
        layer(graph, torch.zeros(5, 12), None, edges)


def test_options_beside_a_decay_that_does_not_have_them():
    decay = ExponentialDecay(3, 0.9)
    for options in ({"gamma": 0.1}, {"hop": [1, 2, 3]}, {"slope": 0.1}, {"learn_hop": False}):
        (name,) = options
        message = f"{name} is given beside a decay that is made already: give it to that decay"
        with pytest.raises(ConfigError, match=message):
            GradformerLayer(12, 3, decay=decay, **options)
        with pytest.raises(ConfigError, match=message):
            Gradformer(3, 12, num_heads=3, node_size=5, decay=decay, **options)
        with pytest.raises(ConfigError, match=f"{name} is no option of decay='none': leave it out"):
            GradformerLayer(12, 3, decay="none", **options)
    assert GradformerLayer(12, 3, decay=decay).decay is decay
    assert GradformerLayer(12, 3, decay="exponential", gamma=0.3).decay.gamma == 0.3


def test_inputs_of_another_kind():
    graph, layer = random_graph([5]), GradformerLayer(12, 3)
    for dtype in (torch.float64, torch.int64):
        with pytest.raises(
            GraphError, match=f"node features are {dtype}, but the layer computes in torch.float32"
        ):
            layer(graph, torch.zeros(5, 12, dtype=dtype), random_distances([5]))
    layer(graph, torch.zeros(5, 12, dtype=torch.bfloat16), random_distances([5]))
    for distances in (np.zeros((5, 5), np.int64), [[0]]):
        with pytest.raises(GraphError, match=r"distances must be PairDistances, .* but are a (ndarray|list)"):
            _as_pairs(graph, distances)

    class Pair(torch.nn.Module):
        def forward(self, graph, x):
            return x, x

    with pytest.raises(
        GraphError, match=r"message passing must return a tensor .* but Pair returned a tuple"
    ):
        GradformerLayer(12, 3, Pair())(graph, torch.zeros(5, 12), random_distances([5]))


@pytest.mark.parametrize("name", ["gin", "gcn", "gatedgcn"])
def test_edge_lists_of_int32(name):
    graph = random_graph([5, 3])
    src, dst = graph.edges()
    counts = graph.batch_num_nodes(), graph.batch_num_edges()
    layer, x = GradformerLayer(12, 3, name, attention=False).eval(), torch.randn(8, 12)
    expected = layer(graph, x, None)
    torch.testing.assert_close(layer(EdgeList(src.int(), dst.int(), 8, *counts), x, None), expected)
    torch.testing.assert_close(layer(graph.int(), x, None), expected)


def test_mistakes():
    with pytest.raises(ConfigError, match="without attention needs message passing: give message_passing"):
        GradformerLayer(12, 3, None, attention=False)
    with pytest.raises(GraphError, match="attention needs the distances of the graph: pass distances"):
        GradformerLayer(12, 3)(random_graph([5]), torch.zeros(5, 12), None)
    assert "gcn" in MESSAGE_PASSING
