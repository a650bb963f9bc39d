"""What decides how a depth map is fitted; saved with the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LossWeights:
    """What each loss counts; 0 switches it off. They are explained, a function each, in ``losses``."""

    coverage: float = 1.0
    """The expected distance from what is seen to the slots. Without it there is nothing to fit."""

    belonging: float = 0.3
    """The distance from what is seen to the slot of its own segment, where there are segments."""

    free: float = 0.5
    """Surface where space is seen to be empty, or below the ground."""

    sparsity: float = 0.02
    """Points shared among many slots."""

    parsimony: float = 0.005
    """Each slot that exists."""

    binary: float = 0.0
    """Slots that exist by half."""

    size: float = 0.003
    """Large slots: of all that explain the seen side, the smallest."""

    overlap: float = 0.1
    """Slots inside one another."""

    support: float = 0.02
    """Slots that do not stand on the ground: many things do, not all."""

    use: float = 0.05
    """Prototypes that are used by none."""

    entropy: float = 0.0
    """Slots that blend many prototypes instead of choosing."""

    smooth: float = 0.1
    """Prototypes that are rough; for those that are learned."""


@dataclass(frozen=True)
class FitConfig:
    """A fit of slots to one depth map, without a network."""

    slots: int = 12
    """The most objects."""

    prototypes: int = 6
    """Shapes that slots are blended from."""

    start: Literal["primitives", "random"] = "primitives"
    """What the prototypes are at first: ball, box, cylinder, cone, capsule, wheel, then random ones; or all random."""

    level: int = 2
    """Of the sphere: 2 has 162 vertices."""

    learn_prototypes: bool = False
    """Deform the prototypes too. One depth map says little about shapes: meant for many at once."""

    tilt: bool = False
    """Let objects pitch and roll, instead of standing upright."""

    aspect: bool = True
    """Let objects be stretched along their own axes."""

    steps: int = 60
    """Of the first fit."""

    merge_rounds: int = 4
    """How often two slots are tried as one; 0: never."""

    merge_steps: int = 20
    """Of a try."""

    merge_gap: float = 0.4
    """Slots whose points are nearer than this, in metres, may be one object."""

    final_steps: int = 40
    """Of the last fit."""

    unexplained: float = 1.0
    """What a point costs that no slot explains, in metres."""

    points: int = 1024
    """Points to fit to."""

    far: float = 10.0
    """Where what is explained ends, in metres: 10 indoors, 40 for driving."""

    surfaces: int = 0
    """The most large planes that are put aside, as what things stand on and before."""

    trust: bool = False
    """Take each segment for one object: none is merged with another, and none is given up."""

    weights: LossWeights = field(default_factory=LossWeights)
    """What each loss counts."""
