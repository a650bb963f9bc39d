"""The shell of a room: floor, ceiling, walls with windows and doors, and what is built into them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.meshes import Vector, quad
from fieldscape.types import Mesh
from fieldscape.worlds.lights import Opening
from fieldscape.worlds.parts import Piece, moved, place
from fieldscape.worlds.rooms.shapes import (
    Box,
    Shape,
    around,
    boxes,
    cushions,
    dressed,
    joined,
    lathed,
    put,
    solid,
    stretched,
)
from fieldscape.worlds.shading import Part
from fieldscape.worlds.textures import RGB, Texture, grained, patterned, woven

DEEP = 0.2
"""How far a window stands back from the inside of its wall."""


@dataclass(frozen=True)
class Wall:
    """One of the four walls: its frame has x along the wall from its middle, y into the room, z up from the floor."""

    index: int
    length: float
    distance: float

    @property
    def yaw(self) -> float:
        return self.index * math.pi / 2

    def matrix(self, x: float, y: float = 0.0, z: float = 0.0, turn: float = 0.0) -> Float[Tensor, "4 4"]:
        """Takes a piece that faces +y to the wall."""
        across, into = self.at(x, y)
        return moved(across, into, z, self.yaw + turn)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the wall's frame in the room's."""
        y -= self.distance
        c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.index]
        return c * x - s * y, s * x + c * y

    def turned(self, x: float, y: float) -> tuple[float, float]:
        """A direction of the wall's frame in the room's."""
        c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.index]
        return c * x - s * y, s * x + c * y


@dataclass(frozen=True)
class Window:
    """A window's place in its wall: its middle along x, its width, the heights of its sill and head."""

    wall: Wall
    x: float
    width: float
    sill: float
    head: float

    @property
    def opening(self) -> Opening:
        """The pane that light comes through, towards the room."""
        x, y = self.wall.at(self.x - self.width / 2, -DEEP + 0.03)
        dx, dy = self.wall.turned(self.width, 0.0)
        return Opening((x, y, self.sill), (0.0, 0.0, self.head - self.sill), (dx, dy, 0.0))


@lru_cache(maxsize=16)
def walls_of(size: Vector) -> tuple[Wall, Wall, Wall, Wall]:
    """The walls of a room about the origin, counter-clockwise from the one at -y."""
    x, y, _ = size
    return Wall(0, x, y / 2), Wall(1, y, x / 2), Wall(2, x, y / 2), Wall(3, y, x / 2)


def wall_sheets(
    name: str, chosen: Sequence[tuple[Wall, RGB]], windows: Sequence[Window], height: float, texture: Texture
) -> Part:
    """The walls, each in its paint, around their windows' holes."""
    corners: list[list[float]] = []
    normals: list[tuple[float, float, float]] = []
    paints: list[RGB] = []
    for wall, paint in chosen:
        holes = [w for w in windows if w.wall.index == wall.index]
        ends = [-wall.length / 2, wall.length / 2]
        xs = sorted({*ends, *(h.x + s * h.width / 2 for h in holes for s in (-1, 1))})
        zs = sorted({0.0, height, *(h.sill for h in holes), *(h.head for h in holes)})
        inward = (*wall.turned(0.0, 1.0), 0.0)
        for left, right in pairwise(xs):
            for low, high in pairwise(zs):
                x, z = (left + right) / 2, (low + high) / 2
                if any(abs(x - h.x) < h.width / 2 and h.sill < z < h.head for h in holes):
                    continue
                for u, v in ((left, low), (left, high), (right, high), (right, low)):
                    corners.append([*wall.at(u, 0.0), v])
                    normals.append(inward)
                    paints.append(paint)
    count = len(corners) // 4
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]]) + 4 * torch.arange(count)[:, None, None]
    mesh = Mesh(torch.tensor(corners), faces.reshape(-1, 3), torch.tensor(paints))
    return Part(name, mesh, texture, torch.eye(4), 0.0, 0.2, False, torch.tensor(normals))


