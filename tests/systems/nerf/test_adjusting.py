"""Poses and exposures that learn: what a pull does, what stays put, and what a checkpoint brings back."""

import numpy as np
import pytest
import torch

from fieldscape import rotations
from fieldscape.framing import Framing
from fieldscape.kernels.learn import CAMERA_NUMBERS, Photos
from fieldscape.kernels.lenses import lens_table, pose_table
from fieldscape.systems.nerf.adjusting import GAIN_RATE, Adjustment
from fieldscape.systems.nerf.config import VoxelConfig
from fieldscape.types import Camera, Views

COUNT = 5

RADIUS = 4.0

BOTH = VoxelConfig(refine_poses=True, exposure=True, lr_pose=1e-3)


def scene(config: VoxelConfig = BOTH) -> tuple[Adjustment, Photos, Camera]:
    g = torch.Generator().manual_seed(0)
    pose = torch.eye(4).repeat(COUNT, 1, 1)
    pose[:, :3, :3] = rotations.from_vector(torch.randn(COUNT, 3, generator=g))
    pose[:, :3, 3] = torch.randn(COUNT, 3, generator=g)
    camera = Camera(pose, torch.full((COUNT, 2), 10.0), torch.full((COUNT, 2), 4.0), 8, 8)
    views = Views(camera, torch.zeros(COUNT, 8, 8, 3), tuple("abcde"), (), "none")
    low = torch.full((3,), -RADIUS)
    framing = Framing(torch.zeros(3), low, -low, 0.1, 100.0, torch.tensor([0.0, 0.0, 1.0]), True)
    adjustment = Adjustment(views, framing, config)
    pixels, nothing = np.zeros((COUNT, 8, 8, 3), np.uint8), np.zeros((0, 0, 0), np.uint8)
    pool = np.arange(COUNT * 64, dtype=np.uint32)
    photos = Photos(pixels, nothing, pool, pose_table(camera), lens_table(camera), adjustment.gains, 0)
    return adjustment, photos, camera


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(COUNT, CAMERA_NUMBERS)).astype(np.float32)


def moved(adjustment: Adjustment, photos: Photos, pulls: list[np.ndarray], scale: float = 1.0) -> None:
    for pull in pulls:
        adjustment.pulls[0][:] = pull
        adjustment.move(photos, scale)


def test_nothing_is_corrected_before_anything_pulls() -> None:
    adjustment, photos, camera = scene()
    assert adjustment.active
    assert torch.allclose(adjustment.corrected().float(), camera.pose)
    before = photos.poses.copy()
    adjustment.apply(photos)
    assert np.allclose(photos.poses, before, atol=1e-6)
    assert np.array_equal(photos.gains, np.ones((COUNT, 4)))
    moved(adjustment, photos, [np.zeros((COUNT, CAMERA_NUMBERS))])
    assert not adjustment.values.any()


def test_photos_count_as_much_as_their_weights_say() -> None:
    _, photos, camera = scene()
    weights = torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0])
    views = Views(camera, torch.zeros(COUNT, 8, 8, 3), tuple("abcde"), (), "none", weights=weights)
    low = torch.full((3,), -RADIUS)
    framing = Framing(torch.zeros(3), low, -low, 0.1, 100.0, torch.tensor([0.0, 0.0, 1.0]), True)
    adjustment = Adjustment(views, framing, BOTH)
    photos = photos._replace(gains=adjustment.gains)
    moved(adjustment, photos, [noise()])
    adjustment.apply(photos)
    assert adjustment.gains[:, 3].tolist() == weights.tolist()


def test_what_the_kernels_read_is_what_is_corrected() -> None:
    adjustment, photos, _ = scene()
    moved(adjustment, photos, [noise(i) for i in range(5)])
    assert np.abs(adjustment.values).min() > 0
    poses = adjustment.corrected()
    assert poses.dtype == torch.float64
    assert np.allclose(photos.poses.reshape(COUNT, 3, 4), poses[:, :3].numpy(), atol=1e-6)
    assert np.allclose(photos.gains[:, :3], np.exp(adjustment.values[:, 6:]))
    assert np.array_equal(photos.gains[:, 3], np.ones(COUNT))
    turn = poses[:, :3, :3]
    assert torch.allclose(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand_as(turn), atol=1e-6)


def test_a_turn_is_about_the_camera_in_the_axes_of_the_world() -> None:
    adjustment, _, camera = scene()
    angle = 0.02
    adjustment.values[2, 2] = angle
    adjustment.values[3, 3:6] = [0.1, 0.2, -0.3]
    poses = adjustment.corrected().float()
    about_z = torch.eye(3)
    about_z[:2, :2] = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert torch.allclose(poses[2, :3, :3], about_z @ camera.pose[2, :3, :3], atol=1e-6)
    assert torch.equal(poses[2, :3, 3], camera.pose[2, :3, 3])
    assert torch.allclose(poses[3, :3, :3], camera.pose[3, :3, :3], atol=1e-6)
    assert torch.allclose(poses[3, :3, 3], camera.pose[3, :3, 3] + torch.tensor([0.1, 0.2, -0.3]))
    assert torch.allclose(poses[[0, 1, 4]], camera.pose[[0, 1, 4]], atol=1e-6)


