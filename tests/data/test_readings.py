"""Every reading undoes its mistake, and no two mistakes share one."""

from __future__ import annotations

from dataclasses import replace

import posed_world
import pytest
import torch

from fieldscape.cameras import flip_yz
from fieldscape.data.epipolar import agreement
from fieldscape.data.readings import (
    lens_readings,
    order_readings,
    pose_readings,
    scaled_pose_readings,
    signed_axes,
)  # fmt: skip


@pytest.fixture(scope="module")
def world():
    camera = posed_world.ring()
    return camera, posed_world.matches(camera, posed_world.cloud())


def named(readings, name):
    return next(reading.camera for reading in readings if reading.name == name)


def test_the_48_ways_to_name_axes_are_all_and_each_once():
    axes = torch.stack([matrix for _, matrix in signed_axes()])
    assert len({tuple(matrix.flatten().tolist()) for matrix in axes}) == 48
    assert torch.equal(axes.transpose(-1, -2) @ axes, torch.eye(4).expand(48, 4, 4))
    assert int((torch.linalg.det(axes) > 0).sum()) == 24


def test_flipping_and_inverting_are_undone_exactly(world):
    camera, _ = world
    inverse = torch.linalg.inv(camera.pose)
    for given, name in (
        (flip_yz(camera.pose), "with y and z flipped"),
        (inverse, "inverted"),
        (torch.linalg.inv(flip_yz(camera.pose)), "inverted, with y and z flipped"),
    ):
        read = named(pose_readings(replace(camera, pose=given)), name)
        assert torch.allclose(read.pose, camera.pose, atol=1e-5)


def test_halves_of_an_inversion_are_undone(world):
    camera, _ = world
    inverse = torch.linalg.inv(camera.pose)
    half, turned = camera.pose.clone(), camera.pose.clone()
    half[:, :3, 3] = inverse[:, :3, 3]
    turned[:, :3, :3] = inverse[:, :3, :3]
    read = named(pose_readings(replace(camera, pose=half)), "with -R t for positions")
    assert torch.allclose(read.pose, camera.pose, atol=1e-5)
    read = named(pose_readings(replace(camera, pose=turned)), "with rotations transposed")
    assert torch.allclose(read.pose, camera.pose, atol=1e-5)


def test_every_renaming_of_the_axes_is_undone_by_just_one_reading(world):
    camera, found = world
    for _, axes in list(signed_axes())[1::9]:
        given = replace(camera, pose=camera.pose @ axes)
        fits = [
            reading.name
            for reading in pose_readings(given)
            for then in [agreement(reading.camera, found)]
            if then.error < 0.3 and then.in_front > 0.9
        ]
        assert len(fits) == 1


def test_the_likeliest_mistakes_come_first(world):
    names = [reading.name for reading in pose_readings(world[0])]
    assert names[:4] == ["with y and z flipped", "inverted", "inverted, with y and z flipped", "with LLFF axes"]
    assert len(names) == 47 + 48 + 2


@pytest.mark.parametrize("factor", [0.125, 0.5, 2**0.5, 4.0])
def test_focal_lengths_are_undone(world, factor):
    camera, _ = world
    given = replace(camera, focal=camera.focal * factor)
    assert any(torch.allclose(reading.camera.focal, camera.focal) for reading in lens_readings(given))
    both = scaled_pose_readings(replace(given, pose=flip_yz(camera.pose)))
    if factor != 2**0.5:
        assert any(
            torch.allclose(reading.camera.focal, camera.focal) and torch.allclose(reading.camera.pose, camera.pose)
            for reading in both
        )


def test_the_lens_of_a_larger_photo_is_undone(world):
    camera, _ = world
    given = replace(camera, focal=camera.focal * 4, center=camera.center * 4)
    names = [
        reading.name
        for reading in lens_readings(given)
        if torch.allclose(reading.camera.focal, camera.focal) and torch.allclose(reading.camera.center, camera.center)
    ]
    assert names == ["with 0.25 times the focal length, principal point at the centre"]


def test_orders_are_undone(world):
    camera, _ = world
    names = tuple(f"frame_{i}.png" for i in range(len(camera)))
    by_text = torch.tensor(sorted(range(len(names)), key=lambda i: names[i]))
    count = torch.arange(len(names))
    for listed, name in (
        ((count + 1) % len(names), "with the poses one photo back"),
        ((count - 1) % len(names), "with the poses one photo on"),
        (count.flip(0), "with the poses reversed"),
        (by_text, "with the poses in the order 1, 10, 2"),
    ):
        read = named(order_readings(camera[listed], names), name)
        assert torch.equal(read.pose, camera.pose)


def test_poses_by_number_for_photos_by_text(world):
    camera, _ = world
    numbered = [f"frame_{i}.png" for i in range(len(camera))]
    by_text = tuple(sorted(numbered))
    true = camera[torch.tensor([numbered.index(name) for name in by_text])]
    read = named(order_readings(camera, by_text), "with the poses in the order 1, 2, 10")
    assert torch.equal(read.pose, true.pose)
