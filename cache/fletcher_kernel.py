# mypy: allow-untyped-defs
"""The two sums of Fletcher checksums, without the interpreter's lock."""

import numpy as np

from gradformer_dgl.compiled import compiled

BLOCK_WORDS = 1 << 19
MODULUS = np.uint64(65535)


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


@compiled
def fletcher_sums(words, counts):
    """Return both sums of consecutive runs of words, reduced to 1 .. 65,535, or 0 where the sum is 0."""
    firsts, seconds = np.zeros(len(counts), np.uint64), np.zeros(len(counts), np.uint64)
    begin = 0
    for run in range(len(counts)):
        end = begin + counts[run]
        first = second = np.uint64(0)
        for start in range(begin, end, BLOCK_WORDS):
            block = words[start : min(start + BLOCK_WORDS, end)]
            low, high = word_sums(block)
            second = _reduced(second + np.uint64(len(block)) * first + high)
            first = _reduced(first + low)
        firsts[run], seconds[run] = first, second
        begin = end
    return firsts, seconds


@compiled
def _reduced(value):
    return (value - np.uint64(1)) % MODULUS + np.uint64(1) if value > 0 else value
