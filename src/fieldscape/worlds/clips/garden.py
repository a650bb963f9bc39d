"""A garden behind a house: a paved yard on a lawn, a brick wall with a window and a door, a fence, a tree, pots.

A toy car drives round the planter in the middle of the yard, a ball hops by in front, a swing swings at the side,
another ball rolls along the wall, and balloons hover above. The camera stands at -y.
"""

from __future__ import annotations

import math
import random

import torch

from fieldscape.meshes import box, merge, quad, transform
from fieldscape.worlds.clips import things as make
from fieldscape.worlds.clips.motions import Drive, Hop, Hover, Motion, Roll, Stand, Swing
from fieldscape.worlds.clips.scene import Mover, Scene, ready
from fieldscape.worlds.clips.textures import bricks, earthen, grained, grass, paving, printed, shingles
from fieldscape.worlds.clips.things import Piece, generator
from fieldscape.worlds.lights import Lights
from fieldscape.worlds.parts import moved, part, place
from fieldscape.worlds.textures import RGB, fabric, painted_parts

WALL = 4.2
"""Where the house begins, along y."""
YARD = (4.6, 3.6)
"""Half the yard's width, and how far it reaches towards the camera."""

GROUND = 0.03
"""Height of the paving."""
PIVOT = (-3.35, 1.3, 1.95)
"""What the swing hangs from."""

PAINTS: list[tuple[RGB, RGB]] = [
    ((0.65, 0.05, 0.04), (0.92, 0.88, 0.8)),
    ((0.04, 0.16, 0.55), (0.95, 0.75, 0.1)),
    ((0.85, 0.42, 0.03), (0.05, 0.08, 0.2)),
    ((0.03, 0.35, 0.2), (0.92, 0.88, 0.75)),
]
PANELS: list[RGB] = [
    (0.75, 0.05, 0.05), (0.9, 0.86, 0.78), (0.05, 0.2, 0.6), (0.92, 0.65, 0.05), (0.05, 0.42, 0.2), (0.85, 0.3, 0.45),
]  # fmt: skip
BLOSSOMS: list[RGB] = [(0.75, 0.08, 0.2), (0.8, 0.45, 0.05), (0.45, 0.12, 0.55), (0.85, 0.75, 0.15)]


def garden(seed: int, objects: int) -> Scene:
    """The garden of a seed, with so many moving things (20 at most)."""
    rng = random.Random(f"garden {seed}")
    still = [*_ground(rng), *_house(rng), *_borders(rng), *_yard(rng)]
    movers = _movers(rng)
    if objects < 3:  # nobody swings
        still += place(list(movers[2].parts), moved(*PIVOT))
    lights = Lights(
        sky=(0.75, 1.0, 1.5), ground=(0.35, 0.33, 0.25), sun=(3.6, 3.2, 2.6),
        sun_direction=(rng.uniform(-0.75, -0.45), rng.uniform(-0.7, -0.45), 0.8), open_air=True,
    )  # fmt: skip
    stand = Stand((0.0, -5.4, 1.75), (0.05, 0.7, 0.72), 56.0, 15.0, 0.75)
    return Scene(ready(still), tuple(movers[:objects]), lights, stand)


# ------------------------------------------------------------------------------------------------ what stands


def _ground(rng: random.Random) -> Piece:
    half, front = YARD
    lawn = quad((-10.0, -8.0, 0.0), (22.0, 0.0, 0.0), (0.0, 17.0, 0.0))
    slabs = box((2 * half, front + WALL, 0.06), (0.0, (WALL - front) / 2, 0.0))
    draw = generator(f"tufts {rng.random()}")
    u, v = torch.rand(2600, 2, generator=draw).unbind(-1)
    # Tufts stand along the edges of the yard, densest close to it.
    beside = 0.9 * u**2 + 0.02
    side = torch.randint(3, (2600,), generator=draw)
    along = v * (front + WALL) - front
    x = torch.where(side == 0, -half - beside, torch.where(side == 1, half + beside, (2 * v - 1) * (half + 0.6)))
    y = torch.where(side == 2, -front - 0.7 * beside, along)
    feet = torch.stack([x, y, torch.zeros(2600)], -1)
    greens: list[RGB] = [(0.1, 0.24, 0.04), (0.2, 0.36, 0.08), (0.27, 0.36, 0.1), (0.14, 0.28, 0.05)]
    seed = rng.randrange(99)
    stones = rng.choice([((0.5, 0.45, 0.38), (0.27, 0.23, 0.19)), ((0.46, 0.46, 0.45), (0.24, 0.24, 0.25))])
    return [
        part("lawn", lawn, grass(seed)),
        part("paving", slabs, paving(*stones, 0.75, seed)),
        part("tufts", make.blades(feet, 0.13, greens, draw), painted_parts(0.25, 0.04)),
    ]


