# mypy: allow-untyped-defs
"""Arithmetic that compiled loops share, written so that the compiler can turn it into vector instructions."""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import as_floats, from_bits, maximum, truncated, where_negative


@jit(fastmath=("contract",))
def exp_below_one(x):
    """Return e^x for x <= 0, a single-precision number or a vector of them, to rounding."""
    x = maximum(np.float32(-87.0), x)
    power = truncated(x * np.float32(1.4426950408889634) - np.float32(0.5))
    k = as_floats(power)
    # ln 2 in two parts, the first exact in few bits.
    r = (x - k * np.float32(0.693359375)) - k * np.float32(-2.12194440e-4)
    y = r * np.float32(1.9875691500e-4) + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + np.float32(5.0000001201e-1)
    y = y * r * r + r + np.float32(1.0)
    return y * from_bits((power + np.int32(127)) << np.int32(23))


@jit(fastmath=("contract",))
def sigmoid(x):
    """Return 1 / (1 + e^-x) of a vector, to rounding."""
    small = exp_below_one(maximum(x, x * np.float32(-1)) * np.float32(-1))
    return where_negative(x, small, np.float32(1)) / (small + np.float32(1))
