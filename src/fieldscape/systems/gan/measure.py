"""How a generator stands: the figures, what they say went wrong, and a sheet of scenes from several sides."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape.data.photo_sets import PhotoSet
from fieldscape.images import colorize_depth, contact_sheet
from fieldscape.systems.gan import depths, figures
from fieldscape.systems.gan.config import SAMPLES, GanConfig
from fieldscape.systems.gan.depths import along_rays, planar
from fieldscape.systems.gan.features import Network, features_of, fid, kid
from fieldscape.systems.gan.generators import Generator
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw, pixel_centers
from fieldscape.systems.gan.poses import GivenPoses, Prior, batch_rays, swung
from fieldscape.systems.gan.sources import as_floats, smaller
from fieldscape.types import Camera, Field
from fieldscape.volume import OPAQUE, intervals, stratified, weights

SIDEWAYS = 12.0
"""Degrees of yaw by which views are compared."""
PIVOT = 2.75
"""Metres before a given camera, about which it is swung."""
AT_ONCE = 32
LARGEST_SHOWN = 64
"""Side of pictures that are looked at on the way, where patches of larger ones are learned from."""
WON_BY, FEEBLE = 6.0, 0.02
"""Difference of mean scores, and size of the generator's gradient, where the discriminator has won."""
FOGGY = 0.8
FOGGED = 16
"""Scenes in which it is asked how thick surfaces are."""


def sampling(config: GanConfig, side: int) -> Sampling:
    """Where rays are asked, for pictures ``side`` pixels a side."""
    return Sampling(config.near, config.far, SAMPLES[side], walled=config.prior != "object", spacing=config.spacing)


def view(prior: Prior, count: int, side: int, yaw: float = 0.0) -> Camera:
    """``count`` times the mean camera, ``yaw`` degrees aside (of given poses the first, about what it looks at)."""
    if isinstance(prior, GivenPoses):
        camera = prior.cameras(torch.zeros(count, dtype=torch.long), side)
        return swung(camera, camera.pose[0, :3, 1], PIVOT, yaw)
    angles = torch.deg2rad(torch.tensor([[yaw, 0.0]])).repeat(count, 1)
    fov = torch.full((count,), float(torch.deg2rad(torch.tensor(sum(prior.fov) / 2))))
    return prior.at(angles, torch.zeros(count, 3), fov, side)


def latents(first: int, count: int, size: int) -> Float[Tensor, "b d"]:
    """The latents of the scenes numbered from ``first`` on: each of its own seed, so that a number means a scene."""
    numbers = range(first, first + count)
    return torch.cat([torch.randn(1, size, generator=torch.Generator().manual_seed(n)) for n in numbers])


@torch.no_grad()
def seen(
    generator: Generator, z: Float[Tensor, "b d"], camera: Camera, where: Sampling
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]]:
    """Colours in 0..1 and depths of the scenes of ``z``, each by its own camera; on the CPU, where figures are made."""
    parts, device = [], generator.low.device
    for index in torch.arange(len(z)).split(AT_ONCE):
        field = generator.field(generator.mapping(z[index].to(device)))
        color, depth = as_pictures(draw(field, camera[index].to(device), where))
        parts.append((color.cpu(), depth.cpu()))
    colors, distances = zip(*parts)
    return torch.cat(colors) / 2 + 0.5, torch.cat(distances)


def thickness(field: Field, camera: Camera, where: Sampling) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """How the scenes of a field stop light: the share stopped before rays end, and how spread out it is stopped.

    The latter is the median over a picture's rays of the entropy of their weights, over that of equal ones: 0 where one
    sample stops all, 1 where all stop as much.
    """
    rays = batch_rays(camera, pixel_centers(camera.width, camera.height).to(camera.pose))
    near, far = torch.full((1, 1, 1), where.near), torch.full((1, 1, 1), where.far)
    t = stratified(near, far, where.coarse, None, where.spacing).to(camera.pose)
    t = t.expand(*rays.origins.shape[:-1], -1)
    points = rays.at(t)
    _, density = field(points, rays.directions[..., None, :].expand_as(points))
    before = weights(density, intervals(t, (where.far - where.near) / where.coarse))[..., :-1].sum(-1)
    w = weights(density, intervals(t, OPAQUE))
    entropy = torch.special.entr(w).sum(-1) / math.log(where.coarse)
    return before.mean(1).cpu(), entropy.median(1).values.cpu()


