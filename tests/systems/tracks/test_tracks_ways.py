"""Camera paths of a clip: any number of frames, begun on the clip's way, bounded, steadied without open borders."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fieldscape.cameras import look_at, pixel_rays, project
from fieldscape.errors import BadInput
from fieldscape.rotations import from_vector
from fieldscape.systems.tracks.timeline import camera_at
from fieldscape.systems.tracks.ways import SWING, WAYS, smoothed, stabilised, way_of
from fieldscape.types import Camera

CENTER, UP = torch.tensor([0.2, -0.1, 3.0]), torch.tensor([0.0, -1.0, 0.0])
SECONDS = [0.0, 0.04, 0.1, 0.13, 0.2, 0.26, 0.3, 0.33, 0.41, 0.45]


def hand_held(shake: float = 0.01, still: bool = False) -> Camera:
    """Ten cameras that pass by, trembling; or that only turn."""
    chance, t = torch.Generator().manual_seed(2), len(SECONDS)
    eye = torch.zeros(t, 3)
    if not still:
        eye = torch.stack([torch.tensor(SECONDS), torch.zeros(t), torch.zeros(t)], -1)
        eye += shake * torch.randn(t, 3, generator=chance)
    pose = look_at(eye.double(), CENTER.double() + torch.tensor([0.3, 0, 0]).double(), UP.double())
    pose[:, :3, :3] = pose[:, :3, :3] @ from_vector(shake * torch.randn(t, 3, generator=chance).double())
    return Camera(pose.float(), torch.full((t, 2), 90.0), torch.tensor([[48.0, 27.0]]).repeat(t, 1), 96, 54)


def angles(cameras: Camera, at: Tensor, path: Camera, seconds: list[float], times: Tensor) -> Tensor:
    """The angle at the centre between each camera and the clip's own at that time."""
    own = torch.stack([camera_at(path, torch.tensor(seconds).double(), float(when)).position for when in times])
    one, other = (cameras.position - at).double(), (own - at).double()
    return torch.atan2(torch.linalg.cross(one, other).norm(dim=-1), (one * other).sum(-1))


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("frames", [1, 2, 7, 49])
def test_any_number_of_frames(name: str, frames: int) -> None:
    path = hand_held()
    camera, times, _ = way_of(name, path, SECONDS, CENTER, UP, 0.2, frames, 1.0)
    assert len(camera) == len(times) == frames
    assert bool(camera.pose.isfinite().all() & (camera.focal > 0).all())
    turn = camera.pose[:, :3, :3].double()
    assert torch.allclose(turn @ turn.mT, torch.eye(3).double().expand_as(turn), atol=1e-5)
    assert float(times.min()) >= SECONDS[0]
    assert float(times.max()) <= SECONDS[-1] + 1e-6
    if name not in ("freeze", "stabilise", "spiral"):  # those begin at another time, or beside the clip's way
        assert torch.allclose(camera.pose[0], path.pose[0], atol=1e-5)


def test_the_clip_again_is_the_clip() -> None:
    path, even = hand_held(), [i / 24 for i in range(10)]
    camera, times, held = way_of("clip", path, even, CENTER, UP, 0.0, 10, 1.0)
    assert torch.allclose(camera.pose, path.pose, atol=1e-5)
    assert torch.allclose(times, torch.tensor(even), atol=1e-6)
    assert not held


def test_time_stands_still_in_freeze_and_there_it_begins() -> None:
    path = hand_held()
    camera, times, held = way_of("freeze", path, SECONDS, CENTER, UP, 1.0, 33, 1.0)
    assert len(times.unique()) == 1
    assert torch.allclose(camera.pose[0], path.pose[5], atol=1e-5)
    assert torch.allclose(camera.pose[-1], path.pose[5], atol=1e-5)
    turned = angles(camera, CENTER, path, SECONDS, times)
    level = path.position[5] - CENTER
    level = level - (level @ UP) * UP
    most = 2 * math.asin(float(level.norm() / (path.position[5] - CENTER).norm()) * math.sin(SWING / 2))
    assert float(turned.max()) == pytest.approx(most, rel=1e-2)
    assert not held


@pytest.mark.parametrize("name", ["freeze", "orbit", "spiral"])
def test_arcs_keep_the_centre_where_it_is_and_end_at_the_limit(name: str) -> None:
    path = hand_held()
    limit = math.radians(3)
    camera, times, held = way_of(name, path, SECONDS, CENTER, UP, limit, 41, 1.0)
    assert held
    assert float(angles(camera, CENTER, path, SECONDS, times).max()) <= limit * (1 + 1e-4)
    assert float(angles(camera, CENTER, path, SECONDS, times).max()) > 0.6 * limit
    for i in range(len(camera)):
        own = camera_at(path, torch.tensor(SECONDS).double(), float(times[i]))
        assert (project(camera[i], CENTER)[0] - project(own, CENTER)[0]).abs().max() < 1e-2
    assert not way_of(name, path, SECONDS, CENTER, UP, 0.5, 41, 1.0)[2]


@pytest.mark.parametrize("name", ["freeze", "orbit", "spiral", "dolly"])
def test_without_a_limit_no_camera_leaves_its_place(name: str) -> None:
    path = hand_held(still=True)
    camera, _, held = way_of(name, path, SECONDS, CENTER, UP, 0.0, 20, 2.0)
    assert held
    assert float(camera.position.norm(dim=-1).max()) < 1e-6


