"""Sixteen numbers as one value, inside Numba kernels: explicit vectors where the compiler would not find them.

``Floats`` holds 16 float32, ``Ints`` 16 int32, ``Mask`` 16 truth values. They live in registers: a kernel loads them
from arrays of shape [n, 16] whose rows are 64-byte aligned, computes with the ordinary operators (a plain number stands
for 16 equal ones), and stores them again. LLVM makes of this one AVX-512 instruction an operation, or two of AVX2, or
four of NEON: one source for every processor, and no compiler on the user's machine.

Sixteen floats are one cache line, and one vertex of the voxel grid: four groups of four lanes, here called *quads*.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

LANES = 16

FLOAT, INT, _BIT = ir.FloatType(), ir.IntType(32), ir.IntType(1)
FLOATS, INTS, _MASK = (ir.VectorType(kind, LANES) for kind in (FLOAT, INT, _BIT))

FAST = ("nsz", "contract", "reassoc", "afn", "arcp")
"""Sums may be fused and reordered by the compiler (the same way every time); infinities and NaN keep their meaning."""


class _Vector(types.Type):
    """Numba's name for one of the vector types, which LLVM knows as ``form``."""

    def __init__(self, name: str, form: ir.VectorType):
        super().__init__(name=name)
        self.form = form


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: _Vector):
        super().__init__(dmm, fe_type, fe_type.form)


Floats, Ints, Mask = _Vector("Floats", FLOATS), _Vector("Ints", INTS), _Vector("Mask", _MASK)


def _lanes(numbers: list[int]) -> ir.Constant:
    """A constant choice of lanes, for ``shuffle_vector``."""
    return ir.Constant(ir.VectorType(INT, len(numbers)), numbers)


def _splat(builder: ir.IRBuilder, value: ir.Value, kind: ir.VectorType) -> ir.Value:
    """A number of any width as 16 equal ones."""
    if kind is FLOATS:
        if isinstance(value.type, ir.IntType):
            value = builder.sitofp(value, FLOAT)
        elif isinstance(value.type, ir.DoubleType):
            value = builder.fptrunc(value, FLOAT)
    elif value.type.width > 32:
        value = builder.trunc(value, INT)
    elif value.type.width < 32:
        value = builder.sext(value, INT)
    empty = ir.Constant(kind, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(empty, value, INT(0)), empty, _lanes([0] * LANES))


def call_llvm(builder: ir.IRBuilder, name: str, *values: ir.Value) -> ir.Value:
    """One of LLVM's overloaded intrinsics, by the type of the values: ``llvm.minnum``."""
    kind = values[0].type
    suffix = f"v{LANES}f32" if isinstance(kind, ir.VectorType) else "f32"
    form = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, form, f"{name}.{suffix}"), list(values))


def _is_number(kind: types.Type) -> bool:
    return isinstance(kind, types.Float) or (isinstance(kind, types.Integer) and kind.signed)


def _combining(make: Callable, result: _Vector | None = None) -> Callable:
    """A function for kernels, of two vectors, or a vector and a number. ``make(builder, a, b, is_float)``."""

    @intrinsic
    def combine(typingctx, a, b):
        if not (isinstance(a, _Vector) and (b == a or _is_number(b))) and not (
            isinstance(b, _Vector) and _is_number(a)
        ):
            return None
        vector = a if isinstance(a, _Vector) else b

        def generate(context, builder, signature, args):
            values = [
                value if isinstance(kind, _Vector) else _splat(builder, value, vector.form)
                for kind, value in zip(signature.args, args)
            ]
            return make(builder, *values, vector is Floats)

        return (result or vector)(a, b), generate

    return combine


def _binary(operation: Callable, make: Callable, result: _Vector | None = None) -> None:
    """Teaches Numba an operator of Python's on vectors, as ``_combining`` does."""
    combine = _combining(make, result)

    @overload(operation, inline="always")
    def on_vectors(a, b):
        if isinstance(a, _Vector) or isinstance(b, _Vector):
            return lambda a, b: combine(a, b)
        return None


