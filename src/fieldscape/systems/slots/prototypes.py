"""K deformations of one sphere, and their blends: all shapes there are.

Vertex v of the sphere (never trained) goes to r_k(v) v + t_k(v) in prototype k: a radius, stored as its logarithm so
that it stays positive, and a small tangential shift. A slot blends with softmax weights w *before* anything is moved:

    u = sum_k w_k (r_k v + t_k),  stretched by the slot's aspect, then moved to its area-weighted mean and divided by
    its root mean square radius: size, place and turn belong to the slot alone, and no prototype can hold them.

Prototypes must differ from the start: of equal ones, the weights get no gradient at all, and their own gradients are
parallel, so they would stay equal for good.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldscape.systems.slots.codec import Slots, transformed
from fieldscape.systems.slots.icosphere import icosphere, refined

Start: TypeAlias = Literal["primitives", "random"]

TANGENTIAL = 0.3
"""Most of a tangential shift, in radii: it lets vertices gather at corners and no more."""
ROUGHNESS = 0.25
"""Standard deviation of the log radius of a prototype drawn at random."""
ALIKE = 0.03
"""Prototypes whose normalised surfaces are nearer than this, root mean square, are the same shape twice."""


class Prototypes(nn.Module):
    """log_radius, shift: the deformations.  level: of the sphere.  vertices, faces, edges: the sphere's, fixed."""

    vertices: Tensor
    faces: Tensor
    edges: Tensor

    def __init__(self, count: int, level: int, generator: torch.Generator, start: Start = "primitives") -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"there is at least one prototype, not {count}")
        sphere = icosphere(level)
        self.level = level
        for name in ("vertices", "faces", "edges"):
            self.register_buffer(name, getattr(sphere, name).clone(), persistent=False)
        drawn = [] if start == "random" else primitives(sphere.vertices)[:count]
        drawn += [rough(sphere.vertices, generator) for _ in range(count - len(drawn))]
        self.log_radius = nn.Parameter(torch.stack(drawn))
        self.shift = nn.Parameter(torch.zeros(count, len(sphere.vertices), 3))

    def __len__(self) -> int:
        return len(self.log_radius)

    def deformed(self) -> Float[Tensor, "k v 3"]:
        """The vertices of each prototype, not normalised."""
        return self.log_radius.exp()[..., None] * self.vertices + self.tangential()

    def tangential(self) -> Float[Tensor, "k v 3"]:
        """The shifts along the sphere."""
        bounded = TANGENTIAL * torch.tanh(self.shift)
        return bounded - (bounded * self.vertices).sum(-1, keepdim=True) * self.vertices

    def shapes(self) -> Float[Tensor, "k v 3"]:
        """Each prototype by itself, centred and of unit size."""
        return normalized(self.deformed(), self.faces)

    def blend(
        self, weights: Float[Tensor, "*b k"], aspect: Float[Tensor, "*b 3"] | None = None
    ) -> Float[Tensor, "*b v 3"]:
        """Blends of the prototypes, stretched by exp(aspect), centred and of unit size."""
        blended = torch.einsum("...k,kvc->...vc", weights, self.deformed())
        if aspect is not None:
            blended = blended * aspect.exp()[..., None, :]
        return normalized(blended, self.faces)

    def surfaces(self, slots: Slots, temperature: float = 1.0) -> Float[Tensor, "*b v 3"]:
        """The vertices of slots, in the model frame."""
        return transformed(self.blend((slots.logits / temperature).softmax(-1), slots.aspect), slots)

    @torch.no_grad()
    def reseed(self, usage: Float[Tensor, "k"], generator: torch.Generator, least: float = 0.01) -> Int[Tensor, "n"]:
        """Draws anew the prototypes that are used less than ``least``, and the less used of two that are alike.

        A new one is the most used one roughened, so that it is near to what is there and yet distinct. Gives the
        numbers of those that are new: an optimiser should forget what it holds for them.
        """
        usage = usage / usage.sum().clamp_min(1e-12)
        distance = distances(self.shapes())
        first, second = torch.triu_indices(len(self), len(self), 1)
        alike = distance[first, second] < ALIKE
        lesser = torch.where(usage[first] < usage[second], first, second)[alike]
        fresh = usage < least
        fresh[lesser] = True
        best = int(usage.argmax())
        fresh[best] = False
        numbers = fresh.nonzero()[:, 0]
        for number in numbers.tolist():
            self.log_radius[number] = self.log_radius[best] + rough(self.vertices, generator)
            self.shift[number] = 0
        return numbers


def primitives(directions: Float[Tensor, "v 3"]) -> list[Float[Tensor, "v"]]:
    """Log radii of simple solids about the origin, y up: ball, box, cylinder, cone, capsule, wheel."""
    x, y, z = directions.abs().unbind(-1)
    upright = directions[:, 1]
    level = (x * x + z * z).sqrt()
    tiny = 1e-6
    box = 1 / torch.maximum(torch.maximum(x, y), z)
    cylinder = 1 / torch.maximum(level, y)
    # A cone from a disc of radius 1.2 at height -0.8 to its tip at 1.2.
    side = 0.72 / (level + 0.6 * upright).clamp_min(tiny)
    cone = torch.minimum(side, 0.8 / (-upright).clamp_min(tiny))
    # A capsule of radius 1/2 about the segment from -1/2 to 1/2: above 45 degrees, the cap's radius is y itself.
    capsule = torch.where(level >= y, 0.5 / level.clamp_min(tiny), y)
    wheel = 1 / torch.maximum((y * y + z * z).sqrt(), x / 0.4)
    solids = (torch.ones_like(x), box, cylinder, cone, capsule, wheel)
    return [radius.log() - radius.log().mean() for radius in solids]


