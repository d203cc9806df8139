# mypy: allow-untyped-defs
"""Single-precision attention over near pairs, one query at a time, in compiled loops.

The channels of a node lie together, those of each head a multiple of eight, the vectors of the loops: of a
pair two short runs of memory are read. Logits and weights of one query stand in rows that are filled up to a
multiple of eight; what the padding holds goes nowhere.
"""

import math

import numpy as np

from gradformer_dgl.attention.dropout_kernel import counters, kept, row_key
from gradformer_dgl.attention.tiles import rounded_up
from gradformer_dgl.compiled import compiled
from gradformer_dgl.prefetch import prefetch
from gradformer_dgl.vector_math import exp_below_one
from gradformer_dgl.vectors import WIDTH, fma, gather, load, spread, store, total

AHEAD = 32
"""Rows of nodes are fetched into the processor's cache so many pairs before they are read."""
_LINE = 16
"""Numbers in a line of that cache."""


@compiled
def _fetch(rows, node, start, stop):
    """Begin to load rows[node, start : stop], of rows without gaps."""
    place = node * rows.shape[1]
    for c in range(start, stop, _LINE):
        prefetch(rows, np.uint64(place + c))


@compiled
def _product(x, i, a, y, j, b, width):
    """Return the scalar product of x[i, a : a + width] and y[j, b : b + width]."""
    sums = load(x, i, a) * load(y, j, b)
    for c in range(WIDTH, width, WIDTH):
        sums = fma(load(x, i, a + c), load(y, j, b + c), sums)
    return total(sums)


@compiled
def _add(factor, x, i, a, y, j, b, width):
    """Add factor * x[i, a : a + width] to y[j, b : b + width]."""
    for c in range(0, width, WIDTH):
        store(y, j, b + c, fma(factor, load(x, i, a + c), load(y, j, b + c)))


@compiled
def _most(indptr):
    """Return the largest number of near nodes of a node, filled up to whole vectors, at least one."""
    most = 1
    for node in range(len(indptr) - 1):
        most = max(most, indptr[node + 1] - indptr[node])
    return rounded_up(most)


@compiled
def _largest(row, head, count):
    """Return the largest of row[head, :count]."""
    top = row[head, 0]
    for t in range(1, count):
        top = max(top, row[head, t])
    return top


