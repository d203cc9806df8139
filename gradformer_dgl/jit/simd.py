# mypy: allow-untyped-defs, disable-error-code="no-untyped-call"
"""SIMD vectors of eight numbers, for functions compiled by Numba.

LLVM vectorises a simple loop by itself. But it does not keep the sums of a matrix product in registers, and
it computes the end of a row that does not fill a vector number by number. The intrinsics of this module say
what a vector is, and mask its end. They can be called in compiled functions only.

Eight numbers of 32 bits are one register of AVX2, half of one of AVX-512, and two of NEON or SSE.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, overload, register_model

from gradformer_dgl.jit.compile import intrinsic

WIDTH = 8
"""Numbers in a vector."""

_INT, _LONG, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_INT, WIDTH), ir.VectorType(_FLOAT, WIDTH)
_ALIGNMENT = ir.Constant(_INT, 4)
_ZEROS = ir.Constant(_FLOATS, None)


class _Floats(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Floats")


class _Ints(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Ints")


floats, ints = _Floats(), _Ints()


@register_model(_Floats)
@register_model(_Ints)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _FLOATS if kind == floats else _INTS)


def _broadcast(builder, number, kind) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, first, ir.Constant(_INTS, None))


def _vector(context, builder, value, kind) -> Any:
    """Return a vector as it is, and a number as a vector that has it in all places."""
    if kind in (floats, ints):
        return value
    if isinstance(kind, types.Float):
        return _broadcast(builder, context.cast(builder, value, kind, types.float32), _FLOATS)
    return _broadcast(builder, context.cast(builder, value, kind, types.int32), _INTS)


def _address(context, builder, kind, array_types, array, further=0) -> Any:
    """Return a pointer to ``array[row + further, column]``, as one to a vector that begins there.

    The array is given with its row and its column, values and types.
    """
    (array_type, *index_types), (array, *indices) = array_types, array
    row, column = (
        context.cast(builder, index, kind, types.intp)
        for index, kind in zip(indices, index_types, strict=True)
    )
    place = (builder.add(row, ir.Constant(_LONG, further)), column)
    view = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, place, wraparound=False)
    return builder.bitcast(pointer, kind.as_pointer())


def _first(context, builder, count, kind) -> Any:
    """Return the mask of the first ``count`` places."""
    bound = _vector(context, builder, count, kind)
    return builder.icmp_signed("<", ir.Constant(_INTS, list(range(WIDTH))), bound)


def _call(builder, name, result, *operands) -> Any:
    kind = ir.FunctionType(result, [each.type for each in operands])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)


def _exchanged(builder, x, y, half) -> tuple[Any, Any]:
    """Return two vectors in which blocks of ``half`` numbers of x and y have changed places."""
    low = [k - half + WIDTH if k & half else k for k in range(WIDTH)]
    high = [k + WIDTH if k & half else k + half for k in range(WIDTH)]
    first, second = (builder.shuffle_vector(x, y, ir.Constant(_INTS, order)) for order in (low, high))
    return first, second


def _rotated(builder, x, half) -> Any:
    """Return a vector rotated by ``half`` places."""
    return builder.shuffle_vector(x, x, ir.Constant(_INTS, [(k + half) % WIDTH for k in range(WIDTH)]))


def _larger(builder, x, y) -> Any:
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _masked_load(builder, pointer, mask) -> Any:
    return _call(builder, "llvm.masked.load.v8f32.p0", _FLOATS, pointer, _ALIGNMENT, mask, _ZEROS)


@intrinsic
def load(typing, array, row, column):
    """Return ``array[row, column : column + 8]`` of a float32 or int32 array."""
    is_float = array.dtype == types.float32

    def build(context, builder, signature, args):
        kind = _FLOATS if is_float else _INTS
        return builder.load(_address(context, builder, kind, signature.args, args), align=4)

    return (floats if is_float else ints)(array, row, column), build


@intrinsic
def load_first(typing, array, row, column, count):
    """Return ``array[row, column : column + count]`` of a float32 array and zeros; no more is read."""

    def build(context, builder, signature, args):
        pointer = _address(context, builder, _FLOATS, signature.args[:3], args[:3])
        return _masked_load(builder, pointer, _first(context, builder, args[3], count))

    return floats(array, row, column, count), build


@intrinsic
def store(typing, array, row, column, x):
    """Set ``array[row, column : column + 8]``."""

    def build(context, builder, signature, args):
        pointer = _address(context, builder, args[3].type, signature.args[:3], args[:3])
        builder.store(args[3], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, row, column, x), build


@intrinsic
def store_first(typing, array, row, column, x, count):
    """Set ``array[row, column : column + count]`` of a float32 array to the first numbers of a vector."""

    def build(context, builder, signature, args):
        pointer = _address(context, builder, _FLOATS, signature.args[:3], args[:3])
        mask = _first(context, builder, args[4], count)
        _call(builder, "llvm.masked.store.v8f32.p0", ir.VoidType(), args[3], pointer, _ALIGNMENT, mask)
        return context.get_dummy_value()

    return types.void(array, row, column, x, count), build


@intrinsic
def gather(typing, table, row, columns):
    """Return ``table[row, columns]`` of a float32 array, for a vector of integers that are not negative."""

    def build(context, builder, signature, args):
        start = ir.Constant(_LONG, 0)
        base = _address(context, builder, _FLOAT, (table, row, types.intp), (*args[:2], start))
        found = ir.Constant(_FLOATS, ir.Undefined)
        for k in range(WIDTH):
            place = ir.Constant(_INT, k)
            column = builder.zext(builder.extract_element(args[2], place), _LONG)
            found = builder.insert_element(found, builder.load(builder.gep(base, [column])), place)
        return found

    return floats(table, row, columns), build


@intrinsic
def transpose_tile(typing, source, row, column, rows, columns, scale, target, target_row, target_column):
    """Store eight rows of eight numbers, times ``scale``, in the target as columns.

    They begin at ``source[row, column]``; only the first ``rows`` and ``columns`` are read, the others are 0.
    Both arrays are float32.
    """

    def build(context, builder, signature, args):
        read = _first(context, builder, args[4], columns)
        count = context.cast(builder, args[3], rows, types.int32)
        factor = _broadcast(builder, args[5], _FLOATS)
        vectors = []
        for k in range(WIDTH):
            pointer = _address(context, builder, _FLOATS, signature.args[:3], args[:3], k)
            there = builder.icmp_signed("<", ir.Constant(_INT, k), count)
            mask = builder.select(there, read, ir.Constant(read.type, None))
            vectors.append(builder.fmul(_masked_load(builder, pointer, mask), factor))
        # Blocks of four by four change places, then those of two by two within them, then single numbers.
        for half in (4, 2, 1):
            for k in range(WIDTH):
                if not k & half:
                    vectors[k], vectors[k + half] = _exchanged(builder, vectors[k], vectors[k + half], half)
        for k, vector in enumerate(vectors):
            pointer = _address(context, builder, _FLOATS, signature.args[6:], args[6:], k)
            builder.store(vector, pointer, align=4)
        return context.get_dummy_value()

    kinds = (source, row, column, rows, columns, scale, target, target_row, target_column)
    return types.void(*kinds), build


@intrinsic
def broadcast(typing, number):
    """Return a vector that has one number in all places."""

    def build(context, builder, signature, args):
        return _vector(context, builder, args[0], number)

    return (floats if isinstance(number, types.Float) else ints)(number), build


@intrinsic
def counting(typing):
    """Return the vector of the integers 0 to 7."""

    def build(context, builder, signature, args):
        return ir.Constant(_INTS, list(range(WIDTH)))

    return ints(), build


@intrinsic
def total(typing, x):
    """Return the sum of the eight numbers."""

    def build(context, builder, signature, args):
        sums = args[0]
        for half in (4, 2, 1):
            sums = builder.fadd(sums, _rotated(builder, sums, half))
        return builder.extract_element(sums, ir.Constant(_INT, 0))

    return types.float32(x), build


@intrinsic
def totals(typing, a, b, c, d, e, f, g, h):
    """Return the vector of the sums of eight vectors."""

    def build(context, builder, signature, args):
        sums = list(args)
        for half in (4, 2, 1):
            pairs = zip(sums[:half], sums[half:], strict=True)
            sums = [builder.fadd(*_exchanged(builder, x, y, half)) for x, y in pairs]
        return sums[0]

    return floats(a, b, c, d, e, f, g, h), build


@intrinsic
def largest(typing, x):
    """Return the largest of the eight numbers; with NaN among them, any."""

    def build(context, builder, signature, args):
        top = args[0]
        for half in (4, 2, 1):
            top = _larger(builder, top, _rotated(builder, top, half))
        return builder.extract_element(top, ir.Constant(_INT, 0))

    return types.float32(x), build


@intrinsic
def fma(typing, x, y, z):
    """Return x * y + z for vectors, x a vector or a number."""

    def build(context, builder, signature, args):
        left = _vector(context, builder, args[0], x)
        return _call(builder, "llvm.fmuladd.v8f32", _FLOATS, left, args[1], args[2])

    return floats(x, y, z), build


@intrinsic
def maximum(typing, x, y):
    """Return the larger one in every place, and y where one of them is NaN; x may be a number."""

    def build(context, builder, signature, args):
        left = _vector(context, builder, args[0], x) if y == floats else args[0]
        return _larger(builder, left, args[1])

    return y(x, y), build


@intrinsic
def where_equal(typing, x, number, y):
    """Return y in places where an integer is equal to a number, and 0 elsewhere."""

    def build(context, builder, signature, args):
        equal = builder.icmp_signed("==", args[0], _vector(context, builder, args[1], number))
        return builder.select(equal, args[2], _ZEROS)

    return floats(x, number, y), build


@intrinsic
def where_at_least(typing, x, bound, number):
    """Return a number in places where x, read as unsigned integers, reaches a bound, and 0 elsewhere."""

    def build(context, builder, signature, args):
        reached = builder.icmp_unsigned(">=", args[0], _vector(context, builder, args[1], bound))
        return builder.select(reached, _vector(context, builder, args[2], number), _ZEROS)

    return floats(x, bound, number), build


@intrinsic
def where_negative(typing, x, y, z):
    """Return y in places where x is below 0, and z elsewhere; z may be a number."""

    def build(context, builder, signature, args):
        negative = builder.fcmp_ordered("<", args[0], _ZEROS)
        return builder.select(negative, args[1], _vector(context, builder, args[2], z))

    return floats(x, y, z), build


# A function of these and of operators serves single numbers as well.


@intrinsic
def truncated(typing, x):
    """Return numbers without their fractions, as integers."""
    result, kind = (ints, _INTS) if x == floats else (types.int32, _INT)

    def build(context, builder, signature, args):
        return builder.fptosi(args[0], kind)

    return result(x), build


@intrinsic
def as_floats(typing, x):
    """Return the numbers that are equal to integers."""
    result, kind = (floats, _FLOATS) if x == ints else (types.float32, _FLOAT)

    def build(context, builder, signature, args):
        return builder.sitofp(args[0], kind)

    return result(x), build


@intrinsic
def from_bits(typing, x):
    """Return the numbers whose bits are those of integers."""
    result, kind = (floats, _FLOATS) if x == ints else (types.float32, _FLOAT)

    def build(context, builder, signature, args):
        bits = args[0] if x == ints else context.cast(builder, args[0], x, types.int32)
        return builder.bitcast(bits, kind)

    return result(x), build


def _define(symbol, of_floats, of_ints) -> None:
    """Give vectors an operator, the left side a vector, the right one a vector or a number."""

    @intrinsic
    def apply(typing, x, y):
        def build(context, builder, signature, args):
            right = _vector(context, builder, args[1], y)
            if x == ints:
                return getattr(builder, of_ints)(args[0], right)
            return getattr(builder, of_floats)(args[0], right, flags=("contract",))

        return x(x, y), build

    @overload(symbol)
    def choose(x, y):
        if (x == floats and of_floats) or (x == ints and of_ints):
            return lambda x, y: apply(x, y)
        return None


_define(operator.add, "fadd", "add")
_define(operator.sub, "fsub", "sub")
_define(operator.mul, "fmul", "mul")
_define(operator.truediv, "fdiv", None)
_define(operator.xor, None, "xor")
_define(operator.lshift, None, "shl")
_define(operator.rshift, None, "lshr")
