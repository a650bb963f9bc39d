"""Pictures of a lit world, and the nouns it is made of.

A surface's light is worked out beforehand, for all views at once (``radiosity``): each vertex keeps its irradiance, RGB
in units in which white paint under irradiance 1 has radiance 1. A ray's colour is the irradiance, blended between the
corners of the triangle it hits, times the texture there, plus what the surface sends of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.cameras import image_rays
from fieldscape.types import Camera, Mesh, Rays
from fieldscape.worlds.raycast import Caster, Hits
from fieldscape.worlds.textures import Surface, Texture


@dataclass(frozen=True)
class Part:
    """A mesh in the world with a surface.

    frame: world to the object's own frame, where the texture lives.  glow: how much light it sends of its own, times
    its texture (a shade, a screen, the sky).  edge: the longest triangle edge that light is kept on, in metres.
    outside: the sky behind a window, which light passes through.
    """

    name: str
    mesh: Mesh
    texture: Texture
    frame: Float[Tensor, "4 4"]
    glow: float = 0.0
    edge: float = 0.06
    outside: bool = False


@dataclass(frozen=True)
class World:
    """Surfaces with their light, ready to be looked at.

    ``part``: the place in ``parts`` of the part that each face belongs to.  ``exposure``: display units per irradiance.
    """

    parts: tuple[Part, ...]
    mesh: Mesh
    normals: Float[Tensor, "v 3"]
    part: Int[Tensor, "f"]
    irradiance: Float[Tensor, "v 3"]
    exposure: float
    caster: Caster


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, for this block or function.

    Sums over threads round differently with every number of them, and a seed must give the same bytes on any; the
    operations are too small to gain from more threads anyway. Rays and views run side by side instead.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def render(world: World, camera: Camera, supersample: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """``(color [h,w,3] sRGB 0..1, depth [h,w] along the ray, part [h,w])`` of one pinhole camera.

    Depth (0: nothing) and part (its index, -1: nothing) are those of the single ray through each pixel's centre;
    colour is the mean over ``supersample`` squared rays a pixel.
    """
    center = image_rays(camera).reshape(-1)
    truth = world.caster.first(center.origins, center.directions)
    shape = camera.height, camera.width
    n = supersample
    fine = Camera(camera.pose, camera.focal * n, camera.center * n, camera.width * n, camera.height * n)
    rays = image_rays(fine).reshape(-1)
    pixel = 1 / float(fine.focal.mean())
    light = world.exposure * _seen(world, rays, world.caster.first(rays.origins, rays.directions), pixel)
    color = tone(light).reshape(shape[0], n, shape[1], n, 3).mean((1, 3))
    part = torch.where(truth.face >= 0, world.part[truth.face.clamp(min=0)], -1)
    return to_srgb(color), truth.distance.reshape(shape), part.reshape(shape)


def tone(light: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """Light of any strength to 0..1 with a film's soft toe and shoulder (Narkowicz's rational fit of the ACES curve).

    >>> [round(x, 3) for x in tone(torch.tensor([0.0, 0.18, 100.0])).tolist()]
    [0.0, 0.267, 1.0]
    """
    return (light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)).clamp(0, 1)


def to_srgb(linear: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """Linear light 0..1 to sRGB (IEC 61966-2-1).

    >>> [round(x, 4) for x in to_srgb(torch.tensor([0.0, 0.002, 1.0])).tolist()]
    [0.0, 0.0258, 1.0]
    """
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curve).clamp(0, 1)


def _seen(world: World, rays: Rays, hits: Hits, pixel: float) -> Tensor:
    """The light that comes back along each ray, black where nothing is met."""
    some = hits.face >= 0
    face = hits.face.clamp(min=0)
    corners, weights = world.mesh.faces[face], hits.weights[..., None]
    point = rays.origins + hits.distance[:, None] * rays.directions
    normal = torch.nn.functional.normalize((world.normals[corners] * weights).sum(1), dim=-1)
    paint = (world.mesh.colors[corners] * weights).sum(1)  # type: ignore[index]
    # A pixel is wider on a slanted surface in one direction only: the geometric mean of both widths serves.
    slant = (normal * rays.directions).sum(-1).abs().clamp(min=0.05)
    owner = world.part[face]
    color = albedo(world.parts, owner, point, normal, paint, pixel * hits.distance / slant.sqrt() + 1e-6)
    glow = torch.tensor([part.glow for part in world.parts])[owner][:, None]
    light = (world.irradiance[corners] * weights).sum(1)
    return torch.where(some[:, None], color * (light + glow), 0.0)


def albedo(
    parts: Sequence[Part], owner: Tensor, point: Tensor, normal: Tensor, paint: Tensor, footprint: Tensor
) -> Tensor:
    """Each part's texture at the points that lie on it."""
    order = owner.argsort(stable=True)
    counts = torch.bincount(owner, minlength=len(parts)).tolist()
    color = torch.empty_like(point)
    for part, index in zip(parts, order.split(counts)):
        if len(index):
            turn, shift = part.frame[:3, :3], part.frame[:3, 3]
            here = Surface(point[index] @ turn.T + shift, normal[index] @ turn.T, paint[index], footprint[index])
            color[index] = part.texture(here).clamp(0, 1)
    return color
