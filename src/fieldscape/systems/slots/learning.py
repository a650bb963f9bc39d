"""What a batch teaches the encoder: a teacher's segments at first, then all losses of slots as well.

The losses alone train good shapes and keep every slot alive; a teacher that says which points belong together settles
that. Slots are matched with segments so that their overlap is largest (Hungarian), and then

    assignment  each point should attend to the slot of its segment: cross entropy, in every round
    existence   slots with a segment exist, the others do not: cross entropy, in every round
    pose        place, size and proportions like those of the segment's own first guess, or of a fit to it

The teacher never knows what was drawn; it is convexity, or a network that learned from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from fieldscape.raster import rasterize
from fieldscape.systems.slots import direct, losses
from fieldscape.systems.slots.attention import Look
from fieldscape.systems.slots.codec import decode, encode, rotation
from fieldscape.systems.slots.config import FitConfig, LossWeights
from fieldscape.systems.slots.encoder import Encoded, Encoder
from fieldscape.systems.slots.pool import IGNORED, Batch, reflected
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.targets import Targets
from fieldscape.systems.slots.train_config import TrainConfig
from fieldscape.systems.slots.views import NO_SEGMENT, Views, seeded
from fieldscape.types import Camera

STAGES = ((0.0, "A"), (0.4, "B"), (0.7, "C"), (0.9, "D"))
"""When stages begin, as shares of the training. A: the teacher alone, prototypes as they are; B: all losses, prototypes
learn; C: the depth that slots would show; D: small steps, slots choose one prototype, and prototypes become smooth."""
SMOOTHING = 10.0
"""How much more smoothness counts in the end: what is left of rough prototypes by then is the noise of what taught."""
COLDEST = 0.3
"""What logits of prototypes are divided by in the end."""
EARLIER = 0.3
"""What the rounds before the last count in lessons."""
SAY = 0.1
"""The share of the losses' gradient that reaches the existence of slots."""
SEGMENTS = 0.25
"""The share of depth maps whose slots begin at segments, where both ways are taught."""


SMALLER = 4
"""The depth that slots would show is drawn so many times smaller."""
STRANGE = 0.3
"""The most that a pixel's logarithm of depth can be off."""


@dataclass(frozen=True)
class Stage:
    """What is learned at a time. losses: what slots cost.  shapes: whether prototypes learn.  pose: what that lesson
    counts.  temperature: of the choice of prototypes."""

    name: str
    losses: LossWeights | None
    shapes: bool
    pose: float
    temperature: float


def stage_at(progress: float, config: TrainConfig) -> Stage:
    """The stage at a share of the training, 0 to 1."""
    name = [name for start, name in STAGES if progress >= start][-1]
    if name == "A":
        return Stage(name, None, False, config.teaching.pose, 1.0)
    pose = config.teaching.pose * max(0.0, 1 - (progress - STAGES[1][0]) / (STAGES[2][0] - STAGES[1][0]))
    late = min(max((progress - STAGES[2][0]) / (STAGES[3][0] - STAGES[2][0]), 0.0), 1.0)
    smooth = config.weights.smooth * (SMOOTHING if name == STAGES[3][1] else 1.0)
    weights = replace(config.weights, entropy=config.weights.entropy * late, smooth=smooth)
    return Stage(name, weights, True, pose, COLDEST**late)


def begun(batch: Batch, config: TrainConfig, chance: torch.Generator) -> Batch:
    """A batch ready for a step: mirrored or not, slots begun at segments or at points, some left out."""
    count = len(batch)
    batch = reflected(batch, torch.rand(count, generator=chance) < 0.5)
    share = {"mixed": SEGMENTS, "segments": 1.0, "furthest": 0.0}[config.seed_slots]
    found = (batch.views.owner >= 0).any(-1)
    by_segment = (torch.rand(count, generator=chance) < share) & found
    views = seeded(batch.views, by_segment, torch.rand(count, generator=chance))
    kept = torch.rand(views.present.shape, generator=chance) >= config.drop
    kept[:, 0] = True
    return replace(batch, views=replace(views, present=views.present & (kept | by_segment[:, None])))


@torch.no_grad()
def homes(views: Views, taught: Int[Tensor, "b n"]) -> Int[Tensor, "b s"]:
    """The segment that each slot begins on, -1 where slots begin at middles of segments, or on none."""
    apart = (views.points[:, None] - views.seeds[:, :, None, :3]).square().sum(-1)
    home = taught.gather(1, torch.where(views.weights[:, None] > 0, apart, torch.inf).argmin(-1))
    return torch.where((views.seeds[..., 3] > 0) | (home < 0), -1, home)


