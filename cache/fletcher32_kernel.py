# mypy: allow-untyped-defs
"""Fletcher-32 checksums, without the interpreter's lock."""

import numpy as np

from gradformer_dgl.jit.compile import jit

BLOCK_WORDS = 1 << 19
MODULUS = np.uint64(65535)


@jit
def word_sums(words):
    """Return the sum of 16-bit words, and the sum of its running values; for fewer than 2^20 words."""
    count = len(words)
    first = second = np.uint64(0)
    for place in range(count):
        word = np.uint64(words[place])
        first += word
        second += word * np.uint64(np.uint32(count - place))
    return first, second


@jit
def checksums(words, counts):
    """Return the checksum of each of consecutive runs of words, uint32: the second sum, then the first."""
    found = np.empty(len(counts), np.uint32)
    begin = 0
    for run in range(len(counts)):
        end = begin + counts[run]
        first = second = np.uint64(0)
        for start in range(begin, end, BLOCK_WORDS):
            block = words[start : min(start + BLOCK_WORDS, end)]
            low, high = word_sums(block)
            second = _reduced(second + np.uint64(len(block)) * first + high)
            first = _reduced(first + low)
        # Swapping the bytes of a word is multiplying it by 256, modulo 65,535: once for the sums will do.
        first, second = _reduced(first << np.uint64(8)), _reduced(second << np.uint64(8))
        found[run] = np.uint32((second << np.uint64(16)) | first)
        begin = end
    return found


@jit
def _reduced(value):
    """Fold the carry, as HDF5 does: what is left of a sum that is not 0 is 1 .. 65,535."""
    return (value - np.uint64(1)) % MODULUS + np.uint64(1) if value > 0 else value