@compiled(fastmath=("contract",))
def attend(qkv, indptr, indices, distances, sizes, table, threshold, seed, out, peak, inverse):
    """Compute attention of all graphs.

    Takes qkv (nodes, 3 * channels) and a table that is scaled by 1 / sqrt(head_dim). Writes out (nodes,
    channels), and of every row of logits, the 0 of far pairs among them, the largest and the inverse of the
    sum of weights, peak and inverse (nodes, heads).
    """
    heads, channels = table.shape[0], out.shape[1]
    width, most = channels // heads, _most(indptr)
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    bound = np.int32(np.uint32(threshold))
    weight = np.empty((heads, most), np.float32)
    column = np.zeros((1, most), np.int32)
    values = np.empty(channels, np.float64)
    first = 0
    for graph in range(len(sizes)):
        size = sizes[graph]
        values[:] = 0
        for node in range(first, first + size):
            for c in range(channels):
                values[c] += qkv[node, 2 * channels + c]
        for node in range(first, first + size):
            begin = indptr[node]
            count = indptr[node + 1] - begin
            far = size - count
            for t in range(count):
                if begin + t + AHEAD < len(indices):
                    _fetch(qkv, first + indices[begin + t + AHEAD], channels, 3 * channels)
                column[0, t] = distances[begin + t]
                key = first + indices[begin + t]
                for a in range(0, channels, width):
                    weight[a // width, t] = _product(qkv, node, a, qkv, key, channels + a, width)
            column[0, count : rounded_up(count)] = 0
            for head in range(heads):
                for t in range(0, count, WIDTH):
                    store(weight, head, t, load(weight, head, t) * gather(table, head, load(column, 0, t)))
                weight[head, count : rounded_up(count)] = -np.inf
                top, base = np.float32(-np.inf), np.float32(0)
                if count:
                    top = _largest(weight, head, count)
                if far:
                    # A far pair has the logit 0.
                    top = max(top, np.float32(0))
                    base = np.float32(math.exp(-top))
                sums = spread(np.float32(0))
                counter = counters(0)
                key = row_key(seed, node * heads + head)
                for t in range(0, count, WIDTH):
                    w = exp_below_one(load(weight, head, t) - top)
                    sums = sums + w
                    if threshold:
                        w = w * kept(key, counter, bound, keep_scale)
                        counter = counters(t + WIDTH)
                    store(weight, head, t, w - base)
                peak[node, head] = top
                inverse[node, head] = np.float32(1) / (total(sums) + base * np.float32(far))
                for c in range(head * width, (head + 1) * width):
                    out[node, c] = base * np.float32(values[c])
            for t in range(count):
                value = first + indices[begin + t]
                for a in range(0, channels, width):
                    _add(weight[a // width, t], qkv, value, 2 * channels + a, out, node, a, width)
            for head in range(heads):
                for c in range(head * width, (head + 1) * width):
                    out[node, c] *= inverse[node, head]
        first += size


@compiled(fastmath=("contract",))
def attend_backward(
    qkv,
    indptr,
    indices,
    distances,
    sizes,
    table,
    threshold,
    seed,
    out,
    peak,
    inverse,
    grad_out,
    grad_qkv,
    grad_table,
):
    """Compute the gradients of ``attend``: adds to grad_qkv, and to grad_table (4, heads, columns).

    grad_table has four lanes, to be summed: additions to one number in a row would wait for each other. It
    is empty where the table needs no gradient.
    """
    heads, channels = table.shape[0], out.shape[1]
    width, most = channels // heads, _most(indptr)
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    bound = np.int32(np.uint32(threshold))
    product, grad = np.zeros((heads, most), np.float32), np.zeros((heads, most), np.float32)
    of_table = np.zeros((1, most), np.float32)
    column = np.zeros((1, most), np.int32)
    far_grad = np.empty(channels, np.float64)
    first = 0
    for graph in range(len(sizes)):
        size = sizes[graph]
        far_grad[:] = 0
        for node in range(first, first + size):
            begin = indptr[node]
            count = indptr[node + 1] - begin
            for t in range(count):
                if begin + t + AHEAD < len(indices):
                    _fetch(qkv, first + indices[begin + t + AHEAD], channels, 3 * channels)
                    _fetch(grad_qkv, first + indices[begin + t + AHEAD], channels, 3 * channels)
                column[0, t] = distances[begin + t]
                other = first + indices[begin + t]
                for a in range(0, channels, width):
                    product[a // width, t] = _product(qkv, node, a, qkv, other, channels + a, width)
                    grad[a // width, t] = _product(grad_out, node, a, qkv, other, 2 * channels + a, width)
            column[0, count : rounded_up(count)] = 0
            for head in range(heads):
                a = head * width
                top, by = peak[node, head], inverse[node, head]
                mean = _product(grad_out, node, a, out, node, a, width)
                base = np.float32(math.exp(-top)) * by if size > count else np.float32(0)
                counter = counters(0)
                key = row_key(seed, node * heads + head)
                # What a pair gives: to the table, then to the product of query and key, then to the value.
                for t in range(0, count, WIDTH):
                    p, factor = load(product, head, t), gather(table, head, load(column, 0, t))
                    w, g = exp_below_one(p * factor - top) * by, load(grad, head, t)
                    if threshold:
                        mask = kept(key, counter, bound, keep_scale)
                        counter = counters(t + WIDTH)
                        store(grad, head, t, w * mask - base)
                        g = g * mask
                    else:
                        store(grad, head, t, w - base)
                    grad_logit = w * (g - mean)
                    store(of_table, 0, t, p * grad_logit)
                    store(product, head, t, factor * grad_logit)
                if grad_table.shape[2]:
                    for t in range(count):
                        grad_table[t % 4, head, column[0, t]] += of_table[0, t]
                for c in range(a, a + width):
                    far_grad[c] += base * grad_out[node, c]
            for t in range(count):
                other = first + indices[begin + t]
                for a in range(0, channels, width):
                    head = a // width
                    _add(product[head, t], qkv, other, channels + a, grad_qkv, node, a, width)
                    _add(product[head, t], qkv, node, a, grad_qkv, other, channels + a, width)
                    _add(grad[head, t], grad_out, node, a, grad_qkv, other, 2 * channels + a, width)
        for node in range(first, first + size):
            for c in range(channels):
                grad_qkv[node, 2 * channels + c] += np.float32(far_grad[c])
        first += size
