"""Which regions of a depth map are one thing after all, told from where they stand, without any labels.

Three rules, each about geometry alone:

* *border*: two regions of which a good share of the common border is not cut are one;
* *footprint*: two things cannot stand in the same place, so a region whose points lie, seen from above, within the
  rectangle of another one it touches is a part of it: a cabin on a car, the ball on a lamp;
* *thinness*: a region of few pixels, or one narrower than ``thin``, is a part of the one it touches most: a limb.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

Array = np.ndarray
Table = list[dict[int, float]]
"""For each region its neighbours, and a number for the pair, which is the same from both sides."""

CLOSE = 0.2
"""Metres between points of regions that touch."""
SPECK = 6
"""Points of a region that is too small to be judged by its footprint, of those that are looked at."""
ENOUGH = 16384
"""Points that contacts and footprints are judged by. Of more, each region shows an even share, one at least."""


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
    found, opened = [], []
    for one, other, cuts in (
        (labels[:, :-1], labels[:, 1:], right[:, :-1]),
        (labels[:-1], labels[1:], below[:-1]),
    ):
        border = (one != other) & (one > 0) & (other > 0)
        found.append(np.stack([one[border], other[border]], -1))
        opened.append(cuts[border] == 0)
    pairs, lengths = _counted(np.concatenate(found), np.ones(sum(map(len, found))))
    _, opens = _counted(np.concatenate(found), np.concatenate(opened))
    opening = _table(count + 1, pairs, opens)
    length = _table(count + 1, pairs, lengths)
    shares = opens / lengths
    queue = [(-each, i, j) for each, (i, j) in zip(shares.tolist(), pairs.tolist()) if each > share]
    heapq.heapify(queue)
    names = np.arange(count + 1)
    while queue:
        best, i, j = heapq.heappop(queue)
        # What the queue says of a pair that has changed since is out of date.
        if not length[i].get(j) or opening[i][j] / length[i][j] != -best:
            continue
        others = list(length[j])
        for table in (opening, length):
            _absorb(table, j, i)
        names[j] = i
        for other in others:
            if other != i and opening[i][other] > share * length[i][other]:
                heapq.heappush(queue, (-(opening[i][other] / length[i][other]), min(i, other), max(i, other)))
    return renumbered(_resolved(names)[labels])


def _counted(pairs: Int[Array, "p 2"], weights: Array) -> tuple[Int[Array, "q 2"], Float[Array, "q"]]:
    """The different pairs, the smaller number first, in ascending order; and the sum of the weights of each."""
    if not len(pairs):
        return pairs, np.zeros(0)
    size = int(pairs.max()) + 1
    keys, places = np.unique(pairs.min(1) * size + pairs.max(1), return_inverse=True)
    return np.stack(np.divmod(keys, size), -1), np.bincount(places.reshape(-1), weights)


def _table(count: int, pairs: Int[Array, "q 2"], values: Float[Array, "q"]) -> Table:
    """For each of ``count`` regions, its neighbours and the value of the pair."""
    table: Table = [{} for _ in range(count)]
    for (i, j), value in zip(pairs.tolist(), values.tolist()):
        table[i][j] = table[j][i] = value
    return table


def _absorb(table: Table, part: int, whole: int) -> None:
    """``part`` becomes one with ``whole``, which takes over its neighbours."""
    for other, value in table[part].items():
        del table[other][part]
        if other != whole:
            table[whole][other] = table[other][whole] = table[whole].get(other, 0.0) + value
    table[part] = {}


def _resolved(names: Int[Array, "r"]) -> Int[Array, "r"]:
    """The last name of each region, where ``names`` says which one it went to."""
    while True:
        further = names[names]
        if (further == names).all():
            return names
        names = further


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
    names = _join_thin(cloud, member, touching, names, 0.0, SPECK * _stride(len(cloud)))
    names = _join_footprints(cloud, member, touching, names, settings)
    names = _join_thin(cloud, member, touching, names, settings.thin, settings.least)
    names = _join_footprints(cloud, member, touching, names, settings)
    names = _join_thin(cloud, member, touching, names, settings.thin, settings.least)
    joined = np.zeros_like(labels)
    joined[inside] = names[member] + 1
    return renumbered(joined)[0]


def _contacts(
    labels: Int[Array, "h w"], points: Float[Array, "h w 3"], inside: Bool[Array, "h w"], member: Int[Array, "m"]
) -> Table:
    """How many pairs of points on the rims of two regions are close."""
    rim = np.zeros(inside.shape, bool)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        before = [slice(None)] * 2
        after = [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        rim[tuple(before)] |= step
        rim[tuple(after)] |= step
    on = np.flatnonzero(rim[inside])
    count = int(member.max()) + 1
    if len(on) < 2:
        return _table(count, np.zeros((0, 2), np.int64), np.zeros(0))
    on = on[_some(member[on], len(member))]
    close = member[on][cKDTree(points[inside][on]).query_pairs(CLOSE, output_type="ndarray")]
    close = close[close[:, 0] != close[:, 1]]
    return _table(count, *_counted(close, np.ones(len(close))))


def _some(member: Int[Array, "m"], count: int) -> Int[Array, "k"]:
    """Which points of regions are looked at, region by region, where there are ``count`` in all."""
    step = _stride(count)
    # Row by row, every so-manieth point of a rim may always be one of its left side: they are mixed first.
    mixed = np.random.Generator(np.random.PCG64(0)).permutation(len(member)) if step > 1 else np.arange(len(member))
    order = mixed[np.argsort(member[mixed], kind="stable")]
    starts = np.unique(member[order], return_index=True)[1]
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return order[rank % step == 0]


def _stride(count: int) -> int:
    """Of how many points one is looked at, where there are ``count`` in all."""
    return math.ceil(count / ENOUGH)


def _join_thin(
    cloud: Float[Array, "m 3"],
    member: Int[Array, "m"],
    touching: Table,
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
    small = (sizes > 0) & ((sizes < least) | (_widths(sizes, sums, squares) < thin))
    queue = [(float(sizes[k]), k) for k in np.flatnonzero(small).tolist()]
    heapq.heapify(queue)
    names = names.copy()
    while queue:
        size, part = heapq.heappop(queue)
        # A region that has grown, or is no more, stands in the queue again or nowhere.
        if size != sizes[part] or not touching[part]:
            continue
        whole = min(touching[part], key=lambda k: (-touching[part][k], k))
        for table in (sizes, sums, squares):
            table[whole] += table[part]
            table[part] = 0
        _absorb(touching, part, whole)
        names[part] = whole
        at = slice(whole, whole + 1)
        if sizes[whole] < least or _widths(sizes[at], sums[at], squares[at])[0] < thin:
            heapq.heappush(queue, (float(sizes[whole]), whole))
    return _resolved(names)


def _widths(sizes: Float[Array, "r"], sums: Float[Array, "r 3"], squares: Float[Array, "r 3 3"]) -> Float[Array, "r"]:
    """How wide regions are in metres, from how many points each has, their sums and those of their products."""
    each = np.maximum(sizes, 1)
    means = sums / each[:, None]
    spread = squares / each[:, None, None] - means[:, :, None] * means[:, None, :]
    # The width of an even strip is the square root of twelve times its standard deviation.
    return np.sqrt(12 * np.maximum(np.linalg.eigvalsh(spread)[:, 1], 0))


def _join_footprints(
    cloud: Float[Array, "m 3"],
    member: Int[Array, "m"],
    touching: Table,
    names: Int[Array, "r"],
    settings: JoiningSettings,
) -> Int[Array, "r"]:
    """Regions that stand in the rectangle of one they touch become one with it, the most certain first."""
    flat = cloud[:, [0, 2]].astype(np.float32)
    kept = _some(names[member], len(member))
    alive, starts = np.unique(names[member][kept], return_index=True)
    spots = dict(zip(alive.tolist(), np.split(flat[kept], starts[1:])))
    rectangles = {k: _rectangle(each) for k, each in spots.items()}
    cores = {k: _core(each, settings.footprint) for k, each in spots.items()}
    known: dict[tuple[int, int], float] = {}
    queue: list[tuple[float, int, int]] = []

    def judge(part: int, whole: int) -> None:
        known[part, whole] = -1.0
        if _reaches(cores[part], rectangles[whole], settings.slack):
            known[part, whole] = _within(spots[part], rectangles[whole], settings.slack)
        if known[part, whole] > settings.footprint:
            heapq.heappush(queue, (-known[part, whole], part, whole))

    for k in spots:
        for j in touching[k]:
            judge(k, j)
    names = names.copy()
    while queue:
        best, part, whole = heapq.heappop(queue)
        if whole not in touching[part] or known[part, whole] != -best:
            continue
        _absorb(touching, part, whole)
        names[part] = whole
        spots[whole] = np.concatenate([spots[whole], spots.pop(part)])
        rectangles[whole] = _rectangle(spots[whole])
        cores[whole] = _core(spots[whole], settings.footprint)
        for other in touching[whole]:
            judge(other, whole)
            judge(whole, other)
    return _resolved(names)


class Rectangle(NamedTuple):
    """On the ground: middle, half sides, the turn to its axes, and its bounds: low x, z, high x, z."""

    middle: Float[Array, "2"]
    half: Float[Array, "2"]
    turn: Float[Array, "2 2"]
    bounds: tuple[float, float, float, float]


def _rectangle(flat: Float[Array, "m 2"]) -> Rectangle:
    """The smallest rectangle about points."""
    middle, sides, degrees = cv2.minAreaRect(np.ascontiguousarray(flat))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    half = np.array(sides) / 2
    (x, z), (wide, deep) = middle, (np.abs(turn.T) @ half).tolist()
    return Rectangle(np.array(middle), half, turn, (x - wide, z - deep, x + wide, z + deep))


def _within(flat: Float[Array, "m 2"], rectangle: Rectangle, slack: float) -> float:
    """The share of points in a rectangle widened by ``slack``."""
    near = np.abs((flat - rectangle.middle) @ rectangle.turn.T) <= rectangle.half + slack
    return np.count_nonzero(near[:, 0] & near[:, 1]) / len(flat)


def _core(flat: Float[Array, "m 2"], share: float) -> tuple[float, float, float, float]:
    """Between which x and which z all but a share of 1 - ``share`` of points lie, on either side: low x, z, high x, z.

    Whatever holds more than ``share`` of the points reaches over this.
    """
    out = min(max(int((1 - share) * len(flat)), 0), len(flat) - 1)
    ranked = np.partition(flat, (out, len(flat) - 1 - out), axis=0)
    return (*ranked[out].tolist(), *ranked[len(flat) - 1 - out].tolist())


def _reaches(core: tuple[float, float, float, float], rectangle: Rectangle, slack: float) -> bool:
    """Whether a rectangle can hold as many points as ``core`` tells of; a quick look before they are counted."""
    low_x, low_z, high_x, high_z = rectangle.bounds
    more = 1.5 * slack  # at its corners, a turned rectangle grows by up to 1.42 times the slack along x or z
    return low_x - more <= core[0] and core[2] <= high_x + more and low_z - more <= core[1] and core[3] <= high_z + more
