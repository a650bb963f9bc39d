"""The learned lift: it learns what more rays would do, is kept bit for bit, and going on equals not having stopped."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fieldscape.cameras import image_rays, look_at
from fieldscape.errors import BadInput
from fieldscape.kernels.lifting import FEATURES
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.fitting import fit_object
from fieldscape.systems.latents.voxel.learning import OWN, Learner, LearningSettings, amiss, learn_shared
from fieldscape.systems.latents.voxel.lift import Lift, features_of, seen_places
from fieldscape.systems.latents.voxel.room import room_around
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.systems.latents.voxel.starts import hull_start
from fieldscape.systems.latents.voxel.subject import subject_of
from fieldscape.types import Camera, Views
from fieldscape.voxels.bricks import LEARNED, Workers

SIZE = 24
SETTINGS = VoxelSettings(resolution=10, rays=4000, warm=2000)
LEARNING = LearningSettings(target_rays=6000, rows=300, width=8, steps=40, batch=128, at_once=20)


def ball(number: int) -> Views:
    """A ball of one colour on white; its size and colour are those of its number."""
    turn, height = torch.arange(10) * 2.4, torch.linspace(-0.8, 0.8, 10)[torch.arange(10) * 3 % 10]
    ring = (1 - height**2).sqrt()
    eyes = 1.3 * torch.stack([ring * turn.cos(), ring * turn.sin(), height], -1)
    poses = look_at(eyes, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(poses, torch.full((10, 2), 1.05 * SIZE), torch.full((10, 2), SIZE / 2), SIZE, SIZE)
    images = torch.full((10, SIZE, SIZE, 3), 255, dtype=torch.uint8)
    for i in range(10):
        rays = image_rays(camera[i])
        along = -(rays.origins * rays.directions).sum(-1)
        near = (rays.at(along[..., None])[..., 0, :]).norm(dim=-1) < 0.25 + 0.02 * number
        images[i, near] = torch.tensor([200 - 40 * number, 40, 60 + 30 * number], dtype=torch.uint8)
    return Views(camera, images, tuple(map(str, range(10))), (8, 9), "the last two", (1.0, 1.0, 1.0))


def learner(workers: Workers, seed: int = 0) -> Learner:
    return Learner(ball, 3, SETTINGS, LEARNING, seed, workers)


@pytest.fixture(scope="module")
def workers() -> Workers:
    return Workers(1)


@pytest.fixture(scope="module")
def shared(workers: Workers) -> VoxelShared:
    found = learn_shared(learner(workers), lambda _: False)
    assert found is not None
    return found


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_an_untrained_lift_moves_nothing() -> None:
    lift = Lift(16, torch.Generator().manual_seed(0))
    moves = lift(torch.randn(5, FEATURES, generator=torch.Generator().manual_seed(1)))
    assert moves.shape == (5, LEARNED)
    assert not moves.any()


def test_features_begin_with_the_neighbours_as_the_field_has_them(workers: Workers) -> None:
    room = room_around(torch.full((1, 3), -0.3), torch.full((1, 3), 0.3), 10)
    subject = subject_of(ball(1), room, 1)
    bricks, light = hull_start(room, subject, 1.0, workers)
    bricks.grid.table[:, 13] = 1
    places, lines = seen_places(bricks, subject, light)
    prior = np.random.default_rng(0).random((*room.shape, 2), np.float32)
    got = features_of(bricks, subject, places, prior).numpy()
    field = bricks.dense()
    density = field.density.detach().numpy().reshape(room.shape)
    color = field.color.detach().numpy().reshape(*room.shape, LEARNED - 1)
    padded = np.pad(density, 1, mode="edge")
    for n in range(0, len(places), 37):
        x, y, z = places[n]
        around = padded[x : x + 3, y : y + 3, z : z + 3].reshape(27)
        np.testing.assert_allclose(got[n, 0:108:4], 0.25 * around, rtol=1e-5)
        np.testing.assert_allclose(got[n, 4 * OWN + 1 : 4 * OWN + 4], 0.15 * color[x, y, z, [0, 4, 8]], rtol=1e-5)
        np.testing.assert_allclose(got[n, -2:], prior[x, y, z])
        np.testing.assert_allclose(got[n, -7], 2 * x / (room.shape[0] - 1) - 1, atol=1e-5)
    np.testing.assert_allclose(lines[:, 12], density[tuple(places.T)])


def test_a_right_guess_is_not_amiss_and_a_wrong_one_is() -> None:
    chance = torch.Generator().manual_seed(0)
    features, moves = torch.randn(9, FEATURES, generator=chance), torch.randn(9, LEARNED, generator=chance)
    assert amiss(moves, moves, features, torch.ones(9, 2)) == 0
    assert amiss(moves + 1, moves, features, torch.ones(9, 2)) > 1
    assert amiss(moves + 1, moves, features, torch.zeros(9, 2)) == 0


def test_training_makes_the_lift_better_than_no_move(workers: Workers) -> None:
    one = Learner(ball, 2, SETTINGS, replace(LEARNING, steps=400, width=16), 0, workers)
    while one.done < one.total:
        one.step()
        if one.trained == LEARNING.at_once:
            features, moves, weights = one.table["features"], one.table["moves"], one.table["weights"]
    with torch.no_grad():
        still = amiss(torch.zeros_like(moves), moves, features, weights)
        assert amiss(one.network(features), moves, features, weights) < 0.8 * still


def test_what_is_shared_is_read_as_it_was_written(shared: VoxelShared, workers: Workers) -> None:
    again = VoxelShared.of(shared.tensors(), shared.details())
    settings = replace(SETTINGS, start="lift")
    one, two = (fit_object(s, ball(4), settings, 0, workers).bricks.tensors() for s in (shared, again))
    assert same(one, two)
    bare = VoxelShared.of(VoxelShared(shared.room).tensors(), VoxelShared(shared.room).details())
    assert bare.lift is None
    assert bare.room.shape == shared.room.shape


def test_the_lift_is_used(shared: VoxelShared, workers: Workers) -> None:
    settings = replace(SETTINGS, start="lift")
    assert shared.lift is not None
    one = fit_object(shared, ball(4), settings, 0, workers).bricks.tensors()
    unlearned = replace(shared, lift=Lift(8, torch.Generator().manual_seed(0)))
    assert not same(one, fit_object(unlearned, ball(4), settings, 0, workers).bricks.tensors())


@pytest.mark.parametrize("stop", [2, 4, 7])
def test_going_on_equals_not_having_stopped(stop: int, shared: VoxelShared, workers: Workers) -> None:
    first = learner(workers)
    for _ in range(stop):
        first.step()
    tensors = {name: tensor.clone() for name, tensor in first.tensors().items()}
    second = learner(workers, seed=0)
    second.restore(tensors, first.state())
    found = learn_shared(second, lambda _: False)
    assert found is not None
    assert same(found.tensors(), shared.tensors())


def test_a_pause_is_kept(workers: Workers) -> None:
    one = learner(workers)
    assert learn_shared(one, lambda l: l.done == 2) is None
    assert one.done == 2


def test_what_does_not_belong_together_is_refused(shared: VoxelShared, workers: Workers) -> None:
    tensors, details = shared.tensors(), shared.details()
    for name in ("low", "wanted", "prior", "lift.layers.0.weight"):
        with pytest.raises(BadInput):
            VoxelShared.of({key: value for key, value in tensors.items() if key != name}, details)
    for change in ({"shape": [2, 2, 2]}, {"shape": [10**6] * 3}, {"voxel": -1.0}, {"width": 10**9}, {"width": "a"}):
        with pytest.raises(BadInput):
            VoxelShared.of(tensors, details | change)
    few = Learner(ball, 2, SETTINGS, LEARNING, 0, workers)
    with pytest.raises(BadInput, match="3 objects"):
        few.restore(learner(workers).tensors(), learner(workers).state())
    with pytest.raises(BadInput, match="no objects"):
        Learner(ball, 0, SETTINGS, LEARNING, 0, workers)
