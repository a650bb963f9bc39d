"""Losses of slots against sums over all that may exist, hand-made scenes and the laws they are to follow."""

from __future__ import annotations

import itertools

import pytest
import torch

from fieldscape.systems.slots import losses
from fieldscape.systems.slots.codec import Slots
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.targets import Targets, free_gaps, in_empty


def prototypes() -> Prototypes:
    return Prototypes(2, 2, torch.Generator().manual_seed(0))


def balls(*places: tuple[float, float, float], scale: float = 0.5, existence: float = 9.0) -> Slots:
    count = len(places)
    return Slots(
        scale=torch.full((1, count, 1), scale),
        position=torch.tensor([places]),
        angles=torch.zeros(1, count, 3),
        logits=torch.tensor([20.0, 0.0]).expand(1, count, 2),
        existence=torch.full((1, count, 1), existence),
        aspect=torch.zeros(1, count, 3),
    )


def test_the_expected_distance_is_the_sum_over_all_worlds() -> None:
    generator = torch.Generator().manual_seed(1)
    costs = torch.rand(7, 4, generator=generator)
    existence = torch.rand(4, generator=generator)
    weights = torch.rand(7, generator=generator)
    price = 0.6
    expected = torch.zeros(7)
    for world in itertools.product((False, True), repeat=4):
        there = torch.tensor(world)
        chance = torch.where(there, existence, 1 - existence).prod()
        nearest = torch.where(there, costs, torch.inf).amin(-1)
        expected += chance * torch.where(nearest.isfinite(), nearest, price)
    found = losses.expected_chamfer(costs, losses.responsibilities(costs, existence), weights, price)
    assert torch.allclose(found, (weights * expected).sum() / weights.sum(), atol=1e-6)


def test_what_is_near_the_ground_is_explained_by_it() -> None:
    costs = torch.tensor([[0.5, 0.7], [0.01, 0.2]])
    shares = losses.responsibilities(costs, torch.ones(2))
    ground = torch.tensor([0.02, 0.9])
    found = losses.expected_chamfer(costs, shares, torch.ones(2), 1.0, ground)
    assert torch.allclose(found, torch.tensor((0.02 + 0.01) / 2))


def test_responsibilities_are_the_chances_to_be_the_nearest() -> None:
    shares = losses.responsibilities(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0.5, 0.25, 0.8]))
    assert torch.allclose(shares, torch.tensor([[0.75 * 0.2 * 0.5, 0.25, 0.75 * 0.8]]))


def test_points_belong_to_the_slot_of_their_segment() -> None:
    costs = torch.tensor([[0.5, 0.1], [0.2, 0.3], [0.7, 0.9]])
    found = losses.belonging(costs, torch.tensor([0, 1, -1]), torch.tensor([0.5, 0.25, 0.25]))
    assert torch.allclose(found, torch.tensor(0.5 * 0.5 + 0.25 * 0.3))


def test_huber_meets_itself_at_the_bend() -> None:
    at = torch.tensor([0.0, 0.05, 0.1, 0.3])
    assert torch.allclose(losses.huber(at), torch.tensor([0.0, 0.0125, 0.05, 0.25]), atol=1e-7)


def test_one_slot_for_all_is_cheaper_than_shares() -> None:
    points = torch.ones(1, 10)
    whole = torch.zeros(1, 10, 3)
    whole[..., 0] = 1
    split = torch.full((1, 10, 3), 1 / 3)
    assert float(losses.share_sparsity(whole, points)) < 0.6 * float(losses.share_sparsity(split, points))
    assert abs(float(losses.share_sparsity(whole, points)) - 1) < 0.02


def test_each_slot_that_exists_costs() -> None:
    assert torch.allclose(losses.parsimony(torch.tensor([1.0, 0.25, 0.0])), torch.tensor(1.5), atol=2e-3)
    assert torch.allclose(losses.binary(torch.tensor([1.0, 0.5, 0.0, 0.5])), torch.tensor(0.125))
    assert torch.allclose(losses.size(torch.tensor([[2.0], [1.0]]), torch.tensor([1.0, 0.5])), torch.tensor(4.5))


def test_slots_inside_one_another_cost_and_slots_apart_do_not() -> None:
    shape = prototypes()
    found = []
    for gap in (0.0, 0.5, 1.1):
        slots = balls((0, 0, 0), (gap, 0, 0))
        shapes = shape.blend(slots.logits.softmax(-1))
        found.append(float(losses.overlap(slots, shapes, shape.surfaces(slots))))
    assert found[0] > found[1] > 10 * found[2]
    assert found[2] < 0.01


