"""Where a thing that moves is: one camera cannot tell its distance, but it stands on something.

Each mover is a billboard: all its points at one planar depth a frame. That depth is the ground's where the mask's
lowest pixels touch it, from the background's points around there; over time it is smoothed by the thing's apparent
size, which goes with one over its distance: the logarithms l of depth minimise

    sum over frames with contact (l_t - contact_t)^2 + STIFF sum over frames (l_t+1 - l_t + log s_t+1 / s_t)^2.

Where a point of it is not seen it moves in the picture as the others of its layer: by their similarity (turn, size,
shift) from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_banded

STIFF = 20.0
"""How much more the apparent size tells about the change of depth than two contacts do."""

AROUND = 0.15
"""Radius, in picture widths, of the ground around a contact."""

FEWEST = 5
"""Points of the ground that its depth is told by."""

NEARER = 0.95
"""A mover whose ground is unknown stands so much nearer than what is around it."""


@dataclass(frozen=True)
class Ground:
    """The background of one frame: pixels, planar depths."""

    pixel: Float[np.ndarray, "g 2"]
    depth: Float[np.ndarray, "g"]


def contact_depth(mask: Bool[np.ndarray, "h w"], ground: Ground) -> float | None:
    """Planar depth of the ground that the lowest pixels of a mask stand on; None where that is not in the picture.

    One over the depth of a plane is linear in the picture: such a plane is fitted to the points around and below.
    """
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    if len(rows) < 4:
        return None
    lowest = np.full(width, -1)
    np.maximum.at(lowest, columns, rows)
    bottom = int(lowest.max())
    if bottom >= height - 2:
        return None
    tall = bottom - int(rows.min()) + 1
    foot = np.nonzero(lowest >= bottom - max(2, 0.08 * tall))[0]
    at = np.array([np.median(foot) + 0.5, np.median(lowest[foot]) + 1.0])
    away = np.linalg.norm(ground.pixel - at, axis=1)
    near = (away < AROUND * width) & (ground.pixel[:, 1] > at[1] - 0.1 * AROUND * width)
    if near.sum() < FEWEST:
        return None
    offset, inverse = (ground.pixel[near] - at) / (AROUND * width), 1 / ground.depth[near]
    base = np.column_stack([np.ones(len(offset)), offset])
    ridge = np.diag([0.0, 0.05, 0.05])  # where the points are in a row
    weight = 1 / (0.2 + away[near] / (AROUND * width))
    robust = np.ones(len(offset))
    found = np.array([np.median(inverse), 0, 0])
    for _ in range(5):
        both = (weight * robust)[:, None] * base
        found = np.linalg.solve(both.T @ base + ridge, both.T @ inverse)
        miss = np.abs(base @ found - inverse)
        robust = 1 / (1 + (miss / max(2 * float(np.median(miss)), 1e-9)) ** 2)
    value = float(np.clip(found[0], inverse.min(), inverse.max()))
    return 1 / value


def around_depth(mask: Bool[np.ndarray, "h w"], ground: Ground) -> float | None:
    """A little nearer than the median of the background's points around the mask."""
    rows, columns = np.nonzero(mask)
    if not len(rows) or not len(ground.depth):
        return None
    middle = np.array([columns.mean(), rows.mean()])
    reach = 0.5 * np.hypot(np.ptp(rows) + 1, np.ptp(columns) + 1)
    away = np.linalg.norm(ground.pixel - middle, axis=1)
    near = np.argsort(away, kind="stable")[: max(8, int((away < 1.3 * reach).sum()))]
    return NEARER * float(np.median(ground.depth[near]))


def sizes(places: Float[np.ndarray, "t n 2"], seen: Bool[np.ndarray, "t n"]) -> Float[np.ndarray, "s"]:
    """The logarithm of by how much the apparent size grows from each frame to the next; 0 where too few points tell."""
    grown = np.zeros(len(places) - 1)
    for t in range(len(places) - 1):
        both = seen[t] & seen[t + 1]
        if both.sum() >= 4:
            one, two = (places[i, both] - np.median(places[i, both], 0) for i in (t, t + 1))
            far = np.linalg.norm(one, axis=1)
            use = far >= np.median(far)
            grown[t] = np.clip(
                np.median(np.log((np.linalg.norm(two[use], axis=1) + 1e-6) / (far[use] + 1e-6))), -0.2, 0.2
            )
    return grown


