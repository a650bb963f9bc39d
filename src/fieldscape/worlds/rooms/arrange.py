"""Where things stand in a room: the floor they cover, whether they fit, and what is left for people and cameras."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from fieldscape.meshes import Vector
from fieldscape.worlds.parts import Piece, moved, place
from fieldscape.worlds.rooms.walls import Wall, Window, free, walls_of

EYE = 1.4
"""Height of a camera's eye above the floor, in metres."""
AIR = 0.5
"""Nothing may be nearer to it than this, in metres."""
FREE = 0.385
"""The share of the floor that stays free for cameras: more than the third that is promised."""


@dataclass(frozen=True)
class Footprint:
    """The rectangle that a thing covers on the floor, turned by ``yaw`` about its middle, and its range of heights.

    ``solid`` is False where nothing stands, but nothing may stand either: before a door.
    """

    x: float
    y: float
    yaw: float
    width: float
    depth: float
    high: float
    low: float = 0.0
    solid: bool = True

    @property
    def corners(self) -> list[tuple[float, float]]:
        c, s, a, b = math.cos(self.yaw), math.sin(self.yaw), self.width / 2, self.depth / 2
        return [(self.x + c * u - s * v, self.y + s * u + c * v) for u, v in ((a, b), (-a, b), (-a, -b), (a, -b))]

    def distance(self, x: float, y: float) -> float:
        """From a place on the floor to the rectangle, 0 inside it."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        u, v = c * (x - self.x) + s * (y - self.y), -s * (x - self.x) + c * (y - self.y)
        return math.hypot(max(0.0, abs(u) - self.width / 2), max(0.0, abs(v) - self.depth / 2))


def overlap(one: Footprint, other: Footprint, gap: float = 0.0) -> bool:
    """Whether two things come nearer than ``gap`` to each other: no line along a side of either parts them.

    >>> table = Footprint(0.0, 0.0, 0.0, 1.0, 1.0, 0.4)
    >>> [overlap(table, Footprint(x, 0.0, 0.0, 1.0, 1.0, 0.4)) for x in (0.9, 1.1)]
    [True, False]
    """
    if one.low >= other.high or other.low >= one.high:
        return False
    if (
        math.hypot(one.x - other.x, one.y - other.y)
        > (math.hypot(one.width, one.depth) + math.hypot(other.width, other.depth)) / 2 + gap
    ):
        return False
    first, second = one.corners, other.corners
    for yaw in (one.yaw, one.yaw + math.pi / 2, other.yaw, other.yaw + math.pi / 2):
        c, s = math.cos(yaw), math.sin(yaw)
        a, b = [c * x + s * y for x, y in first], [c * x + s * y for x, y in second]
        if min(a) >= max(b) + gap or min(b) >= max(a) + gap:
            return False
    return True


@dataclass
class Site:
    """A room being furnished: what is in it so far.

    passages: holes to other rooms.
    taken: for each wall, the stretches of x and z that something on it or before it covers.
    open: where a camera has air, as far as the first ``seen`` footprints go.
    """

    size: Vector
    rng: random.Random
    windows: list[Window] = field(default_factory=list)
    passages: list[Window] = field(default_factory=list)
    parts: Piece = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    taken: dict[int, list[tuple[float, float, float, float]]] = field(default_factory=dict)
    bulbs: list[Vector] = field(default_factory=list)
    open: Tensor = field(default_factory=lambda: torch.zeros(0))
    seen: int = 0

    @property
    def walls(self) -> tuple[Wall, Wall, Wall, Wall]:
        return walls_of(self.size)

    def fits(self, spot: Footprint, gap: float = 0.05) -> bool:
        """Whether the thing is inside the room, clear of all others, and leaves enough floor to look from."""
        x, y = self.size[0] / 2 - 0.005, self.size[1] / 2 - 0.005
        if any(abs(u) > x or abs(v) > y for u, v in spot.corners):
            return False
        if any(overlap(spot, other, gap) for other in self.footprints):
            return False
        return not _in_the_way(spot) or float((self._open() & clear_of(self.grid(), spot)).float().mean()) > FREE

    def grid(self) -> tuple[Tensor, Tensor]:
        """Places all over the floor."""
        return floor_grid(self.size, 0.25)

    def _open(self) -> Tensor:
        """Which of these places leave air for a camera, kept up with what has been added since."""
        if self.seen == 0:
            self.open = away_from_walls(self.grid(), self.size)
        for spot in self.footprints[self.seen :]:
            if _in_the_way(spot):
                self.open = self.open & clear_of(self.grid(), spot)
        self.seen = len(self.footprints)
        return self.open

    def add(self, piece: Piece, spot: Footprint, z: float = 0.0, bulbs: Sequence[Vector] = ()) -> None:
        """The piece where its footprint is, ``z`` above the floor."""
        self.set_down(piece, spot.x, spot.y, spot.yaw, z, bulbs)
        self.footprints.append(spot)

    def set_down(
        self, piece: Piece, x: float, y: float, yaw: float, z: float = 0.0, bulbs: Sequence[Vector] = ()
    ) -> None:
        """The piece on top of something, or where it minds nobody."""
        self.parts += place(piece, moved(x, y, z, yaw))
        c, s = math.cos(yaw), math.sin(yaw)
        self.bulbs += [(x + c * u - s * v, y + s * u + c * v, z + w) for u, v, w in bulbs]

    def take(self, wall: Wall, x: float, width: float, low: float, high: float) -> None:
        """Notes that a stretch of a wall is covered."""
        self.taken.setdefault(wall.index, []).append((x - width / 2, x + width / 2, low, high))

    def bare(self, wall: Wall, x: float, width: float, low: float, high: float, gap: float = 0.05) -> bool:
        """Whether nothing covers that stretch of the wall, and it does not reach beyond the wall's ends."""
        if abs(x) + width / 2 > wall.length / 2 - 0.02:
            return False
        start, end = x - width / 2 - gap, x + width / 2 + gap
        return not any(
            a < end and b > start and bottom < high and top > low
            for a, b, bottom, top in self.taken.get(wall.index, [])
        )

    def off(self, wall: Wall, x: float, width: float) -> float:
        """How far a thing must stand off the wall because of curtains, sills or radiators."""
        for w in self.windows:
            if w.wall.index == wall.index and abs(w.x - x) < (w.width + width) / 2 + 0.35:
                return 0.2
        return 0.03

    def against(self, wall: Wall, x: float, width: float, depth: float, high: float) -> Footprint:
        """The footprint of a thing with its back to the wall."""
        u, v = wall.at(x, self.off(wall, x, width) + depth / 2)
        return Footprint(u, v, wall.yaw, width, depth, high)

    def somewhere(
        self, width: float, depth: float, high: float, gap: float = 0.08, tries: int = 14, only: Sequence[Wall] = ()
    ) -> tuple[Wall, float, Footprint] | None:
        """A place along some wall for a thing with its back to it, if one is found."""
        for _ in range(tries):
            wall = self.rng.choice(only or self.walls)
            room = wall.length / 2 - width / 2 - 0.04
            if room <= 0:
                continue
            x = self.rng.uniform(-room, room)
            spot = self.against(wall, x, width, depth, high)
            if self.bare(wall, x, width, 0.0, high, 0.1) and self.fits(spot, gap):
                return wall, x, spot
        return None

    def stretches(self, wall: Wall, low: float, high: float) -> list[tuple[float, float]]:
        """The stretches of a wall on which nothing covers the heights between ``low`` and ``high``."""
        gaps = [(a, b) for a, b, bottom, top in self.taken.get(wall.index, []) if bottom < high and top > low]
        return free(-wall.length / 2 + 0.1, wall.length / 2 - 0.1, gaps)


