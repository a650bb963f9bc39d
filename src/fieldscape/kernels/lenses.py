"""Lenses inside kernels: from a pixel to a direction and back, one at a time. The formulas are those of ``cameras``.

Notation: as in ``cameras``. A camera is nine numbers in a row: fx, fy, cx, cy, and five coefficients of its lens, 0
where it has fewer. Kernels take the lens as a number, so that one compiled kernel serves all.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from fieldscape.cameras import NEWTON_STEPS
from fieldscape.kernels.compiling import inlined
from fieldscape.kernels.vectors import at
from fieldscape.types import Camera

f32 = np.float32

LENS_NUMBERS = {"pinhole": 0, "brown": 1, "fisheye": 2}
BROWN, FISHEYE = LENS_NUMBERS["brown"], LENS_NUMBERS["fisheye"]

NUMBERS = 9
"""How many a camera is."""

SETTLED = f32(1e-5)
"""A step of Newton's method shorter than this is the last: the error after it is about its square."""


def lens_table(camera: Camera) -> np.ndarray:
    """What ``direction`` and ``pixel`` read of a batch of cameras. Returns float32 [v, 9]."""
    table = torch.zeros(len(camera), NUMBERS)
    table[:, 0:2], table[:, 2:4] = camera.focal, camera.center
    if camera.distortion is not None:
        table[:, 4 : 4 + camera.distortion.shape[-1]] = camera.distortion
    return table.numpy()


def pose_table(camera: Camera) -> np.ndarray:
    """The upper three rows of the poses of a batch of cameras, one pose a row. Returns float32 [v, 12]."""
    return camera.pose[:, :3].float().cpu().reshape(-1, 12).contiguous().numpy()


@inlined
def direction(kind, lenses, view, x, y):
    """The unit direction, in the axes of camera ``view``, of the ray through (x, y): ``cameras.undistort``."""
    start = NUMBERS * view
    u, v = (x - at(lenses, start + 2)) / at(lenses, start), (y - at(lenses, start + 3)) / at(lenses, start + 1)
    if kind == FISHEYE:
        return _from_fisheye(lenses, start + 4, u, v)
    if kind == BROWN:
        u, v = _from_brown(lenses, start + 4, u, v)
    inverse = f32(1) / f32(math.sqrt(u * u + v * v + f32(1)))
    return u * inverse, v * inverse, inverse


@inlined
def pixel(kind, lenses, view, x, y, z):
    """Column and row, as floats, at which camera ``view`` sees a point given in its axes: ``cameras.distort``."""
    start = NUMBERS * view
    if kind == FISHEYE:
        u, v = _to_fisheye(lenses, start + 4, x, y, z)
    else:
        u, v = x / z, y / z
        if kind == BROWN:
            u, v = _to_brown(lenses, start + 4, u, v)
    return u * at(lenses, start) + at(lenses, start + 2), v * at(lenses, start + 1) + at(lenses, start + 3)


@inlined
def _to_fisheye(lenses, first, x, y, z):
    k1, k2, k3, k4 = at(lenses, first), at(lenses, first + 1), at(lenses, first + 2), at(lenses, first + 3)
    radius = max(f32(math.sqrt(x * x + y * y)), f32(1e-12))
    theta = f32(math.atan2(radius, z))
    t2 = theta * theta
    share = theta * (f32(1) + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) / radius
    return x * share, y * share


@inlined
def _from_fisheye(lenses, first, u, v):
    k1, k2, k3, k4 = at(lenses, first), at(lenses, first + 1), at(lenses, first + 2), at(lenses, first + 3)
    bent = f32(math.sqrt(u * u + v * v))
    theta = min(bent, f32(math.pi))
    for _ in range(NEWTON_STEPS):
        t2 = theta * theta
        value = theta * (f32(1) + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) - bent
        slope = f32(1) + t2 * (f32(3) * k1 + t2 * (f32(5) * k2 + t2 * (f32(7) * k3 + t2 * f32(9) * k4)))
        step = value / max(slope, f32(0.1))
        theta = min(max(theta - step, f32(0)), f32(math.pi))
        if abs(step) < SETTLED:
            break
    share = f32(math.sin(theta)) / bent if bent > f32(1e-8) else f32(1)
    return u * share, v * share, f32(math.cos(theta))


@inlined
def _brown(lenses, first):
    """The five coefficients of a Brown-Conrady lens."""
    k1, k2 = at(lenses, first), at(lenses, first + 1)
    p1, p2 = at(lenses, first + 2), at(lenses, first + 3)
    return k1, k2, p1, p2, at(lenses, first + 4)


@inlined
def _to_brown(lenses, first, x, y):
    k1, k2, p1, p2, k3 = _brown(lenses, first)
    r2, xy = x * x + y * y, f32(2) * x * y
    radial = f32(1) + r2 * (k1 + r2 * (k2 + r2 * k3))
    u = x * radial + p1 * xy + p2 * (r2 + f32(2) * x * x)
    v = y * radial + p1 * (r2 + f32(2) * y * y) + p2 * xy
    return u, v


@inlined
def _from_brown(lenses, first, u, v):
    k1, k2, p1, p2, k3 = _brown(lenses, first)
    two, six = f32(2), f32(6)
    x, y = u, v
    for _ in range(NEWTON_STEPS):
        r2 = x * x + y * y
        radial = f32(1) + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = two * (k1 + r2 * (two * k2 + r2 * f32(3) * k3))
        reached_u, reached_v = _to_brown(lenses, first, x, y)
        miss_u, miss_v = reached_u - u, reached_v - v
        xx = radial + x * x * slope + two * p1 * y + six * p2 * x
        xy = x * y * slope + two * p1 * x + two * p2 * y
        yy = radial + y * y * slope + six * p1 * y + two * p2 * x
        determinant = max(xx * yy - xy * xy, f32(1e-3))
        step_x, step_y = (yy * miss_u - xy * miss_v) / determinant, (xx * miss_v - xy * miss_u) / determinant
        x, y = x - step_x, y - step_y
        if abs(step_x) + abs(step_y) < SETTLED:
            break
    return x, y
