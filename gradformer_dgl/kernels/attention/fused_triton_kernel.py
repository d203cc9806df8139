# mypy: ignore-errors
"""Triton kernels of dense decay attention: one program per head and tile of nodes of one graph.

A tile pairs TILE queries with TILE keys. The factors of the logits are gathered from the head's row of the
table by the distances as they lie in memory, and only row statistics outlive a tile. Nodes and channels are
padded to the tile with zeros. A padded key has the weight 0; a padded query attends to the real keys like
any other, so that no row is without a key and none becomes NaN.

Logarithms are to the base 2, for which there is an instruction. An item of the work list is the
first node of a graph, its number of nodes, the tile's first node within it and the graph's first pair.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
NO_COLUMN = tl.constexpr(2**31 - 1)
# The fewest that pass the batteries of tests (Salmon et al., 2011).
ROUNDS = tl.constexpr(7)


@triton.jit
def _item(items, number):
    item = items + 4 * number
    size, start = tl.load(item + 1).to(tl.int32), tl.load(item + 2).to(tl.int32)
    return tl.load(item), size, start, tl.load(item + 3)


@triton.jit
def _load(start, nodes, real, STRIDE: tl.constexpr, HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr):
    channels = tl.arange(0, CHANNELS)
    mask = real[:, None] & (channels < HEAD_DIM)[None, :]
    return tl.load(start + nodes[:, None] * STRIDE + channels[None, :], mask, other=0.0)


@triton.jit
def _store(start, nodes, real, rows, STRIDE: tl.constexpr, HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr):
    channels = tl.arange(0, CHANNELS)
    mask = real[:, None] & (channels < HEAD_DIM)[None, :]
    tl.store(start + nodes[:, None] * STRIDE + channels[None, :], rows.to(start.dtype.element_ty), mask)


@triton.jit
def _product(x, y):
    # IEEE single precision, as the dense reference has it: not TF32.
    return tl.dot(x, y, input_precision="ieee")


@triton.jit
def _columns(values, size, queries, keys, last):
    """Return the table's column of each pair of a tile and the mask of real pairs, both (TILE, TILE)."""
    real = (queries < size)[:, None] & (keys < size)[None, :]
    distances = tl.load(values + queries.to(tl.int64)[:, None] * size + keys[None, :], real, other=0)
    return tl.minimum(distances.to(tl.int32), last), real


