import pytest
import torch
from batches import random_distances
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_attention import masked_attention

from gradformer_dgl import PairDistances, decay_attention
from gradformer_dgl.kernels.attention import attention_backend, packed_decay_attention
from gradformer_dgl.kernels.attention.block_plan import cut, plan
from gradformer_dgl.kernels.attention.dropout import draw_mask
from gradformer_dgl.kernels.attention.reference import reference_attention
from gradformer_dgl.support.errors import ConfigError, GraphError

HEADS, CHANNELS = 3, 5
EXACT = {"rtol": 1e-9, "atol": 1e-10}
SINGLE = {"rtol": 1e-4, "atol": 2e-5}
# Mixes that reach every path: empty and one-node graphs, tiles that end on their bounds and beyond.
MIXES = ([1], [0, 1, 0], [2, 3, 1, 0, 7], [63, 64, 65], [17, 130, 1, 48], [31] * 5)


def inputs(sizes, dtype=torch.float64, seed=0, columns=13):
    torch.manual_seed(seed)
    parts = [torch.randn(sum(sizes), HEADS, CHANNELS, dtype=dtype) for _ in range(3)]
    table = torch.rand(HEADS, columns, dtype=dtype) * 1.5
    table[:, -1] = 0
    return [part.requires_grad_() for part in (*parts, table)]


def run(backend, sizes, tensors, distances, **options):
    """Return the output and the gradients of an arbitrary function of it."""
    q, k, v, table = [part.detach().clone().requires_grad_() for part in tensors]
    with attention_backend(backend, **options):
        out = decay_attention(q, k, v, distances, table)
    weight = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    (out * weight.to(out.dtype)).sum().backward()
    return out.detach(), q.grad, k.grad, v.grad, table.grad


def assert_alike(ours, theirs, tolerance):
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.isfinite(mine).all()
        torch.testing.assert_close(mine.double(), other.double(), **tolerance)


@pytest.mark.parametrize("sizes", MIXES, ids=str)
@pytest.mark.parametrize("options", [{}, {"max_blocks": 1}, {"max_blocks": 2}], ids=str)
def test_blocks_equal_dense_attention_per_graph(sizes, options):
    tensors, distances = inputs(sizes), random_distances(sizes)
    dense = run("reference", sizes, tensors, distances)
    assert_alike(run("blocks", sizes, tensors, distances, **options), dense, EXACT)
    if sum(sizes) > 1:
        assert all(part.abs().max() > 0 for part in dense)


@pytest.mark.parametrize("sizes", MIXES, ids=str)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16], ids=str)
def test_compiled_loop_equals_dense_attention_per_graph(sizes, dtype):
    distances = random_distances(sizes, dtype=dtype)
    tensors = inputs(sizes)
    single = [part.detach().float() for part in tensors]
    dense = run("reference", sizes, tensors, distances)
    assert_alike(run("ragged", sizes, single, distances), dense, SINGLE)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 23), min_size=1, max_size=9),
    seed=st.integers(0, 2**31),
    blocks=st.integers(1, 4),
)
def test_every_mix_of_sizes(sizes, seed, blocks):
    tensors, distances = inputs(sizes, seed=seed), random_distances(sizes, seed=seed)
    dense = run("reference", sizes, tensors, distances)
    assert_alike(run("blocks", sizes, tensors, distances, max_blocks=blocks), dense, EXACT)
    single = [part.detach().float() for part in tensors]
    assert_alike(run("ragged", sizes, single, distances), dense, SINGLE)


def test_gradcheck_of_blocks_with_table_and_dropout():
    sizes = [3, 1, 5, 2]
    distances = random_distances(sizes, longest=4)

    def attend(q, k, v, table):
        with attention_backend("blocks", max_blocks=2):
            return decay_attention(
                q, k, v, distances, table, 0.3, generator=torch.Generator().manual_seed(11)
            )

    assert torch.autograd.gradcheck(attend, inputs(sizes, columns=6))


