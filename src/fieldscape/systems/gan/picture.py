"""Pictures of generated scenes: a batch of fields seen by a batch of cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu

from fieldscape.systems.gan.poses import batch_rays
from fieldscape.types import Camera, Field, Rendered
from fieldscape.volume import OPAQUE, composite, importance, intervals, stratified, weights


@dataclass(frozen=True)
class Sampling:
    """Where along a ray a field is asked.

    near, far: distances.  coarse: samples spaced evenly, or in 1/distance (disparity).  fine: so many more where the
    coarse ones found something.  walled: the last sample stops all light, as in a room, where every ray ends at a wall.
    """

    near: float
    far: float
    coarse: int
    fine: int = 0
    walled: bool = True
    spacing: Literal["linear", "disparity"] = "linear"


def pixel_centers(width: int, height: int) -> Float[Tensor, "p 2"]:
    """The centres of all pixels of a picture, row by row."""
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def draw(
    field: Field,
    camera: Camera,
    sampling: Sampling,
    generator: torch.Generator | None = None,
    noise: float = 0.0,
    pixels: Float[Tensor, "p 2"] | None = None,
) -> Rendered:
    """What each camera of a batch sees of its own scene: [b, p, ...], all pixels row by row, or those given.

    generator: of shifts along the rays, and of ``noise`` on the density, on the cameras' device; None: in the middle,
    none.
    """
    device = camera.pose.device
    pixels = pixel_centers(camera.width, camera.height) if pixels is None else pixels
    rays = batch_rays(camera, pixels.to(device))
    shape = (*rays.origins.shape[:-1], 1)
    near, far = torch.full(shape, sampling.near, device=device), torch.full(shape, sampling.far, device=device)
    t = stratified(near, far, sampling.coarse, generator, sampling.spacing)
    last = OPAQUE if sampling.walled else (sampling.far - sampling.near) / sampling.coarse

    def asked(t: Tensor) -> tuple[Tensor, Tensor]:
        points = rays.at(t)
        color, density = field(points, rays.directions[..., None, :].expand_as(points))
        if noise and generator is not None:
            density = relu(density + noise * torch.randn(density.shape, generator=generator, device=device))
        return color, density

    color, density = asked(t)
    if sampling.fine:
        with torch.no_grad():
            likely = weights(density, intervals(t, last))
        more = importance(t, likely, sampling.fine, generator)
        color_more, density_more = asked(more)
        t, order = torch.cat([t, more], -1).sort(-1)
        density = torch.cat([density, density_more], -1).gather(-1, order)
        color = torch.cat([color, color_more], -2).gather(-2, order[..., None].expand(*order.shape, 3))
    w = weights(density, intervals(t, last))
    return composite(w, color, t, None)


def as_pictures(seen: Rendered) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]]:
    """Colours in -1..1 and depths as square pictures, channels first."""
    side = round(seen.color.shape[1] ** 0.5)
    color = seen.color.movedim(-1, 1).unflatten(-1, (side, side)) * 2 - 1
    return color, seen.depth.movedim(-1, 1).unflatten(-1, (side, side))
