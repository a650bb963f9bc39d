"""What teaches the encoder: matching, lessons in closed form, stages, and scenes that may be mirrored."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from fieldscape.systems.slots import direct, learning
from fieldscape.systems.slots.attention import Look
from fieldscape.systems.slots.codec import Slots, decode, encode
from fieldscape.systems.slots.config import FitConfig
from fieldscape.systems.slots.model import blank
from fieldscape.systems.slots.pool import IGNORED, Batch, chosen, fitted, make_pool, reflected, spoiled
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.scenes import draw_example
from fieldscape.systems.slots.train_config import TeachingWeights, TrainConfig
from fieldscape.systems.slots.views import NO_SEGMENT

SMALL = TrainConfig(width=8, channels=16, points=96, slots=6, level=1, scenes=5, batch=2)


@pytest.fixture(scope="module")
def pool() -> Batch:
    """Five scenes, the last of them noisy."""
    made = make_pool(SMALL, 0)
    assert made is not None
    return made


def test_matching_finds_the_best_of_all_pairings() -> None:
    chance = torch.Generator().manual_seed(3)
    for _ in range(5):
        shares = torch.rand(1, 4, 30, generator=chance).softmax(1)
        taught = torch.randint(-1, 3, (1, 30), generator=chance)
        weights, present = torch.ones(1, 30), torch.ones(1, 4, dtype=torch.bool)
        pairs = learning.matched(shares, taught, weights, present, torch.full((1, 4), -1))[0]

        def overlap(slot: int, segment: int, shares: torch.Tensor = shares, taught: torch.Tensor = taught) -> float:
            mine, theirs = shares[0, slot], (taught[0] == segment).float()
            common = float((mine * theirs).sum())
            return common / (float(mine.sum() + theirs.sum()) - common)

        best = max(sum(overlap(s, k) for k, s in enumerate(p)) for p in itertools.permutations(range(4), 3))
        assert sum(overlap(int(pairs[k]), k) for k in range(3)) == pytest.approx(best, abs=1e-5)
        assert int(pairs[3]) == -1


def test_absent_slots_are_never_matched() -> None:
    shares = torch.full((1, 2, 10), 0.5)
    taught = (torch.arange(10) >= 5).long()[None]
    pairs = learning.matched(shares, taught, torch.ones(1, 10), torch.tensor([[False, True]]), torch.tensor([[0, 0]]))
    assert sorted(pairs[0].tolist()) == [-1, 1]
    owner = learning.owners(pairs, taught)
    assert set(owner[0].tolist()) == {1, IGNORED}


def test_the_first_slot_that_begins_on_a_segment_gets_it() -> None:
    shares = torch.full((1, 3, 12), 0.01)
    shares[0, 1] = 0.98  # has everything, and yet
    taught = (torch.arange(12) >= 6).long()[None]
    present = torch.ones(1, 3, dtype=torch.bool)
    pairs = learning.matched(shares, taught, torch.ones(1, 12), present, torch.tensor([[1, 1, 1]]))
    assert pairs[0].tolist() == [1, 0, -1]
    pairs = learning.matched(shares, taught, torch.ones(1, 12), present, torch.tensor([[-1, 0, 0]]))
    assert pairs[0, 0] == 1


def test_lessons_in_closed_form() -> None:
    logs = torch.tensor([[[0.5, 0.25, 0.25, 0.1], [0.3, 0.25, 0.5, 0.1], [0.2, 0.5, 0.25, 0.8]]]).log()
    look = Look(logs, torch.tensor([[2.0, -1.0]]))
    owner = torch.tensor([[0, NO_SEGMENT, 1, IGNORED]])
    lesson = learning.assignment(look, owner, torch.ones(1, 4))
    assert float(lesson) == pytest.approx(math.log(2))
    both = torch.tensor([[True, True]])
    lesson = learning.existence(look, torch.tensor([[0, -1]]), both)
    assert float(lesson) == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2)
    lesson = learning.existence(look, torch.tensor([[0, -1]]), torch.tensor([[True, False]]))
    assert float(lesson) == pytest.approx(math.log(1 + math.exp(-2)))


def slot(yaw: float, aspect: tuple[float, float, float], scale: float = 0.5) -> torch.Tensor:
    return encode(
        Slots(
            torch.tensor([scale]),
            torch.tensor([1.0, 0.5, 4.0]),
            torch.tensor([yaw, 0.0, 0.0]),
            torch.zeros(6),
            torch.tensor([3.0]),
            torch.tensor(aspect),
        )
    )[None, None]


def test_a_quarter_turn_with_sides_exchanged_is_the_same_pose() -> None:
    goal, pairs = slot(0.3, (0.2, 0.0, -0.2)), torch.tensor([[0]])
    same = slot(0.3 + math.pi / 2, (-0.2, 0.0, 0.2))
    assert float(learning.pose(same, goal, pairs)) < 1e-4
    assert float(learning.pose(slot(0.3 + math.pi / 4, (0.2, 0.0, -0.2)), goal, pairs)) > 0.005
    larger = learning.pose(slot(0.3, (0.2, 0.0, -0.2), 0.5 * math.e), goal, pairs)
    assert float(larger) == pytest.approx(0.9, abs=1e-3)  # Huber of 1, bent at 0.2
    assert float(learning.pose(larger.new_ones(1, 1, 17), goal, torch.tensor([[-1]]))) == 0


def test_stages_follow_one_another() -> None:
    names = [learning.stage_at(done, SMALL).name for done in (0.0, 0.39, 0.4, 0.7, 0.9, 1.0)]
    assert names == ["A", "A", "B", "C", "D", "D"]
    first, later, last = (learning.stage_at(done, SMALL) for done in (0.1, 0.5, 0.95))
    assert first.losses is None
    assert not first.shapes
    assert later.shapes
    assert first.pose > later.pose > last.pose == 0
    assert last.temperature == pytest.approx(learning.COLDEST)
    assert first.temperature == 1
    assert later.losses is not None
    assert later.losses.entropy == 0
    assert last.losses is not None
    assert last.losses.entropy == SMALL.weights.entropy
    assert later.losses.smooth == SMALL.weights.smooth
    assert last.losses.smooth == learning.SMOOTHING * SMALL.weights.smooth


def test_a_mirrored_scene_costs_its_mirrored_slots_the_same(pool: Batch) -> None:
    shapes = Prototypes(6, 1, torch.Generator().manual_seed(0))
    plan = FitConfig(6, 6, level=1, weights=replace(SMALL.weights, overlap=0.0))
    both = reflected(pool, torch.ones(len(pool), dtype=torch.bool))
    costs = []
    for batch in (pool, both):
        owner = batch.taught.clamp_min(NO_SEGMENT)
        costs.append(
            direct.total(batch.goals, replace(batch.targets, empty=batch.targets.empty.float()), shapes, plan, owner)
        )
    for name in ("coverage", "belonging", "free", "size"):
        assert torch.allclose(costs[0][name], costs[1][name], rtol=0.03, atol=2e-3), name
    assert float(costs[0]["free"].detach().sum()) > 0
    again = reflected(both, torch.ones(len(pool), dtype=torch.bool))
    assert torch.allclose(again.goals, pool.goals)
    assert torch.allclose(again.targets.to_camera, pool.targets.to_camera)


def test_what_is_taught_of_noisy_scenes_is_what_the_clean_ones_show(pool: Batch) -> None:
    assert len(pool) == 5
    for k in range(len(pool)):
        for rank in range(SMALL.slots):
            points = pool.views.points[k][pool.taught[k] == rank]
            goal = pool.goals[k, rank]
            if float(goal[-4]) < 0 or len(points) < 8:
                continue
            # The middle of the thing is near to the points of its segment, noisy or not.
            assert float((points - goal[1:4]).norm(dim=1).median()) < 4 * float(goal[0])
    clean = draw_example("contact", 5000, 4, samples=0).depth_map
    noisy = spoiled(clean, 0, 4)
    wrong = (noisy.depth / clean.depth - 1)[noisy.valid & clean.valid]
    assert 0.002 < float(wrong.std()) < 0.02
    assert torch.equal(spoiled(clean, 0, 4).depth, noisy.depth)


def test_fitted_goals_cost_less_than_first_guesses(pool: Batch) -> None:
    some = replace(SMALL, fitted=2)
    better = fitted(pool, some, 0)
    assert torch.equal(better.goals[2:], pool.goals[2:])
    shapes, plan = Prototypes(6, 1, torch.Generator().manual_seed(0)), FitConfig(6, 6, level=1)
    two = torch.arange(2)
    totals = []
    for each in (pool, better):
        part = chosen(each, two)
        totals.append(direct.total(part.goals, part.targets, shapes, plan, part.taught.clamp_min(NO_SEGMENT))["total"])
    assert (totals[1] < totals[0]).all()


def test_depth_that_is_shown_where_it_is_seen_costs_little_and_pulls_back(pool: Batch) -> None:
    shapes, part = Prototypes(6, 1, torch.Generator().manual_seed(0)), chosen(pool, torch.arange(3))
    slots = decode(part.goals)
    costs, pulls = [], []
    for away in (0.0, 0.3):
        moved = (away * slots.position / slots.position.norm(dim=-1, keepdim=True)).requires_grad_()
        vecta = encode(replace(slots, position=slots.position + moved))
        cost = learning.shown_depth(vecta, shapes, part.views, part.targets)
        costs.append(cost.detach())
        pulls.append(torch.autograd.grad(cost.sum(), moved)[0])
    assert (costs[0] < 0.1).all()
    assert (costs[1] > costs[0]).all()
    assert float((pulls[1] * slots.position).sum()) > 0
    none = encode(replace(slots, existence=torch.full_like(slots.existence, -5.0)))
    assert not bool(learning.shown_depth(none, shapes, part.views, part.targets).any())


def test_each_lesson_and_loss_can_be_switched_off(pool: Batch) -> None:
    encoder, shapes = blank(SMALL, 0)
    batch = learning.begun(chosen(pool, torch.arange(2)), SMALL, torch.Generator().manual_seed(0))
    silent = replace(SMALL, teaching=TeachingWeights(0, 0, 0, 0))
    stage = replace(learning.stage_at(0.95, silent), losses=None)
    loss, told, _ = learning.batch_losses(encoder, shapes, batch, silent, stage)
    assert float(loss.detach()) == 0
    assert not told
    stage = learning.stage_at(0.5, SMALL)
    assert stage.losses is not None
    _, every, _ = learning.batch_losses(encoder, shapes, batch, SMALL, stage)
    less = replace(stage, losses=replace(stage.losses, free=0, parsimony=0))
    _, fewer, _ = learning.batch_losses(encoder, shapes, batch, SMALL, less)
    assert set(every) - set(fewer) == {"free", "parsimony"}


def test_a_few_steps_on_one_batch_teach_it(pool: Batch) -> None:
    encoder, shapes = blank(SMALL, 0)
    batch = chosen(pool, torch.arange(3))
    ready = learning.begun(batch, replace(SMALL, drop=0.0), torch.Generator().manual_seed(0))
    stage, adam = learning.stage_at(0.0, SMALL), torch.optim.Adam(encoder.parameters(), 3e-3)
    costs = []
    for _ in range(15):
        loss, told, _ = learning.batch_losses(encoder, shapes, ready, SMALL, stage)
        adam.zero_grad()
        loss.backward()
        adam.step()
        costs.append(told)
    assert costs[-1]["assignment"] < 0.8 * costs[0]["assignment"]
    assert costs[-1]["existence"] < costs[0]["existence"]
