"""One pass over random pixels: see, compare, and move at once what was seen.

There is no batch. Each ray moves the vertices that it met before the next ray looks: their lines are still in the
processor's cache, so the gradient is never written anywhere and never gathered. The step of a vertex is its gradient
over the root of its mean square (RMSprop, the second moment of Adam), kept once for its density and once for its
colour.

Which pixel the n-th ray of a training goes through depends on the seed and n alone, so a training can be taken up
anywhere. With several threads two rays may now and then move the same vertex at the same moment, and one of the moves
is lost (Niu et al., "Hogwild!", 2011): results then differ a little from run to run; with one thread they do not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.functions import rsqrt
from fieldscape.kernels.grid import RAW
from fieldscape.kernels.march import Path, Ray, basis, f32, lay, pixel_ray, see
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
    splat,
    spread,
    spread_in_quads,
    store,
    sum_lanes,
    with_last_quad,
    woven,
)

CAMERA_NUMBERS = 9
"""What is learned of a photo: how its camera is turned (3) and moved (3), and its exposure (3)."""


class Photos(NamedTuple):
    """pixels: RGB, or RGBA with straight alpha.  empty: 1 where a pixel is known to show nothing but background."""

    pixels: np.ndarray  # uint8 [v, h, w, 3 or 4]
    empty: np.ndarray  # uint8 [v, h, w], or nothing [0, 0, 0]
    pool: np.ndarray  # uint32 or int64 [p]: the pixels to learn from, of all v h w
    poses: np.ndarray  # float32 [v, 12]
    lenses: np.ndarray  # float32 [v, 9]
    gains: np.ndarray  # float32 [v, 4]: exposure of red, green and blue; how much the photo counts
    lens: int


class Rates(NamedTuple):
    """How far things move, and what pulls at them."""

    density: np.float32  # step of the raw density
    color: np.float32  # step of the colour's coefficients
    smooth: np.float32  # pull of a vertex towards the middle of its cell
    opacity: np.float32  # weight of the error of opacity
    memory: np.float32  # share of the mean squared gradient kept at a step, at most
    tolerance: np.float32  # errors of colour well beyond it count for little; 0: all count in full
    any_background: bool  # show the object before a colour of its own at each ray, where photos have alpha
    cameras: bool  # also find the gradient of poses and exposures
    angular: np.float32 = np.float32(1)  # how far what changes with direction moves, as a share of the colour


class Query(NamedTuple):
    """A pixel, its ray, and the ray's path."""

    photo: int
    row: int
    column: int
    ray: Ray
    path: Path
    chance: int


@inlined
def scrambled(x):
    """A 64-bit number without visible order from one with it: the finaliser of splitmix64 (Steele et al. 2014)."""
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inlined
def _share(chance, first):
    """24 bits of a random number, from bit ``first`` on, as a number in 0..1."""
    return f32((chance >> np.uint64(first)) & np.uint64(0xFFFFFF)) * f32(2**-24)


@inlined
def _draw(grid, place, photos, seed, number):
    """The ray of number ``number`` in the endless random sequence ``seed``."""
    _, height, width, _ = photos.pixels.shape
    chance = scrambled(np.uint64(seed) + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15))
    chosen = ((chance >> np.uint64(32)) * np.uint64(len(photos.pool))) >> np.uint64(32)
    pixel = np.int64(at(photos.pool, np.int64(chosen)))
    photo = pixel // (height * width)
    rest = pixel - photo * (height * width)
    row = rest // width
    column = rest - row * width
    ray = pixel_ray(photos.lens, photos.lenses, photos.poses, photo, row, column)
    return Query(photo, row, column, ray, lay(grid, place, ray, _share(chance, 0)), chance)


@inlined
def _learn(grid, samples, s, first, gradient, slope, squares, middle, rates):
    """Moves the vertices ``first``..``first`` + 3 of the eight around sample ``s``.

    gradient: of the loss by the blended line.  slope: the same by raw density.  squares: cycle(0, 0, slope^2, mean
    squared colour gradient).  middle: the mean of the eight lines.
    """
    at0 = ((s >> 4) * 8 + first) * 16 + (s & 15)
    at1, at2, at3 = at0 + 16, at0 + 32, at0 + 48
    r0, r1, r2, r3 = at(samples.corner, at0), at(samples.corner, at1), at(samples.corner, at2), at(samples.corner, at3)
    a, b, c, d = load(grid.table, r0), load(grid.table, r1), load(grid.table, r2), load(grid.table, r3)
    share = quads(at(samples.share, at0), at(samples.share, at1), at(samples.share, at2), at(samples.share, at3))
    memory = last_quads(a, b, c, d)
    # The first gradient that a vertex meets is taken for the mean; trust in the mean grows to its limit.
    trust = least(memory * f32(0.8) + f32(0.2), rates.memory)
    mean = memory + (share * share * squares - memory) * (f32(1) - spread_in_quads(memory, 1))
    rate = rsqrt(most(mean, f32(1e-30))) * cycle(f32(0), f32(0), rates.density, rates.color)
    step = rate * share
    density = memory - spread_in_quads(step, 2) * slope
    if rates.smooth > f32(0):
        rate = least(rate * rates.smooth, f32(0.1))
        density = density + (spread(middle, RAW) - memory) * spread_in_quads(rate, 2)
        a = a + (middle - a) * spread(rate, 3)
        b = b + (middle - b) * spread(rate, 7)
        c = c + (middle - c) * spread(rate, 11)
        d = d + (middle - d) * spread(rate, 15)
    ends = woven(density, trust, mean)
    store(grid.table, r0, with_last_quad(a - gradient * spread(step, 3), ends, 0))
    store(grid.table, r1, with_last_quad(b - gradient * spread(step, 7), ends, 1))
    store(grid.table, r2, with_last_quad(c - gradient * spread(step, 11), ends, 2))
    store(grid.table, r3, with_last_quad(d - gradient * spread(step, 15), ends, 3))


