import os
import subprocess
import sys
from importlib.metadata import version

import batches
import pytest
import torch
from masked_attention import masked_attention
from torch._subclasses.fake_tensor import FakeTensorMode

from gradformer_dgl.kernels.attention import attention_backend, fused, packed_decay_attention
from gradformer_dgl.kernels.attention.dispatch import BACKENDS, _fastest
from gradformer_dgl.kernels.attention.fused import fused_attention, suits, work_list
from gradformer_dgl.kernels.attention.reference import reference_attention
from gradformer_dgl.support.errors import ConfigError

# Triton decides on import whether its interpreter is to run the kernels.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="Triton is not installed")

HEADS, CHANNELS = 2, 5
# Largest error as a share of the largest number.
SHARE = {torch.float32: 2e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}
# Empty and one-node graphs, tiles that end on their bounds and beyond.
MIXES = ([1], [0, 1, 0], [2, 3, 1, 0, 7], [16, 17, 15], [31, 33, 5])


@pytest.fixture(autouse=DEVICE == "cpu")
def _bfloat16_products(monkeypatch):
    """Let the interpreter multiply bfloat16 numbers, where Triton 3.7 multiplies their bits."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    product = InterpreterBuilder.create_dot

    def create_dot(self, a, b, *rest):
        if a.dtype.scalar == tl.bfloat16:
            a, b = (self.create_fp_to_fp(part, tl.float32, None) for part in (a, b))
        return product(self, a, b, *rest)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)


def random_distances(sizes, longest=6, dtype=torch.uint8):
    return batches.random_distances(sizes, longest, dtype=dtype).to(DEVICE)


def inputs(sizes, dtype=torch.float32, channels=CHANNELS, columns=8):
    """Return qkv, a table and a gradient of the output."""
    torch.manual_seed(0)
    table = torch.rand(HEADS, columns) * 1.5
    table[:, -1] = 0
    qkv = torch.randn(sum(sizes), 3, HEADS, channels)
    return [part.to(DEVICE, dtype) for part in (qkv, table, torch.randn(sum(sizes), HEADS, channels))]


def ours(qkv, table, grad, distances, dropout_p=0.0, seed=0):
    """Return the output and the gradients of qkv and table."""
    qkv, table = qkv.detach().requires_grad_(), table.detach().requires_grad_()
    out = fused_attention(qkv, distances, table, dropout_p, seed)
    out.backward(grad)
    return out.detach(), qkv.grad, table.grad


def dense(qkv, table, grad, distances, weights_mask=None):
    """Return the same in double precision, by one matrix per graph, which may be masked."""
    qkv, table = (part.detach().double().requires_grad_() for part in (qkv, table))
    if weights_mask is None:
        out = reference_attention(*qkv.unbind(1), distances, table)
    else:
        out = masked_attention(*qkv.unbind(1), distances, table, weights_mask)
    out.backward(grad.double())
    return out.detach(), qkv.grad, table.grad


def assert_alike(got, expected, share):
    for mine, exact in zip(got, expected, strict=True):
        assert mine.shape == exact.shape
        if exact.numel():
            assert (mine.double() - exact).abs().max() <= share * exact.abs().max() + 1e-6


@pytest.mark.parametrize("sizes", MIXES, ids=str)
@pytest.mark.parametrize("values", [torch.uint8, torch.uint16], ids=str)
def test_equals_dense_attention_per_graph(sizes, values):
    given = (*inputs(sizes), random_distances(sizes, dtype=values))
    expected = dense(*given)
    assert_alike(ours(*given), expected, SHARE[torch.float32])
    if sum(sizes) > 1:
        assert all(part.abs().max() > 0 for part in expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    sizes = [3, 21, 0, 1]
    given = (*inputs(sizes, dtype), random_distances(sizes))
    got = ours(*given)
    assert all(part.dtype == dtype for part in got)
    assert_alike(got, dense(*given), SHARE[dtype])


def test_several_tiles_of_the_largest_edge():
    sizes = [2, 161]
    given = (*inputs(sizes), random_distances(sizes))
    assert work_list(given[-1])[0] == 64
    assert_alike(ours(*given), dense(*given), SHARE[torch.float32])


@pytest.mark.parametrize("channels", [1, 16, 33, 129, 256])
def test_every_head_dim(channels):
    sizes = [7, 19]
    given = (*inputs(sizes, channels=channels), random_distances(sizes))
    assert_alike(ours(*given), dense(*given), SHARE[torch.float32])


@pytest.mark.parametrize(
    ("values", "longest", "columns"), [(torch.uint8, 254, 256), (torch.uint16, 700, 702)], ids=str
)
def test_tables_of_full_width(values, longest, columns):
    sizes = [5, 7]
    distances = random_distances(sizes, longest, values)
    given = (*inputs(sizes, columns=columns), distances)
    expected = dense(*given)
    assert expected[2][:, -1].abs().max() > 0
    assert_alike(ours(*given), expected, SHARE[torch.float32])


@pytest.mark.parametrize("all_negative", [False, True])
def test_large_logits_stay_finite(all_negative):
    sizes = [19]
    qkv, table, grad = inputs(sizes)
    qkv[:, :2] *= 10
    if all_negative:
        # A padded key, of logit 0, would outweigh the real ones without bound.
        qkv[:, 0], qkv[:, 1], table[:] = 10 + qkv[:, 0] / 100, -10 + qkv[:, 1] / 100, 1
    given = (qkv, table, grad, random_distances(sizes))
    got = ours(*given)
    assert all(part.isfinite().all() for part in got)
    assert_alike(got, dense(*given), 2e-4)


def test_batch_without_nodes():
    for sizes in ([], [0, 0]):
        given = (*inputs(sizes), random_distances(sizes))
        out, grad_qkv, grad_table = ours(*given)
        assert out.shape == (0, HEADS, CHANNELS)
        assert grad_qkv.shape == (0, 3, HEADS, CHANNELS)
        assert torch.equal(grad_table, torch.zeros_like(grad_table))


def test_table_without_gradient_and_inputs_with_strides():
    sizes = [4, 9]
    qkv, table, grad = inputs(sizes)
    distances = random_distances(sizes)
    expected = dense(qkv, table, grad, distances)
    strided = qkv.transpose(0, 2).contiguous().transpose(0, 2).requires_grad_()
    out = fused_attention(strided, distances, table.t().contiguous().t())
    out.transpose(0, 1).backward(grad.transpose(0, 1).contiguous())
    assert_alike((out.detach(), strided.grad), expected[:2], SHARE[torch.float32])


def test_second_derivatives_are_refused():
    qkv, table, _ = inputs([3])
    qkv.requires_grad_()
    out = fused_attention(qkv, random_distances([3]), table)
    (first,) = torch.autograd.grad(out.square().sum(), qkv, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives"):
        first.sum().backward()


def test_gradients_of_the_table_that_share_a_lane(monkeypatch):
    sizes = [5, 1, 3, 2]
    given = (*inputs(sizes), random_distances(sizes))
    apart = ours(*given)
    monkeypatch.setattr(fused, "LANES", 3)
    assert_alike(ours(*given), [part.double() for part in apart], SHARE[torch.float32])
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(ours(*given)[2], apart[2])
    finally:
        torch.use_deterministic_algorithms(False)


def attention_weights(sizes, dropout_p, seed, channels):
    """Read the weights of every pair by giving each node of a graph a value of its own."""
    qkv, table, _ = inputs(sizes, channels=channels)
    place = torch.cat([torch.arange(n) for n in sizes])
    qkv[:, 2] = torch.nn.functional.one_hot(place, channels)[:, None]
    return fused_attention(qkv, random_distances(sizes), table, dropout_p, seed)


@pytest.mark.parametrize("dropout_p", [0.1, 0.75])
def test_dropout_drops_its_share_and_keeps_the_rest_to_scale(dropout_p):
    sizes, seed = [1, 39, 17], 2**61 + 5
    whole = attention_weights(sizes, 0.0, 0, 39)
    dropped = attention_weights(sizes, dropout_p, seed, 39)
    real = whole > 0
    assert real.sum() == HEADS * sum(n * n for n in sizes)
    stays = dropped[real] > 0
    share = stays.double().mean()
    assert abs(share - (1 - dropout_p)) < 4 * (dropout_p * (1 - dropout_p) / len(stays)) ** 0.5
    torch.testing.assert_close(
        dropped[real][stays], whole[real][stays] / (1 - dropout_p), rtol=1e-4, atol=1e-6
    )
    assert torch.equal(attention_weights(sizes, dropout_p, seed, 39), dropped)
    mask = (dropped[1:40] > 0).double()
    other = (attention_weights(sizes, dropout_p, seed + 1, 39)[1:40] > 0).double()
    # Neither heads nor seeds nor neighbouring rows and columns share a mask.
    for shifted in (mask.flip(1), other, mask.roll(1, 0), mask.roll(1, 2), mask.roll(4, 2)):
        agree = (mask == shifted).double().mean()
        assert abs(agree - (1 - 2 * dropout_p * (1 - dropout_p))) < 0.06


def test_mask_does_not_depend_on_the_tile():
    sizes = [21]
    distances = random_distances(sizes)
    assert [work_list(distances, edge)[0] for edge in (16, 64)] == [16, 32]
    wide = attention_weights(sizes, 0.5, 3, 128)[:, :, :21]
    assert torch.equal(wide > 0, attention_weights(sizes, 0.5, 3, 21) > 0)


def test_dropout_keeps_the_expectation():
    sizes, seeds = [11], 30
    qkv, table, _ = inputs(sizes)
    distances = random_distances(sizes)
    whole = fused_attention(qkv, distances, table)
    drawn = torch.stack([fused_attention(qkv, distances, table, 0.3, seed) for seed in range(seeds)])
    error = (drawn.mean(0) - whole).abs()
    assert (error < 5 * drawn.std(0) / seeds**0.5).all()


def test_gradients_are_those_of_the_drawn_mask():
    sizes, channels = [5, 37, 1], 37
    distances = random_distances(sizes)
    assert work_list(distances, 32)[0] == 16
    mask = (attention_weights(sizes, 0.5, 11, channels) > 0).double() * 2
    given = (*inputs(sizes, channels=channels), distances)
    assert_alike(ours(*given, 0.5, 11), dense(*given, mask), SHARE[torch.float32])


def test_work_is_cut_into_tiles_that_fit_the_graphs_largest_graphs_first():
    tile, items = work_list(random_distances([3, 0, 40]), largest_tile=32)
    assert tile == 16
    assert items.tolist() == [[3, 40, 0, 9], [3, 40, 16, 9], [3, 40, 32, 9], [0, 3, 0, 0]]
    for size, edge in [(1, 16), (16, 16), (30, 32), (64, 64), (120, 64), (500, 64)]:
        assert work_list(random_distances([size]))[0] == edge
    distances = random_distances([3, 4])
    assert work_list(distances) is work_list(distances)
    assert work_list(random_distances([]))[1].shape == (0, 4)


def test_backend_by_name_and_its_seed():
    sizes = [4, 3]
    qkv, table, _ = inputs(sizes)
    distances = random_distances(sizes)
    with attention_backend("fused"):
        first, same = (
            packed_decay_attention(qkv, distances, table, 0.5, torch.Generator().manual_seed(2))
            for _ in range(2)
        )
    assert torch.equal(first, same)
    assert BACKENDS["fused"] is fused_attention


@pytest.mark.parametrize(
    ("dtype", "channels", "message"),
    [
        (torch.float64, 5, "takes float32, bfloat16 or float16, not torch.float64"),
        (torch.float32, 257, "takes a head_dim of 1 to 256, not 257"),
        (torch.float32, 0, "takes a head_dim of 1 to 256, not 0"),
    ],
)
def test_what_it_refuses(dtype, channels, message):
    qkv, table, _ = inputs([3], dtype, channels)
    with attention_backend("fused"), pytest.raises(ConfigError, match=message):
        packed_decay_attention(qkv, random_distances([3]), table)


def test_where_it_cannot_run(monkeypatch):
    qkv, table, distances = torch.zeros(1, 3, 2, 5), torch.ones(2, 8), random_distances([1]).to("cpu")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ConfigError, match="needs tensors on a GPU, but they lie on cpu"):
        fused_attention(qkv, distances, table)
    monkeypatch.setattr(fused, "_has_triton", lambda: False)
    with pytest.raises(ConfigError, match=r"needs Triton: pip install 'gradformer-dgl\[triton\]'"):
        fused_attention(qkv, distances, table)


def test_it_is_chosen_for_what_it_takes_and_blocks_for_the_rest(monkeypatch):
    def nodes(device="cuda", dtype=torch.float32, channels=16):
        with FakeTensorMode():
            return torch.empty(3, 3, 2, channels, dtype=dtype, device=device)

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert _fastest(nodes(dtype=dtype)) == "fused"
    for other in (nodes(dtype=torch.float64), nodes(channels=257), nodes("cpu", torch.bfloat16)):
        assert _fastest(other) == "blocks"
    assert _fastest(nodes("cpu")) == "ragged"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not suits(nodes())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(fused, "_has_triton", lambda: False)
    assert not suits(nodes())


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gradformer_dgl.kernels.attention import fused_triton_kernel as kernels

constants = dict(HEADS=4, HEAD_DIM=16, CHANNELS=16, TABLE=True, DROPOUT=True)
types = dict(values="*u8", items="*i64", last="i32", seed="i64", threshold="i64", lanes="i32")
types |= dict.fromkeys(("log_sum", "mean", "grad_table"), "*fp32")
for kind, constants["TILE"] in (("*bf16", 64), ("*fp32", 32)):
    for kernel in (kernels.attend, kernels.attend_backward_queries, kernels.attend_backward_keys):
        names = kernel.arg_names
        signature = {name: "constexpr" if name in constants else types.get(name, kind) for name in names}
        chosen = {(at,): constants[name] for at, name in enumerate(names) if name in constants}
        source = ASTSource(kernel, signature, chosen)
        options = {"num_warps": constants["TILE"] // 8, "num_stages": 2}
        binary = triton.compile(source, target=GPUTarget("cuda", 80, 32), options=options)
        assert binary.metadata.shared < 96 * 1024, (kernel, binary.metadata.shared)
"""


def run_python(code):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


def test_the_cpu_does_without_triton():
    run = run_python(
        "import sys, torch\n"
        "from gradformer_dgl import PairDistances, decay_attention\n"
        "one = PairDistances(torch.zeros(1, dtype=torch.uint8), torch.tensor([1]))\n"
        "for dtype in (torch.float32, torch.bfloat16, torch.float64):\n"
        "    x = torch.ones(1, 2, 5, dtype=dtype)\n"
        "    decay_attention(x, x, x, one, torch.ones(2, 2, dtype=dtype))\n"
        "assert 'triton' not in sys.modules\n"
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.skipif(DEVICE == "cuda", reason="the other tests compile the kernels")
@pytest.mark.skipif(version("triton").startswith("3.0."), reason="Triton 3.0 takes constants in another way")
def test_kernels_compile_for_a_gpu_that_is_not_there():
    run = run_python(COMPILE)
    assert run.returncode == 0, run.stderr
