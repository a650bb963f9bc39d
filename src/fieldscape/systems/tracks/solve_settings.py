"""Settings of how cameras and points are found; free of torch, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SolveSettings:
    """How the cameras are found."""

    camera: Literal["auto", "tripod", "rotation", "moving"] = "auto"
    """What the camera did, if it is known: auto finds out."""
    focal: float = 0.0
    """Focal length as a share of the picture's width (0.87 is 60 degrees across), where it is known; 0 finds it."""
    most_tracks: int = 500
    """Points of a frame that the cameras are found from, the longest tracks of each part of the picture."""
    most_frames: int = 40
    """Frames among which structure from motion looks for cameras; the others are placed between them."""
    wide_pairs: bool = True
    """Also match features between frames far apart, which keeps long paths from drifting."""
    seconds: float = 60.0
    """Processor time that structure from motion may take; past it, what small motions tell is taken."""
    threads: int = 1
    """Of structure from motion; more than one is faster, and may change the last digits from run to run."""
    seed: int = 0
    """Of all that is drawn at random."""
