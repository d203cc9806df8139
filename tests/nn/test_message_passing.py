import dgl
import pytest
import torch
from batches import random_graph

from gradformer_dgl.kernels.message_passing import aggregate
from gradformer_dgl.nn.message_passing import MESSAGE_PASSING, make_message_passing
from gradformer_dgl.support.errors import ConfigError, GraphError

SIZES = [7, 1, 0, 13]


def call(name, graph, way, with_edges, monkeypatch):
    """Run a module one of the ways in which sums are made; return output and gradients."""
    torch.manual_seed(5)
    monkeypatch.setattr(aggregate, "compiled_runs_on", lambda graph, x: way == "compiled")
    monkeypatch.setattr(aggregate, "dgl_runs_on", lambda graph, x: way == "dgl")
    module = MESSAGE_PASSING.load(name)(11).double()
    x = torch.randn(graph.num_nodes(), 11, dtype=torch.float64)
    e = torch.randn(graph.num_edges(), 11, dtype=torch.float64) if with_edges else None
    encodings = torch.randn(graph.num_nodes(), 3, dtype=torch.float64)
    weight = torch.randn(graph.num_nodes(), 11, dtype=torch.float64)
    if way == "compiled":
        # GIN's sum is not compiled: DGL has it, in one kernel.
        monkeypatch.setattr(aggregate, "dgl_runs_on", lambda graph, x: True)
        module = module.float()
        x, encodings, weight = x.float(), encodings.float(), weight.float()
        e = None if e is None else e.float()
    inputs = [part.requires_grad_() for part in (x, e) if part is not None]
    out = module(graph, x, e, encodings)
    (out * weight).sum().backward()
    grads = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in module.named_parameters()}
    grads |= {
        str(n): torch.zeros_like(part) if part.grad is None else part.grad for n, part in enumerate(inputs)
    }
    return {"out": out.detach(), **grads}


@pytest.mark.parametrize(
    ("name", "with_edges"), [*((name, True) for name in MESSAGE_PASSING), ("gatedgcn", False)]
)
@pytest.mark.parametrize("way", ["compiled", "dgl"])
def test_all_ways_are_equal(name, with_edges, way, monkeypatch):
    graph = random_graph(SIZES)
    loops = torch.arange(0, graph.num_nodes(), 3)
    graph = dgl.add_edges(
        graph, torch.cat([loops, graph.edges()[0][:5]]), torch.cat([loops, graph.edges()[1][:5]])
    )
    expected = call(name, graph, "torch", with_edges, monkeypatch)
    found = call(name, graph, way, with_edges, monkeypatch)
    assert found.keys() == expected.keys()
    tolerance = {"rtol": 1e-4, "atol": 2e-5} if way == "compiled" else {"rtol": 1e-9, "atol": 1e-10}
    for part in expected:
        torch.testing.assert_close(found[part].double(), expected[part], **tolerance)


@pytest.mark.parametrize("channels", [1, 16, 48, 67])
@pytest.mark.parametrize("with_edges", [False, True])
@pytest.mark.parametrize("with_scale", [False, True])
def test_the_gated_mean_and_its_gradients(channels, with_edges, with_scale):
    graph = random_graph([40, 3, 1])
    torch.manual_seed(channels)
    shapes = [(graph.num_nodes(), channels)] * 3
    shapes += [(graph.num_edges(), channels)] * with_edges + [(graph.num_edges(), 1)] * with_scale
    given = [3 * torch.randn(shape) for shape in shapes]
    weight = torch.randn(graph.num_nodes(), channels)
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs = [part.to(dtype).requires_grad_() for part in given]
        edges = inputs[3] if with_edges else None
        out = aggregate.gated_mean(graph, *inputs[:3], edges, inputs[-1].abs() if with_scale else None)
        results.append([out, *torch.autograd.grad((out * weight).sum(), inputs)])
    for found, expected in zip(*results, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["gine", "gatedgcn"])