def sheet(name: str, origin: Vector, u: Vector, v: Vector, texture: Texture, edge: float, mirror: float = 0.0) -> Part:
    """A flat surface with a constant normal along u x v."""
    mesh = quad(origin, u, v)
    normal = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor(u), torch.tensor(v)), dim=0)
    return Part(name, mesh, texture, torch.eye(4), 0.0, edge, False, normal.repeat(4, 1), mirror)


def reveal(windows: Sequence[Window], paint: RGB, texture: Texture) -> Part:
    """The four sides of each window's hole."""
    sides = [side for w in windows for side in _sides(w, DEEP)]
    return _inward("reveal", sides, [paint] * len(sides), texture)


def passage(hole: Window, deep: float, paint: RGB, floor: RGB, texture: Texture) -> Part:
    """What is seen of the next room through a hole without a door: ``deep`` metres of it."""
    low, high = hole.x - hole.width / 2, hole.x + hole.width / 2
    end = [(low, -deep, hole.sill), (high, -deep, hole.sill), (high, -deep, hole.head), (low, -deep, hole.head)]
    back = (
        [(*hole.wall.at(x, y), z) for x, y, z in (end[0], end[3], end[2], end[1])],
        (*hole.wall.turned(0.0, 1.0), 0.0),
    )
    return _inward("reveal", [*_sides(hole, deep), back], [floor, paint, (0.75, 0.74, 0.7), paint, paint], texture)


Side: TypeAlias = tuple[list[Vector], Vector]
"""The corners of a four-sided sheet, counter-clockwise from where its normal points to, and that normal."""


def _sides(w: Window, deep: float) -> list[Side]:
    """Bottom, right, top and left of a hole, facing its middle."""
    low, high = w.x - w.width / 2, w.x + w.width / 2
    ring = [(low, w.sill), (high, w.sill), (high, w.head), (low, w.head)]
    sides = []
    for (ax, az), (bx, bz), (nx, nz) in zip(ring, ring[1:] + ring[:1], ((0, 1), (-1, 0), (0, -1), (1, 0))):
        corners = ((ax, -deep, az), (bx, -deep, bz), (bx, 0.0, bz), (ax, 0.0, az))
        placed: list[Vector] = [(*w.wall.at(x, y), z) for x, y, z in corners]
        sides.append((placed, (*w.wall.turned(nx, 0.0), float(nz))))
    return sides


def _inward(name: str, sides: Sequence[Side], paints: Sequence[RGB], texture: Texture) -> Part:
    corners = torch.tensor([corner for side, _ in sides for corner in side])
    normals = torch.tensor([normal for _, normal in sides]).repeat_interleave(4, 0)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]]) + 4 * torch.arange(len(sides))[:, None, None]
    mesh = Mesh(corners, faces.reshape(-1, 3), torch.tensor(paints).repeat_interleave(4, 0))
    return Part(name, mesh, texture, torch.eye(4), 0.0, 0.15, False, normals)


def trim(
    walls: Sequence[Wall],
    gaps: dict[int, list[tuple[float, float]]],
    height: float,
    tall: float,
    cornice: float,
    paint: RGB,
) -> Part:
    """Skirting around the room but for ``gaps`` (intervals of x, by wall), and a cornice ``cornice`` tall, or none."""
    shapes: list[Shape] = []
    for wall in walls:
        end = wall.length / 2 - 0.019 * (wall.index % 2)
        specs: list[Box] = []
        for low, high in free(-end, end, gaps.get(wall.index, [])):
            if high - low > 0.05:
                specs.append(((high - low, 0.018, tall), ((low + high) / 2, 0.0091, tall / 2 + 0.0005)))
        if cornice:
            inset = 0.0 if wall.index % 2 == 0 else cornice * 1.01
            long = wall.length - 2 * inset
            specs.append(((long, cornice, cornice * 0.5), (0.0, cornice / 2, height - cornice * 0.25 - 0.0005)))
            specs.append(((long - cornice, cornice * 0.5, cornice), (0.0, cornice / 4, height - cornice / 2 - 0.001)))
        if specs:
            shapes.append(put(boxes(specs), *wall.at(0.0, 0.0), yaw=wall.yaw))
    return dressed("skirting", joined(shapes), (paint,), edge=0.5)


