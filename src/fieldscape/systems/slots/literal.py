"""The fit that this began with, as a baseline: one-way distances from all points, the ground's too, and nothing else.

Slots begin at random places, all exist, and nothing pays for surface that no point needs: they grow until they lie
along the ground. It is here to be measured against, and to show that what is measured can go wrong.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.systems.slots.codec import Slots, decode, encode
from fieldscape.systems.slots.config import FitConfig
from fieldscape.systems.slots.direct import step_sizes, stepped
from fieldscape.systems.slots.losses import literal_seed
from fieldscape.systems.slots.objects import seen_points
from fieldscape.systems.slots.points import Observed
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.seeds import SURE

FIRST_SCALE = 0.5
"""Metres: as the things of a synthetic street are."""


def fit_literally(
    observed: Observed, prototypes: Prototypes, slots: int, steps: int, generator: torch.Generator, count: int = 1024
) -> Float[Tensor, "s d"]:
    """Slots of one depth map by the literal loss alone, after ``steps`` of Adam."""
    points = all_points(observed, count)
    start = scattered(points, slots, len(prototypes), generator)
    rates = step_sizes(start, FitConfig())
    moved = torch.zeros_like(start).requires_grad_()
    optimizer = torch.optim.Adam([moved], 1.0)
    prototypes.requires_grad_(False)
    for _ in range(steps):
        surface = prototypes.surfaces(decode(stepped(start, rates, moved)))
        loss = literal_seed(points, surface)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return stepped(start, rates, moved.detach())


def all_points(observed: Observed, count: int) -> Float[Tensor, "n 3"]:
    """At most ``count`` of the pixels with known depth within the far cut, evenly over the picture."""
    row, column = ((observed.smooth > 0) & (observed.smooth < observed.far)).nonzero().unbind(-1)
    step = -(-len(row) // count)
    return seen_points(observed, row[::step], column[::step])


def scattered(
    points: Float[Tensor, "n 3"], slots: int, prototypes: int, generator: torch.Generator
) -> Float[Tensor, "s d"]:
    """Slots at random places in the box around points, at random turns."""
    low, high = points.amin(0), points.amax(0)
    angles = torch.zeros(slots, 3)
    angles[:, 0] = 2 * torch.pi * torch.rand(slots, generator=generator)
    blank = Slots(
        scale=torch.full((slots, 1), FIRST_SCALE),
        position=low + (high - low) * torch.rand(slots, 3, generator=generator),
        angles=angles,
        logits=0.1 * torch.randn(slots, prototypes, generator=generator),
        existence=torch.full((slots, 1), SURE),
        aspect=torch.zeros(slots, 3),
    )
    return encode(blank)
