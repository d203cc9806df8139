import math
from unittest import mock

import dgl
import networkx as nx
import pytest
import torch
from sparse_graphs import KINDS, dense_distances, hops
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradformer_dgl import (
    ExponentialDecay,
    Gradformer,
    GradformerLayer,
    GraphBatch,
    PairDistances,
    SparsePairDistances,
    decay_attention,
)
from gradformer_dgl.kernels.attention import attention_backend
from gradformer_dgl.kernels.attention.reference import reference_attention
from gradformer_dgl.kernels.attention.sparse import as_matrices, dense_graphs
from gradformer_dgl.kernels.attention.sparse_torch import SparseTorch
from gradformer_dgl.models.graphormer import Graphormer
from gradformer_dgl.nn.decay import NoDecay
from gradformer_dgl.pairs.cutoff import cutoff_error
from gradformer_dgl.support.errors import ConfigError, GraphError

HEADS, CHANNELS = 3, 5
FORMS = {"cpu": torch.float32, "torch": torch.float64}
CLOSE = {torch.float32: {"rtol": 1e-3, "atol": 3e-5}, torch.float64: {"rtol": 1e-9, "atol": 1e-10}}


def inputs(nodes, dtype=torch.float64, seed=0, columns=256, channels=CHANNELS):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(nodes, HEADS, channels, generator=generator, dtype=torch.float64) for _ in range(3)]
    table = torch.rand(HEADS, columns, generator=generator, dtype=torch.float64) * 1.5
    table[:, -1] = 0
    return [part.to(dtype) for part in (*parts, table)]


def run(attend, tensors, **options):
    """Return the output, and the gradients of an arbitrary function of it."""
    leaves = [part.clone().requires_grad_() for part in tensors]
    out = attend(*leaves, **options)
    generator = torch.Generator().manual_seed(7)
    (out * torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype)).sum().backward()
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def sparse_run(form, sparse, tensors, mixed=False, **options):
    with attention_backend("sparse", form=form, mixed=mixed):
        return run(lambda q, k, v, t: decay_attention(q, k, v, sparse, t, **options), tensors)


def dense_run(distances, tensors):
    return run(lambda q, k, v, t: reference_attention(q, k, v, distances, t), tensors)


def assert_alike(ours, dense, dtype):
    for number, (mine, other) in enumerate(zip(ours, dense, strict=True)):
        if number == 4:
            # The factor of unreachable pairs is a constant of sparse attention.
            assert (mine[:, -1] == 0).all()
            mine, other = mine[:, :-1], other[:, :-1]
        assert torch.isfinite(mine).all()
        torch.testing.assert_close(mine.double(), other, **CLOSE[dtype])
        assert other.abs().max() > 0


