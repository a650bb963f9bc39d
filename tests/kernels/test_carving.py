"""Carving and silhouettes, held to the plain tensor computations that they replace."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from fieldscape import cameras, framing
from fieldscape.kernels import carving
from fieldscape.kernels.lenses import LENS_NUMBERS, lens_table, pose_table
from fieldscape.types import Camera, Views

COEFFICIENTS = {
    "pinhole": None,
    "brown": torch.tensor([-0.08, 0.02, 0.003, -0.002, 0.001]),
    "fisheye": torch.tensor([0.02, -0.01, 0.004, -0.001]),
}

SPHERES = torch.tensor([[0.0, 0.0, 0.0, 0.5], [0.6, 0.2, -0.3, 0.3], [-0.5, -0.6, 0.4, 0.2]])
"""Centres and radii."""


def spheres_seen(lens: str, views: int = 12) -> Views:
    """Spheres seen from around. No picture holds all of the box -1.5..1.5, and every sixth camera stands in it."""
    n = torch.arange(views)
    angle, height = n * 2.4, torch.linspace(-0.7, 0.7, views)
    across = (1 - height**2).sqrt()
    eye = (
        torch.stack([angle.cos() * across, angle.sin() * across, height], -1)
        * torch.where(n % 6 == 5, 1.3, 3.0)[:, None]
    )
    pose = cameras.look_at(eye, torch.zeros(views, 3), torch.tensor([0.0, 0.0, 1.0]))
    coefficients = COEFFICIENTS[lens]
    distortion = None if coefficients is None else coefficients.repeat(views, 1)
    focal = torch.tensor([75.0, 80.0]) + n[:, None]
    camera = Camera(pose, focal, torch.tensor([[49.0, 38.0]]).repeat(views, 1), 100, 80, lens, distortion)
    images = torch.zeros(views, 80, 100, 4)
    for i in range(views):
        rays = cameras.image_rays(camera[i])
        offset = SPHERES[:, :3] - camera.position[i]
        along = (rays.directions[:, :, None] * offset).sum(-1)
        hit = (along > 0) & (offset.square().sum(-1) - along**2 < SPHERES[:, 3] ** 2)
        images[i, hit.any(-1)] = torch.tensor([0.8, 0.5, 0.2, 1.0])
    return Views(camera, images, tuple(map(str, range(views))), (), "none", background=(1.0, 1.0, 1.0))


def carved_plainly(views, shapes, reach, low, high, size, tolerance):
    """Every point in every view, by tensors. ``reach``: pixels to widen by in each view. Shapes [v, h, w]."""
    axes = [torch.linspace(float(low[k]), float(high[k]), size[k]) for k in range(3)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    seen, hit = torch.zeros(len(points)), torch.zeros(len(points))
    for i in range(len(views)):
        wide = torch.nn.functional.max_pool2d(shapes[i][None, None].float(), 2 * reach[i] + 1, 1, reach[i])[0, 0]
        pixels, z = cameras.project(views.camera[i], points)
        column, row = pixels[:, 0].floor().long(), pixels[:, 1].floor().long()
        inside = (z > 0) & (column >= 0) & (column < wide.shape[1]) & (row >= 0) & (row < wide.shape[0])
        seen += inside
        hit[inside] += wide[row[inside], column[inside]]
    return ((hit >= (1 - tolerance) * seen) | (seen < 2)).reshape(size)


def shares_that_differ(found, expected) -> float:
    return float((torch.as_tensor(found) != expected).float().mean())


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("lens", LENS_NUMBERS)
def test_each_point_is_decided_as_by_tensors(lens, tolerance) -> None:
    views, size = spheres_seen(lens), (41, 37, 43)
    shapes = framing.silhouettes(views)
    low, high = torch.full((3,), -1.5), torch.tensor([1.5, 1.4, 1.6])
    expected = carved_plainly(views, shapes, [0] * len(views), low, high, size, tolerance)
    assert 0.005 < float(expected.float().mean()) < 0.9
    arrays = shapes.to(torch.uint8).numpy(), pose_table(views.camera), lens_table(views.camera)
    corners = low.numpy(), high.numpy()
    found = carving.carve(*arrays, LENS_NUMBERS[lens], *corners, size, tolerance, threads=1)
    assert shares_that_differ(found, expected) <= 1e-3
    again = carving.carve(*arrays, LENS_NUMBERS[lens], *corners, size, tolerance, threads=3)
    assert np.array_equal(found, again)


@pytest.mark.parametrize(("count", "lens"), [(12, "pinhole"), (12, "brown"), (90, "pinhole")])
def test_the_hull_is_that_of_widened_silhouettes(count, lens) -> None:
    """With 90 views, every second is looked at."""
    views, size = spheres_seen(lens, count), (31, 24, 27)
    low, high = torch.full((3,), -1.2), torch.full((3,), 1.2)
    chosen = slice(0, None, max(1, count // 40))
    few = dataclasses.replace(
        views, camera=views.camera[chosen], images=views.images[chosen], names=views.names[chosen]
    )
    spacing = 2.4 / (min(size) - 1)
    away = few.camera.position.norm(dim=-1)
    reach = [math.ceil(0.5 * spacing * float(few.camera.focal[i].max() / away[i])) for i in range(len(few))]
    assert min(reach) > 0
    shapes = framing.silhouettes(few)
    expected = carved_plainly(few, shapes, reach, low, high, size, framing.TOLERANCE)
    found = framing.carve(views, low, high, size)
    assert shares_that_differ(found, expected) <= 1e-3
    assert shares_that_differ(carved_plainly(few, shapes, [0] * len(few), low, high, size, 0.1), expected) > 1e-2
    assert torch.equal(framing.carve(views, low, high, size, framing.silhouettes(views)), found)


def test_what_no_two_views_have_in_their_picture_stays() -> None:
    views = spheres_seen("pinhole", 2)
    nothing = dataclasses.replace(views, images=torch.zeros_like(views.images))
    hull = framing.carve(nothing, torch.full((3,), -9.0), torch.full((3,), 9.0), (19, 19, 19))
    assert bool(hull[0, 0, 0])
    assert not bool(hull[9, 9, 9])


def test_the_framing_is_the_same_with_silhouettes_given() -> None:
    views = spheres_seen("brown")
    alone, given = framing.frame(views), framing.frame(views, framing.silhouettes(views))
    assert torch.equal(alone.low, given.low)
    assert torch.equal(alone.high, given.high)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    views = spheres_seen("pinhole")
    poses, lenses = pose_table(views.camera), lens_table(views.camera)
    shapes = framing.silhouettes(views).to(torch.uint8).numpy()
    rest = LENS_NUMBERS["pinhole"], -np.ones(3), np.ones(3), (4, 4, 4), 0.1, 1
    with pytest.raises(ValueError, match="belong together"):
        carving.carve(shapes, poses[:3], lenses, *rest)
    with pytest.raises(ValueError, match="float32"):
        carving.carve(shapes, poses.astype(np.float64), lenses, *rest)


@pytest.mark.parametrize("background", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.2, 0.5, 0.9)])
@pytest.mark.parametrize("stored", ["uint8", "float32"])
def test_silhouettes_are_where_colours_differ(stored, background) -> None:
    """All levels near the background's on both sides, in each channel alone; shapes with holes and open bays."""
    g = torch.Generator().manual_seed(1)
    levels = torch.tensor(background) * 255 + torch.randint(-4, 5, (3, 60, 50, 3), generator=g)
    images = levels.round().clamp(0, 255).to(torch.uint8)
    if stored == "float32":
        images = images.float() / 255
    plain = spheres_seen("pinhole", 3)
    camera = dataclasses.replace(plain.camera, width=50, height=60)
    views = Views(camera, images, ("a", "b", "c"), (), "none", background=background)
    differs = (views.color(slice(None)) - torch.tensor(background)).abs().amax(-1) > 2.5 / 255
    expected = torch.stack([torch.from_numpy(ndimage.binary_fill_holes(x.numpy())) for x in differs])
    assert 0.1 < float(expected.float().mean()) < 1
    assert bool((expected != differs).any())
    assert torch.equal(framing.silhouettes(views), expected)
