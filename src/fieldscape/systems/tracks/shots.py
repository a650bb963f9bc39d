"""Where one shot ends and another begins, and which frames are blurred.

A cut is where nothing goes on: points of the last frame are not found in the next, wide-baseline matching finds no
common geometry either, and the colours change more than they do in the neighbourhood. A flash, a whip pan or a blurred
frame fails some of these, never all: what is behind a flash is the same again two frames later.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

SIDE = 240
"""Pixels of the longer side of the frames that are compared."""
FOUND = 0.25
"""Share of points that is followed from frame to frame even in hard cases; fewer raises suspicion."""
OTHER = 0.15
"""Change of the coarse colours that a cut makes at least, beyond one and a half times that of the frames around."""
MATCHES = 10
"""Matches that agree on one homography: two frames of one place."""
OVER_FLASH = 3
"""Frames ahead in which a shot that was interrupted by a flash may go on."""
BLUR = 0.4
"""Sharpness, as a share of that of the frames around, below which a frame counts as blurred."""


def cuts(frames: UInt8[Tensor, "t h w 3"]) -> list[int]:
    """Numbers of the frames with which a new shot begins."""
    small = [_small(frame) for frame in frames.numpy()]
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in small]
    followed = [_followed(a, b) for a, b in itertools.pairwise(grey)]
    color = [_color_change(a, b) for a, b in itertools.pairwise(small)]
    found = []
    for i, share in enumerate(followed):
        if share >= FOUND or _flat(grey[i]) or _flat(grey[i + 1]):
            continue
        around = [color[j] for j in range(max(0, i - 4), min(len(color), i + 5)) if j != i]
        usual = float(np.median(around)) if around else 0.0
        if color[i] < OTHER + 1.5 * usual:
            continue
        ahead = range(i + 1, min(len(grey), i + 1 + OVER_FLASH))
        behind = range(max(0, i + 1 - OVER_FLASH), i + 1)
        if any(_same_place(grey[b], grey[a]) for b in behind for a in ahead):
            continue
        found.append(i + 1)
    return found


def blurred(frames: UInt8[Tensor, "t h w 3"]) -> list[int]:
    """Frames far less sharp than those around them."""
    sharp = []
    for frame in frames.numpy():
        grey = cv2.cvtColor(_small(frame, 2 * SIDE), cv2.COLOR_RGB2GRAY)
        spread = float(grey.std()) or 1.0
        sharp.append(float(cv2.Laplacian(grey, cv2.CV_32F).std()) / spread)
    values = np.array(sharp)
    around = [float(np.median(values[max(0, i - 6) : i + 7])) for i in range(len(values))]
    return [i for i in range(len(values)) if values[i] < BLUR**0.5 * around[i]]


def _small(frame: np.ndarray, side: int = SIDE) -> np.ndarray:
    factor = min(1.0, side / max(frame.shape[:2]))
    size = round(frame.shape[1] * factor), round(frame.shape[0] * factor)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _flat(grey: np.ndarray) -> bool:
    """Black, white or a plain wall: nothing to be found in it, so that nothing is lost either."""
    return float(grey.std()) < 4


def _followed(one: np.ndarray, other: np.ndarray) -> float:
    """Share of points found again in the next frame, by Lucas-Kanade forth and back."""
    corners = cv2.goodFeaturesToTrack(one, 150, 0.01, 6)
    if corners is None or len(corners) < 8:
        return 1.0
    there, found, _ = cv2.calcOpticalFlowPyrLK(one, other, corners, corners.copy(), winSize=(15, 15), maxLevel=3)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(other, one, there, corners.copy(), winSize=(15, 15), maxLevel=3)
    near = np.linalg.norm((back - corners)[:, 0], axis=1) < 1
    return float((near & (found[:, 0] > 0) & (found_back[:, 0] > 0)).mean())


def _color_change(one: np.ndarray, other: np.ndarray) -> float:
    """Distance of the histograms of coarse colours, 0 (alike) to 1 (nothing in common): sharp and blurred are alike."""
    sums, inner = [], slice(1, 9)
    for frame in (one, other):
        coarse = 1 + 2 * (max(frame.shape) // 24)
        bins = cv2.calcHist([cv2.blur(frame, (coarse, coarse))], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3)
        # Neighbouring bins share, so that a little more light is a little change.
        wide = np.pad(bins, 1, mode="edge")
        bins = 6 * bins + sum(
            np.take(wide, range(1 + way, 9 + way), axis)[tuple(inner if a != axis else slice(None) for a in range(3))]
            for axis in range(3)
            for way in (-1, 1)
        )
        sums.append(bins / bins.sum())
    return float(0.5 * np.abs(sums[0] - sums[1]).sum())


def _same_place(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether enough SIFT matches agree on one homography."""
    sift = cv2.SIFT.create(600, contrastThreshold=0.02)
    (points, first), (places, second) = sift.detectAndCompute(one, None), sift.detectAndCompute(other, None)
    if first is None or second is None or len(first) < MATCHES or len(second) < MATCHES:
        return False
    pairs = cv2.BFMatcher().knnMatch(first, second, 2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.75 * pair[1].distance]
    if len(good) < MATCHES:
        return False
    start = np.array([points[m.queryIdx].pt for m in good], np.float32)
    end = np.array([places[m.trainIdx].pt for m in good], np.float32)
    cv2.setRNGSeed(0)
    _, inliers = cv2.findHomography(start, end, cv2.RANSAC, 3.0)
    return inliers is not None and int(inliers.sum()) >= MATCHES
