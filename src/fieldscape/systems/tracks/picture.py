"""A picture of a clip from any camera at any time: fetched, blended layer by layer, put together.

The background first, then the movers in front of it, the farthest first; a mover is hidden where the background is
clearly nearer. What no frame shows is painted by the field of ``filling``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from fieldscape.cameras import image_rays
from fieldscape.systems.tracks.blending import LEAST, MAPS, Blended, Blender, Stack, blend
from fieldscape.systems.tracks.config import SourceSettings
from fieldscape.systems.tracks.fetching import BANDS, Fetched, fetch
from fieldscape.systems.tracks.filling import Filling
from fieldscape.systems.tracks.footage import LATE, OWN, Footage, chosen, lateness, nearest_in_time, showing
from fieldscape.types import Camera, Rendered

MARGIN = 0.08
"""How much nearer than a mover, as a share, the background must be to hide it: a mover's distance is rough."""
SOFT = 0.02
"""Over how much of the logarithm of depth it comes to hide it."""


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
        stacks = stacked(footage, camera, when, painter.source, leave)
        layers = [_blended(painter.blender, stack) for stack in stacks]
        still = bool(stacks) and not stacks[0].mover
        behind = torch.zeros(3, camera.height * camera.width)
        missing = (layers[0].alpha < 1 - LEAST).nonzero().flatten() if still else torch.arange(behind.shape[1])
        if len(missing):
            directions = rays.directions.reshape(-1, 3)[missing].to(device)
            behind[:, missing] = painter.filling(camera.position.to(device), directions).cpu()
        if still:  # rather than the field, what the mesh carries over the border of its frame
            hinted = (layers[0].alpha > LEAST) & (layers[0].alpha < 1 - LEAST)
            behind[:, hinted] = layers[0].color[:, hinted]
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
    leave: int | None = None,
) -> list[Stack]:
    """What the sources show of each layer, the background first, then the movers, the farthest first."""
    usable = [i for i in range(len(footage.tracked.clip)) if i != leave]
    timely = nearest_in_time(footage, when, max(1, settings.around), usable)
    frames = chosen(footage, camera, when, settings, leave)
    found = _fetched(footage, camera, when, 0, frames)
    shown = torch.zeros(camera.height, camera.width)
    for _, one in found:
        shown = torch.maximum(shown, one.alpha)
    for _ in range(settings.spare):
        hole = shown < 0.5
        if float(hole.float().mean()) <= settings.hole:
            break
        more = showing(footage, camera, when, hole, [*frames, *([] if leave is None else [leave])])
        if more is None:
            break
        frames = [*frames, more]
        # A frame of another time fills what the others leave open; elsewhere it would show what has moved since.
        for frame, one in _fetched(footage, camera, when, 0, [more]):
            found.append((frame, replace(one, alpha=one.alpha * (1 - shown.clamp(max=1)))))
            shown = torch.maximum(shown, one.alpha)
    stacks = [_stack(footage, camera, when, found, mover=False)] if found else []
    movers = []
    for layer in footage.layers:
        if layer:
            found = _fetched(footage, camera, when, layer, timely)
            if found:
                stack = _stack(footage, camera, when, found, mover=True)
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
    """The layer: by the compiled kernel on a processor, by the network itself elsewhere."""
    device = blender.near.device
    if device.type == "cpu":
        return blend(blender, stack)
    found = blender(stack.to(device))
    return Blended(found.color.cpu(), found.alpha.cpu(), found.depth.cpu(), found.contrast.cpu())


def _fetched(footage: Footage, camera: Camera, when: float, layer: int, frames: list[int]) -> list[tuple[int, Fetched]]:
    found = []
    for frame in frames:
        for sheet in footage.sheets[frame]:
            if sheet.layer == layer:
                found.append((frame, fetch(footage.tracked, sheet, camera, when)))
    return found


def _stack(footage: Footage, camera: Camera, when: float, found: list[tuple[int, Fetched]], mover: bool) -> Stack:
    from fieldscape.kernels import fetching as kernel
    from fieldscape.kernels.exact import share

    high, wide = camera.height, camera.width
    color = np.empty((3, len(found), high * wide), np.float32)
    alpha, depth, far, stretch, apart = np.empty((5, len(found), high * wide), np.float32)
    lens = torch.cat([camera.focal, camera.center]).double().numpy()
    late = [lateness(footage, frame, when) for frame, _ in found]
    cuts = [round(i * high / BANDS) for i in range(BANDS + 1)]
    for number, (frame, one) in enumerate(found):
        maps = [x.contiguous().numpy() for x in (one.color, one.alpha, one.depth, one.far, one.stretch)]
        baseline = (camera.position.double() - footage.tracked.camera[frame].position.double()) @ camera.pose[
            :3, :3
        ].double()
        angle, square = (0.0, late[number] ** 2) if mover else (footage.angle, (LATE * late[number]) ** 2)
        given = (*maps, lens, baseline.numpy(), angle, square + OWN**2, LEAST, number)

        def work(part: int, given: tuple = given) -> None:
            kernel.gather(*given, color, alpha, depth, far, stretch, apart, cuts[part], cuts[part + 1])

        share(work, BANDS)
    parts = dict(zip(MAPS, (torch.from_numpy(x) for x in (color, alpha, depth, far, stretch, apart))))
    return Stack(
        parts["color"], parts["alpha"], parts["depth"], parts["far"], parts["stretch"], parts["apart"],
        torch.tensor(late), mover,
    )  # fmt: skip
