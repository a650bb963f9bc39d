"""Large planes in rooms, of any direction: table tops, counters, the fronts of cupboards, doors, walls.

They are what things stand on and before. Planes are found one after the other (``planes.fit_plane``), each among what
the ones before left, and only pixels whose own surface faces the plane's way belong to it: a slice through a chair is
no plane. Of what lies in a plane, only pieces that hang together and are large count.

On a street the side of a thing can be as large as a table, so nothing but the scene's kind can tell: this is for rooms.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from fieldscape.planes import fit_plane

Array = np.ndarray

JUDGES = 1500
"""Points that a plane is fitted to."""
ALIKE = 0.9
"""The least cosine between the normal of a plane and that of a pixel that belongs to it."""
PIECE = 0.3
"""The least piece that counts, as a share of what a plane must have."""
AROUND = np.ones((7, 7), np.uint8)
"""Pixels around a hole in a plane that may be filled."""
NEAR = 0.02
"""Metres from a plane within which a point belongs to it, over the noise."""


def find_surfaces(
    points: Float[Array, "h w 3"],
    normals: Float[Array, "h w 3"],
    free: Bool[Array, "h w"],
    noise: float,
    seed: int,
    most: int,
    share: float,
    extent: float,
) -> Bool[Array, "h w"]:
    """The pixels of up to ``most`` planes, each of at least ``share`` of the free pixels, ``extent`` metres long and
    half as wide.

    points, normals: camera axes, smoothed.  free: pixels that may be of a plane.  noise: of depth, as a share of it.
    """
    found = np.zeros(free.shape, bool)
    rest = free & (np.abs(normals).sum(-1) > 0)
    least = share * float(free.sum())
    generator = torch.Generator().manual_seed(seed + 2)
    limit = NEAR + 2.5 * noise * points[..., 2]
    for _ in range(2 * most):
        if rest.sum() < max(least, 3):
            break
        step = max(1, int(rest.sum()) // JUDGES)
        judges, near = points[rest][::step], limit[rest][::step]
        plane = fit_plane(torch.from_numpy(judges), torch.from_numpy(near), generator)
        if plane is None:
            break
        normal = plane.normal.double().numpy()
        close = rest & (np.abs(points @ normal - plane.offset) < limit)
        pieces, largest = _large_pieces(close & (normals @ normal > ALIKE), PIECE * least)
        # One piece has to be large enough: the fronts of a box and of a cup may lie in one plane by chance.
        enough = pieces.sum() >= least and _wide_enough(points[largest], normal, extent)
        if enough:
            # Single pixels whose own normal is off, and the feet of noise, are of the plane that surrounds them.
            loose = np.abs(points @ normal - plane.offset) < 2 * limit
            whole = cv2.morphologyEx(pieces.astype(np.uint8), cv2.MORPH_CLOSE, AROUND) > 0
            pieces = pieces | (rest & loose & whole)
            found |= pieces
            most -= 1
        if not most:
            break
        rest &= ~(pieces if enough else close)
    return found


def _large_pieces(mask: Bool[Array, "h w"], least: float) -> tuple[Bool[Array, "h w"], Bool[Array, "h w"]]:
    """What of a mask hangs together (over corners too) and has at least so many pixels; and the largest such piece."""
    _, labels, about, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = about[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    sizes = np.where(large, about[:, cv2.CC_STAT_AREA], 0)
    return large[labels], large[labels] & (labels == sizes.argmax())


def _wide_enough(points: Float[Array, "n 3"], normal: Float[Array, "3"], extent: float) -> bool:
    """Whether points in a plane spread over ``extent`` metres one way and half of it across."""
    if len(points) < 3:
        return False
    flat = points - points.mean(0)
    flat = flat - (flat @ normal)[:, None] * normal
    along = np.linalg.eigh(flat.T @ flat)[1][:, 1:]
    wide = np.subtract(*np.percentile(flat @ along, [97, 3], axis=0))
    return bool(wide.max() >= extent and wide.min() >= extent / 2)
