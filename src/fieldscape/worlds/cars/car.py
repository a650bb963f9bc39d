"""Cars, each another: families, proportions, paints and fittings drawn from a seed, as parts ready to be lit."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.meshes import box, lathe, merge, painted, rounded_box, sphere, split_creases, transform
from fieldscape.types import Mesh
from fieldscape.worlds.cars.bodies import body, bumper_bar, cabin, half_width, screen, underside, wing
from fieldscape.worlds.cars.finish import BLACK, body_texture, cabin_texture, inside, rectangle, windows
from fieldscape.worlds.cars.plans import Look, Shape, draw_look, draw_shape
from fieldscape.worlds.cars.wheels import at_corners, rim, rim_texture, tyre
from fieldscape.worlds.shading import Part
from fieldscape.worlds.textures import RGB, Surface, Texture, band, blend, nearest_line, painted_parts, plain


@dataclass(frozen=True)
class Car:
    """A car as parts, centred on its bounding box, z up, facing +y; its measures, its colours, its longest diagonal."""

    parts: tuple[Part, ...]
    shape: Shape
    look: Look
    diagonal: float


def car(seed: int, index: int, family: str | None = None) -> Car:
    """Car ``index`` of a seed; ``family`` picks one of ``plans.FAMILIES`` instead of drawing it."""
    rng = random.Random(f"car {seed} {index}")
    shape = draw_shape(rng, family)
    look = draw_look(rng, shape)
    parts = build(shape, look, blind=rng.random() < 0.5)
    centred, diagonal = centre(parts, TURN)
    return Car(centred, shape, look, diagonal)


TURN = torch.tensor([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""From facing +x to facing +y."""


def centre(parts: list[Part], turn: Float[Tensor, "4 4"]) -> tuple[tuple[Part, ...], float]:
    """The parts turned and moved so that the middle of their bounding box is the origin; the diagonal of that box."""
    moved = [transform(part.mesh, turn) for part in parts]
    points = torch.cat([mesh.vertices[mesh.faces.unique()] for mesh in moved])
    low, high = points.amin(0), points.amax(0)
    shift = torch.eye(4)
    shift[:3, 3] = -(low + high) / 2
    matrix = shift @ turn
    back = torch.linalg.inv(matrix)
    placed = []
    for part in parts:
        normals = None if part.normals is None else part.normals @ turn[:3, :3].T
        mesh = transform(part.mesh, matrix)
        placed.append(
            Part(
                part.name,
                mesh,
                part.texture,
                part.frame @ back,
                part.glow,
                part.edge,
                part.outside,
                normals,
                part.mirror,
            )
        )
    return tuple(placed), float((high - low).norm())


def smooth(name: str, mesh: Mesh, texture: Texture, mirror: float = 0.0, crease: float = 42.0) -> Part:
    """A part with normals worked out once."""
    split, normals = split_creases(mesh, crease)
    return Part(name, split, texture, torch.eye(4), normals=normals, mirror=mirror)


def build(shape: Shape, look: Look, blind: bool) -> list[Part]:
    """The car, standing on z = 0 and facing +x. ``blind``: a van without windows behind the front doors."""
    dome, plan = cabin(shape)
    panes = windows(shape, plan, blind)
    parts = [smooth("body", body(shape), body_texture(shape, look, panes), look.coat, 50.0)]
    if shape.family == "convertible":
        parts.append(smooth("windscreen", screen(shape), cabin_texture(shape, look, panes), 0.08, 60.0))
    else:
        parts.append(smooth("cabin", dome, cabin_texture(shape, look, panes), max(look.coat, 0.06), 50.0))
    parts.append(smooth("underside", underside(shape), _floor(shape)))
    axles = (shape.front_axle, shape.rear_axle)
    tracks = (wing(shape, axles[0]) - 0.045, wing(shape, axles[1]) - 0.035)
    tyres = merge(at_corners(tyre(shape.wheel, shape.tyre), tracks, axles, shape.wheel))
    rims = merge(at_corners(rim(shape.wheel, shape.tyre), tracks, axles, shape.wheel))
    parts.append(smooth("tyres", tyres, plain((0.022, 0.022, 0.023), 0.0)))
    parts.append(smooth("rims", rims, rim_texture(look.rim, look.rim_color), 0.12))
    parts.append(smooth("fittings", merge(_fittings(shape, look)), painted_parts(0.0), 0.05))
    return parts


