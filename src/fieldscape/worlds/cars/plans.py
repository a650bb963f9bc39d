"""What a car is to be: its family, its measures and its colours, drawn from a seed.

Legend: a car stands on z = 0 and faces +x, with the middle of its length at x = 0; metres. Along the length, a plan of
a family counts from the nose (0) to the tail (1); up, in shares of the height. Words: cowl, where the bonnet meets the
windscreen; belt, the lower edge of the side windows; cabin, all that stands on the belt; sill, the lower edge of the
doors.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeAlias

from fieldscape.worlds.textures import RGB

Span: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Family:
    """From which to which each measure of a family goes.

    weight: how often it is drawn.  back: where the rear window meets the body.  round: how far the nose is swept back
    at its corners, in metres.  tumble: how far the cabin leans in on each side.  doors: how many on each side.
    """

    weight: float
    length: Span
    width: Span
    height: Span
    wheel: Span
    clearance: Span
    axles: tuple[Span, Span]
    cowl: Span
    screen: Span
    roof: Span
    back: Span
    nose_height: Span
    cowl_height: Span
    tail_height: Span
    sweep: Span
    tumble: Span
    doors: tuple[int, ...]


FAMILIES: dict[str, Family] = {
    "saloon": Family(
        22, (4.4, 5.05), (1.75, 1.88), (1.41, 1.49), (0.31, 0.345), (0.15, 0.18), ((0.18, 0.2), (0.76, 0.79)),
        (0.27, 0.31), (0.42, 0.46), (0.67, 0.73), (0.83, 0.88), (0.47, 0.52), (0.63, 0.66), (0.66, 0.71),
        (0.22, 0.36), (0.14, 0.2), (2,),
    ),
    "hatchback": Family(
        18, (3.55, 4.3), (1.66, 1.8), (1.43, 1.54), (0.29, 0.33), (0.15, 0.18), ((0.18, 0.2), (0.8, 0.83)),
        (0.24, 0.28), (0.41, 0.46), (0.85, 0.9), (0.95, 0.97), (0.47, 0.53), (0.62, 0.66), (0.65, 0.71),
        (0.22, 0.36), (0.12, 0.19), (1, 2, 2),
    ),
    "suv": Family(
        18, (4.2, 4.95), (1.8, 1.99), (1.63, 1.83), (0.35, 0.395), (0.22, 0.27), ((0.18, 0.2), (0.78, 0.81)),
        (0.25, 0.29), (0.39, 0.44), (0.88, 0.93), (0.95, 0.97), (0.53, 0.59), (0.61, 0.64), (0.61, 0.66),
        (0.22, 0.36), (0.11, 0.18), (2,),
    ),
    "coupe": Family(
        16, (4.1, 4.75), (1.8, 1.97), (1.19, 1.34), (0.325, 0.36), (0.12, 0.14), ((0.19, 0.21), (0.77, 0.81)),
        (0.3, 0.36), (0.46, 0.51), (0.61, 0.68), (0.82, 0.93), (0.45, 0.53), (0.64, 0.69), (0.67, 0.75),
        (0.26, 0.44), (0.17, 0.25), (1,),
    ),
    "estate": Family(
        8, (4.4, 4.95), (1.75, 1.88), (1.43, 1.52), (0.31, 0.345), (0.15, 0.18), ((0.18, 0.2), (0.76, 0.79)),
        (0.27, 0.3), (0.42, 0.45), (0.88, 0.93), (0.955, 0.97), (0.47, 0.52), (0.62, 0.65), (0.64, 0.68),
        (0.28, 0.4), (0.13, 0.19), (2,),
    ),
    "pickup": Family(
        6, (4.9, 5.7), (1.82, 2.02), (1.72, 1.92), (0.37, 0.42), (0.26, 0.32), ((0.17, 0.19), (0.76, 0.79)),
        (0.24, 0.27), (0.34, 0.38), (0.46, 0.58), (0.48, 0.6), (0.53, 0.58), (0.59, 0.62), (0.58, 0.61),
        (0.2, 0.32), (0.12, 0.18), (1, 2),
    ),
    "van": Family(
        5, (4.4, 5.7), (1.85, 2.05), (1.85, 2.35), (0.32, 0.36), (0.18, 0.22), ((0.16, 0.19), (0.75, 0.8)),
        (0.11, 0.16), (0.24, 0.29), (0.955, 0.97), (0.972, 0.98), (0.38, 0.43), (0.5, 0.54), (0.52, 0.54),
        (0.2, 0.32), (0.08, 0.14), (1, 2),
    ),
    "convertible": Family(
        5, (3.9, 4.6), (1.72, 1.9), (1.2, 1.34), (0.31, 0.35), (0.13, 0.15), ((0.19, 0.21), (0.77, 0.81)),
        (0.31, 0.35), (0.41, 0.44), (0.6, 0.64), (0.8, 0.86), (0.46, 0.53), (0.66, 0.7), (0.67, 0.74),
        (0.26, 0.42), (0.15, 0.2), (1,),
    ),
    "classic": Family(
        4, (3.7, 4.9), (1.58, 1.8), (1.4, 1.53), (0.31, 0.34), (0.18, 0.21), ((0.19, 0.22), (0.76, 0.79)),
        (0.29, 0.33), (0.39, 0.43), (0.64, 0.72), (0.76, 0.84), (0.5, 0.56), (0.62, 0.66), (0.58, 0.64),
        (0.32, 0.5), (0.14, 0.2), (1, 2),
    ),
}  # fmt: skip
"""Measures of the cars on the road; the numbers are typical ones, not those of any model."""

PAINTS: tuple[tuple[str, float, RGB], ...] = (
    ("white", 17, (0.82, 0.82, 0.8)),
    ("pearl", 4, (0.78, 0.75, 0.68)),
    ("black", 13, (0.012, 0.012, 0.014)),
    ("graphite", 8, (0.055, 0.058, 0.063)),
    ("grey", 10, (0.14, 0.147, 0.155)),
    ("silver", 10, (0.37, 0.38, 0.39)),
    ("blue", 7, (0.025, 0.09, 0.35)),
    ("navy", 3, (0.012, 0.025, 0.09)),
    ("sky blue", 2, (0.2, 0.42, 0.66)),
    ("red", 8, (0.5, 0.014, 0.016)),
    ("dark red", 2.5, (0.17, 0.008, 0.014)),
    ("orange", 2, (0.78, 0.2, 0.012)),
    ("yellow", 2.5, (0.83, 0.56, 0.02)),
    ("green", 2, (0.02, 0.17, 0.06)),
    ("lime", 1, (0.35, 0.6, 0.04)),
    ("teal", 1, (0.01, 0.25, 0.27)),
    ("beige", 1.5, (0.55, 0.46, 0.32)),
    ("brown", 1.5, (0.14, 0.07, 0.035)),
    ("purple", 0.7, (0.13, 0.03, 0.22)),
    ("pink", 0.4, (0.72, 0.24, 0.34)),
    ("cream", 1.2, (0.78, 0.69, 0.48)),
)
"""Name, weight and linear colour; the weights follow what people buy, with some more of what is rare."""


DARK_GLASS: tuple[RGB, ...] = ((0.018, 0.021, 0.025), (0.03, 0.036, 0.042), (0.055, 0.068, 0.075), (0.02, 0.03, 0.028))
PALE_GLASS: tuple[RGB, ...] = ((0.055, 0.068, 0.075), (0.1, 0.12, 0.13), (0.13, 0.15, 0.16), (0.09, 0.115, 0.11))
"""Windows in dark paint are lighter than it, as the inside shines through."""


@dataclass(frozen=True)
class Shape:
    """The measures of one car, in metres, as the legend above has them. Positions are x, heights are z.

    Sweeps: how far back the corners of the nose, tail, windscreen and rear window lie behind their middle.  rakes: how
    far the top of the nose and tail lies behind the bumper.  crown: how much higher the bonnet is in the middle.
    ledge: from the body's shoulder in to the window.  flare: how far the wheel arches stand out.  scallop: the depth of
    the hollow along the doors.  open_box: x from, x to, and floor of a load bed or of an open cockpit.
    """

    family: str
    length: float
    width: float
    height: float
    wheel: float
    tyre: float
    clearance: float
    front_axle: float
    rear_axle: float
    cowl: float
    screen: float
    roof: float
    back: float
    nose_height: float
    cowl_height: float
    tail_height: float
    nose_sweep: float
    tail_sweep: float
    screen_sweep: float
    back_sweep: float
    nose_rake: float
    tail_rake: float
    tumble: float
    shoulder: float
    crown: float
    ledge: float
    flare: float
    scallop: float
    roof_drop: float
    doors: int
    open_box: tuple[float, float, float] | None

    @property
    def arch(self) -> float:
        """The radius of the wheel arches."""
        return self.wheel * (1.22 if self.family in ("suv", "pickup") else 1.15)


@dataclass(frozen=True)
class Look:
    """The colours and fittings of one car.

    scheme: "plain", "roof" (a roof of the second colour), "lower" (a lower half of it), "stripes" (two along the
    middle), "sides" (a band along the doors), "taxi" or "police".  coat: the share that the clear coat mirrors.
    cladding: the height of unpainted plastic around the sills, 0: none.
    grille: "bars", "mesh", "split", "wide" or "none".  rim: a design of ``wheels``.
    """

    paint: str
    color: RGB
    second: RGB
    scheme: str
    coat: float
    cladding: float
    grille: str
    lamps: str
    tail: str
    trim: RGB
    glass: RGB
    plate: RGB
    rim: str
    rim_color: RGB
    rails: bool
    spoiler: bool
    sunroof: bool
    mirrors_black: bool
    interior: RGB


def draw_shape(rng: random.Random, family: str | None = None) -> Shape:
    """Measures of a car of ``family`` (None: one drawn by weight)."""
    names = list(FAMILIES)
    name = rng.choices(names, [FAMILIES[n].weight for n in names])[0]
    name = name if family is None else family
    kind = FAMILIES[name]
    length, height = rng.uniform(*kind.length), rng.uniform(*kind.height)
    doors = rng.choice(kind.doors)

    def along(span: Span) -> float:
        return (0.5 - rng.uniform(*span)) * length

    wheel = rng.uniform(*kind.wheel)
    sporty = name in ("coupe", "convertible")
    tail_height = rng.uniform(*kind.tail_height) * height
    roof, back = along(kind.roof), along(kind.back)
    open_box = None
    if name == "pickup":
        share = 0.46 if doors == 1 else 0.56
        roof = (0.5 - share - rng.uniform(-0.01, 0.02)) * length
        back = roof - rng.uniform(0.04, 0.12)
        open_box = (back - 0.08, -length / 2 + 0.09, 0.36 * height)
    cowl, screen = along(kind.cowl), along(kind.screen)
    if name == "convertible":
        seats = rng.choice([0.56, 0.66])
        open_box = ((0.5 - 0.375) * length, (0.5 - seats) * length, 0.34 * height)
        doors = 1
    return Shape(
        family=name,
        length=length,
        width=rng.uniform(*kind.width),
        height=height,
        wheel=wheel,
        tyre=rng.uniform(0.19, 0.22) + (0.05 if sporty or name == "suv" else 0.0),
        clearance=rng.uniform(*kind.clearance),
        front_axle=along(kind.axles[0]),
        rear_axle=along(kind.axles[1]),
        cowl=cowl,
        screen=screen,
        roof=roof,
        back=back,
        nose_height=rng.uniform(*kind.nose_height) * height,
        cowl_height=rng.uniform(*kind.cowl_height) * height,
        tail_height=tail_height,
        nose_sweep=rng.uniform(*kind.sweep),
        tail_sweep=rng.uniform(0.12, 0.26) if name != "classic" else rng.uniform(0.3, 0.5),
        screen_sweep=rng.uniform(0.18, 0.32),
        back_sweep=rng.uniform(0.06, 0.14) if name in ("pickup", "van") else rng.uniform(0.12, 0.28),
        nose_rake=rng.uniform(0.06, 0.2),
        tail_rake=rng.uniform(0.03, 0.12),
        tumble=rng.uniform(*kind.tumble),
        shoulder=rng.uniform(0.05, 0.1) if name != "classic" else rng.uniform(0.12, 0.17),
        crown=rng.uniform(0.04, 0.08),
        ledge=rng.uniform(0.02, 0.06) + (0.03 if name == "classic" else 0.0),
        flare=rng.uniform(0.0, 0.035) + (0.025 if sporty else 0.0),
        scallop=rng.uniform(0.0, 0.022),
        roof_drop=rng.uniform(0.02, 0.05) + (0.05 if name in ("coupe", "classic") else 0.0),
        doors=doors,
        open_box=open_box,
    )


def draw_look(rng: random.Random, shape: Shape) -> Look:
    """Colours and fittings that suit a car of this family."""
    paint, _, color = rng.choices(PAINTS, [weight for _, weight, _ in PAINTS])[0]
    schemes = {"plain": 80.0, "roof": 7.0, "lower": 3.0, "stripes": 2.0, "sides": 2.5, "taxi": 1.5, "police": 1.0}
    if shape.family in ("coupe", "convertible"):
        schemes |= {"stripes": 9.0, "taxi": 0.0}
    if shape.family == "classic":
        schemes |= {"lower": 16.0, "roof": 16.0, "sides": 6.0, "police": 0.0}
    if shape.family not in ("saloon", "estate", "hatchback", "van"):
        schemes |= {"taxi": 0.0}
    if shape.family not in ("saloon", "estate", "suv"):
        schemes |= {"police": 0.0}
    scheme = rng.choices(list(schemes), list(schemes.values()))[0]
    dark = sum(color) < 0.6
    second = rng.choice([(0.78, 0.78, 0.75), (0.5, 0.51, 0.52), (0.72, 0.65, 0.45)] if dark else [
        (0.014, 0.014, 0.016), (0.014, 0.014, 0.016), (0.03, 0.05, 0.16), (0.3, 0.012, 0.014),
    ])  # fmt: skip
    if scheme == "taxi":
        paint, color, second = rng.choice([
            ("yellow", (0.83, 0.56, 0.02), (0.015, 0.015, 0.015)),
            ("black", (0.014, 0.014, 0.016), (0.8, 0.62, 0.05)),
            ("white", (0.8, 0.8, 0.78), (0.05, 0.3, 0.1)),
            ("cream", (0.78, 0.69, 0.48), (0.015, 0.015, 0.015)),
        ])  # fmt: skip
    if scheme == "police":
        paint, color = rng.choice([("white", (0.8, 0.8, 0.79)), ("silver", (0.37, 0.38, 0.39))])
        second = rng.choice([(0.02, 0.1, 0.4), (0.015, 0.015, 0.018), (0.03, 0.3, 0.1)])
    tone = rng.uniform(0.9, 1.08)
    classic = shape.family == "classic"
    cladding = 0.0
    if shape.family == "suv" and rng.random() < 0.6:
        cladding = shape.clearance + rng.uniform(0.1, 0.22)
    elif shape.family in ("van", "pickup", "hatchback") and rng.random() < 0.25:
        cladding = shape.clearance + rng.uniform(0.06, 0.16)
    grey = rng.choice([(0.58, 0.58, 0.6), (0.42, 0.43, 0.45), (0.6, 0.6, 0.62), (0.08, 0.08, 0.09), (0.03, 0.03, 0.03)])
    return Look(
        paint=paint,
        color=(min(color[0] * tone, 0.85), min(color[1] * tone, 0.85), min(color[2] * tone, 0.85)),
        second=second,
        scheme=scheme,
        coat=rng.uniform(0.025, 0.055),
        cladding=cladding,
        grille="bars" if classic else rng.choice(["bars", "mesh", "split", "wide", "wide", "none"]),
        lamps="round" if classic or rng.random() < 0.06 else rng.choice(["slim", "swept", "block"]),
        tail=rng.choice(["blocks", "upright", "bar", "wrap"]),
        trim=(0.62, 0.62, 0.63) if classic or rng.random() < 0.45 else (0.02, 0.02, 0.022),
        glass=rng.choice(PALE_GLASS if sum(color) < 0.25 else DARK_GLASS),
        plate=rng.choice([(0.8, 0.8, 0.78), (0.8, 0.8, 0.78), (0.82, 0.64, 0.08)]),
        rim="cap" if classic else rng.choice(["five", "ten", "split", "turbine", "multi", "star", "cap"]),
        rim_color=(0.62, 0.62, 0.63) if classic else grey,
        rails=shape.family in ("suv", "estate") and rng.random() < 0.55,
        spoiler=(shape.family == "coupe" and rng.random() < 0.35)
        or (shape.family == "hatchback" and rng.random() < 0.4),
        sunroof=shape.family in ("suv", "saloon", "hatchback", "estate", "coupe") and rng.random() < 0.25,
        mirrors_black=rng.random() < 0.25,
        interior=rng.choice([(0.03, 0.03, 0.032), (0.3, 0.12, 0.05), (0.45, 0.38, 0.28), (0.25, 0.02, 0.02)]),
    )
