"""Plans of living rooms: colours that go together, the shell with its window, and where the furniture stands.

In a plan the window is in the wall at +x and the sofa stands at -y; ``rooms`` mirrors and turns it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TypeAlias

from fieldscape.meshes import box, cylinder, merge, quad, transform
from fieldscape.worlds import furniture as make
from fieldscape.worlds.furniture import Piece, moved, part, place
from fieldscape.worlds.textures import RGB, landscape, plain, planks, tiles, wallpaper

Hole: TypeAlias = tuple[float, float, float, float]
"""A window's place in its wall: the middle along the wall, the width, the height of the sill and of the head."""


@dataclass(frozen=True)
class Palette:
    """Colours that go together, as linear RGB."""

    wall: RGB
    figure: RGB
    sofa: RGB
    chair: RGB
    accents: tuple[RGB, ...]
    rug: tuple[RGB, RGB, RGB, RGB]
    curtain: RGB
    floor: tuple[RGB, RGB]
    wood: tuple[RGB, RGB]


OAK = ((0.52, 0.34, 0.18), (0.3, 0.17, 0.08))
WALNUT = ((0.3, 0.16, 0.08), (0.13, 0.065, 0.035))
PALE = ((0.66, 0.52, 0.36), (0.5, 0.35, 0.2))
MAHOGANY = ((0.36, 0.12, 0.06), (0.18, 0.05, 0.03))
PALETTES = (
    Palette(
        (0.74, 0.71, 0.62), (0.58, 0.6, 0.5), (0.1, 0.22, 0.3), (0.62, 0.3, 0.1),
        ((0.75, 0.45, 0.08), (0.6, 0.13, 0.08), (0.75, 0.72, 0.62), (0.1, 0.3, 0.32), (0.3, 0.38, 0.16)),
        ((0.68, 0.62, 0.5), (0.5, 0.1, 0.07), (0.08, 0.12, 0.22), (0.75, 0.5, 0.15)), (0.72, 0.62, 0.42), OAK, WALNUT,
    ),
    Palette(
        (0.62, 0.7, 0.73), (0.45, 0.56, 0.62), (0.55, 0.5, 0.43), (0.12, 0.27, 0.19),
        ((0.1, 0.24, 0.45), (0.8, 0.6, 0.15), (0.15, 0.4, 0.35), (0.82, 0.8, 0.74), (0.62, 0.2, 0.16)),
        ((0.12, 0.2, 0.36), (0.72, 0.7, 0.62), (0.3, 0.42, 0.55), (0.78, 0.42, 0.16)), (0.82, 0.82, 0.8), PALE, OAK,
    ),
    Palette(
        (0.74, 0.6, 0.45), (0.62, 0.44, 0.3), (0.14, 0.25, 0.13), (0.5, 0.34, 0.2),
        ((0.7, 0.24, 0.08), (0.8, 0.62, 0.32), (0.2, 0.28, 0.12), (0.75, 0.7, 0.6), (0.12, 0.17, 0.3)),
        ((0.48, 0.16, 0.08), (0.75, 0.58, 0.32), (0.16, 0.07, 0.05), (0.2, 0.3, 0.2)), (0.6, 0.3, 0.14),
        WALNUT, MAHOGANY,
    ),
    Palette(
        (0.68, 0.66, 0.64), (0.78, 0.76, 0.74), (0.42, 0.12, 0.14), (0.2, 0.22, 0.26),
        ((0.8, 0.55, 0.45), (0.14, 0.15, 0.2), (0.78, 0.74, 0.7), (0.6, 0.2, 0.25), (0.3, 0.45, 0.48)),
        ((0.2, 0.2, 0.24), (0.72, 0.68, 0.64), (0.6, 0.2, 0.2), (0.78, 0.62, 0.45)), (0.5, 0.46, 0.48), PALE, WALNUT,
    ),
    Palette(
        (0.5, 0.6, 0.5), (0.64, 0.7, 0.58), (0.7, 0.62, 0.5), (0.55, 0.17, 0.1),
        ((0.12, 0.3, 0.22), (0.72, 0.3, 0.2), (0.8, 0.68, 0.3), (0.25, 0.22, 0.42), (0.78, 0.76, 0.68)),
        ((0.74, 0.68, 0.55), (0.14, 0.3, 0.26), (0.5, 0.2, 0.12), (0.75, 0.55, 0.2)), (0.75, 0.72, 0.6), MAHOGANY, OAK,
    ),
)  # fmt: skip


