"""What no frame shows: a field of colour over directions, as far away as the far layer, learned from all frames.

Three planes of features, of which each direction looks up one place each (Chan et al., "Efficient geometry-aware 3D
generative adversarial networks", 2022, section 3.1), and a small network. It is smooth where nothing is known.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from fieldscape.systems.tracks.config import FillSettings
from fieldscape.systems.tracks.nouns import Tracked


class Planes(nn.Module):
    """Features of places in the cube -1..1: the sum of what the planes xy, xz and yz hold there."""

    def __init__(self, channels: int, side: int, generator: torch.Generator) -> None:
        super().__init__()
        self.texels = nn.Parameter(0.1 * torch.randn(3, channels, side, side, generator=generator))

    def forward(self, places: Float[Tensor, "p 3"]) -> Float[Tensor, "p c"]:
        """Bilinear between texels; places beyond the cube look at its border."""
        x, y, z = places.unbind(-1)
        pairs = torch.stack([torch.stack(pair, -1) for pair in ((x, y), (x, z), (y, z))])[:, None]
        found = grid_sample(self.texels, pairs, "bilinear", "border", align_corners=True)
        return found[:, :, 0].sum(0).T


class Filling(nn.Module):
    """Colours of directions, seen from ``center`` at a sphere of radius ``reach``."""

    center: Tensor
    reach: Tensor

    def __init__(self, settings: FillSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.planes = Planes(settings.channels, settings.side, generator)
        width = settings.width
        self.first = nn.Parameter(torch.randn(width, settings.channels, generator=generator) * settings.channels**-0.5)
        self.first_bias = nn.Parameter(torch.zeros(width))
        self.last = nn.Parameter(torch.randn(3, width, generator=generator) * width**-0.5)
        self.last_bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("reach", torch.ones(()))

    def forward(
        self, origins: Float[Tensor, "3"] | Float[Tensor, "p 3"], directions: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "3 p"]:
        """The colours where rays (unit directions) meet the sphere from inside."""
        start = (origins - self.center) / self.reach
        along = (start * directions).sum(-1, keepdim=True)
        # From outside, the nearest place to the sphere is taken.
        inner = along**2 - (start * start).sum(-1, keepdim=True) + 1
        place = start + (inner.clamp(min=0).sqrt() - along) * directions
        place = place / place.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        hidden = (self.planes(place) @ self.first.T + self.first_bias).relu()
        return (hidden @ self.last.T + self.last_bias).sigmoid().T


def placed(filling: Filling, tracked: Tracked) -> None:
    """Puts the sphere around a clip's cameras, beyond nine tenths of its points."""
    center = tracked.camera.position.mean(0)
    still = tracked.points.layer == 0
    away = (tracked.world[0, still] - center).norm(dim=-1)
    spread = float((tracked.camera.position - center).norm(dim=-1).max())
    far = float(away.kthvalue(max(1, int(0.9 * len(away)))).values) if len(away) else 1.0
    filling.center.copy_(center)
    filling.reach.fill_(max(far, 4 * spread, 1e-6))