_binary(operator.add, lambda m, a, b, f: m.fadd(a, b, flags=FAST) if f else m.add(a, b))
_binary(operator.sub, lambda m, a, b, f: m.fsub(a, b, flags=FAST) if f else m.sub(a, b))
_binary(operator.mul, lambda m, a, b, f: m.fmul(a, b, flags=FAST) if f else m.mul(a, b))
_binary(operator.truediv, lambda m, a, b, f: m.fdiv(a, b, flags=FAST))
_binary(operator.and_, lambda m, a, b, f: m.and_(a, b))
_binary(operator.or_, lambda m, a, b, f: m.or_(a, b))
_binary(operator.lshift, lambda m, a, b, f: m.shl(a, b))
_binary(operator.rshift, lambda m, a, b, f: m.ashr(a, b))
_binary(operator.lt, lambda m, a, b, f: m.fcmp_ordered("<", a, b) if f else m.icmp_signed("<", a, b), result=Mask)
_binary(operator.gt, lambda m, a, b, f: m.fcmp_ordered(">", a, b) if f else m.icmp_signed(">", a, b), result=Mask)


def _smaller(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, of_floats: bool) -> ir.Value:
    less = builder.fcmp_ordered("<", a, b) if of_floats else builder.icmp_signed("<", a, b)
    return builder.select(less, a, b)


def _larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, of_floats: bool) -> ir.Value:
    more = builder.fcmp_ordered(">", a, b) if of_floats else builder.icmp_signed(">", a, b)
    return builder.select(more, a, b)


least = _combining(_smaller)
"""The smaller of two vectors, lane by lane."""

most = _combining(_larger)
"""The larger of two vectors, lane by lane."""


@intrinsic
def where(typingctx, mask, a, b):
    """Lanes of ``a`` where ``mask`` holds, else of ``b``. Numbers stand for vectors, two of them for Floats."""
    vector = next((kind for kind in (a, b) if isinstance(kind, _Vector)), Floats)

    def generate(context, builder, signature, args):
        yes, no = (
            value if isinstance(kind, _Vector) else _splat(builder, value, vector.form)
            for kind, value in zip(signature.args[1:], args[1:])
        )
        return builder.select(args[0], yes, no)

    return vector(mask, a, b), generate


def _pointer(context: Any, builder: ir.IRBuilder, kind: types.Type, array: ir.Value, row: ir.Value) -> ir.Value:
    """The address of row ``row`` of an array of shape [n, 16]."""
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.gep(data, [builder.mul(row, ir.IntType(64)(LANES))])


@intrinsic
def load(typingctx, array, row):
    """Row ``row`` of an aligned float32 or int32 array [n, 16]."""
    vector = Ints if array.dtype == types.int32 else Floats

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.load(builder.bitcast(pointer, vector.form.as_pointer()), align=64)

    return vector(array, types.int64), generate


@intrinsic
def store(typingctx, array, row, value):
    """Writes a vector into row ``row`` of an aligned array [n, 16]."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(pointer, value.form.as_pointer()), align=64)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@intrinsic
def at(typingctx, array, index):
    """Number ``index`` of an array read as one long row, without Numba's care for negative indices."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, value=args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.int64), generate


