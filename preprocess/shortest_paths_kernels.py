# mypy: ignore-errors
"""All-pairs shortest paths by bit-parallel breadth-first search.

Every node holds the set of nodes that it reaches within the present level as bits, one word for 64
nodes. One level is one OR of the heads' sets into the tails' sets, so the sets of all pairs grow at
once. The level at which a bit appears is its distance; it is kept bit-sliced (plane p holds bit p of
the distances) and spread to bytes once at the end.

Sets of a whole matrix hold targets, so that rows come out in row-major order for directed graphs too. Sets
of a block of rows hold its sources, which is the same search along the edges instead of against them, and are
turned on the way out.

A graph whose sets grow by a few bits at a time is left to the search with a queue.
"""

import numpy as np

from gradformer_dgl.compiled import compiled
from gradformer_dgl.preprocess.adjacency_kernels import adjacency, adjacency_buffers, fingerprint
from gradformer_dgl.preprocess.bits_kernels import (
    WORD,
    add_bytes,
    add_bytes_of_half,
    count_bits,
    set_bytes,
    set_bytes_of_half,
)
from gradformer_dgl.preprocess.queue_kernels import queue_rows, reversed_edges

# Words of one block of targets or sources: 256 bits are one vector register wide.
LANES = 4
FULL_BYTE = np.uint8(255)
# With one node in so many active, looking at all nodes is cheaper than remembering which were touched.
DENSE = 4
# With fewer new bits for each look at a node a queue is faster. It takes so many looks at each node to know,
# twice as many in a block of a larger graph: its sets grow slowly at first, whatever the graph.
FEW_BITS = 4
LOOKS_AT_EACH = 4
# What `search_block` returns where there is no number of planes.
TOO_FAR = -1
LONG_PATHS = -2


@compiled
def distances_of_few(
    num_nodes, num_edges, tails, heads, limit, largest, sets, planes, histogram, line, out, start
):
    """Distances of a graph of at most 64 nodes into ``out[start:]``; -1 where one exceeds ``largest``."""
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
            # Runs over into the next row, which is written after it.
            set_bytes_of_half(out, row, missing, FULL_BYTE)
            for plane in range(num_planes):
                add_bytes_of_half(out, row, planes[plane, node], np.uint8(1 << plane))
        else:
            set_bytes(out, row, missing, FULL_BYTE)
            for plane in range(num_planes):
                add_bytes(out, row, planes[plane, node], np.uint8(1 << plane))
    return 0


@compiled
def clear(block, num_nodes):
    """Set the first rows of a block of words to zero."""
    for node in range(num_nodes):
        for lane in range(LANES):
            block[node, lane] = np.uint64(0)


@compiled
def push(head, offsets, tails, front, grown):
    """OR the newest bits of one node into the sets of the nodes with an edge to it."""
    word0 = front[head, 0]
    word1 = front[head, 1]
    word2 = front[head, 2]
    word3 = front[head, 3]
    for edge in range(offsets[head], offsets[head + np.uint64(1)]):
        tail = np.uint64(tails[edge])
        grown[tail, 0] |= word0
        grown[tail, 1] |= word1
        grown[tail, 2] |= word2
        grown[tail, 3] |= word3


