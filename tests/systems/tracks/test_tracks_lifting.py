"""From tracks to the world: static places, rays, offsets, movers on the ground, depths that are given."""

from dataclasses import replace

import made_surveys as made
import numpy as np
import pytest
import torch

from fieldscape.systems.tracks import movers
from fieldscape.systems.tracks.depth_maps import depths_at, scale_to, with_depths
from fieldscape.systems.tracks.lifting import filled, followed, on_rays, planar_depths, still_points

WIDTH = made.WIDTH


def true_points(truth: made.Survey) -> np.ndarray:
    return truth.direction / truth.nearness[:, None]


def test_static_points_are_those_that_were_seen() -> None:
    truth = made.survey()
    still = still_points(made.points_of(truth), truth, "full", WIDTH)
    assert still.deep.all()
    np.testing.assert_allclose(still.point, true_points(truth), rtol=1e-3, atol=1e-3)
    assert (still.stays == made.points_of(truth).seen.numpy()).all()


def test_a_point_that_moves_is_not_of_the_still_world() -> None:
    truth = made.survey()
    points = made.points_of(truth)
    places = points.places.clone()
    time = torch.arange(12.0)
    places[:, 3] += torch.stack([5 * (time - 6) ** 2 / 6, 20 * time.sin()], -1)
    still = still_points(replace(points, places=places), truth, "full", WIDTH)
    assert still.stays[:, 3].mean() < 0.5
    assert still.stays[:, 4:].sum() == points.seen[:, 4:].sum()


def test_a_point_without_parallax_takes_the_depth_around_it() -> None:
    """All on a plane 5 ahead; one point is seen in a single frame."""
    truth = made.survey(8, 120, turn=0.0)
    middle = truth.place[4]
    point = true_points(truth) - middle
    point = point / point[:, 2:] * 5 + middle
    far = np.linalg.norm(point, axis=1)
    truth = replace(truth, direction=point / far[:, None], nearness=1 / far)
    points = made.points_of(truth)
    once = points.seen.clone()
    once[:, 7] = False
    once[4, 7] = True
    still = still_points(replace(points, seen=once), truth, "full", WIDTH)
    assert not still.deep[7]
    assert still.deep.sum() == 119
    np.testing.assert_allclose(still.point[7], point[7], atol=0.05)


