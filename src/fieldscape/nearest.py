"""Nearest points, exactly and without a table of all distances.

Legend: n points [*b, n, 3], m targets [*b, m, 3], s groups of targets [*b, s, m, 3]; b any leading dimensions.

Which target is nearest is decided by squared distances in float32, (dx^2 + dy^2) + dz^2, the first of equal ones;
``nearest_plain`` says the same as a table of tensors, and the compiled kernels agree with it to the last bit, whatever
the number of threads. The choice has no gradient; the distance to what was chosen has one in both points and targets.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

TREE_COST = 1000, 6000
"""What a tree costs, in pairs looked at sixteen at a time: to build for each target, to search for each point."""

ROWS = 16
"""A thread takes so many rows of sixteen points, or sixteen times as many points, at a time."""


def nearest(points: Float[Tensor, "*b n 3"], targets: Float[Tensor, "*b m 3"]) -> Int[Tensor, "*b n"]:
    """The number of the nearest target of each point, the first of equally near ones.

    Works on the CPU in float32; other tensors are converted, and the answer is sent back.
    Raises ValueError where there are no targets, or numbers that are not finite.
    """
    _require_comparable(points, targets)
    count, others = points.shape[-2], targets.shape[-2]
    if count * others <= TREE_COST[0] * others + TREE_COST[1] * count:
        return nearest_in_groups(points, targets[..., None, :, :])[..., 0]
    clouds, groups = points.reshape(-1, count, 3), targets.reshape(-1, others, 3)
    found = [_down_the_tree(_array(cloud), _array(group)) for cloud, group in zip(clouds, groups)]
    return torch.from_numpy(np.stack(found)).reshape(points.shape[:-1]).to(points.device)


def nearest_in_groups(points: Float[Tensor, "*b n 3"], targets: Float[Tensor, "*b s m 3"]) -> Int[Tensor, "*b n s"]:
    """The number, within each group, of the target that is nearest to each point; the first of equally near ones.

    All pairs are looked at: meant for many small groups. Conversions and what it raises as for ``nearest``.
    """
    _require_comparable(points, targets)
    if points.numel() == 0 or targets.numel() == 0:
        return torch.zeros(*points.shape[:-1], targets.shape[-3], dtype=torch.long, device=points.device)
    from fieldscape.kernels import nearest as kernel
    from fieldscape.kernels.exact import share
    from fieldscape.kernels.grid import aligned

    count, (groups, others) = points.shape[-2], targets.shape[-3:-1]
    cloud_points = _array(points.reshape(-1, count, 3))
    clouds, rows = len(cloud_points), -(-count // 16)
    lanes, found = aligned(3 * clouds * rows), aligned(clouds * groups * rows, np.int32)
    by_axis = lanes.reshape(clouds, 3, rows * 16)
    by_axis[..., :count] = cloud_points.transpose(0, 2, 1)
    by_axis[..., count:] = 0
    flat = _array(targets)
    parts = -(-rows // ROWS)

    def work(part: int) -> None:
        group, first = part // parts, part % parts * ROWS
        last = min(first + ROWS, rows)
        kernel.search_all(lanes, flat, found, rows, others, group // groups, group, first, last)

    share(work, clouds * groups * parts)
    index = torch.from_numpy(found.reshape(clouds, groups, rows * 16)[..., :count]).transpose(1, 2)
    return index.long().reshape(*points.shape[:-1], groups).to(points.device)


def nearest_distance(points: Float[Tensor, "*b n 3"], targets: Float[Tensor, "*b m 3"]) -> Float[Tensor, "*b n"]:
    """The distance from each point to its nearest target; differentiable in both (at distance 0 the gradient is 0).

    >>> nearest_distance(torch.zeros(1, 3), torch.tensor([[0.0, 3.0, 4.0], [9.0, 0.0, 0.0]]))
    tensor([5.])
    """
    index = nearest(points.detach(), targets.detach())
    return _length(points - targets.gather(-2, index[..., None].expand(*index.shape, 3)))


def nearest_distance_in_groups(
    points: Float[Tensor, "*b n 3"], targets: Float[Tensor, "*b s m 3"]
) -> Float[Tensor, "*b n s"]:
    """The distance from each point to the nearest target of each group; differentiable in both, as
    ``nearest_distance``."""
    index = nearest_in_groups(points.detach(), targets.detach()).transpose(-1, -2)
    chosen = targets.gather(-2, index[..., None].expand(*index.shape, 3))
    return _length(points[..., None, :, :] - chosen).transpose(-1, -2)


def nearest_plain(points: Float[Tensor, "*b n 3"], targets: Float[Tensor, "*b m 3"]) -> Int[Tensor, "*b n"]:
    """``nearest`` by a table of all squared distances. Its specification."""
    x, y, z = (points.float()[..., :, None, :] - targets.float()[..., None, :, :]).unbind(-1)
    return ((x * x + y * y) + z * z).argmin(-1)


def _length(offsets: Tensor) -> Tensor:
    """Lengths; the root has no derivative at 0, where the gradient is 0 instead."""
    square = offsets.square().sum(-1)
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1.0).sqrt(), 0.0)


def _down_the_tree(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``nearest`` of one cloud [n, 3] and its targets [m, 3]."""
    from fieldscape.kernels import nearest as kernel
    from fieldscape.kernels.exact import share

    names, ranks = _by_neighbourhood(targets), _by_neighbourhood(points)
    sorted_targets, sorted_points = targets[names], points[ranks]
    leaves = 1
    while leaves * kernel.LEAF < len(targets):
        leaves *= 2
    boxes = np.empty((2 * leaves, 6), np.float32)
    kernel.build_boxes(sorted_targets, boxes)
    found, size = np.empty(len(points), np.int64), 16 * ROWS

    def work(part: int) -> None:
        first, last = part * size, min((part + 1) * size, len(points))
        stack, keys = np.empty(64, np.int64), np.empty(64, np.float32)
        kernel.search_tree(sorted_points, sorted_targets, names, boxes, stack, keys, found, first, last)

    share(work, -(-len(points) // size))
    answer = np.empty_like(found)
    answer[ranks] = found
    return answer


def _by_neighbourhood(points: np.ndarray) -> np.ndarray:
    """The numbers of points [n, 3], int64, in an order that keeps neighbours in space near one another."""
    from fieldscape.kernels import nearest as kernel

    low = points.min(0).astype(np.float64)
    side = float((points.max(0) - low).max())
    codes = np.empty(len(points), np.int64)
    kernel.number_cells(points, low, (2**20 - 1) / side if side > 0 else 0.0, codes)
    return codes.argsort()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().contiguous().numpy()


def _require_comparable(points: Tensor, targets: Tensor) -> None:
    if targets.shape[-2] == 0:
        raise ValueError("there are no targets to be near to")
    if not (bool(points.isfinite().all()) and bool(targets.isfinite().all())):
        raise ValueError("some points or targets are not finite")
