"""Pixels of posed photos as rays with their colours: what one training step learns from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.cameras import pixel_rays
from fieldscape.errors import BadInput
from fieldscape.systems.nerf.config import MlpConfig
from fieldscape.types import Rays, Rendered, Views


@dataclass(frozen=True)
class Batch:
    """Rays and what the photos show there. ``weight``: how much a pixel counts, 0 where it may not be used."""

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
    strip = Views(views.camera, views.images[view, row, column][None, None], ("strip",), (), "", views.background)
    maps = None if views.maps is None else views.maps[view, row, column]
    usable = torch.ones(len(view), device=view.device)
    if views.valid is not None:
        usable = views.valid[view, row, column].float()
    if views.weights is not None:
        usable = usable * views.weights[view]
    return Batch(rays, strip.color(0)[0], maps, usable[:, None])


def draw(views: Views, learn_from: Int[Tensor, "v"], config: MlpConfig, step: int, generator: torch.Generator) -> Batch:
    """``n_rand`` random pixels of the views ``learn_from``; for the first ``crop_iters`` steps, from their middle."""

    def pick(size: int, share: float) -> Int[Tensor, "n"]:
        kept = max(1, round(size * share))
        chosen = torch.randint(kept, (config.n_rand,), generator=generator, device=views.images.device)
        return (size - kept) // 2 + chosen

    share = config.crop_share if step < config.crop_iters else 1.0
    view = learn_from[pick(len(learn_from), 1.0)]
    return look_up(views, view, pick(views.camera.height, share), pick(views.camera.width, share))


def squared_error(picture: Rendered, batch: Batch) -> Float[Tensor, ""]:
    """The summed squared error of colour (mean over its three channels), and of the further channels likewise."""
    error = ((picture.color - batch.color) ** 2).mean(-1, keepdim=True)
    if picture.extra is not None and batch.maps is not None:
        error = error + ((picture.extra - batch.maps) ** 2).mean(-1, keepdim=True)
    return (error * batch.weight).sum()


def require_maps(views: Views, channels: int) -> None:
    """Raises BadInput where ``channels`` further channels are to be learned and the photos come with another number."""
    given = 0 if views.maps is None else views.maps.shape[-1]
    if channels and given != channels:
        raise BadInput(f"--channels {channels}: the photos come with {given} channels of maps. Make them agree.")


def to_device(views: Views, device: torch.device) -> Views:
    """The views with what training reads on ``device``."""
    return dataclasses.replace(
        views,
        camera=views.camera.to(device),
        images=views.images.to(device),
        maps=None if views.maps is None else views.maps.to(device),
        valid=None if views.valid is None else views.valid.to(device),
        weights=None if views.weights is None else views.weights.to(device),
    )
