"""Poses in another order than the photos are told from poses that are simply wrong."""

from __future__ import annotations

import posed_world
import torch

from fieldscape.data.order import find_reordering


def test_a_shuffle_is_found_and_undone():
    camera = posed_world.ring(30)
    found = posed_world.matches(camera, posed_world.cloud())
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    answer = find_reordering(camera[order], found)
    assert answer.moved > 0.8 * answer.asked > 5
    photo, pose = answer.example
    assert int(order[pose]) == photo


def test_right_poses_are_not_called_shuffled():
    camera = posed_world.ring(30)
    answer = find_reordering(camera, posed_world.matches(camera, posed_world.cloud()))
    assert answer.asked > 5
    assert answer.moved < 0.2 * answer.asked


def test_imprecise_poses_are_not_called_shuffled():
    camera = posed_world.ring(30)
    found = posed_world.matches(camera, posed_world.cloud())
    answer = find_reordering(posed_world.turned(camera, 4.0), found)
    assert answer.moved < 0.4 * max(answer.asked, 5)


def test_cameras_on_one_spot_fit_nothing():
    camera = posed_world.ring()
    found = posed_world.matches(camera, posed_world.cloud())
    pose = camera.pose.clone()
    pose[:, :3, 3] = 0
    assert find_reordering(camera.map(lambda t: pose if t.ndim == 3 else t), found).asked == 0
