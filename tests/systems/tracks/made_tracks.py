"""A small clip with exact tracks, made of planes with a smooth pattern: a wall, a card before it that stands still, and
one that moves. Every pixel's colour and depth have a closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fieldscape.systems.tracks.nouns import Clip, Points, Tracked
from fieldscape.systems.tracks.timeline import camera_at
from fieldscape.types import Camera

FPS = 10.0


@dataclass(frozen=True)
class Stage:
    """What stands before the camera: a wall z = 4 + tilt x, a card at depth 2 whose left edge is at x = 0.1, and a
    card at depth 2.5 that moves to the right, whose middle is at ``start`` + ``speed`` times the seconds."""

    card: bool = False
    mover: bool = False
    tilt: float = 0.3
    start: float = -0.9
    speed: float = 0.8


def moving(stage: Stage, when: float) -> float:
    """Where the middle of the moving card is, along x."""
    return stage.start + stage.speed * when


def camera_of(seconds: Tensor, width: int, height: int) -> Camera:
    """Cameras that move to the right at 1 m/s and look ahead."""
    pose = torch.eye(4, dtype=torch.float64).repeat(len(seconds), 1, 1)
    pose[:, 0, 3] = seconds.double() - 0.25
    focal = torch.full((len(seconds), 2), 0.9 * width, dtype=torch.float64)
    center = torch.tensor([width / 2, height / 2], dtype=torch.float64).expand(len(seconds), 2)
    return Camera(pose, focal, center, width, height)


def pattern(x: Tensor, y: Tensor, kind: int) -> Tensor:
    """A smooth colour pattern, another for each surface."""
    shift = 1.7 * kind
    waves = [torch.sin(5 * x + 2 * y + shift + k) + torch.sin(3 * y - 4 * x + 2 * k + shift) for k in range(3)]
    tint = torch.tensor([0.15, 0.0, -0.15]).roll(kind)
    return (0.5 + 0.12 * torch.stack(waves, -1) + tint).clamp(0, 1)


def look(stage: Stage, camera: Camera, when: float) -> tuple[Tensor, Tensor, Tensor]:
    """The picture [h, w, 3], planar depth [h, w] and surface [h, w] (0 wall, 1 card, 2 mover) of a single camera."""
    y, x = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    dx, dy = (x - camera.center[0]) / camera.focal[0], (y - camera.center[1]) / camera.focal[1]
    px, py, pz = camera.pose[:3, 3]
    depth = (4 + stage.tilt * px - pz) / (1 - stage.tilt * dx)
    surface = torch.zeros_like(depth, dtype=torch.long)
    if stage.card:
        at = px + (2 - pz) * dx
        inside = (at > 0.1) & (at < 0.8) & ((py + (2 - pz) * dy).abs() < 0.45)
        depth, surface = torch.where(inside, 2 - pz, depth), torch.where(inside, 1, surface)
    if stage.mover:
        middle = moving(stage, when)
        inside = ((px + (2.5 - pz) * dx - middle).abs() < 0.35) & ((py + (2.5 - pz) * dy).abs() < 0.3)
        inside &= depth > 2.5 - pz
        depth, surface = torch.where(inside, 2.5 - pz, depth), torch.where(inside, 2, surface)
    wx, wy = px + depth * dx, py + depth * dy
    color = torch.stack([pattern(wx - (moving(stage, when) if k == 2 else 0), wy, k) for k in range(3)])
    return color.gather(0, surface[None, ..., None].expand(1, *surface.shape, 3))[0], depth, surface


def made_tracks(
    stage: Stage, frames: int = 6, width: int = 64, height: int = 48, count: int = 200, seed: int = 0
) -> Tracked:
    """The clip of a stage: ``count`` points for each surface, seen where they truly are."""
    generator = np.random.default_rng(seed)
    seconds = torch.arange(frames) / FPS
    camera = camera_of(seconds, width, height)
    looks = [look(stage, camera[t], float(seconds[t])) for t in range(frames)]
    clip = Clip(
        torch.stack([(x[0] * 255).round().to(torch.uint8) for x in looks]), seconds,
        torch.stack([(x[2] == 2).to(torch.uint8) for x in looks]), tuple(range(frames)), "made",
    )  # fmt: skip
    wall = np.stack([generator.uniform(-3.5, 3.5, 3 * count), generator.uniform(-2, 2, 3 * count)], 1)
    sets = [np.concatenate([wall, 4 + stage.tilt * wall[:, :1]], 1)]
    if stage.card:
        sets.append(np.stack([*generator.uniform([0.1, -0.45], [0.8, 0.45], (count, 2)).T, np.full(count, 2.0)], 1))
    if stage.mover:
        flat = generator.uniform([-0.35, -0.3], [0.35, 0.3], (count, 2))
        sets.append(np.stack([*flat.T, np.full(count, 2.5)], 1))
    still = torch.from_numpy(np.concatenate(sets))
    layer = torch.zeros(len(still), dtype=torch.long)
    world = still.repeat(frames, 1, 1)
    if stage.mover:
        layer[-count:] = 1
        world[:, -count:, 0] += torch.tensor([moving(stage, float(s)) for s in seconds])[:, None]
    places, seen = [], []
    for t in range(frames):
        local = world[t] - camera.pose[t, :3, 3]
        uv = local[:, :2] / local[:, 2:] * camera.focal[t] + camera.center[t]
        inside = ((uv > 0) & (uv < torch.tensor([width, height]))).all(1)
        cell = uv.long().clamp(min=0).minimum(torch.tensor([width - 1, height - 1]))
        there = looks[t][1][cell[:, 1], cell[:, 0]]
        places.append(uv)
        seen.append(inside & ((there - local[:, 2]).abs() < 0.2))
    points = Points(torch.stack(places).float(), torch.stack(seen), torch.stack(seen).float(), layer)
    return Tracked(clip, None, points, camera, "given", world, torch.ones(len(still), dtype=torch.bool))


def held(stage: Stage, tracked: Tracked, when: float) -> tuple[Camera, Tensor, Tensor]:
    """The camera at a time between frames, and the true picture and surfaces."""
    camera = camera_at(tracked.camera, tracked.clip.seconds, when)
    color, _, surface = look(stage, camera, when)
    return camera, color, surface
