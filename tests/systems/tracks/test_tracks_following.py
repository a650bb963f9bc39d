"""Points are followed to a tenth of a pixel, and given up where they are hidden."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from made_tracks_clips import shifted, sliding, texture

from fieldscape.progress import progress
from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.following import follow
from fieldscape.systems.tracks.judging import births, track_errors
from fieldscape.systems.tracks.nouns import Clip, Points
from fieldscape.systems.tracks.patches import agreement, align, cut
from fieldscape.systems.tracks.stepping import in_company, on_all_sides

STEP = (1.3, 0.4)


def followed(clip: Clip, settings: FollowSettings | None = None) -> Points:
    with progress(len(clip), "following", quiet=True) as bar:
        return follow(clip, settings or FollowSettings(), bar)


def truth(points: Points, step: tuple[float, float]) -> torch.Tensor:
    """Where points of a ground that slides by -step are in all frames."""
    frame, pixel = births(points)
    index = torch.arange(points.places.shape[0])[:, None] - frame
    return pixel - index[..., None] * torch.tensor(step)


def test_a_sliding_ground_is_followed_to_a_tenth_of_a_pixel() -> None:
    clip, _ = sliding(10, step=STEP)
    points = followed(clip)
    where = truth(points, STEP)
    inside = ((where > 0) & (where < torch.tensor(clip.size))).all(-1)
    errors = track_errors(points, where, inside, births(points)[0])
    assert errors.median < 0.08
    assert errors.most < 0.2
    assert errors.alive > 0.95
    assert errors.ghosts < 0.01


def test_everything_is_finite_and_every_point_is_seen_for_a_while() -> None:
    clip, _ = sliding(6, step=(4.0, 0.0))
    points = followed(clip, FollowSettings(least=4))
    assert bool(points.places.isfinite().all())
    assert int(points.seen.sum(0).min()) >= 4
    assert bool(((points.sure > 0) == points.seen).all())


def test_holes_that_open_are_filled_in_every_frame() -> None:
    clip, _ = sliding(10, step=(5.0, 0.0))
    points = followed(clip)
    for t in range(len(clip)):
        right = points.seen[t] & (points.places[t, :, 0] > clip.size[0] - 15)
        assert int(right.sum()) > 5


def test_two_runs_agree_to_the_bit() -> None:
    clip, _ = sliding(4)
    one, other = followed(clip), followed(clip)
    assert torch.equal(one.places, other.places)
    assert torch.equal(one.sure, other.sure)


def test_points_follow_their_layer() -> None:
    clip, masks = sliding(8, step=STEP, mover=(2.0, 0.0), marked=True)
    points = followed(clip)
    assert int((points.layer == 1).sum()) > 20
    for t in range(len(clip)):
        seen = points.seen[t]
        x, y = points.places[t, seen].long().unbind(-1)
        assert np.array_equal(masks[t][y, x], (points.layer[seen] == 1).numpy())
    frame, pixel = births(points)
    index = torch.arange(len(clip))[:, None] - frame
    mover = points.layer == 1
    where = pixel[mover] + index[:, mover, None] * torch.tensor([2.0, 0.0])
    error = (points.places[:, mover] - where).norm(dim=-1)[points.seen[:, mover]]
    assert float(error.quantile(0.9)) < 0.2


def test_what_a_mover_hides_is_not_seen_though_no_mask_tells() -> None:
    clip, masks = sliding(14, step=(0.0, 0.0), mover=(3.0, 0.0))
    points = followed(clip)
    frame, pixel = births(points)
    x, y = pixel.long().unbind(-1)
    ground = (frame == 0) & ~torch.from_numpy(masks[0])[y, x]
    hidden = ground & torch.from_numpy(masks[12])[y, x]
    assert int(hidden.sum()) > 10
    assert float(points.seen[12][hidden].float().mean()) < 0.05
    assert float(points.seen[12][ground & ~torch.from_numpy(masks).any(0)[y, x]].float().mean()) > 0.95


def test_points_are_seen_without_gaps_before_and_after_they_begin() -> None:
    points = followed(sliding(9, step=(3.0, 0.0))[0])
    changes = (points.seen[1:] != points.seen[:-1]).sum(0) + points.seen[0] + points.seen[-1]
    assert bool((changes == 2).all())
    frame, _ = births(points)
    middle = frame == 4
    assert bool(middle.any())
    assert bool(points.seen[:, middle][3].any())
    assert bool(points.seen[:, middle][5].any())


def test_a_patch_of_two_things_ends_when_one_side_goes_its_own_way() -> None:
    one = texture(40, 60, 3)[..., 0].astype(np.float32)
    both, torn = one.copy(), one.copy()
    torn[:, 30:] = texture(40, 60, 8)[:, 30:, 0]
    place = np.array([[29.5, 20.5], [12.5, 20.5]])
    first = cut(one, place, 5)
    assert on_all_sides(first, cut(0.8 * both + 10, place, 5), 0.75).tolist() == [True, True]
    assert on_all_sides(first, cut(torn, place, 5), 0.75).tolist() == [False, True]


def test_what_moves_as_no_neighbour_does_is_alone() -> None:
    generator = np.random.default_rng(0)
    start = generator.uniform(0, 100, (200, 2))
    end = start + np.where(start[:, :1] < 50, 2.0, 6.0)
    end[:5] = start[:5] + 15.0
    good = np.ones(200, bool)
    company = in_company(start, end, good)
    assert not company[:5].any()
    assert company[5:].mean() > 0.97


def test_a_plain_wall_gives_no_points() -> None:
    frames = torch.full((3, 60, 80, 3), 90, dtype=torch.uint8)
    points = followed(replace(sliding(3)[0], frames=frames))
    assert len(points) == 0
    assert points.places.shape == (3, 0, 2)


def test_a_patch_is_found_through_an_affine_warp_and_other_light() -> None:
    picture = texture(80, 100, 3)[..., 0].astype(np.float32)
    warp = np.array([[1.06, 0.04], [-0.03, 0.95]])
    shift = np.array([2.0, -1.0])
    other = 0.7 * cv2.warpAffine(picture, np.c_[warp, shift], (100, 80), flags=cv2.INTER_CUBIC) + 20
    places = np.random.default_rng(0).uniform(25, 55, (60, 2))
    where = (places - 0.5) @ warp.T + shift + 0.5
    square = np.tile(np.eye(2), (60, 1, 1))
    found, warps, fit = align(other, cut(picture, places, 7), where + 0.5, square, np.zeros(60), 12, 0.02)
    assert float(np.quantile(np.linalg.norm(found - where, axis=1), 0.9)) < 0.06
    assert float(np.abs(np.median(warps, 0) - warp).max()) < 0.02
    assert float(np.median(fit)) > 0.995


def test_a_pull_keeps_a_patch_where_it_was_expected() -> None:
    picture = texture(60, 60, 4)[..., 0].astype(np.float32)
    place, square = np.array([[30.0, 30.0]]), np.eye(2)[None]
    patch = cut(picture, place, 6)
    free, _, _ = align(picture, patch, place + 0.4, square, np.zeros(1), 10, 0.05)
    stiff, _, _ = align(picture, patch, place + 0.4, square, np.full(1, 1e9), 10, 0.05)
    assert float(np.abs(free - place).max()) < 0.05
    assert float(np.abs(stiff - place - 0.4).max()) < 0.01


def test_agreement_is_the_correlation_coefficient() -> None:
    generator = np.random.default_rng(1)
    one, other = generator.random((2, 5, 7, 7)).astype(np.float32)
    one[0, :, 0] = np.nan
    found, contrast = agreement(one, other)
    for i in range(5):
        known = np.isfinite(one[i])
        assert found[i] == pytest.approx(np.corrcoef(one[i][known], other[i][known])[0, 1], abs=1e-5)
        assert contrast[i] == pytest.approx(one[i][known].std(), abs=1e-5)


def test_errors_ghosts_and_survivors_are_counted() -> None:
    places = torch.zeros(3, 2, 2)
    places[1, 0, 0] = 0.5
    seen = torch.tensor([[True, True], [True, True], [False, True]])
    visible = torch.tensor([[True, True], [True, False], [True, True]])
    points = Points(places, seen, seen.float(), torch.zeros(2, dtype=torch.long))
    errors = track_errors(points, torch.zeros(3, 2, 2), visible, torch.zeros(2, dtype=torch.long), 2)
    assert errors.median == pytest.approx(0.25)
    assert errors.ghosts == pytest.approx(1 / 3)
    assert (errors.alive, errors.counted) == (0.0, 1)  # the second is hidden on the way: it is not asked for


def test_half_a_pixel_is_half_a_pixel() -> None:
    """The centre of the first pixel is (0.5, 0.5) for the kernel and for the tracker alike, at both sizes."""
    ground = texture(60, 80, 5)
    for size in (1, 7):
        large = cv2.resize(ground, (80 * size, 60), interpolation=cv2.INTER_CUBIC)
        frames = np.stack([shifted(large, 0.5 * i, 0, 80 * size, 60) for i in range(3)])
        points = followed(replace(sliding(3)[0], frames=torch.from_numpy(frames)))
        frame, pixel = births(points)
        mine = (frame == 0) & points.seen[2]
        moved = (points.places[2] - pixel)[mine]
        assert moved.median(0).values.tolist() == pytest.approx([-1.0, 0.0], abs=0.04)
