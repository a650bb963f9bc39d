"""From affinities of pairs of pixels to things: regions that strong affinities hold together, joined by their mean.

Neighbours are cut where their affinity is weak, and always where depth jumps; ``kernels.regions`` makes regions of
that, such that one weak spot in a border does not join two. Then the two regions with the highest mean affinity over
all the pairs between them become one, again and again, until no mean is above a threshold (average linkage: Bailoni et
al., "GASP", CVPR 2022). The far offsets let parts of a thing be joined across what stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.kernels.patches import judge_pairs
from fieldscape.kernels.regions import label_regions
from fieldscape.systems.slots.affinity import OFFSETS, paired
from fieldscape.systems.slots.joining import JoiningSettings, join_parts, renumbered
from fieldscape.systems.slots.points import Observed, ray_grid, unproject, window_of

Array = np.ndarray

MOST_REGIONS = 1024
"""Regions that are joined by their means; where there are more, only the largest are, and the others stay apart."""


@dataclass(frozen=True)
class GroupingSettings:
    """What holds pixels together. Chosen on validation scenes, see ``teacher``."""

    strong: float = 0.9
    """The affinity of neighbours above which nothing parts them."""

    join: float = 0.6
    """The mean affinity between two regions above which they are one."""

    convexity: float = 0.2
    """What the answer of convexity on the same picture counts beside the affinities, as a share; 0: it is not asked."""

    gap: float = 0.02
    """A step in depth that parts neighbours whatever their affinity, as a share of depth; the noise's is added."""

    gap_metres: float = 0.05
    """The least such step in metres; five times the noise's share is added."""

    reach: int = 8
    """The longest offset that counts between regions, in pixels."""

    margin: int = 1
    """How far from cuts regions are begun, in pixels."""

    parts: bool = True
    """Join the parts of a thing by footprint and thinness as well."""

    joining: JoiningSettings = field(default_factory=JoiningSettings)
    """How parts are joined."""


def group(observed: Observed, affinities: Float[Tensor, "o h w"], settings: GroupingSettings) -> Int[Tensor, "h w"]:
    """The things of a depth map: 0 for ground, walls, sky and what is unknown or too far, then 1, 2, ...

    affinities: shares (0 to 1) for ``affinity.OFFSETS``. Raises ValueError where they are of another size.
    """
    inside = observed.things.numpy()
    if affinities.shape != (len(OFFSETS), *inside.shape):
        raise ValueError(f"affinities {tuple(affinities.shape)} are not {len(OFFSETS)} of {inside.shape} pixels")
    pairs = affinities.double().numpy()
    ray_x, ray_y = ray_grid(observed.depth_map)
    gaps = judge_pairs(
        observed.slopes.double().numpy(),
        inside,
        ray_x,
        ray_y,
        reach=1.0 if window_of(observed.noise) == 1 else 2.0,
        gap=(settings.gap + observed.noise, settings.gap_metres + 5 * observed.noise),
        lean=180.0,
    )
    cuts = [np.where(gap > 0, gap, pairs[k] <= settings.strong).astype(np.uint8) for k, gap in enumerate(gaps)]
    labels, count = label_regions(cuts[0], cuts[1], inside, settings.margin)
    open_pairs = pairs.copy()
    for k, gap in enumerate(gaps):
        open_pairs[k][gap == 2] = 0.0
    labels = join_means(labels, count, open_pairs, settings.join, settings.reach)
    if settings.parts:
        space = unproject(observed.smooth.double().numpy(), ray_x, ray_y)
        moved = observed.from_camera.double().numpy()
        labels = join_parts(labels, space @ moved[:3, :3].T + moved[:3, 3], settings.joining)
    return torch.from_numpy(labels.astype(np.int64))


def blended(affinities: Float[Tensor, "o h w"], labels: Int[Tensor, "h w"], share: float) -> Float[Tensor, "o h w"]:
    """Affinities of which ``share`` is whether two pixels have the same label above 0."""
    mixed = (1 - share) * affinities
    for scores, offset in zip(mixed, OFFSETS, strict=True):
        one, other = paired(labels, offset)
        paired(scores, offset)[0].add_(share * ((one == other) & (one > 0)))
    return mixed


def join_means(
    labels: Int[Array, "h w"], count: int, affinities: Float[Array, "o h w"], join: float, reach: int
) -> Int[Array, "h w"]:
    """Joins regions 1 .. ``count``, the pair with the highest mean affinity first, while it is above ``join``.

    Of equal means the one of the lower numbers goes first. Gives regions 1, 2, ... (0 stays).
    """
    kept = min(count, MOST_REGIONS)
    if count > kept:
        by_size = np.argsort(-np.bincount(labels.reshape(-1), minlength=count + 1)[1:], kind="stable")
        order = np.zeros(count + 1, np.int64)
        order[by_size + 1] = np.arange(1, count + 1)
        labels = order[labels]
    sums, numbers = _between(labels, kept, affinities, reach)
    names = np.arange(count + 1)
    means = np.divide(sums, numbers, out=np.zeros_like(sums), where=numbers > 0)
    # The best partner of each region is kept, so that a join looks at a few rows of the table and not at all of it.
    partners = means.argmax(1)
    highest = means[names[: kept + 1], partners]
    while True:
        first = int(highest.argmax())
        if highest[first] <= join:
            break
        i, j = sorted((first, int(partners[first])))
        for table in (sums, numbers):
            table[i] += table[j]
            table[:, i] += table[:, j]
            table[j] = 0
            table[:, j] = 0
            table[i, i] = 0
        fresh = np.divide(sums[i], numbers[i], out=np.zeros(kept + 1), where=numbers[i] > 0)
        means[i], means[:, i] = fresh, fresh
        means[j], means[:, j] = 0, 0
        stale = np.flatnonzero((partners == i) | (partners == j) | ((fresh >= highest) & (fresh > 0)))
        stale = np.union1d(stale, (i, j))
        partners[stale] = means[stale].argmax(1)
        highest[stale] = means[stale, partners[stale]]
        names[names == j] = i
    return renumbered(names[labels])[0]


def _between(
    labels: Int[Array, "h w"], count: int, affinities: Float[Array, "o h w"], reach: int
) -> tuple[Float[Array, "r r"], Float[Array, "r r"]]:
    """For each two of the regions 1 .. ``count`` the sum of the affinities between them, and how many those are."""
    keys, values = [], []
    regions = torch.from_numpy(np.where(labels <= count, labels, 0))
    for offset, scores in zip(OFFSETS, torch.from_numpy(affinities), strict=True):
        if max(map(abs, offset)) > reach:
            continue
        one, other = (each.numpy() for each in paired(regions, offset))
        apart = (one != other) & (one > 0) & (other > 0)
        keys.append(one[apart] * (count + 1) + other[apart])
        values.append(paired(scores, offset)[0].numpy()[apart])
    key, value = np.concatenate(keys), np.concatenate(values)
    sums = np.bincount(key, value, (count + 1) ** 2).astype(float).reshape(count + 1, count + 1)
    numbers = np.bincount(key, minlength=(count + 1) ** 2).reshape(count + 1, count + 1).astype(float)
    return sums + sums.T, numbers + numbers.T
