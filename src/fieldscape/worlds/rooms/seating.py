"""What one sits on: sofas of many kinds, armchairs, poufs, dining chairs, and what lies on them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from fieldscape.meshes import extrude, refine, rounded_box
from fieldscape.types import Mesh
from fieldscape.worlds.parts import Piece
from fieldscape.worlds.rooms.shapes import (
    Box,
    Shape,
    around,
    boxes,
    cushions,
    dressed,
    joined,
    lathed,
    legs,
    post,
    put,
    solid,
)
from fieldscape.worlds.textures import RGB, Texture, bare, grained, patterned, woven

ARMS = ("square", "thin", "rolled", "sloped")
BACKS = ("loose", "tight", "tufted", "high")
FEET = ("blocks", "turned", "sled", "skirt", "plinth")
PATTERNS = ("plain", "stripes", "checks", "sprigs")


@dataclass(frozen=True)
class Upholstery:
    """How a seat is made: the kinds of its arms, back and feet, cloth or leather and its pattern."""

    arms: str
    back: str
    feet: str
    cloth: RGB
    other: RGB
    wood: RGB
    pattern: str = "plain"
    leather: bool = False

    @property
    def texture(self) -> Texture:
        """Of cloth, leather or a pattern."""
        if self.leather:
            return bare
        return woven if self.pattern == "plain" else patterned(self.pattern, self.other, 0.16)


def upholstery(style: str, cloth: RGB, other: RGB, wood: RGB, metal: RGB, rng: random.Random) -> Upholstery:
    """A way to make seats that suits a style."""
    arms = {"modern": ("square", "thin", "square"), "nordic": ("thin", "square", "sloped")}.get(
        style, ("rolled", "rolled", "sloped", "square")
    )
    back = {"modern": ("loose", "tight", "tufted"), "nordic": ("loose", "tight")}.get(style, BACKS)
    feet = {"modern": ("sled", "plinth", "blocks"), "nordic": ("turned", "turned", "blocks")}.get(
        style, ("turned", "skirt", "blocks", "skirt")
    )
    chosen = rng.choice(feet)
    leather = rng.random() < {"modern": 0.3, "rustic": 0.4, "classic": 0.2}.get(style, 0.1)
    pattern = "plain" if leather or rng.random() < 0.8 else rng.choice(PATTERNS[1:])
    frame = metal if chosen == "sled" else wood
    return Upholstery(rng.choice(arms), rng.choice(back), chosen, cloth, other, frame, pattern, leather)


def sofa(width: float, seats: int, look: Upholstery, chaise: int = 0, open_side: int = 0, depth: float = 0.92) -> Piece:
    """A sofa or, with one seat, an armchair.

    ``chaise`` -1 or 1: the seat at that end (its side of x) reaches 0.65 m further.
    ``open_side``: the end without arm.
    """
    arm = {"square": 0.2, "thin": 0.1, "rolled": 0.2, "sloped": 0.15}[look.arms]
    low = {"blocks": 0.08, "turned": 0.15, "sled": 0.14, "skirt": 0.015, "plinth": 0.05}[look.feet]
    left, right = -width / 2 + arm * (open_side != -1), width / 2 - arm * (open_side != 1)
    inner = right - left
    back_top = {"high": 0.98, "tight": 0.82, "tufted": 0.78, "loose": 0.76}[look.back]
    base_top = 0.3
    hard: list[Box] = [((width, depth, base_top - low), (0.0, 0.0, (base_top + low) / 2))]
    hard.append(((inner + 0.02, 0.2, back_top - 0.2), ((left + right) / 2, -depth / 2 + 0.1, (back_top + 0.2) / 2)))
    parts: list[Shape] = []
    if chaise:
        each = inner / seats
        middle = (right - each / 2) if chaise > 0 else (left + each / 2)
        hard.append(((each + 0.02, 0.68, base_top - low), (middle, depth / 2 + 0.31, (base_top + low) / 2)))
    for side in (-1, 1):
        if side != open_side:
            parts.append(_arm(look.arms, arm, depth, side * (width - arm) / 2, low))
    soft: list[Box] = []
    for k in range(seats):
        x, wide = left + (k + 0.5) * inner / seats, inner / seats - 0.012
        longer = 0.65 if chaise and k == (seats - 1 if chaise > 0 else 0) else 0.0
        soft.append(((wide, depth - 0.2 + longer, 0.17), (x, 0.11 + longer / 2, 0.37)))
        if look.back in ("loose", "high"):
            tall = 0.42 if look.back == "loose" else 0.56
            cushion = cushions([((wide, 0.18, tall), (0.0, 0.0, 0.0))], 0.07, soft=0.25)
            parts.append(put(cushion, x, -depth / 2 + 0.29, 0.43 + tall / 2, tilt=-0.18))
    if look.back == "tufted":
        count = max(2, round(inner / 0.24))
        step = inner / count
        for k in range(2 * count):
            at = left + (k % count + 0.5) * step
            soft.append(((step - 0.006, 0.13, 0.175), (at, -depth / 2 + 0.22, 0.52 + 0.18 * (k // count))))
    elif look.back == "tight":
        soft.append(
            ((inner - 0.02, 0.12, back_top - 0.42), ((left + right) / 2, -depth / 2 + 0.24, (back_top + 0.4) / 2))
        )
    parts += [cushions(hard, 0.04), cushions(soft, 0.055, soft=0.2)]
    parts += _feet(look.feet, width, depth, low)
    name = "sofa" if seats > 1 else "armchair"
    colors = (look.cloth, look.wood)
    return [dressed(name, joined(parts), colors, look.texture, edge=0.22, mirror=0.03 if look.leather else 0.0)]


def _arm(kind: str, arm: float, depth: float, x: float, low: float) -> Shape:
    if kind == "rolled":
        roll = put(
            lathed([(0.105, 0.0), (0.105, round(depth - 0.04, 2))], 14), x, depth / 2 - 0.02, 0.53, tilt=math.pi / 2
        )
        return joined([roll, cushions([((arm - 0.04, depth - 0.02, 0.5 - low), (x, 0.0, (0.5 + low) / 2))], 0.03)])
    if kind == "sloped":
        tilted = cushions([((arm, depth - 0.04, 0.3), (0.0, 0.0, 0.0))], 0.06)
        return put(tilted, x, 0.0, 0.46, tilt=-0.12)
    top = 0.6 if kind == "square" else 0.63
    return cushions([((arm, depth, top - low), (x, 0.0, (top + low) / 2))], 0.05 if kind == "square" else 0.03)


def _feet(kind: str, width: float, depth: float, low: float) -> list[Shape]:
    wide, deep = width - 0.16, depth - 0.16
    if kind == "turned":
        return [legs(post(0.014, 0.026, low + 0.02, slot=1), wide, deep)]
    if kind == "blocks":
        return [legs(boxes([((0.07, 0.07, low + 0.02), (0.0, 0.0, (low + 0.02) / 2))], 1), wide, deep)]
    if kind == "sled":
        bars = [((0.03, depth - 0.1, 0.02), (s * wide / 2, 0.0, 0.01)) for s in (-1, 1)]
        rods = [
            ((0.03, 0.02, low + 0.02), (s * wide / 2, t * (deep / 2), (low + 0.03) / 2))
            for s in (-1, 1)
            for t in (-1, 1)
        ]
        return [boxes([*bars, *rods], 1)]
    if kind == "plinth":
        return [boxes([((wide, deep, low + 0.02), (0.0, 0.0, (low + 0.02) / 2))], 1)]
    return []


def armchair(kind: str, look: Upholstery) -> Piece:
    """One of ``ARMCHAIRS``; about 0.8 m wide and deep."""
    colors = (look.cloth, look.wood)
    if kind == "club":
        return sofa(0.92, 1, look, depth=0.88)
    if kind == "wing":
        soft: list[Box] = [
            ((0.56, 0.6, 0.18), (0.0, 0.06, 0.36)), ((0.6, 0.64, 0.2), (0.0, 0.02, 0.22)),
            ((0.1, 0.6, 0.44), (-0.33, 0.04, 0.4)), ((0.1, 0.6, 0.44), (0.33, 0.04, 0.4)),
            ((0.09, 0.3, 0.42), (-0.33, -0.14, 0.84)), ((0.09, 0.3, 0.42), (0.33, -0.14, 0.84)),
        ]  # fmt: skip
        back = put(cushions([((0.66, 0.14, 0.76), (0.0, 0.0, 0.0))], 0.06, soft=0.15), 0.0, -0.3, 0.72, tilt=0.1)
        shape = joined([cushions(soft, 0.045), back, legs(post(0.018, 0.03, 0.15, slot=1), 0.54, 0.5)])
        return [dressed("armchair", shape, colors, look.texture, edge=0.22, mirror=0.03 if look.leather else 0.0)]
    if kind == "tub":
        seat = lathed([(0.29, 0.0), (0.31, 0.03), (0.31, 0.15), (0.28, 0.18)], 20)
        shape = joined([_tub(), put(seat, 0.0, 0.02, 0.28), legs(post(0.014, 0.024, 0.18, slot=1), 0.42, 0.42)])
        return [dressed("armchair", shape, colors, look.texture, edge=0.22)]
    if kind == "lounge":
        wood: list[Box] = []
        for s in (-1, 1):
            wood += [((0.05, 0.7, 0.03), (s * 0.33, 0.0, 0.56)), ((0.04, 0.04, 0.56), (s * 0.33, 0.3, 0.28))]
            wood += [((0.04, 0.04, 0.56), (s * 0.33, -0.28, 0.28)), ((0.035, 0.6, 0.05), (s * 0.29, 0.0, 0.27))]
        seat = put(cushions([((0.56, 0.58, 0.13), (0.0, 0.0, 0.0))], 0.05, soft=0.2), 0.0, 0.04, 0.37, tilt=0.1)
        back = put(cushions([((0.56, 0.13, 0.62), (0.0, 0.0, 0.0))], 0.05, soft=0.2), 0.0, -0.3, 0.66, tilt=0.28)
        return [dressed("armchair", joined([boxes(wood, 1), seat, back]), colors, look.texture, edge=0.22)]
    # A slipper chair: low, no arms.
    soft = [((0.64, 0.66, 0.2), (0.0, 0.02, 0.32)), ((0.66, 0.68, 0.12), (0.0, 0.0, 0.2))]
    back = put(cushions([((0.64, 0.15, 0.56), (0.0, 0.0, 0.0))], 0.06, soft=0.2), 0.0, -0.28, 0.6, tilt=0.14)
    shape = joined([cushions(soft, 0.05, soft=0.1), back, legs(post(0.014, 0.024, 0.16, slot=1), 0.54, 0.54)])
    return [dressed("armchair", shape, colors, look.texture, edge=0.22)]


ARMCHAIRS = ("club", "wing", "tub", "lounge", "slipper")


@lru_cache(maxsize=1)
def _tub() -> Shape:
    """A round back that runs on into arms, lower at the front."""
    turn = torch.linspace(math.radians(-25), math.radians(205), 15)
    ring = torch.stack([turn.cos(), -turn.sin()], -1)
    mesh = extrude(torch.cat([0.4 * ring, 0.3 * ring.flip(0)]), 0.62)
    x, y, z = mesh.vertices.unbind(-1)
    top = 0.4 + 0.22 * ((0.2 - y) / 0.5).clamp(0, 1)
    return solid(Mesh(torch.stack([x, y, 0.16 + (z > 0.3) * top], -1), mesh.faces))


def pouf(kind: str, look: Upholstery, width: float = 0.5, depth: float = 0.5) -> Piece:
    """A ``round`` pouf, a ``square`` cushion, or an ``ottoman`` on legs."""
    if kind == "round":
        shape = lathed([(0.17, 0.0), (0.24, 0.06), (0.26, 0.18), (0.24, 0.32), (0.17, 0.38)], 18)
    elif kind == "square":
        shape = cushions([((width, depth, 0.38), (0.0, 0.0, 0.19))], 0.08, soft=0.3)
    else:
        top = cushions([((width, depth, 0.22), (0.0, 0.0, 0.29))], 0.05, soft=0.15)
        shape = joined([top, legs(post(0.015, 0.026, 0.2, slot=1), width - 0.1, depth - 0.1)])
    return [dressed("pouf", shape, (look.cloth, look.wood), look.texture, edge=0.18)]


@lru_cache(maxsize=8)
def _pillow(side: float) -> Shape:
    """A square pillow in the xz plane: thick in the middle, thin at the seams, its corners drawn out."""
    mesh = refine(rounded_box((side, 0.12, side), 0.05, segments=1), 0.13)
    x, y, z = (mesh.vertices / torch.tensor([side / 2, 1.0, side / 2])).unbind(-1)
    swell = 0.25 + 1.1 * ((1 - x**2).clamp(min=0) * (1 - z**2).clamp(min=0)).sqrt()
    pull = 1 - 0.07 * (1 - (x * z).abs()) * torch.maximum(x.abs(), z.abs())
    return solid(Mesh(torch.stack([x * pull * side / 2, y * swell, z * pull * side / 2], -1), mesh.faces))


def pillows(places: Sequence[tuple[float, float, float]], colors: Sequence[RGB], rng: random.Random) -> Piece:
    """Pillows that lean back at (x, y, height of the seat), in turn in ``colors``."""
    shapes = []
    for k, (x, y, z) in enumerate(places):
        side = rng.choice((0.4, 0.44, 0.5))
        one = put(_pillow(side), x, y, z + side / 2, yaw=rng.uniform(-0.25, 0.25), tilt=-0.32)
        shapes.append(Shape(one.vertices, one.faces, one.normals, one.slot + k % len(colors)))
    texture: Texture = woven
    if rng.random() < 0.4:
        texture = patterned(rng.choice(PATTERNS[1:]), rng.choice(colors), rng.choice((0.08, 0.12)))
    return [dressed("pillows", joined(shapes), colors, texture, edge=0.22)]


def throw(width: float, color: RGB, other: RGB, stripes: bool) -> Piece:
    """A blanket over the edge of a seat or arm: it hangs down in front, lies on top, about the origin at its height."""
    specs: list[Box] = [((width, 0.5, 0.03), (0.0, -0.2, 0.015)), ((width, 0.03, 0.36), (0.0, 0.055, -0.15))]
    texture = patterned("stripes", other, 0.11) if stripes else woven
    return [dressed("throw", cushions(specs, 0.014), (color,), texture, edge=0.22)]


# ------------------------------------------------------------------------------------------------ at the dining table


CHAIRS = ("slats", "panel", "shell", "cushioned")


@lru_cache(maxsize=4)
def chair(kind: str) -> Shape:
    """A dining chair; slot 0 is its frame, slot 1 its seat."""
    if kind == "shell":
        seat = lathed([(0.02, 0.0), (0.16, 0.01), (0.23, 0.06), (0.24, 0.07), (0.17, 0.03), (0.02, 0.025)], 16, slot=1)
        back = put(cushions([((0.4, 0.03, 0.36), (0.0, 0.0, 0.0))], 0.014, 1), 0.0, -0.19, 0.66, tilt=0.15)
        return joined([put(seat, z=0.42), back, legs(post(0.011, 0.015, 0.44), 0.32, 0.32)])
    frame: list[Box] = [((0.035, 0.035, 0.44), (s * 0.19, 0.19, 0.22)) for s in (-1, 1)]
    frame += [((0.036, 0.036, 0.93), (s * 0.188, -0.2, 0.465)) for s in (-1, 1)]
    soft = cushions([((0.43, 0.43, 0.05 if kind != "cushioned" else 0.09), (0.0, 0.0, 0.455))], 0.02, 1)
    if kind == "slats":
        frame += [((0.3, 0.02, 0.05), (0.0, -0.2, z)) for z in (0.64, 0.76, 0.88)]
    else:
        frame.append(((0.345, 0.025, 0.4), (0.0, -0.2, 0.7)))
    return joined([boxes(frame), soft])


def chairs(kind: str, places: Sequence[tuple[float, float, float]], frame: RGB, seat: RGB) -> Piece:
    """The same chair at each (x, y, yaw)."""
    shape = joined([put(chair(kind), x, y, yaw=yaw) for x, y, yaw in places])
    return [dressed("chairs", shape, (frame, seat), grained(2), edge=0.2)]


def piano(wood: RGB) -> Piece:
    """An upright piano with its stool."""
    body: list[Box] = [
        ((1.46, 0.3, 1.2), (0.0, -0.15, 0.6)), ((1.45, 0.3, 0.16), (0.0, 0.14, 0.66)),
        ((1.5, 0.34, 0.03), (0.0, -0.14, 1.21)), ((0.05, 0.05, 0.6), (-0.69, 0.24, 0.3)),
        ((0.05, 0.05, 0.6), (0.69, 0.24, 0.3)), ((1.2, 0.012, 0.3), (0.0, 0.005, 0.98)),
        ((1.3, 0.14, 0.015), (0.0, 0.2, 0.745)), ((0.6, 0.34, 0.07), (0.0, 0.62, 0.47)),
    ]  # fmt: skip
    seat = around(
        boxes([((0.04, 0.04, 0.44), (0.0, 0.0, 0.22))]), [(0.25, 0.75), (-0.25, 0.75), (-0.25, 0.49), (0.25, 0.49)]
    )
    shape = joined([boxes(body, [0, 0, 0, 0, 0, 0, 1, 2]), seat])
    return [dressed("piano", shape, (wood, (0.75, 0.73, 0.66), (0.05, 0.04, 0.035)), edge=0.2, mirror=0.04)]