@inlined
def _middle(grid, samples, s):
    """The mean of the eight lines around sample ``s``."""
    corner = (s >> 4) * 128 + (s & 15)
    total = splat(f32(0))
    for m in range(8):
        total = total + load(grid.table, at(samples.corner, corner + 16 * m))
    return total * f32(0.125)


@inlined
def _slopes(place, samples, visible, pull, behind, opacity_pull):
    """Against the light: the loss's derivative by the raw density of each visible sample.

    pull: quads of the loss's gradient by the ray's colour.  behind: quads of the background.
    """
    hidden = f32(0)
    for n in range(visible - 1, -1, -1):
        gain = (load(samples.color, n) - behind) * pull
        worth = lane(gain, 0) + lane(gain, 4) + lane(gain, 8) + opacity_pull
        slope = (at(samples.after, n) * worth - hidden) * at(samples.slope, n)
        if place.unbounded:
            # Close to a camera few others see anything: what it meets there is mostly its own error.
            near = at(samples.t, at(samples.which, n)) / place.reach
            slope *= min(near * near, f32(1))
        put(samples.slope, n, slope)
        hidden += at(samples.seen, n) * worth


@inlined
def _move(grid, samples, visible, pull, harmonics, rates):
    """Moves the vertices around each visible sample by its part in the error."""
    # Neighbours on the ray share vertices: every third in turn, so that none waits for the one before it.
    for offset in range(3):
        for n in range(offset, visible, 3):
            s, slope = at(samples.which, n), at(samples.slope, n)
            color = load(samples.color, n)
            gradient = pull * color * (f32(1) - color) * harmonics * at(samples.seen, n)
            squares = cycle(f32(0), f32(0), slope * slope, sum_lanes(gradient * gradient) * f32(1 / 12))
            middle = splat(f32(0))
            if rates.smooth > f32(0):
                middle = _middle(grid, samples, s)
            _learn(grid, samples, s, 0, gradient, slope, squares, middle, rates)
            _learn(grid, samples, s, 4, gradient, slope, squares, middle, rates)


@inlined
def _turn(grid, place, samples, visible, pull, harmonics, query, turned):
    """Adds to ``turned`` the gradient of the loss by the camera's turn (world axes, about its centre) and move.

    Taken after ``_slopes``, and before the vertices move.
    """
    ray = query.ray
    ox, oy, oz, dx, dy, dz = f32(0), f32(0), f32(0), f32(0), f32(0), f32(0)
    for n in range(visible):
        s = at(samples.which, n)
        color = load(samples.color, n)
        gradient = pull * color * (f32(1) - color) * harmonics * at(samples.seen, n)
        corner = (s >> 4) * 128 + (s & 15)
        gx, gy, gz = f32(0), f32(0), f32(0)
        ux, uy, uz = f32(0), f32(0), f32(0)
        for m in range(4, 8):
            ux += at(samples.share, corner + 16 * m)
        for m in (2, 3, 6, 7):
            uy += at(samples.share, corner + 16 * m)
        for m in (1, 3, 5, 7):
            uz += at(samples.share, corner + 16 * m)
        for m in range(8):
            line = load(grid.table, at(samples.corner, corner + 16 * m))
            value = sum_lanes(line * gradient) + lane(line, RAW) * at(samples.slope, n)
            sx = ux if m & 4 else f32(1) - ux
            sy = uy if m & 2 else f32(1) - uy
            sz = uz if m & 1 else f32(1) - uz
            gx += value * sy * sz * (f32(1) if m & 4 else f32(-1))
            gy += value * sx * sz * (f32(1) if m & 2 else f32(-1))
            gz += value * sx * sy * (f32(1) if m & 1 else f32(-1))
        t = at(samples.t, s)
        gx, gy, gz = gx * place.per_x, gy * place.per_y, gz * place.per_z
        if place.unbounded:
            # The contraction's Jacobian, transposed: s I + e_k s'(m) x^T with s = (2 - 1/m) / m, halved with the cube.
            inverse = f32(1) / place.reach
            x = (ray.x + t * ray.dx - place.x) * inverse
            y = (ray.y + t * ray.dy - place.y) * inverse
            z = (ray.z + t * ray.dz - place.z) * inverse
            m = max(max(abs(x), abs(y)), max(abs(z), f32(1)))
            bend = (f32(2) - f32(1) / m) / m * f32(0.5)
            fall = (x * gx + y * gy + z * gz) * (f32(1) / m - f32(1)) / (m * m)
            if m == f32(1):
                fall = f32(0)
            along_x, along_y = abs(x) >= m, abs(y) >= m
            gx = gx * bend + (fall if x > 0 else -fall) * (f32(1) if along_x else f32(0))
            gy = gy * bend + (fall if y > 0 else -fall) * (f32(1) if along_y and not along_x else f32(0))
            gz = gz * bend + (fall if z > 0 else -fall) * (f32(0) if along_x or along_y else f32(1))
        ox, oy, oz = ox + gx, oy + gy, oz + gz
        dx, dy, dz = dx + t * gx, dy + t * gy, dz + t * gz
    first = query.photo * CAMERA_NUMBERS
    put(turned, first, at(turned, first) + ray.dy * dz - ray.dz * dy)
    put(turned, first + 1, at(turned, first + 1) + ray.dz * dx - ray.dx * dz)
    put(turned, first + 2, at(turned, first + 2) + ray.dx * dy - ray.dy * dx)
    put(turned, first + 3, at(turned, first + 3) + ox)
    put(turned, first + 4, at(turned, first + 4) + oy)
    put(turned, first + 5, at(turned, first + 5) + oz)


