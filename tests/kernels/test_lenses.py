"""Lenses in kernels, held to those of ``cameras``."""

import numpy as np
import pytest
import torch

from fieldscape import cameras
from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.lenses import LENS_NUMBERS, direction, lens_table, pixel, pose_table
from fieldscape.types import LENS_COEFFICIENTS, Camera

COEFFICIENTS = {
    "pinhole": None,
    "brown": torch.tensor([[0.05, -0.02, 0.001, -0.002, 0.003], [-0.12, 0.04, -0.003, 0.001, 0.0]]),
    "fisheye": torch.tensor([[0.02, -0.01, 0.003, 0.0002], [-0.04, 0.01, 0.0, 0.0]]),
}

FOCAL = {"pinhole": 90.0, "brown": 90.0, "fisheye": 36.0}
"""The fisheye sees more than half of the world: its corners look backward."""


@compiled
def directions(kind, lenses, which, pixels, out):
    for i in range(len(pixels)):
        out[i, 0], out[i, 1], out[i, 2] = direction(kind, lenses, which, pixels[i, 0], pixels[i, 1])


@compiled
def seen_at(kind, lenses, which, points, out):
    for i in range(len(points)):
        out[i, 0], out[i, 1] = pixel(kind, lenses, which, points[i, 0], points[i, 1], points[i, 2])


def two_cameras(lens: str) -> Camera:
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[1, :3] = torch.arange(12.0).reshape(3, 4)
    focal = FOCAL[lens] * torch.tensor([[1.0, 1.05], [0.9, 1.0]])
    center = torch.tensor([[61.0, 47.0], [58.5, 44.0]])
    return Camera(pose, focal, center, 120, 90, lens, COEFFICIENTS[lens])


def all_pixels(camera: Camera) -> torch.Tensor:
    x, y = torch.arange(camera.width) + 0.5, torch.arange(camera.height) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)


def test_every_lens_has_a_number() -> None:
    assert set(LENS_NUMBERS) == set(LENS_COEFFICIENTS)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("lens", LENS_NUMBERS)
def test_directions_are_those_of_undistort(lens, which) -> None:
    camera = two_cameras(lens)
    pixels = all_pixels(camera)
    expected = cameras.undistort(camera[which], (pixels - camera[which].center) / camera[which].focal)
    expected = expected / expected.norm(dim=-1, keepdim=True)
    if lens == "fisheye":
        assert float(expected[:, 2].min()) < -0.1
    found = np.empty((len(pixels), 3), np.float32)
    directions(LENS_NUMBERS[lens], lens_table(camera), which, pixels.numpy(), found)
    assert np.abs(found - expected.numpy()).max() < 1e-5


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("lens", LENS_NUMBERS)
def test_pixels_are_those_of_distort(lens, which) -> None:
    camera = two_cameras(lens)
    pixels = all_pixels(camera)
    rays = cameras.undistort(camera[which], (pixels - camera[which].center) / camera[which].focal)
    points = rays * (0.5 + 5 * torch.rand(len(rays), 1, generator=torch.Generator().manual_seed(0)))
    found = np.empty((len(points), 2), np.float32)
    seen_at(LENS_NUMBERS[lens], lens_table(camera), which, points.numpy(), found)
    image = (torch.from_numpy(found) - camera[which].center) / camera[which].focal
    assert float((image - cameras.distort(camera[which], points)).abs().max()) < 1e-5
    assert float((torch.from_numpy(found) - pixels).abs().max()) < 2e-3


def test_the_axis_of_a_fisheye_is_no_exception() -> None:
    camera = two_cameras("fisheye")
    found, back = np.empty((1, 3), np.float32), np.empty((1, 2), np.float32)
    directions(LENS_NUMBERS["fisheye"], lens_table(camera), 1, camera.center[1:].numpy(), found)
    seen_at(LENS_NUMBERS["fisheye"], lens_table(camera), 1, found, back)
    assert found.tolist() == [[0.0, 0.0, 1.0]]
    assert back.tolist() == camera.center[1:].tolist()


def test_tables_hold_the_cameras_row_by_row() -> None:
    table, poses = lens_table(two_cameras("fisheye")), pose_table(two_cameras("fisheye"))
    assert table.dtype == poses.dtype == np.float32
    assert table[1] == pytest.approx([32.4, 36.0, 58.5, 44.0, -0.04, 0.01, 0.0, 0.0, 0.0])
    assert poses[1].tolist() == list(range(12))
    assert lens_table(two_cameras("pinhole"))[0, 4:].tolist() == [0.0] * 5
