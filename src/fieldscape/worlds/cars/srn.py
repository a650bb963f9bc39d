"""Single objects on white in the layout of the scene representation networks' data (SRN), as ShapeNet cars come.

An object is scaled so that the diagonal of its bounding box is 1, its middle is the origin, z is up; cameras stand on a
sphere of radius 1.3 and look at the origin. A folder of an object holds ``rgb/000000.png``, ``pose/000000.txt`` (the
camera-to-world matrix in one row, OpenCV axes), ``intrinsics.txt``, and beyond the original ``mask/000000.png``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import look_at, project
from fieldscape.images import to_uint8, write_image
from fieldscape.types import Camera
from fieldscape.worlds.daylight import lit
from fieldscape.worlds.lights import Lights
from fieldscape.worlds.shading import Part, World, one_thread, render

RADIUS = 1.3
FOCAL = 525 / 512
"""In widths of the image."""
MOST_RANDOM_VIEWS = 100
STUDIO = Lights(
    sky=(0.92, 0.92, 0.93),
    ground=(0.5, 0.5, 0.5),
    sun=(1.0, 0.98, 0.94),
    sun_direction=(0.45, 0.35, 0.85),
    open_air=True,
)
"""Bright all around, so that no side is black; one soft sun, so that shapes read."""
EXPOSURE = 0.62
"""White paint in the sun stays a little below the white background, black paint stays black."""
WHITE = (1.0, 1.0, 1.0)


def random_eyes(count: int, rng: random.Random) -> Float[Tensor, "n 3"]:
    """Places on the sphere of radius 1.3, each as likely as any other, on both hemispheres."""
    places = []
    for _ in range(count):
        # Straight above and below, "up" means nothing: stay a hair's breadth away.
        z, turn = max(-0.9999, min(0.9999, rng.uniform(-1, 1))), rng.uniform(0, 2 * math.pi)
        ring = math.sqrt(1 - z * z)
        places.append((ring * math.cos(turn), ring * math.sin(turn), z))
    return RADIUS * torch.tensor(places, dtype=torch.float64)


def spiral_eyes(count: int) -> Float[Tensor, "n 3"]:
    """Places along a spiral from the top of the sphere to its bottom, each with the same share of the sphere.

    The azimuth grows evenly with the angle from the top (an Archimedean spiral); the spiral has so many turns that
    neighbouring turns are as far apart as neighbouring places on one.
    """
    z = 1 - (2 * torch.arange(count, dtype=torch.float64) + 1) / count
    polar = torch.acos(z)
    azimuth = 2 * polar * math.sqrt(math.pi * count) / 2
    ring = (1 - z**2).sqrt()
    return RADIUS * torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), z], -1)


def poses(count: int, way: str, rng: random.Random) -> Float[Tensor, "n 4 4"]:
    """Camera-to-world matrices that look at the origin, z up. way: "random", "spiral", or "auto": by their number."""
    if way == "auto":
        way = "random" if count <= MOST_RANDOM_VIEWS else "spiral"
    eyes = random_eyes(count, rng) if way == "random" else spiral_eyes(count)
    return look_at(eyes, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))


def camera(pose: Float[Tensor, "4 4"], size: int, scale: float = 1.0) -> Camera:
    """The SRN camera; ``scale``: how many units of the world one unit of the pose is."""
    moved = pose.clone()
    moved[:3, 3] *= scale
    return Camera(moved.float(), torch.full((2,), FOCAL * size), torch.full((2,), size / 2), size, size)


def intrinsics(size: int) -> str:
    """The content of ``intrinsics.txt``: f cx cy 0, the origin, the scale, height and width.

    >>> intrinsics(128).splitlines()
    ['131.250000 64.000000 64.000000 0.', '0. 0. 0.', '1.', '128 128']
    """
    return f"{FOCAL * size:.6f} {size / 2:.6f} {size / 2:.6f} 0.\n0. 0. 0.\n1.\n{size} {size}\n"


def studio(parts: Sequence[Part]) -> World:
    """The parts in studio light, all objects at the same exposure."""
    return replace(lit(parts, STUDIO, probes=200), exposure=EXPOSURE)


def view(world: World, seen: Camera) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Colour (sRGB 0..1, on white) and alpha of a world that lies in front of a camera.

    Only the window around the projected bounding box is rendered: around an object most of a picture is white.
    """
    low, high = world.mesh.vertices.amin(0), world.mesh.vertices.amax(0)
    corners = torch.cartesian_prod(*torch.stack([low, high], -1))
    pixels, _ = project(seen, corners)
    size = torch.tensor([seen.width, seen.height])
    first = (pixels.amin(0).floor().long() - 1).clamp(min=0).minimum(size - 1)
    last = (pixels.amax(0).ceil().long() + 1).minimum(size).maximum(first + 1)
    (left, top), (right, bottom) = first.tolist(), last.tolist()
    window = Camera(seen.pose, seen.focal, seen.center - first, right - left, bottom - top)
    photo = render(world, window, behind=WHITE)
    color, alpha = torch.ones(seen.height, seen.width, 3), torch.zeros(seen.height, seen.width)
    color[top:bottom, left:right], alpha[top:bottom, left:right] = photo.color, photo.alpha
    return color, alpha


@one_thread()
def write_object(folder: Path, world: World, diagonal: float, views: Float[Tensor, "n 4 4"], size: int) -> None:
    """Writes all views of a world whose bounding box has this ``diagonal`` and the origin as its middle."""
    for part in ("rgb", "pose", "mask"):
        (folder / part).mkdir(parents=True)
    (folder / "intrinsics.txt").write_text(intrinsics(size))
    for index, pose in enumerate(views):
        color, alpha = view(world, camera(pose, size, diagonal))
        name = f"{index:06d}"
        write_image(folder / "rgb" / f"{name}.png", to_uint8(color))
        write_image(folder / "mask" / f"{name}.png", to_uint8(alpha))
        row = " ".join(f"{value + 0.0:.10g}" for value in pose.flatten().tolist())  # + 0.0: no minus before a zero
        (folder / "pose" / f"{name}.txt").write_text(row + "\n")
