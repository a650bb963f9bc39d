"""What can be asked of the readers of depth. Imports no torch, so that the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Layout: TypeAlias = Literal[
    "auto", "fieldscape", "synthia-seqs", "synthia-al", "synthia-sf", "synthia-rand", "vkitti2", "kitti", "tum", "nyu",
    "7-scenes", "plain",
]  # fmt: skip


@dataclass(frozen=True)
class DepthOptions:
    """What the user knows beside the files."""

    intrinsics: tuple[float, float, float, float] | None = None
    """Focal lengths and principal point fx fy cx cy in pixels, as calibration tools give them: the centre of the first
    pixel is at (0, 0)."""

    depth_scale: float | None = None
    """How many units of the file make a metre: 1000 for millimetres, 256 for KITTI, 5000 for TUM."""

    rate: float = 30.0
    """Pictures a second where the layout does not tell."""

    color: bool = True
    """Also read the colour picture of each frame, where there is one."""
