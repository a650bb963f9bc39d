"""What a step of training learns from: rays, and what the photos show along them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.cameras import pixel_rays
from fieldscape.types import Rays, Views


@dataclass(frozen=True)
class Batch:
    """Rays and what the photos show there. ``weight`` is 0 for pixels that may not be used, else 1."""

    rays: Rays
    color: Float[Tensor, "n 3"]
    maps: Float[Tensor, "n m"] | None
    weight: Float[Tensor, "n 1"]

    def part(self, start: int, end: int) -> Batch:
        maps = None if self.maps is None else self.maps[start:end]
        return Batch(self.rays[start:end], self.color[start:end], maps, self.weight[start:end])


def look_up(views: Views, view: Int[Tensor, "n"], row: Int[Tensor, "n"], column: Int[Tensor, "n"]) -> Batch:
    """The batch of single pixels, each of its own view; the photos stay as they are stored."""
    rays = pixel_rays(views.camera[view], torch.stack([column, row], -1) + 0.5)
    strip = dataclasses.replace(views, images=views.images[view, row, column][None, None])
    maps = None if views.maps is None else views.maps[view, row, column]
    usable = torch.ones(len(view), device=view.device)
    if views.valid is not None:
        usable = views.valid[view, row, column].float()
    return Batch(rays, strip.color(0)[0], maps, usable[:, None])


def to_device(views: Views, device: torch.device) -> Views:
    """The views with what training reads on ``device``."""
    return dataclasses.replace(
        views,
        camera=views.camera.to(device),
        images=views.images.to(device),
        maps=None if views.maps is None else views.maps.to(device),
        valid=None if views.valid is None else views.valid.to(device),
    )
