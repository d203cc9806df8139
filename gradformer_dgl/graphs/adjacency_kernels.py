# mypy: ignore-errors
"""From the edge list of a graph to its simple adjacency and the fingerprint of its structure.

All functions work in buffers that the caller allocates once for many graphs: an allocation for each of
thousands of small graphs would take as long as the work. The adjacency is stored by head:
``tails[offsets[v]:offsets[v + 1]]`` are the nodes with an edge to ``v``, ascending.

Indices are uint64 wherever they are computed: numba tests signed ones for negative values at every access.
"""

import numpy as np

from gradformer_dgl.graphs.bits_kernels import WORD, lowest_bit
from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.splitmix64 import GOLDEN_GAMMA, mix64

# Words of the bit matrix of a dense graph: half a megabyte, so that it stays in the processor's cache.
MATRIX_WORDS = 1 << 16


@jit
def fingerprint(num_nodes, offsets, tails, by_tail=False):
    """Hash the number of nodes and the set of edges to 64 bits; of heads stored by tail with ``by_tail``.

    The hashes of the edges are added up, so that their order makes no difference.
    """
    shift = np.uint64(0 if by_tail else 32)
    other = np.uint64(32 if by_tail else 0)
    total = np.uint64(0)
    for head in range(num_nodes):
        for place in range(offsets[head], offsets[head + 1]):
            edge = (np.uint64(tails[place]) << shift) | (np.uint64(head) << other)
            total += mix64(edge + GOLDEN_GAMMA)
    return mix64((total ^ mix64(np.uint64(num_nodes) + GOLDEN_GAMMA)) + GOLDEN_GAMMA)


@jit
def adjacency_of_few(src, dst, directed, num_nodes, offsets, tails, heads, words):
    """Adjacency of a graph of at most 64 nodes, deduplicated as one word of bits a node."""
    for node in range(num_nodes):
        words[node] = np.uint64(0)
    one = np.uint64(1)
    for edge in range(len(src)):
        tail = np.uint64(src[edge])
        head = np.uint64(dst[edge])
        words[head] |= one << tail
        if not directed:
            words[tail] |= one << head
    count = 0
    for head in range(num_nodes):
        offsets[head] = count
        word = words[head] & ~(one << np.uint64(head))
        while word:
            tails[count] = np.int32(lowest_bit(word))
            heads[count] = np.int32(head)
            count += 1
            word &= word - one
    offsets[num_nodes] = count
    return count


