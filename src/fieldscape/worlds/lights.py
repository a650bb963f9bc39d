"""Where the light of a world comes from: sun, sky, windows that let it in, lamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.meshes import Vector

GOLDEN = (math.sqrt(5) - 1) / 2
NONE: Vector = (0.0, 0.0, 0.0)
UP: Vector = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Opening:
    """A window pane that skylight comes through: corner + s u + t v, with u x v pointing into the room."""

    corner: Vector
    u: Vector
    v: Vector


@dataclass(frozen=True)
class Lights:
    """Radiances of sky and ground, irradiance of the sun, irradiance of a lamp at 1 m; all RGB, the world's z is up.

    The sky is seen through ``openings``, or all around where ``open_air`` is set. ``sun_direction`` points to the sun.
    """

    openings: tuple[Opening, ...] = ()
    sky: Vector = NONE
    ground: Vector = NONE
    sun: Vector = NONE
    sun_direction: Vector = UP
    lamps: tuple[Vector, ...] = ()
    lamp: Vector = NONE
    open_air: bool = False

    def above(self, directions: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
        """The radiance from where ``directions`` (unit vectors) point: ground below, sky above, a blend between.

        >>> Lights(sky=(1.0, 1.0, 2.0), ground=(0.5, 0.5, 0.0)).above(torch.tensor([0.0, 0.0, -1.0])).tolist()
        [0.5, 0.5, 0.0]
        """
        up = (0.5 + 2.5 * directions[..., 2:]).clamp(0, 1)
        ground, sky = torch.tensor(self.ground), torch.tensor(self.sky)
        return ground + (sky - ground) * up


def spiral(count: int, degrees: float) -> Float[Tensor, "n 2"]:
    """Points spread evenly over a disc (Vogel's spiral) whose radius is seen under ``degrees``: tangents of angles."""
    k = torch.arange(count)
    radius = ((k + 0.5) / count).sqrt() * math.tan(math.radians(degrees))
    angle = 2 * math.pi * torch.frac(k.double() * GOLDEN).float()
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


def across(directions: Float[Tensor, "*b 3"]) -> tuple[Float[Tensor, "*b 3"], Float[Tensor, "*b 3"]]:
    """Two unit vectors at right angles to each unit vector and to each other."""
    helper = torch.eye(3)[directions.abs().argmin(-1)]
    one = torch.nn.functional.normalize(torch.linalg.cross(helper, directions), dim=-1)
    return one, torch.linalg.cross(directions, one)


def sphere_points(count: int) -> Float[Tensor, "n 3"]:
    """Points spread evenly over the unit sphere (Fibonacci)."""
    k = torch.arange(count)
    z = 1 - (2 * k + 1) / count
    angle = 2 * math.pi * torch.frac(k.double() * GOLDEN).float()
    ring = (1 - z**2).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1)
