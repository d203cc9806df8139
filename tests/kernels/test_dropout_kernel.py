"""Dropout hash of compiled attention, against the same in Python's integers."""

import numpy as np
import pytest

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import store
from gradformer_dgl.kernels.attention.dropout_kernel import counters, kept_scale, row_key

WORD = 2**32


@jit
def draw(key, first, threshold, scale, out):
    store(out, 0, 0, kept_scale(key, counters(first), np.int32(np.uint32(threshold)), scale))


def expected_draw(key, place, threshold, scale):
    x = (key ^ (place * 0x9E3779B9)) % WORD
    x = ((x ^ (x >> 16)) * 0x7FEB352D) % WORD
    x = ((x ^ (x >> 15)) * 0x846CA68B) % WORD
    return scale if x ^ (x >> 16) >= threshold else 0


@pytest.mark.parametrize("threshold", [0, WORD // 10, WORD // 2, WORD - 1])
def test_draws(threshold):
    key, out = row_key(7, 1234), np.zeros((1, 8), np.float32)
    for first in (0, 8, 2**20):
        draw(key, first, threshold, np.float32(1.5), out)
        unsigned = int(np.uint32(np.int32(key)))
        assert out[0].tolist() == [expected_draw(unsigned, first + k, threshold, 1.5) for k in range(8)]


def test_the_fraction_of_the_threshold_is_dropped_in_every_row():
    out, threshold = np.zeros((1, 8), np.float32), round(0.3 * WORD)
    drawn = []
    for row in range(50):
        for first in range(0, 400, 8):
            draw(row_key(0, row), first, threshold, np.float32(1), out)
            drawn.append(out[0].copy())
    kept_fraction = np.array(drawn).reshape(50, 400).mean(1)
    assert kept_fraction.mean() == pytest.approx(0.7, abs=0.01)
    assert kept_fraction.std() == pytest.approx((0.3 * 0.7 / 400) ** 0.5, rel=0.4)
