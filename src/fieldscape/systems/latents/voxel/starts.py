"""What a field starts as: an empty grid, or the visual hull in the colours that the photos show there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from fieldscape.kernels.grid import aligned
from fieldscape.kernels.lifting import gather, solve, write_density
from fieldscape.kernels.march import FIRST
from fieldscape.systems.latents.voxel.room import Room
from fieldscape.systems.latents.voxel.subject import Subject
from fieldscape.voxels.bricks import Bricks, Workers

SURFACE, SLOPE, LOWEST, HIGHEST = 1.5, 1.5, -1.0, 6.0
"""Raw density on the hull, how much more it is a voxel further in, and its bounds: a soft shell, dense within."""

TRUST = 0.3
"""Light of rays that must have ended at a vertex before their colour counts more than the object's mean colour."""

EVERY = 2
"""Of so many pixels one paints the hull: neighbours show much the same."""

STIFFNESS = 0.1
"""Pull of what changes with direction towards nothing, as a share of that light."""


def empty_start(room: Room, step: float, workers: Workers, halved: bool) -> Bricks:
    """A grid of the whole room in which nothing is known; ``halved``: of half the resolution."""
    shape = tuple((n + 1) // 2 if halved else n for n in room.shape)
    cells = np.ones([n - 1 for n in shape], bool)
    return Bricks(room.framing, (shape[0], shape[1], shape[2]), cells, step, workers)


def hull_start(room: Room, subject: Subject, step: float, workers: Workers) -> tuple[Bricks, Float[np.ndarray, "n"]]:
    """The hull: dense inside with a soft surface, its colours fitted to the photos by what each ray sees of it.

    Also returns how much light of rays ends at each of the subject's vertices.
    """
    bricks = Bricks(room.framing, room.shape, subject.cells, step, workers)
    bounds = [np.float32(number) for number in (SURFACE, SLOPE, LOWEST, HIGHEST)]
    write_density(bricks.grid, subject.places, subject.depths, bounds[0], bounds[1], bounds[2], bounds[3])
    sums = gathered(bricks, subject, EVERY)
    total = sums.reshape(-1, 32)[:, :16].sum(0, dtype=np.float64)
    usual = (total[[0, 4, 8]] / max(total[12], 1e-9)).astype(np.float32)
    solve(bricks.grid, subject.places, sums, usual, np.float32(TRUST / EVERY), np.float32(STIFFNESS))
    return bricks, light_of(sums) * EVERY


def gathered(bricks: Bricks, subject: Subject, every: int) -> np.ndarray:
    """The sums [2 n, 16] of ``kernels.lifting`` at the subject's vertices, over each ``every``-th pixel of its pool."""
    grid, count = bricks.grid, len(subject.places)
    numbers = np.full(len(grid.table), -1, np.int32)
    numbers[rows_of(grid.across, subject.places)] = np.arange(count, dtype=np.int32)
    sums, pool = aligned(2 * count), np.ascontiguousarray(subject.photos.pool[::every])
    photos = subject.photos._replace(pool=pool)
    gather(grid, bricks.place, photos, numbers, 0, len(pool), bricks.workers.samples[0], sums)
    return sums


def light_of(sums: np.ndarray) -> Float[np.ndarray, "n"]:
    """How much light of rays ends at each vertex: one for a ray that ends there alone."""
    return sums.reshape(-1, 32)[:, 12] / FIRST


def rows_of(across: tuple[int, int, int], places: np.ndarray) -> np.ndarray:
    """The rows of a grid's table that hold the vertices ``places`` [n, 3]: as ``kernels.grid.vertex_row``."""
    x, y, z = places.T.astype(np.int64)
    brick = ((x >> 2) * across[1] + (y >> 2)) * across[2] + (z >> 2)
    return (brick << 6) | ((x & 3) << 4) | ((y & 3) << 2) | (z & 3)
