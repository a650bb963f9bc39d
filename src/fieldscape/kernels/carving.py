"""Space carving: which points of a lattice are seen as object by nearly all views. Used by ``framing.carve``.

A point is dropped as soon as more views have missed it than could ever be forgiven: most of space takes few looks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.lenses import NUMBERS, f32, pixel
from fieldscape.kernels.vectors import at

SLAB = 4
"""Planes of the lattice that a thread takes at a time."""


@compiled
def carve_slab(shapes, poses, lenses, kind, axes, forgiven, hull, undecided, first, last):
    """Decides the points of the planes ``first``..``last`` - 1 along x. The other arguments are those of ``carve``.

    axes: the coordinates along x, y and z.  forgiven: how many misses a point may have that so many views see.
    """
    xs, ys, zs = axes
    views, height, width = shapes.shape
    zero, tall, wide = f32(0), f32(height), f32(width)
    # A point with a single view in whose picture it lies is never dropped, even where that view misses it.
    most = max(at(forgiven, views), 1)
    for i in range(first, last):
        for j in range(ys.size):
            for k in range(zs.size):
                if not undecided[i, j, k]:
                    continue
                seen, misses = 0, 0
                for view in range(views):
                    pose = 12 * view
                    x, y, z = (
                        at(xs, i) - at(poses, pose + 3),
                        at(ys, j) - at(poses, pose + 7),
                        at(zs, k) - at(poses, pose + 11),
                    )
                    ahead = at(poses, pose + 2) * x + at(poses, pose + 6) * y + at(poses, pose + 10) * z
                    if not ahead > zero:
                        continue
                    right = at(poses, pose) * x + at(poses, pose + 4) * y + at(poses, pose + 8) * z
                    down = at(poses, pose + 1) * x + at(poses, pose + 5) * y + at(poses, pose + 9) * z
                    column, row = pixel(kind, lenses, view, right, down, ahead)
                    if column >= zero and column < wide and row >= zero and row < tall:
                        seen += 1
                        if at(shapes, (view * height + int(row)) * width + int(column)) == 0:
                            misses += 1
                            if misses > most:
                                break
                hull[i, j, k] = seen < 2 or misses <= at(forgiven, seen)


def carve(
    shapes: np.ndarray,
    poses: np.ndarray,
    lenses: np.ndarray,
    kind: int,
    low: np.ndarray,
    high: np.ndarray,
    size: tuple[int, int, int],
    tolerance: float,
    threads: int,
    known: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """The points of a lattice over ``low``..``high`` that all but the share ``tolerance`` of their views see as object.

    shapes: uint8 [v, h, w], not 0 where a view shows the object.  poses, lenses, kind: as ``lenses.pose_table``,
    ``lens_table`` and ``LENS_NUMBERS`` give them.  size: points an axis.  Only views count that have the point in their
    picture; a point with fewer than two of those is kept.  known: truth values [x, y, z] of points to keep, and of
    points to decide; the others are dropped unseen.

    Returns truth values [x, y, z]. Raises ValueError for arrays of other shapes or kinds: kernels do not look.
    """
    views = len(shapes)
    if shapes.ndim != 3 or poses.shape != (views, 12) or lenses.shape != (views, NUMBERS):
        raise ValueError(f"shapes {shapes.shape}, poses {poses.shape} and lenses {lenses.shape} do not belong together")
    if (shapes.dtype, poses.dtype, lenses.dtype) != (np.uint8, np.float32, np.float32):
        raise ValueError(f"carving takes uint8 and float32, not {shapes.dtype}, {poses.dtype} and {lenses.dtype}")
    shapes, poses, lenses = (np.ascontiguousarray(array) for array in (shapes, poses, lenses))
    axes = tuple(torch.linspace(float(low[k]), float(high[k]), size[k]).numpy() for k in range(3))
    counts = np.arange(views + 1, dtype=np.float32)
    forgiven = (counts - np.ceil(np.float32(1 - tolerance) * counts)).astype(np.int64)
    hull, undecided = (np.zeros(size, bool), np.ones(size, bool)) if known is None else (known[0].copy(), known[1])

    def work(first: int) -> None:
        carve_slab(shapes, poses, lenses, kind, axes, forgiven, hull, undecided, first, min(first + SLAB, size[0]))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(work, range(0, size[0], SLAB)):
            pass
    return hull
