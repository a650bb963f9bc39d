"""Bundle adjustment: slopes against differences, one step against a dense twin, and truths that are found again."""

from dataclasses import replace

import made_surveys as made
import numpy as np
import pytest

from fieldscape.systems.tracks import adjusting
from fieldscape.systems.tracks.adjusting import Freedom, adjust, focal_doubt, likeness, reprojection
from fieldscape.systems.tracks.survey import Sightings, across, local, misses, rebased, slopes, stepped, turned
from fieldscape.systems.tracks.triangulating import parallax, triangulated


def test_slopes_are_those_of_differences() -> None:
    truth = made.survey(4, 12)
    seen, basis = made.seen(truth), across(truth.direction)
    slope = slopes(truth, seen, basis)
    h = 1e-6

    def difference(camera: int | None, focal: bool, point: int | None) -> np.ndarray:
        def at(sign: float) -> np.ndarray:
            cameras, points = np.zeros((4, 6)), np.zeros((12, 3))
            if camera is not None:
                cameras[:, camera] = sign * h
            if point is not None:
                points[:, point] = sign * h
            return misses(stepped(truth, cameras, sign * h * focal, points, basis), seen)

        return (at(1) - at(-1)) / (2 * h)

    both = np.concatenate([slope.turn, slope.place], -1)
    for k in range(6):
        np.testing.assert_allclose(difference(k, False, None), both[..., k], atol=1e-6 * np.abs(both).max())
    for k in range(3):
        np.testing.assert_allclose(difference(None, False, k), slope.point[..., k], atol=1e-6 * np.abs(both).max())
    np.testing.assert_allclose(difference(None, True, None), slope.focal, atol=1e-6 * np.abs(both).max())


def test_a_step_is_that_of_the_dense_normal_equations() -> None:
    """The twin: one matrix for all unknowns, solved at once."""
    truth = made.survey(5, 300)  # more than one chunk
    seen = made.seen(truth, noise=0.5)
    seen = seen.of(np.random.default_rng(3).random(len(seen)) < 0.8)  # not every point in every frame
    damping, scale, t, n = 1e-2, 1.0, truth.frames, truth.points
    freedom = Freedom(focal_guess=250.0, focal_doubt=0.1, calm=2.0)
    system = adjusting._System(truth, seen, freedom)
    system.linearise(truth, scale)
    stepped_once = system.step(truth, damping)
    assert stepped_once is not None

    slope, miss = slopes(truth, seen, across(truth.direction)), misses(truth, seen)
    root = np.sqrt(seen.weight / (1 + (miss**2).sum(1) / scale**2))
    jacobian = np.zeros((len(seen), 2, 6 * t + 1 + 3 * n))
    for i, (frame, point) in enumerate(zip(seen.frame, seen.point)):
        jacobian[i, :, 6 * frame : 6 * frame + 3], jacobian[i, :, 6 * frame + 3 : 6 * frame + 6] = (
            slope.turn[i], slope.place[i],
        )  # fmt: skip
        jacobian[i, :, 6 * t] = slope.focal[i]
        jacobian[i, :, 6 * t + 1 + 3 * point :][:, :3] = slope.point[i]
    dense = (jacobian * root[:, None, None]).reshape(-1, jacobian.shape[-1])
    matrix, pull = dense.T @ dense, dense.T @ (miss * root[:, None]).ravel()
    matrix[6 * t, 6 * t] += 1 / 0.1**2
    pull[6 * t] += np.log(truth.focal / 250.0) / 0.1**2
    bend = np.diff(np.eye(t), 2, axis=0) * truth.focal / 2.0
    for axis in range(3, 6):
        matrix[axis : 6 * t : 6, axis : 6 * t : 6] += bend.T @ bend
        pull[axis : 6 * t : 6] += bend.T @ bend @ truth.place[:, axis - 3]
    matrix, pull = matrix[6:, 6:], pull[6:]  # the first camera stays
    matrix[np.diag_indices(len(matrix))] *= 1 + damping
    step = np.linalg.solve(matrix, -pull)
    cameras = np.concatenate([np.zeros(6), step[: 6 * (t - 1)]]).reshape(t, 6)
    twin = stepped(truth, cameras, step[6 * (t - 1)], step[6 * (t - 1) + 1 :].reshape(n, 3), across(truth.direction))
    twin = adjusting._as_wide(twin, truth)
    np.testing.assert_allclose(stepped_once.place, twin.place, atol=1e-9)
    np.testing.assert_allclose(stepped_once.turn, twin.turn, atol=1e-9)
    np.testing.assert_allclose(stepped_once.nearness, twin.nearness, atol=1e-9)
    assert stepped_once.focal == pytest.approx(twin.focal, rel=1e-9)


