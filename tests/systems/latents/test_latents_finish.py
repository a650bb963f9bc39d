"""The learned finish: it sees what the kernels draw, and makes better what a fit has not seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape.cameras import look_at
from fieldscape.errors import BadInput
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.finish import (
    FinishSettings,
    Unfinished,
    drawn,
    finish,
    learn_finish,
    left_out,
    unfinished,
    without,
)
from fieldscape.systems.latents.voxel.fitting import Fitted, fit_object
from fieldscape.systems.latents.voxel.lift import Lift
from fieldscape.systems.latents.voxel.room import room_around
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.types import Camera, Views
from fieldscape.voxels.bricks import Workers

SIZE = 24
FEW = FinishSettings(width=8, steps=60, rate=5e-3, rays=300)


def ball(number: int, count: int = 12) -> Views:
    """A ball of one colour on white; its size and colour are those of its number."""
    turn, height = torch.arange(count) * 2.4, torch.linspace(-0.8, 0.8, count)[torch.arange(count) * 5 % count]
    ring = (1 - height**2).sqrt()
    eyes = 1.3 * torch.stack([ring * turn.cos(), ring * turn.sin(), height], -1)
    poses = look_at(eyes, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    half = torch.full((count, 2), SIZE / 2)
    camera = Camera(poses, torch.full((count, 2), 1.05 * SIZE), half, SIZE, SIZE)
    radius = 0.2 + 0.02 * number
    pixel = (torch.arange(SIZE) + 0.5 - SIZE / 2) / (1.05 * SIZE)
    y, x = torch.meshgrid(pixel, pixel, indexing="ij")
    apart = 1.3 * ((x**2 + y**2) / (1 + x**2 + y**2)).sqrt()
    color = torch.tensor([0.7, 0.2 + 0.1 * number, 0.3])
    image = torch.where((apart < radius)[..., None], color, torch.ones(3))
    images = (image * 255).round().to(torch.uint8).expand(count, SIZE, SIZE, 3).contiguous()
    return Views(camera, images, tuple(map(str, range(count))), (count - 1,), "the last", (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def shared() -> VoxelShared:
    return VoxelShared(room_around(torch.full((1, 3), -0.3), torch.full((1, 3), 0.3), 10))


def fitted(shared: VoxelShared, number: int) -> tuple[Fitted, Views, list[int]]:
    views = ball(number)
    asked = left_out(views, number)
    settings = VoxelSettings(start="hull", rays=3000)
    return fit_object(shared, without(views, asked), settings, 0, Workers(1)), views, asked


def field(shared: VoxelShared, number: int) -> Unfinished:
    fit, views, asked = fitted(shared, number)
    assert fit.light is not None
    return unfinished(fit.bricks, fit.subject, fit.light, views, asked)


def test_every_fifth_photo_is_left_out_and_the_held_out_ones_stay_so() -> None:
    views = ball(0)
    assert left_out(views, 1) == [1, 6]
    assert without(views, [1, 6]).held_out == (1, 6, 11)
    assert left_out(ball(0, 8), 1) == []


def test_what_is_differentiated_is_what_the_kernels_draw(shared: VoxelShared) -> None:
    fit, views, asked = fitted(shared, 2)
    assert fit.light is not None
    seen = unfinished(fit.bricks, fit.subject, fit.light, views, asked)
    ours = drawn(seen, None, 0, len(seen.colors))
    pictures = torch.cat([fit.bricks.picture(views.camera[i], torch.ones(3)).color.reshape(-1, 3) for i in asked])
    truth = torch.cat([views.color(i).reshape(-1, 3) for i in asked])
    white = len(truth) - len(seen.colors)
    # The rays that meet nothing are left out; the others come in the order of the pixels.
    error, whole = (ours - seen.colors).square().sum(), (pictures - truth).square().sum()
    torch.testing.assert_close(error, whole, rtol=2e-2, atol=1e-3)
    assert white > 0
    part = drawn(seen, None, 5, 40)
    torch.testing.assert_close(part, ours[5:40])


def test_a_network_that_knows_nothing_changes_nothing(shared: VoxelShared) -> None:
    fit, _, _ = fitted(shared, 1)
    assert fit.light is not None
    before = fit.bricks.grid.table.copy()
    finish(fit.bricks, fit.subject, fit.light, Lift(8, torch.Generator().manual_seed(0)))
    np.testing.assert_array_equal(fit.bricks.grid.table[:, :13], before[:, :13])


def test_what_is_learned_makes_what_was_left_out_better_and_repeats(shared: VoxelShared) -> None:
    fields = [field(shared, number) for number in range(3)]
    again, two = (learn_finish(fields, replace(FEW, steps=4), 0, lambda step: False) for _ in range(2))
    assert again is not None
    assert two is not None
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), two.state_dict().values()))
    one = learn_finish(fields, FEW, 0, lambda step: False)
    assert one is not None
    with torch.no_grad():
        for each in fields:
            moves = one(each.features.float())
            first, later = ((drawn(each, m, 0, len(each.colors)) - each.colors).square().mean() for m in (None, moves))
            assert later < first
    assert learn_finish(fields, FEW, 0, lambda step: step == 3) is None


def test_the_finish_is_kept_with_the_class_and_used_after_a_lift(shared: VoxelShared) -> None:
    chance = torch.Generator().manual_seed(1)
    lift, last = Lift(8, chance), Lift(4, chance)
    torch.nn.init.constant_(last.layers[2].bias, 0.3)
    whole = replace(shared, lift=lift, prior=np.zeros((*shared.room.shape, 2), np.float32), finish=last)
    read = VoxelShared.of(whole.tensors(), whole.details())
    assert read.finish is not None
    assert all(torch.equal(a, b) for a, b in zip(read.finish.state_dict().values(), last.state_dict().values()))
    settings = VoxelSettings(rays=2000, warm=1000)
    with_it, without_it = (
        fit_object(each, ball(1), settings, 0, Workers(1)).bricks.tensors()["lines"]
        for each in (read, replace(read, finish=None))
    )
    moved = (with_it - without_it)[..., :13]
    assert float(moved.abs().max()) == pytest.approx(0.3, abs=1e-3)
    with pytest.raises(BadInput, match="finish"):
        VoxelShared.of(whole.tensors(), whole.details() | {"finish": 5})
