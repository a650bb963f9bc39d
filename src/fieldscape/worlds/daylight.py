"""Light worked out at the points that a picture shows: for worlds that are looked at a few times, or that move.

Neighbouring rays ask different parts of the light, in a pattern of 4 x 4 that repeats, and then average their answers
with those neighbours that lie on the same smooth surface: interleaved sampling (Keller and Heidrich 2001). So soft
shadows and the shade in corners cost a few rays a point. Light that surfaces send on to each other is the radiance of
the part that a ray meets, taken as lit by the mean light of the world (one bounce of colour, no caustics).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.meshes import face_normals, merge, split_creases
from fieldscape.types import Mesh
from fieldscape.worlds.lights import GOLDEN, Lights, across, sphere_points
from fieldscape.worlds.raycast import Caster, caster
from fieldscape.worlds.shading import Part, Seen, World, albedo, exposure_for

PATTERN = 4
"""Rays that ask different parts of the light: PATTERN squared."""
SUN_DEGREES = 1.0
"""Radius of the sun's disc, wider than the real one as in slightly hazy air."""
BULB = 0.06
"""Radius of a lamp's bulb, in metres."""


@dataclass(frozen=True)
class Direct:
    """The light of ``lights`` on what is seen, with shadows cast by ``solid``.

    owner: the part of each face.  sent: the radiance that each part sends back under the world's mean light.
    samples: rays a point to the sky (or to each window) and around.
    """

    lights: Lights
    solid: Caster
    owner: Int[Tensor, "f"]
    sent: Float[Tensor, "p 3"]
    samples: int

    def __call__(self, world: World, seen: Seen) -> Tensor:
        some = seen.some.nonzero().flatten()
        row, column = some // seen.columns, some % seen.columns
        light = torch.zeros_like(seen.point)
        light[some] = self.at(seen.point[some], seen.normal[some], _turn(row, column), _jitter(row, column))
        return smoothed(light, seen)

    def at(
        self,
        point: Float[Tensor, "n 3"],
        normal: Float[Tensor, "n 3"],
        turn: Int[Tensor, "n"],
        jitter: Float[Tensor, "n 2"],
    ) -> Float[Tensor, "n 3"]:
        """The irradiance at points, estimated with the ``turn``-th share (0..15) of the samples; not yet smooth.

        A share is one cell of 4 x 4 that the light is divided into, and ``jitter`` (0..1) the place in that cell.
        """
        eye = point + 2e-3 * normal
        place = (torch.stack([turn % PATTERN, turn // PATTERN], -1) + jitter) / PATTERN
        total = self._sun(eye, normal, place) + self._lamps(eye, normal, turn) + self._around(eye, normal, place)
        for opening in self.lights.openings:
            corner, u, v = torch.tensor(opening.corner), torch.tensor(opening.u), torch.tensor(opening.v)
            total += self._opening(eye, normal, place, corner, u, v)
        return total

    def _sun(self, eye: Tensor, normal: Tensor, place: Tensor) -> Tensor:
        total = torch.zeros_like(eye)
        if not any(self.lights.sun):
            return total
        sun = torch.nn.functional.normalize(torch.tensor(self.lights.sun_direction), dim=0)
        side, top = across(sun)
        radius, angle = place[:, :1].sqrt() * math.tan(math.radians(SUN_DEGREES)), 2 * math.pi * place[:, 1:]
        offset = torch.cat([radius * angle.cos(), radius * angle.sin()], -1)
        toward = torch.nn.functional.normalize(sun + offset[:, :1] * side + offset[:, 1:] * top, dim=-1)
        cosine = (normal * toward).sum(-1)
        useful = (cosine > 0).nonzero().flatten()
        far = torch.full((len(useful),), 1e4)
        useful = useful[~self.solid.blocked(eye[useful], toward[useful], far)]
        total[useful] = cosine[useful, None] * torch.tensor(self.lights.sun)
        return total

    def _lamps(self, eye: Tensor, normal: Tensor, turn: Tensor) -> Tensor:
        total = torch.zeros_like(eye)
        offset = BULB * sphere_points(PATTERN**2)[turn]
        for bulb in self.lights.lamps:
            toward = torch.tensor(bulb) + offset - eye
            distance = toward.norm(dim=-1).clamp(min=0.15)
            direction = toward / distance[:, None]
            form = (direction * normal).sum(-1) / distance**2
            useful = (form > 0).nonzero().flatten()
            useful = useful[~self.solid.blocked(eye[useful], direction[useful], distance[useful] - 0.01)]
            total[useful] += form[useful, None] * torch.tensor(self.lights.lamp)
        return total

    def _opening(self, eye: Tensor, normal: Tensor, place: Tensor, corner: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Skylight through a pane: E = integral over the pane of L cos cos' / (pi r^2)."""
        total = torch.zeros_like(eye)
        area = torch.linalg.cross(u, v)
        size = area.norm()
        for k in range(self.samples):
            s, t = _shifted(place, k).unbind(-1)
            toward = corner + s[:, None] * u + t[:, None] * v - eye
            distance = toward.norm(dim=-1).clamp(min=0.1)
            direction = toward / distance[:, None]
            form = (direction * normal).sum(-1).clamp(min=0) * -(direction @ (area / size)) / distance**2
            useful = (form > 0).nonzero().flatten()
            useful = useful[~self.solid.blocked(eye[useful], direction[useful], distance[useful] - 2e-3)]
            # A point right at the pane would be dazzled by the one sample beside it.
            weight = (form[useful] * size / math.pi).clamp(max=1)
            total[useful] += self.lights.above(direction[useful]) * (weight / self.samples)[:, None]
        return total

    def _around(self, eye: Tensor, normal: Tensor, place: Tensor) -> Tensor:
        """What comes from all around (cosine-distributed directions: E is their mean radiance)."""
        total = torch.zeros_like(eye)
        tangent, other = across(normal)
        for k in range(self.samples):
            share, around = _shifted(place, k).unbind(-1)
            radius, angle = share.sqrt(), 2 * math.pi * around
            flat = (radius * angle.cos())[:, None] * tangent + (radius * angle.sin())[:, None] * other
            direction = flat + (1 - radius**2).sqrt()[:, None] * normal
            met = self.solid.first(eye, direction).face
            radiance = self.sent[self.owner[met.clamp(min=0)]]
            free = met < 0
            beyond = self.lights.above(direction[free]) if self.lights.open_air else torch.zeros(int(free.sum()), 3)
            radiance[free] = beyond
            total += radiance / self.samples
        return total


def lit(parts: Sequence[Part], lights: Lights, samples: int = 1, probes: int = 300) -> World:
    """The world of ``parts`` under ``lights``. ``samples`` times 16 rays go into the light of each smooth place.

    ``probes`` points on all surfaces, spread by area, tell the mean light, which sets the exposure.
    """
    mesh, colors, normals, owner = assembled(parts)
    outside = torch.tensor([part.outside for part in parts])[owner]
    whole = caster(mesh, outside)
    solid = replace(whole, beyond=None)
    stops = (face_normals(mesh).norm(dim=-1) * ~outside).double().cumsum(0)
    at = (torch.arange(probes) + 0.5) / probes
    face = torch.searchsorted(stops, at.double() * stops[-1]).clamp(max=len(stops) - 1)
    u, v = torch.frac(at * 317 * GOLDEN).sqrt()[:, None], torch.frac(at * 211 * GOLDEN)[:, None]
    weights = torch.cat([1 - u, u * (1 - v), u * v], -1)
    corners = mesh.faces[face]
    point, normal, paint = (
        (values[corners] * weights[..., None]).sum(1) for values in (mesh.vertices, normals, colors)
    )
    normal = torch.nn.functional.normalize(normal, dim=-1)
    color = albedo(parts, owner[face], point, normal, paint, torch.full((probes,), 0.05))
    total = torch.zeros(len(parts), 3).index_add_(0, owner[face], color)
    count = torch.bincount(owner[face], minlength=len(parts))[:, None]
    tint = torch.where(count > 0, total / count.clamp(min=1), color.mean(0))

    dark = Direct(lights, solid, owner, torch.zeros(len(parts), 3), samples)
    turn = torch.arange(probes) % PATTERN**2
    direct = dark.at(point, normal, turn, torch.full((probes, 2), 0.5))
    glow = torch.tensor([part.glow for part in parts])[:, None] * tint
    # In a closed space the light goes on: E = E_direct + albedo E. Outdoors most of it is lost to the sky.
    again = color.mean(0).clamp(max=0.85) * (0.3 if lights.open_air else 1.0)
    mean = direct.mean(0) / (1 - again)
    # Lamps are sampled as lamps. What glows around them is met by few rays: its light would be seen as stains.
    light = replace(dark, sent=tint * mean + torch.minimum(glow, 2 * mean.expand_as(glow)))
    sent = color * (direct + mean - direct.mean(0))
    around = lights.above if lights.open_air else None
    exposure = exposure_for(sent, torch.ones(probes))
    ambient = (float(mean[0]), float(mean[1]), float(mean[2]))
    return World(tuple(parts), mesh, normals, owner, whole, light, exposure, around, ambient)


def assembled(
    parts: Sequence[Part],
) -> tuple[Mesh, Float[Tensor, "v 3"], Float[Tensor, "v 3"], Int[Tensor, "f"]]:
    """All parts in one mesh, its colours (white where nothing is painted) and normals, and the part of each face."""
    meshes, colors, normals = [], [], []
    for part in parts:
        mesh, normal = (part.mesh, part.normals) if part.normals is not None else split_creases(part.mesh)
        meshes.append(mesh)
        normals.append(normal)
        colors.append(torch.ones_like(mesh.vertices) if mesh.colors is None else mesh.colors)
    counts = torch.tensor([len(mesh.faces) for mesh in meshes])
    whole, paint = merge(meshes), torch.cat(colors)
    owner = torch.repeat_interleave(torch.arange(len(parts)), counts)
    return Mesh(whole.vertices, whole.faces, paint), paint, torch.cat(normals), owner


def smoothed(light: Float[Tensor, "n 3"], seen: Seen) -> Float[Tensor, "n 3"]:
    """``light`` averaged over neighbours, as far as they lie on the same smooth surface.

    First over 4 x 4, each sample once, then over nine such means around: that takes out what grain is left.
    """
    reach = 3

    def grid(values: Tensor) -> Tensor:
        values = values.reshape(seen.rows, seen.columns, -1).movedim(-1, 0).float()
        return torch.nn.functional.pad(values, (reach,) * 4)

    part, point = grid(torch.where(seen.some, seen.part, -1) + 1), grid(seen.point)
    normal, padded = grid(seen.normal), grid(light)
    inner = (slice(None), slice(reach, reach + seen.rows), slice(reach, reach + seen.columns))
    here, up, mine = point[inner], normal[inner], part[inner]
    near = 4 * seen.footprint.reshape(1, seen.rows, seen.columns)
    for offsets in ((-1, 0, 1, 2), (-3, 0, 3)):
        total, weight = torch.zeros_like(here), torch.zeros_like(near)
        for row in offsets:
            for column in offsets:
                top, left = reach + row, reach + column
                there = (slice(None), slice(top, top + seen.rows), slice(left, left + seen.columns))
                beside = (part[there] == mine) & ((up * normal[there]).sum(0, keepdim=True) > 0.9)
                beside &= ((point[there] - here) * up).sum(0, keepdim=True).abs() < near
                total += beside * padded[there]
                weight += beside
        padded[inner] = total / weight.clamp(min=1)
    return padded[inner].movedim(0, -1).reshape(-1, 3)


def _turn(row: Tensor, column: Tensor) -> Tensor:
    """Which of the 16 shares of the samples a ray takes, so that near rays take shares that are far apart."""
    order = torch.tensor([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])  # Bayer's matrix
    return order[row % PATTERN, column % PATTERN]


def _jitter(row: Tensor, column: Tensor) -> Float[Tensor, "n 2"]:
    """A place in the unit square for each pixel, such that neighbours get places far apart (Roberts 2018).

    Without it the sixteen samples are the same everywhere, and each would show: sixteen edges to every soft shadow.
    """
    x, y = column.double(), row.double()
    one = torch.frac(0.7548776662466927 * x + 0.5698402909980532 * y)
    other = torch.frac(0.5698402909980532 * x - 0.7548776662466927 * y + 4096.5)
    return torch.stack([one, other], -1).float()


def _shifted(place: Tensor, k: int) -> Tensor:
    """The ``k``-th of several places that together fill the square: the first one moved, around the edges."""
    return place if k == 0 else torch.frac(place + torch.tensor([0.7548776662466927, 0.5698402909980532]) * k)
