"""From photos to a first voxel field, vertex by vertex: the quick half of the starts of ``systems.latents.voxel``.

Four passes, each a few milliseconds for an object of some ten thousand vertices:

1. ``hull_depths``: how deep each vertex lies inside the visual hull, from the views' signed distances to silhouettes
   (Laurentini, "The visual hull concept", 1994; the distance makes it smooth, finer than the lattice);
2. ``gather``: each ray hands the colour of its pixel to the vertices that it sees, in the share in which it sees them;
3. ``solve``: the spherical harmonics of each vertex that agree best with what was handed to it (least squares);
4. ``describe``: what is known about a vertex and its 26 neighbours as one row of numbers, for a network to read.

Notation: a vertex's sums are two lines of 16. Line 0: quads of red, green, blue (as logits, times w Y) and of w Y.
Line 1: w Y_i Y for i = 1, 2, 3 in its first three quads, and the mean square of the logits times w Y in the last.
Y are the four spherical harmonics of the ray's direction, w is how much of the light of the ray the vertex stops.
"""

from __future__ import annotations

import math

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.functions import log2
from fieldscape.kernels.grid import RAW, vertex_row
from fieldscape.kernels.lenses import NUMBERS, pixel
from fieldscape.kernels.march import FIRST, basis, f32, lay, pixel_ray, see
from fieldscape.kernels.vectors import at, lane, load, put, quads, store

LN_2 = f32(0.6931471805599453)

DARKEST = f32(0.02)
"""Colours are taken within this of 0 and 1: logits of purer ones say nothing more."""

FEATURES = 27 * 4 + 9 + 3 + 5 + 7
"""How many numbers ``describe`` gives for a vertex."""


@compiled
def hull_depths(maps, poses, lenses, kind, axes, wanted, floor, depths):
    """How deep each vertex lies in the hull, in units of length, into ``depths`` [x, y, z]; negative outside.

    maps: float32 [v, h, w], the signed distance in pixels of each pixel's centre to the silhouette's edge, positive
    inside.  poses, lenses, kind: the cameras, as ``kernels.lenses`` writes them.  axes: the coordinates along x, y and
    z.  wanted: the vertices to look at.  floor: it is enough to know that a vertex is this far outside; the others get
    this depth as well.  Beyond the border of a picture counts what is on the border.
    """
    xs, ys, zs = axes
    views, height, width = maps.shape
    half, one = f32(0.5), f32(1)
    for i in range(xs.size):
        for j in range(ys.size):
            for k in range(zs.size):
                depth = f32(1e9)
                if not wanted[i, j, k]:
                    depth = floor
                for view in range(views):
                    if not depth > floor:
                        break
                    pose = 12 * view
                    x = at(xs, i) - at(poses, pose + 3)
                    y = at(ys, j) - at(poses, pose + 7)
                    z = at(zs, k) - at(poses, pose + 11)
                    ahead = at(poses, pose + 2) * x + at(poses, pose + 6) * y + at(poses, pose + 10) * z
                    if not ahead > f32(0):
                        continue
                    right = at(poses, pose) * x + at(poses, pose + 4) * y + at(poses, pose + 8) * z
                    down = at(poses, pose + 1) * x + at(poses, pose + 5) * y + at(poses, pose + 9) * z
                    column, row = pixel(kind, lenses, view, right, down, ahead)
                    column = min(max(column - half, f32(0)), f32(width) - f32(1.001))
                    row = min(max(row - half, f32(0)), f32(height) - f32(1.001))
                    left, top = int(column), int(row)
                    u, v = column - f32(left), row - f32(top)
                    first = (view * height + top) * width + left
                    above = at(maps, first) * (one - u) + at(maps, first + 1) * u
                    below = at(maps, first + width) * (one - u) + at(maps, first + width + 1) * u
                    length = (above * (one - v) + below * v) * ahead / at(lenses, NUMBERS * view)
                    depth = min(depth, length)
                depths[i, j, k] = max(depth, floor)


@inlined
def _logit(byte):
    """The logit of a colour of 0..255."""
    share = min(max(f32(byte) * f32(1 / 255), DARKEST), f32(1) - DARKEST)
    return (log2(share) - log2(f32(1) - share)) * LN_2


