"""The volume integral: laws it must obey, closed forms it must reach, and a brute-force twin."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fieldscape import volume
from fieldscape.types import Rays

densities = st.lists(st.floats(0, 50), min_size=1, max_size=12)


def spaced(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) + 0.05


@given(densities)
def test_weights_and_what_passes_sum_to_one(sigma) -> None:
    sigma = torch.tensor(sigma)
    delta = spaced(len(sigma))
    passed = torch.exp(-(sigma * delta).sum())
    w = volume.weights(sigma, delta)
    assert bool((w >= 0).all())
    assert float(w.sum() + passed) == pytest.approx(1, abs=1e-5)


@given(densities)
def test_weights_equal_the_product_written_out(sigma) -> None:
    """The brute-force twin: T_i as a product of (1 - alpha_j), one factor at a time."""
    delta = spaced(len(sigma)).tolist()
    light, expected = 1.0, []
    for s, d in zip(sigma, delta, strict=True):
        alpha = 1 - math.exp(-s * d)
        expected.append(light * alpha)
        light *= 1 - alpha
    got = volume.weights(torch.tensor(sigma, dtype=torch.float64), torch.tensor(delta, dtype=torch.float64))
    assert got.tolist() == pytest.approx(expected, abs=1e-9)


@given(densities, st.integers(0, 11), st.floats(0.05, 0.95))
def test_splitting_an_interval_changes_nothing(sigma, where, share) -> None:
    where %= len(sigma)
    delta = spaced(len(sigma)).double()
    whole = volume.weights(torch.tensor(sigma, dtype=torch.float64), delta)
    split = delta.tolist()
    split[where : where + 1] = [split[where] * share, split[where] * (1 - share)]
    parts = volume.weights(
        torch.tensor([*sigma[: where + 1], *sigma[where:]], dtype=torch.float64),
        torch.tensor(split, dtype=torch.float64),
    )
    merged = [*parts[:where], parts[where] + parts[where + 1], *parts[where + 2 :]]
    assert [float(m) for m in merged] == pytest.approx(whole.tolist(), abs=1e-9)


def test_units_of_length_cancel() -> None:
    sigma, delta = spaced(8), spaced(8, 1)
    assert torch.allclose(volume.weights(sigma, delta), volume.weights(sigma / 1000, delta * 1000), atol=1e-6)


def test_nothing_behind_an_opaque_sample_shows() -> None:
    w = volume.weights(torch.tensor([0.0, 1e6, 5.0, 5.0]), torch.ones(4))
    assert w.tolist() == pytest.approx([0, 1, 0, 0], abs=1e-6)


def test_an_endless_last_interval_loses_nothing_of_the_others() -> None:
    """A difference of sums would: 1e10 and the rest do not fit one float32 together."""
    w = volume.weights(torch.tensor([0.3, 0.2, 0.1]), volume.intervals(torch.tensor([1.0, 2.0, 3.0])))
    assert w.tolist() == pytest.approx(
        [1 - math.exp(-0.3), math.exp(-0.3) * (1 - math.exp(-0.2)), math.exp(-0.5)], abs=1e-6
    )


def test_a_uniform_fog_has_the_closed_form_at_any_step() -> None:
    """alpha = 1 - exp(-sigma L), and the mean depth of what is seen, in the limit of small steps."""
    sigma, near, far = 0.7, 2.0, 6.0

    def fog(points, directions):
        return torch.ones(*points.shape[:-1], 1), torch.full(points.shape[:-1], sigma)

    ray = Rays(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
    bounds = torch.tensor([[near]]), torch.tensor([[far]])
    for n in (64, 1024):
        # Intervals start at the samples, so the last one ends half a step after far and the first starts half one late.
        t = volume.stratified(*bounds, n)
        seen, _ = volume.render(fog, ray, t, None, last=(far - near) / n)
        assert float(seen.alpha) == pytest.approx(1 - math.exp(-sigma * (far - near)), rel=1e-4)
    length = far - near
    mean = near + 1 / sigma - length * math.exp(-sigma * length) / (1 - math.exp(-sigma * length))
    assert float(seen.depth) == pytest.approx(mean, rel=2e-3)


def test_a_sphere_is_seen_where_it_stands() -> None:
    """A hard sphere of radius 1 at distance 4: depth 3 on the axis, and a disc of the right size."""

    def sphere(points, directions):
        inside = points.norm(dim=-1) < 1
        return torch.ones(*points.shape[:-1], 3), 1e4 * inside.float()

    x = torch.linspace(-0.5, 0.5, 101)
    directions = torch.stack([x, torch.zeros_like(x), torch.ones_like(x)], -1)
    rays = Rays(torch.tensor([0.0, 0.0, -4.0]).expand(101, 3), directions / directions.norm(dim=-1, keepdim=True))
    t = volume.stratified(torch.full((101, 1), 2.0), torch.full((101, 1), 6.0), 2000)
    seen, _ = volume.render(sphere, rays, t, torch.zeros(3))
    assert float(seen.depth[50]) == pytest.approx(3, abs=0.01)
    edge = math.tan(math.asin(1 / 4))
    assert bool((seen.alpha[x.abs() < edge - 0.01] > 0.99).all())
    assert bool((seen.alpha[x.abs() > edge + 0.01] < 0.01).all())


def test_the_background_is_blended_linearly() -> None:
    w, color, t = torch.tensor([[0.2, 0.3]]), torch.rand(1, 2, 3), torch.tensor([[1.0, 2.0]])
    black = volume.composite(w, color, t, torch.zeros(3)).color
    white = volume.composite(w, color, t, torch.ones(3)).color
    assert torch.allclose(white - black, torch.full((1, 3), 0.5), atol=1e-6)
    assert torch.equal(volume.composite(w, color, t, None).color, black)


def test_a_ray_that_meets_nothing_has_depth_and_alpha_zero() -> None:
    seen = volume.composite(torch.zeros(2, 4), torch.rand(2, 4, 3), torch.rand(2, 4), torch.ones(3))
    assert torch.equal(seen.depth, torch.zeros(2, 1))
    assert torch.equal(seen.color, torch.ones(2, 3))


def test_packed_samples_composite_as_rows_do() -> None:
    w, color, t = torch.rand(5, 7) / 7, torch.rand(5, 7, 3), torch.rand(5, 7)
    rows = volume.composite(w, color, t, torch.ones(3))
    ray = torch.arange(5).repeat_interleave(7)
    packed = volume.composite_packed(w.flatten(), color.reshape(-1, 3), t.flatten(), ray, 5, torch.ones(3))
    for name in ("color", "depth", "alpha"):
        assert torch.allclose(getattr(rows, name), getattr(packed, name), atol=1e-6)


def test_gradients_agree_with_finite_differences() -> None:
    sigma = torch.rand(6, dtype=torch.float64, requires_grad=True)
    color = torch.rand(6, 3, dtype=torch.float64, requires_grad=True)
    delta, t = torch.rand(6, dtype=torch.float64) + 0.1, torch.arange(6.0, dtype=torch.float64)

    def seen(sigma, color):
        return volume.composite(volume.weights(sigma, delta), color, t, torch.ones(3, dtype=torch.float64)).color

    assert torch.autograd.gradcheck(seen, (sigma, color))


@pytest.mark.parametrize("spacing", ["linear", "disparity"])
def test_stratified_samples_stand_one_in_each_bin(spacing) -> None:
    near, far = torch.full((1000, 1), 2.0), torch.full((1000, 1), 6.0)
    t = volume.stratified(near, far, 16, torch.Generator().manual_seed(0), spacing)
    edges = torch.linspace(0, 1, 17)
    edges = 2 + 4 * edges if spacing == "linear" else 1 / ((1 - edges) / 2 + edges / 6)
    assert bool(((t >= edges[:-1] - 1e-5) & (t <= edges[1:] + 1e-5)).all())
    middle = volume.stratified(near[:1], far[:1], 16, None, spacing)
    inside = (t - edges[:-1]) / (edges[1:] - edges[:-1])
    assert float(inside.mean()) == pytest.approx(0.5, abs=0.02)
    assert bool(((middle > edges[:-1]) & (middle < edges[1:])).all())


def test_importance_samples_follow_the_weights() -> None:
    t = torch.arange(1.0, 11.0).expand(1, 10)
    w = torch.zeros(1, 10)
    w[0, 3], w[0, 7] = 0.25, 0.75
    new = volume.importance(t, w, 4000, torch.Generator().manual_seed(0))[0]
    assert bool((new[1:] >= new[:-1]).all())
    assert float(((new > 3.5) & (new < 4.5)).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(((new > 7.5) & (new < 8.5)).float().mean()) == pytest.approx(0.75, abs=0.01)


def test_importance_of_equal_weights_is_even() -> None:
    t = torch.linspace(0, 1, 101)[None]
    new = volume.importance(t, torch.ones(1, 101), 50)[0]
    assert torch.allclose(new, (torch.arange(50) + 0.5) / 50, atol=0.01)


def test_importance_without_weight_anywhere_still_answers() -> None:
    new = volume.importance(torch.linspace(2, 6, 9)[None], torch.zeros(1, 9), 32)
    assert bool(new.isfinite().all())
    assert 2 <= float(new.min()) <= float(new.max()) <= 6


@given(st.integers(0, 10_000))
def test_a_ray_enters_and_leaves_a_box_on_its_faces(seed) -> None:
    g = torch.Generator().manual_seed(seed)
    origin, direction = 4 * torch.rand(1, 3, generator=g) - 2, torch.randn(1, 3, generator=g)
    ray = Rays(origin, direction / direction.norm())
    near, far = volume.ray_box(ray, -torch.ones(3), torch.ones(3))
    if bool(near < far):
        leaves = ray.at(far)[0, 0]
        assert float(leaves.abs().max()) == pytest.approx(1, abs=1e-4)
        assert float(ray.at((near + far) / 2).abs().max()) <= 1 + 1e-4
    else:
        along = ray.at(torch.linspace(0, 8, 200)[None])[0]
        assert float(along.abs().amax(-1).min()) > 1 - 0.1


def test_a_ray_along_an_axis_meets_a_box() -> None:
    ray = Rays(torch.tensor([[0.0, 0.0, -3.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    near, far = volume.ray_box(ray, -torch.ones(3), torch.ones(3))
    assert (float(near), float(far)) == pytest.approx((2, 4))