@compiled
def learn(grid, place, photos, rates, background, seed, first, last, samples, told, turned):
    """Learns from the rays ``first``..``last`` of the endless random sequence ``seed``.

    background: red, green and blue.  told: squared error, rays and visible samples are added to it.  turned: the
    gradient [v, 9] by what is learned of cameras is added to it, where ``rates`` ask for that.
    """
    _, height, width, channels = photos.pixels.shape
    byte = f32(1 / 255)
    error, count = f32(0), 0
    for i in range(first, last):
        query = _draw(grid, place, photos, seed, i)
        harmonics = basis(query.ray)
        visible, color, stopped = see(grid, place, query.ray, query.path, harmonics, samples)
        behind_red, behind_green, behind_blue = background[0], background[1], background[2]
        if rates.any_background:
            other = scrambled(query.chance)
            behind_red, behind_green, behind_blue = _share(other, 0), _share(other, 16), _share(other, 40)
        behind = quads(behind_red, behind_green, behind_blue, f32(0))
        color = color + behind * (f32(1) - stopped)

        # What the photo shows there, and what it says of opacity.
        pixel = (query.photo * height + query.row) * width + query.column
        red = f32(at(photos.pixels, pixel * channels)) * byte
        green = f32(at(photos.pixels, pixel * channels + 1)) * byte
        blue = f32(at(photos.pixels, pixel * channels + 2)) * byte
        opacity = f32(0)
        if channels == 4:
            alpha = f32(at(photos.pixels, pixel * channels + 3)) * byte
            red = red * alpha + behind_red * (f32(1) - alpha)
            green = green * alpha + behind_green * (f32(1) - alpha)
            blue = blue * alpha + behind_blue * (f32(1) - alpha)
            opacity = rates.opacity if stopped > alpha else -rates.opacity
        elif photos.empty.size and at(photos.empty, pixel):
            opacity = rates.opacity

        # The error, and its gradient by the colour of the ray.
        gains = photos.gains
        gain = query.photo * 4
        seen_red, seen_green, seen_blue = lane(color, 0), lane(color, 4), lane(color, 8)
        red = seen_red * at(gains, gain) - red
        green = seen_green * at(gains, gain + 1) - green
        blue = seen_blue * at(gains, gain + 2) - blue
        square = (red * red + green * green + blue * blue) * f32(1 / 3)
        error += square
        count += visible
        weight = at(gains, gain + 3)
        if rates.tolerance > f32(0):
            # Geman and McClure's: a pixel that disagrees by far more than the tolerance shows something else.
            bound = rates.tolerance * rates.tolerance
            weight *= bound * bound / ((bound + square) * (bound + square))
        third = f32(2 / 3) * weight
        red, green, blue = third * red, third * green, third * blue
        pull = quads(red * at(gains, gain), green * at(gains, gain + 1), blue * at(gains, gain + 2), f32(0))
        _slopes(place, samples, visible, pull, behind, opacity * weight)
        if rates.cameras:
            _turn(grid, place, samples, visible, pull, harmonics, query, turned)
            first_number = query.photo * CAMERA_NUMBERS + 6
            put(turned, first_number, at(turned, first_number) + red * seen_red)
            put(turned, first_number + 1, at(turned, first_number + 1) + green * seen_green)
            put(turned, first_number + 2, at(turned, first_number + 2) + blue * seen_blue)
        if rates.density > f32(0):
            moved = harmonics * cycle(f32(1), rates.angular, rates.angular, rates.angular)
            _move(grid, samples, visible, pull, moved, rates)
    told[0] += error
    told[1] += last - first
    told[2] += count
