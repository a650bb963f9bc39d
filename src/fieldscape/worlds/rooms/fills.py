"""The rest of a living room: shelves, plants, a dining table, lamps, what hangs on the walls and from the ceiling."""

from __future__ import annotations

import math
from dataclasses import replace

from fieldscape.worlds.rooms import decor, lamps, seating, tables
from fieldscape.worlds.rooms.arrange import AIR, EYE, Footprint, Site
from fieldscape.worlds.rooms.groups import Group, Look, some_picture
from fieldscape.worlds.rooms.palettes import near
from fieldscape.worlds.rooms.shapes import boxes, dressed
from fieldscape.worlds.rooms.walls import Wall
from fieldscape.worlds.textures import RGB

GREENS: tuple[RGB, ...] = ((0.05, 0.14, 0.035), (0.08, 0.19, 0.05), (0.035, 0.1, 0.045), (0.14, 0.22, 0.06))


def fill(site: Site, look: Look, chosen: Group | None) -> None:
    """Adds things along the walls until there is enough, or no place."""
    rng, area = site.rng, site.size[0] * site.size[1]
    if area > 17 and rng.random() < 0.65:
        _dining(site, look)
    wanted = [name for name, count in WANTED.items() for _ in range(count)]
    rng.shuffle(wanted)
    for name in wanted[: 7 + round(area / 2)]:
        FILLERS[name](site, look)
    _on_the_walls(site, look, chosen)
    _from_the_ceiling(site, look, chosen)


def _shelf(site: Site, look: Look) -> None:
    rng, colors = site.rng, look.colors
    kind = rng.choice(tables.SHELVES)
    width, height = (
        round(rng.choice((0.6, 0.8, 1.0, 1.2, 1.6, 2.0)), 1),
        round(min(rng.uniform(1.1, 2.3), site.size[2] - 0.25), 1),
    )
    found = site.somewhere(width, 0.36, height)
    if found:
        wall, x, at = found
        wood = colors.cabinet if rng.random() < 0.7 else near(colors.trim, rng)
        site.add(tables.shelf(kind, width, height, wood, colors.metal, colors.accents, rng), at)
        site.take(wall, x, width, 0.0, height + 0.1)


def _plant(site: Site, look: Look) -> None:
    rng, colors = site.rng, look.colors
    height = rng.choice((0.7, 0.9, 1.2, 1.5, 1.8))
    size = min(0.75, 0.35 + 0.25 * height)
    x, y = site.size[0] / 2 - size / 2 - 0.06, site.size[1] / 2 - size / 2 - 0.06
    pot = rng.choice((*colors.accents, (0.35, 0.14, 0.08), (0.7, 0.68, 0.64), (0.06, 0.06, 0.06)))
    for _ in range(4):
        at = Footprint(rng.choice((-x, x)), rng.choice((-y, y)), 0.0, size, size, height)
        if rng.random() < 0.4:
            found = site.somewhere(size, size, height, tries=3)
            if found:
                at = found[2]
        if site.fits(at):
            kind = rng.choice(
                ("arching", "upright", "round", "palm", "bush") if height > 0.8 else ("arching", "upright", "bush")
            )
            site.add(decor.plant(kind, height, pot, near(rng.choice(GREENS), rng), size / 2 + 0.02, rng), at)
            return


def _lamp(site: Site, look: Look) -> None:
    rng, colors = site.rng, look.colors
    kind = rng.choice(("cone", "drum", "tripod", "globe", "uplight"))
    wide = 0.66 if kind == "tripod" else 0.5
    found = site.somewhere(wide, wide, 1.8)
    if found:
        wall, x, at = found
        light = lamps.floor_lamp(kind, colors.metal, colors.shade, look.glow)
        site.add(light.piece, at, 0.0, light.bulbs)
        site.take(wall, x, 0.4, 0.0, 1.8)


