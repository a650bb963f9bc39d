"""What a method found in a depth map with known truth, as figures; and figures of many scenes as a row of a table.

All methods are judged by the same functions: clusterings give pixels their labels and an ellipsoid a label, slots give
surfaces, and a pixel is that of the surface nearest to what it shows (``objects.nearest_of``). Where slots were begun
from segments, ``by_segment`` gives a whole segment to the slot that most of it shows: then borders are the segments',
and slots say which segments are one object. Index and count are of those; ``ari_mesh`` is of surfaces alone.

Nothing that was found without labels has a front, so headings are those of the longest way through a thing along the
ground, modulo half a turn; boxes with equal sides have no such way, and count modulo a quarter turn.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.systems.slots import clusters, figures
from fieldscape.systems.slots.codec import decode
from fieldscape.systems.slots.objects import nearest_of
from fieldscape.systems.slots.points import Observed
from fieldscape.systems.slots.prototypes import Prototypes, scattered
from fieldscape.systems.slots.scenes import Truth
from fieldscape.systems.slots.targets import inverse

SURFACE = 2048
"""Points of each surface: of fewer, the spacing would show."""
VISIBLE = 20
"""Pixels of a thing that counts as seen."""
LONG = 1.15
"""How much longer than wide, along the ground, a thing is that has a heading."""

COLUMNS = (
    "ari", "ari_mesh", "count", "x_to_p", "x_to_p_median", "p_to_truth", "truth_to_p", "violation", "center", "yaw",
    "scale", "size_ratio", "prototypes", "top_share", "purity", "nmi",
)  # fmt: skip
"""Foreground adjusted Rand index, of pixels and of pixels by surfaces; error of the count (20 pixels on both sides);
scene to mesh (mean, median), mesh to truth, truth to mesh (things of 20 pixels and more), metres; free-space violation;
medians over matched things of the centre's error (metres), the heading's (degrees) and the scale's (a share); mean size
over the true mean; effective number of prototypes, mean share of the largest, purity and mutual information with the
names of shapes. Not a number where a method has no such thing."""


@dataclass(frozen=True)
class Found:
    """The k things that were found in a depth map, in the model frame, metres.

    pixels: their numbers from 1 on, 0 for none.  by_mesh: the same by the nearest surface.  surfaces: points on each.
    yaws: radians.  blends: the share of each prototype, where there are prototypes.
    """

    pixels: Int[Tensor, "h w"]
    by_mesh: Int[Tensor, "h w"]
    surfaces: Float[Tensor, "k m 3"]
    centers: Float[Tensor, "k 3"]
    scales: Float[Tensor, "k"]
    yaws: Float[Tensor, "k"]
    blends: Float[Tensor, "k p"] | None = None


@dataclass(frozen=True)
class Judged:
    """The figures of one scene. numbers: by column, those that are means over scenes.  center, yaw, scale: errors of
    each matched thing.  prototype, shape: of each matched thing, shape as a name.  blends: of all that was found."""

    numbers: dict[str, float]
    center: Float[Tensor, "m"]
    yaw: Float[Tensor, "m"]
    scale: Float[Tensor, "m"]
    prototype: Int[Tensor, "m"] | None
    shape: tuple[str, ...]
    blends: Float[Tensor, "k p"] | None


# -------------------------------------------------------------------------------------------------------- what is found


def from_clusters(observed: Observed, labels: Int[Tensor, "h w"], least: int = VISIBLE) -> Found:
    """Clusters with an ellipsoid each; those of fewer than ``least`` pixels have no surface."""
    found = clusters.ellipsoids(observed, labels, least)
    surfaces = torch.stack([clusters.ellipsoid_points(each, SURFACE) for each in found]) if found else _no_surface()
    return Found(
        labels,
        nearest_of(surfaces, observed),
        surfaces,
        torch.stack([each.center for each in found]) if found else torch.zeros(0, 3),
        torch.tensor([each.scale for each in found]),
        torch.tensor([each.yaw for each in found]),
    )


@torch.no_grad()
def from_slots(
    vecta: Float[Tensor, "k d"],
    prototypes: Prototypes,
    observed: Observed,
    segments: Int[Tensor, "h w"] | None = None,
) -> Found:
    """Slots that exist. segments: what they were begun from, if anything."""
    slots = decode(vecta)
    vertices = prototypes.surfaces(slots)
    surfaces = scattered(vertices, prototypes.faces, SURFACE, torch.Generator().manual_seed(0)) if len(vecta) else None
    by_mesh = nearest_of(_no_surface() if surfaces is None else surfaces, observed)
    return Found(
        by_mesh if segments is None else by_segment(by_mesh, segments),
        by_mesh,
        _no_surface() if surfaces is None else surfaces,
        slots.position,
        slots.scale[:, 0],
        slots.angles[:, 0],
        slots.logits.softmax(-1),
    )


def by_segment(pixels: Int[Tensor, "h w"], segments: Int[Tensor, "h w"]) -> Int[Tensor, "h w"]:
    """Each segment (above 0) with the number that most of its pixels have; pixels of no segment keep theirs."""
    flat, own = pixels.flatten(), segments.flatten()
    votes = torch.zeros(int(own.max()) + 1, int(flat.max()) + 1, dtype=torch.long)
    votes.index_put_((own, flat), torch.ones_like(flat), accumulate=True)
    # 0 stands for what shows no thing at all: no segment is that.
    chosen = votes[:, 1:].argmax(1) + 1 if votes.shape[1] > 1 else torch.zeros(len(votes), dtype=torch.long)
    return torch.where(segments > 0, chosen[segments], pixels)


def _no_surface() -> Tensor:
    return torch.zeros(0, SURFACE, 3)


# ------------------------------------------------------------------------------------------------------------ one scene


def judge(found: Found, truth: Truth, observed: Observed) -> Judged:
    """The figures of one scene. Raises ValueError where the depth map does not tell which thing a pixel shows."""
    depth_map = observed.depth_map
    if depth_map.instances is None:
        raise ValueError(f"{depth_map.name} has no instances to be judged by")
    instances = depth_map.instances
    back = inverse(observed.from_camera)
    model = found.surfaces.reshape(-1, 3)
    surface = model @ back[:3, :3].T + back[:3, 3]
    seen = truth.visible >= VISIBLE
    missed = figures.scene_to_mesh(observed.points, observed.weights, model)
    numbers = {
        "ari": figures.foreground_ari(found.pixels, instances, depth_map.valid),
        "ari_mesh": figures.foreground_ari(found.by_mesh, instances, depth_map.valid),
        "count": float(figures.count_error(found.pixels, instances, VISIBLE)),
        "x_to_p": missed.mean,
        "x_to_p_median": missed.median,
        "p_to_truth": figures.mesh_to_truth(surface, truth.surfaces).mean,
        "truth_to_p": figures.truth_to_mesh(truth.surfaces, surface, seen).mean,
        "violation": figures.free_space_violation(surface, depth_map, observed.far),
        "size_ratio": float(found.scales.mean() / truth.scales[seen].mean()) if len(model) and seen.any() else math.nan,
    }
    nothing = torch.zeros(0)
    if not len(model) or not bool(seen.any()):
        return Judged(numbers, nothing, nothing, nothing, None, (), found.blends)
    poses = figures.pose_errors(
        found.centers @ back[:3, :3].T + back[:3, 3],
        found.scales,
        found.yaws,
        truth.centers[seen],
        truth.scales[seen],
        figures.yaws_of(truth.poses[seen], observed.from_camera),
        truth.symmetry[seen],
    )
    mine, true = poses.pairs.unbind(1)
    turn = observed.from_camera[:3, :3]
    around = headings_apart(found.surfaces[mine], truth.surfaces[seen][true] @ turn.T)
    square, round_ = truth.symmetry[seen][true] == 4, truth.symmetry[seen][true] == 0
    yaw = torch.where(square, poses.yaw, torch.where(round_, torch.nan, around))
    names = [name for name, there in zip(truth.shapes, seen.tolist()) if there]
    shape = tuple(names[int(j)] for j in true)
    prototype = None if found.blends is None else found.blends[mine].argmax(1)
    return Judged(numbers, poses.center, yaw, poses.scale, prototype, shape, found.blends)


def headings_apart(surfaces: Float[Tensor, "m a 3"], truth: Float[Tensor, "m b 3"]) -> Float[Tensor, "m"]:
    """Degrees, up to 90, between the longest ways along the ground (x, z) through the surfaces of each pair.

    Not a number where the true one is hardly longer than it is wide.
    """
    (mine, _), (true, stretch) = _longest(surfaces), _longest(truth)
    off = torch.remainder(mine - true, math.pi)
    off = torch.rad2deg(torch.minimum(off, math.pi - off))
    return torch.where(stretch >= LONG, off, torch.nan)


def _longest(surfaces: Float[Tensor, "m a 3"]) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]]:
    """The heading of the longest way, radians about y, and how much longer it is than the way across."""
    flat = surfaces[..., [0, 2]]
    flat = flat - flat.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(flat.mT @ flat / flat.shape[1])
    longest = vectors[..., 1]
    return torch.atan2(longest[:, 0], longest[:, 1]), (values[:, 1] / values[:, 0].clamp_min(1e-9)).sqrt()


# ------------------------------------------------------------------------------------------------------ rows of a table


def row(scenes: Sequence[Judged]) -> dict[str, float]:
    """All columns over scenes: means of what a scene has one of, medians over things; see ``COLUMNS``."""
    out = {name: mean_of([each.numbers[name] for each in scenes]) for name in scenes[0].numbers} if scenes else {}
    for name in ("center", "yaw", "scale"):
        values = torch.cat([getattr(each, name) for each in scenes]) if scenes else torch.zeros(0)
        values = values[~values.isnan()]
        out[name] = float(values.median()) if len(values) else math.nan
    blends = [each.blends for each in scenes if each.blends is not None]
    if blends:
        weights = torch.cat(blends)
        groups = torch.cat([each.prototype for each in scenes if each.prototype is not None] or [torch.zeros(0).long()])
        names = [name for each in scenes if each.prototype is not None for name in each.shape]
        known = sorted(set(names))
        classes = torch.tensor([known.index(name) for name in names], dtype=torch.long)
        out["prototypes"], out["top_share"] = figures.effective_prototypes(weights), figures.top_share(weights)
        out["purity"], out["nmi"] = figures.purity(groups, classes), figures.mutual_information(groups, classes)
    return {name: out.get(name, math.nan) for name in COLUMNS}


def over_seeds(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """For each column the mean, the least and the largest over seeds."""
    return {
        name: [mean_of(values), min(values, default=math.nan), max(values, default=math.nan)]
        for name in (rows[0] if rows else {})
        for values in [[each[name] for each in rows]]
    }


def mean_of(values: Sequence[float]) -> float:
    """The mean of those that are numbers."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan
