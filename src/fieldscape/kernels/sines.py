"""Networks of sines on the CPU: each layer a product and one pass that bends it, in blocks that stay in the cache.

Only the sums before the sines are kept for the way back, half of what a sine and its slope would take: there both are
computed again at once, which is cheaper than to fetch them. The twin is ``SirenGenerator`` on other devices.

With x = n pi + r, n whole and r in -pi/2..pi/2, sin x = (-1)^n sin r and cos x = (-1)^n cos r (Cody and Waite,
"Software Manual for the Elementary Functions", 1980, chapter 8): pi is taken off in three pieces, the first two short
enough for their products with n to be exact. The series of r are minimax polynomials. Errors stay below 2.5e-7.
Beyond ``LARGEST`` the pieces would not do, and the library's functions are called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.vectors import (
    FLOATS,
    INTS,
    LANES,
    Floats,
    at,
    call_llvm,
    load,
    magnitude,
    most,
    put,
    splat,
    store,
)

f32 = np.float32

POINTS_AT_ONCE = 2048
"""What a block of so many needs in a layer of 256 stays in the processor's cache."""

POINTS_A_PART = 512
"""Of which a thread takes so many at a time, whatever the number of threads: sums over points are the same for all."""

LARGEST = f32(1e4)
"""Of magnitudes whose sine the short series tell."""

PI = (3.140625, 0.000967502593994140625, 1.5099580252808664e-07)
"""Pieces of eleven, eleven and twenty-four bits: together pi to 46 bits."""

SINE = (2.59990324e-06, -1.98065471e-04, 8.33301636e-03, -1.66666571e-01)
"""sin r = r + r^3 (... ), in r^2, the highest power first; off by 5e-9 at most."""

COSINE = (2.31928279e-05, -1.38558626e-03, 4.16639815e-02, -4.99999320e-01, 1.0)
"""cos r in r^2, the highest power first; off by 6e-8 at most."""

ROUNDING = 12582912.0
"""1.5 x 2^23: floats that large are whole, and odd where their last bit is set."""


