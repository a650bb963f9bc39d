"""Along one ray: where its samples lie, what they hold, what is seen. Training and rendering both go through ``see``.

The formulas are those of ``volume`` and of the torch field in ``voxels/field.py``, which tests hold this to.
What differs is the order of work, so that sixteen samples are placed at once and few memory lines are touched:

1. of sixteen steps at a time, those that lie in occupied cells (``_find``);
2. for sixteen of those, the eight vertices around each and their shares (``_surround``), whose lines are asked for;
3. sample by sample, the blended line of 16 floats (``_blend``), how much light stops there, and the colour of those
   samples that stop more than ``VISIBLE``; nothing is read behind what stops the light.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fieldscape.kernels.compiling import inlined
from fieldscape.kernels.functions import exp2, log2, sigmoid
from fieldscape.kernels.grid import aligned
from fieldscape.kernels.lenses import direction
from fieldscape.kernels.vectors import (
    at,
    cycle,
    lane,
    least,
    load,
    magnitude,
    most,
    prefetch,
    put,
    real,
    splat,
    steps,
    store,
    sum_quads,
    where,
    whole,
)

f32 = np.float32

SHIFT = f32(4.0)
VISIBLE = f32(1e-3)
OCCUPIED = 0.02

LOG2_E = f32(1.4426950408889634)
FIRST, SECOND = f32(0.28209479177387814), f32(0.4886025119029199)
FURTHEST = f32(2 - 1e-3)

MOST = 2048
"""Samples kept for a ray at most: further ones are behind two thousand voxels of haze."""


class Samples(NamedTuple):
    """What is known of the samples on one ray: scratch memory of one thread. Sample s is [s / 16, s % 16]."""

    t: np.ndarray
    delta: np.ndarray
    thick: np.ndarray  # lengths in voxels
    corner: np.ndarray  # int32 [8 s / 16]: rows of the table
    share: np.ndarray  # [8 s / 16]
    color: np.ndarray  # [n, 16] quads of red, green and blue, of visible samples
    seen: np.ndarray  # [n / 16]: weight of visible samples
    after: np.ndarray  # [n / 16]: light left behind them
    slope: np.ndarray  # [n / 16]: of optical depth by raw density; then of the loss
    which: np.ndarray  # int32: their numbers s
    step_t: np.ndarray
    step_delta: np.ndarray
    step_word: np.ndarray
    step_bit: np.ndarray


def make_samples() -> Samples:
    groups = MOST // 16
    return Samples(
        t=aligned(groups),
        delta=aligned(groups),
        thick=aligned(groups),
        corner=aligned(8 * groups, np.int32),
        share=aligned(8 * groups),
        color=aligned(16 * groups),
        seen=aligned(groups),
        after=aligned(groups),
        slope=aligned(groups),
        which=aligned(groups, np.int32),
        step_t=aligned(1),
        step_delta=aligned(1),
        step_word=aligned(1, np.int32),
        step_bit=aligned(1, np.int32),
    )


class Ray(NamedTuple):
    """Origin and unit direction."""

    x: np.float32
    y: np.float32
    z: np.float32
    dx: np.float32
    dy: np.float32
    dz: np.float32


class Path(NamedTuple):
    """How a ray is stepped: sample k lies at start + k length, of the ray or (unbounded) of the contracted ray."""

    start: np.float32
    length: np.float32
    steps: int
    end: np.float32
    first: np.float32
    middle: np.float32
    unit: np.float32


@inlined
def pixel_ray(lens, lenses, poses, photo, row, column):
    """The ray through the centre of a pixel: ``cameras.pixel_rays``."""
    x, y, z = direction(lens, lenses, photo, f32(column) + f32(0.5), f32(row) + f32(0.5))
    pose = 12 * photo
    dx = at(poses, pose) * x + at(poses, pose + 1) * y + at(poses, pose + 2) * z
    dy = at(poses, pose + 4) * x + at(poses, pose + 5) * y + at(poses, pose + 6) * z
    dz = at(poses, pose + 8) * x + at(poses, pose + 9) * y + at(poses, pose + 10) * z
    return Ray(at(poses, pose + 3), at(poses, pose + 7), at(poses, pose + 11), dx, dy, dz)


@inlined
def basis(ray):
    """Degree-1 spherical harmonics of the ray's direction, once a quad."""
    return cycle(FIRST, SECOND * ray.dy, SECOND * ray.dz, SECOND * ray.dx)


