"""Pictures of a lit world, and the nouns it is made of.

Surfaces are matte, some with a mirroring coat. A matte surface sends the same light everywhere: its irradiance (RGB,
in units in which white paint under irradiance 1 has radiance 1) times its texture, plus what it sends of its own.
Where the irradiance comes from is a part of the world: ``radiosity`` works it out beforehand, once for all views;
``daylight`` works it out anew at the points that a picture shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.cameras import image_rays
from fieldscape.colors import to_srgb
from fieldscape.types import Camera, Mesh, Rays
from fieldscape.worlds.raycast import Caster
from fieldscape.worlds.textures import RGB, Surface, Texture


@dataclass(frozen=True)
class Part:
    """A mesh in the world with a surface.

    frame: world to the object's own frame, where the texture lives.  glow: how much light it sends of its own, times
    its texture (a shade, a screen, the sky).  edge: the longest triangle edge that light is kept on, in metres.
    outside: the sky behind a window, which light passes through.  normals: of the smooth surface at the vertices; None:
    found from the faces.  mirror: the share of light that a clear coat mirrors when looked at straight (glass: 0.04).
    """

    name: str
    mesh: Mesh
    texture: Texture
    frame: Float[Tensor, "4 4"]
    glow: float = 0.0
    edge: float = 0.06
    outside: bool = False
    normals: Float[Tensor, "v 3"] | None = None
    mirror: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What a grid of rays meets, row by row. Where ``some`` is False the other values mean nothing.

    normal: of the smooth surface, a unit vector on the viewer's side.  footprint: a pixel's width on the surface.
    """

    rows: int
    columns: int
    some: Bool[Tensor, "n"]
    face: Int[Tensor, "n"]
    weights: Float[Tensor, "n 3"]
    part: Int[Tensor, "n"]
    point: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    paint: Float[Tensor, "n 3"]
    footprint: Float[Tensor, "n"]


@dataclass(frozen=True)
class World:
    """Surfaces with their light, ready to be looked at.

    ``part``: the place in ``parts`` of the part that each face belongs to.  ``light``: the irradiance at what is seen.
    ``exposure``: display units per irradiance.  ``around``: the radiance from a direction in which nothing stands.
    ``ambient``: the mean irradiance, by which what a mirroring coat shows is lit.
    """

    parts: tuple[Part, ...]
    mesh: Mesh
    normals: Float[Tensor, "v 3"]
    part: Int[Tensor, "f"]
    caster: Caster
    light: Light
    exposure: float
    around: Callable[[Tensor], Tensor] | None = None
    ambient: RGB = (0.0, 0.0, 0.0)


Light: TypeAlias = Callable[[World, Seen], Tensor]


@dataclass(frozen=True)
class Photo:
    """A picture and its truth.

    color: sRGB 0..1, the mean over the rays of a pixel.  alpha: the share of them that met something.
    depth: along the single ray through the pixel's centre, 0 where it meets nothing.  part: what it meets, -1: nothing.
    """

    color: Float[Tensor, "h w 3"]
    alpha: Float[Tensor, "h w"]
    depth: Float[Tensor, "h w"]
    part: Int[Tensor, "h w"]


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
def render(world: World, camera: Camera, supersample: int = 2, behind: RGB | None = None) -> Photo:
    """A picture by one pinhole camera, ``supersample`` squared rays a pixel.

    ``behind`` is the display colour (linear, 0..1) where nothing is met; None shows what is ``around`` the world, or
    black if it says nothing.
    """
    center = image_rays(camera).reshape(-1)
    truth = world.caster.first(center.origins, center.directions)
    n = supersample
    fine = Camera(camera.pose, camera.focal * n, camera.center * n, camera.width * n, camera.height * n)
    rays = image_rays(fine).reshape(-1)
    seen = look(world, rays, 1 / float(fine.focal.mean()), fine.height, fine.width)
    display = tone(world.exposure * _sent(world, rays, seen))
    if behind is not None:
        display = torch.where(seen.some[:, None], display, torch.tensor(behind))
    shape = camera.height, n, camera.width, n
    return Photo(
        to_srgb(display.reshape(*shape, 3).mean((1, 3))),
        seen.some.float().reshape(shape).mean((1, 3)),
        truth.distance.reshape(camera.height, camera.width),
        torch.where(truth.face >= 0, world.part[truth.face.clamp(min=0)], -1).reshape(camera.height, camera.width),
    )


