"""The plain ways to show a time between frames do what they say, and a mesh warp is the best of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_tracks import Stage, held, made_tracks

from fieldscape.metrics import psnr
from fieldscape.systems.tracks.baselines import carried, copy, homography, mesh_warp


def test_copy_is_the_nearest_frame() -> None:
    tracked = made_tracks(Stage())
    assert torch.equal(copy(tracked, 0.21), tracked.clip.color(2))
    assert torch.equal(copy(tracked, -5.0), tracked.clip.color(0))
    assert torch.equal(copy(tracked, 5.0), tracked.clip.color(5))


def test_a_plane_is_a_homography() -> None:
    tracked = made_tracks(Stage())
    _, truth, _ = held(Stage(), tracked, 0.24)
    shown = homography(tracked, 0.24)
    assert float(psnr(shown[4:-4, 8:-8], truth[4:-4, 8:-8])) > 38
    assert float(psnr(copy(tracked, 0.24)[4:-4, 8:-8], truth[4:-4, 8:-8])) < 35


def test_the_mesh_warp_is_the_best_where_there_is_depth() -> None:
    stage = Stage(card=True, mover=True)
    tracked = made_tracks(stage)
    without = [0, 1, 3, 4, 5]
    known = replace(
        tracked, clip=tracked.clip.at(without), camera=tracked.camera[torch.tensor(without)],
        points=replace(
            tracked.points, places=tracked.points.places[without], seen=tracked.points.seen[without],
            sure=tracked.points.sure[without],
        ), world=tracked.world[without],
    )  # fmt: skip
    truth = tracked.clip.color(2)
    plain, plane, warped = (float(psnr(show(known, 0.2), truth)) for show in (copy, homography, mesh_warp))
    assert plain < plane < warped
    assert warped > 26


def test_at_a_frames_own_time_it_is_shown() -> None:
    tracked = made_tracks(Stage(card=True))
    for show in (copy, homography, mesh_warp):
        assert float(psnr(show(tracked, float(tracked.clip.seconds[3])), tracked.clip.color(3))) > 38


def test_the_border_is_carried_by_the_affine_map_of_its_neighbours() -> None:
    known = np.random.default_rng(0).uniform(0, 50, (60, 2))
    places = np.array([[0.0, 0.0], [50.0, 25.0]])
    shift = np.array([2.0, -1.0])
    assert carried(places, known, known + shift) == pytest.approx(places + shift)
    grown = carried(places, known, 1.1 * known)
    near = np.abs(grown - 1.1 * places).max()
    assert near < np.abs(grown - places).max() + 0.5
    assert near < 1.0


def test_without_points_the_frame_is_copied() -> None:
    tracked = made_tracks(Stage())
    unseen = replace(tracked, points=replace(tracked.points, seen=torch.zeros_like(tracked.points.seen)))
    for show in (homography, mesh_warp):
        assert torch.equal(show(unseen, 0.24), copy(unseen, 0.24))


def test_values_stay_within_bounds() -> None:
    tracked = made_tracks(Stage(card=True))
    frames = torch.where(tracked.clip.frames > 128, 255, 0).to(torch.uint8)  # hard edges, at which cubics overshoot
    hard = replace(tracked, clip=replace(tracked.clip, frames=frames))
    for show in (homography, mesh_warp):
        shown = show(hard, 0.24)
        assert 0 <= float(shown.min()) <= float(shown.max()) <= 1
