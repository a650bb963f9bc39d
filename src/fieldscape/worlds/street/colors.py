"""Colour pictures of a scene: the same solids as meshes, in daylight, on asphalt with markings between pavements.

The meshes follow the solids to 0.3 % of their radius, so outlines may differ from those of the depth maps by a pixel's
edge; depth is never taken from here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape.images import to_uint8
from fieldscape.meshes import merge, quad
from fieldscape.types import Camera, Mesh
from fieldscape.worlds.daylight import lit
from fieldscape.worlds.lights import Lights
from fieldscape.worlds.shading import Part, one_thread, render
from fieldscape.worlds.street import solids
from fieldscape.worlds.street.objects import COLORS, Piece
from fieldscape.worlds.street.render import REACH
from fieldscape.worlds.street.scenes import Scene
from fieldscape.worlds.textures import (
    RGB,
    Surface,
    Texture,
    band,
    blend,
    fractal,
    nearest_line,
    plain,
    scramble,
    visible,
)

Array = np.ndarray

KERB = 3.6
"""From the middle of the street to its kerbs, in metres."""
PAINTS: dict[str, RGB] = {
    "dark": (0.035, 0.035, 0.04),
    "glass": (0.03, 0.045, 0.06),
    "light": (0.85, 0.82, 0.7),
    "rear": (0.5, 0.02, 0.02),
    "metal": (0.45, 0.46, 0.48),
    "skin": (0.6, 0.36, 0.24),
}
MIRRORS = {"glass": 0.12, "car": 0.05, "metal": 0.1}
GLOWS = {"light": 0.6}
FRONTS: tuple[RGB, ...] = (
    (0.36, 0.14, 0.09),
    (0.62, 0.52, 0.36),
    (0.5, 0.33, 0.22),
    (0.58, 0.58, 0.55),
    (0.42, 0.45, 0.36),
    (0.56, 0.4, 0.33),
)


def painter(scene: Scene, seed: int) -> Callable[[Float[Array, "p 4 4"], Float[Array, "4 4"]], UInt8[Array, "h w 3"]]:
    """A function from the solids' matrices and the camera's pose to the picture, the light of one day for them all."""
    rng = random.Random(f"light {seed} {scene.index}")
    turn, view = rng.uniform(0, 2 * math.pi), scene.view
    lights = Lights(
        sky=(1.0, 1.25, 1.75),
        ground=(0.45, 0.43, 0.4),
        sun=(2.7, 2.45, 2.0),
        sun_direction=(math.cos(turn), math.sin(turn), rng.uniform(0.7, 1.4)),
        open_air=True,
    )
    pieces = [(0, piece) for piece in scene.walls]
    pieces += [(k + 1, piece) for k, actor in enumerate(scene.actors) for piece in actor.thing.pieces]
    street = _street(scene, rng.uniform(5.0, 9.0) if rng.random() < 0.5 else None)
    focal, center = torch.full((2,), view.focal), torch.tensor([view.width / 2, view.height / 2])
    exposure: list[float] = []

    def paint(matrices: Array, pose: Array) -> Array:
        with one_thread():
            world = lit([street, *_parts(scene, pieces, matrices)], lights)
            # One exposure for the whole video: pictures must not flicker.
            exposure.append(exposure[0] if exposure else world.exposure)
            camera = Camera(torch.tensor(pose, dtype=torch.float32), focal, center, view.width, view.height)
            return to_uint8(render(replace(world, exposure=exposure[0]), camera).color).numpy()

    return paint


def _parts(scene: Scene, pieces: list[tuple[int, Piece]], matrices: Array) -> list[Part]:
    """One part for all pieces of a thing in the same paint."""
    groups: dict[tuple[int, str], list[int]] = {}
    for k, (owner, piece) in enumerate(pieces):
        groups.setdefault((owner, piece.paint), []).append(k)
    parts = []
    for (owner, paint), members in groups.items():
        meshes, normals = [], []
        for k in members:
            piece = pieces[k][1]
            mesh, normal = solids.mesh(piece.kind, piece.ratio)
            matrix = torch.tensor(matrices[k], dtype=torch.float32)
            meshes.append(Mesh(mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3], mesh.faces))
            normals.append(torch.nn.functional.normalize(normal @ torch.linalg.inv(matrix[:3, :3]), dim=-1))
        first = members[0]
        # To the thing's own frame, where its texture lives: undo the pose, keep the place at rest.
        frame = torch.tensor(pieces[first][1].rest @ np.linalg.inv(matrices[first]), dtype=torch.float32)
        shape = scene.actors[owner - 1].thing.shape if owner else "wall"
        color = COLORS[scene.actors[owner - 1].thing.color] if owner else (0.0, 0.0, 0.0)
        mirror = MIRRORS.get(shape if paint == "own" else paint, 0.0)
        texture = _front(int(paint.split()[1])) if owner == 0 else plain(PAINTS.get(paint, color), 0.05, 0.3, owner)
        joined = merge(meshes)
        parts.append(
            Part(shape, joined, texture, frame, GLOWS.get(paint, 0.0), normals=torch.cat(normals), mirror=mirror)
        )
    return parts


def _street(scene: Scene, crossing: float | None) -> Part:
    """The ground as far as it is seen."""
    wide = 1.2 * REACH
    mesh = quad((-wide, -wide, 0.0), (2 * wide, 0.0, 0.0), (0.0, 2 * wide, 0.0))
    normals = torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3).contiguous()
    return Part("street", mesh, _ground(crossing, bool(scene.walls)), torch.eye(4), normals=normals)


def _ground(crossing: float | None, walls: bool) -> Texture:
    """Asphalt along y with a dashed line in the middle and lines at its sides; kerbs; paving stones; grass or yards.

    ``crossing``: where a zebra crossing begins, if there is one.
    """

    def texture(s: Surface) -> Tensor:
        x, y, f = s.point[:, 0], s.point[:, 1], s.footprint
        grain = fractal(s.point, f, 0.08, 2, 5)
        patches = fractal(s.point, f, 2.5, 3, 9)
        asphalt = torch.tensor([0.115, 0.115, 0.12]) * (1 + 0.12 * grain + 0.14 * patches)[:, None]
        dash = band(nearest_line(y - 1.0, 5.0), 1.1, f) * band(x, 0.06, f)
        lines = band(x.abs() - (KERB - 0.3), 0.05, f)
        white = torch.maximum(dash, lines)
        if crossing is not None:
            stripes = band(nearest_line(x - 0.45, 0.9), 0.22, f) * band(y - crossing - 1.4, 1.4, f)
            white = torch.where((y - crossing - 1.4).abs() < 2.0, stripes * (x.abs() < KERB - 0.4), white)
        color = blend(asphalt, (0.68, 0.68, 0.64), white.clamp(0, 1) * (0.92 + 0.1 * grain).clamp(0, 1))
        stone = _paving(s)
        away = x.abs()
        color = torch.where((away > KERB)[:, None], stone, color)
        kerb = band(away - KERB - 0.08, 0.09, f).clamp(0, 1)
        color = blend(color, (0.5, 0.49, 0.46), kerb)
        if not walls:
            tufts = 1 + 0.35 * fractal(s.point, f, 0.25, 3, 3) + 0.2 * patches
            grass = torch.tensor([0.13, 0.24, 0.055]) * tufts[:, None]
            color = torch.where((away > 6.2)[:, None], grass, color)
        return color

    return texture


def _paving(s: Surface) -> Tensor:
    """Square slabs of half a metre, each a little different."""
    size = 0.5
    x, y, f = s.point[:, 0] - KERB, s.point[:, 1], s.footprint
    each = scramble((x / size).floor(), (y / size).floor(), 7) - 0.5
    tone = 1 + 0.22 * each * visible(size, f) + 0.08 * fractal(s.point, f, 0.1, 2, 2)
    joint = torch.maximum(band(nearest_line(x, size), 0.012, f), band(nearest_line(y, size), 0.012, f)).clamp(0, 1)
    return blend(torch.tensor([0.37, 0.355, 0.33]) * tone[:, None], (0.17, 0.16, 0.15), joint)


def _front(kind: int) -> Texture:
    """A building's front: plaster or brick, rows of windows with frames and sills, doors below.

    Its frame is the wall's own box: x and y along the street and across, z up, its middle half its height up.
    """
    base = FRONTS[kind]

    def texture(s: Surface) -> Tensor:
        along = torch.where(s.normal[:, 0].abs() > 0.5, s.point[:, 1], s.point[:, 0])
        up, f = s.point[:, 2], s.footprint
        tone = 1 + 0.07 * fractal(s.point, f, 0.6, 3, kind)
        wall = torch.tensor(base) * tone[:, None]
        if kind % 2 == 0:
            course = nearest_line(up, 0.14).abs()
            shift = torch.where(torch.remainder(torch.round(up / 0.28), 2) > 0, 0.2, 0.0)
            mortar = torch.maximum(band(course, 0.01, f), band(nearest_line(along + shift, 0.4), 0.01, f)).clamp(0, 1)
            wall = blend(wall, (0.45, 0.42, 0.38), 0.5 * mortar)
        column, floor = 2.1, 2.7
        place, level = nearest_line(along, column), nearest_line(up - 1.7, floor)
        frame = _within(place, 0.58, f) * _within(level, 0.82, f)
        pane = _within(place.abs() - 0.26, 0.23, f) * _within(level, 0.74, f)
        lower = up < 2.3
        door = (torch.remainder(torch.round(along / column), 3) == 0) & lower
        at_door = _within(place, 0.55, f) * (up < 2.1)
        frame, pane = torch.where(door, 0.0, frame), torch.where(door, 0.0, pane)
        lit_room = scramble(torch.round(along / column), torch.round((up - 1.7) / floor), kind)
        glass = torch.tensor([0.05, 0.08, 0.12]) * (0.6 + 1.2 * lit_room)[:, None]
        color = blend(wall, (0.7, 0.68, 0.62), frame)
        color = color + (glass - color) * pane[:, None]
        color = blend(color, (0.13, 0.07, 0.04), torch.where(door, at_door, 0.0))
        return blend(color, (0.2, 0.19, 0.18), band(up, 0.25, f).clamp(0, 1))

    return texture


def _within(place: Tensor, half: float, footprint: Tensor) -> Tensor:
    """1 within ``half`` of 0, 0 outside, smooth over a pixel's width."""
    return ((half - place.abs()) / footprint + 0.5).clamp(0, 1)