def test_each_number_moves_against_its_pull_at_its_own_rate() -> None:
    """Two photos pulled in opposite directions: what they have in common, nothing, is taken out."""
    adjustment, photos, _ = scene()
    pull = np.zeros((COUNT, CAMERA_NUMBERS), np.float32)
    pull[1], pull[4] = 0.3, -0.3
    adjustment.pulls[0][:] = pull
    adjustment.move(photos, 0.5)
    # The first step of Adam is the whole rate.
    rates = 0.5 * np.array([1e-3] * 3 + [1e-3 * RADIUS] * 3 + [GAIN_RATE] * 3)
    assert np.allclose(adjustment.values[1], -rates, rtol=1e-6)
    assert np.allclose(adjustment.values[4], rates, rtol=1e-6)
    assert not adjustment.values[[0, 2, 3]].any()
    assert not any(pulls.any() for pulls in adjustment.pulls)


def test_pulls_of_all_threads_count() -> None:
    torch.set_num_threads(2)
    try:
        (one, photos, _), (two, others, _) = scene(), scene()
    finally:
        torch.set_num_threads(1)
    assert len(one.pulls) == 2
    whole = noise()
    one.pulls[1][:] = whole
    two.pulls[0][:], two.pulls[1][:] = 0.25 * whole, 0.75 * whole
    one.move(photos, 1.0)
    two.move(others, 1.0)
    assert one.values.any()
    assert np.allclose(one.values, two.values, rtol=1e-5)


def test_photos_do_not_drift_together() -> None:
    adjustment, photos, _ = scene()
    moved(adjustment, photos, [np.abs(noise(i)) + 5 * noise(0) for i in range(20)])
    assert np.abs(adjustment.values).max() > 1e-3
    assert np.allclose(adjustment.values.mean(0), 0, atol=1e-12)
    # Photos that are not pulled at are left where they are.
    part = noise(30)
    part[:2] = 0
    before = adjustment.values.copy()
    moved(adjustment, photos, [part])
    assert np.array_equal(adjustment.values[:2], before[:2])
    assert (adjustment.values[2:] != before[2:]).all()


def test_photos_can_be_moved_by_themselves() -> None:
    """As held-out ones are, once the others are done: what they have in common is theirs."""
    adjustment, photos, _ = scene()
    pull = np.zeros((COUNT, CAMERA_NUMBERS), np.float32)
    pull[2] = 1
    adjustment.pulls[0][:] = pull
    adjustment.move(photos, 1.0, centered=False)
    assert (adjustment.values[2] < 0).all()
    adjustment.pulls[0][:] = pull
    adjustment.move(photos, 1.0)
    assert np.allclose(adjustment.values[2], 0, atol=1e-12)


def test_a_shaken_photo_finds_back() -> None:
    """Pulled at by the slope of its squared distance from a truth, as the photos do, each comes near its own."""
    adjustment, photos, _ = scene()
    truth = 0.02 * noise(3)
    truth -= truth.mean(0)
    for step in range(600):
        adjustment.pulls[0][:] = adjustment.values - truth
        adjustment.move(photos, 0.1 ** (step / 600))
    off = np.linalg.norm(adjustment.values - truth) / np.linalg.norm(truth)
    assert off < 0.05


@pytest.mark.parametrize(("poses", "exposure"), [(True, False), (False, True)])
def test_only_what_was_asked_for_moves(poses, exposure) -> None:
    adjustment, photos, camera = scene(VoxelConfig(refine_poses=poses, exposure=exposure))
    assert adjustment.active
    moved(adjustment, photos, [noise(i) for i in range(3)])
    assert bool(adjustment.values[:, :6].any()) == poses
    assert bool(adjustment.values[:, 6:].any()) == exposure
    assert torch.allclose(adjustment.corrected().float(), camera.pose, atol=1e-6) != poses


def test_nothing_is_learned_of_cameras_unless_it_is_asked_for() -> None:
    adjustment, _, _ = scene(VoxelConfig())
    assert not adjustment.active
    assert all(pulls.size == 0 for pulls in adjustment.pulls)


def test_a_restored_adjustment_goes_on_alike() -> None:
    one, photos, _ = scene()
    moved(one, photos, [noise(i) for i in range(4)])
    kept = one.tensors()
    other, others, _ = scene()
    other.restore(kept, others)
    assert np.array_equal(others.poses, photos.poses)
    assert np.array_equal(others.gains, photos.gains)
    for adjustment, held in ((one, photos), (other, others)):
        moved(adjustment, held, [noise(9)])
    assert np.array_equal(one.values, other.values)
    assert np.array_equal(one.age, other.age)
    assert np.array_equal(others.poses, photos.poses)
    # What was kept is of the moment it was kept.
    assert not np.array_equal(kept["adjustment.values"].numpy(), one.values)