def _floor(shape: Shape) -> Texture:
    """A dark floor with a tunnel, beams and a silencer drawn on it."""

    half, rear = shape.length / 2, shape.rear_axle
    dark, steel = (0.03, 0.03, 0.031), (0.34, 0.34, 0.35)

    def texture(s: Surface) -> Tensor:
        x, y, z = s.point.unbind(-1)
        f = s.footprint
        color = torch.tensor((0.15, 0.15, 0.155)).expand(len(x), 3)
        # Ribs of the floor, the tunnel with the exhaust in it, crossbeams, the tank and the silencer.
        color = blend(color, (0.1, 0.1, 0.102), band(nearest_line(y, 0.3), 0.05, f) * (x < shape.cowl))
        color = blend(
            color, (0.2, 0.2, 0.2), inside(rectangle(x, y, (shape.cowl - 0.1, -0.4), (half - 0.3, 0.4), 0.1), f)
        )
        color = blend(color, dark, inside(rectangle(x, y, (rear, -0.13), (shape.cowl, 0.13), 0.05), f))
        color = blend(color, steel, band(y - 0.03, 0.035, f) * (x > rear - 0.5) * (x < shape.cowl))
        for beam in (shape.front_axle - 0.1, rear + 0.35, rear):
            color = blend(
                color, (0.06, 0.06, 0.06), inside(rectangle(x, y, (beam - 0.05, -0.6), (beam + 0.05, 0.6), 0.02), f)
            )
        color = blend(color, dark, inside(rectangle(x, y, (rear + 0.42, -0.55), (rear + 0.8, 0.55), 0.08), f))
        color = blend(color, steel, inside(rectangle(x, y, (-half + 0.22, 0.18), (rear - 0.4, 0.6), 0.1), f))
        wells = z > shape.clearance + 0.1
        return torch.where(wells[:, None], torch.tensor(dark), color)

    return texture


