"""The things on the street: shapes put together from a few shared parts, with joints that turn and swing.

A thing's own frame has its origin in the middle of its bounding box, x ahead, y to the left, z up, metres. Its pieces
are solids of ``solids``; pieces of different things that are the same part (a wheel is a wheel on a car, a bike or a
cart) carry the same name. Composites look like what they are called; all of a thing's sizes are drawn at random.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from fieldscape.worlds.street import solids

Array = np.ndarray
Numbers: TypeAlias = Sequence[float] | Array

PARTS = (
    "nothing", "ground", "wall", "box", "ball", "cylinder", "cone", "capsule", "wheel", "pole", "bar", "limb", "blade",
)  # fmt: skip
"""What the part maps hold: the place of a part's name in this list. "nothing" is the sky."""

SIMPLE = ("box", "ball", "cylinder", "capsule", "cone")
COMPOSITE = ("car", "bike", "cart", "lamp", "person", "snowman")
CYCLING = ("blob", "propeller")
UNSEEN = {"all": "cone", "simple": "cone", "composite": "snowman"}
"""The shape that only the split unseen-shape shows."""
SHAPES = (*SIMPLE, *COMPOSITE, *CYCLING)

COLORS = {
    "red": (0.62, 0.05, 0.04),
    "green": (0.06, 0.36, 0.09),
    "blue": (0.05, 0.13, 0.55),
    "yellow": (0.75, 0.52, 0.04),
    "orange": (0.75, 0.23, 0.03),
    "purple": (0.27, 0.07, 0.38),
    "white": (0.78, 0.78, 0.75),
    "black": (0.03, 0.03, 0.035),
}
"""Linear RGB."""

SIZE = (0.3, 0.9)
"""Half extents of simple shapes, in metres."""
POINTS = 512
"""Of a thing's surface, in the record."""


@dataclass(frozen=True)
class Joint:
    """How a piece moves in its thing, about ``pivot`` and ``axis`` (of the thing's frame).

    drive: "roll": turns by (distance - aside * heading change) / amount: no slip of a wheel of radius ``amount``;
    "step": swings by amount * sin(2 pi distance / stride + phase); "clock": turns by 2 pi frequency t + phase;
    "squash": is 1 + amount * sin(2 pi frequency t + phase) times as high, and keeps its volume.
    """

    drive: str
    axis: tuple[float, float, float]
    pivot: tuple[float, float, float]
    amount: float = 0.0
    phase: float = 0.0
    stride: float = 1.0
    frequency: float = 0.0


@dataclass(frozen=True, eq=False)
class Piece:
    """One solid of a thing: its part's name, solid and ratio, matrix from the solid's frame to the thing's at rest.

    paint: "own" (the thing's colour), "dark", "glass", "light", "rear" (a red lamp), "metal", "skin".
    """

    part: str
    kind: str
    rest: Float[Array, "4 4"]
    ratio: float = 0.0
    paint: str = "own"
    joint: Joint | None = None


@dataclass(frozen=True, eq=False)
class Thing:
    """A shape with its colour and pieces.

    size: the extent of its bounding box at rest.  radius: of the disc on the ground about its middle that holds it, at
    any phase of its joints.
    """

    shape: str
    color: str
    pieces: tuple[Piece, ...]
    size: tuple[float, float, float]
    radius: float

    def surface(self, count: int = POINTS) -> tuple[Float[Array, "n 3"], Array]:
        """Points on the outer surface at rest, evenly by area, and the part (place in PARTS) that each lies on."""
        return surface_points(self.pieces, count)


def matrix(scale: Numbers, place: Numbers, turn: Float[Array, "3 3"] | None = None) -> Array:
    """Scale, then turn, then shift."""
    whole = np.eye(4)
    whole[:3, :3] = (np.eye(3) if turn is None else turn) * np.asarray(scale)[None]
    whole[:3, 3] = place
    return whole


def about_x(angle: float) -> Float[Array, "3 3"]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_y(angle: float) -> Float[Array, "3 3"]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def build(shape: str, color: str, rng: random.Random, beat: float = 1.0) -> Thing:
    """A thing of this shape, its sizes drawn by ``rng``. ``beat``: how often a blob or propeller moves, per second."""
    pieces = _BUILDERS[shape](rng, beat)
    low, high = extent(pieces)
    middle = (low + high) / 2
    centred = tuple(_shifted(piece, -middle) for piece in pieces)
    x, y, z = (high - low).tolist()
    angle = np.arange(32) * (math.pi / 16)
    around = np.stack([np.cos(angle), np.sin(angle), np.zeros(32)], -1)
    radius = max(float(solids.reach(p.kind, p.ratio, p.rest, around).max()) for p in centred)
    swing = max((_swing(piece, z) for piece in centred), default=0.0)
    return Thing(shape, color, centred, (x, y, z), max(radius, swing))


