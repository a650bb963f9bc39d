"""Camera paths: rigid, smooth, where they should be, and looking where they should look."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldscape.cameras import look_at, project, stack
from fieldscape.errors import BadInput
from fieldscape.paths import dolly, interpolate, orbit, spiral, turntable, walk, zoom
from fieldscape.types import Camera

UP = torch.tensor([0.0, 0.0, 1.0])
TARGET = torch.tensor([0.5, -0.25, 0.5])


def camera(eye: list[float], target: torch.Tensor = TARGET, up: torch.Tensor = UP) -> Camera:
    return Camera(
        look_at(torch.tensor(eye), target, up),
        torch.tensor([50.0, 52.0]),
        torch.tensor([32.0, 24.0]),
        64,
        48,
        "brown",
        torch.tensor([0.1, 0.0, 0.0, 0.0, 0.0]),
    )


START = camera([3.0, 1.0, 2.0])


def scattered(count: int, seed: int = 0, room: float = 4.0) -> Camera:
    """Cameras at random places of a room, looking in random directions near the horizon."""
    generator = torch.Generator().manual_seed(seed)
    eye = room * torch.rand(count, 3, generator=generator)
    ahead = torch.randn(count, 3, generator=generator)
    ahead[:, 2] *= 0.2
    pose = look_at(eye, eye + ahead, UP)
    focal = 50 + 10 * torch.rand(count, 2, generator=generator)
    return Camera(pose, focal, torch.full((count, 2), 30.0), 64, 48)


PATHS: dict[str, Callable[[int], Camera]] = {
    "orbit": lambda n: orbit(START, TARGET, UP, n),
    "turntable": lambda n: turntable(START, TARGET, UP, n, 30),
    "spiral": lambda n: spiral(START, TARGET, UP, n, 0.3),
    "dolly": lambda n: dolly(START, n, 1.5),
    "zoom": lambda n: zoom(START, n, 3),
    "interpolate": lambda n: interpolate(scattered(7), n),
    "loop": lambda n: interpolate(scattered(7), n, loop=True, constant_speed=True),
    "walk": lambda n: walk(orbit(START, TARGET, UP, 12, 300), UP, n),
}


def angles(path: Camera) -> torch.Tensor:
    """Radians between the rotations of consecutive frames."""
    r = path.pose[:, :3, :3].double()
    trace = (r[1:].transpose(1, 2) @ r[:-1]).diagonal(dim1=1, dim2=2).sum(-1)
    return torch.acos(((trace - 1) / 2).clamp(-1, 1))


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("frames", [1, 2, 31])
def test_every_path_is_rigid_and_keeps_the_camera_model(name: str, frames: int) -> None:
    path = PATHS[name](frames)
    assert len(path) == frames
    assert (path.width, path.height) == (64, 48)
    assert path.pose.dtype == torch.float32
    assert path.focal.shape == path.center.shape == (frames, 2)
    rotation = path.pose[:, :3, :3]
    assert (rotation @ rotation.transpose(1, 2) - torch.eye(3)).abs().max() < 1e-5
    assert (torch.linalg.det(rotation) - 1).abs().max() < 1e-5
    assert path.pose[:, 3].tolist() == [[0, 0, 0, 1]] * frames
    if name not in ("interpolate", "loop"):
        assert path.lens == "brown"
        assert path.distortion is not None
        assert path.distortion.shape == (frames, 5)


@pytest.mark.parametrize("name", PATHS)
def test_every_path_is_smooth(name: str) -> None:
    """With ten times the frames, the longest step and the largest turn shrink about ten times: there is no cut."""
    few, many = PATHS[name](101), PATHS[name](1010)
    step = [float(path.position.diff(dim=0).norm(dim=-1).max()) for path in (few, many)]
    turn = [float(angles(path).max()) for path in (few, many)]
    assert step[1] <= 0.15 * step[0] + 1e-5
    assert turn[1] <= 0.15 * turn[0] + 1e-3


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-720, 720), st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_orbit_keeps_height_distance_and_framing(x: float, y: float, degrees: float, frames: int) -> None:
    start = camera([x + 4.0, y, 1.5])
    path = orbit(start, TARGET, UP, frames, degrees)
    assert torch.allclose(path.pose[0], start.pose, atol=1e-5)
    assert torch.allclose(path.position[:, 2], start.position[2].expand(frames), atol=1e-4)
    distance = (path.position - TARGET).norm(dim=-1)
    assert torch.allclose(distance, distance[0].expand(frames), atol=1e-4)
    pixels, _ = project(path, TARGET.expand(frames, 3))
    assert torch.allclose(pixels, torch.tensor([32.0, 24.0]).expand(frames, 2), atol=1e-2)


def test_orbit_turns_counter_clockwise_and_ends_on_its_angle() -> None:
    start = camera([2.5, -0.25, 0.5])
    quarter = orbit(start, TARGET, UP, 10, 90)
    assert torch.allclose(quarter.position[-1], torch.tensor([0.5, 1.75, 0.5]), atol=1e-5)
    whole = orbit(start, TARGET, UP, 4)
    assert torch.allclose(whole.position[1], torch.tensor([0.5, 1.75, 0.5]), atol=1e-5)
    assert torch.allclose(whole.position[3], torch.tensor([0.5, -2.25, 0.5]), atol=1e-5)
    aside = camera([2.5, -0.25, 0.5], TARGET + torch.tensor([0.0, 0.4, 0.0]))
    assert torch.allclose(orbit(aside, TARGET, UP, 5).pose[0], aside.pose, atol=1e-6)  # not turned to the target


def test_turntable_is_level_and_looks_at_the_target() -> None:
    path = turntable(START, TARGET, UP, 12)
    assert torch.allclose(path.pose[0], START.pose, atol=1e-5)
    assert torch.allclose(path.position[:, 2], START.position[2].expand(12), atol=1e-5)
    risen = turntable(START, TARGET, UP, 12, elevation=45)
    distance = float((START.position - TARGET).norm())
    away = risen.position - TARGET
    assert torch.allclose(away.norm(dim=-1), torch.full((12,), distance), atol=1e-4)
    assert torch.allclose(away[:, 2], torch.full((12,), distance * math.sqrt(0.5)), atol=1e-4)
    assert torch.allclose(risen.forward, -away / distance, atol=1e-5)
    assert risen.pose[:, 2, 0].abs().max() < 1e-6  # the horizon is level
    assert away[0, :2] @ (START.position - TARGET)[:2] > 0  # it begins on the start camera's side


def test_turntable_from_straight_above() -> None:
    above = camera([0.5, -0.25, 3.0], up=torch.tensor([0.0, 1.0, 0.0]))
    with pytest.raises(BadInput, match="straight above"):
        turntable(above, TARGET, UP, 5)
    path = turntable(above, TARGET, UP, 5, elevation=20)
    assert torch.allclose(path.position[0] - TARGET, 2.5 * torch.tensor([0, -0.9397, 0.3420]), atol=1e-3)


def test_spiral_circles_the_start_and_looks_at_the_target() -> None:
    path = spiral(START, TARGET, UP, 80, 0.2, turns=2)
    offset = (path.position - START.position) @ START.pose[:3, :3]
    assert torch.allclose(offset[:, :2].norm(dim=-1), torch.full((80,), 0.2), atol=1e-5)
    assert offset[:, 2].max() == pytest.approx(0.1, abs=1e-3)
    assert torch.allclose(offset.mean(0), torch.zeros(3), atol=1e-5)
    to_target = torch.nn.functional.normalize(TARGET - path.position, dim=-1)
    assert torch.allclose(path.forward, to_target, atol=1e-5)
    gap = (path.position[0] - path.position[-1]).norm()
    assert gap < 1.2 * path.position.diff(dim=0).norm(dim=-1).max()  # closed


def test_dolly_and_zoom_do_only_what_they_say() -> None:
    path = dolly(START, 11, -2.0)
    assert torch.allclose(path.position[-1], START.position - 2 * START.forward, atol=1e-5)
    assert torch.allclose(path.position[5], START.position - START.forward, atol=1e-5)
    assert torch.allclose(path.pose[:, :3, :3], START.pose[:3, :3].expand(11, 3, 3), atol=1e-6)
    closer = zoom(START, 3, 4)
    assert closer.focal.tolist() == [[50, 52], [100, 104], [200, 208]]
    assert torch.allclose(closer.pose, START.pose.expand(3, 4, 4), atol=1e-6)


@given(st.integers(1, 6), st.integers(1, 6), st.booleans(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_interpolation_passes_through_the_cameras(count: int, stride: int, loop: bool, seed: int) -> None:
    given_cameras = scattered(count, seed)
    segments = count if loop else max(1, count - 1)
    path = interpolate(given_cameras, segments * stride + (not loop), loop=loop)
    knots = path[torch.arange(0, len(path), stride)][:count]
    assert torch.allclose(knots.pose, given_cameras.pose.expand_as(knots.pose), atol=2e-6)
    assert torch.allclose(knots.focal, given_cameras.focal, atol=1e-4)


def test_interpolation_between_two_is_straight_and_even() -> None:
    two = stack([camera([3.0, 1.0, 2.0]), camera([-2.0, 1.0, 1.0])])
    path = interpolate(two, 21)
    share = torch.linspace(0, 1, 21)[:, None]
    assert torch.allclose(path.position, torch.lerp(two.position[0], two.position[1], share), atol=1e-5)
    turn = angles(path)
    assert torch.allclose(turn, turn.mean().expand(20), atol=1e-4)
    assert turn.sum() < math.pi + 1e-3  # the shorter way
    assert path.distortion is not None
    assert path.distortion[:, 0].tolist() == pytest.approx([0.1] * 21)


def test_interpolation_of_cameras_on_a_circle_stays_near_it() -> None:
    ring = orbit(START, TARGET, UP, 8)
    path = interpolate(ring, 80, loop=True)
    radius = (path.position - TARGET)[:, :2].norm(dim=-1)
    assert (radius / radius[0] - 1).abs().max() < 0.01
    to_target = torch.nn.functional.normalize(TARGET - path.position, dim=-1)
    assert (path.forward * to_target).sum(-1).min() > 0.9995
    steps = path.position.diff(dim=0).norm(dim=-1)
    assert steps.max() / steps.min() < 1.15


def test_constant_speed_is_constant() -> None:
    uneven = scattered(5)
    pose = uneven.pose.clone()
    pose[:, :3, :3] = START.pose[:3, :3]
    pose[:, :3, 3] = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [2, 1, 0], [2, 1.2, 0], [5, 0, 0]])
    still = replace(uneven, pose=pose)
    steps = interpolate(still, 200, constant_speed=True).position.diff(dim=0).norm(dim=-1)
    assert steps.max() / steps.min() < 1.05  # the chord across the sharpest bend is shorter than its arc
    steps = interpolate(still, 200).position.diff(dim=0).norm(dim=-1)
    assert steps.max() / steps.min() > 5


def test_interpolation_turns_on_the_spot_and_about_face() -> None:
    there = torch.tensor([1.0, 2.0, 3.0])
    front = look_at(there, there + torch.tensor([1.0, 0, 0]), UP)
    behind = look_at(there, there - torch.tensor([1.0, 0, 0]), UP)
    template = scattered(3)
    pose = torch.stack([front, behind, front])
    for constant_speed in (False, True):
        path = interpolate(replace(template, pose=pose), 41, constant_speed=constant_speed)
        assert torch.allclose(path.position, there.expand(41, 3), atol=1e-5)
        assert angles(path).sum() == pytest.approx(2 * math.pi, abs=0.05)
        assert angles(path).max() < 0.5
        assert path.pose.isfinite().all()
    same = interpolate(replace(template, pose=pose[:1].expand(3, 4, 4)), 10, loop=True, constant_speed=True)
    assert torch.allclose(same.pose, front.expand(10, 4, 4), atol=1e-6)


@given(st.integers(1, 40), st.integers(0, 1000), st.integers(2, 150))
@settings(max_examples=30, deadline=None)
def test_a_walk_is_level_and_stays_among_the_cameras(count: int, seed: int, frames: int) -> None:
    room = scattered(count, seed)
    path = walk(room, UP, frames)
    assert path.pose[:, 2, 0].abs().max() < 1e-5  # the image's x axis is horizontal
    assert (path.pose[:, 2, 1] < 0).all()  # and up is up
    low, high = room.position.amin(0), room.position.amax(0)
    assert ((path.position >= low - 1e-4) & (path.position <= high + 1e-4)).all()
    assert angles(path).sum() < max(2 * math.pi, math.radians(2) * frames) + 1.5  # and the pitch


def test_a_walk_has_an_even_calm_pace() -> None:
    path = walk(scattered(60), UP, 240)
    steps = path.position.diff(dim=0).norm(dim=-1)
    assert steps.max() < 2 * steps.mean()
    assert steps.sum() > 4  # it does go somewhere
    assert angles(path).max() < math.radians(8)


def test_a_walk_along_a_corridor_follows_it() -> None:
    eye = torch.stack([torch.linspace(0, 10, 21), torch.zeros(21), torch.full((21,), 1.5)], -1)
    shuffled = eye[torch.randperm(21, generator=torch.Generator().manual_seed(0))]
    template = scattered(21)
    path = walk(replace(template, pose=look_at(shuffled, shuffled + torch.tensor([1.0, 0, 0]), UP)), UP, 50)
    x = path.position[:, 0]
    assert (x.diff() > 0).all() or (x.diff() < 0).all()
    assert x.max() - x.min() > 8
    assert torch.allclose(path.forward, torch.tensor([1.0, 0, 0]).expand(50, 3), atol=1e-4)


def test_a_walk_survives_one_place_one_camera_and_steep_views() -> None:
    template = scattered(8)
    there = torch.tensor([1.0, 2.0, 1.5]).expand(8, 3)
    turn = torch.linspace(0, 5, 8)
    pan = look_at(there, there + torch.stack([turn.cos(), turn.sin(), torch.zeros(8)], -1), UP)
    path = walk(replace(template, pose=pan), UP, 30)
    assert torch.allclose(path.position, there[0].expand(30, 3), atol=1e-5)
    assert angles(path).sum() > 2.5
    assert torch.allclose(walk(template[2:3], UP, 4).pose, template[2:3].pose.expand(4, 4, 4), atol=1e-5)
    down = look_at(there, there - UP, torch.tensor([0.0, 1.0, 0.0]))
    assert walk(replace(template, pose=down), UP, 5).forward[:, 2].max() < -0.9


def test_what_gives_no_path_is_refused() -> None:
    nan = torch.tensor([0.0, float("nan"), 0.0])
    for wrong in (
        lambda: orbit(START, TARGET, UP, 0),
        lambda: orbit(START, TARGET, torch.zeros(3), 5),
        lambda: orbit(START, nan, UP, 5),
        lambda: orbit(START, TARGET, UP, 5, float("inf")),
        lambda: turntable(START, START.position, UP, 5),
        lambda: turntable(START, TARGET, UP, 5, 90),
        lambda: turntable(START, TARGET, UP, 5, float("nan")),
        lambda: spiral(START, START.position, UP, 5, 0.0),
        lambda: spiral(START, START.position + UP, UP, 5, 0.0),
        lambda: spiral(START, TARGET, UP, 5, float("nan")),
        lambda: dolly(START, 5, float("nan")),
        lambda: zoom(START, 5, 0.0),
        lambda: zoom(START, 5, float("inf")),
        lambda: interpolate(scattered(3), -1),
        lambda: interpolate(scattered(3)[:0], 5),
        lambda: interpolate(scattered(3).map(lambda x: x * float("nan")), 5),
        lambda: interpolate(replace(scattered(2), pose=-scattered(2).pose), 5),
        lambda: walk(scattered(3), torch.zeros(3), 5),
    ):
        with pytest.raises(BadInput) as error:
            wrong()
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="single"):
        orbit(scattered(3), TARGET, UP, 5)
    with pytest.raises(ValueError, match="batch"):
        walk(START, UP, 5)


def test_small_noise_in_given_rotations_is_removed() -> None:
    noisy = replace(START, pose=START.pose + 5e-5 * torch.tensor([[1.0, -1, 1, 0]] * 3 + [[0.0] * 4]))
    rotation = dolly(noisy, 3, 1.0).pose[:, :3, :3]
    assert (rotation @ rotation.transpose(1, 2) - torch.eye(3)).abs().max() < 1e-6