def _at(x: float, y: float, z: float, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Float[Tensor, "4 4"]:
    matrix = torch.diag(torch.tensor([*scale, 1.0]))
    matrix[:3, 3] = torch.tensor([x, y, z])
    return matrix


def _fittings(shape: Shape, look: Look) -> list[Mesh]:
    """Mirrors, and what some cars have: rails, spoiler, chrome bumpers, seats, signs on the roof, exhausts."""
    half = shape.length / 2
    pieces: list[Mesh] = []
    mirror: RGB = BLACK if look.mirrors_black else look.color
    wide = float(half_width(shape, torch.tensor(shape.cowl_height)))
    for side in (-1, 1):
        place = _at(shape.cowl - 0.32, side * (wide + 0.07), shape.cowl_height + 0.06, (0.065, 0.1, 0.07))
        pieces.append(painted(transform(sphere(1.0, 14), place), mirror))
        pieces.append(
            painted(box((0.06, 0.1, 0.03), (shape.cowl - 0.33, side * (wide - 0.01), shape.cowl_height)), BLACK)
        )
        if shape.family not in ("van", "pickup"):
            pipe = transform(lathe([(0.03, 0.0), (0.03, 0.12)], 12), _ALONG)
            pieces.append(
                painted(transform(pipe, _at(-half + 0.2, side * 0.45, shape.clearance + 0.07)), (0.4, 0.4, 0.41))
            )
    roof = shape.height
    roof_wide = wide - shape.ledge - shape.tumble - 0.1
    middle, long = 0.5 * (shape.screen + shape.roof), shape.screen - shape.roof
    if look.rails:
        for side in (-1, 1):
            rail = rounded_box((0.8 * long, 0.035, 0.035), 0.014, (middle, side * (roof_wide - 0.02), roof + 0.015))
            pieces.append(painted(rail, look.trim))
            for end in (-1, 1):
                foot = box((0.05, 0.03, 0.09), (middle + end * 0.38 * long, side * (roof_wide - 0.02), roof - 0.03))
                pieces.append(painted(foot, look.trim))
    if look.spoiler:
        pieces += _spoiler(shape, look)
    if look.scheme == "taxi":
        pieces.append(
            painted(rounded_box((0.16, 0.46, 0.14), 0.04, (middle + 0.15 * long, 0.0, roof + 0.06)), (0.85, 0.75, 0.35))
        )
    if look.scheme == "police":
        pieces.append(
            painted(rounded_box((0.2, 0.5, 0.1), 0.04, (middle + 0.2 * long, 0.3, roof + 0.05)), (0.02, 0.06, 0.5))
        )
        pieces.append(
            painted(rounded_box((0.2, 0.5, 0.1), 0.04, (middle + 0.2 * long, -0.3, roof + 0.05)), (0.5, 0.02, 0.02))
        )
    if shape.family == "classic":
        for end in (-1, 1):
            pieces.append(painted(bumper_bar(shape, end), look.trim))
    if shape.family == "convertible" and shape.open_box is not None:
        pieces += _seats(shape, look)
    return pieces


_ALONG = torch.tensor([[0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""Turns the z axis to -x."""


def _spoiler(shape: Shape, look: Look) -> list[Mesh]:
    half = shape.length / 2
    if shape.family == "hatchback":
        wing = rounded_box(
            (0.24, 0.62 * shape.width, 0.04), 0.017, (shape.roof - 0.04, 0.0, shape.height - 0.06 - shape.roof_drop)
        )
        return [painted(wing, look.color)]
    high = shape.tail_height + (0.17 if shape.doors == 1 else 0.1)
    wing = rounded_box((0.22, 0.84 * shape.width, 0.035), 0.015, (-half + 0.22, 0.0, high))
    posts = [
        box(
            (0.12, 0.04, high - shape.tail_height + 0.06),
            (-half + 0.24, side * 0.28 * shape.width, 0.5 * (high + shape.tail_height) - 0.02),
        )
        for side in (-1, 1)
    ]
    return [painted(wing, look.color), *(painted(post, BLACK) for post in posts)]


def _seats(shape: Shape, look: Look) -> list[Mesh]:
    """Two or four seats in the open, a dashboard and a steering wheel."""
    assert shape.open_box is not None
    start, end, floor = shape.open_box
    rows = [start - 0.95] + ([start - 1.65] if start - end > 1.9 else [])
    pieces = []
    for x in rows:
        for side in (-1, 1):
            y = side * 0.2 * shape.width
            pieces.append(rounded_box((0.48, 0.46, 0.16), 0.06, (x + 0.2, y, floor + 0.1)))
            pieces.append(rounded_box((0.16, 0.46, 0.52), 0.06, (x - 0.08, y, floor + 0.36)))
            pieces.append(rounded_box((0.09, 0.24, 0.15), 0.04, (x - 0.1, y, floor + 0.7)))
    seats = [painted(mesh, look.interior) for mesh in pieces]
    dash = rounded_box((0.3, 0.74 * shape.width, 0.3), 0.08, (start - 0.12, 0.0, shape.cowl_height - 0.16))
    ring = lathe([(0.17, -0.012), (0.19, -0.012), (0.19, 0.012), (0.17, 0.012)], 20, closed=True)
    lean = math.radians(68)
    c, s = math.cos(lean), math.sin(lean)
    place = [start - 0.42, 0.2 * shape.width, shape.cowl_height - 0.1]
    turn = torch.eye(4)
    turn[:3] = torch.tensor([[c, 0.0, -s, place[0]], [0.0, 1.0, 0.0, place[1]], [s, 0.0, c, place[2]]])
    return [*seats, painted(dash, BLACK), painted(transform(ring, turn), BLACK)]


def about(made: Car) -> dict[str, object]:
    """What is true of the car, as JSON: family, colours (linear), measures (metres), number of faces."""
    shape, look = made.shape, made.look
    return {
        "family": shape.family,
        "paint": look.paint,
        "scheme": look.scheme,
        "color": [round(value, 4) for value in look.color],
        "second_color": [round(value, 4) for value in look.second],
        "length": round(shape.length, 3),
        "width": round(shape.width, 3),
        "height": round(shape.height, 3),
        "wheelbase": round(shape.front_axle - shape.rear_axle, 3),
        "wheel_radius": round(shape.wheel, 3),
        "metres_a_unit": round(made.diagonal, 4),
        "faces": sum(len(part.mesh.faces) for part in made.parts),
    }
