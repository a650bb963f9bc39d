"""What a camera did: told from the tracks of cameras that did it."""

from dataclasses import replace

import made_surveys as made
import numpy as np
import pytest
import torch

from fieldscape.systems.tracks import small_motion
from fieldscape.systems.tracks.adjusting import Freedom, reprojection
from fieldscape.systems.tracks.camera_kind import Signs, in_words, kind_of, largest_shift, only_turned, stands_still
from fieldscape.systems.tracks.small_motion import moved_little
from fieldscape.systems.tracks.survey import misses, rebased
from fieldscape.systems.tracks.triangulating import parallax
from fieldscape.systems.tracks.turning import chained, turning


def signs(truth: made.Survey, noise: float = 0.2) -> Signs:
    """As ``finding.cameras`` gathers them, the focal length aside."""
    seen = made.seen(truth, noise)
    turned = turning(seen, (made.WIDTH, made.HEIGHT), 1.0)
    freedom = Freedom(focal_guess=0.9 * made.WIDTH, focal_doubt=0.5, limits=(0.5 * made.WIDTH, 3.0 * made.WIDTH))
    moved = moved_little(turned.survey, seen, freedom, 1.0, 0)
    angle = float(np.median(parallax(moved.survey, seen)))
    error = float(np.median(reprojection(moved.survey, seen)))
    return Signs(turned.error, error, np.radians(angle) * moved.survey.focal, angle, 0.01)


def test_a_camera_that_only_turned() -> None:
    truth = made.survey(8, 60, step=0.0, turn=0.03)
    found = signs(truth)
    assert only_turned(found)
    assert kind_of(found) == "rotation"
    assert "No depth" in in_words("rotation", found, 300.0, made.WIDTH)


def test_a_camera_that_moved_a_little() -> None:
    found = signs(made.survey(8, 60, step=0.01, turn=0.03))
    assert not only_turned(found)
    assert kind_of(found) == "low"


def test_a_camera_that_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_motion, "TRIAL_POINTS", 30)  # of 60
    found = signs(made.survey(8, 60, step=0.08, turn=0.01))
    assert kind_of(found) == "full"
    assert kind_of(replace(found, focal_doubt=0.05)) == "low"
    assert "hardly more than a guess" in in_words("low", replace(found, focal_doubt=0.05), 300.0, made.WIDTH)


def test_a_tripod_shakes_less_than_a_slow_pan() -> None:
    still = made.survey(20, 80, step=0.0, turn=0.0)
    assert stands_still(made.points_of(still, noise=0.1), made.WIDTH)[0]
    slow = made.survey(20, 80, step=0.0, turn=0.0005)  # 0.15 px a frame, 3 in all
    assert not stands_still(made.points_of(slow, noise=0.1), made.WIDTH)[0]


def test_what_moves_does_not_move_the_tripod() -> None:
    still = made.points_of(made.survey(20, 80, step=0.0, turn=0.0))
    places = still.places.clone()
    places[:, :30] += torch.arange(20.0)[:, None, None]  # less than half, not known to move
    assert stands_still(replace(still, places=places), made.WIDTH)[0]
    layer = torch.where(torch.arange(80) < 60, 1, 0)
    places[:, :60] += torch.arange(20.0)[:, None, None]  # more than half, known to move
    assert stands_still(replace(still, places=places, layer=layer), made.WIDTH)[0]


def test_a_picture_that_changes_wholly_was_not_taken_from_a_tripod() -> None:
    still = made.points_of(made.survey(20, 80, step=0.0, turn=0.0))
    frame = torch.arange(20)[:, None]
    brief = still.seen & (torch.arange(80)[None] // 40 == frame // 10)
    gone = replace(still, seen=brief & (frame % 10 < 10))
    assert largest_shift(gone) == float("inf")


def test_turns_and_the_focal_length_of_a_pan_are_found() -> None:
    truth = rebased(made.survey(12, 100, step=0.0, turn=0.04))
    found = turning(made.seen(truth), (made.WIDTH, made.HEIGHT), 1.0)
    assert found.survey.focal == pytest.approx(300, rel=2e-3)
    np.testing.assert_allclose(found.survey.turn, truth.turn, atol=2e-3)


def test_chained_turns_are_exact_for_perfect_sightings() -> None:
    truth = made.survey(12, 100, step=0.0, turn=0.04)
    found = chained(made.seen(truth), 300.0, truth.middle)
    np.testing.assert_allclose(found.turn, truth.turn, atol=1e-9)
    assert np.abs(misses(found, made.seen(truth))).max() < 1e-6
