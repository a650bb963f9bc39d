"""From a clip and its tracks to the world: each kind of camera, given cameras and depths, movers, and bad input."""

from dataclasses import replace
from pathlib import Path

import made_surveys as made
import numpy as np
import pytest
import torch

from fieldscape.cameras import project
from fieldscape.errors import BadInput
from fieldscape.progress import progress
from fieldscape.systems.tracks import finding
from fieldscape.systems.tracks.finding import _between, _spread
from fieldscape.systems.tracks.judging_cameras import camera_errors, depth_error
from fieldscape.systems.tracks.nouns import Clip, Points, Tracked
from fieldscape.systems.tracks.solve_settings import SolveSettings
from fieldscape.systems.tracks.solving import solve, straightened
from fieldscape.types import Camera


def camera_of(truth: made.Survey) -> Camera:
    t = truth.frames
    pose = torch.eye(4).repeat(t, 1, 1)
    pose[:, :3, :3], pose[:, :3, 3] = torch.from_numpy(truth.turn).float(), torch.from_numpy(truth.place).float()
    middle = torch.tensor([made.WIDTH / 2, made.HEIGHT / 2]).expand(t, 2)
    return Camera(pose, torch.full((t, 2), truth.focal), middle, made.WIDTH, made.HEIGHT)


def solved(
    clip: Clip, points: Points, work: Path, given: Camera | None = None, depths: torch.Tensor | None = None,
    settings: SolveSettings | None = None,
) -> Tracked:  # fmt: skip
    with progress(None, "test", quiet=True) as bar:
        return solve(clip, points, settings or SolveSettings(), given, depths, work, bar)


def require_on_rays(tracked: Tracked) -> None:
    assert bool(tracked.world.isfinite().all())
    for t in range(len(tracked.clip)):
        pixel, z = project(tracked.camera[t], tracked.world[t])
        seen = tracked.points.seen[t]
        assert bool((z[seen] > 0).all())
        torch.testing.assert_close(pixel[seen], tracked.points.places[t, seen], atol=2e-2, rtol=0)


def test_a_moving_camera_is_found_even_without_structure_from_motion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "mapped", lambda *anything: None)
    monkeypatch.setattr(finding, "NOISE", 0.0)
    truth = made.survey(7, 70, step=0.12, turn=0.03)
    tracked = solved(made.clip_of(7), made.points_of(truth, noise=0.1), tmp_path)
    errors = camera_errors(tracked.camera, camera_of(truth))
    assert tracked.kind in ("low", "full")
    assert errors.path < 2
    assert errors.turn < 0.3
    assert any("Structure from motion found no model" in note for note in tracked.notes)
    require_on_rays(tracked)


def test_structure_from_motion_is_asked_only_where_something_is_left_to_explain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(finding, "mapped", lambda *anything: asked.append(1))
    truth = made.survey(7, 60, step=0.08, turn=0.02)
    points = made.points_of(truth, noise=0.1)
    solved(made.clip_of(7), points, tmp_path)
    assert not asked
    half = torch.arange(7)[:, None] // 4 == torch.arange(60)[None] % 2  # the last frame shares no point with the first
    half[3:5] = True
    solved(made.clip_of(7), replace(points, seen=points.seen & half), tmp_path)
    assert asked


