"""Triangulations that persist: sound after every change, Delaunay's when new, and steadier than a new one each time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import Delaunay

from fieldscape.systems.tracks.borders import ring
from fieldscape.systems.tracks.triangles import Triangulation, carried_on, linked, pierced, triangulated

WIDTH, HEIGHT = 320.0, 180.0
AROUND = ring((-1.0, -1.0, WIDTH + 1, HEIGHT + 1), 8)


def scattered(count: int, seed: int) -> np.ndarray:
    inner = np.random.default_rng(seed).uniform(0, [WIDTH, HEIGHT], (count, 2))
    return np.concatenate([inner, AROUND])


def canonical(faces: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(sorted(face)) for face in faces.tolist()}


def areas(places: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (places[faces[:, k]] for k in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def require_sound(made: Triangulation, alive: np.ndarray) -> None:
    """All faces the same way round, the rectangle covered once, links and vertices as they should be."""
    faces = made.triangles
    found = areas(made.places, faces)
    assert found.min() > 0
    assert found.sum() == pytest.approx((WIDTH + 2) * (HEIGHT + 2))
    assert np.array_equal(np.unique(faces), np.flatnonzero(alive))
    assert np.array_equal(np.flatnonzero(made.at >= 0), np.flatnonzero(alive))
    assert np.array_equal(made.links[: made.count], linked(faces))
    inside = np.flatnonzero(made.at >= 0)
    assert (faces[made.at[inside]] == inside[:, None]).any(1).all()


def everyone(places: np.ndarray) -> np.ndarray:
    return np.ones(len(places), bool)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_new_triangulation_is_delaunays(seed: int) -> None:
    places = scattered(300, seed)
    made = triangulated(places, everyone(places), len(AROUND))
    require_sound(made, everyone(places))
    assert canonical(made.triangles) == canonical(Delaunay(places).simplices)


def test_it_stays_sound_and_becomes_delaunays_without_slack() -> None:
    generator = np.random.default_rng(3)
    places = scattered(250, 3)
    alive = everyone(places)
    alive[:50] = False
    made = triangulated(places, alive, len(AROUND))
    for _ in range(8):
        places, alive = places.copy(), alive.copy()
        places[:250] = (places[:250] + generator.normal(0, 3, (250, 2))).clip(0.1, [WIDTH - 0.1, HEIGHT - 0.1])
        alive[:250] ^= generator.random(250) < 0.1
        carried_on(made, places, alive, 0.0)
        require_sound(made, alive)
        names = np.flatnonzero(alive)
        assert canonical(made.triangles) == canonical(names[Delaunay(places[alive]).simplices])


def test_more_faces_survive_than_with_a_new_triangulation_each_time() -> None:
    generator = np.random.default_rng(4)
    places = scattered(400, 4)
    made = triangulated(places, everyone(places), len(AROUND))
    ours, theirs = [], []
    for _ in range(6):
        before, plain = canonical(made.triangles), canonical(Delaunay(places).simplices)
        places = places.copy()
        places[:400] = (places[:400] + generator.normal(0, 0.5, (400, 2))).clip(0.1, [WIDTH - 0.1, HEIGHT - 0.1])
        carried_on(made, places, everyone(places), 20.0)
        require_sound(made, everyone(places))
        ours.append(len(before & canonical(made.triangles)) / len(before))
        theirs.append(len(plain & canonical(Delaunay(places).simplices)) / len(plain))
    lost, lost_plainly = 1 - np.mean(ours), 1 - np.mean(theirs)
    assert lost < 0.6 * lost_plainly


def test_points_that_do_not_move_keep_all_their_faces() -> None:
    places = scattered(100, 5)
    made = triangulated(places, everyone(places), len(AROUND))
    before = made.triangles
    carried_on(made, places, everyone(places), 20.0)
    assert np.array_equal(before, made.triangles)


def test_a_turned_over_cluster_is_mended() -> None:
    places = scattered(60, 6)
    made = triangulated(places, everyone(places), len(AROUND))
    places = places.copy()
    places[:60] = [WIDTH, HEIGHT] - places[:60]  # turned round by half
    carried_on(made, places, everyone(places), 20.0)
    require_sound(made, everyone(places))


def test_points_on_edges_and_in_rows_and_twice() -> None:
    rows = np.stack(np.meshgrid(np.arange(10.0, 300, 20), np.arange(10.0, 170, 20)), -1).reshape(-1, 2)
    places = np.concatenate([rows, rows[:1], AROUND])
    made = triangulated(places, everyone(places), len(AROUND))
    alive = everyone(places)
    alive[len(rows)] = False  # the second at the same place is left out
    require_sound(made, alive)
    alive[: len(rows) : 3] = False
    carried_on(made, places, alive, 20.0)
    assert areas(places, made.triangles).min() > 0


def test_pierced_keeps_the_faces_that_nothing_falls_near() -> None:
    places = scattered(80, 7)
    faces = triangulated(places, everyone(places), len(AROUND)).triangles
    more = np.array([[100.0, 90.0], [104.0, 90.0]])
    result = pierced(faces, places, more)
    every = np.concatenate([places, more])
    assert len(result) == len(faces) + 4
    assert areas(every, result).min() > 0
    assert len(canonical(faces) & canonical(result)) > 0.8 * len(faces)
    assert {len(places), len(places) + 1} <= set(result.reshape(-1).tolist())
