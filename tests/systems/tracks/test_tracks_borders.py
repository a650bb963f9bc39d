"""Rings and the depths that points suggest beyond themselves."""

from __future__ import annotations

import numpy as np
import pytest

from fieldscape.systems.tracks.borders import RANGE, on_the_border, ring, slopes, suggested


def scattered(seed: int, count: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (count, 2))


def test_a_ring_has_its_corners_and_even_steps() -> None:
    around = ring((-2.0, 1.0, 6.0, 5.0), 4)
    assert len(around) == 16
    for corner in ([-2, 1], [6, 1], [6, 5], [-2, 5]):
        assert np.abs(around - corner).sum(1).min() == 0
    steps = np.linalg.norm(np.roll(around, -1, 0) - around, axis=1)
    assert steps == pytest.approx(np.repeat([2.0, 1.0, 2.0, 1.0], 4))


def test_slopes_of_a_plane_are_its_own() -> None:
    places = scattered(0)
    inverse = 1 + places @ [0.002, -0.003]
    assert slopes(places, inverse) == pytest.approx(np.tile([0.002, -0.003], (120, 1)), rel=0.25)


def test_slopes_at_a_jump_are_those_of_the_own_side() -> None:
    places = scattered(1, 400)
    near = places[:, 0] > 50
    inverse = np.where(near, 2.0, 1 + 0.002 * places[:, 1])
    slope = slopes(places, inverse)
    assert np.median(np.abs(slope[near])) < 1e-3
    rim = ~near & (places[:, 0] > 44)
    assert slope[rim, 1] == pytest.approx(np.full(rim.sum(), 0.002), abs=1e-3)
    assert np.abs(slope[rim, 0]).max() < 0.01  # joining both sides it would be about 0.1


def test_the_border_goes_on_as_the_plane_does() -> None:
    places = scattered(2)
    inverse = 1 + places @ [0.001, 0.002]
    around = ring((-5.0, -5.0, 105.0, 105.0), 6)
    depth, nearest = on_the_border(around, places, inverse, slopes(places, inverse))
    assert depth == pytest.approx(1 + around @ [0.001, 0.002], abs=0.01)
    away = np.linalg.norm(around[:, None] - places, axis=-1)
    assert np.array_equal(nearest, away.argmin(1))


def test_suggestions_stay_within_the_range_of_those_asked() -> None:
    places = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10], [5, 5]])
    steep = np.full((5, 2), 10.0)
    through, _, _ = suggested(np.array([[500.0, 500.0], [-500.0, -500.0]]), places, np.ones(5), steep, 3)
    assert through[0] == pytest.approx([RANGE] * 3)
    assert through[1] == pytest.approx([1 / RANGE] * 3)


def test_few_points_are_enough() -> None:
    one = np.array([[3.0, 4.0]])
    depth, nearest = on_the_border(ring((0.0, 0.0, 9.0, 9.0), 2), one, np.array([0.5]), slopes(one, np.array([0.5])))
    assert depth == pytest.approx(np.full(8, 0.5))
    assert not nearest.any()
