# mypy: allow-untyped-defs
"""SplitMix64: 64 bits that each depend on all bits of a 64-bit number.

Caches hold hashes made with it, and data sets are drawn with it: the values may never change.
"""

import numpy as np

from gradformer_dgl.jit.compile import jit

# The golden ratio in 64 bits: added before mixing, it keeps 0 from being mixed to 0.
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mix64_array(x):
    """Mix every number of a uint64 array; see :func:`mix64`, which is compiled from this."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


mix64 = jit(mix64_array)
"""Mix a 64-bit number, in compiled functions: the last steps of Steele, Lea and Flood's generator (2014)."""