def shell(w: float, d: float, h: float, hole: Hole, colors: Palette, rng: random.Random) -> Piece:
    """Floor, ceiling, four walls (the +x one around its window hole), skirting, a door's width left free."""
    middle, wide, sill, head = hole
    floors = [
        planks(*colors.floor, seed=rng.randrange(99)),
        planks(*colors.wood, 0.11, 0.9, rng.randrange(99)),
        tiles((0.58, 0.54, 0.46), colors.wood[1], 0.45, rng.randrange(99)),
    ]
    kind = rng.choice(["stripes", "diamonds", "sprigs", "plaster"])
    paper = wallpaper(colors.wall, colors.figure, kind, rng.randrange(99))
    x, y = w / 2, d / 2
    low, high = middle - wide / 2, middle + wide / 2
    walls = [
        quad((-x, -y, 0.0), (0.0, 0.0, h), (w, 0.0, 0.0)),
        quad((-x, y, 0.0), (w, 0.0, 0.0), (0.0, 0.0, h)),
        quad((-x, -y, 0.0), (0.0, d, 0.0), (0.0, 0.0, h)),
    ]
    ys, zs = (-y, low, high, y), (0.0, sill, head, h)
    for i in range(3):
        for k in range(3):
            if (i, k) != (1, 1):
                walls.append(quad((x, ys[i], zs[k]), (0.0, 0.0, zs[k + 1] - zs[k]), (0.0, ys[i + 1] - ys[i], 0.0)))
    deep = 0.2
    reveal = [
        quad((x, low, sill), (0.0, 0.0, head - sill), (deep, 0.0, 0.0)),
        quad((x, high, sill), (deep, 0.0, 0.0), (0.0, 0.0, head - sill)),
        quad((x, low, sill), (deep, 0.0, 0.0), (0.0, wide, 0.0)),
        quad((x, low, head), (0.0, wide, 0.0), (deep, 0.0, 0.0)),
    ]
    thick, tall = 0.018, 0.1
    skirting = [box((w, thick, tall), (0.0, s * (y - thick / 2), tall / 2)) for s in (-1, 1)]
    skirting += [box((thick, d - 2 * thick, tall), (s * (x - thick / 2), 0.0, tall / 2)) for s in (-1, 1)]
    cornice = [box((w, 0.05, 0.06), (0.0, s * (y - 0.025), h - 0.03)) for s in (-1, 1)]
    cornice += [box((0.05, d - 0.1, 0.06), (s * (x - 0.025), 0.0, h - 0.03)) for s in (-1, 1)]
    white = (0.8, 0.79, 0.76)
    return [
        part("floor", quad((-x, -y, 0.0), (w, 0.0, 0.0), (0.0, d, 0.0)), floors[rng.choice([0, 0, 1, 2])], edge=0.08),
        part("ceiling", quad((-x, -y, h), (0.0, d, 0.0), (w, 0.0, 0.0)), plain(white, 0.03, 0.5), edge=0.17),
        part("walls", merge(walls), paper, edge=0.11),
        part("reveal", merge(reveal), plain(white, 0.03, 0.3), edge=0.12),
        part("skirting", merge([*skirting, *cornice]), plain(white, 0.03), edge=0.3),
    ]


def window(w: float, hole: Hole, colors: Palette, h: float, rng: random.Random) -> Piece:
    """Frame, sill, curtains on a rod, and the view outside."""
    middle, wide, sill, head = hole
    x, tall = w / 2 + 0.13, head - sill
    bars = [box((0.06, 0.06, tall), (x, middle + s * (wide / 2 - 0.03), sill + tall / 2)) for s in (-1, 1)]
    bars += [box((0.06, wide, 0.06), (x, middle, z)) for z in (sill + 0.03, head - 0.03)]
    panes = rng.choice([2, 3])
    for k in range(1, panes):
        bars.append(box((0.05, 0.07, tall), (x, middle + (k / panes - 0.5) * wide, sill + tall / 2)))
    bars.append(box((0.04, wide, 0.035), (x, middle, sill + 0.7 * tall)))
    board = box((0.3, wide + 0.16, 0.035), (w / 2 + 0.03, middle, sill - 0.0175))
    white = (0.82, 0.81, 0.78)
    pieces = [part("window", merge([*bars, board]), plain(white, 0.03), edge=0.25)]
    pale = (colors.curtain[0] * 0.75, colors.curtain[1] * 0.75, colors.curtain[2] * 0.75)
    top = min(h - 0.1, head + 0.16)
    for side in (-1, 1):
        y = middle + side * (wide / 2 + 0.16)
        cloth = make.curtain(0.42, top - 0.06, colors.curtain, pale)
        pieces += place(cloth, moved(w / 2 - 0.085, y, 0.03, yaw=math.pi / 2))
    rod = transform(cylinder(0.014, wide + 0.9, 10), moved(0.0, 0.0, 0.0, tilt=math.pi / 2))
    rod_part = part("rod", rod, plain((0.1, 0.08, 0.06)), edge=0.5)
    pieces += place([rod_part], moved(w / 2 - 0.085, middle + wide / 2 + 0.45, top))
    view = quad((9.0, 0.0, -5.0), (-18.0, 0.0, 0.0), (0.0, 0.0, 10.0))
    outside = part("outside", view, landscape((4.6, 2.8), rng.randrange(1, 99)), glow=0.5, edge=2.0, outside=True)
    return pieces + place([outside], moved(w / 2 + 0.55, middle, 1.55, yaw=math.pi / 2))


