"""Figures for things found in a depth map: groupings of pixels, surfaces, free space, poses, use of prototypes.

No figure stands alone: one-way distances reward surfaces that are everywhere, and the adjusted Rand index rewards
groupings with floating surfaces. The index is that of Hubert and Arabie, "Comparing partitions", 1985; the mutual
information is normalised by the mean of the two entropies.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import minimum_filter
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.systems.slots.points import ray_grid

Array = np.ndarray

IN_FRONT = 0.15
"""Metres before the observed surface, from which on a surface is in space that was seen to be empty."""
NEAREST = 0.3
"""Metres before the camera, up to which no surface is judged."""


# ------------------------------------------------------------------------------------------------ groupings of pixels


def contingency(one: Int[Tensor, "n"], other: Int[Tensor, "n"]) -> Float[Array, "a b"]:
    """How many elements are in group i of the one grouping and in group j of the other (groups in ascending order)."""
    first = np.unique(one.cpu().numpy(), return_inverse=True)[1].reshape(-1)
    second = np.unique(other.cpu().numpy(), return_inverse=True)[1].reshape(-1)
    if not len(first):
        return np.zeros((0, 0))
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    return table


def adjusted_rand(one: Int[Tensor, "n"], other: Int[Tensor, "n"]) -> float:
    """Agreement of two groupings of n elements: 1 for the same, about 0 for chance; 1 where there is nothing to tell.

    >>> adjusted_rand(torch.tensor([1, 1, 2, 2]), torch.tensor([7, 7, 5, 5]))
    1.0
    """
    table = contingency(one, other)

    def pairs(counts: Array) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, first, second = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    everything = len(one) * (len(one) - 1) / 2
    chance = first * second / everything if everything else 0.0
    most = (first + second) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)


def foreground_ari(
    labels: Int[Tensor, "h w"], truth: Int[Tensor, "h w"], known: Bool[Tensor, "h w"] | None = None
) -> float:
    """The adjusted Rand index over the pixels that show a thing in ``truth`` (above 0) and are ``known``.

    Such pixels that no thing was found in (0 in ``labels``) count as one group. Not a number where no thing is seen.
    """
    seen = truth > 0 if known is None else (truth > 0) & known
    return adjusted_rand(labels[seen], truth[seen]) if bool(seen.any()) else math.nan


def count_of(labels: Int[Tensor, "h w"], least: int = 20) -> int:
    """How many things (numbers above 0) have at least ``least`` pixels."""
    return int((torch.unique(labels[labels > 0], return_counts=True)[1] >= least).sum())


def count_error(labels: Int[Tensor, "h w"], truth: Int[Tensor, "h w"], least: int = 20) -> int:
    """By how many things of at least ``least`` pixels, on both sides, the counts differ."""
    return abs(count_of(labels, least) - count_of(truth, least))


def match_labels(
    labels: Int[Tensor, "h w"], truth: Int[Tensor, "h w"]
) -> tuple[Int[Tensor, "m 2"], Float[Tensor, "m"]]:
    """Pairs (label, thing) such that the sum of their overlaps (intersection over union) is largest; and the overlaps.

    Pairs without overlap are left out.
    """
    first, second = (torch.unique(each[each > 0]) for each in (labels, truth))
    common = (
        torch.stack([torch.stack([((labels == i) & (truth == j)).sum() for j in second]) for i in first])
        if len(first) and len(second)
        else torch.zeros(len(first), len(second))
    )
    sizes = (
        torch.tensor([int((labels == i).sum()) for i in first]),
        torch.tensor([int((truth == j).sum()) for j in second]),
    )
    overlap = common / (sizes[0][:, None] + sizes[1][None] - common).clamp_min(1)
    rows, columns = linear_sum_assignment(-overlap.numpy())
    kept = [(i, j) for i, j in zip(rows, columns) if overlap[i, j] > 0]
    pairs = torch.tensor([[int(first[i]), int(second[j])] for i, j in kept], dtype=torch.int64).reshape(-1, 2)
    return pairs, torch.tensor([float(overlap[i, j]) for i, j in kept])


# ------------------------------------------------------------------------------------------------------------ surfaces


class Distances(NamedTuple):
    """Of points to the nearest of a surface, in metres; not a number where there are none of either."""

    mean: float
    median: float


def distances(
    points: Float[Tensor, "n 3"], targets: Float[Tensor, "m 3"], weights: Float[Tensor, "n"] | None = None
) -> Distances:
    """From each point to the nearest target, weighted. At least 2,000 targets a thing keep their spacing out of it."""
    if not len(points) or not len(targets):
        return Distances(math.nan, math.nan)
    near, _ = cKDTree(targets.detach().cpu().double().numpy()).query(points.detach().cpu().double().numpy())
    share = np.ones(len(near)) if weights is None else weights.detach().cpu().double().numpy()
    if not share.sum() > 0:
        return Distances(math.nan, math.nan)
    order = np.argsort(near, kind="stable")
    middle = int(np.searchsorted(share[order].cumsum(), share.sum() / 2))
    return Distances(float((near * share).sum() / share.sum()), float(near[order[min(middle, len(near) - 1)]]))


def scene_to_mesh(
    points: Float[Tensor, "n 3"], weights: Float[Tensor, "n"], surface: Float[Tensor, "m 3"]
) -> Distances:
    """From what was observed to the surfaces found (X -> P): what they leave unexplained."""
    return distances(points, surface, weights)


def mesh_to_truth(surface: Float[Tensor, "m 3"], truth: Float[Tensor, "k s 3"]) -> Distances:
    """From the surfaces found to the true ones: what was invented."""
    return distances(surface, truth.reshape(-1, 3))


def truth_to_mesh(
    truth: Float[Tensor, "k s 3"], surface: Float[Tensor, "m 3"], seen: Bool[Tensor, "k"] | None = None
) -> Distances:
    """From the whole true surfaces, or those of the things ``seen``, to the ones found: what was missed."""
    return distances((truth if seen is None else truth[seen]).reshape(-1, 3), surface)


def free_space_violation(
    surface: Float[Tensor, "m 3"], depth_map: DepthMap, far: float = 10.0, margin: float = IN_FRONT
) -> float:
    """The share of surface points (camera axes) that lie where the camera saw that nothing is.

    That is more than ``margin`` metres before the nearest depth of the 3 x 3 pixels about the point's own, so that the
    blur of a pixel at an edge is not held against it. Sky is seen to be empty up to ``far``; an unknown pixel says
    nothing, and so does what lies outside of the picture or within 0.3 m of the camera. 0 where there is no surface.
    """
    if not len(surface):
        return 0.0
    ray_x, ray_y = ray_grid(depth_map)
    known = (depth_map.valid & ~depth_map.sky).numpy()
    limit = np.where(known, np.minimum(depth_map.depth.double().numpy(), far), np.inf)
    limit[depth_map.sky.numpy()] = far
    clear = minimum_filter(limit, 3, mode="constant", cval=np.inf)
    clear[~np.isfinite(limit)] = -np.inf
    x, y, z = surface.detach().cpu().double().numpy().T
    ahead = z > NEAREST
    safe = np.where(ahead, z, 1.0)
    columns = np.floor((x / safe - ray_x[0]) / (ray_x[1] - ray_x[0]) + 0.5)
    rows = np.floor((y / safe - ray_y[0]) / (ray_y[1] - ray_y[0]) + 0.5)
    height, width = clear.shape
    inside = ahead & (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    bad = z[inside] < clear[rows[inside].astype(int), columns[inside].astype(int)] - margin
    return float(bad.sum() / len(z))


# --------------------------------------------------------------------------------------------------------------- poses


class PoseErrors(NamedTuple):
    """Of the pairs (found, true) that were matched. center: metres.  scale: |found / true - 1|.  yaw: degrees, modulo
    symmetry, not a number for things that look the same from all sides."""

    pairs: Int[Tensor, "m 2"]
    center: Float[Tensor, "m"]
    scale: Float[Tensor, "m"]
    yaw: Float[Tensor, "m"]


def yaw_error(yaw: Float[Tensor, "m"], truth: Float[Tensor, "m"], symmetry: Int[Tensor, "m"]) -> Float[Tensor, "m"]:
    """Degrees between two headings (radians) of things that ``symmetry`` turns leave as they are (0: any turn)."""
    turn = 2 * math.pi / symmetry.clamp_min(1)
    off = torch.remainder(yaw - truth, turn)
    off = torch.rad2deg(torch.minimum(off, turn - off))
    return torch.where(symmetry > 0, off, torch.nan)


def best_yaw_offset(
    yaw: Float[Tensor, "m"], truth: Float[Tensor, "m"], symmetry: Int[Tensor, "m"], steps: int = 360
) -> float:
    """The turn (radians) by which one prototype's own front differs from that of the things it stands for.

    What is learned without labels has no front; this one number a prototype, the least median error, gives it one.
    """
    some = symmetry > 0
    if not bool(some.any()):
        return 0.0
    offsets = torch.arange(steps) * (2 * math.pi / steps)
    medians = [yaw_error(yaw[some] + offset, truth[some], symmetry[some]).median() for offset in offsets]
    return float(offsets[int(torch.stack(medians).argmin())])


def pose_errors(
    centers: Float[Tensor, "a 3"],
    scales: Float[Tensor, "a"],
    yaws: Float[Tensor, "a"],
    true_centers: Float[Tensor, "b 3"],
    true_scales: Float[Tensor, "b"],
    true_yaws: Float[Tensor, "b"],
    symmetry: Int[Tensor, "b"],
    farthest: float = math.inf,
) -> PoseErrors:
    """Errors of the pairs with the least sum of centre distances (Hungarian), those beyond ``farthest`` left out."""
    apart = torch.cdist(centers, true_centers)
    rows, columns = linear_sum_assignment(apart.detach().cpu().numpy())
    pairs = torch.tensor(np.stack([rows, columns], -1), dtype=torch.int64).reshape(-1, 2)
    pairs = pairs[apart[pairs[:, 0], pairs[:, 1]] <= farthest]
    found, true = pairs.unbind(1)
    return PoseErrors(
        pairs,
        apart[found, true],
        (scales[found] / true_scales[true] - 1).abs(),
        yaw_error(yaws[found], true_yaws[true], symmetry[true]),
    )


def yaws_of(poses: Float[Tensor, "k 4 4"], from_camera: Float[Tensor, "4 4"]) -> Float[Tensor, "k"]:
    """The headings about y in the model frame of things given by their poses (thing to camera, as ``scenes.Truth``)."""
    ahead = poses[:, :3, 2] @ from_camera[:3, :3].T
    return torch.atan2(ahead[:, 0], ahead[:, 2])


# ---------------------------------------------------------------------------------------------------------- prototypes


def effective_prototypes(weights: Float[Tensor, "s k"]) -> float:
    """How many prototypes are in use: the exponential of the entropy of their mean weights. Rows sum to 1."""
    if not len(weights):
        return 0.0
    usage = weights.mean(0)
    return float(torch.exp(-torch.special.xlogy(usage, usage).sum()))


def top_share(weights: Float[Tensor, "s k"]) -> float:
    """The mean of the largest weight of each thing: 1 where each is one prototype."""
    return float(weights.amax(1).mean()) if len(weights) else math.nan


def purity(groups: Int[Tensor, "n"], classes: Int[Tensor, "n"]) -> float:
    """The share of elements that are of the most frequent class of their group. Small groups are pure by chance."""
    table = contingency(groups, classes)
    return float(table.max(1).sum() / table.sum()) if table.size else math.nan


def mutual_information(groups: Int[Tensor, "n"], classes: Int[Tensor, "n"]) -> float:
    """Normalised: 0 where groups say nothing of classes, 1 where they are the same; 1 where both are a single one."""
    table = contingency(groups, classes)
    if not table.size:
        return math.nan
    joint = table / table.sum()

    def entropy(share: Array) -> float:
        share = share[share > 0]
        return float(-(share * np.log(share)).sum())

    first, second = entropy(joint.sum(1)), entropy(joint.sum(0))
    mean = (first + second) / 2
    return 1.0 if mean == 0 else max(0.0, (first + second - entropy(joint.ravel())) / mean)
