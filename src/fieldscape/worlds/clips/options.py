"""The options of ``make clip``. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

ClipScene: TypeAlias = Literal["garden", "tabletop"]
ClipCamera: TypeAlias = Literal["arc", "dolly", "handheld", "pan", "still"]


@dataclass(frozen=True)
class MakeClipOptions:
    """Make a clip of a scene in which things move, with masks, depth, cameras and point tracks that are exact."""

    out: Path
    """The folder to write. It must not exist yet, or be empty."""

    frames: int = 24
    """Pictures in the clip."""

    width: int = 320
    """Of the pictures, in pixels."""

    height: int = 180
    """Of the pictures, in pixels."""

    fps: float = 24.0
    """Pictures a second."""

    tracks: int = 1000
    """Points that are followed through the clip, if they come from a grid or at random."""

    queries: str = "grid"
    """Which points. grid: spread evenly over the first, middle and last picture, half of them on what moves. random:
    the same at random. Else a file of points: .csv with lines of frame, x, y, or .npz with query_frame, query_pixel."""

    objects: int = 1
    """Things that move."""

    camera: ClipCamera = "arc"
    """How the camera moves. arc: round the scene. dolly: ahead and aside. handheld: with the unrest of a hand.
    pan: turns on the spot. still: not at all."""

    scene: ClipScene = "garden"
    """What is filmed."""

    seed: int = 0
    """Another seed gives other colours, other things, and another unrest of the hand."""

    workers: int | None = None
    """Processes that make pictures. Default: one a core. The files are the same for any number."""

    quiet: bool = False
    """Say nothing but where the clip is."""
