"""The options of ``tracks extract``. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fieldscape.systems.tracks.clip_settings import ClipSettings
from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.refollow_settings import RefollowSettings
from fieldscape.systems.tracks.solve_settings import SolveSettings


@dataclass(frozen=True)
class ForeignSettings:
    """How tracks that another tracker made are taken."""

    least_sure: float = 0.5
    """A point counts as seen where visibility and confidence are above this."""

    origin: Literal["auto", "center", "corner"] = "auto"
    """What the pixel (0, 0) is in that file: the centre of the top-left pixel, or its corner. auto: the corner for
    TAPIR (visibles), the centre for all others."""


@dataclass(frozen=True)
class TracksExtractOptions:
    """Follow points through a clip, find its cameras and where the points are in space, and write a tracks file."""

    clip: tyro.conf.Positional[Path]
    """A video, or a folder of frames; a folder with images/ and masks/ is taken as such."""

    out: Path
    """The tracks file, an .npz."""

    hold_out: int = 8
    """One frame in so many is kept apart and seen by nothing, so that the result can be judged; 0: none. Of --tracks
    none is kept apart: whoever made them has seen all."""

    cameras: Path | None = None
    """Cameras that are known: a transforms.json, a COLMAP model, or a tracks file."""

    depth: Path | None = None
    """Depth that is known, along the optical axis: a folder of 16-bit PNG (millimetres) or .npy files, one a frame."""

    tracks: Path | None = None
    """Tracks made by another tracker: SpatialTrackerV2 .pt, TAPIP3D .npz, CoTracker or TAPIR arrays with depth and
    poses in an .npz, or a folder with a COLMAP model of the frames."""

    overlay: bool = True
    """Write a film of the clip with its points beside OUT."""

    clips: Annotated[ClipSettings, tyro.conf.arg(name="")] = field(default_factory=ClipSettings)
    """What is read of the clip."""

    follow: Annotated[FollowSettings, tyro.conf.arg(name="")] = field(default_factory=FollowSettings)
    """How points are followed."""

    solve: SolveSettings = field(default_factory=SolveSettings)
    """How the cameras are found."""

    refollow: bool = True
    """Follow the background's points once more when the cameras are known: steadier, longer, and fewer."""

    again: RefollowSettings = field(default_factory=RefollowSettings)
    """How points are followed once more."""

    foreign: ForeignSettings = field(default_factory=ForeignSettings)
    """How the tracks in --tracks are taken."""

    quiet: bool = False
    """Say nothing but the result."""
