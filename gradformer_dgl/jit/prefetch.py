# mypy: ignore-errors
"""Prefetching in compiled loops, for memory that is read in no order that the processor could guess."""

from llvmlite import ir
from numba import types

from gradformer_dgl.jit.compile import intrinsic


@intrinsic
def prefetch(typingctx, array, place):
    """Begin to load ``array[place]`` into the processor's cache, for when it is needed soon."""
    if not isinstance(array, types.Array) or not isinstance(place, types.Integer):
        return None

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        # To read, in all levels of the cache, as data.
        builder.call(function, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate
