"""The skin of a car: paint, windows, lamps, grille, seams, plates, as functions of the place on the body.

Places are in the car's own frame: x forward from its middle, y to its left, z up from the ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from fieldscape.worlds.cars.bodies import CabinPlan, shoulder_line
from fieldscape.worlds.cars.plans import Look, Shape
from fieldscape.worlds.textures import RGB, Surface, Texture, band, blend, inside, nearest_line, scramble, visible

BLACK: RGB = (0.018, 0.018, 0.02)
RUBBER: RGB = (0.025, 0.025, 0.027)
CHROME: RGB = (0.6, 0.6, 0.61)
WHITE_LAMP: RGB = (0.72, 0.75, 0.78)
RED_LAMP: RGB = (0.55, 0.02, 0.02)
REAR_PILLARS = {
    "saloon": 0.16, "hatchback": 0.2, "suv": 0.13, "coupe": 0.24, "estate": 0.08, "pickup": 0.1, "van": 0.1,
    "classic": 0.26, "convertible": 0.2,
}  # fmt: skip
"""How wide the pillar beside the rear window is, in metres, by family."""
AMBER: RGB = (0.75, 0.3, 0.02)


def rectangle(
    u: Tensor, v: Tensor, low: tuple[float, float], high: tuple[float, float], round_by: float = 0.0
) -> Tensor:
    """How deep (u, v) lies inside a rectangle with rounded corners; negative outside."""
    cu, cv = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
    du = (u - cu).abs() - (high[0] - low[0]) / 2 + round_by
    dv = (v - cv).abs() - (high[1] - low[1]) / 2 + round_by
    beyond = torch.sqrt(du.clamp(min=0) ** 2 + dv.clamp(min=0) ** 2)
    return round_by - beyond - torch.maximum(du, dv).clamp(max=0)


@dataclass(frozen=True)
class Windows:
    """The panes around a cabin, as rectangles (a from, a to, t from, t to), and the x of the seams between doors."""

    panes: tuple[tuple[float, float, float, float], ...]
    seams: tuple[float, ...]
    height: float


def windows(shape: Shape, plan: CabinPlan, blind: bool) -> Windows:
    """Where the panes are. ``blind``: a van without windows behind the front doors."""
    front, rear, end = plan.corner_front, plan.corner_rear, plan.end
    start, stop = front + 0.08, rear - REAR_PILLARS[shape.family]
    long = stop - start
    low, high = 0.1, 0.9
    panes = [(-1.0, front - 0.035, 0.02, 0.93)]
    gap = 0.045  # half the width of a pillar between two panes
    van = shape.family == "van"
    blind = blind and van
    if van:
        door = start + min(0.36 * long, 1.15)
        cuts = [door, door + 0.5 * (stop - door)] if long > 2.0 else [door]
    elif shape.doors == 1:
        cuts = [start + min(0.72 * long, 1.25)]
    else:
        cuts = [start + 0.47 * long]
        if shape.family in ("estate", "suv", "hatchback"):
            cuts.append(start + (0.84 if shape.family == "hatchback" else 0.8) * long)
    places = [start, *cuts, stop]
    for k, (one, other) in enumerate(pairwise(places)):
        if other - one > 0.16 and not (blind and k > 0):
            panes.append((one + (gap if k else 0.0), other - (gap if k < len(cuts) else 0.0), low, high))
    seams = [plan.x_at(a) for a in (cuts[:1] if shape.doors == 1 and not van else cuts[:2])]
    if not blind:
        panes.append((rear + 0.09, end + 1.0, 0.14 if shape.family != "classic" else 0.2, 0.88))
    return Windows(tuple(panes), tuple(seams), shape.height - shape.cowl_height)


def cabin_texture(shape: Shape, look: Look, panes: Windows) -> Texture:
    """Roof, pillars and windows; a place in the paint is (a, t, 0) as ``car_bodies.cabin`` gives it."""
    roof = look.second if look.scheme == "roof" else look.color

    def texture(s: Surface) -> Tensor:
        a, t = s.paint[:, 0], s.paint[:, 1]
        x, y = s.point[:, 0], s.point[:, 1]
        color = blend(look.color, roof, (t > 0.93).float())
        if look.scheme == "stripes":
            color = blend(color, look.second, _stripes(y, s.footprint) * (t > 1.0))
        up = t * panes.height
        for one, other, low, high in panes.panes:
            depth = rectangle(a, up, (one, low * panes.height), (other, high * panes.height), 0.06)
            color = blend(color, look.trim if one > 0 else RUBBER, inside(depth + 0.022, s.footprint))
            shade = 1 + 0.7 * ((t - low) / (high - low)).clamp(0, 1)[:, None]
            color = blend(color, torch.tensor(look.glass) * shade, inside(depth, s.footprint))
        # The line of dark rubber where the cabin stands on the body.
        color = blend(color, RUBBER, 0.8 * inside(0.05 - t, s.footprint / panes.height))
        if look.sunroof:
            middle = shape.screen - 0.3 * (shape.screen - shape.roof)
            reach = 0.17 * (shape.screen - shape.roof)
            depth = rectangle(x, y, (middle - reach, -0.3 * shape.width), (middle + reach, 0.3 * shape.width), 0.05)
            color = blend(color, look.glass, inside(depth, s.footprint) * (t > 1.2))
        return color

    return texture


def body_texture(shape: Shape, look: Look, panes: Windows) -> Texture:
    """Everything that is painted, glued or screwed on the body below the belt."""
    line = shoulder_line(shape)
    half = shape.length / 2
    wide = 0.5 * shape.width
    low, belt = shape.clearance, shape.cowl_height

    def texture(s: Surface) -> Tensor:
        x, y, z = s.point.unbind(-1)
        f, aside = s.footprint, y.abs()
        flank = ((s.normal[:, 1].abs() - 0.55) / 0.15).clamp(0, 1)
        above = ((s.normal[:, 2] - 0.5) / 0.2).clamp(0, 1)
        color = _scheme(shape, look, s, flank)
        # Seams: around the doors, the bonnet, the boot.
        edges = _door_edges(shape, panes)
        door = torch.zeros_like(x)
        top, bottom = line(x), low + 0.1
        for place in edges:
            lean = 0.06 * (z - bottom)
            door = torch.maximum(door, band(x - place - lean, 0.008, f) * ((z > bottom) & (z < top + 0.1)))
        between = (x < edges[0]) & (x > edges[-1])
        door = torch.maximum(door, band(z - bottom, 0.008, f) * between)
        color = blend(color, BLACK, 0.75 * flank * door)
        lid = band(aside - 0.74 * wide, 0.008, f) * (x > shape.cowl)
        lid = torch.maximum(lid, band(x - (half - 0.16 - shape.nose_sweep * (aside / wide) ** 3), 0.008, f))
        if shape.back > -half + 0.3 and shape.open_box is None:
            lid = torch.maximum(lid, band(aside - 0.7 * wide, 0.008, f) * (x < shape.back))
        color = blend(color, BLACK, 0.7 * above * lid)
        for place in edges[1:]:
            depth = rectangle(x, z, (place + 0.07, belt - 0.15), (place + 0.25, belt - 0.115), 0.012)
            color = blend(color, torch.tensor(look.trim), 0.9 * flank * inside(depth, f))
        color = _ends(shape, look, color, s)
        return _plastic(shape, look, color, s, flank)

    return texture


def _stripes(y: Tensor, footprint: Tensor) -> Tensor:
    return band(y.abs() - 0.19, 0.11, footprint)


def _door_edges(shape: Shape, panes: Windows) -> list[float]:
    """x of the upright seams, from the front."""
    first = min(shape.cowl - 0.12, shape.front_axle - shape.arch - 0.1)
    edges = [first, *(x for x in panes.seams if x < first - 0.4)]
    last = shape.rear_axle + shape.arch * 0.55
    if shape.doors == 2 and shape.family != "van":
        edges = [*edges[:2], last]
    return edges if len(edges) > 1 else [first, first - 1.15]


def _scheme(shape: Shape, look: Look, s: Surface, flank: Tensor) -> Tensor:
    """The paint with its second colour; ``flank``: how far a place belongs to the side of the car."""
    (x, y, z), f = s.point.unbind(-1), s.footprint
    base = torch.tensor(look.color).expand(len(x), 3)
    level = shape.clearance + 0.5 * (shape.cowl_height - shape.clearance)
    if look.scheme == "lower":
        return blend(base, look.second, inside(level - z, f))
    if look.scheme == "stripes":
        return blend(base, look.second, _stripes(y, f) * (z > 0.3))
    if look.scheme == "sides":
        return blend(base, look.second, flank * band(z - level + 0.04, 0.03, f))
    if look.scheme == "taxi":
        squares = torch.remainder(torch.floor(x / 0.09) + torch.floor(z / 0.09), 2)
        mixed = 0.5 + (squares - 0.5) * visible(0.18, f)
        return blend(base, look.second, flank * mixed * band(z - level, 0.09, f))
    if look.scheme == "police":
        return blend(base, look.second, flank * band(z - level, 0.13, f))
    return base


def _plastic(shape: Shape, look: Look, color: Tensor, s: Surface, flank: Tensor) -> Tensor:
    """Unpainted sills, bumper bottoms and wheel arches."""
    (x, y, z), f = s.point.unbind(-1), s.footprint
    dark = inside(shape.clearance + 0.035 - z, f)
    if look.cladding > 0:
        dark = torch.maximum(dark, inside(look.cladding - z, f))
        for axle in (shape.front_axle, shape.rear_axle):
            radius = torch.sqrt((x - axle) ** 2 + (z - shape.wheel) ** 2)
            dark = torch.maximum(dark, flank * inside(shape.arch + 0.055 - radius, f))
    if shape.open_box is not None:
        start, end, floor = shape.open_box
        lining = (x < start + 0.003) & (x > end - 0.003) & (z < shape.tail_height - 0.05) & (z > floor - 0.1)
        lining &= y.abs() < 0.425 * shape.width
        tone = look.interior if shape.family == "convertible" else BLACK
        color = torch.where(lining[:, None], torch.tensor(tone), color)
    return blend(color, BLACK, dark)


def _ends(shape: Shape, look: Look, color: Tensor, s: Surface) -> Tensor:
    """Lamps, grille, intakes and plates."""
    x, y, z = s.point.unbind(-1)
    f, aside = s.footprint, y.abs()
    half, wide = shape.length / 2, 0.5 * shape.width
    nose, tail, low = shape.nose_height, shape.tail_height, shape.clearance
    front, rear = x > half - 0.75, x < -half + 0.5
    upright = s.normal[:, 2] < 0.8
    # Front: intake below, grille between the lamps, lamps around the corners, plate on the bumper.
    sill = low + 0.09
    intake = rectangle(y, z, (-0.55 * wide, sill), (0.55 * wide, sill + 0.13), 0.04)
    color = blend(color, BLACK, inside(intake, f) * front * upright)
    fog = rectangle(aside, z, (0.68 * wide, sill + 0.02), (0.86 * wide, sill + 0.1), 0.03)
    color = blend(color, BLACK, inside(fog, f) * front * (x > half - 0.35))
    lamp_top, lamp_low = nose - 0.055, nose - 0.17
    reach = {"bars": 0.42, "mesh": 0.5, "split": 0.38, "wide": 0.62, "none": 0.0}[look.grille]
    if look.grille != "none":
        bottom = lamp_low - (0.1 if look.grille in ("mesh", "bars") else 0.02)
        opening = rectangle(y, z, (-reach * wide, bottom), (reach * wide, lamp_top), 0.05)
        if look.grille == "split":
            opening = torch.minimum(opening, aside - 0.04)
        bars = band(nearest_line(z if look.grille != "split" else y, 0.05), 0.008, f)
        shown = (
            blend(BLACK, look.trim, 0.8 * bars) if look.grille != "mesh" else blend(BLACK, (0.1, 0.1, 0.1), 0.5 * bars)
        )
        color = blend(color, look.trim, inside(opening + 0.018, f) * front * upright)
        color = blend(color, shown, inside(opening, f) * front * upright)
    badge = 0.045 - torch.sqrt(y**2 + (z - lamp_top + 0.06) ** 2)
    color = blend(color, CHROME, inside(badge, f) * front * upright)
    color = _headlamps(shape, look, color, s, lamp_low, lamp_top)
    plate = rectangle(y, z, (-0.26, sill + 0.11), (0.26, sill + 0.22), 0.01)
    color = blend(color, _plate(look, y, z, sill + 0.165, f), inside(plate, f) * front * upright)
    # Rear: lamps, plate, dark lower edge.
    diffuser = rectangle(y, z, (-0.62 * wide, -1.0), (0.62 * wide, low + 0.14), 0.03)
    color = blend(color, BLACK, inside(diffuser, f) * rear * upright * (s.normal[:, 0] < -0.2))
    color = _tail_lamps(shape, look, color, s)
    level = tail - 0.3 if shape.family not in ("pickup", "van") else low + 0.3
    plate = rectangle(y, z, (-0.26, level - 0.055), (0.26, level + 0.055), 0.01)
    holder = rectangle(y, z, (-0.34, level - 0.09), (0.34, level + 0.09), 0.03)
    color = blend(color, torch.tensor(look.color) * 0.6, inside(holder, f) * rear * upright)
    return blend(color, _plate(look, y, z, level, f), inside(plate, f) * rear * upright)


def _headlamps(shape: Shape, look: Look, color: Tensor, s: Surface, low: float, top: float) -> Tensor:
    x, y, z = s.point.unbind(-1)
    f, aside = s.footprint, y.abs()
    half, wide = shape.length / 2, 0.5 * shape.width
    if look.lamps == "round":
        radius = torch.sqrt((aside - 0.74 * wide) ** 2 + (z - 0.5 * (low + top) + 0.01) ** 2)
        here = (x > half - 0.5).float()
        color = blend(color, CHROME, inside(0.115 - radius, f) * here)
        return blend(color, WHITE_LAMP, inside(0.09 - radius, f) * here)
    rise = {"slim": 0.12, "swept": 0.3, "block": 0.05}[look.lamps]
    inner = {"slim": 0.56, "swept": 0.6, "block": 0.62}[look.lamps] * wide
    back = {"slim": 0.36, "swept": 0.55, "block": 0.26}[look.lamps] + 0.5 * shape.nose_sweep
    out = (aside - inner) + 0.8 * (half - x)
    middle = 0.5 * (low + top) + rise * 0.25 * (out - 0.25)
    tall = (top - low) * {"slim": 0.3, "swept": 0.42, "block": 0.52}[look.lamps]
    depth = torch.minimum(tall - (z - middle).abs(), torch.minimum(aside - inner, x - (half - back)))
    color = blend(color, BLACK, inside(depth, f))
    color = blend(color, WHITE_LAMP, inside(depth - 0.014, f))
    bulb = 0.04 - torch.sqrt((aside - 0.77 * wide) ** 2 + (z - middle) ** 2)
    return blend(color, (0.25, 0.27, 0.3), inside(torch.minimum(bulb, depth), f))


def _tail_lamps(shape: Shape, look: Look, color: Tensor, s: Surface) -> Tensor:
    x, y, z = s.point.unbind(-1)
    f, aside = s.footprint, y.abs()
    half, wide, tail = shape.length / 2, 0.5 * shape.width, shape.tail_height
    inner, low, top, back = {
        "blocks": (0.62, tail - 0.21, tail - 0.07, 0.22),
        "upright": (0.8, tail - 0.36, tail - 0.05, 0.2),
        "bar": (-1.0, tail - 0.15, tail - 0.085, 0.22),
        "wrap": (0.5, tail - 0.19, tail - 0.075, 0.4),
    }[look.tail]
    depth = torch.minimum(torch.minimum(z - low, top - z), torch.minimum(aside - inner * wide, -half + back - x))
    color = blend(color, torch.tensor(RED_LAMP) * 0.25, inside(depth + 0.022, f) * (x < 0))
    color = blend(color, RED_LAMP, inside(depth, f))
    clear = torch.minimum(depth, 0.02 - (z - 0.5 * (low + top)).abs())
    shown = AMBER if look.tail in ("blocks", "upright") else WHITE_LAMP
    return blend(color, shown, 0.8 * inside(torch.minimum(clear, 0.12 + inner * wide - aside), f) * (inner > 0))


def _plate(look: Look, y: Tensor, z: Tensor, level: float, f: Tensor) -> Tensor:
    """A number plate: dark signs on its ground, which fade to a mean from afar."""
    sign = scramble(torch.floor(y / 0.02), torch.floor(z / 0.025), 7) > 0.5
    within = ((y.abs() < 0.22) & ((z - level).abs() < 0.033) & (torch.remainder(y, 0.07) > 0.016)).float()
    share = within * (0.45 + (sign.float() - 0.45) * visible(0.02, f))
    return blend(look.plate, BLACK, 0.9 * share)
