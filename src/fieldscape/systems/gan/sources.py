"""Real pictures: photos, and depth where it is known, as a discriminator is given them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fieldscape.data.photo_sets import PhotoSet
from fieldscape.systems.gan.depths import as_sums, merged, relative
from fieldscape.systems.gan.patches import Patches, cut

SHARE_OF_FREE = 0.5
"""Of a device's free memory that photos may take."""


@dataclass(frozen=True)
class Source:
    """The photos that are learned from, kept on ``device`` where they fit.

    depths: planar, 0 where unknown; None: not given to the discriminator.
    """

    images: UInt8[Tensor, "n s s 3"]
    depths: Float32[Tensor, "n s s"] | None
    flips: bool
    device: torch.device

    def real(
        self, chosen: Int[Tensor, "b"], side: int, patches: Patches | None, chance: torch.Generator
    ) -> tuple[Float[Tensor, "b c t t"], Bool[Tensor, "b 1 t t"] | None]:
        """Photos ``chosen``, ``side`` a side, in -1..1; with a channel of depth also where that is known."""
        index = chosen.to(self.images.device)
        taken = as_floats(self.images[index].to(self.device))
        if self.depths is not None:
            z = self.depths[index.to(self.depths.device)].to(self.device)[:, None]
            taken = torch.cat([taken, as_sums(z)], 1)
        taken = turned(taken, chance) if self.flips else taken
        taken = smaller(taken, side) if patches is None else cut(taken, patches.to(self.device), side)
        if self.depths is None:
            return taken, None
        z = merged(taken[:, 3:])
        return torch.cat([taken[:, :3], relative(z, z > 0)], 1), z > 0


def source_of(photos: PhotoSet, depth_aware: bool, flips: bool, device: torch.device) -> Source:
    """The photos as a Source, and on ``device`` where it has room for them."""
    images = torch.from_numpy(photos.images)
    depths = torch.from_numpy(photos.depths) if depth_aware and photos.depths is not None else None
    need = images.nbytes + (0 if depths is None else depths.nbytes)
    if device.type == "cuda" and need < SHARE_OF_FREE * torch.cuda.mem_get_info(device)[0]:
        images, depths = images.to(device), None if depths is None else depths.to(device)
    return Source(images, depths, flips, device)


def as_floats(photos: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """Bytes as -1..1, channels first."""
    return photos.movedim(-1, 1).float() / 127.5 - 1


def smaller(pictures: Float[Tensor, "b c h h"], side: int) -> Float[Tensor, "b c s s"]:
    """Pictures ``side`` a side, by means of areas; smaller ones as they are."""
    return avg_pool2d(pictures, pictures.shape[-1] // side) if pictures.shape[-1] > side else pictures


def turned(pictures: Float[Tensor, "b c h w"], chance: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Half of the pictures, mirrored."""
    chosen = (torch.rand(len(pictures), generator=chance) < 0.5).to(pictures.device)
    return torch.where(chosen[:, None, None, None], pictures.flip(-1), pictures)
