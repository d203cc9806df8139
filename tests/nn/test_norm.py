"""Batch norms of branches beside a residual, against torch's own in double precision."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from gradformer_dgl.nn.norm import _SumOfNorms, running_statistics, sum_of_norms


def made(rows, channels, count, offset=0.0, **options):
    """Return x, branches, norms with weights of their own, and the gradient of what comes out."""
    torch.manual_seed(rows + channels)
    x, *branches, grad = (torch.randn(rows, channels) for _ in range(count + 2))
    norms = [nn.BatchNorm1d(channels, **options) for _ in range(count)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return x + offset, branches, norms, grad


def expected(x, branches, norms, grad):
    """Return the values and gradients that torch finds in double precision, and the norms that made them."""
    norms = [copy.deepcopy(norm).double() for norm in norms]
    inputs = [part.double().requires_grad_() for part in (x, *branches)]
    out = sum(norm(inputs[0] + branch) for norm, branch in zip(norms, inputs[1:], strict=True))
    of_norms = [part for norm in norms for part in norm.parameters()]
    return [out, *torch.autograd.grad(out, [*inputs, *of_norms], grad.double())], norms


def found(x, branches, norms, grad):
    inputs = [part.clone().requires_grad_() for part in (x, *branches)]
    out = sum_of_norms(inputs[0], inputs[1:], norms)
    assert isinstance(out.grad_fn, _SumOfNorms._backward_cls)
    of_norms = [part for norm in norms for part in norm.parameters()]
    return [out, *torch.autograd.grad(out, [*inputs, *of_norms], grad)]


def compare(given, tolerance=1e-5):
    reference, followed = expected(*given)
    results = found(*given)
    for one, other in zip(results, reference, strict=True):
        scale = other.abs().max().clamp(min=1)
        assert_close(one.double() / scale, other / scale, rtol=0, atol=tolerance)
    for norm, other in zip(given[2], followed, strict=True):
        assert_close(norm.running_mean.double(), other.running_mean, rtol=1e-5, atol=tolerance)
        assert_close(norm.running_var.double(), other.running_var, rtol=1e-5, atol=tolerance)
        assert norm.num_batches_tracked == other.num_batches_tracked


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("rows", "channels"), [(2, 1), (31, 7), (32, 8), (33, 64), (1000, 67)])
def test_values_gradients_and_running_statistics(rows, channels, count):
    # Two rows that are nearly alike are divided by a deviation of nearly 0.
    compare(made(rows, channels, count), 1e-3 if rows == 2 else 1e-5)


@pytest.mark.parametrize("options", [{"momentum": None}, {"momentum": 0.7, "eps": 0.1}])
def test_options_of_a_norm_over_three_batches(options):
    x, branches, norms, grad = made(50, 5, 2, **options)
    for step in range(3):
        compare((x + step, branches, norms, grad))
    assert norms[0].num_batches_tracked == 3


def test_many_rows_far_from_zero_lose_no_digits():
    # Sums of squares, or sums in single precision one by one, would.
    compare(made(100_000, 3, 1, offset=100.0), 1e-4)


def test_rows_apart_in_memory():
    x, branches, norms, grad = made(40, 6, 1)
    wide = torch.stack([x, branches[0]], dim=1)
    grad = grad.t().contiguous().t()
    compare((wide[:, 0], [wide[:, 1]], norms, grad))


def test_evaluation_without_and_with_gradients():
    given = made(20, 9, 2)
    found(*given)
    x, branches, norms, _ = given
    for norm in norms:
        norm.eval()
    plain = sum(norm(x + branch) for norm, branch in zip(norms, branches, strict=True))
    before = [norm.running_var.clone() for norm in norms]
    with torch.no_grad():
        assert_close(sum_of_norms(x, branches, norms), plain)
    assert_close([norm.running_var for norm in norms], before)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sum_of_norms(x, branches, norms).sum(), x)
    scale = sum(norm.weight / (norm.running_var + norm.eps).sqrt() for norm in norms)
    assert_close(gradient, scale.detach().expand(20, 9))


def test_fewer_rows_than_statistics_need():
    x, norm = torch.ones(1, 3), nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="more than 1 value"):
        sum_of_norms(x, [x], [norm])
    assert sum_of_norms(x[:0], [x[:0]], [norm]).shape == (0, 3)
    with torch.no_grad():
        assert sum_of_norms(x, [x], [nn.BatchNorm1d(3).eval()]).tolist() == [[pytest.approx(2, rel=1e-4)] * 3]


def test_what_the_loops_do_not_take_is_torchs():
    x, branches, norms, _ = made(20, 4, 2)
    wanted = sum(norm(x + branch) for norm, branch in zip(norms, branches, strict=True))
    doubled = [branch.double() for branch in branches]
    assert_close(sum_of_norms(x.double(), doubled, [norm.double() for norm in norms]).float(), wanted)
    bare = nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    assert_close(sum_of_norms(x, branches[:1], [bare]), bare(x + branches[0]))


def test_hooks_of_a_norm_are_called():
    x, branches, norms, _ = made(20, 4, 2)
    wanted, seen = sum_of_norms(x, branches, norms), []
    norms[1].register_forward_hook(lambda norm, given, out: seen.append(given[0]))
    assert_close(sum_of_norms(x, branches, norms), wanted)
    assert_close(seen, [x + branches[1]])


def test_nan_stays():
    x, branches, norms, _ = made(20, 4, 1)
    x[3, 2] = torch.nan
    assert sum_of_norms(x, branches, norms).isnan().nonzero()[:, 1].unique().tolist() == [2]


def test_frozen_weights_have_no_gradient():
    x, branches, norms, grad = made(20, 4, 1)
    norms[0].weight.requires_grad_(False)
    sum_of_norms(x, branches, norms).backward(grad)
    assert norms[0].weight.grad is None
    assert_close(norms[0].bias.grad, grad.sum(0))


@pytest.mark.parametrize("part", ["x", "branch", "weight"])
def test_second_derivatives_are_refused(part):
    norm, x = nn.BatchNorm1d(4), torch.randn(6, 4, requires_grad=True)
    branch = torch.randn(6, 4, requires_grad=True)
    by = {"x": x, "branch": branch, "weight": norm.weight}[part]
    first = torch.autograd.grad(sum_of_norms(x, [branch], [norm])[0].sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="second derivatives"):
        torch.autograd.grad(first.square().sum() + by.sum(), by)


def test_a_single_row_is_normalised_with_the_running_statistics():
    norm = nn.BatchNorm1d(2, eps=0.0)
    norm.running_mean, norm.running_var = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 9.0])
    network = nn.Sequential(nn.Identity(), norm)
    row = torch.tensor([[5.0, 4.0]])
    with running_statistics(network):
        out = network(row)
        assert torch.equal(sum_of_norms(row / 2, [row / 2], [norm]), out)
    assert out.tolist() == [[2.0, 2.0]]
    assert norm.training
    assert norm.running_mean.tolist() == [1.0, -2.0]
    assert norm.num_batches_tracked == 0
    norm.eval()
    with running_statistics(network):
        pass
    assert not norm.training
