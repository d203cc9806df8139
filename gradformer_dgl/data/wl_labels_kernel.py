# mypy: allow-untyped-defs
"""Weisfeiler-Leman refinement over packed graphs: 64-bit hashes stand for labels."""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.splitmix64 import mix64

_START = np.uint64(0x9E3779B97F4A7C15)
_OF_NEIGHBOR = np.uint64(0xD1342543DE82EF95)


@jit
def row_hashes(columns):
    """Hash every row of a matrix of integers."""
    hashes = np.empty(columns.shape[0], np.uint64)
    for row in range(columns.shape[0]):
        value = _START
        for column in range(columns.shape[1]):
            value = mix64(value + np.uint64(columns[row, column]) * _OF_NEIGHBOR) + _START
        hashes[row] = mix64(value)
    return hashes


@jit
def refine(node_counts, edge_counts, src, dst, edge_hashes, first, labels):
    """Fill a column of ``labels`` per round, from the labels ``first`` of round 0.

    A node's next label is a hash of its own and of the sum, over its incoming edges, of hashes of the edge
    and of the label at its other end: a sum, so that the order of the edges does not matter.
    """
    sums = np.zeros(len(first), np.uint64)
    current = first.copy()
    for step in range(labels.shape[1]):
        sums[:] = np.uint64(0)
        node, edge = 0, 0
        for graph in range(len(node_counts)):
            for number in range(edge, edge + edge_counts[graph]):
                far = mix64(current[node + src[number]] + _START)
                sums[node + dst[number]] += mix64(far + edge_hashes[number] * _OF_NEIGHBOR)
            node += node_counts[graph]
            edge += edge_counts[graph]
        for number in range(len(current)):
            current[number] = mix64(mix64(current[number]) * _OF_NEIGHBOR + sums[number])
            labels[number, step] = current[number]


@jit
def number_repeats(node_counts, labels):
    """Give the second, third, ... node of a graph with the same label a label of its own."""
    first = 0
    for count in node_counts:
        for step in range(labels.shape[1]):
            column = labels[first : first + count, step]
            order = np.argsort(column)
            before, number = np.uint64(0), np.uint64(0)
            for place in range(count):
                label = column[order[place]]
                number = number + np.uint64(1) if place > 0 and label == before else np.uint64(0)
                before = label
                if number > 0:
                    column[order[place]] = mix64(label + number * _OF_NEIGHBOR)
        first += count


@jit
def graphs_with(labels, graph_of_node, num_labels):
    """Count for every label the graphs that have it; nodes of a graph stand together."""
    counts = np.zeros(num_labels, np.int64)
    last = np.full(num_labels, -1, np.int64)
    for node in range(len(labels)):
        label = labels[node]
        if last[label] != graph_of_node[node]:
            last[label] = graph_of_node[node]
            counts[label] += 1
    return counts
