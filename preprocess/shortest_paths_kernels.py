# mypy: ignore-errors
"""All-pairs shortest paths by bit-parallel breadth-first search.

Every node holds the set of nodes that it reaches within the present level as bits, one word for 64
nodes. One level is one OR of the heads' sets into the tails' sets, so the sets of all pairs grow at
once. The level at which a bit appears is its distance; it is kept bit-sliced (plane p holds bit p of
the distances) and written as bytes once at the end.

Sets of a whole matrix hold targets, so that rows come out in row-major order for directed graphs too. Sets
of a block of rows hold its sources, which is the same search along the edges instead of against them, and are
transposed on the way out.

A graph whose sets grow by a few bits at a time is left to the search with a queue.
"""

import numpy as np

from gradformer_dgl.graphs.adjacency_kernels import adjacency, adjacency_buffers, fingerprint
from gradformer_dgl.graphs.bits_kernels import (
    WORD,
    add_bytes,
    add_bytes_of_half,
    count_bits,
    set_bytes,
    set_bytes_of_half,
)
from gradformer_dgl.jit.compile import jit
from gradformer_dgl.preprocess.bfs_bits_kernels import (
    FULL_BYTE,
    LANES,
    LONG_PATHS,
    TOO_FAR,
    search_block,
    search_buffers,
    write_sources,
    write_targets,
)
from gradformer_dgl.preprocess.bfs_queue_kernels import queue_rows, reversed_edges


@jit
def distances_of_few(num_nodes, num_edges, tails, heads, limit, largest, buffers, histogram, out, start):
    """Write the distances of a graph of at most 64 nodes to ``out[start:]``.

    A row of bytes is written by one instruction as if it had 32 or 64 nodes: what runs over is overwritten by
    the next row. Returns -1 where a distance exceeds ``largest``.
    """
    sets, planes, line = buffers
    reached = sets[0]
    grown = sets[1]
    for node in range(num_nodes):
        reached[node] = np.uint64(1) << np.uint64(node)
        grown[node] = reached[node]
    histogram[0] += num_nodes
    num_missing = num_nodes * (num_nodes - 1)
    num_planes = 0
    level = 0
    while num_missing and level < limit:
        level += 1
        for edge in range(num_edges):
            grown[np.uint64(tails[edge])] |= reached[np.uint64(heads[edge])]
        found = np.uint64(0)
        for node in range(num_nodes):
            new = grown[node] & ~reached[node]
            reached[node] = grown[node]
            sets[2, node] = new
            found += count_bits(new)
        if found == 0:
            break
        if level > largest:
            return -1
        histogram[level] += np.int64(found)
        num_missing -= np.int64(found)
        if level >> num_planes:
            for node in range(num_nodes):
                planes[num_planes, node] = np.uint64(0)
            num_planes += 1
        for plane in range(num_planes):
            if (level >> plane) & 1:
                for node in range(num_nodes):
                    planes[plane, node] |= sets[2, node]

    full = ~np.uint64(0) >> np.uint64(WORD - num_nodes)
    for node in range(num_nodes):
        missing = full & ~reached[node]
        row = start + node * num_nodes
        if out.itemsize == 2:
            # At most 64 nodes: the high byte holds nothing but the mark of a missing path.
            set_bytes(line, 0, missing, FULL_BYTE)
            for lane in range(num_nodes):
                out[row + lane] = line[lane] * np.uint16(256)
            for plane in range(num_planes):
                add_bytes(line, 0, planes[plane, node], np.uint8(1 << plane))
            for lane in range(num_nodes):
                out[row + lane] |= line[lane]
        elif num_nodes <= WORD // 2:
            set_bytes_of_half(out, row, missing, FULL_BYTE)
            for plane in range(num_planes):
                add_bytes_of_half(out, row, planes[plane, node], np.uint8(1 << plane))
        else:
            set_bytes(out, row, missing, FULL_BYTE)
            for plane in range(num_planes):
                add_bytes(out, row, planes[plane, node], np.uint8(1 << plane))
    return 0


@jit
def matrix_buffers(most_nodes, bits):
    """Allocate what `distances_of_graph` works in, for graphs of at most so many nodes."""
    few_sets = np.empty((3, WORD), np.uint64)
    few_planes = np.empty((bits, WORD), np.uint64)
    block = search_buffers(most_nodes if most_nodes > WORD else 0, bits)
    return few_sets, few_planes, block, np.empty(2 * WORD, np.uint8)


