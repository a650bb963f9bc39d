"""The grid of bricks: where a vertex lies, which cells are said to be dense, refinement, and what memory it takes."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.grid import (
    DENSE_BYTES,
    HUGE_PAGE,
    RAW,
    TRUST,
    Grid,
    aligned,
    dense_cells,
    kept,
    make_grid,
    packed,
    read_lanes,
    refine,
    unpacked,
    vertex_row,
    write_lanes,
)

SHAPES = [(9, 5, 13), (8, 12, 4), (10, 7, 6), (17, 4, 9)]
"""Vertices an axis: some just fill their bricks, some begin one with their last vertex alone."""


def random_cells(shape: tuple[int, int, int], share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(tuple(n - 1 for n in shape)) < share


def some_grid(shape: tuple[int, int, int], share: float = 0.3, seed: int = 0) -> Grid:
    """A grid with ``share`` of its cells occupied, and all of its vertices random."""
    grid = make_grid(shape, random_cells(shape, share, seed))
    values = np.random.default_rng(seed + 1).normal(0, 3, (*shape, 16)).astype(np.float32)
    write_lanes(grid, 0, values)
    return grid


def lanes(grid: Grid, first: int = 0, count: int = 16) -> np.ndarray:
    out = np.empty((*grid.size, count), np.float32)
    read_lanes(grid, first, out)
    return out


@compiled
def rows_of(grid, out):
    for x in range(grid.size[0]):
        for y in range(grid.size[1]):
            for z in range(grid.size[2]):
                out[x, y, z] = vertex_row(grid, x, y, z)


def in_kept_bricks(grid: Grid) -> np.ndarray:
    """Which vertices lie in a brick that is kept."""
    rows = np.empty(grid.size, np.int64)
    rows_of(grid, rows)
    return np.isin(rows >> 6, kept(grid))


# --- Where things lie ---


@pytest.mark.parametrize("shape", SHAPES)
def test_packing_cells_can_be_undone(shape) -> None:
    grid, cells = make_grid(shape, random_cells(shape, 0.4)), random_cells(shape, 0.4)
    assert grid.occupied.dtype == np.int32
    assert len(grid.occupied) == 2 * np.prod(grid.across)
    assert np.array_equal(unpacked(grid.occupied, grid.across, cells.shape), cells)


def test_a_cell_is_the_bit_that_is_told() -> None:
    cells = np.zeros((8, 8, 8), bool)
    cells[5, 2, 7] = True
    words = packed(cells, (3, 3, 3))
    (word,) = np.flatnonzero(words)
    assert word == ((5 // 4) * 3 + 2 // 4) * 6 + 7 // 2
    assert words[word] == 1 << (8 * (5 % 4) + 2 * (2 % 4) + 7 % 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_vertex_has_a_row_of_its_own_in_the_table(shape) -> None:
    grid = make_grid(shape, random_cells(shape, 0.4))
    rows = np.empty(shape, np.int64)
    rows_of(grid, rows)
    assert len(np.unique(rows)) == np.prod(shape)
    assert rows.min() == 0
    assert rows.max() < len(grid.table)
    # The 64 vertices of one brick follow one another: they share a page.
    x, y, z = np.indices(shape)
    brick = ((x // 4) * grid.across[1] + y // 4) * grid.across[2] + z // 4
    assert np.array_equal(rows // 64, brick)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_lanes_are_read_as_they_were_written(shape) -> None:
    grid = make_grid(shape, random_cells(shape, 1.0))
    all_lanes = np.random.default_rng(0).normal(size=(*shape, 16)).astype(np.float32)
    write_lanes(grid, 0, all_lanes)
    assert np.array_equal(lanes(grid), all_lanes)
    assert np.array_equal(lanes(grid, 5, 3), all_lanes[..., 5:8])
    others = np.ones((*shape, 2), np.float32)
    write_lanes(grid, RAW, others)
    all_lanes[..., RAW : RAW + 2] = 1
    assert np.array_equal(lanes(grid), all_lanes)


# --- Which bricks matter ---


@pytest.mark.parametrize("shape", SHAPES)
def test_all_that_occupied_cells_touch_is_kept_and_nothing_far_from_them(shape) -> None:
    cells = random_cells(shape, 0.01, 3)
    cells[-1, -1, -1] = True
    grid = make_grid(shape, cells)
    numbers = kept(grid)
    assert numbers.dtype == np.int32
    assert bool((np.diff(numbers) > 0).all())
    corners = np.zeros(shape, bool)
    near = np.zeros(grid.across, bool)
    for i, j, k in np.argwhere(cells):
        corners[i : i + 2, j : j + 2, k : k + 2] = True
        x, y, z = i // 4, j // 4, k // 4
        near[x : x + 2, y : y + 2, z : z + 2] = True
    assert bool(in_kept_bricks(grid)[corners].all())
    assert bool(near.reshape(-1)[numbers].all())


def test_nothing_is_kept_of_an_empty_grid() -> None:
    assert len(kept(make_grid((9, 9, 9), np.zeros((8, 8, 8), bool)))) == 0


def dense_twin(raw: np.ndarray, threshold: float, reach: int) -> np.ndarray:
    """Cell by cell: whether a vertex of it, or of a neighbour up to ``reach`` away, is dense."""
    out = np.zeros(tuple(n - 1 for n in raw.shape), bool)
    for i, j, k in np.ndindex(*out.shape):
        around = [slice(max(n - reach, 0), n + 2 + reach) for n in (i, j, k)]
        out[i, j, k] = bool((raw[tuple(around)] > threshold).any())
    return out


@pytest.mark.parametrize("reach", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_dense_cells_are_those_with_a_dense_vertex_near(shape, reach) -> None:
    grid = some_grid(shape, 1.0)
    dense = dense_cells(grid, 6.0, reach)
    assert 0.02 < dense.mean() < 0.98
    assert np.array_equal(dense, dense_twin(lanes(grid)[..., RAW], 6.0, reach))


@pytest.mark.parametrize("reach", [0, 1])
def test_only_bricks_that_occupied_cells_touch_are_looked_at(reach) -> None:
    shape = (29, 21, 25)
    cells = np.zeros((28, 20, 24), bool)
    cells[9, 8:12, 13] = cells[27, 0, 23] = True
    grid = make_grid(shape, cells)
    write_lanes(grid, 0, np.full((*shape, 16), 5, np.float32))
    seen = np.where(in_kept_bricks(grid), 5.0, -5.0)
    assert 0 < (seen > 0).mean() < 0.2
    assert np.array_equal(dense_cells(grid, 1.0, reach), dense_twin(seen, 1.0, reach))


# --- Refinement ---


@pytest.mark.parametrize(("coarse", "fine"), [((9, 5, 13), (17, 9, 20)), ((8, 12, 6), (13, 23, 9)), ((5, 6, 7),) * 2])
def test_refining_is_trilinear_interpolation(coarse, fine) -> None:
    old = some_grid(coarse)
    new = make_grid(fine, random_cells(fine, 0.01, 5))
    # In two parts, as two threads would.
    refine(old, new, 0, 1)
    refine(old, new, 1, new.across[0])
    table = torch.from_numpy(lanes(old)).permute(3, 0, 1, 2)[None]
    expected = torch.nn.functional.interpolate(table, fine, mode="trilinear", align_corners=True)[0]
    expected = expected.permute(1, 2, 3, 0).numpy().copy()
    expected[..., TRUST] = np.minimum(expected[..., TRUST], 0.5)
    touched = in_kept_bricks(new)
    assert touched.any()
    found = lanes(new)
    assert np.abs(found - expected)[touched].max() < 2e-5
    # What no occupied cell touches stays untouched, and takes no memory.
    assert not found[~touched].any()


def test_half_of_the_trust_is_lost_by_refining() -> None:
    shape = (9, 9, 9)
    old = make_grid(shape, np.ones((8, 8, 8), bool))
    values = np.full((*shape, 16), 0.9, np.float32)
    values[:4, ..., TRUST] = 0.25
    write_lanes(old, 0, values)
    new = make_grid(shape, np.ones((8, 8, 8), bool))
    refine(old, new, 0, new.across[0])
    found = lanes(new)
    assert np.allclose(found[:4, ..., TRUST], 0.25)
    assert np.allclose(found[4:, ..., TRUST], 0.5)
    assert np.allclose(np.delete(found, TRUST, axis=-1), 0.9)


# --- Memory ---


@pytest.mark.parametrize(("rows", "kind"), [(1, np.float32), (100, np.int32), (HUGE_PAGE // 64 + 1, np.float32)])
def test_aligned_memory_is_zero_and_begins_on_a_page(rows, kind) -> None:
    array = aligned(rows, kind)
    assert array.shape == (rows, 16)
    assert array.dtype == kind
    assert array.ctypes.data % HUGE_PAGE == 0
    assert array.flags.c_contiguous
    assert not array.any()
    array[:] = 1
    assert bool((array == 1).all())


def resident() -> int:
    """Bytes of memory that this process holds now."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("this system does not say how much memory a process holds")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_table_takes_memory_only_where_it_is_written() -> None:
    before = resident()
    table = aligned(2**31 // 64)
    assert table.nbytes == 2**31 > DENSE_BYTES
    table[:: len(table) // 16] = 1
    assert resident() - before < 2**24
    assert float(table[:: len(table) // 16].sum()) == 16 * 16
    table[: 2**25 // 64] = 1
    assert resident() - before > 2**24  # this test can fail
