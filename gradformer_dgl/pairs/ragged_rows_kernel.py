# mypy: allow-untyped-defs
"""Compiled copies of runs of a flat array."""

from gradformer_dgl.jit.compile import jit

# The inner loops run over slices, of which LLVM makes block copies.


@jit
def copy_runs(source, starts, lengths, target):
    """Fill ``target`` with ``source[starts[i] : starts[i] + lengths[i]]`` for all i."""
    position = 0
    for run in range(len(starts)):
        start, length = starts[run], lengths[run]
        part = source[start : start + length]
        place = target[position : position + length]
        for offset in range(length):
            place[offset] = part[offset]
        position += length


@jit
def shift_runs(source, starts, lengths, shifts, target):
    """Fill ``target`` with ``source[starts[i] : starts[i] + lengths[i]] + shifts[i]`` for all i."""
    position = 0
    for run in range(len(starts)):
        start, length, shift = starts[run], lengths[run], shifts[run]
        part = source[start : start + length]
        place = target[position : position + length]
        for offset in range(length):
            place[offset] = part[offset] + shift
        position += length
