"""Things in one depth map without labels: surfaces part where depth jumps, and where they meet in a hollow crease.

Most things are convex, or made of convex parts: where two surfaces meet in a hollow line they are likely two things
(Stein et al., "Object Partitioning using Local Convexity", CVPR 2014). Cuts between pixels come from
``kernels.patches``, regions from ``kernels.regions``, and ``joining`` puts the parts of a thing together.

How much the depth is smoothed, and how large a step must be, follows from the noise that the depth map itself shows.
All thresholds were chosen on ``scenes`` of seed 1000, never on those that figures are reported for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.kernels.patches import judge_pairs
from fieldscape.kernels.regions import label_regions
from fieldscape.systems.slots.joining import JoiningSettings, join_borders, join_parts
from fieldscape.systems.slots.points import Observed, ray_grid, unproject, window_of


@dataclass(frozen=True)
class ConvexitySettings:
    """Where surfaces part, and how their parts are joined."""

    gap: float = 0.02
    """A step in depth that parts surfaces, as a share of depth; the noise's share is added."""

    gap_metres: float = 0.05
    """The least such step in metres; five times the noise's share is added."""

    lean: float = 15.0
    """Degrees between normals, above which a hollow crease parts surfaces."""

    margin: int = 1
    """How far from cuts regions are begun, in pixels; from 2 on, holes of up to twice that less two join nothing."""

    parts: bool = True
    """Join the parts of a thing; without it, regions are returned as they are."""

    joining: JoiningSettings = field(default_factory=JoiningSettings)
    """How regions are joined."""


def segment(depth_map: DepthMap, observed: Observed, settings: ConvexitySettings) -> Int[Tensor, "h w"]:
    """The things in a depth map: 0 for ground, walls, sky and what is unknown or too far, then 1, 2, ..."""
    inside = observed.things.numpy()
    ray_x, ray_y = ray_grid(depth_map)
    right, below = judge_pairs(
        observed.slopes.double().numpy(),
        inside,
        ray_x,
        ray_y,
        reach=1.0 if window_of(observed.noise) == 1 else 2.0,
        gap=(settings.gap + observed.noise, settings.gap_metres + 5 * observed.noise),
        lean=settings.lean,
    )
    labels, count = label_regions(right, below, inside, settings.margin)
    labels, _ = join_borders(labels, count, right, below, settings.joining.border)
    if settings.parts:
        space = unproject(observed.smooth.double().numpy(), ray_x, ray_y)
        moved = observed.from_camera.double().numpy()
        labels = join_parts(labels, space @ moved[:3, :3].T + moved[:3, 3], settings.joining)
    return torch.from_numpy(labels.astype(np.int64))