def rough(directions: Float[Tensor, "v 3"], generator: torch.Generator) -> Float[Tensor, "v"]:
    """A random log radius of low frequency: a polynomial of degree two and three in the direction."""
    x, y, z = directions.unbind(-1)
    terms = [x * x, y * y, z * z, x * y, y * z, z * x, x * y * z, x * x * y, y * y * z, z * z * x, y**3, x**3]
    drawn = torch.randn(len(terms), generator=generator).to(directions)
    value = (drawn[:, None] * torch.stack(terms)).sum(0)
    value = value - value.mean()
    return ROUGHNESS * value / value.square().mean().sqrt().clamp_min(1e-6)


def normalized(vertices: Float[Tensor, "*b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "*b v 3"]:
    """Surfaces with their mean point (by area) at the origin and a root mean square radius of 1.

    Both are exact over the triangles: |x|^2 has the mean (|a|^2 + |b|^2 + |c|^2 + |a+b+c|^2) / 12 on one.
    """
    corners = vertices[..., faces, :]
    area = face_areas(corners)
    share = (area / area.sum(-1, keepdim=True).clamp_min(1e-12))[..., None]
    mean = (share * corners.mean(-2)).sum(-2)
    vertices = vertices - mean[..., None, :]
    corners = corners - mean[..., None, None, :]
    squares = corners.square().sum((-1, -2)) + corners.sum(-2).square().sum(-1)
    size = ((share[..., 0] * squares).sum(-1) / 12).clamp_min(1e-12).sqrt()
    return vertices / size[..., None, None]


def face_areas(corners: Float[Tensor, "*b f 3 3"]) -> Float[Tensor, "*b f"]:
    """The areas of triangles."""
    a, b, c = corners.unbind(-2)
    # Smoothed at zero, where the root has no slope.
    return (torch.linalg.cross(b - a, c - a).square().sum(-1) + 1e-16).sqrt() / 2


def sampled(
    vertices: Float[Tensor, "*b v 3"], faces: Int[Tensor, "f 3"]
) -> tuple[Float[Tensor, "*b m 3"], Float[Tensor, "*b m"]]:
    """A surface as points: its vertices, then its faces' centres, and the share of the area that each stands for.

    Vertices and centres each share one half of the area. The shares have no gradient.
    """
    corners = vertices[..., faces, :]
    area = face_areas(corners).detach()
    area = area / area.sum(-1, keepdim=True).clamp_min(1e-12)
    third = (area / 6)[..., None].expand(*area.shape, 3).flatten(-2)
    around = torch.zeros(vertices.shape[:-1]).to(area).index_add_(-1, faces.flatten(), third)
    return torch.cat([vertices, corners.mean(-2)], -2), torch.cat([around, area / 2], -1)


@torch.no_grad()
def scattered(
    vertices: Float[Tensor, "*b v 3"], faces: Int[Tensor, "f 3"], count: int, generator: torch.Generator
) -> Float[Tensor, "*b c 3"]:
    """``count`` points on each surface, evenly by area and at random: what figures are measured with."""
    flat = vertices.reshape(-1, *vertices.shape[-2:])[:, faces]
    face = torch.multinomial(face_areas(flat), count, replacement=True, generator=generator)
    corners = flat.gather(1, face[..., None, None].expand(-1, -1, 3, 3))
    one, two = torch.rand(2, *face.shape, 1, generator=generator)
    # The square root makes triangles out of squares evenly.
    one = one.sqrt()
    shares = torch.cat([1 - one, one * (1 - two), one * two], -1)
    return (shares[..., None] * corners).sum(-2).reshape(*vertices.shape[:-2], count, 3)


@torch.no_grad()
def distances(shapes: Float[Tensor, "k v 3"]) -> Float[Tensor, "k k"]:
    """Root mean square distance between the vertices of each two shapes, which share the sphere's numbering."""
    return (shapes[:, None] - shapes[None]).square().sum(-1).mean(-1).sqrt()


def exported(vertices: Float[Tensor, "*b v 3"], level: int, finer: int) -> tuple[Tensor, Int[Tensor, "f 3"]]:
    """A shape on a finer sphere, with that sphere's faces: what files and pictures show."""
    return refined(vertices, level, finer), icosphere(finer).faces


def effective_count(usage: Float[Tensor, "k"]) -> float:
    """How many prototypes are in use: the exponential of the usage's entropy, 1 to k."""
    share = usage / usage.sum().clamp_min(1e-12)
    return math.exp(-float((share * share.clamp_min(1e-12).log()).sum()))
