"""Where new points are set: in the widest holes between those there are, where there is something to hold on to.

Background points by furthest-point refill: the place that is furthest from all points is taken again and again, as long
as it is further than the spacing; then moved, within a third of that, to the place of best texture. Points on a mover
stand on a finer grid inside its mask.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.stepping import Moving, Picture, patch_radius

NARROWEST = 4.0
"""Pixels: closer points tell nothing new, since their patches are the same."""
PACKING = 0.72
"""How many points furthest-point refill sets in a square of the spacing (measured)."""
MARGIN = 0.005
"""Of the picture's height, kept free along its border."""
TEXTURE = 0.35
"""Least texture of a background point."""
PLAIN = 1.5
"""Grey levels a pixel: a slope of this much tells as much of motion as noise does."""
STAIRS = 0.05
"""Share of an edge's strength that comes up along the edge, since it is drawn in pixels."""
POORER = 0.15
"""And of a point on a mover, which may be all there is."""


def spacing(size: tuple[int, int], settings: FollowSettings) -> float:
    """Pixels between background points.

    >>> round(spacing((854, 480), FollowSettings()), 1), round(spacing((160, 90), FollowSettings()), 1)
    (14.0, 6.1)
    """
    if settings.spacing is not None:
        return settings.spacing
    share = min(1.0, math.sqrt(size[0] * size[1] / (854 * 480)))
    return max(NARROWEST, math.sqrt(PACKING * size[0] * size[1] / (settings.points * share)))


def seeds(seen: Picture, there: Moving, apart: float, settings: FollowSettings) -> tuple[np.ndarray, np.ndarray]:
    """Places [n, 2] of new points in a picture where the points ``there`` leave holes, and the layer of each [n]."""
    layers = np.zeros(seen.size[::-1], np.uint8) if seen.layers is None else seen.layers
    free = cv2.dilate((layers > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    places, owner = [np.zeros((0, 2))], [np.zeros(0, np.int64)]
    for k, grey in seen.grey.items():
        mine = there.place[there.layer == k]
        if k == 0:
            new = furthest(mine, free, textured(grey), apart)
        else:
            inside = cv2.erode((layers == k).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            new = gridded(mine, inside, textured(grey), max(NARROWEST, settings.finer * apart))
        places.append(new)
        owner.append(np.full(len(new), k))
    return np.concatenate(places), np.concatenate(owner)


def textured(grey: np.ndarray) -> np.ndarray:
    """How far motion at each pixel can be known in its worst direction, 0..1 [h, w].

    The smaller eigenvalue of the gradients' structure (Shi and Tomasi, "Good features to track", CVPR 1994) against
    noise and against the strength of the whole: along a stripe, however strong, a point slides.

    >>> ramp = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (30, 1))  # an edge without end says nothing along itself
    >>> float(textured(ramp)[15, 15])
    0.0
    """
    smooth = grey.astype(np.float32)
    gx, gy = (cv2.Sobel(smooth, cv2.CV_32F, i, 1 - i, scale=0.125) for i in (1, 0))
    spread = 0.3 * (2 * patch_radius(len(grey)) + 1)
    xx, xy, yy = (cv2.GaussianBlur(one, (0, 0), spread / 1.2) for one in (gx * gx, gx * gy, gy * gy))
    least = np.maximum(0.5 * (xx + yy) - np.sqrt(0.25 * (xx - yy) ** 2 + xy * xy), 0)
    return least / (least + PLAIN**2 + STAIRS * (xx + yy))


def furthest(there: np.ndarray, free: np.ndarray, texture: np.ndarray, apart: float) -> np.ndarray:
    """Furthest-point refill: places [n, 2] in ``free`` pixels, at least about ``apart`` from those ``there`` [m, 2]."""
    height, width = free.shape
    taken = np.full(free.shape, 255, np.uint8)
    border = max(1, round(MARGIN * height))
    taken[np.clip(there[:, 1].astype(int), 0, height - 1), np.clip(there[:, 0].astype(int), 0, width - 1)] = 0
    away = cv2.distanceTransform(taken, cv2.DIST_L2, 5) if len(there) else np.full(free.shape, 4 * apart, np.float32)
    allowed = free.copy()
    allowed[:border], allowed[-border:], allowed[:, :border], allowed[:, -border:] = False, False, False, False
    away = np.where(allowed, np.minimum(away, 4 * apart), 0)
    reach = max(1, round(apart / 3))
    best = cv2.dilate(np.where(allowed, texture, 0), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    away[best < TEXTURE] = 0
    rows, columns = np.mgrid[: 8 * math.ceil(apart) + 1, : 8 * math.ceil(apart) + 1] - 4 * math.ceil(apart)
    disc, span = np.hypot(rows, columns).astype(np.float32), 4 * math.ceil(apart)
    chosen: list[tuple[float, float]] = []
    while True:
        at = int(away.argmax())
        y, x = divmod(at, width)
        if away[y, x] <= apart:
            return np.array(chosen, np.float64).reshape(-1, 2)
        top, left = max(0, y - reach), max(0, x - reach)
        part = np.where(
            allowed[top : y + reach + 1, left : x + reach + 1], texture[top : y + reach + 1, left : x + reach + 1], 0
        )
        j, i = divmod(int(part.argmax()), part.shape[1])
        y, x = top + j, left + i
        chosen.append((x + 0.5, y + 0.5))
        t, b, l, r = max(0, y - span), min(height, y + span + 1), max(0, x - span), min(width, x + span + 1)
        np.minimum(away[t:b, l:r], disc[t - y + span : b - y + span, l - x + span : r - x + span], out=away[t:b, l:r])


def gridded(there: np.ndarray, inside: np.ndarray, texture: np.ndarray, apart: float) -> np.ndarray:
    """Places [n, 2]: of each cell of a grid that lies inside and has no point, the pixel of best texture."""
    height, width = inside.shape
    cell = max(2, round(apart))
    down, across = -(-height // cell), -(-width // cell)
    full = np.zeros((down, across), bool)
    full[
        np.clip(there[:, 1] // cell, 0, down - 1).astype(int), np.clip(there[:, 0] // cell, 0, across - 1).astype(int)
    ] = True
    worth = np.zeros((down * cell, across * cell), np.float32)
    worth[:height, :width] = np.where(inside, texture, 0)
    cells = worth.reshape(down, cell, across, cell).transpose(0, 2, 1, 3).reshape(down, across, cell * cell)
    best = cells.argmax(2)
    good = (cells.max(2) >= POORER) & ~full
    j, i = good.nonzero()
    y, x = j * cell + best[j, i] // cell, i * cell + best[j, i] % cell
    return np.stack([x + 0.5, y + 0.5], 1).astype(np.float64)