def _house(rng: random.Random) -> Piece:
    seed = rng.randrange(99)
    clay = rng.choice([((0.5, 0.19, 0.1), (0.26, 0.09, 0.055)), ((0.56, 0.4, 0.24), (0.34, 0.22, 0.13))])
    paint = rng.choice([(0.07, 0.2, 0.16), (0.08, 0.16, 0.32), (0.36, 0.06, 0.05)])
    pale: RGB = (0.75, 0.72, 0.65)
    wall = box((8.6, 0.4, 3.3), (-1.9, WALL + 0.2, 1.65))
    base = box((8.64, 0.44, 0.28), (-1.9, WALL + 0.18, 0.14))
    piece = [
        part("wall", wall, bricks(*clay, (0.55, 0.52, 0.46), seed)),
        part("base", base, earthen((0.34, 0.32, 0.29), 0.35, 0.2, seed)),
    ]
    roof = part("roof", box((9.2, 2.6, 0.1), (0.0, 1.1, 0.0)), shingles((0.4, 0.13, 0.07), (0.2, 0.07, 0.05), seed))
    piece += place([roof], moved(-1.9, WALL - 0.2, 3.35, tilt=0.6))
    return [*piece, *_window(-2.35, paint, pale, rng), *_door(0.75, paint, pale, rng)]


def _window(x: float, paint: RGB, pale: RGB, rng: random.Random) -> Piece:
    wide, tall, sill, y = 1.25, 1.2, 1.15, WALL
    frame = [box((wide + 0.16, 0.1, 0.08), (x, y - 0.02, sill + k * tall)) for k in (0, 1)]
    frame += [box((0.08, 0.1, tall + 0.08), (x + s * (wide + 0.08) / 2, y - 0.02, sill + tall / 2)) for s in (-1, 1)]
    frame += [
        box((0.05, 0.07, tall), (x, y - 0.01, sill + tall / 2)),
        box((wide, 0.07, 0.05), (x, y - 0.01, sill + 0.62 * tall)),
    ]
    shutters = []
    for s in (-1, 1):
        middle = x + s * (wide / 2 + 0.42)
        shutters.append(box((0.56, 0.04, tall + 0.08), (middle, y - 0.02, sill + tall / 2)))
        shutters += [box((0.46, 0.03, 0.06), (middle, y - 0.05, sill + 0.1 + 0.105 * k)) for k in range(11)]
    curtain = [box((0.36, 0.01, tall), (x + s * 0.44, y - 0.012, sill + tall / 2)) for s in (-1, 1)]
    trough = box((wide, 0.22, 0.2), (x, y - 0.16, sill - 0.1))
    blossom = rng.choice(BLOSSOMS)
    piece = [
        part("window frame", merge(frame), grained(pale, (0.55, 0.52, 0.46), 0, 3)),
        part("shutters", merge(shutters), grained(paint, tuple(0.55 * c for c in paint), 2, 4)),  # type: ignore[arg-type]
        part(
            "panes", box((wide, 0.02, tall), (x, y - 0.005, sill + tall / 2)), earthen((0.05, 0.07, 0.09), 0.5, 0.5, 5)
        ),
        part("curtains", merge(curtain), fabric((0.62, 0.58, 0.5), (0.5, 0.2, 0.16), 0.09, 6)),
        part("trough", trough, grained(*make.OAK, 0, 7)),
    ]
    for k in range(4):
        bush = make.bush(0.36, 0.26, rng.randrange(999), 90, blossom)
        piece += place(bush, moved(x + (k - 1.5) * 0.32, y - 0.16, sill - 0.03))
    return piece


