"""A numba type for a few numbers held in registers, so that a loop over instances needs no memory for what it sums.

LLVM vectorises the innermost loop only. Where that has to be the loop over instances, every sum in it is read and
written once for each term; with the instances in a `Lanes`, the innermost loop is the sum.

What numba has cached of the functions that use this file does not notice when this file changes: touch them.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, overload, register_model

BYTES = 64  # one AVX-512 register, two of AVX2
FLAGS = ("contract", "nsz", "arcp", "reassoc")
intrinsic: Any = extending.intrinsic  # typed as if callers passed the first argument, which numba does


class Lanes(types.Type):
    """BYTES bytes of numbers of one dtype; +, - and * act on each."""

    def __init__(self, dtype):
        self.dtype, self.count = dtype, 8 * BYTES // dtype.bitwidth
        super().__init__(f"Lanes({dtype})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), lanes.count))


def _pointer(context, builder, types_, values):
    """Where array[row, column] is, for a C-contiguous matrix."""
    array = context.make_array(types_[0])(context, builder, values[0])
    row_bytes = builder.extract_value(array.strides, 0)
    column_bytes = builder.mul(values[2], array.itemsize)
    offset = builder.add(builder.mul(values[1], row_bytes), column_bytes)
    vector = context.get_value_type(Lanes(types_[0].dtype))
    return cgutils.pointer_add(builder, array.data, offset, return_type=vector.as_pointer())


@intrinsic
def load(_, array, row, column):
    """array[row, column : column + count]."""

    def code(context, builder, signature, values):
        pointer = _pointer(context, builder, signature.args, values)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.intp, types.intp), code


@intrinsic
def store(_, array, row, column, lanes):
    """array[row, column : column + count] = lanes."""

    def code(context, builder, signature, values):
        pointer = _pointer(context, builder, signature.args, values)
        builder.store(values[3], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), code


@intrinsic
def reciprocal(_, lanes):
    def code(context, builder, signature, values):
        vector = context.get_value_type(lanes)
        return builder.fdiv(ir.Constant(vector, [1.0] * lanes.count), values[0], flags=FLAGS)

    return lanes(lanes), code


def _elementwise(operation, instruction):
    @intrinsic
    def apply(_, a, b):
        def code(context, builder, signature, values):
            return getattr(builder, instruction)(*values, flags=FLAGS)

        return a(a, b), code

    @overload(operation)
    def of_lanes(a, b):
        return (lambda a, b: apply(a, b)) if isinstance(a, Lanes) and a == b else None


for _operation, _instruction in ((operator.mul, "fmul"), (operator.sub, "fsub"), (operator.add, "fadd")):
    _elementwise(_operation, _instruction)
