import numpy as np
import pytest

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import WIDTH, load, store
from gradformer_dgl.jit.simd_math import exp_below_one, sigmoid


@jit
def fill_sigmoid(x, y):
    for i in range(0, x.shape[1], WIDTH):
        store(y, 0, i, sigmoid(load(x, 0, i)))


def sigmoids(points):
    x = np.array([points], np.float32)
    y = np.empty_like(x)
    fill_sigmoid(x, y)
    return y[0]


@pytest.mark.parametrize("x", [0.0, -1e-30, -1e-3, -0.5, -1.0, -20.0, -80.0])
def test_exponential(x):
    assert exp_below_one(np.float32(x)) == pytest.approx(np.exp(np.float64(np.float32(x))), rel=1e-6)


def test_exponential_of_very_small_numbers():
    assert 0 <= exp_below_one(np.float32(-1e30)) < 1e-37


def test_sigmoid():
    points = np.concatenate([np.linspace(-30, 30, 997), [0.0, 1e-20, -1e-20]]).astype(np.float32)
    exact = 1 / (1 + np.exp(-points.astype(np.float64)))
    np.testing.assert_allclose(sigmoids(points), exact, rtol=2e-6)


def test_sigmoid_at_the_ends():
    large, small, unknown, half = sigmoids([np.inf, -np.inf, np.nan, 0.0] * 2)[:4]
    assert large == 1
    assert 0 <= small < 1e-37
    assert np.isnan(unknown)
    assert half == 0.5
