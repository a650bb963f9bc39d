"""What a point's features mean: a small network makes colour (or a latent) and density of them.

Linear, softplus, linear, as in Chan et al. 2022, section 3.2; the same network for all scenes, no viewing direction.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from fieldscape.systems.latents.planes.lookup import Layout, lookup
from fieldscape.types import Field

STEEPNESS = 50.0
"""Density for one unit of the network's answer. Objects have the size 1, and a surface stops light within 0.02."""
HAZE = {"tight": 0.0, "unit": -4.0}
"""What the network answers for density at first, by the box. In a great one it must be thin, or each camera paints a
fog of its own before it; in one that fits the objects a denser start learns faster."""


class FieldNetwork(nn.Module):
    """Features to ``channels`` numbers between 0 and 1 and a density."""

    def __init__(self, features: int, hidden: int, channels: int, haze: float):
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.out = nn.Linear(hidden, channels + 1)
        with torch.no_grad():
            self.out.bias[0] = haze

    def forward(self, feature: Float[Tensor, "m f"]) -> tuple[Float[Tensor, "m c"], Float[Tensor, "m"]]:
        answer = self.out(softplus(self.hidden(feature)))
        # A little beyond 0 and 1, so that both are reached at a finite answer.
        return 1.002 * torch.sigmoid(answer[:, 1:]) - 0.001, density_of(answer[:, 0])


def density_of(answer: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
    """Density per unit length of the network's answer.

    >>> density_of(torch.tensor([0.0, 6.0]))
    tensor([ 34.6574, 300.1238])
    """
    return STEEPNESS * softplus(answer)


def field_of(
    planes: Float[Tensor, "3 r r f"], network: FieldNetwork, low: Tensor, high: Tensor, layout: Layout = "fixed"
) -> Field:
    """One scene as a field: empty outside the box ``low``..``high``."""

    def ask(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        place = ((points - low) / (high - low) * 2 - 1).reshape(-1, 3)
        scene = torch.zeros(len(place), dtype=torch.long, device=place.device)
        color, density = network(lookup(planes[None], scene, place, layout))
        density = torch.where((place.abs() <= 1).all(-1), density, 0.0)
        return color.reshape(*points.shape[:-1], -1), density.reshape(points.shape[:-1])

    return ask
