"""The voxel grid as the kernels see it: bricks of 4 x 4 x 4 vertices in one table, in memory only where touched.

A vertex is one cache line of 16 floats: four spherical-harmonic coefficients for each of red, green and blue (lanes 0
to 11), the raw density (12), and what the optimiser remembers: how far its memory may be trusted (13), and the mean
squared gradients of its density (14) and of its colour (15). So one line is read to see and to learn, and nothing else
is stored.

A brick is 64 vertices, 4 KiB: one page of memory. The table has a place for every brick, and the operating system
gives a page its memory when it is first written: an empty brick costs nothing, and no index stands between a position
and its row. Which cells to visit is one bit a cell, in words of 4 x 4 x 2 cells.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any, NamedTuple

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.vectors import LANES, least, load, splat, store, with_last_quad, woven

f32 = np.float32

RAW, TRUST, DENSITY_SQUARE, COLOR_SQUARE = 12, 13, 14, 15
"""Lanes of a vertex after those of its colour: the density, and the optimiser's memory."""

HUGE_PAGE = 2**21

DENSE_BYTES = 2**28
"""A table up to this size lies on huge pages. A larger one is sparse, and lies on small ones."""


class Grid(NamedTuple):
    """size: vertices an axis.  across: bricks an axis.  occupied: bits of cells."""

    table: np.ndarray  # float32 [64 bricks, 16]
    occupied: np.ndarray  # int32 [x y 2 z]
    size: tuple[int, int, int]
    across: tuple[int, int, int]


class Place(NamedTuple):
    """Where a grid lies in the world, and how rays are stepped through it. All float32 but ``unbounded``.

    Unbounded: the grid holds contracted space about (x, y, z), within ``reach`` of which nothing is bent. Bounded: the
    box from (x, y, z), with so many vertices a unit of length along each axis; ``reach`` is not used.
    """

    x: np.float32
    y: np.float32
    z: np.float32
    per_x: np.float32
    per_y: np.float32
    per_z: np.float32
    voxel: np.float32
    step: np.float32
    near: np.float32
    reach: np.float32
    unbounded: bool


