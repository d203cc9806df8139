import dgl
import pytest
import torch
from batches import random_distances, random_graph

from gradformer_dgl import Gradformer, GraphBatch
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.nn.message_passing import GCN

SIZES = [7, 1, 0, 13]


def directed_graph():
    """Return a graph with edges of one direction, parallel ones, self loops and a node without edges."""
    return dgl.graph(([0, 0, 0, 1, 2, 2, 4], [1, 1, 2, 0, 2, 4, 1]), num_nodes=7)


def as_edge_list(graph):
    src, dst = graph.edges()
    counts = graph.batch_num_nodes().long(), graph.batch_num_edges().long()
    return EdgeList(src.long(), dst.long(), graph.num_nodes(), *counts)


def module_and_input(graph):
    torch.manual_seed(3)
    return GCN(11).double(), torch.randn(graph.num_nodes(), 11, dtype=torch.float64, requires_grad=True)


def gradients(out, module, x):
    weight = torch.arange(out.numel(), dtype=torch.float64).view(out.shape).cos()
    return torch.autograd.grad((out * weight).sum(), [x, module.linear.weight, module.linear.bias])


@pytest.mark.parametrize("graph", [random_graph(SIZES), directed_graph()])
def test_it_is_graph_conv_of_dgl_with_self_loops(graph):
    module, x = module_and_input(graph)
    conv = dgl.nn.GraphConv(11, 11, norm="both").double()
    with torch.no_grad():
        conv.weight.copy_(module.linear.weight.T)
        conv.bias.copy_(module.linear.bias)
    expected = conv(dgl.add_self_loop(graph), x)
    found = module(graph, x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    weight = torch.arange(expected.numel(), dtype=torch.float64).view(expected.shape).cos()
    of_x, of_weight, of_bias = torch.autograd.grad((expected * weight).sum(), [x, conv.weight, conv.bias])
    grads = gradients(found, module, x)
    assert all(grad.abs().sum() > 0 for grad in grads)
    torch.testing.assert_close(grads, (of_x, of_weight.T, of_bias), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("graph", [random_graph(SIZES), directed_graph()])
@pytest.mark.parametrize("convert", [lambda graph: graph, as_edge_list])
def test_it_is_the_normalised_adjacency_times_the_nodes(graph, convert):
    module, x = module_and_input(graph)
    adjacency = torch.eye(graph.num_nodes(), dtype=torch.float64)
    for u, v in zip(*(ends.tolist() for ends in graph.edges()), strict=True):
        adjacency[v, u] += 1
    normalised = torch.diag(adjacency.sum(1) ** -0.5) @ adjacency @ torch.diag(adjacency.sum(0) ** -0.5)
    expected = normalised @ x @ module.linear.weight.T + module.linear.bias
    found = module(convert(graph), x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        gradients(found, module, x), gradients(expected, module, x), rtol=1e-10, atol=1e-12
    )


def test_gradformer_takes_it():
    graph = random_graph(SIZES)
    batch = GraphBatch(graph, random_distances(SIZES), torch.randn(graph.num_nodes(), 5))
    model = Gradformer(3, 16, 2, node_size=5, message_passing="gcn")
    model(batch).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(layer.message_passing.linear.weight.grad.abs().sum() > 0 for layer in model.layers)
