"""What can be asked of ``fieldscape make street``. Imports nothing heavy, so that help is there at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["iso", "contact", "clutter", "unseen-shape", "noise", "mixed"]
MotionKind: TypeAlias = Literal[
    "static", "constant", "ballistic", "turning", "accelerating", "junction", "coupled", "cycles", "mixed"
]
CameraKind: TypeAlias = Literal["still", "dolly", "turn", "mixed"]
Times: TypeAlias = Literal["uniform", "jittered", "random"]
Shapes: TypeAlias = Literal["all", "simple", "composite"]
Layout: TypeAlias = Literal["fieldscape", "synthia-seqs", "synthia-sf", "synthia-al", "vkitti2"]


@dataclass(frozen=True)
class MakeStreetOptions:
    """Make depth videos of simple shapes on a street: depth, instances, poses, times, captions, colour."""

    out: Path
    """The folder to write: one folder a video, or sequences in the layout of another data set."""

    videos: int = 100
    """How many videos."""

    frames: int = 24
    """Of a video; 1: stills."""

    width: int = 128
    """Of a frame, in pixels."""

    height: int = 96
    """Of a frame, in pixels."""

    split: Split = "iso"
    """iso: things stand apart; contact: every second touches its neighbour; clutter: one is hidden by half or more;
    unseen-shape: a shape that no other split shows; noise: depth with errors and gaps; mixed: iso, contact, clutter
    and noise in turn."""

    motion: MotionKind = "mixed"
    """How things move; mixed: each in a way of its own."""

    camera: CameraKind = "mixed"
    """How the camera moves; mixed: another way in each video."""

    shapes: Shapes = "all"
    """simple: box, ball, cylinder, capsule; composite: car, bike, cart, lamp, person, and blob and
    propeller where things move in cycles; all: both."""

    seconds: float | None = None
    """How long a video lasts. Default: 3; the layouts of other data sets have a frame rate of their own instead."""

    times: Times = "uniform"
    """When frames are taken: evenly, nearly evenly, or at random."""

    objects_min: int = 2
    """The fewest things in a video."""

    objects_max: int = 6
    """The most things in a video."""

    walls: bool = False
    """Put building fronts along the street."""

    color: bool = True
    """Also make colour pictures, with light and textures; without them it is over twenty times as fast."""

    exact: bool = False
    """Also keep depth unrounded and without noise, as float32. In our own layout only."""

    layout: Layout = "fieldscape"
    """Ours, or as in SYNTHIA-SEQS, SYNTHIA-SF, SYNTHIA-AL or Virtual KITTI 2."""

    seed: int = 0
    """Of everything."""

    workers: int | None = None
    """Processes that share the work. Default: one a core."""

    quiet: bool = False
    """Say nothing but where the videos are."""
