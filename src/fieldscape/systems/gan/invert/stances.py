"""Where the camera of a photo may have stood: numbers that a prior thinks normal, made into cameras differentiably.

A stance is six numbers, each of which the prior draws with mean 0 and standard deviation 1: yaw, pitch, three shifts
and the field of view. They count from a base, which is the world itself where a prior says how cameras stand, and one
of the cameras of the data where those were given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.poses import GivenPoses, OrbitPrior, Prior, RoomPrior
from fieldscape.types import Camera

ORBIT_SHIFT = 0.03
"""Standard deviation of shifts of a camera that orbits an object, whose distance is 1: photos are not centred well."""
NUMBERS = 6


@dataclass(frozen=True)
class Stances:
    """How numbers become cameras.

    spread: what a number of 1 means: yaw, pitch (radians), shifts (metres).  fov: least and most, in radians.
    bases: camera-to-world poses that stances count from.  base_fov: theirs, where it is known; else from ``fov``.
    pivot: how far ahead the point lies that cameras swing about.
    """

    around: RoomPrior | OrbitPrior
    spread: Float[Tensor, "5"]
    fov: tuple[float, float]
    bases: Float[Tensor, "n 4 4"]
    base_fov: Float[Tensor, "n"] | None
    pivot: float

    def camera(self, numbers: Float[Tensor, "b 6"], base: Int[Tensor, "b"], size: int) -> Camera:
        """The cameras of stances that count from the bases of the given indices [b]."""
        real = numbers[:, :5] * self.spread
        if self.base_fov is None:
            low, high = self.fov
            fov = low + (high - low) * torch.special.ndtr(numbers[:, 5])
        else:
            fov = self.base_fov[base]
        camera = self.around.at(real[:, :2], real[:, 2:], fov, size)
        return Camera(self.bases[base] @ camera.pose, camera.focal, camera.center, size, size)

    def grid(self) -> tuple[Float[Tensor, "m 6"], Int[Tensor, "m"]]:
        """Stances to begin a search from, and their bases: each base where there are many, else nine angles of one."""
        count = len(self.bases)
        if count > 1:
            return torch.zeros(count, NUMBERS), torch.arange(count)
        # Of a range that is drawn from evenly, the middles of its thirds: all around an object, none of them twice.
        steps = torch.tensor([-1.0, 0.0, 1.0]) * (2 / math.sqrt(3) if isinstance(self.around, OrbitPrior) else 1.0)
        angles = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).reshape(9, 2)
        return torch.cat([angles, torch.zeros(9, NUMBERS - 2)], 1), torch.zeros(9, dtype=torch.long)


def stances_of(prior: Prior, config: GanConfig) -> Stances:
    """The stances that a prior thinks normal."""
    turns = [math.radians(config.yaw), math.radians(config.pitch)]
    world = torch.eye(4)[None]
    low, high = (math.radians(angle) for angle in config.fov)
    if isinstance(prior, OrbitPrior):
        even = [turn / math.sqrt(3) for turn in turns]  # the standard deviations of half ranges
        spread = torch.tensor([*even, *3 * [ORBIT_SHIFT]])
        return Stances(prior, spread, (low, high), world, None, 1.0)
    spread = torch.tensor([*turns, *3 * [config.shift]])
    if isinstance(prior, GivenPoses):
        # A camera of the data, moved a little as a room's prior moves it.
        around = RoomPrior()
        fov = 2 * torch.atan(0.5 / prior.focal)
        return Stances(around, spread, (low, high), prior.poses, fov, around.pivot)
    return Stances(prior, spread, (low, high), world, None, prior.pivot)