def extent(pieces: Sequence[Piece]) -> tuple[Float[Array, "3"], Float[Array, "3"]]:
    """The bounding box at rest, exactly: its low and its high corner."""
    axes = np.eye(3)
    high = np.max([solids.reach(p.kind, p.ratio, p.rest, axes) for p in pieces], axis=0)
    low = -np.max([solids.reach(p.kind, p.ratio, p.rest, -axes) for p in pieces], axis=0)
    return low, high


def _shifted(piece: Piece, by: Array) -> Piece:
    rest = piece.rest.copy()
    rest[:3, 3] += by
    joint = piece.joint
    if joint is not None:
        x, y, z = (np.array(joint.pivot) + by).tolist()
        joint = replace(joint, pivot=(x, y, z))
    return replace(piece, rest=rest, joint=joint)


def _swing(piece: Piece, tall: float) -> float:
    """How far from the thing's axis a jointed piece may get."""
    if piece.joint is None or piece.joint.drive == "roll":
        return 0.0
    if piece.joint.drive == "squash":
        return float(np.abs(piece.rest[:2, :3]).sum(1).max()) / math.sqrt(1 - piece.joint.amount)
    if piece.joint.drive == "step":
        return 0.28 * tall
    pivot = np.array(piece.joint.pivot)
    blade = solids.spread(piece.kind, piece.ratio, piece.rest, 64) - pivot
    return float(np.linalg.norm(blade, axis=1).max() + np.hypot(*pivot[:2]))


def surface_points(pieces: Sequence[Piece], count: int) -> tuple[Float[Array, "n 3"], Array]:
    """``count`` points on the outside of the pieces together, evenly by area, and the part each lies on."""
    areas = np.array([solids.area(piece.kind, piece.ratio, piece.rest) for piece in pieces])
    boxes = [extent([piece]) for piece in pieces]
    want = 2 * count
    while True:
        points, parts = [], []
        for piece, share, (low, high) in zip(pieces, areas / areas.sum(), boxes):
            some = solids.spread(piece.kind, piece.ratio, piece.rest, max(round(share * want), 8))
            kept = np.ones(len(some), bool)
            for other, (low_there, high_there) in zip(pieces, boxes):
                if other is not piece and (low < high_there).all() and (low_there < high).all():
                    back = np.linalg.inv(other.rest)
                    kept &= ~solids.inside(other.kind, other.ratio, some @ back[:3, :3].T + back[:3, 3])
            points.append(some[kept])
            parts.append(np.full(int(kept.sum()), PARTS.index(piece.part), np.uint8))
        found, which = np.concatenate(points), np.concatenate(parts)
        if len(found) >= count:
            chosen = (np.arange(count) * len(found)) // count
            return found[chosen], which[chosen]
        want *= 2


# ------------------------------------------------------------------------------------------- the shapes, feet on z = 0


def _one(kind: str) -> Callable[[random.Random, float], list[Piece]]:
    def shape(rng: random.Random, beat: float) -> list[Piece]:
        a, b, c = (rng.uniform(*SIZE) for _ in range(3))
        if kind == "ball":
            b, c = a * rng.uniform(0.8, 1.25), a * rng.uniform(0.8, 1.25)
        elif kind in ("cylinder", "cone"):
            a = b = min(a, 0.7)
        if kind == "capsule":
            radius = rng.uniform(0.3, 0.45)
            ratio = rng.uniform(0.4, 1.0)
            return [Piece(kind, kind, matrix((radius,) * 3, (0, 0, radius * (1 + ratio))), ratio)]
        return [Piece(kind, kind, matrix((a, b, c), (0, 0, c)))]

    return shape


def _box(size: Numbers, place: Numbers, part: str = "box", paint: str = "own") -> Piece:
    return Piece(part, "box", matrix(np.asarray(size) / 2, place), paint=paint)


