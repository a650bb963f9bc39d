"""The same object found again in another frame of a video, told from known camera poses and nothing else.

What was found in one frame is moved to the next by the cameras' poses. A pixel of the first frame lands on one of the
second if that one shows the same depth: what has been covered, uncovered or moved lands nowhere. Of the pixels that
land, each has an object in both frames, so two objects overlap by the pixels they share over those that either has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.systems.slots.targets import inverse

SAME = 0.03
SAME_SHARE = 0.02
"""Two depths are the same if they differ by no more than this, in metres and as a share."""
ENOUGH = 20
"""Pixels of an object that must land before it is looked for."""
SEEN = 0.5
"""The share of an object's pixels that must land before it is looked for."""
AGAIN = 0.5
"""The overlap from which on an object counts as found again."""


@dataclass(frozen=True)
class Seen:
    """What was found in a frame. pixels: the object of each, from 1 on, 0 none.  depth: planar, 0 where unknown.
    centers: of the objects, camera axes, metres."""

    pixels: Int[Tensor, "h w"]
    depth: Float[Tensor, "h w"]
    centers: Float[Tensor, "k 3"]
    depth_map: DepthMap


@dataclass(frozen=True)
class Again:
    """Of the objects of the first frame, those that the second one shows too. numbers: which, from 1 on.  overlap: with
    the one it was matched with, 0 if with none.  apart: metres between the centres, not a number if with none."""

    numbers: Int[Tensor, "m"]
    overlap: Float[Tensor, "m"]
    apart: Float[Tensor, "m"]

    @property
    def found(self) -> Bool[Tensor, "m"]:
        """Which were found again."""
        return self.overlap >= AGAIN


def found_again(first: Seen, second: Seen) -> Again:
    """Which objects of the first frame are found in the second. Raises BadInput where a camera's pose is unknown."""
    for each in (first, second):
        if not each.depth_map.posed:
            raise BadInput(f"{each.depth_map.name}: the camera's pose is not known, so nothing can be found again.")
    here, there = landed(first, second)
    table = torch.zeros(len(first.centers) + 1, len(second.centers) + 1)
    table.index_put_((here, there), torch.ones(len(here)), accumulate=True)
    sizes, others = table.sum(1), table.sum(0)
    whole = torch.bincount(first.pixels.flatten(), minlength=len(first.centers) + 1)
    looked = ((sizes >= ENOUGH) & (sizes >= SEEN * whole))[1:].nonzero()[:, 0]
    shared = table[1:, 1:]
    overlap = shared / (sizes[1:, None] + others[None, 1:] - shared).clamp_min(1)
    rows, columns = linear_sum_assignment(-overlap.numpy())
    matched = {int(i): int(j) for i, j in zip(rows, columns) if overlap[i, j] > 0}
    moved = _moved(first, second)
    centers = first.centers @ moved[:3, :3].T + moved[:3, 3]
    values, apart = [], []
    for number in looked.tolist():
        other = matched.get(number)
        values.append(0.0 if other is None else float(overlap[number, other]))
        apart.append(math.nan if other is None else float((centers[number] - second.centers[other]).norm()))
    return Again(looked + 1, torch.tensor(values), torch.tensor(apart))


def landed(first: Seen, second: Seen) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
    """For each pixel of the first frame that shows the same place as one of the second: its object in both."""
    row, column = (first.depth > 0).nonzero().unbind(-1)
    z = first.depth[row, column]
    camera, other = first.depth_map.camera, second.depth_map.camera
    rays = (torch.stack([column, row], -1) + 0.5 - camera.center) / camera.focal
    moved = _moved(first, second)
    points = torch.cat([rays, torch.ones_like(z)[:, None]], -1) * z[:, None] @ moved[:3, :3].T + moved[:3, 3]
    ahead = points[:, 2] > 0.05
    place = points[:, :2] / points[:, 2:].clamp_min(0.05) * other.focal + other.center
    x, y = place.clamp(-1, 1e6).floor().long().unbind(-1)
    height, width = second.depth.shape
    inside = ahead & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y, z, source = x[inside], y[inside], points[inside, 2], first.pixels[row, column][inside]
    depth = second.depth[y, x]
    same = (depth > 0) & ((depth - z).abs() < SAME + SAME_SHARE * z)
    return source[same], second.pixels[y[same], x[same]]


def _moved(first: Seen, second: Seen) -> Float[Tensor, "4 4"]:
    """From the axes of the first camera to those of the second."""
    return inverse(second.depth_map.camera.pose) @ first.depth_map.camera.pose
