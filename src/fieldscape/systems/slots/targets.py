"""What slots are compared with: the points that depth maps show, and the space that they show to be empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.nearest import nearest
from fieldscape.systems.slots.losses import BELOW
from fieldscape.systems.slots.points import Observed, padded
from fieldscape.types import Camera

NEAREST = 0.3
"""Metres before the camera in which nothing is said to be empty."""
MARGIN = 0.05
MARGIN_SHARE = 0.01
"""A point is in front of the seen surface if it is nearer by this, in metres and as a share of its depth."""


@dataclass(frozen=True)
class Targets:
    """Depth maps of one size as slots meet them; b depth maps, n points, model frame, metres.

    weights: of the points, 1 in all for each map; 0: padding.  empty: planar depth up to which a pixel shows that
    nothing is there, 0 where it shows nothing.  to_camera: model frame to camera axes.  grounded: the ground was seen.
    """

    points: Float[Tensor, "b n 3"]
    weights: Float[Tensor, "b n"]
    empty: Float[Tensor, "b h w"]
    to_camera: Float[Tensor, "b 4 4"]
    focal: Float[Tensor, "b 2"]
    center: Float[Tensor, "b 2"]
    grounded: Bool[Tensor, "b"]

    def __len__(self) -> int:
        return len(self.points)


def targets_of(observed: Sequence[Observed], count: int) -> Targets:
    """Several depth maps of the same size, each with ``count`` points. Raises ValueError for one without points."""
    rows = [padded(each, count) for each in observed]
    weights = torch.stack([row[1] for row in rows])
    cameras: list[Camera] = [each.depth_map.camera for each in observed]
    return Targets(
        torch.stack([row[0] for row in rows]),
        weights / weights.sum(-1, keepdim=True),
        torch.stack([seen_empty(each) for each in observed]),
        torch.stack([inverse(each.from_camera) for each in observed]),
        torch.stack([camera.focal for camera in cameras]),
        torch.stack([camera.center for camera in cameras]),
        torch.tensor([bool(each.ground.any()) for each in observed]),
    )


def seen_empty(observed: Observed) -> Float[Tensor, "h w"]:
    """How far each pixel shows that nothing is there: the least depth of it and its neighbours, so that the outline of
    what is seen is not charged to a mesh; the far cut at the sky; 0 where nothing is known."""
    depth_map = observed.depth_map
    depth = torch.where(depth_map.valid, depth_map.depth, 0.0)
    known = torch.where(depth_map.sky, observed.far, depth).clamp(max=observed.far)
    apart = torch.where(known > 0, known, torch.inf)
    least = -torch.nn.functional.max_pool2d(-apart[None, None], 3, 1, 1)[0, 0]
    return torch.where(known > 0, least, 0.0)


def in_empty(points: Float[Tensor, "b p 3"], targets: Targets) -> Bool[Tensor, "b p"]:
    """Which points lie where the depth map shows that nothing is."""
    height, width = targets.empty.shape[-2:]
    local = points @ targets.to_camera[:, :3, :3].mT + targets.to_camera[:, None, :3, 3]
    z = local[..., 2]
    pixel = local[..., :2] / z.clamp_min(1e-3)[..., None] * targets.focal[:, None] + targets.center[:, None]
    column, row = pixel.clamp(-1, 1e6).floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (z > NEAREST)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    seen = targets.empty.flatten(1).gather(1, place)
    return inside & (z < seen - MARGIN - MARGIN_SHARE * z)


def free_gaps(samples: Float[Tensor, "b s m 3"], targets: Targets) -> Float[Tensor, "b s m"]:
    """For samples where nothing can be, how far they are from what they are pulled to; 0 for the others.

    In the air that is the nearest seen point; below the ground, by more than ``BELOW``, the ground. Which samples they
    are has no gradient, how far they are has one.
    """
    flat = samples.flatten(1, 2)
    with torch.no_grad():
        local_z = (flat @ targets.to_camera[:, 2, :3, None])[..., 0] + targets.to_camera[:, None, 2, 3]
        wrong = in_empty(flat, targets) | (local_z < 0)
        sunk = (flat[..., 1] < -BELOW) & targets.grounded[:, None] & ~wrong
    gaps = torch.where(sunk, -flat[..., 1] - BELOW, 0.0)
    pulled = torch.zeros_like(gaps)
    for k in range(len(targets)):
        which = wrong[k].nonzero()[:, 0]
        if len(which):
            chosen = flat[k, which]
            goal = targets.points[k, nearest(chosen.detach(), targets.points[k])]
            pulled = pulled.index_put((torch.tensor(k), which), (chosen - goal).square().sum(-1).add(1e-12).sqrt())
    return (gaps + pulled).unflatten(1, samples.shape[1:3])


def inverse(pose: Float[Tensor, "4 4"]) -> Float[Tensor, "4 4"]:
    """The inverse of a rigid motion."""
    turned = pose[:3, :3].T
    out = torch.eye(4, dtype=pose.dtype, device=pose.device)
    out[:3, :3], out[:3, 3] = turned, -turned @ pose[:3, 3]
    return out
