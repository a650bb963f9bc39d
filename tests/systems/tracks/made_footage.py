"""A small clip with exact truth: a textured wall, a camera that goes sideways, and if wanted a square that moves."""

from __future__ import annotations

import torch
from torch import Tensor

from fieldscape.cameras import project
from fieldscape.images import to_uint8
from fieldscape.systems.tracks.footage import Footage, footage_of
from fieldscape.systems.tracks.mesh_settings import MeshSettings
from fieldscape.systems.tracks.nouns import Clip, Kind, Points, Tracked
from fieldscape.systems.tracks.sheets import sheets_of
from fieldscape.types import Camera

WIDE, HIGH, FOCAL = 48, 36, 40.0
SPEED = 0.05
"""How far the camera goes between frames, to the right; the wall is 2 away, so a frame shifts by a pixel."""


def wall(x: Tensor, y: Tensor) -> Tensor:
    """Smooth colours of the wall's places."""
    waves = [0.3 * torch.sin(5 * x), 0.3 * torch.sin(4 * y + x), 0.2 * torch.cos(3 * x - 4 * y)]
    return 0.5 + torch.stack(waves, -1)


def camera_at_place(x: float) -> Camera:
    pose = torch.eye(4)
    pose[0, 3] = x
    return Camera(pose, torch.full((2,), FOCAL), torch.tensor([WIDE / 2, HIGH / 2]), WIDE, HIGH)


def photo(x: float) -> Tensor:
    """What the camera sees of the wall from a place, [HIGH, WIDE, 3]."""
    rows, columns = torch.meshgrid(torch.arange(HIGH) + 0.5, torch.arange(WIDE) + 0.5, indexing="ij")
    return wall(x + 2 * (columns - WIDE / 2) / FOCAL, 2 * (rows - HIGH / 2) / FOCAL)


def mover_mask(frame: int) -> Tensor:
    """Where the square is, which goes two pixels to the right a frame."""
    mask = torch.zeros(HIGH, WIDE, dtype=torch.bool)
    mask[14:24, 8 + 2 * frame : 18 + 2 * frame] = True
    return mask


def made_tracked(frames: int = 7, mover: bool = False, still: bool = False) -> Tracked:
    """The clip followed exactly, 10 frames a second. still: the camera does not move."""
    places = [0.0 if still else SPEED * i for i in range(frames)]
    pictures = torch.stack([photo(x) for x in places])
    layers = torch.zeros(frames, HIGH, WIDE, dtype=torch.uint8)
    y, x = torch.meshgrid(torch.linspace(-1.2, 1.2, 9), torch.linspace(-1.6, 2.2, 14), indexing="ij")
    world = torch.stack([x.flatten(), y.flatten(), torch.full_like(x.flatten(), 2.0)], -1).expand(frames, -1, 3)
    layer = torch.zeros(world.shape[1], dtype=torch.long)
    camera = Camera(
        torch.stack([camera_at_place(x).pose for x in places]), torch.full((frames, 2), FOCAL),
        torch.tensor([WIDE / 2, HIGH / 2]).expand(frames, 2), WIDE, HIGH,
    )  # fmt: skip
    if mover:
        own = []
        for i in range(frames):
            mask = mover_mask(i)
            pictures[i][mask] = torch.tensor([0.9, 0.1, 0.1])
            layers[i][mask] = 1
            v, u = torch.meshgrid(torch.linspace(14.5, 23.5, 4), 2 * i + torch.linspace(8.5, 17.5, 4), indexing="ij")
            own.append(torch.stack([
                1.5 * (u.flatten() - WIDE / 2) / FOCAL + places[i], 1.5 * (v.flatten() - HIGH / 2) / FOCAL,
                torch.full((16,), 1.5),
            ], -1))  # fmt: skip
        world = torch.cat([world, torch.stack(own)], 1)
        layer = torch.cat([layer, torch.ones(16, dtype=torch.long)])
    seen, pixels = [], []
    for i in range(frames):
        place, z = project(camera[i], world[i])
        within = (place > 0).all(-1) & (place < torch.tensor([WIDE, HIGH])).all(-1)
        at = place.long().clamp(min=0).minimum(torch.tensor([WIDE - 1, HIGH - 1]))
        seen.append(within & (layers[i, at[:, 1], at[:, 0]] == layer) & (z > 0))
        pixels.append(place)
    points = Points(torch.stack(pixels), torch.stack(seen), torch.stack(seen).float(), layer)
    clip = Clip(to_uint8(pictures), torch.arange(frames) / 10, layers if mover else None, tuple(range(frames)), "made")
    kind: Kind = "tripod" if still else "given"
    return Tracked(clip, None, points, camera, kind, world.contiguous(), torch.ones(world.shape[1], dtype=torch.bool))


def made_footage(frames: int = 7, mover: bool = False, still: bool = False) -> Footage:
    tracked = made_tracked(frames, mover, still)
    return footage_of(tracked, sheets_of(tracked, MeshSettings()))
