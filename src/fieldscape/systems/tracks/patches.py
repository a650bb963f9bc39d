"""Small patches of pictures, compared and laid over one another to a hundredth of a pixel.

A patch that was cut out where a point was first seen is found again by an affine warp whose parameters come from the
inverse compositional algorithm (Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004, section 3.2.2): the
gradients are those of the patch, so its normal matrix is the same in every step. Brightness and contrast are divided
out: both patches are brought to mean 0 and length 1, and what changes either is projected out of the gradients (Hager
and Belhumeur, PAMI 1998). Comparing with the first patch, and not with the last frame's, is what stops drift; following
changes of appearance by a fresh patch only when the old one no longer fits is Matthews, Ishikawa and Baker, "The
template update problem", PAMI 2004.

Places are (x, y) in pixels, the centre of the top-left pixel being (0.5, 0.5). Values outside the picture are NaN and
take no part in any sum.
"""

from __future__ import annotations

import math

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.exact import share

PARTS = 8


@inlined
def _value(picture, x, y):
    """Bilinear value at a place; NaN where any of its four pixels is outside."""
    height, width = picture.shape
    x -= 0.5
    y -= 0.5
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
        return math.nan
    i, j = min(int(x), width - 2), min(int(y), height - 2)
    u, v = x - i, y - j
    above = picture[j, i] + u * (picture[j, i + 1] - picture[j, i])
    below = picture[j + 1, i] + u * (picture[j + 1, i + 1] - picture[j + 1, i])
    return above + v * (below - above)


@compiled
def _cut(picture, places, warps, patches, first, last):
    side = patches.shape[1]
    middle = side // 2
    for n in range(first, last):
        for j in range(side):
            for i in range(side):
                dx, dy = float(i - middle), float(j - middle)
                x = places[n, 0] + warps[n, 0, 0] * dx + warps[n, 0, 1] * dy
                y = places[n, 1] + warps[n, 1, 0] * dx + warps[n, 1, 1] * dy
                patches[n, j, i] = _value(picture, x, y)


