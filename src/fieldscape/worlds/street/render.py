"""What a camera sees of solids on a plane: planar depth, whose pixel it is, and how much of each thing is hidden.

Rays go through the middles of pixels and meet each solid in closed form (``solids``), so depth is exact to float64.
Each solid is only asked about the pixels that a box around it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from fieldscape.worlds.street import solids
from fieldscape.worlds.street.objects import PARTS

Array = np.ndarray

REACH = 60.0
"""What lies deeper than this, in metres, is sky: the ground too."""
GROUND = PARTS.index("ground")


@dataclass(frozen=True, eq=False)
class Solids:
    """All solids of a scene: kind, ratio, the owner (0: the street itself, else a thing's number), the part's place."""

    kinds: tuple[str, ...]
    ratios: tuple[float, ...]
    owners: tuple[int, ...]
    parts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the camera sees. depth: planar, metres, infinity for the sky.  instance: a thing's number, 0: none.

    part: place in ``objects.PARTS``.  visible: pixels of each thing; total: the pixels it would have if nothing stood
    before it.  box: left, top, right, bottom of those in total (edges of pixels), 0 where there are none.
    """

    depth: Float[Array, "h w"]
    instance: Shaped[Array, "h w"]
    part: Shaped[Array, "h w"]
    visible: Int[Array, "n"]
    total: Int[Array, "n"]
    box: Int[Array, "n 4"]


def draw(
    what: Solids,
    matrices: Float[Array, "p 4 4"],
    pose: Float[Array, "4 4"],
    focal: float,
    width: int,
    height: int,
    things: int,
) -> Drawn:
    """The solids placed by ``matrices`` (solid to world) on the plane z = 0, seen by a camera at ``pose``."""
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (np.arange(height) + 0.5 - height / 2) / focal
    depth, part = _ground(pose, x, y)
    instance = np.zeros((height, width), np.uint16)
    visible, total, box = np.zeros(things, int), np.zeros(things, int), np.zeros((things, 4), int)
    if len(what.kinds):
        to_camera = _inverse_rigid(pose) @ matrices
        to_solid = np.linalg.inv(to_camera)
        corners = np.stack([solids.bounds(ratio) for ratio in what.ratios])
        corners = corners @ to_camera[:, :3, :3].transpose(0, 2, 1) + to_camera[:, None, :3, 3]
        windows = _windows(corners, focal, width, height)
        for owner, pieces in _by_owner(what.owners):
            seen = [k for k in pieces if windows[k, 0] < windows[k, 2] and windows[k, 1] < windows[k, 3]]
            if not seen:
                continue
            (left, top), (right, bottom) = windows[seen, :2].min(0).tolist(), windows[seen, 2:].max(0).tolist()
            near = np.full((bottom - top, right - left), np.inf)
            which = np.zeros(near.shape, np.uint8)
            for k in seen:
                a, b, c, d = windows[k].tolist()
                turn, origin = to_solid[k, :3, :3], to_solid[k, :3, 3]
                rays = turn[:, 0, None, None] * x[a:c] + (turn[:, 1, None] * y[b:d] + turn[:, 2, None])[:, :, None]
                t = solids.first_hit(what.kinds[k], what.ratios[k], origin, rays)
                here = (slice(b - top, d - top), slice(a - left, c - left))
                nearer = t < near[here]
                near[here][nearer] = t[nearer]
                which[here][nearer] = what.parts[k]
            # From here on what counts is within reach.
            hit = near < REACH
            place = (slice(top, bottom), slice(left, right))
            front = hit & (near < depth[place])
            depth[place][front] = near[front]
            part[place][front] = which[front]
            instance[place][front] = owner
            if owner:
                total[owner - 1] = int(hit.sum())
                box[owner - 1] = _frame_of(hit, left, top)
        visible = np.bincount(instance.ravel(), minlength=things + 1)[1:]
    return Drawn(depth, instance, part, visible, total, box)


def _ground(pose: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Depth of the plane z = 0 (infinity above the horizon and beyond REACH), and the part maps of it."""
    down = pose[2, 0] * x[None] + (pose[2, 1] * y + pose[2, 2])[:, None]
    with np.errstate(divide="ignore"):
        t = -pose[2, 3] / down
    t = np.where((t > 0) & (t < REACH), t, np.inf)
    return t, np.where(np.isfinite(t), GROUND, 0).astype(np.uint8)


def _inverse_rigid(pose: Array) -> Array:
    back = np.eye(4)
    back[:3, :3] = pose[:3, :3].T
    back[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return back


def _windows(corners: Float[Array, "p 8 3"], focal: float, width: int, height: int) -> Int[Array, "p 4"]:
    """The pixels that each box may cover: left, top, right, bottom; all of them where it reaches behind the camera."""
    depth = corners[..., 2]
    safe = np.maximum(depth, 1e-3)
    u, v = corners[..., 0] / safe * focal + width / 2, corners[..., 1] / safe * focal + height / 2
    low = np.stack([u.min(1), v.min(1)], -1) - 1
    high = np.stack([u.max(1), v.max(1)], -1) + 1
    crosses = depth.min(1) < 1e-2
    low[crosses], high[crosses] = 0, (width, height)
    high[depth.max(1) <= 0] = 0
    limit = np.array([width, height])
    return np.concatenate([np.clip(low, 0, limit), np.clip(np.ceil(high), 0, limit)], -1).astype(int)


def _by_owner(owners: Sequence[int]) -> list[tuple[int, list[int]]]:
    found: dict[int, list[int]] = {}
    for k, owner in enumerate(owners):
        found.setdefault(owner, []).append(k)
    return sorted(found.items())


def _frame_of(hit: Array, left: int, top: int) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1


def noisy(
    depth: Float[Array, "h w"], random: np.random.Generator, share: float = 0.01, lost: float = 0.05, step: float = 0.01
) -> Float[Array, "h w"]:
    """Depth as a sensor gives it: an error of ``share`` of it (standard deviation), in steps, some lost (nan)."""
    wrong = depth * (1 + share * random.standard_normal(depth.shape))
    rounded = np.round(wrong / step) * step
    return np.where(random.random(depth.shape) < lost, np.nan, rounded)
