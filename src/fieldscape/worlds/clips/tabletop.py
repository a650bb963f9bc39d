"""A still life on a wooden table in the corner of a room: vases, books, fruit, boxes, a plant, pictures on the walls.

A toy car drives round the fruit bowl, a die hops by in front, a ball rolls before the books at the back, a bauble
swings on a thread, and small balloons hover. The camera stands at -y.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

from torch import Tensor

from fieldscape.meshes import box, merge, quad, rounded_box, transform
from fieldscape.worlds.clips import things as make
from fieldscape.worlds.clips.garden import PAINTS, PANELS
from fieldscape.worlds.clips.motions import Drive, Hop, Hover, Motion, Roll, Stand, Swing
from fieldscape.worlds.clips.scene import Mover, Scene, ready
from fieldscape.worlds.clips.textures import earthen, glazed, grained, printed
from fieldscape.worlds.clips.things import Piece
from fieldscape.worlds.lights import Lights
from fieldscape.worlds.parts import moved, part, place
from fieldscape.worlds.textures import RGB, Surface, Texture, abstract, fractal, landscape, planks, rug, wallpaper

TOP = 0.75
"""Height of the table."""
BACK = 0.62
"""Where the wall is behind it, along y."""
INKS: list[RGB] = [
    (0.55, 0.1, 0.06),
    (0.08, 0.22, 0.4),
    (0.75, 0.5, 0.12),
    (0.12, 0.32, 0.2),
    (0.72, 0.66, 0.54),
    (0.3, 0.12, 0.28),
]
GLAZES: list[tuple[RGB, RGB]] = [
    ((0.78, 0.74, 0.65), (0.06, 0.13, 0.42)),
    ((0.1, 0.28, 0.34), (0.85, 0.75, 0.5)),
    ((0.6, 0.22, 0.08), (0.92, 0.85, 0.7)),
]


def tabletop(seed: int, objects: int) -> Scene:
    """The still life of a seed, with so many moving things (20 at most)."""
    rng = random.Random(f"tabletop {seed}")
    still = [*_room(rng), *_table(rng), *_behind(rng), *_before(rng)]
    lights = Lights(
        sky=(1.0, 1.02, 1.08), ground=(0.55, 0.48, 0.4), sun=(2.6, 2.3, 1.9),
        sun_direction=(rng.uniform(0.35, 0.65), rng.uniform(-0.75, -0.5), 0.9), open_air=True,
    )  # fmt: skip
    stand = Stand((0.02, -1.42, 1.28), (0.0, 0.06, 0.865), 48.0, 14.0, 0.17)
    return Scene(ready(still), tuple(_movers(rng)[:objects]), lights, stand)


def _room(rng: random.Random) -> Piece:
    seed = rng.randrange(99)
    tones: list[tuple[RGB, RGB]] = [
        ((0.6, 0.56, 0.42), (0.36, 0.42, 0.3)),
        ((0.45, 0.55, 0.58), (0.68, 0.7, 0.66)),
        ((0.62, 0.46, 0.34), (0.44, 0.24, 0.16)),
    ]
    ground, figure = rng.choice(tones)
    kind = rng.choice(["diamonds", "sprigs", "stripes"])
    wall = quad((-2.2, BACK, 0.0), (4.6, 0.0, 0.0), (0.0, 0.0, 2.6))
    side = quad((-1.35, -2.5, 0.0), (0.0, 2.5 + BACK, 0.0), (0.0, 0.0, 2.6))
    floor = quad((-2.2, -3.0, 0.0), (5.0, 0.0, 0.0), (0.0, 3.0 + BACK, 0.0))
    piece = [
        part("wall", wall, _papered(ground, figure, kind, seed)),
        part("side wall", side, _papered(ground, figure, kind, seed)),
        part("floor", floor, planks((0.42, 0.26, 0.13), (0.2, 0.11, 0.05), 0.12, 0.9, seed)),
        part(
            "skirting",
            box((4.6, 0.03, 0.12), (0.1, BACK - 0.015, 0.06)),
            grained((0.7, 0.66, 0.58), (0.5, 0.46, 0.4), 0, seed),
        ),
    ]
    for x, z, w, h in ((-0.5, 1.21, 0.4, 0.3), (0.08, 1.26, 0.28, 0.36), (0.58, 1.2, 0.38, 0.28)):
        piece += place(_picture(w, h, rng), moved(x + rng.uniform(-0.03, 0.03), BACK, z + rng.uniform(-0.02, 0.02)))
    return piece + place(_picture(0.5, 0.36, rng), moved(-1.35, -0.1, 1.25, yaw=math.pi / 2))


def _papered(ground: RGB, figure: RGB, kind: str, seed: int) -> Texture:
    """Wallpaper at less than half its usual size, over rough plaster."""
    paper = wallpaper(ground, figure, kind, seed)

    def texture(surface: Surface) -> Tensor:
        small = replace(surface, point=surface.point * 2.2, footprint=surface.footprint * 2.2)
        rough = fractal(surface.point, surface.footprint, 0.06, 4, seed)
        return paper(small) * (1 + 0.16 * rough)[:, None]

    return texture


def _picture(width: float, height: float, rng: random.Random) -> Piece:
    """A framed picture that hangs on the wall at y = 0, towards -y."""
    seed, rim = rng.randrange(999), 0.025
    bars = [box((width + 2 * rim, 0.025, rim), (0.0, -0.0125, s * (height + rim) / 2)) for s in (-1, 1)]
    bars += [box((rim, 0.025, height), (s * (width + rim) / 2, -0.0125, 0.0)) for s in (-1, 1)]
    art = landscape((width, height), seed, 0.9) if seed % 2 else abstract((width, height), INKS, seed)
    return [
        part(
            "frame",
            merge(bars),
            grained(
                *rng.choice(
                    [make.OAK, ((0.1, 0.07, 0.05), (0.04, 0.03, 0.02)), ((0.6, 0.42, 0.15), (0.3, 0.18, 0.06))]
                ),
                0,
                seed,
                0.015,
            ),
        ),
        part("canvas", box((width, 0.008, height), (0.0, -0.006, 0.0)), art),
    ]


def _table(rng: random.Random) -> Piece:
    seed = rng.randrange(99)
    light, dark = rng.choice(
        [
            ((0.5, 0.3, 0.14), (0.24, 0.12, 0.05)),
            ((0.36, 0.19, 0.1), (0.14, 0.065, 0.035)),
            ((0.62, 0.46, 0.28), (0.36, 0.23, 0.12)),
        ]
    )
    boards = [rounded_box((1.7, 0.168, 0.04), 0.006, (0.0, -0.425 + 0.17 * k, TOP - 0.02), 1) for k in range(6)]
    legs = [box((0.08, 0.08, TOP - 0.04), (sx * 0.78, 0.42 * sy, (TOP - 0.04) / 2)) for sx in (-1, 1) for sy in (-1, 1)]
    apron = [box((1.5, 0.03, 0.1), (0.0, sy * 0.42, TOP - 0.09)) for sy in (-1, 1)]
    cloth: tuple[RGB, ...] = rng.choice([
        ((0.55, 0.48, 0.36), (0.45, 0.09, 0.06), (0.08, 0.14, 0.3), (0.7, 0.5, 0.16)),
        ((0.1, 0.2, 0.34), (0.72, 0.66, 0.54), (0.5, 0.12, 0.08), (0.78, 0.55, 0.2)),
    ])  # fmt: skip
    size = (1.15, 0.5)
    pattern = rug(cloth, (2.3, 1.0), rng.choice(["diamonds", "zigzag", "medallion"]), seed)
    runner = part("runner", rounded_box((2.3, 1.0, 0.008), 0.003, segments=1), pattern)
    # The weave of a rug twice the size, shrunk: its pattern is finer on a table.
    half = moved(0.0, 0.0)
    half[0, 0] = half[1, 1] = half[2, 2] = size[0] / 2.3
    return [
        part("boards", merge(boards), grained(light, dark, 0, seed, 0.03)),
        part("legs", merge([*legs, *apron]), grained(light, dark, 2, seed + 1)),
        *place([runner], moved(0.0, -0.06, TOP + 0.002) @ half),
    ]


def _behind(rng: random.Random) -> Piece:
    """The row at the back of the table, behind the way of the ball."""
    y = 0.4
    piece = place(make.book_row(rng.randint(7, 9), 0.24, INKS, rng), moved(-0.68, y, TOP))
    tall = place(make.painted_vase(0.3, *rng.choice(GLAZES), rng.randrange(99)), moved(0.0, 0.0))
    tall += place(
        make.flowers(9, 0.26, [(0.8, 0.12, 0.2), (0.85, 0.6, 0.1), (0.8, 0.75, 0.7)], rng.randrange(99)),
        moved(0.0, 0.0, 0.27),
    )
    piece += place(tall, moved(-0.18 + rng.uniform(-0.02, 0.02), y, TOP))
    for k, (w, h) in enumerate(((0.17, 0.17), (0.13, 0.1))):
        ground, figure = rng.sample(INKS, 2)
        look = printed(ground, figure, 0.035, rng.choice(["dots", "stripes", "checks"]), k)
        carton = part("box", rounded_box((w, w, h), 0.004, (0.0, 0.0, h / 2), 1), look)
        piece += place([carton], moved(0.16, y - 0.01, TOP + 0.17 * k, yaw=rng.uniform(-0.3, 0.3)))
    piece += place(make.book_pile(4, INKS, rng), moved(0.42, y, TOP))
    piece += place(make.fruit(0.042, "apple", rng.randrange(99)), moved(0.43, y - 0.01, TOP + 0.125))
    green = make.pot(0.11, rng.choice(INKS), rng.randrange(99))
    green += place(make.bush(0.26, 0.2, rng.randrange(999), 260), moved(0.0, 0.0, 0.09))
    return piece + place(green, moved(0.69, y + 0.02, TOP))


def _before(rng: random.Random) -> Piece:
    """The fruit bowl that the car drives round, and what stands near the edges."""
    ground, figure = rng.choice(GLAZES)
    piece = place(make.fruit_bowl(0.125, ground, figure, rng.randrange(99)), moved(0.05, -0.05, TOP + 0.006))
    jug = make.painted_vase(0.17, *rng.choice(GLAZES), rng.randrange(99))
    piece += place(jug, moved(-0.14, -0.03, TOP + 0.006))
    piece += place(
        make.cup(0.075, *rng.choice(GLAZES), rng.randrange(99)), moved(-0.62, -0.12, TOP, yaw=rng.uniform(-0.5, 0.5))
    )
    for k, (x, y) in enumerate(((0.62, -0.14), (0.7, -0.05), (-0.7, 0.12))):
        kind = rng.choice(["orange", "apple", "lemon"])
        piece += place(make.fruit(0.038, kind, rng.randrange(99) + k), moved(x, y, TOP, yaw=rng.uniform(0, 6)))
    side = 0.055
    for k in range(2):  # wooden blocks at the front edge, which hide what passes behind them
        block = rounded_box((side, side, side), 0.004, (0.0, 0.0, side / 2), 1)
        look = printed((0.6, 0.42, 0.22), INKS[k], 0.02, rng.choice(["stripes", "checks"]), k)
        piece += place([part("block", block, look)], moved((0.3, -0.28)[k], -0.44, TOP, yaw=rng.uniform(-0.6, 0.6)))
    candle = make.lathe([(0.02, 0.0), (0.02, 0.12), (0.006, 0.125)], 16)
    holder = make.lathe([(0.05, 0.0), (0.055, 0.008), (0.025, 0.015), (0.028, 0.035), (0.021, 0.035)], 22)
    stick = [
        part("candle", transform(candle, moved(0.0, 0.0, 0.02)), earthen((0.75, 0.66, 0.5), 0.2, 0.02, 1)),
        part("holder", holder, glazed((0.2, 0.14, 0.07), (0.6, 0.45, 0.15), 0.06, 2)),
    ]
    return piece + place(stick, moved(0.66, 0.15, TOP))


def _movers(rng: random.Random) -> list[Mover]:
    color, stripe = rng.choice(PAINTS)
    ink, pips = rng.choice(PAINTS)
    seed = rng.randrange(99)

    def tints() -> list[RGB]:
        return rng.sample(PANELS, 6)

    low, high = TOP + 0.026, TOP + 0.034
    paths: list[tuple[str, Piece, Motion, tuple[float, float]]] = [
        ("toy car", make.car(0.17, color, stripe, seed), Drive((0.0, -0.05, TOP + 0.007), (0.4, 0.2)), (0.03, 0.08)),
        (
            "die",
            make.dice(0.05, ink, pips, seed),
            Hop((-0.42, -0.365, low), (0.45, -0.365, low), 0.1, 5, (0.0, 1.0, 0.0)),
            (0.03, 0.1),
        ),
        (
            "rolling ball",
            make.ball(0.034, tints(), seed),
            Roll((-0.6, 0.235, high), (0.56, 0.235, high), 0.034),
            (0.05, 0.15),
        ),
        (
            "bauble",
            make.bauble(0.55, 0.045, *rng.choice(PAINTS), seed),
            Swing((-0.5, 0.24, 1.66), (0.0, 1.0, 0.0), 11.0),
            (0.0, 1.0),
        ),
    ]
    movers = [Mover(name, ready(piece), motion, rng.uniform(*start)) for name, piece, motion, start in paths]
    for k in range(16):
        center = (-0.49 + 0.14 * (k % 8), 0.02 + 0.13 * (k % 2), 1.04 + 0.1 * (k // 8) + rng.uniform(-0.005, 0.005))
        movers.append(
            Mover(f"balloon {k + 1}", ready(make.balloon(0.03, tints(), seed + k)), Hover(center, 0.015), rng.random())
        )
    return movers