def _rod(part: str, one: Numbers, other: Numbers, radius: float, paint: str = "own") -> Piece:
    """A cylinder from one place to another."""
    a, b = np.asarray(one, float), np.asarray(other, float)
    along = (b - a) / np.linalg.norm(b - a)
    side = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    side /= np.linalg.norm(side)
    turn = np.stack([side, np.cross(along, side), along], -1)
    return Piece(
        part, "cylinder", matrix((radius, radius, float(np.linalg.norm(b - a)) / 2), (a + b) / 2, turn), paint=paint
    )


def _wheel(x: float, y: float, radius: float, width: float) -> list[Piece]:
    """A tyre, and a bar across it that shows how it turns."""
    joint = Joint("roll", (0.0, 1.0, 0.0), (x, y, radius), radius)
    tyre = Piece(
        "wheel", "cylinder", matrix((radius, radius, width / 2), (x, y, radius), about_x(math.pi / 2)), paint="dark"
    )
    bar = _box((1.3 * radius, width + 0.03, 0.3 * radius), (x, y, radius), "wheel", "metal")
    return [replace(tyre, joint=joint), replace(bar, joint=joint)]


def _car(rng: random.Random, beat: float) -> list[Piece]:
    length, wide, tall = rng.uniform(2.4, 3.2), rng.uniform(1.25, 1.5), rng.uniform(1.2, 1.45)
    radius = rng.uniform(0.25, 0.31)
    hull = 0.52 * (tall - 0.6 * radius)
    back = rng.uniform(0.05, 0.16) * length
    pieces = [_box((length, wide, hull), (0, 0, 0.6 * radius + hull / 2))]
    cabin = tall - 0.6 * radius - hull
    pieces.append(_box((0.52 * length, 0.86 * wide, cabin), (-back, 0, tall - cabin / 2), paint="own"))
    # Windows: a band a little wider than the cabin, seen as glass from all sides.
    pieces.append(_box((0.525 * length, 0.865 * wide, 0.62 * cabin), (-back, 0, tall - 0.52 * cabin), paint="glass"))
    lamp = (0.02, 0.18, 0.11)
    for side in (-1, 1):
        pieces.append(_box(lamp, (length / 2, side * 0.34 * wide, 0.6 * radius + 0.62 * hull), paint="light"))
        pieces.append(_box(lamp, (-length / 2, side * 0.34 * wide, 0.6 * radius + 0.62 * hull), paint="rear"))
    for x in (-0.31 * length, 0.31 * length):
        for side in (-1, 1):
            pieces += _wheel(x, side * (wide / 2 - 0.06), radius, 0.2)
    return pieces


def _bike(rng: random.Random, beat: float) -> list[Piece]:
    radius, base = rng.uniform(0.3, 0.36), rng.uniform(0.95, 1.1)
    pieces = _wheel(-base / 2, 0.0, radius, 0.05) + _wheel(base / 2, 0.0, radius, 0.05)
    hub, crank, seat, head = (-base / 2, 0, radius), (-0.06, 0, radius), (-0.16, 0, 0.86), (0.34, 0, 0.82)
    thick = 0.03
    for one, other in ((hub, crank), (hub, seat), (crank, seat), (crank, head), (seat, head)):
        pieces.append(_rod("bar", one, other, thick))
    pieces.append(_rod("bar", (base / 2, 0, radius), (0.32, 0, 0.96), thick))
    pieces.append(_rod("bar", (0.32, -0.25, 0.97), (0.32, 0.25, 0.97), 0.022, "dark"))
    pieces.append(_box((0.26, 0.14, 0.06), (-0.18, 0, 0.9), "box", "dark"))
    return pieces


def _cart(rng: random.Random, beat: float) -> list[Piece]:
    length, wide, tall = rng.uniform(0.9, 1.3), rng.uniform(0.6, 0.8), rng.uniform(0.3, 0.5)
    four = rng.random() < 0.5
    radius = rng.uniform(0.14, 0.2) if four else rng.uniform(0.24, 0.3)
    floor = 1.3 * radius
    pieces = [_box((length, wide, tall), (0, 0, floor + tall / 2))]
    for x in (-0.32 * length, 0.32 * length) if four else (0.0,):
        for side in (-1, 1):
            pieces += _wheel(x, side * (wide / 2 + 0.05), radius, 0.08)
    grip = (-length / 2 - 0.35, 0, floor + tall + 0.3)
    pieces.append(_rod("bar", (-length / 2, 0, floor + 0.8 * tall), grip, 0.03, "metal"))
    pieces.append(_rod("bar", (grip[0], -0.2, grip[2]), (grip[0], 0.2, grip[2]), 0.03, "dark"))
    return pieces