@torch.no_grad()
def measured(
    generator: Generator,
    prior: Prior,
    config: GanConfig,
    photos: Float[Tensor, "n 3 s s"],
    others: Float[Tensor, "m 3 s s"],
    count: int,
    known: Float[Tensor, "k 1 s s"] | None = None,
) -> dict[str, float]:
    """All figures, on ``count`` scenes: against ``photos``, beside what ``others`` (photos too) get against those.

    photos, others: 0..1, at the size that is generated.  known: planar depths of photos, 0 where unknown, which give
    ``depth_correlation``.  The scenes are always the same ones.
    """
    side = photos.shape[-1]
    chance = torch.Generator().manual_seed(1234)
    where = sampling(config, side)
    z = torch.randn(count, config.latent, generator=chance)
    camera, _ = prior.draw(count, side, chance)
    color, along_ray = seen(generator, z, camera, where)
    few = min(64, count)
    ahead, aside = view(prior, few, side), view(prior, few, side, SIDEWAYS)
    front, depth = seen(generator, z[:few], ahead, where)
    beside, beside_depth = seen(generator, z[:few], aside, where)
    other, _ = seen(generator, z[:few], view(prior, few, side, -SIDEWAYS), where)
    carried = figures.reprojection(front, depth, ahead, beside, beside_depth, aside)
    flat = [along_rays(at, figures.boards(planar(at, z))) for at, z in ((ahead, depth), (aside, beside_depth))]
    board = figures.reprojection(front, flat[0], ahead, beside, flat[1], aside)
    number = min(count, len(photos))
    floor = min(number, len(others))
    few_thick = min(FOGGED, count)
    device = generator.low.device
    field = generator.field(generator.mapping(z[:few_thick].to(device)))
    before, entropy = thickness(field, ahead[:few_thick].to(device), where)
    maps = None if known is None else (depths.mean_map(planar(camera, along_ray)), depths.mean_map(known))
    told = {} if maps is None else {"depth_correlation": figures.correlation(*maps)}
    return told | {
        "swd": figures.sliced_wasserstein(color[:number], photos[:number]),
        "swd_floor": figures.sliced_wasserstein(others[:floor], photos[:floor]),
        "frechet": figures.frechet(color, photos),
        "frechet_floor": figures.frechet(others, photos),
        "diversity": figures.nearest_apart(front) / max(figures.nearest_apart(photos[:few]), 1e-9),
        "relief": figures.relief(depth, config.near, config.far),
        "view_change": carried.change,
        "reprojection": carried.ratio,
        "board": board.ratio,
        "mirrored": float((beside.flip(-1) - other).abs().mean()) / max(carried.change, 1e-9),
        "alpha": float(before.mean()),
        "fog": float(entropy.median()),
        "leak": leak(front, beside),
    }


def leak(front: Float[Tensor, "n 3 s s"], beside: Float[Tensor, "n 3 s s"]) -> float:
    """How much more scenes change their colours with the view than they differ from each other: over 1 is suspicious.

    Compared are the means and spreads of colours in a picture, of which a small turn of the camera changes little.
    """
    one, other = (torch.cat([seen.mean((2, 3)), seen.std((2, 3))], 1) for seen in (front, beside))
    apart = torch.cdist(one, one).sum() / max(len(one) * (len(one) - 1), 1)
    return float((one - other).norm(dim=1).mean() / apart.clamp(min=1e-9))


def gradient(generator: Generator) -> float:
    """The size of the last gradient that the generator learned from."""
    gradients = [p.grad for p in generator.parameters() if p.grad is not None]
    return float(torch.stack([gradient.norm() for gradient in gradients]).norm()) if gradients else 0.0


MOST_FEATURES = 10_000
"""Scenes, and photos, for FID and KID."""