def cut(picture: np.ndarray, places: np.ndarray, radius: int, warps: np.ndarray | None = None) -> np.ndarray:
    """Patches [n, 2 radius + 1, 2 radius + 1] around ``places`` [n, 2], through ``warps`` [n, 2, 2] if given.

    >>> picture = np.arange(25, dtype=np.float32).reshape(5, 5)
    >>> cut(picture, np.array([[2.5, 2.0]]), 1)[0].tolist()
    [[3.5, 4.5, 5.5], [8.5, 9.5, 10.5], [13.5, 14.5, 15.5]]
    """
    n = len(places)
    if warps is None:
        warps = np.broadcast_to(np.eye(2), (n, 2, 2))
    patches = np.empty((n, 2 * radius + 1, 2 * radius + 1), np.float32)
    places, warps = np.ascontiguousarray(places, np.float64), np.ascontiguousarray(warps, np.float64)

    def work(part: int) -> None:
        _cut(picture, places, warps, patches, n * part // PARTS, n * (part + 1) // PARTS)

    share(work, PARTS)
    return patches


def agreement(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised cross-correlation [n], 0 where one is flat, and the contrast [n] (standard deviation of the first) of
    patches [n, s, s], over the pixels that both have.

    >>> ramp = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    >>> [agreement(ramp, other)[0].round(4).tolist() for other in (2 * ramp + 1, -ramp)]
    [[1.0], [-1.0]]
    """
    both = np.isfinite(one) & np.isfinite(other)
    count = np.maximum(both.sum((1, 2)), 1)[:, None, None]
    first, second = np.where(both, one, 0), np.where(both, other, 0)
    first = np.where(both, first - first.sum((1, 2), keepdims=True) / count, 0)
    second = np.where(both, second - second.sum((1, 2), keepdims=True) / count, 0)
    scale = np.sqrt((first**2).sum((1, 2)) * (second**2).sum((1, 2)))
    contrast = np.sqrt((first**2).sum((1, 2)) / count[:, 0, 0])
    return (first * second).sum((1, 2)) / np.maximum(scale, 1e-3), contrast


@inlined
def _solve(matrix, count):
    """Gauss elimination in place of a positive definite ``matrix`` [count, count + 1]; its last column answers."""
    for k in range(count):
        pivot = matrix[k, k]
        if not pivot > 1e-12:
            return False
        for j in range(k, count + 1):
            matrix[k, j] /= pivot
        for i in range(count):
            if i != k:
                factor = matrix[i, k]
                for j in range(k, count + 1):
                    matrix[i, j] -= factor * matrix[k, j]
    return True


@compiled
def _align(picture, patches, places, warps, fit, pull, steps, stiffness, matrix, normal, values, first, last):
    side = patches.shape[1]
    middle = side // 2
    radius = middle - 1.0
    for n in range(first, last):
        patch = patches[n]
        x0, y0 = places[n, 0], places[n, 1]
        a, b, c, d = warps[n, 0, 0], warps[n, 0, 1], warps[n, 1, 0], warps[n, 1, 1]
        fit[n] = -1.0
        done = False
        for step in range(steps + 1):
            # Sums over the pixels that both have: means and lengths.
            count, s1, s2, t1, t2, st = 0, 0.0, 0.0, 0.0, 0.0, 0.0
            for j in range(1, side - 1):
                for i in range(1, side - 1):
                    dx, dy = float(i - middle), float(j - middle)
                    s = _value(picture, x0 + a * dx + b * dy, y0 + c * dx + d * dy)
                    t = patch[j, i]
                    slope = patch[j, i + 1] - patch[j, i - 1] + patch[j + 1, i] - patch[j - 1, i]
                    if math.isnan(s + t + slope):
                        s = math.nan
                    else:
                        count += 1
                        s1 += s
                        s2 += s * s
                        t1 += t
                        t2 += t * t
                        st += s * t
                    values[j, i] = s
            if count * 2 < (side - 2) ** 2:
                break
            s1, t1 = s1 / count, t1 / count
            s2, t2 = math.sqrt(max(s2 - count * s1 * s1, 0.0)), math.sqrt(max(t2 - count * t1 * t1, 0.0))
            if s2 < 1e-3 or t2 < 1e-3:
                break
            ncc = (st - count * s1 * t1) / (s2 * t2)
            fit[n] = ncc
            if done or step == steps:
                break
            # Normal equations in the six parameters (shift, then the warp's columns).
            for k in range(6):
                for l in range(7):
                    matrix[k, l] = 0.0
                normal[0, k] = 0.0
                normal[1, k] = 0.0
            for j in range(1, side - 1):
                for i in range(1, side - 1):
                    s = values[j, i]
                    if math.isnan(s):
                        continue
                    dx, dy = (i - middle) / radius, (j - middle) / radius
                    gx = 0.5 * (patch[j, i + 1] - patch[j, i - 1]) / t2
                    gy = 0.5 * (patch[j + 1, i] - patch[j - 1, i]) / t2
                    t = (patch[j, i] - t1) / t2
                    error = (s - s1) / s2 - t
                    normal[2, 0], normal[2, 1] = gx, gy
                    normal[2, 2], normal[2, 3], normal[2, 4], normal[2, 5] = gx * dx, gx * dy, gy * dx, gy * dy
                    for k in range(6):
                        g = normal[2, k]
                        normal[0, k] += g
                        normal[1, k] += g * t
                        matrix[k, 6] += g * error
                        for l in range(k, 6):
                            matrix[k, l] += g * normal[2, l]
            stiff = stiffness * 0.5 * (matrix[0, 0] + matrix[1, 1])
            for k in range(6):
                matrix[k, 6] -= normal[1, k] * (ncc - 1.0)
                for l in range(k, 6):
                    matrix[k, l] -= normal[0, k] * normal[0, l] / count + normal[1, k] * normal[1, l]
                    matrix[l, k] = matrix[k, l]
            for k in range(2, 6):
                matrix[k, k] += stiff
            # What was expected counts as one more measurement of the place.
            weight = pull[n] / (t2 * t2 / count)
            matrix[0, 0] += weight
            matrix[1, 1] += weight
            matrix[0, 6] += weight * (x0 - places[n, 0])
            matrix[1, 6] += weight * (y0 - places[n, 1])
            if not _solve(matrix, 6):
                fit[n] = -1.0
                break
            sx, sy = matrix[0, 6], matrix[1, 6]
            p, q = 1 + matrix[2, 6] / radius, matrix[3, 6] / radius
            r, u = matrix[4, 6] / radius, 1 + matrix[5, 6] / radius
            # The found change is of the patch: undo it on the side of the picture.
            size = p * u - q * r
            if not 0.25 < size < 4:
                fit[n] = -1.0
                break
            p, q, r, u = u / size, -q / size, -r / size, p / size
            a, b, c, d = a * p + b * r, a * q + b * u, c * p + d * r, c * q + d * u
            x0 -= a * sx + b * sy
            y0 -= c * sx + d * sy
            done = sx * sx + sy * sy < 1e-4
        places[n, 0], places[n, 1] = x0, y0
        warps[n, 0, 0], warps[n, 0, 1], warps[n, 1, 0], warps[n, 1, 1] = a, b, c, d


def align(
    picture: np.ndarray,
    patches: np.ndarray,
    places: np.ndarray,
    warps: np.ndarray,
    pull: np.ndarray,
    steps: int,
    stiffness: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where ``patches`` [n, s, s] are in ``picture`` [h, w] float32, starting from ``places`` [n, 2], ``warps``
    [n, 2, 2]: better places, better warps and the agreement there [n], -1 where it came to nothing.

    The outermost row of a patch serves for gradients only. pull [n]: how much the place where it starts counts: the
    square of (grey levels of error of a pixel / pixels of error of that place), over the pixels of a patch.
    stiffness: how unwilling the warp is to change.
    """
    n = len(places)
    places, warps = np.array(places, np.float64), np.array(warps, np.float64)
    fit, pull = np.full(n, -1.0), np.ascontiguousarray(pull, np.float64)
    if n == 0:
        return places, warps, fit
    side = patches.shape[1]

    def work(part: int) -> None:
        room = np.empty((6, 7)), np.empty((3, 6)), np.empty((side, side), np.float32)
        first, last = n * part // PARTS, n * (part + 1) // PARTS
        _align(picture, patches, places, warps, fit, pull, steps, stiffness, *room, first, last)

    share(work, PARTS)
    return places, warps, fit