def _cabinet(site: Site, look: Look) -> None:
    rng, colors = site.rng, look.colors
    kind, width = rng.choice(("tall", "chest", "doors")), rng.choice((0.8, 1.0, 1.2, 1.6))
    found = site.somewhere(width + 0.05, 0.46, 0.95)
    if not found:
        return
    wall, x, at = found
    piece, top = tables.bench(kind, width, colors.cabinet, near(colors.cabinet, rng), colors.metal)
    site.add(piece, at)
    site.take(wall, x, width, 0.0, top + 0.25)
    what = rng.random()
    if what < 0.35:
        light = lamps.table_lamp(rng.choice(lamps.TABLE_LAMPS), rng.choice(colors.accents), colors.shade, look.glow)
        site.set_down(light.piece, at.x, at.y, at.yaw, top, light.bulbs)
    elif what < 0.5:
        green = decor.plant(
            rng.choice(("trailing", "bush", "arching")), 0.5, rng.choice(colors.accents), rng.choice(GREENS), 0.21, rng
        )
        site.set_down(green, at.x, at.y, at.yaw, top)
    else:
        site.set_down(tables.ornaments(width * 0.8, colors.accents, rng), at.x, at.y, at.yaw, top)


def _chair(site: Site, look: Look) -> None:
    rng = site.rng
    kind = rng.choice(seating.ARMCHAIRS)
    x, y = site.size[0] / 2 - 0.75, site.size[1] / 2 - 0.75
    for _ in range(4):
        u, v = rng.choice((-x, x)), rng.choice((-y, y))
        yaw = math.atan2(u, -v) + rng.uniform(-0.3, 0.3)  # facing the middle of the room
        at = Footprint(u, v, yaw, 0.92, 0.9, 0.85)
        if site.fits(at, 0.1):
            site.add(seating.armchair(kind, look.chair), at)
            return


def _table(site: Site, look: Look) -> None:
    """A small table with a plant on it."""
    rng, colors = site.rng, look.colors
    found = site.somewhere(0.48, 0.46, 1.1)
    if found:
        wall, x, at = found
        piece, top = tables.side_table(rng.choice(("round", "square", "chest")), colors.table, colors.metal)
        site.add(piece, at)
        green = decor.plant(
            rng.choice(("trailing", "bush", "upright")), 0.5, rng.choice(colors.accents), rng.choice(GREENS), 0.21, rng
        )
        site.set_down(green, at.x, at.y, at.yaw, top)
        site.take(wall, x, 0.5, 0.0, 1.1)


def _basket(site: Site, look: Look) -> None:
    found = site.somewhere(0.45, 0.45, 0.4)
    if found:
        site.add(decor.basket(near((0.4, 0.26, 0.13), site.rng), look.style == "rustic"), found[2])


def _piano(site: Site, look: Look) -> None:
    if site.rng.random() < (0.25 if look.style == "classic" else 0.06):
        found = site.somewhere(1.56, 1.3, 1.25, tries=8)
        if found:
            wall, x, at = found
            u, v = wall.at(x, site.off(wall, x, 1.56) + 0.32)
            site.footprints.append(at)
            site.set_down(seating.piano(site.rng.choice((look.colors.cabinet, (0.012, 0.011, 0.01)))), u, v, at.yaw)
            site.take(wall, x, 1.56, 0.0, 1.3)


def _dining(site: Site, look: Look) -> None:
    """A dining table with chairs where there is room, and a lamp above it."""
    rng, colors = site.rng, look.colors
    round_top = rng.random() < 0.35
    width = 1.1 if round_top else rng.choice((1.2, 1.4, 1.6, 1.8))
    for _ in range(40):
        turned = rng.random() < 0.5
        wide, deep = width + 0.3, 1.1 + 1.0
        x, y = (deep, wide) if turned else (wide, deep)
        u = rng.uniform(-1, 1) * (site.size[0] / 2 - x / 2 - 0.1)
        v = rng.uniform(-1, 1) * (site.size[1] / 2 - y / 2 - 0.1)
        at = Footprint(u, v, math.pi / 2 if turned else 0.0, wide, deep, 0.93)
        if abs(u) < site.size[0] / 2 - x / 2 and abs(v) < site.size[1] / 2 - y / 2 and site.fits(at, 0.1):
            break
    else:
        return
    cloth = near((0.75, 0.72, 0.66), rng) if rng.random() < 0.15 else None
    site.add(tables.dining_table(round_top, width, colors.table, cloth), at)
    places = []
    if round_top:
        places = [(0.72 * math.sin(a), -0.72 * math.cos(a), a) for a in (0.4, 1.97, 3.54, 5.11)]
        places = [(x * 0.85, y, a) for x, y, a in places]
    else:
        count = max(1, round(width / 0.62))
        for k in range(count):
            x = (k - (count - 1) / 2) * width / count
            places += [(x, -0.6 - rng.uniform(0, 0.15), 0.0), (x, 0.6 + rng.uniform(0, 0.15), math.pi)]
    wood = colors.table if rng.random() < 0.6 else rng.choice((colors.metal, colors.trim, colors.cabinet))
    seat = rng.choice((wood, look.chair.cloth, rng.choice(colors.accents)))
    site.set_down(seating.chairs(rng.choice(seating.CHAIRS), places, wood, seat), at.x, at.y, at.yaw)
    site.set_down(tables.ornaments(0.5, colors.accents, rng), at.x, at.y, at.yaw, 0.762)
    drop = site.size[2] - rng.uniform(1.5, 1.7)
    above = Footprint(at.x, at.y, 0.0, 0.6, 0.6, site.size[2], site.size[2] - drop)
    if rng.random() < 0.6 and site.fits(above, 0.0):
        kind = rng.choice(("globe", "drum", "cone", "chandelier"))
        light = lamps.ceiling_lamp(kind, drop, colors.metal, colors.shade, look.glow)
        site.add(light.piece, above, site.size[2] - 0.001, light.bulbs)


