"""New points stand in the widest holes, where there is texture, and on movers in a finer grid."""

import numpy as np
from made_tracks_clips import texture
from scipy.spatial import cKDTree

from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.seeding import furthest, gridded, seeds, spacing, textured
from fieldscape.systems.tracks.stepping import Moving, Picture, begun, picture


def none_in(seen: Picture) -> Moving:
    return begun(seen, np.zeros((0, 2)), np.zeros(0, np.int64), 0)


def fresh(seen: Picture, apart: float) -> tuple[np.ndarray, np.ndarray]:
    return seeds(seen, none_in(seen), apart, FollowSettings())


def test_points_are_apart_and_leave_no_hole() -> None:
    rich, free = np.ones((90, 120), np.float32), np.ones((90, 120), bool)
    places = furthest(np.zeros((0, 2)), free, rich, 9.0)
    between, _ = cKDTree(places).query(places, 2)
    assert between[:, 1].min() > 9 * 2 / 3 - 1.5
    rows, columns = np.mgrid[1:89, 1:119] + 0.5
    hole, _ = cKDTree(places).query(np.stack([columns.ravel(), rows.ravel()], 1))
    assert hole.max() < 9 + 1.5


def test_only_holes_are_filled() -> None:
    rich, free = np.ones((60, 80), np.float32), np.ones((60, 80), bool)
    there = furthest(np.zeros((0, 2)), free, rich, 8.0)
    left = there[there[:, 0] < 40]
    assert len(furthest(there, free, rich, 8.0)) == 0
    again = furthest(left, free, rich, 8.0)
    assert len(again) > 10
    assert again[:, 0].min() > 40 - 8


def test_nothing_is_set_where_nothing_can_be_followed() -> None:
    plain = np.full((60, 80, 3), 120, np.uint8)
    plain[:, 40:] = texture(60, 40, 0)
    edge = np.full((60, 80, 3), 60, np.uint8)
    edge[30:] = 200
    places, _ = fresh(picture(plain, None), 6.0)
    assert len(places) > 20
    assert places[:, 0].min() > 30
    on_edge, _ = fresh(picture(edge, None), 6.0)
    assert len(on_edge) == 0


def test_points_move_to_the_better_texture_nearby() -> None:
    worth = np.full((40, 40), 0.5, np.float32)
    worth[::5, ::5] = 0.9
    places = furthest(np.zeros((0, 2)), np.ones((40, 40), bool), worth, 8.0)
    chosen = worth[places[:, 1].astype(int), places[:, 0].astype(int)]
    assert (chosen > 0.8).mean() > 0.6  # a twenty-fifth by chance


def test_movers_get_a_finer_grid_within_their_mask() -> None:
    layers = np.zeros((90, 120), np.uint8)
    layers[20:60, 30:80] = 2
    seen = picture(texture(90, 120, 1), layers)
    places, layer = fresh(seen, 8.0)
    x, y = places.astype(int).T
    assert set(layer.tolist()) == {0, 2}
    assert (layers[y[layer == 2], x[layer == 2]] == 2).all()
    assert (layers[y[layer == 0], x[layer == 0]] == 0).all()
    inside, outside = (layer == 2).sum() / (40 * 50), (layer == 0).sum() / (90 * 120 - 40 * 50)
    assert inside > 1.4 * outside
    more, _ = seeds(seen, begun(seen, places, layer, 0), 8.0, FollowSettings())
    assert len(more) < 0.05 * len(places)


def test_points_on_a_mover_stand_where_the_mover_itself_has_texture() -> None:
    """Not where what is painted over it for the background has some."""
    layers = np.zeros((90, 120), np.uint8)
    layers[20:60, 30:80] = 1
    frame = texture(90, 120, 1)
    frame[20:60, 30:80] = 120
    frame[20:60, 30:55] = texture(40, 25, 2)
    places, layer = fresh(picture(frame, layers), 8.0)
    assert int((layer == 1).sum()) > 15
    assert places[layer == 1][:, 0].max() < 62


def test_a_cell_with_a_point_gets_no_other() -> None:
    inside, rich = np.ones((20, 20), bool), np.ones((20, 20), np.float32)
    assert len(gridded(np.zeros((0, 2)), inside, rich, 5.0)) == 16
    assert len(gridded(np.array([[2.0, 2.0], [12.0, 7.0]]), inside, rich, 5.0)) == 14


def test_texture_is_between_none_and_all() -> None:
    worth = textured(texture(60, 80, 2)[..., 0])
    assert worth.min() >= 0
    assert worth.max() <= 1
    assert np.median(worth) > 0.5
    assert textured(np.full((60, 80), 9, np.uint8)).max() == 0


def test_spacing_gives_the_number_asked_for() -> None:
    settings = FollowSettings(points=400)
    apart = spacing((427, 240), settings)
    places = furthest(np.zeros((0, 2)), np.ones((240, 427), bool), np.ones((240, 427), np.float32), apart)
    assert 0.8 < len(places) / (400 / 2) < 1.25
    assert spacing((427, 240), FollowSettings(spacing=11.0)) == 11.0
