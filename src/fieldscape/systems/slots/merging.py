"""Merges: two slots that may be one object, tried as one. Gradients do not find this: two halves are a local minimum.

Two slots qualify if their points come near one another and nothing between them is seen to be empty: a gap that one
can look through keeps objects apart. Whether one slot explains both is for the losses to say.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.systems.slots import seeds
from fieldscape.systems.slots.codec import decode
from fieldscape.systems.slots.targets import Targets, in_empty

PAIRS = 8
"""The nearest pairs of points of two slots that are joined."""
STOPS = 5
"""Points along a joining segment that are looked at."""
OPEN = 0.5
"""The share of them that may be in the empty before the slots count as apart."""


@torch.no_grad()
def proposals(
    vecta: Float[Tensor, "b s d"],
    owner: Int[Tensor, "b n"],
    targets: Targets,
    gap: float,
    refused: Sequence[set[tuple[int, int]]],
) -> tuple[Float[Tensor, "b s d"], Int[Tensor, "b 2"]]:
    """For each depth map its slots with two of them tried as one: those that come nearest; and which two, -1 for none.

    owner: the slot of each point.  gap: how near in metres.  refused: pairs of each map not to try again. Of the two,
    the first becomes the whole.
    """
    tried, which = vecta.clone(), torch.full((len(vecta), 2), -1)
    slots = decode(vecta)
    for k in range(len(vecta)):
        real = targets.weights[k] > 0
        points, own = targets.points[k, real], owner[k, real]
        candidates = []
        alive = [
            s for s in range(vecta.shape[1]) if slots.existence[k, s, 0] > 0 and int((own == s).sum()) >= seeds.FEWEST
        ]
        for number, one in enumerate(alive):
            for other in alive[number + 1 :]:
                if (one, other) in refused[k]:
                    continue
                near = joint(points[own == one], points[own == other], k, targets)
                if near is not None and near < gap:
                    candidates.append((near, one, other))
        candidates.sort()
        if not candidates:
            continue
        _, one, other = candidates[0]
        which[k] = torch.tensor([one, other])
        eye = -targets.to_camera[k, :3, :3].T @ targets.to_camera[k, :3, 3]
        count = slots.logits.shape[-1]
        tried[k, one] = seeds.from_points(points[(own == one) | (own == other)], count, eye)
        tried[k, other] = seeds.absent(count, eye)
    return tried, which


def joint(first: Float[Tensor, "n 3"], second: Float[Tensor, "m 3"], k: int, targets: Targets) -> float | None:
    """How near two clouds of depth map ``k`` come, in metres; None where what lies between is seen to be empty."""
    apart = torch.cdist(first, second).flatten()
    nearest = apart.topk(min(PAIRS, len(apart)), largest=False).indices
    one, other = first[nearest // len(second)], second[nearest % len(second)]
    along = (torch.arange(STOPS) + 1.0) / (STOPS + 1)
    stops = one[:, None] + along[:, None] * (other - one)[:, None]
    alone = Targets(*(getattr(targets, name)[k : k + 1] for name in targets.__dataclass_fields__))
    if float(in_empty(stops.reshape(1, -1, 3), alone).float().mean()) > OPEN:
        return None
    return float(apart[nearest[0]])
