"""The two figures that poses are judged by, against brute force and the laws of two views."""

from __future__ import annotations

from dataclasses import replace

import posed_world
import pytest
import torch
from scipy.optimize import minimize

from fieldscape import cameras
from fieldscape.data.epipolar import agreement, rotation_error, sampson_distance, triangulated


def two_views(noise: float):
    camera = posed_world.ring()
    found = posed_world.matches(camera, posed_world.cloud(), noise)
    mine = found.pair == 4
    return camera, found, mine


def relative(camera, i, j):
    across = camera.pose[i, :3, :3].double().T
    return across @ camera.pose[j, :3, :3].double(), across @ (camera.position[j] - camera.position[i]).double()


def test_perfect_matches_agree_and_lie_in_front():
    camera = posed_world.ring()
    found = agreement(camera, posed_world.matches(camera, posed_world.cloud(), noise=0.0))
    assert found.error < 1e-3
    assert found.near == 1
    assert found.in_front == 1


def test_the_error_follows_the_noise():
    camera = posed_world.ring()
    found = agreement(camera, posed_world.matches(camera, posed_world.cloud(), noise=0.5))
    # The distance across the line of noise in both photos is normal with the same deviation; its median is 0.674 of it.
    assert found.error == pytest.approx(0.674 * 0.5, rel=0.15)


def test_the_depths_are_those_of_the_points():
    camera, points = posed_world.ring(), posed_world.cloud()
    found = posed_world.matches(camera, points, noise=0.0)
    depths = agreement(camera, found).depths
    pair = found.pairs[0]
    # The points of a pair come in the order of the cloud, those seen by both.
    (first, z1), (second, z2) = (cameras.project(camera[i], points) for i in pair)
    size = torch.tensor([camera.width, camera.height])
    both = (z1 > 0) & (z2 > 0) & ((first > 0) & (second > 0) & (first < size) & (second < size)).all(-1)
    assert torch.allclose(depths[found.pair == 0], z1[both].double(), rtol=1e-3)


def test_moving_turning_and_scaling_the_world_changes_nothing():
    camera = posed_world.ring()
    found = posed_world.matches(camera, posed_world.cloud())
    turn = cameras.look_at(torch.tensor([3.0, -2.0, 5.0]), torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    pose = turn @ camera.pose
    pose[:, :3, 3] *= 7
    before, after = agreement(camera, found), agreement(replace(camera, pose=pose), found)
    assert after.error == pytest.approx(before.error, rel=1e-2)
    assert after.in_front == before.in_front
    assert torch.allclose(after.depths, 7 * before.depths, rtol=1e-2, equal_nan=True)


def test_negated_positions_keep_the_lines_but_put_all_points_behind():
    camera = posed_world.ring()
    found = posed_world.matches(camera, posed_world.cloud())
    pose = camera.pose.clone()
    pose[:, :3, 3] *= -1
    after = agreement(replace(camera, pose=pose), found)
    assert after.error == pytest.approx(agreement(camera, found).error, rel=1e-3)
    assert after.in_front == 0


def test_sampson_is_the_least_move_of_the_two_pixels():
    camera, found, mine = two_views(noise=1.0)
    i, j = found.pairs[4]
    rotation, step = relative(camera, i, j)
    for a, b in list(zip(found.first_pixels[mine], found.second_pixels[mine]))[:6]:
        pixels = torch.cat([a, b]).double()

        def lifted(p):
            normal = (torch.as_tensor(p).reshape(2, 2) - camera.center[0].double()) / posed_world.FOCAL
            return torch.cat([normal, torch.ones(2, 1, dtype=torch.float64)], -1)

        def coplanar(p):
            x = lifted(p)
            return float(x[0] @ torch.linalg.cross(step, rotation @ x[1]))

        least = minimize(
            lambda p, p0: ((p - p0) ** 2).sum(),
            pixels.numpy(),
            args=(pixels.numpy(),),
            constraints={"type": "eq", "fun": lambda p, _: 100 * coplanar(p), "args": (None,)},
            tol=1e-12,
        )
        focal = torch.full((1, 2), posed_world.FOCAL, dtype=torch.float64)
        x = lifted(pixels.numpy())
        distance = sampson_distance(x[:1], x[1:], rotation[None], step[None], focal, focal)
        assert float(distance) == pytest.approx(least.fun**0.5, rel=0.02, abs=1e-3)


def test_many_guesses_at_once_are_each_guess_alone():
    camera, found, mine = two_views(noise=1.0)
    guesses = [relative(camera, i, i + 1) for i in range(5)]
    rotation, step = torch.stack([g[0] for g in guesses]), torch.stack([g[1] for g in guesses])
    x1 = torch.cat([found.first_pixels[mine] / 100, torch.ones(int(mine.sum()), 1)], -1).double()
    x2 = torch.cat([found.second_pixels[mine] / 100, torch.ones(int(mine.sum()), 1)], -1).double()
    focal = torch.full((len(x1), 2), 100.0, dtype=torch.float64)
    together = sampson_distance(x1, x2, rotation[:, None], step[:, None], focal, focal)
    for k in range(5):
        count = len(x1)
        alone = sampson_distance(x1, x2, rotation[k].expand(count, 3, 3), step[k].expand(count, 3), focal, focal)
        assert torch.allclose(together[k], alone)


def test_rays_that_part_meet_behind():
    eye, step = torch.eye(3)[None], torch.tensor([[1.0, 0.0, 0.0]])
    z1, z2, _ = triangulated(torch.tensor([[-0.5, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0]]), eye, step)
    assert float(z1) < 0
    assert float(z2) < 0


def test_turning_on_the_spot_is_told_from_moving():
    camera = posed_world.ring()
    moving = posed_world.matches(camera, posed_world.cloud(), noise=0.0)
    spot = torch.tensor([0.0, 0.0, 9.0])
    eye = spot.expand(12, 3)
    target = torch.stack([torch.linspace(-1, 1, 12), torch.linspace(-0.5, 1, 12), torch.zeros(12)], -1)
    still = replace(posed_world.ring(12), pose=cameras.look_at(eye, target, torch.tensor([0.0, 1.0, 0.0])))
    assert rotation_error(still, posed_world.matches(still, posed_world.cloud(), noise=0.0)) < 1e-2
    assert rotation_error(camera, moving) > 10


def test_cameras_without_a_step_have_no_epipolar_lines():
    camera = posed_world.ring()
    found = posed_world.matches(camera, posed_world.cloud())
    pose = camera.pose.clone()
    pose[:, :3, 3] = 1
    assert agreement(replace(camera, pose=pose), found).error == float("inf")


def test_a_distorted_lens_is_undone():
    camera = replace(posed_world.ring(), lens="brown", distortion=torch.tensor([[-0.3, 0.1, 0.0, 0.0, 0.0]] * 18))
    found = posed_world.matches(camera, posed_world.cloud(), noise=0.0)
    assert agreement(camera, found).error < 1e-3
    assert agreement(replace(camera, lens="pinhole", distortion=None), found).error > 0.05