def off(truth: made.Survey, seed: int = 5) -> made.Survey:
    """A start some way off the truth."""
    draw = np.random.default_rng(seed)
    start = replace(
        truth,
        turn=truth.turn @ turned(draw.normal(0, 0.02, (truth.frames, 3))),
        place=truth.place + draw.normal(0, 0.05, truth.place.shape),
        focal=1.2 * truth.focal,
        nearness=truth.nearness * draw.uniform(0.7, 1.4, truth.points),
    )
    return rebased(start)


def test_the_truth_is_found_from_perfect_sightings() -> None:
    truth = made.survey()
    found = rebased(adjust(off(truth), made.seen(truth), Freedom(), scale=1.0, rounds=60).survey)
    truth = rebased(truth)
    assert found.focal == pytest.approx(300, abs=1e-6)
    np.testing.assert_allclose(found.place, truth.place, atol=1e-8)
    np.testing.assert_allclose(found.turn, truth.turn, atol=1e-8)
    np.testing.assert_allclose(found.nearness, truth.nearness, atol=1e-8)


def test_tracks_gone_astray_hardly_count() -> None:
    truth = made.survey()
    seen = made.seen(truth)
    wild = seen.point % 7 == 0
    pixel = seen.pixel + wild[:, None] * np.random.default_rng(2).uniform(-40, 40, seen.pixel.shape)
    found = rebased(adjust(off(truth), replace(seen, pixel=pixel), Freedom(), scale=1.0, rounds=80).survey)
    error = np.abs(found.place - rebased(truth).place).max()
    assert error < 0.01 * np.abs(truth.place).max()


def test_what_is_not_free_stays() -> None:
    truth = made.survey()
    start, seen = off(truth), made.seen(truth)
    fixed = adjust(start, seen, Freedom(focal=False, nearness=False), scale=1.0, rounds=5).survey
    assert fixed.focal == start.focal
    np.testing.assert_array_equal(fixed.nearness, start.nearness)
    np.testing.assert_array_equal(fixed.turn[0], start.turn[0])
    np.testing.assert_array_equal(fixed.place[0], start.place[0])
    points = adjust(start, seen, Freedom(turns=False, places=False, focal=False), scale=1.0, rounds=5).survey
    np.testing.assert_array_equal(points.turn, start.turn)
    np.testing.assert_array_equal(points.place, start.place)
    bounded = adjust(start, seen, Freedom(limits=(330.0, 900.0)), scale=1.0, rounds=40).survey
    assert bounded.focal == pytest.approx(330.0)


def along_tracks(truth: made.Survey, seed: int, alike: float, size: float) -> Sightings:
    """Sightings whose noise is alike from frame to frame, as that of followed points is."""
    exact = made.seen(truth)
    draw = np.random.default_rng(seed).normal(0, size, (truth.points, truth.frames, 2))
    noise = draw.copy()
    for t in range(1, truth.frames):
        noise[:, t] = alike * noise[:, t - 1] + np.sqrt(1 - alike**2) * draw[:, t]
    return replace(exact, pixel=exact.pixel + noise.reshape(-1, 2))


@pytest.mark.parametrize("alike", [0.0, 0.7])
def test_the_doubt_of_the_focal_length_is_what_noise_does_to_it(alike: float) -> None:
    """Over several draws of noise the focal length scatters as foretold, to within a factor of two."""
    truth = made.survey(16, 40, step=0.03, turn=0.005)
    focal, doubt = [], []
    for seed in range(8):
        seen = along_tracks(truth, seed, alike, 0.3)
        found = adjust(truth, seen, Freedom(), scale=100.0, rounds=20).survey
        focal.append(np.log(found.focal))
        doubt.append(focal_doubt(found, seen, Freedom(), 100.0))
    assert 0.5 < np.std(focal) / np.mean(doubt) < 2
    assert focal_doubt(truth, made.seen(truth), Freedom(focal=False), 1.0) == np.inf