@inlined
def lay(grid, place, ray, shift):
    """The path of ``ray`` through the grid, its samples moved by the share ``shift`` of a step."""
    zero, one = f32(0), f32(1)
    length = place.step * place.voxel
    if place.unbounded:
        cx, cy, cz = place.x - ray.x, place.y - ray.y, place.z - ray.z
        middle = cx * ray.dx + cy * ray.dy + cz * ray.dz
        mx, my, mz = middle * ray.dx - cx, middle * ray.dy - cy, middle * ray.dz - cz
        unit = max(f32(np.sqrt(mx * mx + my * my + mz * mz)), place.reach)
        first = (place.near - middle) / unit
        m = max(abs(first), one)
        first = (f32(2) - one / m) / m * first
        length = length / place.reach
        count = int((f32(2) - first) / length) + 1
        return Path(first + (shift - f32(0.5)) * length, length, count, f32(2), first, middle, unit)
    near, far = zero, f32(1e30)
    size = grid.size
    for axis in range(3):
        if axis == 0:
            origin, slope, low, span = ray.x, ray.dx, place.x, f32(size[0] - 1) / place.per_x
        elif axis == 1:
            origin, slope, low, span = ray.y, ray.dy, place.y, f32(size[1] - 1) / place.per_y
        else:
            origin, slope, low, span = ray.z, ray.dz, place.z, f32(size[2] - 1) / place.per_z
        tiny = f32(-1e-12) if slope < 0 else f32(1e-12)
        inverse = one / (slope if abs(slope) >= f32(1e-12) else tiny)
        enter, leave = (low - origin) * inverse, (low + span - origin) * inverse
        near, far = max(near, min(enter, leave)), min(far, max(enter, leave))
    count = 0
    if near < far:
        count = int((far - near) / length - shift) + 1
    return Path(near + shift * length, length, count, far, zero, zero, one)


@inlined
def _uncontract(y):
    """The inverse of the contraction of a line: Floats in -2..2."""
    m = magnitude(y)
    return where(m > f32(1), y / most(m * (f32(2) - m), f32(1e-12)), y)


@inlined
def _distance(place, path, k):
    """Distances of the samples numbered ``k``, and the lengths they stand for; 0 beyond the end."""
    if place.unbounded:
        enter = most(least(k * path.length + path.start, FURTHEST), path.first)
        leave = most(least((k + f32(1)) * path.length + path.start, FURTHEST), path.first)
        enter, leave = _uncontract(enter), _uncontract(leave)
        return (enter + leave) * (f32(0.5) * path.unit) + path.middle, (leave - enter) * path.unit
    t = k * path.length + path.start
    return t, where(t < path.end, path.length, f32(0))


@inlined
def _position(grid, place, ray, t):
    """Points at distances ``t`` in vertex units, 0..n-1 an axis."""
    x, y, z = t * ray.dx + ray.x, t * ray.dy + ray.y, t * ray.dz + ray.z
    if place.unbounded:
        inverse = f32(1) / place.reach
        x, y, z = (x - place.x) * inverse, (y - place.y) * inverse, (z - place.z) * inverse
        m = most(most(most(magnitude(x), magnitude(y)), magnitude(z)), f32(1))
        bend = (f32(2) - f32(1) / m) / m * f32(0.5)
        x, y, z = (x * bend + f32(1)) * f32(0.5), (y * bend + f32(1)) * f32(0.5), (z * bend + f32(1)) * f32(0.5)
        return x * f32(grid.size[0] - 1), y * f32(grid.size[1] - 1), z * f32(grid.size[2] - 1)
    return (x - place.x) * place.per_x, (y - place.y) * place.per_y, (z - place.z) * place.per_z


@inlined
def _cell(position, vertices):
    """The cell along one axis, kept inside."""
    return whole(least(most(position, f32(0)), f32(vertices) - f32(1.5)))


@inlined
def _find(grid, place, ray, path, first, samples, count):
    """Appends those of the samples ``first``..``first`` + 15 that lie in occupied cells. Returns how many there are."""
    t, delta = _distance(place, path, steps() + f32(first))
    x, y, z = _position(grid, place, ray, t)
    i, j, k = _cell(x, grid.size[0]), _cell(y, grid.size[1]), _cell(z, grid.size[2])
    store(samples.step_word, 0, ((i >> 2) * grid.across[1] + (j >> 2)) * (2 * grid.across[2]) + (k >> 1))
    store(samples.step_bit, 0, ((i & 3) << 3) | ((j & 3) << 1) | (k & 1))
    store(samples.step_t, 0, t)
    store(samples.step_delta, 0, delta)
    for q in range(min(16, path.steps - first)):
        word = at(grid.occupied, at(samples.step_word, q))
        put(samples.t, count, at(samples.step_t, q))
        put(samples.delta, count, at(samples.step_delta, q))
        count += (word >> at(samples.step_bit, q)) & 1
    return count


