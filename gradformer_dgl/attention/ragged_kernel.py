# mypy: allow-untyped-defs
"""Single-precision attention over one graph and head at a time, in matrices that stay in cache.

Within a tile of queries a matrix over pairs has the keys as rows and the queries as columns, so that
softmax, dropout and the decay run along rows that the compiler turns into vector instructions. Rows
and columns are padded with zeros to a few fixed multiples, so that no loop has a remainder.
"""

import math

import numpy as np

from gradformer_dgl.compiled import compiled
from gradformer_dgl.vector_math import exp_below_one, scrambled

TILE = 64
"""Most queries at a time: a tile over graphs of molecule size then fits the first-level cache."""


@compiled(fastmath=("contract",))
def _multiply(x, z, y, rows, inner, width):
    """Set y[:rows, :width] = x[:rows, :inner] @ z[:inner, :width]; rows by fours, inner by twos."""
    for a in range(0, rows, 4):
        for i in range(width):
            y[a, i] = 0
            y[a + 1, i] = 0
            y[a + 2, i] = 0
            y[a + 3, i] = 0
        for b in range(0, inner, 2):
            p0, p1 = x[a, b], x[a, b + 1]
            q0, q1 = x[a + 1, b], x[a + 1, b + 1]
            r0, r1 = x[a + 2, b], x[a + 2, b + 1]
            s0, s1 = x[a + 3, b], x[a + 3, b + 1]
            for i in range(width):
                z0, z1 = z[b, i], z[b + 1, i]
                y[a, i] += p0 * z0 + p1 * z1
                y[a + 1, i] += q0 * z0 + q1 * z1
                y[a + 2, i] += r0 * z0 + r1 * z1
                y[a + 3, i] += s0 * z0 + s1 * z1


@compiled(fastmath=("contract",))
def _multiply_turned(x, z, y, rows, inner, width):
    """Set y[:rows, :width] = x[:inner, :rows].T @ z[:inner, :width]; rows by fours, inner by twos."""
    for a in range(0, rows, 4):
        for i in range(width):
            y[a, i] = 0
            y[a + 1, i] = 0
            y[a + 2, i] = 0
            y[a + 3, i] = 0
        for b in range(0, inner, 2):
            p0, q0, r0, s0 = x[b, a], x[b, a + 1], x[b, a + 2], x[b, a + 3]
            p1, q1, r1, s1 = x[b + 1, a], x[b + 1, a + 1], x[b + 1, a + 2], x[b + 1, a + 3]
            for i in range(width):
                z0, z1 = z[b, i], z[b + 1, i]
                y[a, i] += p0 * z0 + p1 * z1
                y[a + 1, i] += q0 * z0 + q1 * z1
                y[a + 2, i] += r0 * z0 + r1 * z1
                y[a + 3, i] += s0 * z0 + s1 * z1


@compiled
def _row_key(seed, row):
    """Return 32 random bits for a row of pairs (SplitMix64)."""
    x = np.uint64(seed) + np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)
    return np.uint32(scrambled(x) >> np.uint64(32))


@compiled
def _keep_or_drop(mask, key, first, width, threshold, scale):
    """Set mask[i] to 0 with the probability threshold / 2^32 and else to scale, by a counter's hash."""
    for i in range(width):
        x = np.uint32(key ^ np.uint32(np.uint32(first + i) * np.uint32(0x9E3779B9)))
        x = np.uint32(x ^ (x >> np.uint32(16)))
        x = np.uint32(x * np.uint32(0x7FEB352D))
        x = np.uint32(x ^ (x >> np.uint32(15)))
        x = np.uint32(x * np.uint32(0x846CA68B))
        x = np.uint32(x ^ (x >> np.uint32(16)))
        mask[i] = scale if x >= threshold else np.float32(0.0)


@compiled
def _copy(source, first, count, target, width, scale):
    """Copy the columns of ``count`` nodes, scaled, and zero the columns up to ``width``."""
    for c in range(source.shape[0]):
        for j in range(count):
            target[c, j] = scale * source[c, first + j]
        for j in range(count, width):
            target[c, j] = 0