@torch.no_grad()
def matched(
    shares: Float[Tensor, "b s n"],
    taught: Int[Tensor, "b n"],
    weights: Float[Tensor, "b n"],
    present: Bool[Tensor, "b s"],
    home: Int[Tensor, "b s"],
) -> Int[Tensor, "b s"]:
    """The slot of each segment, -1 where there is no such segment or no slot left.

    A segment on which slots begin is given to the first of them: a rule that slots can follow, where that of the most
    overlap would change with every step. The others are matched so that the sum of overlaps is largest.
    """
    slots = shares.shape[1]
    segments = one_hot(taught.clamp_min(0), slots) * ((taught >= 0) & (weights > 0))[..., None]
    size = segments.sum(1).to(shares)
    real = shares * (weights > 0)[:, None]
    common = real @ segments.to(shares)
    worth = common / (real.sum(-1)[..., None] + size[:, None] - common).clamp_min(1e-9)
    first = 10.0 - 0.1 * torch.arange(slots)[:, None]
    worth = worth + first * (home[..., None] == torch.arange(slots)) - 1000.0 * ~present[..., None]
    out = torch.full((len(shares), slots), -1)
    for k in range(len(shares)):
        there = (size[k] > 0).nonzero()[:, 0]
        rows, columns = linear_sum_assignment(-worth[k][:, there].numpy())
        out[k, there[torch.from_numpy(columns)]] = torch.from_numpy(rows)
    gone = ~present.gather(1, out.clamp_min(0))
    return torch.where((out >= 0) & gone, -1, out)