@compiled
def gather(grid, place, photos, numbers, first, last, samples, sums):
    """Adds to ``sums`` [2 n, 16] what the pixels ``first``..``last`` - 1 of the photos' pool hand to vertices.

    photos: as ``kernels.learn.Photos``.  numbers: int32 [rows of the table], the number 0..n-1 of each vertex, or -1
    for those that take nothing.  sums: aligned; see the notation above.
    """
    _, height, width, channels = photos.pixels.shape
    for i in range(first, last):
        index = np.int64(at(photos.pool, i))
        photo = index // (height * width)
        rest = index - photo * (height * width)
        row = rest // width
        ray = pixel_ray(photos.lens, photos.lenses, photos.poses, photo, row, rest - row * width)
        harmonics = basis(ray)
        visible, _, _ = see(grid, place, ray, lay(grid, place, ray, f32(0.5)), harmonics, samples)
        red = _logit(at(photos.pixels, index * channels))
        green = _logit(at(photos.pixels, index * channels + 1))
        blue = _logit(at(photos.pixels, index * channels + 2))
        square = (red * red + green * green + blue * blue) * f32(1 / 3)
        line = quads(red, green, blue, f32(1)) * harmonics
        other = quads(lane(harmonics, 1), lane(harmonics, 2), lane(harmonics, 3), square) * harmonics
        for n in range(visible):
            s, seen = at(samples.which, n), at(samples.seen, n)
            corner = (s >> 4) * 128 + (s & 15)
            for m in range(8):
                number = np.int64(at(numbers, at(samples.corner, corner + 16 * m)))
                if number >= 0:
                    weight = seen * at(samples.share, corner + 16 * m)
                    store(sums, 2 * number, load(sums, 2 * number) + line * weight)
                    store(sums, 2 * number + 1, load(sums, 2 * number + 1) + other * weight)


@compiled
def solve(grid, places, sums, usual, trust, stiffness):
    """Writes the colours of vertices that agree best with what was handed to them into the grid.

    places: int32 [n, 3], the vertices.  sums: of ``gather``.  usual: [3], logits of the colour of a vertex of which
    little is known.  trust: how much weight that has.  stiffness: the pull of what changes with direction towards 0, as
    a share of the weight.
    """
    for n in range(len(places)):
        row = vertex_row(grid, places[n, 0], places[n, 1], places[n, 2])
        first = 32 * n
        # Cholesky of the 4 x 4 matrix of sum w Y Y^T, held to the usual colour and to no change with direction.
        weight = at(sums, first + 12) / FIRST
        keep = trust * FIRST * FIRST
        pull = stiffness * weight + trust
        a00 = at(sums, first + 12) * FIRST + keep
        a10, a20, a30 = at(sums, first + 13) * FIRST, at(sums, first + 14) * FIRST, at(sums, first + 15) * FIRST
        a11, a21, a31 = at(sums, first + 17) + pull, at(sums, first + 18), at(sums, first + 19)
        a22, a32, a33 = at(sums, first + 22) + pull, at(sums, first + 23), at(sums, first + 27) + pull
        l00 = f32(math.sqrt(a00))
        l10, l20, l30 = a10 / l00, a20 / l00, a30 / l00
        l11 = f32(math.sqrt(max(a11 - l10 * l10, f32(1e-9))))
        l21, l31 = (a21 - l20 * l10) / l11, (a31 - l30 * l10) / l11
        l22 = f32(math.sqrt(max(a22 - l20 * l20 - l21 * l21, f32(1e-9))))
        l32 = (a32 - l30 * l20 - l31 * l21) / l22
        l33 = f32(math.sqrt(max(a33 - l30 * l30 - l31 * l31 - l32 * l32, f32(1e-9))))
        for color in range(3):
            start = first + 4 * color
            b0 = (at(sums, start) + keep / FIRST * at(usual, color)) / l00
            b1 = (at(sums, start + 1) - l10 * b0) / l11
            b2 = (at(sums, start + 2) - l20 * b0 - l21 * b1) / l22
            b3 = (at(sums, start + 3) - l30 * b0 - l31 * b1 - l32 * b2) / l33
            x3 = b3 / l33
            x2 = (b2 - l32 * x3) / l22
            x1 = (b1 - l21 * x2 - l31 * x3) / l11
            x0 = (b0 - l10 * x1 - l20 * x2 - l30 * x3) / l00
            grid.table[row, 4 * color], grid.table[row, 4 * color + 1] = x0, x1
            grid.table[row, 4 * color + 2], grid.table[row, 4 * color + 3] = x2, x3