def test_dolly_and_zoom() -> None:
    path = hand_held(0.0)
    camera, _, held = way_of("dolly", path, SECONDS, CENTER, UP, 1.0, 11, 1.0)
    away = (camera.position - CENTER).norm(dim=-1)
    own = torch.stack([camera_at(path, torch.tensor(SECONDS).double(), 0.45).position]) - CENTER
    assert float(away[-1] / own.norm()) == pytest.approx(0.75, abs=1e-3)
    assert not held
    assert way_of("dolly", path, SECONDS, CENTER, UP, 0.05, 11, 1.0)[2]
    zoomed, _, _ = way_of("zoom", path, SECONDS, CENTER, UP, 0.0, 11, 1.0)
    assert float(zoomed.focal[-1, 0]) == pytest.approx(180.0, rel=1e-5)


def test_smoothing_leaves_lines_and_takes_shaking() -> None:
    seconds = torch.tensor(SECONDS).double()
    line = torch.stack([2 * seconds + 1, -seconds], -1)
    when = torch.linspace(0, 0.45, 23).double()
    expected = torch.stack([2 * when + 1, -when], -1)
    for window in (0.02, 0.2, 5.0):
        assert torch.allclose(smoothed(line, seconds, when, window), expected, atol=1e-9)
    many = torch.linspace(0, 10, 400).double()
    noise = torch.randn(400, 1, generator=torch.Generator().manual_seed(0)).double()
    # A Gaussian window of so many frames leaves 1 / sqrt(2 sqrt(pi) frames) of white noise.
    left = smoothed(noise, many, many, 0.5)[40:-40].square().mean().sqrt()
    assert float(left) == pytest.approx((2 * math.pi**0.5 * 0.5 * 40) ** -0.5, rel=0.3)


def jerk(camera: Camera) -> float:
    return float(camera.position.double().diff(dim=0).diff(dim=0).norm(dim=-1).mean())


@pytest.mark.parametrize("still", [False, True])
def test_stabilised_ways_are_calm_and_show_only_what_the_clip_shows(still: bool) -> None:
    path = hand_held(0.01, still)
    camera, times, held = way_of("stabilise", path, SECONDS, CENTER, UP, 0.1, 30, 1.0)
    own = [camera_at(path, torch.tensor(SECONDS).double(), float(when)) for when in times]
    before = replace(path, pose=torch.stack([c.pose for c in own]), focal=torch.stack([c.focal for c in own]),
                     center=torch.stack([c.center for c in own]))  # fmt: skip
    if not still:
        assert jerk(camera) < 0.3 * jerk(before)
    axes = camera.forward.double().diff(dim=0).diff(dim=0).norm(dim=-1).mean()
    assert float(axes) < 0.3 * float(before.forward.double().diff(dim=0).diff(dim=0).norm(dim=-1).mean())
    zoom = float(camera.focal[0, 0] / 90)
    assert 1 < zoom <= 1.36
    assert torch.allclose(camera.focal, camera.focal[:1].expand_as(camera.focal))
    assert not held
    tight = 0
    border = torch.tensor([[x, y] for x in (0.0, 48.0, 96.0) for y in (0.0, 27.0, 54.0)])
    for i in range(len(camera)):
        distance = float((CENTER - own[i].position) @ own[i].forward)
        rays = pixel_rays(camera[i], border)
        reach = (distance - (rays.origins - own[i].position) @ own[i].forward) / (rays.directions @ own[i].forward)
        pixels, _ = project(own[i], rays.origins + reach[:, None] * rays.directions)
        assert bool(((pixels > -0.05) & (pixels < torch.tensor([96.05, 54.05]))).all())
        tight += bool(((pixels < 0.3) | (pixels > torch.tensor([95.7, 53.7]))).any())
    assert tight >= 1  # no more is cut away than must be


def test_wild_shaking_is_smoothed_less_and_said() -> None:
    path = hand_held(0.3)
    camera, _, held = way_of("stabilise", path, SECONDS, CENTER, UP, 0.1, 20, 1.0)
    assert held
    assert float(camera.focal[0, 0]) <= 90 * 1.36


def test_a_steady_clip_stays_as_it_is() -> None:
    path = hand_held(0.0, still=True)
    seconds = torch.tensor(SECONDS).double()
    camera, held = stabilised(path, seconds, path, seconds, CENTER, 0.3)
    assert torch.allclose(camera.pose, path.pose, atol=1e-4)
    assert torch.allclose(camera.focal, path.focal, rtol=1e-2)
    assert not held


@pytest.mark.parametrize(
    ("name", "frames", "strength", "up"),
    [
        ("fly", 5, 1.0, UP),
        ("orbit", 0, 1.0, UP),
        ("orbit", 5, 0.0, UP),
        ("orbit", 5, math.nan, UP),
        ("orbit", 5, 1.0, 0 * UP),
    ],
)
def test_what_gives_no_path_is_refused(name: str, frames: int, strength: float, up: Tensor) -> None:
    with pytest.raises(BadInput):
        way_of(name, hand_held(), SECONDS, CENTER, up, 0.1, frames, strength)