def _door(x: float, paint: RGB, pale: RGB, rng: random.Random) -> Piece:
    wide, tall, y = 0.95, 2.1, WALL
    leaf = [box((wide, 0.05, tall), (x, y - 0.01, tall / 2 + 0.15))]
    for k in (-1, 1):
        for low, high in ((0.1, 0.42), (0.5, 0.92)):
            leaf.append(
                box((0.34, 0.03, (high - low) * tall), (x + k * 0.22, y - 0.045, (low + high) / 2 * tall + 0.15))
            )
    casing = [box((0.12, 0.12, tall + 0.12), (x + s * (wide + 0.12) / 2, y - 0.03, tall / 2 + 0.2)) for s in (-1, 1)]
    casing.append(box((wide + 0.34, 0.16, 0.14), (x, y - 0.04, tall + 0.24)))
    steps = merge([box((1.5, 0.5, 0.15), (x, y - 0.25, 0.075)), box((1.5, 0.8, 0.07), (x, y - 0.4, 0.035))])
    mat = box((0.8, 0.4, 0.02), (x, y - 0.28, 0.16))
    dark: RGB = (0.5 * paint[0], 0.5 * paint[1], 0.5 * paint[2])
    return [
        part("door", merge(leaf), grained(paint, dark, 2, rng.randrange(99))),
        part("casing", merge(casing), grained(pale, (0.5, 0.48, 0.42), 2, 8)),
        part("steps", steps, earthen((0.42, 0.4, 0.37), 0.4, 0.12, 9)),
        part("mat", mat, printed((0.35, 0.22, 0.1), (0.12, 0.07, 0.04), 0.08, "checks", 3)),
    ]


def _borders(rng: random.Random) -> Piece:
    """Fences to the right and left, a hedge behind, a bed along the wall."""
    piece = place(make.fence(6.4, 1.25, rng.randrange(99)), moved(5.6, WALL + 0.6))
    piece += place(make.fence(8.0, 1.15, rng.randrange(99)), moved(-6.4, 1.0, yaw=math.pi / 2))
    piece += place(make.fence(8.0, 1.15, rng.randrange(99)), moved(8.0, 1.0, yaw=-math.pi / 2))
    for k in range(4):
        hedge = make.bush(2.6, rng.uniform(2.2, 3.0), rng.randrange(999), 420)
        piece += place(hedge, moved(3.6 + 1.75 * k, WALL + 2.2 + rng.uniform(-0.2, 0.2)))
        piece += place(make.bush(2.4, rng.uniform(1.6, 2.3), rng.randrange(999), 300), moved(-8.2, -2.0 + 2.1 * k))
    for k in range(3):
        bed = make.bush(rng.uniform(0.6, 0.85), rng.uniform(0.4, 0.6), rng.randrange(999), 240, rng.choice(BLOSSOMS))
        piece += place(bed, moved(2.0 + 0.35 * rng.random() + 0.8 * k, WALL - 0.35))
    return piece


