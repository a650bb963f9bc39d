"""Augmentation that a discriminator cannot learn by heart, applied to real and generated pictures alike.

Zhao et al., "Differentiable augmentation for data-efficient GAN training", 2020: colour and translation. How many
pictures are augmented follows how sure the discriminator is of real ones (Karras et al., "Training GANs with limited
data", 2020, section 3): a sign of learning them by heart.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

TARGET = 0.6
"""Mean sign of the scores of real pictures that is held."""
MOST = 0.8
PER_IMAGE = 1 / 50_000
"""How fast the share may change: from none to all within so many pictures."""


def augment(pictures: Float[Tensor, "b c s s"], share: float, generator: torch.Generator) -> Float[Tensor, "b c s s"]:
    """Each picture, with probability ``share``, in other colours and moved by up to an eighth; values in -1..1.

    A fourth channel (depth) moves along and keeps its values.
    """
    draw = torch.rand(len(pictures), 8, generator=generator).to(pictures.device)
    chosen = (draw[:, 0] < share)[:, None, None, None]
    color, rest = pictures[:, :3], pictures[:, 3:]
    bright, vivid, strong = (draw[:, k, None, None, None] for k in (1, 2, 3))
    changed = color + (bright - 0.5)
    gray = changed.mean(1, keepdim=True)
    changed = gray + (changed - gray) * 2 * vivid
    middle = changed.mean((1, 2, 3), keepdim=True)
    changed = middle + (changed - middle) * (strong + 0.5)
    changed = moved(torch.cat([changed, rest], 1), draw[:, 4:6])
    return torch.where(chosen, changed, pictures)


def moved(pictures: Float[Tensor, "b c s s"], draw: Float[Tensor, "b 2"]) -> Float[Tensor, "b c s s"]:
    """Pictures moved by whole pixels, up to an eighth of their size, as ``draw`` (0..1) says; 0 where nothing was."""
    side = pictures.shape[-1]
    reach = side // 8
    by = (draw * (2 * reach + 1)).floor().long() - reach
    place = torch.arange(side, device=pictures.device)
    rows, columns = place + by[:, :1], place + by[:, 1:]
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    batch = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    taken = pictures.movedim(1, -1)[batch, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None]]
    return (taken * inside[..., None]).movedim(-1, 1)


def adapted(share: float, sureness: float, pictures: int) -> float:
    """The share for the next pictures: more where the discriminator is too sure of real ones, else less.

    >>> adapted(0.0, 0.9, 500), adapted(0.5, 0.1, 500)
    (0.01, 0.49)
    """
    step = pictures * PER_IMAGE * (1 if sureness > TARGET else -1)
    return min(max(share + step, 0.0), MOST)
