"""How near two things can stand so that they just touch."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from fieldscape.worlds.street import solids
from fieldscape.worlds.street.objects import Thing

Array = np.ndarray

TOUCH_POINTS = 250
"""Of each piece's surface, whose distances to the other thing along the line between them are compared."""


def touching_distance(one: Thing, other: Thing, toward: float, yaw: float) -> float | None:
    """How far apart the middles of two standing things are when they touch; None if they would pass each other.

    ``other`` stands in the direction ``toward`` in the frame of ``one``, turned by ``yaw``. It is moved from far away
    along that line until the first of many points on either meets the other: within about 2 cm of touching.
    """
    line = np.array([math.cos(toward), math.sin(toward), 0.0])
    far = one.radius + other.radius + 1.0
    c, s = math.cos(yaw), math.sin(yaw)
    there = np.array([[c, -s, 0, far * line[0]], [s, c, 0, far * line[1]], [0, 0, 1, other.size[2] / 2], [0, 0, 0, 1]])
    here = np.eye(4)
    here[2, 3] = one.size[2] / 2
    gap = min(_gap(one, here, other, there, line), _gap(other, there, one, here, -line))
    return far - gap if math.isfinite(gap) else None


def _gap(from_thing: Thing, placed: Array, thing: Thing, there: Array, line: Array) -> float:
    """The least distance from points on one thing along ``line`` to another."""
    # Points within other pieces of the same thing do no harm: they are never the first to meet anything.
    spread = [solids.spread(piece.kind, piece.ratio, piece.rest, TOUCH_POINTS) for piece in from_thing.pieces]
    points = np.concatenate([*spread, _corners(from_thing)])
    points = points @ placed[:3, :3].T + placed[:3, 3]
    best = math.inf
    for piece in thing.pieces:
        back = np.linalg.inv(there @ piece.rest)
        ray = np.broadcast_to((back[:3, :3] @ line)[:, None], (3, len(points)))
        origins = (points @ back[:3, :3].T + back[:3, 3]).T
        best = min(best, float(solids.first_hit(piece.kind, piece.ratio, origins, ray).min()))
    return best


def _corners(thing: Thing) -> Float[Array, "n 3"]:
    """The corners of its boxes and the tips of its cones, which evenly spread points miss."""
    found = [np.zeros((0, 3))]
    for piece in thing.pieces:
        if piece.kind == "box":
            found.append(solids.bounds(0.0) @ piece.rest[:3, :3].T + piece.rest[:3, 3])
        elif piece.kind == "cone":
            found.append((piece.rest[:3, 2] + piece.rest[:3, 3])[None])
    return np.concatenate(found)