def test_points_that_slide_a_little_hardly_pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the points slides outward from the middle, up to a pixel: a longer focal length would explain it."""
    truth = made.survey(6, 60, step=0.13, turn=0.03)
    points = made.points_of(truth, noise=0.05)
    outward = points.places - torch.tensor([made.WIDTH / 2, made.HEIGHT / 2])
    outward = outward / outward.norm(dim=-1, keepdim=True).clamp_min(1)
    slides = (torch.arange(60) % 3 == 0)[:, None] * torch.linspace(0, 1, 6)[:, None, None]
    sliding = replace(points, places=points.places + slides * outward)
    fine = solved(made.clip_of(6), sliding, tmp_path)
    monkeypatch.setattr(finding, "FINEST", 1.0)
    coarse = solved(made.clip_of(6), sliding, tmp_path)
    off = [camera_errors(each.camera, camera_of(truth)) for each in (fine, coarse)]
    assert off[0].path < 0.7 * off[1].path
    assert off[0].focal < 0.7 * off[1].focal


def test_a_camera_that_turned_gets_no_parallax(tmp_path: Path) -> None:
    truth = made.survey(8, 70, step=0.0, turn=0.03)
    tracked = solved(made.clip_of(8), made.points_of(truth, noise=0.1), tmp_path)
    assert tracked.kind == "rotation"
    assert not bool(tracked.deep.any())
    torch.testing.assert_close(tracked.camera.position, torch.zeros(8, 3))
    torch.testing.assert_close(tracked.world.norm(dim=-1), torch.ones(tracked.world.shape[:2]), atol=0.02, rtol=0)
    assert camera_errors(tracked.camera, camera_of(truth)).turn < 0.1
    require_on_rays(tracked)


def test_a_tripod_stays_and_says_what_is_not_known(tmp_path: Path) -> None:
    truth = made.survey(8, 70, step=0.0, turn=0.0)
    tracked = solved(made.clip_of(8), made.points_of(truth, noise=0.1), tmp_path)
    assert tracked.kind == "tripod"
    assert bool((tracked.camera.pose == tracked.camera.pose[0]).all())
    torch.testing.assert_close(tracked.world[..., 2], torch.ones(tracked.world.shape[:2]), atol=1e-5, rtol=0)
    assert "assumed" in tracked.notes[0]
    require_on_rays(tracked)


def test_too_little_background_assumes_no_motion_and_says_so(tmp_path: Path) -> None:
    points = made.points_of(made.survey(8, 40))
    points = replace(points, layer=torch.where(torch.arange(40) < 10, 0, 1))
    tracked = solved(made.clip_of(8), points, tmp_path)
    assert tracked.kind == "tripod"
    assert "cannot be told" in tracked.notes[0]


def test_given_cameras_are_kept_and_points_found(tmp_path: Path) -> None:
    truth = made.survey(10, 80)
    camera = camera_of(truth)
    tracked = solved(made.clip_of(10), made.points_of(truth, noise=0.1), tmp_path, given=camera)
    assert tracked.kind == "given"
    torch.testing.assert_close(tracked.camera.pose, camera.pose)
    depths = torch.zeros(10, made.HEIGHT, made.WIDTH)
    point = torch.from_numpy(truth.direction / truth.nearness[:, None]).float()
    for t in range(10):
        pixel, z = project(camera[t], point)
        column, row = (pixel[:, k].long().clamp(0, side - 1) for k, side in enumerate(tracked.clip.size))
        depths[t, row, column] = z
    own, _ = depth_error(tracked, depths, 1.0)
    assert own < 2
    require_on_rays(tracked)


def test_places_seen_through_a_lens_are_straightened() -> None:
    truth = made.survey(5, 50)
    plain = camera_of(truth)
    bent = torch.tensor([-0.2, 0.05, 0.001, 0.002, 0.0]).expand(5, 5)
    lens = Camera(plain.pose, plain.focal * 1.1, plain.center + 7, plain.width, plain.height, "brown", bent)
    point = torch.from_numpy(truth.direction / truth.nearness[:, None]).float()
    places = torch.stack([project(lens[t], point)[0] for t in range(5)])
    points = replace(made.points_of(truth), places=places)
    straight, survey = straightened(points, lens)
    pinhole = replace(plain, focal=torch.full((5, 2), float(survey.focal)))
    for t in range(5):
        torch.testing.assert_close(straight.places[t], project(pinhole[t], point)[0], atol=1e-2, rtol=0)


def test_a_mover_is_before_what_it_hides_and_moves(tmp_path: Path) -> None:
    truth = made.survey(8, 120, turn=0.0)
    background = made.points_of(truth)
    time = torch.arange(8.0)[:, None, None]
    corner = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij"), -1).reshape(1, 16, 2)
    places = torch.tensor([60.0, 40.0]) + 12 * time * torch.tensor([1.0, 0.0]) + 12 * corner
    seen = torch.ones(8, 16, dtype=torch.bool)
    seen[3:5, 2] = False
    points = Points(
        torch.cat([background.places, places], 1), torch.cat([background.seen, seen], 1),
        torch.cat([background.sure, seen.float()], 1), torch.cat([background.layer, torch.ones(16, dtype=torch.long)]),
    )  # fmt: skip
    layers = torch.zeros(8, made.HEIGHT, made.WIDTH, dtype=torch.uint8)
    for t in range(8):
        layers[t, 36:82, 56 + 12 * t : 102 + 12 * t] = 1
    tracked = solved(made.clip_of(8, layers), points, tmp_path, given=camera_of(truth))
    require_on_rays(tracked)
    mover = tracked.points.layer == 1
    for t in range(8):
        pixel, z = project(tracked.camera[t], tracked.world[t, mover])
        assert float(z.max() - z.min()) < 1e-3  # a billboard
        torch.testing.assert_close(pixel, places[t], atol=0.3, rtol=0)  # where it is hidden too
        assert 2 < float(z[0]) < 10
    assert any(note.startswith("The distance of layer 1") for note in tracked.notes)


def test_points_that_fit_nowhere_are_dropped_and_counted(tmp_path: Path) -> None:
    truth = made.survey(8, 80)
    points = made.points_of(truth)
    places = points.places.clone()
    places[:, :5] = torch.rand(8, 5, 2, generator=torch.Generator().manual_seed(0)) * 170
    tracked = solved(made.clip_of(8), replace(points, places=places), tmp_path, given=camera_of(truth))
    assert int(tracked.points.seen.sum()) < int(points.seen.sum()) - 20
    assert any("do not belong to the still world" in note for note in tracked.notes)
    require_on_rays(tracked)


def test_bad_input_is_refused(tmp_path: Path) -> None:
    truth = made.survey(8, 40)
    points, clip = made.points_of(truth), made.clip_of(8)
    with pytest.raises(BadInput, match="no point could be followed"):
        solved(clip, points.of(torch.zeros(40, dtype=torch.bool)), tmp_path)
    with pytest.raises(BadInput, match="8 frames but 5 cameras"):
        solved(clip, points, tmp_path, given=camera_of(made.survey(5, 10)))
    with pytest.raises(BadInput, match="8 frames but 3 depth maps"):
        solved(clip, points, tmp_path, depths=torch.ones(3, 10, 10))


def test_frames_that_show_nothing_lie_between_their_neighbours() -> None:
    truth = made.survey(9, 20)
    known = np.arange(9) % 4 == 0
    survey, lost = _between(truth, known, np.arange(9.0))
    assert lost == 6
    np.testing.assert_array_equal(survey.place[known], truth.place[known])
    np.testing.assert_allclose(survey.place[2], truth.place[[0, 4]].mean(0))
    turns, places = _spread(truth.turn[:1], truth.place[:1], np.array([True]), np.zeros(1), np.arange(3.0))
    np.testing.assert_array_equal(places, np.repeat(truth.place[:1], 3, 0))
    np.testing.assert_array_equal(turns, np.repeat(truth.turn[:1], 3, 0))


def test_errors_are_zero_after_a_similarity_and_grow_with_noise() -> None:
    camera = camera_of(made.survey(10, 5))
    moved = camera.pose.clone()
    turn = torch.tensor([[0, -1.0, 0], [1, 0, 0], [0, 0, 1]])
    moved[:, :3, :3], moved[:, :3, 3] = turn @ camera.pose[:, :3, :3], 3 * camera.position @ turn.T + 5
    errors = camera_errors(replace(camera, pose=moved), camera)
    assert errors.path < 1e-3
    assert errors.turn < 0.05
    assert errors.scale == pytest.approx(1 / 3, rel=1e-4)
    extent = float(torch.cdist(camera.position, camera.position).max())
    off = camera.pose.clone()
    off[::2, 1, 3] += 0.1 * extent
    assert 3 < camera_errors(replace(camera, pose=off), camera).path < 6
    still = replace(camera, pose=camera.pose[:1].expand(10, 4, 4))
    assert np.isnan(camera_errors(still, still).path)
