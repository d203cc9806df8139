"""Layers under torch.compile: called by name in a process whose functions are as users have them.

In the process of the tests they check the shapes of their arguments, which a compiler cannot look through.
"""

import copy
import sys
from unittest import mock

import torch
from torch._dynamo.testing import CompileCounterWithBackend

from gradformer_dgl import GradformerLayer, PairDistances, SparsePairDistances
from gradformer_dgl.graphs.edge_list import EdgeList
from gradformer_dgl.kernels.attention import attention_backend

BATCHES = ([3, 5, 2], [4, 4, 7], [6, 2, 9], [1, 2, 3])


def batch(sizes):
    nodes, counts = sum(sizes), torch.tensor(sizes)
    values = torch.randint(0, 6, (sum(size * size for size in sizes),)).to(torch.uint8)
    src, dst = torch.randint(0, nodes, (2, 3 * nodes))
    return EdgeList(src, dst, nodes, counts, torch.zeros_like(counts)), PairDistances(values, counts)


def run(call, layer, graph, x, distances, edge_features):
    x = x.clone().requires_grad_()
    out = call(graph, x, distances, edge_features)
    out.square().sum().backward()
    return out, x.grad, *[parameter.grad for parameter in layer.parameters()]


def one_graph_fits_batches_of_other_sizes(message_passing, backend):
    torch._dynamo.reset()
    layer = GradformerLayer(8, 2, message_passing)
    same = copy.deepcopy(layer)
    made = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(same, fullgraph=True, backend=made)
    for sizes in BATCHES:
        graph, distances = batch(sizes)
        edges = torch.randn(graph.num_edges(), 8) if message_passing in ("gine", "gatedgcn") else None
        x = torch.randn(sum(sizes), 8)
        with attention_backend(backend):
            expected = run(layer, layer, graph, x, distances, edges)
            found = run(compiled, same, graph, x, distances, edges)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    # One for the sizes of the first batch, one for all others.
    assert made.frame_count == 2, made.frame_count


def equal():
    for message_passing in ("gin", "gine", "gcn", "gatedgcn"):
        one_graph_fits_batches_of_other_sizes(message_passing, "ragged")
    one_graph_fits_batches_of_other_sizes("gin", "blocks")


def plans():
    met = []
    of = PairDistances.of
    graph, distances = batch([3, 4])
    compiled = torch.compile(GradformerLayer(8, 2), fullgraph=True, backend="aot_eager")
    with mock.patch.object(PairDistances, "of", lambda *tensors: met.append(of(*tensors)) or met[-1]):
        compiled(graph, torch.randn(7, 8), distances).sum().backward()
    assert len(met) == 2
    assert all(each is distances for each in met)


def dropout():
    _, distances = batch([6, 5])
    layer = GradformerLayer(8, 2, None, attn_drop=0.5).attention
    x, table = torch.randn(11, 8), torch.rand(2, 256)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        drawn = torch.stack([compiled(x, distances, table) for _ in range(400)])
        assert not torch.equal(drawn[0], drawn[1])
        spread = drawn.std(0) / len(drawn) ** 0.5
        assert ((drawn.mean(0) - layer.eval()(x, distances, table)).abs() < 5 * spread + 1e-4).all()


def sparse():
    """Sparse pairs break the graph, but are compiled around once, whatever the batches are."""
    layer = GradformerLayer(8, 2, attn_drop=0.3).eval()
    same = copy.deepcopy(layer)
    made = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(same, backend=made)
    frames = []
    for sizes in ([3, 50, 2], [60, 4], [100], [70, 2, 9], [1, 2, 3], [33, 44], [30, 30]):
        pairs = SparsePairDistances.batch(
            [SparsePairDistances.from_graph((range(n - 1), range(1, n), n), 2) for n in sizes]
        )
        graph, _ = batch(sizes)
        x = torch.randn(sum(sizes), 8)
        expected = run(layer, layer, graph, x, pairs, None)
        torch.testing.assert_close(run(compiled, same, graph, x, pairs, None), expected, rtol=1e-3, atol=1e-4)
        frames.append(made.frame_count)
    # Batches whose graphs are all taken as matrices, or none, or some, are of three kinds.
    assert frames[3:] == [frames[3]] * 4, frames
    compiled.train()(graph, x, pairs, None).sum().backward()


if __name__ == "__main__":
    torch.manual_seed(0)
    {"equal": equal, "plans": plans, "dropout": dropout, "sparse": sparse}[sys.argv[1]]()
