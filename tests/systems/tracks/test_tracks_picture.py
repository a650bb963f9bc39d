"""Pictures put together of layers, and of a whole small clip."""

import pytest
import torch
from made_footage import SPEED, camera_at_place, made_footage, mover_mask, photo

from fieldscape.cameras import image_rays
from fieldscape.metrics import psnr
from fieldscape.systems.tracks.blending import Blended, Blender
from fieldscape.systems.tracks.config import FillSettings, SourceSettings
from fieldscape.systems.tracks.filling import Filling, placed
from fieldscape.systems.tracks.footage import Footage, lateness, steps_apart
from fieldscape.systems.tracks.picture import Painter, composed, draw, stacked


def painter(footage: Footage) -> Painter:
    chance = torch.Generator().manual_seed(0)
    filling = Filling(FillSettings(), chance)
    placed(filling, footage.tracked)
    return Painter(Blender(8, chance), filling, SourceSettings())


def layer(color: float, alpha: float, depth: float) -> Blended:
    one = torch.ones(4)
    return Blended(color * torch.ones(3, 4), alpha * one, depth * one, 0 * one)


def test_layers_are_laid_over_each_other():
    behind = torch.zeros(3, 4)
    color, covered, depth = composed([layer(0.5, 0.5, 4.0), layer(1.0, 0.5, 1.0)], behind, 2, 2)
    # Behind 0, a half of 0.5, a half of 1: 0.5 * 0.25 + 0.5.
    assert torch.allclose(color, torch.full((3, 2, 2), 0.625))
    assert torch.allclose(covered, torch.full((2, 2), 0.75))
    assert torch.allclose(depth, torch.full((2, 2), (0.5 * 1 + 0.25 * 4) / 0.75))


@pytest.mark.parametrize(("depth", "shown"), [(3.0, 0.2), (1.0, 0.9), (2.03, 0.9)])
def test_a_mover_is_hidden_only_by_what_is_clearly_nearer(depth, shown):
    """The background is at 2; a mover a little behind it is still shown, for its depth is rough."""
    color, _, _ = composed([layer(0.2, 1.0, 2.0), layer(0.9, 1.0, depth)], torch.zeros(3, 4), 2, 2)
    assert float(color.mean()) == pytest.approx(shown, abs=0.03)


def test_contrast_sharpens_edges_and_leaves_flat_parts():
    flat = Blended(torch.full((3, 25), 0.5), torch.ones(25), torch.ones(25), torch.full((25,), 0.5))
    assert torch.allclose(composed([flat], torch.zeros(3, 25), 5, 5)[0], torch.full((3, 5, 5), 0.5))
    dot = torch.full((3, 25), 0.5)
    dot[:, 12] = 0.8
    found = composed([Blended(dot, torch.ones(25), torch.ones(25), torch.full((25,), 0.5))], torch.zeros(3, 25), 5, 5)
    assert float(found[0][0, 2, 2]) == pytest.approx(0.8 + 0.5 * (0.3 - 0.3 / 9), abs=1e-5)


def test_a_time_between_frames_is_as_the_camera_would_have_seen_it():
    footage = made_footage()
    drawn = draw(footage, painter(footage), camera_at_place(2.5 * SPEED), 0.25)
    assert float(psnr(drawn.color, photo(2.5 * SPEED))) > 38
    assert float(drawn.alpha[:, :-3].min()) > 0.99
    # The wall is 2 away along the axis: farther along the rays at the sides.
    assert float(drawn.depth[18, 24, 0]) == pytest.approx(2, abs=1e-2)
    assert float(drawn.depth[18, 2, 0]) == pytest.approx(2 * (1 + (21.5 / 40) ** 2) ** 0.5, abs=2e-2)


def test_a_frame_left_out_is_not_used():
    footage = made_footage()
    footage.tracked.clip.frames[3] = 255
    mine = draw(footage, painter(footage), camera_at_place(3 * SPEED), 0.3, leave=3)
    assert float(psnr(mine.color, photo(3 * SPEED))) > 35
    assert float(psnr(draw(footage, painter(footage), camera_at_place(3 * SPEED), 0.3).color, photo(3 * SPEED))) < 15


def test_a_mover_is_where_it_is_at_that_time_and_its_background_is_found_elsewhere():
    footage = made_footage(mover=True)
    drawn = draw(footage, painter(footage), camera_at_place(2.5 * SPEED), 0.25)
    red = (drawn.color - torch.tensor([0.9, 0.1, 0.1])).abs().amax(-1) < 0.12
    columns = red[16:22].float().mean(0).nonzero().flatten()
    assert abs(int(columns.min()) - 13) <= 2
    assert abs(int(columns.max()) - 22) <= 2
    away = ~(mover_mask(2) | mover_mask(3))
    away[:, 44:] = False
    truth = photo(2.5 * SPEED)
    assert float(psnr(drawn.color[away][:, None], truth[away][:, None])) > 30


def test_what_no_frame_shows_is_painted_and_said():
    footage = made_footage()
    drawn = draw(footage, painter(footage), camera_at_place(-1.5), 0.0)
    hidden = drawn.alpha[..., 0] < 0.5
    assert bool(hidden[:, :8].all())
    assert not bool(hidden.all())
    assert float(drawn.depth[hidden].abs().max()) == 0
    assert bool(drawn.color.isfinite().all())
    assert float(drawn.color[hidden].min()) > 0.01


def test_sources_are_as_many_steps_away_as_the_footage_says():
    footage, camera, when = made_footage(mover=True), camera_at_place(2.4 * SPEED), 0.25
    stacks = stacked(footage, camera, when, SourceSettings())
    directions = image_rays(camera).directions.reshape(-1, 3)
    cosine = (directions * camera.forward).sum(-1)
    assert [stack.mover for stack in stacks] == [False, True]
    for stack in stacks:
        for i, late in enumerate(stack.late.tolist()):
            frame = min(range(7), key=lambda j: abs(lateness(footage, j, when) - late))
            places = camera.position + directions * (stack.depth[i] / cosine)[:, None]
            assert torch.allclose(
                stack.apart[i], steps_apart(footage, frame, camera, when, places, stack.mover), rtol=1e-4
            )
