# mypy: allow-untyped-defs
"""Matrix products in tiles of eight rows by eight columns, whose sums stay in registers.

A tile is a tuple of eight vectors. They are named one by one, because Numba keeps names in registers, but
the elements of an array in memory.
"""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import WIDTH, broadcast, fma, load_first, store, store_first, transpose_tile


@jit
def rounded_up(count):
    """Return the next multiple of eight."""
    return (count + WIDTH - 1) // WIDTH * WIDTH


@jit
def transposed_matmul(x, a, inner, z, row, column, columns):
    """Return x[:inner, a : a + 8].T @ z[row : row + inner, column : column + columns], columns <= 8."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = broadcast(np.float32(0))
    for b in range(inner):
        y = load_first(z, row + b, column, columns)
        s0 = fma(x[b, a], y, s0)
        s1 = fma(x[b, a + 1], y, s1)
        s2 = fma(x[b, a + 2], y, s2)
        s3 = fma(x[b, a + 3], y, s3)
        s4 = fma(x[b, a + 4], y, s4)
        s5 = fma(x[b, a + 5], y, s5)
        s6 = fma(x[b, a + 6], y, s6)
        s7 = fma(x[b, a + 7], y, s7)
    return s0, s1, s2, s3, s4, s5, s6, s7


@jit
def matmul(x, a, inner, z, row, column, columns):
    """Return x[a : a + 8, :inner] @ z[row : row + inner, column : column + columns], columns <= 8."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = broadcast(np.float32(0))
    for b in range(inner):
        y = load_first(z, row + b, column, columns)
        s0 = fma(x[a, b], y, s0)
        s1 = fma(x[a + 1, b], y, s1)
        s2 = fma(x[a + 2, b], y, s2)
        s3 = fma(x[a + 3, b], y, s3)
        s4 = fma(x[a + 4, b], y, s4)
        s5 = fma(x[a + 5, b], y, s5)
        s6 = fma(x[a + 6, b], y, s6)
        s7 = fma(x[a + 7, b], y, s7)
    return s0, s1, s2, s3, s4, s5, s6, s7


@jit
def store_tile(y, row, column, tile):
    """Store a tile in y[row : row + 8, column : column + 8]."""
    s0, s1, s2, s3, s4, s5, s6, s7 = tile
    store(y, row, column, s0)
    store(y, row + 1, column, s1)
    store(y, row + 2, column, s2)
    store(y, row + 3, column, s3)
    store(y, row + 4, column, s4)
    store(y, row + 5, column, s5)
    store(y, row + 6, column, s6)
    store(y, row + 7, column, s7)


@jit
def _store_row(y, row, column, columns, x, scale, adds):
    x = x * scale
    if adds:
        x = x + load_first(y, row, column, columns)
    store_first(y, row, column, x, columns)


@jit
def store_scaled(y, row, rows, column, columns, tile, scales, a, adds):
    """Store a tile, its row k times scales[a + k], in y, or add it; at most ``rows`` by ``columns`` of it."""
    s0, s1, s2, s3, s4, s5, s6, s7 = tile
    _store_row(y, row, column, columns, s0, scales[a], adds)
    if rows > 1:
        _store_row(y, row + 1, column, columns, s1, scales[a + 1], adds)
    if rows > 2:
        _store_row(y, row + 2, column, columns, s2, scales[a + 2], adds)
    if rows > 3:
        _store_row(y, row + 3, column, columns, s3, scales[a + 3], adds)
    if rows > 4:
        _store_row(y, row + 4, column, columns, s4, scales[a + 4], adds)
    if rows > 5:
        _store_row(y, row + 5, column, columns, s5, scales[a + 5], adds)
    if rows > 6:
        _store_row(y, row + 6, column, columns, s6, scales[a + 6], adds)
    if rows > 7:
        _store_row(y, row + 7, column, columns, s7, scales[a + 7], adds)


@jit
def transpose(x, row, rows, column, columns, scale, y):
    """Set y[c, i] to scale * x[row + i, column + c], and the rest of the last tiles to 0."""
    for i in range(0, rows, WIDTH):
        for c in range(0, columns, WIDTH):
            transpose_tile(x, row + i, column + c, rows - i, columns - c, scale, y, c, i)
