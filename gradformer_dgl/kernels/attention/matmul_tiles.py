# mypy: allow-untyped-defs
"""Products of small matrices, eight rows by eight columns at a time, whose sums stay in registers."""

import numpy as np

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import WIDTH, fma, load_first, spread, store, store_first, transpose


@jit
def rounded_up(count):
    """Return the next multiple of eight."""
    return (count + WIDTH - 1) // WIDTH * WIDTH


@jit
def transposed_times(x, a, inner, z, row, column, columns):
    """Return x[:inner, a : a + 8].T @ z[row : row + inner, column : column + columns], columns <= 8."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(np.float32(0))
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
def times(x, a, inner, z, row, column, columns):
    """Return x[a : a + 8, :inner] @ z[row : row + inner, column : column + columns], columns <= 8."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = spread(np.float32(0))
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
def put(y, row, column, tile):
    """Set y[row : row + 8, column : column + 8]."""
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
def _put_row(y, row, column, columns, x, scale, adds):
    x = x * scale
    if adds:
        x = x + load_first(y, row, column, columns)
    store_first(y, row, column, x, columns)


@jit
def put_scaled(y, row, rows, column, columns, tile, scales, a, adds):
    """Set, or add to, y[row : row + rows, column : column + columns], rows times scales[a : a + rows]."""
    s0, s1, s2, s3, s4, s5, s6, s7 = tile
    _put_row(y, row, column, columns, s0, scales[a], adds)
    if rows > 1:
        _put_row(y, row + 1, column, columns, s1, scales[a + 1], adds)
    if rows > 2:
        _put_row(y, row + 2, column, columns, s2, scales[a + 2], adds)
    if rows > 3:
        _put_row(y, row + 3, column, columns, s3, scales[a + 3], adds)
    if rows > 4:
        _put_row(y, row + 4, column, columns, s4, scales[a + 4], adds)
    if rows > 5:
        _put_row(y, row + 5, column, columns, s5, scales[a + 5], adds)
    if rows > 6:
        _put_row(y, row + 6, column, columns, s6, scales[a + 6], adds)
    if rows > 7:
        _put_row(y, row + 7, column, columns, s7, scales[a + 7], adds)


@jit
def turn(x, row, rows, column, columns, scale, y):
    """Set y[c, i] to scale * x[row + i, column + c], and to 0 beyond the rows and columns, up to eights."""
    for i in range(0, rows, WIDTH):
        for c in range(0, columns, WIDTH):
            transpose(x, row + i, column + c, rows - i, columns - c, scale, y, c, i)
