# mypy: allow-untyped-defs
"""Dropout of attention weights in compiled loops: a hash of the seed, the row and the place in it."""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import counting, where_at_least
from gradformer_dgl.jit.splitmix64 import mix64


@jit
def row_key(seed, row):
    """Return 32 random bits for a row of pairs (SplitMix64)."""
    x = np.uint64(seed) + np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)
    return np.int32(mix64(x) >> np.uint64(32))


@jit
def counters(first):
    """Return what :func:`kept_scale` takes for the places ``first`` to ``first + 7`` of a row."""
    return (counting() + np.int32(first)) * np.int32(-1640531527)


@jit
def kept_scale(key, counter, threshold, scale):
    """Return a vector of 0 with the probability threshold / 2^32, and of ``scale`` otherwise."""
    x = counter ^ key
    x = (x ^ (x >> np.int32(16))) * np.int32(0x7FEB352D)
    x = (x ^ (x >> np.int32(15))) * np.int32(-2073254261)
    return where_at_least(x ^ (x >> np.int32(16)), threshold, scale)