@pytest.mark.parametrize(
    ("kind", "form"),
    [*((kind, "cpu") for kind in KINDS), ("components", "torch"), ("directed", "torch")],
)
def test_a_cutoff_beyond_all_paths_gives_dense_attention(kind, form):
    graph, dtype = KINDS[kind](), FORMS[form]
    found = hops(graph)
    longest = int(found[found < math.inf].max())
    sparse = SparsePairDistances.from_graph(graph, longest, directed=graph.is_directed())
    tensors = inputs(len(graph), columns=longest + 2)
    dense = dense_run(dense_distances(found), tensors)
    assert_alike(sparse_run(form, sparse, [part.to(dtype) for part in tensors]), dense, dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_pairs_beyond_the_cutoff_are_those_of_dense_attention_without_a_path(kind, form):
    graph, dtype = KINDS[kind](), FORMS[form]
    sparse = SparsePairDistances.from_graph(graph, 2, directed=graph.is_directed())
    tensors = inputs(len(graph), columns=4)
    dense = dense_run(dense_distances(hops(graph), 2), tensors)
    assert_alike(sparse_run(form, sparse, [part.to(dtype) for part in tensors]), dense, dtype)


@pytest.mark.parametrize("kind", ["grid", "power law", "directed"])
@pytest.mark.parametrize(("gamma", "tau"), [(0.3, 0.0), (0.6, 2.0)])
def test_the_error_of_a_cutoff_is_within_its_bound(kind, gamma, tau):
    graph = KINDS[kind]()
    query, key, value, _ = inputs(len(graph))
    decay, distances = ExponentialDecay(HEADS, gamma=gamma, hop=tau).double(), dense_distances(hops(graph))
    dense = decay_attention(query, key, value, distances, decay.table(255))
    max_logit = float(torch.einsum("ihc,jhc->hij", query, key).abs().max()) / CHANNELS**0.5
    ranges = value.amax(0) - value.amin(0)
    errors = []
    for cutoff in (1, 3, 5):
        sparse = SparsePairDistances.from_graph(graph, cutoff, directed=graph.is_directed())
        out = decay_attention(query, key, value, sparse, decay.table(cutoff + 1))
        errors.append(float(((out - dense).abs() / ranges).max().detach()))
        assert errors[-1] <= cutoff_error(decay, cutoff, max_logit)
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] > 1e-5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cutoff", [2, 7])
@pytest.mark.parametrize("sign", [1, -1])
def test_large_logits(form, cutoff, sign):
    graph, dtype = nx.path_graph(8), FORMS[form]
    sparse, tensors = SparsePairDistances.from_graph(graph, cutoff), inputs(8, columns=cutoff + 2)
    tensors[0] = 300 * sign * tensors[1]
    tensors[3] = torch.ones_like(tensors[3])
    tensors[3][:, -1] = 0
    dense = dense_run(dense_distances(hops(graph), cutoff), tensors)
    ours = sparse_run(form, sparse, [part.to(dtype) for part in tensors])
    for mine, other in zip(ours, dense, strict=True):
        assert torch.isfinite(mine).all()
        scale = float(other.abs().max())
        tolerance = 2e-3 if dtype == torch.float32 else 1e-9
        if mine.shape == tensors[3].shape:
            mine, other = mine[:, :-1], other[:, :-1]
        torch.testing.assert_close(mine.double(), other, rtol=0, atol=tolerance * max(1.0, scale))


def pieces():
    """A node alone, nothing, nodes without edges, self loops and parallel edges, and a path."""
    return [
        dgl.graph(([], []), num_nodes=1),
        dgl.graph(([], []), num_nodes=0),
        dgl.graph(([], []), num_nodes=5),
        dgl.graph(([0, 0, 1, 1], [0, 1, 0, 1]), num_nodes=3),
        dgl.from_networkx(nx.path_graph(37)),
        dgl.graph(([], []), num_nodes=0),
    ]


