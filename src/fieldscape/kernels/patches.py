"""Small planes through a depth map, and where they part: the pixel work of ``systems.slots``.

A plane seen by a pinhole camera has an inverse depth that is affine in the pixel's column and row, so a plane is fitted
to a window by ordinary least squares of inverse depth, whatever its slant. A window that straddles an edge fits badly;
each pixel therefore takes the best of the windows that hold it (as Kuwahara's filter does for grey values, 1976), which
smooths noise away and keeps edges and creases sharp.

Pairs of neighbouring pixels are then judged by their planes: a *gap* is a step that neither plane explains; a *crease*
is hollow (concave) where the normals lean towards each other (Stein et al., "Object Partitioning using Local
Convexity", CVPR 2014).

Notation: w inverse depth; a plane at a pixel is (w, du, dv): its value and its slopes along columns and rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fieldscape.kernels.compiling import compiled

FEWEST = 4
"""Pixels that a window must have for a plane."""


@compiled
def _fit(w, radius, gate, planes, misfit):
    """Least squares in the window about each pixel, over the pixels whose w is within ``gate`` (a share) of its own."""
    height, width = w.shape
    for i in range(height):
        for j in range(width):
            here = w[i, j]
            misfit[i, j] = np.inf
            if not here > 0:
                continue
            n = su = sv = suu = suv = svv = sd = sud = svd = sdd = 0.0
            for y in range(max(i - radius, 0), min(i + radius + 1, height)):
                for x in range(max(j - radius, 0), min(j + radius + 1, width)):
                    there = w[y, x]
                    d = there - here
                    if not there > 0 or abs(d) > gate * here:
                        continue
                    u, v = float(x - j), float(y - i)
                    n += 1.0
                    su += u
                    sv += v
                    suu += u * u
                    suv += u * v
                    svv += v * v
                    sd += d
                    sud += u * d
                    svd += v * d
                    sdd += d * d
            if n < FEWEST:
                continue
            # About the means; a trace of stiffness holds the slope that a row or column of pixels leaves open.
            mu, mv, md = su / n, sv / n, sd / n
            cuu, cuv, cvv = suu - n * mu * mu + 1e-3, suv - n * mu * mv, svv - n * mv * mv + 1e-3
            cud, cvd, cdd = sud - n * mu * md, svd - n * mv * md, sdd - n * md * md
            inverse = 1.0 / (cuu * cvv - cuv * cuv)
            du = (cvv * cud - cuv * cvd) * inverse
            dv = (cuu * cvd - cuv * cud) * inverse
            planes[i, j, 0] = here + md - du * mu - dv * mv
            planes[i, j, 1] = du
            planes[i, j, 2] = dv
            left = max(cdd - du * cud - dv * cvd, 0.0)
            misfit[i, j] = math.sqrt(left / max(n - 3.0, 0.5)) / here


@compiled
def _choose(w, radius, tolerance, planes, misfit, chosen):
    """Each pixel takes the plane of the best window that holds it and that it lies on."""
    height, width = w.shape
    for i in range(height):
        for j in range(width):
            here = w[i, j]
            chosen[i, j, 0] = here
            chosen[i, j, 1] = 0.0
            chosen[i, j, 2] = 0.0
            if not here > 0:
                chosen[i, j, 0] = 0.0
                continue
            best = np.inf
            for y in range(max(i - radius, 0), min(i + radius + 1, height)):
                for x in range(max(j - radius, 0), min(j + radius + 1, width)):
                    if not misfit[y, x] < np.inf:
                        continue
                    value = planes[y, x, 0] + planes[y, x, 1] * (j - x) + planes[y, x, 2] * (i - y)
                    off = abs(value - here) / here
                    if off > tolerance or not value > 0:
                        continue
                    # Among equals the nearest: curved surfaces are flat only close by.
                    away = abs(x - j) + abs(y - i)
                    cost = (misfit[y, x] + 0.25 * off) * (1.0 + 0.1 * away) + 1e-6 * away
                    if cost < best:
                        best = cost
                        chosen[i, j, 0] = value
                        chosen[i, j, 1] = planes[y, x, 1]
                        chosen[i, j, 2] = planes[y, x, 2]


def fit_patches(depth: NDArray[np.float64], radius: int, noise: float) -> NDArray[np.float64]:
    """The plane at each pixel of ``depth`` [h, w] (planar, 0 where unknown): inverse depth and its slopes [h, w, 3].

    radius: of the windows, in pixels.  noise: of the depth, as a share of it.  All zero where depth is unknown.
    """
    w = np.zeros(depth.shape)
    np.divide(1.0, depth, out=w, where=depth > 0)
    planes, chosen, misfit = np.zeros((*depth.shape, 3)), np.zeros((*depth.shape, 3)), np.zeros(depth.shape)
    _fit(w, radius, 0.05 * (radius + 1) + 4 * noise, planes, misfit)
    _choose(w, radius, 0.01 + 3 * noise, planes, misfit, chosen)
    return chosen


@compiled
def _judge(patches, inside, ray_x, ray_y, reach, gap, lean, step_x, step_y, cuts):
    """Cuts between each pixel and the one ``step_x`` to the right and ``step_y`` below (as ``judge_pairs``)."""
    height, width = inside.shape
    for i in range(height):
        for j in range(width):
            y, x = i + step_y, j + step_x
            cuts[i, j] = 3
            if y >= height or x >= width or not inside[i, j] or not inside[y, x]:
                continue
            w, du, dv = patches[i, j, 0], patches[i, j, 1], patches[i, j, 2]
            v, eu, ev = patches[y, x, 0], patches[y, x, 1], patches[y, x, 2]
            one = w + du * step_x + dv * step_y - v
            other = w - v + eu * step_x + ev * step_y
            # Planes that cross between the pixels meet there, however slanted. Else: a share of the depth, and metres.
            if one * other > 0 and min(abs(one), abs(other)) > max(gap[0] * min(w, v), gap[1] * w * v):
                cuts[i, j] = 2
                continue
            # Normals (A, B, C) with w = A x + B y + C for the ray (x, y, 1).
            a, b = du / (ray_x[1] - ray_x[0]), dv / (ray_y[1] - ray_y[0])
            c = w - a * ray_x[j] - b * ray_y[i]
            d, e = eu / (ray_x[1] - ray_x[0]), ev / (ray_y[1] - ray_y[0])
            f = v - d * ray_x[x] - e * ray_y[y]
            first, second = math.sqrt(a * a + b * b + c * c), math.sqrt(d * d + e * e + f * f)
            turn = (a * d + b * e + c * f) / (first * second)
            cuts[i, j] = 0
            if turn > lean:
                continue
            # From a little before the pair to a little behind it, each on its own plane.
            back = max(w - reach * (du * step_x + dv * step_y), 0.1 * w)
            ahead = max(v + reach * (eu * step_x + ev * step_y), 0.1 * v)
            x0, y0 = (
                ray_x[j] - reach * step_x * (ray_x[1] - ray_x[0]),
                ray_y[i] - reach * step_y * (ray_y[1] - ray_y[0]),
            )
            x1, y1 = (
                ray_x[x] + reach * step_x * (ray_x[1] - ray_x[0]),
                ray_y[y] + reach * step_y * (ray_y[1] - ray_y[0]),
            )
            tx, ty, tz = x1 / ahead - x0 / back, y1 / ahead - y0 / back, 1.0 / ahead - 1.0 / back
            # (A, B, C) points away from the camera: normals towards it lean together where these lean apart.
            if (d / second - a / first) * tx + (e / second - b / first) * ty + (f / second - c / first) * tz > 0:
                cuts[i, j] = 1


def judge_pairs(
    patches: NDArray[np.float64],
    inside: NDArray[np.bool_],
    ray_x: NDArray[np.float64],
    ray_y: NDArray[np.float64],
    reach: float,
    gap: tuple[float, float],
    lean: float,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cuts between each pixel and the one to its right, and the one below: 0 none, 1 hollow, 2 gap, 3 outside.

    patches: of ``fit_patches``.  inside: pixels that are looked at; slopes there must be known.  ray_x, ray_y: x / z of
    columns and y / z of rows.  reach: from how many pixels before and behind a pair its crease is judged.  gap: a step
    that parts surfaces, as a share of depth and in metres; both must be exceeded.  lean: degrees between normals.
    Raises ValueError for arrays that do not belong together: kernels do not look.
    """
    height, width = inside.shape
    if (
        patches.shape != (height, width, 3)
        or ray_x.shape != (width,)
        or ray_y.shape != (height,)
        or min(height, width) < 2
    ):
        raise ValueError(
            f"planes {patches.shape} and rays {ray_x.shape}, {ray_y.shape} are not of {inside.shape} pixels"
        )
    right, below = np.zeros(inside.shape, np.uint8), np.zeros(inside.shape, np.uint8)
    _judge(patches, inside, ray_x, ray_y, reach, gap, math.cos(math.radians(lean)), 1, 0, right)
    _judge(patches, inside, ray_x, ray_y, reach, gap, math.cos(math.radians(lean)), 0, 1, below)
    return right, below
