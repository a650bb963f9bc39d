"""What the camera did, and so what can be known.

Judged on the background over all frames at once, which holds the largest gaps: between neighbouring frames a turn of
the camera explains nearly any motion. Tripod: points stay where they are. Rotation: what is left by turns alone is no
more than noise, that is, letting the camera move explains hardly more and the parallax it finds is as small as the
misses. Else it moved: ``low`` if points were seen from directions less than ``LOW_ANGLE`` apart, or the focal length
could as well be another; ``full`` otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fieldscape.systems.tracks.nouns import Kind, Points

STILL = 1.0
"""Pixels (of a picture 854 wide; fewer for smaller, not below 0.4) that points of a tripod shot may move by."""

SHARED = 20
"""Points seen in both frames that tell whether the camera moved between."""

LOW_ANGLE = 2.0
"""Degrees between the directions that the median point is seen from."""

FOCAL_KNOWN = 0.03
"""A focal length is known if the standard deviation of its logarithm (``adjusting.focal_doubt``) is below this."""


@dataclass(frozen=True)
class Signs:
    """What the kind is judged by, in pixels unless said. turning: median miss if the camera only turned.  moving:
    median miss if it also moved.  parallax: shift of the median point between its two most different views that no
    turn explains.  angle: the same in degrees.  focal_doubt: standard deviation of the logarithm of the focal length; 0
    if it was given.
    """

    turning: float
    moving: float
    parallax: float
    angle: float
    focal_doubt: float


def largest_shift(points: Points) -> float:
    """The largest median motion, in pixels, of the background between two frames that share enough points.

    All frames are compared with those an eighth, a quarter, half and the whole of the clip later. Infinite where no two
    such frames share points: the picture has changed wholly, so the camera moved.
    """
    seen = points.seen.numpy() & (points.layer.numpy() == 0)
    places = points.places.double().numpy()
    last = len(seen) - 1
    shifts = []
    for gap in sorted({max(1, last // 8), max(1, last // 4), max(1, last // 2), last}):
        for a in range(last + 1 - gap):
            both = seen[a] & seen[a + gap]
            if both.sum() >= SHARED:
                shifts.append(float(np.median(np.linalg.norm(places[a + gap, both] - places[a, both], axis=1))))
            elif seen[a].sum() >= SHARED and seen[a + gap].sum() >= SHARED and gap <= last // 4:
                return float("inf")
    return max(shifts, default=float("inf"))


def stands_still(points: Points, width: int) -> tuple[bool, float]:
    """Whether the clip was taken from a tripod, and the shift in pixels that says so."""
    shift = largest_shift(points)
    return shift < max(0.4, STILL * min(width, 854) / 854), shift


def only_turned(signs: Signs) -> bool:
    """Whether turns alone explain the clip.

    >>> only_turned(Signs(0.23, 0.22, 0.2, 0.04, 0.0)), only_turned(Signs(0.66, 0.19, 4.8, 0.4, 0.0))
    (True, False)
    """
    left = np.sqrt(max(signs.turning**2 - signs.moving**2, 0.0))
    return bool(left < 0.6 * max(signs.moving, 0.15) or signs.parallax < 2.5 * max(signs.moving, 0.15))


def kind_of(signs: Signs) -> Kind:
    """rotation, low or full."""
    if only_turned(signs):
        return "rotation"
    return "low" if signs.angle < LOW_ANGLE or signs.focal_doubt > FOCAL_KNOWN else "full"


def in_words(kind: Kind, signs: Signs, focal: float, width: int) -> str:
    """The evidence, and what is not known, as one note."""
    seen = (
        f"turns alone miss the background by {signs.turning:.2f} px (median), a moving camera by {signs.moving:.2f} px;"
        f" points were seen from directions {signs.angle:.2g} degrees apart"
    )
    lens = f"{focal:.0f} px ({focal / width:.2f} widths)"
    known = f", to {100 * max(signs.focal_doubt, 0.001):.1g} % if the lens bends nothing"
    if signs.focal_doubt == 0:
        known = ", as given"
    elif signs.focal_doubt > FOCAL_KNOWN:
        known = ", hardly more than a guess: another would fit as well"
    if kind == "rotation":
        return f"The camera turned on the spot: {seen}. No depth can be known. Focal length {lens}{known}."
    if kind == "low" and signs.angle >= LOW_ANGLE:
        return f"The camera moved: {seen}. Focal length {lens}{known}, and depths may be stretched or flattened."
    if kind == "low":
        return f"The camera moved little: {seen}. Depth is rough. Focal length {lens}{known}."
    return f"The camera moved: {seen}. Focal length {lens}{known}."
