"""The middle of a living room: what one sits on, around a table and a rug, and what one looks at from there."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from fieldscape.worlds.parts import Piece
from fieldscape.worlds.rooms import decor, hearths, lamps, seating, tables
from fieldscape.worlds.rooms.arrange import Footprint, Site
from fieldscape.worlds.rooms.palettes import Palette, mixed, near
from fieldscape.worlds.rooms.seating import Upholstery
from fieldscape.worlds.rooms.walls import Wall
from fieldscape.worlds.textures import landscape

SOFA = 0.92
"""Depth of a sofa."""


@dataclass(frozen=True)
class Look:
    """What all pieces of a room share: style, colours, how seats are made, and how strongly lamps shine."""

    style: str
    colors: Palette
    sofa: Upholstery
    chair: Upholstery
    glow: float
    evening: bool


@dataclass(frozen=True)
class Group:
    """Where the sofa is: its wall, middle along it, length, distance from the wall, and the middle of the table."""

    wall: Wall
    x: float
    length: float
    off: float
    table: float


def spot(wall: Wall, x: float, y: float, turn: float, width: float, depth: float, high: float) -> Footprint:
    """A footprint given in the frame of a wall."""
    u, v = wall.at(x, y)
    return Footprint(u, v, wall.yaw + turn, width, depth, high)


def seat_group(site: Site, wall: Wall, family: str, look: Look) -> Group | None:
    """A sofa and what goes with it. ``family``: ``wall``, ``corner`` or ``floating``; None where no sofa fits."""
    rng, across = site.rng, (site.size[1] if wall.index % 2 == 0 else site.size[0])
    for attempt in range(14):
        longest = min(2.7, wall.length - 0.7, 1.5 + 0.28 * wall.length)
        length = max(1.4, round(rng.uniform(0.78, 1.0) * longest - 0.06 * attempt, 1))
        off = site.off(wall, 0.0, length)
        reach = max(0.0, wall.length / 2 - length / 2 - 0.05)
        x = rng.uniform(-reach, reach) * (0.5 if attempt < 6 else 1.0)
        if family == "corner":
            x = reach * rng.choice((-1, 1))
        elif family == "floating":
            off = rng.uniform(0.9, max(0.95, across - 3.1))
        sofa = spot(wall, x, off + SOFA / 2, 0.0, length, SOFA, 0.85)
        clear = family == "floating" or site.bare(wall, x, length, 0.0, 0.72)
        if clear and site.fits(sofa, 0.03):
            break
    else:
        return None
    seats = 3 if length > 2.15 else 2
    chaise = 0
    if family != "corner" and length > 1.95 and rng.random() < 0.22 and across > 3.6:
        chaise = rng.choice((-1, 1))
        arm_free = length / seats
        lying = spot(
            wall, x + chaise * (length - arm_free - 0.1) / 2, off + SOFA + 0.33, 0.0, arm_free + 0.1, 0.68, 0.5
        )
        if site.fits(lying, 0.03):
            site.footprints.append(lying)
        else:
            chaise = 0
    site.add(seating.sofa(length, seats, look.sofa, chaise), sofa)
    if family != "floating":
        site.take(wall, x, length, 0.0, 0.95)
    cushions(site, sofa, length, look)
    table_y = off + SOFA + rng.uniform(0.32, 0.5) + 0.35
    group = Group(wall, x, length, off, table_y)
    if family == "corner":
        _second_wing(site, group, look)
    rug_and_table(site, group, look, across, chaise)
    others(site, group, look, across)
    beside(site, group, look)
    return group


def cushions(site: Site, at: Footprint, length: float, look: Look) -> None:
    """Pillows on a sofa, and now and then a throw."""
    rng = site.rng
    count = rng.choice((0, 1, 2, 2, 3, 4, 5))
    if count:
        places = []
        for k in range(count):
            side = -1 if k % 2 else 1
            x = side * (length / 2 - 0.42 - 0.36 * (k // 2) - 0.06 * rng.random())
            if abs(x) < length / 2 - 0.3:
                places.append((x, -0.01 + 0.03 * rng.random(), 0.455))
        colors = rng.sample(look.colors.accents, min(len(look.colors.accents), rng.choice((1, 2, 3))))
        if places:
            site.set_down(seating.pillows(places, colors, rng), at.x, at.y, at.yaw)
    if rng.random() < 0.2:
        x = rng.uniform(-0.3, 0.3) * length
        color, other = rng.sample(look.colors.accents, 2)
        c, s = math.cos(at.yaw), math.sin(at.yaw)
        throw = seating.throw(0.5, color, other, rng.random() < 0.5)
        front = SOFA / 2 - 0.03
        site.set_down(throw, at.x + c * x - s * front, at.y + s * x + c * front, at.yaw, 0.462)


def _second_wing(site: Site, group: Group, look: Look) -> None:
    """The other arm of a corner sofa, along the wall beside."""
    side = 1 if group.x > 0 else -1
    for length in (2.0, 1.7, 1.4, 1.1):
        x, y = group.x + side * (group.length / 2 - SOFA / 2), group.off + SOFA + length / 2 + 0.005
        at = spot(group.wall, x, y, side * math.pi / 2, length, SOFA, 0.85)
        if site.fits(at, 0.0):
            piece = seating.sofa(length, 2 if length > 1.3 else 1, look.sofa, open_side=-side)
            site.add(piece, at)
            beside_wall = site.walls[(group.wall.index + side) % 4]
            middle = -side * (beside_wall.length / 2 - group.off - SOFA / 2 - length / 2)
            site.take(beside_wall, middle, length + SOFA, 0.0, 0.95)
            return


def rug_and_table(site: Site, group: Group, look: Look, across: float, chaise: int) -> None:
    """The table before the sofa, things on it, a rug below."""
    rng, colors, wall = site.rng, look.colors, group.wall
    if rng.random() < 0.72:
        wide, deep = rng.choice(((2.9, 2.0), (2.4, 1.7), (2.0, 1.4), (3.2, 2.3)))
        y = min(group.table + rng.uniform(-0.2, 0.1), across - deep / 2 - 0.15)
        x = max(-(wall.length - wide) / 2 + 0.1, min((wall.length - wide) / 2 - 0.1, group.x))
        u, v = wall.at(x, y)
        kind = rng.choice(decor.RUGS if look.style != "classic" else ("medallion", "medallion", "bordered", "diamonds"))
        if look.style == "modern":
            kind = rng.choice(("plain", "shag", "stripes", "blots", "bordered", "zigzag"))
        if rng.random() < 0.1:
            piece = decor.round_rug(min(wide, deep) / 2, colors.rug[0])
        else:
            size = (min(wide, wall.length - 0.3), min(deep, across - 0.4))
            piece = decor.carpet(size, colors.rug, kind, rng.randrange(99))
        site.set_down(piece, u, v, wall.yaw + rng.choice((0.0, 0.0, rng.uniform(-0.05, 0.05))))
    for attempt in range(6):
        kind = rng.choice(tables.COFFEE_TABLES)
        wide, deep = rng.choice(
            ((1.2, 0.6), (1.0, 0.6), (1.1, 0.7), (0.9, 0.9)) if attempt < 3 else ((0.8, 0.5), (0.6, 0.5))
        )
        if kind in ("round", "drum", "tulip"):
            wide = deep = rng.choice((0.7, 0.8, 0.9)) if attempt < 3 else 0.6
        elif kind == "nested":
            wide, deep = 1.18, 0.82
        shift = -0.35 * chaise
        at = spot(
            wall, group.x + shift, group.table + rng.uniform(0.0, 0.1), rng.uniform(-0.04, 0.04), wide, deep, 0.42
        )
        if site.fits(at, 0.1):
            piece, top = tables.coffee_table(kind, wide, deep, colors.table, colors.metal)
            site.add(piece, at, 0.012)
            if rng.random() < 0.85 and kind != "nested":
                things = tables.ornaments(wide * 0.65, colors.accents, rng)
                site.set_down(things, at.x, at.y, at.yaw, top + 0.0125)
            return


def others(site: Site, group: Group, look: Look, across: float) -> None:
    """A second sofa, armchairs or poufs around the table."""
    rng, wall = site.rng, group.wall
    choice = rng.random()
    far = group.table + 0.45 + rng.uniform(0.35, 0.6) + SOFA / 2
    if choice < 0.16 and far + SOFA / 2 + 0.7 < across:
        length = round(max(1.4, group.length - 0.2), 1)
        at = spot(wall, group.x, far, math.pi, length, SOFA, 0.85)
        if site.fits(at, 0.1):
            site.add(seating.sofa(length, 2, look.sofa), at)
            cushions(site, at, length, look)
            return
    if choice < 0.42:
        for side in rng.sample((-1, 1), 2):
            at = spot(
                wall,
                group.x + side * (group.length / 2 + 0.55),
                group.table + 0.35,
                side * math.pi / 2,
                1.5,
                SOFA,
                0.85,
            )
            if site.fits(at, 0.08):
                site.add(seating.sofa(1.5, 2, look.sofa if rng.random() < 0.7 else look.chair), at)
                cushions(site, at, 1.5, look)
                break
    wanted = rng.choice((0, 1, 1, 2, 2))
    kind = rng.choice(seating.ARMCHAIRS)
    places = [
        (s * (0.6 + rng.uniform(0.55, 0.9)), rng.uniform(0.0, 0.5), s * (math.pi / 2 + rng.uniform(-0.1, 0.5)))
        for s in (-1, 1)
    ]
    places += [
        (s * rng.uniform(0.45, 0.7), 0.85 + rng.uniform(0.1, 0.4), math.pi + s * rng.uniform(-0.4, 0.0))
        for s in (-1, 1)
    ]
    rng.shuffle(places)
    for x, y, turn in places:
        at = spot(wall, group.x + x, group.table + y, turn, 0.92 if kind == "club" else 0.8, 0.88, 0.85)
        if wanted and site.fits(at, 0.08):
            site.add(seating.armchair(kind, look.chair), at)
            wanted -= 1
            if rng.random() < 0.4:
                lean = [(0.0, 0.02, 0.44)]
                site.set_down(seating.pillows(lean, (rng.choice(look.colors.accents),), rng), at.x, at.y, at.yaw)
    if rng.random() < 0.3:
        at = spot(wall, group.x + rng.uniform(-1, 1), group.table + rng.uniform(0.6, 0.9), 0.0, 0.52, 0.52, 0.4)
        if site.fits(at, 0.08):
            pouf = seating.pouf(rng.choice(("round", "square", "ottoman")), look.chair)
            site.add(pouf, at)


def beside(site: Site, group: Group, look: Look) -> None:
    """Side tables with lamps or plants at the ends of the sofa, or a floor lamp there."""
    rng, colors = site.rng, look.colors
    kind = rng.choice(("round", "square", "chest"))
    lamp = rng.choice(lamps.TABLE_LAMPS)
    base = rng.choice((*colors.accents, colors.metal, colors.table))
    for side in (-1, 1):
        x, y, choice = group.x + side * (group.length / 2 + 0.3), group.off + 0.27, rng.random()
        if choice < 0.5:
            at = spot(group.wall, x, y, 0.0, 0.46, 0.44, 1.1)
            if site.fits(at, 0.02):
                table, top = tables.side_table(kind, colors.table, colors.metal)
                site.add(table, at)
                if rng.random() < 0.75:
                    light = lamps.table_lamp(lamp, base, colors.shade, look.glow)
                    site.set_down(light.piece, at.x, at.y, 0.0, top, light.bulbs)
                else:
                    site.set_down(tables.ornaments(0.34, colors.accents, rng), at.x, at.y, at.yaw, top)
        elif choice < 0.72:
            style = rng.choice(lamps.FLOOR_LAMPS)
            size = {"arc": (0.5, 1.2, 1.95), "tripod": (0.66, 0.66, 1.5)}.get(style, (0.5, 0.5, 1.8))
            at = spot(group.wall, x + side * (size[0] - 0.5) / 2, y + (size[1] - 0.5) / 2, 0.0, *size)
            if site.fits(at, 0.02):
                light = lamps.floor_lamp(style, colors.metal, colors.shade, look.glow)
                back = 0.35 if style == "arc" else 0.0
                c, s = math.cos(at.yaw), math.sin(at.yaw)
                site.set_down(light.piece, at.x + s * back, at.y - c * back, at.yaw, 0.0, light.bulbs)
                site.footprints.append(at)


FOCUS = {
    "modern": ("screen", "screen", "screen", "fireplace", "sideboard"),
    "classic": ("screen", "fireplace", "fireplace", "sideboard", "screen"),
    "rustic": ("fireplace", "fireplace", "stove", "screen", "sideboard"),
    "nordic": ("screen", "screen", "sideboard", "stove", "fireplace"),
}


def focus(site: Site, wall: Wall, x: float, look: Look) -> None:
    """What the sofa faces: a screen on a bench, a fireplace, a stove, or a sideboard."""
    rng, colors = site.rng, look.colors
    kind = rng.choice(FOCUS[look.style])
    fire = look.evening or rng.random() < 0.25
    if kind in ("fireplace", "stove"):
        deep, wide = (0.5, 1.66) if kind == "fireplace" else (0.85, 0.95)
        for _ in range(6):
            at = spot(wall, x, deep / 2 + 0.008, 0.0, wide, deep, site.size[2])
            if site.bare(wall, x, wide, 0.0, site.size[2] - 0.1) and site.fits(at, 0.05):
                break
            reach = wall.length / 2 - wide / 2 - 0.05
            x = max(-reach, min(reach, x + rng.uniform(-0.8, 0.8)))
        else:
            kind = "screen"
        if kind == "stove":
            u, v = wall.at(x, 0.0)
            site.set_down(
                hearths.stove(mixed(colors.metal, (0.02, 0.02, 0.02), 0.8), site.size[2], fire), u, v, wall.yaw
            )
            site.footprints.append(at)
            site.take(wall, x, 1.0, 0.0, site.size[2])
            return
        if kind == "fireplace":
            _fireplace(site, wall, x, at, look, fire)
            return
    wide = round(rng.uniform(1.2, 2.2), 1)
    style = rng.choice(("doors", "drawers", "open")) if kind == "screen" else rng.choice(("tall", "chest", "doors"))
    high = {"tall": 0.82, "chest": 0.9}.get(style, 0.5)
    for _ in range(8):
        at = site.against(wall, x, wide + 0.05, 0.46, high + 0.75)
        if site.bare(wall, x, wide, 0.0, high) and site.fits(at, 0.05):
            break
        wide = max(1.0, wide - 0.1)
        reach = max(0.0, wall.length / 2 - wide / 2 - 0.05)
        x = max(-reach, min(reach, x + rng.uniform(-0.5, 0.5)))
    else:
        return
    front = colors.cabinet if rng.random() < 0.6 else near(rng.choice((colors.trim, colors.wall, colors.metal)), rng)
    piece, top = tables.bench(style, wide, colors.cabinet, front, colors.metal)
    site.add(piece, at)
    if kind == "screen":
        on_wall = rng.random() < 0.35 and site.bare(wall, x, 1.3, 0.9, 1.8)
        inches = rng.choice((32, 40, 48, 55, 60))
        shows = landscape((1.4, 1.6), rng.randrange(99)) if rng.random() < 0.25 else None
        screen, _ = tables.television(inches, on_wall, shows)
        if on_wall:
            u, v = wall.at(x, 0.03)
            site.set_down(screen, u, v, wall.yaw, 1.3)
        else:
            site.set_down(screen, at.x, at.y, at.yaw, top)
        site.take(wall, x, max(wide, 1.4), 0.0, 1.75)
    else:
        site.set_down(tables.ornaments(wide * 0.8, colors.accents, rng), at.x, at.y, at.yaw, top)
        if rng.random() < 0.5:
            light = lamps.table_lamp(rng.choice(lamps.TABLE_LAMPS), rng.choice(colors.accents), colors.shade, look.glow)
            side = rng.choice((-0.45, 0.45)) * wide
            u, v = wall.at(x + side, site.off(wall, x, wide) + 0.21)
            site.set_down(light.piece, u, v, 0.0, top, light.bulbs)
        site.take(wall, x, wide, 0.0, high + 0.2)


def _fireplace(site: Site, wall: Wall, x: float, at: Footprint, look: Look, fire: bool) -> None:
    rng, colors = site.rng, look.colors
    kind = rng.choice(("plain", "marble", "brick") if look.style != "rustic" else ("brick", "stone", "stone"))
    paints = {
        "brick": (0.3, 0.11, 0.07),
        "stone": (0.36, 0.32, 0.27),
        "marble": (0.6, 0.57, 0.53),
        "plain": colors.trim,
    }
    stone = near(paints[kind], rng, 1.5)
    mantel = rng.choice((colors.trim, colors.table, stone))
    breast = rng.random() < 0.6
    piece, top = hearths.fireplace(kind, site.size[2], breast, colors.wall, stone, mantel, fire)
    u, v = wall.at(x, 0.0)
    site.set_down(piece, u, v, wall.yaw, 0.0, ((0.0, 0.62, 0.35),) if fire else ())
    site.footprints.append(at)
    ahead = 0.36 if breast else 0.0
    what, high = rng.random(), min(0.8, site.size[2] - 1.5)
    u, v = wall.at(x, ahead - 0.03 if breast else 0.0)
    if what < 0.35:
        piece = decor.mirror(rng.uniform(0.7, 1.0), high, colors.metal, rng.random() < 0.3)
    elif what < 0.7:
        width = rng.uniform(0.7, 1.1)
        piece = some_picture(width, high, look, rng)
    elif what < 0.85:
        piece, _ = tables.television(40, True)
    else:
        piece = decor.clock(colors.trim, colors.metal, True)
    site.set_down(piece, u, v, wall.yaw, 1.4 + high / 2)
    u, v = wall.at(x, 0.2)
    site.set_down(tables.ornaments(1.3, colors.accents, rng), u, v, wall.yaw, top)
    site.take(wall, x, 1.7, 0.0, site.size[2])


PICTURES = ("landscape", "landscape", "abstract", "print", "print", "photo")


def some_picture(width: float, height: float, look: Look, rng: random.Random) -> Piece:
    """A picture in one of the room's frames."""
    frame = rng.choice((look.colors.metal, look.colors.table, (0.05, 0.045, 0.04), look.colors.trim))
    mat, kind = (0.78, 0.76, 0.7), rng.choice(PICTURES)
    return decor.picture(width, height, frame, mat, look.colors.accents, kind, rng.randrange(999))
