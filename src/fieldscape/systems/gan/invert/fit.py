"""The loop on the page: codes and poses that make a photo, then weights that make it exactly.

Offsets of codes and a pose are fitted first, then the weights of the generator about what was found (pivotal tuning:
Roich et al., 2021), while its density is held to what it was: else a board with the photo on it would do.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.figures import carried
from fieldscape.systems.gan.generators import Generator
from fieldscape.systems.gan.invert.codes import CodeSpace, code_space
from fieldscape.systems.gan.invert.config import InvertConfig
from fieldscape.systems.gan.invert.search import Guesses, search, single
from fieldscape.systems.gan.invert.stances import Stances, stances_of
from fieldscape.systems.gan.measure import sampling
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw
from fieldscape.systems.gan.poses import Prior, swung
from fieldscape.types import Camera

Told: TypeAlias = Callable[[float], None]
"""Hears of every step, and of the loss there."""

COARSE = 16
"""Side of the pictures that are compared first."""


@dataclass(frozen=True)
class Inverted:
    """A photo found: a scene, and where the camera stood.

    plain: the generator as it was; generator: as it was tuned (the same where it was not).  code: of one scene, as
    their ``field`` takes it.  camera: a single one, of the photo's size.  angles: its yaw and pitch in degrees, from
    its base.  unusual: the root mean square of the code's offset, in standard deviations.  down: the axis about which
    views turn, through a point ``pivot`` metres ahead.  psnr_code, psnr_tuned: of the photo, before and after tuning.
    """

    plain: Generator
    generator: Generator
    config: GanConfig
    code: Float[Tensor, "1 *l w"]
    camera: Camera
    angles: tuple[float, float]
    unusual: float
    down: Float[Tensor, "3"]
    pivot: float
    psnr_code: float
    psnr_tuned: float

    def turned(self, yaw: float, ahead: float = 0.0, pivot: float | None = None) -> Camera:
        """The camera swung by ``yaw`` degrees about the point ahead (positive: it looks right), then moved ahead."""
        there = swung(self.camera, self.down, self.pivot if pivot is None else pivot, yaw)
        pose = there.pose.clone()
        pose[:3, 3] += ahead * there.forward
        return replace(there, pose=pose)

    def view(self, camera: Camera) -> tuple[Float[Tensor, "3 s s"], Float[Tensor, "s s"]]:
        """Colours 0..1 and depths of the found scene, by a single camera of square pictures."""
        return seen(self.generator, self.code, camera, sampling(self.config, self.config.size))


def invert_photo(
    generator: Generator,
    config: GanConfig,
    prior: Prior,
    photo: Float[Tensor, "3 s s"],
    settings: InvertConfig,
    chance: torch.Generator,
    told: Told | None = None,
) -> Inverted:
    """The scene of ``generator`` that looks like ``photo`` (0..1, ``config.size`` a side), from where it was taken."""
    stances, space = stances_of(prior, config), code_space(generator, chance)
    where, rough = sampling(config, config.size), sampling(config, COARSE)
    small = avg_pool2d(photo, config.size // COARSE)
    guesses = search(generator, space, stances, small, rough, settings, chance)
    guesses = follow(generator, space, stances, small, rough, guesses, settings.coarse_steps, settings, chance, told)
    guesses = guesses.best(torch.arange(min(settings.finalists, len(guesses.base))))
    guesses = follow(generator, space, stances, photo, where, guesses, settings.steps, settings, chance, told)
    best = guesses.best(torch.tensor([0]))
    best = replace(best, offsets=space.layered(best.offsets))
    best = follow(generator, space, stances, photo, where, best, settings.last_steps, settings, chance, told)
    code, camera = space.codes(best.offsets), stances.camera(best.numbers, best.base, config.size)[0]
    down, tuned = stances.bases[best.base[0], :3, 1], generator
    if settings.tune:
        aside = partial(swung, camera, down, stances.pivot)
        tuned = tune(generator, code, camera, photo, where, settings, chance, told, aside)
    yaw, pitch = torch.rad2deg(best.numbers[0, :2] * stances.spread[:2]).tolist()
    by_code, by_weights = (psnr(seen(made, code, camera, where)[0], photo) for made in (generator, tuned))
    unusual = float(best.offsets.square().mean().sqrt())
    return Inverted(
        generator, tuned, config, code, camera, (yaw, pitch), unusual, down, stances.pivot, by_code, by_weights
    )  # fmt: skip


def follow(
    generator: Generator,
    space: CodeSpace,
    stances: Stances,
    photo: Float[Tensor, "3 s s"],
    where: Sampling,
    guesses: Guesses,
    steps: int,
    settings: InvertConfig,
    chance: torch.Generator,
    told: Told | None,
) -> Guesses:
    """The guesses after ``steps`` steps towards ``photo``, best first."""
    offsets = guesses.offsets.clone().requires_grad_()
    numbers = guesses.numbers.clone().requires_grad_()
    groups = [{"params": [offsets], "lr": settings.lr_code}, {"params": [numbers], "lr": settings.lr_pose}]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.99))
    rates = [settings.lr_code, settings.lr_pose]
    losses = torch.zeros(len(offsets))
    for step in range(steps):
        left = 1 - step / steps
        for group, rate in zip(adam.param_groups, rates):
            group["lr"] = rate * min(1.0, 2 * left)
        moved = offsets + settings.noise * left * torch.randn(offsets.shape, generator=chance)
        camera = stances.camera(numbers, guesses.base, photo.shape[-1])
        color, _ = as_pictures(draw(generator.field(space.codes(moved)), camera, where))
        losses = difference(color / 2 + 0.5, photo, settings.edges)
        mean = offsets.mean(1, keepdim=True)
        losses = losses + settings.code_weight * mean.square().mean((1, 2))
        losses = losses + settings.layers_weight * (offsets - mean).square().mean((1, 2))
        losses = losses + settings.pose_weight * numbers.square().mean(1)
        adam.zero_grad()
        losses.sum().backward()
        adam.step()
        if told is not None:
            told(float(losses.detach().min()))
    return Guesses(offsets.detach(), numbers.detach(), guesses.base).best(losses.detach().argsort())


def tune(
    generator: Generator,
    code: Float[Tensor, "1 *l w"],
    seen_from: Camera,
    photo: Float[Tensor, "3 s s"],
    where: Sampling,
    settings: InvertConfig,
    chance: torch.Generator,
    told: Told | None,
    aside: Callable[[float, float], Camera] | None = None,
) -> Generator:
    """A copy of the generator that makes ``photo`` of this code, its density anchored.

    aside: the photo's camera swung by a yaw and a pitch. What is seen from there and the photo shows too, as depth
    says, is to have the photo's colours: else they would be right along the photo's rays only.
    """
    camera = single(seen_from)
    tuned = deepcopy(generator).requires_grad_(True)
    adam = torch.optim.Adam(tuned.parameters(), settings.lr_tune, betas=(0.9, 0.99))
    before = generator.field(code)
    for step in range(settings.tune_steps):
        for group in adam.param_groups:
            group["lr"] = settings.lr_tune * min(1.0, 2 * (1 - step / settings.tune_steps))
        field = tuned.field(code)
        color, depth = as_pictures(draw(field, camera, where))
        loss = difference(color / 2 + 0.5, photo, settings.edges).mean()

        share = torch.rand(1, settings.anchors, 3, generator=chance)
        place = generator.low + (generator.high - generator.low) * share
        held = before(place, torch.zeros_like(place))[1]
        changed = (field(place, torch.zeros_like(place))[1] - held).abs().mean() / held.mean().clamp(min=1e-6)
        loss = loss + settings.anchor * changed

        if aside is not None and settings.carry:
            yaw, pitch = (torch.randn(2, generator=chance) * torch.tensor(settings.swing)).tolist()
            other = single(aside(yaw, pitch))
            there, far = as_pictures(draw(field, other, where))
            told_color, known = carried(photo[None], depth.detach(), camera, far.detach(), other)
            loss = loss + settings.carry * (known * (there / 2 + 0.5 - told_color).square()).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if told is not None:
            told(float(loss.detach()))
    return tuned.requires_grad_(False)


def difference(color: Float[Tensor, "b 3 s s"], photo: Float[Tensor, "3 s s"], edges: float) -> Float[Tensor, "b"]:
    """The mean squared error of each picture, and of its differences between neighbouring pixels."""
    error = color - photo
    steps = error.diff(dim=-1).square().mean((1, 2, 3)) + error.diff(dim=-2).square().mean((1, 2, 3))
    return error.square().mean((1, 2, 3)) + edges * steps


@torch.no_grad()
def seen(
    generator: Generator, code: Float[Tensor, "1 *l w"], camera: Camera, where: Sampling
) -> tuple[Float[Tensor, "3 s s"], Float[Tensor, "s s"]]:
    """Colours 0..1 and depths of a scene, by a single camera of square pictures."""
    color, depth = as_pictures(draw(generator.field(code), single(camera), where))
    return (color[0] / 2 + 0.5).clamp(0, 1), depth[0, 0]


def psnr(one: Float[Tensor, "3 s s"], other: Float[Tensor, "3 s s"]) -> float:
    return float(-10 * (one - other).square().mean().clamp(min=1e-10).log10())