@intrinsic
def put(typingctx, array, index, value):
    """Writes number ``index`` of an array seen as one long row."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, value=args[0]).data
        single = context.cast(builder, args[2], signature.args[2], array.dtype)
        builder.store(single, builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@intrinsic
def prefetch(typingctx, array, row):
    """Asks for row ``row`` of an array [n, 16] to be brought near, without waiting for it."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        pointer = builder.bitcast(_pointer(context, builder, signature.args[0], *args), byte)
        form = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
        function = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0")
        builder.call(function, [pointer, INT(0), INT(3), INT(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def splat(typingctx, value):
    """16 times the same float."""
    return Floats(value), lambda context, builder, signature, args: _splat(builder, args[0], FLOATS)


@intrinsic
def steps(typingctx):
    """0, 1, 2 ... 15 as floats."""
    return Floats(), lambda context, builder, signature, args: ir.Constant(FLOATS, [float(i) for i in range(LANES)])


@intrinsic
def whole(typingctx, a):
    """Floats cut to Ints, towards 0."""
    return Ints(a), lambda context, builder, signature, args: builder.fptosi(args[0], INTS)


@intrinsic
def real(typingctx, a):
    """Ints as Floats."""
    return Floats(a), lambda context, builder, signature, args: builder.sitofp(args[0], FLOATS)


@intrinsic
def magnitude(typingctx, a):
    """Absolute values."""
    return Floats(a), lambda context, builder, signature, args: call_llvm(builder, "llvm.fabs", args[0])


@intrinsic
def quads(typingctx, a, b, c, d):
    """Four numbers, each four times in a row: a a a a b b b b c c c c d d d d."""
    return _of_four([i // 4 for i in range(LANES)], a, b, c, d)


@intrinsic
def cycle(typingctx, a, b, c, d):
    """Four numbers over and over: a b c d a b c d a b c d a b c d."""
    return _of_four([i % 4 for i in range(LANES)], a, b, c, d)


def _of_four(lanes: list[int], *kinds: types.Type) -> tuple[Any, Callable]:
    def generate(context, builder, signature, args):
        vector = ir.Constant(FLOATS, ir.Undefined)
        for i, (kind, value) in enumerate(zip(signature.args, args)):
            single = context.cast(builder, value, kind, types.float32)
            vector = builder.insert_element(vector, single, INT(i))
        return builder.shuffle_vector(vector, vector, _lanes(lanes))

    return Floats(*kinds), generate


@intrinsic(prefer_literal=True)
def lane(typingctx, vector, number):
    """One lane, as a number."""
    index = number.literal_value
    kind = types.float32 if vector == Floats else types.int32
    return kind(vector, number), lambda context, builder, signature, args: builder.extract_element(args[0], INT(index))


@intrinsic(prefer_literal=True)
def spread(typingctx, vector, number):
    """One lane, 16 times."""
    index = number.literal_value

    def generate(context, builder, signature, args):
        return builder.shuffle_vector(args[0], args[0], _lanes([index] * LANES))

    return Floats(vector, number), generate


@intrinsic(prefer_literal=True)
def spread_in_quads(typingctx, vector, number):
    """Lane ``number`` of each quad, four times in that quad."""
    index = number.literal_value

    def generate(context, builder, signature, args):
        return builder.shuffle_vector(args[0], args[0], _lanes([i // 4 * 4 + index for i in range(LANES)]))

    return Floats(vector, number), generate


@intrinsic
def sum_quads(typingctx, vector):
    """The sum of each quad, in all its four lanes."""

    def generate(context, builder, signature, args):
        total = args[0]
        for swap in (1, 2):
            other = builder.shuffle_vector(total, total, _lanes([i ^ swap for i in range(LANES)]))
            total = builder.fadd(total, other, flags=FAST)
        return total

    return Floats(vector), generate


@intrinsic
def sum_lanes(typingctx, vector):
    """The sum of all lanes, as a number."""

    def generate(context, builder, signature, args):
        form = ir.FunctionType(FLOAT, [FLOAT, FLOATS])
        function = cgutils.get_or_insert_function(builder.module, form, f"llvm.vector.reduce.fadd.v{LANES}f32")
        return builder.call(function, [FLOAT(0.0), args[0]], fastmath=FAST)

    return types.float32(vector), generate


@intrinsic
def last_quads(typingctx, a, b, c, d):
    """The last quads of four vectors, as one vector."""

    def generate(context, builder, signature, args):
        ends = [12, 13, 14, 15, 28, 29, 30, 31]
        first, second = (builder.shuffle_vector(x, y, _lanes(ends)) for x, y in (args[:2], args[2:]))
        return builder.shuffle_vector(first, second, _lanes(list(range(LANES))))

    return Floats(a, b, c, d), generate


@intrinsic(prefer_literal=True)
def with_last_quad(typingctx, vector, source, number):
    """``vector`` with its last quad replaced by quad ``number`` of ``source``."""
    index = number.literal_value

    def generate(context, builder, signature, args):
        lanes = [*range(12), *range(LANES + 4 * index, LANES + 4 * index + 4)]
        return builder.shuffle_vector(args[0], args[1], _lanes(lanes))

    return Floats(vector, source, number), generate


@intrinsic
def woven(typingctx, a, b, c):
    """Of each quad, lane 0 of ``a``, lane 1 of ``b``, lanes 2 and 3 of ``c``."""

    def generate(context, builder, signature, args):
        firsts = builder.shuffle_vector(
            args[0], args[1], _lanes([i if i % 4 == 0 else LANES + i for i in range(LANES)])
        )
        return builder.shuffle_vector(firsts, args[2], _lanes([i if i % 4 < 2 else LANES + i for i in range(LANES)]))

    return Floats(a, b, c), generate
