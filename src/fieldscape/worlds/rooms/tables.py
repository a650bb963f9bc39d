"""Tables and what is kept in cabinets: coffee tables, side tables, dining tables, benches, shelves, sideboards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

import torch

from fieldscape.worlds.parts import SPINES, Piece
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
    stretched,
)  # fmt: skip
from fieldscape.worlds.textures import RGB, Texture, bare, grained

COFFEE_TABLES = ("plank", "round", "oval", "drum", "nested", "glass", "trunk", "tulip", "slab", "lift")


def coffee_table(kind: str, width: float, depth: float, wood: RGB, metal: RGB) -> tuple[Piece, float]:
    """A low table, one of ``COFFEE_TABLES``, and the height of its top."""
    height, thick = 0.42, 0.04
    top = height - thick / 2
    colors = (wood, metal)
    if kind in ("round", "oval", "tulip", "drum"):
        half = depth / 2
        disc = put(_disc(0.5, thick), z=height - thick, scale=1.0)
        disc = stretched(disc, ((width if kind == "oval" else depth), depth, 1.0))
        if kind == "tulip":
            foot = lathed([(0.24, 0.0), (0.22, 0.02), (0.05, 0.06), (0.03, 0.2), (0.08, 0.38)], 18, slot=1)
            return [dressed("table", joined([disc, foot]), colors, mirror=0.04)], height
        if kind == "drum":
            body = stretched(lathed([(0.46, 0.0), (0.48, 0.02), (0.48, 0.381)], 24), (depth, depth, 1.0))
            return [dressed("table", joined([disc, body]), colors, grained(2))], height
        apart = half * 1.1
        wide = apart * (width / depth if kind == "oval" else 1)
        return [
            dressed("table", joined([disc, legs(post(0.014, 0.022, top, slot=1), wide, apart)]), colors, grained())
        ], height
    if kind == "nested":
        large, small = stretched(_disc(0.5, thick), (0.8, 0.8, 1.0)), stretched(_disc(0.5, thick), (0.55, 0.55, 1.0))
        shapes = [put(large, -0.16, 0.0, height - thick), put(small, 0.34, 0.12, 0.3)]
        shapes.append(put(legs(post(0.012, 0.012, top, slot=1), 0.44, 0.44), -0.16))
        shapes.append(put(legs(post(0.012, 0.012, 0.31, slot=1), 0.3, 0.3), 0.34, 0.12))
        return [dressed("table", joined(shapes), colors, grained())], height
    if kind == "glass":
        pane = cushions([((width, depth, 0.015), (0.0, 0.0, height - 0.008))], 0.005)
        frame: list[Box] = [
            ((width - 0.1, 0.03, 0.03), (0.0, s * (depth / 2 - 0.065), height - 0.031)) for s in (-1, 1)
        ]
        frame.append(((width - 0.12, depth - 0.14, 0.025), (0.0, 0.0, 0.13)))
        under = joined(
            [boxes(frame), legs(boxes([((0.03, 0.03, 0.385), (0.0, 0.0, 0.1925))]), width - 0.1, depth - 0.1)]
        )
        glass = dressed("table", pane, ((0.22, 0.27, 0.25),), mirror=0.25)
        return [glass, dressed("table frame", under, (metal,))], height
    if kind == "trunk":
        bands: list[Box] = [
            ((0.05, depth + 0.012, height - 0.018), (s * width * 0.32, 0.0, height / 2)) for s in (-1, 1)
        ]
        chest = boxes([((width, depth, height - 0.01), (0.0, 0.0, height / 2 - 0.005)), *bands], [0, 1, 1])
        return [dressed("table", chest, colors, grained(0, 1, 0.5))], height - 0.01
    if kind == "slab":
        specs = [
            ((width, depth, 0.1), (0.0, 0.0, height - 0.05)),
            ((width - 0.3, depth - 0.2, height - 0.09), (0.0, 0.0, 0.165)),
        ]
        return [dressed("table", boxes(specs, [0, 1]), colors, grained())], height
    shelf = [((width, depth, thick), (0.0, 0.0, top))]
    if kind == "plank":
        shelf.append(((width - 0.1, depth - 0.1, 0.025), (0.0, 0.0, 0.14)))
    else:
        shelf.append(((width - 0.06, depth - 0.06, 0.12), (0.0, 0.0, height - 0.099)))
    leg = boxes([((0.055, 0.055, top), (0.0, 0.0, top / 2))])
    return [dressed("table", joined([boxes(shelf), legs(leg, width - 0.09, depth - 0.09)]), colors, grained())], height


@lru_cache(maxsize=8)
def _disc(radius: float, thickness: float) -> Shape:
    r = 0.3 * thickness
    profile = [(radius - r, 0.0), (radius, r), (radius, thickness - r), (radius - r, thickness)]
    return lathed(profile, 28)


def side_table(kind: str, wood: RGB, metal: RGB) -> tuple[Piece, float]:
    """A small table, ``round``, ``square`` or ``chest``, about 0.45 m wide, and the height of its top."""
    height = 0.55
    if kind == "round":
        disc = put(stretched(_disc(0.5, 0.03), (0.45, 0.45, 1.0)), z=height - 0.03)
        foot = lathed([(0.16, 0.0), (0.15, 0.02), (0.02, 0.04), (0.018, height - 0.02)], 16, slot=1)
        return [dressed("side table", joined([disc, foot]), (wood, metal))], height
    specs: list[Box] = [((0.46, 0.42, 0.03), (0.0, 0.0, height - 0.015))]
    if kind == "square":
        specs.append(((0.4, 0.36, 0.02), (0.0, 0.0, 0.16)))
        slots = [0, 0]
    else:
        specs += [((0.44, 0.4, 0.36), (0.0, 0.0, height - 0.21)), ((0.38, 0.02, 0.14), (0.0, 0.195, height - 0.13))]
        specs.append(((0.06, 0.02, 0.02), (0.0, 0.21, height - 0.13)))
        slots = [0, 0, 0, 1]
    leg = boxes([((0.035, 0.035, height - 0.02), (0.0, 0.0, height / 2 - 0.01))])
    return [
        dressed("side table", joined([boxes(specs, slots), legs(leg, 0.39, 0.35)]), (wood, metal), grained())
    ], height


def dining_table(round_top: bool, width: float, wood: RGB, cloth: RGB | None) -> Piece:
    """A dining table 0.75 m high; ``cloth`` covers its top."""
    height = 0.75
    colors = (wood, cloth or wood)
    if round_top:
        disc = put(stretched(_disc(0.5, 0.035), (1.1, 1.1, 1.0)), z=height - 0.035)
        foot = lathed([(0.3, 0.0), (0.28, 0.03), (0.07, 0.06), (0.05, 0.4), (0.09, 0.72)], 18)
        shapes = [disc, foot]
        if cloth:
            shapes.append(put(lathed([(0.59, 0.0), (0.56, 0.235), (0.555, 0.24)], 24, slot=1), z=height - 0.236))
        return [dressed("dining table", joined(shapes), colors, grained(), edge=0.2)]
    top = [((width, 0.9, 0.04), (0.0, 0.0, height - 0.02)), ((width - 0.16, 0.74, 0.08), (0.0, 0.0, height - 0.079))]
    slots = [0, 0]
    if cloth:
        top.append(((width * 0.36, 0.92, 0.05), (0.0, 0.0, height - 0.021)))
        slots.append(1)
    leg = boxes([((0.07, 0.07, height - 0.03), (0.0, 0.0, (height - 0.03) / 2))])
    return [
        dressed("dining table", joined([boxes(top, slots), legs(leg, width - 0.18, 0.72)]), colors, grained(), edge=0.2)
    ]


BENCHES = ("doors", "drawers", "open", "tall", "chest")


def bench(kind: str, width: float, wood: RGB, front: RGB, metal: RGB) -> tuple[Piece, float]:
    """A low cabinet 0.42 m deep (``BENCHES``; tall and chest: a sideboard) and the height of its top."""
    height = {"tall": 0.82, "chest": 0.9}.get(kind, 0.5)
    foot = 0.14 if kind in ("doors", "open", "tall") else 0.05
    body = height - foot
    middle = foot + body / 2
    count = max(2, round(width / 0.5))
    step = (width - 0.04) / count
    specs: list[Box] = [
        ((width, 0.4, body), (0.0, 0.0, middle)),
        ((width + 0.03, 0.44, 0.025), (0.0, 0.0, height - 0.005)),
    ]
    slots = [0, 0]
    knobs: list[Box] = []
    rows = {"drawers": 2, "chest": 4}.get(kind, 1)
    for k in range(count):
        x = (k - (count - 1) / 2) * step
        for row in range(rows):
            tall = (body - 0.03) / rows
            z = foot + 0.015 + (row + 0.5) * tall
            if kind == "open" and k % 2 == 0:
                specs.append(((step - 0.03, 0.012, tall - 0.04), (x, 0.1965, z)))
                slots.append(3)
                continue
            specs.append(((step - 0.015, 0.02, tall - 0.015), (x, 0.2, z)))
            slots.append(1)
            knobs.append(((0.1 if rows > 1 else 0.02, 0.025, 0.02), (x + (0 if rows > 1 else step * 0.36), 0.22, z)))
    leg = (
        post(0.015, 0.022, foot + 0.01, slot=2)
        if foot > 0.1
        else boxes([((0.06, 0.06, foot + 0.01), (0.0, 0.0, 0.03))], 2)
    )
    shapes = [boxes(specs, slots), boxes(knobs, 2), legs(leg, width - 0.2, 0.3)] if knobs else [boxes(specs, slots)]
    dark = (0.2 * wood[0], 0.2 * wood[1], 0.2 * wood[2])
    return [dressed("bench", joined(shapes), (wood, front, metal, dark), grained(), edge=0.22)], height + 0.0075


SHELVES = ("case", "open", "ladder", "cube", "cabinet")


def shelf(
    kind: str, width: float, height: float, wood: RGB, metal: RGB, colors: Sequence[RGB], rng: random.Random
) -> Piece:
    """A bookcase, one of ``SHELVES``, with books and ornaments; 0.32 m deep."""
    variant = rng.randrange(6)
    frame, books, pots = _shelf(kind, round(width, 1), round(height, 1), variant)
    covers = [_worn(rng.choice(colors), rng) for _ in range(12)]
    piece = [dressed("shelf", frame, (wood, metal), grained(2), edge=0.24)]
    if len(books.slot):
        piece.append(dressed("books", books, covers, SPINES, edge=0.4))
    if len(pots.slot):
        piece.append(dressed("vase", pots, covers, bare, edge=0.2))
    return piece


def _worn(color: RGB, rng: random.Random) -> RGB:
    """A book's cover: duller, lighter or darker than the accent it follows."""
    grey, share, bright = sum(color) / 3, rng.uniform(0.1, 0.7), rng.uniform(0.5, 1.4)
    red, green, blue = (min(0.85, (c + (grey - c) * share) * bright + 0.02) for c in color)
    return red, green, blue


