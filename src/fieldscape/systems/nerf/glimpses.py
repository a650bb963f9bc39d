"""Looks at a field while it learns: a quick held-out PSNR, and a small picture. Neither changes what is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import metrics
from fieldscape.types import Camera, Rendered, Views

EVAL_PIXELS = 2**16
"""About so many pixels are rendered to measure quality on the way, on a grid over the chosen views."""

Look = Callable[[Camera], Rendered]
"""What a single camera sees."""


def held_out_psnr(look: Look, views: Views, most: int) -> float | None:
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
        usable = slice(None) if views.valid is None else views.valid[i, ::stride, ::stride].flatten()
        truth = views.color(i)[::stride, ::stride].reshape(-1, 1, 3)
        values.append(metrics.psnr(see(look, views, i, stride).clamp(0, 1).reshape(-1, 1, 3)[usable], truth[usable]))
    return float(torch.stack(values).mean())


def preview(look: Look, views: Views) -> Float[Tensor, "h w 3"]:
    """One view as it is learned so far, beside the truth; a held-out one if there is one. At most about 200 a side."""
    i = (views.held_out or tuple(views.train))[0]
    stride = max(1, round(max(views.camera.height, views.camera.width) / 200))
    return torch.cat([see(look, views, i, stride), views.color(i)[::stride, ::stride]], 1).clamp(0, 1).cpu()


def see(look: Look, views: Views, i: int, stride: int) -> Float[Tensor, "h w 3"]:
    """The colours of view ``i`` at every ``stride``-th pixel of both axes."""
    camera = views.camera[i]
    sparse = replace(
        camera,
        focal=camera.focal / stride,
        center=(camera.center - 0.5) / stride + 0.5,
        width=-(-camera.width // stride),
        height=-(-camera.height // stride),
    )
    return look(sparse).color
