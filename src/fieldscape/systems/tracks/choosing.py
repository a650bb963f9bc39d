"""Which points the cameras are found from."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from fieldscape.systems.tracks.nouns import Points

CELLS = (8, 5)
"""The picture's parts, each of which gets its share of the points."""

SHORTEST = 3
"""Frames that a point must have been seen in to say anything about cameras."""


def longest(
    points: Points, frames: list[int], size: tuple[int, int], most: int, shortest: int = SHORTEST
) -> Int[np.ndarray, "k"]:
    """Numbers of the points of the background that have been seen longest: of each of ``frames`` at most ``most``, and
    of each part of the picture no more than its share, as long tracks crowd where there is most texture."""
    seen = points.seen.numpy()
    places = points.places.numpy()
    length = seen.sum(0)
    fit = (points.layer.numpy() == 0) & (length >= shortest)
    chosen = np.zeros(len(points), bool)
    share = -(-most // (CELLS[0] * CELLS[1]))
    for t in frames:
        here = np.nonzero(seen[t] & fit)[0]
        here = here[np.lexsort((here, -length[here]))]
        cell = np.clip((places[t, here] / size * CELLS).astype(int), 0, np.array(CELLS) - 1)
        number = cell[:, 0] * CELLS[1] + cell[:, 1]
        order = np.argsort(number, kind="stable")
        first = np.searchsorted(number[order], number[order])
        rank = np.empty(len(here), int)
        rank[order] = np.arange(len(here)) - first
        chosen[here[rank < share]] = True
    return np.nonzero(chosen)[0]