@jit
def adjacency_of_dense(src, dst, directed, num_nodes, offsets, tails, matrix):
    """Adjacency of a graph of some density, deduplicated as rows of a bit matrix."""
    width = np.uint64((num_nodes + WORD - 1) // WORD)
    for place in range(num_nodes * width):
        matrix[place] = np.uint64(0)
    one = np.uint64(1)
    six = np.uint64(6)
    low = np.uint64(WORD - 1)
    for edge in range(len(src)):
        tail = np.uint64(src[edge])
        head = np.uint64(dst[edge])
        matrix[head * width + (tail >> six)] |= one << (tail & low)
        if not directed:
            matrix[tail * width + (head >> six)] |= one << (head & low)
    count = 0
    for head in range(num_nodes):
        offsets[head] = count
        row = np.uint64(head) * width
        matrix[row + (np.uint64(head) >> six)] &= ~(one << (np.uint64(head) & low))
        for column in range(width):
            word = matrix[row + np.uint64(column)]
            while word:
                tails[count] = np.int32(lowest_bit(word)) + np.int32(column * WORD)
                count += 1
                word &= word - one
    offsets[num_nodes] = count
    return count


@jit
def adjacency_of_many(src, dst, directed, num_nodes, offsets, tails, heads, cursor):
    """Adjacency of a graph of any size: two stable counting sorts, then duplicates dropped."""
    num_edges = len(src)
    for node in range(num_nodes + 1):
        cursor[node] = 0
    for edge in range(num_edges):
        cursor[np.uint64(src[edge]) + np.uint64(1)] += 1
        if not directed:
            cursor[np.uint64(dst[edge]) + np.uint64(1)] += 1
    for node in range(num_nodes):
        cursor[node + 1] += cursor[node]
    for edge in range(num_edges):
        tail = np.uint64(src[edge])
        head = np.uint64(dst[edge])
        heads[cursor[tail]] = np.int32(head)
        cursor[tail] += 1
        if not directed:
            heads[cursor[head]] = np.int32(tail)
            cursor[head] += 1

    # cursor[v] now is the end of v's heads, unsorted; sorting by head while walking the tails in order
    # leaves the tails of every head ascending.
    total = cursor[num_nodes - 1] if num_nodes else 0
    for node in range(num_nodes + 1):
        offsets[node] = 0
    for place in range(total):
        offsets[np.uint64(heads[place]) + np.uint64(1)] += 1
    for node in range(num_nodes):
        offsets[node + 1] += offsets[node]
    place = 0
    for tail in range(num_nodes):
        while place < cursor[tail]:
            head = np.uint64(heads[place])
            tails[offsets[head]] = np.int32(tail)
            offsets[head] += 1
            place += 1

    count = 0
    place = 0
    for head in range(num_nodes):
        end = offsets[head]
        offsets[head] = count
        last = -1
        while place < end:
            tail = tails[place]
            place += 1
            if tail != last and tail != head:
                tails[count] = tail
                count += 1
            last = tail
    offsets[num_nodes] = count
    return count


@jit
def adjacency(src, dst, directed, num_nodes, buffers):
    """Fill the offsets and tails, for graphs of at most 64 nodes the heads as well; return the edges.

    ``buffers`` are those of `adjacency_buffers`.
    """
    offsets, tails, heads, cursor, words = buffers
    if num_nodes <= WORD:
        return adjacency_of_few(src, dst, directed, num_nodes, offsets, tails, heads, words)
    if num_nodes * ((num_nodes + WORD - 1) // WORD) <= min(len(words), len(src)):
        return adjacency_of_dense(src, dst, directed, num_nodes, offsets, tails, words)
    return adjacency_of_many(src, dst, directed, num_nodes, offsets, tails, heads, cursor)


@jit
def adjacency_buffers(node_counts, edge_counts):
    """Allocate what `adjacency` works in, for the largest graph: offsets, tails, heads, cursor, words."""
    most_nodes = 0
    most_edges = 0
    for graph in range(len(node_counts)):
        most_nodes = max(most_nodes, node_counts[graph])
        most_edges = max(most_edges, edge_counts[graph])
    offsets = np.empty(most_nodes + 1, np.int64)
    tails = np.empty(2 * most_edges, np.int32)
    heads = np.empty(2 * most_edges, np.int32)
    cursor = np.empty(most_nodes + 1, np.int64)
    words = np.empty(MATRIX_WORDS, np.uint64)
    return offsets, tails, heads, cursor, words


@jit
def fingerprints(node_counts, edge_counts, src, dst, directed, result):
    """Compute the fingerprint of every graph."""
    buffers = adjacency_buffers(node_counts, edge_counts)
    first = 0
    for graph in range(len(node_counts)):
        end = first + edge_counts[graph]
        adjacency(src[first:end], dst[first:end], directed, node_counts[graph], buffers)
        result[graph] = fingerprint(node_counts[graph], buffers[0], buffers[1])
        first = end


@jit
def degrees_of_all(node_counts, edge_counts, src, dst, directed, result):
    """Count the edges that end and that begin at every node in the simple graph."""
    buffers = adjacency_buffers(node_counts, edge_counts)
    offsets, tails = buffers[0], buffers[1]
    first = 0
    row = 0
    for graph in range(len(node_counts)):
        num_nodes = node_counts[graph]
        end = first + edge_counts[graph]
        num_edges = adjacency(src[first:end], dst[first:end], directed, num_nodes, buffers)
        first = end
        for node in range(num_nodes):
            result[row + node, 0] = offsets[node + 1] - offsets[node]
            result[row + node, 1] = 0
        for edge in range(num_edges):
            result[row + tails[edge], 1] += 1
        row += num_nodes
