"""Procedural surfaces: colour as a function of a place on an object, evaluated where rays hit.

A texture is a callable ``texture(surface) -> linear RGB [n,3]``; the functions below make them from colours and sizes.
Places are in the object's own frame, in metres, so a pattern moves with its object. Details smaller than the
``footprint`` (the width of a pixel on the surface) fade to their mean instead of flickering from view to view.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

RGB: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Surface:
    """Places on one object: where, facing where (both in its own frame), its paint there, and a pixel's width there."""

    point: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    paint: Float[Tensor, "n 3"]
    footprint: Float[Tensor, "n"]


Texture: TypeAlias = Callable[[Surface], Tensor]


# ------------------------------------------------------------------------------------------------ building blocks


def scramble(first: Tensor, second: Tensor, seed: int) -> Tensor:
    """A number in 0..1 for each pair of whole numbers, without visible order (multiply and shift, as hashes do)."""
    h = (first.long() * 73856093) ^ (second.long() * 19349663) ^ (seed * 83492791)
    h = ((h ^ (h >> 13)) * 1274126177) & 0x7FFFFFFF
    h = ((h ^ (h >> 15)) * 40503) & 0xFFFFFF
    return h.float() / 0xFFFFFF


@lru_cache(maxsize=8)
def _lattice(seed: int) -> Tensor:
    """Random numbers in -1..1 on a 16^3 grid, one layer repeated on each axis so that the pattern is periodic."""
    table = torch.rand(16, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.pad(table[None, None], (0, 1, 0, 1, 0, 1), mode="circular")


def noise(point: Tensor, seed: int = 0) -> Tensor:
    """Value noise in -1..1 with cells of size 1: random numbers at whole points, smoothly blended between them."""
    cell = point.floor()
    t = point - cell
    smooth = torch.remainder(cell, 16) + t * t * (3 - 2 * t)
    grid = ((smooth + 0.5) / 17 * 2 - 1).reshape(1, 1, 1, -1, 3)
    return torch.nn.functional.grid_sample(_lattice(seed), grid, align_corners=False, padding_mode="border").flatten()


def fractal(point: Tensor, footprint: Tensor, size: float, octaves: int = 3, seed: int = 0) -> Tensor:
    """Noise of cell ``size`` plus finer and weaker octaves, each faded out where a pixel is wider than its cell."""
    total = torch.zeros(len(point))
    finest = float(footprint.min()) if len(point) else math.inf
    for octave in range(octaves):
        cell = size * 0.5**octave
        if cell <= finest:  # no pixel shows it, nor anything finer
            break
        total += 0.5**octave * visible(cell, footprint) * noise(point / cell, seed + octave)
    return total


def visible(size: float, footprint: Tensor) -> Tensor:
    """How much of a detail of ``size`` a pixel shows: 1 where the pixel is small, 0 where it is as wide."""
    return (2 - 2 * footprint / size).clamp(0, 1)


def band(place: Tensor, half_width: float, footprint: Tensor) -> Tensor:
    """How much of the pixel's width the band -half_width..half_width covers, at signed distance ``place`` from it."""
    low = (place - footprint / 2).clamp(-half_width, half_width)
    high = (place + footprint / 2).clamp(-half_width, half_width)
    return (high - low) / footprint


def blend(one: Tensor | RGB, other: Tensor | RGB, share: Tensor) -> Tensor:
    """Colour ``one`` where ``share`` is 0, ``other`` where it is 1."""
    a, b = torch.as_tensor(one), torch.as_tensor(other)
    return a + (b - a) * share[:, None]


def nearest_line(place: Tensor, spacing: float) -> Tensor:
    """Signed distance to the nearest multiple of ``spacing``."""
    return place - spacing * torch.round(place / spacing)


def across(surface: Surface) -> tuple[Tensor, Tensor]:
    """Two coordinates along a face of a box-like object: the two axes that its normal points along least."""
    axis = surface.normal.abs().argmax(-1)
    x, y, z = surface.point.unbind(-1)
    return torch.where(axis == 0, y, x), torch.where(axis == 2, y, z)


# ------------------------------------------------------------------------------------------------ materials


def plain(color: RGB, mottle: float = 0.06, size: float = 0.25, seed: int = 0) -> Texture:
    """One colour, slightly uneven: paint, plaster, glazed pottery."""

    def texture(s: Surface) -> Tensor:
        tone = 1 + mottle * fractal(s.point, s.footprint, size, 3, seed)
        return torch.tensor(color) * tone[:, None]

    return texture


def painted_parts(mottle: float = 0.08, size: float = 0.05) -> Texture:
    """The paint given to each part of the mesh, slightly uneven."""

    def texture(s: Surface) -> Tensor:
        return s.paint * (1 + mottle * fractal(s.point, s.footprint, size, 2))[:, None]

    return texture


def bare(s: Surface) -> Tensor:
    """The paint given to each part of the mesh, as it is: metal, pottery, lacquer."""
    return s.paint


def woven(s: Surface) -> Tensor:
    """The paint given to each part of the mesh, uneven as cloth is."""
    return s.paint * (1 + 0.13 * fractal(s.point, s.footprint, 0.1, 2))[:, None]


def foliage(s: Surface) -> Tensor:
    """The paint given to each part of the mesh, in lighter and darker patches, as leaves are."""
    return s.paint * (1 + 0.6 * fractal(s.point, s.footprint, 0.08, 2))[:, None]


def grained(axis: int = 0, seed: int = 0, depth: float = 0.35) -> Texture:
    """The paint given to each part of the mesh, with wood's grain along ``axis``, ``depth`` times as dark."""
    stretch = torch.ones(3)
    stretch[axis] = 0.12

    def texture(s: Surface) -> Tensor:
        return s.paint * (1 + depth * fractal(s.point * stretch, s.footprint, 0.06, 2, seed))[:, None]

    return texture


def patterned(kind: str, other: RGB, size: float, seed: int = 0) -> Texture:
    """Cloth with a pattern over the mesh's paint: ``stripes``, ``checks``, ``sprigs`` or ``blots``."""

    def texture(s: Surface) -> Tensor:
        u, v = across(s)
        if kind == "stripes":
            share = band(nearest_line(u, size), size * 0.24, s.footprint)
        elif kind == "checks":
            lines = band(nearest_line(u, size), size * 0.24, s.footprint)
            share = 0.5 * (lines + band(nearest_line(v, size), size * 0.24, s.footprint))
        elif kind == "sprigs":
            shift = torch.remainder(torch.round(v / size), 2) * (size / 2)
            place = nearest_line(u + shift, size) ** 2 + nearest_line(v, size) ** 2
            share = inside(0.3 * size - place.sqrt(), s.footprint)
        else:
            share = (0.5 + 2.5 * fractal(s.point, s.footprint, size, 2, seed)).clamp(0, 1)
        return blend(s.paint, other, share)

    return texture


def bricks(joint: RGB, length: float = 0.22, height: float = 0.075, rough: float = 0.5, seed: int = 0) -> Texture:
    """Courses of bricks or, ``rough`` and larger, of stones in the mesh's paint (z up)."""

    def texture(s: Surface) -> Tensor:
        u, v = across(s)
        row = torch.floor(v / height)
        shifted = u + length * (0.5 * torch.remainder(row, 2) + 0.3 * rough * scramble(row, row, seed))
        tone = 1 + rough * (scramble(row, torch.floor(shifted / length), seed + 1) - 0.5)
        gap = band(nearest_line(v, height), 0.006, s.footprint)
        gap = gap + band(nearest_line(shifted, length), 0.006, s.footprint)
        return blend(s.paint * tone[:, None], joint, gap.clamp(0, 1))

    return texture


def parquet(light: RGB, dark: RGB, width: float = 0.09, ratio: int = 6, seed: int = 0) -> Texture:
    """Floor boards in herringbone, at 45 degrees to x: blocks ``ratio`` times as long as wide, each in its own tone."""

    def texture(s: Surface) -> Tensor:
        x, y = s.point[:, 0] * math.sqrt(0.5) / width, s.point[:, 1] * math.sqrt(0.5) / width
        i, j = torch.floor(x + y), torch.floor(x - y)
        step = torch.remainder(i - j, 2 * ratio)
        lying = step < ratio
        first = torch.where(lying, i - step, i)
        second = torch.where(lying, j, j - (2 * ratio - 1 - step))
        tone = scramble(2 * first + lying, second, seed)
        # Seen from afar the blocks melt into the two directions, which take the light differently.
        fade = visible(4 * width, s.footprint)
        return blend(light, dark, 0.5 + (fade * (tone - 0.5)) * 0.8 + 0.12 * (lying.float() - 0.5))

    return texture


def pile(color: RGB, seed: int = 0) -> Texture:
    """Fitted carpet: one colour, uneven where it was trodden."""

    def texture(s: Surface) -> Tensor:
        return torch.tensor(color) * (1 + 0.1 * fractal(s.point, s.footprint, 0.3, 3, seed))[:, None]

    return texture


def wood(light: RGB, dark: RGB, axis: int = 0, seed: int = 0) -> Texture:
    """Grain drawn out along ``axis``."""
    stretch = torch.ones(3)
    stretch[axis] = 0.12

    def texture(s: Surface) -> Tensor:
        grain = fractal(s.point * stretch, s.footprint, 0.05, 3, seed)
        return blend(light, dark, (0.45 + 0.5 * grain).clamp(0, 1))

    return texture


def planks(light: RGB, dark: RGB, width: float = 0.16, length: float = 1.3, seed: int = 0) -> Texture:
    """Floor boards along x: a tone of its own and grain for each board, dark joints between them."""

    def texture(s: Surface) -> Tensor:
        x, y = s.point[:, 0], s.point[:, 1]
        row = torch.floor(y / width)
        shifted = x + length * scramble(row, row, seed)
        board = torch.floor(shifted / length)
        tone = scramble(row, board, seed + 1)
        place = torch.stack([x * 0.1, y, tone * 7], -1)
        grain = fractal(place, s.footprint, 0.045, 3, seed)
        color = blend(light, dark, (0.15 + 0.55 * tone + 0.3 * grain).clamp(0, 1))
        joint = band(nearest_line(y, width), 0.004, s.footprint)
        joint = joint + band(nearest_line(shifted, length), 0.004, s.footprint)
        return color * (1 - 0.6 * joint.clamp(0, 1))[:, None]

    return texture


def tiles(light: RGB, dark: RGB, side: float = 0.4, seed: int = 0) -> Texture:
    """Square floor tiles in two colours, in turn, with pale joints."""

    def texture(s: Surface) -> Tensor:
        x, y = s.point[:, 0], s.point[:, 1]
        column, row = torch.floor(x / side), torch.floor(y / side)
        turn = torch.remainder(column + row, 2)
        tone = 1 + 0.1 * (scramble(column, row, seed) - 0.5) + 0.1 * fractal(s.point, s.footprint, 0.2, 3, seed)
        joint = band(nearest_line(x, side), 0.005, s.footprint) + band(nearest_line(y, side), 0.005, s.footprint)
        return blend(blend(light, dark, turn) * tone[:, None], (0.55, 0.53, 0.5), 0.7 * joint.clamp(0, 1))

    return texture


def fabric(color: RGB, other: RGB | None = None, stripe: float = 0.0, seed: int = 0) -> Texture:
    """Woven cloth: uneven thread, and stripes of another colour every ``stripe`` metres if that is not 0."""

    def texture(s: Surface) -> Tensor:
        u, v = across(s)
        cloth = torch.tensor(color).expand(len(u), 3)
        if other is not None and stripe > 0:
            cloth = blend(cloth, other, band(nearest_line(u, stripe), stripe * 0.22, s.footprint))
        weave = visible(0.03, s.footprint) * (torch.sin(u * 260) * torch.sin(v * 260))
        tone = 1 + 0.05 * weave + 0.12 * fractal(s.point, s.footprint, 0.09, 3, seed)
        return cloth * tone[:, None]

    return texture


def wallpaper(ground: RGB, figure: RGB, kind: str, seed: int = 0) -> Texture:
    """A papered wall (z up): ``stripes``, ``diamonds``, ``sprigs`` or plain ``plaster``."""

    def texture(s: Surface) -> Tensor:
        u, v = across(s)
        if kind == "stripes":
            share = band(nearest_line(u, 0.3), 0.075, s.footprint)
        elif kind == "diamonds":
            lines = [band(nearest_line(u + slope * v, 0.36), 0.016, s.footprint) for slope in (0.75, -0.75)]
            share = torch.maximum(*lines)
        elif kind == "sprigs":
            shift = torch.remainder(torch.round(v / 0.22), 2) * 0.15
            du, dv = nearest_line(u + shift, 0.3), nearest_line(v, 0.22)
            radius = torch.sqrt(du**2 + dv**2)
            petals = 0.045 * (0.72 + 0.28 * torch.cos(5 * torch.atan2(dv, du)))
            share = ((petals - radius) / s.footprint + 0.5).clamp(0, 1)
        else:
            share = 0.5 + 0.5 * fractal(s.point, s.footprint, 0.5, 4, seed)
        tone = 1 + 0.04 * fractal(s.point, s.footprint, 0.35, 4, seed)
        return blend(ground, figure, share) * tone[:, None]

    return texture


def rug(colors: Sequence[RGB], size: tuple[float, float], kind: str, seed: int = 0) -> Texture:
    """A woven rug of ``size`` about the origin: a border, and in it ``diamonds``, ``zigzag``, ``stripes``,
    ``blots``, a ``medallion``, or nothing (``bordered``)."""
    ground, figure, border, fleck = colors

    def texture(s: Surface) -> Tensor:
        x, y, f = s.point[:, 0], s.point[:, 1], s.footprint
        if kind == "diamonds":
            a, b = nearest_line(x, 0.44).abs() / 0.22, nearest_line(y, 0.44).abs() / 0.22
            edge = (0.85 - a - b) * 0.15
            inner = (0.4 - a - b) * 0.15
        elif kind == "zigzag":
            wave = y + 0.1 * (2 * (x / 0.34 - torch.floor(x / 0.34 + 0.5)).abs() - 0.5)
            edge = 0.065 - nearest_line(wave, 0.26).abs()
            inner = 0.02 - nearest_line(wave + 0.13, 0.26).abs()
        elif kind == "stripes":
            edge = 0.1 - nearest_line(x, 0.42).abs()
            inner = 0.03 - nearest_line(x + 0.21, 0.42).abs()
        elif kind == "blots":
            edge = 0.5 * fractal(s.point, f, 0.5, 3, seed)
            inner = edge - 0.2
        elif kind == "bordered":
            edge = inner = torch.full_like(x, -1.0)
        else:
            turn = 1 + 0.12 * torch.cos(8 * torch.atan2(y, x))
            ring = torch.sqrt((x / size[0]) ** 2 + (y / size[1]) ** 2) / turn
            edge = (0.042 - (torch.remainder(ring, 0.16) - 0.08).abs()) * 1.2
            inner = (0.016 - (torch.remainder(ring + 0.08, 0.16) - 0.08).abs()) * 1.2
        color = blend(blend(ground, figure, inside(edge, f)), fleck, inside(inner, f))
        margin = torch.minimum(size[0] / 2 - x.abs(), size[1] / 2 - y.abs())
        color = blend(color, border, inside(0.16 - margin, f))
        color = blend(color, fleck, band(margin - 0.12, 0.018, f))
        color = blend(color, ground, band(margin - 0.05, 0.015, f))
        return color * (1 + 0.1 * fractal(s.point, f, 0.06, 3, seed))[:, None]

    return texture


def leaves(color: RGB, pale: RGB) -> Texture:
    """Foliage: two greens in patches."""

    def texture(s: Surface) -> Tensor:
        return blend(color, pale, (0.5 + 0.6 * fractal(s.point, s.footprint, 0.08, 3)).clamp(0, 1))

    return texture


def book_spines() -> Texture:
    """The paint of each book, with a pale title and two bands across the spine (z up, about 0.24 m high)."""

    def texture(s: Surface) -> Tensor:
        z = s.point[:, 2]
        marks = band(torch.remainder(z, 0.36) - 0.2, 0.006, s.footprint)
        marks = marks + 0.7 * band(torch.remainder(z, 0.36) - 0.12, 0.02, s.footprint)
        cover = s.paint * (1 + 0.1 * fractal(s.point, s.footprint, 0.06, 2))[:, None]
        return blend(cover, (0.8, 0.72, 0.5), 0.6 * marks)

    return texture


def landscape(size: tuple[float, float], seed: int, vivid: float = 1.0) -> Texture:
    """A view of sky, clouds, a low sun, hills and a field, painted on the xz plane about the origin."""
    draw = torch.rand(8, generator=torch.Generator().manual_seed(seed))
    dusk = float(draw[0]) > 0.5
    high, low = ((0.16, 0.25, 0.55), (0.95, 0.6, 0.35)) if dusk else ((0.2, 0.45, 0.85), (0.8, 0.9, 0.98))

    def texture(s: Surface) -> Tensor:
        x, z = s.point[:, 0] / size[0], s.point[:, 2] / size[1]
        f = s.footprint / size[1]
        flat = torch.stack([x, 2.5 * z, torch.full_like(x, float(seed % 13))], -1)
        color = blend(low, high, (z + 0.35).clamp(0, 1))
        cloud = fractal(flat + 3, f, 0.28, 3, seed)
        color = blend(color, (0.97, 0.95, 0.92), (1.4 * cloud - 0.1).clamp(0, 0.85))
        sun = torch.sqrt((x * size[0] / size[1] - float(draw[1]) + 0.5) ** 2 + (z - 0.22) ** 2)
        color = blend(color, (1.0, 0.93, 0.6), inside(0.1 - sun, f))
        for ridge, (height, paint) in enumerate(
            [(0.08, (0.3, 0.38, 0.5)), (-0.08, (0.18, 0.36, 0.2)), (-0.26, (0.42, 0.46, 0.16))]
        ):
            row = torch.stack([x, torch.full_like(x, ridge + 0.5), torch.full_like(x, float(draw[2 + ridge]) * 9)], -1)
            top = height + 0.11 * noise(row / torch.tensor([0.23, 1.0, 1.0]), seed + ridge)
            tone = 1 + 0.3 * fractal(flat, f, 0.12, 3, seed + ridge)
            color = blend(color, torch.tensor(paint) * tone[:, None], inside(top - z, f))
        return color * vivid

    return texture


def abstract(size: tuple[float, float], colors: Sequence[RGB], seed: int) -> Texture:
    """Overlapping discs and bars of a few colours on the xz plane about the origin: a modern picture."""
    draw = torch.rand(len(colors) * 2, 5, generator=torch.Generator().manual_seed(seed))

    def texture(s: Surface) -> Tensor:
        x, z, f = s.point[:, 0] / size[0], s.point[:, 2] / size[1], s.footprint / min(size)
        color = torch.tensor((0.86, 0.82, 0.74)).expand(len(x), 3)
        for k, (cx, cz, radius, tilt, disc) in enumerate(draw.tolist()):
            dx, dz = x - (cx - 0.5) * 0.9, z - (cz - 0.5) * 0.9
            if disc > 0.45:
                depth = 0.12 + 0.16 * radius - torch.sqrt(dx**2 + dz**2)
            else:
                depth = 0.03 + 0.06 * radius - (dx * (tilt - 0.5) * 2 + dz).abs()
            color = blend(color, colors[k % len(colors)], 0.9 * inside(depth, f))
        return color * (1 + 0.08 * fractal(s.point, s.footprint, 0.05, 3, seed))[:, None]

    return texture


def inside(depth: Tensor, footprint: Tensor) -> Tensor:
    """How much of a pixel lies inside a shape whose edge is ``depth`` away (negative outside)."""
    return (depth / footprint + 0.5).clamp(0, 1)
