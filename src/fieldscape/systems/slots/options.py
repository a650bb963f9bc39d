"""The options of the slots commands. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from fieldscape.data.depth.options import Layout
from fieldscape.systems.slots.config import LossWeights
from fieldscape.systems.slots.train_config import SeedSlots, TeachingWeights


@dataclass(frozen=True)
class SlotsFitOptions:
    """Find the objects of one depth map, without a network: where each is, its size, turn and shape."""

    data: tyro.conf.Positional[Path]
    """Depth maps: a folder or file in any of the known layouts. For synthetic ones: fieldscape make street."""

    model: Path | None = None
    """A run of slots train: its encoder finds the objects, and --final-steps refine them."""

    frame: int = 0
    """Which of the depth maps, from 0 on."""

    out: Path | None = None
    """The run folder. Default: runs/NAME-slots."""

    layout: Layout = "auto"
    """How the depth maps are laid out."""

    intrinsics: tuple[float, float, float, float] | None = None
    """Focal lengths and principal point fx fy cx cy in pixels, where the data do not tell them."""

    depth_scale: float | None = None
    """How many units of the files make a metre, where the data do not tell it."""

    far: float = 10.0
    """Where what is explained ends, in metres: 10 indoors and for synthetic streets, 40 for driving."""

    surfaces: int | None = None
    """Large planes that are put aside: table tops, counters, doors. Default: 8 where --far is up to 5, else 0."""

    trust: bool | None = None
    """Take each segment for one object, and neither merge nor drop any. Default: where --far is up to 5."""

    slots: int = 12
    """The most objects."""

    prototypes: int = 6
    """Shapes that objects are blended from."""

    start: Literal["primitives", "random"] = "primitives"
    """The prototypes: ball, box, cylinder, cone, capsule, wheel, then random ones; or all random."""

    learn_prototypes: bool = False
    """Deform the prototypes too."""

    tilt: bool = False
    """Let objects pitch and roll, instead of standing upright."""

    steps: int = 60
    """Of the first fit."""

    merge_rounds: int = 4
    """How often two slots are tried as one; 0: never."""

    final_steps: int = 40
    """Of the last fit."""

    weights: LossWeights = field(default_factory=LossWeights)
    """What each loss counts; 0 switches it off."""

    seed: int = 0
    """Of everything random."""

    quiet: bool = False
    """Say nothing but the result."""


@dataclass(frozen=True)
class SlotsTrainOptions:
    """Train an encoder on made-up depth maps, without labels: depth map in, objects out at once."""

    out: Path | None = None
    """The run folder. Default: runs/slots."""

    resume: bool = False
    """Go on with the run in --out; --minutes and --steps may be changed."""

    teacher: Literal["learned", "convexity"] = "learned"
    """Whose segments are followed: those of a network of affinities, which is trained first, or convexity's."""

    minutes: float = 35.0
    """How long to train, where --steps is 0; the teacher and the scenes take about ten minutes before that."""

    steps: int = 0
    """How many steps to train, whatever time they take; 0: as many as fit into --minutes."""

    scenes: int = 1400
    """Scenes to learn from."""

    fitted: int = 0
    """Scenes whose slots are fitted first, as targets of poses; about a second each."""

    held: int = 24
    """Scenes of each of two kinds that are only looked at."""

    looks: int = 10
    """How often figures are taken on the way."""

    layers: Literal[18, 34] = 18
    """Of the convolutional network."""

    slots: int = 10
    """Slots of a depth map while training; a trained encoder takes any number."""

    prototypes: int = 6
    """Shapes that objects are blended from; learned too."""

    start: Literal["primitives", "random"] = "primitives"
    """The prototypes at first: ball, box, cylinder, cone, capsule, wheel, then random ones; or all random."""

    seed_slots: SeedSlots = "mixed"
    """Where slots begin: at segments, at points far from one another, or now so, now so."""

    points: int = 512
    """Points of a depth map while training."""

    batch: int = 8
    """Depth maps a step."""

    rate: float = 3e-4
    """Step size of the network, at most."""

    shape_rate: float = 2e-3
    """Step size of the prototypes, at most; 0: they stay as they are."""

    drop: float = 0.1
    """The chance that a slot is left out while training."""

    weights: LossWeights = field(
        default_factory=lambda: LossWeights(sparsity=0.02, parsimony=0.002, binary=0.05, use=0.3, entropy=0.02)
    )
    """What each loss counts; 0 switches it off."""

    teaching: TeachingWeights = field(default_factory=TeachingWeights)
    """What each lesson counts; 0 switches it off."""

    seed: int = 0
    """Of everything random; trainings of other seeds see other scenes."""

    quiet: bool = False
    """Say nothing but the result."""
