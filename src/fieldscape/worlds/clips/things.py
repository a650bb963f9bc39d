"""Things for clips: pots, fruit, trees and benches that stand still, and toys that move.

Each function gives a piece as parts in its own frame: what stands, on z = 0 about the origin, facing -y (the camera);
what moves, about the point that its motion takes along.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.meshes import Vector, box, cylinder, lathe, merge, painted, rounded_box, sphere, transform
from fieldscape.types import Mesh
from fieldscape.worlds.clips.textures import die, earthen, glazed, grained, panels, printed, racing
from fieldscape.worlds.parts import moved, part, place
from fieldscape.worlds.shading import Part
from fieldscape.worlds.textures import RGB, book_spines, painted_parts

Piece = list[Part]

OAK: tuple[RGB, RGB] = ((0.5, 0.31, 0.15), (0.22, 0.11, 0.05))
GREY_WOOD: tuple[RGB, RGB] = ((0.5, 0.44, 0.37), (0.2, 0.16, 0.12))
TERRACOTTA: RGB = (0.55, 0.2, 0.09)


def generator(key: str) -> torch.Generator:
    """Random numbers of their own for each key, the same on every machine."""
    return torch.Generator().manual_seed(random.Random(key).getrandbits(62))


# ------------------------------------------------------------------------------------------------ growing things


def foliage(centers: Float[Tensor, "n 3"], length: float, colors: Sequence[RGB], draw: torch.Generator) -> Mesh:
    """Leaves about ``centers``, turned at random, each a thin solid of eight faces, in shades of ``colors``."""
    n = len(centers)
    out = torch.nn.functional.normalize(torch.randn(n, 3, generator=draw), dim=-1)
    side = torch.linalg.cross(out, torch.randn(n, 3, generator=draw))
    side = torch.nn.functional.normalize(side, dim=-1)
    up = torch.linalg.cross(side, out)
    size = length * (0.7 + 0.6 * torch.rand(n, 1, generator=draw))
    steps = [(out, 0.5), (side, 0.24), (out, -0.5), (side, -0.24), (up, 0.05), (up, -0.05)]
    corners = torch.stack([centers + size * reach * axis for axis, reach in steps], 1)
    faces = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [1, 0, 5], [2, 1, 5], [3, 2, 5], [0, 3, 5]])
    pick = torch.randint(len(colors), (n,), generator=draw)
    shade = torch.tensor(colors)[pick] * (0.7 + 0.6 * torch.rand(n, 1, generator=draw))
    everywhere = faces[None] + 6 * torch.arange(n)[:, None, None]
    return Mesh(corners.reshape(-1, 3), everywhere.reshape(-1, 3), shade.repeat_interleave(6, 0))


def blades(feet: Float[Tensor, "n 3"], height: float, colors: Sequence[RGB], draw: torch.Generator) -> Mesh:
    """Blades of grass at ``feet``: leaning spikes of four faces."""
    n = len(feet)
    turn = 2 * math.pi * (torch.rand(n, 1, generator=draw) + torch.arange(3) / 3)
    thick = 0.06 * height
    base = feet[:, None] + thick * torch.stack([turn.cos(), turn.sin(), torch.zeros(n, 3)], -1)
    lean = 0.35 * height * torch.randn(n, 2, generator=draw)
    tall = height * (0.5 + torch.rand(n, 1, generator=draw))
    tips = feet + torch.cat([lean, tall], -1)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    shade = torch.tensor(colors)[torch.randint(len(colors), (n,), generator=draw)]
    everywhere = faces[None] + 4 * torch.arange(n)[:, None, None]
    corners = torch.cat([base, tips[:, None]], 1)
    return Mesh(corners.reshape(-1, 3), everywhere.reshape(-1, 3), shade.repeat_interleave(4, 0))


def tube(path: Sequence[Vector], radii: Sequence[float], segments: int = 10) -> Mesh:
    """A round bar along ``path``, of ``radii`` at its points, closed at both ends; never straight along y."""
    points = torch.tensor(path)
    ahead = torch.nn.functional.normalize(torch.gradient(points, dim=0)[0], dim=-1)
    side = torch.nn.functional.normalize(
        torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]).expand_as(ahead), ahead), dim=-1
    )
    up = torch.linalg.cross(ahead, side)
    angle = torch.arange(segments) * (2 * math.pi / segments)
    ring = side[:, None] * angle.cos()[:, None] + up[:, None] * angle.sin()[:, None]
    vertices = (points[:, None] + torch.tensor(radii)[:, None, None] * ring).reshape(-1, 3)
    # The faces of a lathe with as many rows serve: they depend on the order of the points alone.
    return Mesh(
        torch.cat([vertices, points[:1], points[-1:]]),
        lathe([(1.0, float(k)) for k in range(len(path))], segments).faces,
    )


def tree(height: float, crown: float, seed: int, leaves: int = 1500) -> Piece:
    """A trunk with a few boughs, and a crown of leaves in clumps, ``crown`` its radius."""
    rng, draw = random.Random(f"tree {seed}"), generator(f"leaves {seed}")
    bend = rng.uniform(-0.12, 0.12)
    top = height - crown
    trunk: list[Vector] = [
        (0.0, 0.0, -0.02),
        (0.02, 0.0, 0.1),
        (bend, 0.02, 0.5 * top),
        (0.5 * bend, 0.0, top + 0.4 * crown),
    ]
    bars = [tube(trunk, [0.19, 0.13, 0.1, 0.06])]
    clumps = [torch.tensor([0.5 * bend, 0.0, height - 0.7 * crown])]
    for k in range(7):
        a, rise = 2 * math.pi * k / 7 + rng.uniform(-0.3, 0.3), rng.uniform(-0.25, 0.55)
        end = (0.7 * crown * math.cos(a), 0.7 * crown * math.sin(a), height - crown + rise * crown)
        start = (0.8 * bend, 0.01, 0.8 * top + 0.05 * k)
        middle = tuple(0.5 * (p + q) for p, q in zip(start, end))
        bars.append(tube([start, (middle[0], middle[1], middle[2] + 0.1), end], [0.05, 0.035, 0.015], 7))
        clumps.append(torch.tensor(end))
    pick = torch.arange(leaves) % len(clumps)
    direction = torch.nn.functional.normalize(torch.randn(leaves, 3, generator=draw), dim=-1)
    reach = 0.52 * crown * (0.55 + 0.45 * torch.rand(leaves, 1, generator=draw))
    centers = torch.stack(clumps)[pick] + reach * direction
    greens: list[RGB] = [(0.1, 0.24, 0.04), (0.17, 0.32, 0.06), (0.24, 0.36, 0.08), (0.08, 0.17, 0.05)]
    return [
        part("trunk", merge(bars), grained((0.3, 0.23, 0.16), (0.1, 0.07, 0.045), 2, seed, 0.06)),
        part("crown", foliage(centers, 0.17, greens, draw), painted_parts(0.3, 0.06)),
    ]


def bush(width: float, height: float, seed: int, leaves: int, blossom: RGB | None = None) -> Piece:
    """A dome of leaves on z = 0, with blossoms if a colour is given for them."""
    draw = generator(f"bush {seed}")
    size = torch.tensor([width / 2, width / 2, height])
    direction = torch.nn.functional.normalize(torch.randn(leaves, 3, generator=draw), dim=-1)
    direction[:, 2] = direction[:, 2].abs()
    lumps = 1 + 0.14 * torch.sin(5 * direction[:, :1] + seed) * torch.cos(4 * direction[:, 1:2] - seed)
    reach = lumps * (0.72 + 0.28 * torch.rand(leaves, 1, generator=draw).sqrt())
    greens: list[RGB] = [(0.07, 0.2, 0.05), (0.13, 0.28, 0.07), (0.2, 0.34, 0.1), (0.05, 0.13, 0.04)]
    ball = sphere(1.0, 14)
    dome = Mesh(ball.vertices.clamp(min=torch.tensor([-1.0, -1.0, 0.0])), ball.faces)
    core = transform(dome, torch.diag(torch.tensor([0.36 * width, 0.36 * width, 0.72 * height, 1.0])))
    piece = [
        part("bush core", core, earthen((0.04, 0.08, 0.025), 0.4, 0.08, seed)),
        part(
            "bush leaves",
            foliage(direction * reach * size, 0.14 * height + 0.02, greens, draw),
            painted_parts(0.3, 0.05),
        ),
    ]
    if blossom is not None:
        some = (direction * lumps * size)[: leaves // 6] * 1.1
        tints = [blossom, (0.9, 0.85, 0.75), (0.7 * blossom[0], 0.7 * blossom[1], 0.7 * blossom[2])]
        piece.append(part("blossoms", foliage(some, 0.13 * height + 0.03, tints, draw), painted_parts(0.1)))
    return piece


def flowers(count: int, height: float, colors: Sequence[RGB], seed: int) -> Piece:
    """A bunch: stems from the origin up and out, leaves on them, and a head of petals on each."""
    rng, draw = random.Random(f"flowers {seed}"), generator(f"flowers {seed}")
    stems, heads, hearts, green = [], [], [], []
    for k in range(count):
        a, lean = 2.4 * k + rng.uniform(-0.3, 0.3), rng.uniform(0.05, 0.42) * height
        tall = height * rng.uniform(0.75, 1.05)
        end = (lean * math.cos(a), lean * math.sin(a), tall)
        middle = (0.35 * end[0], 0.35 * end[1], 0.55 * tall)
        stems.append(tube([(0.0, 0.0, 0.0), middle, end], [0.012 * height] * 3, 6))
        petal = rounded_box((0.17 * height, 0.09 * height, 0.018 * height), 0.008 * height, (0.1 * height, 0.0, 0.0), 1)
        color = rng.choice(list(colors))
        tilt = moved(*end, yaw=a, tilt=rng.uniform(0.2, 0.9))
        turned = [transform(petal, tilt @ moved(0.0, 0.0, yaw=2 * math.pi * j / 7, tilt=0.25)) for j in range(7)]
        heads += [painted(mesh, color) for mesh in turned]
        hearts.append(transform(sphere(0.05 * height, 10), tilt))
        green.append(torch.tensor(middle) * torch.tensor([1.3, 1.3, 0.9]))
        green.append(torch.tensor(middle) * torch.tensor([2.0, 2.0, 0.6]))
    leaf = foliage(torch.stack(green), 0.26 * height, [(0.1, 0.26, 0.06), (0.16, 0.33, 0.1)], draw)
    return [
        part("stems", merge(stems), earthen((0.12, 0.28, 0.06), 0.2, 0.03, seed)),
        part("flower leaves", leaf, painted_parts(0.25, 0.03)),
        part("petals", merge(heads), painted_parts(0.3, 0.12 * height)),
        part("flower hearts", merge(hearts), earthen((0.6, 0.36, 0.04), 0.5, 0.03 * height, seed)),
    ]


# ------------------------------------------------------------------------------------------------ made things


def pot(height: float, color: RGB, seed: int) -> Piece:
    """A terracotta pot with a thick rim, filled with earth."""
    h = height
    shape = [(0.32, 0.0), (0.36, 0.05), (0.46, 0.78), (0.52, 0.8), (0.53, 1.0), (0.46, 1.0), (0.44, 0.9)]
    clay = [(r * h, z * h) for r, z in shape]
    soil = transform(cylinder(0.44 * h, 0.03 * h, 20), moved(0.0, 0.0, 0.88 * h))
    return [
        part("pot", lathe(clay, 26), earthen(color, 0.35, 0.22 * h, seed)),
        part("earth", soil, earthen((0.07, 0.045, 0.03), 0.6, 0.03, seed)),
    ]


def painted_vase(height: float, ground: RGB, figure: RGB, seed: int) -> Piece:
    """A turned vase with painted bands; open at the top."""
    shape = [
        (0.17, 0.0),
        (0.2, 0.02),
        (0.3, 0.3),
        (0.29, 0.5),
        (0.17, 0.78),
        (0.13, 0.88),
        (0.17, 1.0),
        (0.14, 1.0),
        (0.1, 0.88),
    ]
    mesh = lathe([(r * height, z * height) for r, z in shape], 32)
    return [part("vase", mesh, glazed(ground, figure, height, seed))]


def bench(width: float, seed: int) -> Piece:
    """A garden bench of slats on an iron-dark frame."""
    slats = [box((width, 0.1, 0.035), (0.0, -0.2 + 0.125 * k, 0.45)) for k in range(4)]
    for k in range(3):
        slats.append(transform(box((width, 0.03, 0.1)), moved(0.0, 0.27 + 0.03 * k, 0.58 + 0.13 * k, tilt=-0.22)))
    frame = []
    for side in (-1, 1):
        x = side * (width / 2 - 0.1)
        frame += [box((0.06, 0.06, 0.43), (x, y, 0.215)) for y in (-0.22, 0.2)]
        frame += [box((0.06, 0.5, 0.05), (x, 0.0, 0.41)), box((0.07, 0.5, 0.03), (x, 0.0, 0.66))]
        frame.append(box((0.05, 0.05, 0.24), (x, -0.22, 0.53)))
        frame.append(transform(box((0.06, 0.05, 0.55)), moved(x, 0.33, 0.68, tilt=-0.22)))
    return [
        part("bench slats", merge(slats), grained(*OAK, 0, seed)),
        part("bench frame", merge(frame), grained((0.13, 0.1, 0.08), (0.05, 0.04, 0.03), 2, seed + 1)),
    ]


def crate(side: float, seed: int) -> Piece:
    """A wooden crate of boards and corner posts."""
    boards, posts, step = [], [], side / 4
    for k in range(4):
        z = step * (k + 0.5)
        boards += [box((side, 0.02, 0.8 * step), (0.0, s * side / 2, z)) for s in (-1, 1)]
        boards += [box((0.02, side, 0.8 * step), (s * side / 2, 0.0, z)) for s in (-1, 1)]
        boards.append(box((side, 0.9 * step, 0.02), (0.0, (k - 1.5) * step, side - 0.012)))
    for sx in (-1, 1):
        posts += [box((0.05, 0.05, side), (sx * (side / 2 - 0.01), sy * (side / 2 - 0.01), side / 2)) for sy in (-1, 1)]
    posts.append(box((side - 0.06, side - 0.06, side - 0.05), (0.0, 0.0, side / 2 - 0.02)))
    return [
        part("crate boards", merge(boards), grained((0.58, 0.4, 0.2), (0.25, 0.14, 0.06), 0, seed)),
        part("crate posts", merge(posts), grained((0.3, 0.19, 0.09), (0.12, 0.07, 0.03), 2, seed + 1)),
    ]


def fence(length: float, height: float, seed: int) -> Piece:
    """Pickets along x with two rails behind them."""
    rng = random.Random(f"fence {seed}")
    count = max(2, int(length / 0.16))
    pickets = []
    for k in range(count):
        tall, x = height * rng.uniform(0.96, 1.02), (k + 0.5) * length / count - length / 2
        pickets.append(box((0.11, 0.025, tall), (x, 0.0, tall / 2)))
    rails = [box((length, 0.04, 0.08), (0.0, 0.03, z * height)) for z in (0.22, 0.8)]
    return [
        part("pickets", merge(pickets), grained((0.6, 0.55, 0.46), (0.27, 0.22, 0.17), 2, seed)),
        part("rails", merge(rails), grained(*GREY_WOOD, 0, seed + 1)),
    ]


def book_row(count: int, height: float, covers: Sequence[RGB], rng: random.Random) -> Piece:
    """Books side by side from x = 0 to the right, the last one leaning against them."""
    books, x = [], 0.0
    for k in range(count):
        thick, tall = rng.uniform(0.022, 0.045), height * rng.uniform(0.8, 1.05)
        shade = rng.uniform(0.7, 1.2)
        color = tuple(min(1.0, c * shade) for c in rng.choice(list(covers)))
        pose = moved(x + thick / 2, 0.0, tall / 2)
        if k == count - 1:
            lean = torch.eye(4)
            c, s = math.cos(0.22), math.sin(0.22)
            lean[0, 0], lean[0, 2], lean[2, 0], lean[2, 2] = c, -s, s, c
            pose = moved(x + thick / 2 + 0.115 * tall, 0.0, 0.5 * tall) @ lean
        books.append(transform(painted(box((thick - 0.001, 0.7 * height, tall)), color), pose))  # type: ignore[arg-type]
        x += thick
    return [part("books", merge(books), book_spines())]


def book_pile(count: int, colors: Sequence[RGB], rng: random.Random) -> Piece:
    """Books lying on each other, each turned a little, their covers printed."""
    piece, z = [], 0.0
    for k in range(count):
        thick, wide = rng.uniform(0.022, 0.036), 0.24 - 0.02 * k
        cover = merge([
            box((wide, 0.7 * wide, 0.004), (0.0, 0.0, 0.002)),
            box((wide, 0.7 * wide, 0.004), (0.0, 0.0, thick - 0.002)),
            box((wide, 0.004, thick), (0.0, -0.35 * wide, thick / 2)),
        ])  # fmt: skip
        pages = box((0.97 * wide, 0.67 * wide, thick - 0.008), (0.0, 0.004, thick / 2))
        ground, figure = colors[k % len(colors)], colors[(k + 2) % len(colors)]
        look = printed(ground, figure, 0.03, rng.choice(["dots", "stripes", "checks"]), k)
        book = [part("cover", cover, look), part("pages", pages, earthen((0.75, 0.7, 0.58), 0.15, 0.01, k))]
        piece += place(book, moved(0.0, 0.0, z, yaw=rng.uniform(-0.35, 0.35)))
        z += thick
    return piece


def fruit(radius: float, kind: str, seed: int) -> Piece:
    """An apple, orange or lemon lying on z = 0."""
    colors: dict[str, RGB] = {"apple": (0.55, 0.06, 0.03), "orange": (0.8, 0.3, 0.02), "lemon": (0.85, 0.62, 0.05)}
    r = radius
    mesh = sphere(r, 22)
    if kind == "lemon":
        mesh = transform(mesh, torch.diag(torch.tensor([1.25, 0.9, 0.9, 1.0])))
    elif kind == "apple":
        flat = mesh.vertices.clone()
        rim = flat[:, :2].norm(dim=-1) / r
        flat[:, 2] = flat[:, 2] * (0.75 + 0.25 * rim)
        mesh = Mesh(flat, mesh.faces)
    piece = [part(kind, transform(mesh, moved(0.0, 0.0, 0.88 * r)), earthen(colors[kind], 0.4, 0.5 * r, seed))]
    if kind == "apple":
        stalk = transform(cylinder(0.06 * r, 0.45 * r, 6), moved(0.0, 0.0, 1.5 * r))
        piece.append(part("stalk", stalk, earthen((0.15, 0.09, 0.04))))
    return piece


def fruit_bowl(radius: float, ground: RGB, figure: RGB, seed: int) -> Piece:
    """A painted bowl with fruit heaped in it."""
    r, rng = radius, random.Random(f"bowl {seed}")
    shape = [(0.4, 0.0), (0.42, 0.05), (0.62, 0.12), (0.9, 0.36), (1.0, 0.55), (0.95, 0.56), (0.8, 0.34), (0.5, 0.17)]
    piece = [part("bowl", lathe([(a * r, z * r) for a, z in shape], 34), glazed(ground, figure, 0.75 * r, seed))]
    for k in range(6):
        a, ring = 2 * math.pi * k / 5 + rng.uniform(-0.1, 0.1), 0.5 * r if k < 5 else 0.0
        spot = moved(ring * math.cos(a), ring * math.sin(a), (0.24 if k < 5 else 0.68) * r, yaw=rng.uniform(0, 6))
        piece += place(fruit(0.31 * r, rng.choice(["apple", "orange", "lemon", "orange"]), seed + k), spot)
    return piece


def cup(height: float, ground: RGB, figure: RGB, seed: int) -> Piece:
    """A cup of coffee on its saucer."""
    h = height
    wall = [(0.3 * h, 0.1 * h), (0.42 * h, 0.25 * h), (0.5 * h, h), (0.46 * h, h), (0.4 * h, 0.3 * h)]
    dish = [(0.4 * h, 0.0), (0.85 * h, 0.1 * h), (0.85 * h, 0.13 * h), (0.35 * h, 0.06 * h)]
    drink = transform(cylinder(0.44 * h, 0.02 * h, 20), moved(0.0, 0.0, 0.78 * h))
    handle = tube(
        [(0.44 * h, 0.0, 0.8 * h), (0.72 * h, 0.0, 0.78 * h), (0.74 * h, 0.0, 0.5 * h), (0.42 * h, 0.0, 0.36 * h)],
        [0.06 * h] * 4,
        8,
    )
    china = merge([lathe(wall, 26), lathe(dish, 30), handle])
    return [
        part("cup", china, glazed(ground, figure, h, seed)),
        part("coffee", drink, earthen((0.07, 0.03, 0.012), 0.3)),
    ]


# ------------------------------------------------------------------------------------------------ what moves


def car(length: float, color: RGB, stripe: RGB, seed: int) -> Piece:
    """A toy car on its wheels, its nose along x, the origin on the ground under its middle."""
    n = length
    body = merge([
        rounded_box((n, 0.46 * n, 0.17 * n), 0.06 * n, (0.0, 0.0, 0.16 * n), 3),
        rounded_box((0.5 * n, 0.4 * n, 0.05 * n), 0.02 * n, (-0.05 * n, 0.0, 0.385 * n), 2),
    ])  # fmt: skip
    cabin = rounded_box((0.46 * n, 0.38 * n, 0.16 * n), 0.03 * n, (-0.05 * n, 0.0, 0.3 * n), 2)
    fender = rounded_box((0.06 * n, 0.42 * n, 0.05 * n), 0.02 * n, (0.0, 0.0, 0.0), 2)
    trim = [transform(fender, moved(side * 0.5 * n, 0.0, 0.11 * n)) for side in (-1, 1)]
    tyre = lathe([(0.06 * n, 0.0), (0.11 * n, 0.01 * n), (0.11 * n, 0.07 * n), (0.06 * n, 0.08 * n)], 22)
    hub = lathe([(0.05 * n, -0.008 * n), (0.055 * n, 0.088 * n)], 14)
    wheels, hubs = [], []
    for sx in (-1, 1):
        for sy in (-1, 1):
            pose = moved(sx * 0.29 * n, sy * 0.22 * n + 0.04 * n, 0.11 * n, tilt=math.pi / 2)
            wheels.append(transform(tyre, pose))
            hubs.append(transform(hub, pose))
    lamps = [transform(sphere(0.045 * n, 12), moved(0.49 * n, s * 0.15 * n, 0.19 * n)) for s in (-1, 1)]
    return [
        part("car body", body, racing(color, stripe, n, seed)),
        part("car cabin", cabin, earthen((0.08, 0.12, 0.17), 0.3, 0.1 * n, seed)),
        part("car trim", merge([*trim, *hubs]), earthen((0.62, 0.6, 0.56), 0.2, 0.05 * n, seed)),
        part("car tyres", merge(wheels), earthen((0.035, 0.035, 0.04), 0.4, 0.04 * n, seed)),
        part("car lamps", merge(lamps), earthen((0.9, 0.75, 0.35), 0.1, 0.05 * n, seed)),
    ]


def ball(radius: float, colors: Sequence[RGB], seed: int) -> Piece:
    """A ball of coloured panels about the origin."""
    return [part("ball", sphere(radius, 48), panels(colors, radius, seed))]


def dice(side: float, color: RGB, pips: RGB, seed: int) -> Piece:
    """A die about the origin."""
    return [part("die", rounded_box((side, side, side), 0.12 * side, segments=3), die(color, pips, side, seed))]


def swing_seat(length: float, color: RGB, stripe: RGB, seed: int) -> Piece:
    """A board on two ropes that hang from the origin."""
    rope = [tube([(0.0, s * 0.24, 0.0), (0.0, s * 0.24, -length)], [0.022, 0.022], 8) for s in (-1, 1)]
    board = rounded_box((0.32, 0.62, 0.05), 0.02, (0.0, 0.0, -length))
    cushion = rounded_box((0.28, 0.46, 0.09), 0.035, (0.0, 0.0, -length + 0.065))
    return [
        part("ropes", merge(rope), printed((0.6, 0.48, 0.3), (0.3, 0.2, 0.1), 0.04, "stripes", seed)),
        part("seat", board, grained(*OAK, 1, seed)),
        part("cushion", cushion, printed(color, stripe, 0.09, "dots", seed)),
    ]


def bauble(length: float, radius: float, color: RGB, other: RGB, seed: int) -> Piece:
    """A many-sided bauble on a thread that hangs from the origin."""
    gem = lathe(
        [(0.5 * radius, -0.8 * radius), (radius, -0.1 * radius), (radius, 0.2 * radius), (0.4 * radius, 0.85 * radius)],
        8,
    )
    thread = tube([(0.0, 0.0, 0.0), (0.0, 0.0, -length + 0.8 * radius)], [0.04 * radius] * 2, 6)
    return [
        part("thread", thread, earthen((0.2, 0.12, 0.06))),
        part("bauble", transform(gem, moved(0.0, 0.0, -length)), printed(color, other, 0.5 * radius, "checks", seed)),
    ]


def balloon(radius: float, colors: Sequence[RGB], seed: int) -> Piece:
    """A balloon about the origin, with a short ribbon."""
    r = radius
    shape = [(0.05, -1.3), (0.08, -1.26), (0.04, -1.2), (0.3, -1.0), (0.72, -0.62), (0.96, -0.1), (1.0, 0.2)]
    shape += [(0.86, 0.66), (0.5, 0.98), (0.16, 1.09)]
    ribbon = tube([(0.0, 0.0, -2.3 * r), (0.12 * r, 0.0, -1.8 * r), (0.0, 0.0, -1.3 * r)], [0.03 * r] * 3, 6)
    return [
        part("balloon", lathe([(a * r, z * r) for a, z in shape], 32), panels(colors, r, seed)),
        part("ribbon", ribbon, earthen((0.7, 0.65, 0.6))),
    ]
