import numpy as np
import pytest

from gradformer_dgl.vector_math import exp_below_one, sigmoid


@pytest.mark.parametrize("x", [0.0, -1e-30, -1e-3, -0.5, -1.0, -20.0, -80.0])
def test_exponential(x):
    assert exp_below_one(np.float32(x)) == pytest.approx(np.exp(np.float64(np.float32(x))), rel=1e-6)


def test_exponential_of_very_small_numbers():
    assert 0 <= exp_below_one(np.float32(-1e30)) < 1e-37


def test_sigmoid():
    points = np.concatenate([np.linspace(-30, 30, 999), [0.0, 1e-20, -1e-20]]).astype(np.float32)
    found = np.array([sigmoid(x) for x in points])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-points.astype(np.float64))), rtol=2e-6)


def test_sigmoid_at_the_ends():
    assert sigmoid(np.float32(np.inf)) == 1
    assert sigmoid(np.float32(-np.inf)) < 1e-37
    assert np.isnan(sigmoid(np.float32(np.nan)))
