"""Cameras around a cloud of points, and the matches that perfect photos of it would give."""

from __future__ import annotations

from dataclasses import replace

import torch

from fieldscape import cameras
from fieldscape.data.matching import Matches
from fieldscape.types import Camera, Views

WIDTH, HEIGHT, FOCAL = 200, 160, 220.0


def ring(count: int = 18) -> Camera:
    """Cameras on a wavy part of a ring, 15 degrees apart, that look near the origin, each a little off."""
    angle = torch.arange(count) * 0.26
    eye = torch.stack([4 * angle.cos(), 4.4 * angle.sin(), 1.2 + 0.6 * (2.3 * angle).sin()], -1)
    target = torch.stack([0.3 * (3 * angle).sin(), 0.3 * (2 * angle).cos(), 0.2 * angle.sin()], -1)
    pose = cameras.look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))
    focal = torch.full((count, 2), FOCAL)
    center = torch.tensor([WIDTH / 2, HEIGHT / 2]).expand(count, 2).clone()
    return Camera(pose, focal, center, WIDTH, HEIGHT)


def cloud(count: int = 60, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) * 0.7


def matches(camera: Camera, points: torch.Tensor, noise: float = 0.1, reach: int = 3, seed: int = 1) -> Matches:
    """Where the points are seen by cameras up to ``reach`` places apart, with normal noise in pixels."""
    generator = torch.Generator().manual_seed(seed)
    first, second, at_first, at_second, pair, pairs = [], [], [], [], [], []
    seen = [cameras.project(camera[i], points) for i in range(len(camera))]
    size = torch.tensor([camera.width, camera.height])
    for i in range(len(camera)):
        for j in range(i + 1, min(i + reach + 1, len(camera))):
            both = torch.ones(len(points), dtype=torch.bool)
            for pixels, z in (seen[i], seen[j]):
                both &= (z > 0) & (pixels > 0).all(-1) & (pixels < size).all(-1)
            count = int(both.sum())
            if count < 16:
                continue
            first.append(torch.full((count,), i))
            second.append(torch.full((count,), j))
            at_first.append(seen[i][0][both] + noise * torch.randn(count, 2, generator=generator))
            at_second.append(seen[j][0][both] + noise * torch.randn(count, 2, generator=generator))
            pair.append(torch.full((count,), len(pairs)))
            pairs.append((i, j))
    return Matches(
        torch.cat(first), torch.cat(second), torch.cat(at_first), torch.cat(at_second), torch.cat(pair), tuple(pairs),
        len(camera),
    )  # fmt: skip


def views(camera: Camera, **more) -> Views:
    """Views with these cameras and black photos: the matches are made without looking at them."""
    count = len(camera)
    images = torch.zeros(count, camera.height, camera.width, 3, dtype=torch.uint8)
    names = tuple(f"photo_{i}.png" for i in range(count))
    return Views(camera, images, names, (0, 8), "every 8th", **more)


def turned(camera: Camera, degrees: float, seed: int = 2) -> Camera:
    """Each camera turned about a random axis of its own, by about this much."""
    axis = torch.randn(len(camera), 3, generator=torch.Generator().manual_seed(seed))
    x, y, z = torch.deg2rad(degrees * axis / axis.norm(dim=-1, keepdim=True)).unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    pose = camera.pose.clone()
    pose[:, :3, :3] = pose[:, :3, :3] @ torch.linalg.matrix_exp(skew)
    return replace(camera, pose=pose)
