"""Cameras and points that tests start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fieldscape.systems.tracks.nouns import Clip, Points
from fieldscape.systems.tracks.survey import Sightings, Survey, misses, turned

WIDTH, HEIGHT = 320, 180


def survey(frames: int = 12, points: int = 150, step: float = 0.06, turn: float = 0.01, seed: int = 0) -> Survey:
    """A camera of focal length 300 on a smooth path past points 3 to 9 away. step, turn: a frame, roughly."""
    draw = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)[:, None]
    place = frames * step * (time * [1.0, 0.1, 0.2] + 0.2 * np.sin(3 * time) * [0, 1.0, 0.5])
    rotation = turned(frames * turn * (time * [0.1, 1.0, 0.05] + 0.1 * np.sin(4 * time)))
    rotation, place = rotation[0].T @ rotation, (place - place[0]) @ rotation[0]
    depth = draw.uniform(3, 9, points)
    # Spread over what the middle camera sees.
    pixel = draw.uniform([20, 20], [WIDTH - 20, HEIGHT - 20], (points, 2))
    local = np.column_stack([(pixel - [WIDTH / 2, HEIGHT / 2]) / 300, np.ones(points)]) * depth[:, None]
    middle = frames // 2
    point = local @ rotation[middle].T + place[middle]
    far = np.linalg.norm(point, axis=1)
    return Survey(rotation, place, 300.0, np.array([WIDTH / 2, HEIGHT / 2]), point / far[:, None], 1 / far)


def seen(truth: Survey, noise: float = 0.0, seed: int = 1) -> Sightings:
    """Every point in every frame, sorted by point; noise in pixels."""
    t, n = truth.frames, truth.points
    point, frame = np.divmod(np.arange(t * n), t)
    exact = Sightings(frame, point, np.zeros((t * n, 2)), np.ones(t * n))
    pixel = misses(truth, exact)
    return replace(exact, pixel=pixel + noise * np.random.default_rng(seed).normal(size=pixel.shape))


def points_of(truth: Survey, noise: float = 0.0, layer: int = 0) -> Points:
    """The sightings as tracked points; where one is outside of the picture it is not seen."""
    t, n = truth.frames, truth.points
    places = torch.from_numpy(seen(truth, noise).pixel.reshape(n, t, 2).transpose(1, 0, 2).copy()).float()
    inside = ((places > 0) & (places < torch.tensor([WIDTH, HEIGHT]))).all(-1)
    return Points(places, inside, inside.float(), torch.full((n,), layer))


def clip_of(frames: int, layers: torch.Tensor | None = None) -> Clip:
    """Frames without content."""
    blank = torch.zeros(frames, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    return Clip(blank, torch.arange(frames) / 25.0, layers, tuple(range(frames)), "made")
