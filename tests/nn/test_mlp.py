"""The perceptron of the layers against torch's modules one after the other."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from gradformer_dgl.nn.mlp import Perceptron


def parts(dropout=0.0):
    torch.manual_seed(0)
    up, down = nn.Linear(5, 11), nn.Linear(11, 5)
    return up, nn.ReLU(inplace=True), nn.Dropout(dropout), down, nn.Dropout(dropout)


@pytest.mark.parametrize("rows", [0, 1, 7, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_its_modules(dtype, rows):
    modules = [each.to(dtype) for each in parts()]
    x = torch.randn(rows, 5, dtype=dtype, requires_grad=True)
    given, results = torch.randn(rows, 5, dtype=dtype), []
    for network in (Perceptron(*modules), nn.Sequential(*modules)):
        out = network(x)
        results.append([out, *torch.autograd.grad(out, [x, *network.parameters()], given)])
    for one, other in zip(*results, strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-5 if dtype == torch.float32 else 1e-12)
        assert rows == 0 or other.abs().sum() > 0


def test_gradients_by_finite_differences():
    network = Perceptron(*parts()).double()
    assert torch.autograd.gradcheck(network, torch.randn(7, 5, dtype=torch.float64, requires_grad=True))


def test_a_frozen_map_and_no_gradient_at_all():
    network, x = Perceptron(*parts()), torch.randn(7, 5)
    network[0].requires_grad_(False)
    network(x).sum().backward()
    assert network[0].weight.grad is None
    assert_close(network[3].bias.grad, torch.full((5,), 7.0))
    with torch.no_grad():
        assert_close(network(x), nn.Sequential(*network)(x))


def test_dropout_is_drawn_in_training_alone():
    network, x = Perceptron(*parts(dropout=0.5)), torch.randn(7, 5)
    torch.manual_seed(1)
    dropped = network(x)
    torch.manual_seed(1)
    assert_close(dropped, nn.Sequential(*network)(x))
    assert (dropped == 0).any()
    assert not (network.eval()(x) == 0).any()


def test_nan_stays_and_other_modules_are_called():
    network = Perceptron(*parts())
    assert network(torch.full((1, 5), torch.nan)).isnan().all()
    network.train()(torch.full((1, 5), torch.nan)).sum().backward()
    assert network[0].weight.grad.isnan().all()
    network[1] = nn.GELU()
    x = torch.randn(7, 5)
    assert_close(network(x), nn.Sequential(*network)(x))
    assert_close(network[:2](x), nn.functional.gelu(network[0](x)))


def test_maps_without_a_bias():
    network = Perceptron(nn.Linear(5, 11, bias=False), nn.ReLU(), nn.Linear(11, 5))
    x = torch.randn(7, 5)
    assert_close(network(x), nn.Sequential(*network)(x))


def test_hooks_of_its_modules_are_called():
    network, x, seen = Perceptron(*parts()), torch.randn(7, 5), []
    wanted = network[:2](x)
    network[1].register_forward_hook(lambda relu, given, out: seen.append(out))
    network(x)
    assert_close(seen, [wanted])
    pruned = prune.random_unstructured(Perceptron(*parts())[0], "weight", 0.5)
    with torch.no_grad():
        pruned.weight_orig.mul_(3)
    network = Perceptron(pruned, *parts()[1:])
    # The weight is made of the pruned one in a hook.
    assert_close(network(x), nn.Sequential(*network)(x))


def test_autocast_makes_products_of_bfloat16():
    with torch.autocast("cpu"):
        assert Perceptron(*parts())(torch.randn(7, 5)).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(5,), (2, 3, 5), (0, 5)])
def test_other_shapes_are_those_of_a_sequence(shape):
    network, x = Perceptron(*parts()), torch.randn(shape)
    assert_close(network(x), nn.Sequential(*network)(x))


def test_first_derivatives_with_their_graph_go_through_a_checkpoint():
    network, x = Perceptron(*parts()), torch.randn(7, 5, requires_grad=True)
    out = checkpoint(network, x, use_reentrant=False)
    (found,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    assert_close(found, torch.autograd.grad(nn.Sequential(*network)(x).sum(), x)[0])


def test_second_derivatives_are_refused():
    network, x = Perceptron(*parts()), torch.randn(7, 5, requires_grad=True)
    (first,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    for by in (network[0].weight, network[3].weight):
        with pytest.raises(RuntimeError, match="second derivatives"):
            torch.autograd.grad(first.square().sum() + by.sum(), by, retain_graph=True)
