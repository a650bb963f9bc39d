"""Places for a fire: fireplaces with a mantel and perhaps a chimney breast, and iron stoves."""

from __future__ import annotations

import math

from fieldscape.worlds.parts import Piece
from fieldscape.worlds.rooms.shapes import Box, around, boxes, dressed, joined, lathed, put
from fieldscape.worlds.textures import RGB, bricks, grained, woven

FIREPLACES = ("brick", "stone", "marble", "plain")


def fireplace(
    kind: str, height: float, breast: bool, wall: RGB, stone: RGB, mantel: RGB, lit: bool
) -> tuple[Piece, float]:
    """A fireplace 1.5 m wide and 0.4 m deep against the wall behind it (y = 0), and the height of its mantel.

    ``breast``: the chimney goes up to the ceiling in front of the wall.
    """
    top = 1.16
    specs: list[Box] = [((0.38, 0.36, 0.8), (s * 0.5605, 0.18, 0.4)) for s in (-1, 1)]
    specs.append(((1.501, 0.361, top - 0.8), (0.0, 0.1805, (top + 0.8) / 2)))
    rough = {"brick": bricks((0.5, 0.47, 0.43)), "stone": bricks((0.42, 0.4, 0.36), 0.34, 0.19, 0.7)}
    dark = boxes([((0.76, 0.02, 0.82), (0.0, 0.0151, 0.41))], 0)
    pieces = [
        dressed("fireplace", boxes(specs), (stone,), rough.get(kind, grained(0, 3, 0.12)), edge=0.2),
        dressed(
            "hearth",
            boxes([((1.52, 0.5, 0.05), (0.0, 0.251, 0.0251)), ((1.66, 0.4, 0.06), (0.0, 0.2005, top + 0.03))], [0, 1]),
            (stone, mantel),
        ),
        dressed("firebox", dark, ((0.02, 0.018, 0.016),)),
    ]
    if breast:
        upper = boxes([((1.46, 0.32, height - top - 0.06), (0.0, 0.1605, (height + top + 0.06) / 2 - 0.0005))])
        same = kind in ("brick", "stone")
        pieces.append(dressed("fireplace", upper, (stone if same else wall,), rough.get(kind, woven), edge=0.2))
    log = lathed([(0.045, 0.0), (0.045, 0.46)], 9)
    logs = [
        put(put(log, tilt=math.pi / 2), x - 0.0, 0.2 + 0.02 * k, 0.11 + 0.07 * (k == 2), yaw=math.pi / 2 + 0.15 * k)
        for k, x in enumerate((-0.23, -0.2, -0.24))
    ]
    pieces.append(dressed("logs", joined(logs), ((0.12, 0.07, 0.04),)))
    if lit:
        flame = [(0.0, 0.0), (0.05, 0.05), (0.06, 0.12), (0.0, 0.34)]
        flames = [
            put(lathed(flame, 9), x, 0.2, 0.16, scale=s)
            for x, s in ((-0.12, 0.8), (0.0, 1.1), (0.13, 0.7), (0.06, 0.9))
        ]
        pieces.append(dressed("fire", joined(flames), ((0.9, 0.4, 0.08),), glow=5.0))
    return pieces, top + 0.06


def stove(metal: RGB, height: float, lit: bool) -> Piece:
    """An iron stove with its pipe, 0.6 m wide, standing before the wall behind it (y = 0)."""
    body: list[Box] = [
        ((0.56, 0.44, 0.62), (0.0, 0.36, 0.47)),
        ((0.62, 0.5, 0.04), (0.0, 0.36, 0.8)),
        ((0.9, 0.8, 0.025), (0.0, 0.41, 0.0126)),
    ]
    pipe = put(lathed([(0.07, 0.0), (0.07, math.floor(height * 100 - 80) / 100)], 14), 0.0, 0.3, 0.8)
    feet = around(
        boxes([((0.04, 0.04, 0.16), (0.0, 0.36, 0.1))]), [(0.23, 0.17), (-0.23, 0.17), (-0.23, -0.17), (0.23, -0.17)]
    )
    pane = boxes([((0.36, 0.01, 0.28), (0.0, 0.582, 0.5))])
    glow = ((0.9, 0.42, 0.1), 3.0) if lit else ((0.03, 0.03, 0.03), 0.0)
    return [
        dressed("stove", joined([boxes(body), pipe, feet]), (metal,)),
        dressed("firebox", pane, (glow[0],), glow=glow[1]),
    ]
