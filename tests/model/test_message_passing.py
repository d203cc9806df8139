import dgl
import pytest
import torch
from batches import random_graph

from gradformer_dgl.errors import ConfigError, GraphError
from gradformer_dgl.message_passing import MESSAGE_PASSING, aggregate, make_message_passing

SIZES = [7, 1, 0, 13]


def call(name, graph, torch_path, monkeypatch):
    """Run a module with one of the two kernels; return output and gradients."""
    torch.manual_seed(5)
    monkeypatch.setattr(aggregate, "dgl_runs_on", lambda graph, x: not torch_path)
    module = MESSAGE_PASSING[name](11).double()
    x = torch.randn(graph.num_nodes(), 11, dtype=torch.float64, requires_grad=True)
    e = torch.randn(graph.num_edges(), 11, dtype=torch.float64, requires_grad=True)
    encodings = torch.randn(graph.num_nodes(), 3, dtype=torch.float64)
    out = module(graph, x, e, encodings)
    out.square().sum().backward()
    grads = {n: p.grad for n, p in module.named_parameters()}
    return out.detach(), x.grad, torch.zeros_like(e) if e.grad is None else e.grad, grads


@pytest.mark.parametrize("name", MESSAGE_PASSING)
def test_both_kernels_are_equal(name, monkeypatch):
    graph = random_graph(SIZES)
    ours, theirs = (call(name, graph, path, monkeypatch) for path in (True, False))
    for mine, other in zip(ours[:3], theirs[:3], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)
    for parameter in ours[3]:
        torch.testing.assert_close(ours[3][parameter], theirs[3][parameter], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", MESSAGE_PASSING)
def test_no_edges(name):
    graph = dgl.graph(([], []), num_nodes=5)
    x = torch.randn(5, 11, requires_grad=True)
    out = MESSAGE_PASSING[name](11)(graph, x, torch.zeros(0, 11), torch.zeros(5, 3))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()


def test_parallel_edges_and_self_loops_count_each():
    graph = dgl.graph(([0, 0, 1], [1, 1, 1]))
    x = torch.tensor([[2.0], [3.0]])
    assert aggregate.sum_neighbors(graph, x).tolist() == [[0.0], [7.0]]


def test_bfloat16_takes_torch_kernels():
    graph = random_graph(SIZES)
    x = torch.randn(graph.num_nodes(), 11)
    exact = aggregate.sum_neighbors(graph, x)
    rounded = aggregate.sum_neighbors(graph, x.bfloat16())
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)


def test_choice():
    assert make_message_passing(None, 5) is None
    with pytest.raises(ConfigError, match=r"no message passing named 'gni' .*did you mean 'gin'\?"):
        make_message_passing("gni", 5)


def test_missing_or_wrong_features():
    graph = random_graph([5])
    x, e = torch.zeros(5, 11), torch.zeros(graph.num_edges(), 11)
    with pytest.raises(GraphError, match="GINE needs edge features; pass edge_features"):
        make_message_passing("gine", 11)(graph, x)
    with pytest.raises(GraphError, match=r"needs edge features of the shape \(4, 11\).*but has \(3, 11\)"):
        make_message_passing("gine", 11)(graph, x, e[1:])
    gate = make_message_passing("gatedgcn_gate", 11)
    with pytest.raises(GraphError, match="needs node encodings"):
        gate(graph, x, e)
    with pytest.raises(GraphError, match=r"encodings of the shape \(5, columns\), but has \(4, 3\)"):
        gate(graph, x, e, torch.zeros(4, 3))
