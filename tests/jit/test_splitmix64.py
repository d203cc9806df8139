"""SplitMix64 against its published values."""

import numpy as np

from gradformer_dgl.jit.splitmix64 import GOLDEN_GAMMA, mix64, mix64_array

# The first numbers of the generator from the seed 1234567.
PUBLISHED = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]


def test_published_sequence():
    states = np.uint64(1234567) + np.arange(1, 5, dtype=np.uint64) * GOLDEN_GAMMA
    assert mix64_array(states).tolist() == PUBLISHED
    assert [int(mix64(state)) for state in states] == PUBLISHED


def test_compiled_and_numpy_agree():
    numbers = np.random.default_rng(0).integers(0, 2**64, 997, dtype=np.uint64)
    assert [int(mix64(number)) for number in numbers] == mix64_array(numbers).tolist()
