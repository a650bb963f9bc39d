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
import weakref
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

POINTS_AT_ONCE = 1024
"""What a block of so many needs in a layer of 256 stays in the cache of a core."""

TURNS = 16
"""Blocks are dealt out to so many, whatever the number of threads, and each adds up its own: sums over points come out
the same for all."""

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
def bend(sums, shift, bent, wide, count):
    """bent = sin(sums + shift) of ``count`` points.

    Aligned arrays [n, 16], of which ``wide`` rows are a point's.
    """
    for point in range(count):
        start, largest = point * wide, splat(f32(0))
        for k in range(wide):
            x = load(sums, start + k) + load(shift, k)
            largest = most(magnitude(x), largest)
            store(bent, start + k, sine(x))
        if any_above(largest, LARGEST):
            for k in range(LANES * wide):
                put(bent, LANES * start + k, math.sin(np.float64(at(sums, LANES * start + k) + at(shift, k))))


@compiled
def bend_back(sums, shift, slopes, total, bent, wide, count):
    """bent = sin(sums + shift); slopes *= cos(sums + shift), and total = their sum over the points."""
    for k in range(wide):
        store(total, k, splat(f32(0)))
    for point in range(count):
        start, largest = point * wide, splat(f32(0))
        for k in range(wide):
            largest = most(magnitude(load(sums, start + k) + load(shift, k)), largest)
        far = any_above(largest, LARGEST)
        for k in range(wide):
            bends, cosine = sine_and_cosine(load(sums, start + k) + load(shift, k))
            store(bent, start + k, bends)
            if far:
                for i in range(LANES * k, LANES * (k + 1)):
                    x = np.float64(at(sums, LANES * start + i) + at(shift, i))
                    put(bent, LANES * start + i, math.sin(x))
                    put(slopes, LANES * start + i, at(slopes, LANES * start + i) * math.cos(x))
            else:
                store(slopes, start + k, load(slopes, start + k) * cosine)
            store(total, k, load(total, k) + load(slopes, start + k))


def _side_by_side(work: Callable[[int], None]) -> None:
    """``work`` of all turns, on as many threads as torch uses, each of which multiplies alone: matrices as small as
    these are not worth sharing, and threads that wait for one another in every product and every pass lose a third."""
    threads = torch.get_num_threads()

    def alone(turn: int) -> None:
        with torch.no_grad():
            work(turn)

    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(threads, TURNS)) as pool:
            for _ in pool.map(alone, range(TURNS)):
                pass
    finally:
        torch.set_num_threads(threads)


def _rows(tensor: Tensor) -> np.ndarray:
    """A tensor as the kernels read it."""
    array = tensor.detach().numpy().reshape(-1, LANES)
    assert array.ctypes.data % 64 == 0 or not array.size
    return array


_spare: list[np.ndarray] = []
"""Memory that the last field gave back: to get it anew from the system costs as much as the sines that it holds."""