def tone(light: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """Light of any strength to 0..1 with a film's soft toe and shoulder (Narkowicz's rational fit of the ACES curve).

    >>> [round(x, 3) for x in tone(torch.tensor([0.0, 0.18, 100.0])).tolist()]
    [0.0, 0.267, 1.0]
    """
    return (light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)).clamp(0, 1)


def exposure_for(sent: Float[Tensor, "n 3"], weight: Float[Tensor, "n"]) -> float:
    """The exposure that shows the (logarithmic) mean of what surfaces send as a middle grey."""
    mean = float((sent.mean(-1).log1p() * weight).sum() / weight.sum().clamp(min=1e-12))
    return 0.23 / max(math.expm1(mean), 1e-6)


def look(world: World, rays: Rays, pixel: float, rows: int, columns: int) -> Seen:
    """What ``rows`` times ``columns`` rays meet; ``pixel``: the width of a pixel at distance 1."""
    hits = world.caster.first(rays.origins, rays.directions)
    some = hits.face >= 0
    face = hits.face.clamp(min=0)
    corners, weights = world.mesh.faces[face], hits.weights[..., None]
    point = rays.origins + hits.distance[:, None] * rays.directions
    normal = torch.nn.functional.normalize((world.normals[corners] * weights).sum(1), dim=-1)
    facing = (normal * rays.directions).sum(-1)
    paint = (world.mesh.colors[corners] * weights).sum(1)  # type: ignore[index]
    # A pixel is wider on a slanted surface in one direction only: the geometric mean of both widths serves.
    footprint = pixel * hits.distance / facing.abs().clamp(min=0.05).sqrt() + 1e-6
    normal = torch.where(facing[:, None] > 0, -normal, normal)
    return Seen(rows, columns, some, face, hits.weights, world.part[face], point, normal, paint, footprint)


def _sent(world: World, rays: Rays, seen: Seen) -> Tensor:
    """The light that comes back along each ray; where nothing is met, what is around, or black."""
    some = seen.some.nonzero().flatten()
    part = seen.part[some]
    color = albedo(world.parts, part, seen.point[some], seen.normal[some], seen.paint[some], seen.footprint[some])
    glow = torch.tensor([piece.glow for piece in world.parts])[part][:, None]
    matte = color * (world.light(world, seen)[some] + glow)
    sent = torch.zeros_like(rays.directions)
    if world.around is not None:
        missed = (~seen.some).nonzero().flatten()
        sent[missed] = world.around(rays.directions[missed])
    sent[some] = matte
    mirror = torch.tensor([piece.mirror for piece in world.parts])[part]
    coated = (mirror > 0).nonzero().flatten()
    if len(coated):
        at = some[coated]
        cosine = -(rays.directions[at] * seen.normal[at]).sum(-1, keepdim=True)
        share = mirror[coated, None] + (1 - mirror[coated, None]) * (1 - cosine.clamp(0, 1)) ** 5  # Schlick
        bounced = rays.directions[at] + 2 * cosine * seen.normal[at]
        sent[at] = torch.lerp(matte[coated], _mirrored(world, seen, at, bounced), share)
    return sent


def _mirrored(world: World, seen: Seen, at: Tensor, directions: Tensor) -> Tensor:
    """What a mirror at ``seen.point[at]`` shows in ``directions``, its surfaces lit by the world's mean light."""
    rays = Rays(seen.point[at] + 1e-3 * seen.normal[at], torch.nn.functional.normalize(directions, dim=-1))
    other = look(world, rays, 0.02, 1, len(at))
    some = other.some.nonzero().flatten()
    part = other.part[some]
    color = albedo(world.parts, part, other.point[some], other.normal[some], other.paint[some], other.footprint[some])
    glow = torch.tensor([piece.glow for piece in world.parts])[part][:, None]
    shown = torch.zeros(len(at), 3) if world.around is None else world.around(rays.directions)
    shown[some] = color * (torch.tensor(world.ambient) + glow)
    return shown


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
