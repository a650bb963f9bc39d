"""Colours looked up in a frame, at the places that the faces of a mesh carry there.

Used by ``systems.tracks.fetching``, whose ``look_up_plain`` is the specification.

A face is a piece of a plane in space, so its places in the source frame are a homography of its pixels in the target:
the numerators and the denominator of places are what is interpolated (the source's own depth z: u z, v z and z).
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined


@inlined
def _cubic(t, a):
    """The weights of four neighbours at the offset t from the second: Keys' cubic convolution, with its parameter a."""
    far, near, next_, last = t + 1.0, t, 1.0 - t, 2.0 - t
    return (
        ((a * far - 5.0 * a) * far + 8.0 * a) * far - 4.0 * a,
        ((a + 2.0) * near - (a + 3.0)) * near * near + 1.0,
        ((a + 2.0) * next_ - (a + 3.0)) * next_ * next_ + 1.0,
        ((a * last - 5.0 * a) * last + 8.0 * a) * last - 4.0 * a,
    )


@inlined
def _within(index, size):
    return min(max(index, 0), size - 1)


@compiled
def look_up(
    found,
    weights,
    faces,
    texture,
    quality,
    distant,
    frame,
    cut,
    keys,
    hint,
    color,
    alpha,
    far,
    stretch,
    places,
    top,
    bottom,
):
    """Fills the rows ``top``..``bottom`` - 1 of what is fetched.

    found: int64 [h, w], weights: float32 [h, w, 3], as in ``raster.Raster``.  faces: int64 [f, 3].  texture: float64
    [v, 3], u z, v z, z.  quality: float32 [f], distant: bool [f], of each face.  frame: uint8 [H, W, 3].  cut: uint8
    [H, W], the share of each source pixel that belongs to the layer, 255 for all.  keys: the cubic's
    parameter.  hint: the least share beyond the source picture's border.  color [h, w, 3], alpha, stretch [h, w],
    places [h, w, 2]: float32, far: bool [h, w].
    """
    high, wide = frame.shape[0], frame.shape[1]
    for row in range(top, bottom):
        for column in range(found.shape[1]):
            face = found[row, column]
            far[row, column] = False
            for k in range(3):
                color[row, column, k] = np.float32(0)
            alpha[row, column] = stretch[row, column] = np.float32(0)
            places[row, column, 0] = places[row, column, 1] = np.float32(0)
            if face < 0:
                continue
            one, other, third = faces[face, 0], faces[face, 1], faces[face, 2]
            p, q, r = weights[row, column, 0], weights[row, column, 1], weights[row, column, 2]
            z = p * texture[one, 2] + q * texture[other, 2] + r * texture[third, 2]
            u = (p * texture[one, 0] + q * texture[other, 0] + r * texture[third, 0]) / z
            v = (p * texture[one, 1] + q * texture[other, 1] + r * texture[third, 1]) / z
            places[row, column, 0], places[row, column, 1] = u, v
            far[row, column] = distant[face]
            stretch[row, column] = quality[face]
            inside = min(min(u, v), min(wide - u, high - v)) + 0.5
            u, v = min(max(u, 0.0), np.float64(wide)) - 0.5, min(max(v, 0.0), np.float64(high)) - 0.5
            left, up = int(np.floor(u)), int(np.floor(v))
            s, t = u - left, v - up
            p, q, r, o = _cubic(s, keys)
            a, b, c, d = _cubic(t, keys)
            xa, xb = _within(left - 1, wide), _within(left, wide)
            xc, xd = _within(left + 1, wide), _within(left + 2, wide)
            ya, yb = _within(up - 1, high), _within(up, high)
            yc, yd = _within(up + 1, high), _within(up + 2, high)
            for k in range(3):
                va = p * frame[ya, xa, k] + q * frame[ya, xb, k] + r * frame[ya, xc, k] + o * frame[ya, xd, k]
                vb = p * frame[yb, xa, k] + q * frame[yb, xb, k] + r * frame[yb, xc, k] + o * frame[yb, xd, k]
                vc = p * frame[yc, xa, k] + q * frame[yc, xb, k] + r * frame[yc, xc, k] + o * frame[yc, xd, k]
                vd = p * frame[yd, xa, k] + q * frame[yd, xb, k] + r * frame[yd, xc, k] + o * frame[yd, xd, k]
                value = (a * va + b * vb + c * vc + d * vd) * (1.0 / 255.0)
                color[row, column, k] = min(max(value, 0.0), 1.0)
            above = (1.0 - s) * cut[yb, xb] + s * cut[yb, xc]
            below = (1.0 - s) * cut[yc, xb] + s * cut[yc, xc]
            alpha[row, column] = ((1.0 - t) * above + t * below) / 255.0 * min(max(inside, hint), 1.0)


@compiled
def gather(
    color, alpha, depth, far, stretch, lens, baseline, angle, late, least, number, colors, shares, depths, fars,
    stretches, steps, top, bottom,
):  # fmt: skip
    """Writes rows ``top``..``bottom`` - 1 of what one source shows into the places of source ``number`` of a stack.

    color [h, w, 3], alpha, depth, stretch [h, w]: float32, far: bool [h, w].  lens: fx fy cx cy of the target camera.
    baseline: from the source camera to the target's, in the target's axes.  angle: radians of a step, or 0 where only
    time counts.  late: what delay adds to the square of the steps.  least: the share below which nothing is shown.
    colors [3, s, p], the others [s, p]: float32. The formula of the steps is that of ``footage.steps_apart``.
    """
    width = alpha.shape[1]
    plain = np.float32(np.sqrt(late))
    for row in range(top, bottom):
        v = (row + 0.5 - lens[3]) / lens[1]
        for column in range(width):
            p = row * width + column
            for k in range(3):
                colors[k, number, p] = color[row, column, k]
            share = min(max(alpha[row, column], np.float32(0)), np.float32(1))
            shares[number, p] = share
            z = np.float64(depth[row, column]) if alpha[row, column] > least else 1.0
            depths[number, p] = z
            fars[number, p] = np.float32(far[row, column])
            stretches[number, p] = stretch[row, column]
            if angle == 0.0:
                steps[number, p] = plain
                continue
            ax, ay, az = z * (column + 0.5 - lens[2]) / lens[0], z * v, z
            bx, by, bz = ax + baseline[0], ay + baseline[1], az + baseline[2]
            cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            across, along = np.sqrt(cx * cx + cy * cy + cz * cz), ax * bx + ay * by + az * bz
            turned = np.arctan2(across, along) / angle
            steps[number, p] = np.sqrt(turned * turned + late)
