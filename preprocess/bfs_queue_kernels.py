# mypy: ignore-errors
"""All-pairs shortest paths by breadth-first search with a queue from every source, for graphs of long paths.

The bit-parallel search pays where a node gets many bits at a time. Along a path it gets one or two in each
of very many levels: there it is cheaper to take one source after the other, and only every second one. The
rows of nodes no two of which are neighbours follow from the rest, for the way leads over a neighbour:

    row[v] = 1 + min(row[u] for u in neighbours of v), but 0 at v itself.
"""

import numpy as np

from gradformer_dgl.jit.compile import jit

# What is known of a node's row.
UNDECIDED, SEARCHED, DERIVED = 0, 1, 2


@jit
def reversed_edges(num_nodes, offsets, tails):
    """Return the offsets and heads of the edges by their tails, given tails by head."""
    to_offsets = np.zeros(num_nodes + 1, np.int64)
    heads = np.empty(offsets[num_nodes], np.int32)
    for edge in range(offsets[num_nodes]):
        to_offsets[tails[edge] + 1] += 1
    for node in range(num_nodes):
        to_offsets[node + 1] += to_offsets[node]
    cursor = to_offsets[:-1].copy()
    for head in range(num_nodes):
        for edge in range(offsets[head], offsets[head + 1]):
            tail = np.uint64(tails[edge])
            heads[cursor[tail]] = head
            cursor[tail] += 1
    return to_offsets, heads


@jit
def choose_derived(first_row, last_row, offsets, heads, states):
    """Decide for every row whether it is searched, or derived from rows that are, all of them at hand."""
    for node in range(first_row, last_row):
        states[node] = UNDECIDED
    for node in range(first_row, last_row):
        state = DERIVED if states[node] == UNDECIDED else SEARCHED
        for edge in range(offsets[node], offsets[node + 1]):
            head = heads[edge]
            if not first_row <= head < last_row or states[head] == DERIVED:
                state = SEARCHED
        states[node] = state
        if state == DERIVED:
            for edge in range(offsets[node], offsets[node + 1]):
                states[heads[edge]] = SEARCHED


@jit
def search_row(source, offsets, heads, limit, largest, queue, row, histogram):
    """Search up to ``limit`` hops from one node; return whether all distances fit."""
    one = np.uint64(1)
    unreachable = largest + 1
    row[:] = unreachable
    row[np.uint64(source)] = 0
    histogram[0] += 1
    queue[0] = source
    place = 0
    end = 1
    while place < end:
        node = np.uint64(queue[np.uint64(place)])
        place += 1
        level = np.int64(row[node]) + 1
        if level > limit:
            break
        for edge in range(offsets[node], offsets[node + one]):
            head = np.uint64(heads[np.uint64(edge)])
            if row[head] == unreachable:
                if level > largest:
                    return False
                row[head] = level
                histogram[np.uint64(level)] += 1
                queue[np.uint64(end)] = np.int32(head)
                end += 1
    return True


@jit
def derive_row(node, first_row, num_nodes, offsets, heads, limit, largest, rows, histogram):
    """Derive a row from those of the node's neighbours; return whether all distances fit."""
    unreachable = largest + 1
    row = rows[node - first_row]
    row[:] = unreachable
    for edge in range(offsets[node], offsets[node + 1]):
        other = rows[heads[edge] - first_row]
        for column in range(num_nodes):
            row[column] = min(row[column], other[column])
    # One hop more: the node itself is a hop from its neighbours, and gets its own distance last.
    row[node] = unreachable
    most = min(limit, largest)
    fits = True
    for column in range(num_nodes):
        if row[column] >= most:
            fits &= row[column] == unreachable or limit <= largest
            row[column] = unreachable
        else:
            row[column] += 1
            histogram[row[column]] += 1
    row[node] = 0
    histogram[0] += 1
    return fits


@jit
def queue_rows(num_nodes, offsets, heads, limit, largest, first_row, last_row, histogram, out, start):
    """Write the rows ``first_row .. last_row`` of the distances of one graph to ``out[start:]``.

    ``heads[offsets[v]:offsets[v + 1]]`` are the nodes that have an edge from v. Returns 0, or -1 where a
    distance exceeds ``largest``.
    """
    queue = np.empty(num_nodes, np.int32)
    states = np.empty(num_nodes, np.int8)
    choose_derived(first_row, last_row, offsets, heads, states)
    num_rows = last_row - first_row
    rows = out[start : start + num_rows * num_nodes].reshape(num_rows, num_nodes)
    for node in range(first_row, last_row):
        if states[node] == SEARCHED and not search_row(
            node, offsets, heads, limit, largest, queue, rows[node - first_row], histogram
        ):
            return -1
    for node in range(first_row, last_row):
        if states[node] == DERIVED and not derive_row(
            node, first_row, num_nodes, offsets, heads, limit, largest, rows, histogram
        ):
            return -1
    return 0
