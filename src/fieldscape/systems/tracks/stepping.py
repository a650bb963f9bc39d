"""One step of the points of a clip, from a frame to a neighbour: pyramidal Lucas-Kanade, then doubts.

The step itself is OpenCV's (Bouguet, "Pyramidal implementation of the affine Lucas Kanade feature tracker", 2001). A
point is given up where it does not come back to its start from the new place, where the picture around it looks
otherwise than in the frame before or than where it was first seen, and where it leaves its layer or the picture. What
stays is laid over its first patch (``patches.align``), so that errors of steps do not add up.
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
STIFFNESS = 0.05
NEIGHBOURS = 10
NOISE = 3.0
"""Grey levels by which a pixel may differ from what it shows: camera noise, and steps between pixels."""
BLUR = 1.0
"""How much more the pixels of a patch err together than each alone: they share what falls between them."""
PLAIN = 1.5
"""Grey levels a pixel: a slope of this much tells as much of motion as noise does."""
STAIRS = 0.05
"""Share of an edge's strength that comes up along the edge, since it is drawn in pixels."""
FIRM = 1.0
"""Pixels of error that are supposed of a step that came back to its start."""
PATIENCE = 4
"""Steps for which a point that is not seen is taken along."""
FREE = 1.5
"""Pixels by which the first patch may move a place."""
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
    number: which point it is.  sure: 0..1, 0 where it is only supposed to be.  age: steps gone.
    doubt: steps since it was last seen.  noise: grey levels by which its patch differed last.
    trust: 0..1 in every direction, [n, 2, 2]: an edge says nothing of motion along itself.
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
    doubt: np.ndarray
    noise: np.ndarray
    trust: np.ndarray

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
    sure, none, noise = np.ones(n), np.zeros(n), np.full(n, NOISE)
    trust = trusted(patch)
    return Moving(
        places.astype(np.float64), still, square, patch, contrast, layer, number, sure, none, none, noise, trust
    )


