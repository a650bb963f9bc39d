"""How true cameras and depths are that were found, where the truth is known.

A path is found up to a similarity (scale, turn, shift), so it is judged after the one that fits best (Umeyama, 1991).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import project, similarity
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.types import Camera


@dataclass(frozen=True)
class CameraErrors:
    """path: root mean square distance of the camera's places from the truth, in percent of the path's extent (the
    largest distance between two of its places); NaN where the camera did not move.  turn: median angle in degrees
    between rotations once they are aligned as a whole.  focal: relative error of the focal length, in percent.
    scale: what lengths are multiplied by to be those of the truth; NaN where the path cannot tell."""

    path: float
    turn: float
    focal: float
    scale: float


def camera_errors(solved: Camera, truth: Camera) -> CameraErrors:
    """Errors of cameras against the true ones of the same frames."""
    a, b = solved.position.double(), truth.position.double()
    extent = float(torch.cdist(b, b).max())
    relative = truth.pose[:, :3, :3].double() @ solved.pose[:, :3, :3].double().transpose(-1, -2)
    u, _, vt = torch.linalg.svd(relative.sum(0))
    whole = u @ torch.diag(torch.tensor([1.0, 1.0, float(torch.det(u @ vt).sign())], dtype=torch.float64)) @ vt
    off = whole.T @ relative
    angle = torch.rad2deg(((off.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos())
    focal = 100 * float((solved.focal.double().mean() / truth.focal.double().mean() - 1).abs())
    path = scale = float("nan")
    if extent > 1e-6 and float(torch.cdist(a, a).max()) > 1e-9:
        scale, turn, shift = similarity(a, b)
        path = 100 * float((scale * a @ turn.T + shift - b).square().sum(-1).mean().sqrt()) / extent
    return CameraErrors(path, float(angle.median()), focal, scale)


def depth_error(tracked: Tracked, depths: Float[Tensor, "t h w"], scale: float) -> tuple[float, float]:
    """Median relative error, in percent, of the planar depth of the measured points of the background where they were
    seen, against true depth maps (0: unknown; of any size with the picture's shape): by the scale of the path
    (``CameraErrors.scale``), and by the scale that fits the depths best."""
    chosen = tracked.deep & (tracked.points.layer == 0)
    ratios = []
    high, wide = depths.shape[1:]
    for t in range(len(tracked.clip)):
        seen = chosen & tracked.points.seen[t]
        pixel, z = project(tracked.camera[t], tracked.world[t, seen])
        column = (pixel[:, 0] / tracked.clip.size[0] * wide).long().clamp(0, wide - 1)
        row = (pixel[:, 1] / tracked.clip.size[1] * high).long().clamp(0, high - 1)
        true = depths[t, row, column]
        ratios.append((z / true)[true > 0].double())
    ratio = torch.cat(ratios)
    own = 1 / float(ratio.median())
    return tuple(100 * float((factor * ratio - 1).abs().median()) for factor in (scale, own))  # type: ignore[return-value]
