# mypy: allow-untyped-defs
"""Compiled loops of dense attention on the CPU in single precision, one graph and head at a time.

A matrix over pairs has the keys as rows and a tile of queries as columns. So a vector holds eight queries
and one key, and the softmax of eight rows of logits needs no sum within a vector. Rows and columns are
filled up to multiples of eight; results of the padding are not stored.

``fastmath`` is "contract" alone, which makes one instruction of a product and a sum. The rest of it would
let the compiler assume that there is no NaN or infinity, which have to reach the output.
"""

import math

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import (
    WIDTH,
    broadcast,
    fma,
    gather,
    load,
    maximum,
    store,
    total,
    where_equal,
)
from gradformer_dgl.jit.simd_math import exp_below_one
from gradformer_dgl.kernels.attention.dropout_kernel import counters, kept_scale, row_key
from gradformer_dgl.kernels.attention.matmul_tiles import (
    matmul,
    rounded_up,
    store_scaled,
    store_tile,
    transpose,
    transposed_matmul,
)

TILE = 64
"""Most queries of a tile: its matrices over a graph of molecule size then fit into the first-level cache."""

FEW = 16
"""Columns of the table up to which the gradient of each is summed with vector comparisons."""


@jit
def _look_up_columns(values, first, size, start, count, last, column):
    """Set column[key, query] to the table's column of each pair of a tile; return the largest."""
    most = np.int32(0)
    for j in range(size):
        for i in range(count):
            found = np.int32(values[first + (start + i) * size + j])
            column[j, i] = found if found < last else last
        for i in range(count):
            most = max(most, column[j, i])
    return most


@jit
def _add_by_column(x, column, size, count, most, sums):
    """Add x[key, query] to sums[lane, column[key, query]] for all pairs of a tile, in any lane."""
    if most >= FEW:
        for j in range(size):
            for i in range(0, count, WIDTH):
                for k in range(WIDTH):
                    sums[k, column[j, i + k]] += x[j, i + k]
        return
    for c in range(0, most + 1, 4):
        s0 = s1 = s2 = s3 = broadcast(np.float32(0))
        for j in range(size):
            for i in range(0, count, WIDTH):
                y, found = load(x, j, i), load(column, j, i)
                s0 = s0 + where_equal(found, c, y)
                s1 = s1 + where_equal(found, c + 1, y)
                s2 = s2 + where_equal(found, c + 2, y)
                s3 = s3 + where_equal(found, c + 3, y)
        for k, s in enumerate((total(s0), total(s1), total(s2), total(s3))):
            if c + k <= most:
                sums[0, c + k] += s


@jit
def _draw_keys(keys, seed, first, size, heads, head):
    for j in range(size):
        keys[j] = row_key(seed, (first + j) * heads + head)


@jit(fastmath=("contract",))
def attend(qkv, layout, table, dropout, saved):
    """Compute attention of all graphs.

    Takes qkv (nodes, 3 * channels), the heads of each part side by side, layout as values (pairs,), sizes,
    node_start and pair_start (graphs,), a table (heads, columns), and dropout as threshold and seed. Stores
    out (nodes, channels), and the largest logit of each row and one over the sum of its weights, row_max and
    inverse_sum (heads, nodes).
    """
    (values, sizes, node_start, pair_start), (threshold, seed) = layout, dropout
    out, row_max, inverse_sum = saved
    heads, channels = table.shape[0], out.shape[1]
    head_dim = channels // heads
    rows, depth = rounded_up(sizes.max()), rounded_up(head_dim)
    one, scale = np.float32(1), np.float32(1 / math.sqrt(head_dim))
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    bound, last = np.int32(np.uint32(threshold)), np.int32(table.shape[1] - 1)
    key, query = np.zeros((depth, rows), np.float32), np.zeros((depth, TILE), np.float32)
    weight, column = np.zeros((rows, TILE), np.float32), np.zeros((rows, TILE), np.int32)
    stats, keys = np.zeros((2, TILE), np.float32), np.zeros(rows, np.int32)
    for graph in range(len(sizes)):
        size, first = sizes[graph], node_start[graph]
        for start in range(0, size, TILE):
            count, node = min(TILE, size - start), first + start
            _look_up_columns(values, pair_start[graph], size, start, count, last, column)
            for head in range(heads):
                at = head * head_dim
                transpose(qkv, node, count, at, head_dim, scale, query)
                transpose(qkv, first, size, channels + at, head_dim, one, key)
                if threshold:
                    _draw_keys(keys, seed, first, size, heads, head)
                for i in range(0, count, WIDTH):
                    for j in range(0, size, WIDTH):
                        store_tile(weight, j, i, transposed_matmul(key, j, head_dim, query, 0, i, WIDTH))
                    top, sums = broadcast(np.float32(-np.inf)), broadcast(np.float32(0))
                    for j in range(size):
                        logit = load(weight, j, i) * gather(table, head, load(column, j, i))
                        top = maximum(top, logit)
                        store(weight, j, i, logit)
                    counter = counters(start + i)
                    for j in range(size):
                        w = exp_below_one(load(weight, j, i) - top)
                        sums = sums + w
                        if threshold:
                            w = w * kept_scale(keys[j], counter, bound, keep_scale)
                        store(weight, j, i, w)
                    store(stats, 0, i, top)
                    store(stats, 1, i, broadcast(one) / sums)
                for i in range(count):
                    row_max[head, node + i], inverse_sum[head, node + i] = stats[0, i], stats[1, i]
                for i in range(0, count, WIDTH):
                    for c in range(at, at + head_dim, WIDTH):
                        some = at + head_dim - c
                        mixed = transposed_matmul(weight, i, size, qkv, first, 2 * channels + c, some)
                        store_scaled(out, node + i, count - i, c, some, mixed, stats[1], i, False)