def _lamp(rng: random.Random, beat: float) -> list[Piece]:
    tall, globe = rng.uniform(1.9, 2.6), rng.uniform(0.16, 0.24)
    pieces = [_rod("pole", (0, 0, 0), (0, 0, tall - 1.6 * globe), 0.06)]
    pieces.append(Piece("ball", "ball", matrix((globe,) * 3, (0, 0, tall - globe)), paint="light"))
    pieces.append(Piece("cylinder", "cylinder", matrix((0.17, 0.17, 0.1), (0, 0, 0.1))))
    return pieces


def _snowman(rng: random.Random, beat: float) -> list[Piece]:
    radii = [share * rng.uniform(0.38, 0.46) for share in (1.0, 0.74, 0.52)]
    heights = [radii[0]]
    for below, above in pairwise(radii):
        heights.append(heights[-1] + 0.85 * (below + above))
    return [Piece("ball", "ball", matrix((r,) * 3, (0, 0, z))) for r, z in zip(radii, heights)]


def _person(rng: random.Random, beat: float) -> list[Piece]:
    tall = rng.uniform(1.5, 1.82)
    hip, shoulder, head = 0.5 * tall, 0.8 * tall, 0.068 * tall
    trunk, arm, leg = 0.105 * tall, 0.033 * tall, 0.05 * tall
    middle, ratio = (hip + shoulder) / 2, (shoulder - hip) / 2 / trunk
    pieces = [
        Piece("capsule", "capsule", matrix((trunk,) * 3, (0, 0, middle)), max(ratio - 0.35, 0.1)),
        Piece("ball", "ball", matrix((head, head * 0.9, head * 1.25), (0, 0, tall - 1.25 * head)), paint="skin"),
    ]
    stride, phase = 0.85 * tall, rng.uniform(0, 2 * math.pi)
    for side in (-1, 1):
        for top, down, away, thick, swing, paint, turn in (
            (hip, hip, 0.5 * trunk, leg, 0.55, "dark", 0.0),
            (shoulder, 0.4 * tall, 1.0 * trunk + arm, arm, 0.5, "skin", math.pi),
        ):
            length = down - thick
            limb = matrix((thick,) * 3, (0, side * away, top - length / 2 - (thick if turn else 0)))
            joint = Joint(
                "step",
                (0.0, -1.0, 0.0),
                (0.0, side * away, top),
                swing,
                phase + turn + (math.pi if side > 0 else 0),
                stride,
            )
            pieces.append(Piece("limb", "capsule", limb, length / 2 / thick, paint, joint))
    return pieces


def _blob(rng: random.Random, beat: float) -> list[Piece]:
    a, c = rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.65)
    joint = Joint("squash", (0, 0, 1), (0, 0, 0), rng.uniform(0.2, 0.35), rng.uniform(0, 2 * math.pi), frequency=beat)
    return [Piece("ball", "ball", matrix((a, a, c), (0, 0, c)), joint=joint)]


def _propeller(rng: random.Random, beat: float) -> list[Piece]:
    tall, span = rng.uniform(1.3, 1.7), rng.uniform(0.55, 0.75)
    tall = max(tall, span + 0.75)
    pieces = [
        _rod("pole", (0, 0, 0), (0, 0, tall), 0.06, "metal"),
        _rod("pole", (0, 0, tall), (0.2, 0, tall), 0.09, "dark"),
    ]
    joint = Joint("clock", (1.0, 0.0, 0.0), (0.2, 0.0, tall), phase=rng.uniform(0, 2 * math.pi), frequency=beat)
    for k in range(3):
        turn = about_x(k * 2 * math.pi / 3)
        place = np.array([0.2, 0, tall]) + turn @ np.array([0, 0, 0.54 * span])
        pieces.append(Piece("blade", "box", matrix((0.025, 0.11, 0.46 * span), place, turn), joint=joint))
    pieces.append(Piece("cylinder", "cylinder", matrix((0.22, 0.22, 0.06), (0, 0, 0.06)), paint="dark"))
    return pieces


_BUILDERS: dict[str, Callable[[random.Random, float], list[Piece]]] = {
    **{kind: _one(kind) for kind in SIMPLE},
    "car": _car,
    "bike": _bike,
    "cart": _cart,
    "lamp": _lamp,
    "person": _person,
    "snowman": _snowman,
    "blob": _blob,
    "propeller": _propeller,
}