def smoothed(contact: Float[np.ndarray, "t"], grown: Float[np.ndarray, "s"]) -> Float[np.ndarray, "t"]:
    """Depths from those at contact (NaN where unknown, one known at least) and the growth from frame to frame.

    >>> smoothed(np.array([2.0, np.nan, np.nan]), np.log([2.0, 1.0])).round(3).tolist()
    [2.0, 1.0, 1.0]
    """
    t = len(contact)
    known = np.isfinite(contact)
    goal = np.log(np.where(known, contact, 1.0))
    weight = known.astype(float)
    found = goal
    for _ in range(6):
        main, right = weight + 1e-9, weight * goal
        main = main + STIFF * (np.arange(t) > 0) + STIFF * (np.arange(t) < t - 1)
        right = right.copy()
        right[:-1] += STIFF * grown
        right[1:] -= STIFF * grown
        bands = np.zeros((3, t))
        bands[0, 1:] = bands[2, :-1] = -STIFF
        bands[1] = main
        found = solve_banded((1, 1), bands, right)
        miss = np.abs(found - goal)
        weight = known / (1 + (miss / max(2 * float(np.median(miss[known])), 1e-6)) ** 2)
    return np.exp(found)


def similarity(source: Float[np.ndarray, "k 2"], goal: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "2 3"]:
    """The turn, size and shift that carry points onto others, most of them; a shift only for less than 3 points.

    >>> found = similarity(np.array([[0, 0], [1.0, 0], [0, 1.0]]), np.array([[1, 1], [1, 3.0], [-1, 1.0]]))
    >>> (found.round(6) + 0.0).tolist()
    [[0.0, -2.0, 1.0], [2.0, 0.0, 1.0]]
    """
    if len(source) < 3:
        shift = (goal - source).mean(0) if len(source) else np.zeros(2)
        return np.column_stack([np.eye(2), shift])
    a = source[:, 0] + 1j * source[:, 1]
    b = goal[:, 0] + 1j * goal[:, 1]
    weight = np.ones(len(a))
    for _ in range(5):
        ma, mb = (weight * a).sum() / weight.sum(), (weight * b).sum() / weight.sum()
        spread = (weight * np.abs(a - ma) ** 2).sum()
        turn = (weight * (b - mb) * np.conj(a - ma)).sum() / spread if spread > 1e-12 else 1.0 + 0j
        miss = np.abs(turn * (a - ma) + mb - b)
        weight = 1 / (1 + (miss / max(2 * float(np.median(miss)), 1e-6)) ** 2)
    shift = mb - turn * ma
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def carried(places: Float[np.ndarray, "t n 2"], seen: Bool[np.ndarray, "t n"]) -> Float[np.ndarray, "t n 2"]:
    """Places at all frames: as found where seen, else carried along by the similarities of the layer from the frames
    before and after that saw the point, the nearer counting more."""
    t = len(places)
    forth = [similarity(places[i, both], places[i + 1, both]) for i in range(t - 1) for both in [seen[i] & seen[i + 1]]]
    onward, age = _along(places, seen, forth)
    back = [similarity(places[i + 1, both], places[i, both]) for i in range(t - 1) for both in [seen[i] & seen[i + 1]]]
    backward, ahead = (each[::-1] for each in _along(places[::-1], seen[::-1], back[::-1]))
    far = 10.0 * t
    age, ahead = np.where(np.isfinite(age), age, far), np.where(np.isfinite(ahead), ahead, far)
    share = (ahead / np.maximum(age + ahead, 1e-9))[..., None]
    share = np.where((age == far)[..., None], 0.0, np.where((ahead == far)[..., None], 1.0, share))
    mixed = share * onward + (1 - share) * backward
    never = (age == far) & (ahead == far)
    return np.where(seen[..., None] | never[..., None], places, mixed)


def _along(places: np.ndarray, seen: np.ndarray, steps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Places carried onward from where a point was last seen, and for how many frames (infinite before the first)."""
    now, age = places[0].copy(), np.where(seen[0], 0.0, np.inf)
    all_places, ages = [now], [age]
    for t in range(1, len(places)):
        step = steps[t - 1]
        now = np.where(seen[t, :, None], places[t], now @ step[:, :2].T + step[:, 2])
        age = np.where(seen[t], 0.0, age + 1)
        all_places.append(now)
        ages.append(age)
    return np.stack(all_places), np.stack(ages)
