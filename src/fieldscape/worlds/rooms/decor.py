"""What makes a room lived in: plants, pictures, mirrors, clocks, rugs, baskets."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from fieldscape.types import Mesh
from fieldscape.worlds.parts import Piece
from fieldscape.worlds.rooms.shapes import Box, Shape, boxes, cushions, dressed, joined, lathed, put, solid, stretched
from fieldscape.worlds.rooms.views import monochrome, prints
from fieldscape.worlds.textures import RGB, abstract, foliage, landscape, rug, woven

PLANTS = ("arching", "upright", "round", "palm", "bush", "trailing")


def plant(kind: str, height: float, pot: RGB, green: RGB, spread: float, rng: random.Random) -> Piece:
    """A plant in a pot, one of ``PLANTS``, its leaves at most ``spread`` from its axis."""
    pale = (min(1.0, green[0] * 1.7 + 0.03), min(1.0, green[1] * 1.6 + 0.05), green[2] * 1.3)
    shape = _foliage(kind, rng.randrange(4))
    size = round(min(0.34, 0.16 + 0.16 * height), 2)
    tall = size * 0.9
    profile = [
        (0.36 * size, 0.0),
        (0.48 * size, tall * 0.6),
        (0.5 * size, tall),
        (0.44 * size, tall),
        (0.42 * size, tall * 0.9),
    ]
    scale = height - tall * 0.85
    narrow = min(1.0, spread / (scale * float(shape.vertices[:, :2].norm(dim=-1).max())))
    leaves = put(stretched(shape, (scale * narrow, scale * narrow, scale)), z=tall * 0.85, yaw=rng.uniform(0, 6.28))
    paints = (green, pale, (0.12, 0.075, 0.04))
    return [
        dressed("pot", lathed(profile, 18), (pot,)),
        dressed("leaves", leaves, paints, foliage, edge=0.3),
    ]


@lru_cache(maxsize=32)
def _foliage(kind: str, variant: int) -> Shape:
    """Leaves and stems about 1 m tall from z = 0; slots: two greens and bark."""
    rng = random.Random(f"plant {kind} {variant}")
    blades: list[Shape] = []
    count, stems = (
        {
            "arching": (20, 0),
            "upright": (11, 0),
            "round": (26, 2),
            "palm": (12, 1),
            "bush": (34, 1),
            "trailing": (22, 0),
        }[kind],
        [],
    )
    number, trunks = count
    for k in range(number):
        yaw = k * 2.4 + rng.uniform(-0.3, 0.3)
        share = (k + 0.5) / number
        if kind == "arching":
            blade = _blade(
                rng.uniform(0.6, 1.05), rng.uniform(0.035, 0.055), rng.uniform(0.1, 0.5), rng.uniform(0.7, 1.9)
            )
            at = (0.0, 0.0, 0.0)
        elif kind == "upright":
            blade = _blade(rng.uniform(0.6, 1.0), rng.uniform(0.035, 0.05), rng.uniform(0.0, 0.16), 0.15)
            at = (rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06), 0.0)
        elif kind == "round":
            blade = _blade(rng.uniform(0.2, 0.3), rng.uniform(0.06, 0.085), rng.uniform(0.6, 1.2), 0.7)
            at = (0.0, 0.06 * (k % 2) - 0.03, 0.15 + 0.75 * share)
        elif kind == "palm":
            blade = _blade(rng.uniform(0.5, 0.75), rng.uniform(0.07, 0.1), rng.uniform(0.2, 0.8), 1.5)
            at = (0.0, 0.0, 0.45 + 0.1 * share)
        elif kind == "bush":
            blade = _blade(rng.uniform(0.12, 0.2), rng.uniform(0.035, 0.05), rng.uniform(0.3, 1.4), 0.8)
            out = 0.26 * math.sqrt(rng.random())
            at = (out * math.cos(yaw), out * math.sin(yaw), rng.uniform(0.4, 0.85) - out * 0.5)
        else:
            blade = _blade(rng.uniform(0.3, 0.6), rng.uniform(0.03, 0.05), rng.uniform(0.3, 0.9), 2.6)
            at = (0.0, 0.0, 0.25)
        slot = k % 2
        blades.append(put(Shape(blade.vertices, blade.faces, blade.normals, blade.slot + slot), *at, yaw=yaw))
    for k in range(trunks):
        stems.append(
            put(
                lathed([(0.014, 0.0), (0.01, {"palm": 0.52, "round": 0.9, "bush": 0.6}[kind])], 7, slot=2),
                0.0,
                0.06 * k - 0.03 * (trunks - 1),
            )
        )
    return joined([*blades, *stems])


def _blade(long: float, wide: float, lean: float, bend: float, rings: int = 4) -> Shape:
    """One leaf from the origin along an arc: it leaves at ``lean`` from straight up and droops by ``bend`` more."""
    t = torch.linspace(0, 1, rings + 1)
    angle = lean + bend * t
    step = long / rings
    out = torch.cat([torch.zeros(1), (step * angle.sin())[:-1].cumsum(0)])
    up = torch.cat([torch.zeros(1), (step * angle.cos())[:-1].cumsum(0)])
    half = wide * torch.sin(math.pi * (0.08 + 0.92 * t) ** 0.8)
    zero = torch.zeros_like(t)
    thick = 0.004 + zero

    def row(side: Tensor, lift: Tensor) -> Tensor:
        return torch.stack([out - lift * angle.cos(), side, up + lift * angle.sin()], -1)

    # Across the leaf: left edge, upper middle, right edge, lower middle; folded along the middle.
    fold = 0.3 * half
    inner = slice(0, rings)
    ring = torch.stack([row(-half, fold), row(zero, thick), row(half, fold), row(zero, -thick)], 1)[inner]
    tip = torch.stack([out[-1], zero[0], up[-1]])[None]
    base = ring[:1].mean(1)
    vertices = torch.cat([ring.reshape(-1, 3), tip, base])
    here = torch.arange(rings - 1)[:, None] * 4 + torch.arange(4)
    after = torch.arange(rings - 1)[:, None] * 4 + (torch.arange(4) + 1) % 4
    one = torch.stack([here, after, after + 4], -1).reshape(-1, 3)
    two = torch.stack([here, after + 4, here + 4], -1).reshape(-1, 3)
    k, last = torch.arange(4), 4 * (rings - 1)
    ends = torch.stack([last + k, last + (k + 1) % 4, torch.full((4,), 4 * rings)], -1)
    start = torch.stack([(k + 1) % 4, k, torch.full((4,), 4 * rings + 1)], -1)
    mesh = Mesh(vertices, torch.cat([one, two, ends, start]))
    corners = mesh.vertices[mesh.faces]
    inward = float((corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum()) < 0
    return solid(Mesh(mesh.vertices, mesh.faces.flip(-1)) if inward else mesh)


def picture(width: float, height: float, frame: RGB, mat: RGB, colors: Sequence[RGB], kind: str, seed: int) -> Piece:
    """A framed picture on the wall behind it (y = 0), about the origin: ``landscape``, ``abstract``, ``photo`` or
    ``print``."""
    rim = 0.03 if kind != "landscape" else 0.05
    bars = _frame(width, height, rim)
    inside = 0.62 if kind in ("print", "photo") and seed % 2 else 1.0
    size = (width * inside, height * inside)
    pieces = [dressed("frame", bars, (frame,), edge=0.25)]
    if inside < 1:
        pieces.append(dressed("frame", boxes([((width, 0.012, height), (0.0, 0.008, 0.0))]), (mat,), edge=0.25))
    mats = ((0.8, 0.8, 0.8), (0.75, 0.6, 0.42), (0.5, 0.6, 0.7))
    canvas = {"landscape": lambda: landscape(size, seed, 0.6), "abstract": lambda: abstract(size, colors, seed)}
    canvas["photo"] = lambda: monochrome(landscape(size, seed, 0.9), mats[seed % 3])
    texture = canvas.get(kind, lambda: prints(max(size), seed))()
    sheet = dressed(
        "canvas",
        boxes([((size[0], 0.012, size[1]), (0.0, 0.0085 + 0.004 * (inside < 1), 0.0))]),
        (colors[seed % len(colors)],),
        texture,
        edge=0.2,
    )
    return [*pieces, sheet]


def _frame(width: float, height: float, rim: float) -> Shape:
    bars: list[Box] = [((width + 2 * rim, 0.03, rim), (0.0, 0.0151, side * (height + rim) / 2)) for side in (-1, 1)]
    bars += [((rim, 0.029, height), (side * (width + rim) / 2, 0.0146, 0.0)) for side in (-1, 1)]
    return boxes(bars)


def gallery(
    places: Sequence[tuple[float, float, float, float]], frame: RGB, mat: RGB, colors: Sequence[RGB], seed: int
) -> Piece:
    """Many small framed prints at (x, z, width, height) on the wall behind them (y = 0)."""
    frames, sheets = [], []
    for k, (x, z, w, h) in enumerate(places):
        frames.append(put(_frame(w, h, 0.022), x, 0.0, z))
        mats = boxes([((w, 0.012, h), (x, 0.008, z))], 1)
        frames.append(mats)
        share = 0.95 if k % 2 else 0.66
        sheets.append(boxes([((w * share, 0.012, h * share), (x, 0.0095, z))], k % len(colors)))
    return [
        dressed("frame", joined(frames), (frame, mat), edge=0.25),
        dressed("canvas", joined(sheets), colors, prints(0.3, seed), edge=0.2),
    ]


def mirror(width: float, height: float, frame: RGB, round_one: bool) -> Piece:
    """A mirror on the wall behind it (y = 0), about the origin."""
    if round_one:
        disc = put(
            stretched(lathed([(0.5, 0.0), (0.5, 0.02)], 28), (width, width, 1.0)), 0.0, 0.0, 0.0, tilt=-math.pi / 2
        )
        ring = put(
            stretched(
                lathed([(0.5, 0.001), (0.55, 0.001), (0.55, 0.03), (0.5, 0.03)], 28, closed=True), (width, width, 1.0)
            ),
            tilt=-math.pi / 2,
        )
        return [dressed("mirror", disc, ((0.02, 0.02, 0.02),), mirror=0.8), dressed("frame", ring, (frame,))]
    glass = boxes([((width, 0.012, height), (0.0, 0.008, 0.0))])
    return [
        dressed("mirror", glass, ((0.02, 0.02, 0.02),), mirror=0.8),
        dressed("frame", _frame(width, height, 0.06), (frame,)),
    ]


def clock(face: RGB, frame: RGB, sun: bool) -> Piece:
    """A round wall clock; ``sun``: with rays around it."""
    rim = put(lathed([(0.15, 0.0), (0.16, 0.0), (0.16, 0.03), (0.15, 0.03)], 24, closed=True), tilt=-math.pi / 2)
    disc = put(lathed([(0.155, 0.001), (0.155, 0.02)], 24, slot=1), tilt=-math.pi / 2)
    hands = boxes([((0.01, 0.004, 0.1), (0.0, 0.0225, 0.05)), ((0.07, 0.004, 0.01), (0.035, 0.0235, 0.0))])
    shapes = [rim, disc, hands]
    if sun:
        ray = boxes([((0.02, 0.2, 0.01), (0.0, 0.26, 0.005))])
        shapes += [put(put(ray, yaw=k * math.pi / 6), tilt=-math.pi / 2, y=0.01, x=0.0) for k in range(12)]
        shapes = [put(shape, y=0.012) for shape in shapes]
    return [dressed("clock", joined(shapes), (frame, face), edge=0.25)]


RUGS = ("diamonds", "zigzag", "medallion", "bordered", "stripes", "plain", "shag", "blots")


def carpet(size: tuple[float, float], colors: Sequence[RGB], kind: str, seed: int) -> Piece:
    """A rug on the floor, one of ``RUGS``; ``blots`` is a hide or a round one of that pattern."""
    thick = 0.03 if kind == "shag" else 0.014
    shape = cushions([((*size, thick), (0.0, 0.0, thick / 2 + 0.001))], 0.006)
    texture = woven if kind in ("plain", "shag") else rug(colors, size, kind, seed)
    return [dressed("rug", shape, (colors[0],), texture, edge=0.16)]


def round_rug(radius: float, color: RGB) -> Piece:
    """A round rug of one colour."""
    disc = stretched(lathed([(0.5, 0.001), (0.5, 0.012), (0.497, 0.014)], 36), (2 * radius, 2 * radius, 1.0))
    return [dressed("rug", disc, (color,), woven, edge=0.16)]


def basket(color: RGB, logs: bool) -> Piece:
    """A basket, or one with logs for the fire."""
    shape = lathed([(0.16, 0.0), (0.2, 0.1), (0.21, 0.3), (0.19, 0.3), (0.18, 0.24)], 16)
    shapes = [shape]
    if logs:
        for k in range(4):
            shapes.append(
                put(
                    lathed([(0.045, 0.0), (0.045, 0.34)], 9, slot=1),
                    0.07 * (k - 1.5),
                    -0.02 * (k % 2),
                    0.06,
                    tilt=0.1 * (k - 1.5),
                )
            )
    return [dressed("basket", joined(shapes), (color, (0.28, 0.17, 0.09)), woven)]
