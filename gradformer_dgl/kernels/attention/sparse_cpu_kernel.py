# mypy: allow-untyped-defs
"""Compiled loops of sparse attention on the CPU in single precision, eight pairs of a query at a time.

The channels of a node lie together, those of each head filled up to a multiple of eight. The nodes of a row
lie anywhere in memory, so that loading them takes most of the time: a pass reads all channels of a pair
once, for all heads, and prefetches those of the pairs ahead. The softmax is therefore an online one: it
knows the largest logit so far, and scales down what it has summed where a larger one follows.

As in ``ragged_cpu_kernel``, ``fastmath`` is "contract" alone: NaN and infinity have to reach the output.
"""

import math

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.prefetch import prefetch
from gradformer_dgl.jit.simd import WIDTH, broadcast, fma, gather, largest, load, store, total, totals
from gradformer_dgl.jit.simd_math import exp_below_one
from gradformer_dgl.kernels.attention.dropout_kernel import counters, kept_scale, row_key

AHEAD = 16
"""Pairs between the prefetch of a node's row and its use."""
_LINE = 16
"""Numbers in a cache line of 64 bytes."""


@jit
def _take(indices, distances, begin, end, first, others, column):
    """Copy the nodes and distances of up to eight pairs to ``others`` and ``column``; return their number.

    The last pair fills the places that are left, so that vectors read nodes that exist.
    """
    for k in range(WIDTH):
        pair = min(begin + k, end - 1)
        others[k] = first + indices[pair]
        column[0, k] = distances[pair]
    return min(WIDTH, end - begin)


@jit
def _prefetch(rows, indices, begin, count, first):
    """Prefetch the keys and values of ``count`` pairs, ``AHEAD`` pairs after ``begin``."""
    channels = rows.shape[1] // 3
    for pair in range(begin + AHEAD, min(begin + AHEAD + count, len(indices))):
        place = (first + indices[pair]) * rows.shape[1]
        for c in range(channels, 3 * channels, _LINE):
            prefetch(rows, np.uint64(place + c))


@jit
def _product(x, y, i, a, width):
    """Return the scalar product of x[i, a : a + width] and y[i, a : a + width]."""
    sums = load(x, i, a) * load(y, i, a)
    for c in range(a + WIDTH, a + width, WIDTH):
        sums = fma(load(x, i, c), load(y, i, c), sums)
    return total(sums)


@jit
def _products(x, i, a, y, rows, b, width):
    """Return the scalar products of x[i, a : a + width] and y[rows[k], b : b + width] of eight rows."""
    left = load(x, i, a)
    s0 = left * load(y, rows[0], b)
    s1 = left * load(y, rows[1], b)
    s2 = left * load(y, rows[2], b)
    s3 = left * load(y, rows[3], b)
    s4 = left * load(y, rows[4], b)
    s5 = left * load(y, rows[5], b)
    s6 = left * load(y, rows[6], b)
    s7 = left * load(y, rows[7], b)
    for c in range(WIDTH, width, WIDTH):
        left = load(x, i, a + c)
        s0 = fma(left, load(y, rows[0], b + c), s0)
        s1 = fma(left, load(y, rows[1], b + c), s1)
        s2 = fma(left, load(y, rows[2], b + c), s2)
        s3 = fma(left, load(y, rows[3], b + c), s3)
        s4 = fma(left, load(y, rows[4], b + c), s4)
        s5 = fma(left, load(y, rows[5], b + c), s5)
        s6 = fma(left, load(y, rows[6], b + c), s6)
        s7 = fma(left, load(y, rows[7], b + c), s7)
    return totals(s0, s1, s2, s3, s4, s5, s6, s7)


@jit
def _add(factor, x, y, j, b):
    """Add factor * x to y[j, b : b + 8]."""
    store(y, j, b, fma(factor, x, load(y, j, b)))


@jit
def _draw_keys(keys, seed, node):
    for head in range(len(keys)):
        keys[head] = row_key(seed, node * len(keys) + head)


