"""The sphere that every shape starts from: an icosahedron whose faces are split in four, level times. Never trained.

Level n has 10 * 4^n + 2 vertices and 20 * 4^n faces. The vertices of a level are the first ones of the next, so what is
known on one level carries over to a finer one: the vertices that are added lie between two old ones, their parents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

FINEST = 6
"""40,962 vertices; more serve nothing here."""

_CORNERS = [
    [0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11],
    [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8],
    [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9],
    [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1],
]  # fmt: skip


@dataclass(frozen=True)
class Icosphere:
    """vertices: on the unit sphere.  faces: counter-clockwise seen from outside.  edges: each once, the lower number
    first.  parents: of each vertex that the level before has not, the ends of the edge that it halves."""

    level: int
    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    edges: Int[Tensor, "e 2"]
    parents: Int[Tensor, "p 2"]


@lru_cache(maxsize=FINEST + 1)
def icosphere(level: int) -> Icosphere:
    """The sphere of a level, 0 (the icosahedron) to ``FINEST``. Raises ValueError for any other.

    >>> len(icosphere(2).vertices), len(icosphere(2).faces)
    (162, 320)
    """
    if not 0 <= level <= FINEST:
        raise ValueError(f"the level of a sphere goes from 0 to {FINEST}, not {level}")
    if level == 0:
        g = (1 + math.sqrt(5)) / 2
        rows = [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g]]
        rows += [[0, -1, -g], [0, 1, -g], [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]]
        corners = torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64), dim=-1).float()
        faces = torch.tensor(_CORNERS)
        return Icosphere(0, corners, faces, _edges(faces), torch.empty(0, 2, dtype=torch.long))
    coarse = icosphere(level - 1)
    middles = coarse.vertices.double()[coarse.edges].mean(1)
    vertices = torch.cat([coarse.vertices, torch.nn.functional.normalize(middles, dim=-1).float()])
    a, b, c = coarse.faces.unbind(1)
    ab, bc, ca = (_numbers(coarse, ends) for ends in ((a, b), (b, c), (c, a)))
    pieces = ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))
    faces = torch.cat([torch.stack(piece, -1) for piece in pieces])
    return Icosphere(level, vertices, faces, _edges(faces), coarse.edges)


def refined(values: Float[Tensor, "*b v c"], level: int, finer: int) -> Float[Tensor, "*b w c"]:
    """Values at the vertices of one level, on a finer one: those between two are their mean."""
    for step in range(level + 1, finer + 1):
        values = torch.cat([values, values[..., icosphere(step).parents, :].mean(-2)], -2)
    return values


def _edges(faces: Int[Tensor, "f 3"]) -> Int[Tensor, "e 2"]:
    ends = torch.stack([faces, faces.roll(-1, 1)], -1).reshape(-1, 2).sort(-1)[0]
    return torch.unique(ends, dim=0)


def _numbers(coarse: Icosphere, ends: tuple[Tensor, Tensor]) -> Int[Tensor, "f"]:
    """The numbers of the vertices that halve the edges between ``ends``."""
    count = len(coarse.vertices)
    keys = coarse.edges[:, 0] * count + coarse.edges[:, 1]  # in rising order: ``unique`` sorts
    wanted = torch.minimum(*ends) * count + torch.maximum(*ends)
    return count + torch.searchsorted(keys, wanted)
