"""How good a scene is: held-out views rendered and compared with the photos, always the same way.

PSNR and SSIM are means over views of each view's own value; renders are deterministic. Where the data hold true depth,
the median over pixels of the relative error of depth stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fieldscape import metrics
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Rendered, Views


@dataclass(frozen=True)
class Quality:
    """psnr in dB, ssim, how many views, and which (split); depth_error: median relative error, if depth is known."""

    psnr: float
    ssim: float
    views: int
    split: str
    depth_error: float | None = None


def evaluate(
    look: Callable[[Camera], Rendered], views: Views, each: Callable[[int, Rendered, float], None] | None = None
) -> Quality:
    """The quality of a scene on the held-out views, or, said in ``split``, on all where none is held out.

    ``look`` says what a camera sees, as ``Scene.render`` does; ``each`` is told the index, the picture and the PSNR of
    every view as it is done.

    Raises BadInput where the views cannot be compared: a view has no usable pixel.
    """
    chosen = list(views.held_out) or views.train
    psnr, ssim, depth = [], [], []
    for i in chosen:
        seen = look(views.camera[i])
        truth = views.color(i)
        color = seen.color.clamp(0, 1)
        if views.valid is None:
            psnr.append(float(metrics.psnr(color, truth)))
        else:
            usable = views.valid[i]
            if not bool(usable.any()):
                raise BadInput(f"view {views.names[i]} has no usable pixel to compare: its mask covers all of it")
            psnr.append(float(metrics.psnr(color[usable][:, None], truth[usable][:, None])))
            color = torch.where(usable[..., None], color, truth)
        ssim.append(float(metrics.ssim(color, truth)))
        if views.depths is not None:
            known = views.depths[i] > 0
            error = (seen.depth[..., 0][known] - views.depths[i][known]).abs() / views.depths[i][known]
            depth.append(error)
        if each is not None:
            each(i, seen, psnr[-1])
    split = views.split if views.held_out else "the training views themselves: none is held out"
    return Quality(
        sum(psnr) / len(psnr),
        sum(ssim) / len(ssim),
        len(chosen),
        split,
        float(torch.cat(depth).median()) if depth else None,
    )
