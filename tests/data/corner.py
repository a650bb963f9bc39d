"""Photos of the corner of a room with noisy wallpaper, ray-cast in numpy, with true cameras.

The corner is where x, y and z are 0; walls and floor reach to 4. Cameras stand inside and look at the corner.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from fieldscape import cameras

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0


def wallpaper(seed: int, size: int = 800) -> np.ndarray:
    """Noise with detail at every scale, uint8 [size, size, 3]."""
    generator = np.random.default_rng(seed)
    picture = np.zeros((size, size, 3), np.float32)
    for octave in range(2, 9):
        noise = generator.standard_normal((2**octave, 2**octave, 3)).astype(np.float32)
        picture += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) * 0.8**octave
    picture = (picture - picture.mean()) / picture.std()
    return (128 + 50 * picture).clip(0, 255).astype(np.uint8)


def poses(count: int) -> torch.Tensor:
    """Camera-to-world poses on an arc around the corner, z up."""
    angle = torch.linspace(0.35, 1.2, count)
    eye = torch.stack([3 * angle.cos(), 3 * angle.sin(), 1.2 + 0.4 * (3 * angle).sin()], -1)
    target = torch.tensor([0.4, 0.4, 0.5]).expand(count, 3)
    return cameras.look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))


def photo(pose: torch.Tensor, papers: list[np.ndarray]) -> np.ndarray:
    """What a pinhole at ``pose`` sees, uint8 [HEIGHT, WIDTH, 3]; twice as fine, then averaged."""
    y, x = (np.mgrid[: 2 * HEIGHT, : 2 * WIDTH] + 0.5) / 2
    local = np.stack([(x - WIDTH / 2) / FOCAL, (y - HEIGHT / 2) / FOCAL, np.ones_like(x)], -1)
    rays, eye = local @ pose[:3, :3].numpy().T, pose[:3, 3].numpy()
    with np.errstate(divide="ignore"):
        t = np.where(rays < 0, -eye / rays, np.inf)
    wall = t.argmin(-1)
    hit = eye + rays * t.min(-1)[..., None]
    picture = np.zeros((*wall.shape, 3), np.uint8)
    for axis, paper in enumerate(papers):
        u, v = (hit[..., other].astype(np.float32) * 200 for other in range(3) if other != axis)
        seen = cv2.remap(paper, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        picture = np.where((wall == axis)[..., None], seen, picture)
    return cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def write(folder: Path, count: int = 8) -> torch.Tensor:
    """Writes the photos as ``00.png``, ... and returns the true poses."""
    folder.mkdir(parents=True, exist_ok=True)
    papers, true = [wallpaper(axis) for axis in range(3)], poses(count)
    for i, pose in enumerate(true):
        Image.fromarray(photo(pose, papers)).save(folder / f"{i:02d}.png")
    return true


def write_panorama(folder: Path, count: int = 5) -> None:
    """Photos from one place, the camera only turning: they hold no parallax."""
    papers = [wallpaper(axis) for axis in range(3)]
    angle = torch.linspace(0.55, 1.0, count)
    target = torch.stack([2 - 2 * angle.cos(), 2 - 2 * angle.sin(), torch.full((count,), 0.8)], -1)
    eye = torch.tensor([2.0, 2.0, 1.0]).expand(count, 3)
    for i, pose in enumerate(cameras.look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))):
        Image.fromarray(photo(pose, papers)).save(folder / f"{i:02d}.png")