def dense_of(graphs, cutoff):
    found = [hops(dgl.to_networkx(graph).to_undirected()) for graph in graphs if graph.num_nodes()]
    values = torch.cat([dense_distances(one, cutoff).values for one in found])
    return PairDistances(values, torch.tensor([graph.num_nodes() for graph in graphs]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("channels", [5, 16])
def test_pieces_of_a_batch_attend_to_themselves(form, mixed, channels):
    sparse = SparsePairDistances.from_graph(dgl.batch(pieces()), 2)
    dtype, tensors = FORMS[form], inputs(46, columns=4, channels=channels)
    dense = dense_run(dense_of(pieces(), 2), tensors)
    assert_alike(sparse_run(form, sparse, [part.to(dtype) for part in tensors], mixed=mixed), dense, dtype)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_attends_to_nothing(form):
    sparse = SparsePairDistances.from_graph(dgl.batch(pieces()[1:2]), 2)
    ours = sparse_run(form, sparse, inputs(0, FORMS[form], columns=4))
    assert [tuple(part.shape) for part in ours] == [(0, HEADS, CHANNELS)] * 4 + [(HEADS, 4)]
    assert (ours[4] == 0).all()


def test_small_parts_of_rows_give_what_one_part_gives(monkeypatch):
    sparse = SparsePairDistances.from_graph(KINDS["power law"](), 2)
    tensors = inputs(503, columns=4)
    whole = sparse_run("torch", sparse, tensors)
    # Rows of hubs have more pairs than a part may have: they are parts of their own.
    monkeypatch.setattr("gradformer_dgl.kernels.attention.sparse_torch.CHUNK", 90 * HEADS * CHANNELS)
    for mine, other in zip(sparse_run("torch", sparse, tensors), whole, strict=True):
        torch.testing.assert_close(mine, other, **CLOSE[torch.float64])


class OneDevice(TorchDispatchMode):
    """Fails where an operation takes tensors of several devices, numbers of no dimension apart."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        parts = tree_leaves((args, kwargs))
        devices = {part.device.type for part in parts if isinstance(part, torch.Tensor) and part.ndim}
        assert len(devices) <= 1, (func, devices)
        return func(*args, **(kwargs or {}))


def test_tensors_stay_on_the_device_that_the_pairs_lie_on():
    """A device without memory stands for a GPU; where rows are cut is known from the CPU."""
    sparse = SparsePairDistances.from_graph(dgl.batch(pieces()), 2)
    tensors = inputs(46, columns=4)
    sparse_run("torch", sparse, tensors)
    there = sparse.to("meta")
    there.plans = {key: sparse.plans[key] for key in sparse.plans if key[0] == "parts"}
    query, key, value, table = (part.to("meta") for part in tensors)
    context = mock.Mock(save_for_backward=lambda *kept: setattr(context, "saved_tensors", kept))
    with OneDevice(), torch.no_grad():
        out = SparseTorch.forward(context, torch.stack([query, key, value], 1), table, there, 0.0, 0)
        found = [out, *SparseTorch.backward(context, torch.empty_like(out))[:2]]
        with pytest.raises(AssertionError, match="index"):
            SparseTorch.forward(context, torch.stack([query, key, value], 1), table, sparse, 0.0, 0)
    assert [(part.device.type, tuple(part.shape)) for part in found] == [
        ("meta", (46, HEADS, CHANNELS)),
        ("meta", (46, 3, HEADS, CHANNELS)),
        ("meta", (HEADS, 4)),
    ]


def test_dense_graphs_of_a_batch_are_taken_as_matrices():
    graphs = [nx.complete_graph(7), nx.grid_2d_graph(11, 13), nx.path_graph(3), nx.cycle_graph(59)]
    sparse = SparsePairDistances.from_graph(dgl.batch([dgl.from_networkx(graph) for graph in graphs]), 3)
    assert dense_graphs(sparse) == [0, 2]
    assert dense_graphs(sparse.select(torch.tensor([1, 3]))) == []
    matrices = as_matrices(sparse)
    for number, graph in enumerate(graphs):
        expected = dense_distances(hops(graph), 3)[0]
        assert torch.equal(matrices[number], expected)
    tensors = inputs(sparse.num_nodes, torch.float32, columns=5)
    for mine, other in zip(
        sparse_run("cpu", sparse, tensors, mixed=True), sparse_run("cpu", sparse, tensors), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dropout_p", [0.5, 0.3])
def test_dropout_keeps_the_expectation(form, dropout_p):
    graph, copies = nx.path_graph(7), 3001
    sparse = SparsePairDistances.batch([SparsePairDistances.from_graph(graph, 2)] * copies)
    tensors = [part.repeat(copies, 1, 1) for part in inputs(7)[:3]] + [inputs(7, columns=4)[3]]
    tensors = [part.to(FORMS[form]) for part in tensors]
    with attention_backend("sparse", form=form, mixed=False):
        out = decay_attention(*tensors[:3], sparse, tensors[3], dropout_p).view(copies, 7, HEADS, CHANNELS)
        full = decay_attention(*tensors[:3], sparse, tensors[3]).view(out.shape)[0]
    assert (out.std(0) > 0.01).all()
    assert ((out.mean(0) - full).abs() < 5 * out.std(0) / copies**0.5).all()


def test_gradients_of_tensors_with_dropout_are_those_of_finite_differences():
    sparse = SparsePairDistances.from_graph(
        dgl.batch([dgl.from_networkx(nx.path_graph(5)), dgl.graph(([], []))]), 2
    )
    tensors = [part.requires_grad_() for part in inputs(5, columns=3)]

    def attend(query, key, value, some):
        table = torch.cat([some, some.new_zeros(HEADS, 1)], dim=1)
        generator = torch.Generator().manual_seed(3)
        with attention_backend("sparse", form="torch", mixed=False):
            return decay_attention(query, key, value, sparse, table, 0.3, generator)

    assert torch.autograd.gradcheck(attend, tensors)


def test_gradients_of_the_loop_with_dropout_are_those_of_finite_differences():
    sparse, tensors = (
        SparsePairDistances.from_graph(KINDS["tree"](), 2),
        inputs(541, torch.float32, columns=4),
    )
    tensors = [0.5 * part for part in tensors]

    def at(step, directions):
        moved = [part + step * way for part, way in zip(tensors, directions, strict=True)]
        with attention_backend("sparse", form="cpu", mixed=False):
            return decay_attention(*moved[:3], sparse, moved[3], 0.4, torch.Generator().manual_seed(3))

    _, *grads = sparse_run("cpu", sparse, tensors, dropout_p=0.4, generator=torch.Generator().manual_seed(3))
    weight = torch.randn(
        541, HEADS, CHANNELS, generator=torch.Generator().manual_seed(7), dtype=torch.float64
    )
    for number, grad in enumerate(grads):
        ways = [torch.zeros_like(part) for part in tensors]
        ways[number] = grad / grad.norm()
        moved = (at(0.02, ways).double() - at(-0.02, ways).double()) / 0.04
        assert float((moved * weight).sum()) == pytest.approx(float(grad.norm()), rel=5e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", [0, 2], ids=["query", "value"])
def test_what_is_not_a_number_stays_so(form, part):
    """In the rows where dense attention has it; other graphs of the batch are as they were."""
    sparse = SparsePairDistances.from_graph(
        dgl.batch([dgl.from_networkx(nx.path_graph(n)) for n in (13, 11)]), 2
    )
    tensors = inputs(24, FORMS[form], columns=4)
    with attention_backend("sparse", form=form, mixed=False):
        whole = decay_attention(*tensors[:3], sparse, tensors[3])
        tensors[part][5] = math.nan
        out = decay_attention(*tensors[:3], sparse, tensors[3])
    changed = torch.tensor([5]) if part == 0 else torch.arange(13)
    assert out[changed].isnan().all()
    out[changed] = whole[changed]
    torch.testing.assert_close(out, whole, rtol=0, atol=0)


def test_half_precision_is_computed_in_single():
    sparse, tensors = (
        SparsePairDistances.from_graph(nx.path_graph(31), 2),
        inputs(31, torch.bfloat16, columns=4),
    )
    single = sparse_run("cpu", sparse, [part.float() for part in tensors])
    for mine, other in zip(sparse_run("cpu", sparse, tensors), single, strict=True):
        assert mine.dtype == torch.bfloat16
        torch.testing.assert_close(mine.float(), other, rtol=2e-2, atol=2e-2)


def test_layer_and_model_take_sparse_pairs():
    graph = dgl.from_networkx(nx.grid_2d_graph(9, 11))
    found = hops(dgl.to_networkx(graph).to_undirected())
    sparse, dense = SparsePairDistances.from_graph(graph, 18), dense_distances(found)
    x = torch.randn(99, 8)
    layer = GradformerLayer(8, 2, drop_path=0.5)
    layer.eval()
    torch.testing.assert_close(layer(graph, x, sparse), layer(graph, x, dense), rtol=1e-3, atol=1e-4)
    layer.train()
    assert layer(graph, x, sparse).shape == (99, 8)
    model = Gradformer(3, feat_size=8, num_layers=2, num_heads=2, node_size=5, hop=2.0)
    features, results = torch.randn(99, 5), []
    for distances in (sparse, dense):
        model.zero_grad()
        out = model(GraphBatch(graph, distances, node_features=features))
        out.square().sum().backward()
        results.append((out.detach(), model.decay.tau.grad.clone()))
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


def test_matrices_that_are_filled_part_by_part_are_the_same(monkeypatch):
    sparse = SparsePairDistances.from_graph(
        dgl.batch([dgl.from_networkx(KINDS["tree"]()), dgl.graph(([], []))]), 3
    )
    monkeypatch.setattr("gradformer_dgl.kernels.attention.sparse.PLACED", 97)
    assert torch.equal(as_matrices(sparse)[0], dense_distances(hops(KINDS["tree"]()), 3)[0])


@pytest.mark.parametrize("dropout_p", [1 - 1e-10, 1 - 2**-52])
def test_dropout_of_all_but_everything_stays_a_number(dropout_p):
    sparse, tensors = (
        SparsePairDistances.from_graph(nx.path_graph(29), 2),
        inputs(29, torch.float32, columns=4),
    )
    for mixed in (False, True):
        found = sparse_run("cpu", sparse, tensors, mixed=mixed, dropout_p=dropout_p)
        assert all(torch.isfinite(part).all() for part in found)


def test_a_table_wider_than_all_distances_leaves_unreachable_pairs_to_its_last_column():
    """Within a batch of dense and sparse graphs."""
    graphs = [nx.path_graph(3), nx.empty_graph(3), nx.grid_2d_graph(8, 9)]
    sparse = SparsePairDistances.from_graph(dgl.batch([dgl.from_networkx(graph) for graph in graphs]), 2)
    assert dense_graphs(sparse) == [0, 1]
    tensors = inputs(78, columns=300)
    dense = dense_run(dense_of([dgl.from_networkx(graph) for graph in graphs], 2), tensors)
    assert_alike(
        sparse_run("cpu", sparse, [part.float() for part in tensors], mixed=True), dense, torch.float32
    )


def test_what_does_not_go_together_is_refused():
    graph = nx.path_graph(5)
    sparse = SparsePairDistances.from_graph(graph, 2)
    query, key, value, table = inputs(5, columns=4)
    with pytest.raises(GraphError, match="not 0 for unreachable pairs: use PairDistances"):
        decay_attention(query, key, value, sparse, NoDecay(HEADS).double().table(3))
    with pytest.raises(GraphError, match=r"but a distance is 2; make it with table\(3\)"):
        decay_attention(query, key, value, sparse, table[:, 1:])
    with pytest.raises(GraphError, match="4 nodes are given"):
        decay_attention(query[:4], key[:4], value[:4], sparse, table)
    for name in ("sparse", "near"):
        with (
            attention_backend(name, form="cup"),
            pytest.raises(ConfigError, match="no form of sparse attention named 'cup'"),
        ):
            decay_attention(query, key, value, sparse, table)
    model = Graphormer(2, feat_size=4, num_layers=1, num_heads=1, node_size=3)
    batch = GraphBatch(dgl.from_networkx(graph), sparse, node_features=torch.ones(5, 3))
    with pytest.raises(GraphError, match="Graphormer biases all pairs"):
        model(batch)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", range(4), ids=["query", "key", "value", "table"])
@pytest.mark.parametrize("channels", [5, 8])
def test_second_derivatives_of_a_sum_are_refused(form, part, channels):
    sparse = SparsePairDistances.from_graph(dgl.rand_graph(9, 20), 2)
    tensors = [one.requires_grad_() for one in inputs(9, FORMS[form], channels=channels)]
    with attention_backend("sparse", form=form, mixed=False):
        out = decay_attention(*tensors[:3], sparse, tensors[3])
    (first,) = torch.autograd.grad(out.sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives"):
        torch.autograd.grad(first.square().sum() + tensors[part].sum(), tensors[part])


@pytest.mark.parametrize("equal", [False, True], ids=["any keys", "equal keys"])
@pytest.mark.parametrize("mixed", [False, True])
def test_gradients_are_exact_for_large_factors(equal, mixed):
    graph = dgl.rand_graph(40, 60)
    sparse, distances = SparsePairDistances.from_graph(graph, 3), dense_of([graph], 3)
    tensors = inputs(40, torch.float32)
    tensors[3] = tensors[3] * 1e6
    if equal:
        tensors[1] = tensors[1][:1].expand_as(tensors[1]).contiguous()
        tensors[3][:, :-1] = 1e6
    with attention_backend("sparse", mixed=mixed):
        found = run(lambda q, k, v, t: decay_attention(q, k, v, sparse, t), tensors)
    expected = dense_run(distances, [part.double() for part in tensors])
    for ours, exact in zip(found, expected, strict=True):
        exact = exact.clone()
        if ours.shape == tensors[3].shape:
            # Sparse attention gives the column of far pairs no gradient.
            exact[:, -1] = 0
        assert (ours - exact).abs().max() <= 1e-5 * max(1e-3, exact.abs().max())