@inlined
def _surround(grid, place, ray, samples, group):
    """The eight vertices around each of 16 samples and their shares, and the length each sample stands for, in voxels.

    That is negative where nothing passes whatever the vertices hold: in the outermost cells of an unbounded scene.
    """
    t = load(samples.t, group)
    x, y, z = _position(grid, place, ray, t)
    i, j, k = _cell(x, grid.size[0]), _cell(y, grid.size[1]), _cell(z, grid.size[2])
    ux = least(most(x - real(i), f32(0)), f32(1))
    uy = least(most(y - real(j), f32(0)), f32(1))
    uz = least(most(z - real(k), f32(0)), f32(1))
    across = grid.across
    vx, vy, vz = f32(1) - ux, f32(1) - uy, f32(1) - uz
    for a in range(2):
        ia = i + a
        brick_x, local_x = (ia >> 2) * across[1], (ia & 3) << 4
        share_x = ux if a else vx
        for b in range(2):
            jb = j + b
            brick_y, local_y = (brick_x + (jb >> 2)) * across[2], local_x | ((jb & 3) << 2)
            share_y = share_x * (uy if b else vy)
            for c in range(2):
                kc = k + c
                corner = group * 8 + 4 * a + 2 * b + c
                store(samples.corner, corner, ((brick_y + (kc >> 2)) << 6) | local_y | (kc & 3))
                store(samples.share, corner, share_y * (uz if c else vz))
    thickness = load(samples.delta, group) * (f32(1) / place.voxel)
    if place.unbounded:
        # A vertex holds density a voxel, and voxels grow outwards; the outermost cells reach to infinity.
        sx, sy, sz = f32(grid.size[0] - 1), f32(grid.size[1] - 1), f32(grid.size[2] - 1)
        from_x = least(x, sx - x) * (f32(4) / sx)
        from_y = least(y, sy - y) * (f32(4) / sy)
        from_z = least(z, sz - z) * (f32(4) / sz)
        edge = least(least(from_x, from_y), from_z)
        thin = least(most(edge, f32(0)), f32(1))
        outermost = least(least(from_x * sx, from_y * sy), from_z * sz) < f32(4)
        thickness = thickness * where(outermost, f32(-1), thin * thin)
    store(samples.thick, group, thickness)


@inlined
def _blend(grid, samples, s):
    """The line of 16 floats at sample ``s``: its eight vertices blended."""
    corner = (s >> 4) * 128 + (s & 15)
    value = splat(f32(0))
    for m in range(8):
        value = value + load(grid.table, at(samples.corner, corner + 16 * m)) * at(samples.share, corner + 16 * m)
    return value


@inlined
def see(grid, place, ray, path, harmonics, samples):
    """Follows ``ray``; returns how many samples are visible, and colour (quads) and share of the light they stop.

    What the visible samples are stands in ``samples``, for the depth and the way back.
    """
    color, stopped, light = splat(f32(0)), f32(0), f32(1)
    found, done, first, visible = 0, 0, 0, 0
    while light > VISIBLE and done < MOST - 48:
        while found - done < 16 and first < path.steps:
            found = _find(grid, place, ray, path, first, samples, found)
            first += 16
        if found == done:
            break
        _surround(grid, place, ray, samples, done >> 4)
        ready = min(found, done + 16)
        for s in range(done, ready):
            for m in range(8):
                prefetch(grid.table, at(samples.corner, (s >> 4) * 128 + (s & 15) + 16 * m))
        while done < ready and light > VISIBLE:
            line = _blend(grid, samples, done)
            thick = at(samples.thick, done)
            grown = exp2((lane(line, 12) - SHIFT) * LOG2_E)
            if thick == f32(1):
                left = light * (f32(1) / (f32(1) + grown))
            elif thick < f32(0):
                left = light * exp2(thick * LOG2_E)
            else:
                left = light * exp2(-thick * log2(f32(1) + grown))
            weight = light - left
            if weight > VISIBLE:
                shade = sigmoid(sum_quads(line * harmonics))
                color = color + shade * weight
                stopped += weight
                store(samples.color, visible, shade)
                put(samples.seen, visible, weight)
                put(samples.after, visible, left)
                put(samples.slope, visible, max(thick, f32(0)) * grown / (grown + f32(1)))
                put(samples.which, visible, done)
                visible += 1
            light = left
            done += 1
    return visible, color, stopped
