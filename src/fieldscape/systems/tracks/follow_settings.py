"""How points are followed through a clip."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FollowSettings:
    """How many points are followed, and when one is given up."""

    points: int = 1500
    """Points aimed at in each frame of 854 x 480; smaller pictures get fewer, but not in proportion."""
    spacing: float | None = None
    """Pixels between neighbours on the background. Default: what gives ``points``."""
    finer: float = 0.6
    """Spacing on what moves, as a share of that on the background."""
    back: float = 0.5
    """Pixels by which a point may miss its start when it is followed forth and back."""
    like_last: float = 0.8
    """Agreement (normalised cross-correlation, at most 1) asked with the frame before."""
    like_first: float = 0.7
    """Agreement asked with the point's own first patch."""
    like_side: float = 0.75
    """Agreement asked with it on each side."""
    least: int = 3
    """Frames in which a point must be seen to be kept."""
