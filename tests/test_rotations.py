"""Rotations: the three forms agree with each other and with SciPy, and curves through them are smooth."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from fieldscape.rotations import about, aligned, nearest, slerp, squad, squad_controls, to_matrix, to_quaternion

number = st.floats(-1, 1, allow_nan=False, width=32)
quaternion = st.tuples(number, number, number, number).filter(lambda q: sum(x * x for x in q) > 1e-2)
AXES = torch.eye(3, dtype=torch.float64)


def unit(values: tuple[float, ...]) -> torch.Tensor:
    q = torch.tensor(values, dtype=torch.float64)
    return q / q.norm()


@given(quaternion)
@settings(max_examples=100, deadline=None)
def test_matrix_and_quaternion_are_each_others_inverse(values: tuple[float, ...]) -> None:
    q = unit(values)
    matrix = to_matrix(q)
    assert torch.allclose(matrix @ matrix.T, AXES, atol=1e-12)
    assert torch.linalg.det(matrix) == pytest.approx(1)
    assert torch.allclose(matrix, torch.from_numpy(Rotation.from_quat(q.numpy(), scalar_first=True).as_matrix()))
    assert abs(float(to_quaternion(matrix) @ q)) == pytest.approx(1, abs=1e-12)


def test_half_turns_have_quaternions() -> None:
    for axis in torch.cat([AXES, torch.tensor([[0.6, 0.8, 0.0], [-0.6, 0.0, 0.8]], dtype=torch.float64)]):
        matrix = about(axis, torch.tensor(torch.pi, dtype=torch.float64))
        assert torch.allclose(to_matrix(to_quaternion(matrix)), matrix, atol=1e-12)


@given(quaternion, st.floats(-7, 7))
@settings(max_examples=50, deadline=None)
def test_turns_about_an_axis_agree_with_scipy(values: tuple[float, ...], angle: float) -> None:
    axis = torch.tensor(values[:3], dtype=torch.float64) + torch.tensor([2.0, 0, 0])
    axis = axis / axis.norm()
    expected = torch.from_numpy(Rotation.from_rotvec((angle * axis).numpy()).as_matrix())
    assert torch.allclose(about(axis, torch.tensor(angle, dtype=torch.float64)), expected, atol=1e-12)


def test_nearest_removes_noise_and_leaves_rotations() -> None:
    rotation = about(AXES[1], torch.tensor(0.7, dtype=torch.float64))
    assert torch.allclose(nearest(rotation), rotation, atol=1e-14)
    assert torch.allclose(nearest(2.5 * rotation), rotation, atol=1e-14)
    noisy = nearest(rotation + 1e-3 * torch.arange(9.0).reshape(3, 3))
    assert torch.allclose(noisy @ noisy.T, AXES, atol=1e-14)


@given(quaternion, quaternion, st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_slerp_agrees_with_scipy_along_the_shorter_way(p: tuple[float, ...], q: tuple[float, ...], t: float) -> None:
    pair = aligned(torch.stack([unit(p), unit(q)]))
    if abs(float(pair[0] @ pair[1])) < 1e-4:
        return  # half a turn apart: both ways are as short
    twin = Slerp([0, 1], Rotation.from_quat(pair.numpy(), scalar_first=True))(t).as_matrix()
    ours = to_matrix(slerp(pair[0], pair[1], torch.tensor(t, dtype=torch.float64)))
    assert torch.allclose(ours, torch.from_numpy(twin), atol=1e-7)


def test_squad_passes_through_and_turns_without_jerks() -> None:
    generator = torch.Generator().manual_seed(3)
    q = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    q = aligned(q / q.norm(dim=-1, keepdim=True))
    inner = squad_controls(q)
    knots = torch.arange(5)
    assert torch.allclose(squad(q, inner, knots, torch.zeros(5).double()), q[:-1], atol=1e-12)
    assert torch.allclose(squad(q, inner, knots, torch.ones(5).double()), q[1:], atol=1e-12)
    step = 1e-5
    before = q[1:-1] - squad(q, inner, knots[:-1], torch.full((4,), 1 - step, dtype=torch.float64))
    after = squad(q, inner, knots[1:], torch.full((4,), step, dtype=torch.float64)) - q[1:-1]
    assert torch.allclose(before / step, after / step, atol=1e-3)  # the same velocity on both sides of a knot


def test_squad_of_two_is_slerp() -> None:
    q = aligned(torch.stack([unit((1, 0.2, 0, 0)), unit((0.1, -1, 0.5, 2))]))
    t = torch.linspace(0, 1, 7, dtype=torch.float64)
    segment = torch.zeros(7, dtype=torch.long)
    assert torch.allclose(squad(q, squad_controls(q), segment, t), slerp(q[:1].expand(7, 4), q[1:].expand(7, 4), t))