def test_nan_is_not_hidden(name):
    graph = dgl.graph(([0], [1]))
    e = torch.full((1, 11), torch.nan)
    out = MESSAGE_PASSING.load(name)(11)(graph, torch.rand(2, 11), e)
    assert out[1].isnan().all()


@pytest.mark.parametrize("name", MESSAGE_PASSING)
def test_no_edges(name):
    graph = dgl.graph(([], []), num_nodes=5)
    x = torch.randn(5, 11, requires_grad=True)
    out = MESSAGE_PASSING.load(name)(11)(graph, x, torch.zeros(0, 11), torch.zeros(5, 3))
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
    with pytest.raises(ConfigError, match=r"message_passing is one of .* not 'gni'; did you mean 'gin'\?"):
        make_message_passing("gni", 5)


def test_missing_or_wrong_features():
    graph = random_graph([5])
    x, e = torch.zeros(5, 11), torch.zeros(graph.num_edges(), 11)
    with pytest.raises(GraphError, match="GINE needs edge features; pass edge_features"):
        make_message_passing("gine", 11)(graph, x)
    with pytest.raises(GraphError, match=r"needs edge features of the shape \(4, 11\).*but has \(3, 11\)"):
        make_message_passing("gine", 11)(graph, x, e[1:])
    gate = make_message_passing("gatedgcn_gate", 11)
    with pytest.raises(GraphError, match=r"GatedGCN needs edge features of the shape \(4, 11\)"):
        make_message_passing("gatedgcn", 11)(graph, x, e[1:])
    with pytest.raises(GraphError, match="needs node encodings"):
        gate(graph, x, e)
    with pytest.raises(GraphError, match=r"encodings of the shape \(5, columns\), but has \(4, 3\)"):
        gate(graph, x, e, torch.zeros(4, 3))


CHANGES = {
    "add_edges": lambda graph: graph.add_edges([3, 0], [0, 2]),
    "add_nodes": lambda graph: graph.add_nodes(2),
    "remove_edges": lambda graph: graph.remove_edges([0, 4]),
    "remove_nodes": lambda graph: graph.remove_nodes([1, 5]),
    # As many edges as before, but other ones.
    "exchange": lambda graph: (graph.remove_edges([2]), graph.add_edges([6], [0])),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", MESSAGE_PASSING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_graph_that_is_changed_in_place_is_the_graph_it_has_become(name, change, dtype):
    graph = random_graph([9])

    def run(graph):
        torch.manual_seed(2)
        module = make_message_passing(name, 4).to(dtype)
        x, e = torch.randn(graph.num_nodes(), 4), torch.randn(graph.num_edges(), 4)
        x, e = x.to(dtype).requires_grad_(), e.to(dtype)
        out = module(graph, x, e, torch.ones(graph.num_nodes(), 3, dtype=dtype))
        return out.detach(), torch.autograd.grad(out.sin().sum(), x)[0]

    before = run(graph)
    CHANGES[change](graph)
    src, dst = graph.edges()
    fresh = dgl.graph((src.clone(), dst.clone()), num_nodes=graph.num_nodes())
    changed = run(graph)
    torch.testing.assert_close(changed, run(fresh))
    assert before[0].shape != changed[0].shape or not torch.allclose(before[0], changed[0])


@pytest.mark.parametrize("formats", ["coo", "csr", "csc", ["coo", "csr"]], ids=str)
@pytest.mark.parametrize("name", MESSAGE_PASSING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_graph_that_is_restricted_to_some_formats(name, formats, dtype):
    graph = random_graph([9])
    x, e = torch.randn(9, 4, dtype=dtype), torch.randn(graph.num_edges(), 4, dtype=dtype)
    module, encodings = make_message_passing(name, 4).to(dtype), torch.ones(9, 3, dtype=dtype)
    expected = module(graph, x, e, encodings)
    torch.testing.assert_close(module(graph.formats(formats), x, e, encodings), expected)
