"""Where points that stand still are in each frame: what all frames say of them together.

A static point P is seen in frame t at its projection, plus what the camera model does not explain: lens distortion and
rolling shutter, which are smooth over the picture (here: a quadratic polynomial a frame), and a remainder of each point
that changes slowly over time, such as that of a depth which could only be guessed. What is left after that is noise of
the tracker, and goes.

P minimises the robust sum of squared misses by Levenberg's and Marquardt's rounds, one 3 x 3 system a point. The
remainder s of a point with misses e minimises (Whittaker, "On a new method of graduation", 1923)

    sum over sightings w_t (e_t - s_t)^2 + stiff sum over frames (s_t+1 - s_t)^2 / step + small sum over frames s_t^2.

Legend: t frames, n points. All in numpy and in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from fieldscape.cameras import pixel_rays, project
from fieldscape.types import Camera

NEAREST = 1e-6
"""Depths below this are behind the camera."""

STIFF = 30.0
"""How much more two frames' remainders are alike than a sighting is right."""

SMALL = 1.0
"""How much a remainder is taken for noise: against one sighting."""

BENDS = 6
"""Numbers of a quadratic polynomial over the picture."""


@dataclass(frozen=True)
class Looks:
    """Where points fall in each frame. pixel: finite only before the camera.  depth: planar.  slope: by how many pixels
    the place changes with the point."""

    pixel: Float[np.ndarray, "t n 2"]
    depth: Float[np.ndarray, "t n"]
    slope: Float[np.ndarray, "t n 2 3"]


def projected(camera: Camera, point: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [t, n, 2] and planar depths [t, n] of points in each of the frames' cameras."""
    each = camera.map(lambda value: value.double()[:, None])
    pixel, depth = project(each, torch.from_numpy(point).expand(len(camera), *point.shape))
    return pixel.numpy(), depth.numpy()


def looks(camera: Camera, point: Float[np.ndarray, "n 3"]) -> Looks:
    """The points in all frames, with slopes by differences, so that any lens will do."""
    pixel, depth = projected(camera, point)
    step = 1e-4 * np.median(np.abs(depth), 0)
    slope = np.empty((*pixel.shape, 3))
    for axis in range(3):
        moved = point.copy()
        moved[:, axis] += step
        slope[..., axis] = (projected(camera, moved)[0] - pixel) / step[:, None]
    ahead = depth > NEAREST
    return Looks(np.where(ahead[..., None], pixel, np.nan), depth, np.where(ahead[..., None, None], slope, 0.0))


def settled(
    camera: Camera,
    point: Float[np.ndarray, "n 3"],
    places: Float[np.ndarray, "t n 2"],
    weight: Float[np.ndarray, "t n"],
    deep: Bool[np.ndarray, "n"],
    scale: float,
    rounds: int = 6,
) -> Float[np.ndarray, "n 3"]:
    """The static places that fall nearest to where the points were seen, beginning from ``point``.

    weight: 0 where not seen.  deep: whose distance may change.  scale: of Cauchy's loss in pixels: larger misses count
    ever less.
    """
    n = len(point)
    damping, best = np.full(n, 1e-3), np.full(n, np.inf)
    normal, pull = np.zeros((n, 3, 3)), np.zeros((n, 3))
    middle = camera.position.double().mean(0).numpy()
    current = trial = point
    for _ in range(rounds + 1):
        seen = looks(camera, trial)
        miss = np.where((weight > 0)[..., None], places - seen.pixel, 0.0)
        square = np.nan_to_num((miss**2).sum(-1), nan=1e12)  # behind a camera
        cost = (weight * np.log1p(square / scale**2)).sum(0)
        better = cost < best
        if not better.any():
            break
        current, best = np.where(better[:, None], trial, current), np.where(better, cost, best)
        damping = np.where(better, damping / 5, damping * 8)
        robust = weight / (1 + square / scale**2)
        sided = robust[..., None, None] * seen.slope
        both = np.einsum("tnai,tnaj->nij", sided, seen.slope, optimize=True)
        toward = np.einsum("tnai,tna->ni", sided, np.nan_to_num(miss), optimize=True)
        normal, pull = np.where(better[:, None, None], both, normal), np.where(better[:, None], toward, pull)
        size = np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-12
        away = current - middle
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
        held = normal + (1e-9 + 1e-3 * damping)[:, None, None] * size * np.eye(3)
        held += np.where(deep, 0.0, 1e3)[:, None, None] * size * away[:, :, None] * away[:, None, :]
        step = np.linalg.solve(held, pull[..., None])[..., 0]
        # A step must not carry a point through a camera.
        most = 0.2 * np.median(np.abs(seen.depth), 0) / np.maximum(np.linalg.norm(step, axis=1), 1e-12)
        trial = current + step * np.minimum(1, most)[:, None]
    return current


def bent(
    pixel: Float[np.ndarray, "t n 2"],
    miss: Float[np.ndarray, "t n 2"],
    weight: Float[np.ndarray, "t n"],
    size: tuple[int, int],
    scale: float,
) -> Float[np.ndarray, "t n 2"]:
    """What a quadratic polynomial a frame says of the misses, at all places ``pixel``."""
    half = 0.5 * np.array(size)
    result = np.zeros(miss.shape)
    for t in range(len(miss)):
        at = np.clip((np.nan_to_num(pixel[t]) - half) / half.max(), -1.5, 1.5)
        x, y = at.T
        base = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
        use = weight[t] > 0
        if use.sum() < 4 * BENDS:
            continue
        inner, value = base[use], miss[t, use]
        robust = weight[t, use].copy()
        for _ in range(4):
            both = inner.T * robust
            found = np.linalg.solve(both @ inner + 1.0 * np.eye(BENDS), both @ value)
            off = ((inner @ found - value) ** 2).sum(1)
            robust = weight[t, use] / (1 + off / scale**2)
        result[t] = base @ found
    return result


def slow(
    miss: Float[np.ndarray, "t n 2"], weight: Float[np.ndarray, "t n"], seconds: Float[np.ndarray, "t"]
) -> Float[np.ndarray, "t n 2"]:
    """The part of the misses that changes slowly, at all frames, by one tridiagonal system a point."""
    step = np.diff(seconds) / max(float(np.median(np.diff(seconds))), 1e-9)
    stiff = (STIFF / np.maximum(step, 1e-3))[:, None]
    main = weight + SMALL
    main[:-1] += stiff
    main[1:] += stiff
    right = weight[..., None] * miss
    # Thomas' elimination, all points at once.
    for t in range(1, len(main)):
        factor = stiff[t - 1] / main[t - 1]
        main[t] -= factor * stiff[t - 1]
        right[t] += factor[:, None] * right[t - 1]
    found = np.empty_like(right)
    found[-1] = right[-1] / main[-1][:, None]
    for t in range(len(main) - 2, -1, -1):
        found[t] = (right[t] + stiff[t] * found[t + 1]) / main[t][:, None]
    return found


def on_rays(camera: Camera, places: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The points [t, n, 3] at planar depths on the rays through their places."""
    result = np.empty((*depth.shape, 3))
    for t in range(len(depth)):
        single = camera[t].map(lambda value: value.double())
        ray = pixel_rays(single, torch.from_numpy(places[t]))
        forward = (ray.directions * single.pose[:3, 2]).sum(-1)
        result[t] = (ray.origins + ray.directions * (torch.from_numpy(depth[t]) / forward)[:, None]).numpy()
    return result
