"""Between two objects of a class: surfaces that move from one to the other, rather than one fading into the other.

The class's box holds both in the same place and size, so their signed distances (positive inside) can be blended point
by point: half way between two balls of radii a and b about one centre is a ball of radius (a + b) / 2 (Payne and Toga,
"Distance field manipulation of surface models", 1992). Colours are carried to where the other object is by the nearest
point of the own surface, and blended too.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from fieldscape.kernels.grid import RAW, read_lanes, write_lanes
from fieldscape.systems.latents.voxel.coding import cells_of
from fieldscape.systems.latents.voxel.tables import EMPTY, FULL
from fieldscape.voxels.bricks import LEARNED, Bricks
from fieldscape.voxels.field import OCCUPIED_RAW

STEEP = 4.0
"""Raw density that a voxel of distance stands for: so that the surface is about as sharp as that of a fitted object."""

SOLID = OCCUPIED_RAW + 2.5
"""The raw density that counts as the surface: there half of the light stops within a voxel or two."""


def blended(first: Bricks, second: Bricks, share: float) -> Bricks:
    """The object ``share`` (0..1) of the way from one to another. Raises ValueError where their grids differ."""
    if first.shape != second.shape:
        raise ValueError(f"objects on grids of {first.shape} and {second.shape} vertices cannot be blended")
    lanes = np.empty((*first.shape, LEARNED), np.float32)
    (near, one), (far, other) = _parts(first), _parts(second)
    distance = (1 - share) * near + share * far
    lanes[..., RAW] = (SOLID + STEEP * distance).clip(EMPTY, FULL)
    lanes[..., :RAW] = (1 - share) * one + share * other
    bricks = Bricks(first.framing, first.shape, cells_of(lanes[..., RAW]), first.step, first.workers)
    write_lanes(bricks.grid, 0, lanes)
    return bricks


def _parts(bricks: Bricks) -> tuple[Float[np.ndarray, "x y z"], Float[np.ndarray, "x y z 12"]]:
    """The signed distance of each vertex to the surface in voxels, and the colours carried outwards from it."""
    lanes = np.empty((*bricks.shape, LEARNED), np.float32)
    read_lanes(bricks.grid, 0, lanes)
    solid = lanes[..., RAW] > SOLID
    # What no photo shows may be hollow; between two objects it must not come to light.
    whole = binary_fill_holes(solid)
    if not solid.any():
        return np.full(bricks.shape, -float(max(bricks.shape)), np.float32), lanes[..., :RAW]
    nearest = distance_transform_edt(~solid, return_distances=False, return_indices=True)
    inside = distance_transform_edt(whole)
    distance = np.where(whole, inside - 0.5, 0.5 - distance_transform_edt(~whole))
    return distance.astype(np.float32), lanes[..., :RAW][tuple(nearest)]