@jit(fastmath=("contract",))
def attend(qkv, pairs, table, dropout, saved):
    """Compute attention of all graphs.

    Takes qkv (nodes, 3 * channels), pairs as indptr (nodes + 1,), indices, distances (pairs,) and sizes
    (graphs,), a table (heads, columns) that is scaled by 1 / sqrt(head_dim), and dropout as threshold and
    seed. Stores out (nodes, channels), and the largest logit of each row, the 0 of far pairs among them, and
    one over the sum of its weights, row_max and inverse_sum (nodes, heads).
    """
    (indptr, indices, distances, sizes), (threshold, seed) = pairs, dropout
    out, row_max, inverse_sum = saved
    heads, channels = table.shape[0], out.shape[1]
    width = channels // heads
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    bound = np.int32(np.uint32(threshold))
    others, column = np.empty(WIDTH, np.int64), np.empty((1, WIDTH), np.int32)
    weight, sums = np.empty((1, WIDTH), np.float32), np.empty((heads, WIDTH), np.float32)
    keys, values = np.empty(heads, np.int32), np.empty(channels, np.float64)
    first = 0
    for graph in range(len(sizes)):
        size = sizes[graph]
        values[:] = 0
        for node in range(first, first + size):
            for c in range(channels):
                values[c] += qkv[node, 2 * channels + c]
        for node in range(first, first + size):
            begin, end = indptr[node], indptr[node + 1]
            far = size - (end - begin)
            # A far pair has the logit 0: it takes part in the row's largest logit where there is one.
            row_max[node] = 0 if far else -np.inf
            out[node], sums[:] = 0, 0
            if threshold:
                _draw_keys(keys, seed, node)
            for t in range(begin, end, WIDTH):
                count = _take(indices, distances, t, end, first, others, column)
                _prefetch(qkv, indices, t, count, first)
                counter = counters(t - begin)
                for head in range(heads):
                    a = head * width
                    logit = _products(qkv, node, a, qkv, others, channels + a, width)
                    logit = fma(logit, gather(table, head, load(column, 0, 0)), broadcast(np.float32(0)))
                    if count < WIDTH:
                        store(weight, 0, 0, logit)
                        weight[0, count:] = -np.inf
                        logit = load(weight, 0, 0)
                    top, high = row_max[node, head], largest(logit)
                    if high > top:
                        shrunk = np.float32(math.exp(top - high))
                        store(sums, head, 0, load(sums, head, 0) * shrunk)
                        for c in range(a, a + width):
                            out[node, c] *= shrunk
                        row_max[node, head] = top = high
                    base = np.float32(math.exp(-top)) if far else np.float32(0)
                    w = exp_below_one(logit - top)
                    store(sums, head, 0, load(sums, head, 0) + w)
                    if threshold:
                        w = w * kept_scale(keys[head], counter, bound, keep_scale)
                    store(weight, 0, 0, w - base)
                    for c in range(a, a + width, WIDTH):
                        mixed = load(out, node, c)
                        for k in range(count):
                            mixed = fma(weight[0, k], load(qkv, others[k], 2 * channels + c), mixed)
                        store(out, node, c, mixed)
            for head in range(heads):
                base = np.float32(math.exp(-row_max[node, head])) if far else np.float32(0)
                inverse = np.float32(1) / (total(load(sums, head, 0)) + base * np.float32(far))
                inverse_sum[node, head] = inverse
                for c in range(head * width, (head + 1) * width):
                    out[node, c] = (out[node, c] + base * np.float32(values[c])) * inverse
        first += size


@jit(fastmath=("contract",))
def attend_backward(qkv, pairs, table, dropout, saved, grad_out, grad_qkv, grad_table):
    """Compute the gradients of ``attend`` from a recomputation of the weights.

    Adds to grad_qkv (nodes, 3 * channels), and to grad_table (4, heads, columns), which has no columns where
    the table needs no gradient. Its four lanes are to be summed: consecutive additions to one number would
    wait for each other.
    """
    (indptr, indices, distances, sizes), (threshold, seed) = pairs, dropout
    out, row_max, inverse_sum = saved
    heads, channels = table.shape[0], out.shape[1]
    width = channels // heads
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    bound = np.int32(np.uint32(threshold))
    others, column = np.empty(WIDTH, np.int64), np.empty((1, WIDTH), np.int32)
    of_value, of_product = np.empty((1, WIDTH), np.float32), np.empty((1, WIDTH), np.float32)
    of_table = np.empty((1, WIDTH), np.float32)
    mean, base = np.empty(heads, np.float32), np.empty(heads, np.float32)
    keys, far_grad = np.empty(heads, np.int32), np.empty(channels, np.float64)
    first = 0
    for graph in range(len(sizes)):
        size = sizes[graph]
        far_grad[:] = 0
        for node in range(first, first + size):
            begin, end = indptr[node], indptr[node + 1]
            for head in range(heads):
                a = head * width
                mean[head], base[head] = _product(grad_out, out, node, a, width), 0
                if size > end - begin:
                    base[head] = np.float32(math.exp(-row_max[node, head])) * inverse_sum[node, head]
                for c in range(a, a + width):
                    far_grad[c] += base[head] * grad_out[node, c]
            if threshold:
                _draw_keys(keys, seed, node)
            for t in range(begin, end, WIDTH):
                count = _take(indices, distances, t, end, first, others, column)
                _prefetch(qkv, indices, t, count, first)
                _prefetch(grad_qkv, indices, t, count, first)
                counter = counters(t - begin)
                for head in range(heads):
                    a = head * width
                    product = _products(qkv, node, a, qkv, others, channels + a, width)
                    g = _products(grad_out, node, a, qkv, others, 2 * channels + a, width)
                    factor = gather(table, head, load(column, 0, 0))
                    # Rounded as in the forward pass; fused with the difference it would be another logit.
                    logit = fma(product, factor, broadcast(np.float32(0)))
                    w = exp_below_one(logit - row_max[node, head]) * inverse_sum[node, head]
                    # The gradients of the value, of the product of query and key, and of the table.
                    if threshold:
                        mask = kept_scale(keys[head], counter, bound, keep_scale)
                        store(of_value, 0, 0, w * mask - base[head])
                        g = g * mask
                    else:
                        store(of_value, 0, 0, w - base[head])
                    grad_logit = w * (g - mean[head])
                    store(of_product, 0, 0, factor * grad_logit)
                    if grad_table.shape[2]:
                        store(of_table, 0, 0, product * grad_logit)
                        for k in range(count):
                            grad_table[k % 4, head, column[0, k]] += of_table[0, k]
                    for c in range(a, a + width, WIDTH):
                        query, grad = load(qkv, node, c), load(grad_out, node, c)
                        mixed = load(grad_qkv, node, c)
                        for k in range(count):
                            mixed = fma(of_product[0, k], load(qkv, others[k], channels + c), mixed)
                            _add(of_product[0, k], query, grad_qkv, others[k], channels + c)
                            _add(of_value[0, k], grad, grad_qkv, others[k], 2 * channels + c)
                        store(grad_qkv, node, c, mixed)
        for node in range(first, first + size):
            for c in range(channels):
                grad_qkv[node, 2 * channels + c] += np.float32(far_grad[c])
        first += size