def owners(pairs: Int[Tensor, "b s"], taught: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """The slot that each point should belong to; ``NO_SEGMENT`` for background, ``IGNORED`` where that is unknown."""
    slot = pairs.gather(1, taught.clamp_min(0))
    return torch.where(taught >= 0, torch.where(slot >= 0, slot, IGNORED), taught)


def assignment(look: Look, owner: Int[Tensor, "b n"], weights: Float[Tensor, "b n"]) -> Float[Tensor, "b"]:
    """The mean cross entropy of the points' shares; each point counts the same, since they lie evenly on surfaces."""
    slots = look.logs.shape[1] - 1
    goal = torch.where(owner == NO_SEGMENT, slots, owner.clamp_min(0))
    counted = ((owner != IGNORED) & (weights > 0)).to(look.logs)
    missed = -look.logs.gather(1, goal[:, None])[:, 0]
    return (missed * counted).sum(-1) / counted.sum(-1).clamp_min(1)


def existence(look: Look, pairs: Int[Tensor, "b s"], present: Bool[Tensor, "b s"]) -> Float[Tensor, "b"]:
    """The mean cross entropy of the existence of the slots that there are."""
    slots = present.shape[1]
    goal = one_hot(pairs.clamp_min(0), slots).mul((pairs >= 0)[..., None]).sum(1).clamp(max=1).to(look.existence)
    missed = binary_cross_entropy_with_logits(look.existence, goal, reduction="none")
    return (missed * present).sum(-1) / present.sum(-1).clamp_min(1)


def pose(vecta: Float[Tensor, "b s d"], goals: Float[Tensor, "b s d"], pairs: Int[Tensor, "b s"]) -> Float[Tensor, "b"]:
    """How unlike their goals slots are, averaged over those that have one.

    Distances are in sizes of the goal. Turn and stretch are compared through R diag(log stretch) R^T, which is the same
    for a box that is turned by a quarter and has its sides exchanged.
    """
    found = vecta.gather(1, pairs.clamp_min(0)[..., None].expand(*pairs.shape, vecta.shape[-1]))
    ours, theirs = decode(found), decode(goals)
    there = ((pairs >= 0) & (theirs.existence[..., 0] > 0)).to(vecta)
    away = (ours.position - theirs.position).square().sum(-1).add(1e-8).sqrt() / theirs.scale[..., 0]
    grown = (ours.scale / theirs.scale).log()[..., 0]
    sides = []
    for slots in (ours, theirs):
        turn = rotation(slots.angles)
        sides.append(turn @ torch.diag_embed(slots.aspect) @ turn.mT)
    unlike = (sides[0] - sides[1]).square().sum((-1, -2)).add(1e-8).sqrt()
    missed = losses.huber(away, 0.3) + losses.huber(grown.abs(), 0.2) + 0.5 * losses.huber(unlike, 0.3)
    return (missed * there).sum(-1) / there.sum(-1).clamp_min(1)


def shown_depth(
    vecta: Float[Tensor, "b s d"], prototypes: Prototypes, views: Views, targets: Targets
) -> Float[Tensor, "b"]:
    """How unlike the depth that slots would show is to the one seen: the mean difference of logarithms where they show.

    Drawn at a quarter of the resolution, slots that exist alone. Differences beyond ``STRANGE`` have no gradient:
    there, something else is seen, and no change of depth would mend that.
    """
    slots = decode(vecta)
    surface = prototypes.surfaces(slots)
    local = surface @ targets.to_camera[:, None, :3, :3].mT + targets.to_camera[:, None, None, :3, 3]
    behind = torch.tensor([0.0, 0.0, -1.0]).to(local)
    local = torch.where((slots.existence > 0)[..., None], local, behind)
    count, vertices = local.shape[1:3]
    faces = (prototypes.faces + torch.arange(count)[:, None, None] * vertices).reshape(-1, 3)
    height, width = views.image.shape[-2:]
    pose = torch.eye(4).expand(len(views), 4, 4)
    camera = Camera(pose, targets.focal / SMALLER, targets.center / SMALLER, width // SMALLER, height // SMALLER)
    drawn = rasterize(local.flatten(1, 2), faces, camera)
    middle = slice(SMALLER // 2, None, SMALLER)
    nearness, known = views.image[:, 0, middle, middle], views.image[:, 1, middle, middle] > 0
    seen = torch.expm1(4 * nearness[:, : height // SMALLER, : width // SMALLER])
    both = drawn.hit & known[:, : height // SMALLER, : width // SMALLER]
    apart = (torch.where(both, drawn.depth, 1.0).log() - torch.where(both, seen, 1.0).log()).abs().clamp(max=STRANGE)
    return (apart * both).sum((1, 2)) / both.sum((1, 2)).clamp_min(1)


def batch_losses(
    encoder: Encoder, prototypes: Prototypes, batch: Batch, config: TrainConfig, stage: Stage
) -> tuple[Float[Tensor, ""], dict[str, float], Encoded]:
    """What a batch costs, each part by itself, unweighed, and the slots it was found with."""
    views, teaching = batch.views, config.teaching
    encoded = encoder(views, stage.temperature)
    last = encoded.looks[-1]
    pairs = matched(last.shares, batch.taught, views.weights, views.present, homes(views, batch.taught))
    owner = owners(pairs, batch.taught)
    loss, told = views.points.new_zeros(()), dict[str, float]()
    earlier = encoded.looks[:-1]
    for name, weight in (("assignment", teaching.assignment), ("existence", teaching.existence)):
        if weight:
            each = [
                assignment(look, owner, views.weights)
                if name == "assignment"
                else existence(look, pairs, views.present)
                for look in (*earlier, last)
            ]
            lesson = (each[-1] + EARLIER * torch.stack(each[:-1]).mean(0)).mean()
            loss, told[name] = loss + weight * lesson, float(each[-1].mean().detach())
    if stage.pose:
        lesson = pose(encoded.vecta, batch.goals, pairs).mean()
        loss, told["pose"] = loss + stage.pose * lesson, float(lesson.detach())
    if teaching.depth and stage.name in "CD":
        lesson = shown_depth(encoded.vecta, prototypes, views, batch.targets).mean()
        loss, told["depth"] = loss + teaching.depth * lesson, float(lesson.detach())
    if stage.losses is not None:
        plan = FitConfig(config.slots, config.prototypes, config.start, config.level, True, weights=stage.losses)
        # Which slots exist is settled by what is taught; the losses have a smaller say in it.
        slots = decode(encoded.vecta)
        sure = slots.existence.detach() + SAY * (slots.existence - slots.existence.detach())
        vecta = encode(replace(slots, existence=sure))
        costs = direct.total(vecta, batch.targets, prototypes, plan, owner.clamp_min(NO_SEGMENT))
        loss = loss + costs["total"].mean()
        told |= {name: float(cost.mean().detach()) for name, cost in costs.items()}
        if stage.losses.smooth and stage.shapes:
            rough = losses.smoothness(prototypes)
            loss, told["smooth"] = loss + stage.losses.smooth * rough, float(rough.detach())
    return loss, told, encoded


@torch.no_grad()
def usage_of(encoded: Encoded) -> Float[Tensor, "k"]:
    """How much each prototype is used by the slots that exist."""
    slots = decode(encoded.vecta)
    return (slots.logits.softmax(-1) * torch.sigmoid(slots.existence)).flatten(0, -2).sum(0)