def _fused(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c, in one rounding where the processor can."""
    return call_llvm(builder, "llvm.fmuladd", a, b, c)


def _all(value: float) -> ir.Constant:
    return ir.Constant(FLOATS, [float(f32(value))] * LANES)


def _series(builder: ir.IRBuilder, square: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
    value: ir.Value = _all(coefficients[0])
    for coefficient in coefficients[1:]:
        value = _fused(builder, value, square, _all(coefficient))
    return value


def _reduced(builder: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """r, and the sign bit of (-1)^n. No step is marked as free to be reordered: all depends on how each is rounded."""
    shifted = _fused(builder, x, _all(1 / math.pi), _all(ROUNDING))
    count = builder.fsub(shifted, _all(ROUNDING))
    for piece in PI:
        x = _fused(builder, count, _all(-piece), x)
    return x, builder.shl(builder.bitcast(shifted, INTS), ir.Constant(INTS, [31] * LANES))


def _signed(builder: ir.IRBuilder, value: ir.Value, sign: ir.Value) -> ir.Value:
    return builder.bitcast(builder.xor(builder.bitcast(value, INTS), sign), FLOATS)


def _sine(builder: ir.IRBuilder, r: ir.Value, square: ir.Value) -> ir.Value:
    return _fused(builder, builder.fmul(r, square), _series(builder, square, SINE), r)


@intrinsic
def sine(typingctx, x):
    """sin x of Floats up to ``LARGEST``; NaN of NaN and of infinities."""

    def generate(context, builder, signature, args):
        r, sign = _reduced(builder, args[0])
        return _signed(builder, _sine(builder, r, builder.fmul(r, r)), sign)

    return Floats(x), generate


@intrinsic
def sine_and_cosine(typingctx, x):
    """(sin x, cos x) of Floats, as ``sine``."""
    result = types.UniTuple(Floats, 2)

    def generate(context, builder, signature, args):
        r, sign = _reduced(builder, args[0])
        square = builder.fmul(r, r)
        both = (_sine(builder, r, square), _series(builder, square, COSINE))
        return context.make_tuple(builder, result, [_signed(builder, value, sign) for value in both])

    return result(x), generate


@intrinsic
def any_above(typingctx, vector, bound):
    """Whether a lane exceeds a float."""

    def generate(context, builder, signature, args):
        top = ir.Constant(FLOATS, ir.Undefined)
        top = builder.insert_element(top, args[1], ir.IntType(32)(0))
        top = builder.shuffle_vector(top, top, ir.Constant(INTS, [0] * LANES))
        above = builder.fcmp_ordered(">", args[0], top)
        return builder.icmp_unsigned("!=", builder.bitcast(above, ir.IntType(LANES)), ir.IntType(LANES)(0))

    return types.boolean(vector, types.float32), generate


@compiled
def bend(sums, shift, bent, wide, first, last):
    """bent = sin(sums + shift), for the points ``first``..``last`` - 1.

    Aligned arrays [n, 16], of which ``wide`` rows are a point's.
    """
    for point in range(first, last):
        start, largest = point * wide, splat(f32(0))
        for k in range(wide):
            x = load(sums, start + k) + load(shift, k)
            largest = most(magnitude(x), largest)
            store(bent, start + k, sine(x))
        if any_above(largest, LARGEST):
            for k in range(LANES * wide):
                put(bent, LANES * start + k, math.sin(np.float64(at(sums, LANES * start + k) + at(shift, k))))


@compiled
def bend_back(sums, shift, pull, slopes, total, part, bent, wide, first, last):
    """bent = sin(sums + shift); slopes = pull cos(sums + shift), and their sum over the points in total[part].

    ``slopes`` may be ``pull``.
    """
    for k in range(wide):
        store(total, part * wide + k, splat(f32(0)))
    for point in range(first, last):
        start, largest = point * wide, splat(f32(0))
        for k in range(wide):
            largest = most(magnitude(load(sums, start + k) + load(shift, k)), largest)
        far = any_above(largest, LARGEST)
        for k in range(wide):
            bends, slope = sine_and_cosine(load(sums, start + k) + load(shift, k))
            store(bent, start + k, bends)
            if far:
                for i in range(LANES * k, LANES * (k + 1)):
                    x = np.float64(at(sums, LANES * start + i) + at(shift, i))
                    put(bent, LANES * start + i, math.sin(x))
                    put(slopes, LANES * start + i, at(pull, LANES * start + i) * math.cos(x))
                slope = load(slopes, start + k)
            else:
                slope = load(pull, start + k) * slope
                store(slopes, start + k, slope)
            store(total, part * wide + k, load(total, part * wide + k) + slope)


class _Team:
    """Threads that bend the parts of a block side by side, as many as torch uses."""

    def __init__(self) -> None:
        threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> _Team:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown()

    def share(self, work: Callable[[int, int, int], None], count: int) -> None:
        """``work(part, first, last)`` for all parts of ``count`` points."""
        firsts = range(0, count, POINTS_A_PART)
        run = map if self.pool is None else self.pool.map
        for _ in run(lambda first: work(first // POINTS_A_PART, first, min(first + POINTS_A_PART, count)), firsts):
            pass

    def bend(self, sums: Tensor, shift: Tensor, bent: Tensor) -> None:
        """bent [n, w] = sin(sums [n, w] + shift [w])."""
        z, s, b = _rows(sums), _rows(shift), _rows(bent)
        self.share(lambda _, first, last: bend(z, s, b, len(s), first, last), len(sums))

    def bend_back(self, sums: Tensor, shift: Tensor, pull: Tensor, bent: Tensor) -> Tensor:
        """bent = sin(sums + shift), and pull *= cos(sums + shift). Returns the sum of the latter over the points."""
        total = torch.zeros(-(-len(sums) // POINTS_A_PART), len(shift))
        z, s, p, t, b = _rows(sums), _rows(shift), _rows(pull), _rows(total), _rows(bent)
        self.share(lambda part, first, last: bend_back(z, s, p, p, t, part, b, len(s), first, last), len(sums))
        return total.sum(0)


def _rows(tensor: Tensor) -> np.ndarray:
    """A tensor as the kernels read it."""
    array = tensor.detach().numpy().reshape(-1, LANES)
    assert array.ctypes.data % 64 == 0 or not array.size
    return array


def _room(*shape: int) -> Tensor:
    """Memory for numbers to come, aligned. Numpy asks the system for it in large pages, torch in small ones, each of
    which costs as much as the sines that it holds."""
    lanes = np.empty(math.prod(shape) + LANES, np.float32)
    skip = -lanes.ctypes.data % 64 // 4
    return torch.from_numpy(lanes[skip : skip + math.prod(shape)].reshape(shape))


class _Sines(torch.autograd.Function):
    """``sine_field`` with its arguments in a row: layers are weight and shift in turn, the last of them the shade."""

    @staticmethod
    def forward(
        ctx: Any, learning: bool, points: Tensor, toward: Tensor, density: Tensor, color: Tensor, *layers: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights, shifts = layers[0::2], [shift.clone(memory_format=torch.contiguous_format) for shift in layers[1::2]]
        count, width = len(points), len(shifts[0])
        block = min(POINTS_AT_ONCE, count)
        room = _room(len(weights), count, width) if learning else _room(1, block, width)
        bent = torch.empty(block, width)
        thick, seen = torch.empty(count, 1), torch.empty(count, len(color))
        with _Team() as team:
            for part in _blocks(count):
                h = points[part]
                for i, (weight, shift) in enumerate(zip(weights, shifts)):
                    sums = room[i, part] if learning else room[0, : len(h)]
                    torch.mm(h, weight[:, -h.shape[1] :].t(), out=sums)
                    if i == len(weights) - 1:
                        torch.mm(h, density.t(), out=thick[part])
                        if toward.shape[1]:
                            sums.addmm_(toward[part], weight[:, : toward.shape[1]].t())
                    h = bent[: len(h)]
                    team.bend(sums, shift, h)
                torch.mm(h, color.t(), out=seen[part])
        ctx.save_for_backward(points, toward, density, color, *weights, *shifts)
        ctx.room = room
        return thick, seen

    @staticmethod
    def backward(ctx: Any, thick_pull: Tensor, seen_pull: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("fields of sines have no second derivatives in float32 on the CPU: ask in float64")
        points, toward, density, color, *layers = ctx.saved_tensors
        weights, shifts, room = layers[: len(layers) // 2], layers[len(layers) // 2 :], ctx.room
        count, last = len(points), len(weights) - 1
        of_weights, of_shifts = ([torch.zeros_like(tensor) for tensor in tensors] for tensors in (weights, shifts))
        of_density, of_color = torch.zeros_like(density), torch.zeros_like(color)
        of_points, of_toward = (
            torch.empty_like(tensor) if needed else None
            for tensor, needed in zip((points, toward), ctx.needs_input_grad[1:])
        )
        pull, slopes, bent = torch.empty(3, min(POINTS_AT_ONCE, count), len(shifts[0]))
        with _Team() as team:
            for part in _blocks(count):
                size = len(points[part])
                pull, slopes, h = pull[:size], slopes[:size], bent[:size]
                torch.mm(seen_pull[part], color, out=slopes)
                of_shifts[last] += team.bend_back(room[last, part], shifts[last], slopes, h)
                of_color.addmm_(seen_pull[part].t(), h)
                for i in range(last, 0, -1):
                    torch.mm(slopes, weights[i][:, -len(shifts[0]) :], out=pull)
                    if i == last:
                        pull.addmm_(thick_pull[part], density)
                        of_weights[i][:, : toward.shape[1]].addmm_(slopes.t(), toward[part])
                        if of_toward is not None:
                            torch.mm(slopes, weights[i][:, : toward.shape[1]], out=of_toward[part])
                    of_shifts[i - 1] += team.bend_back(room[i - 1, part], shifts[i - 1], pull, h)
                    of_weights[i][:, -len(shifts[0]) :].addmm_(slopes.t(), h)
                    if i == last:
                        of_density.addmm_(thick_pull[part].t(), h)
                    pull, slopes = slopes, pull
                of_weights[0].addmm_(slopes.t(), points[part])
                if of_points is not None:
                    torch.mm(slopes, weights[0], out=of_points[part])
        pairs = [of for pair in zip(of_weights, of_shifts) for of in pair]
        return None, of_points, of_toward, of_density, of_color, *pairs


def _blocks(count: int) -> list[slice]:
    return [slice(first, first + POINTS_AT_ONCE) for first in range(0, count, POINTS_AT_ONCE)]


def sine_field(
    points: Float[Tensor, "n 3"],
    toward: Float[Tensor, "n t"],
    layers: Sequence[tuple[Float[Tensor, "w _"], Float[Tensor, " w"]]],
    density: Float[Tensor, "1 w"],
    color: Float[Tensor, "c w"],
) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n c"]]:
    """(density h, color sin(W [toward, h] + s)), where h = sin(W sin(... sin(W points + s) ...) + s).

    layers: two or more pairs of W and s, all w wide, a multiple of 16; the last is that of colours. All on the CPU and
    in float32. Differentiable once: a second derivative raises RuntimeError. Raises ValueError for other tensors:
    kernels do not look.
    """
    every = [points, toward, density, color, *(tensor for pair in layers for tensor in pair)]
    for tensor in every:
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            raise ValueError(f"sine_field takes float32 on the CPU, not {tensor.dtype} on {tensor.device}")
    width = len(layers[0][1])
    inputs = [3, *[width] * (len(layers) - 2), toward.shape[1] + width]
    shapes = [((width, size), (width,)) for size in inputs]
    if len(layers) < 2 or width % LANES or [(tuple(w.shape), tuple(s.shape)) for w, s in layers] != shapes:
        raise ValueError(f"layers of {[tuple(w.shape) for w, _ in layers]} make no field of sines of {LANES} k wide")
    learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in every)
    return _Sines.apply(learning, *every)