def test_without_depth_points_are_on_a_sphere_or_a_plane() -> None:
    turned = made.survey(8, 60, step=0.0, turn=0.03)
    sphere = still_points(made.points_of(turned), turned, "rotation", WIDTH)
    np.testing.assert_allclose(np.linalg.norm(sphere.point, axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(sphere.point, turned.direction, atol=1e-4)
    still = made.survey(8, 60, step=0.0, turn=0.0)
    plane = still_points(made.points_of(still), still, "tripod", WIDTH)
    np.testing.assert_allclose(plane.point[:, 2], 1, atol=1e-9)
    assert not sphere.deep.any()
    assert not plane.deep.any()


def test_points_are_put_on_the_rays_that_saw_them() -> None:
    truth = made.survey()
    noisy = made.points_of(truth, noise=0.5)
    places, stays = noisy.places.double().numpy(), noisy.seen.numpy()
    seconds = np.arange(12) / 25
    world = followed(places, stays, true_points(truth), truth, seconds)
    assert np.isfinite(world).all()
    local = np.einsum("tji,tnj->tni", truth.turn, world - truth.place[:, None])
    pixel = truth.focal * local[..., :2] / local[..., 2:] + truth.middle
    np.testing.assert_allclose(pixel[stays], places[stays], atol=1e-6)
    np.testing.assert_allclose(local[..., 2][stays], planar_depths(true_points(truth), truth)[stays], rtol=1e-9)
    # Half a pixel at a distance of 9 and a focal length of 300.
    assert np.abs(world - true_points(truth)).max() < 5 * 0.5 * 9 / 300


def test_offsets_are_interpolated_by_the_time_between_frames() -> None:
    known = np.array([[True], [False], [True], [False]])
    values = np.array([1.0, 0, 5.0, 0]).reshape(4, 1, 1)
    found = filled(values, known, np.array([0.0, 3.0, 4.0, 9.0]))
    assert found.ravel().tolist() == [1.0, 4.0, 5.0, 5.0]
    assert filled(values, np.zeros((4, 1), bool), np.arange(4.0)).ravel().tolist() == [0.0] * 4


def ground(height: float = 1.5) -> movers.Ground:
    """A horizontal plane ``height`` below a level camera: depth = focal height / (row - middle)."""
    column, row = (axis.ravel() for axis in np.meshgrid(np.arange(5, 320, 9.0), np.arange(105, 180, 7.0)))
    return movers.Ground(np.column_stack([column, row]), 300 * height / (row - 90))


def test_a_mover_stands_where_it_touches_the_ground() -> None:
    mask = np.zeros((180, 320), bool)
    mask[60:140, 150:190] = True
    assert movers.contact_depth(mask, ground()) == pytest.approx(300 * 1.5 / 50, rel=0.02)
    cut = mask.copy()
    cut[60:180, 150:190] = True
    assert movers.contact_depth(cut, ground()) is None  # its feet are out of the picture
    none = movers.Ground(ground().pixel[:3], ground().depth[:3])
    assert movers.contact_depth(mask, none) is None


def test_points_astray_do_not_lift_the_ground() -> None:
    mask = np.zeros((180, 320), bool)
    mask[60:140, 150:190] = True
    plane = ground()
    depth = plane.depth.copy()
    depth[::6] *= 5
    assert movers.contact_depth(mask, movers.Ground(plane.pixel, depth)) == pytest.approx(9, rel=0.05)


def test_depth_follows_the_apparent_size() -> None:
    """A thing that comes nearer: contact is known now and then and once wrongly, its size always."""
    true = np.linspace(10, 6, 20)
    grown = -np.diff(np.log(true))
    contact = np.where(np.arange(20) % 3 == 0, true, np.nan)
    contact[9] = 30.0
    np.testing.assert_allclose(movers.smoothed(contact, grown), true, rtol=0.02)


def test_apparent_size_of_points_that_spread() -> None:
    draw = np.random.default_rng(0)
    shape = draw.normal(0, 10, (40, 2))
    places = np.stack([100 + 3 * t + 1.05**t * shape for t in range(6)])
    np.testing.assert_allclose(movers.sizes(places, np.ones((6, 40), bool)), np.log(1.05), atol=0.01)


def test_a_hidden_point_moves_with_its_layer() -> None:
    draw = np.random.default_rng(0)
    shape = draw.normal(0, 20, 30) + 1j * draw.normal(0, 20, 30)
    path = [(1.03 * np.exp(0.1j)) ** t * shape + (100 + 4j * t) for t in range(8)]
    true = np.stack([np.column_stack([each.real, each.imag]) for each in path])
    seen = np.ones((8, 30), bool)
    seen[3:6, 0] = seen[:4, 1] = seen[5:, 2] = False
    places = np.where(seen[..., None], true, 0.0)
    np.testing.assert_allclose(movers.carried(places, seen), true, atol=1e-6)


def depth_maps(truth: made.Survey, depth: float) -> torch.Tensor:
    """A wall across the first camera's axis, as all see it; cameras must not turn."""
    return torch.from_numpy(depth - truth.place[:, 2])[:, None, None].expand(-1, 90, 160).float().contiguous()


def test_depth_maps_are_read_off_where_they_are_smooth() -> None:
    maps = torch.full((1, 90, 160), 4.0)
    maps[:, :, 80:] = 8.0
    maps[:, :20] = 0.0
    places = torch.tensor([[[40.0, 100.0], [300.0, 100.0], [160.0, 100.0], [40.0, 10.0], [-5.0, 100.0]]])
    assert depths_at(maps, places, (320, 180)).tolist() == [[4.0, 8.0, 0.0, 0.0, 0.0]]


def test_given_depths_set_the_scale_and_the_points() -> None:
    truth = made.survey(8, 80, turn=0.0)
    point = true_points(truth)
    point = point / point[:, 2:] * 5
    far = np.linalg.norm(point, axis=1)
    truth = replace(truth, direction=point / far[:, None], nearness=1 / far)
    points = made.points_of(truth)
    smaller = replace(truth, place=truth.place / 3, nearness=truth.nearness * 3)
    scaled = scale_to(smaller, points, depth_maps(truth, 5.0), (320, 180))
    np.testing.assert_allclose(scaled.place, truth.place, rtol=0.01, atol=1e-3)
    known = depths_at(depth_maps(truth, 5.0), points.places, (320, 180)).double().numpy()
    still = still_points(points, truth, "tripod", WIDTH)  # knows no depth
    put = with_depths(still, points, truth, known, WIDTH)
    np.testing.assert_allclose(put.point, point, atol=0.02)
    assert put.deep.all()


def test_on_rays_is_the_inverse_of_seeing() -> None:
    truth = made.survey()
    places = made.seen(truth).pixel.reshape(truth.points, truth.frames, 2).transpose(1, 0, 2)
    world = on_rays(places, planar_depths(true_points(truth), truth), truth)
    np.testing.assert_allclose(world, np.broadcast_to(true_points(truth), world.shape), atol=1e-9)