def _pouf(site: Site, look: Look) -> None:
    """A pouf, or a trunk, anywhere on the floor."""
    rng, colors = site.rng, look.colors
    x, y = site.size[0] / 2 - 0.5, site.size[1] / 2 - 0.5
    for _ in range(3):
        at = Footprint(rng.uniform(-x, x), rng.uniform(-y, y), rng.uniform(0, 1.5), 0.55, 0.55, 0.4)
        if site.fits(at, 0.12):
            cloth = look.chair if rng.random() < 0.5 else replace(look.chair, cloth=rng.choice(colors.accents))
            site.add(seating.pouf(rng.choice(("round", "square", "ottoman")), cloth), at)
            return


WANTED = {
    "shelf": 3, "plant": 3, "lamp": 2, "cabinet": 3, "chair": 3, "table": 2, "basket": 1, "pouf": 2, "piano": 1,
}  # fmt: skip
"""How often each may be tried."""
FILLERS = {
    "shelf": _shelf, "plant": _plant, "lamp": _lamp, "cabinet": _cabinet, "chair": _chair,
    "table": _table, "basket": _basket, "piano": _piano, "pouf": _pouf,
}  # fmt: skip


def _on_the_walls(site: Site, look: Look, chosen: Group | None) -> None:
    """Pictures, galleries, mirrors and clocks on bare stretches, first above the sofa; some walls stay bare."""
    rng, colors = site.rng, look.colors
    top = site.size[2] - 0.3
    walls = sorted(site.walls, key=lambda wall: (chosen is None or wall.index != chosen.wall.index, rng.random()))
    budget = 5
    for wall in walls:
        for low, high in site.stretches(wall, 1.2, top - 0.1):
            long = high - low
            if long < 0.5 or budget <= 0 or rng.random() < 0.2:
                continue
            middle = (low + high) / 2
            if chosen is not None and wall.index == chosen.wall.index and low < chosen.x < high:
                middle, long = chosen.x, 2 * min(chosen.x - low, high - chosen.x)
                if long < 0.5:
                    continue
            z, choice = 1.6 if top > 2.1 else 1.5, rng.random()
            u, v = wall.at(middle, 0.0)
            budget -= 1
            if choice < 0.16 and long > 1.5:
                places = _gallery(min(long - 0.3, 2.4), top - 1.25, site)
                frame = rng.choice((colors.metal, colors.table, colors.trim))
                piece = decor.gallery(places, frame, (0.78, 0.76, 0.7), colors.accents, rng.randrange(99))
                site.set_down(piece, u, v, wall.yaw, 1.25 + (top - 1.25) / 2)
            elif choice < 0.28:
                round_one = rng.random() < 0.5
                width = min(long - 0.2, rng.uniform(0.5, 0.9))
                site.set_down(decor.mirror(width, rng.uniform(0.6, 0.95), colors.metal, round_one), u, v, wall.yaw, z)
            elif choice < 0.48 and long > 0.9:
                _wall_shelves(site, look, wall, middle, min(long - 0.2, 1.3))
            elif choice < 0.52:
                site.set_down(decor.clock(colors.trim, colors.metal, rng.random() < 0.4), u, v, wall.yaw, z + 0.15)
            elif long > 1.4 and choice < 0.76:
                count = 2 if long < 1.9 or rng.random() < 0.5 else 3
                width, height = min(0.55, (long - 0.3) / count - 0.12), rng.uniform(0.5, 0.75)
                budget -= 1
                if rng.random() < 0.5:  # a set of prints
                    places = [((k - (count - 1) / 2) * (width + 0.14), 0.0, width, height) for k in range(count)]
                    frame = rng.choice((colors.metal, colors.table))
                    piece = decor.gallery(places, frame, (0.78, 0.76, 0.7), colors.accents, rng.randrange(99))
                    site.set_down(piece, u, v, wall.yaw, z)
                else:
                    budget -= count - 2
                    for k in range(count):
                        u, v = wall.at(middle + (k - (count - 1) / 2) * (width + 0.14), 0.0)
                        site.set_down(some_picture(width, height, look, rng), u, v, wall.yaw, z)
            else:
                width = min(long - 0.2, rng.uniform(0.4, 1.3))
                height = min(top - 1.2, width * rng.choice((0.66, 0.75, 1.0, 1.3)))
                site.set_down(some_picture(width, height, look, rng), u, v, wall.yaw, z)


