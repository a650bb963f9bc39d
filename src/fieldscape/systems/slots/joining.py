"""Which regions of a depth map are one thing after all, told from where they stand, without any labels.

Three rules, each about geometry alone:

* *border*: two regions of which a good share of the common border is not cut are one;
* *footprint*: two things cannot stand in the same place, so a region whose points lie, seen from above, within the
  rectangle of another one it touches is a part of it: a cabin on a car, the ball on a lamp;
* *thinness*: a region of few pixels, or one narrower than ``thin``, is a part of the one it touches most: a limb.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

Array = np.ndarray

CLOSE = 0.2
"""Metres between points of regions that touch."""
SPECK = 6
"""Pixels of a region that is too small to be judged by its footprint."""


@dataclass(frozen=True)
class JoiningSettings:
    """How regions are joined to things. Chosen on scenes of their own, seeds from 1000."""

    border: float = 0.3
    """The share of a common border without cuts, above which two regions are one."""

    footprint: float = 0.8
    """The share of a region's points within another's rectangle on the ground, above which it is a part of it."""

    slack: float = 0.03
    """By which such rectangles are widened, in metres."""

    thin: float = 0.2
    """The width in metres below which a region is a part of another; 0 keeps thin ones."""

    least: int = 20
    """The pixels below which a region is a part of another."""


def join_borders(
    labels: Int[Array, "h w"], count: int, right: Array, below: Array, share: float
) -> tuple[Int[Array, "h w"], int]:
    """Joins regions 1 .. ``count`` over their borders, the most open one first; gives labels 1 .. the new count.

    right, below: cuts as ``kernels.patches.judge_pairs`` gives them.
    """
    opened, cut = np.zeros((count + 1, count + 1)), np.zeros((count + 1, count + 1))
    for one, other, cuts in (
        (labels[:, :-1], labels[:, 1:], right[:, :-1]),
        (labels[:-1], labels[1:], below[:-1]),
    ):
        border = (one != other) & (one > 0) & (other > 0)
        for table, here in ((opened, border & (cuts == 0)), (cut, border & (cuts > 0))):
            np.add.at(table, (one[here], other[here]), 1)
    opened, cut = opened + opened.T, cut + cut.T
    names = np.arange(count + 1)
    while True:
        shares = np.divide(opened, opened + cut, out=np.zeros_like(opened), where=opened > 0)
        np.fill_diagonal(shares, 0)
        best = int(shares.argmax())
        if shares.flat[best] <= share:
            break
        i, j = divmod(best, count + 1)
        for table in (opened, cut):
            table[i] += table[j]
            table[:, i] += table[:, j]
            table[j] = 0
            table[:, j] = 0
        names[names == j] = i
    return renumbered(names[labels])


def renumbered(labels: Int[Array, "h w"]) -> tuple[Int[Array, "h w"], int]:
    """The same regions numbered 1, 2, ... (0 stays), and how many there are."""
    found, places = np.unique(labels, return_inverse=True)
    places = places.reshape(labels.shape)
    return (places, len(found) - 1) if len(found) and found[0] == 0 else (places + 1, len(found))


def join_parts(
    labels: Int[Array, "h w"], points: Float[Array, "h w 3"], settings: JoiningSettings
) -> Int[Array, "h w"]:
    """Joins regions by footprint and thinness. points: model frame (y up), metres."""
    inside = labels > 0
    if not inside.any():
        return labels
    cloud, member = points[inside], np.unique(labels[inside], return_inverse=True)[1].reshape(-1)
    touching = _contacts(labels, points, inside, member)
    names = np.arange(len(touching))
    names = _join_thin(cloud, member, touching, names, 0.0, SPECK)
    names = _join_footprints(cloud, member, touching, names, settings)
    names = _join_thin(cloud, member, touching, names, settings.thin, settings.least)
    names = _join_footprints(cloud, member, touching, names, settings)
    names = _join_thin(cloud, member, touching, names, settings.thin, settings.least)
    joined = np.zeros_like(labels)
    joined[inside] = names[member] + 1
    return renumbered(joined)[0]


def _contacts(
    labels: Int[Array, "h w"], points: Float[Array, "h w 3"], inside: Bool[Array, "h w"], member: Int[Array, "m"]
) -> Float[Array, "r r"]:
    """How many pairs of points on the rims of two regions are close."""
    rim = np.zeros(inside.shape, bool)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        before = [slice(None)] * 2
        after = [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        rim[tuple(before)] |= step
        rim[tuple(after)] |= step
    on = rim[inside]
    count = int(member.max()) + 1
    table = np.zeros((count, count))
    if on.sum() > 1:
        pairs = cKDTree(points[inside][on]).query_pairs(CLOSE, output_type="ndarray")
        of = member[on]
        one, other = of[pairs[:, 0]], of[pairs[:, 1]]
        apart = one != other
        np.add.at(table, (one[apart], other[apart]), 1)
    return table + table.T


def _absorb(touching: Float[Array, "r r"], names: Int[Array, "r"], part: int, whole: int) -> None:
    """``part`` becomes one with ``whole``, in both arguments."""
    touching[whole] += touching[part]
    touching[:, whole] += touching[:, part]
    touching[part] = 0
    touching[:, part] = 0
    touching[whole, whole] = 0
    names[names == part] = whole


def _join_thin(
    cloud: Float[Array, "m 3"],
    member: Int[Array, "m"],
    touching: Float[Array, "r r"],
    names: Int[Array, "r"],
    thin: float,
    least: int,
) -> Int[Array, "r"]:
    """Each region that is thin or small, the smallest first, goes to the one it touches most."""
    of, count = names[member], len(names)
    sizes = np.bincount(of, minlength=count).astype(float)
    sums = np.stack([np.bincount(of, cloud[:, k], count) for k in range(3)], 1)
    squares = np.stack([np.bincount(of, cloud[:, i] * cloud[:, j], count) for i in range(3) for j in range(3)], 1)
    squares = squares.reshape(count, 3, 3)
    lonely = np.zeros(count, bool)
    while True:
        each = np.maximum(sizes, 1)
        means = sums / each[:, None]
        spread = squares / each[:, None, None] - means[:, :, None] * means[:, None, :]
        # The width of an even strip is the square root of twelve times its standard deviation.
        width = np.sqrt(12 * np.maximum(np.linalg.eigvalsh(spread)[:, 1], 0))
        small = (sizes > 0) & ~lonely & ((sizes < least) | (width < thin))
        if not small.any():
            return names
        part = int(np.where(small, sizes, np.inf).argmin())
        whole = int(touching[part].argmax())
        if touching[part, whole] <= 0:
            lonely[part] = True
            continue
        for table in (sizes, sums, squares):
            table[whole] += table[part]
            table[part] = 0
        lonely[whole] = False
        _absorb(touching, names, part, whole)


def _join_footprints(
    cloud: Float[Array, "m 3"],
    member: Int[Array, "m"],
    touching: Float[Array, "r r"],
    names: Int[Array, "r"],
    settings: JoiningSettings,
) -> Int[Array, "r"]:
    """Regions that stand in the rectangle of one they touch become one with it, the most certain first."""
    flat = cloud[:, [0, 2]].astype(np.float32)
    of = names[member]
    alive = np.unique(of).tolist()
    spots = {k: flat[of == k] for k in alive}
    rectangles = {k: _rectangle(spots[k]) for k in alive}
    known: dict[tuple[int, int], float] = {}
    while True:
        best, part, whole = settings.footprint, -1, -1
        for k in alive:
            for j in alive:
                if k == j or touching[k, j] <= 0:
                    continue
                if (k, j) not in known:
                    known[k, j] = _within(spots[k], rectangles[j], settings.slack)
                if known[k, j] > best:
                    best, part, whole = known[k, j], k, j
        if part < 0:
            return names
        _absorb(touching, names, part, whole)
        alive.remove(part)
        spots[whole] = np.concatenate([spots[whole], spots.pop(part)])
        rectangles[whole] = _rectangle(spots[whole])
        known = {pair: value for pair, value in known.items() if part not in pair and whole not in pair}


def _rectangle(flat: Float[Array, "m 2"]) -> tuple[Array, Array, Array]:
    """The smallest rectangle about points: middle, half sides, and the turn to its axes."""
    middle, sides, degrees = cv2.minAreaRect(np.ascontiguousarray(flat))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.array(middle), np.array(sides) / 2, turn


def _within(flat: Float[Array, "m 2"], rectangle: tuple[Array, Array, Array], slack: float) -> float:
    """The share of points in a rectangle widened by ``slack``."""
    middle, half, turn = rectangle
    return float((np.abs((flat - middle) @ turn.T) <= half + slack).all(1).mean())