@lru_cache(maxsize=256)
def _shelf(kind: str, width: float, height: float, variant: int) -> tuple[Shape, Shape, Shape]:
    """Boards, books and pots; books and pots in slots 0..11."""
    rng = random.Random(f"shelf {kind} {width} {height} {variant}")
    depth, board = 0.32, 0.028
    start = 0.75 if kind == "cabinet" else 0.04
    rows = max(2, round((height - start) / 0.36))
    step = (height - board - start) / rows
    columns = max(2, round(width / 0.37)) if kind == "cube" else (2 if width > 1.25 else 1)
    specs: list[Box] = []
    slots: list[int] = []
    sides = [-(width - board) / 2, (width - board) / 2] + [(k / columns - 0.5) * width for k in range(1, columns)]
    for at, x in enumerate(sides):
        thin, deep = (0.03, 0.03) if kind in ("open", "ladder") else (board, depth - 0.003 * (at > 1))
        for y in (-(depth - 0.04) / 2, (depth - 0.04) / 2) if thin == 0.03 else (0.0,):
            specs.append(((thin, deep, height - 0.002 * (at > 1)), (x, y, height / 2)))
            slots.append(1 if thin == 0.03 else 0)
    for k in range(rows + 1):
        specs.append(((width - 0.01, depth - 0.006, board), (0.0, 0.0, start + board / 2 + k * step)))
        slots.append(0)
    if kind in ("case", "cabinet"):
        specs.append(((width - 0.02, 0.012, height - 0.012), (0.0, -depth / 2 + 0.0075, height / 2)))
        slots.append(0)
    if kind == "cabinet":
        specs.append(((width - 0.024, depth - 0.03, start - 0.02), (0.0, 0.005, start / 2)))
        specs += [
            ((width / 2 - 0.03, 0.02, start - 0.1), (s * width / 4, depth / 2 - 0.008, start / 2)) for s in (-1, 1)
        ]
        slots += [0, 0, 0]
    books: list[Box] = []
    covers: list[int] = []
    pots: list[Shape] = []
    for row in range(rows):
        floor = start + board + row * step
        for column in range(columns):
            low = -width / 2 + column * width / columns + 0.03
            high = low + width / columns - 0.06
            kind_here = rng.random()
            if kind_here < 0.2:
                tall = step * rng.uniform(0.45, 0.7)
                pots.append(put(_pot(rng.randrange(4), rng.randrange(12)), (low + high) / 2, 0.0, floor, scale=tall))
                continue
            if kind_here < 0.28:
                continue
            end = low + (high - low) * (1.0 if kind_here > 0.5 else rng.uniform(0.4, 0.8))
            x = low
            run = rng.randrange(12)
            while x < end - 0.03:
                thick, tall, deep = rng.uniform(0.022, 0.055), step * rng.uniform(0.58, 0.84), rng.uniform(0.17, 0.23)
                books.append(
                    ((thick - 0.003, deep, tall), (x + thick / 2, depth / 2 - 0.03 - deep / 2, floor + tall / 2))
                )
                run = run if rng.random() < 0.3 else rng.randrange(12)
                covers.append(run)
                x += thick
    none = torch.zeros(0, dtype=torch.long)
    empty = Shape(torch.zeros(0, 3), none.reshape(0, 3), torch.zeros(0, 3), none)
    return boxes(specs, slots), boxes(books, covers) if books else empty, joined(pots) if pots else empty