def free_floor(size: Vector, footprints: Sequence[Footprint], step: float = 0.2) -> float:
    """The share of the floor from which a camera at eye height has air around it."""
    grid = floor_grid(size, step)
    good = away_from_walls(grid, size)
    for spot in footprints:
        if _in_the_way(spot):
            good = good & clear_of(grid, spot)
    return float(good.float().mean())


@lru_cache(maxsize=4)
def floor_grid(size: Vector, step: float) -> tuple[Tensor, Tensor]:
    """x [columns, 1] and y [1, rows] of places all over a floor, ``step`` apart."""
    columns, rows = round(size[0] / step), round(size[1] / step)
    x = ((torch.arange(columns) + 0.5) / columns - 0.5)[:, None] * size[0]
    return x, ((torch.arange(rows) + 0.5) / rows - 0.5)[None] * size[1]


def away_from_walls(grid: tuple[Tensor, Tensor], size: Vector) -> Tensor:
    """Which places are ``AIR`` from all walls."""
    return (grid[0].abs() <= size[0] / 2 - AIR) & (grid[1].abs() <= size[1] / 2 - AIR)


def clear_of(grid: tuple[Tensor, Tensor], spot: Footprint) -> Tensor:
    """Which places are ``AIR`` from a footprint."""
    c, s = math.cos(spot.yaw), math.sin(spot.yaw)
    u, v = grid[0] - spot.x, grid[1] - spot.y
    beside = ((c * u + s * v).abs() - spot.width / 2).clamp(min=0)
    ahead = ((c * v - s * u).abs() - spot.depth / 2).clamp(min=0)
    return beside * beside + ahead * ahead >= AIR**2


def _in_the_way(spot: Footprint) -> bool:
    return spot.solid and spot.high > EYE - AIR and spot.low < EYE + AIR
