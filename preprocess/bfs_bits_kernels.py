# mypy: ignore-errors
"""Breadth-first search of a block of targets or sources at once, a bit each; see `shortest_paths_kernels`.

The lanes of a block are written out one by one where a loop over them would keep numba from holding them in
registers.
"""

import numpy as np

from gradformer_dgl.graphs.bits_kernels import WORD, add_bytes, count_bits, set_bytes
from gradformer_dgl.jit.compile import jit

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


@jit
def clear(block, num_nodes):
    """Set the first rows of a block of words to zero."""
    for node in range(num_nodes):
        for lane in range(LANES):
            block[node, lane] = np.uint64(0)


@jit
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


@jit
def search_block(num_nodes, offsets, tails, limit, largest, base, width, buffers, trial):
    """Find the bit-sliced distances from all nodes to the targets ``base .. base + width``.

    With the heads of every tail in the place of the tails of every head: from these nodes to all others.
    Only nodes whose sets grew in the last level pass their new bits on, so a long path costs no more per
    level than a short one. The buffers are those of `search_buffers`; the pairs of each level are added to
    its counts. Returns the number of planes, `TOO_FAR` where a distance exceeds ``largest``, or `LONG_PATHS`
    once a ``trial``, which the first block of a graph is enough for, tells that a queue is faster.
    """
    sets, planes, nodes, marks, counts = buffers
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


@jit
def write_line(missing, planes, number, num_planes, columns, line, out, place):
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


@jit
def write_targets(num_nodes, base, width, num_planes, reached, planes, line, out, start):
    """Write the bit-sliced distances to one block of targets as bytes to the rows of ``out``."""
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
                write_line(missing, words, node * LANES + lane, num_planes, columns, line, out, place)


@jit
def transpose_bits(square):
    """Transpose 64 words of bits in place, in each lane: bit j of word i changes places with bit i of word j.

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


@jit
def write_sources(num_nodes, width, num_planes, reached, planes, squares, line, out, start):
    """Write the bit-sliced distances from one block of sources as bytes to the rows of ``out[start:]``.

    Squares of 64 nodes by 64 sources are transposed, those of all lanes at once, each plane by itself.
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
                write_line(words[num_planes, number], words, number, num_planes, columns, line, out, place)


@jit
def search_buffers(num_nodes, bits):
    """Allocate what `search_block` works in: sets, planes, nodes, marks, counts."""
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
