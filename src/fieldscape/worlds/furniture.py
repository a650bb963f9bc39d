"""Furniture: each function makes one piece as parts in its own frame, standing on z = 0 about the origin, facing +y."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.meshes import (
    box,
    cylinder,
    extrude,
    lathe,
    merge,
    painted,
    refine,
    rounded_box,
    sphere,
    transform,
)
from fieldscape.types import Mesh
from fieldscape.worlds.shading import Part
from fieldscape.worlds.textures import (
    RGB,
    Texture,
    abstract,
    book_spines,
    fabric,
    landscape,
    leaves,
    painted_parts,
    plain,
    rug,
    wood,
)

Piece = list[Part]


def moved(x: float, y: float, z: float = 0.0, yaw: float = 0.0, tilt: float = 0.0) -> Float[Tensor, "4 4"]:
    """Lean by ``tilt`` radians about x, turn by ``yaw`` about z, then shift."""
    c, s, ct, st = math.cos(yaw), math.sin(yaw), math.cos(tilt), math.sin(tilt)
    rows = [[c, -s * ct, s * st, x], [s, c * ct, -c * st, y], [0.0, st, ct, z], [0.0, 0.0, 0.0, 1.0]]
    return torch.tensor(rows)


def place(piece: Sequence[Part], matrix: Float[Tensor, "4 4"]) -> Piece:
    """The piece moved; textures move with it."""
    back = torch.linalg.inv(matrix)
    return [
        Part(p.name, transform(p.mesh, matrix), p.texture, p.frame @ back, p.glow, p.edge, p.outside) for p in piece
    ]


def part(name: str, mesh: Mesh, texture: Texture, glow: float = 0.0, edge: float = 0.06, outside: bool = False) -> Part:
    """A part whose texture lives in the frame that its mesh is given in."""
    return Part(name, mesh, texture, torch.eye(4), glow, edge, outside)


def sofa(width: float, seats: int, color: RGB, pillows: Sequence[RGB], legs: RGB, rng: random.Random) -> Piece:
    """A sofa or, with one seat, an armchair: base, back, two arms, loose cushions, pillows, feet."""
    depth, arm = 0.92, 0.18
    inner = width - 2 * arm
    shapes = [
        rounded_box((width, depth, 0.24), 0.04, (0.0, 0.0, 0.22)),
        rounded_box((width, 0.22, 0.5), 0.07, (0.0, -depth / 2 + 0.11, 0.56)),
    ]
    for side in (-1, 1):
        shapes.append(rounded_box((arm, depth, 0.34), 0.07, (side * (width - arm) / 2, 0.0, 0.44)))
    for k in range(seats):
        x, w = (k + 0.5) * inner / seats - inner / 2, inner / seats - 0.01
        shapes.append(rounded_box((w, depth - 0.22, 0.15), 0.05, (x, 0.12, 0.41)))
        back = rounded_box((w, 0.16, 0.42), 0.07)
        shapes.append(transform(back, moved(x, -depth / 2 + 0.3, 0.66, tilt=-0.2)))
    feet = [
        transform(cylinder(0.025, 0.12, 10), moved(sx * (width / 2 - 0.08), sy * (depth / 2 - 0.08), 0.0))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    name = "sofa" if seats > 1 else "armchair"
    piece = [part(name, merge(shapes), fabric(color, seed=3), edge=0.1)]
    piece.append(part(f"{name} feet", merge(feet), plain(legs), edge=0.2))
    for k, paint in enumerate(pillows):
        side = -1 if k % 2 else 1
        x = side * (inner / 2 - 0.22 - 0.3 * (k // 2) - 0.05 * rng.random())
        pose = moved(x, -depth / 2 + 0.47, 0.68, yaw=-side * 0.25 * rng.random(), tilt=-0.38)
        pale = tuple(0.6 * c + 0.35 for c in paint)
        cloth = fabric(paint, pale, rng.choice([0.0, 0.09, 0.13]), seed=k)  # type: ignore[arg-type]
        piece += place([part(f"pillow {k}", _pillow(0.44 + 0.06 * rng.random()), cloth, edge=0.1)], pose)
    return piece


def _pillow(side: float) -> Mesh:
    """A square pillow in the xz plane: thick in the middle, thin at the seams, its corners drawn out."""
    mesh = refine(rounded_box((side, 0.12, side), 0.05), 0.08)
    x, y, z = (mesh.vertices / torch.tensor([side / 2, 1.0, side / 2])).unbind(-1)
    swell = 0.25 + 1.1 * ((1 - x**2).clamp(min=0) * (1 - z**2).clamp(min=0)).sqrt()
    pull = 1 - 0.07 * (1 - (x * z).abs()) * torch.maximum(x.abs(), z.abs())
    vertices = torch.stack([x * pull * side / 2, y * swell, z * pull * side / 2], -1)
    return Mesh(vertices, mesh.faces)


def coffee_table(round_top: bool, light: RGB, dark: RGB, ornament: RGB, rng: random.Random) -> Piece:
    """A low table with a vase or bowl and a few books on it."""
    height = 0.4
    if round_top:
        top = transform(_disc(0.45, 0.035), moved(0.0, 0.0, height - 0.035))
        spots = [(0.3 * math.cos(a), 0.3 * math.sin(a)) for a in (0.5, 2.6, 4.7)]
        shapes = [top, *(transform(cylinder(0.022, height - 0.03, 12), moved(x, y)) for x, y in spots)]
    else:
        shapes = [rounded_box((1.1, 0.6, 0.045), 0.012, (0.0, 0.0, height - 0.022))]
        leg, half = (0.05, 0.05, height - 0.04), height / 2 - 0.02
        shapes += [box(leg, (sx * 0.48, sy * 0.24, half)) for sx in (-1, 1) for sy in (-1, 1)]
        shapes.append(box((0.96, 0.48, 0.02), (0.0, 0.0, 0.14)))
    piece = [part("table", merge(shapes), wood(light, dark), edge=0.08)]
    piece += place(vase(0.2 + 0.1 * rng.random(), ornament), moved(0.16, 0.06, height))
    stack = []
    for k in range(3):
        cover = tuple(0.15 + 0.6 * rng.random() for _ in range(3))
        book = painted(box((0.24 - 0.02 * k, 0.17 - 0.01 * k, 0.03)), cover)  # type: ignore[arg-type]
        stack.append(transform(book, moved(-0.18, -0.04, height + 0.015 + 0.03 * k, yaw=0.5 * rng.random())))
    return [*piece, part("table books", merge(stack), painted_parts(), edge=0.1)]


def vase(height: float, color: RGB) -> Piece:
    shape = [(0.3, 0.0), (0.42, 0.18), (0.45, 0.4), (0.28, 0.75), (0.2, 0.88), (0.26, 1.0)]
    profile = [(0.45 * r * height, z * height) for r, z in shape]
    return [part("vase", lathe(profile, 20), plain(color, 0.1, 0.04), edge=0.1)]


def media_bench(width: float, light: RGB, dark: RGB, seed: int) -> Piece:
    """A low cabinet with doors, and a television on it, switched on."""
    front = [box((width / 3 - 0.02, 0.015, 0.3), ((k - 1) * width / 3, 0.2, 0.3)) for k in range(3)]
    knobs = [transform(sphere(0.014, 10), moved((k - 1) * width / 3 + 0.2, 0.215, 0.3)) for k in range(3)]
    leg, apart = cylinder(0.02, 0.13, 10), width / 2 - 0.1
    legs = [transform(leg, moved(sx * apart, sy * 0.14)) for sx in (-1, 1) for sy in (-1, 1)]
    screen = (1.06, 0.6)
    stand = [rounded_box((1.12, 0.04, 0.66), 0.008, (0.0, 0.0, 0.9)), box((0.4, 0.18, 0.015), (0.0, 0.0, 0.505))]
    stand.append(box((0.08, 0.03, 0.1), (0.0, -0.01, 0.54)))
    panel = part("screen", box((screen[0], 0.004, screen[1])), landscape(screen, seed, 0.9), glow=0.3, edge=0.2)
    picture = place([panel], moved(0.0, 0.021, 0.9))
    return [
        part("bench", box((width, 0.38, 0.36), (0.0, 0.0, 0.31)), wood(light, dark, seed=5), edge=0.1),
        part("bench doors", merge(front), wood(light, dark, axis=2, seed=6), edge=0.12),
        part("knobs", merge([*knobs, *legs]), plain((0.1, 0.09, 0.08)), edge=0.1),
        part("television", merge(stand), plain((0.02, 0.02, 0.024), 0.1), edge=0.2),
        *picture,
    ]


def bookshelf(width: float, height: float, light: RGB, dark: RGB, covers: Sequence[RGB], rng: random.Random) -> Piece:
    """Boards, and rows of books with a few ornaments between them."""
    depth, board, rows = 0.3, 0.025, 5
    step = (height - board) / rows
    boards = [box((board, depth, height), (side * (width - board) / 2, 0.0, height / 2)) for side in (-1, 1)]
    boards += [box((width - 2 * board, depth, board), (0.0, 0.0, board / 2 + k * step)) for k in range(rows + 1)]
    boards.append(box((width - 2 * board, 0.01, height - 0.01), (0.0, -depth / 2 + 0.006, height / 2)))
    books, pots = [], []
    for row in range(rows):
        floor, x = board + row * step, -width / 2 + board + 0.01
        gap = rng.uniform(0.2, width - 0.35) - width / 2
        while x < width / 2 - board - 0.07:
            if abs(x - gap) < 0.05:  # an ornament stands in the row
                pots += place(vase(step * rng.uniform(0.45, 0.65), rng.choice(covers)), moved(x + 0.1, 0.02, floor))
                x += 0.22
                continue
            thick, tall, deep = rng.uniform(0.025, 0.06), step * rng.uniform(0.6, 0.86), rng.uniform(0.17, 0.23)
            shade = rng.uniform(0.75, 1.15)
            cover = tuple(min(1.0, c * shade) for c in rng.choice(covers))
            place_at = (x + thick / 2, depth / 2 - 0.03 - deep / 2, floor + tall / 2)
            books.append(painted(box((thick - 0.002, deep, tall), place_at), cover))  # type: ignore[arg-type]
            x += thick
    return [
        part("shelf", merge(boards), wood(light, dark, seed=8), edge=0.12),
        part("books", merge(books), book_spines(), edge=0.3),
        *pots,
    ]


def floor_lamp(metal: RGB, shade: RGB) -> Piece:
    """A standing lamp; its bulb is at z = 1.5."""
    foot = [(0.14, 0.0), (0.14, 0.02), (0.03, 0.035), (0.012, 0.05), (0.012, 1.42)]
    cone = [(0.23, 1.32), (0.238, 1.32), (0.158, 1.66), (0.15, 1.66)]
    return [
        part("lamp stand", lathe(foot, 16), plain(metal), edge=0.4),
        part("lamp shade", lathe(cone, 28, closed=True), fabric(shade, seed=2), glow=0.45),
    ]


def pendant(drop: float, shade: RGB) -> Piece:
    """A paper globe that hangs ``drop`` below z = 0."""
    ribs = fabric(shade, (0.8 * shade[0], 0.8 * shade[1], 0.8 * shade[2]), 0.06)
    cord = transform(cylinder(0.006, drop - 0.16, 8), moved(0.0, 0.0, -drop + 0.16))
    return [
        part("pendant", transform(sphere(0.17, 22), moved(0.0, 0.0, -drop)), ribs, glow=0.4),
        part("cord", cord, plain((0.1, 0.1, 0.1)), edge=0.4),
    ]


def plant(height: float, pot: RGB, green: RGB, pale: RGB, rng: random.Random) -> Piece:
    """A pot with long bent leaves."""
    profile = [(0.13, 0.0), (0.17, 0.15), (0.18, 0.3), (0.155, 0.31), (0.15, 0.27)]
    blades = []
    for k in range(22):
        long = height * rng.uniform(0.5, 0.95) * 0.85
        wide, bend = rng.uniform(0.05, 0.085), rng.uniform(0.5, 1.6)
        outline = [(t, wide * math.sin(math.pi * t**0.75) + 0.006) for t in (0.0, 0.15, 0.35, 0.55, 0.75, 0.9, 1.0)]
        flat = torch.tensor([(t, w) for t, w in outline] + [(t, -w) for t, w in reversed(outline)])
        blade = extrude(flat, 0.004)
        t, y, z = blade.vertices.unbind(-1)
        # Each blade is bent along an arc that leaves the pot steeply and droops: x out, z up.
        lean = rng.uniform(0.1, 0.5) + bend * t
        out, up = long * t * torch.sin(lean) - z * torch.cos(lean), long * t * torch.cos(lean) + z * torch.sin(lean)
        fold = 0.25 * y.abs()
        blade = Mesh(torch.stack([out, y, up + fold + 0.26], -1), blade.faces)
        blades.append(transform(blade, moved(0.0, 0.0, yaw=k * 2.4 + rng.uniform(-0.3, 0.3))))
    return [
        part("pot", lathe(profile, 24), plain(pot, 0.12, 0.08)),
        part("leaves", merge(blades), leaves(green, pale), edge=0.2),
    ]


def picture(width: float, height: float, frame: RGB, colors: Sequence[RGB], seed: int) -> Piece:
    """A framed picture on the wall behind it (y = 0), about the origin: a landscape or an abstract, by ``seed``."""
    rim = 0.035
    bars = [box((width + 2 * rim, 0.03, rim), (0.0, 0.015, side * (height + rim) / 2)) for side in (-1, 1)]
    bars += [box((rim, 0.03, height), (side * (width + rim) / 2, 0.015, 0.0)) for side in (-1, 1)]
    size = (width, height)
    canvas = landscape(size, seed, 0.85) if seed % 2 else abstract(size, colors, seed)
    return [
        part("frame", merge(bars), plain(frame), edge=0.2),
        part("canvas", box((width, 0.012, height), (0.0, 0.008, 0.0)), canvas, edge=0.15),
    ]


def carpet(size: tuple[float, float], colors: Sequence[RGB], kind: str, seed: int) -> Piece:
    shape = rounded_box((*size, 0.014), 0.006, (0.0, 0.0, 0.007), 1)
    return [part("rug", shape, rug(colors, size, kind, seed), edge=0.07)]


def door(width: float, height: float, paint: RGB, casing: RGB) -> Piece:
    """A panelled door with its casing and handle, on the wall behind it (y = 0)."""
    leaf = [box((width, 0.03, height), (0.0, 0.012, height / 2))]
    for x in (-1, 1):
        for low, high in ((0.12, 0.42), (0.5, 0.93)):
            tall = (high - low) * height
            leaf.append(box((width * 0.34, 0.02, tall), (x * width * 0.23, 0.026, low * height + tall / 2)))
    edge = 0.08
    frame = [box((edge, 0.05, height + edge), (s * (width + edge) / 2, 0.025, (height + edge) / 2)) for s in (-1, 1)]
    frame.append(box((width, 0.05, edge), (0.0, 0.025, height + edge / 2)))
    handle = merge([
        transform(sphere(0.028, 12), moved(-width * 0.42, 0.075, 1.0)),
        box((0.02, 0.04, 0.02), (-width * 0.42, 0.045, 1.0)),
    ])  # fmt: skip
    return [
        part("door", merge(leaf), plain(paint, 0.05), edge=0.15),
        part("door casing", merge(frame), plain(casing, 0.04), edge=0.25),
        part("handle", handle, plain((0.55, 0.45, 0.25))),
    ]


def curtain(width: float, height: float, color: RGB, other: RGB) -> Piece:
    """One hanging length of cloth in folds, from z = 0 up, about x = 0."""
    count = max(3, round(width / 0.11))
    x = torch.linspace(-width / 2, width / 2, 6 * count + 1)
    fold = 0.032 * torch.sin(2 * math.pi * (x / width) * count)
    outline = torch.cat([torch.stack([x, fold + 0.008], -1), torch.stack([x, fold - 0.008], -1).flip(0)])
    return [part("curtain", extrude(outline, height), fabric(color, other, 0.11, seed=4), edge=0.25)]


def _disc(radius: float, thickness: float) -> Mesh:
    r = 0.3 * thickness
    return lathe([(radius - r, 0.0), (radius, r), (radius, thickness - r), (radius - r, thickness)], 36)
