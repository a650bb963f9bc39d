"""Pictures as textures: what is seen outside a window, what hangs on a wall, what runs on a screen."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fieldscape.worlds.textures import Surface, Texture, blend, fractal, landscape, scramble, visible


def garden(seed: int, vivid: float, horizon: float = 1.0) -> Texture:
    """Trees and a lawn under a bright sky, on the xz plane (z up from the ground)."""
    draw = torch.rand(6, generator=torch.Generator().manual_seed(seed)).tolist()
    top, fence = horizon + 0.6 + 2.2 * draw[0], draw[1] > 0.6

    def texture(s: Surface) -> Tensor:
        x, z, f = s.point[:, 0], s.point[:, 2], s.footprint
        flat = torch.stack([x, z, torch.full_like(x, draw[2] * 9)], -1)
        rough = fractal(flat, f, 1.6, 3, seed)
        sky = blend((0.9, 0.95, 1.0), (0.55, 0.75, 1.0), ((z - horizon) * 0.25).clamp(0, 1))
        trees = blend(
            (0.05, 0.12, 0.03), (0.3, 0.42, 0.14), (0.5 + 0.9 * fractal(flat + 5, f, 0.6, 3, seed + 1)).clamp(0, 1)
        )
        color = blend(sky, trees, ((top + 1.1 * rough - z) / (0.15 + f)).clamp(0, 1))
        lawn = blend((0.2, 0.32, 0.08), (0.42, 0.5, 0.2), (0.5 + 0.5 * rough).clamp(0, 1))
        color = blend(color, lawn, ((horizon - 0.5 - z) / (0.05 + f)).clamp(0, 1))
        if fence:
            color = blend(color, (0.5, 0.45, 0.38), (((horizon - 0.1 - z) * (z - horizon + 0.9)) / 0.02).clamp(0, 0.85))
        return color * vivid

    return texture


def street(seed: int, vivid: float, night: bool) -> Texture:
    """House fronts with rows of windows under the sky, on the xz plane; at ``night`` some windows are lit."""
    draw = torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()
    wide, base = 2.4 + 2.5 * draw[0], 1.2 + 2.5 * draw[1]
    walls = torch.tensor([[0.62, 0.5, 0.4], [0.45, 0.24, 0.17], [0.72, 0.7, 0.64], [0.4, 0.4, 0.42]])

    def texture(s: Surface) -> Tensor:
        x, z, f = s.point[:, 0], s.point[:, 2], s.footprint
        house = torch.floor(x / wide)
        top = base + 2.4 * scramble(house, house, seed)
        color = blend((0.92, 0.95, 1.0), (0.6, 0.78, 1.0), ((z - 1) * 0.2).clamp(0, 1))
        front = walls[(scramble(house, house * 3 + 1, seed) * 3.99).long()]
        u, v = torch.remainder(x, 0.8), torch.remainder(z, 1.0)
        pane = ((0.2 - (u - 0.4).abs()).clamp(0, 0.05) * (0.28 - (v - 0.5).abs()).clamp(0, 0.05)) * 400
        pane = pane * visible(0.4, f)
        lit = scramble(torch.floor(x / 0.8), torch.floor(z), seed + 2) > 0.65
        glass = torch.where(
            lit[:, None], torch.tensor([7.0, 5.0, 2.4]) if night else torch.tensor([0.5, 0.55, 0.6]), 0.12
        )
        front = blend(front, glass, pane.clamp(0, 1))
        color = blend(color, front, ((top - z) / (0.03 + f)).clamp(0, 1))
        return color * vivid

    return texture


def hills(seed: int, vivid: float) -> Texture:
    """Hills and fields under a sky, their horizon at eye height, on the xz plane."""
    scene = landscape((11.0, 6.5), seed, vivid)
    lower = torch.tensor([0.0, 0.0, 1.7])
    return lambda s: scene(replace(s, point=s.point - lower))


def monochrome(scene: Texture, paint: tuple[float, float, float]) -> Texture:
    """A photo in one tone of a scene."""
    tone = torch.tensor(paint)
    return lambda s: (1.6 * scene(s).mean(-1, keepdim=True)) ** 1.5 * tone


def prints(size: float, seed: int) -> Texture:
    """Pictures on the xz plane: shapes about ``size`` across in the mesh's paint, a dark and a light tone."""
    shift = float(seed % 17) * 1.7

    def texture(s: Surface) -> Tensor:
        rough = fractal(s.point + shift, s.footprint, 0.45 * size, 3, seed)
        color = blend(s.paint, (0.88, 0.85, 0.78), (0.4 + rough * 3).clamp(0, 1))
        dark = fractal(s.point + shift + 7, s.footprint, 0.3 * size, 2, seed + 1)
        return blend(color, s.paint * 0.25, ((dark - 0.1) * 5).clamp(0, 0.85))

    return texture
