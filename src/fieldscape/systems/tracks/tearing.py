"""Triangles that join what does not belong together, cut open: each corner keeps the part of the triangle near it.

An edge is cut where the depths of its ends jump, unless they lie on one plane, and where its length in space changes
over time. A triangle whose cut edges part its corners falls into pieces, along the middles of these edges, each at the
depth of its own corners; so in the source frame everything stays covered. The triangle as it was stays, as part of the
far layer, which is drawn where nothing else is: where a moving camera opens the gap between the pieces, the colours
there are stretched from the near side to the far side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

PLANE = 0.5
"""Ends lie on one plane if the plane through either one foretells the other's inverse depth to this share of their
difference."""


@dataclass(frozen=True)
class Torn:
    """places, inverse, owner: of the vertices that were added: pixels, inverse depth, and the vertex each belongs to.
    faces: all, those that stayed first, then the pieces, then the far layer.  far: which are of the far layer."""

    places: Float[ndarray, "m 2"]
    inverse: Float[ndarray, "m"]
    owner: Int[ndarray, "m"]
    faces: Int[ndarray, "f 3"]
    far: Bool[ndarray, "f"]


def jumps(
    places: Float[ndarray, "v 2"],
    inverse: Float[ndarray, "v"],
    slope: Float[ndarray, "v 2"],
    ends: Int[ndarray, "e 2"],
    jump: float,
) -> Bool[ndarray, "e"]:
    """Edges whose ends differ in depth by more than the factor ``jump`` and do not lie on one plane."""
    one, other = inverse[ends[:, 0]], inverse[ends[:, 1]]
    along = places[ends[:, 1]] - places[ends[:, 0]]
    rise = other - one
    planar = np.zeros(len(ends), bool)
    for k in (0, 1):
        foretold = (slope[ends[:, k]] * along).sum(1)
        planar |= np.abs(foretold - rise) < PLANE * np.abs(rise)
    return (np.maximum(one, other) > jump * np.minimum(one, other)) & ~planar


def changes(
    world: Float[ndarray, "t n 3"],
    seen: Bool[ndarray, "t n"],
    ends: Int[ndarray, "e 2"],
    change: float,
    jitter: Float[ndarray, "e"],
) -> Bool[ndarray, "e"]:
    """Edges whose length in space, over the frames that see both ends, changes by more than the factor ``change`` and
    by more than ``jitter``, which tracks do by themselves: for a short edge that is a large factor."""
    length = np.linalg.norm(world[:, ends[:, 0]] - world[:, ends[:, 1]], axis=-1)
    both = seen[:, ends[:, 0]] & seen[:, ends[:, 1]]
    longest, shortest = np.where(both, length, 0.0).max(0), np.where(both, length, np.inf).min(0)
    return (longest > change * shortest) & (longest > shortest + jitter)


def torn(
    places: Float[ndarray, "v 2"], inverse: Float[ndarray, "v"], faces: Int[ndarray, "f 3"], cut: Bool[ndarray, "f 3"]
) -> Torn:
    """Faces with their ``cut`` edges (from each corner to the next) opened.

    >>> square = np.array([[0.0, 0], [2, 0], [0, 2]])
    >>> result = torn(square, np.array([1.0, 0.5, 0.5]), np.array([[0, 1, 2]]), np.array([[True, False, True]]))
    >>> result.places.tolist(), result.inverse.tolist()
    ([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 1.0, 0.5, 0.5])
    >>> result.faces.tolist(), result.far.tolist()
    ([[0, 3, 4], [5, 1, 2], [5, 2, 6], [0, 1, 2]], [False, False, False, True])
    """
    count = len(places)
    two, three = cut.sum(1) == 2, cut.all(1)
    # Turned so that in a face with two cut edges corner 0 is alone: its last edge and its first are cut.
    turn = np.where(two, (np.argmin(cut, 1) + 2) % 3, 0)
    turned = faces[np.arange(len(faces))[:, None], (turn[:, None] + np.arange(3)) % 3]
    lone, triple = turned[two], turned[three]
    # The middle of the edge from i to j, on the side of i: one vertex for all faces around.
    a, b, c = lone.T
    p, q, r = triple.T
    halves = [(a, b), (a, c), (b, a), (c, a), (p, q), (q, p), (q, r), (r, q), (r, p), (p, r)]
    names, found = np.unique(np.concatenate([i * count + j for i, j in halves]), return_inverse=True)
    of = np.split(found.reshape(-1) + count, np.cumsum([len(i) for i, _ in halves])[:-1])
    ab, ac, ba, ca, pq, qp, qr, rq, rp, pr = of
    side, other = names // count, names % count
    centers = count + len(names) + np.arange(3 * len(triple)).reshape(3, -1)
    pieces = [(a, ab, ac), (ba, b, c), (ba, c, ca)]
    for corner, after, before, center in ((p, pq, pr, centers[0]), (q, qr, qp, centers[1]), (r, rp, rq, centers[2])):
        pieces += [(corner, after, center), (corner, center, before)]
    pieces_of = np.concatenate([np.stack(piece, 1) for piece in pieces])
    middle = places[triple].mean(1)
    kept, behind = faces[~(two | three)], faces[two | three]
    return Torn(
        np.concatenate([(places[side] + places[other]) / 2, middle, middle, middle]),
        np.concatenate([inverse[side], *(inverse[x] for x in (p, q, r))]),
        np.concatenate([side, p, q, r]),
        np.concatenate([kept, pieces_of, behind]),
        np.arange(len(kept) + len(pieces_of) + len(behind)) >= len(kept) + len(pieces_of),
    )
