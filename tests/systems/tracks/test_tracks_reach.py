"""How far cameras may go: by parallax, by kind; and cameras brought back to there."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fieldscape.cameras import look_at, project
from fieldscape.systems.tracks.nouns import Clip, Kind, Points, Tracked
from fieldscape.systems.tracks.reach import (
    GIVEN,
    HINT,
    LOW,
    TIMES_PARALLAX,
    WIDEST,
    arc_limit,
    center_of_interest,
    clamped,
    parallax,
)
from fieldscape.types import Camera

UP = torch.tensor([0.0, -1.0, 0.0])


def seen_scene(kind: Kind = "full", across: float = 1.0, movers: int = 0) -> Tracked:
    """Five cameras ``across`` a stretch, that look at points around (0, 0, 5)."""
    t, n = 5, 60
    eye = torch.stack([torch.linspace(-across / 2, across / 2, t), torch.zeros(t), torch.zeros(t)], -1)
    pose = look_at(eye, torch.tensor([0.0, 0.0, 5.0]), UP)
    camera = Camera(pose, torch.full((t, 2), 100.0), torch.tensor([[50.0, 40.0]]).repeat(t, 1), 100, 80)
    chance = torch.Generator().manual_seed(0)
    points = torch.rand(n, 3, generator=chance) - 0.5 + torch.tensor([0.0, 0.0, 5.0])
    layer = torch.zeros(n, dtype=torch.long)
    if movers:
        layer[:movers], points[:movers, 0] = 2, 1.0
    world = points.repeat(t, 1, 1)
    places = torch.stack([project(camera[i], world[i])[0] for i in range(t)])
    seen = torch.ones(t, n, dtype=torch.bool)
    clip = Clip(torch.zeros(t, 80, 100, 3, dtype=torch.uint8), torch.arange(t) / 10, None, tuple(range(t)), "made")
    return Tracked(clip, None, Points(places, seen, seen.float(), layer), camera, kind, world, layer == 0)


def test_parallax_by_brute_force() -> None:
    chance = torch.Generator().manual_seed(1)
    positions, points = torch.randn(7, 3, generator=chance), torch.randn(20, 3, generator=chance) * 4
    seen = torch.rand(7, 20, generator=chance) < 0.5
    found = parallax(positions, points, seen)
    for i in range(20):
        rays = [(positions[t] - points[i]).double() for t in range(7) if seen[t, i]]
        pairs = [float(torch.acos((a @ b) / a.norm() / b.norm())) for a in rays for b in rays if a is not b]
        assert float(found[i]) == pytest.approx(max(pairs, default=0.0), abs=1e-6)


def test_the_arc_grows_with_parallax_and_is_bounded() -> None:
    angle = 2 * math.atan(0.1 / 2 / 5)
    assert arc_limit(seen_scene(across=0.1)) == pytest.approx(TIMES_PARALLAX * angle, rel=0.05)
    assert arc_limit(seen_scene(across=4.0)) == WIDEST
    assert arc_limit(seen_scene("low", 4.0)) == LOW
    assert arc_limit(seen_scene("given", 0.01)) == GIVEN
    for kind in ("tripod", "rotation"):
        assert arc_limit(seen_scene(kind, 4.0)) == HINT  # type: ignore[arg-type]


def test_points_without_depth_tell_nothing() -> None:
    there = seen_scene(across=2.0)
    assert arc_limit(replace(there, deep=torch.zeros(60, dtype=torch.bool))) == HINT


def test_the_centre_is_the_mover_or_what_is_ahead() -> None:
    assert torch.allclose(center_of_interest(seen_scene()), torch.tensor([0.0, 0.0, 5.0]), atol=0.2)
    assert float(center_of_interest(seen_scene(movers=12))[0]) == 1.0
    assert abs(float(center_of_interest(seen_scene(movers=3))[0])) < 0.2


def test_the_clips_own_cameras_are_left_alone() -> None:
    there = seen_scene()
    center = torch.tensor([0.0, 0.0, 5.0])
    for i in range(5):
        camera, was = clamped(there.camera[i], there.camera, center, 0.0)
        assert not was
        assert camera is there.camera[i] or torch.equal(camera.pose, there.camera[i].pose)


def test_a_camera_too_far_round_comes_back_to_the_limit() -> None:
    path, center = seen_scene().camera, torch.tensor([0.0, 0.0, 5.0])
    limit = math.radians(6)
    eye = torch.tensor([5 * math.sin(0.9), 0.0, 5 - 5 * math.cos(0.9)])
    far = replace(path[0], pose=look_at(eye, center, UP))
    camera, was = clamped(far, path, center, limit)
    assert was
    away, last = (camera.position - center).double(), (path.position[-1] - center).double()
    angle = float(torch.atan2(torch.linalg.cross(away, last).norm(), away @ last))
    assert angle == pytest.approx(limit, rel=1e-4)
    again, _ = clamped(camera, path, center, limit * 1.0001)
    assert torch.allclose(again.pose, camera.pose, atol=1e-3)
    ahead = (center - camera.position) / (center - camera.position).norm()
    assert float(camera.forward @ ahead) > math.cos(math.radians(20))
    inside, was = clamped(replace(far, pose=look_at(path.position[-1] + 0.05, center, UP)), path, center, limit)
    assert not was
    assert torch.equal(inside.pose, look_at(path.position[-1] + 0.05, center, UP))


def test_too_near_too_wide_and_looking_away_is_brought_back() -> None:
    path, center = seen_scene().camera, torch.tensor([0.0, 0.0, 5.0])
    near = replace(path[2], pose=look_at(torch.tensor([0.0, 0.0, 4.0]), center, UP))
    camera, was = clamped(near, path, center, 0.05)
    assert was
    assert float((camera.position - center).norm()) == pytest.approx(5 * 0.9, rel=1e-2)
    wide = replace(path[2], focal=path.focal[2] / 3)
    camera, was = clamped(wide, path, center, 0.05)
    assert was
    assert float(camera.focal[0]) == pytest.approx(80.0, rel=1e-4)
    away = replace(path[2], pose=look_at(path.position[2], torch.tensor([20.0, 0.0, 5.0]), UP))
    camera, was = clamped(away, path, center, 0.05)
    assert was
    turned = math.degrees(math.acos(float(camera.forward @ path.forward[2])))
    assert turned < 25
    assert torch.allclose(camera.pose[:3, :3] @ camera.pose[:3, :3].T, torch.eye(3), atol=1e-5)