def furnish(w: float, d: float, h: float, colors: Palette, rng: random.Random) -> Piece:
    """Sofa on the -y side, television across, shelf and door on the -x side, armchair and plant towards the window."""
    pillows = rng.sample(colors.accents, 4)
    length = rng.uniform(1.9, 2.2)
    sofa_x = rng.uniform(-0.1, 0.35)
    pieces = place(
        make.sofa(length, rng.choice([2, 3]), colors.sofa, pillows[: rng.choice([2, 3, 4])], (0.08, 0.05, 0.03), rng),
        moved(sofa_x, -d / 2 + 0.5),
    )
    size = (rng.uniform(2.2, 2.7), rng.uniform(1.5, 1.8))
    kind = rng.choice(["diamonds", "zigzag", "medallion"])
    rug_at = (sofa_x + rng.uniform(-0.15, 0.15), rng.uniform(-0.35, -0.15))
    carpet = make.carpet(size, colors.rug, kind, rng.randrange(99))
    pieces += place(carpet, moved(*rug_at, yaw=rng.uniform(-0.06, 0.06)))
    table = make.coffee_table(rng.random() < 0.5, *colors.wood, colors.accents[0], rng)
    table_at = (sofa_x + rng.uniform(-0.1, 0.1), rng.uniform(-0.3, -0.15), 0.014)
    pieces += place(table, moved(*table_at, yaw=rng.uniform(-0.1, 0.1)))
    bench_x = sofa_x + rng.uniform(-0.2, 0.1)
    bench = make.media_bench(rng.uniform(1.6, 1.9), *colors.wood, rng.randrange(1, 99))
    pieces += place(bench, moved(bench_x, d / 2 - 0.24, yaw=math.pi))
    pieces += place(make.vase(0.28, colors.accents[1]), moved(bench_x + 0.72, d / 2 - 0.24, 0.49))
    chair = make.sofa(0.86, 1, colors.chair, pillows[-1:], (0.08, 0.05, 0.03), rng)
    chair_side = rng.choice([-1, 1])  # towards the television or beside the sofa
    chair_y = d / 2 - 1.15 if chair_side > 0 else -0.2
    pieces += place(chair, moved(w / 2 - 0.76, chair_y, yaw=math.pi / 2 + 0.35 * chair_side + rng.uniform(-0.15, 0.15)))
    pieces += place(make.floor_lamp((0.12, 0.1, 0.08), (0.85, 0.7, 0.48)), moved(-w / 2 + 0.45, -d / 2 + 0.42))
    pieces += place(make.pendant(0.52, (0.85, 0.8, 0.7)), moved(0.0, 0.0, h))
    leaf = rng.choice([((0.05, 0.2, 0.04), (0.2, 0.42, 0.1)), ((0.09, 0.24, 0.07), (0.34, 0.5, 0.16))])
    green = make.plant(rng.uniform(0.95, 1.25), rng.choice(colors.accents), *leaf, rng)
    pieces += place(green, moved(w / 2 - 0.48, (d / 2 - 0.48) if chair_side < 0 else (-d / 2 + 0.48)))
    wall = -w / 2
    door_y, shelf_y = rng.uniform(0.95, 1.15), rng.uniform(-0.45, -0.15)
    if rng.random() < 0.5:
        door_y, shelf_y = -0.25, 1.1
    pieces += place(make.door(0.84, 2.03, (0.72, 0.68, 0.6), (0.8, 0.78, 0.74)), moved(wall, door_y, yaw=-math.pi / 2))
    shelf = make.bookshelf(rng.uniform(0.95, 1.2), rng.uniform(1.75, 2.0), *colors.wood, colors.accents, rng)
    pieces += place(shelf, moved(wall + 0.17, shelf_y, yaw=-math.pi / 2))
    return pieces + _pictures(w, d, sofa_x, colors, rng)


def _pictures(w: float, d: float, sofa_x: float, colors: Palette, rng: random.Random) -> Piece:
    """One to three pictures over the sofa, one beside the television."""
    dark, count, pieces = (0.06, 0.045, 0.035), rng.choice([1, 2, 3]), []
    for k in range(count):
        wide = {1: 1.2, 2: 0.72, 3: 0.48}[count] * rng.uniform(0.9, 1.05)
        tall = {1: 0.7, 2: 0.55, 3: 0.62}[count]
        x = sofa_x + (k - (count - 1) / 2) * (wide + 0.16)
        canvas = make.picture(wide, tall, dark, colors.accents, rng.randrange(999))
        pieces += place(canvas, moved(x, -d / 2, 1.58))
    side = -1 if sofa_x > 0.1 else 1
    small = make.picture(0.42, 0.54, (0.5, 0.36, 0.15), colors.accents, rng.randrange(999))
    return pieces + place(small, moved(sofa_x + side * 1.45, d / 2, 1.5, yaw=math.pi))
