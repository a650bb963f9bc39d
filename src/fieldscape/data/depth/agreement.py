"""Do the poses fit the depth? What stands still must be seen at the same place from the next frame.

Points of one frame are carried into the other and compared with the depth measured there. Between pixels the *inverse*
of depth is interpolated: it is an affine function of the pixel on every plane, so on a ground seen at a flat angle this
adds no error, where nearest points would be half a row apart (metres, far away).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.cameras import project
from fieldscape.data.depth.record import DepthMap

POINTS = 4000
"""Of a frame that are carried over."""

FAR = 30.0
"""Metres; beyond, a small error of the angle is a large one of place."""

STEP = 1.2
"""Four neighbouring depths that differ by more than this factor lie on an edge, where nothing is interpolated."""

LEAST = 40
"""Points that must land in the other frame for a judgement."""


def camera_points(depth_map: DepthMap, chosen: Bool[Tensor, "h w"]) -> Float[Tensor, "n 3"]:
    """The points that the ``chosen`` pixels show, in camera axes, metres, row by row."""
    rows, columns = chosen.nonzero(as_tuple=True)
    camera, depth = depth_map.camera, depth_map.depth[rows, columns]
    x = (columns + 0.5 - camera.center[0]) / camera.focal[0]
    y = (rows + 0.5 - camera.center[1]) / camera.focal[1]
    return torch.stack([x * depth, y * depth, depth], -1)


def disagreement(
    one: DepthMap, other: DepthMap, still: Bool[Tensor, "h w"] | None = None, far: float = FAR
) -> Float[Tensor, "k"] | None:
    """How many metres the points of ``one`` lie before or behind what ``other`` measured at their pixels.

    ``still``: pixels of ``one`` that show what does not move; all by default, then take the median. None where too few
    points of one are seen in the other for a judgement.
    """
    chosen = one.valid & (one.depth < far)
    chosen = chosen if still is None else chosen & still
    points = camera_points(one, chosen)
    points = points[:: max(1, len(points) // POINTS)].double()
    pose, there = one.camera.pose.double(), other.camera.map(lambda tensor: tensor.double())
    pixels, z = project(there, points @ pose[:3, :3].T + pose[:3, 3])
    measured = between(other, pixels)
    landed = (z > 0.05) & measured.isfinite()
    if int(landed.sum()) < max(LEAST, len(points) // 20):
        return None
    return (z - measured)[landed].abs().float()


def between(depth_map: DepthMap, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
    """Depth at ``pixels`` (centre of the first: 0.5, 0.5), not a number where one of the four around has none."""
    height, width = depth_map.depth.shape
    place = torch.nan_to_num(pixels - 0.5, nan=-1.0, posinf=-1.0, neginf=-1.0)
    inside = ((place >= 0) & (place <= place.new_tensor([width - 1, height - 1]))).all(-1)
    place = torch.where(inside[:, None], place, 0)
    low = place.floor().long().minimum(torch.tensor([max(width - 2, 0), max(height - 2, 0)]))
    share = place - low
    columns = torch.stack([low[:, 0], (low[:, 0] + 1).clamp(max=width - 1)], -1)
    rows = torch.stack([low[:, 1], (low[:, 1] + 1).clamp(max=height - 1)], -1)
    corner = depth_map.depth.double()[rows[:, :, None], columns[:, None, :]]
    known = depth_map.valid[rows[:, :, None], columns[:, None, :]].flatten(1).all(-1)
    smooth = corner.flatten(1).amax(-1) <= STEP * corner.flatten(1).amin(-1)
    x = torch.stack([1 - share[:, 0], share[:, 0]], -1)
    y = torch.stack([1 - share[:, 1], share[:, 1]], -1)
    inverse = (y[:, :, None] * x[:, None, :] / corner.clamp_min(1e-6)).sum((1, 2))
    return torch.where(inside & known & smooth, 1 / inverse, torch.nan)
