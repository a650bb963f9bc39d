"""Arithmetic as it is written: never fused, never reordered, so that a kernel and its plain twin agree to the last bit.

Also how such kernels share their work: in parts that do not depend on the number of threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import torch
from numba.extending import intrinsic

from fieldscape.kernels.compiling import OPTIONS
from fieldscape.kernels.vectors import Floats


def exact(function: Callable) -> Callable:
    """A part of kernels whose sums are rounded in the order written, whatever the kernel around it allows.

    Numba marks single instructions as free to be reordered: those inlined from here stay unmarked.
    """
    options = {name: value for name, value in OPTIONS.items() if name != "fastmath"}
    return numba.njit(inspect.unwrap(function), forceinline=True, **options)


@intrinsic
def squared_length(typingctx, x, y, z):
    """(x^2 + y^2) + z^2 of Floats, rounded after every operation."""

    def generate(context, builder, signature, args):
        xx, yy, zz = (builder.fmul(value, value) for value in args)
        return builder.fadd(builder.fadd(xx, yy), zz)

    return Floats(x, y, z), generate


def share(work: Callable[[int], None], parts: int) -> None:
    """Does ``work(0)`` ... ``work(parts - 1)``, side by side on as many threads as torch uses."""
    threads = min(torch.get_num_threads(), parts)
    if threads <= 1:
        for part in range(parts):
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(parts)):
            pass
