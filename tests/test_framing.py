"""Framing: boxes from silhouettes, distances from cameras, and refusals."""

import dataclasses

import pytest
import torch

from fieldscape import cameras, framing
from fieldscape.errors import BadInput
from fieldscape.framing import carve, frame, silhouettes
from fieldscape.types import Camera, Views


def views_of_a_box(half=(0.4, 0.6, 0.3), n: int = 24, size: int = 64) -> Views:
    """Silhouettes of a box around (0.1, 0, 0): the projections of its points, splatted."""
    axes = [torch.linspace(-h, h, 40) for h in half]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) + torch.tensor([0.1, 0.0, 0.0])
    angle, height = torch.arange(n) * 2.4, torch.linspace(-0.8, 0.8, n)
    eye = 4 * torch.stack([angle.cos() * (1 - height**2).sqrt(), angle.sin() * (1 - height**2).sqrt(), height], -1)
    pose = cameras.look_at(eye, torch.zeros(n, 3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(pose, torch.full((n, 2), 2.0 * size), torch.full((n, 2), size / 2), size, size)
    images = torch.zeros(n, size, size, 4)
    for i in range(n):
        pixels, _ = cameras.project(camera[i], points)
        column, row = pixels.floor().long().clamp(0, size - 1).unbind(-1)
        images[i, row, column] = torch.tensor([0.8, 0.5, 0.2, 1.0])
    return Views(camera, images, tuple(map(str, range(n))), (), "none", background=(1.0, 1.0, 1.0))


def test_the_box_of_an_object_fits_it() -> None:
    framing = frame(views_of_a_box())
    assert not framing.unbounded
    assert torch.allclose(framing.low, torch.tensor([-0.3, -0.6, -0.3]), atol=0.2)
    assert torch.allclose(framing.high, torch.tensor([0.5, 0.6, 0.3]), atol=0.2)
    assert bool((framing.low <= torch.tensor([-0.3, -0.6, -0.3])).all())  # never cuts the object
    assert bool((framing.high >= torch.tensor([0.5, 0.6, 0.3])).all())


def test_near_and_far_enclose_the_object_from_every_camera() -> None:
    views, framing = views_of_a_box(), frame(views_of_a_box())
    corners = torch.cartesian_prod(torch.tensor([-0.3, 0.5]), torch.tensor([-0.6, 0.6]), torch.tensor([-0.3, 0.3]))
    away = torch.cdist(views.camera.position, corners)
    assert framing.near < float(away.min())
    assert framing.far > float(away.max())


def test_colour_silhouettes_have_no_holes() -> None:
    views = views_of_a_box()
    ring = torch.ones(1, 64, 64, 3)
    ring[0, 20:40, 20:40] = 0.2
    ring[0, 25:35, 25:35] = 1.0  # as white as the background, but inside
    shape = silhouettes(dataclasses.replace(views, images=ring, camera=views.camera[:1], names=("a",)))
    assert bool(shape[0, 30, 30])
    assert not bool(shape[0, 5, 5])


def test_carving_in_two_passes_keeps_all_of_the_hull_and_next_to_nothing_else(monkeypatch) -> None:
    views = views_of_a_box()
    low, high = torch.tensor([-0.8, -0.8, -0.8]), torch.tensor([0.8, 0.8, 0.8])
    twice = carve(views, low, high, (71, 64, 50))
    monkeypatch.setattr(framing, "FINE", 10**9)
    once = carve(views, low, high, (71, 64, 50))
    assert not bool((once & ~twice).any())
    assert float((twice & ~once).float().mean()) < 1e-3
    assert 0.05 < float(once.float().mean()) < 0.5


def test_carving_with_disagreeing_silhouettes_leaves_nothing() -> None:
    views = views_of_a_box()
    turned = views.camera.pose.roll(7, 0)
    views = dataclasses.replace(views, camera=dataclasses.replace(views.camera, pose=turned))
    images = torch.zeros_like(views.images)
    images[:, :6, :6] = 1.0  # an object in the corner of every photo
    hull = carve(dataclasses.replace(views, images=images), -torch.ones(3), torch.ones(3), (20, 20, 20))
    assert float(hull.float().mean()) < 0.05


def ring_looking(outward: bool, n: int = 16) -> Views:
    angle = torch.arange(n) * 6.2832 / n
    eye = torch.stack([angle.cos(), angle.sin(), torch.zeros(n)], -1)
    target = 3 * eye if outward else torch.zeros_like(eye)
    pose = cameras.look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(pose, torch.full((n, 2), 30.0), torch.full((n, 2), 16.0), 32, 32)
    return Views(camera, torch.rand(n, 32, 32, 3), tuple(map(str, range(n))), (), "none")


@pytest.mark.parametrize("outward", [False, True])
def test_photos_with_a_real_background_are_unbounded(outward) -> None:
    framing = frame(ring_looking(outward))
    assert framing.unbounded
    assert float(framing.center.norm()) < 0.01
    assert 0.2 < framing.radius < 3
    assert framing.near < 0.3


def test_points_tell_the_radius() -> None:
    points = 5 * torch.rand(1000, 3) - 2.5
    framing = frame(dataclasses.replace(ring_looking(True), points=points))
    assert 1.8 < framing.radius < 2.6


def test_cameras_at_one_place_are_refused() -> None:
    views = ring_looking(True)
    pose = views.camera.pose.clone()
    pose[:, :3, 3] = 0.5
    with pytest.raises(BadInput, match="one place"):
        frame(dataclasses.replace(views, camera=dataclasses.replace(views.camera, pose=pose)))