def through_features(
    network: Network, generator: Generator, prior: Prior, config: GanConfig, photos: PhotoSet
) -> dict[str, float]:
    """FID and KID of as many scenes as there are photos (at most 10,000), and their number."""
    count = min(len(photos), MOST_FEATURES)
    chance = torch.Generator().manual_seed(4321)
    where = sampling(config, config.size)

    def made() -> Iterator[Tensor]:
        for start in range(0, count, AT_ONCE):
            few = min(AT_ONCE, count - start)
            camera, _ = prior.draw(few, config.size, chance)
            yield seen(generator, torch.randn(few, config.latent, generator=chance), camera, where)[0]

    def shot() -> Iterator[Tensor]:
        for start in range(0, count, AT_ONCE):
            yield as_floats(torch.from_numpy(photos.images[start : min(start + AT_ONCE, count)])) / 2 + 0.5

    ours, theirs = features_of(network, made()), features_of(network, shot())
    return {"fid": fid(ours, theirs), "kid": kid(ours, theirs, chance), "feature_images": count}


def shown_side(config: GanConfig, side: int) -> int:
    """Pixels a side of pictures that are looked at, while those learned from have ``side``."""
    return max(side, min(config.size, LARGEST_SHOWN)) if side == config.patch else side


def first(photos: PhotoSet, side: int, count: int) -> Float[Tensor, "n 3 s s"]:
    """The first ``count`` photos, in 0..1."""
    return smaller(as_floats(torch.from_numpy(photos.images[:count])), side) / 2 + 0.5


def true_depths(photos: PhotoSet, side: int, count: int) -> Float[Tensor, "n 1 s s"] | None:
    """The planar depths of the first ``count`` photos, 0 where unknown; None where there are no depth maps."""
    if photos.depths is None:
        return None
    return depths.coarser(torch.from_numpy(photos.depths[:count])[:, None], side)


def complaints(found: dict[str, float]) -> Iterator[str]:
    """What the figures say went wrong, in words, with what usually helps. Figures that are not there say nothing."""
    if found.get("gap", 0) > WON_BY and found.get("push", 1) < FEEBLE:
        yield "the discriminator tells all apart and teaches nothing: raise --r1 threefold, or halve --lr-discriminator"
    if found["diversity"] < 0.3:
        yield "the scenes resemble each other too much (collapse): lower --lr-generator, or raise --r1"
    if found.get("alpha", 1) < 0.5:
        yield "rays end in nothing (an empty volume): train with another --seed, or a lower --lr-generator"
    elif found.get("fog", 0) > FOGGY:
        yield "no surfaces, light is lost all along the rays (fog): train longer, or with another --seed"
    if found["relief"] < 0.05:
        yield "depth hardly varies (a painted board): widen --yaw and --shift, or train longer at 16 pixels"
    elif found["view_change"] < 0.02:
        yield "another view shows nearly the same picture: widen --yaw and --shift"
    if found["mirrored"] < 0.5 and found["view_change"] >= 0.02:
        yield "a view from the right is the mirrored view from the left: train with another --seed, without --flips"
    if found.get("leak", 0) > 1 and found["diversity"] >= 0.3:
        yield "scenes change more with the view than from one to the next (pose leak): lower --yaw, or train longer"
    if found.get("depth_correlation", 1) < 0:
        yield "depth is the wrong way round (hollow): give --poses or --depth-aware, or train with another --seed"
    if found.get("board", 1e9) < found["reprojection"]:
        yield "a flat board explains how views change better than depth does: train longer, or with another --seed"
    if found["reprojection"] > 0.6:
        yield "depth does not explain how views change (fog, or hollow): train longer, or with another --seed"


@torch.no_grad()
def sheet(
    generator: Generator,
    prior: Prior,
    config: GanConfig,
    side: int,
    count: int = 8,
    first: int = 0,
) -> UInt8[Tensor, "h w 3"]:
    """The same scenes from the left, ahead and right, and their depth."""
    z = latents(first, count, config.latent)
    where = sampling(config, side)
    rows, relief = list[list[Tensor]](), list[Tensor]()
    for yaw in (-SIDEWAYS, 0.0, SIDEWAYS):
        color, depth = seen(generator, z, view(prior, count, side, yaw), where)
        rows.append([picture.movedim(0, -1) for picture in color])
        if yaw == 0:
            relief = [colorize_depth(picture[0], config.near, config.far) for picture in depth]
    return contact_sheet([*rows, relief], ["left", "ahead", "right", "depth"], least=96)
