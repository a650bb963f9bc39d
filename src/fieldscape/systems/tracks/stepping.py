"""One step of the points of a clip, from a frame to a neighbour: pyramidal Lucas-Kanade, then doubts.

The step itself is OpenCV's (Bouguet, "Pyramidal implementation of the affine Lucas Kanade feature tracker", 2001). What
it finds is laid over the point's first patch (``patches.align``), so that errors of steps do not add up. A point ends
where it does not come back to its start from the new place, where the picture around it looks otherwise than in the
frame before or than where it was first seen, in whole or on one side, where it moves as none of its neighbours do, and
where it leaves its layer or the picture: what is left has not slid along an edge, nor from one thing to another.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.patches import agreement, align, cut

STEPS = 10
FIRM = 1.0
"""Pixels of error that are supposed of the step itself when the first patch corrects it."""
STIFFNESS = 0.05
"""How unwilling a patch is to change its shape, as a share of what it shows of its shift."""
NOISE = 3.0
"""Grey levels by which a pixel may differ from what it shows: camera noise, and steps between pixels."""
FREE = 2.0
"""Pixels by which the first patch may move what the step found; beyond, one of the two is wrong."""
NEIGHBOURS = 8
ALIKE = 2
"""Of these neighbours must move as a point does ..."""
APART = 1.0
"""... that is, no further from it than this many pixels and a fifth of the way."""
REACH = 24
"""Pixels around a mover that its own pictures keep."""


@dataclass(frozen=True)
class Picture:
    """A frame made ready. layers: [h, w], None where unknown.

    grey: for each layer, uint8 [h, w], what is not of the layer painted over with the nearest of it, so that windows at
    its border see nothing that moves otherwise.  smooth: for each layer, float32 [h, w], a little blurred, NaN there.
    """

    grey: dict[int, np.ndarray]
    smooth: dict[int, np.ndarray]
    layers: np.ndarray | None
    size: tuple[int, int]


@dataclass(frozen=True)
class Moving:
    """Points on their way, all in one frame. Arrays of n rows.

    place: [n, 2].  speed: pixels of the last step, [n, 2].  warp: of the first patch to here, [n, 2, 2].
    patch: around the first place.  contrast: its standard deviation.  layer: what each lies on.
    number: which point it is.  sure: 0..1.  age: steps gone.
    """

    place: np.ndarray
    speed: np.ndarray
    warp: np.ndarray
    patch: np.ndarray
    contrast: np.ndarray
    layer: np.ndarray
    number: np.ndarray
    sure: np.ndarray
    age: np.ndarray

    def __len__(self) -> int:
        return len(self.place)

    def of(self, chosen: np.ndarray) -> Moving:
        """Only the points ``chosen``: numbers or truths."""
        return Moving(*(getattr(self, name)[chosen] for name in _FIELDS))

    def and_also(self, other: Moving) -> Moving:
        """These points and others."""
        return Moving(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in _FIELDS))


_FIELDS = tuple(field.name for field in fields(Moving))


def picture(frame: np.ndarray, layers: np.ndarray | None) -> Picture:
    """A frame [h, w, 3] uint8, made ready."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    size = grey.shape[1], grey.shape[0]
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.7)
    if layers is None or not layers.any():
        return Picture({0: grey}, {0: smooth}, layers, size)
    greys, smooths = {}, {}
    for k in np.unique(layers).tolist():
        mine = layers == k
        _, nearest = cv2.distanceTransformWithLabels(
            (~mine).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        value = np.zeros(nearest.max() + 1, np.uint8)
        value[nearest[mine]] = grey[mine]
        greys[k] = value[nearest]
        weight = cv2.GaussianBlur(mine.astype(np.float32), (0, 0), 0.7)
        blurred = cv2.GaussianBlur(np.where(mine, grey, 0).astype(np.float32), (0, 0), 0.7)
        smooths[k] = np.where(mine, blurred / np.maximum(weight, 1e-3), np.nan).astype(np.float32)
    return Picture(greys, smooths, layers, size)


def window(height: int) -> int:
    """Side of the window that is compared, in pixels: odd, growing slowly with the picture.

    >>> window(90), window(240), window(480)
    (11, 15, 21)
    """
    return 2 * round((9 + height / 40 - 1) / 2) + 1


def levels(height: int) -> int:
    """How often the picture is halved.

    >>> levels(90), levels(180), levels(480)
    (2, 3, 4)
    """
    return max(0, int(math.log2(max(height, 22) / 22)))


def patch_radius(height: int) -> int:
    """Of the first patch; one pixel more than is compared.

    >>> patch_radius(90), patch_radius(480)
    (6, 8)
    """
    return 6 + (height >= 240) + (height >= 360)


def begun(seen: Picture, places: np.ndarray, layer: np.ndarray, first: int) -> Moving:
    """Points that start at ``places`` [n, 2] of a picture, numbered from ``first`` on."""
    n, side = len(places), 2 * patch_radius(seen.size[1]) + 1
    patch = np.full((n, side, side), np.nan, np.float32)
    for k, smooth in seen.smooth.items():
        mine = (layer == k).nonzero()[0]
        patch[mine] = cut(smooth, places[mine], side // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        contrast = np.nan_to_num(np.nanstd(patch, axis=(1, 2))).astype(np.float64)
    still, square = np.zeros((n, 2)), np.tile(np.eye(2), (n, 1, 1))
    number, layer = first + np.arange(n), layer.astype(np.int64)
    return Moving(places.astype(np.float64), still, square, patch, contrast, layer, number, np.ones(n), np.zeros(n))


def step(one: Picture, other: Picture, moving: Moving, settings: FollowSettings) -> Moving:
    """The points that are found again in the picture ``other``, there. Their order is kept within a layer."""
    found = moving.of(np.zeros(len(moving), bool))
    for k in sorted(one.grey.keys() & other.grey.keys()):
        found = found.and_also(_step(one, other, k, moving.of(moving.layer == k), settings))
    return found


def _step(one: Picture, other: Picture, k: int, moving: Moving, settings: FollowSettings) -> Moving:
    """``step`` for the points of layer k."""
    if len(moving) == 0:
        return moving
    (top, bottom), (left, right) = _box(one, other, k)
    corner = np.array([left, top], float)
    before, after = one.grey[k][top:bottom, left:right], other.grey[k][top:bottom, left:right]
    start = moving.place - corner
    end, good = _both_ways(before, after, start, start + _speeds(moving), one.size[1], settings)
    good &= in_company(start, end, good)
    lost = (~good).nonzero()[0]
    if len(lost) and good.sum() >= NEIGHBOURS:
        # Once more from where the neighbours say.
        guess = start[lost] + _usual(start[good], (end - start)[good], start[lost])
        end[lost], found = _both_ways(before, after, start[lost], guess, one.size[1], settings)
        good[lost] = found
        good[lost] = in_company(start, end, good)[lost] & found
    moved, start, end = moving.of(good), moving.place[good], end[good] + corner
    if len(moved) == 0:
        return moved
    radius = moved.patch.shape[1] // 2 - 1
    pull = np.full(len(moved), (NOISE / FIRM / (2 * radius + 1)) ** 2)
    place, warp, fit = align(other.smooth[k], moved.patch, end, moved.warp, pull, STEPS, STIFFNESS)
    here = cut(other.smooth[k], place, radius, warp)
    last, contrast = agreement(cut(one.smooth[k], start, radius, moved.warp), here)
    held = (np.linalg.norm(place - end, axis=1) < FREE) & allowed(other, place, moved.layer)
    held &= alike(fit, moved.contrast, settings.like_first) & alike(last, contrast, settings.like_last)
    held &= on_all_sides(moved.patch[:, 1:-1, 1:-1], here, settings.like_side)
    moved = replace(
        moved, place=place, speed=place - start, warp=warp, sure=np.clip(fit, 0.01, 0.99), age=moved.age + 1
    )
    return moved.of(held)


def _box(one: Picture, other: Picture, k: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that the work for a layer needs: all for the background."""
    width, height = one.size
    if k == 0 or one.layers is None or other.layers is None:
        return (0, height), (0, width)
    there = (one.layers == k) | (other.layers == k)
    rows, columns = there.any(1).nonzero()[0], there.any(0).nonzero()[0]
    return (
        (max(0, int(rows[0]) - REACH), min(height, int(rows[-1]) + REACH + 1)),
        (max(0, int(columns[0]) - REACH), min(width, int(columns[-1]) + REACH + 1)),
    )


def alike(fit: np.ndarray, contrast: np.ndarray, least: float) -> np.ndarray:
    """Whether patches agree, or differ by no more than noise does: what is nearly plain never agrees well."""
    differ = contrast * np.sqrt(2 * np.clip(1 - fit, 0, 2))
    return (fit >= least) | ((differ < 1.2 * NOISE) & (fit > 0.3))


def on_all_sides(first: np.ndarray, here: np.ndarray, least: float) -> np.ndarray:
    """Whether patches [n, s, s] agree in each half, left, right, top and bottom, once both are of one brightness.

    What is at the border of two things looks right on the side of the one it goes with, and wrong on the other.
    """
    both = np.isfinite(first) & np.isfinite(here)
    count = np.maximum(both.sum((1, 2)), 1)[:, None, None]
    one, other = np.where(both, first, 0), np.where(both, here, 0)
    one = np.where(both, one - one.sum((1, 2), keepdims=True) / count, 0)
    other = np.where(both, other - other.sum((1, 2), keepdims=True) / count, 0)
    gain = np.sqrt((one**2).sum((1, 2)) / np.maximum((other**2).sum((1, 2)), 1e-6))
    wrong, strength = (one - gain[:, None, None] * other) ** 2, one**2
    middle = first.shape[1] // 2
    good = np.ones(len(first), bool)
    contrast = strength.sum((1, 2)) / count[:, 0, 0]
    for part in (np.s_[:, :, :middle], np.s_[:, :, middle + 1 :], np.s_[:, :middle], np.s_[:, middle + 1 :]):
        pixels = np.maximum(both[part].sum((1, 2)), 1)
        off = wrong[part].sum((1, 2)) / pixels
        good &= off < np.maximum((1 - least) * 2 * contrast, (1.2 * NOISE) ** 2)
    return good


def _speeds(moving: Moving) -> np.ndarray:
    """What each point is expected to move: as in its last step; new points as their neighbours."""
    old, new = moving.age > 0, moving.age == 0
    speed = moving.speed.copy()
    if old.any() and new.any():
        speed[new] = _usual(moving.place[old], moving.speed[old], moving.place[new])
    return speed


def _usual(places: np.ndarray, motion: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The median motion [n, 2] of the five ``places`` [m, 2] next to each of ``where`` [n, 2]."""
    _, near = cKDTree(places).query(where, min(5, len(places)))
    return np.median(motion[near.reshape(len(where), -1)], axis=1)


def in_company(start: np.ndarray, end: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Whether enough of a point's neighbours move as it does [n]: what slides along an edge, or sits where the borders
    of two things cross, moves as neither side. True for all where there are few."""
    found = good.nonzero()[0]
    company = np.ones(len(start), bool)
    if len(found) <= NEIGHBOURS:
        return company
    _, near = cKDTree(start[found]).query(start[found], NEIGHBOURS + 1)
    flow = (end - start)[found]
    length = np.linalg.norm(flow, axis=1)
    off = np.linalg.norm(flow[near[:, 1:]] - flow[:, None], axis=2)
    company[found] = (off < APART + 0.2 * length[:, None]).sum(1) >= ALIKE
    return company


def _both_ways(
    one: np.ndarray, other: np.ndarray, start: np.ndarray, guess: np.ndarray, height: int, settings: FollowSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Places in the other picture, and whether each came back to where it started."""
    end, found = _lucas_kanade(one, other, start, guess, height)
    back, found_back = _lucas_kanade(other, one, end, end - (guess - start), height)
    return end, found & found_back & (np.linalg.norm(back - start, axis=1) < settings.back)


def _lucas_kanade(
    one: np.ndarray, other: np.ndarray, start: np.ndarray, guess: np.ndarray, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV's tracker, which counts from the centre of the first pixel."""
    side = window(height)
    places, found, _ = cv2.calcOpticalFlowPyrLK(
        one,
        other,
        np.ascontiguousarray(start - 0.5, np.float32).reshape(-1, 1, 2),
        np.ascontiguousarray(guess - 0.5, np.float32).reshape(-1, 1, 2),
        winSize=(side, side),
        maxLevel=levels(min(height, 2 * min(one.shape))),
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.02),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=1e-5,
    )
    return places[:, 0].astype(np.float64) + 0.5, found[:, 0].astype(bool)


def allowed(seen: Picture, place: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Whether places [n, 2] lie in the picture, and on the layer they belong to as far as that is known."""
    width, height = seen.size
    inside = np.asarray(((place >= 0) & (place < [width, height])).all(1))
    if seen.layers is None:
        return inside
    x = np.clip(place[:, 0].astype(int), 0, width - 1)
    y = np.clip(place[:, 1].astype(int), 0, height - 1)
    return inside & (seen.layers[y, x] == layer)