@jit(fastmath=("contract",))
def attend_backward(qkv, layout, table, dropout, saved, grad_out, grad_qkv, grad_table):
    """Compute the gradients of ``attend`` from a recomputation of the weights.

    Sets grad_qkv (nodes, 3 * channels), and adds to grad_table (8, heads, columns), which has no columns
    where the table needs no gradient. Its eight lanes are to be summed: consecutive additions to one number
    would wait for each other.
    """
    (values, sizes, node_start, pair_start), (threshold, seed) = layout, dropout
    row_max, inverse_sum = saved
    heads, channels = table.shape[0], grad_out.shape[1]
    head_dim = channels // heads
    rows, depth = rounded_up(sizes.max()), rounded_up(head_dim)
    one, scale = np.float32(1), np.float32(1 / math.sqrt(head_dim))
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    bound, last = np.int32(np.uint32(threshold)), np.int32(table.shape[1] - 1)
    ones, scales = np.ones(rows, np.float32), np.full(rows, scale, np.float32)
    key, value = np.zeros((depth, rows), np.float32), np.zeros((depth, rows), np.float32)
    query, grad = np.zeros((depth, TILE), np.float32), np.zeros((depth, TILE), np.float32)
    product, weight = np.zeros((rows, TILE), np.float32), np.zeros((rows, TILE), np.float32)
    grad_weight, column = np.zeros((rows, TILE), np.float32), np.zeros((rows, TILE), np.int32)
    stats, keys = np.zeros((2, TILE), np.float32), np.zeros(rows, np.int32)
    # With dropout what the values were mixed with differs from the weights.
    undropped = np.zeros((rows, TILE), np.float32) if threshold else weight
    for graph in range(len(sizes)):
        size, first = sizes[graph], node_start[graph]
        for start in range(0, size, TILE):
            count, node = min(TILE, size - start), first + start
            most = _look_up_columns(values, pair_start[graph], size, start, count, last, column)
            for head in range(heads):
                at = head * head_dim
                transpose(qkv, node, count, at, head_dim, scale, query)
                transpose(qkv, first, size, channels + at, head_dim, one, key)
                transpose(qkv, first, size, 2 * channels + at, head_dim, one, value)
                transpose(grad_out, node, count, at, head_dim, one, grad)
                if threshold:
                    _draw_keys(keys, seed, first, size, heads, head)
                for i in range(count, rounded_up(count)):
                    # Columns of padding still hold the tile before: they get no weights and no gradients.
                    stats[0, i] = stats[1, i] = 0
                for i in range(count):
                    stats[0, i], stats[1, i] = row_max[head, node + i], inverse_sum[head, node + i]
                for i in range(0, count, WIDTH):
                    for j in range(0, size, WIDTH):
                        store_tile(product, j, i, transposed_matmul(key, j, head_dim, query, 0, i, WIDTH))
                        store_tile(
                            grad_weight, j, i, transposed_matmul(value, j, head_dim, grad, 0, i, WIDTH)
                        )
                    top, inverse = load(stats, 0, i), load(stats, 1, i)
                    mean, zero = broadcast(np.float32(0)), broadcast(np.float32(0))
                    counter = counters(start + i)
                    for j in range(size):
                        factor, g = gather(table, head, load(column, j, i)), load(grad_weight, j, i)
                        # Rounded as in the forward pass: fused with the difference it would be another logit,
                        # and the largest weight of a row with logits of 1e4 not 1.
                        logit = fma(load(product, j, i), factor, zero)
                        w = exp_below_one(logit - top) * inverse
                        store(undropped, j, i, w)
                        if threshold:
                            mask = kept_scale(keys[j], counter, bound, keep_scale)
                            store(weight, j, i, w * mask)
                            g = g * mask
                            store(grad_weight, j, i, g)
                        mean = fma(w, g, mean)
                    for j in range(size):
                        # The mean of the same numbers: where one weight is 1, the difference is 0.
                        grad_logit = load(undropped, j, i) * (load(grad_weight, j, i) - mean)
                        factor = gather(table, head, load(column, j, i))
                        store(product, j, i, load(product, j, i) * grad_logit)
                        store(grad_weight, j, i, factor * grad_logit)
                if grad_table.shape[2]:
                    _add_by_column(product, column, size, count, most, grad_table[:, head])
                adds = start > 0
                for c in range(at, at + head_dim, WIDTH):
                    some, c_key, c_value = at + head_dim - c, channels + c, 2 * channels + c
                    for i in range(0, count, WIDTH):
                        tile = transposed_matmul(grad_weight, i, size, qkv, first, c_key, some)
                        store_scaled(grad_qkv, node + i, count - i, c, some, tile, scales, i, False)
                    for j in range(0, size, WIDTH):
                        tile = matmul(grad_weight, j, count, qkv, node, c, some)
                        store_scaled(grad_qkv, first + j, size - j, c_key, some, tile, scales, j, adds)
                        tile = matmul(weight, j, count, grad_out, node, c, some)
                        store_scaled(grad_qkv, first + j, size - j, c_value, some, tile, ones, j, adds)
