"""What rays see of scenes made of planes: where along them to ask, asking, and the volume integral.

Rays are cut to the box of the class. Points that lie outside all objects of the class are not asked at all: most of a
box of cars is air, and the integral needs only densities of zero there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.systems.latents.planes.field import FieldNetwork
from fieldscape.systems.latents.planes.lookup import Layout, lookup
from fieldscape.types import Rays, Rendered
from fieldscape.volume import composite_packed, importance, intervals, ray_box, stratified, weights


@dataclass(frozen=True)
class Place:
    """Where scenes are.

    low, high: the box of the planes.  span: the least and greatest distance along a ray.  occupied: which cells of the
    box hold anything in any object of the class; None: all may.
    """

    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    span: tuple[float, float] = (0.0, 1e9)
    occupied: Bool[Tensor, "i j k"] | None = None

    def to(self, device: torch.device) -> Place:
        """The same, for rays on ``device``."""
        occupied = None if self.occupied is None else self.occupied.to(device)
        return Place(self.low.to(device), self.high.to(device), self.span, occupied)

    def inside(self, points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
        """Points as -1..1 on every axis of the box."""
        return (points - self.low) / (self.high - self.low) * 2 - 1

    def kept(self, place: Float[Tensor, "*b 3"]) -> Bool[Tensor, "*b"]:
        """Whether a place (-1..1) may hold something."""
        within = (place.abs() <= 1).all(-1)
        if self.occupied is None:
            return within
        shape = torch.tensor(self.occupied.shape, device=place.device)
        cell = ((place + 1) / 2 * shape).long().clamp_min(0).minimum(shape - 1)
        i, j, k = cell.unbind(-1)
        return within & self.occupied[i, j, k]


@dataclass(frozen=True)
class Sampling:
    """Points along a ray: ``coarse`` evenly spaced, and ``fine`` more where those found something."""

    coarse: int
    fine: int = 0
    layout: Layout = "fixed"


def render(
    planes: Float[Tensor, "s 3 r r f"],
    network: FieldNetwork,
    rays: Rays,
    scene: Int[Tensor, "n"],
    place: Place,
    sampling: Sampling,
    background: Float[Tensor, "c"],
    chance: torch.Generator | None = None,
) -> Rendered:
    """What ray i sees of scene ``scene[i]``, over ``background``.

    chance: of shifts along the rays while training, on the CPU; None: the middles of the intervals.
    """
    near, far = ray_box(rays, place.low, place.high)
    near, far = near.clamp_min(place.span[0]), far.clamp_max(place.span[1])
    meets = (near < far)[:, 0].nonzero()[:, 0]
    hit, near, far, who = rays[meets], near[meets], far[meets], scene[meets]
    t = shaken(near, far, sampling.coarse, chance)
    last = (far - near) / sampling.coarse
    if sampling.fine:
        with torch.no_grad():
            density, _, _ = ask(planes, network, hit, t, who, place, sampling.layout)
            likely = weights(density, lengths(t, last))
        t = torch.cat([t, importance(t, likely, sampling.fine)], -1).sort(-1).values
    density, color, asked = ask(planes, network, hit, t, who, place, sampling.layout)
    w = weights(density, lengths(t, last)).flatten()[asked]
    ray = meets[torch.div(asked, t.shape[-1], rounding_mode="floor")]
    return composite_packed(w, color, t.flatten()[asked], ray, len(scene), background)


def ask(
    planes: Float[Tensor, "s 3 r r f"],
    network: FieldNetwork,
    rays: Rays,
    t: Float[Tensor, "n k"],
    scene: Int[Tensor, "n"],
    place: Place,
    layout: Layout,
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "m c"], Int[Tensor, "m"]]:
    """Densities at distances ``t``, colours where it was worth asking, and which of the n k points those are."""
    points = place.inside(rays.at(t)).flatten(0, 1)
    asked = place.kept(points).nonzero()[:, 0]
    who = scene[torch.div(asked, t.shape[-1], rounding_mode="floor")]
    color, dense = network(lookup(planes, who, points[asked], layout))
    density = torch.zeros(t.numel(), device=t.device, dtype=dense.dtype).index_copy(0, asked, dense)
    return density.reshape(t.shape), color, asked


def shaken(
    near: Float[Tensor, "n 1"], far: Float[Tensor, "n 1"], count: int, chance: torch.Generator | None
) -> Float[Tensor, "n k"]:
    """``stratified``, with numbers that are drawn on the CPU, so that a seed means the same everywhere."""
    if chance is None:
        return stratified(near, far, count)
    return stratified(near.cpu(), far.cpu(), count, chance).to(near.device)


def lengths(t: Float[Tensor, "n k"], last: Float[Tensor, "n 1"]) -> Float[Tensor, "n k"]:
    """``intervals`` whose last one ends with the box, which is another length on each ray."""
    return torch.cat([intervals(t)[:, :-1], last], -1)
