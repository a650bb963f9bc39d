"""Points of the background followed once more: steadier, found again, and not where they are hidden."""

from dataclasses import replace

import made_tracks as made
import numpy as np
import pytest
import torch

from fieldscape.cameras import project
from fieldscape.progress import progress
from fieldscape.systems.tracks.hiding import behind
from fieldscape.systems.tracks.nouns import Points, Tracked
from fieldscape.systems.tracks.refollow_settings import RefollowSettings
from fieldscape.systems.tracks.refollowing import refollowed
from fieldscape.systems.tracks.steadying import bent, looks, on_rays, projected, settled, slow

FRAMES = 8


def noisy(truth: Tracked, noise: float, seed: int = 0) -> Tracked:
    """The same with errors of so many pixels where points were seen, on the rays through those places."""
    draw = torch.Generator().manual_seed(seed)
    places = truth.points.places + noise * torch.randn(truth.points.places.shape, generator=draw)
    _, depth = projected(truth.camera, truth.world[0].double().numpy())
    rays = torch.from_numpy(on_rays(truth.camera, places.double().numpy(), np.maximum(depth, 0.1)))
    world = torch.where((truth.points.layer == 0)[:, None], rays, truth.world.double())
    return replace(truth, points=replace(truth.points, places=places), world=world.float())


def again(tracked: Tracked) -> Tracked:
    with progress(1, "once more", True) as bar:
        return refollowed(tracked, RefollowSettings(), bar)


def ended(truth: Tracked, after: int) -> Tracked:
    """No point is seen after a frame, unless it was not seen till then."""
    seen = truth.points.seen.clone()
    seen[after + 1 :, seen[: after + 1].sum(0) > 1] = False
    return replace(truth, points=replace(truth.points, seen=seen, sure=seen.float()))


@pytest.fixture(scope="module")
def card() -> Tracked:
    tracked = made.made_tracks(made.Stage(card=True), FRAMES, 96, 72, 120)
    kept = tracked.points.seen.sum(0) > 1
    return replace(tracked, points=tracked.points.of(kept), world=tracked.world[:, kept], deep=tracked.deep[kept])


def true_places(result: Tracked, truth: Tracked) -> torch.Tensor:
    """Which point of the truth each one is, by its place in space."""
    return torch.cdist(result.world.double().mean(0), truth.world[0].double()).argmin(1)


def test_noise_goes_and_the_world_agrees_with_the_places(card: Tracked) -> None:
    rough = noisy(card, 0.3)
    result = again(rough)
    same = true_places(result, card)
    seen = result.points.seen & card.points.seen[:, same]
    error = (result.points.places - card.points.places[:, same]).norm(dim=-1)[seen]
    before = (rough.points.places - card.points.places).norm(dim=-1)[card.points.seen]
    assert error.median() < 0.7 * before.median()
    for t in range(FRAMES):
        shown, _ = project(result.camera[t], result.world[t].double())
        at = result.points.seen[t]
        assert (shown - result.points.places[t])[at].abs().max() < 1e-3


def test_distances_that_were_wrong_are_mended(card: Tracked) -> None:
    """Every frame sees the points where they are; only their places in space are a twentieth too far."""
    middle = card.camera.position.mean(0)
    result = again(replace(card, world=middle + 1.05 * (card.world - middle)))
    found, truth = result.world.double().mean(0), card.world[0].double()
    away = torch.cdist(found, truth).min(1).values / (truth - middle).norm(dim=-1).median()
    assert away.median() < 0.01


def test_what_was_lost_is_found_again_where_it_is_visible(card: Tracked) -> None:
    lost = ended(card, 3)
    result = again(lost)
    same = true_places(result, card)
    truth, before = card.points.seen[:, same], lost.points.seen[:, same]
    missing = truth & ~before
    assert missing.sum() > 300
    assert result.points.seen[missing].float().mean() > 0.75
    ghosts = result.points.seen & ~truth
    assert ghosts.sum() < 0.03 * result.points.seen.sum()


def test_what_is_hidden_stays_hidden(card: Tracked) -> None:
    """Points of the wall that the card covers are looked for in vain."""
    wall = card.world[0, :, 2] > 3
    covered = wall & (card.points.seen[0] & ~card.points.seen[-1])
    result = again(card)
    same = true_places(result, card)
    assert covered.sum() > 3
    assert result.points.seen[-1, covered[same]].float().mean() < 0.2


def test_a_sighting_that_jumps_is_not_believed(card: Tracked) -> None:
    places = card.points.places.clone()
    jumped = card.points.seen.all(0).nonzero()[:10, 0]
    places[4, jumped] += 6.0
    result = again(replace(card, points=replace(card.points, places=places)))
    same = true_places(result, card)
    for i in jumped.tolist():
        for j in (same == i).nonzero()[:, 0].tolist():
            if result.points.seen[4, j]:
                assert (result.points.places[4, j] - card.points.places[4, i]).norm() < 0.5


