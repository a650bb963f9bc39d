"""A picture of a clip from any camera at any time: fetched, blended layer by layer, put together.

The background first, then the movers in front of it, the farthest first; a mover is hidden where the background is
clearly nearer. What no frame shows is painted by the field of ``filling``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from fieldscape.cameras import image_rays
from fieldscape.systems.tracks.blending import LEAST, Blended, Blender, Stack
from fieldscape.systems.tracks.config import SourceSettings
from fieldscape.systems.tracks.fetching import Fetched, fetch
from fieldscape.systems.tracks.filling import Filling
from fieldscape.systems.tracks.footage import Footage, chosen, lateness, nearest_in_time, showing, steps_apart
from fieldscape.types import Camera, Rendered

MARGIN = 0.08
"""How much nearer than a mover, as a share, the background must be to hide it: a mover's distance is rough."""
SOFT = 0.02
"""Over how much of the logarithm of depth it comes to hide it."""
PART = 4096
"""Pixels that are blended at once on a processor."""


@dataclass(frozen=True)
class Painter:
    """All that makes pictures: what was learned, and how sources are chosen."""

    blender: Blender
    filling: Filling
    source: SourceSettings


def draw(footage: Footage, painter: Painter, camera: Camera, when: float, leave: int | None = None) -> Rendered:
    """What ``camera`` sees at ``when`` seconds, leading dims [height, width]; ``leave``: a frame not to be used.

    alpha is the share that some frame shows; the rest is the field's colour, and has no depth.
    """
    camera = camera.map(lambda x: x.float())
    device = painter.blender.near.device
    with torch.no_grad():
        rays = image_rays(camera)
        stacks = stacked(footage, camera, when, painter.source, rays.directions, leave)
        layers = [_blended(painter.blender, stack) for stack in stacks]
        behind = torch.zeros(3, camera.height * camera.width)
        missing = (layers[0].alpha < 1 - LEAST).nonzero().flatten() if layers else torch.arange(behind.shape[1])
        if len(missing):
            directions = rays.directions.reshape(-1, 3)[missing].to(device)
            behind[:, missing] = painter.filling(camera.position.to(device), directions).cpu()
        color, alpha, depth = composed(layers, behind, camera.height, camera.width)
        cosine = (rays.directions * camera.forward).sum(-1)
    return Rendered(
        color.movedim(0, -1).clamp(0, 1).contiguous(), (depth / cosine)[..., None], alpha[..., None].contiguous()
    )


def stacked(
    footage: Footage,
    camera: Camera,
    when: float,
    settings: SourceSettings,
    directions: Float[Tensor, "h w 3"],
    leave: int | None = None,
) -> list[Stack]:
    """What the sources show of each layer, the background first, then the movers, the farthest first."""
    usable = [i for i in range(len(footage.tracked.clip)) if i != leave]
    timely = nearest_in_time(footage, when, max(1, settings.around), usable)
    frames = chosen(footage, camera, when, settings, leave)
    found = _fetched(footage, camera, when, 0, frames)
    for _ in range(settings.spare):
        seen = torch.stack([one.alpha for _, one in found]).amax(0) if found else directions.new_zeros(())
        hole = (seen < 0.5).expand(directions.shape[:2])
        if float(hole.float().mean()) <= settings.hole:
            break
        more = showing(footage, camera, when, hole, [*frames, *([] if leave is None else [leave])])
        if more is None:
            break
        frames = [*frames, more]
        found += _fetched(footage, camera, when, 0, [more])
    stacks = [_stack(footage, camera, when, found, directions, mover=False)] if found else []
    movers = []
    for layer in footage.layers:
        if layer:
            found = _fetched(footage, camera, when, layer, timely)
            if found:
                stack = _stack(footage, camera, when, found, directions, mover=True)
                there = stack.alpha > 0.5
                if bool(there.any()):
                    movers.append((float(stack.depth[there].median()), stack))
    return stacks + [stack for _, stack in sorted(movers, key=lambda pair: -pair[0])]


