"""Cut edges open faces along their middles, and nothing is uncovered."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import Delaunay

from fieldscape.systems.tracks.tearing import changes, jumps, torn


def area(places: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (places[faces[:, k]] for k in range(3))
    return float(np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_pieces_cover_what_was_torn_and_keep_their_own_depth(seed: int) -> None:
    generator = np.random.default_rng(seed)
    places = np.concatenate([generator.uniform(0, 10, (60, 2)), [[-1, -1], [11, -1], [11, 11], [-1, 11]]])
    kind = generator.integers(0, 3, 64)  # three surfaces: faces with two cut edges, and with three
    inverse = np.array([0.2, 1.0, 5.0])[kind]
    faces = Delaunay(places).simplices.astype(np.int64)
    ends = np.stack([faces, np.roll(faces, -1, 1)], -1)
    cut = kind[ends[..., 0]] != kind[ends[..., 1]]
    assert {0, 2, 3} <= set(cut.sum(1).tolist())
    result = torn(places, inverse, faces, cut)
    every, depth = np.concatenate([places, result.places]), np.concatenate([inverse, result.inverse])
    assert area(every, result.faces[~result.far]) == pytest.approx(area(places, faces))
    assert area(every, result.faces[result.far]) == pytest.approx(area(places, faces[cut.any(1)]))
    assert np.ptp(depth[result.faces[~result.far]], axis=1).max() == 0  # no piece joins two surfaces
    assert np.array_equal(inverse[result.owner], result.inverse)


def test_an_edge_that_does_not_part_its_face_stays() -> None:
    places, faces = np.array([[0.0, 0], [1, 0], [0, 1]]), np.array([[0, 1, 2]])
    result = torn(places, np.ones(3), faces, np.array([[True, False, False]]))
    assert np.array_equal(result.faces, faces)
    assert len(result.places) == 0


def test_jumps_are_not_steep_planes() -> None:
    places = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    inverse, ends = np.array([1.0, 2.0, 2.0]), np.array([[0, 1], [0, 2], [1, 2]])
    steep = np.tile([0.1, 0.0], (3, 1))  # foretells the rise along x, not the one along y
    assert jumps(places, inverse, steep, ends, 1.5).tolist() == [False, True, False]
    assert not jumps(places, inverse, steep, ends, 2.5).any()


def test_lengths_that_change_count_only_where_both_ends_are_seen() -> None:
    world = np.zeros((3, 3, 3))
    world[:, 1, 0] = [1, 1, 2]
    world[:, 2, 1] = 1
    ends = np.array([[0, 1], [0, 2]])
    seen = np.ones((3, 3), bool)
    assert changes(world, seen, ends, 1.5, np.zeros(2)).tolist() == [True, False]
    assert not changes(world, seen, ends, 1.5, np.full(2, 1.1)).any()
    seen[2, 1] = False
    assert changes(world, seen, ends, 1.5, np.zeros(2)).tolist() == [False, False]
