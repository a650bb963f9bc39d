"""Looks at a NeRF while it is learning: a quick held-out PSNR, and a small picture. Neither changes what is learned."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import metrics
from fieldscape.cameras import image_rays
from fieldscape.systems.nerf.mlp import NerfMlp, render_picture
from fieldscape.types import Rays, Rendered, Views

EVAL_PIXELS = 2**16
"""About so many pixels are rendered to measure quality on the way, on a grid over the chosen views."""


def held_out_psnr(
    model: NerfMlp, views: Views, background: Float[Tensor, "3"] | None, bf16: bool, most: int
) -> float | None:
    """The mean PSNR over up to ``most`` held-out views, evenly chosen, or None if there are none.

    Of large photos only a regular grid of pixels is measured: an estimate for the way. The report measures all.
    """
    if not views.held_out:
        return None
    count = min(most, len(views.held_out))
    chosen = [views.held_out[i * len(views.held_out) // count] for i in range(count)]
    stride = 1
    while count * (views.camera.height // stride) * (views.camera.width // stride) > EVAL_PIXELS:
        stride += 1
    values = []
    for i in chosen:
        picture = see(model, views, i, stride, background, bf16)
        usable = slice(None) if views.valid is None else views.valid[i, ::stride, ::stride].flatten()
        truth = views.color(i)[::stride, ::stride].reshape(-1, 1, 3)
        values.append(metrics.psnr(picture.color.reshape(-1, 1, 3)[usable], truth[usable]))
    return float(torch.stack(values).mean())


def preview(
    model: NerfMlp, views: Views, background: Float[Tensor, "3"] | None, bf16: bool
) -> Float[Tensor, "h w 3"]:
    """One view as it is learned so far, beside the truth; a held-out one if there is one. At most about 130 a side."""
    i = (views.held_out or tuple(views.train))[0]
    stride = max(1, max(views.camera.height, views.camera.width) // 128)
    picture = see(model, views, i, stride, background, bf16).color
    return torch.cat([picture, views.color(i)[::stride, ::stride]], 1).clamp(0, 1).cpu()


def see(
    model: NerfMlp, views: Views, i: int, stride: int, background: Float[Tensor, "3"] | None, bf16: bool
) -> Rendered:
    """View ``i`` rendered at every ``stride``-th pixel of both axes."""
    rays = image_rays(views.camera[i])
    return render_picture(
        model, Rays(rays.origins[::stride, ::stride], rays.directions[::stride, ::stride]), background, bf16
    )
