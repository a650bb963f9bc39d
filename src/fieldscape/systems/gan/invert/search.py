"""The first look for a photo: many random scenes, each seen from several sides, and which of them come nearest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.systems.gan.generators import Generator
from fieldscape.systems.gan.invert.codes import CodeSpace
from fieldscape.systems.gan.invert.config import InvertConfig
from fieldscape.systems.gan.invert.stances import Stances
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw
from fieldscape.types import Camera, Field

AT_ONCE = 16
"""Scenes that are drawn at a time."""


@dataclass(frozen=True)
class Guesses:
    """Scenes and stances that may have made a photo, best first: offsets of codes, numbers and bases of stances."""

    offsets: Float[Tensor, "k l r"]
    numbers: Float[Tensor, "k 6"]
    base: Int[Tensor, "k"]

    def best(self, order: Int[Tensor, "n"]) -> Guesses:
        return Guesses(self.offsets[order], self.numbers[order], self.base[order])


@torch.no_grad()
def search(
    generator: Generator,
    space: CodeSpace,
    stances: Stances,
    photo: Float[Tensor, "3 s s"],
    where: Sampling,
    settings: InvertConfig,
    chance: torch.Generator,
) -> Guesses:
    """The ``settings.starts`` best of the mean scene and ``settings.scenes`` random ones, each by its best stance.

    photo: 0..1, small.  Raises nothing.
    """
    codes = generator.mapping(torch.randn(settings.scenes, generator.latent, generator=chance))
    codes = torch.cat([space.mean[None], codes])
    numbers, base = stances.grid()
    views, side = len(base), photo.shape[-1]
    camera = stances.camera(numbers, base, side)
    errors = []
    for some in codes.split(AT_ONCE):
        repeated = camera[torch.arange(views).repeat(len(some))]
        color, _ = as_pictures(draw(shared(generator.field(some), len(some)), repeated, where))
        errors.append((color / 2 + 0.5 - photo).square().mean((1, 2, 3)).reshape(-1, views))
    error, stance = torch.cat(errors).min(1)
    order = error.argsort()[: settings.starts]
    return Guesses(space.offsets(codes[order]), numbers[stance[order]], base[stance[order]])


def shared(field: Field, scenes: int) -> Field:
    """A field of ``scenes`` scenes, for points of several cameras of each, one after another."""

    def ask(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        color, density = field(points.unflatten(0, (scenes, -1)), directions.unflatten(0, (scenes, -1)))
        return color.flatten(0, 1), density.flatten(0, 1)

    return ask


def single(camera: Camera) -> Camera:
    """One camera as a batch of one."""
    return camera.map(lambda tensor: tensor[None])
