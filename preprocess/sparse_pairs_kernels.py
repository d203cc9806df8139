# mypy: ignore-errors
"""Pairs of nodes within a few hops of each other, row by row.

Small graphs go through the bit-parallel search of all pairs, of which those within reach are kept. In a large
graph every source is searched by itself, in time that depends on what it reaches alone: the bit map of the
nodes reached also brings them in order, found by a second map that has one bit for each of its words.
"""

import numpy as np

from gradformer_dgl.graphs.adjacency_kernels import adjacency, adjacency_buffers, fingerprint
from gradformer_dgl.graphs.bits_kernels import WORD, lowest_bit
from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.prefetch import prefetch
from gradformer_dgl.preprocess.shortest_paths_kernels import distances_of_graph, matrix_buffers

# Up to this many nodes all pairs are searched at once.
MOST_MATRIX_NODES = 1024


@jit
def grown(array, filled, needed):
    """Return an array with room for ``needed`` entries and some more, the first ``filled`` copied."""
    if needed <= len(array):
        return array
    larger = np.empty(max(needed, len(array) + len(array) // 2), array.dtype)
    larger[:filled] = array[:filled]
    return larger


@jit
def search_source(source, offsets, heads, limit, largest, reached, words_reached, levels, queue, histogram):
    """Search up to ``limit`` hops from one node; return how many are reached, -1 beyond ``largest``."""
    one = np.uint64(1)
    six = np.uint64(6)
    low = np.uint64(WORD - 1)
    word = np.uint64(source) >> six
    reached[word] = one << (np.uint64(source) & low)
    words_reached[word >> six] |= one << (word & low)
    levels[source] = 0
    queue[0] = source
    histogram[0] += 1
    begin = 0
    end = 1
    level = 0
    while level < limit:
        level += 1
        count = end
        for place in range(begin, end):
            prefetch(heads, np.uint64(offsets[np.uint64(queue[place])]))
        for place in range(begin, end):
            node = np.uint64(queue[place])
            for edge in range(offsets[node], offsets[node + one]):
                head = np.uint64(heads[edge])
                word = head >> six
                bit = one << (head & low)
                if not reached[word] & bit:
                    reached[word] |= bit
                    words_reached[word >> six] |= one << (word & low)
                    levels[head] = level
                    queue[count] = np.int32(head)
                    if level < limit:
                        prefetch(offsets, head)
                    count += 1
        if count == end:
            break
        if level > largest:
            return -1
        histogram[level] += count - end
        begin = end
        end = count
    return end


@jit
def take_reached(num_nodes, reached, words_reached, levels, nodes, distances, place):
    """Move the nodes reached to ``nodes[place:]`` in ascending order, with their levels; clear the maps."""
    one = np.uint64(1)
    for block in range((num_nodes + WORD * WORD - 1) // (WORD * WORD)):
        words = words_reached[block]
        words_reached[block] = np.uint64(0)
        while words:
            word = np.uint64(block * WORD) + lowest_bit(words)
            words &= words - one
            bits = reached[word]
            reached[word] = np.uint64(0)
            while bits:
                node = word * np.uint64(WORD) + lowest_bit(bits)
                bits &= bits - one
                nodes[place] = np.int32(node)
                distances[place] = levels[node]
                place += 1


@jit
def sparse_rows(
    num_nodes, offsets, heads, limit, first_row, last_row, counts, nodes, distances, filled, histogram
):
    """Find the pairs within reach of the nodes ``first_row .. last_row`` of one graph.

    They are added to the first ``filled``.

    ``heads[offsets[v]:offsets[v + 1]]`` are the nodes that have an edge from v. Returns the arrays, which
    move where they grow, and how far they are filled: -1 where a distance does not fit.
    """
    largest = (1 << (8 * distances.itemsize)) - 2
    reached = np.zeros(num_nodes // WORD + 1, np.uint64)
    words_reached = np.zeros(len(reached) // WORD + 1, np.uint64)
    levels = np.empty(num_nodes, distances.dtype)
    queue = np.empty(num_nodes, np.int32)
    for source in range(first_row, last_row):
        count = search_source(
            source, offsets, heads, limit, largest, reached, words_reached, levels, queue, histogram
        )
        if count < 0:
            return nodes, distances, -1
        nodes = grown(nodes, filled, filled + count)
        distances = grown(distances, filled, filled + count)
        take_reached(num_nodes, reached, words_reached, levels, nodes, distances, filled)
        counts[source - first_row] = count
        filled += count
    return nodes, distances, filled


@jit
def take_reachable(num_nodes, matrix, counts, nodes, distances, filled):
    """Append the reachable entries of a matrix, row by row; return how far the arrays are filled.

    Every entry is written, and the place moves on where it is to stay: no branch that would be guessed wrong.
    """
    unreachable = (1 << (8 * distances.itemsize)) - 1
    place = 0
    for node in range(num_nodes):
        before = filled
        for other in range(num_nodes):
            distance = matrix[place]
            nodes[filled] = np.int32(other)
            distances[filled] = distance
            filled += distance != unreachable
            place += 1
        counts[node] = filled - before
    return filled


@jit
def heads_by_tail(node_counts, edge_counts, src, dst, directed):
    """Return the offsets and heads of the edges of one graph by their tails, and its fingerprint."""
    edges = adjacency_buffers(node_counts, edge_counts)
    num_nodes = node_counts[0]
    num_edges = adjacency(dst, src, directed, num_nodes, edges)
    offsets, heads = edges[0], edges[1]
    return offsets, heads[:num_edges].copy(), fingerprint(num_nodes, offsets, heads, True)


@jit
def sparse_pairs(
    node_counts, edge_counts, src, dst, directed, limit, counts, nodes, distances, prints, histogram
):
    """Find the pairs within reach in many graphs, and each graph's fingerprint.

    Returns the arrays, which move where they grow, how far they are filled, and the index of the first graph
    with a distance that does not fit, -1 where there is none.
    """
    edges = adjacency_buffers(node_counts, edge_counts)
    offsets, tails = edges[0], edges[1]
    most_nodes = 0
    for graph in range(len(node_counts)):
        if node_counts[graph] <= MOST_MATRIX_NODES:
            most_nodes = max(most_nodes, node_counts[graph])
    matrix = np.empty(most_nodes * most_nodes + WORD, distances.dtype)
    buffers = matrix_buffers(most_nodes, 8 * matrix.itemsize)
    first = 0
    row = 0
    filled = 0
    for graph in range(len(node_counts)):
        num_nodes = node_counts[graph]
        end = first + edge_counts[graph]
        tail = src[first:end]
        head = dst[first:end]
        first = end
        if num_nodes > MOST_MATRIX_NODES:
            # By tail: what is stored as tails by head are heads, for the ends of the edges are exchanged.
            adjacency(head, tail, directed, num_nodes, edges)
            prints[graph] = fingerprint(num_nodes, offsets, tails, True)
            rows = counts[row:]
            nodes, distances, filled = sparse_rows(
                num_nodes, offsets, tails, limit, 0, num_nodes, rows, nodes, distances, filled, histogram
            )
            if filled < 0:
                return nodes, distances, filled, graph
        else:
            num_edges = adjacency(tail, head, directed, num_nodes, edges)
            prints[graph] = fingerprint(num_nodes, offsets, tails)
            if distances_of_graph(num_nodes, num_edges, edges, limit, buffers, histogram, matrix, 0) < 0:
                return nodes, distances, filled, graph
            most = filled + num_nodes * num_nodes + 1
            nodes = grown(nodes, filled, most)
            distances = grown(distances, filled, most)
            filled = take_reachable(num_nodes, matrix, counts[row:], nodes, distances, filled)
        row += num_nodes
    return nodes, distances, filled, -1
