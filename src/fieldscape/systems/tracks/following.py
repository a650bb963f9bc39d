"""Points followed through a clip, forth and back, and seeded anew where holes open."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.progress import Bar
from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.nouns import Clip, Points
from fieldscape.systems.tracks.seeding import seeds, spacing
from fieldscape.systems.tracks.stepping import Moving, Picture, begun, picture, step


def follow_from(
    clip: Clip, frame: int, pixels: Float[Tensor, "n 2"], settings: FollowSettings
) -> tuple[Float[Tensor, "t n 2"], Bool[Tensor, "t n"]]:
    """The points at ``pixels`` of one frame in all frames: places (held where not seen) and whether they are seen."""
    pictures = ready(clip)
    layers = pictures[frame].layers
    where = pixels.double().numpy()
    width, height = clip.size
    layer = np.zeros(len(where), np.int64)
    if layers is not None:
        x, y = np.clip(where[:, 0].astype(int), 0, width - 1), np.clip(where[:, 1].astype(int), 0, height - 1)
        layer = layers[y, x].astype(np.int64)
    start = begun(pictures[frame], where, layer, 0)
    # Companions, which are not asked for: what a point's neighbours do helps to follow it.
    near = spacing(clip.size, settings)
    beside = begun(pictures[frame], *seeds(pictures[frame], start, near, settings), len(where))
    found = [(frame, start)]
    for way in (range(frame + 1, len(clip)), range(frame - 1, -1, -1)):
        moving, last = start.and_also(beside), frame
        for i in way:
            moving = step(pictures[last], pictures[i], moving, settings)
            found.append((i, moving.of(moving.number < len(where))))
            fresh = begun(pictures[i], *seeds(pictures[i], moving, near, settings), len(where))
            moving, last = moving.and_also(fresh), i
    points = gathered(len(clip), len(where), found, layer)
    return points.places, points.seen


def follow(clip: Clip, settings: FollowSettings, bar: Bar) -> Points:
    """Points of every layer through the clip: seeded in every frame where there are too few, followed both ways.

    A point is seen in consecutive frames; one that is lost and comes back is another point.
    """
    pictures = ready(clip)
    apart = spacing(clip.size, settings)
    count = 0
    layer: list[np.ndarray] = []
    found: list[tuple[int, Moving]] = []
    fresh: list[Moving] = []
    moving: Moving | None = None
    for i, seen in enumerate(pictures):
        if moving is not None:
            moving = step(pictures[i - 1], seen, moving, settings)
        places, layers = seeds(seen, moving, apart, settings)
        born = begun(seen, places, layers, count)
        count += len(born)
        layer.append(born.layer)
        fresh.append(born)
        moving = born if moving is None else moving.and_also(born)
        found.append((i, moving))
        bar.update(0.5 * (i + 1), points=len(moving))
    moving = fresh[-1]
    for i in range(len(clip) - 2, -1, -1):
        moving = step(pictures[i + 1], pictures[i], moving, settings)
        found.append((i, moving))
        moving = moving.and_also(fresh[i])
        bar.update(len(clip) - 0.5 * (i + 1), points=len(moving))
    points = gathered(len(clip), count, found, np.concatenate(layer))
    return points.of(points.seen.sum(0) >= settings.least)


def ready(clip: Clip) -> list[Picture]:
    frames = clip.frames.numpy()
    layers = None if clip.layers is None else clip.layers.numpy()
    cv2.setNumThreads(torch.get_num_threads())
    return [picture(frames[i], None if layers is None else layers[i]) for i in range(len(frames))]


def gathered(frames: int, count: int, found: list[tuple[int, Moving]], layer: np.ndarray) -> Points:
    """All that was found as one noun; where a point was not seen it keeps the place of the nearest frame it was in."""
    places = np.zeros((frames, count, 2), np.float32)
    seen = np.zeros((frames, count), bool)
    sure, known = np.zeros((frames, count), np.float32), np.zeros((frames, count), bool)
    for i, moving in found:
        places[i, moving.number] = moving.place
        seen[i, moving.number] = moving.sure > 0
        sure[i, moving.number] = moving.sure
        known[i, moving.number] = True
    index = np.arange(frames)[:, None]
    first = known.argmax(0)
    last = frames - 1 - known[::-1].argmax(0)
    held = np.clip(index, first, last)
    places = np.take_along_axis(places, held[..., None], 0)
    return Points(
        torch.from_numpy(places), torch.from_numpy(seen), torch.from_numpy(sure), torch.from_numpy(layer).long()
    )
