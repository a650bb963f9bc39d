"""Which part of a clip is read, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClipSettings:
    """What is read of a clip."""

    size: int = 854
    """Longest side of the frames, in pixels; larger ones are reduced."""
    start: float | None = None
    """Seconds into the clip of the first frame read. Default: its beginning."""
    end: float | None = None
    """Seconds into the clip of the last frame read. Default: its end."""
    most: int = 240
    """Frames read at most."""
    step: int | None = None
    """Every so-many-th frame is read. Default: as many as --most allows."""
    masks: Path | None = None
    """Where what moves is marked: a folder with a mask for each frame (0 is the background, each other value a thing
    that moves), or one mask of the first frame read, which is carried forward."""
    fps: float | None = None
    """Frames a second. Default: what the video says; 24 for a folder of frames."""
