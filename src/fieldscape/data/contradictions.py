"""Which photos of a scene contradict each other: a check of poses against all matches, not only those they came from.

Where a scene repeats itself (wallpaper, windows, tiles), mapping can join two parts of it at the wrong place. Each part
is right in itself, so the reprojection error hardly shows it; but matches between the parts that mapping had to ignore
do. numpy only: this runs beside pycolmap, see ``sfm_process``.
"""

from __future__ import annotations

import numpy as np

MIN_MATCHES = 15
"""Fewer agreeing matches say nothing: as many agree by chance."""


def epipolar_error(a: np.ndarray, b: np.ndarray, from_world_a: np.ndarray, from_world_b: np.ndarray) -> np.ndarray:
    """Sampson distance of matches a, b [n, 2] (normalised, undistorted) to the geometry of two poses [3, 4].

    Hartley and Zisserman, "Multiple View Geometry", 2004, equation 11.9.
    """
    rotation = from_world_b[:, :3] @ from_world_a[:, :3].T
    x, y, z = from_world_b[:, 3] - rotation @ from_world_a[:, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ rotation
    ones = np.ones((len(a), 1))
    left, right = np.hstack([a, ones]), np.hstack([b, ones])
    line_b, line_a = left @ essential.T, right @ essential
    slope = np.sqrt((line_b[:, :2] ** 2).sum(1) + (line_a[:, :2] ** 2).sum(1))
    return np.abs((right * line_b).sum(1)) / np.maximum(slope, 1e-12)


def contradicting_groups(pairs: list[tuple[int, int, float]]) -> list[list[int]]:
    """Groups of photos such that, between any two groups, more matches contradict the model than agree with it.

    ``pairs``: two photos and the matches that agree minus those that do not. One group: the model is consistent.
    Several: they are joined at the wrong place.

    The groups are merged greedily, the best joint first, as in correlation clustering.

    >>> contradicting_groups([(1, 2, 90.0), (3, 4, 80.0), (2, 3, -200.0), (1, 4, 60.0)])
    [[1, 2], [3, 4]]
    """
    photos = sorted({photo for a, b, _ in pairs for photo in (a, b)})
    row = {photo: index for index, photo in enumerate(photos)}
    net = np.zeros((len(photos), len(photos)))
    for a, b, surplus in pairs:
        net[row[a], row[b]] += surplus
        net[row[b], row[a]] += surplus
    groups = [[photo] for photo in photos]
    while len(groups) > 1:
        np.fill_diagonal(net, -np.inf)
        i, j = sorted(divmod(int(net.argmax()), len(groups)))
        if net[i, j] < -MIN_MATCHES:  # a handful may err
            break
        groups[i] = sorted(groups[i] + groups.pop(j))
        net[i] += net[j]
        net[:, i] += net[:, j]
        net = np.delete(np.delete(net, j, 0), j, 1)
    return groups
