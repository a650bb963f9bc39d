"""How good generated pictures are, in figures that flat or copied pictures cannot please.

Each is printed beside what real photos get against other real photos: a distance of 0.03 says nothing by itself.
None of them is FID, which needs a network trained on other photos; who has one gives it (``--features``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from fieldscape.cameras import project
from fieldscape.systems.gan.picture import pixel_centers
from fieldscape.systems.gan.poses import batch_rays
from fieldscape.types import Camera

PATCH = 5
LEVELS = 3
PROJECTIONS = 256
PLACES = 24
"""Patches of each picture and level."""


def sliced_wasserstein(one: Float[Tensor, "n 3 s s"], other: Float[Tensor, "n 3 s s"]) -> float:
    """The sliced Wasserstein distance of the 5 x 5 patches of two sets of as many pictures (values 0..1).

    Patches lie at fixed random places on three levels of a pyramid; each of 256 fixed directions sorts both sets of
    patches, and the mean difference of what stands at the same rank is the distance (Rabin et al. 2011).

    >>> gray = torch.full((8, 3, 8, 8), 0.5)
    >>> sliced_wasserstein(gray, gray)
    0.0
    """
    generator = torch.Generator().manual_seed(0)
    distances = []
    for level in range(LEVELS):
        first, second = (avg_pool2d(pictures, 2**level) if level else pictures for pictures in (one, other))
        side = first.shape[-1]
        if side < PATCH:
            break
        places = torch.randint(side - PATCH + 1, (PLACES, 2), generator=generator).tolist()
        directions = torch.randn(3 * PATCH * PATCH, PROJECTIONS, generator=generator)
        directions = directions / directions.norm(dim=0)
        ranked = [(patches(pictures, places) @ directions).sort(0).values for pictures in (first, second)]
        distances.append(float((ranked[0] - ranked[1]).abs().mean()))
    return sum(distances) / len(distances)


def patches(pictures: Float[Tensor, "n 3 s s"], places: list[list[int]]) -> Float[Tensor, "m d"]:
    cut = [pictures[:, :, row : row + PATCH, column : column + PATCH].flatten(1) for row, column in places]
    return torch.cat(cut)


def frechet(one: Float[Tensor, "n 3 s s"], other: Float[Tensor, "m 3 s s"]) -> float:
    """The Frechet distance of the pictures averaged to 4 x 4 pixels, each set taken for a Gaussian.

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)): Dowson and Landau 1982.
    """
    means, spreads = [], []
    for pictures in (one, other):
        small = avg_pool2d(pictures, pictures.shape[-1] // 4).flatten(1).double()
        means.append(small.mean(0))
        spreads.append(small.T.cov())
    root = torch.linalg.eigvals(spreads[0] @ spreads[1]).real.clamp(min=0).sqrt().sum()
    apart = (means[0] - means[1]).square().sum()
    return float(apart + spreads[0].trace() + spreads[1].trace() - 2 * root)


def nearest_apart(pictures: Float[Tensor, "n 3 s s"]) -> float:
    """The mean distance (mean absolute difference) of a picture to the most similar other one.

    >>> nearest_apart(torch.arange(3.0)[:, None, None, None].expand(3, 3, 4, 4))
    1.0
    """
    flat = pictures.flatten(1)
    apart = torch.cdist(flat, flat, p=1) / flat.shape[1]
    return float(apart.fill_diagonal_(torch.inf).min(1).values.mean())


def relief(depth: Float[Tensor, "n 1 s s"], near: float, far: float) -> float:
    """The mean over pictures of the standard deviation of depth within one, as a share of far - near."""
    return float(depth.flatten(1).std(1).mean()) / (far - near)


@dataclass(frozen=True)
class Reprojection:
    """error: mean absolute difference of colours carried to another view by depth.  change: that of the plain views.

    shared: the share of pixels that both views see.
    """

    error: float
    change: float
    shared: float

    @property
    def ratio(self) -> float:
        return self.error / max(self.change, 1e-9)


def reprojection(
    color: Float[Tensor, "b 3 s s"],
    depth: Float[Tensor, "b 1 s s"],
    camera: Camera,
    other_color: Float[Tensor, "b 3 s s"],
    other_depth: Float[Tensor, "b 1 s s"],
    other: Camera,
    tolerance: float = 0.1,
) -> Reprojection:
    """What depth says of how one view becomes another, against what is seen there.

    Only pixels count whose points the other picture shows too, as ``carried`` tells.
    """
    there, seen = carried(other_color, other_depth, other, depth, camera, tolerance)
    error = (there - color).abs().mean(1, keepdim=True)
    plain = (other_color - color).abs().mean(1, keepdim=True)
    count = seen.sum().clamp(min=1)
    return Reprojection(float((error * seen).sum() / count), float((plain * seen).sum() / count), float(seen.mean()))


def boards(depth: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """Depths of the plane that comes nearest to each depth map: what a painted board in the scene's place would have.

    Inverse depth is linear over the picture of a plane, and is fitted by least squares. Views of a plane are related by
    a homography, so where boards carry colours as well as ``depth`` does, a homography is all there is to see.
    """
    size = depth.shape[-1]
    along = torch.linspace(-1, 1, size, dtype=depth.dtype, device=depth.device)
    rows = torch.stack([torch.ones(size * size).to(depth), along.repeat(size), along.repeat_interleave(size)], 1)
    inverse = 1 / depth.flatten(1).clamp(min=1e-6)
    fitted = inverse @ rows @ torch.linalg.inv(rows.T @ rows) @ rows.T
    low, high = inverse.amin(1, keepdim=True), inverse.amax(1, keepdim=True)
    return (1 / fitted.clamp(min=low, max=high)).reshape(depth.shape)


def carried(
    color: Float[Tensor, "b 3 s s"],
    depth: Float[Tensor, "b 1 s s"],
    camera: Camera,
    other_depth: Float[Tensor, "b 1 s s"],
    other: Camera,
    tolerance: float = 0.1,
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]]:
    """What ``other`` would see of a picture: its colours where depth says that both show the same, and 1 there, else 0.

    depth: along the rays of ``camera``, which took the picture.  other_depth: along those of ``other``.  A point counts
    that the picture's borders hold and that lies no more than ``tolerance`` (a share of its distance) behind what the
    picture shows there: else it is hidden.
    """
    size = color.shape[-1]
    rays = batch_rays(other, pixel_centers(size, size))
    points = rays.origins + other_depth.flatten(2).movedim(1, -1) * rays.directions
    pixels, ahead = project(camera.map(lambda tensor: tensor[:, None]), points)
    where = (pixels / size * 2 - 1)[:, None]
    # Half a pixel from the border there is no next pixel to mix with: the last one goes on.
    found = grid_sample(torch.cat([color, depth], 1), where, align_corners=False, padding_mode="border")[:, :, 0]
    distance = (points - camera.position[:, None]).norm(dim=-1)
    inside = (ahead > 0) & (pixels > 0).all(-1) & (pixels < size).all(-1)
    known = inside & (distance < found[:, 3] * (1 + tolerance))
    return found[:, :3].unflatten(-1, (size, size)), known[:, None].float().unflatten(-1, (size, size))


def correlation(one: Float[Tensor, "*b"], other: Float[Tensor, "*b"]) -> float:
    """Pearson's correlation of two maps.

    >>> round(correlation(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2.0, 4.0, 8.0])), 4)
    1.0
    """
    a, b = (values.flatten() - values.mean() for values in (one, other))
    return float((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12))
