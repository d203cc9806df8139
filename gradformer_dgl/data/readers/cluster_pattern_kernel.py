# mypy: allow-untyped-defs
"""The edges of stochastic block models, drawn by a hash: a pair gets one answer, whoever asks."""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.splitmix64 import mix64

_STEP = np.uint64(0x9E3779B97F4A7C15)


@jit
def _bits(key, one, other):
    """Return 32 random bits of a pair, the same in both directions (SplitMix64)."""
    low, high = min(one, other), max(one, other)
    pair = np.uint64(low) * np.uint64(1 << 20) + np.uint64(high) + np.uint64(1)
    return mix64(key + pair * _STEP) >> np.uint64(32)


@jit
def _key(seed, stream, number):
    """Return 64 random bits for a graph (stream 0) or for a pattern (stream 1)."""
    place = np.uint64(2 * number + stream + 1) * np.uint64(0xD1342543DE82EF95)
    return mix64(np.uint64(seed) * _STEP + place)


@jit
def _joined(i, j, first, kinds, places, limits, graph_key, pattern_key):
    """Return if nodes i and j are joined: within a pattern by its own hash, else by that of the graph."""
    one, other = first + i, first + j
    limit = limits[kinds[one], kinds[other]]
    if places[one] >= 0 and places[other] >= 0:
        return _bits(pattern_key, places[one], places[other]) < limit
    return _bits(graph_key, i, j) < limit


@jit
def count_edges(node_counts, kinds, places, pattern, limits, seed, degrees):
    """Set the degree of every node; ``limits[a, b]`` is 2^32 times the chance of an edge of kinds a and b."""
    first = 0
    for graph in range(len(node_counts)):
        size = node_counts[graph]
        graph_key, pattern_key = _key(seed, 0, graph), _key(seed, 1, pattern[graph])
        for i in range(size):
            for j in range(i):
                if _joined(i, j, first, kinds, places, limits, graph_key, pattern_key):
                    degrees[first + i] += 1
                    degrees[first + j] += 1
        first += size


@jit
def fill_edges(node_counts, kinds, places, pattern, limits, seed, begins, src, dst):
    """Write the edges of every node, ids counted from 0 in each graph, where ``begins`` says."""
    first = 0
    for graph in range(len(node_counts)):
        size = node_counts[graph]
        graph_key, pattern_key = _key(seed, 0, graph), _key(seed, 1, pattern[graph])
        for i in range(size):
            position = begins[first + i]
            for j in range(size):
                if j != i and _joined(i, j, first, kinds, places, limits, graph_key, pattern_key):
                    src[position], dst[position] = i, j
                    position += 1
        first += size