def test_occupancy_is_that_of_a_ball() -> None:
    shape = prototypes()
    slots = balls((1.0, 0, 0))
    points = torch.tensor([[[1.0, 0.2, 0.2], [1.0, 0.8, 0.0], [1.45, 0.0, 0.0], [1.56, 0.0, 0.0]]])
    inside = losses.occupancy(points, slots, shape.blend(slots.logits.softmax(-1)))[0, :, 0]
    assert inside[0] > 0.99
    assert inside[1] < 0.01
    assert inside[2] > 0.75
    assert inside[3] < 0.25


def test_use_falls_with_each_prototype_that_is_used() -> None:
    existence = torch.ones(1, 4)
    one = torch.nn.functional.one_hot(torch.zeros(4, dtype=torch.long), 4).float()[None]
    four = torch.eye(4)[None]
    assert torch.allclose(losses.prototype_use(four, existence), torch.tensor(0.0), atol=1e-6)
    assert torch.allclose(losses.prototype_use(one, existence), torch.tensor(0.75), atol=1e-6)
    assert float(losses.blend_entropy(four, existence)) < 1e-6
    even = torch.full((1, 4, 4), 0.25)
    assert torch.allclose(losses.blend_entropy(even, existence), torch.tensor([4.0]).log())


def view() -> Targets:
    """A camera 1 m up that looks level along z: a wall of points 4 m ahead on its left half, sky on its right."""
    empty = torch.full((1, 20, 20), 10.0)
    empty[..., :10] = 4.0
    empty[..., :2] = 0.0  # unknown
    to_camera = torch.diag(torch.tensor([-1.0, -1, 1, 1]))
    to_camera[1, 3] = 1.0
    y, x = torch.meshgrid(torch.linspace(0.1, 2, 8), torch.linspace(0.1, 2, 8), indexing="ij")
    points = torch.stack([x, y, torch.full_like(x, 4.0)], -1).reshape(1, -1, 3)
    return Targets(
        points,
        torch.full((1, 64), 1 / 64),
        empty,
        to_camera[None],
        torch.tensor([[20.0, 20.0]]),
        torch.tensor([[10.0, 10.0]]),
        torch.tensor([True]),
    )


def test_only_what_is_seen_to_be_empty_is_empty() -> None:
    # x is to the left in the model frame.
    points = torch.tensor(
        [[
            [0.5, 1.0, 3.0],  # before the wall
            [0.5, 1.0, 3.95],  # on it, within the margin
            [0.5, 1.0, 5.0],  # behind it: hidden
            [-1.0, 1.0, 6.0],  # before the sky
            [-9.0, 1.0, 3.0],  # beside the picture
            [1.4, 1.0, 3.0],  # where nothing is known
            [0.0, 1.0, -1.0],  # behind the camera
        ]]
    )  # fmt: skip
    assert in_empty(points, view()).tolist() == [[True, False, False, True, False, False, False]]


def test_floating_surface_is_pulled_to_what_was_seen() -> None:
    samples = torch.tensor([[[[0.5, 1.0, 3.0], [0.5, 1.0, 5.0], [0.5, -0.3, 4.5]]]], requires_grad=True)
    gaps = free_gaps(samples, view())
    # In the air: the nearest point; hidden: nothing; below the ground: the ground, less what is allowed.
    assert 0.99 < float(gaps[0, 0, 0]) < 1.02
    assert float(gaps[0, 0, 1]) == 0
    assert float(gaps[0, 0, 2]) == pytest.approx(0.25)
    areas = torch.full((1, 1, 3), 1 / 3)
    cost = losses.free_space(gaps, areas, torch.ones(1, 1))
    cost.sum().backward()
    assert samples.grad is not None
    assert samples.grad[0, 0, 0, 2] < 0
    assert samples.grad[0, 0, 2, 1] < 0
    assert float(samples.grad[0, 0, 1].abs().max()) == 0
    assert float(losses.free_space(gaps, areas, torch.zeros(1, 1))) == 0  # given up: not pulled


def test_things_are_to_stand_on_the_ground() -> None:
    shape = prototypes()
    costs = []
    for height in (0.5, 0.7, 0.9):
        slots = balls((0, height, 0))
        costs.append(float(losses.support(shape.surfaces(slots), torch.ones(1, 1))))
    assert costs[0] < 1e-3 < costs[1] < costs[2]


def test_the_literal_loss_asks_nothing_of_surface_that_no_point_needs() -> None:
    points = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0]]])
    near = torch.tensor([[[[0.0, 0, 0.5], [1.0, 0, 0.5]]]])
    far_too = torch.cat([near, torch.full((1, 1, 1, 3), 99.0)], 2)
    assert float(losses.literal_seed(points, near)) == pytest.approx(0.25)
    assert float(losses.literal_seed(points, far_too)) == pytest.approx(0.25)
