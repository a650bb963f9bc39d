"""How well cameras agree with points matched between their photos.

A point seen in two photos gives two rays that should meet in front of both cameras. Two figures measure it: the Sampson
distance, in pixels, of the match from the epipolar line (Hartley and Zisserman, "Multiple View Geometry", equation
11.9), and the share of the matches whose rays come nearest in front of both cameras. Neither is enough alone: flipped
axes of a camera that only slides sideways leave every epipolar line where it was.

Notation: b is the step from the first camera to the second and R the rotation between them, both in the first camera's
axes; E = [b]x R is the essential matrix; x1, x2 are normalised image coordinates (x/z, y/z, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.cameras import undistort
from fieldscape.data.matching import Matches
from fieldscape.types import Camera

LEAST_PARALLAX = 0.5
"""Degrees: two rays nearer to parallel than this meet too far away to say in front or behind."""


@dataclass(frozen=True)
class Agreement:
    """How well cameras agree with matches.

    error: median over the pairs of each pair's median Sampson distance, pixels (infinite where it is undefined).
    pair_errors: those of the pairs.  near: share of matches within 1 % of the image's longer side.
    parallax: median angle between the two rays, degrees.  in_front: share of the matches (with parallax, and near
    where any are) whose rays meet in front of both cameras; 0 if none.  depths: z of each match in its first camera,
    NaN where it cannot be told.
    """

    error: float
    pair_errors: Float[Tensor, "p"]
    near: float
    parallax: float
    in_front: float
    depths: Float[Tensor, "m"]


def agreement(camera: Camera, matches: Matches) -> Agreement:
    """How well a batch of cameras agrees with ``matches`` between its photos. Needs at least one match."""
    first, second = _doubled(camera[matches.first]), _doubled(camera[matches.second])
    x1, seen1 = normalised(first, matches.first_pixels)
    x2, seen2 = normalised(second, matches.second_pixels)
    across = first.pose[:, :3, :3].transpose(-1, -2)
    rotation = across @ second.pose[:, :3, :3]
    step = (across @ (second.position - first.position)[..., None])[..., 0]
    sampson = sampson_distance(x1, x2, rotation, step, first.focal, second.focal)
    sampson = torch.where(seen1 & seen2, sampson, torch.inf).nan_to_num(nan=torch.inf)
    pair_errors = torch.stack([sampson[matches.pair == p].median() for p in range(len(matches.pairs))])
    size = max(camera.width, camera.height)
    z1, z2, parallax = triangulated(x1, x2, rotation, step)
    near = sampson < 0.01 * size
    telling = (parallax > LEAST_PARALLAX) & seen1 & seen2
    if int((telling & near).sum()) >= 20:  # else too few agree to leave out those that do not
        telling = telling & near
    return Agreement(
        error=float(pair_errors.median()),
        pair_errors=pair_errors,
        near=float(near.double().mean()),
        parallax=float(parallax.median()),
        in_front=int((telling & (z1 > 0) & (z2 > 0)).sum()) / max(1, int(telling.sum())),
        depths=torch.where(telling, z1, torch.nan),
    )


def sampson_distance(
    x1: Float[Tensor, "m 3"],
    x2: Float[Tensor, "m 3"],
    rotation: Float[Tensor, "*k 3 3"],
    step: Float[Tensor, "*k 3"],
    focal1: Float[Tensor, "m 2"],
    focal2: Float[Tensor, "m 2"],
) -> Float[Tensor, "*e"]:
    """Distance in pixels of matches from agreeing with the epipolar geometry, to first order; NaN without a step.

    rotation and step are those of each match, or have leading dims [k, 1]: k guesses for all matches, errors [k, m].

    >>> eye, step = torch.eye(3)[None], torch.tensor([[1.0, 0.0, 0.0]])
    >>> focal = torch.tensor([[100.0, 100.0]])
    >>> left, right = torch.tensor([[0.3, 0.02, 1.0]]), torch.tensor([[0.1, 0.0, 1.0]])
    >>> sampson_distance(left, right, eye, step, focal, focal)  # rows differ by 2 pixels: each moves by 1
    tensor([1.4142])
    """
    turned = (rotation @ x2[..., None])[..., 0]
    line1 = torch.linalg.cross(step.expand_as(turned), turned)  # E x2, a line in the first photo
    across = torch.linalg.cross(step.expand_as(turned), x1.expand_as(turned))
    line2 = -(rotation.transpose(-1, -2) @ across[..., None])[..., 0]  # E^T x1, a line in the second
    slope1 = line1[..., :2] / focal1
    slope2 = line2[..., :2] / focal2
    return (x1 * line1).sum(-1).abs() / (slope1.square().sum(-1) + slope2.square().sum(-1)).sqrt()


def triangulated(
    x1: Float[Tensor, "m 3"], x2: Float[Tensor, "m 3"], rotation: Float[Tensor, "m 3 3"], step: Float[Tensor, "m 3"]
) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"], Float[Tensor, "m"]]:
    """z in the first and in the second camera where two rays come nearest, and the angle between them in degrees.

    >>> eye, step = torch.eye(3)[None], torch.tensor([[1.0, 0.0, 0.0]])
    >>> z1, z2, angle = triangulated(torch.tensor([[0.5, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0]]), eye, step)
    >>> z1.item(), z2.item(), round(angle.item(), 2)
    (2.0, 2.0, 26.57)
    """
    turned = (rotation @ x2[..., None])[..., 0]
    # Least squares of z1 x1 - z2 turned = step, by its normal equations.
    aa, ab, bb = (x1 * x1).sum(-1), (x1 * turned).sum(-1), (turned * turned).sum(-1)
    sa, sb = (x1 * step).sum(-1), (turned * step).sum(-1)
    determinant = (aa * bb - ab * ab).clamp_min(1e-12)
    angle = torch.atan2(torch.linalg.cross(x1, turned).norm(dim=-1), ab)
    return (bb * sa - ab * sb) / determinant, (ab * sa - aa * sb) / determinant, torch.rad2deg(angle)


def rotation_error(camera: Camera, matches: Matches) -> float:
    """Median distance in pixels between matches once the rotations are undone: small for a camera on the spot."""
    first, second = _doubled(camera[matches.first]), _doubled(camera[matches.second])
    x1, seen1 = normalised(first, matches.first_pixels)
    x2, seen2 = normalised(second, matches.second_pixels)
    turned = (first.pose[:, :3, :3].transpose(-1, -2) @ second.pose[:, :3, :3] @ x2[..., None])[..., 0]
    seen = seen1 & seen2 & (turned[:, 2] > 0.1)
    if not bool(seen.any()):
        return float("inf")
    miss = (turned[seen, :2] / turned[seen, 2:] - x1[seen, :2]) * first.focal[seen]
    return float(miss.norm(dim=-1).median())


def _doubled(camera: Camera) -> Camera:
    return camera.map(lambda tensor: tensor.double())


def normalised(camera: Camera, pixels: Float[Tensor, "m 2"]) -> tuple[Float[Tensor, "m 3"], Bool[Tensor, "m"]]:
    """Normalised image coordinates (x/z, y/z, 1) of pixels, one camera each, in float64, and where they exist (a
    fisheye sees behind itself)."""
    camera, pixels = _doubled(camera), pixels.double()
    local = undistort(camera, (pixels - camera.center) / camera.focal)
    seen = (local[:, 2] > 0.1) & local.isfinite().all(-1)
    local = torch.where(seen[:, None], local, local.new_tensor([0.0, 0.0, 1.0]))
    return local / local[:, 2:], seen
