"""Light in a closed space, worked out once for all views.

The light does not depend on who looks: matte surfaces send the same everywhere. So surfaces are cut into small
triangles and each vertex keeps its irradiance E: sky and sun through the windows and lamps, with soft shadows, and
then what the surfaces send to each other. Radiosity: E_i = E_direct + mean over cosine-distributed directions of
(albedo_j E_j + emission_j), j being what that direction meets (Goral et al. 1984, in Monte Carlo form).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.sparse import coo_matrix
from torch import Tensor

from fieldscape.meshes import face_normals, merge, refine, split_creases
from fieldscape.types import Mesh
from fieldscape.worlds.lights import GOLDEN, Lights, across, sphere_points, spiral
from fieldscape.worlds.raycast import Caster, caster
from fieldscape.worlds.shading import Part, Seen, World, albedo, exposure_for


@dataclass(frozen=True)
class Baked:
    """Light kept at the vertices and blended between the corners of a face."""

    irradiance: Float[Tensor, "v 3"]

    def __call__(self, world: World, seen: Seen) -> Tensor:
        return (self.irradiance[world.mesh.faces[seen.face]] * seen.weights[..., None]).sum(1)


def build(parts: Sequence[Part], lights: Lights, rays: int = 48, bounces: int = 4) -> World:
    """Cuts, lights and exposes the parts; ``rays`` directions a vertex for what surfaces send to each other."""
    meshes, normals = [], []
    for part in parts:
        colors = torch.ones_like(part.mesh.vertices) if part.mesh.colors is None else part.mesh.colors
        fine = refine(Mesh(part.mesh.vertices, part.mesh.faces, colors), part.edge)
        split, normal = split_creases(fine)
        meshes.append(split)
        normals.append(normal)
    mesh, normal = merge(meshes), torch.cat(normals)
    owner = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(m.faces) for m in meshes]))
    solid = torch.tensor([not part.outside for part in parts])[owner]
    kept = solid.nonzero().flatten()
    inside = caster(Mesh(mesh.vertices, mesh.faces[kept]))

    center = mesh.vertices[mesh.faces].mean(1)
    area = face_normals(mesh)
    facing = torch.nn.functional.normalize(area, dim=-1)
    wide = torch.full((len(center),), 0.05)
    paint = albedo(parts, owner, center, facing, mesh.colors[mesh.faces].mean(1), wide)  # type: ignore[index]
    glow = torch.tensor([part.glow for part in parts])[owner][:, None] * paint

    # A vertex in a corner would lie in the wall beside it: look from slightly within its own faces instead.
    corner = mesh.faces.flatten()
    middle = torch.zeros_like(mesh.vertices).index_add_(0, corner, center.repeat_interleave(3, 0))
    middle /= torch.bincount(corner, minlength=len(middle))[:, None].clamp(min=1)
    eye = torch.lerp(mesh.vertices, middle, 0.35) + 0.002 * normal

    direct = _from_openings(eye, normal, inside, lights) + _from_sun(eye, normal, inside, lights)
    direct = direct + _from_lamps(eye, normal, inside, lights)
    smooth = _smoother(mesh.faces, len(eye))
    direct = smooth(direct, 1)
    met = _look_around(eye, normal, inside, rays)
    met = torch.where(met >= 0, kept[met.clamp(min=0)], len(owner))
    sent = torch.zeros(len(owner) + 1, 3)
    irradiance = direct
    for _ in range(bounces):
        sent[:-1] = paint * irradiance[mesh.faces].mean(1) + glow
        irradiance = direct + smooth(_mean_sent(sent, met), 3)
    # Exposed for the surfaces' mean light, by area, so that dim and bright rooms both come out well.
    weight = area.norm(dim=-1) * solid
    mean = (irradiance[mesh.faces].mean(1) * weight[:, None]).sum(0) / weight.sum()
    exposure = exposure_for(sent[:-1], weight)
    return World(
        tuple(parts), mesh, normal, owner, caster(mesh), Baked(irradiance), exposure, ambient=tuple(mean.tolist())
    )


def _from_openings(eye: Tensor, normal: Tensor, inside: Caster, lights: Lights, side: int = 5) -> Tensor:
    """Skylight: E = integral over the pane of L cos cos' / (pi r^2), by one jittered point in each of side^2 cells."""
    total = torch.zeros_like(eye)
    index = torch.arange(len(eye))
    for opening in lights.openings:
        corner, u, v = torch.tensor(opening.corner), torch.tensor(opening.u), torch.tensor(opening.v)
        area_vector = torch.linalg.cross(u, v)
        size = float(area_vector.norm())
        ahead = ((eye - corner) @ (area_vector / size) > 0.01).nonzero().flatten()
        jitter = torch.stack([torch.frac(index[ahead] * GOLDEN), torch.frac(index[ahead] * GOLDEN**2 * 1.7)], -1)
        for cell in range(side * side):
            st = (torch.tensor([cell % side, cell // side]) + jitter.float()) / side
            toward = corner + st[:, :1] * u + st[:, 1:] * v - eye[ahead]
            distance = toward.norm(dim=-1).clamp(min=0.05)
            direction = toward / distance[:, None]
            form = (direction * normal[ahead]).sum(-1).clamp(min=0) * -(direction @ (area_vector / size))
            useful = (form > 0).nonzero().flatten()
            blocked = inside.blocked(eye[ahead[useful]], direction[useful], distance[useful] - 0.002)
            useful = useful[~blocked]
            light = lights.above(direction[useful]) * (form / distance**2)[useful, None]
            total[ahead[useful]] += light * (size / (math.pi * side * side))
    return total


def _from_sun(eye: Tensor, normal: Tensor, inside: Caster, lights: Lights, samples: int = 12) -> Tensor:
    """Sunlight that finds its way out through a window; the disc is widened to 2 degrees, as a hazy sky does."""
    sun = torch.nn.functional.normalize(torch.tensor(lights.sun_direction), dim=0)
    side, top = across(sun)
    total = torch.zeros_like(eye)
    for x, y in spiral(samples, 2.0).tolist():
        toward = torch.nn.functional.normalize(sun + x * side + y * top, dim=0)
        cosine = normal @ toward
        useful = (cosine > 0).nonzero().flatten()
        far = torch.full((len(useful),), 1e3)
        useful = useful[~inside.blocked(eye[useful], toward.expand(len(useful), 3), far)]
        total[useful] += cosine[useful, None] * torch.tensor(lights.sun) / samples
    return total


def _from_lamps(eye: Tensor, normal: Tensor, inside: Caster, lights: Lights, samples: int = 8) -> Tensor:
    """Bulbs of 5 cm radius: E = I cos / r^2 with the shadows of their shades and of the furniture."""
    total = torch.zeros_like(eye)
    spread = sphere_points(samples) * 0.05
    for bulb in lights.lamps:
        for offset in spread:
            toward = torch.tensor(bulb) + offset - eye
            distance = toward.norm(dim=-1).clamp(min=0.15)
            direction = toward / distance[:, None]
            cosine = (direction * normal).sum(-1)
            useful = (cosine > 0).nonzero().flatten()
            useful = useful[~inside.blocked(eye[useful], direction[useful], distance[useful] - 0.01)]
            total[useful] += (cosine / distance**2)[useful, None] * torch.tensor(lights.lamp) / samples
    return total


def _look_around(eye: Tensor, normal: Tensor, inside: Caster, rays: int) -> Tensor:
    """The face that each of ``rays`` cosine-distributed directions from each vertex meets, -1 for none: [v, rays].

    The directions are one Fibonacci spiral on the disc, lifted (Malley), turned about each normal by another angle.
    """
    k = torch.arange(rays)
    radius, angle = ((k + 0.5) / rays).sqrt(), 2 * math.pi * torch.frac(k.double() * GOLDEN).float()
    met = torch.empty(len(eye), rays, dtype=torch.long)
    tangent, other = across(normal)
    start = 2 * math.pi * torch.frac(torch.arange(len(eye)).double() * GOLDEN).float()
    for chunk in torch.arange(len(eye)).split(16384):
        turn = angle + start[chunk, None]
        flat = radius * turn.cos(), radius * turn.sin()
        direction = flat[0][..., None] * tangent[chunk, None] + flat[1][..., None] * other[chunk, None]
        direction = direction + (1 - radius**2).sqrt()[None, :, None] * normal[chunk, None]
        origin = eye[chunk, None].expand_as(direction)
        hits = inside.first(origin.reshape(-1, 3), direction.reshape(-1, 3))
        met[chunk] = hits.face.reshape(len(chunk), rays)
    return met


def _mean_sent(sent: Tensor, met: Tensor) -> Tensor:
    return torch.cat([sent[part].mean(1) for part in met.split(16384)])


def _smoother(faces: Tensor, count: int) -> Callable[[Tensor, int], Tensor]:
    """A function that averages vertex values over their neighbours, n times: it evens out the sampling noise."""
    start, end = faces.flatten(), faces.roll(-1, 1).flatten()
    rows, columns = torch.cat([start, end, torch.arange(count)]), torch.cat([end, start, torch.arange(count)])
    links = coo_matrix((torch.ones(len(rows)).numpy(), (rows.numpy(), columns.numpy())), shape=(count, count)).tocsr()
    degree = torch.from_numpy(links.sum(1)).float().reshape(-1, 1).clamp(min=1)

    def smooth(values: Tensor, times: int) -> Tensor:
        for _ in range(times):
            values = torch.from_numpy(links @ values.numpy()).float() / degree
        return values

    return smooth