def _wall_shelves(site: Site, look: Look, wall: Wall, x: float, width: float) -> None:
    """One to three boards on a wall with things on them."""
    rng, colors = site.rng, look.colors
    wood = rng.choice((colors.cabinet, colors.trim, colors.table))
    at = Footprint(*wall.at(x, 0.12), wall.yaw, width, 0.24, 2.1, 1.25)
    if not site.fits(at, 0.0):
        return
    site.footprints.append(at)
    for k in range(rng.choice((1, 2, 2, 3))):
        z, long = 1.3 + 0.32 * k, width * rng.uniform(0.7, 1.0)
        if z > site.size[2] - 0.5:
            break
        u, v = wall.at(x + (width - long) / 2 * rng.uniform(-1, 1), 0.105)
        board = boxes([((long, 0.2, 0.03), (0.0, 0.0, 0.015))])
        site.set_down([dressed("boards", board, (wood,))], u, v, wall.yaw, z)
        site.set_down(tables.ornaments(long * 0.85, colors.accents, rng, 0.24), u, v, wall.yaw, z + 0.0305)


def _gallery(width: float, height: float, site: Site) -> list[tuple[float, float, float, float]]:
    """Frames of some sizes in two rows, (x, z, width, height) about the middle."""
    rng, places = site.rng, []
    for row in (-1, 1):
        x = -width / 2
        while x < width / 2 - 0.2:
            w, h = rng.choice(((0.2, 0.28), (0.28, 0.2), (0.3, 0.4), (0.36, 0.28)))
            if x + w < width / 2:
                places.append((x + w / 2, row * height * 0.24 + rng.uniform(-0.03, 0.03), w, min(h, 0.42 * height)))
            x += w + rng.uniform(0.08, 0.14)
    return places


def _from_the_ceiling(site: Site, look: Look, chosen: Group | None) -> None:
    """A lamp, not lower than people can walk under, unless a camera has room beside it anyway."""
    rng, colors = site.rng, look.colors
    if rng.random() < 0.3:
        return
    kind = rng.choice(
        {
            "modern": ("globe", "drum", "cone", "cluster", "dome"),
            "classic": ("chandelier", "chandelier", "dome", "fan", "drum"),
            "rustic": ("chandelier", "cone", "fan", "dome"),
            "nordic": ("globe", "cone", "drum", "globe"),
        }[look.style]
    )
    drop = min(rng.uniform(0.35, 0.7), site.size[2] - (EYE + AIR) - 0.12)
    if drop < 0.32:
        kind = rng.choice(("dome", "dome", "fan") if look.style != "nordic" else ("dome",))
    if kind == "cluster" and drop < 0.48:
        kind = "drum"
    if kind == "fan" and site.size[2] < EYE + AIR + 0.42:
        kind = "dome"
    x, y = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)
    if chosen is not None and rng.random() < 0.5:
        x, y = chosen.wall.at(chosen.x, chosen.table)
    light = lamps.ceiling_lamp(kind, drop, colors.metal, colors.shade, look.glow)
    site.set_down(light.piece, x, y, rng.uniform(0, 1), site.size[2] - 0.001, light.bulbs)
