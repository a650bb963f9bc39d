"""From which frames colours are fetched."""

import pytest
import torch
from made_footage import SPEED, camera_at_place, made_footage

from fieldscape.systems.tracks.config import SourceSettings
from fieldscape.systems.tracks.footage import chosen, lateness, nearest_in_time, showing, steps_apart, without


def test_a_step_is_a_frame_and_its_angle():
    footage = made_footage()
    assert footage.step == pytest.approx(0.1)
    # The wall is 2 away: seen from its middle a step is about 0.05 / 2 radians, from its sides a little less.
    assert 0.8 * SPEED / 2 < footage.angle < SPEED / 2
    assert lateness(footage, 4, 0.3) == pytest.approx(1, abs=1e-5)


def test_in_time_the_nearest_on_both_sides():
    footage = made_footage()
    assert nearest_in_time(footage, 0.31, 1, list(range(7))) == [3, 4]
    assert nearest_in_time(footage, 0.3, 1, [0, 1, 2, 4, 5, 6]) == [2, 4]
    assert nearest_in_time(footage, 0.0, 2, list(range(7))) == [0, 1, 2]


def test_on_the_path_time_chooses_and_off_it_direction():
    footage, settings = made_footage(), SourceSettings(around=1, turned=2)
    assert set(chosen(footage, camera_at_place(0.3 * SPEED * 10 * 0.5), 0.15, settings, None)) == {1, 2}
    # Frame 1's time, but from where the camera was at frame 5.
    found = chosen(footage, camera_at_place(5 * SPEED), 0.1, settings, None)
    assert found[0] == 5
    assert set(found) <= {4, 5, 6}
    assert 5 not in chosen(footage, camera_at_place(5 * SPEED), 0.1, settings, 5)


def test_still_camera_is_served_by_time():
    footage = made_footage(still=True)
    assert set(chosen(footage, camera_at_place(0.0), 0.25, SourceSettings(around=1), None)) == {2, 3}


def test_the_frame_that_saw_a_hole_is_found():
    footage = made_footage()
    hole = torch.zeros(36, 48, dtype=torch.bool)
    hole[:, 44:] = True
    # At frame 0 the right edge is what later cameras see best; the nearest in time of equally good ones.
    found = showing(footage, camera_at_place(0.0), 0.0, hole, [0, 1])
    assert found is not None
    assert found >= 2
    assert showing(footage, camera_at_place(0.0), 0.0, torch.zeros(36, 48, dtype=torch.bool), [0]) is None


def test_distance_grows_with_turn_and_time():
    footage = made_footage()
    places = torch.tensor([[0.1, 0.0, 2.0]])
    camera = camera_at_place(3 * SPEED)
    apart = [float(steps_apart(footage, i, camera, 0.3, places, mover=False)) for i in range(3, 7)]
    assert apart == sorted(apart)
    assert apart[0] == pytest.approx(0.1, abs=1e-3)
    # The middle of the wall is seen under a wider angle than most of it.
    assert apart[1] == pytest.approx((1 + 0.3**2 + 0.1**2) ** 0.5, rel=0.2)
    assert float(steps_apart(footage, 5, camera, 0.3, places, mover=True)) == pytest.approx(2.0, rel=0.01)


def test_without_a_frame_nothing_of_it_is_left():
    footage = without(made_footage(), 3)
    assert len(footage.tracked.clip) == 6
    assert 3 not in footage.tracked.clip.numbers
    assert [sheet.frame for sheets in footage.sheets for sheet in sheets] == list(range(6))
    assert footage.tracked.world.shape[0] == len(footage.tracked.camera) == 6