def _room(*shape: int) -> Tensor:
    """Memory for numbers to come, aligned. It is kept for the next field once no tensor uses it."""
    size = math.prod(shape)
    try:
        lanes = _spare.pop()
    except IndexError:
        lanes = np.empty(0, np.float32)
    if not size <= len(lanes) <= 2 * size:
        # Numpy asks the system for it in large pages, torch in small ones, each of which costs.
        lanes = np.empty(size + LANES, np.float32)
        lanes = lanes[-lanes.ctypes.data % 64 // 4 :]
    used = lanes[:size]
    weakref.finalize(used, _keep, lanes).atexit = False
    return torch.from_numpy(used).reshape(shape)


def _keep(lanes: np.ndarray) -> None:
    _spare[:] = [lanes]


class _Sines(torch.autograd.Function):
    """``sine_field`` with its arguments in a row: layers are weight and shift in turn, the last of them the shade."""

    @staticmethod
    def forward(
        ctx: Any, learning: bool, points: Tensor, toward: Tensor, density: Tensor, color: Tensor, *layers: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights, shifts = layers[0::2], [shift.clone(memory_format=torch.contiguous_format) for shift in layers[1::2]]
        count, width, last = len(points), len(shifts[0]), len(weights) - 1
        room = _room(len(weights), count, width) if learning else torch.empty(0)
        thick, seen = torch.empty(count, 1), torch.empty(count, len(color))

        def work(turn: int) -> None:
            bent, passing = torch.empty(2, min(POINTS_AT_ONCE, count), width)
            for part in _blocks(count)[turn::TURNS]:
                h = points[part]
                for i, (weight, shift) in enumerate(zip(weights, shifts)):
                    sums = room[i, part] if learning else passing[: len(h)]
                    torch.mm(h, weight[:, -h.shape[1] :].t(), out=sums)
                    if i == last:
                        torch.mm(h, density.t(), out=thick[part])
                        if toward.shape[1]:
                            sums.addmm_(toward[part], weight[:, : toward.shape[1]].t())
                    h = bent[: len(h)]
                    bend(_rows(sums), _rows(shift), _rows(h), width // LANES, len(h))
                torch.mm(h, color.t(), out=seen[part])

        _side_by_side(work)
        ctx.save_for_backward(points, toward, density, color, room, *weights, *shifts)
        return thick, seen

    @staticmethod
    def backward(ctx: Any, thick_pull: Tensor, seen_pull: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("fields of sines have no second derivatives in float32 on the CPU: ask in float64")
        points, toward, density, color, room, *layers = ctx.saved_tensors
        weights, shifts = layers[: len(layers) // 2], layers[len(layers) // 2 :]
        count, width, last = len(points), len(shifts[0]), len(weights) - 1
        of_points, of_toward = (
            torch.empty_like(tensor) if needed else None
            for tensor, needed in zip((points, toward), ctx.needs_input_grad[1:])
        )
        sums_of: list[list[Tensor]] = [[] for _ in range(TURNS)]

        def work(turn: int) -> None:
            blocks = _blocks(count)[turn::TURNS]
            if turn and not blocks:
                return
            of_density, of_color, *of_layers = sums_of[turn] = [
                torch.zeros_like(tensor) for tensor in (density, color, *weights, *shifts)
            ]
            of_weights, of_shifts = of_layers[: last + 1], of_layers[last + 1 :]
            total, room_of_three = torch.empty(width), torch.empty(3, min(POINTS_AT_ONCE, count), width)
            for part in blocks:
                pull, slopes, h = room_of_three[:, : len(points[part])]

                def bent_back(i: int, slopes: Tensor, part: slice = part, h: Tensor = h) -> None:
                    arrays = (_rows(each) for each in (room[i, part], shifts[i], slopes, total, h))
                    bend_back(*arrays, width // LANES, len(h))
                    of_shifts[i] += total

                torch.mm(seen_pull[part], color, out=slopes)
                bent_back(last, slopes)
                of_color.addmm_(seen_pull[part].t(), h)
                for i in range(last, 0, -1):
                    torch.mm(slopes, weights[i][:, -width:], out=pull)
                    if i == last:
                        pull.addmm_(thick_pull[part], density)
                        of_weights[i][:, : toward.shape[1]].addmm_(slopes.t(), toward[part])
                        if of_toward is not None:
                            torch.mm(slopes, weights[i][:, : toward.shape[1]], out=of_toward[part])
                    bent_back(i - 1, pull)
                    of_weights[i][:, -width:].addmm_(slopes.t(), h)
                    if i == last:
                        of_density.addmm_(thick_pull[part].t(), h)
                    pull, slopes = slopes, pull
                of_weights[0].addmm_(slopes.t(), points[part])
                if of_points is not None:
                    torch.mm(slopes, weights[0], out=of_points[part])

        _side_by_side(work)
        of_density, of_color, *of_layers = (torch.stack(each).sum(0) for each in zip(*filter(None, sums_of)))
        pairs = [of for pair in zip(of_layers[: last + 1], of_layers[last + 1 :]) for of in pair]
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