@compiled
def _add(source, scale, target, first, count):
    """Add the first ``count`` columns, scaled, to the columns of as many nodes."""
    for c in range(target.shape[0]):
        for j in range(count):
            target[c, first + j] += scale * source[c, j]


@compiled
def _look_up_columns(values, first, size, start, count, last, column):
    """Fill column[key, query] with the column of the table that a tile's pairs have."""
    for j in range(size):
        for i in range(count):
            found = np.int32(values[first + (start + i) * size + j])
            column[j, i] = found if found < last else last
        for i in range(count, column.shape[1]):
            column[j, i] = last


@compiled
def _turn(x, y, rows, width, y_width):
    """Set y[:width, :y_width] to the transpose of x[:rows, :width], filled up with zeros."""
    for j in range(rows):
        for i in range(width):
            y[i, j] = x[j, i]
    for i in range(width):
        for j in range(rows, y_width):
            y[i, j] = 0


@compiled
def _up(count, multiple):
    return (count + multiple - 1) // multiple * multiple


@compiled(fastmath=("contract",))
def attend(qkv, values, sizes, node_start, pair_start, table, threshold, seed, out, log_sum):
    """Compute attention of all graphs.

    Takes qkv (3, heads, head_dim, nodes); writes out (heads, head_dim, nodes), log_sum (heads, nodes).
    """
    heads, head_dim = qkv.shape[1], qkv.shape[2]
    rows, channels = _up(sizes.max(), 4), _up(head_dim, 4)
    one, scale = np.float32(1), np.float32(1 / math.sqrt(head_dim))
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    last = np.int32(table.shape[1] - 1)
    key, value = np.zeros((channels, rows), np.float32), np.zeros((channels, rows), np.float32)
    query, mixed = np.zeros((channels, TILE), np.float32), np.zeros((channels, TILE), np.float32)
    weight = np.zeros((rows, TILE), np.float32)
    column = np.zeros((rows, TILE), np.int32)
    top, total, mask = np.zeros(TILE, np.float32), np.zeros(TILE, np.float32), np.ones(TILE, np.float32)
    for graph in range(len(sizes)):
        size, first = sizes[graph], node_start[graph]
        rows = _up(size, 4)
        for start in range(0, size, TILE):
            count = min(TILE, size - start)
            width = _up(count, 16)
            _look_up_columns(values, pair_start[graph], size, start, count, last, column)
            for head in range(heads):
                factor = table[head]
                _copy(qkv[0, head], first + start, count, query, width, scale)
                _copy(qkv[1, head], first, size, key, rows, one)
                _copy(qkv[2, head], first, size, value, rows, one)
                _multiply_turned(key, query, weight, rows, channels, width)
                for i in range(width):
                    top[i] = -np.inf
                    total[i] = 0
                for j in range(size):
                    for i in range(width):
                        weight[j, i] *= factor[column[j, i]]
                    for i in range(width):
                        top[i] = weight[j, i] if weight[j, i] > top[i] else top[i]
                for j in range(size):
                    for i in range(width):
                        weight[j, i] = exp_below_one(weight[j, i] - top[i])
                    for i in range(width):
                        total[i] += weight[j, i]
                    if threshold:
                        row = _row_key(seed, (first + j) * heads + head)
                        _keep_or_drop(mask, row, start, width, threshold, keep_scale)
                        for i in range(width):
                            weight[j, i] *= mask[i]
                for j in range(size, rows):
                    for i in range(width):
                        weight[j, i] = 0
                _multiply(value, weight, mixed, channels, rows, width)
                for i in range(count):
                    log_sum[head, first + start + i] = top[i] + np.float32(math.log(total[i]))
                    total[i] = one / total[i]
                for c in range(head_dim):
                    for i in range(count):
                        out[head, c, first + start + i] = mixed[c, i] * total[i]