POTS = (
    ((0.2, 0.0), (0.3, 0.2), (0.32, 0.45), (0.18, 0.8), (0.14, 0.9), (0.2, 1.0)),
    ((0.25, 0.0), (0.4, 0.15), (0.45, 0.5), (0.4, 0.85), (0.25, 1.0)),
    ((0.16, 0.0), (0.16, 0.95), (0.12, 1.0)),
    ((0.1, 0.0), (0.24, 0.3), (0.1, 0.62), (0.06, 0.7), (0.06, 1.0)),
)


@lru_cache(maxsize=64)
def _pot(kind: int, slot: int) -> Shape:
    return lathed(POTS[kind], 14, slot=slot)


def vase(kind: int, height: float, color: RGB) -> Piece:
    """A vase, bottle or jar of about ``height``."""
    return [dressed("vase", put(_pot(kind % len(POTS), 0), scale=round(height, 2)), (color,))]


def ornaments(width: float, colors: Sequence[RGB], rng: random.Random, tallest: float = 0.32) -> Piece:
    """Things on top of a table or cabinet, along x: vases, a bowl, books in a stack, candles; at most 0.2 m deep."""
    shapes: list[Shape] = []
    count = max(1, round(width / 0.38))
    for k in range(count):
        x = (k + 0.5) * width / count - width / 2
        slot, choice = rng.randrange(len(colors)), rng.random()
        if choice < 0.3:
            shapes.append(
                put(_pot(rng.randrange(4), slot), x, scale=rng.choice((0.16, 0.2, 0.26, 0.32)) * tallest / 0.32)
            )
        elif choice < 0.5:
            bowl = [(0.04, 0.0), (0.1, 0.03), (0.13, 0.07), (0.12, 0.07), (0.09, 0.04)]
            shapes.append(put(lathed(bowl, 16, slot=slot), x))
        elif choice < 0.75:
            stack: list[Box] = [
                ((0.24 - 0.02 * i, 0.17 - 0.012 * i, 0.028), (0.01 * (i % 2), 0.0, 0.0141 + 0.0285 * i))
                for i in range(3)
            ]
            paints = [rng.randrange(len(colors)) for _ in stack]
            shapes.append(put(boxes(stack, paints), x, yaw=rng.uniform(-0.5, 0.5)))
        elif choice < 0.88:
            candle = lathed([(0.03, 0.0), (0.03, 0.12)], 10, slot=slot)
            shapes.append(around(candle, [(x, 0.0), (x + 0.09, 0.04)]))
    return [dressed("vase", joined(shapes), colors)] if shapes else []


def television(inches: float, on_wall: bool, shows: Texture | None = None) -> tuple[Piece, float]:
    """A flat television standing on z = 0 or hung with its middle at the origin, and the height of its middle.

    shows: the picture on it (about the origin), if it is on.
    """
    width, tall = inches * 0.0221, inches * 0.01245
    middle = 0.0 if on_wall else tall / 2 + 0.09
    specs: list[Box] = [((width + 0.03, 0.04, tall + 0.03), (0.0, 0.0, middle))]
    if not on_wall:
        specs += [((width * 0.4, 0.18, 0.015), (0.0, 0.0, 0.0075)), ((0.08, 0.03, 0.12), (0.0, -0.01, 0.067))]
    glass = boxes([((width, 0.004, tall), (0.0, 0.021, middle))])
    screen = dressed("screen", glass, ((0.012, 0.013, 0.015),), mirror=0.07, edge=0.2)
    if shows is not None:
        screen = dressed("screen", glass, ((1.0, 1.0, 1.0),), shows, glow=0.9, edge=0.2)
    return [
        dressed("television", boxes(specs), ((0.018, 0.018, 0.02),), edge=0.2),
        screen,
    ], middle
