"""Which pixels are worth learning from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.types import Views


@dataclass(frozen=True)
class Pool:
    """pixels: indices into all [v, h, w].  empty: 1 where a pixel is known to show only background, if alpha does not
    say it.
    """

    pixels: np.ndarray
    empty: np.ndarray | None


def useful_pixels(views: Views, shapes: Bool[Tensor, "v h w"] | None, which: Sequence[int] | None = None) -> Pool:
    """The usable pixels of the views ``which`` (those to learn from), without those that show nothing of the object.

    A ray far outside an object's silhouette ``shapes`` meets no occupied cell. Where the silhouettes come from colour,
    what lies outside them is known to be empty; inside, the object may have the background's colour, so nothing is.

    Raises BadInput where nothing is left.
    """
    count, height, width, channels = views.images.shape
    kind = np.uint32 if count * height * width < 2**32 else np.int64
    reach = max(2, round(0.03 * max(height, width)))
    parts = []
    for i in views.train if which is None else which:
        near = np.ones((height, width), bool)
        if shapes is not None:
            near = ndimage.maximum_filter(shapes[i].numpy().view(np.uint8), 2 * reach + 1) > 0
        if views.valid is not None:
            near &= views.valid[i].cpu().numpy()
        parts.append((np.flatnonzero(near) + i * height * width).astype(kind))
    pixels = np.concatenate(parts) if parts else np.zeros(0, kind)
    if len(pixels) == 0:
        raise BadInput("no view has a pixel to learn from: check the masks, the photos, or the --background given")
    empty = None if shapes is None or channels == 4 else (~shapes).numpy().view(np.uint8)
    return Pool(pixels, empty)


def unravel(index: Int[Tensor, "n"], views: Views) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"], Int[Tensor, "n"]]:
    """Indices into all pixels as view, row and column."""
    _, height, width, _ = views.images.shape
    return index // (height * width), index // width % height, index % width


def known_opacity(
    views: Views, pool: Pool, index: Int[Tensor, "n"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]] | None:
    """Whether the opacity of the pixels ``index`` is known (1 or 0) and what it is; None where no pixel's is."""
    if views.images.shape[-1] == 4:
        alpha = views.images.reshape(-1, 4)[index, 3].float()
        return torch.ones_like(alpha), alpha / 255 if views.images.dtype == torch.uint8 else alpha
    if pool.empty is None:
        return None
    known = torch.from_numpy(pool.empty).to(index.device).flatten()[index].float()
    return known, torch.zeros_like(known)
