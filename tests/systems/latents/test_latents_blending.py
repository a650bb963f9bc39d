"""Between two objects: a ball half way between two balls, colours carried along, hollow insides that stay inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldscape.framing import Framing
from fieldscape.kernels.grid import RAW, read_lanes, write_lanes
from fieldscape.systems.latents.voxel.blending import SOLID, blended
from fieldscape.systems.latents.voxel.coding import cells_of
from fieldscape.systems.latents.voxel.tables import EMPTY, FULL
from fieldscape.voxels.bricks import LEARNED, Bricks, Workers

SIDE = 33
LOW, HIGH = torch.full((3,), -1.0), torch.full((3,), 1.0)
ROOM = Framing(torch.zeros(3), LOW, HIGH, 0.0, 10.0, torch.tensor([0.0, 0.0, 1.0]), unbounded=False)


def radii() -> np.ndarray:
    """How far each vertex is from the middle, in voxels."""
    axis = np.arange(SIDE) - SIDE // 2
    return np.sqrt(sum(part.astype(float) ** 2 for part in np.meshgrid(axis, axis, axis, indexing="ij")))


def ball(radius: float, red: float, hollow: float = 0.0) -> Bricks:
    """A ball of ``radius`` voxels, of one colour, empty within ``hollow``."""
    lanes = np.zeros((SIDE, SIDE, SIDE, LEARNED), np.float32)
    lanes[..., 0] = red
    lanes[..., RAW] = np.where((radii() < radius) & (radii() >= hollow), FULL, EMPTY)
    bricks = Bricks(ROOM, (SIDE,) * 3, cells_of(lanes[..., RAW]), 1.0, Workers(1))
    write_lanes(bricks.grid, 0, lanes)
    return bricks


def raw(bricks: Bricks) -> np.ndarray:
    lanes = np.empty((SIDE, SIDE, SIDE, LEARNED), np.float32)
    read_lanes(bricks.grid, 0, lanes)
    return lanes


@pytest.mark.parametrize(("share", "radius"), [(0.25, 7.5), (0.5, 9.0), (0.75, 10.5)])
def test_a_ball_between_two_balls_has_a_radius_between_theirs(share: float, radius: float) -> None:
    solid = raw(blended(ball(6, 0), ball(12, 0), share))[..., RAW] > SOLID
    volume = 4 / 3 * np.pi * radius**3
    assert solid.sum() == pytest.approx(volume, rel=0.08)
    assert (radii()[solid] <= radius + 1).all()


def test_the_ends_are_the_objects() -> None:
    for share, radius in ((0.0, 6), (1.0, 12)):
        solid = raw(blended(ball(6, 0), ball(12, 0), share))[..., RAW] > SOLID
        assert np.array_equal(solid, radii() < radius)


def test_colours_are_carried_to_where_the_surface_goes() -> None:
    lanes = raw(blended(ball(6, 1.0), ball(12, 3.0), 0.5))
    near = (radii() > 8) & (radii() < 9)
    assert lanes[near][:, 0] == pytest.approx(2.0, abs=1e-5)


def test_what_is_hollow_stays_inside() -> None:
    solid = raw(blended(ball(10, 0, hollow=6), ball(10, 0), 0.5))[..., RAW] > SOLID
    assert solid[radii() < 9].all()


def test_objects_of_other_classes_are_refused() -> None:
    other = Bricks(ROOM, (9, 9, 9), np.zeros((8, 8, 8), bool), 1.0, Workers(1))
    with pytest.raises(ValueError, match="cannot be blended"):
        blended(ball(6, 0), other, 0.5)
