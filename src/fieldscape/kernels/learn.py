"""One pass over random pixels: see, compare, and move at once what was seen.

There is no batch. Each ray moves the vertices that it met before the next ray looks: their lines are still in the
processor's cache, so the gradient is never written anywhere and never gathered. The step of a vertex is its gradient
over the root of its mean square (RMSprop, the second moment of Adam), kept for its density and for all of its colour.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fieldscape.kernels.grid import compiled, inlined
from fieldscape.kernels.march import Path, Ray, basis, f32, lay, see
from fieldscape.kernels.vectors import (
    at,
    cycle,
    lane,
    last_quads,
    least,
    load,
    most,
    put,
    quads,
    rsqrt,
    splat,
    spread,
    spread_in_quads,
    store,
    sum_lanes,
    with_last_quad,
    woven,
)


class Photos(NamedTuple):
    """pixels: RGB, or RGBA with straight alpha.  empty: 1 where a pixel is known to show nothing but background."""

    pixels: np.ndarray  # uint8 [v, h, w, 3 or 4]
    empty: np.ndarray  # uint8 [v, h, w], or [0, 0, 0] where alpha says it
    pool: np.ndarray  # uint32 or int64: the pixels to learn from, of all v h w
    poses: np.ndarray  # float32 [v, 3, 4]
    lens: np.ndarray  # float32 [v, 4]: focal lengths and principal point


class Rates(NamedTuple):
    """How far things move: a step of density and of colour, smoothing, weight of the opacity's error, memory."""

    density: np.float32
    color: np.float32
    smooth: np.float32
    opacity: np.float32
    memory: np.float32


@inlined
def scrambled(x):
    """A 64-bit number without visible order from one with it: the finaliser of splitmix64 (Steele et al. 2014)."""
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inlined
def _learn(grid, samples, s, first, gradient, slope, squares, rates):
    """Moves the vertices ``first``..``first`` + 3 of the eight around sample ``s``.

    gradient: of the loss by the blended line.  slope: the same by raw density.  squares: cycle(0, 0, slope^2, mean
    squared colour gradient).
    """
    at0 = ((s >> 4) * 8 + first) * 16 + (s & 15)
    at1, at2, at3 = at0 + 16, at0 + 32, at0 + 48
    r0, r1, r2, r3 = at(samples.corner, at0), at(samples.corner, at1), at(samples.corner, at2), at(samples.corner, at3)
    a, b, c, d = load(grid.table, r0), load(grid.table, r1), load(grid.table, r2), load(grid.table, r3)
    share = quads(at(samples.share, at0), at(samples.share, at1), at(samples.share, at2), at(samples.share, at3))
    memory = last_quads(a, b, c, d)
    trust = least(memory * f32(0.8) + f32(0.2), rates.memory)
    mean = memory + (share * share * squares - memory) * (f32(1) - spread_in_quads(memory, 1))
    step = rsqrt(most(mean, f32(1e-30))) * cycle(f32(0), f32(0), rates.density, rates.color) * share
    ends = woven(memory - spread_in_quads(step, 2) * slope, trust, mean)
    store(grid.table, r0, with_last_quad(a - gradient * spread(step, 3), ends, 0))
    store(grid.table, r1, with_last_quad(b - gradient * spread(step, 7), ends, 1))
    store(grid.table, r2, with_last_quad(c - gradient * spread(step, 11), ends, 2))
    store(grid.table, r3, with_last_quad(d - gradient * spread(step, 15), ends, 3))


@inlined
def _back(grid, samples, visible, pull, behind, opacity_pull, harmonics, rates):
    """Against the light: each visible sample's part in the error, and the vertices around it moved by it.

    pull: quads of the loss's gradient by the ray's colour.  behind: quads of the background.
    """
    hidden = f32(0)
    for n in range(visible - 1, -1, -1):
        gain = (load(samples.color, n) - behind) * pull
        worth = lane(gain, 0) + lane(gain, 4) + lane(gain, 8) + opacity_pull
        put(samples.slope, n, (at(samples.after, n) * worth - hidden) * at(samples.slope, n))
        hidden += at(samples.seen, n) * worth
    # Neighbours on the ray share vertices: every third in turn, so that none waits for the one before it.
    for offset in range(3):
        for n in range(offset, visible, 3):
            s, slope = at(samples.which, n), at(samples.slope, n)
            color = load(samples.color, n)
            gradient = pull * color * (f32(1) - color) * harmonics * at(samples.seen, n)
            squares = cycle(f32(0), f32(0), slope * slope, sum_lanes(gradient * gradient) * f32(1 / 12))
            _learn(grid, samples, s, 0, gradient, slope, squares, rates)
            _learn(grid, samples, s, 4, gradient, slope, squares, rates)


