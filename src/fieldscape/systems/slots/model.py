"""A trained encoder with its prototypes: read from a run, and used to find the objects of depth maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from fieldscape import resuming
from fieldscape.checkpoints import Checkpoint
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.runs import Run
from fieldscape.systems.slots import direct
from fieldscape.systems.slots.codec import decode, likely
from fieldscape.systems.slots.config import FitConfig
from fieldscape.systems.slots.direct import Fitted
from fieldscape.systems.slots.encoder import Encoded, Encoder
from fieldscape.systems.slots.points import Observed
from fieldscape.systems.slots.pool import convexity_teacher
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.targets import targets_of
from fieldscape.systems.slots.teacher import Teacher
from fieldscape.systems.slots.train_config import TrainConfig
from fieldscape.systems.slots.views import NO_SEGMENT, views_of

SYSTEM = "slots-encoder"
"""What ``run.json`` calls a training."""


@dataclass(frozen=True)
class Model:
    """What a training made. temperature: what logits of prototypes are divided by.  teacher: that it followed, where it
    was a learned one."""

    encoder: Encoder
    prototypes: Prototypes
    config: TrainConfig
    temperature: float
    teacher: Teacher | None = None

    def segment(self, depth_map: DepthMap, observed: Observed) -> Int[Tensor, "h w"]:
        """The segments of a depth map, as the teacher finds them; by convexity where none was learned."""
        return (convexity_teacher if self.teacher is None else self.teacher.segment)(depth_map, observed)

    @torch.no_grad()
    def encode(
        self,
        observed: Sequence[Observed],
        labels: Sequence[Int[Tensor, "h w"]] | None = None,
        slots: int | None = None,
    ) -> Encoded:
        """Slots of depth maps of one size in one go. labels: segments that slots begin at; None: the encoder alone.

        slots: how many; None: as many as there are segments, or as while training. Raises ValueError for a depth map
        without points.
        """
        if slots is None:
            most = 0 if labels is None else max(len(each[each > 0].unique()) for each in labels)
            slots = most or self.config.slots
        count = max(len(each.points) for each in observed)
        self.encoder.eval()
        return self.encoder(views_of(observed, labels, slots, count), self.temperature)

    def find(
        self,
        observed: Sequence[Observed],
        labels: Sequence[Int[Tensor, "h w"]] | None = None,
        refine_steps: int = 40,
        config: FitConfig | None = None,
    ) -> Fitted:
        """The objects of depth maps of one size: encoded, then refined by so many steps on all losses.

        labels, and what it raises: as for ``encode``. config: whose losses to refine by.
        """
        config = config or FitConfig(far=self.config.far)
        encoded = self.encode(observed, labels, config.slots if labels is not None else None)
        targets = targets_of(observed, encoded.attention.shape[-1])
        vecta = encoded.vecta
        owner = owner_of(encoded)
        # Only slots that take part cost time: those that exist come first, as many as the fullest depth map has.
        order = decode(vecta).existence[..., 0].argsort(dim=-1, descending=True, stable=True)
        used = max(1, int(likely(vecta).sum(-1).max()))
        vecta = vecta.gather(1, order[..., None].expand_as(vecta))[:, :used]
        rank = order.argsort(-1)
        owner = torch.where(owner >= 0, rank.gather(1, owner.clamp_min(0)), owner)
        vecta = direct.refine(vecta, targets, self.prototypes, config, refine_steps, owner)
        alive = direct.exists(vecta, direct.explained(vecta, targets, self.prototypes), targets)
        with torch.no_grad():
            costs = direct.total(vecta, targets, self.prototypes, config, owner)
        counts = [0] * len(observed) if labels is None else [len(each[each > 0].unique()) for each in labels]
        crowded = tuple(max(count - config.slots, 0) for count in counts)
        return Fitted(vecta, alive, costs, crowded, (0,) * len(observed))


def owner_of(encoded: Encoded) -> Int[Tensor, "b n"]:
    """The existing slot that has the largest share of each point; none where the background has a larger one."""
    there = likely(encoded.vecta)
    shares = torch.where(there[..., None], encoded.attention, -1.0)
    best = shares.max(1)
    rest = 1 - encoded.attention.sum(1)
    return torch.where((best.values > 0) & (best.values >= rest), best.indices, NO_SEGMENT)


def blank(config: TrainConfig, seed: int) -> tuple[Encoder, Prototypes]:
    """A network and prototypes at the start; the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = Encoder(config)
    shapes = Prototypes(config.prototypes, config.level, torch.Generator().manual_seed(seed), config.start)
    return encoder, shapes


def read_model(path: Path | str) -> Model:
    """The encoder of a run, as it was last saved. Raises BadInput where there is none, or not one that fits."""
    run = Run.open(path)
    if run.record["system"] != SYSTEM:
        raise BadInput(f"{path} is a run of the system {run.record['system']!r}: give one of fieldscape slots train.")
    config = run.config(TrainConfig)
    checkpoint = run.latest()
    if checkpoint is None or not checkpoint.step:
        raise BadInput(f"{path} holds no trained encoder yet: let fieldscape slots train run longer, with --resume.")
    encoder, shapes = blank(config, 0)
    load(encoder, shapes, checkpoint)
    temperature = checkpoint.state.get("temperature", 1.0)
    if not isinstance(temperature, float | int) or not 0 < temperature <= 10:
        raise BadInput(f"{path}: the checkpoint is damaged: its temperature is {temperature!r}.")
    encoder.requires_grad_(False)
    shapes.requires_grad_(False)
    return Model(encoder.eval(), shapes, config, float(temperature), teacher_of(checkpoint))


def teacher_of(checkpoint: Checkpoint) -> Teacher | None:
    """The learned teacher in a checkpoint, if there is one. Raises BadInput if it is damaged."""
    tensors, settings = resuming.under("teacher", checkpoint.tensors), checkpoint.state.get("teacher")
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise BadInput("The checkpoint is damaged: what it says of the teacher is not an object.")
    return Teacher.from_state(tensors, settings)


def load(encoder: Encoder, prototypes: Prototypes, checkpoint: Checkpoint) -> None:
    """Put the weights of a checkpoint in place. Raises BadInput if they are of another network."""
    for name, module in (("encoder", encoder), ("prototypes", prototypes)):
        try:
            module.load_state_dict(resuming.under(name, checkpoint.tensors))
        except RuntimeError as error:
            said = "The checkpoint is of another network: use the options that it was made with."
            raise BadInput(said) from error
