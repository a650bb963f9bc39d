"""A Delaunay triangulation that persists from frame to frame.

Vertices have a number for life. In a new frame those that vanished are taken out, the others move, and triangles stay
as long as they do not turn over and no edge is far from Delaunay's rule; new vertices are put in. So most triangles of
a frame are those of the frame before, where a new Delaunay triangulation would flip edges to and fro as points jitter.

A border of vertices that are never taken out lies around all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

MOST_ROUNDS = 1000


@dataclass
class Triangulation:
    """Triangles between some of v numbered places; changed in place by the functions below.

    places: float64 [v, 2].  faces, links: int64 [2 v, 3], of which the first ``count`` count; ``links`` names the face
    across the edge opposite each corner, -1 for none.  at: int64 [v], a face at each vertex, -1 for vertices not in.
    border: how many vertices, the last ones, form the border.
    """

    places: np.ndarray
    faces: np.ndarray
    links: np.ndarray
    at: np.ndarray
    border: int
    count: int

    @property
    def triangles(self) -> np.ndarray:
        """int64 [f, 3], counter-clockwise with y up, which is clockwise in a picture."""
        return self.faces[: self.count].copy()


def triangulated(places: np.ndarray, alive: np.ndarray, border: int) -> Triangulation:
    """Delaunay's triangulation of the places [v, 2] that are ``alive`` [v]; the last ``border`` ones must surround all
    others.

    >>> square = np.array([[1.0, 1.0], [0, 0], [2, 0], [2, 2], [0, 2]])
    >>> triangulated(square, np.ones(5, bool), 4).count
    4
    """
    total = len(places)
    result = Triangulation(
        places.astype(np.float64).copy(), np.full((2 * total + 8, 3), -1), np.full((2 * total + 8, 3), -1),
        np.full(total, -1), border, 0,
    )  # fmt: skip
    edge = np.arange(total - border, total)
    made = Delaunay(result.places[edge])
    faces, links = made.simplices.astype(np.int64), made.neighbors.astype(np.int64)
    a, b, c = (result.places[edge][faces[:, k]] for k in range(3))
    turned = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) < (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    faces[turned], links[turned] = faces[turned][:, [0, 2, 1]], links[turned][:, [0, 2, 1]]
    result.count = len(faces)
    result.faces[: len(faces)], result.links[: len(faces)] = edge[faces], links
    result.at[result.faces[: len(faces)].reshape(-1)] = np.arange(len(faces)).repeat(3)
    _insert(result, alive)
    return result


def carried_on(before: Triangulation, places: np.ndarray, alive: np.ndarray, slack: float) -> None:
    """Changes a triangulation into one of the places [v, 2] that are ``alive`` [v], keeping what triangles it can.

    slack: degrees by which the angles opposite a kept edge may sum to more than 180.
    """
    from fieldscape.kernels import triangulating as kernel

    inner = np.arange(len(places) - before.border)
    _remove(before, inner[(before.at[inner] >= 0) & ~alive[inner]])
    for _ in range(MOST_ROUNDS):
        faces = before.faces[: before.count]
        a, b, c = (places[faces[:, k]] for k in range(3))
        areas = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        over = faces[areas <= kernel.TINY]
        if len(over) == 0:
            break
        turns = np.bincount(over.reshape(-1), minlength=len(places))[inner]
        worst = turns[over.clip(max=len(inner) - 1)] * (over < len(inner))
        # Of each triangle that turned over its most offending corner leaves, and comes back at its new place.
        leaving = np.unique(over[np.arange(len(over)), worst.argmax(1)][worst.max(1) > 0])
        if len(leaving) == 0:  # the border itself turned over: begin anew
            fresh = triangulated(places, alive, before.border)
            before.places[:], before.faces[:], before.links[:] = fresh.places, fresh.faces, fresh.links
            before.at[:], before.count = fresh.at, fresh.count
            return
        _remove(before, leaving)
    before.places[:] = places
    bend = math.sin(math.radians(slack))
    kernel.relax(before.places, before.faces, before.links, before.at, before.count, bend)
    _insert(before, alive)


def _insert(into: Triangulation, alive: np.ndarray) -> None:
    from fieldscape.kernels import triangulating as kernel

    names = np.flatnonzero(alive[: len(into.places) - into.border] & (into.at[: len(into.places) - into.border] < 0))
    # Neighbours one after the other: a walk from the last one is short.
    cells = np.floor(into.places[names] / 16)
    order = np.lexsort((np.where(cells[:, 1] % 2 == 0, 1, -1) * cells[:, 0], cells[:, 1]))
    stack = np.empty(len(into.faces), np.int64)
    into.count = kernel.insert(into.places, into.faces, into.links, into.at, into.count, names[order], stack)


def _remove(out_of: Triangulation, names: np.ndarray) -> None:
    from fieldscape.kernels import triangulating as kernel

    if len(names):
        out_of.count = kernel.remove(out_of.places, out_of.faces, out_of.links, out_of.at, out_of.count, names)


def pierced(faces: np.ndarray, places: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Triangles [f, 3] of ``places`` [v, 2], with the places ``more`` [m, 2] inserted, numbered from v on."""
    total, border = len(places) + len(more), len(places)
    # What is inserted must come before the border in a triangulation: here all that was there counts as border.
    shifted = np.concatenate([more, places]).astype(np.float64)
    room = 2 * total + 8
    result = Triangulation(
        shifted, np.full((room, 3), -1), np.full((room, 3), -1), np.full(total, -1), border, len(faces)
    )
    result.faces[: len(faces)] = faces + len(more)
    result.links[: len(faces)] = linked(faces)
    result.at[result.faces[: len(faces)].reshape(-1)] = np.arange(len(faces)).repeat(3)
    _insert(result, np.ones(total, bool))
    return (result.triangles - len(more)) % total


def linked(faces: np.ndarray) -> np.ndarray:
    """The face across the edge opposite each corner [f, 3], -1 for none.

    >>> linked(np.array([[0, 1, 2], [2, 1, 3]])).tolist()
    [[1, -1, -1], [-1, -1, 0]]
    """
    ends = np.stack([np.roll(faces, -1, 1), np.roll(faces, -2, 1)], -1).reshape(-1, 2)
    low, high = ends.min(1), ends.max(1)
    order = np.lexsort((high, low))
    same = (low[order][1:] == low[order][:-1]) & (high[order][1:] == high[order][:-1])
    one, other = order[:-1][same], order[1:][same]
    links = np.full(len(ends), -1)
    links[one], links[other] = other // 3, one // 3
    return links.reshape(-1, 3)
