"""Exponentials, logarithms and roots of sixteen numbers at once, or of one: short series instead of library calls.

They are accurate to a few units of the seventh digit, quick, and the same on every processor and thread.
"""

from __future__ import annotations

from llvmlite import ir
from numba.extending import intrinsic

from fieldscape.kernels.vectors import FAST, FLOATS, INT, INTS, LANES, Floats, call_llvm


def _constant(kind: ir.Type, value: float) -> ir.Constant:
    """``value`` in every lane of a vector type, or a scalar of a scalar type."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [value] * LANES)
    return ir.Constant(kind, value)


def _exp2(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """2^x to a relative 1e-7, for x cut to -126..126: Taylor's series of the fraction, the exponent set as bits."""
    kind = x.type
    x = call_llvm(
        builder, "llvm.maxnum", call_llvm(builder, "llvm.minnum", x, _constant(kind, 126.0)), _constant(kind, -126.0)
    )
    nearest = call_llvm(builder, "llvm.rint", x)
    part = builder.fsub(x, nearest, flags=FAST)
    series = (1.535336e-4, 1.3398874e-3, 9.6184374e-3, 5.5503325e-2, 2.4022648e-1, 6.9314720e-1, 1.0)
    value = _polynomial(builder, part, series)
    integer = INTS if isinstance(kind, ir.VectorType) else INT
    exponent = builder.add(builder.fptosi(nearest, integer), _constant(integer, 127))
    scale = builder.bitcast(builder.shl(exponent, _constant(integer, 23)), kind)
    return builder.fmul(value, scale, flags=FAST)


def _log2(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """log2(x) to an absolute 1e-6, for positive x: exponent from the bits, a polynomial for the rest in 2/3..4/3."""
    kind = x.type
    integer = INTS if isinstance(kind, ir.VectorType) else INT
    bits = builder.bitcast(x, integer)
    exponent = builder.ashr(builder.sub(bits, _constant(integer, 0x3F2AAAAB)), _constant(integer, 23))
    rest = builder.bitcast(builder.sub(bits, builder.shl(exponent, _constant(integer, 23))), kind)
    part = builder.fsub(rest, _constant(kind, 1.0), flags=FAST)
    series = (
        -0.12980102, 0.14084256, -0.12148110, 0.13981356, -0.16684235, 0.20012440, -0.24999667, 0.33333210,
        -0.5, 1.0, 0.0,
    )  # fmt: skip
    natural = _polynomial(builder, part, series)
    whole_part = builder.sitofp(exponent, kind)
    return builder.fadd(builder.fmul(natural, _constant(kind, 1.4426950408889634), flags=FAST), whole_part, flags=FAST)


def _polynomial(builder: ir.IRBuilder, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
    """Horner's rule, the highest power first."""
    value: ir.Value = _constant(x.type, coefficients[0])
    for coefficient in coefficients[1:]:
        value = builder.fadd(builder.fmul(value, x, flags=FAST), _constant(x.type, coefficient), flags=FAST)
    return value


@intrinsic
def exp2(typingctx, x):
    """2^x of Floats or a float32."""
    return x(x), lambda context, builder, signature, args: _exp2(builder, args[0])


@intrinsic
def log2(typingctx, x):
    """log2(x) of positive Floats or a positive float32."""
    return x(x), lambda context, builder, signature, args: _log2(builder, args[0])


@intrinsic
def sigmoid(typingctx, x):
    """1 / (1 + e^-x) of Floats or a float32."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        grown = _exp2(builder, builder.fmul(args[0], _constant(kind, -1.4426950408889634), flags=FAST))
        one = _constant(kind, 1.0)
        return builder.fdiv(one, builder.fadd(one, grown, flags=FAST), flags=FAST)

    return x(x), generate


@intrinsic
def rsqrt(typingctx, x):
    """1 / sqrt(x) of positive Floats, to a relative 5e-6: two Newton steps from the classic guess on the bits."""

    def generate(context, builder, signature, args):
        (value,) = args
        bits = builder.bitcast(value, INTS)
        guess = builder.sub(_constant(INTS, 0x5F3759DF), builder.ashr(bits, _constant(INTS, 1)))
        root = builder.bitcast(guess, FLOATS)
        half = builder.fmul(value, _constant(FLOATS, -0.5), flags=FAST)
        for _ in range(2):
            square = builder.fmul(root, root, flags=FAST)
            factor = builder.fadd(builder.fmul(half, square, flags=FAST), _constant(FLOATS, 1.5), flags=FAST)
            root = builder.fmul(root, factor, flags=FAST)
        return root

    return Floats(x), generate
