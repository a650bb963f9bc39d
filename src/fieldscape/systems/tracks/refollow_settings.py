"""Settings of following points once more, when cameras and places are known; free of torch, for the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RefollowSettings:
    """How what is known of space makes the tracks of the background better."""

    near: float = 1.0
    """Pixels around the place where a lost point should be within which it must be found to be seen again."""
    like: float = 0.8
    """Agreement (normalised cross-correlation, at most 1) asked with the point's own look in the nearest frames."""
    behind: float = 0.05
    """A point this share of its distance behind the surface that others span is hidden by it."""
    same: float = 0.5
    """Points nearer than so many pixels to one another all along are one."""
