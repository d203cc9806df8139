# mypy: allow-untyped-defs
"""Colour refinement over packed graphs: 64-bit hashes stand for colours."""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd_math import scrambled

_START = np.uint64(0x9E3779B97F4A7C15)
_OF_NEIGHBOUR = np.uint64(0xD1342543DE82EF95)


@jit
def row_hashes(columns):
    """Hash every row of a matrix of integers."""
    hashes = np.empty(columns.shape[0], np.uint64)
    for row in range(columns.shape[0]):
        value = _START
        for column in range(columns.shape[1]):
            value = scrambled(value + np.uint64(columns[row, column]) * _OF_NEIGHBOUR) + _START
        hashes[row] = scrambled(value)
    return hashes


@jit
def refine(node_counts, edge_counts, src, dst, edge_hashes, first, colours):
    """Fill a column of ``colours`` per round, from the colours ``first`` of round 0.

    A node's next colour is a hash of its own and of the sum, over its incoming edges, of hashes of the edge
    and of the colour at its other end: a sum, so that the order of the edges does not matter.
    """
    sums = np.zeros(len(first), np.uint64)
    current = first.copy()
    for turn in range(colours.shape[1]):
        sums[:] = np.uint64(0)
        node, edge = 0, 0
        for graph in range(len(node_counts)):
            for number in range(edge, edge + edge_counts[graph]):
                far = scrambled(current[node + src[number]] + _START)
                sums[node + dst[number]] += scrambled(far + edge_hashes[number] * _OF_NEIGHBOUR)
            node += node_counts[graph]
            edge += edge_counts[graph]
        for number in range(len(current)):
            current[number] = scrambled(scrambled(current[number]) * _OF_NEIGHBOUR + sums[number])
            colours[number, turn] = current[number]


@jit
def tell_apart(node_counts, colours):
    """Give the second, third, ... node of a graph that has a colour of a round a colour of its own."""
    first = 0
    for count in node_counts:
        for turn in range(colours.shape[1]):
            column = colours[first : first + count, turn]
            order = np.argsort(column)
            before, number = np.uint64(0), np.uint64(0)
            for place in range(count):
                colour = column[order[place]]
                number = number + np.uint64(1) if place > 0 and colour == before else np.uint64(0)
                before = colour
                if number > 0:
                    column[order[place]] = scrambled(colour + number * _OF_NEIGHBOUR)
        first += count


@jit
def graphs_with(colours, graph_of_node, num_colours):
    """Count for every colour the graphs that have it; nodes of a graph stand together."""
    counts = np.zeros(num_colours, np.int64)
    last = np.full(num_colours, -1, np.int64)
    for node in range(len(colours)):
        colour = colours[node]
        if last[colour] != graph_of_node[node]:
            last[colour] = graph_of_node[node]
            counts[colour] += 1
    return counts
