"""Lamps: on the floor, on tables, from the ceiling. Each comes with the places of its bulbs, in its own frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fieldscape.meshes import Vector
from fieldscape.worlds.parts import Piece
from fieldscape.worlds.rooms.shapes import Box, Shape, boxes, dressed, joined, lathed, post, put
from fieldscape.worlds.textures import RGB

FLOOR_LAMPS = ("cone", "drum", "tripod", "arc", "globe", "uplight")
TABLE_LAMPS = ("pot", "stick", "globe", "column")
CEILING_LAMPS = ("globe", "drum", "cone", "chandelier", "fan", "dome", "cluster")


@dataclass(frozen=True)
class Lamp:
    """A lamp and its bulbs."""

    piece: Piece
    bulbs: tuple[Vector, ...]


def _shade(low: float, high: float, height: float, z: float) -> Shape:
    """A ring of cloth about the axis, open below and above."""
    profile = [(low - 0.012, 0.0), (low, 0.0), (high, height), (high - 0.012, height)]
    return put(lathed(profile, 20, closed=True), z=z)


def _ball(radius: float, z: float, slot: int = 0) -> Shape:
    turns = [math.pi * (k / 8 - 0.5) for k in range(9)]
    profile = [(radius * math.cos(a) if 0 < k < 8 else 0.0, radius * math.sin(a)) for k, a in enumerate(turns)]
    return put(lathed(profile, 16, slot=slot), z=z)


def floor_lamp(kind: str, metal: RGB, shade: RGB, glow: float) -> Lamp:
    """One of ``FLOOR_LAMPS``."""
    foot = lathed([(0.14, 0.0), (0.14, 0.02), (0.03, 0.035), (0.012, 0.05), (0.012, 1.42)], 14)
    if kind == "tripod":
        stands = [
            put(post(0.014, 0.014, 1.2), 0.3 * math.sin(a), -0.3 * math.cos(a), 0.005, a, -0.24)
            for a in (0.4, 2.5, 4.6)
        ]
        stand, cover, bulb = joined(stands), _shade(0.25, 0.22, 0.3, 1.16), (0.0, 0.0, 1.31)
    elif kind == "arc":
        bars = [lathed([(0.16, 0.0), (0.16, 0.04), (0.015, 0.045), (0.012, 1.5)], 14)]
        last = (0.0, 1.5)
        for k in range(1, 7):
            a = math.pi * k / 7
            here = (0.42 - 0.42 * math.cos(a), 1.5 + 0.42 * math.sin(a))
            long = math.dist(last, here)
            lean = math.atan2(here[0] - last[0], here[1] - last[1])
            bars.append(
                put(
                    post(0.0117 - 0.0004 * k, 0.0117 - 0.0004 * k, round(long, 3) + 0.01),
                    0.0,
                    last[0],
                    last[1],
                    tilt=-lean,
                )
            )
            last = here
        stand, cover, bulb = joined(bars), put(_shade(0.2, 0.09, 0.18, 1.48), 0.0, 0.82), (0.0, 0.82, 1.54)
        stand = joined([stand, put(_shade(0.035, 0.03, 0.05, 1.645), 0.0, 0.82)])
    elif kind == "globe":
        stand, cover, bulb = foot, _ball(0.15, 1.5), (0.0, 0.0, 1.72)
    elif kind == "uplight":
        stand, cover, bulb = (
            lathed([(0.14, 0.0), (0.14, 0.02), (0.014, 0.04), (0.014, 1.7)], 14),
            _shade(0.05, 0.2, 0.1, 1.68),
            (0.0, 0.0, 1.84),
        )
    elif kind == "drum":
        stand, cover, bulb = foot, _shade(0.24, 0.24, 0.28, 1.3), (0.0, 0.0, 1.44)
    else:
        stand, cover, bulb = foot, _shade(0.25, 0.14, 0.3, 1.3), (0.0, 0.0, 1.44)
    piece = [dressed("lamp stand", stand, (metal,), edge=0.4), dressed("lamp shade", cover, (shade,), glow=glow)]
    return Lamp(piece, (bulb,))


def table_lamp(kind: str, base: RGB, shade: RGB, glow: float) -> Lamp:
    """One of ``TABLE_LAMPS``, about half a metre tall."""
    if kind == "globe":
        foot = lathed([(0.07, 0.0), (0.07, 0.015), (0.02, 0.03), (0.02, 0.06)], 14)
        piece = [
            dressed("lamp stand", foot, (base,), edge=0.4),
            dressed("lamp shade", _ball(0.12, 0.16), (shade,), glow=glow),
        ]
        return Lamp(piece, ((0.0, 0.0, 0.34),))
    profile = {
        "pot": [(0.06, 0.0), (0.08, 0.02), (0.1, 0.1), (0.06, 0.22), (0.015, 0.28), (0.012, 0.36)],
        "stick": [(0.08, 0.0), (0.08, 0.015), (0.012, 0.025), (0.012, 0.36)],
        "column": [(0.07, 0.0), (0.06, 0.03), (0.035, 0.05), (0.035, 0.24), (0.05, 0.27), (0.012, 0.29), (0.012, 0.36)],
    }[kind]
    cover = _shade(0.18, 0.11, 0.23, 0.31) if kind != "stick" else _shade(0.15, 0.15, 0.2, 0.31)
    stand = dressed("lamp stand", lathed(profile, 14), (base,), edge=0.4)
    return Lamp([stand, dressed("lamp shade", cover, (shade,), glow=glow)], ((0.0, 0.0, 0.42),))


def ceiling_lamp(kind: str, drop: float, metal: RGB, shade: RGB, glow: float) -> Lamp:
    """One of ``CEILING_LAMPS``, hanging from z = 0, ``drop`` deep at most; fan and dome have their own depth."""
    rose = put(lathed([(0.05, 0.0), (0.05, 0.03)], 12), z=-0.031)
    cord = put(lathed([(0.006, 0.0), (0.006, math.floor(drop * 100 - 20) / 100)], 7), z=-drop + 0.2)
    if kind in ("dome", "fan"):
        low = 0.0 if kind == "dome" else -0.26
        bowl = put(lathed([(0.0, -0.09), (0.1, -0.08), (0.17, -0.04), (0.19, -0.001)], 20), z=low)
        parts = [dressed("lamp shade", bowl, (shade,), glow=glow)]
        if kind == "fan":
            blade: list[Box] = [((0.13, 0.48, 0.012), (0.0, 0.4, -0.2))]
            wings = [put(boxes(blade), yaw=2 * math.pi * k / 5 + 0.3) for k in range(5)]
            hub = put(lathed([(0.1, 0.0), (0.12, 0.03), (0.12, 0.1), (0.03, 0.13), (0.03, 0.24)], 14), z=-0.25)
            parts.append(dressed("pendant", joined([hub, *wings]), (metal,), edge=0.3))
        return Lamp(parts, ((0.0, 0.0, low - 0.15),))
    if kind == "chandelier":
        arms: list[Shape] = [
            rose,
            cord,
            put(lathed([(0.0, 0.0), (0.05, 0.06), (0.02, 0.16), (0.03, 0.2)], 12), z=-drop),
        ]
        flames: list[Shape] = []
        for k in range(6):
            a = k * math.pi / 3
            arms.append(put(boxes([((0.014, 0.24, 0.014), (0.0, 0.145, -drop + 0.08))]), yaw=a))
            flames.append(
                put(
                    lathed([(0.022, 0.0), (0.03, 0.02), (0.03, 0.07), (0.0, 0.13)], 9),
                    -0.25 * math.sin(a),
                    0.25 * math.cos(a),
                    -drop + 0.09,
                )
            )
        parts = [
            dressed("pendant", joined(arms), (metal,), edge=0.3),
            dressed("lamp shade", joined(flames), (shade,), glow=2 * glow),
        ]
        return Lamp(parts, ((0.0, 0.0, -drop - 0.06), (0.0, 0.12, -drop + 0.3)))
    if kind == "cluster":
        balls = [
            put(_ball(0.09, -drop + 0.09 + 0.12 * k), 0.16 * math.sin(2.1 * k), 0.16 * math.cos(2.1 * k))
            for k in range(3)
        ]
        rods = [
            put(
                lathed([(0.005, 0.0), (0.005, math.floor(drop * 100 - 19 - 12 * k) / 100)], 7),
                0.16 * math.sin(2.1 * k),
                0.16 * math.cos(2.1 * k),
                -drop + 0.19 + 0.12 * k,
            )
            for k in range(3)
        ]
        plate = put(lathed([(0.2, 0.0), (0.2, 0.03)], 16), z=-0.031)
        parts = [
            dressed("pendant", joined([plate, *rods]), (metal,), edge=0.4),
            dressed("lamp shade", joined(balls), (shade,), glow=glow),
        ]
        return Lamp(parts, ((0.0, 0.0, -drop - 0.06),))
    if kind == "globe":
        cover, bulb = _ball(0.16, -drop + 0.16), -drop - 0.06
    elif kind == "drum":
        cover, bulb = _shade(0.28, 0.28, 0.22, -drop), -drop + 0.1
    else:
        cover, bulb = _shade(0.22, 0.06, 0.2, -drop), -drop + 0.06
    parts = [
        dressed("pendant", joined([rose, cord]), (metal,), edge=0.4),
        dressed("lamp shade", cover, (shade,), glow=glow),
    ]
    return Lamp(parts, ((0.0, 0.0, bulb),))
