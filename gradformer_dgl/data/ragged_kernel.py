# mypy: allow-untyped-defs
"""Runs of a flat array, copied one after the other."""

from gradformer_dgl.compiled import compiled


@compiled
def copy_runs(source, starts, lengths, target):
    """Fill ``target`` with ``source[starts[i] : starts[i] + lengths[i]]`` for all i."""
    position = 0
    for run in range(len(starts)):
        start, length = starts[run], lengths[run]
        target[position : position + length] = source[start : start + length]
        position += length


@compiled
def shift_runs(source, starts, lengths, shifts, target):
    """Fill ``target`` with ``source[starts[i] : starts[i] + lengths[i]] + shifts[i]`` for all i."""
    position = 0
    for run in range(len(starts)):
        start, shift = starts[run], shifts[run]
        for offset in range(lengths[run]):
            target[position + offset] = source[start + offset] + shift
        position += lengths[run]
