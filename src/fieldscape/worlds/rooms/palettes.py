"""Colours that go together, for each style of room, each room a little different. All are linear RGB."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

import torch

from fieldscape.colors import to_linear
from fieldscape.worlds.textures import RGB


@dataclass(frozen=True)
class Palette:
    """The colours of one room.

    figure: of the wallpaper, or of the wall that differs.  floor: light and dark boards.  cabinet, table: their woods.
    """

    wall: RGB
    figure: RGB
    ceiling: RGB
    trim: RGB
    floor: tuple[RGB, RGB]
    carpet: RGB
    cabinet: RGB
    table: RGB
    sofa: RGB
    chair: RGB
    accents: tuple[RGB, ...]
    rug: tuple[RGB, RGB, RGB, RGB]
    curtain: RGB
    metal: RGB
    shade: RGB


@dataclass(frozen=True)
class Taste:
    """What a style chooses from, as displayed colours 0xRRGGBB; ``bold`` are those of single walls and patterns."""

    walls: tuple[int, ...]
    bold: tuple[int, ...]
    seats: tuple[int, ...]
    accents: tuple[int, ...]
    woods: tuple[int, ...]
    boards: tuple[int, ...]
    carpets: tuple[int, ...]
    curtains: tuple[int, ...]
    metals: tuple[int, ...]


TASTES = {
    "modern": Taste(
        (0xF2F0EC, 0xE9E6E0, 0xDDD9D2, 0xD2CFCB, 0xC9CCCB, 0xE8E0D0, 0xB9B4AE, 0xEFEFEF, 0xCFC4B2),
        (0x3F4A55, 0x5A3A36, 0x9A2F25, 0x2F4F4A, 0x6B6560, 0xC98A2B, 0x7B8F4B, 0x4A4640, 0x8C6F58),
        (0x3A3A3C, 0x8C8B88, 0x1C1B1B, 0xE6E2DA, 0xA8231E, 0x5B5148, 0xB9A88E, 0x2E4A5F, 0xD8D3CA, 0xC8541E, 0x6E675F),
        (0xC8321F, 0xE0A526, 0x27707C, 0x1E1E20, 0xEDEAE2, 0x9AB23A, 0xB05C2C, 0x5C3D6B, 0x8A8F94),
        (0x2A1D16, 0x4B3425, 0x8A623E, 0xB58A5C, 0xE9E6E0, 0x1F1C1A, 0x6E4A30),
        (0xB58A5C, 0x8A5B36, 0x5B3A24, 0x9C938A, 0x3B2519, 0xC9A77C),
        (0xC9BFAF, 0xA89C8C, 0x8A8782, 0xDDD5C6),
        (0xE6E1D8, 0x8C867E, 0xF0EEE9, 0x54504C, 0xB5A48C, 0x9A3A2E),
        (0x2B2B2D, 0xA9A9AB, 0x1A1A1A, 0x8E8471),
    ),
    "classic": Taste(
        (0xE9DDBF, 0xDCCBA2, 0xD9D2BE, 0xC8C8A8, 0xE6D2B8, 0xC9B48A, 0xD8C7B8, 0xB8C2B4, 0xEFE6D2, 0xCFA77A, 0xBFC9CF),
        (0x7A2A26, 0x4F6A4E, 0xA3563A, 0x39506B, 0x8C7A3E, 0xB07A4A, 0x6B2F3A, 0xC79A5E),
        (0x6E2A24, 0x8C6A4A, 0xB89B6E, 0x4A2F20, 0x37533F, 0x2E3C5A, 0xD6C4A0, 0xA87C52, 0x7A5F4B, 0xC2A58A, 0x5A1F26),
        (0x8C1F1F, 0xC79A3A, 0x2F4F3A, 0xE6D9B8, 0x3A4E74, 0xA8623A, 0x6B3A5A, 0xB8A078),
        (0x4A2314, 0x6B3820, 0x3A1E12, 0x8A5230, 0x5B3018, 0xA06A3C),
        (0x8A4F2A, 0x6B3A1E, 0xA8703C, 0x4A2A18, 0xB5814A),
        (0xC4B294, 0xA8927A, 0x8A7A68, 0xB59A8A, 0x5F7468, 0xD2C4AA, 0x7A5548),
        (0x8A2A2A, 0xD9C9A0, 0xC2A468, 0x4F6350, 0xE9E0CC, 0x6B3A4A, 0x9A8A68, 0x3F5570),
        (0x8A6A2E, 0x2A2420, 0xB08D4A, 0x5A4326),
    ),
    "rustic": Taste(
        (0xE9DCC0, 0xE2C896, 0xD9BF94, 0xF0E9DA, 0xCFA878, 0xD8CBB0, 0xE6D7B5, 0xC28F62, 0xDAD4C6),
        (0xA8552F, 0x8C5A33, 0xB5793F, 0x6B5A3A, 0x7A4630, 0x94723F),
        (0x5F3A22, 0x7A4B2A, 0xC2A980, 0x3F4F35, 0x8C2F24, 0xA8855A, 0x4F3526, 0xD8C8A8, 0x6B6045, 0x9A5B34),
        (0xA83A22, 0xC98F3A, 0x5A6B3A, 0x7A4A2A, 0xE2D2AA, 0x34506B, 0x8C2A1E, 0x3F3020),
        (0x9A6433, 0xB57E42, 0x6E4522, 0x84542C, 0x55341C, 0xC2945A),
        (0xA86A34, 0x84502A, 0xC08A4C, 0x6E4426, 0x94623A),
        (0xB59F7C, 0x8C7455, 0x7A6A55),
        (0xE0CFA8, 0x9A4A2A, 0xC9AE7A, 0x6B6A45, 0xEDE4D0, 0x84532F),
        (0x2A2420, 0x5A4326, 0x1E1B18),
    ),
    "nordic": Taste(
        (0xF4F3F0, 0xEDECE8, 0xE4E4E2, 0xF1EDE4, 0xDCE1E2, 0xD2D6D2, 0xE8DFD6),
        (0x6F8490, 0xA9B8AE, 0x3E4A4F, 0xD1AFA2, 0x8FA39A, 0xC9BFAE, 0x55636B),
        (0xBFC1C0, 0x9EA3A6, 0xE4E0D8, 0x6B7176, 0xB2BFC2, 0xD8CFC0, 0x4C5357, 0xA7B5AC, 0xC9A9A0, 0x5D7186),
        (0xD9B44A, 0x4A6B7A, 0xD29A8C, 0x2F3436, 0xEDEAE4, 0x8FA88F, 0xB5642F, 0x9FB8C4),
        (0xD8BC92, 0xE8D3B0, 0xC9A677, 0xF0ECE4, 0xB98F5E, 0x8A6A4A),
        (0xDCC29A, 0xC9A677, 0xE6D8C0, 0xB08A60, 0xD9D2C6),
        (0xD9D4C8, 0xBDB9B0, 0xA5A7A6),
        (0xF4F2EC, 0xDDDAD2, 0xA9B4B8, 0xC7BBA8, 0x8A9490),
        (0x2B2D2E, 0xB08D57, 0xE4E2DC, 0x8A8C8C),
    ),
}  # fmt: skip


def shown(code: int) -> RGB:
    """A displayed colour 0xRRGGBB as linear light.

    >>> shown(0xFF00FF)
    (1.0, 0.0, 1.0)
    """
    red, green, blue = to_linear(torch.tensor([(code >> shift & 255) / 255 for shift in (16, 8, 0)])).tolist()
    return red, green, blue


def near(color: RGB, rng: random.Random, amount: float = 1.0) -> RGB:
    """A colour like ``color``: some degrees of hue, some saturation, some lightness away."""
    hue, saturation, value = colorsys.rgb_to_hsv(*color)
    hue = (hue + amount * rng.uniform(-0.02, 0.02)) % 1
    saturation = min(0.96, saturation * (1 + amount * rng.uniform(-0.25, 0.2)))
    value = min(0.92, max(0.006, value * (1 + amount * rng.uniform(-0.22, 0.22))))
    return colorsys.hsv_to_rgb(hue, saturation, value)


def mixed(one: RGB, other: RGB, share: float) -> RGB:
    """Colour ``one`` where ``share`` is 0, ``other`` where it is 1."""
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other))
    return red, green, blue


def grey(color: RGB, share: float) -> RGB:
    """The colour with a share of its saturation taken away, as bright as before."""
    light = 0.25 * color[0] + 0.65 * color[1] + 0.1 * color[2]
    return mixed(color, (light, light, light), share)


def palette(style: str, rng: random.Random) -> Palette:
    """A choice of colours for a room of ``style``."""
    taste = TASTES[style]
    # Cameras and daylight take colour away; now and then nearly all of it.
    faded = rng.choice((0.0, 0.1, 0.2, 0.3, 0.45, 0.75))

    def one(codes: tuple[int, ...], amount: float = 1.0) -> RGB:
        return grey(near(shown(rng.choice(codes)), rng, amount), faded)

    # Real rooms are mostly light and plain; some are painted in a strong colour all around.
    wall = (
        one(taste.walls, 0.7) if rng.random() < 0.86 else mixed(one(taste.bold), one(taste.walls), rng.random() * 0.6)
    )
    seat = one(taste.seats)
    accents = tuple(near(shown(code), rng) for code in rng.sample(taste.accents, 5))
    board = one(taste.boards)
    white = near((0.82, 0.8, 0.76), rng, 0.3)
    wood = one(taste.woods)
    figure = one(taste.bold) if rng.random() < 0.6 else mixed(wall, one(taste.bold), 0.4)
    rug = (one(taste.carpets), rng.choice(accents), one(taste.bold), rng.choice(accents))
    return Palette(
        wall=wall,
        figure=figure,
        ceiling=mixed(white, wall, rng.choice([0.0, 0.0, 0.3, 0.9])),
        trim=white if rng.random() < {"classic": 0.7, "rustic": 0.45}.get(style, 0.93) else wood,
        floor=(board, mixed(board, (0.0, 0.0, 0.0), rng.uniform(0.25, 0.55))),
        carpet=one(taste.carpets),
        cabinet=wood,
        table=wood if rng.random() < 0.6 else one(taste.woods),
        sofa=seat,
        chair=seat if rng.random() < 0.35 else one(taste.seats),
        accents=accents,
        rug=rug,
        curtain=one(taste.curtains),
        metal=one(taste.metals, 0.5),
        shade=near(rng.choice([(0.85, 0.74, 0.55), (0.84, 0.8, 0.72), (0.8, 0.62, 0.4), (0.86, 0.84, 0.8)]), rng, 0.4),
    )
