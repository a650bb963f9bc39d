"""How much each vertex of an object matters to its pictures: as photographed, or as seen from all around."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float32

from fieldscape.cameras import look_at
from fieldscape.kernels.grid import Grid, aligned
from fieldscape.kernels.influence import influence
from fieldscape.kernels.lenses import LENS_NUMBERS, lens_table, pose_table
from fieldscape.types import Camera
from fieldscape.voxels.bricks import Bricks

AROUND = 16
"""Places that an object is looked at from, where the photos are not known."""

AROUND_PIXELS = 64
"""Width and height of the pictures from there, of a field of fifty thousand vertices; more of a larger one."""


def seen_by(bricks: Bricks, camera: Camera, background: Float32[np.ndarray, "3"]) -> Float32[np.ndarray, "x y z 2"]:
    """How much the vertices matter to the pictures of a batch of cameras.

    Channel 0: the squared derivative of pixels by the raw density, summed.  Channel 1: the squared weight of the vertex
    in pixels, summed. One thread, so that the sums are the same every time.
    """
    found = aligned(-(-len(bricks.grid.table) // 8))
    pixels = len(camera) * camera.height * camera.width
    lens, tables = LENS_NUMBERS[camera.lens], (lens_table(camera), pose_table(camera))
    size, samples = (camera.height, camera.width), bricks.workers.samples[0]
    influence(bricks.grid, bricks.place, lens, *tables, size, background, 0, pixels, samples, found)
    return _dense(found, bricks.grid)


def _dense(rows: np.ndarray, grid: Grid) -> Float32[np.ndarray, "x y z 2"]:
    """Two numbers a row of the table, as they lie in space."""
    x, y, z = grid.across
    bricks = rows.reshape(-1)[: 128 * x * y * z].reshape(x, y, z, 4, 4, 4, 2)
    whole = bricks.transpose(0, 3, 1, 4, 2, 5, 6).reshape(4 * x, 4 * y, 4 * z, 2)
    return np.ascontiguousarray(whole[: grid.size[0], : grid.size[1], : grid.size[2]])


def around(bricks: Bricks) -> Camera:
    """Cameras on a spiral from above to below the box of a field, which look at its middle and see all of it."""
    low, high = bricks.framing.low.double(), bricks.framing.high.double()
    share = 1 - (2 * torch.arange(AROUND, dtype=torch.float64) + 1) / AROUND
    turn = torch.acos(share) * math.sqrt(math.pi * AROUND)
    ring = (1 - share**2).sqrt()
    reach = 1.3 * float((high - low).norm())
    middle = (low + high) / 2
    eyes = middle + reach * torch.stack([ring * turn.cos(), ring * turn.sin(), share], -1)
    pose = look_at(eyes, middle, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)).float()
    x, y, z = bricks.shape
    pixels = round(AROUND_PIXELS * min(max((x * y * z / 50_000) ** (1 / 3), 0.5), 4))
    focal, center = torch.full((AROUND, 2), 1.1 * pixels), torch.full((AROUND, 2), pixels / 2)
    return Camera(pose, focal, center, pixels, pixels)