def composed(
    layers: list[Blended], behind: Float[Tensor, "3 p"], high: int, wide: int
) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Layers, the background first, over what is behind all: colour, the share that they cover, planar depth."""
    color, covered = behind, torch.zeros_like(behind[0])
    depth, contrast = torch.zeros_like(covered), torch.zeros_like(covered)
    for number, layer in enumerate(layers):
        alpha = layer.alpha
        if number:
            there = (covered > 0.5) & (alpha > LEAST)
            ratio = torch.where(there, depth / layer.depth.clamp(min=1e-9), 1.0)
            alpha = alpha * torch.where(there, torch.sigmoid((ratio.clamp(min=1e-6).log() + MARGIN) / SOFT), 1.0)
        share = covered + alpha - covered * alpha
        # Depth is a mean over what is there, not over the nothing behind it.
        depth = (alpha * layer.depth + (1 - alpha) * covered * depth) / share.clamp(min=1e-8)
        color = alpha * layer.color + (1 - alpha) * color
        contrast = alpha * layer.contrast + (1 - alpha) * contrast
        covered = share
    picture = color.reshape(3, high, wide)
    smooth = avg_pool2d(pad(picture[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    picture = picture + contrast.reshape(high, wide) * (picture - smooth)
    return picture, covered.reshape(high, wide), torch.where(covered > 0.5, depth, 0.0).reshape(high, wide)


def _blended(blender: Blender, stack: Stack) -> Blended:
    """The layer, in parts small enough for a processor's cache, and only where any source shows it."""
    device = blender.near.device
    size = PART if device.type == "cpu" else stack.alpha.shape[1]
    where = (stack.alpha.amax(0) > LEAST).nonzero().flatten()
    whole = len(where) == stack.alpha.shape[1]
    shown = stack if whole else stack.at(where)
    parts = [blender(shown.at(slice(i, i + size)).to(device)) for i in range(0, len(where), size)]
    out = []
    for name in ("color", "alpha", "depth", "contrast"):
        found = [getattr(part, name).cpu() for part in parts]
        flat = torch.cat(found, -1) if found else stack.alpha.new_zeros(0)
        if not whole:
            full = flat.new_zeros(*((3,) if name == "color" else ()), stack.alpha.shape[1])
            full[..., where] = flat
            flat = full
        out.append(flat)
    return Blended(*out)


def _fetched(footage: Footage, camera: Camera, when: float, layer: int, frames: list[int]) -> list[tuple[int, Fetched]]:
    found = []
    for frame in frames:
        for sheet in footage.sheets[frame]:
            if sheet.layer == layer:
                found.append((frame, fetch(footage.tracked, sheet, camera, when)))
    return found


def _stack(
    footage: Footage,
    camera: Camera,
    when: float,
    found: list[tuple[int, Fetched]],
    directions: Float[Tensor, "h w 3"],
    mover: bool,
) -> Stack:
    cosine = (directions * camera.forward).sum(-1)
    late = [lateness(footage, frame, when) for frame, _ in found]
    depths = [torch.where(one.alpha > LEAST, one.depth, 1.0) for _, one in found]
    apart = []
    for (frame, _), depth in zip(found, depths):
        places = camera.position + directions * (depth / cosine)[..., None]
        apart.append(steps_apart(footage, frame, camera, when, places, mover).flatten())
    return Stack(
        torch.stack([one.color.reshape(-1, 3).T for _, one in found], 1),
        torch.stack([one.alpha.flatten() for _, one in found]).clamp(0, 1),
        torch.stack([depth.flatten() for depth in depths]),
        torch.stack([one.far.flatten().float() for _, one in found]),
        torch.stack([one.stretch.flatten() for _, one in found]),
        torch.stack(apart),
        torch.tensor(late),
        mover,
    )
