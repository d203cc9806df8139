"""Vectors in compiled loops, and the small products made of them, against NumPy."""

import numpy as np
import pytest

from gradformer_dgl.jit.compile import jit
from gradformer_dgl.jit.simd import (
    broadcast,
    counting,
    fma,
    gather,
    largest,
    load,
    load_first,
    maximum,
    store,
    store_first,
    total,
    totals,
    where_at_least,
)
from gradformer_dgl.jit.simd_math import exp_below_one
from gradformer_dgl.kernels.attention.matmul_tiles import (
    matmul,
    store_scaled,
    store_tile,
    transpose,
    transposed_matmul,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def of(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@jit
def arithmetic(x, y, out):
    a, b = load(x, 0, 0), load(y, 0, 0)
    store(out, 0, 0, a + b)
    store(out, 1, 0, a - np.float32(2))
    store(out, 2, 0, a * b)
    store(out, 3, 0, a / b)
    store(out, 4, 0, fma(np.float32(3), a, b))
    store(out, 5, 0, fma(a, b, broadcast(np.float32(1))))
    store(out, 6, 0, maximum(a, b))
    out[7, 0] = total(a)


def test_arithmetic(rng):
    x, y, out = of(rng, 1, 8), of(rng, 1, 8), np.zeros((8, 8), np.float32)
    arithmetic(x, y, out)
    a, b = x[0].astype(np.float64), y[0].astype(np.float64)
    expected = np.stack([a + b, a - 2, a * b, a / b, 3 * a + b, a * b + 1, np.maximum(a, b)])
    np.testing.assert_allclose(out[:7], expected, rtol=1e-6, atol=1e-6)
    assert out[7, 0] == pytest.approx(a.sum(), rel=1e-5)


@jit
def larger(x, y, out):
    store(out, 0, 0, maximum(load(x, 0, 0), load(y, 0, 0)))


def test_the_second_of_two_is_the_larger_one_where_there_is_nan():
    x, y, out = np.zeros((1, 8), np.float32), np.ones((1, 8), np.float32), np.zeros((1, 8), np.float32)
    x[0, 0] = y[0, 1] = np.nan
    larger(x, y, out)
    np.testing.assert_array_equal(out[0], [1, np.nan, 1, 1, 1, 1, 1, 1])


@jit
def rows_reduced(x, out):
    rows = load(x, 0, 0), load(x, 1, 0), load(x, 2, 0), load(x, 3, 0)
    others = load(x, 4, 0), load(x, 5, 0), load(x, 6, 0), load(x, 7, 0)
    store(out, 0, 0, totals(*rows, *others))
    for k in range(8):
        out[1, k] = largest(load(x, k, 0))


def test_sums_and_largest_numbers_of_eight_vectors(rng):
    x, out = of(rng, 8, 8), np.zeros((2, 8), np.float32)
    # The largest number of each row is in another place.
    x[np.arange(8), np.arange(8)[::-1]] += 9
    rows_reduced(x, out)
    np.testing.assert_allclose(out[0], x.astype(np.float64).sum(1), rtol=1e-5)
    np.testing.assert_array_equal(out[1], x.max(1))


@jit
def copy_first(x, row, column, count, out):
    store(out, 0, 0, load_first(x, row, column, count))
    store_first(out, 1, 0, load(x, row, column), count)


@pytest.mark.parametrize("count", [-1, 0, 1, 7, 8, 100])
def test_a_part_of_a_vector(rng, count):
    x, out = of(rng, 3, 20), np.full((2, 8), 9, np.float32)
    copy_first(x, 1, 5, count, out)
    some = min(max(count, 0), 8)
    np.testing.assert_array_equal(out[0], [*x[1, 5 : 5 + some], *[0] * (8 - some)])
    np.testing.assert_array_equal(out[1], [*x[1, 5 : 5 + some], *[9] * (8 - some)])


@jit
def look_up(table, row, columns, out):
    store(out, 0, 0, gather(table, row, load(columns, 0, 0)))


def test_gather(rng):
    table, columns = of(rng, 4, 30), rng.integers(0, 30, (1, 8)).astype(np.int32)
    out = np.zeros((1, 8), np.float32)
    look_up(table, 2, columns, out)
    np.testing.assert_array_equal(out[0], table[2, columns[0]])


@jit
def compare(bound, out):
    # -4 to 3, whose negative numbers are the largest when read without a sign.
    store(out, 0, 0, where_at_least(counting() + np.int32(-4), np.int32(bound), np.float32(5)))


@pytest.mark.parametrize("bound", [0, 2, 2**32 - 2])
def test_integers_are_compared_without_a_sign(bound):
    out = np.zeros((1, 8), np.float32)
    compare(np.int32(np.uint32(bound).view(np.int32)), out)
    unsigned = np.arange(-4, 4).astype(np.int32).view(np.uint32)
    np.testing.assert_array_equal(out[0], np.where(unsigned >= bound, 5, 0))


@jit
def exponentials(x, out):
    store(out, 0, 0, exp_below_one(load(x, 0, 0)))


def test_a_vector_has_the_exponentials_of_its_numbers():
    x = np.array([[0, -1e-3, -0.7, -5, -33, -80, -1e30, -np.inf]], np.float32)
    out = np.zeros_like(x)
    exponentials(x, out)
    np.testing.assert_allclose(out[0], np.exp(x[0].astype(np.float64)), rtol=1e-6, atol=1e-37)


@jit
def products(x, transposed, z, row, column, columns, out):
    store_tile(out, 0, 0, matmul(x, 8, x.shape[1], z, row, column, columns))
    store_tile(out, 8, 0, transposed_matmul(transposed, 8, x.shape[1], z, row, column, columns))


@pytest.mark.parametrize("columns", [3, 8])
def test_products(rng, columns):
    x, z, out = of(rng, 16, 13), of(rng, 20, 15), np.zeros((16, 8), np.float32)
    products(x, np.ascontiguousarray(x.T), z, 5, 7, columns, out)
    expected = np.zeros((8, 8))
    expected[:, :columns] = x[8:].astype(np.float64) @ z[5:18, 7 : 7 + columns]
    np.testing.assert_allclose(out, [*expected, *expected], rtol=1e-5, atol=1e-5)


@jit
def store_some(x, rows, columns, scales, adds, out):
    # The tile is x itself: the product with a unit matrix.
    store_scaled(
        out,
        1,
        rows,
        2,
        columns,
        transposed_matmul(np.eye(8, dtype=np.float32), 0, 8, x, 0, 0, 8),
        scales,
        3,
        adds,
    )


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 6), (8, 8), (20, 20)])
def test_a_tile_is_written_where_there_is_room(rng, rows, columns, adds):
    x, scales, out = of(rng, 8, 8), of(rng, 11), of(rng, 10, 11)
    expected = out.copy()
    some = np.s_[1 : 1 + min(rows, 8), 2 : 2 + min(columns, 8)]
    given = (x * scales[3:, None])[: min(rows, 8), : min(columns, 8)]
    expected[some] = given + (expected[some] if adds else 0)
    store_some(x, rows, columns, scales, adds, out)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 8), (9, 3), (23, 16)])
def test_a_matrix_is_transposed(rng, rows, columns):
    x, out = of(rng, 30, 40), np.full((24, 32), 9, np.float32)
    transpose(x, 4, rows, 5, columns, np.float32(0.5), out)
    expected = np.full_like(out, 9)
    expected[: -(-columns // 8) * 8, : -(-rows // 8) * 8] = 0
    expected[:columns, :rows] = 0.5 * x[4 : 4 + rows, 5 : 5 + columns].T
    np.testing.assert_array_equal(out, expected)
