"""Looking for a point where it should be: its own look in the nearest frames that saw it, laid over the picture.

A patch is cut out where the point was seen, and laid over the frame (``patches.align``) as a small square that faces
the cameras would be seen there. The point is there if the patch ends near the place and agrees with the picture, as a
whole and in its middle: what has come before a point covers one side of its patch first.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from fieldscape.systems.tracks.nouns import Clip
from fieldscape.systems.tracks.patches import agreement, align, cut

STEPS = 4
"""Rounds of laying a patch over a picture: what is looked for is nearly there."""

STIFFNESS = 0.2
"""How unwilling a patch is to change its shape, as a share of what it shows of its shift."""

AROUND = 0.25
"""Pixels by which a place that all frames agree on may be wrong."""

NOISE = 3.0
"""Grey levels by which a pixel may differ from what it shows: camera noise, and steps between pixels."""

CORE = 3
"""Radius in pixels of the middle of a patch."""


def backgrounds(clip: Clip) -> list[np.ndarray]:
    """The frames in grey, float32 [h, w], a little blurred; NaN on what moves."""
    result = []
    for i, frame in enumerate(clip.frames.numpy()):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if clip.layers is None or not (clip.layers[i] > 0).any():
            result.append(cv2.GaussianBlur(grey, (0, 0), 0.7))
            continue
        still = (clip.layers[i] == 0).numpy()
        weight = cv2.GaussianBlur(still.astype(np.float32), (0, 0), 0.7)
        blurred = cv2.GaussianBlur(np.where(still, grey, 0), (0, 0), 0.7)
        result.append(np.where(still, blurred / np.maximum(weight, 1e-3), np.nan).astype(np.float32))
    return result


def radius_of(height: int) -> int:
    """Of a patch; one pixel more than is compared.

    >>> radius_of(90), radius_of(480)
    (6, 8)
    """
    return 6 + (height >= 240) + (height >= 360)


def on_background(picture: Float[np.ndarray, "h w"], place: Float[np.ndarray, "k 2"]) -> Bool[np.ndarray, "k"]:
    """Whether places lie in the picture, and not on what moves."""
    height, width = picture.shape
    inside = np.isfinite(place).all(1) & (place >= 0).all(1) & (place < [width, height]).all(1)
    x, y = np.where(inside[:, None], place, 0.0).astype(int).T
    return inside & np.isfinite(picture[y, x])


def patches_of(
    pictures: list[np.ndarray], places: Float[np.ndarray, "t n 2"], frame: Int[np.ndarray, "k"],
    point: Int[np.ndarray, "k"], radius: int,
) -> Float[np.ndarray, "k s s"]:  # fmt: skip
    """The looks of points in frames."""
    look = np.empty((len(frame), 2 * radius + 1, 2 * radius + 1), np.float32)
    for s in np.unique(frame):
        mine = (frame == s).nonzero()[0]
        look[mine] = cut(pictures[s], places[s, point[mine]], radius)
    return look


def found(
    picture: Float[np.ndarray, "h w"], look: Float[np.ndarray, "k s s"], place: Float[np.ndarray, "k 2"],
    warp: Float[np.ndarray, "k 2 2"], near: float, like: float,
) -> tuple[Bool[np.ndarray, "k"], Float[np.ndarray, "k 2"], Float[np.ndarray, "k"]]:  # fmt: skip
    """Whether the looks are found within ``near`` pixels of the places, where exactly, and how well they agree there.

    warp: of the looks into this picture.  like: the agreement asked for.
    """
    radius = look.shape[1] // 2
    pull = np.full(len(look), (NOISE / AROUND) ** 2 / (2 * radius - 1) ** 2)
    exact, warp, fit = align(picture, look, place, warp, pull, STEPS, STIFFNESS)
    middle = look[:, radius - CORE : radius + CORE + 1, radius - CORE : radius + CORE + 1]
    inner, _ = agreement(middle, cut(picture, exact, CORE, warp))
    good = (np.linalg.norm(exact - place, axis=1) < near) & _alike(look, fit, like) & _alike(middle, inner, like)
    return good, exact, np.minimum(fit, inner)


def _alike(look: np.ndarray, fit: np.ndarray, least: float) -> np.ndarray:
    """Whether patches agree, or differ by no more than noise does: what is nearly plain never agrees well."""
    there = np.isfinite(look)
    count = np.maximum(there.sum((1, 2)), 1)
    value = np.where(there, look, 0)
    mean = value.sum((1, 2)) / count
    variance = np.where(there, (look - mean[:, None, None]) ** 2, 0).sum((1, 2)) / count
    differ = np.sqrt(variance * 2 * np.clip(1 - fit, 0, 2))
    return (fit >= least) | ((differ < 1.2 * NOISE) & (fit > 0.3))
