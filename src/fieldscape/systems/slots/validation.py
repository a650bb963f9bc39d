"""Figures of an encoder on scenes with their truth, taken on the way of a training; nothing learns from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.nearest import nearest
from fieldscape.systems.slots import figures
from fieldscape.systems.slots.codec import decode, likely
from fieldscape.systems.slots.encoder import Encoder
from fieldscape.systems.slots.points import Observed, ray_grid, unproject
from fieldscape.systems.slots.pool import Held
from fieldscape.systems.slots.prototypes import Prototypes, scattered
from fieldscape.systems.slots.targets import inverse
from fieldscape.systems.slots.views import views_of

SURFACE = 1024
"""Points of each slot's surface."""
FEWEST = 20
"""Pixels of a thing that counts."""
CHUNK = 8
"""Depth maps that go through the encoder at once."""


@torch.no_grad()
def row(
    encoder: Encoder, prototypes: Prototypes, held: Sequence[Held], slots: int, count: int, temperature: float
) -> dict[str, float]:
    """Means over scenes, slots begun at far points: ``ari`` by attention, ``count`` error, ``x_to_p`` (metres),
    ``violation``, ``center`` (median, metres); ``ari_seeded``: begun at segments; ``ari_teacher``: the segments'."""
    columns: dict[str, list[float]] = {}
    blends = []
    encoder.eval()
    for start in range(0, len(held), CHUNK):
        part = held[start : start + CHUNK]
        observed = [each.observed for each in part]
        alone = encoder(views_of(observed, None, slots, count), temperature)
        led = encoder(views_of(observed, [each.labels for each in part], slots, count), temperature)
        for k, each in enumerate(part):
            pixels = grouped(each.observed, alone.attention[k], likely(alone.vecta[k]))
            seeded = grouped(each.observed, led.attention[k], likely(led.vecta[k]))
            found = {
                "ari": figures.foreground_ari(pixels, each.instances, each.observed.smooth > 0),
                "ari_seeded": figures.foreground_ari(seeded, each.instances, each.observed.smooth > 0),
                "ari_teacher": figures.foreground_ari(each.labels, each.instances, each.observed.smooth > 0),
                "count": float(figures.count_error(pixels, each.instances)),
            }
            alive = alone.vecta[k][likely(alone.vecta[k])]
            found |= surfaces(alive, prototypes, each)
            blends.append(decode(alive).logits.softmax(-1))
            for name, value in found.items():
                columns.setdefault(name, []).append(value)
    encoder.train()
    mean = {name: round(average(values, name == "center"), 4) for name, values in columns.items()}
    weights = torch.cat(blends)
    return mean | {
        "prototypes": round(figures.effective_prototypes(weights), 2),
        "top_share": round(figures.top_share(weights), 3),
    }


def surfaces(alive: Float[Tensor, "s d"], prototypes: Prototypes, held: Held) -> dict[str, float]:
    """How well slots that exist explain a scene, how much of them floats, and how far their middles are off."""
    if not len(alive):
        return {"x_to_p": math.nan, "violation": 0.0, "center": math.nan}
    observed, slots = held.observed, decode(alive)
    samples = scattered(prototypes.surfaces(slots), prototypes.faces, SURFACE, torch.Generator().manual_seed(0))
    samples = samples.reshape(-1, 3)
    to_camera = inverse(observed.from_camera)
    local = samples @ to_camera[:3, :3].T + to_camera[:3, 3]
    seen = held.truth.visible >= FEWEST
    true = held.truth.centers[seen] @ observed.from_camera[:3, :3].T + observed.from_camera[:3, 3]
    sizes, blank = held.truth.scales[seen], torch.zeros(int(seen.sum()))
    off = figures.pose_errors(
        slots.position, slots.scale[:, 0], slots.angles[:, 0], true, sizes, blank, held.truth.symmetry[seen]
    )
    return {
        "x_to_p": figures.scene_to_mesh(observed.points, observed.weights, samples).mean,
        "violation": figures.free_space_violation(local, observed.depth_map, observed.far),
        "center": float(off.center.median()) if len(off.center) else math.nan,
    }


def grouped(observed: Observed, attention: Float[Tensor, "s n"], alive: Bool[Tensor, "s"]) -> Int[Tensor, "h w"]:
    """The slot of each pixel that slots explain, from 1 on: that of the nearest point, whose largest share counts."""
    out = torch.zeros(observed.smooth.shape, dtype=torch.long)
    things = observed.things
    if not bool(alive.any()) or not bool(things.any()):
        return out
    own = torch.where(alive[:, None], attention[:, : len(observed.points)], -1.0).argmax(0) + 1
    ray_x, ray_y = ray_grid(observed.depth_map)
    space = torch.from_numpy(unproject(observed.smooth.double().numpy(), ray_x, ray_y)).float()[things]
    moved = observed.from_camera
    out[things] = own[nearest(space @ moved[:3, :3].T + moved[:3, 3], observed.points)]
    return out


def average(values: Sequence[float], middle: bool = False) -> float:
    """The mean, or the median, of those that are numbers."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return statistics.median(known) if middle else statistics.fmean(known)
