"""A picture of the voxel grid: colour, opacity, depth and normals of every pixel of a camera."""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.grid import RAW
from fieldscape.kernels.march import basis, f32, lay, pixel_ray, see
from fieldscape.kernels.vectors import at, lane

TILE = 16
"""Pictures are drawn in squares of so many pixels: neighbours above and below meet the same vertices too."""


@inlined
def _normal(grid, place, samples, s):
    """The unit direction in which density falls fastest at sample ``s``, in grid axes."""
    corner = (s >> 4) * 128 + (s & 15)
    x, y, z = f32(0), f32(0), f32(0)
    for m in range(8):
        raw = at(grid.table, np.int64(at(samples.corner, corner + 16 * m)) * 16 + RAW)
        x += raw if m < 4 else -raw
        y += raw if m & 2 == 0 else -raw
        z += raw if m & 1 == 0 else -raw
    x, y, z = x * place.per_x, y * place.per_y, z * place.per_z
    inverse = f32(1) / max(f32(np.sqrt(x * x + y * y + z * z)), f32(1e-12))
    return x * inverse, y * inverse, z * inverse


@compiled
def look(grid, place, lens, lenses, poses, background, first, last, samples, seen):
    """Draws the tiles ``first``..``last`` of what a camera sees, into ``seen`` [h, w, 8]: red, green, blue, alpha, the
    median distance of what stops the light, and the normal there.

    lens, lenses, poses: the camera, as ``kernels.lenses`` writes it. No sample is shifted, so a look repeats.
    """
    height, width, _ = seen.shape
    across = (width + TILE - 1) // TILE
    for tile in range(first, last):
        top, left = tile // across * TILE, tile % across * TILE
        for row in range(top, min(top + TILE, height)):
            for column in range(left, min(left + TILE, width)):
                ray = pixel_ray(lens, lenses, poses, 0, row, column)
                path = lay(grid, place, ray, f32(0.5))
                visible, color, stopped = see(grid, place, ray, path, basis(ray), samples)
                rest = f32(1) - stopped
                seen[row, column, 0] = lane(color, 0) + rest * background[0]
                seen[row, column, 1] = lane(color, 4) + rest * background[1]
                seen[row, column, 2] = lane(color, 8) + rest * background[2]
                seen[row, column, 3] = stopped
                for k in range(4, 8):
                    seen[row, column, k] = f32(0)
                passed = f32(0)
                for n in range(visible):
                    passed += at(samples.seen, n)
                    if passed >= f32(0.5) * stopped:
                        s = at(samples.which, n)
                        x, y, z = _normal(grid, place, samples, s)
                        seen[row, column, 4] = at(samples.t, s)
                        seen[row, column, 5], seen[row, column, 6], seen[row, column, 7] = x, y, z
                        break
