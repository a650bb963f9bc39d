"""Slots fitted to depth maps without a network: first guesses from segments, Adam on the slots, merges, no dead slots.

All depth maps of a batch are fitted at once and none knows of the others, but for prototypes that are learned: those
are shared. What is optimised is ``vecta`` itself, each number by steps of its own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.systems.slots import losses, seeds
from fieldscape.systems.slots.codec import Slots, decode, encode, likely, transformed
from fieldscape.systems.slots.config import FitConfig, LossWeights
from fieldscape.systems.slots.merging import proposals
from fieldscape.systems.slots.points import Observed
from fieldscape.systems.slots.prototypes import Prototypes, sampled
from fieldscape.systems.slots.seeds import Guess
from fieldscape.systems.slots.targets import Targets, free_gaps, targets_of

STEP = 0.06
"""How far a slot moves in the first step, as a share of its size."""
TURN = 0.05
STRETCH = 0.04
BLEND = 0.15
EXIST = 0.15
SHAPE_RATE = 3e-3
"""Of prototypes that are learned."""
LEAST_SHARE = 0.004
"""A slot that explains a smaller share of the points than this is not there."""
FAVOUR = 1.5
"""How much more the logit of the prototype that fits a first guess best is."""


@dataclass(frozen=True)
class Fitted:
    """Slots of b depth maps. vecta: see ``codec``.  alive: which exist.  costs: each loss of each map, unweighed, and
    their weighed sum "total".  crowded: segments that found no slot.  merged: pairs that became one."""

    vecta: Float[Tensor, "b s d"]
    alive: Bool[Tensor, "b s"]
    costs: dict[str, Float[Tensor, "b"]]
    crowded: tuple[int, ...]
    merged: tuple[int, ...]


def fit(
    observed: Sequence[Observed], labels: Sequence[Int[Tensor, "h w"]], prototypes: Prototypes, config: FitConfig
) -> Fitted:
    """Fits slots to depth maps of one size. labels: the segments of each, 0 for none, as ``convexity.segment`` makes.

    Raises ValueError for a depth map without points.
    """
    targets = targets_of(observed, config.points)
    guesses = [first_guess(targets, k, each, labels[k], config) for k, each in enumerate(observed)]
    used = max(1, max(int(likely(guess.vecta).sum()) for guess in guesses))
    vecta = best_prototype(torch.stack([guess.vecta[:used] for guess in guesses]), targets, prototypes)
    owner = torch.stack([guess.owner for guess in guesses])
    vecta = refine(vecta, targets, prototypes, config, config.steps, owner, config.learn_prototypes)
    merged = torch.zeros(len(targets), dtype=torch.long)
    refused: list[set[tuple[int, int]]] = [set() for _ in observed]
    for _ in range(config.merge_rounds if used > 1 and not config.trust else 0):
        tried, pair = proposals(vecta, explained(vecta, targets, prototypes), targets, config.merge_gap, refused)
        some = (pair[:, 0] >= 0).nonzero()[:, 0]
        if not len(some):
            break
        less, own = part(targets, some), owner[some]
        both = torch.where(own == pair[some, 1:], pair[some, :1], own)
        guess = best_prototype(tried[some], less, prototypes, only=(tried[some] != vecta[some]).any(-1))
        joined = refine(guess, less, prototypes, config, config.merge_steps, both)
        cost = total(joined, less, prototypes, config, both)["total"]
        better = cost < total(vecta[some], less, prototypes, config, own)["total"]
        vecta[some[better]], owner[some[better]] = joined[better], both[better]
        for k in some[~better].tolist():
            refused[k].add((int(pair[k, 0]), int(pair[k, 1])))
        merged[some[better]] += 1
    vecta = refine(vecta, targets, prototypes, config, config.final_steps, owner)
    least = LEAST_SHARE / 4 if config.trust else LEAST_SHARE
    alive = exists(vecta, explained(vecta, targets, prototypes), targets, least)
    costs = total(vecta, targets, prototypes, config, owner)
    return Fitted(vecta, alive, costs, tuple(guess.left_out for guess in guesses), tuple(merged.tolist()))


def first_guess(targets: Targets, k: int, observed: Observed, labels: Int[Tensor, "h w"], config: FitConfig) -> Guess:
    """The slots that the segments of depth map ``k`` suggest; points far from one another where it has none."""
    column, row = observed.pixels.unbind(-1)
    own = labels[row, column]
    found = bool((own > 0).any())
    if not found:
        own = seeds.furthest(observed.points, min(config.slots, len(observed.points)))
    # Padded points weigh nothing and need no label.
    place = torch.arange(targets.points.shape[1]) % len(own)
    eye = observed.from_camera[:3, 3]
    guess = seeds.from_labels(targets.points[k], targets.weights[k], own[place], config.slots, config.prototypes, eye)
    return guess if found else replace(guess, owner=torch.full_like(guess.owner, -1))


@torch.no_grad()
def best_prototype(
    vecta: Float[Tensor, "b s d"],
    targets: Targets,
    prototypes: Prototypes,
    only: Bool[Tensor, "b s"] | None = None,
) -> Float[Tensor, "b s d"]:
    """First guesses with the logit of the prototype raised that lies nearest to the points around each of them."""
    slots = decode(vecta)
    misses = []
    owner: Tensor | None = None
    for k in range(len(prototypes)):
        choice = torch.zeros_like(slots.logits)
        choice[..., k] = 1
        shape = prototypes.blend(choice, slots.aspect)
        samples, _ = sampled(transformed(shape, slots), prototypes.faces)
        costs = losses.distances(targets.points, samples)
        if owner is None:
            far = torch.where(slots.existence[..., 0] > 0, 0.0, 1e3)
            owner = (costs + far[:, None]).argmin(-1)
        own = torch.nn.functional.one_hot(owner, costs.shape[-1]) * targets.weights[..., None]
        misses.append((own * costs).sum(1) / own.sum(1).clamp_min(1e-9))
    best = torch.nn.functional.one_hot(torch.stack(misses, -1).argmin(-1), len(prototypes))
    chosen = encode(replace(slots, logits=FAVOUR * best.to(vecta)))
    return chosen if only is None else torch.where(only[..., None], chosen, vecta)


def refine(
    vecta: Float[Tensor, "b s d"],
    targets: Targets,
    prototypes: Prototypes,
    config: FitConfig,
    steps: int,
    owner: Int[Tensor, "b n"] | None = None,
    learn: bool = False,
) -> Float[Tensor, "b s d"]:
    """Slots after ``steps`` of Adam on all losses, wherever they come from: guesses, or a network.

    owner: the slot that each point belongs to by its segment, -1 for those of none.  learn: the prototypes are changed
    too, in place.
    """
    start = vecta.detach()
    if steps < 1:
        return start.clone()
    rates = step_sizes(start, config)
    moved = torch.zeros_like(start).requires_grad_()
    groups: list[dict] = [{"params": [moved], "lr": 1.0}]
    if learn:
        groups.append({"params": list(prototypes.parameters()), "lr": SHAPE_RATE})
    optimizer = torch.optim.Adam(groups, betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * step / steps))
    )
    prototypes.requires_grad_(learn)
    for _ in range(steps):
        costs = total(stepped(start, rates, moved), targets, prototypes, config, owner)
        loss = costs["total"].sum()
        if learn and config.weights.smooth:
            loss = loss + config.weights.smooth * losses.smoothness(prototypes) * len(targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return stepped(start, rates, moved.detach())


def step_sizes(vecta: Float[Tensor, "*b d"], config: FitConfig) -> Float[Tensor, "*b d"]:
    """What one unit of each number's own step is: metres in proportion to a slot's size, radians, logits."""
    slots = decode(vecta)
    one = torch.ones_like(slots.scale)
    turns = torch.stack([TURN * one[..., 0], *[(TURN if config.tilt else 0.0) * one[..., 0]] * 2], -1)
    sizes = Slots(
        scale=STEP * one,
        position=(STEP * slots.scale).expand_as(slots.position),
        angles=turns,
        logits=torch.full_like(slots.logits, BLEND),
        existence=(0.0 if config.trust else EXIST) * one,
        aspect=torch.full_like(slots.aspect, STRETCH if config.aspect else 0.0),
    )
    return encode(sizes)


def stepped(
    start: Float[Tensor, "*b d"], rates: Float[Tensor, "*b d"], moved: Float[Tensor, "*b d"]
) -> Float[Tensor, "*b d"]:
    """Slots so many steps away; the scale goes by shares, so that it stays positive, and the aspect keeps mean zero."""
    away = rates * moved
    there = decode(start + away)
    scale = start[..., :1] * torch.exp(away[..., :1].clamp(-2, 2))
    aspect = there.aspect - there.aspect.mean(-1, keepdim=True)
    return encode(replace(there, scale=scale, aspect=aspect))


def total(
    vecta: Float[Tensor, "b s d"],
    targets: Targets,
    prototypes: Prototypes,
    config: FitConfig,
    owner: Int[Tensor, "b n"] | None = None,
) -> dict[str, Float[Tensor, "b"]]:
    """Every loss that is switched on, each map's own, and their weighed sum as "total"."""
    weights: LossWeights = config.weights
    slots = decode(vecta)
    existence = torch.sigmoid(slots.existence[..., 0])
    blend = slots.logits.softmax(-1)
    shapes = prototypes.blend(blend, slots.aspect)
    surface = transformed(shapes, slots)
    samples, areas = sampled(surface, prototypes.faces)
    points = losses.distances(targets.points, samples)
    shares = losses.responsibilities(points, existence)
    ground = losses.huber(targets.points[..., 1].abs()) if bool(targets.grounded.any()) else None
    if ground is not None:
        ground = torch.where(targets.grounded[:, None], ground, config.unexplained)
    costs = {"coverage": losses.expected_chamfer(points, shares, targets.weights, config.unexplained, ground)}
    if weights.belonging and owner is not None:
        costs["belonging"] = losses.belonging(points, owner, targets.weights)
    if weights.free:
        costs["free"] = losses.free_space(free_gaps(samples, targets), areas, existence)
    if weights.sparsity:
        costs["sparsity"] = losses.share_sparsity(shares, targets.weights)
    if weights.parsimony:
        costs["parsimony"] = losses.parsimony(existence)
    if weights.binary:
        costs["binary"] = losses.binary(existence)
    if weights.size:
        costs["size"] = losses.size(slots.scale, existence)
    if weights.overlap and vecta.shape[1] > 1:
        costs["overlap"] = losses.overlap(slots, shapes, surface)
    if weights.support:
        costs["support"] = losses.support(surface, existence) * targets.grounded
    if weights.use and prototypes.log_radius.requires_grad:
        costs["use"] = losses.prototype_use(blend, existence).expand(len(targets))
    if weights.entropy:
        costs["entropy"] = losses.blend_entropy(blend, existence)
    weighed = torch.stack([getattr(weights, name) * cost for name, cost in costs.items()])
    return costs | {"total": weighed.sum(0)}


@torch.no_grad()
def explained(vecta: Float[Tensor, "b s d"], targets: Targets, prototypes: Prototypes) -> Int[Tensor, "b n"]:
    """The number of the slot nearest to each point, of those that exist."""
    slots = decode(vecta)
    samples, _ = sampled(prototypes.surfaces(slots), prototypes.faces)
    costs = losses.nearest_distance_in_groups(targets.points, samples)
    return (costs + torch.where(slots.existence[..., 0] > 0, 0.0, 1e6)[:, None]).argmin(-1)


def exists(
    vecta: Float[Tensor, "b s d"], owner: Int[Tensor, "b n"], targets: Targets, least: float = LEAST_SHARE
) -> Bool[Tensor, "b s"]:
    """Which slots exist more likely than not, and explain more than the least share of the points."""
    share = torch.nn.functional.one_hot(owner, vecta.shape[1]).mul(targets.weights[..., None]).sum(1)
    return likely(vecta) & (share > least)


def part(targets: Targets, which: Int[Tensor, "c"]) -> Targets:
    """Some of the depth maps."""
    return Targets(*(getattr(targets, name)[which] for name in targets.__dataclass_fields__))
