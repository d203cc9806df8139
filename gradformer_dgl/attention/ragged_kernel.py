"""Single-precision attention over one graph and head at a time, in matrices that stay in cache.

Within a tile of queries a matrix over pairs has the keys as rows and the queries as columns, so that
softmax, dropout and the decay run along rows that the compiler turns into vector instructions. Rows
and columns are padded with zeros to a few fixed multiples, so that no loop has a remainder.
"""

import math

import numpy as np

from gradformer_dgl.compiled import compiled

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
def _exp(x):
    """Return e^x for x <= 0 (to rounding), without a call that would keep a loop from vector form."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    power = np.int32(x * np.float32(1.4426950408889634) - np.float32(0.5))
    k = np.float32(power)
    # ln 2 in two parts, the first exact in few bits.
    r = (x - k * np.float32(0.693359375)) - k * np.float32(-2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * r + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + np.float32(5.0000001201e-1)
    y = y * r * r + r + np.float32(1.0)
    return y * np.int32((power + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def _row_key(seed, row):
    """Return 32 random bits for a row of pairs (SplitMix64)."""
    x = np.uint64(seed) + np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.uint32((x ^ (x >> np.uint64(31))) >> np.uint64(32))


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
def _copy_rows(source, first, count, part, head, target, rows):
    """Copy one head's channels of ``count`` nodes to the rows of a matrix, zero the other rows."""
    channels = source.shape[3]
    for j in range(count):
        for c in range(channels):
            target[j, c] = source[first + j, part, head, c]
    for j in range(count, rows):
        for c in range(target.shape[1]):
            target[j, c] = 0


@compiled
def _copy_columns(source, first, count, part, head, target, width, scale):
    """Copy one head's channels of ``count`` nodes to the columns of a matrix, zero the other columns."""
    for c in range(source.shape[3]):
        for j in range(count):
            target[c, j] = scale * source[first + j, part, head, c]
        for j in range(count, width):
            target[c, j] = 0


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
def _up(count, multiple):
    return (count + multiple - 1) // multiple * multiple


@compiled(fastmath=("contract",))
def attend(qkv, values, sizes, node_start, pair_start, table, threshold, seed, out, log_sum):
    """Compute attention of all graphs; writes out (nodes, heads, head_dim) and log_sum (nodes, heads)."""
    heads, head_dim = qkv.shape[2], qkv.shape[3]
    largest = sizes.max()
    rows, channels = _up(largest, 4), _up(head_dim, 4)
    scale = np.float32(1 / math.sqrt(head_dim))
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    last = np.int32(table.shape[1] - 1)
    key = np.zeros((rows, channels), np.float32)
    value_t = np.zeros((channels, rows), np.float32)
    query_t = np.zeros((channels, TILE), np.float32)
    logits = np.zeros((rows, TILE), np.float32)
    out_t = np.zeros((channels, TILE), np.float32)
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
                _copy_rows(qkv, first, size, 1, head, key, rows)
                _copy_columns(qkv, first, size, 2, head, value_t, rows, np.float32(1))
                _copy_columns(qkv, first + start, count, 0, head, query_t, width, scale)
                _multiply(key, query_t, logits, rows, channels, width)
                for i in range(width):
                    top[i] = -np.inf
                    total[i] = 0
                for j in range(size):
                    for i in range(width):
                        logit = logits[j, i] * factor[column[j, i]]
                        logits[j, i] = logit
                        top[i] = logit if logit > top[i] else top[i]
                for j in range(size):
                    if threshold:
                        row = _row_key(seed, (first + j) * heads + head)
                        _keep_or_drop(mask, row, start, width, threshold, keep_scale)
                    for i in range(width):
                        weight = _exp(logits[j, i] - top[i])
                        total[i] += weight
                        logits[j, i] = weight * mask[i]
                for j in range(size, rows):
                    for i in range(width):
                        logits[j, i] = 0
                _multiply(value_t, logits, out_t, channels, rows, width)
                for i in range(count):
                    node = first + start + i
                    log_sum[node, head] = top[i] + np.float32(math.log(total[i]))
                    share = np.float32(1) / total[i]
                    for c in range(head_dim):
                        out[node, head, c] = out_t[c, i] * share


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
    heads, head_dim = qkv.shape[2], qkv.shape[3]
    largest = sizes.max()
    # One matrix has the keys as columns.
    rows, channels = _up(largest, 16), _up(head_dim, 4)
    scale = np.float32(1 / math.sqrt(head_dim))
    keep_scale = np.float32(2.0**32 / (2.0**32 - threshold))
    last = np.int32(table.shape[1] - 1)
    key, value = np.zeros((rows, channels), np.float32), np.zeros((rows, channels), np.float32)
    key_t = np.zeros((channels, rows), np.float32)
    query_t, grad_t = np.zeros((channels, TILE), np.float32), np.zeros((channels, TILE), np.float32)
    product, factors = np.zeros((rows, TILE), np.float32), np.zeros((rows, TILE), np.float32)
    weight, grad_weight = np.zeros((rows, TILE), np.float32), np.zeros((rows, TILE), np.float32)
    turned = np.zeros((TILE, rows), np.float32)
    grad_query_t = np.zeros((channels, TILE), np.float32)
    grad_key_t = np.zeros((channels, rows), np.float32)
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
                _copy_rows(qkv, first, size, 1, head, key, rows)
                _copy_rows(qkv, first, size, 2, head, value, rows)
                _copy_columns(qkv, first, size, 1, head, key_t, rows, np.float32(1))
                _copy_columns(qkv, first + start, count, 0, head, query_t, width, scale)
                _copy_columns(grad_out, first + start, count, 0, head, grad_t, width, np.float32(1))
                _multiply(key, query_t, product, rows, channels, width)
                _multiply(value, grad_t, grad_weight, rows, channels, width)
                for i in range(width):
                    log_total[i] = log_sum[first + start + i, head] if i < count else np.float32(0)
                    mean[i] = 0
                for j in range(size):
                    for i in range(width):
                        factors[j, i] = factor[column[j, i]]
                    if threshold:
                        row = _row_key(seed, (first + j) * heads + head)
                        _keep_or_drop(mask, row, start, width, threshold, keep_scale)
                    for i in range(width):
                        p = _exp(product[j, i] * factors[j, i] - log_total[i])
                        g = grad_weight[j, i] * mask[i]
                        mean[i] += p * g
                        grad_weight[j, i] = g
                        factors[j, i] *= p
                        weight[j, i] = p * mask[i]
                        product[j, i] *= p
                for j in range(size):
                    for i in range(width):
                        turned[i, j] = weight[j, i]
                for i in range(width):
                    for j in range(size, key_width):
                        turned[i, j] = 0
                _multiply(grad_t, turned, grad_key_t, channels, width, key_width)
                for j in range(size):
                    for c in range(head_dim):
                        grad_qkv[first + j, 2, head, c] += grad_key_t[c, j]
                for j in range(size):
                    for i in range(width):
                        g = grad_weight[j, i] - mean[i]
                        product[j, i] *= g
                        factors[j, i] *= g
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
                _multiply(key_t, factors, grad_query_t, channels, rows, width)
                for i in range(count):
                    for c in range(head_dim):
                        grad_qkv[first + start + i, 0, head, c] += grad_query_t[c, i] * scale
                for j in range(size):
                    for i in range(width):
                        turned[i, j] = factors[j, i]
                _multiply(query_t, turned, grad_key_t, channels, width, key_width)
                for j in range(size):
                    for c in range(head_dim):
                        grad_qkv[first + j, 1, head, c] += grad_key_t[c, j]
