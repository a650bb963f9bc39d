"""Which places of the still world lie behind others, as a frame's camera sees them.

The points that a frame shows span a surface: Delaunay's triangulation of their places, over which one over the depth is
linear where the surface is flat. A place well behind it is hidden, unless it is no farther than a corner of the
triangle it falls in, for then it may lie on the far side of an edge.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import Delaunay, QhullError

FEWEST = 12
"""Points that span a surface."""


def behind(
    pixel: Float[np.ndarray, "k 2"],
    depth: Float[np.ndarray, "k"],
    shown: Float[np.ndarray, "m 2"],
    shown_depth: Float[np.ndarray, "m"],
    share: float,
) -> Bool[np.ndarray, "k"]:
    """Whether places at ``pixel`` and ``depth`` are hidden by the surface through the points that are ``shown``.

    share: of the distance, by which what is hidden lies behind the farthest corner around it.

    >>> corner = np.array([[x, y] for x in (0.0, 4.0, 8.0, 12.0) for y in (0.0, 4.0, 8.0)])
    >>> behind(np.array([[5.0, 3.0], [5.0, 3.0]]), np.array([2.1, 1.9]), corner, np.full(12, 2.0), 0.01).tolist()
    [True, False]
    """
    hidden = np.zeros(len(pixel), bool)
    if len(shown) < FEWEST or not len(pixel):
        return hidden
    try:
        mesh = Delaunay(shown)
    except QhullError:  # all in a row
        return hidden
    face = mesh.find_simplex(np.nan_to_num(pixel, nan=-1e9))
    inside = face >= 0
    farthest = shown_depth[mesh.simplices[face[inside]]].max(1)
    hidden[inside] = depth[inside] > (1 + share) * farthest
    return hidden