@compiled
def search_block(
    num_nodes, offsets, tails, limit, largest, base, width, sets, planes, nodes, marks, counts, trial
):
    """Bit-sliced distances from all nodes to the targets ``base .. base + width``.

    With the heads of every tail in the place of the tails of every head: from these nodes to all others.
    Only nodes whose sets grew in the last level pass their new bits on, so a long path costs no more per
    level than a short one. Adds the pairs of each level to ``counts``. Returns the number of planes,
    `TOO_FAR` where a distance exceeds ``largest``, `LONG_PATHS` once a ``trial``, which the first block of a
    graph is enough for, tells that a queue is faster.
    """
    reached = sets[0]
    front = sets[1]
    grown = sets[2]
    active = nodes[0]
    touched = nodes[1]
    clear(reached, num_nodes)
    clear(grown, num_nodes)
    for node in range(num_nodes):
        marks[node] = 0
    for target in range(width):
        bit = np.uint64(1) << np.uint64(target % WORD)
        for lane in range(LANES):
            front[base + target, lane] = np.uint64(0)
        reached[base + target, target // WORD] = bit
        front[base + target, target // WORD] = bit
        active[target] = base + target
    counts[0] += width
    num_active = width
    num_planes = 0
    level = 0
    num_missing = (num_nodes - 1) * width
    most_looks = LOOKS_AT_EACH * num_nodes * (1 if num_nodes <= LANES * WORD else 2) if trial else 0
    num_looks = 0
    num_found = 0
    while num_missing and num_active and level < limit:
        level += 1
        if DENSE * num_active > num_nodes:
            num_touched = num_nodes
            for node in range(num_nodes):
                touched[node] = node
            for place in range(num_active):
                push(np.uint64(active[place]), offsets, tails, front, grown)
        else:
            num_touched = 0
            for place in range(num_active):
                head = np.uint64(active[place])
                push(head, offsets, tails, front, grown)
                for edge in range(offsets[head], offsets[head + np.uint64(1)]):
                    tail = np.uint64(tails[edge])
                    touched[num_touched] = np.int64(tail)
                    num_touched += marks[tail] != level
                    marks[tail] = level
        num_active = 0
        found = np.uint64(0)
        for place in range(num_touched):
            node = np.uint64(touched[place])
            fresh = np.uint64(0)
            for lane in range(LANES):
                new = grown[node, lane] & ~reached[node, lane]
                reached[node, lane] |= new
                front[node, lane] = new
                grown[node, lane] = np.uint64(0)
                fresh += count_bits(new)
            found += fresh
            active[num_active] = np.int64(node)
            num_active += fresh != 0
        if num_active == 0:
            break
        if level > largest:
            return TOO_FAR
        counts[level] += np.int64(found)
        num_missing -= np.int64(found)
        num_found += np.int64(found)
        if num_looks < most_looks:
            num_looks += num_touched
            if num_looks >= most_looks and num_found < FEW_BITS * num_looks:
                return LONG_PATHS
        if level >> num_planes:
            clear(planes[num_planes], num_nodes)
            num_planes += 1
        for plane in range(num_planes):
            if (level >> plane) & 1:
                for place in range(num_active):
                    node = np.uint64(active[place])
                    for lane in range(LANES):
                        planes[plane, node, lane] |= front[node, lane]
    return num_planes


@compiled
def spread(missing, planes, number, num_planes, columns, line, out, place):
    """Write up to 64 distances, word ``number`` of each plane, to ``out[place:]`` and no further."""
    set_bytes(line, 0, missing, FULL_BYTE)
    for plane in range(min(8, num_planes)):
        add_bytes(line, 0, planes[plane, number], np.uint8(1 << plane))
    if out.itemsize == 1:
        for column in range(columns):
            out[place + column] = line[column]
        return
    set_bytes(line, WORD, missing, FULL_BYTE)
    for plane in range(8, num_planes):
        add_bytes(line, WORD, planes[plane, number], np.uint8(1 << (plane - 8)))
    for column in range(columns):
        out[place + column] = np.uint16(line[column]) | (np.uint16(line[WORD + column]) << np.uint16(8))


@compiled
def write_targets(num_nodes, base, width, num_planes, reached, planes, line, out, start):
    """Spread the bit-sliced distances to one block of targets into the rows of ``out``."""
    words = planes.reshape(planes.shape[0], planes.shape[1] * LANES)
    for node in range(num_nodes):
        for lane in range((width + WORD - 1) // WORD):
            missing = ~reached[node, lane]
            place = start + node * num_nodes + base + lane * WORD
            columns = min(WORD, width - lane * WORD)
            if out.itemsize == 1 and columns == WORD:
                set_bytes(out, place, missing, FULL_BYTE)
                for plane in range(num_planes):
                    add_bytes(out, place, planes[plane, node, lane], np.uint8(1 << plane))
            else:
                spread(missing, words, node * LANES + lane, num_planes, columns, line, out, place)


@compiled
def transpose_bits(square):
    """Turn 64 words of bits in place, in each lane: bit j of word i changes places with bit i of word j.

    The two halves off the diagonal change places, then those of each quarter, down to single bits.
    """
    mask = ~np.uint64(0) >> np.uint64(WORD // 2)
    half = WORD // 2
    while half:
        shift = np.uint64(half)
        for first in range(0, WORD, 2 * half):
            for row in range(first, first + half):
                low = np.uint64(row)
                high = np.uint64(row + half)
                moved0 = ((square[low, 0] >> shift) ^ square[high, 0]) & mask
                moved1 = ((square[low, 1] >> shift) ^ square[high, 1]) & mask
                moved2 = ((square[low, 2] >> shift) ^ square[high, 2]) & mask
                moved3 = ((square[low, 3] >> shift) ^ square[high, 3]) & mask
                square[low, 0] ^= moved0 << shift
                square[low, 1] ^= moved1 << shift
                square[low, 2] ^= moved2 << shift
                square[low, 3] ^= moved3 << shift
                square[high, 0] ^= moved0
                square[high, 1] ^= moved1
                square[high, 2] ^= moved2
                square[high, 3] ^= moved3
        half //= 2
        mask ^= mask << np.uint64(half)


@compiled
def write_sources(num_nodes, width, num_planes, reached, planes, squares, line, out, start):
    """Spread the bit-sliced distances from one block of sources into the rows of ``out[start:]``.

    Squares of 64 nodes by 64 sources are turned, those of all lanes at once, each plane by itself.
    """
    words = squares.reshape(squares.shape[0], WORD * LANES)
    for first in range(0, num_nodes, WORD):
        columns = min(WORD, num_nodes - first)
        for column in range(columns):
            for lane in range(LANES):
                squares[num_planes, column, lane] = ~reached[first + column, lane]
        for plane in range(num_planes):
            for column in range(columns):
                for lane in range(LANES):
                    squares[plane, column, lane] = planes[plane, first + column, lane]
        for plane in range(num_planes + 1):
            transpose_bits(squares[plane])
        for source in range(width):
            number = np.uint64(source % WORD * LANES + source // WORD)
            place = start + source * num_nodes + first
            if out.itemsize == 1 and columns == WORD:
                set_bytes(out, place, words[num_planes, number], FULL_BYTE)
                for plane in range(num_planes):
                    add_bytes(out, place, words[plane, number], np.uint8(1 << plane))
            else:
                spread(words[num_planes, number], words, number, num_planes, columns, line, out, place)


@compiled
def search_buffers(num_nodes, bits):
    """What `search_block` works in: sets, planes, nodes, marks, counts."""
    sets = np.empty((3, num_nodes, LANES), np.uint64)
    # A distance is below the number of nodes, which bounds the planes.
    most_planes = 0
    while most_planes < bits and num_nodes >> most_planes:
        most_planes += 1
    planes = np.empty((most_planes, num_nodes, LANES), np.uint64)
    nodes = np.empty((2, num_nodes + 1), np.int64)
    marks = np.empty(num_nodes, np.int64)
    counts = np.empty(num_nodes, np.int64)
    return sets, planes, nodes, marks, counts


@compiled
def matrix_buffers(most_nodes, bits):
    """What `distances_of_graph` works in, for graphs of at most so many nodes."""
    few_sets = np.empty((3, WORD), np.uint64)
    few_planes = np.empty((bits, WORD), np.uint64)
    sets, planes, nodes, marks, counts = search_buffers(most_nodes if most_nodes > WORD else 0, bits)
    line = np.empty(2 * WORD, np.uint8)
    return few_sets, few_planes, sets, planes, nodes, marks, counts, line


@compiled
def add_counts(num_nodes, counts, histogram):
    """Add the pairs of each level, of which there are fewer than nodes."""
    for level in range(min(num_nodes, len(histogram))):
        histogram[level] += counts[level]


@compiled
def distances_of_graph(
    num_nodes,
    num_edges,
    offsets,
    tails,
    heads,
    limit,
    few_sets,
    few_planes,
    sets,
    planes,
    nodes,
    marks,
    counts,
    line,
    histogram,
    out,
    start,
):
    """Distances of one graph, row-major, into ``out[start:]``; -1 where the type of ``out`` is too small."""
    largest = (1 << (8 * out.itemsize)) - 2
    if num_nodes <= WORD:
        return distances_of_few(
            num_nodes,
            num_edges,
            tails,
            heads,
            limit,
            largest,
            few_sets,
            few_planes,
            histogram,
            line,
            out,
            start,
        )
    counts[:num_nodes] = 0
    for base in range(0, num_nodes, LANES * WORD):
        width = min(LANES * WORD, num_nodes - base)
        num_planes = search_block(
            num_nodes,
            offsets,
            tails,
            limit,
            largest,
            base,
            width,
            sets,
            planes,
            nodes,
            marks,
            counts,
            base == 0,
        )
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


@compiled
def pair_distances(node_counts, edge_counts, src, dst, directed, limit, out, prints, histogram):
    """Distances of many graphs, row-major, one matrix after the other, with each graph's fingerprint.

    ``out`` needs 64 entries more than there are pairs: the last row of a small graph runs over. Returns the
    index of the first graph with a distance that the type of ``out`` cannot hold, -1 where there is none.
    """
    offsets, tails, heads, cursor, words = adjacency_buffers(node_counts, edge_counts)
    few_sets, few_planes, sets, planes, nodes, marks, counts, line = matrix_buffers(
        len(offsets) - 1, 8 * out.itemsize
    )

    first = 0
    start = 0
    for graph in range(len(node_counts)):
        num_nodes = node_counts[graph]
        end = first + edge_counts[graph]
        num_edges = adjacency(
            src[first:end], dst[first:end], directed, num_nodes, offsets, tails, heads, cursor, words
        )
        first = end
        prints[graph] = fingerprint(num_nodes, offsets, tails)
        status = distances_of_graph(
            num_nodes,
            num_edges,
            offsets,
            tails,
            heads,
            limit,
            few_sets,
            few_planes,
            sets,
            planes,
            nodes,
            marks,
            counts,
            line,
            histogram,
            out,
            start,
        )
        if status < 0:
            return graph
        start += num_nodes * num_nodes
    return -1


@compiled
def row_distances(
    node_counts, edge_counts, src, dst, directed, limit, first_row, last_row, out, prints, histogram
):
    """The rows ``first_row .. last_row`` of the distances of one graph, with its fingerprint.

    Returns -1, or 0 where the type of ``out`` cannot hold a distance in these rows.
    """
    num_nodes = node_counts[0]
    offsets, heads, tails, cursor, words = adjacency_buffers(node_counts, edge_counts)
    adjacency(dst, src, directed, num_nodes, offsets, heads, tails, cursor, words)
    prints[0] = fingerprint(num_nodes, offsets, heads, True)
    line = np.empty(2 * WORD, np.uint8)
    bits = 8 * out.itemsize
    largest = (1 << bits) - 2
    sets, planes, nodes, marks, counts = search_buffers(num_nodes, bits)
    squares = np.zeros((bits + 1, WORD, LANES), np.uint64)
    for base in range(first_row, last_row, LANES * WORD):
        width = min(LANES * WORD, last_row - base)
        start = (base - first_row) * num_nodes
        counts[:] = 0
        num_planes = search_block(
            num_nodes,
            offsets,
            heads,
            limit,
            largest,
            base,
            width,
            sets,
            planes,
            nodes,
            marks,
            counts,
            base == first_row,
        )
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