def free(low: float, high: float, gaps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of an interval without the gaps.

    >>> free(0.0, 5.0, [(1.0, 2.0), (1.5, 3.0)])
    [(0.0, 1.0), (3.0, 5.0)]
    """
    left = []
    for start, end in sorted(gaps):
        if start > low:
            left.append((low, min(start, high)))
        low = max(low, end)
        if low >= high:
            break
    if low < high:
        left.append((low, high))
    return left


def window_frame(w: Window, columns: int, rows: int, paint: RGB, board: bool) -> Piece:
    """Frame, bars between the panes, and a board on the sill."""
    y, tall, wide = -DEEP + 0.06, w.head - w.sill, w.width
    specs: list[Box] = [((0.06, 0.06, tall), (s * (wide / 2 - 0.03), y, w.sill + tall / 2)) for s in (-1, 1)]
    specs += [((wide - 0.1, 0.058, 0.06), (0.0, y, z)) for z in (w.sill + 0.03, w.head - 0.03)]
    for k in range(1, columns):
        specs.append(((0.045, 0.05, tall - 0.1), ((k / columns - 0.5) * wide, y, w.sill + tall / 2)))
    for k in range(1, rows):
        specs.append(((wide - 0.1, 0.035, 0.03), (0.0, y, w.sill + k / rows * tall)))
    if board and w.sill > 0.2:
        specs.append(((wide + 0.14, 0.3, 0.035), (0.0, -0.05, w.sill - 0.017)))
    if board:  # casing around the hole
        specs += [
            ((0.07, 0.024, tall + 0.07), (s * (wide / 2 + 0.036), 0.0122, w.sill + tall / 2 + 0.03)) for s in (-1, 1)
        ]
        specs.append(((wide + 0.2, 0.028, 0.08), (0.0, 0.0142, w.head + 0.045)))
    return place([dressed("window", boxes(specs), (paint,), edge=0.5)], w.wall.matrix(w.x))


def casing(w: Window, paint: RGB) -> Piece:
    """A frame on the wall around a passage."""
    specs: list[Box] = [((0.08, 0.03, w.head), (s * (w.width / 2 + 0.041), 0.0152, w.head / 2)) for s in (-1, 1)]
    specs.append(((w.width + 0.2, 0.034, 0.09), (0.0, 0.0172, w.head + 0.046)))
    return place([dressed("door", boxes(specs), (paint,), edge=0.5)], w.wall.matrix(w.x))


def curtains(
    w: Window, room: float, share: float, tied: bool, paint: RGB, other: RGB, pattern: str, metal: RGB, glow: float
) -> Piece:
    """A pair of curtains on a rod, each over ``share`` of half the window; ``glow``: of thin cloth in the light."""
    top = min(room - 0.06, w.head + 0.14)
    long = top - 0.03
    reach = w.width / 2 + 0.2
    each = max(0.28, share * reach)
    texture = woven if pattern == "plain" else patterned(pattern, other, 0.14)
    shapes = []
    ends = []
    for side in (-1, 1):
        end = min(reach, w.wall.length / 2 - side * w.x - 0.02)
        wide = min(each, end)
        cloth = stretched(_cloth(max(3, round(each / 0.12)), tied), (-side * wide if tied else wide, 1.0, long))
        shapes.append(put(_outward(cloth), side * (end - wide / 2), 0.085, 0.02))
        ends.append(side * min(end + 0.08, w.wall.length / 2 - side * w.x - 0.01))
    span = math.floor((ends[1] - ends[0]) * 50) / 50
    rod = put(lathed([(0.013, 0.0), (0.013, span)], 8), tilt=math.pi / 2)
    ring = put(rod, ends[0], 0.085, top, yaw=math.pi / 2)
    pieces = [
        dressed("curtain", joined(shapes), (paint,), texture, glow=glow, edge=0.5),
        dressed("rod", ring, (metal,), edge=0.5),
    ]
    return place(pieces, w.wall.matrix(w.x))


def _outward(shape: Shape) -> Shape:
    """The shape with its faces turned, if a mirroring has turned them inward."""
    a, b, c = shape.vertices[shape.faces].unbind(1)
    inward = float((a * torch.linalg.cross(b, c)).sum()) < 0
    return Shape(shape.vertices, shape.faces.flip(-1), shape.normals, shape.slot) if inward else shape


@lru_cache(maxsize=64)
def _cloth(folds: int, tied: bool) -> Shape:
    """A hanging cloth one unit wide about x = 0 and one unit tall from z = 0; ``tied``: gathered towards +x."""
    columns, rows = (4 if tied else 6) * folds, 6 if tied else 1
    u = torch.linspace(0, 1, columns + 1)
    z = torch.linspace(0, 1, rows + 1)[:, None]
    waist = torch.exp(-(((z - 0.42) / 0.16) ** 2)) * 0.62 + 0.1 * (z < 0.42) if tied else torch.zeros_like(z)
    x = u * (1 - waist) + waist - 0.5
    y = 0.034 * torch.sin(2 * math.pi * folds * u) * torch.ones_like(z)
    loop_x, loop_y = torch.cat([x, x.flip(1)], 1), torch.cat([y - 0.006, y.flip(1) + 0.006], 1)
    n = loop_x.shape[1]
    vertices = torch.stack([loop_x, loop_y, z.expand(rows + 1, n)], -1).reshape(-1, 3)
    here = torch.arange(n)
    after = (here + 1) % n
    ring = torch.stack([here, after, after + n, here, after + n, here + n], -1).reshape(-1, 3)
    faces = [ring + k * n for k in range(rows)]
    k = torch.arange(columns)
    cap = torch.stack([k, k + 1, n - 2 - k, k, n - 2 - k, n - 1 - k], -1).reshape(-1, 3)
    faces += [cap.flip(-1), cap + rows * n]
    return solid(Mesh(vertices, torch.cat(faces)))


def blind(w: Window, share: float, slats: bool, paint: RGB, glow: float) -> Piece:
    """A blind pulled over ``share`` of the window from its head: a roller, or slats."""
    long, y = share * (w.head - w.sill - 0.06), -0.07
    if slats:
        count = max(3, round(long / 0.055))
        lean = put(boxes([((w.width - 0.03, 0.045, 0.004), (0.0, 0.0, 0.0))]), tilt=0.6)
        shape = joined([put(lean, 0.0, y, w.head - 0.05 - (k + 0.5) * long / count) for k in range(count)])
    else:
        shape = boxes([((w.width - 0.03, 0.006, long), (0.0, y, w.head - 0.02 - long / 2))])
    rail = boxes([((w.width - 0.02, 0.05, 0.05), (0.0, y, w.head - 0.027))])
    return place([dressed("blind", joined([shape, rail]), (paint,), glow=glow, edge=0.5)], w.wall.matrix(w.x))


def radiator(width: float, height: float, paint: RGB) -> Piece:
    """A ribbed radiator on the wall behind it (y = 0)."""
    count = max(4, round(width / 0.08))
    rib = cushions([((width / count - 0.015, 0.09, height), (0.0, 0.085, height / 2 + 0.12))], 0.02)
    ribs = around(rib, [((k - (count - 1) / 2) * width / count, 0.0) for k in range(count)])
    bars = boxes([((width - 0.04, 0.04, 0.03), (0.0, 0.085, z)) for z in (0.17, 0.07 + height)])
    return [dressed("radiator", joined([ribs, bars]), (paint,), edge=0.5)]


def door(width: float, height: float, paint: RGB, casing: RGB, metal: RGB, kind: str) -> Piece:
    """A door with its casing and handle, on the wall behind it (y = 0): ``panels``, ``flat``, or ``double``."""
    specs: list[Box] = [((width, 0.024, height), (0.0, 0.0122, height / 2))]
    leaves = 2 if kind == "double" else 1
    if kind != "flat":
        for k in range(2 * leaves):
            x = (k - leaves + 0.5) * width / (2 * leaves)
            for low, high in ((0.1, 0.4), (0.48, 0.94)):
                tall = (high - low) * height
                specs.append(((width * 0.34 / leaves, 0.02, tall), (x, 0.0262, low * height + tall / 2)))
    slots = [0] * len(specs)
    edge = 0.08
    specs += [((edge, 0.05, height + edge), (s * (width + edge) / 2, 0.0251, (height + edge) / 2)) for s in (-1, 1)]
    specs.append(((width, 0.048, edge), (0.0, 0.0241, height + edge / 2)))
    x = -width * 0.42 if leaves == 1 else 0.06
    specs.append(((0.12, 0.025, 0.025), (x, 0.0651, 1.0)))
    return [dressed("door", boxes(specs, [*slots, 1, 1, 1, 2]), (paint, casing, metal), edge=0.5)]


def beams(size: Vector, along_x: bool, count: int, wood: RGB) -> Part:
    """Beams under the ceiling."""
    x, y, z = size
    specs: list[Box] = []
    for k in range(count):
        at = ((k + 0.5) / count - 0.5) * (y if along_x else x)
        long = (x if along_x else y) - 0.004
        specs.append(
            (
                ((long, 0.16, 0.18) if along_x else (0.16, long, 0.18)),
                ((0.0, at, z - 0.0905) if along_x else (at, 0.0, z - 0.0905)),
            )
        )
    return dressed("beams", boxes(specs), (wood,), grained(0 if along_x else 1), edge=0.5)


def wainscot(wall: Wall, gaps: Sequence[tuple[float, float]], height: float, paint: RGB) -> Piece:
    """Panels on the lower part of a wall but for ``gaps``."""
    specs: list[Box] = []
    end = wall.length / 2 - 0.03
    for low, high in free(-end, end, gaps):
        if high - low < 0.25:
            continue
        middle, long = (low + high) / 2, high - low
        specs.append(((long, 0.02, height), (middle, 0.0102, height / 2 + 0.001)))
        specs.append(((long, 0.05, 0.04), (middle, 0.0251, height)))
        count = max(1, round(long / 0.6))
        for k in range(count):
            x = low + (k + 0.5) * long / count
            specs += [((long / count - 0.16, 0.012, 0.02), (x, 0.0252, z)) for z in (0.2, height - 0.1)]
            specs += [
                ((0.02, 0.0121, height - 0.32), (x + s * (long / count - 0.18) / 2, 0.0252, height / 2 + 0.05))
                for s in (-1, 1)
            ]
    return place([dressed("wainscot", boxes(specs), (paint,), edge=0.5)], wall.matrix(0.0)) if specs else []


def outside(walls: Sequence[Wall], texture: Texture, glow: float, away: float = 2.5) -> Piece:
    """The view behind each of ``walls`` that has a window: a wide sheet, cut where the next one begins."""
    seen = {wall.index for wall in walls}
    sheets = []
    for index in sorted(seen):
        wall = next(w for w in walls if w.index == index)
        reach = wall.length / 2 + away + DEEP
        right = reach if (index + 1) % 4 in seen else 30.0
        left = reach if (index + 3) % 4 in seen else 30.0
        view = sheet("outside", (-left, 0.0, -12.0), (0.0, 0.0, 26.0), (left + right, 0.0, 0.0), texture, 6.0)
        view = replace(view, glow=glow, outside=True)
        sheets += place([view], wall.matrix(0.0, -away - DEEP))
    return sheets
