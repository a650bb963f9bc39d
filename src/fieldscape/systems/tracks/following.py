"""Points followed through a clip, forth and back, and seeded anew where holes open."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from fieldscape.progress import Bar
from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.nouns import Clip, Points
from fieldscape.systems.tracks.seeding import seeds, spacing
from fieldscape.systems.tracks.stepping import Moving, Picture, begun, picture, step

LARGE = 500
"""Pixels of the longer side; smaller clips are followed at twice their size, where a patch takes in less of what is
beside a point and its slopes are better known."""


def follow(clip: Clip, settings: FollowSettings, bar: Bar) -> Points:
    """Points of every layer through the clip: seeded in every frame where there are too few, followed both ways.

    A point is seen in consecutive frames, without gaps; one that is lost and comes back is another point. Where it is
    not seen it keeps the place of the nearest frame in which it is.
    """
    scale = 1 if max(clip.size) >= LARGE else 2
    pictures = enlarged(clip, scale)
    apart = scale * spacing(clip.size, settings)
    settings = replace(settings, back=scale * settings.back)
    found: list[tuple[int, Moving]] = []
    fresh: list[Moving] = []
    moving, count = nothing(pictures[0]), 0
    for i, seen in enumerate(pictures):
        if i:
            moving = step(pictures[i - 1], seen, moving, settings)
        places, layers = seeds(seen, moving, apart, settings)
        fresh.append(begun(seen, places, layers, count))
        count += len(places)
        moving = moving.and_also(fresh[i])
        found.append((i, moving))
        bar.update(0.5 * (i + 1), points=len(moving))
    moving = fresh[-1]
    for i in range(len(clip) - 2, -1, -1):
        moving = step(pictures[i + 1], pictures[i], moving, settings)
        found.append((i, moving))
        moving = moving.and_also(fresh[i])
        bar.update(len(clip) - 0.5 * (i + 1), points=len(moving))
    layer = np.concatenate([born.layer for born in fresh])
    return gathered(len(clip), layer, found, scale, settings.least)


def enlarged(clip: Clip, scale: int) -> list[Picture]:
    """The frames made ready, ``scale`` times as large."""
    cv2.setNumThreads(torch.get_num_threads())
    size = scale * clip.size[0], scale * clip.size[1]
    frames = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in clip.frames.numpy()]
    if clip.layers is None:
        return [picture(frame, None) for frame in frames]
    layers = [cv2.resize(one, size, interpolation=cv2.INTER_NEAREST) for one in clip.layers.numpy()]
    return [picture(frame, one) for frame, one in zip(frames, layers, strict=True)]


def nothing(seen: Picture) -> Moving:
    """No points."""
    return begun(seen, np.zeros((0, 2)), np.zeros(0, np.int64), 0)


def gathered(frames: int, layer: np.ndarray, found: list[tuple[int, Moving]], scale: float, least: int) -> Points:
    """All that was found, in pixels of the clip, of points that were seen in at least ``least`` frames."""
    count = len(layer)
    places = np.zeros((frames, count, 2), np.float32)
    sure = np.zeros((frames, count), np.float32)
    for i, moving in found:
        places[i, moving.number] = moving.place / scale
        sure[i, moving.number] = moving.sure
    seen = sure > 0
    kept = seen.sum(0) >= least
    places, sure, seen, layer = places[:, kept], sure[:, kept], seen[:, kept], layer[kept]
    first, last = seen.argmax(0), frames - 1 - seen[::-1].argmax(0)
    nearest = np.clip(np.arange(frames)[:, None], first, last)
    places = np.take_along_axis(places, nearest[..., None], 0)
    return Points(
        torch.from_numpy(places), torch.from_numpy(seen), torch.from_numpy(sure), torch.from_numpy(layer).long()
    )
