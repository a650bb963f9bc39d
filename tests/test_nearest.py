"""Nearest points: kernels equal to the table of all distances, gradients, groups, trees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fieldscape import nearest as module
from fieldscape.nearest import (
    nearest,
    nearest_distance,
    nearest_distance_in_groups,
    nearest_in_groups,
    nearest_plain,
)


def clouds(seed: int, *shapes: tuple[int, ...], on_lattice: bool = False) -> list[Tensor]:
    """Random points; on a lattice many are equally near, and many are the same."""
    g = torch.Generator().manual_seed(seed)
    made = [torch.randn(*shape, 3, generator=g) for shape in shapes]
    return [(2 * cloud).round() / 2 for cloud in made] if on_lattice else made


@pytest.mark.parametrize("on_lattice", [False, True])
@pytest.mark.parametrize("shapes", [((1,), (1,)), ((100,), (37,)), ((33,), (500,)), ((2, 3, 50), (2, 3, 41))])
def test_the_kernel_is_the_table_of_distances(shapes, on_lattice) -> None:
    points, targets = clouds(1, *shapes, on_lattice=on_lattice)
    assert torch.equal(nearest(points, targets), nearest_plain(points, targets))


@pytest.mark.parametrize("shape", ["cloud", "lattice", "sphere", "line", "one place"])
def test_the_tree_is_the_table_of_distances(shape) -> None:
    points, targets = clouds(2, (1500,), (2100,), on_lattice=shape == "lattice")
    if shape == "sphere":
        points, targets = (x / x.norm(dim=-1, keepdim=True) for x in (points, targets))
    if shape == "line":
        points[:, 1:], targets[:, 1:] = 0.0, 0.0
    if shape == "one place":
        targets[:] = 0.25
    found = module._down_the_tree(points.numpy(), targets.numpy())
    assert np.array_equal(found, nearest_plain(points, targets).numpy())


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 1000])
def test_trees_of_any_size(count) -> None:
    points, targets = clouds(3, (60,), (count,))
    found = module._down_the_tree(points.numpy(), targets.numpy())
    assert np.array_equal(found, nearest_plain(points, targets).numpy())


def test_many_points_go_down_the_tree(monkeypatch) -> None:
    points, targets = clouds(4, (2, 12000), (2, 13000))
    by_tree = nearest(points, targets)
    monkeypatch.setattr(module, "_down_the_tree", lambda *_: pytest.fail("these are enough for a tree"))
    with pytest.raises(pytest.fail.Exception):
        nearest(points, targets)
    assert torch.equal(by_tree, nearest_in_groups(points, targets[:, None])[..., 0])


def test_groups_are_searched_one_by_one() -> None:
    points, targets = clouds(5, (2, 300), (2, 4, 77))
    found = nearest_in_groups(points, targets)
    assert found.shape == (2, 300, 4)
    assert found.dtype == torch.int64
    for group in range(4):
        assert torch.equal(found[..., group], nearest_plain(points, targets[:, group]))
    distances = nearest_distance_in_groups(points, targets)
    assert torch.allclose(distances[..., 2], torch.cdist(points, targets[:, 2]).amin(-1), atol=1e-5)


def test_threads_change_nothing() -> None:
    points, targets = clouds(6, (3000,), (2000,))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = nearest(points, targets)
        tree = module._down_the_tree(points.numpy(), targets.numpy())
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, nearest(points, targets))
    assert np.array_equal(tree, module._down_the_tree(points.numpy(), targets.numpy()))


def test_distances_have_the_gradient_of_the_table() -> None:
    found = []
    for distance in (
        nearest_distance,
        lambda p, t: torch.cdist(p, t, compute_mode="donot_use_mm_for_euclid_dist").amin(-1),
    ):
        points, targets = (cloud.requires_grad_() for cloud in clouds(7, (2, 90), (2, 20)))
        value = distance(points, targets)
        weight = torch.randn(2, 90, generator=torch.Generator().manual_seed(1))
        found.append((value.detach(), *torch.autograd.grad((value * weight).sum(), (points, targets))))
    for ours, plain in zip(*found):
        assert torch.allclose(ours, plain, atol=1e-5)


def test_groups_have_gradients() -> None:
    points, targets = (cloud.double().requires_grad_() for cloud in clouds(8, (5,), (2, 6)))
    assert torch.autograd.gradcheck(nearest_distance_in_groups, (points, targets))


def test_at_distance_nothing_the_gradient_is_nothing() -> None:
    points = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    distance = nearest_distance(points, points.detach())
    assert float(distance.detach()) == 0
    distance.sum().backward()
    assert torch.equal(points.grad, torch.zeros(1, 3))


def test_large_and_far_clouds() -> None:
    """Far from the origin float32 has few digits left: many points are equally near, and the first is meant."""
    points, targets = clouds(9, (400,), (300,))
    points, targets = points + 1e5, targets + 1e5
    expected = nearest_plain(points, targets)
    assert torch.equal(nearest(points, targets), expected)
    assert np.array_equal(module._down_the_tree(points.numpy(), targets.numpy()), expected.numpy())


def test_no_points_and_no_targets() -> None:
    points, targets = clouds(10, (4,), (6,))
    assert nearest(points[:0], targets).shape == (0,)
    with pytest.raises(ValueError, match="no targets"):
        nearest(points, targets[:0])
    with pytest.raises(ValueError, match="finite"):
        nearest(points, targets / 0)