@jit
def add_counts(num_nodes, counts, histogram):
    """Add the pairs of each level, of which there are fewer than nodes."""
    for level in range(min(num_nodes, len(histogram))):
        histogram[level] += counts[level]


@jit
def distances_of_graph(num_nodes, num_edges, edges, limit, buffers, histogram, out, start):
    """Write the distances of one graph, row-major, to ``out[start:]``; -1 where its type is too small.

    ``edges`` are the filled buffers of `adjacency`, ``buffers`` those of `matrix_buffers`.
    """
    offsets, tails, heads = edges[0], edges[1], edges[2]
    few_sets, few_planes, block, line = buffers
    largest = (1 << (8 * out.itemsize)) - 2
    if num_nodes <= WORD:
        few = (few_sets, few_planes, line)
        return distances_of_few(
            num_nodes, num_edges, tails, heads, limit, largest, few, histogram, out, start
        )
    sets, planes, counts = block[0], block[1], block[4]
    counts[:num_nodes] = 0
    for base in range(0, num_nodes, LANES * WORD):
        width = min(LANES * WORD, num_nodes - base)
        num_planes = search_block(num_nodes, offsets, tails, limit, largest, base, width, block, base == 0)
        if num_planes == TOO_FAR:
            return -1
        if num_planes == LONG_PATHS:
            by_tail, heads_of = reversed_edges(num_nodes, offsets, tails)
            return queue_rows(
                num_nodes, by_tail, heads_of, limit, largest, 0, num_nodes, histogram, out, start
            )
        write_targets(num_nodes, base, width, num_planes, sets[0], planes, line, out, start)
    add_counts(num_nodes, counts, histogram)
    return 0


@jit
def pair_distances(node_counts, edge_counts, src, dst, directed, limit, out, prints, histogram):
    """Compute the distances of many graphs, row-major, one matrix after the other, and the fingerprints.

    ``out`` needs 64 entries more than there are pairs: the last row of a small graph runs over. Returns the
    index of the first graph with a distance that the type of ``out`` cannot hold, -1 where there is none.
    """
    edges = adjacency_buffers(node_counts, edge_counts)
    buffers = matrix_buffers(len(edges[0]) - 1, 8 * out.itemsize)
    first = 0
    start = 0
    for graph in range(len(node_counts)):
        num_nodes = node_counts[graph]
        end = first + edge_counts[graph]
        num_edges = adjacency(src[first:end], dst[first:end], directed, num_nodes, edges)
        first = end
        prints[graph] = fingerprint(num_nodes, edges[0], edges[1])
        if distances_of_graph(num_nodes, num_edges, edges, limit, buffers, histogram, out, start) < 0:
            return graph
        start += num_nodes * num_nodes
    return -1


@jit
def row_distances(
    node_counts, edge_counts, src, dst, directed, limit, first_row, last_row, out, prints, histogram
):
    """Compute the rows ``first_row .. last_row`` of the distances of one graph, and its fingerprint.

    Returns -1, or 0 where the type of ``out`` cannot hold a distance in these rows.
    """
    num_nodes = node_counts[0]
    # With the ends of the edges exchanged, what is stored by head comes out by tail.
    edges = adjacency_buffers(node_counts, edge_counts)
    adjacency(dst, src, directed, num_nodes, edges)
    offsets, heads = edges[0], edges[1]
    prints[0] = fingerprint(num_nodes, offsets, heads, True)
    line = np.empty(2 * WORD, np.uint8)
    bits = 8 * out.itemsize
    largest = (1 << bits) - 2
    buffers = search_buffers(num_nodes, bits)
    sets, planes, counts = buffers[0], buffers[1], buffers[4]
    squares = np.zeros((bits + 1, WORD, LANES), np.uint64)
    for base in range(first_row, last_row, LANES * WORD):
        width = min(LANES * WORD, last_row - base)
        start = (base - first_row) * num_nodes
        counts[:] = 0
        trial = base == first_row
        num_planes = search_block(num_nodes, offsets, heads, limit, largest, base, width, buffers, trial)
        if num_planes == TOO_FAR:
            return 0
        if num_planes == LONG_PATHS:
            status = queue_rows(
                num_nodes, offsets, heads, limit, largest, base, last_row, histogram, out, start
            )
            return 0 if status < 0 else -1
        add_counts(num_nodes, counts, histogram)
        write_sources(num_nodes, width, num_planes, sets[0], planes, squares, line, out, start)
    return -1
