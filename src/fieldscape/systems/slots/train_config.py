"""What decides how the encoder is built and trained; saved with the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fieldscape.systems.slots.config import LossWeights

SeedSlots: TypeAlias = Literal["mixed", "segments", "furthest"]


@dataclass(frozen=True)
class TeachingWeights:
    """What each lesson counts that the encoder is taught before and beside the losses; 0 switches it off."""

    assignment: float = 1.0
    """Points that attend to another slot than that of their segment (cross entropy)."""

    existence: float = 1.0
    """Slots that exist without a segment, and segments without a slot that exists (cross entropy)."""

    pose: float = 0.5
    """Place, size and proportions unlike those that the segment suggests, or a fit to it; fades after the start."""

    depth: float = 0.1
    """The depth that the slots would show, drawn small, unlike what was seen; towards the end."""


@dataclass(frozen=True)
class TrainConfig:
    """A training of the encoder on scenes that are made up for it."""

    teacher: Literal["learned", "convexity"] = "learned"
    """Whose segments are followed: those of a network of affinities, which is trained first, or convexity's."""

    slots: int = 10
    """Slots of a depth map while training; a trained encoder takes any number."""

    prototypes: int = 6
    """Shapes that slots are blended from; learned too."""

    start: Literal["primitives", "random"] = "primitives"
    """What the prototypes are at first: ball, box, cylinder, cone, capsule, wheel, then random ones; or all random."""

    level: int = 2
    """Of the sphere: 2 has 162 vertices."""

    layers: Literal[18, 34] = 18
    """Of the convolutional network."""

    width: int = 32
    """Channels of its first stage."""

    channels: int = 128
    """Numbers that a slot, and what is known of a point, consist of inside the network."""

    rounds: int = 3
    """How often slots look at the points."""

    seed_slots: SeedSlots = "mixed"
    """Where slots begin: at segments, at points far from one another, or now so, now so."""

    points: int = 512
    """Points of a depth map while training; a trained encoder takes any number."""

    far: float = 14.0
    """Where what is explained ends, in metres."""

    scenes: int = 1400
    """Scenes to learn from, each also mirrored."""

    fitted: int = 0
    """Scenes whose slots are fitted first, as targets of poses; the others' are first guesses from segments."""

    held: int = 24
    """Scenes of each of two kinds that are only looked at."""

    minutes: float = 35.0
    """How long to train, where ``steps`` is 0; the teacher and the scenes come before that."""

    steps: int = 0
    """How many steps to train, whatever time they take; 0: as many as fit into ``minutes``."""

    batch: int = 8
    """Depth maps a step."""

    rate: float = 3e-4
    """Step size of the network, at most."""

    shape_rate: float = 2e-3
    """Step size of the prototypes, at most."""

    drop: float = 0.1
    """The chance that a slot is left out while training, where slots begin at points."""

    looks: int = 10
    """How often figures are taken on the way."""

    weights: LossWeights = field(
        default_factory=lambda: LossWeights(sparsity=0.02, parsimony=0.002, binary=0.05, use=0.3, entropy=0.02)
    )
    """What each loss counts."""

    teaching: TeachingWeights = field(default_factory=TeachingWeights)
    """What each lesson counts."""