def _yard(rng: random.Random) -> Piece:
    """What stands on the paving: the planter that the car drives round, a bench, crates, pots, the swing's frame."""
    piece = place(make.tree(3.5, 1.25, rng.randrange(999)), moved(4.7, 2.1))
    piece += _planter(rng)
    piece += place(make.bench(1.6, rng.randrange(99)), moved(-0.95 + rng.uniform(-0.1, 0.1), 3.62))
    piece += place(make.crate(0.55, rng.randrange(99)), moved(-3.0, 3.5, yaw=rng.uniform(-0.2, 0.2)))
    piece += place(make.crate(0.45, rng.randrange(99)), moved(-3.65, 3.2, yaw=rng.uniform(-0.5, 0.5)))
    piece += place(make.crate(0.38, rng.randrange(99)), moved(-3.0, 3.5, 0.55, yaw=rng.uniform(0.2, 0.7)))
    for x, y, tall in (
        (-1.75, -2.65, 0.34),
        (1.55, -2.75, 0.3),
        (2.55, -2.5, 0.4),
        (3.4, -0.4, 0.42),
        (1.65, 3.75, 0.4),
    ):
        filled = make.pot(tall, make.TERRACOTTA, rng.randrange(99))
        if rng.random() < 0.5:
            filled += place(
                make.bush(1.25 * tall, tall, rng.randrange(999), 170, rng.choice(BLOSSOMS)), moved(0, 0, 0.85 * tall)
            )
        else:
            filled += place(make.flowers(8, 1.5 * tall, BLOSSOMS, rng.randrange(999)), moved(0, 0, 0.88 * tall))
        piece += place(
            filled, moved(x + rng.uniform(-0.1, 0.1), y + rng.uniform(-0.1, 0.1), 0.03, yaw=rng.uniform(0, 6))
        )
    bars = []
    x, y, z = PIVOT
    for end in (-0.75, 0.75):
        bars += [make.tube([(x + s * 0.75, y + end, 0.0), (x, y + end, z)], [0.05, 0.045], 10) for s in (-1, 1)]
    beam = transform(box((0.09, 1.6, 0.09)), moved(x, y, z + 0.02))
    return [*piece, part("swing frame", merge([*bars, beam]), grained((0.45, 0.32, 0.2), (0.2, 0.13, 0.08), 2, 5))]


def _planter(rng: random.Random) -> Piece:
    """A raised bed of stone, round which the car drives."""
    stone = box((1.15, 0.9, 0.42), (0.15, 0.45, 0.24))
    rim = [box((1.25, 0.12, 0.08), (0.15, 0.45 + s * 0.44, 0.46)) for s in (-1, 1)]
    rim += [box((0.12, 0.8, 0.08), (0.15 + s * 0.565, 0.45, 0.46)) for s in (-1, 1)]
    seed = rng.randrange(99)
    piece = [
        part("planter", stone, bricks((0.5, 0.46, 0.4), (0.3, 0.27, 0.24), (0.2, 0.19, 0.17), seed)),
        part("planter rim", merge(rim), earthen((0.5, 0.48, 0.44), 0.35, 0.1, seed)),
    ]
    piece += place(make.bush(0.95, 0.62, rng.randrange(999), 420, rng.choice(BLOSSOMS)), moved(0.05, 0.45, 0.44))
    return [*piece, *place(make.flowers(9, 0.75, BLOSSOMS, rng.randrange(999)), moved(0.48, 0.35, 0.42))]


# ------------------------------------------------------------------------------------------------ what moves


def _movers(rng: random.Random) -> list[Mover]:
    color, stripe = rng.choice(PAINTS)
    other, figure = rng.choice(PAINTS)
    seed = rng.randrange(99)

    def tints() -> list[RGB]:
        return rng.sample(PANELS, 6)

    low, high = GROUND + 0.24, GROUND + 0.2
    paths: list[tuple[str, Piece, Motion, tuple[float, float]]] = [
        ("toy car", make.car(1.05, color, stripe, seed), Drive((0.15, 0.4, GROUND), (2.35, 1.6)), (0.03, 0.08)),
        (
            "hopping ball",
            make.ball(0.24, tints(), seed),
            Hop((-1.9, -1.95, low), (1.9, -1.95, low), 0.75, 4, (0.3, 1.0, 0.1)),
            (0.03, 0.1),
        ),
        ("swing", make.swing_seat(1.4, other, figure, seed), Swing(PIVOT, (0.0, 1.0, 0.0), 24.0), (0.0, 0.2)),
        (
            "rolling ball",
            make.ball(0.2, tints(), seed + 1),
            Roll((-2.1, 2.85, high), (3.0, 2.85, high), 0.2),
            (0.05, 0.15),
        ),
    ]
    movers = [Mover(name, ready(piece), motion, rng.uniform(*start)) for name, piece, motion, start in paths]
    for k in range(16):
        center = (-2.45 + 0.7 * (k % 8), 0.4 + 0.9 * (k % 2), 1.75 + 0.55 * (k // 8) + rng.uniform(-0.05, 0.05))
        pieces = ready(make.balloon(0.17, tints(), seed + k))
        movers.append(Mover(f"balloon {k + 1}", pieces, Hover(center, 0.12), rng.random()))
    return movers
