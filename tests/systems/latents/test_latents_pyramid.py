"""The pyramid: orthonormal for any weights and any set of vertices, and causal in what it tells of coefficients."""

import numpy as np
import pytest

from fieldscape.kernels.treecoding import LEVELS
from fieldscape.systems.latents.voxel.pyramid import backward, forward, pyramid, weighted

SHAPES = [(1, 1, 1), (2, 1, 3), (5, 9, 4), (8, 8, 8), (7, 16, 3)]


def vertices(shape, share, seed=0):
    used = np.random.default_rng(seed).random(shape) < share
    used[0, 0, 0] = True
    return used


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_there_and_back_and_the_weighted_squares_are_kept(shape, share) -> None:
    used, rng = vertices(shape, share), np.random.default_rng(1)
    count = int(used.sum())
    tree = weighted(pyramid(used), rng.random(count) + 1e-4)
    values = rng.normal(size=(count, 3))
    found = forward(tree, values)
    assert found.shape == values.shape
    assert np.allclose(backward(tree, found), values, atol=1e-9)
    assert np.isclose((found**2).sum(), (tree.roots**2 * values**2).sum())
    # An error of coefficients is the same weighted error of values.
    error = rng.normal(size=values.shape)
    moved = backward(tree, found + error) - values
    assert np.isclose((tree.roots**2 * moved**2).sum(), (error**2).sum())


def test_a_constant_has_one_number() -> None:
    used = vertices((6, 5, 7), 0.4)
    tree = weighted(pyramid(used), np.random.default_rng(2).random(int(used.sum())) + 0.1)
    found = forward(tree, np.full((int(used.sum()), 1), 3.0))
    assert np.isclose(found[0, 0], 3 * np.sqrt((tree.roots**2).sum()))
    assert np.abs(found[1:]).max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_all_that_is_told_of_a_coefficient_comes_before_it(shape) -> None:
    used = vertices(shape, 0.6)
    shaped = pyramid(used)
    count = int(used.sum())
    assert shaped.near.shape == (count, 4)
    assert shaped.above.shape == shaped.level.shape == (count,)
    own = np.arange(count)
    assert (shaped.near < own[:, None]).all()
    assert (shaped.above < own).all()
    assert shaped.above[0] == -1
    assert (shaped.above[1:] >= 0).all()
    assert shaped.near.min() >= -1
    assert 0 <= shaped.level.min() <= shaped.level.max() < LEVELS
    assert (np.diff(shaped.level) <= 0).all()


def test_what_lies_near_and_above_is_so_in_space() -> None:
    # In a full cube of 4 vertices a side the finest band holds the pairs along x of a lattice of 2 x 4 x 4, and the
    # band before it the pairs along y of the lattice of 2 x 2 x 4 of their averages.
    shaped = pyramid(np.ones((4, 4, 4), bool))
    finest = 32 + np.arange(32).reshape(2, 4, 4)
    coarser = 16 + np.arange(16).reshape(2, 2, 4)
    for x, y, z in np.ndindex(2, 4, 4):
        told = shaped.near[finest[x, y, z]]
        assert told[0] == (finest[x - 1, y, z] if x else -1)
        assert told[1] == (finest[x, y - 1, z] if y else -1)
        assert told[2] == (finest[x, y, z - 1] if z else -1)
        assert told[3] == (finest[x, y, z - 2] if z > 1 else -1)
        assert shaped.above[finest[x, y, z]] == coarser[x, y // 2, z]
