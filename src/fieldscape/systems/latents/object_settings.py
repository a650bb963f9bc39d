"""How objects are read. Imports no torch, so that options can be made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HeldOut = Literal["first10", "tenth", "fifth", "every5", "none"]
"""Views kept from training, of each object: the first ten by name, the first tenth or fifth of them, every fifth (for
cameras that are stored in an order, such as along a spiral), or none."""


@dataclass(frozen=True)
class ObjectSettings:
    """How objects are read."""

    size: int | None = 64
    """Pixels a side to which photos are reduced; None: as they are."""
    above: float | None = None
    """Keep only views whose camera is higher than this (z, in the data's unit); the published filter is -0.5."""
    held_out: HeldOut = "first10"
    """Which views of each object are kept from training."""
    skip_bad: bool = False
    """Leave objects out that cannot be used, and say how many, instead of refusing them all."""
