"""What training refuses before it begins."""

from dataclasses import replace

import pytest
import torch

from fieldscape.cameras import look_at
from fieldscape.errors import BadInput
from fieldscape.framing import frame
from fieldscape.systems.nerf import foresight
from fieldscape.types import Camera, Views


def capture(position: torch.Tensor, target: torch.Tensor) -> Views:
    """Noise photos of cameras at ``position`` [v, 3] that look at ``target`` [v, 3]."""
    count = len(position)
    pose = look_at(position, target, torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(pose, torch.full((count, 2), 40.0), torch.full((count, 2), 16.0), 32, 32)
    images = torch.rand(count, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    return Views(camera, images, tuple(f"photo-{i}" for i in range(count)), (), "none")


def ring(count: int = 12) -> torch.Tensor:
    angle = torch.arange(count) * (2 * torch.pi / count)
    return torch.stack([3 * angle.cos(), 3 * angle.sin(), torch.full_like(angle, 0.5)], -1)


def judge(views: Views) -> None:
    foresight.require_sound(views, frame(views))


def test_an_orbit_is_sound_and_so_is_a_room_from_inside() -> None:
    judge(capture(ring(), torch.zeros(12, 3)))
    judge(capture(0.3 * ring(), 3 * ring()))


def test_cameras_that_look_apart_are_refused() -> None:
    # Far from one another, each looks straight away from all others.
    few = ring(4)
    with pytest.raises(BadInput, match="where no other camera looks"):
        judge(capture(few, 10 * few))


def test_one_camera_far_away_is_named() -> None:
    position = ring()
    position[5] *= 1000
    with pytest.raises(BadInput, match="photo-5"):
        judge(capture(position, torch.zeros(12, 3)))


def test_photos_of_one_colour_are_refused_unless_alpha_shows_something() -> None:
    views = capture(ring(), torch.zeros(12, 3))
    with pytest.raises(BadInput, match="one and the same colour"):
        judge(replace(views, images=torch.full_like(views.images, 0.5)))
    cut_out = torch.ones(12, 32, 32, 4)
    cut_out[:, :10, :, 3] = 0
    foresight.require_sound(replace(views, images=cut_out), frame(views))


def test_a_grid_that_does_not_fit_is_made_smaller_or_refused() -> None:
    free = 2 * 10**9
    assert foresight.affordable(100, 1.0, True, free) == 100
    smaller = foresight.affordable(512, 1.0, False, free)
    assert 100 < smaller < 512
    assert foresight.grid_bytes(smaller, 1.0) <= free
    assert foresight.affordable(512, 0.05, False, free) > smaller
    with pytest.raises(BadInput, match=r"--resolution 512 .* at most"):
        foresight.affordable(512, 1.0, True, free)
    assert foresight.affordable(512, 1.0, True, None) == 512


def test_free_memory_is_a_plausible_number_or_unknown() -> None:
    free = foresight.free_memory()
    assert free is None or 10**7 < free < 10**14
