"""Made-up scenes to learn from, kept as tensors: what is seen, what slots are compared with, and what a teacher says.

Scene k of a seed is always the same. Half of the scenes are seen through a sensor with noise and gaps, of varying
strength; the teacher's segments are those of the clean depth, so that what the encoder learns is to see through noise.
The shape that the split ``unseen-shape`` keeps back is in none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.systems.slots import codec, direct, seeds
from fieldscape.systems.slots.config import FitConfig
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.scenes import Truth, draw_example
from fieldscape.systems.slots.targets import Targets, targets_of
from fieldscape.systems.slots.train_config import TrainConfig
from fieldscape.systems.slots.views import NO_SEGMENT, Views, mirrored, ranked, views_of
from fieldscape.worlds.street.render import noisy

Teacher: TypeAlias = Callable[[DepthMap, Observed], Int[Tensor, "h w"]]

KINDS = ("contact", "iso", "contact", "clutter")
"""Splits of the scenes, in turn."""
TRAINING_SEED, HELD_SEED = 5000, 1000
IGNORED = -2
"""A point that is not taught: its segment found no slot."""
FEWEST = 20
"""Pixels of a segment that is taught as a thing; smaller ones are background."""
FIT_STEPS = 40
FIT_BATCH = 16


@dataclass(frozen=True)
class Batch:
    """p scenes. views: with no slots begun yet; their owners are the segments of the depth map itself.

    taught: the segment of each point by the teacher, on clean depth: its rank by surface, ``NO_SEGMENT`` for
    background, ``IGNORED``.  goals: slots for those segments; their existence is below 0 where there is none.
    """

    views: Views
    targets: Targets
    taught: Int[Tensor, "p n"]
    goals: Float[Tensor, "p s d"]

    def __len__(self) -> int:
        return len(self.taught)


def convexity_teacher(depth_map: DepthMap, observed: Observed) -> Int[Tensor, "h w"]:
    """Segments by convexity and depth gaps."""
    return segment(depth_map, observed, ConvexitySettings())


def make_pool(
    config: TrainConfig,
    seed: int,
    teacher: Teacher = convexity_teacher,
    told: Callable[[int], None] = lambda done: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Batch | None:
    """The scenes of a training, as ``compact``; ``told`` hears how many are done. None where it was asked to stop.

    Scenes that show nothing to explain are passed over, so there may be fewer than ``config.scenes``.
    """
    made: list[Batch] = []
    for index in range(config.scenes):
        if stopped():
            return None
        one = scene(config, seed, index, teacher)
        if one is not None:
            made.append(compact(one))
        told(index + 1)
    pool = joined(made)
    return fitted(pool, config, seed) if config.fitted else pool


def scene(config: TrainConfig, seed: int, index: int, teacher: Teacher) -> Batch | None:
    """One scene, or None where nothing stands in it that a slot could explain."""
    settings = PointSettings(points=config.points, far=config.far)
    kind = KINDS[index % len(KINDS)]
    clean = draw_example(kind, TRAINING_SEED + seed, index, samples=0).depth_map
    observed = prepare(clean, settings)
    if not len(observed.points):
        return None
    labels = large(teacher(clean, observed))
    column, row = observed.pixels.unbind(-1)
    # Ranks are of the clean points; a map of them tells those of the noisy ones.
    ranks = torch.full((int(labels.max()) + 1,), IGNORED)
    ranks[0] = NO_SEGMENT
    own = labels[row, column]
    places = ranked(own, observed.weights, config.slots)
    ranks[own[places >= 0]] = places[places >= 0]
    eye = observed.from_camera[:3, 3]
    goals = []
    for rank in range(config.slots):
        points = observed.points[places == rank]
        enough = len(points) >= seeds.FEWEST
        goals.append(
            seeds.from_points(points, config.prototypes, eye) if enough else seeds.absent(config.prototypes, eye)
        )
    given = labels
    if (index // len(KINDS)) % 2:
        seen = spoiled(clean, seed, index)
        observed = prepare(seen, settings)
        if not len(observed.points):
            return None
        given = teacher(seen, observed)
        column, row = observed.pixels.unbind(-1)
    views = views_of([observed], [given], config.slots, config.points)
    place = torch.arange(config.points) % len(observed.points)
    return Batch(
        views,
        targets_of([observed], config.points),
        ranks[labels[row, column]][place][None],
        torch.stack(goals)[None],
    )


def large(labels: Int[Tensor, "h w"], least: int = FEWEST) -> Int[Tensor, "h w"]:
    """Labels without those of fewer pixels than ``least``."""
    return torch.where(torch.bincount(labels.flatten())[labels] >= least, labels, 0)


def spoiled(depth_map: DepthMap, seed: int, index: int) -> DepthMap:
    """A depth map as a sensor sees it: errors of 0.3 to 1.5 % of depth, up to 8 % of pixels lost."""
    chance = np.random.Generator(np.random.PCG64([seed, index]))
    depth = np.where(depth_map.valid.numpy(), depth_map.depth.double().numpy(), np.nan)
    depth[depth_map.sky.numpy()] = np.inf
    depth = noisy(depth, chance, share=chance.uniform(0.003, 0.015), lost=chance.uniform(0.0, 0.08))
    known = np.isfinite(depth) & (depth > 0)
    return replace(
        depth_map,
        depth=torch.from_numpy(np.where(known, depth, 0.0)).float(),
        valid=torch.from_numpy(known),
        sky=torch.from_numpy(np.isposinf(depth)),
    )


def compact(batch: Batch) -> Batch:
    """The same with pictures in half precision."""
    views = replace(batch.views, image=batch.views.image.half())
    return replace(batch, views=views, targets=replace(batch.targets, empty=batch.targets.empty.half()))


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one. Raises ValueError where there are none."""
    if not batches:
        raise ValueError("there are no scenes to learn from")
    views = Views(*(torch.cat([getattr(b.views, f.name) for b in batches]) for f in fields(Views)))
    targets = Targets(*(torch.cat([getattr(b.targets, f.name) for b in batches]) for f in fields(Targets)))
    return Batch(views, targets, torch.cat([b.taught for b in batches]), torch.cat([b.goals for b in batches]))