@pytest.mark.parametrize("backend", ["blocks", "ragged"])
def test_second_derivatives_are_refused(backend):
    tensors = [part.detach().float().requires_grad_() for part in inputs([3])]
    with attention_backend(backend):
        out = decay_attention(*tensors[:3], random_distances([3]), tensors[3])
    (first,) = torch.autograd.grad(out.square().sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives"):
        first.sum().backward()


def test_unreachable_pair_has_logit_zero_and_not_minus_infinity():
    distances = PairDistances(torch.tensor([0, 255, 255, 0], dtype=torch.uint8), torch.tensor([2]))
    x = torch.full((2, 1, 1), 2.0)
    value = torch.tensor([[[1.0]], [[0.0]]])
    out = decay_attention(x, x, value, distances, torch.tensor([[1.0, 0.0]]))
    own = torch.exp(torch.tensor(4.0)) / (torch.exp(torch.tensor(4.0)) + 1)
    torch.testing.assert_close(out.flatten(), torch.stack([own, 1 - own]))


def effective_weights(distances, sizes, dtype, backend, dropout_p, seed):
    """Read the attention weights of every pair by giving each node of a graph a value of its own."""
    width = max(sizes)
    torch.manual_seed(3)
    q, k = (torch.randn(sum(sizes), HEADS, width, dtype=dtype) for _ in range(2))
    place = torch.cat([torch.arange(n) for n in sizes])
    v = torch.nn.functional.one_hot(place, width).to(dtype)[:, None].expand(-1, HEADS, -1)
    table = torch.rand(HEADS, 13, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    with attention_backend(backend):
        return decay_attention(q, k, v, distances, table, dropout_p, generator=generator), (q, k, table)


@pytest.mark.parametrize(("backend", "dtype"), [("blocks", torch.float64), ("ragged", torch.float32)])
@pytest.mark.parametrize("dropout_p", [0.5, 0.1])
def test_dropout_drops_its_share_and_keeps_the_rest_to_scale(backend, dtype, dropout_p):
    sizes = [29, 67, 1, 30]
    distances = random_distances(sizes)
    whole, _ = effective_weights(distances, sizes, dtype, backend, 0.0, 0)
    dropped, _ = effective_weights(distances, sizes, dtype, backend, dropout_p, 5)
    real = whole > 0
    stays = dropped[real] > 0
    share = stays.double().mean()
    assert abs(share - (1 - dropout_p)) < 4 * (dropout_p * (1 - dropout_p) / len(stays)) ** 0.5
    torch.testing.assert_close(
        dropped[real][stays], whole[real][stays] / (1 - dropout_p), rtol=2e-4, atol=1e-6
    )
    again, _ = effective_weights(distances, sizes, dtype, backend, dropout_p, 5)
    other, _ = effective_weights(distances, sizes, dtype, backend, dropout_p, 6)
    assert torch.equal(again, dropped)
    assert not torch.equal(other, dropped)
    # Neither heads nor neighbouring rows share a mask.
    mask = (dropped[29:96] > 0).double()
    for shifted in (mask[:, [1, 2, 0]], mask.roll(1, 0), mask.roll(1, 2)):
        agree = (mask == shifted).double().mean()
        assert abs(agree - (1 - 2 * dropout_p * (1 - dropout_p))) < 0.03


@pytest.mark.parametrize(("backend", "dtype"), [("blocks", torch.float64), ("ragged", torch.float32)])
def test_gradients_are_those_of_the_drawn_mask(backend, dtype):
    sizes, width = [5, 66, 1], 66
    distances = random_distances(sizes)
    weights, (q, k, table) = effective_weights(distances, sizes, dtype, backend, 0.5, 5)
    whole, _ = effective_weights(distances, sizes, dtype, backend, 0.0, 0)
    mask = (weights > 0).double() * 2
    assert (whole[:, :, 0] > 0).all()
    v = torch.randn(sum(sizes), HEADS, width, dtype=dtype)
    upstream = torch.randn(v.shape, dtype=dtype)
    ours = [part.detach().clone().requires_grad_() for part in (q, k, v, table)]
    with attention_backend(backend):
        out = decay_attention(*ours[:3], distances, ours[3], 0.5, torch.Generator().manual_seed(5))
    (out * upstream).sum().backward()
    dense = [part.detach().double().requires_grad_() for part in (q, k, v, table)]
    expected = masked_attention(*dense[:3], distances, dense[3], mask)
    (expected * upstream).sum().backward()
    tolerance = EXACT if dtype == torch.float64 else SINGLE
    assert_alike(
        [out.detach(), *(p.grad for p in ours)], [expected.detach(), *(p.grad for p in dense)], tolerance
    )


@pytest.mark.parametrize("backend", ["blocks", "ragged"])
def test_order_of_the_graphs_does_not_matter(backend):
    sizes = [7, 1, 31, 5]
    order = [2, 0, 3, 1]
    distances = random_distances(sizes)
    q, k, v, table = (part.detach().float() for part in inputs(sizes))
    starts = [sum(sizes[:g]) for g in range(4)]
    nodes = torch.cat([torch.arange(starts[g], starts[g] + sizes[g]) for g in order])
    moved = PairDistances(
        torch.cat([distances[g].flatten() for g in order]), torch.tensor([sizes[g] for g in order])
    )
    with attention_backend(backend):
        here = decay_attention(q, k, v, distances, table)
        there = decay_attention(q[nodes], k[nodes], v[nodes], moved, table)
    torch.testing.assert_close(here[nodes], there, rtol=1e-6, atol=1e-6)


def test_bfloat16():
    sizes = [7, 13]
    tensors, distances = inputs(sizes), random_distances(sizes)
    q, k, v, table = (part.detach().bfloat16() for part in tensors)
    out = decay_attention(q, k, v, distances, table)
    assert out.dtype == torch.bfloat16
    dense = reference_attention(*(part.double() for part in (q, k, v)), distances, table.double())
    torch.testing.assert_close(out.double(), dense, rtol=0.05, atol=0.05)


def test_uint8_values_index_a_full_table_and_long_distances_need_uint16():
    sizes = [5]
    longest = torch.tensor([254, 255, 0, 1, 2] * 5, dtype=torch.uint8)
    tensors = inputs(sizes, columns=256)
    distances = PairDistances(longest, torch.tensor(sizes))
    dense = run("reference", sizes, tensors, distances)
    assert_alike(run("blocks", sizes, tensors, distances), dense, EXACT)
    far = random_distances(sizes, longest=700, dtype=torch.uint16)
    tensors = inputs(sizes, columns=702)
    dense = run("reference", sizes, tensors, far)
    assert_alike(run("blocks", sizes, tensors, far), dense, EXACT)
    assert_alike(run("ragged", sizes, [t.detach().float() for t in tensors], far), dense, SINGLE)


@pytest.mark.parametrize(("backend", "dtype"), [("blocks", torch.float64), ("ragged", torch.float32)])
def test_unreachable_pairs_take_the_last_column_of_a_table_however_wide(backend, dtype):
    values = torch.tensor([0, 255, 254, 0], dtype=torch.uint8)
    distances = PairDistances(values, torch.tensor([2]))
    leaves = [torch.randn(2, 2, 8, dtype=dtype) for _ in range(3)]
    results = []
    for name in (backend, "reference"):
        table = torch.linspace(1, 2, 600, dtype=dtype).view(2, 300).requires_grad_()
        with attention_backend(name):
            out = decay_attention(*leaves, distances, table)
        out.square().sum().backward()
        results.append((out, table.grad))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-5)
    assert (results[0][1][:, [254, 299]] != 0).all()


def test_blocks_hold_every_graph_once_and_waste_little():
    sizes = [3, 0, 30, 31, 32, 33, 600, 2, 29]
    blocks = cut(sizes, overhead=2000)
    assert sorted(graph for block in blocks for graph in block) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert [6] in blocks
    assert len(cut(sizes, overhead=2000, max_blocks=1)) == 1
    cells = sum(block.graphs * block.size**2 for block in plan(random_distances(sizes), 13))
    assert cells < 1.2 * sum(n * n for n in sizes)


def test_cut_is_the_best_of_all_cuts():
    sizes, overhead = [2, 3, 5, 7, 11, 13], 40

    def cost(blocks):
        return sum(overhead + len(block) * max(sizes[g] for g in block) ** 2 for block in blocks)

    every = []
    for bounds in range(2 ** (len(sizes) - 1)):
        blocks = [[0]]
        for graph in range(1, len(sizes)):
            if bounds >> (graph - 1) & 1:
                blocks.append([])
            blocks[-1].append(graph)
        every.append(cost(blocks))
    assert cost(cut(sizes, overhead)) == min(every)


def test_few_bits_are_drawn_where_they_suffice():
    stays, scale = draw_mask(100_003, 0.25, 1, torch.device("cpu"))
    assert scale == 1 / 0.75
    assert abs(stays.double().mean() - 0.75) < 0.01
    stays, scale = draw_mask(100_003, 0.3, 1, torch.device("cpu"))
    assert scale == pytest.approx(1 / 0.7, rel=1e-4)
    assert abs(stays.double().mean() - 0.7) < 0.01


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"k": torch.zeros(4, 3, 5)}, GraphError, r"one shape \(nodes, heads, head_dim\).*\(5, 3, 5\)"),
        ({"sizes": [4]}, GraphError, r"5 nodes are given, but the distances are those of 4 nodes"),
        ({"table": torch.ones(2, 13)}, GraphError, r"must have the shape \(3, D \+ 1\), but has \(2, 13\)"),
        ({"table": torch.ones(3, 4)}, GraphError, r"distances below 3, but a distance is 11; .*table\(12\)"),
        ({"table": torch.ones(3, 13).double()}, GraphError, "of one dtype"),
        ({"q": torch.zeros(5, 3, 5).long()}, GraphError, "floating-point numbers, but are torch.int64"),
        ({"p": 1.0}, ConfigError, "dropout_p must be at least 0 and below 1, but is 1.0"),
    ],
)
def test_errors(change, error, message):
    q = change.get("q", torch.zeros(5, 3, 5))
    distances = random_distances(change.get("sizes", [5]), seed=1)
    distances.values[0] = 11
    with pytest.raises(error, match=message):
        decay_attention(
            q, change.get("k", q), q, distances, change.get("table", torch.ones(3, 13)), change.get("p", 0.0)
        )