def trusted(patch: np.ndarray) -> np.ndarray:
    """How far the motion of patches [n, s, s] can be known in each direction: symmetric [n, 2, 2], eigenvalues 0..1.

    From the gradients' structure S: S (S + noise)^-1, where an edge that is drawn in pixels is noise along itself.
    """
    n, side, _ = patch.shape
    weight = np.exp(-0.5 * ((np.arange(1, side - 1) - side // 2) / (0.3 * side)) ** 2)
    weight = weight[:, None] * weight / (weight.sum() ** 2)
    gx = np.nan_to_num(0.5 * (patch[:, 1:-1, 2:] - patch[:, 1:-1, :-2])).astype(np.float64)
    gy = np.nan_to_num(0.5 * (patch[:, 2:, 1:-1] - patch[:, :-2, 1:-1])).astype(np.float64)
    xx, xy, yy = ((weight * a * b).sum((1, 2)) for a, b in ((gx, gx), (gx, gy), (gy, gy)))
    structure = np.stack([xx, xy, xy, yy], 1).reshape(n, 2, 2)
    noise = PLAIN**2 + STAIRS * (xx + yy)
    return structure @ np.linalg.inv(structure + noise[:, None, None] * np.eye(2))


def step(one: Picture, other: Picture, moving: Moving, settings: FollowSettings) -> Moving:
    """The points that are found again in the picture ``other``, there. Their order is kept within a layer."""
    kept = [
        _step(one, other, k, moving.of(moving.layer == k), settings)
        for k in sorted(one.grey.keys() & other.grey.keys())
        if (moving.layer == k).any()
    ]
    if not kept:
        return moving.of(np.zeros(len(moving), bool))
    found = kept[0]
    for more in kept[1:]:
        found = found.and_also(more)
    return found


def _step(one: Picture, other: Picture, k: int, moving: Moving, settings: FollowSettings) -> Moving:
    """``step`` for the points of layer k."""
    (top, bottom), (left, right) = _box(one, other, k)
    corner = np.array([left, top], float)
    before, after = one.grey[k][top:bottom, left:right], other.grey[k][top:bottom, left:right]
    start = moving.place - corner
    speed = _speeds(moving)
    end, good = _both_ways(before, after, start, start + speed, one.size[1], settings)
    guess, spread = _by_neighbours(start, end, good & (moving.doubt == 0), moving.trust)
    lost = (~good).nonzero()[0]
    if len(lost):
        again, better = _both_ways(before, after, start[lost], guess[lost], one.size[1], settings)
        better &= np.linalg.norm(again - guess[lost], axis=1) < 1 + 3 * spread[lost]
        end[lost[better]], good[lost[better]] = again[better], True
    # Neighbours say what the point itself cannot know. Those that are lost may be where these say, if it looks so.
    told = np.isfinite(guess).all(1) & (spread < 1)
    mixed = guess + (moving.trust @ (end - guess)[..., None])[..., 0]
    end = np.where(told[:, None], np.where(good[:, None], mixed, guess), end)
    alive = good | told
    expected = np.where(told, np.maximum(spread, np.where(good, FIRM, 0.3)), 1.0)[alive]
    moved, start, end, good = moving.of(alive), moving.place[alive], end[alive] + corner, good[alive]
    if len(moved) == 0:
        return moved
    pull = (BLUR * moved.noise / np.minimum(expected, 1)) ** 2 / (moved.patch.shape[1] - 2) ** 2
    place, warp, fit = align(other.smooth[k], moved.patch, end, moved.warp, pull, STEPS, STIFFNESS)
    strict = ~good | (moved.doubt > 0)
    held = np.linalg.norm(place - end, axis=1) < np.where(strict, 1.0, FREE)
    held &= _alike(fit, moved.contrast, np.where(strict, settings.like_last, settings.like_first))
    radius = moved.patch.shape[1] // 2 - 1
    like, contrast = agreement(cut(one.smooth[k], start, radius), cut(other.smooth[k], place, radius))
    held &= _alike(like, contrast, settings.like_last) | (moved.doubt > 0)
    # A point that does not look right, or not at all, is taken along with its neighbours for a while.
    place = np.where(held[:, None], place, end)
    doubt = np.where(held, 0.0, moved.doubt + 1)
    noise = np.clip(moved.contrast * np.sqrt(2 * np.clip(1 - fit, 0, 2)), 0.7 * NOISE, 4 * NOISE)
    moved = replace(
        moved,
        place=place,
        speed=place - start,
        warp=np.where(held[:, None, None], warp, moved.warp),
        sure=np.where(held, np.clip(fit, 0.01, 1), 0),
        age=moved.age + 1,
        doubt=doubt,
        noise=np.where(held, noise, moved.noise),
    )
    return moved.of(allowed(other, place, moved.layer) & (doubt <= PATIENCE) & (held | told[alive]))


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


def _alike(fit: np.ndarray, contrast: np.ndarray, least: np.ndarray | float) -> np.ndarray:
    """Whether patches agree, or differ by no more than noise does: what is nearly plain never agrees well."""
    differ = contrast * np.sqrt(2 * np.clip(1 - fit, 0, 2))
    return (fit >= least) | ((differ < 1.2 * NOISE) & (fit > 0.3))


def _speeds(moving: Moving) -> np.ndarray:
    """What each point is expected to move: as in its last step; new points as their neighbours."""
    old, new = ((moving.age > 0) & (moving.doubt == 0)).nonzero()[0], (moving.age == 0).nonzero()[0]
    speed = moving.speed.copy()
    if len(old) and len(new):
        _, near = cKDTree(moving.place[old]).query(moving.place[new], min(5, len(old)))
        speed[new] = np.median(speed[old][near.reshape(len(new), -1)], axis=1)
    return speed


def _by_neighbours(
    start: np.ndarray, end: np.ndarray, good: np.ndarray, trust: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where each point's neighbours say that it is [n, 2], and how far they disagree, in pixels [n].

    An affine motion is fitted to the neighbours that were found: each counts only in the directions in which it can
    be trusted, and those of another opinion than most weigh less.
    """
    found = good.nonzero()[0]
    n = len(start)
    if len(found) < NEIGHBOURS + 1:
        return np.full_like(start, np.nan), np.full(n, np.inf)
    _, near = cKDTree(start[found]).query(start, NEIGHBOURS + 1)
    near = found[near]
    # Nobody is his own neighbour.
    own = near == np.arange(n)[:, None]
    near = np.take_along_axis(near, np.argsort(own, axis=1, kind="stable"), 1)[:, :NEIGHBOURS]
    offset, flow, known = start[near] - start[:, None], (end - start)[near], trust[near]
    usual = np.median(flow, axis=1, keepdims=True)
    scale = np.maximum(np.linalg.norm(offset, axis=2).mean(1), 1e-6)
    # Parameters: motion, its change along x, along y; two components of each.
    basis = np.concatenate([np.ones_like(offset[..., :1]), offset / scale[:, None, None]], 2)
    off = flow - usual
    pulled = (known @ off[..., None])[..., 0]
    stiff = np.diag([0.02, 0.02, 0.3, 0.3, 0.3, 0.3])
    away = np.linalg.norm(pulled, axis=2)
    for _ in range(3):
        limit = np.maximum(np.median(away, axis=1, keepdims=True), 0.1)
        weight = 1 / (1 + (away / limit) ** 2) ** 2
        normal = np.einsum("nk,nki,nkj,nkab->niajb", weight, basis, basis, known, optimize=True).reshape(n, 6, 6)
        right = np.einsum("nk,nki,nka->nia", weight, basis, pulled).reshape(n, 6, 1)
        affine = np.linalg.solve(normal + stiff, right).reshape(n, 3, 2)
        away = np.linalg.norm((known @ (off - basis @ affine)[..., None])[..., 0], axis=2)
    spread = np.sqrt((weight * away**2).sum(1) / weight.sum(1))
    return start + usual[:, 0] + affine[:, 0], spread


def _both_ways(
    one: np.ndarray, other: np.ndarray, start: np.ndarray, guess: np.ndarray, height: int, settings: FollowSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Places in the other picture, and whether each came back to where it started."""
    guess = np.where(np.isfinite(guess), guess, start)
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
    inside = ((place >= 0) & (place < [width, height])).all(1)
    if seen.layers is None:
        return inside
    x = np.clip(place[:, 0].astype(int), 0, width - 1)
    y = np.clip(place[:, 1].astype(int), 0, height - 1)
    return inside & (seen.layers[y, x] == layer)
