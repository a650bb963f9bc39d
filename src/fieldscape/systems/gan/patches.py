"""Squares of pictures, large and coarse or small and fine, so that a step costs the same whatever a picture's size is.

GRAF (Schwarz et al., "Generative radiance fields", 2020, section 3.2): the discriminator sees ``side`` x ``side``
pixels of a picture, spread over a share of its width (the scale) at some place, and is told both. Scales go down to
where the pixels are those of the picture itself, and no further; the least one falls while training, so that layout
comes first.

A patch of a generated picture is a picture by another camera: the rays through its pixels, and nothing else changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from fieldscape.types import Camera

TOLD = 3
"""Numbers that tell where a patch lies: its scale, and how far right and down its middle is, from -1 to 1."""
BEGIN, END = 0.1, 0.6
"""Shares of the training between which the least scale falls."""


@dataclass(frozen=True)
class Patches:
    """One square of each picture of a batch; lengths are shares of a picture's side.

    scale: of their sides.  corner: their left and upper borders.
    """

    scale: Float[Tensor, "b"]
    corner: Float[Tensor, "b 2"]

    def told(self) -> Float[Tensor, "b 3"]:
        """What the discriminator is told of them."""
        middle = (self.corner + self.scale[:, None] / 2) * 2 - 1
        return torch.cat([self.scale[:, None], middle], 1)

    def part(self, start: int, end: int) -> Patches:
        return Patches(self.scale[start:end], self.corner[start:end])

    def to(self, device: torch.device) -> Patches:
        return Patches(self.scale.to(device), self.corner.to(device))


def draw_patches(count: int, least: float, chance: torch.Generator) -> Patches:
    """Patches of scales between ``least`` and 1, anywhere in their pictures."""
    drawn = torch.rand(count, 3, generator=chance)
    scale = least + (1 - least) * drawn[:, 0]
    return Patches(scale, drawn[:, 1:] * (1 - scale)[:, None])


def least_scale(size: int, side: int, progress: float) -> float:
    """The smallest scale at a share of the training: 1, then falling exponentially to where pixels are the picture's.

    >>> [least_scale(128, 32, progress) for progress in (0.0, 0.35, 0.6, 1.0)]
    [1.0, 0.5, 0.25, 0.25]
    """
    share = min(max((progress - BEGIN) / (END - BEGIN), 0.0), 1.0)
    return round((side / size) ** share, 9)


def seen_in(camera: Camera, patches: Patches, side: int) -> Camera:
    """Cameras whose pictures, ``side`` a side, are the patches of the pictures of ``camera`` (a batch, square)."""
    size = camera.width
    step = patches.scale[:, None] * size / side
    focal, center = camera.focal / step, (camera.center - patches.corner * size) / step
    return replace(camera, focal=focal, center=center, width=side, height=side)


def cut(pictures: Float[Tensor, "b c s s"], patches: Patches, side: int) -> Float[Tensor, "b c t t"]:
    """The patches of pictures, ``side`` a side, each pixel the mean of about the area that it stands for.

    The picture is halved until its pixels are as far apart as the patch's, and sampled bilinearly between the two
    nearest halvings, as textures are (Williams, "Pyramidal parametrics", 1983).
    """
    size = pictures.shape[-1]
    along = (torch.arange(side, device=pictures.device) + 0.5) / side
    x = patches.corner[:, :1] + patches.scale[:, None] * along
    y = patches.corner[:, 1:] + patches.scale[:, None] * along
    places = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1) * 2 - 1
    level = (patches.scale * size / side).log2().clamp(min=0)
    found = torch.zeros(*pictures.shape[:2], side, side, device=pictures.device)
    for halvings in range(math.ceil(math.log2(max(size / side, 1))) + 1):
        small = avg_pool2d(pictures, 2**halvings) if halvings else pictures
        weight = (1 - (level - halvings).abs()).clamp(min=0)[:, None, None, None]
        found = found + weight * grid_sample(small, places, align_corners=False, padding_mode="border")
    return found