@pytest.mark.parametrize("shape", [(5, 3, 15), (5, 2, 3, 5)])
def test_a_projection_of_another_shape_is_refused(shape):
    with pytest.raises(GraphError, match=r"\(nodes, 3, heads, head_dim\), but have "):
        packed_decay_attention(torch.zeros(shape), random_distances([5]), torch.ones(3, 256))


def test_unknown_backend():
    with (
        pytest.raises(ConfigError, match="no attention backend named 'fast'"),
        attention_backend("fast"),
    ):
        pass


def test_reference_has_no_dropout():
    x = torch.zeros(2, 3, 5)
    with (
        attention_backend("reference"),
        pytest.raises(ConfigError, match="reference backend has no attention dropout"),
    ):
        decay_attention(x, x, x, random_distances([2]), torch.ones(3, 13), dropout_p=0.5)


@pytest.mark.parametrize("backend", ["blocks", "ragged"])
@pytest.mark.parametrize("part", range(4), ids=["query", "key", "value", "table"])
def test_second_derivatives_of_a_sum_are_refused(backend, part):
    # The gradient that comes in is a constant; that of attention is a function of its inputs all the same.
    tensors = [one.detach().float().requires_grad_() for one in inputs([3])]
    with attention_backend(backend):
        out = decay_attention(*tensors[:3], random_distances([3]), tensors[3])
    (first,) = torch.autograd.grad(out.sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives"):
        torch.autograd.grad(first.square().sum() + tensors[part].sum(), tensors[part])


@pytest.mark.parametrize("factor", [1e4, 1e6, 1e9])
def test_gradients_are_exact_for_large_factors(factor):
    sizes, distances = [12, 1, 5], random_distances([12, 1, 5])
    tensors = [part.detach().float() for part in inputs(sizes)]
    tensors[3] = tensors[3] * factor
    double = [part.double() for part in tensors]
    found, expected = run("ragged", sizes, tensors, distances), run("reference", sizes, double, distances)
    for ours, exact in zip(found, expected, strict=True):
        assert (ours - exact).abs().max() < 1e-5 * max(1.0, exact.abs().max())


@pytest.mark.parametrize("factor", [1.0, 1e6])
def test_dropout_is_the_same_in_both_passes_for_any_factor(factor):
    sizes, distances = [12, 1, 5], random_distances([12, 1, 5])
    q, k, v, table = [part.detach().float() for part in inputs(sizes)]

    def attend(value):
        generator = torch.Generator().manual_seed(3)
        return decay_attention(q, k, value, distances, table * factor, 0.4, generator)

    value = v.clone().requires_grad_()
    grad = torch.randn(attend(v).shape)
    attend(value).backward(grad)
    # Attention is linear in its values: the gradient is the transpose of the map.
    torch.testing.assert_close((attend(v) * grad).sum(), (v * value.grad).sum())


@pytest.mark.parametrize("scale", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_of_large_logits_are_those_of_torch(scale, dropout):
    """One weight of a row is 1 in float32, and the gradient of its logit 0."""
    sizes = [23, 1, 40]
    distances = random_distances(sizes)
    tensors = [part.detach().float() for part in inputs(sizes)]
    tensors[0] = tensors[0] * scale
    weights, _ = effective_weights(distances, sizes, torch.float32, "ragged", dropout, 3)
    mask = (weights > 0) / (1 - dropout)

    def by_torch(dtype):
        def attend(q, k, v, table):
            return masked_attention(q, k, v, distances, table, mask.to(dtype))

        return gradients(attend, dtype)

    def gradients(attend, dtype):
        parts = [part.detach().to(dtype).requires_grad_() for part in tensors]
        out = attend(*parts)
        (out * torch.linspace(-1, 1, out.numel(), dtype=dtype).view(out.shape)).sum().backward()
        return [out.detach(), *(part.grad for part in parts)]

    def ours(q, k, v, table):
        return decay_attention(q, k, v, distances, table, dropout, torch.Generator().manual_seed(3))

    found = gradients(ours, torch.float32)
    for one, torchs, right in zip(found, by_torch(torch.float32), by_torch(torch.float64), strict=True):
        error, allowed = (one - right).abs().max(), (torchs - right).abs().max()
        assert error <= 4 * allowed + 1e-6 * right.abs().max()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_ragged_backend_refuses_other_types(dtype):
    tensors = [part.detach().to(dtype) for part in inputs([4])]
    message = f"the attention backend ragged computes in float32 on the CPU, not in {str(dtype)[6:]} on cpu"
    with attention_backend("ragged"), pytest.raises(ConfigError, match=message):
        decay_attention(*tensors[:3], random_distances([4]), tensors[3])
