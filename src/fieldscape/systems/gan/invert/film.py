"""What an inverted photo looks like from elsewhere: the fly-through, a sheet of pictures, and how far to believe it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from fieldscape import cameras
from fieldscape.images import colorize_depth, contact_sheet, to_uint8
from fieldscape.progress import Bar
from fieldscape.systems.gan import figures
from fieldscape.systems.gan.invert.fit import Inverted, seen
from fieldscape.systems.gan.invert.search import single
from fieldscape.systems.gan.measure import sampling
from fieldscape.systems.gan.scene import Draw, drawing
from fieldscape.types import Camera

YAW = 12.0
"""Degrees that a fly-through turns to each side."""
DOLLY = 0.4
"""Metres that it goes ahead and back, where things are three metres away; else in proportion."""
SHOWN = 256
"""Pictures of a video are enlarged to at least so many pixels a side."""
LOOKS = 12
"""Places on the way where figures are taken."""
UNLIKE, POOR = 18.0, 24.0
"""PSNR under which a photo is unlike what a generator makes by code, and badly met after tuning."""


def flight(inverted: Inverted, frames: int) -> Camera:
    """Once around and back to the photo's camera, which is the first: yaw to both sides, a dolly ahead and back."""
    _, depth = inverted.view(inverted.camera)
    ahead = min(DOLLY, DOLLY / 3 * float(depth.median()), 0.4 * float(depth.quantile(0.02)))
    steps = [2 * math.pi * k / frames for k in range(frames)]
    return cameras.stack([inverted.turned(YAW * math.sin(step), ahead * (1 - math.cos(step)) / 2) for step in steps])


def pictures(inverted: Inverted, frames: int, width: int, bar: Bar) -> Iterator[UInt8[Tensor, "h w 3"]]:
    """The frames of the fly-through, depth beside, drawn ``width`` pixels wide and enlarged to be well seen."""
    way = flight(inverted, frames)
    drawn = drawing(inverted.generator, inverted.code, inverted.config)
    near, far = span(inverted, way)
    factor = max(1, -(-SHOWN // width))
    for k in range(frames):
        color, depth = picture(drawn, cameras.resize(way[k], width, width), near, far)
        both = torch.cat([color, depth], 1).movedim(-1, 0)[None]
        if factor > 1:
            both = interpolate(both, scale_factor=factor, mode="bicubic", align_corners=False).clamp(0, 1)
        yield to_uint8(both[0].movedim(0, -1))
        bar.update(k + 1)


def picture(
    drawn: Draw, camera: Camera, near: float, far: float
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 3"]]:
    """What a camera sees, and its depth in colours."""
    view = drawn(camera, {})
    return view.color.clamp(0, 1), colorize_depth(view.depth, near, far)


def span(inverted: Inverted, way: Camera) -> tuple[float, float]:
    """Near and far of what the flight sees, for the colours of depth."""
    depths = [inverted.view(way[k])[1].flatten() for k in range(0, len(way), max(1, len(way) // 5))]
    near, far = torch.cat(depths).quantile(torch.tensor([0.01, 0.99])).tolist()
    return near, max(far, 1.01 * near)


def sheet(inverted: Inverted, photo: Float[Tensor, "3 s s"], width: int) -> UInt8[Tensor, "h w 3"]:
    """The photo, what the code makes of it, what tuning does, views from both sides, and depth."""
    drawn = drawing(inverted.generator, inverted.code, inverted.config)
    plain = drawing(inverted.plain, inverted.code, inverted.config)
    here = cameras.resize(inverted.camera, width, width)
    sides = [cameras.resize(inverted.turned(yaw), width, width) for yaw in (-YAW, YAW)]
    near, far = span(inverted, cameras.stack([inverted.camera]))
    small = photo.movedim(0, -1)
    factor = max(1, width // photo.shape[-1])
    small = small.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    tuned, depth = picture(drawn, here, near, far)
    views = [small, plain(here, {}).color, tuned, *(drawn(side, {}).color for side in sides), depth]
    titles = ["photo", "by code", "tuned", f"{YAW:g} degrees left", f"{YAW:g} degrees right", "depth"]
    return contact_sheet([[view.clamp(0, 1) for view in views]], [], titles)


def confidence(inverted: Inverted) -> dict[str, float]:
    """How far to believe the scene. Shares are 0..1, angles degrees, places metres."""
    config, camera = inverted.config, inverted.camera
    where = sampling(config, config.size)
    color, depth = inverted.view(camera)
    _, before = seen(inverted.plain, inverted.code, camera, where)
    way = flight(inverted, LOOKS)
    shares = []
    for k in range(LOOKS):
        other, distance = inverted.view(way[k])
        both = figures.reprojection(
            other[None], distance[None, None], single(way[k]), color[None], depth[None, None], single(camera)
        )
        shares.append(both.shared)
    fov = float(cameras.field_of_view(camera)[0])
    x, y, z = camera.position.tolist()
    found = {
        "psnr_code": inverted.psnr_code,
        "psnr_tuned": inverted.psnr_tuned,
        "relief": figures.relief(depth[None, None], config.near, config.far),
        "depth_change": float((depth - before).abs().mean() / before.mean()),
        "revealed": 1 - sum(shares) / LOOKS,
        "unusual": inverted.unusual,
        "yaw": inverted.angles[0],
        "pitch": inverted.angles[1],
        "fov": fov,
        "x": x,
        "y": y,
        "z": z,
    }
    return {name: round(value, 4) for name, value in found.items()}


def complaints(found: dict[str, float]) -> Iterator[str]:
    """What the figures say against the scene, in words."""
    if found["psnr_code"] < UNLIKE:
        yield "the photo is unlike what the generator learned: take depth and other views for invented"
    elif found["psnr_tuned"] < POOR:
        yield "the generator meets the photo only roughly: train it longer, or on more photos like this one"
    if found["relief"] < 0.05:
        yield "depth hardly varies (a painted board): the generator has learned little of rooms' shapes"
    if found["depth_change"] > 0.25:
        yield "tuning moved the shapes: compare with --no-tune"
