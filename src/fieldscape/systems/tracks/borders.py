"""What lies beyond the tracked points: the ring around them, and the depth that points near a place suggest for it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""

ROUNDS = 6
"""Of the robust fit of slopes."""
PLANAR = 0.02
"""A neighbour is on one plane if it misses it by about this share of the inverse depth."""
TIMID = 0.02
"""How strongly a slope is held towards none, as a share of what the neighbours say."""
RANGE = 1.3
"""Suggested inverse depths stay within this factor of those of the points asked."""


def ring(box: Box, along: int) -> Float[ndarray, "m 2"]:
    """Places around a box, ``along`` on each side, evenly spaced; the corners are among them.

    >>> ring((0.0, 0.0, 4.0, 2.0), 2).tolist()
    [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [4.0, 1.0], [4.0, 2.0], [2.0, 2.0], [0.0, 2.0], [0.0, 1.0]]
    """
    left, top, right, bottom = box
    share = np.arange(along) / along
    across, down, ones = (right - left) * share, (bottom - top) * share, np.ones(along)
    sides = (
        (left + across, top * ones),
        (right * ones, top + down),
        (right - across, bottom * ones),
        (left * ones, bottom - down),
    )
    return np.concatenate([np.stack(side, 1) for side in sides])


def slopes(places: Float[ndarray, "n 2"], inverse: Float[ndarray, "n"], count: int = 10) -> Float[ndarray, "n 2"]:
    """How the inverse depth changes along x and y at each place, on the plane through it and the neighbours that agree.

    In a picture planes have an inverse depth that is linear in the pixel. Neighbours on other surfaces are told apart
    by reweighting (Geman and McClure's weights). Zero for fewer than four places.
    """
    count = min(count, len(places) - 1)
    if count < 3:
        return np.zeros((len(places), 2))
    distance, index = cKDTree(places).query(places, k=list(range(2, count + 2)))
    step, rise = places[index] - places[:, None], inverse[index] - inverse[:, None]
    near = 1 / (distance**2 + 1)
    held = TIMID * np.einsum("nk,nki,nki->n", near, step, step)[:, None, None] * np.eye(2) + 1e-12 * np.eye(2)
    slope, agreeing = np.zeros((len(places), 2)), np.ones_like(rise)
    for _ in range(ROUNDS):
        weight = near * agreeing
        normal = np.einsum("nk,nki,nkj->nij", weight, step, step) + held
        slope = np.linalg.solve(normal, np.einsum("nk,nk,nki->ni", weight, rise, step)[..., None])[..., 0]
        miss = (rise - np.einsum("ni,nki->nk", slope, step)) / (PLANAR * inverse[:, None] + 1e-12)
        agreeing = 1 / (1 + miss**2) ** 2
    return slope


def suggested(
    places: Float[ndarray, "m 2"],
    known: Float[ndarray, "n 2"],
    inverse: Float[ndarray, "n"],
    slope: Float[ndarray, "n 2"],
    count: int,
) -> tuple[Float[ndarray, "m c"], Int[ndarray, "m c"], Float[ndarray, "m c"]]:
    """The inverse depths that the surfaces of the nearest known points have at ``places``, whose they are, nearest
    first, and how far away those are. At most ``count`` of them."""
    count = min(count, len(known))
    distance, index = cKDTree(known).query(places, k=list(range(1, count + 1)))
    through = inverse[index] + np.einsum("mci,mci->mc", slope[index], places[:, None] - known[index])
    low, high = inverse[index].min(1, keepdims=True), inverse[index].max(1, keepdims=True)
    return np.clip(through, low / RANGE, high * RANGE), index, distance


def on_the_border(
    places: Float[ndarray, "m 2"],
    known: Float[ndarray, "n 2"],
    inverse: Float[ndarray, "n"],
    slope: Float[ndarray, "n 2"],
    count: int = 4,
) -> tuple[Float[ndarray, "m"], Int[ndarray, "m"]]:
    """The inverse depth of places beyond all known ones, as the nearest few suggest it; and which is the nearest."""
    through, index, distance = suggested(places, known, inverse, slope, count)
    weight = 1 / (distance**2 + 1)
    return (weight * through).sum(1) / weight.sum(1), index[:, 0]