def test_likeness_is_the_correlation_along_tracks() -> None:
    truth = made.survey(12, 400)
    for alike in (0.0, 0.7):
        seen = along_tracks(truth, 3, alike, 0.3)
        assert likeness(misses(truth, seen), seen, 100.0) == pytest.approx(alike, abs=0.05)


def test_calm_straightens_only_what_nothing_is_known_of() -> None:
    """A frame without sightings is put on the line between its neighbours."""
    truth = made.survey(9, 60)
    seen = made.seen(truth)
    seen = seen.of(seen.frame != 4)
    place = truth.place.copy()
    place[4] += 0.3
    found = adjust(replace(truth, place=place), seen, Freedom(calm=20.0, focal=False), scale=1.0, rounds=30).survey
    path = found.place * np.linalg.norm(truth.place[-1]) / np.linalg.norm(found.place[-1])
    np.testing.assert_allclose(path[[3, 5]], truth.place[[3, 5]], atol=0.01)
    np.testing.assert_allclose(path[4], truth.place[[3, 5]].mean(0), atol=0.02)


def test_a_path_that_should_be_calm_does_not_shrink() -> None:
    truth = made.survey(9, 60)
    found = adjust(truth, made.seen(truth, 0.3), Freedom(calm=0.1), scale=1.0, rounds=20).survey
    wide, now = (np.linalg.norm(place - place.mean(0)) for place in (truth.place, found.place))
    assert now == pytest.approx(wide)


def test_triangulation_finds_points_near_and_at_infinity() -> None:
    truth = made.survey()
    truth = replace(truth, nearness=np.where(np.arange(truth.points) % 5 == 0, 0.0, truth.nearness))
    blank = replace(truth, direction=np.zeros((0, 3)), nearness=np.zeros(0))
    found = triangulated(blank, made.seen(truth), scale=1.0)
    np.testing.assert_allclose(found.nearness, truth.nearness, atol=1e-7)
    np.testing.assert_allclose(found.direction, truth.direction, atol=1e-7)


def test_triangulation_leaves_out_a_sighting_gone_astray() -> None:
    truth = made.survey()
    seen = made.seen(truth)
    pixel = seen.pixel.copy()
    pixel[seen.frame == 3] += 30.0
    blank = replace(truth, direction=np.zeros((0, 3)), nearness=np.zeros(0))
    found = triangulated(blank, replace(seen, pixel=pixel), scale=1.0)
    assert float(np.median(np.abs(found.nearness / truth.nearness - 1))) < 0.01


def test_parallax_is_the_angle_between_rays() -> None:
    """Two cameras 1 apart see a point 2 ahead of the middle between them: 2 atan(0.25)."""
    two = made.survey(2, 1)
    point = np.array([[0.5, 0.0, 2.0]])
    far = np.linalg.norm(point)
    two = replace(two, turn=np.stack([np.eye(3)] * 2), place=np.array([[0, 0, 0], [1.0, 0, 0]]),
                  direction=point / far, nearness=np.array([1 / far]))  # fmt: skip
    assert parallax(two, made.seen(two))[0] == pytest.approx(np.degrees(2 * np.arctan(0.25)), rel=1e-6)


def test_rebasing_changes_no_pixel() -> None:
    truth = made.survey()
    moved = rebased(truth, first=5)
    assert np.abs(misses(moved, made.seen(truth))).max() < 1e-9
    np.testing.assert_allclose(moved.turn[5], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(moved.place[5], 0, atol=1e-12)
    assert float(np.median(moved.nearness)) == pytest.approx(1)


def test_a_point_behind_the_camera_misses_by_far() -> None:
    truth = made.survey(2, 3)
    behind = replace(truth, direction=-truth.direction)
    assert (local(behind, made.seen(truth))[:, 2] < 0).all()
    assert reprojection(behind, made.seen(truth)).min() > 500
