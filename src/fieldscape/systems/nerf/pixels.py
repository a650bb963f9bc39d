"""Random pixels of posed photos as rays with their colours: what one training step learns from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.cameras import pixel_rays
from fieldscape.systems.nerf.config import MlpConfig
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


def draw(
    views: Views, learn_from: Int[Tensor, "v"], config: MlpConfig, step: int, generator: torch.Generator
) -> Batch:
    """``n_rand`` random pixels of the views ``learn_from``; for the first ``crop_iters`` steps, from their middle."""
    device, n = views.images.device, config.n_rand

    def pick(size: int, share: float) -> Int[Tensor, "n"]:
        kept = max(1, round(size * share))
        return (size - kept) // 2 + torch.randint(kept, (n,), generator=generator, device=device)

    share = config.crop_share if step < config.crop_iters else 1.0
    view = learn_from[pick(len(learn_from), 1.0)]
    row, column = pick(views.camera.height, share), pick(views.camera.width, share)
    rays = pixel_rays(views.camera[view], torch.stack([column, row], -1) + 0.5)
    maps = None if views.maps is None or not config.channels else views.maps[view, row, column]
    usable = torch.ones(n, device=device) if views.valid is None else views.valid[view, row, column].float()
    return Batch(rays, pixel_color(views, view, row, column), maps, usable[:, None])


def pixel_color(
    views: Views, view: Int[Tensor, "n"], row: Int[Tensor, "n"], column: Int[Tensor, "n"]
) -> Float[Tensor, "n 3"]:
    """``Views.color`` at single pixels, so that the photos can stay as they are stored."""
    strip = views.images[view, row, column][None, None]
    return Views(views.camera, strip, ("strip",), (), "", views.background).color(0)[0]


def to_device(views: Views, device: torch.device) -> Views:
    """The views with what training reads on ``device``."""
    return dataclasses.replace(
        views,
        camera=views.camera.to(device),
        images=views.images.to(device),
        maps=None if views.maps is None else views.maps.to(device),
        valid=None if views.valid is None else views.valid.to(device),
    )
