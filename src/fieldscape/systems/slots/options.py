"""The options of the slots commands. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from fieldscape.data.depth.options import Layout
from fieldscape.systems.slots.config import LossWeights


@dataclass(frozen=True)
class SlotsFitOptions:
    """Find the objects of one depth map, without a network: where each is, its size, turn and shape."""

    data: tyro.conf.Positional[Path]
    """Depth maps: a folder or file in any of the known layouts. For synthetic ones: fieldscape make street."""

    frame: int = 0
    """Which of the depth maps, from 0 on."""

    out: Path | None = None
    """The run folder. Default: runs/NAME-slots."""

    layout: Layout = "auto"
    """How the depth maps are laid out."""

    intrinsics: tuple[float, float, float, float] | None = None
    """Focal lengths and principal point fx fy cx cy in pixels, where the data do not tell them."""

    depth_scale: float | None = None
    """How many units of the files make a metre, where the data do not tell it."""

    far: float = 10.0
    """Where what is explained ends, in metres: 10 indoors and for synthetic streets, 40 for driving."""

    slots: int = 12
    """The most objects."""

    prototypes: int = 6
    """Shapes that objects are blended from."""

    start: Literal["primitives", "random"] = "primitives"
    """The prototypes: ball, box, cylinder, cone, capsule, wheel, then random ones; or all random."""

    learn_prototypes: bool = False
    """Deform the prototypes too."""

    tilt: bool = False
    """Let objects pitch and roll, instead of standing upright."""

    steps: int = 60
    """Of the first fit."""

    merge_rounds: int = 4
    """How often two slots are tried as one; 0: never."""

    final_steps: int = 40
    """Of the last fit."""

    weights: LossWeights = field(default_factory=LossWeights)
    """What each loss counts; 0 switches it off."""

    seed: int = 0
    """Of everything random."""

    quiet: bool = False
    """Say nothing but the result."""