@triton.jit
def _stays(seed, threshold, head, nodes, begin, TILE: tl.constexpr):
    """Draw the dropout mask of a tile, (TILE, TILE), from a Philox counter of query, key and head.

    Query and head are words of the counter, so that no two of them share a draw. A draw of four
    words serves four neighbouring keys.
    """
    zeros = tl.zeros((TILE, TILE // 4), tl.uint32)
    queries = zeros + nodes.to(tl.uint32)[:, None]
    fours = zeros + (begin // 4 + tl.arange(0, TILE // 4)).to(tl.uint32)[None, :]
    a, b, c, d = tl.philox(seed, queries, fours, zeros + head.to(tl.uint32), zeros, ROUNDS)
    bits = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (TILE, TILE))
    return bits >= threshold.to(tl.uint32)


@triton.jit
def _scale(threshold):
    return 4294967296.0 / (4294967296.0 - threshold.to(tl.float32))


@triton.jit(do_not_specialize=["last", "seed", "threshold"])
def attend(
    qkv,
    values,
    table,
    items,
    last,
    seed,
    threshold,
    out,
    log_sum,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """Compute attention of one tile of queries with all keys of their graph.

    Takes qkv (nodes, 3, heads, head_dim), values (pairs,), table (heads, last + 1) and items (items, 4).
    Stores out (nodes, heads, head_dim) and log_sum (nodes, heads).
    """
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    head = tl.program_id(0) % HEADS
    first, size, start, first_pair = _item(items, tl.program_id(0) // HEADS)
    qkv += head * HEAD_DIM
    queries = start + tl.arange(0, TILE)
    query = _load(qkv, first + queries, queries < size, 3 * WIDTH, HEAD_DIM, CHANNELS)
    top = tl.full((TILE,), float("-inf"), tl.float32)
    total = tl.zeros((TILE,), tl.float32)
    mixed = tl.zeros((TILE, CHANNELS), tl.float32)
    for begin in range(0, size, TILE):
        keys = begin + tl.arange(0, TILE)
        key = _load(qkv + WIDTH, first + keys, keys < size, 3 * WIDTH, HEAD_DIM, CHANNELS)
        value = _load(qkv + 2 * WIDTH, first + keys, keys < size, 3 * WIDTH, HEAD_DIM, CHANNELS)
        column, _ = _columns(values + first_pair, size, queries, keys, last)
        factor = tl.load(table + head * (last + 1) + column).to(tl.float32)
        logits = _product(query, tl.trans(key)) * (HEAD_DIM**-0.5 * LOG2_E) * factor
        logits = tl.where((keys < size)[None, :], logits, float("-inf"))
        higher = tl.maximum(top, tl.max(logits, 1))
        shrink = tl.exp2(top - higher)
        weights = tl.exp2(logits - higher[:, None])
        total = total * shrink + tl.sum(weights, 1)
        if DROPOUT:
            stays = _stays(seed, threshold, head, first + queries, begin, TILE)
            weights = tl.where(stays, weights, 0.0)
        mixed = mixed * shrink[:, None] + _product(weights.to(value.dtype), value)
        top = higher
    mixed /= total[:, None]
    if DROPOUT:
        mixed *= _scale(threshold)
    _store(out + head * HEAD_DIM, first + queries, queries < size, mixed, WIDTH, HEAD_DIM, CHANNELS)
    tl.store(log_sum + (first + queries) * HEADS + head, top + tl.log2(total), queries < size)


@triton.jit
def _backward_tile(
    query,
    key,
    value,
    grad,
    log_total,
    mean,
    values,
    table,
    size,
    queries,
    keys,
    last,
    seed,
    threshold,
    head,
    first,
    begin,
    HEAD_DIM: tl.constexpr,
    TILE: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """Recompute a tile: column, product, factor, dropped weights and gradient of the logits, (TILE, TILE)."""
    column, real = _columns(values, size, queries, keys, last)
    factor = tl.load(table + column).to(tl.float32)
    product = _product(query, tl.trans(key)) * (HEAD_DIM**-0.5)
    logits = product * factor * LOG2_E - log_total[:, None]
    weights = tl.exp2(tl.where(real, logits, float("-inf")))
    grad_weights = _product(grad, tl.trans(value))
    dropped = weights
    if DROPOUT:
        stays = tl.where(_stays(seed, threshold, head, first + queries, begin, TILE), _scale(threshold), 0.0)
        dropped = weights * stays
        grad_weights *= stays
    grad_logits = weights * (grad_weights - mean[:, None])
    return tl.where(real, column, NO_COLUMN), product, factor, dropped, grad_logits


@triton.jit(do_not_specialize=["last", "seed", "threshold", "lanes"])
def attend_backward_queries(
    qkv,
    values,
    table,
    items,
    last,
    seed,
    threshold,
    out,
    log_sum,
    grad_out,
    grad_qkv,
    mean,
    grad_table,
    lanes,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    DROPOUT: tl.constexpr,
    TABLE: tl.constexpr,
):
    """Compute the gradients of one tile of queries, and what it adds to that of the table.

    Stores the queries' part of grad_qkv (nodes, 3, heads, head_dim) and mean (nodes, heads), the sum of
    out * grad_out over channels; adds to grad_table (lanes, heads, last + 1) if TABLE.
    """
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    number, head = tl.program_id(0) // HEADS, tl.program_id(0) % HEADS
    first, size, start, first_pair = _item(items, number)
    qkv += head * HEAD_DIM
    table += head * (last + 1)
    # 64 bits: lanes x heads x columns may exceed 32.
    grad_table += ((number % lanes).to(tl.int64) * HEADS + head) * (last + 1)
    queries = start + tl.arange(0, TILE)
    inside = queries < size
    query = _load(qkv, first + queries, inside, 3 * WIDTH, HEAD_DIM, CHANNELS)
    grad = _load(grad_out + head * HEAD_DIM, first + queries, inside, WIDTH, HEAD_DIM, CHANNELS)
    mixed = _load(out + head * HEAD_DIM, first + queries, inside, WIDTH, HEAD_DIM, CHANNELS)
    log_total = tl.load(log_sum + (first + queries) * HEADS + head, inside, other=0.0)
    row_mean = tl.sum(grad.to(tl.float32) * mixed.to(tl.float32), 1)
    tl.store(mean + (first + queries) * HEADS + head, row_mean, inside)
    grad_query = tl.zeros((TILE, CHANNELS), tl.float32)
    for begin in range(0, size, TILE):
        keys = begin + tl.arange(0, TILE)
        key = _load(qkv + WIDTH, first + keys, keys < size, 3 * WIDTH, HEAD_DIM, CHANNELS)
        value = _load(qkv + 2 * WIDTH, first + keys, keys < size, 3 * WIDTH, HEAD_DIM, CHANNELS)
        column, product, factor, _, grad_logits = _backward_tile(
            query,
            key,
            value,
            grad,
            log_total,
            row_mean,
            values + first_pair,
            table,
            size,
            queries,
            keys,
            last,
            seed,
            threshold,
            head,
            first,
            begin,
            HEAD_DIM,
            TILE,
            DROPOUT,
        )
        grad_query += _product((grad_logits * factor).to(key.dtype), key)
        if TABLE:
            # A tile holds few different distances: one sum and one addition for each of them.
            per_pair = grad_logits * product
            distance = tl.min(tl.min(column, 1), 0)
            while distance < NO_COLUMN:
                part = tl.sum(tl.sum(tl.where(column == distance, per_pair, 0.0), 1), 0)
                tl.atomic_add(grad_table + distance, part, sem="relaxed")
                distance = tl.min(tl.min(tl.where(column > distance, column, NO_COLUMN), 1), 0)
    grad_query *= HEAD_DIM**-0.5
    _store(grad_qkv + head * HEAD_DIM, first + queries, inside, grad_query, 3 * WIDTH, HEAD_DIM, CHANNELS)


@triton.jit(do_not_specialize=["last", "seed", "threshold"])
def attend_backward_keys(
    qkv,
    values,
    table,
    items,
    last,
    seed,
    threshold,
    log_sum,
    grad_out,
    grad_qkv,
    mean,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    DROPOUT: tl.constexpr,
):
    """Compute the gradients of one tile of keys and of their values.

    Takes mean as ``attend_backward_queries`` stores it; stores the other two parts of grad_qkv.
    """
    WIDTH: tl.constexpr = HEADS * HEAD_DIM
    head = tl.program_id(0) % HEADS
    first, size, start, first_pair = _item(items, tl.program_id(0) // HEADS)
    qkv += head * HEAD_DIM
    keys = start + tl.arange(0, TILE)
    inside = keys < size
    key = _load(qkv + WIDTH, first + keys, inside, 3 * WIDTH, HEAD_DIM, CHANNELS)
    value = _load(qkv + 2 * WIDTH, first + keys, inside, 3 * WIDTH, HEAD_DIM, CHANNELS)
    grad_key = tl.zeros((TILE, CHANNELS), tl.float32)
    grad_value = tl.zeros((TILE, CHANNELS), tl.float32)
    for begin in range(0, size, TILE):
        queries = begin + tl.arange(0, TILE)
        query = _load(qkv, first + queries, queries < size, 3 * WIDTH, HEAD_DIM, CHANNELS)
        grad = _load(grad_out + head * HEAD_DIM, first + queries, queries < size, WIDTH, HEAD_DIM, CHANNELS)
        statistic = (first + queries) * HEADS + head
        _, _, factor, dropped, grad_logits = _backward_tile(
            query,
            key,
            value,
            grad,
            tl.load(log_sum + statistic, queries < size, other=0.0),
            tl.load(mean + statistic, queries < size, other=0.0),
            values + first_pair,
            table + head * (last + 1),
            size,
            queries,
            keys,
            last,
            seed,
            threshold,
            head,
            first,
            start,
            HEAD_DIM,
            TILE,
            DROPOUT,
        )
        grad_value += _product(tl.trans(dropped).to(grad.dtype), grad)
        grad_key += _product(tl.trans(grad_logits * factor).to(query.dtype), query)
    grad_key *= HEAD_DIM**-0.5
    grad_qkv += head * HEAD_DIM
    _store(grad_qkv + WIDTH, first + keys, inside, grad_key, 3 * WIDTH, HEAD_DIM, CHANNELS)
    _store(grad_qkv + 2 * WIDTH, first + keys, inside, grad_value, 3 * WIDTH, HEAD_DIM, CHANNELS)
