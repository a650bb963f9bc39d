"""How a generator stands: the figures, what they say went wrong, and a sheet of scenes from several sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape.images import colorize_depth, contact_sheet
from fieldscape.systems.gan import figures
from fieldscape.systems.gan.config import SAMPLES, GanConfig
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw
from fieldscape.systems.gan.poses import GivenPoses, Prior
from fieldscape.systems.gan.siren import SirenGenerator
from fieldscape.systems.gan.triplane import TriplaneGenerator
from fieldscape.types import Camera

AnyGenerator: TypeAlias = TriplaneGenerator | SirenGenerator

SIDEWAYS = 12.0
"""Degrees of yaw by which views are compared."""
AT_ONCE = 32


def sampling(config: GanConfig, side: int) -> Sampling:
    """Where rays are asked, for pictures ``side`` pixels a side."""
    return Sampling(config.near, config.far, SAMPLES[side], walled=config.prior != "object")


def view(prior: Prior, count: int, side: int, yaw: float = 0.0) -> Camera:
    """``count`` times the mean camera, ``yaw`` degrees aside (of given poses the first, about what it looks at)."""
    if isinstance(prior, GivenPoses):
        camera = prior.cameras(torch.zeros(count, dtype=torch.long), side)
        angle = torch.deg2rad(torch.tensor(yaw))
        pivot = camera.position + 2.75 * camera.forward
        down = camera.pose[:, :3, 1]
        turned = camera.pose.clone()
        sine, cosine = angle.sin(), angle.cos()
        right, ahead = camera.pose[:, :3, 0], camera.pose[:, :3, 2]
        turned[:, :3, 0], turned[:, :3, 2] = cosine * right - sine * ahead, sine * right + cosine * ahead
        turned[:, :3, 1] = down
        turned[:, :3, 3] = pivot - 2.75 * turned[:, :3, 2]
        return Camera(turned, camera.focal, camera.center, side, side)
    angles = torch.deg2rad(torch.tensor([[yaw, 0.0]])).repeat(count, 1)
    fov = torch.full((count,), float(torch.deg2rad(torch.tensor(sum(prior.fov) / 2))))
    return prior.at(angles, torch.zeros(count, 3), fov, side)


def latents(first: int, count: int, size: int) -> Float[Tensor, "b d"]:
    """The latents of the scenes numbered from ``first`` on: each of its own seed, so that a number means a scene."""
    numbers = range(first, first + count)
    return torch.cat([torch.randn(1, size, generator=torch.Generator().manual_seed(n)) for n in numbers])


@torch.no_grad()
def seen(
    generator: AnyGenerator, z: Float[Tensor, "b d"], camera: Camera, where: Sampling
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]]:
    """Colours in 0..1 and depths of the scenes of ``z``, each by its own camera."""
    parts = []
    for index in torch.arange(len(z)).split(AT_ONCE):
        field = generator.field(generator.mapping(z[index]))
        parts.append(as_pictures(draw(field, camera[index], where)))
    colors, depths = zip(*parts)
    return torch.cat(colors) / 2 + 0.5, torch.cat(depths)


@torch.no_grad()
def measured(
    generator: AnyGenerator,
    prior: Prior,
    config: GanConfig,
    photos: Float[Tensor, "n 3 s s"],
    others: Float[Tensor, "m 3 s s"],
    count: int,
) -> dict[str, float]:
    """All figures, on ``count`` scenes: against ``photos``, beside what ``others`` (photos too) get against those.

    photos, others: 0..1, at the size that is generated.  The scenes are always the same ones.
    """
    side = photos.shape[-1]
    chance = torch.Generator().manual_seed(1234)
    where = sampling(config, side)
    z = torch.randn(count, config.latent, generator=chance)
    camera, _ = prior.draw(count, side, chance)
    color, _ = seen(generator, z, camera, where)
    few = min(64, count)
    ahead, aside = view(prior, few, side), view(prior, few, side, SIDEWAYS)
    front, depth = seen(generator, z[:few], ahead, where)
    beside, beside_depth = seen(generator, z[:few], aside, where)
    other, _ = seen(generator, z[:few], view(prior, few, side, -SIDEWAYS), where)
    carried = figures.reprojection(front, depth, ahead, beside, beside_depth, aside)
    number = min(count, len(photos))
    floor = min(number, len(others))
    return {
        "swd": figures.sliced_wasserstein(color[:number], photos[:number]),
        "swd_floor": figures.sliced_wasserstein(others[:floor], photos[:floor]),
        "frechet": figures.frechet(color, photos),
        "frechet_floor": figures.frechet(others, photos),
        "diversity": figures.nearest_apart(front) / max(figures.nearest_apart(photos[:few]), 1e-9),
        "relief": figures.relief(depth, config.near, config.far),
        "view_change": carried.change,
        "reprojection": carried.ratio,
        "mirrored": float((beside.flip(-1) - other).abs().mean()) / max(carried.change, 1e-9),
    }


def complaints(found: dict[str, float]) -> Iterator[str]:
    """What the figures say went wrong, in words, with what usually helps."""
    if found["diversity"] < 0.3:
        yield "the scenes resemble each other too much (collapse): lower --lr-generator, or raise --r1"
    if found["relief"] < 0.05:
        yield "depth hardly varies (a painted board): widen --yaw and --shift, or train longer at 16 pixels"
    elif found["view_change"] < 0.02:
        yield "another view shows nearly the same picture: widen --yaw and --shift"
    if found["mirrored"] < 0.5 and found["view_change"] >= 0.02:
        yield "a view from the right is the mirrored view from the left: train with another --seed, without --flips"
    if found["reprojection"] > 0.6:
        yield "depth does not explain how views change (fog, or hollow): train longer, or with another --seed"


@torch.no_grad()
def sheet(
    generator: AnyGenerator,
    prior: Prior,
    config: GanConfig,
    side: int,
    count: int = 8,
    first: int = 0,
) -> UInt8[Tensor, "h w 3"]:
    """The same scenes from the left, ahead and right, and their depth."""
    z = latents(first, count, config.latent)
    where = sampling(config, side)
    rows, depths = list[list[Tensor]](), list[Tensor]()
    for yaw in (-SIDEWAYS, 0.0, SIDEWAYS):
        color, depth = seen(generator, z, view(prior, count, side, yaw), where)
        rows.append([picture.movedim(0, -1) for picture in color])
        if yaw == 0:
            depths = [colorize_depth(picture[0], config.near, config.far) for picture in depth]
    return contact_sheet([*rows, depths], ["left", "ahead", "right", "depth"], least=96)
