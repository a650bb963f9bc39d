"""Depth maps at a coarser resolution, and what was found there brought back to every pixel."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as connected
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.kernels.patches import fit_patches
from fieldscape.systems.slots.joining import renumbered
from fieldscape.systems.slots.points import Observed, noise_of, normals_of, ray_grid, window_of


def coarser_map(depth_map: DepthMap, step: int) -> DepthMap:
    """Every ``step``-th pixel of a depth map, beginning at the middle of the first, and its camera."""
    start = step // 2

    def some(values: Tensor) -> Tensor:
        return values[start::step, start::step].contiguous()

    depth = some(depth_map.depth)
    camera = replace(
        depth_map.camera,
        focal=depth_map.camera.focal / step,
        # The middle of a kept pixel is the middle of a coarse one.
        center=(depth_map.camera.center - (start + 0.5)) / step + 0.5,
        width=depth.shape[1],
        height=depth.shape[0],
    )
    return replace(
        depth_map,
        depth=depth,
        valid=some(depth_map.valid),
        sky=some(depth_map.sky),
        camera=camera,
        instances=None if depth_map.instances is None else some(depth_map.instances),
        classes=None if depth_map.classes is None else some(depth_map.classes),
        color=None if depth_map.color is None else some(depth_map.color),
    )


def coarser(observed: Observed, step: int) -> Observed:
    """What was observed, for every ``step``-th pixel: planes are fitted anew to the smoothed depth, masks are kept.

    The points stay those of the whole depth map; their pixels are not of the coarse one.
    """
    start = step // 2
    depth_map = coarser_map(observed.depth_map, step)
    smooth = observed.smooth[start::step, start::step].double().numpy()
    noise = noise_of(smooth)
    slopes = fit_patches(np.ascontiguousarray(smooth), window_of(noise), noise)
    fitted = np.divide(1.0, slopes[..., 0], out=np.zeros(smooth.shape), where=slopes[..., 0] > 0)
    return replace(
        observed,
        ground=observed.ground[start::step, start::step],
        background=observed.background[start::step, start::step],
        sky=depth_map.sky,
        smooth=torch.from_numpy(fitted).float(),
        normal_map=torch.from_numpy(normals_of(slopes, *ray_grid(depth_map))).float(),
        slopes=torch.from_numpy(slopes).float(),
        noise=noise,
        depth_map=depth_map,
    )


def finer(labels: Int[Tensor, "h w"], worked: Observed, observed: Observed, step: int) -> Int[Tensor, "H W"]:
    """Labels of ``worked``, the coarse form of ``observed``, for every pixel that shows a thing.

    A pixel takes the label of that of the nine coarse pixels about it which is most like it in depth; where none has a
    label, that of the nearest pixel that got one, up to two coarse pixels away. What is left are things too small for
    the coarse picture, one for each connected piece.
    """
    inside = observed.things.numpy()
    near = np.log(np.where(inside, observed.smooth.double().numpy(), 1.0))
    coarse = np.log(np.maximum(worked.smooth.double().numpy(), 1e-6))
    coarse_labels = labels.numpy()
    start = step // 2
    places = [(np.arange(count) - start) / step for count in inside.shape]
    middles = [
        np.clip(np.round(place).astype(np.int64), 0, count - 1)
        for place, count in zip(places, coarse.shape, strict=True)
    ]
    best, found = np.full(inside.shape, np.inf), np.zeros(inside.shape, np.int64)
    for down, right in itertools.product((-1, 0, 1), repeat=2):
        rows = np.clip(middles[0] + down, 0, coarse.shape[0] - 1)
        columns = np.clip(middles[1] + right, 0, coarse.shape[1] - 1)
        apart = (rows - places[0])[:, None] ** 2 + (columns - places[1])[None] ** 2
        there = np.ix_(rows, columns)
        # A coarse pixel of distance weighs as much as one per cent of depth.
        cost = np.where(coarse_labels[there] > 0, abs(coarse[there] - near) + 0.01 * apart, np.inf)
        better = inside & (cost < best)
        best[better], found[better] = cost[better], coarse_labels[there][better]
    left = inside & (found == 0)
    if left.any() and (found > 0).any():
        far, nearest = distance_transform_edt(found == 0, return_indices=True)
        reached = left & (far <= 2 * step)
        found[reached] = found[tuple(nearest)][reached]
        left &= ~reached
    pieces, _ = connected(left)
    found[left] = pieces[left] + found.max()
    return torch.from_numpy(renumbered(found)[0])
