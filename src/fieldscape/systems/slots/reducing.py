"""Large depth maps made smaller, so that a fit of one takes seconds whatever camera it comes from.

A block of pixels becomes one by the lower median of its known depths: a depth that was measured, never the mean of two
surfaces, which would float between them. Where less than half of a block is known, nothing is known of it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from fieldscape import cameras
from fieldscape.data.depth.record import DepthMap

MOST = 160
"""Pixels across, or four thirds of the pixels down, beyond which depth maps are made smaller."""


def times_smaller(depth_map: DepthMap, most: int = MOST) -> int:
    """By what whole number a depth map is divided so that it is no larger than ``most`` by three quarters of it."""
    height, width = depth_map.depth.shape
    return max(1, -(-width // most), -(-height * 4 // (most * 3)))


def reduced(depth_map: DepthMap, times: int) -> DepthMap:
    """A depth map of blocks of ``times`` x ``times`` pixels; what is left over at the right and below is cut off.

    Colour and classes are those of the pixel in the middle of each block; instances are those of the pixel that gave
    the depth. Raises ValueError where not one block fits.
    """
    if times == 1:
        return depth_map
    height, width = (side // times for side in depth_map.depth.shape)
    if times < 1 or not height or not width:
        raise ValueError(f"a depth map of {tuple(depth_map.depth.shape)} has no blocks of {times}")
    depth, valid, sky = (blocks(each, times) for each in (depth_map.depth, depth_map.valid, depth_map.sky))
    order = torch.where(valid & ~sky, depth, torch.inf).argsort(dim=-1, stable=True)
    known = (valid & ~sky).sum(-1)
    chosen = order.gather(-1, ((known - 1).clamp_min(0) // 2)[..., None])
    empty = sky.sum(-1) * 2 > times**2
    sure = (known * 2 >= times**2) & ~empty
    middle = slice(times // 2, None, times)

    def central(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[middle, middle][:height, :width]

    instances = depth_map.instances
    camera = replace(depth_map.camera, width=width * times, height=height * times)
    return replace(
        depth_map,
        depth=torch.where(sure, depth.gather(-1, chosen)[..., 0], 0.0),
        valid=sure,
        sky=empty,
        camera=cameras.resize(camera, width, height),
        instances=None if instances is None else blocks(instances, times).gather(-1, chosen)[..., 0],
        classes=central(depth_map.classes),
        color=central(depth_map.color),
    )


def thinned(depth_map: DepthMap, step: int) -> DepthMap:
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


def blocks(values: Tensor, times: int) -> Tensor:
    """[h, w] as [h / times, w / times, times * times]."""
    height, width = (side // times for side in values.shape)
    whole = values[: height * times, : width * times]
    return whole.unflatten(0, (height, times)).unflatten(2, (width, times)).transpose(1, 2).flatten(2)


def enlarged(numbers: Int[Tensor, "h w"], times: int, height: int, width: int) -> Int[Tensor, "height width"]:
    """A map of numbers on the pixels that its blocks were made of; 0 where none were."""
    whole = numbers.repeat_interleave(times, 0).repeat_interleave(times, 1)
    return torch.nn.functional.pad(whole, (0, width - whole.shape[1], 0, height - whole.shape[0]))
