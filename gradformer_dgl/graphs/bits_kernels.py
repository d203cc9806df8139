# mypy: ignore-errors
"""Machine operations on 64-bit words that Python has no name for."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WORD = 64


@intrinsic
def count_bits(typingctx, word):
    """Return the number of set bits of a uint64."""
    if word != types.uint64:
        return None

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def lowest_bit(typingctx, word):
    """Return the index of the lowest set bit of a non-zero uint64."""
    if word != types.uint64:
        return None

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def bits_to_bytes(lanes, keep):
    """Make an operation on the bytes ``array[offset : offset + lanes]``, one for each of the word's low bits.

    ``operation(array, offset, word, value)`` sets the bytes of the set bits to ``value`` and the others to
    0, or, with ``keep``, adds ``value`` to what is there. One vector select, no loop over bits.
    """

    @intrinsic
    def operation(typingctx, array, offset, word, value):
        # Typed for wider integers too: kernels branch on the item size, and both branches get compiled.
        if not isinstance(array, types.Array) or not isinstance(array.dtype, types.Integer):
            return None

        def generate(context, builder, signature, arguments):
            byte = ir.IntType(8)
            vector = ir.VectorType(byte, lanes)
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            place = builder.gep(builder.bitcast(data, byte.as_pointer()), [arguments[1]])
            place = builder.bitcast(place, vector.as_pointer())
            bits = builder.bitcast(
                builder.trunc(arguments[2], ir.IntType(lanes)) if lanes < WORD else arguments[2],
                ir.VectorType(ir.IntType(1), lanes),
            )
            undefined = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(undefined, arguments[3], ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            splat = builder.shuffle_vector(first, undefined, zeros)
            chosen = builder.select(bits, splat, ir.Constant(vector, [0] * lanes))
            if keep:
                chosen = builder.or_(chosen, builder.load(place, align=1))
            builder.store(chosen, place, align=1)
            return context.get_dummy_value()

        return types.void(array, types.intp, types.uint64, types.uint8), generate

    return operation


set_bytes = bits_to_bytes(64, keep=False)
add_bytes = bits_to_bytes(64, keep=True)
set_bytes_of_half = bits_to_bytes(32, keep=False)
add_bytes_of_half = bits_to_bytes(32, keep=True)