def chosen(pool: Batch, which: Int[Tensor, "b"]) -> Batch:
    """Some of the scenes, in full precision."""
    views = Views(*(getattr(pool.views, f.name)[which] for f in fields(Views)))
    targets = Targets(*(getattr(pool.targets, f.name)[which] for f in fields(Targets)))
    views, targets = replace(views, image=views.image.float()), replace(targets, empty=targets.empty.float())
    return Batch(views, targets, pool.taught[which], pool.goals[which])


def reflected(batch: Batch, which: Bool[Tensor, "b"]) -> Batch:
    """Scenes with left and right exchanged where ``which``; slots keep their numbers."""
    sign = torch.where(which, -1.0, 1.0)
    flip = torch.stack([sign, torch.ones_like(sign), torch.ones_like(sign)], -1)
    targets = batch.targets
    width = targets.empty.shape[-1]
    matrix = torch.diag_embed(torch.cat([flip, torch.ones_like(sign)[:, None]], -1))
    center = torch.where(which, width - targets.center[:, 0], targets.center[:, 0])
    targets = replace(
        targets,
        points=targets.points * flip[:, None],
        empty=torch.where(which[:, None, None], targets.empty.flip(-1), targets.empty),
        to_camera=matrix @ targets.to_camera @ matrix,
        center=torch.stack([center, targets.center[:, 1]], -1),
    )
    slots = codec.decode(batch.goals)
    # A reflection in x takes R_y R_x R_z to R_y' R_x R_z', with yaw and roll reversed.
    turn = torch.stack([sign, torch.ones_like(sign), sign], -1)
    slots = replace(slots, position=slots.position * flip[:, None], angles=slots.angles * turn[:, None])
    return Batch(mirrored(batch.views, which), targets, batch.taught, codec.encode(slots))


def fitted(pool: Batch, config: TrainConfig, seed: int) -> Batch:
    """The pool with slots fitted directly as the goals of its first scenes, in place of first guesses."""
    prototypes = Prototypes(config.prototypes, config.level, torch.Generator().manual_seed(seed), config.start)
    plan = FitConfig(config.slots, config.prototypes, config.start, config.level, points=config.points, far=config.far)
    goals = pool.goals.clone()
    for start in range(0, min(config.fitted, len(pool)), FIT_BATCH):
        which = torch.arange(start, min(start + FIT_BATCH, config.fitted, len(pool)))
        part = chosen(pool, which)
        begun = direct.best_prototype(part.goals, part.targets, prototypes)
        owner = part.taught.clamp_min(NO_SEGMENT)
        goals[which] = direct.refine(begun, part.targets, prototypes, plan, FIT_STEPS, owner)
    return replace(pool, goals=goals)


@dataclass(frozen=True)
class Held:
    """A scene that is only looked at, with its truth and the teacher's segments."""

    observed: Observed
    labels: Int[Tensor, "h w"]
    truth: Truth
    instances: Int[Tensor, "h w"]


def held_scenes(config: TrainConfig, split: str, teacher: Teacher = convexity_teacher) -> list[Held]:
    """The first ``config.held`` scenes of a split, of the seed that is kept for choices."""
    out = []
    for index in range(config.held):
        example = draw_example(split, HELD_SEED, index, samples=0)
        observed = prepare(example.depth_map, PointSettings(points=config.points, far=config.far))
        instances = example.depth_map.instances
        if len(observed.points) and instances is not None:
            out.append(Held(observed, teacher(example.depth_map, observed), example.truth, instances))
    return out
