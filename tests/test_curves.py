"""Curves: through their points, smooth, evenly paced; tours that are short."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldscape.curves import catmull_rom, pace, resampled, tour


def _points(seed: int, count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _length(points: torch.Tensor) -> float:
    return float(points.diff(dim=0).norm(dim=-1).sum())


@given(st.integers(0, 10_000), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_a_tour_visits_all_and_is_nearly_the_shortest(seed: int, count: int) -> None:
    points = _points(seed, count)
    order = tour(points)
    assert sorted(order.tolist()) == list(range(count))
    shortest = min(_length(points[list(order)]) for order in permutations(range(count)))
    assert _length(points[order]) <= 1.15 * shortest + 1e-9


def test_a_tour_beats_nearest_neighbours() -> None:
    """Points passed by on a line cost nearest neighbours a long way back; 2-opt mends it."""
    points = torch.zeros(5, 3)
    points[:, 0] = torch.tensor([0.0, -1.0, 2.0, -5.0, 10.0])
    assert _length(points[tour(points)]) == 15
    spread = _points(0, 60)
    steps = spread[tour(spread)].diff(dim=0).norm(dim=-1)
    assert steps.max() < 0.5


def test_a_tour_takes_thousands_of_points_and_equal_ones() -> None:
    assert sorted(tour(_points(0, 1500)).tolist()) == list(range(1500))
    assert sorted(tour(torch.zeros(9, 3)).tolist()) == list(range(9))


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_catmull_rom_agrees_with_its_pyramid(seed: int) -> None:
    """The twin: P. Barry and R. Goldman's pyramid of straight lines, 1988, knots at the roots of distances."""
    p = _points(seed, 4)
    knot = torch.cat([torch.zeros(1), p.diff(dim=0).norm(dim=-1).sqrt().cumsum(0)])
    for share in (0.0, 0.3, 0.8, 1.0):
        t = knot[1] + share * (knot[2] - knot[1])

        def line(a: torch.Tensor, b: torch.Tensor, i: int, j: int, t: torch.Tensor = t) -> torch.Tensor:
            return ((knot[j] - t) * a + (t - knot[i]) * b) / (knot[j] - knot[i])

        a = [line(p[i], p[i + 1], i, i + 1) for i in range(3)]
        b = [line(a[i], a[i + 1], i, i + 2) for i in range(2)]
        ours = catmull_rom(p, torch.tensor([1]), torch.tensor([share], dtype=torch.float64))[0]
        assert torch.allclose(ours, line(b[0], b[1], 1, 2), atol=1e-9)


def test_catmull_rom_halts_at_equal_points() -> None:
    p = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 0, 0], [2, 1, 0], [3, 1, 0]], dtype=torch.float64)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    there = catmull_rom(p, torch.full((11,), 1), t)
    assert torch.allclose(there, p[1].expand(11, 3), atol=2e-3)
    onward = catmull_rom(p, torch.full((11,), 2), t)
    assert onward.isfinite().all()
    assert onward[:, 0].min() > 0.99
    assert onward[:, 0].max() < 2.01


def test_pace_counts_distance_and_a_little_turning() -> None:
    position = torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [3, 0, 0]])
    still = torch.zeros(4, 1)
    assert pace(position, still).tolist() == pytest.approx([0, 1 / 3, 1, 1])
    turning = torch.tensor([[0.0], [0], [0], [1]])
    assert pace(position, turning).tolist() == pytest.approx([0, 0.8 / 3, 0.8, 1])
    assert pace(position[:1].expand(4, 3), turning).tolist() == pytest.approx([0, 0, 0, 1])
    assert pace(position[:1].expand(4, 3), still).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_resampling_is_linear() -> None:
    values, time = torch.tensor([[0.0, 1], [4, 1], [6, 3]]), torch.tensor([0.0, 0.5, 1.0])
    assert resampled(values, time, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])).tolist() == [
        [0, 1],
        [2, 1],
        [4, 1],
        [5, 2],
        [6, 3],
    ]