def test_points_that_are_one_become_one(card: Tracked) -> None:
    """Each is there twice, once in the first frames and once in the last."""
    half = (torch.arange(FRAMES) < FRAMES // 2)[:, None]
    both = [card.points.seen & half, card.points.seen & ~half]
    points = Points(
        card.points.places.repeat(1, 2, 1), torch.cat(both, 1), torch.cat(both, 1).float(), card.points.layer.repeat(2)
    )
    doubled = replace(card, points=points, world=card.world.repeat(1, 2, 1), deep=card.deep.repeat(2))
    some = doubled.points.seen.any(0)
    doubled = replace(doubled, points=points.of(some), world=doubled.world[:, some], deep=doubled.deep[some])
    assert len(again(doubled).points) <= 1.02 * len(card.points)


def test_movers_stay_as_they_were() -> None:
    tracked = made.made_tracks(made.Stage(mover=True), 5, 64, 48, 60)
    result = again(tracked)
    one, other = tracked.points.layer == 1, result.points.layer == 1
    seen = tracked.points.seen[:, one].any(0)
    assert torch.equal(result.points.places[:, other], tracked.points.places[:, one][:, seen])
    assert torch.equal(result.world[:, other], tracked.world[:, one].to(result.world)[:, seen])


def test_without_background_nothing_happens() -> None:
    tracked = made.made_tracks(made.Stage(mover=True), 3, 64, 48, 20)
    movers = tracked.points.layer == 1
    only = replace(tracked, points=tracked.points.of(movers), world=tracked.world[:, movers], deep=tracked.deep[movers])
    assert again(only) is only


def test_a_place_agrees_with_most_of_its_sightings() -> None:
    camera = made.camera_of(torch.arange(10) / 10, 96, 72)
    draw = np.random.default_rng(0)
    true = np.stack([draw.uniform(-1, 1, 40), draw.uniform(-0.5, 0.5, 40), draw.uniform(2, 5, 40)], 1)
    places = projected(camera, true)[0]
    places[2] += 5.0  # one frame is wrong
    start = true + draw.normal(0, 0.05, true.shape)
    found = settled(camera, start, places, np.ones((10, 40)), np.ones(40, bool), 0.5, 25)
    np.testing.assert_allclose(projected(camera, found)[0][5], projected(camera, true)[0][5], atol=0.1)


def test_slopes_are_those_of_the_projection() -> None:
    camera = made.camera_of(torch.arange(3) / 10, 96, 72)
    point = np.array([[0.2, -0.1, 3.0]])
    slope = looks(camera, point).slope[0, 0]
    focal, away = 0.9 * 96, point[0] - camera.position[0].numpy()
    exact = focal / 3 * np.array([[1, 0, -away[0] / 3], [0, 1, -away[1] / 3]])
    np.testing.assert_allclose(slope, exact, rtol=1e-3, atol=1e-3)


def test_a_bend_of_the_picture_is_told_from_noise() -> None:
    draw = np.random.default_rng(0)
    pixel = draw.uniform([0, 0], [320, 180], (4, 300, 2))
    x = (pixel[..., 0] - 160) / 160
    true = np.stack([1.5 * x**2, -0.5 * x], -1)
    miss = true + draw.normal(0, 0.2, true.shape)
    miss[:, ::10] += 20  # astray
    found = bent(pixel, miss, np.ones((4, 300)), (320, 180), 0.5)
    assert np.abs(found - true).max() < 0.25


def test_slow_remainders_stay_and_quick_ones_go() -> None:
    t = np.arange(40.0)
    steady, quick = np.full(40, 1.0), np.where(t % 2 == 0, 1.0, -1.0)
    miss = np.stack([steady, quick], 1)[..., None].repeat(2, -1)
    found = slow(miss, np.ones((40, 2)), t)
    # By hand: a constant c is answered by w c / (w + small).
    np.testing.assert_allclose(found[:, 0], 0.5, atol=1e-6)
    assert np.abs(found[:, 1]).max() < 0.1


def test_slow_is_the_least_of_its_sum() -> None:
    """Against the normal equations written out."""
    from fieldscape.systems.tracks.steadying import SMALL, STIFF

    draw = np.random.default_rng(1)
    seconds = np.cumsum(draw.uniform(0.5, 2, 9))
    weight, miss = draw.uniform(0, 1, (9, 1)), draw.normal(0, 1, (9, 1, 2))
    step = np.diff(seconds) / np.median(np.diff(seconds))
    rise = np.diff(np.eye(9), axis=0)
    matrix = np.diag(weight[:, 0] + SMALL) + STIFF * rise.T @ np.diag(1 / step) @ rise
    expected = np.linalg.solve(matrix, weight * miss[:, 0])
    np.testing.assert_allclose(slow(miss, weight, seconds)[:, 0], expected, atol=1e-9)


def test_behind_a_surface_and_behind_its_edge() -> None:
    """Two walls side by side, at depths 2 and 4: hidden is what lies behind the farther one, where they meet."""
    draw = np.random.default_rng(0)
    pixel = draw.uniform(0, 100, (400, 2))
    depth = np.where(pixel[:, 0] < 50, 2.0, 4.0)
    asked = np.array([[25.0, 50], [75.0, 50], [75.0, 50], [500.0, 50]])
    found = behind(asked, np.array([3.0, 3.0, 5.0, 9.0]), pixel, depth, 0.05)
    assert found.tolist() == [True, False, True, False]
    assert not behind(asked, np.full(4, 9.0), pixel[:3], depth[:3], 0.05).any()