class Query(NamedTuple):
    """A pixel, its ray, and the ray's path."""

    photo: int
    row: int
    column: int
    ray: Ray
    path: Path


@inlined
def _draw(grid, place, photos, seed, number):
    """The ray of number ``number`` in the endless random sequence ``seed``."""
    _, height, width, _ = photos.pixels.shape
    count = np.uint64(len(photos.pool))
    chance = scrambled(np.uint64(seed) + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15))
    pixel = np.int64(at(photos.pool, np.int64(((chance >> np.uint64(32)) * count) >> np.uint64(32))))
    view = pixel // (height * width)
    rest = pixel - view * (height * width)
    row = rest // width
    column = rest - row * width
    lens, pose = 4 * view, 12 * view
    x = (f32(column) + f32(0.5) - at(photos.lens, lens + 2)) / at(photos.lens, lens)
    y = (f32(row) + f32(0.5) - at(photos.lens, lens + 3)) / at(photos.lens, lens + 1)
    poses = photos.poses
    dx = at(poses, pose) * x + at(poses, pose + 1) * y + at(poses, pose + 2)
    dy = at(poses, pose + 4) * x + at(poses, pose + 5) * y + at(poses, pose + 6)
    dz = at(poses, pose + 8) * x + at(poses, pose + 9) * y + at(poses, pose + 10)
    inverse = f32(1) / f32(np.sqrt(dx * dx + dy * dy + dz * dz))
    ray = Ray(
        at(poses, pose + 3), at(poses, pose + 7), at(poses, pose + 11), dx * inverse, dy * inverse, dz * inverse
    )
    path = lay(grid, place, ray, f32(chance & np.uint64(0xFFFFFF)) * f32(2**-24))
    return Query(view, row, column, ray, path)


@compiled
def learn(grid, place, photos, rates, background, seed, first, last, samples, told):
    """Learns from the rays ``first``..``last`` of the endless random sequence ``seed``. Adds to ``told`` the squared
    error, the rays and the visible samples.
    """
    _, height, width, channels = photos.pixels.shape
    third, byte = f32(2 / 3), f32(1 / 255)
    behind = quads(background[0], background[1], background[2], f32(0))
    error, seen = f32(0), 0
    for i in range(first, last):
        query = _draw(grid, place, photos, seed, i)
        harmonics = basis(query.ray)
        visible, color, stopped = see(grid, place, query.ray, query.path, harmonics, samples)
        color = color + behind * (f32(1) - stopped)
        pixel = (query.photo * height + query.row) * width + query.column
        red = f32(at(photos.pixels, pixel * channels)) * byte
        green = f32(at(photos.pixels, pixel * channels + 1)) * byte
        blue = f32(at(photos.pixels, pixel * channels + 2)) * byte
        opacity = f32(0)
        if channels == 4:
            alpha = f32(at(photos.pixels, pixel * channels + 3)) * byte
            red = red * alpha + background[0] * (f32(1) - alpha)
            green = green * alpha + background[1] * (f32(1) - alpha)
            blue = blue * alpha + background[2] * (f32(1) - alpha)
            opacity = rates.opacity if stopped > alpha else -rates.opacity
        elif photos.empty.size and at(photos.empty, pixel):
            opacity = rates.opacity
        red, green, blue = lane(color, 0) - red, lane(color, 4) - green, lane(color, 8) - blue
        error += (red * red + green * green + blue * blue) / f32(3)
        seen += visible
        pull = quads(third * red, third * green, third * blue, f32(0))
        _back(grid, samples, visible, pull, behind, opacity, harmonics, rates)
    told[0] += error
    told[1] += last - first
    told[2] += seen


@compiled
def look(grid, place, origins, directions, background, first, last, samples, color, alpha, depth):
    """What rays ``first``..``last`` see: ``color`` [r, 3], ``alpha`` and median ``depth`` [r]. The samples are unshifted."""
    for i in range(first, last):
        ray = Ray(origins[i, 0], origins[i, 1], origins[i, 2], directions[i, 0], directions[i, 1], directions[i, 2])
        path = lay(grid, place, ray, f32(0.5))
        visible, seen, stopped = see(grid, place, ray, path, basis(ray), samples)
        rest = f32(1) - stopped
        color[i, 0] = lane(seen, 0) + rest * background[0]
        color[i, 1] = lane(seen, 4) + rest * background[1]
        color[i, 2] = lane(seen, 8) + rest * background[2]
        alpha[i] = stopped
        depth[i] = f32(0)
        passed = f32(0)
        for n in range(visible):
            passed += at(samples.seen, n)
            if passed >= f32(0.5) * stopped:
                depth[i] = at(samples.t, at(samples.which, n))
                break
