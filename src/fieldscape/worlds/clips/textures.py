"""Surfaces of gardens, tables and toys: rich in detail at every scale, so that a tracker finds a hold.

As in ``textures``: functions of a place in the object's own frame (metres) to linear RGB, which fade where pixels are
wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fieldscape.worlds.textures import (
    RGB,
    Surface,
    Texture,
    across,
    band,
    blend,
    fractal,
    nearest_line,
    scramble,
    visible,
)


def inside(depth: Tensor, footprint: Tensor) -> Tensor:
    """How much of a pixel lies inside a shape whose edge is ``depth`` away (negative outside)."""
    return (depth / footprint + 0.5).clamp(0, 1)


def dots(
    u: Tensor, v: Tensor, spacing: float, radius: float, footprint: Tensor, seed: int, share: float = 1.0
) -> Tensor:
    """How much of a pixel is covered by dots: one in a ``share`` of the cells of ``spacing``, at a place of its own."""
    column, row = torch.floor(u / spacing), torch.floor(v / spacing)
    room = 0.5 - radius / spacing
    du = u / spacing - column - 0.5 - room * (2 * scramble(column, row, seed) - 1)
    dv = v / spacing - row - 0.5 - room * (2 * scramble(column, row, seed + 1) - 1)
    size = radius * (0.6 + 0.4 * scramble(column, row, seed + 2))
    there = scramble(column, row, seed + 3) < share
    return there * inside(size - spacing * torch.sqrt(du**2 + dv**2), footprint) * visible(4 * radius, footprint)


def grass(seed: int) -> Texture:
    """A lawn: patches, tufts and daisies, on the xy plane."""

    def texture(s: Surface) -> Tensor:
        patches = 0.5 + 0.6 * fractal(s.point, s.footprint, 0.9, 3, seed)
        color = blend((0.085, 0.2, 0.035), (0.22, 0.34, 0.07), patches.clamp(0, 1))
        tone = 1 + 0.75 * fractal(s.point, s.footprint, 0.05, 3, seed + 5)
        x, y = s.point[:, 0], s.point[:, 1]
        color = color * tone.clamp(min=0.25)[:, None]
        color = blend(color, (0.85, 0.84, 0.76), dots(x, y, 0.22, 0.022, s.footprint, seed, 0.5))
        return blend(color, (0.85, 0.6, 0.06), dots(x + 0.1, y, 0.37, 0.02, s.footprint, seed + 9, 0.4))

    return texture


def paving(light: RGB, dark: RGB, length: float, seed: int) -> Texture:
    """Stone slabs in rows of several lengths on the xy plane, speckled, with mossy joints."""

    def texture(s: Surface) -> Tensor:
        x, y, f = s.point[:, 0], s.point[:, 1], s.footprint
        row = torch.floor(y / (0.7 * length))
        shifted = x + length * scramble(row, row, seed)
        slab = torch.floor(shifted / length)
        tone = scramble(row, slab, seed + 1) * visible(length, f) + 0.5 * (1 - visible(length, f))
        veins = fractal(s.point + 11 * tone[:, None], f, 0.22, 4, seed)
        color = blend(light, dark, (0.15 + 0.6 * tone + 0.45 * veins).clamp(0, 1))
        color = color * (1 + 0.4 * fractal(s.point, f, 0.03, 2, seed + 3))[:, None]
        color = blend(color, (0.1, 0.09, 0.08), 0.6 * dots(x, y, 0.11, 0.014, f, seed + 4, 0.45))
        joint = band(nearest_line(y, 0.7 * length), 0.012, f) + band(nearest_line(shifted, length), 0.012, f)
        moss = blend((0.09, 0.08, 0.06), (0.1, 0.17, 0.04), (0.5 + fractal(s.point, f, 0.3, 2, seed)).clamp(0, 1))
        return blend(color, moss, 0.9 * joint.clamp(0, 1))

    return texture


def bricks(light: RGB, dark: RGB, mortar: RGB, seed: int) -> Texture:
    """A brick wall (z up), each brick with a tone of its own."""

    def texture(s: Surface) -> Tensor:
        u, v = across(s)
        f = s.footprint
        row = torch.floor(v / 0.085)
        shifted = u + 0.125 * torch.remainder(row, 2)
        column = torch.floor(shifted / 0.25)
        seen = visible(0.16, f)
        tone = 0.5 + (scramble(column, row, seed) - 0.5) * seen
        color = blend(light, dark, (tone + 0.35 * fractal(s.point, f, 0.4, 4, seed)).clamp(0, 1))
        color = color * (1 + 0.35 * fractal(s.point, f, 0.03, 2, seed + 2))[:, None]
        joint = band(nearest_line(v, 0.085), 0.006, f) + band(nearest_line(shifted, 0.25), 0.006, f)
        return blend(color, mortar, 0.85 * joint.clamp(0, 1))

    return texture


def shingles(light: RGB, dark: RGB, seed: int) -> Texture:
    """Roof tiles in rows: x along the row, y up the slope."""

    def texture(s: Surface) -> Tensor:
        x, y, f = s.point[:, 0], s.point[:, 1], s.footprint
        row = torch.floor(y / 0.22)
        shifted = x + 0.11 * torch.remainder(row, 2)
        tone = scramble(torch.floor(shifted / 0.22), row, seed)
        color = blend(light, dark, (tone + 0.3 * fractal(s.point, f, 0.1, 3, seed)).clamp(0, 1))
        rise = torch.remainder(y / 0.22, 1.0)
        joint = (band(nearest_line(shifted, 0.22), 0.008, f) + band(nearest_line(y, 0.22), 0.012, f)).clamp(0, 1)
        return color * ((0.7 + 0.3 * rise) * (1 - 0.6 * joint))[:, None]

    return texture


def earthen(color: RGB, mottle: float = 0.3, size: float = 0.06, seed: int = 0) -> Texture:
    """Clay, stone, bark, skin of fruit: one colour, clearly uneven at several scales, with dark and pale flecks."""

    def texture(s: Surface) -> Tensor:
        tone = 1 + mottle * fractal(s.point, s.footprint, size, 4, seed)
        fleck = fractal(s.point + 5, s.footprint, 0.4 * size, 2, seed + 1)
        tone = tone * (1 - 0.5 * (6 * (fleck - 0.55)).clamp(0, 1) + 0.3 * (6 * (-fleck - 0.6)).clamp(0, 1))
        return torch.tensor(color) * tone.clamp(min=0.1)[:, None]

    return texture


def grained(light: RGB, dark: RGB, axis: int, seed: int, size: float = 0.04) -> Texture:
    """Weathered wood: strong grain along ``axis``, and knots."""
    stretch = torch.ones(3)
    stretch[axis] = 0.1

    def texture(s: Surface) -> Tensor:
        grain = fractal(s.point * stretch, s.footprint, size, 4, seed)
        knots = fractal(s.point * (0.5 + 0.5 * stretch), s.footprint, 2 * size, 2, seed + 3)
        share = 0.45 + 0.7 * grain + 0.9 * (knots - 0.45).clamp(0, 1)
        return blend(light, dark, share.clamp(0, 1)) * (0.9 + 0.2 * grain)[:, None]

    return texture


def glazed(ground: RGB, figure: RGB, height: float, seed: int) -> Texture:
    """Painted pottery about the z axis, ``height`` high: bands, and rows of dots and zigzags around it."""

    def texture(s: Surface) -> Tensor:
        x, y, z = (s.point / height).unbind(-1)
        f = s.footprint / height
        turn = torch.atan2(y, x) / (2 * math.pi)
        radius = torch.sqrt(x**2 + y**2)
        wave = 0.055 * (4 * (torch.remainder(9 * turn, 1.0) - 0.5).abs() - 1)
        share = band(z - 0.55 - wave, 0.018, f) + band(z - 0.42, 0.012, f) + band(z - 0.68, 0.012, f)
        around = torch.remainder(12 * turn, 1.0) - 0.5
        for level in (0.25, 0.8):
            gap = torch.sqrt((around * 2 * math.pi * radius / 12) ** 2 + (z - level) ** 2)
            share = share + inside(0.035 - gap, f)
        color = blend(ground, figure, share.clamp(0, 1))
        return color * (1 + 0.22 * fractal(s.point / height, f, 0.16, 4, seed))[:, None]

    return texture


def printed(ground: RGB, figure: RGB, side: float, kind: str, seed: int) -> Texture:
    """Paper printed with ``checks``, ``dots`` or ``stripes``, a pattern of ``side``: boxes, wrappings, covers."""

    def texture(s: Surface) -> Tensor:
        u, v = across(s)
        f = s.footprint
        if kind == "checks":
            share = 0.5 * inside(nearest_line(u, 2 * side).abs() - side / 2, f) + 0.5 * inside(
                nearest_line(v, 2 * side).abs() - side / 2, f
            )
        elif kind == "dots":
            share = dots(u, v, side, 0.32 * side, f, seed)
        else:
            share = band(nearest_line(u + 0.5 * v, side), 0.22 * side, f)
        return blend(ground, figure, share) * (1 + 0.25 * fractal(s.point, f, 0.8 * side, 4, seed))[:, None]

    return texture


def panels(colors: Sequence[RGB], radius: float, seed: int) -> Texture:
    """A ball of coloured panels from pole to pole, with round caps, a ring of dots, and a few scuffs."""
    count = len(colors)

    def texture(s: Surface) -> Tensor:
        x, y, z = (s.point / radius).unbind(-1)
        f = s.footprint / radius
        turn = torch.remainder(torch.atan2(y, x) / (2 * math.pi), 1.0) * count
        width = 2 * math.pi / count * torch.sqrt((x**2 + y**2).clamp(min=1e-6))
        paint = torch.tensor(colors)
        here, place = turn.floor().long() % count, turn - turn.floor()
        follows = 0.5 * inside((place - 1) * width + f / 2, f)
        color = paint[here] + (paint[(here + 1) % count] - paint[here]) * follows[:, None]
        around = (torch.remainder(2 * turn, 1.0) - 0.5) * width / 2
        color = blend(color, (0.05, 0.05, 0.07), inside(0.1 - torch.sqrt(around**2 + z**2), f))
        color = blend(color, (0.9, 0.88, 0.82), inside(z.abs() - 0.9, f))
        return color * (1 + 0.22 * fractal(s.point / radius, f, 0.3, 3, seed))[:, None]

    return texture


def racing(color: RGB, stripe: RGB, length: float, seed: int) -> Texture:
    """The coat of a car ``length`` long that points along x: two stripes over it, checks along its sides, stickers."""

    def texture(s: Surface) -> Tensor:
        x, y, z = (s.point / length).unbind(-1)
        f = s.footprint / length
        body = blend(color, stripe, band(y.abs() - 0.055, 0.028, f) * (s.normal[:, 1].abs() < 0.7))
        flank = s.normal[:, 1].abs() > 0.7
        odd = torch.remainder(torch.floor(x / 0.035) + torch.floor(z / 0.035), 2)
        odd = odd * visible(0.07, f) + 0.5 * (1 - visible(0.07, f))
        checks = band(z - 0.14, 0.035, f) * flank
        body = blend(body, blend((0.92, 0.9, 0.85), (0.04, 0.04, 0.05), odd), checks)
        label = inside(0.075 - torch.sqrt(x**2 + (z - 0.15) ** 2), f) * flank
        body = blend(body, (0.95, 0.93, 0.88), label)
        numeral = inside(torch.minimum(0.012 - x.abs(), 0.05 - (z - 0.15).abs()), f) * flank
        body = blend(body, (0.05, 0.05, 0.07), numeral)
        body = blend(body, stripe, dots(x, y, 0.16, 0.02, f, seed, 0.6) * (s.normal[:, 2] > 0.7))
        return body * (1 + 0.18 * fractal(s.point / length, f, 0.1, 3, seed))[:, None]

    return texture


PIPS = {
    1: [(0.0, 0.0)],
    2: [(-1.0, -1.0), (1.0, 1.0)],
    3: [(-1.0, -1.0), (0.0, 0.0), (1.0, 1.0)],
    4: [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)],
    5: [(-1.0, -1.0), (-1.0, 1.0), (0.0, 0.0), (1.0, -1.0), (1.0, 1.0)],
    6: [(-1.0, -1.0), (-1.0, 0.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 0.0), (1.0, 1.0)],
}


def die(color: RGB, pips: RGB, side: float, seed: int) -> Texture:
    """A die about the origin; opposite faces add up to seven."""

    def texture(s: Surface) -> Tensor:
        u, v = across(s)
        u, v, f = u / side, v / side, s.footprint / side
        axis = s.normal.abs().argmax(-1)
        positive = s.normal.gather(1, axis[:, None])[:, 0] > 0
        share = torch.zeros_like(u)
        for k in range(3):
            for number, mine in ((k + 1, positive), (6 - k, ~positive)):
                for a, b in PIPS[number]:
                    near = inside(0.085 - torch.sqrt((u - 0.25 * a) ** 2 + (v - 0.25 * b) ** 2), f)
                    share = torch.maximum(share, near * (mine & (axis == k)))
        tone = 1 + 0.2 * fractal(s.point / side, f, 0.35, 4, seed)
        return blend(color, pips, share) * tone[:, None]

    return texture
