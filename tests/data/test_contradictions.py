"""The check of poses against all matches: closed cases, and small groups by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fieldscape.data import contradictions


def test_one_group_where_all_agrees():
    assert len(contradictions.contradicting_groups([(1, 2, 50.0), (2, 3, 40.0), (1, 3, 30.0)])) == 1


def test_a_wrong_pair_that_is_outvoted_tears_nothing():
    assert len(contradictions.contradicting_groups([(1, 2, 50.0), (2, 3, 40.0), (1, 3, -30.0)])) == 1


def test_a_shifted_part_is_told_apart():
    """Photos 1-4 and 5-8: within the parts all agree; one false joint of 30 stands against 90 matches."""
    inside = [(a, b, 100.0) for part in (range(1, 5), range(5, 9)) for a in part for b in part if a < b]
    groups = contradictions.contradicting_groups([*inside, (1, 5, 30.0), (2, 6, -50.0), (3, 7, -40.0)])
    assert groups == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_few_contradicting_matches_are_chance():
    assert len(contradictions.contradicting_groups([(1, 2, 50.0), (2, 3, -10.0), (3, 4, 50.0)])) == 1


def test_epipolar_error_is_zero_for_true_matches_and_pixels_for_shifted_ones():
    """Two cameras side by side: epipolar lines are rows; an error of d in y is shared by both photos."""
    points = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 6], (50, 3))
    a = np.hstack([np.eye(3), np.zeros((3, 1))])
    b = np.hstack([np.eye(3), [[-0.5], [0], [0]]])
    left, right = points[:, :2] / points[:, 2:], (points + np.array([-0.5, 0, 0]))[:, :2] / points[:, 2:]
    assert contradictions.epipolar_error(left, right, a, b).max() < 1e-12
    shifted = right + np.array([0.3, 0.01])
    assert contradictions.epipolar_error(left, shifted, a, b) == pytest.approx(0.01 / np.sqrt(2))


def test_epipolar_error_for_any_two_poses():
    generator = np.random.default_rng(1)
    points = generator.uniform([-1, -1, 3], [1, 1, 6], (50, 3))
    poses = []
    for _ in range(2):
        q, _ = np.linalg.qr(np.eye(3) + 0.2 * generator.standard_normal((3, 3)))
        q = q * np.sign(np.diag(q))
        poses.append(np.hstack([q, generator.uniform(-0.5, 0.5, (3, 1))]))
    seen = [points @ pose[:, :3].T + pose[:, 3] for pose in poses]
    a, b = (local[:, :2] / local[:, 2:] for local in seen)
    assert contradictions.epipolar_error(a, b, *poses).max() < 1e-12
    assert contradictions.epipolar_error(a, b, *poses[::-1]).max() > 1e-3
