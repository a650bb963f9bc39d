"""What the blending network and the filling field learn from: frames predicted from their neighbours without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import image_rays, pixel_rays
from fieldscape.metrics import WINDOW, ssim
from fieldscape.systems.tracks.blending import LEAST, Blender, Stack
from fieldscape.systems.tracks.config import BlendSettings, FillSettings, SourceSettings
from fieldscape.systems.tracks.filling import Filling
from fieldscape.systems.tracks.footage import Footage, without
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.picture import composed, stacked
from fieldscape.systems.tracks.timeline import camera_at

SMOOTH = 0.01
"""Differences of colour below this count by their square, above it as they are."""
MOST_CUTS = 160
"""Of a clip, so that long ones do not fill the memory; of a longer one still, one of each frame."""
UNSEEN = 0.1
"""What a pixel counts that no source shows."""


@dataclass(frozen=True)
class Lesson:
    """A cut of a frame: what its neighbours show of each layer there, what is behind, and what the frame shows."""

    stacks: tuple[Stack, ...]
    behind: Float[Tensor, "3 p"]
    truth: Float[Tensor, "h w 3"]


def lessons_of(
    footage: Footage,
    filling: Filling,
    source: SourceSettings,
    settings: BlendSettings,
    chance: torch.Generator,
    each: Callable[[int], bool],
) -> list[Lesson]:
    """Cuts of all frames but the first and the last, at places drawn from ``chance``.

    each: is told of each frame that is done, and says whether to go on.
    """
    lessons: list[Lesson] = []
    clip = footage.tracked.clip
    wide, high = clip.size
    settings = replace(settings, cuts=max(1, min(settings.cuts, MOST_CUTS // len(clip))))
    for frame in range(1, len(clip) - 1):
        when = float(clip.seconds[frame])
        known, leave = (without(footage, frame), None) if settings.blind else (footage, frame)
        camera = camera_at(known.tracked.camera, known.tracked.clip.seconds, when).map(lambda x: x.float())
        with torch.no_grad():
            directions = image_rays(camera).directions
            stacks = stacked(known, camera, when, source, leave)
            behind = filling(camera.position.to(filling.center), directions.reshape(-1, 3).to(filling.center))
        for rows, columns in cuts(high, wide, settings, chance):
            y, x = torch.meshgrid(torch.arange(*rows), torch.arange(*columns), indexing="ij")
            where = (y * wide + x).flatten()
            truth = clip.color(frame)[rows[0] : rows[1], columns[0] : columns[1]]
            parts = [stack.at(where) for stack in stacks]
            shown = tuple(part for k, part in enumerate(parts) if k == 0 or bool((part.alpha > LEAST).any()))
            lessons.append(Lesson(shown, behind[:, where].cpu(), truth))
        if not each(frame):
            break
    return lessons


def cuts(
    high: int, wide: int, settings: BlendSettings, chance: torch.Generator
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Rows and columns, first and end, of the cuts of one frame; the whole frame where that is no larger than all."""
    if high * wide <= settings.cuts * settings.cut**2:
        return [((0, high), (0, wide))]
    tall, broad = min(high, settings.cut), min(wide, settings.cut)
    places = []
    for _ in range(settings.cuts):
        top = int(torch.randint(high - tall + 1, (), generator=chance))
        left = int(torch.randint(wide - broad + 1, (), generator=chance))
        places.append(((top, top + tall), (left, left + broad)))
    return places


def blend_loss(blender: Blender, lesson: Lesson, structure: float) -> Float[Tensor, ""]:
    """How far the blended cut is from what the frame shows: Huber's loss and the dissimilarity of structure.

    What is shown by no source, or hardly, counts little: no blending can mend it.
    """
    high, wide = lesson.truth.shape[:2]
    device = blender.near.device
    layers = [blender(stack.to(device)) for stack in lesson.stacks]
    color, covered, _ = composed(layers, lesson.behind.to(device), high, wide)
    truth = lesson.truth.to(device).movedim(-1, 0)
    miss = (color - truth).abs()
    robust = torch.where(miss < SMOOTH, 0.5 * miss**2 / SMOOTH, miss - 0.5 * SMOOTH)
    weights = UNSEEN + (1 - UNSEEN) * covered.detach()
    loss = (robust.mean(0) * weights).sum() / weights.sum()
    if structure > 0 and min(high, wide) >= WINDOW:
        loss = loss + structure * 0.5 * (1 - ssim(color.movedim(0, -1), truth.movedim(0, -1)))
    return loss


def fill_loss(
    filling: Filling, tracked: Tracked, settings: FillSettings
) -> Callable[[torch.Generator], Float[Tensor, ""]]:
    """The loss of the filling field on pixels of the background, drawn anew at each call."""
    clip = tracked.clip
    wide, high = clip.size
    camera = tracked.camera.map(lambda x: x.float())

    def loss(chance: torch.Generator) -> Tensor:
        frame = torch.randint(len(clip), (settings.batch,), generator=chance)
        row = torch.randint(high, (settings.batch,), generator=chance)
        column = torch.randint(wide, (settings.batch,), generator=chance)
        rays = pixel_rays(camera[frame], torch.stack([column, row], -1) + 0.5)
        device = filling.center.device
        color = filling(rays.origins.to(device), rays.directions.to(device))
        truth = clip.frames[frame, row, column].to(device).float().T / 255
        counts = torch.ones(settings.batch, device=device)
        if clip.layers is not None:
            counts = (clip.layers[frame, row, column] == 0).float().to(device)
        return ((color - truth).abs().mean(0) * counts).sum() / counts.sum().clamp(min=1)

    return loss
