# mypy: allow-untyped-defs
"""The two sums of a Fletcher checksum, without the interpreter's lock."""

import numpy as np

from gradformer_dgl.compiled import compiled


@compiled
def word_sums(words):
    """Return the sum of 16-bit words, and the sum of its running values; for fewer than 2^20 words."""
    count = len(words)
    first = second = np.uint64(0)
    for place in range(count):
        word = np.uint64(words[place])
        first += word
        second += word * np.uint64(np.uint32(count - place))
    return first, second
