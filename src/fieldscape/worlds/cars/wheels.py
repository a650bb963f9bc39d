"""Wheels: a tyre, and a rim whose spokes are a pattern on its face (in metres, polar about the hub).

A rim's paint holds (u, v, 1 + outer radius): the place on the wheel's face, so that one mesh and one pattern serve all
four wheels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fieldscape.meshes import lathe, transform
from fieldscape.types import Mesh
from fieldscape.worlds.cars.finish import inside
from fieldscape.worlds.textures import RGB, Surface, Texture, blend

RIMS = ("five", "ten", "split", "turbine", "multi", "star", "cap")
SPOKES = {
    "five": (5, 0.5),
    "ten": (10, 0.5),
    "split": (5, 0.62),
    "turbine": (12, 0.52),
    "multi": (16, 0.5),
    "star": (6, 0.6),
}
"""How many spokes, and their share of the circle half-way out."""


def tyre(radius: float, width: float) -> Mesh:
    """A tyre about the z axis, its outer side at z = 0 and the rest below."""
    inner, soft = 0.66 * radius, 0.16 * width
    profile = [
        (inner, -width + 0.01), (radius - soft, -width), (radius, -width + soft),
        (radius, -soft), (radius - soft, 0.0), (0.8 * radius, 0.006), (inner, -0.012),
    ]  # fmt: skip
    return lathe(profile, 28, closed=True)


def rim(radius: float, width: float) -> Mesh:
    """A shallow dish that fills the tyre's opening; painted with its place on the face."""
    reach = 0.7 * radius
    profile = [(0.0, -width + 0.02), (reach * 0.96, -width + 0.02), (reach, -0.016), (0.93 * reach, -0.006),
               (0.88 * reach, -0.028), (0.5 * reach, -0.02), (0.22 * reach, -0.006), (0.0, -0.002)]  # fmt: skip
    mesh = lathe(profile, 28)
    place = torch.cat([mesh.vertices[:, :2], torch.full((len(mesh.vertices), 1), 1 + reach)], -1)
    return Mesh(mesh.vertices, mesh.faces, place)


def at_corners(wheel: Mesh, tracks: tuple[float, float], axles: tuple[float, float], height: float) -> list[Mesh]:
    """The wheel at its four places: outer sides at y = +-``tracks``, hubs at ``height``."""
    placed = []
    for side in (-1.0, 1.0):
        for axle, track in zip(axles, tracks):
            # The wheel's axis z turns outward to side * y; a proper turn, so that faces stay outward.
            turn = [[side, 0, 0, axle], [0, 0, side, side * track], [0, -1.0, 0, height], [0, 0, 0, 1.0]]
            placed.append(transform(wheel, torch.tensor(turn)))
    return placed


def rim_texture(design: str, color: RGB, hub: RGB = (0.45, 0.45, 0.46)) -> Texture:
    """The face of a rim: spokes of ``color`` with darkness between them, a bright lip, a hub."""

    def texture(s: Surface) -> Tensor:
        u, v, reach = s.paint[:, 0], s.paint[:, 1], (s.paint[:, 2] - 1).clamp(min=1e-3)
        radius = torch.sqrt(u**2 + v**2)
        angle = torch.atan2(v, u)
        share = radius / reach
        if design == "cap":  # a full disc with a ring of slots, as on old cars and vans
            slots = torch.cos(12 * angle) * 0.5 + 0.5
            ring = inside(0.075 - (share - 0.76).abs(), s.footprint / reach)
            metal = 1 - 0.85 * ring * (slots > 0.45).float()
        else:
            count, width = SPOKES[design]
            turn = angle + (1.3 * share if design == "turbine" else 0.0)
            swing = (torch.remainder(turn * count / (2 * math.pi), 1) - 0.5).abs() * 2  # 0 in the middle of a spoke
            if design == "split":
                swing = torch.where(share > 0.5, (swing - 0.3).abs() * 1.8, swing)
            if design == "star":
                swing = swing * (0.55 + share)
            long = 2 * math.pi * radius / count / 2
            metal = inside((width * (1.15 - 0.35 * share) - swing) * long, s.footprint)
            metal = torch.maximum(metal, inside(0.26 - share, s.footprint / reach))
        metal = torch.maximum(metal, inside(share - 0.9, s.footprint / reach))
        face = blend((0.012, 0.012, 0.013), color, metal.clamp(0, 1))
        return blend(face, hub, 0.8 * inside(0.13 - share, s.footprint / reach))

    return texture
