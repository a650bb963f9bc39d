"""The turns of a camera that only turns, or as if it did: the start of everything else.

Frame by frame the rotation that best carries the directions found so far onto the bearings of the frame (Wahba's
problem, solved by an SVD: Kabsch, 1976), with less weight for what does not fit; then all turns, directions and the
focal length together. A homography between two frames that is explained by a turn alone is H = K R K^-1 (Hartley and
Zisserman, "Multiple View Geometry", section 8.4); here that holds for all frames at once, so also over the largest
gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fieldscape.systems.tracks.adjusting import Freedom, adjust, reprojection
from fieldscape.systems.tracks.survey import Sightings, Survey, bearings, fewer

FOCALS = (0.5, 3.0)
"""Between which focal lengths to stay, in picture widths: 90 to 19 degrees across."""

TYPICAL_FOCAL = 0.9
"""In picture widths: 58 degrees across, a phone's main camera or a camcorder zoomed out."""

FOCAL_DOUBT = 0.5
"""Standard deviation of the logarithm of focal lengths about the typical one."""

STARTS = (0.6, 1.0, 1.7)
"""Focal lengths to start from, in picture widths."""

TRIAL_ROUNDS = 8
TRIAL_POINTS = 400
"""With which it is found out where to start from."""


@dataclass(frozen=True)
class Turning:
    """The camera as one that only turns. error: median miss in pixels."""

    survey: Survey
    error: float


def turning(sightings: Sightings, size: tuple[int, int], scale: float, focal: float = 0.0) -> Turning:
    """The turns that explain the sightings best, and the focal length in pixels where it is not given.

    scale: of Cauchy's loss, in pixels.
    """
    width, height = size
    middle = np.array([width / 2, height / 2])
    freedom = Freedom(
        places=False, nearness=False, focal=not focal, focal_guess=TYPICAL_FOCAL * width,
        focal_doubt=0.0 if focal else FOCAL_DOUBT, limits=(FOCALS[0] * width, FOCALS[1] * width),
    )  # fmt: skip
    if not focal:
        some = fewer(sightings, TRIAL_POINTS)
        tried = [
            adjust(chained(some, share * width, middle), some, freedom, scale, rounds=TRIAL_ROUNDS) for share in STARTS
        ]
        focal = min(tried, key=lambda each: each.after).survey.focal
    best = adjust(chained(sightings, focal, middle), sightings, freedom, scale, rounds=15)
    return Turning(best.survey, float(np.median(reprojection(best.survey, sightings))))


def chained(sightings: Sightings, focal: float, middle: Float[np.ndarray, "2"]) -> Survey:
    """Turns found from frame to frame, the first without any; points at infinity. Sightings are sorted by point."""
    frames, points = int(sightings.frame.max()) + 1, int(sightings.point.max()) + 1
    ray = bearings(sightings.pixel, focal, middle)
    total = np.zeros((points, 3))
    turn = np.tile(np.eye(3), (frames, 1, 1))
    for t in range(frames):
        mine = np.nonzero(sightings.frame == t)[0]
        point = sightings.point[mine]
        known = np.abs(total[point]).sum(1) > 0
        turn[t] = turn[t - 1]
        if known.sum() >= 2:
            goal = total[point[known]] / np.linalg.norm(total[point[known]], axis=1, keepdims=True)
            turn[t] = carried(ray[mine[known]], goal, turn[t - 1])
        np.add.at(total, point, ray[mine] @ turn[t].T)
    direction = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return Survey(turn, np.zeros((frames, 3)), focal, middle, direction, np.zeros(points))


def carried(
    source: Float[np.ndarray, "k 3"], goal: Float[np.ndarray, "k 3"], start: Float[np.ndarray, "3 3"]
) -> np.ndarray:
    """The rotation that carries unit vectors onto others, most of them: the weight falls with what is missed.

    >>> turn = np.array([[0, -1.0, 0], [1, 0, 0], [0, 0, 1]])
    >>> rays = np.vstack([np.eye(3), -np.eye(3)])
    >>> goal = np.vstack([rays[:5] @ turn.T, [[1.0, 0, 0]]])  # the last is astray
    >>> carried(rays, goal, turn).round(3).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    turn = start
    for _ in range(8):
        miss = np.linalg.norm(source @ turn.T - goal, axis=1)
        weight = 1 / (1 + (miss / max(2 * float(np.median(miss)), 1e-9)) ** 2)
        u, _, vt = np.linalg.svd((goal * weight[:, None]).T @ source)
        turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return turn