def aligned(rows: int, kind: Any = np.float32) -> np.ndarray:
    """Zeros of shape [rows, 16] that begin on a page, and take memory only where they are written.

    With 4 KiB pages the processor spends much of its time looking up addresses, because every vertex is on another
    page; so where the system has pages of 2 MiB, tables of moderate size ask for those.
    """
    size = max(1, -(-rows * LANES * 4 // HUGE_PAGE)) * HUGE_PAGE
    if hasattr(mmap, "MAP_PRIVATE"):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        memory = mmap.mmap(-1, size + HUGE_PAGE, flags=flags)
    else:
        memory = mmap.mmap(-1, size + HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE") and size <= DENSE_BYTES:
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, kind)
    start = (-whole.ctypes.data % HUGE_PAGE) // 4
    return whole[start : start + rows * LANES].reshape(rows, LANES)


def packed(cells: np.ndarray, across: tuple[int, int, int]) -> np.ndarray:
    """Truth values [i, j, k] of cells as words: bit 8 (i % 4) + 2 (j % 4) + k % 2 of word [i / 4, j / 4, k / 2]."""
    x, y, z = across
    whole = np.zeros((4 * x, 4 * y, 4 * z), bool)
    whole[tuple(slice(n) for n in cells.shape)] = cells
    bits = whole.reshape(x, 4, y, 4, 2 * z, 2).transpose(0, 2, 4, 1, 3, 5).reshape(x, y, 2 * z, 32)
    return np.ascontiguousarray(np.packbits(bits, axis=-1, bitorder="little")).view(np.int32).reshape(-1)


def make_grid(size: tuple[int, int, int], cells: np.ndarray) -> Grid:
    """An empty grid of ``size`` vertices whose occupied cells are ``cells``."""
    across = (-(-size[0] // 4), -(-size[1] // 4), -(-size[2] // 4))
    return Grid(aligned(64 * across[0] * across[1] * across[2]), packed(cells, across), size, across)


@inlined
def vertex_row(grid, x, y, z):
    """The row of ``table`` that holds a vertex."""
    brick = ((x >> 2) * grid.across[1] + (y >> 2)) * grid.across[2] + (z >> 2)
    return (brick << 6) | ((x & 3) << 4) | ((y & 3) << 2) | (z & 3)


@compiled
def read_lanes(grid, first, out):
    """Lanes ``first``.. of all vertices into ``out`` [x, y, z, n]; 0 where no brick is kept."""
    for x in range(grid.size[0]):
        for y in range(grid.size[1]):
            for z in range(grid.size[2]):
                row = vertex_row(grid, x, y, z)
                for n in range(out.shape[3]):
                    out[x, y, z, n] = grid.table[row, first + n]


@compiled
def write_lanes(grid, first, values):
    """The reverse of ``read_lanes``, for the bricks that are kept."""
    for x in range(grid.size[0]):
        for y in range(grid.size[1]):
            for z in range(grid.size[2]):
                row = vertex_row(grid, x, y, z)
                for n in range(values.shape[3]):
                    grid.table[row, first + n] = values[x, y, z, n]


@compiled
def _above(grid, threshold, found, first, last):
    """Which vertices in the slabs ``first``..``last`` of bricks have a raw density above ``threshold``."""
    for bx in range(first, last):
        for by in range(grid.across[1]):
            for bz in range(grid.across[2]):
                if not _touched(grid, bx, by, bz):
                    continue
                rows = ((bx * grid.across[1] + by) * grid.across[2] + bz) << 6
                for local in range(64):
                    x, y, z = 4 * bx + (local >> 4), 4 * by + ((local >> 2) & 3), 4 * bz + (local & 3)
                    if x < grid.size[0] and y < grid.size[1] and z < grid.size[2]:
                        found[x, y, z] = grid.table[rows + local, RAW] > threshold


@compiled
def _spread(found, out, reach):
    """Along the last axis: cell k of ``out`` is whether any vertex k - reach .. k + 1 + reach was ``found``."""
    vertices = found.shape[2]
    for x in range(found.shape[0]):
        for y in range(found.shape[1]):
            for k in range(vertices - 1):
                out[x, y, k] = found[x, y, k] | found[x, y, k + 1]
            for k in range(reach, vertices - 1 if reach else 0):
                out[x, y, k] |= found[x, y, k - 1]
            for k in range(vertices - 2 if reach else 0):
                out[x, y, k] |= found[x, y, k + 2]


def dense_cells(grid: Grid, threshold: float, reach: int = 1) -> np.ndarray:
    """Cells with a vertex whose raw density is above ``threshold``, and neighbours up to ``reach`` (0 or 1) away.

    Only what is near occupied cells is looked at. Returns truth values [x - 1, y - 1, z - 1].
    """
    found = np.zeros(grid.size, bool)
    _above(grid, np.float32(threshold), found, 0, grid.across[0])
    for axis in (2, 1, 0):
        turned = np.ascontiguousarray(np.moveaxis(found, axis, 2))
        cells = np.empty((*turned.shape[:2], turned.shape[2] - 1), bool)
        _spread(turned, cells, reach)
        found = np.moveaxis(cells, 2, axis)
    return np.ascontiguousarray(found)


@compiled
def refine(old, new, first, last):
    """Fills the slabs ``first``..``last`` of bricks of ``new`` by trilinear reading of ``old``.

    Of what the vertices remember of their gradients only half is trusted: those were of coarser cells.
    """
    scale_x = f32(old.size[0] - 1) / f32(new.size[0] - 1)
    scale_y = f32(old.size[1] - 1) / f32(new.size[1] - 1)
    scale_z = f32(old.size[2] - 1) / f32(new.size[2] - 1)
    one = f32(1)
    for bx in range(first, last):
        for by in range(new.across[1]):
            for bz in range(new.across[2]):
                brick = (bx * new.across[1] + by) * new.across[2] + bz
                if not _touched(new, bx, by, bz):
                    continue
                for local in range(64):
                    px = f32(4 * bx + (local >> 4)) * scale_x
                    py = f32(4 * by + ((local >> 2) & 3)) * scale_y
                    pz = f32(4 * bz + (local & 3)) * scale_z
                    x, y, z = (
                        min(int(px), old.size[0] - 2),
                        min(int(py), old.size[1] - 2),
                        min(int(pz), old.size[2] - 2),
                    )
                    ux, uy, uz = min(px - f32(x), one), min(py - f32(y), one), min(pz - f32(z), one)
                    value = splat(f32(0))
                    for i in range(2):
                        for j in range(2):
                            for k in range(2):
                                share = (ux if i else one - ux) * (uy if j else one - uy) * (uz if k else one - uz)
                                row = vertex_row(old, x + i, y + j, z + k)
                                value = value + load(old.table, row) * f32(share)
                    young = woven(value, least(value, f32(0.5)), value)
                    store(new.table, (brick << 6) | local, with_last_quad(value, young, 3))


@inlined
def _touched(grid, x, y, z):
    """Whether any occupied cell has a vertex in a brick: one in the brick's own words, or in those just before it."""
    for i in range(max(x - 1, 0), x + 1):
        for j in range(max(y - 1, 0), y + 1):
            for k in range(max(z - 1, 0), z + 1):
                word = ((i * grid.across[1] + j) * grid.across[2] + k) * 2
                if grid.occupied[word] or grid.occupied[word + 1]:
                    return True
    return False


@compiled
def _kept(grid, found):
    """The numbers of the bricks that occupied cells touch, into ``found``. Returns how many there are."""
    count = 0
    for x in range(grid.across[0]):
        for y in range(grid.across[1]):
            for z in range(grid.across[2]):
                if _touched(grid, x, y, z):
                    found[count] = (x * grid.across[1] + y) * grid.across[2] + z
                    count += 1
    return count


def kept(grid: Grid) -> np.ndarray:
    """The numbers of the bricks that occupied cells touch: all that matters of the table. int32, increasing."""
    found = np.empty(grid.across[0] * grid.across[1] * grid.across[2], np.int32)
    return found[: _kept(grid, found)].copy()


def unpacked(words: np.ndarray, across: tuple[int, int, int], cells: tuple[int, int, int]) -> np.ndarray:
    """The reverse of ``packed``: truth values of ``cells`` = (i, j, k) cells."""
    x, y, z = across
    bits = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(x, y, 2 * z, 4, 4, 2)
    whole = bits.transpose(0, 3, 1, 4, 2, 5).reshape(4 * x, 4 * y, 4 * z)
    return whole[tuple(slice(n) for n in cells)].astype(bool)
