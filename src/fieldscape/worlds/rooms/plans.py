"""Plans of furnished living rooms in four styles: what stands where, in which colours and in which light.

A plan follows from its seed alone. The walls get windows and doors, one wall the sofa and the wall across what one
looks at from there; then shelves, plants, lamps and pictures go where there is room, as long as cameras have room too.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from fieldscape.errors import BadInput
from fieldscape.meshes import Vector
from fieldscape.worlds.lights import Lights
from fieldscape.worlds.parts import Piece, gathered
from fieldscape.worlds.rooms import walls as build
from fieldscape.worlds.rooms.arrange import Footprint, Site
from fieldscape.worlds.rooms.fills import fill
from fieldscape.worlds.rooms.groups import Look, focus, seat_group, spot
from fieldscape.worlds.rooms.palettes import Palette, mixed, near, palette
from fieldscape.worlds.rooms.seating import upholstery
from fieldscape.worlds.rooms.views import garden, hills, street
from fieldscape.worlds.rooms.walls import Wall, Window
from fieldscape.worlds.shading import Part, one_thread
from fieldscape.worlds.textures import RGB, Texture, bare, bricks, parquet, pile, plain, planks, tiles, wallpaper, woven

STYLES = ("modern", "classic", "rustic", "nordic")
FLOORS = {
    "modern": ("planks", "planks", "planks", "tiles", "carpet", "parquet"),
    "classic": ("planks", "planks", "carpet", "carpet", "carpet", "parquet"),
    "rustic": ("planks", "planks", "planks", "tiles", "carpet"),
    "nordic": ("planks", "planks", "planks", "parquet", "carpet"),
}


@dataclass(frozen=True)
class Plan:
    """A room ready to be lit: z up, the floor z = 0, the room about the origin.

    size: inside, along x, y and z.  style: one of ``STYLES``.  lighting: "day", or "lamps" in the evening.
    """

    parts: tuple[Part, ...]
    size: Vector
    lights: Lights
    style: str
    lighting: str


@one_thread()
def living_room(seed: int | str, style: str = "mixed") -> Plan:
    """The living room of a seed, in one of ``STYLES``, or "mixed": the seed chooses.

    Raises BadInput: an unknown style.
    """
    if style != "mixed" and style not in STYLES:
        raise BadInput(f'Unknown style of rooms "{style}": choose mixed, {", ".join(STYLES)}.')
    rng = random.Random(f"living room {seed}")
    drawn = rng.choice(STYLES)
    return _plan(drawn if style == "mixed" else style, rng)


def footprints(seed: int | str, style: str = "mixed") -> tuple[Footprint, ...]:
    """The floor that the things in ``living_room(seed, style)`` cover."""
    rng = random.Random(f"living room {seed}")
    drawn = rng.choice(STYLES)
    return tuple(_furnished(drawn if style == "mixed" else style, rng)[0].footprints)


def _plan(style: str, rng: random.Random) -> Plan:
    site, look = _furnished(style, rng)
    lights, glow = _lights(site, look)
    parts = gathered([*site.parts, *_view(site, look, glow)])
    return Plan(tuple(parts), site.size, lights, style, "lamps" if look.evening else "day")


def _furnished(style: str, rng: random.Random) -> tuple[Site, Look]:
    colors = palette(style, rng)
    evening = rng.random() < 0.28
    accent = rng.choice(colors.accents)
    look = Look(
        style,
        colors,
        upholstery(style, colors.sofa, accent, colors.table, colors.metal, rng),
        upholstery(style, colors.chair, accent, colors.table, colors.metal, rng),
        glow=0.0,
        evening=evening,
    )
    lamps_on = evening or rng.random() < 0.3
    look = replace(look, glow=(rng.uniform(1.6, 2.4) if evening else 1.0) if lamps_on else 0.0)
    sizes = ((3.3, 3.9), (3.6, 4.4), (3.9, 4.8), (4.2, 5.3), (4.5, 6.0), (5.0, 6.6), (5.6, 7.2), (6.5, 8.0))
    short, long = rng.choice(sizes)
    short, long = max(3.2, rng.uniform(0.86, 1.0) * short), rng.uniform(0.86, 1.0) * long
    long = min(long, 1.7 * short)
    tall = rng.uniform(2.35, 2.75) if rng.random() < 0.75 else rng.uniform(2.75, 3.1)
    size = (short, long, tall) if rng.random() < 0.5 else (long, short, tall)
    site = Site(size, rng)
    main = rng.choice(site.walls)
    seat = _choose_seat(site, main)
    _windows(site, main, look, seat.index == main.index)
    if rng.random() < 0.35:
        second = site.walls[(main.index + rng.choice((1, 3))) % 4]
        _windows(site, second, look, second.index == seat.index)
    if rng.random() < 0.3:
        _passage(site, look)
    _shell(site, look)
    across = site.walls[(seat.index + 2) % 4]
    family = rng.choice(("wall", "wall", "wall", "corner", "floating"))
    if family == "floating" and min(size[:2]) < 4.0:
        family = "wall"
    if family != "wall" or rng.random() < 0.5:
        _doors(site, look, seat)
    # A fireplace or screen first, the sofa in front of it.
    x = rng.uniform(-0.25, 0.25) * across.length
    focus(site, across, x, look)
    chosen = seat_group(site, seat, family, look)
    if chosen is None:
        chosen = seat_group(site, seat, "floating", look)
    if family == "wall":
        _doors(site, look, seat)
    fill(site, look, chosen)
    if rng.random() < {"classic": 0.28, "nordic": 0.08}.get(style, 0.04):
        high, paint = rng.choice((0.75, 0.9, 1.0)), colors.trim
        for wall in site.walls:
            gaps = [(a, b) for a, b, bottom, top in site.taken.get(wall.index, []) if bottom < high and top > 1.9]
            site.parts += build.wainscot(wall, gaps, high, paint)
    return site, look


def _choose_seat(site: Site, main: Wall) -> Wall:
    """The wall the sofa stands at: beside the windows mostly, below them, or across from them."""
    turn = site.rng.choice((1, 3, 1, 3, 0, 2))
    return site.walls[(main.index + turn) % 4]


# ------------------------------------------------------------------------------------------------ shell


def _windows(site: Site, wall: Wall, look: Look, behind_sofa: bool) -> None:
    """One to three windows in a wall."""
    rng, tall = site.rng, site.size[2]
    kind = rng.choice(("one", "one", "two", "three", "wide", "french", "floor", "slim"))
    if behind_sofa and kind in ("french", "floor"):
        kind = "wide"
    sill = rng.uniform(0.5, 0.95) if not behind_sofa else rng.uniform(0.85, 1.0)
    head = min(tall - 0.2, rng.uniform(2.0, 2.3) + max(0.0, tall - 2.6) * 0.8)
    count, wide = {
        "one": (1, 1.3),
        "two": (2, 1.0),
        "three": (3, 0.75),
        "wide": (1, 2.4),
        "french": (1, 1.7),
        "floor": (1, 3.4),
        "slim": (2, 0.65),
    }[kind]
    if kind in ("french", "floor"):
        sill, head = 0.02, min(tall - 0.12, head + 0.15)
    wide = min(wide * rng.uniform(0.85, 1.2), (wall.length - 0.6) / count - 0.25)
    pitch = rng.uniform(wide + 0.22, max(wide + 0.24, (wall.length - 0.4) / count))
    room = wall.length / 2 - (count - 1) * pitch / 2 - wide / 2 - 0.2
    middle = rng.uniform(-room, room) if room > 0 else 0.0
    made = []
    for k in range(count):
        x = middle + (k - (count - 1) / 2) * pitch
        if abs(x) + wide / 2 < wall.length / 2 - 0.1:
            made.append(Window(wall, x, wide, sill, head))
    colors = look.colors
    columns, rows = rng.choice(
        {"modern": ((1, 1), (2, 1)), "nordic": ((2, 1), (2, 2))}.get(look.style, ((2, 1), (2, 3), (3, 4)))
    )
    columns = max(columns, round(wide / 1.1))
    frame = colors.trim if rng.random() < 0.85 else (0.05, 0.05, 0.055)
    dress, share = (
        rng.choice(("curtains", "curtains", "curtains", "blind", "bare", "sheer", "slats")),
        rng.choice((0.18, 0.25, 0.35, 0.6)),
    )
    tied, pattern = rng.random() < (0.45 if look.style in ("classic", "rustic") else 0.1), "plain"
    if rng.random() < 0.15:
        pattern = rng.choice(("stripes", "sprigs", "checks"))
    blind = near((0.7, 0.67, 0.6), rng), rng.uniform(0.15, 0.75)
    day = 0.0 if look.evening else 1.0
    for w in made:
        site.windows.append(w)
        site.parts += build.window_frame(w, columns, rows, frame, True)
        site.take(wall, w.x, w.width + 0.24, w.sill if w.sill > 0.3 else 0.0, w.head + 0.15)
        if dress in ("curtains", "sheer"):
            paint, glow = (colors.curtain, 0.12 * day) if dress == "curtains" else ((0.8, 0.8, 0.78), 1.6 * day)
            other = mixed(colors.curtain, colors.accents[0], 0.6)
            narrow = min(share, 0.25) if count > 1 and pitch < wide + 0.7 else share
            site.parts += build.curtains(w, tall, narrow, tied, paint, other, pattern, colors.metal, glow)
        elif dress in ("blind", "slats"):
            site.parts += build.blind(w, blind[1], dress == "slats", blind[0], (0.9 if dress == "blind" else 0.2) * day)
        if w.sill > 0.45 and rng.random() < 0.3 and not behind_sofa:
            wide_r = round(min(w.width * 0.8, 1.4), 1)
            at = spot(wall, w.x, 0.09, 0.0, wide_r, 0.17, w.sill - 0.08)
            if site.fits(at):
                u, v = wall.at(w.x, 0.0)
                site.set_down(build.radiator(wide_r, w.sill - 0.28, near((0.75, 0.74, 0.7), rng, 0.3)), u, v, wall.yaw)
                site.footprints.append(at)
                site.take(wall, w.x, wide_r, 0.0, w.sill)


def _passage(site: Site, look: Look) -> None:
    """A hole in a wall, without a door, through which one sees into the next room."""
    rng = site.rng
    for _ in range(6):
        wall, width = rng.choice(site.walls), rng.uniform(0.95, 1.9)
        room = wall.length / 2 - width / 2 - 0.3
        x = rng.uniform(-room, room)
        before = replace(spot(wall, x, 0.45, 0.0, width, 0.88, 2.1), solid=False)
        if room > 0 and site.bare(wall, x, width + 0.2, 0.0, 2.2) and site.fits(before, 0.0):
            hole = Window(wall, x, width, 0.0, min(2.15, site.size[2] - 0.15))
            site.passages.append(hole)
            site.footprints.append(before)
            site.take(wall, x, width + 0.2, 0.0, 2.3)
            floor, paint = look.colors.floor[0], near(look.colors.wall, rng)
            site.parts.append(build.passage(hole, rng.uniform(1.2, 2.6), paint, floor, woven))
            site.parts += build.casing(hole, look.colors.trim)
            if look.glow and rng.random() < 0.7:
                u, v = wall.at(x, -0.8)
                site.bulbs.append((u, v, 1.9))
            return


def _shell(site: Site, look: Look) -> None:
    """Floor, ceiling, walls, and what runs around them."""
    rng, colors, (x, y, z) = site.rng, look.colors, site.size
    kind = rng.choice(FLOORS[look.style])
    floor, gloss = _floor(kind, colors, rng)
    a, b = x / 2, y / 2
    edge = 0.11 + 0.0015 * x * y
    site.parts.append(build.sheet("floor", (-a, -b, 0.0), (x, 0.0, 0.0), (0.0, y, 0.0), floor, edge, gloss))
    ceiling = plain(colors.ceiling, 0.02, 0.7)
    site.parts.append(build.sheet("ceiling", (-a, -b, z), (0.0, y, 0.0), (x, 0.0, 0.0), ceiling, edge + 0.06))
    paper = wallpaper(
        colors.wall,
        mixed(colors.wall, colors.figure, rng.uniform(0.15, 0.6)),
        rng.choice(("stripes", "diamonds", "sprigs")),
        3,
    )
    choice, sides = rng.random(), list(site.walls)
    papered = {"classic": 0.16, "modern": 0.05}.get(look.style, 0.08)
    even: Texture = bare
    if choice < papered:
        site.parts.append(
            build.wall_sheets("walls", [(w, colors.wall) for w in sides], [*site.windows, *site.passages], z, paper)
        )
    elif choice < papered + 0.2:
        one = rng.randrange(4)
        rest = [(w, colors.wall) for w in sides if w.index != one]
        site.parts.append(build.wall_sheets("walls", rest, [*site.windows, *site.passages], z, even))
        texture = paper if rng.random() < 0.3 else even
        if look.style in ("rustic", "modern") and rng.random() < 0.3:
            texture = bricks((0.5, 0.47, 0.43)) if rng.random() < 0.6 else bricks((0.4, 0.38, 0.34), 0.4, 0.2, 0.6)
            site.parts.append(
                build.wall_sheets(
                    "walls",
                    [(sides[one], near((0.33, 0.14, 0.09), rng, 2.0))],
                    [*site.windows, *site.passages],
                    z,
                    texture,
                )
            )
        else:
            site.parts.append(
                build.wall_sheets("walls", [(sides[one], colors.figure)], [*site.windows, *site.passages], z, texture)
            )
    else:
        site.parts.append(
            build.wall_sheets("walls", [(w, colors.wall) for w in sides], [*site.windows, *site.passages], z, even)
        )
    site.parts.append(build.reveal(site.windows, colors.trim, woven))
    gaps: dict[int, list[tuple[float, float]]] = {}
    for w in (*site.windows, *site.passages):
        if w.sill < 0.3:
            gaps.setdefault(w.wall.index, []).append((w.x - w.width / 2 - 0.07, w.x + w.width / 2 + 0.07))
    cornice = (
        rng.choice((0.05, 0.08, 0.11)) if rng.random() < {"classic": 0.75, "rustic": 0.2}.get(look.style, 0.12) else 0.0
    )
    site.parts.append(build.trim(sides, gaps, z, rng.choice((0.07, 0.1, 0.14)), cornice, colors.trim))
    if (look.style == "rustic" and rng.random() < 0.45) or rng.random() < 0.03:
        along = x < y
        site.parts.append(
            build.beams(
                site.size,
                along,
                rng.choice((2, 3, 4, 5)),
                mixed(colors.cabinet, (0.05, 0.03, 0.02), rng.random() * 0.7),
            )
        )


def _floor(kind: str, colors: Palette, rng: random.Random) -> tuple[Texture, float]:
    """A floor and how much it shines."""
    light, dark = colors.floor
    seed = rng.randrange(40)
    if kind == "tiles":
        pale = near(rng.choice(((0.6, 0.55, 0.47), (0.5, 0.3, 0.2), (0.55, 0.55, 0.54), (0.7, 0.67, 0.62))), rng)
        other = pale if rng.random() < 0.75 else mixed(pale, (0.05, 0.05, 0.05), 0.7)
        return tiles(pale, other, rng.choice((0.33, 0.45, 0.6)), seed), rng.choice((0.0, 0.03, 0.05))
    if kind == "carpet":
        return pile(colors.carpet, seed), 0.0
    gloss = rng.choice((0.0, 0.0, 0.02, 0.04))
    if kind == "parquet":
        return parquet(light, dark, rng.choice((0.07, 0.1)), 6, seed), gloss
    return planks(light, dark, rng.choice((0.1, 0.14, 0.2)), 1.3, seed), gloss


def _doors(site: Site, look: Look, seat: Wall) -> None:
    """A door or two where the walls are bare."""
    rng, colors = site.rng, look.colors
    paint = colors.trim if rng.random() < 0.65 else near(colors.cabinet, rng)
    for _ in range(rng.choice((0, 1, 1, 2))):
        kind, width = rng.choice((("panels", 0.84), ("panels", 0.84), ("flat", 0.9), ("double", 1.5)))
        for _ in range(8):
            wall = rng.choice(site.walls)
            room = wall.length / 2 - width / 2 - 0.25
            x = rng.uniform(-room, room)
            before = replace(spot(wall, x, 0.45, 0.0, width + 0.1, 0.89, 2.1), solid=False)
            if site.bare(wall, x, width + 0.2, 0.0, 2.12) and site.fits(before, 0.0):
                u, v = wall.at(x, 0.0)
                site.set_down(
                    build.door(width, min(2.04, site.size[2] - 0.25), paint, colors.trim, colors.metal, kind),
                    u,
                    v,
                    wall.yaw,
                )
                site.footprints.append(before)
                site.take(wall, x, width + 0.2, 0.0, 2.15)
                break


# ------------------------------------------------------------------------------------------------ light


def _lights(site: Site, look: Look) -> tuple[Lights, float]:
    """The light of the room, and how brightly the view outside shines."""
    rng = site.rng
    openings = tuple(w.opening for w in site.windows)
    bulbs = tuple(site.bulbs)
    if len(bulbs) > 5:
        bulbs = tuple(rng.sample(bulbs, 5))
    balance = _balance(look.colors)
    if look.evening:
        dusk = rng.choice((0.02, 0.1, 0.5))
        if not bulbs:
            bulbs = ((0.0, 0.0, site.size[2] - 0.35),)
        warm = rng.uniform(0.0, 1.0)
        lamp = scaled((2.6, 2.6 - 0.45 * warm, 2.6 - 1.1 * warm), balance)
        return Lights(
            openings,
            (0.5 * dusk, 0.75 * dusk, 1.3 * dusk),
            (0.1 * dusk, 0.1 * dusk, 0.12 * dusk),
            lamps=bulbs,
            lamp=lamp,
        ), dusk
    sky = rng.choice(("overcast", "clear", "sunny", "sunny", "low"))
    bright = rng.uniform(0.8, 1.25)
    tint = {
        "overcast": (9.5, 10.0, 10.6),
        "clear": (8.5, 10.0, 12.0),
        "sunny": (9.2, 10.0, 11.2),
        "low": (10.5, 9.6, 8.6),
    }[sky]
    high = scaled((tint[0] * bright, tint[1] * bright, tint[2] * bright), balance)
    low = (0.42 * high[0], 0.4 * high[1], 0.3 * high[2])
    lamp = scaled((2.2, 1.75, 1.2), balance) if look.glow else (0.0, 0.0, 0.0)
    sun, direction = (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    if sky in ("sunny", "low") and site.windows:
        wall = rng.choice(site.windows).wall
        dx, dy = wall.turned(rng.uniform(-1.0, 1.0), -1.0)  # outward through the window
        direction = (dx, dy, rng.uniform(0.25, 0.45) if sky == "low" else rng.uniform(0.5, 1.1))
        power = rng.uniform(8.0, 22.0) * math.sqrt(bright)
        sun = (power, 0.88 * power, 0.72 * power) if sky == "sunny" else (power, 0.74 * power, 0.45 * power)
        sun = scaled(sun, balance)
    return Lights(openings, high, low, sun, direction, bulbs if look.glow else (), lamp), rng.choice(
        (2.5, 4.0, 7.0, 11.0)
    ) * bright


def _balance(colors: Palette) -> RGB:
    """What a camera's white balance does, put into the light: it takes back most of the tint of walls and floor.

    Light that a closed room sends to and fro takes on its colour: sum of albedo^n = 1 / (1 - albedo).
    """
    shares = ((colors.wall, 0.5), (colors.ceiling, 0.2), (colors.floor[0], 0.2), (colors.sofa, 0.1))
    tint = [1 / (1 - min(0.8, sum(share * color[k] for color, share in shares))) for k in range(3)]
    red, green, blue = ((tint[1] / value) ** 0.85 for value in tint)
    return red, green, blue


def scaled(color: RGB, by: RGB) -> RGB:
    """Channel by channel."""
    return color[0] * by[0], color[1] * by[1], color[2] * by[2]


def _view(site: Site, look: Look, glow: float) -> Piece:
    """What is seen through the windows."""
    rng = site.rng
    seed = rng.randrange(1, 99)
    vivid = 1.0 if not look.evening else 0.12
    kind = rng.choice(("garden", "garden", "street", "hills"))
    if kind == "garden":
        texture: Texture = garden(seed, vivid)
    elif kind == "street":
        texture = street(seed, vivid, look.evening)
    else:
        texture = hills(seed, vivid)
    return build.outside([w.wall for w in site.windows], texture, glow)