@compiled(fastmath=("contract",))
def attend_backward(
    qkv,
    values,
    sizes,
    node_start,
    pair_start,
    table,
    threshold,
    seed,
    log_sum,
    grad_out,
    grad_qkv,
    grad_table,
):
    """Compute the gradients of ``attend``: adds to grad_qkv, and to grad_table (4, heads, columns).

    grad_table has four lanes, to be summed: additions to one number in a row would wait for each other. It
    is empty where the table needs no gradient.
    """
    heads, head_dim = qkv.shape[1], qkv.shape[2]
    # Keys stand in columns, too. An odd number of cache lines in a row: with a power of 2, what is read
    # together would fall into few sets of the cache, and push itself out.
    rows, channels = (_up(sizes.max(), 16) // 16 | 1) * 16, _up(head_dim, 4)
    one, scale = np.float32(1), np.float32(1 / math.sqrt(head_dim))
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    last = np.int32(table.shape[1] - 1)
    key, value = np.zeros((channels, rows), np.float32), np.zeros((channels, rows), np.float32)
    query, grad = np.zeros((channels, TILE), np.float32), np.zeros((channels, TILE), np.float32)
    product, factors = np.zeros((rows, TILE), np.float32), np.zeros((rows, TILE), np.float32)
    weight, grad_weight = np.zeros((rows, TILE), np.float32), np.zeros((rows, TILE), np.float32)
    turned = np.zeros((TILE, rows), np.float32)
    grad_query, grad_key = np.zeros((channels, TILE), np.float32), np.zeros((channels, rows), np.float32)
    column = np.zeros((rows, TILE), np.int32)
    log_total, mean, mask = np.zeros(TILE, np.float32), np.zeros(TILE, np.float32), np.ones(TILE, np.float32)
    for graph in range(len(sizes)):
        size, first = sizes[graph], node_start[graph]
        rows, key_width = _up(size, 4), _up(size, 16)
        for start in range(0, size, TILE):
            count = min(TILE, size - start)
            width = _up(count, 16)
            _look_up_columns(values, pair_start[graph], size, start, count, last, column)
            for head in range(heads):
                factor = table[head]
                _copy(qkv[0, head], first + start, count, query, width, scale)
                _copy(qkv[1, head], first, size, key, rows, one)
                _copy(qkv[2, head], first, size, value, rows, one)
                _copy(grad_out[head], first + start, count, grad, width, one)
                _multiply_turned(key, query, product, rows, channels, width)
                _multiply_turned(value, grad, grad_weight, rows, channels, width)
                for i in range(width):
                    log_total[i] = log_sum[head, first + start + i] if i < count else np.float32(0)
                    mean[i] = 0
                for j in range(size):
                    for i in range(width):
                        factors[j, i] = factor[column[j, i]]
                    for i in range(width):
                        weight[j, i] = exp_below_one(product[j, i] * factors[j, i] - log_total[i])
                    for i in range(width):
                        product[j, i] *= weight[j, i]
                    for i in range(width):
                        factors[j, i] *= weight[j, i]
                    if threshold:
                        row = _row_key(seed, (first + j) * heads + head)
                        _keep_or_drop(mask, row, start, width, threshold, keep_scale)
                        for i in range(width):
                            grad_weight[j, i] *= mask[i]
                    for i in range(width):
                        mean[i] += weight[j, i] * grad_weight[j, i]
                    if threshold:
                        for i in range(width):
                            weight[j, i] *= mask[i]
                _turn(weight, turned, size, width, key_width)
                _multiply(grad, turned, grad_key, channels, width, key_width)
                _add(grad_key, one, grad_qkv[2, head], first, size)
                for j in range(size):
                    for i in range(width):
                        grad_weight[j, i] -= mean[i]
                    for i in range(width):
                        product[j, i] *= grad_weight[j, i]
                    for i in range(width):
                        factors[j, i] *= grad_weight[j, i]
                for j in range(size, rows):
                    for i in range(width):
                        factors[j, i] = 0
                if grad_table.shape[2]:
                    for j in range(size):
                        for i in range(0, width, 4):
                            grad_table[0, head, column[j, i]] += product[j, i]
                            grad_table[1, head, column[j, i + 1]] += product[j, i + 1]
                            grad_table[2, head, column[j, i + 2]] += product[j, i + 2]
                            grad_table[3, head, column[j, i + 3]] += product[j, i + 3]
                _multiply(key, factors, grad_query, channels, rows, width)
                _add(grad_query, scale, grad_qkv[0, head], first + start, count)
                _turn(factors, turned, size, width, key_width)
                _multiply(query, turned, grad_key, channels, width, key_width)
                _add(grad_key, one, grad_qkv[1, head], first, size)
