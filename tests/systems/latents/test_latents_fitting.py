"""Fitting an object: the hull against closed forms, repetition bit for bit, and that rays make an object better."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape.cameras import look_at
from fieldscape.errors import BadInput
from fieldscape.metrics import psnr
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.fitting import Fitted, fit_object, rates_at
from fieldscape.systems.latents.voxel.room import Room, filled, room_around
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.systems.latents.voxel.subject import around, hull_box, pool_of, signed_distances, subject_of
from fieldscape.types import Camera, Views
from fieldscape.voxels.bricks import Workers

SIZE, RADIUS = 32, 0.3


def ball(count: int = 12, radius: float = RADIUS) -> Views:
    """A ball on white, red above and blue below, seen from all around; the last two views are held out."""
    turn = torch.arange(count, dtype=torch.float64) * 2.4
    height = torch.linspace(-0.9, 0.9, count, dtype=torch.float64)[torch.arange(count) * 5 % count]
    ring = (1 - height**2).sqrt()
    eyes = 1.3 * torch.stack([ring * turn.cos(), ring * turn.sin(), height], -1)
    zero, up = torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    poses = look_at(eyes, zero, up).float()
    half = torch.full((count, 2), SIZE / 2)
    camera = Camera(poses, torch.full((count, 2), 1.05 * SIZE), half, SIZE, SIZE)
    pixel = (torch.arange(SIZE) + 0.5 - SIZE / 2) / (1.05 * SIZE)
    y, x = torch.meshgrid(pixel, pixel, indexing="ij")
    directions = torch.stack([x, y, torch.ones_like(x)], -1)
    directions = (directions / directions.norm(dim=-1, keepdim=True)) @ poses[:, None, :3, :3].mT
    eye = poses[:, None, None, :3, 3]
    along = (directions * eye).sum(-1)
    inside = along**2 - (eye**2).sum(-1) + radius**2
    z = (eye + (-along - inside.clamp_min(0).sqrt())[..., None] * directions)[..., 2]
    red, blue = torch.tensor([0.9, 0.2, 0.2]), torch.tensor([0.2, 0.2, 0.8])
    color = torch.where((z > 0)[..., None], red, blue)
    images = torch.where((inside > 0)[..., None], color, torch.ones(3))
    names = tuple(str(i) for i in range(count))
    held_out = (count - 2, count - 1)
    return Views(camera, (images * 255).round().to(torch.uint8), names, held_out, "the last two", (1.0, 1.0, 1.0))


def room(resolution: int = 16) -> Room:
    return room_around(torch.full((1, 3), -RADIUS), torch.full((1, 3), RADIUS), resolution)


def score(fitted: Fitted, views: Views) -> float:
    pictures = [fitted.bricks.picture(views.camera[i], torch.ones(3)).color.clamp(0, 1) for i in views.held_out]
    return float(torch.stack([psnr(p, views.color(i)) for p, i in zip(pictures, views.held_out)]).mean())


@pytest.fixture(scope="module")
def workers() -> Workers:
    return Workers(1)


def test_a_balls_hull_is_as_deep_as_the_ball() -> None:
    subject = subject_of(ball(40), room(), 1)
    x, y, z = np.meshgrid(*room().axes, indexing="ij")
    truth = (RADIUS - np.sqrt(x**2 + y**2 + z**2)) / room().voxel
    near = np.abs(truth) < 2
    # The hull lies around the ball, by less than a pixel (which is about a cell and a quarter here).
    assert np.abs(subject.depths - truth)[near].max() < 1.5
    assert np.abs(subject.depths - truth)[near].mean() < 0.5
    assert not subject.sticks_out


@pytest.mark.parametrize("known", [0.5, 1.0])
def test_what_the_class_fills_changes_no_hull(known: float) -> None:
    """Neither of an object that lies within it, nor of one that reaches beyond."""
    views, whole = ball(), room()
    x, y, z = np.meshgrid(*whole.axes, indexing="ij")
    part = filled(whole, np.sqrt(x**2 + y**2 + z**2) < known * RADIUS)
    assert part.wanted.sum() < whole.wanted.sum()
    expected, got = subject_of(views, whole, 1), subject_of(views, part, 1)
    np.testing.assert_array_equal(got.places, expected.places)
    np.testing.assert_array_equal(got.depths[tuple(got.places.T)], expected.depths[tuple(expected.places.T)])


def test_an_object_larger_than_the_room_is_said_to_stick_out() -> None:
    assert subject_of(ball(radius=0.36), room(), 1).sticks_out


def test_the_hull_box_is_the_balls() -> None:
    low, high = hull_box(ball(40))
    torch.testing.assert_close(low, torch.full((3,), -RADIUS), atol=0.04, rtol=0)
    torch.testing.assert_close(high, torch.full((3,), RADIUS), atol=0.04, rtol=0)


def test_signed_distances_are_those_of_brute_force() -> None:
    shape = np.zeros((1, 9, 9), np.uint8)
    shape[0, 3:6, 2:7] = 1
    truth = np.empty((9, 9))
    for i in range(9):
        for j in range(9):
            other = np.argwhere(shape[0] != shape[0, i, j])
            distance = np.sqrt(((other - (i, j)) ** 2).sum(1)).min() - 0.5
            truth[i, j] = distance if shape[0, i, j] else -distance
    np.testing.assert_allclose(signed_distances(shape)[0], truth, atol=1e-4)


def test_the_pool_is_the_silhouette_and_its_rim() -> None:
    shape = np.zeros((2, 5, 5), np.uint8)
    shape[1, 2, 2] = 1
    assert pool_of(shape, 0).tolist() == [37]
    assert pool_of(shape, 1).tolist() == [25 + 5 * i + j for i in (1, 2, 3) for j in (1, 2, 3)]
    with pytest.raises(BadInput, match="anything but background"):
        pool_of(np.zeros((1, 4, 4), np.uint8), 1)


def test_cells_around_a_vertex_are_its_eight() -> None:
    vertices = np.zeros((4, 4, 4), bool)
    vertices[1, 2, 2] = True
    cells = around(vertices)
    assert cells.shape == (3, 3, 3)
    assert cells.sum() == 8
    assert cells[:2, 1:, 1:].all()


def test_the_hull_alone_shows_the_ball_and_rays_make_it_better(workers: Workers) -> None:
    views, shared = ball(24), VoxelShared(room())
    settings = VoxelSettings(start="hull", rays=0)
    first = score(fit_object(shared, views, settings, 0, workers), views)
    later = fit_object(shared, views, replace(settings, rays=40_000), 0, workers)
    assert first > 17
    assert score(later, views) > max(24, first + 3)
    assert later.rays == 40_000
    assert later.seconds > 0
    assert later.error < 0.01


def test_nothing_to_start_from_is_slower_but_arrives(workers: Workers) -> None:
    views, shared = ball(24), VoxelShared(room())
    settings = VoxelSettings(start="none", rays=60_000, rim=8)
    fitted = fit_object(shared, views, settings, 0, workers)
    assert fitted.bricks.shape == room().shape
    assert score(fitted, views) > 21


def test_with_one_thread_a_fit_repeats_bit_for_bit(workers: Workers) -> None:
    views, shared = ball(), VoxelShared(room())
    settings = VoxelSettings(start="hull", rays=12_000)
    one, two, other = (fit_object(shared, views, settings, seed, workers).bricks.tensors() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert one["lines"].shape != other["lines"].shape or not torch.equal(one["lines"], other["lines"])


def test_held_out_views_teach_nothing(workers: Workers) -> None:
    views, shared = ball(), VoxelShared(room())
    painted = views.images.clone()
    painted[list(views.held_out)] = 0
    settings = VoxelSettings(start="hull", rays=12_000)
    one = fit_object(shared, views, settings, 0, workers).bricks.tensors()
    two = fit_object(shared, replace(views, images=painted), settings, 0, workers).bricks.tensors()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_rates_fall_to_their_share() -> None:
    settings = VoxelSettings(lr_decay=0.1)
    assert rates_at(0.0, settings).density == np.float32(settings.lr_density)
    np.testing.assert_allclose(rates_at(1.0, settings).color, 0.1 * settings.lr_color, rtol=1e-6)


def test_what_cannot_be_fitted_is_refused(workers: Workers) -> None:
    views, shared = ball(), VoxelShared(room())
    with pytest.raises(BadInput, match="no learned lift"):
        fit_object(shared, views, VoxelSettings(start="lift"), 0, workers)
    with pytest.raises(BadInput, match="background"):
        fit_object(shared, replace(views, background=None), VoxelSettings(start="hull"), 0, workers)
    held = replace(views, held_out=tuple(range(1, len(views))))
    white = replace(views, images=torch.full_like(views.images, 255))
    with pytest.raises(BadInput, match="at least two"):
        fit_object(shared, held, VoxelSettings(start="hull"), 0, workers)
    with pytest.raises(BadInput, match="background"):
        fit_object(shared, white, VoxelSettings(start="hull"), 0, workers)
    with pytest.raises(BadInput, match="rays"):
        VoxelSettings(rays=-1)
    with pytest.raises(BadInput, match="lr_decay"):
        VoxelSettings(lr_decay=0.0)


def test_a_room_holds_all_boxes_and_keeps_the_median_ones_cells() -> None:
    low = torch.tensor([[-0.4, -0.2, -0.1], [-0.2, -0.4, -0.1], [-0.4, -0.2, -0.1]])
    lying = room_around(low, -low, 20)
    alone = room_around(low[:1], -low[:1], 20)
    assert (low.amin(0), -low.amin(0)) in lying
    assert lying.voxel == alone.voxel
    assert lying.shape[1] > alone.shape[1]
    with pytest.raises(BadInput, match="no volume"):
        room_around(low, low, 20)