@compiled
def write_density(grid, places, depths, surface, slope, lowest, highest):
    """Raw densities from depths in the hull: ``surface`` on it, ``slope`` more a unit of depth, within the bounds."""
    for n in range(len(places)):
        x, y, z = places[n, 0], places[n, 1], places[n, 2]
        raw = min(max(surface + slope * depths[x, y, z], lowest), highest)
        grid.table[vertex_row(grid, x, y, z), RAW] = raw


@compiled
def describe(grid, places, depths, prior, voxel, out):
    """What is known of each vertex of ``places``, into ``out`` [n, FEATURES]: all about of size 1.

    Of its 27 neighbours (itself in their middle) the raw density, and red, green and blue; how its own colours change
    with direction; what the optimiser remembers of it; how deep it lies in the hull, and which way that grows; where it
    is in the box, its mirrored place, and what ``prior`` [x, y, z, 2] says there.
    """
    sizes = grid.size
    for n in range(len(places)):
        x, y, z = places[n, 0], places[n, 1], places[n, 2]
        put_at = n * FEATURES
        for i in range(-1, 2):
            ni = min(max(x + i, 0), sizes[0] - 1)
            for j in range(-1, 2):
                nj = min(max(y + j, 0), sizes[1] - 1)
                for k in range(-1, 2):
                    nk = min(max(z + k, 0), sizes[2] - 1)
                    line = np.int64(vertex_row(grid, ni, nj, nk)) * 16
                    put(out, put_at, at(grid.table, line + RAW) * f32(0.25))
                    put(out, put_at + 1, at(grid.table, line) * f32(0.15))
                    put(out, put_at + 2, at(grid.table, line + 4) * f32(0.15))
                    put(out, put_at + 3, at(grid.table, line + 8) * f32(0.15))
                    put_at += 4
        line = np.int64(vertex_row(grid, x, y, z)) * 16
        for color in range(3):
            for m in range(1, 4):
                put(out, put_at, at(grid.table, line + 4 * color + m) * f32(0.4))
                put_at += 1
        put(out, put_at, at(grid.table, line + 13))
        put(out, put_at + 1, log2(at(grid.table, line + 14) + f32(1e-12)) * f32(0.1) + f32(2))
        put(out, put_at + 2, log2(at(grid.table, line + 15) + f32(1e-12)) * f32(0.1) + f32(2))
        put_at += 3
        scale = f32(0.25) / voxel
        here = depths[x, y, z] * scale
        put(out, put_at, here)
        put(out, put_at + 1, min(max(here * f32(4), f32(-1)), f32(1)))
        put(out, put_at + 2, (depths[min(x + 1, sizes[0] - 1), y, z] - depths[max(x - 1, 0), y, z]) * f32(2) * scale)
        put(out, put_at + 3, (depths[x, min(y + 1, sizes[1] - 1), z] - depths[x, max(y - 1, 0), z]) * f32(2) * scale)
        put(out, put_at + 4, (depths[x, y, min(z + 1, sizes[2] - 1)] - depths[x, y, max(z - 1, 0)]) * f32(2) * scale)
        put_at += 5
        u = f32(2 * x) / f32(sizes[0] - 1) - f32(1)
        v = f32(2 * y) / f32(sizes[1] - 1) - f32(1)
        w = f32(2 * z) / f32(sizes[2] - 1) - f32(1)
        put(out, put_at, u)
        put(out, put_at + 1, v)
        put(out, put_at + 2, w)
        put(out, put_at + 3, abs(u))
        put(out, put_at + 4, abs(v))
        put(out, put_at + 5, prior[x, y, z, 0])
        put(out, put_at + 6, prior[x, y, z, 1])


@compiled
def read_lines(grid, places, out):
    """The lines of the vertices ``places`` into ``out`` [n, 16]."""
    for n in range(len(places)):
        row = vertex_row(grid, places[n, 0], places[n, 1], places[n, 2])
        for m in range(16):
            out[n, m] = grid.table[row, m]


@compiled
def write_lines(grid, places, lines):
    """The reverse of ``read_lines``, for the first lanes that ``lines`` [n, m] has."""
    for n in range(len(places)):
        row = vertex_row(grid, places[n, 0], places[n, 1], places[n, 2])
        for m in range(lines.shape[1]):
            grid.table[row, m] = lines[n, m]
