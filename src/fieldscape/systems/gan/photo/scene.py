"""Scenes of one photo: written into a run folder, and rebuilt from it alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import cameras
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.scenes import Scene, SceneFiles, write_scene
from fieldscape.systems.gan.photo import box as boxes
from fieldscape.systems.gan.photo import layers as sheets
from fieldscape.systems.gan.photo.box import Box
from fieldscape.systems.gan.photo.draw import Textured, draw
from fieldscape.systems.gan.photo.layers import Layers, Sheet
from fieldscape.types import Camera, Rendered

Draw = Callable[[Camera, Mapping[str, float]], Rendered]

KIND = "photo"
YAW = 12.0
"""Degrees that a fly-through turns to each side."""
DOLLY = 0.4
"""Metres that it goes ahead and back."""
UP = (0.0, 0.0, 1.0)
_ROOM = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
"""A room's axes (x right, y down, z ahead) as columns in the world (z up)."""


def room_pose(eye: float) -> Float[Tensor, "4 4"]:
    """From the axes of a room whose origin is a camera ``eye`` metres over the floor, to the world."""
    pose = torch.eye(4)
    pose[:3, :3], pose[2, 3] = torch.tensor(_ROOM), eye
    return pose


def camera_pose(rotation: Float[np.ndarray, "3 3"], eye: float) -> Float[Tensor, "4 4"]:
    """The pose in the world of a camera whose axes in the room are the columns of ``rotation``."""
    pose = room_pose(eye)
    pose[:3, :3] = pose[:3, :3] @ torch.from_numpy(np.ascontiguousarray(rotation)).float()
    return pose


def flight(start: Camera, pivot: float, near: float, frames: int) -> Camera:
    """Once around and back to ``start``, which is the first of the cameras: yaw to both sides, a dolly ahead and back.

    The cameras turn about the point ``pivot`` metres ahead. near: what the camera must not run into, in metres ahead.
    """
    center = (start.position + pivot * start.forward).double()
    pose, ahead = start.pose.double(), min(DOLLY, 0.4 * near)
    poses = []
    for k in range(frames):
        turn = math.radians(YAW) * math.sin(2 * math.pi * k / frames)
        cos, sin = math.cos(turn), math.sin(turn)
        rotation = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
        moved = torch.eye(4, dtype=torch.float64)
        moved[:3, :3] = rotation @ pose[:3, :3]
        moved[:3, 3] = center + rotation @ (pose[:3, 3] - center)
        moved[:3, 3] += ahead * (1 - math.cos(2 * math.pi * k / frames)) / 2 * moved[:3, 2]
        poses.append(moved)
    return dataclasses.replace(cameras.stack([start] * frames), pose=torch.stack(poses).to(start.pose))


def reach(pivot: float) -> float:
    """How far aside a flight's cameras go, in metres."""
    return pivot * math.sin(math.radians(YAW)) + 0.1


def framing_of(start: Camera, pivot: float, depth: Float[Tensor, "h w"]) -> Framing:
    """Of what the photo shows, with the point that it is best looked at from about."""
    away = cameras.image_rays(start)
    points = (away.origins + depth[..., None] * away.directions).reshape(-1, 3)
    low, high = (
        points.quantile(q, dim=0) if len(points) < 1_000_000 else points[::16].quantile(q, dim=0) for q in (0.02, 0.98)
    )
    center = start.position + pivot * start.forward
    near = max(0.05, 0.3 * float(depth.min()))
    return Framing(center, low, high, near, 2 * float(depth.max()), torch.tensor(UP), unbounded=True)


def write_box(folder: Path, textures: dict[str, Tensor], box: Box, eye: float, start: Camera, around: Around) -> None:
    """Write the scene of a room box. Raises BadInput if it cannot be written."""
    numbers = {name: float(getattr(box, name)) for name in ("focal", "left", "right", "top", "bottom")}
    details = {"kind": KIND, "engine": "box", "box": numbers, "rotation": box.rotation.tolist(), "eye": eye}
    tensors = {f"plane.{name}": texture for name, texture in textures.items()}
    write_scene(folder, "gan", tensors, details, around.cameras, start, around.framing)


def write_layers(folder: Path, layers: Layers, start: Camera, around: Around) -> None:
    """Write the scene of a layered photo. Raises BadInput if it cannot be written."""
    tensors: dict[str, Tensor] = {}
    details: dict[str, object] = {}
    for name, sheet in _named(layers):
        tensors |= {f"{name}.color": sheet.color, f"{name}.nearness": sheet.nearness, f"{name}.there": sheet.there}
        details[name] = {"corner": list(sheet.corner), "scale": sheet.scale}
    record = {"kind": KIND, "engine": "depth", "sheets": details}
    write_scene(folder, "gan", tensors, record, around.cameras, start, around.framing)


@dataclasses.dataclass(frozen=True)
class Around:
    """Where to look from and at: some cameras of the fly-through, the photo's first, and the framing."""

    cameras: Camera
    framing: Framing


def rebuild(files: SceneFiles, device: torch.device) -> Scene:
    """The Scene of what was written; it is drawn on the CPU. Raises BadInput where the files do not fit each other."""
    try:
        shape = _mesh(files)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise BadInput(
            f"the scene's description and its tensors do not fit each other ({error}): make it again"
        ) from error
    return Scene("gan", drawing(shape, files.start), files.start, files.cameras, files.framing)


def drawing(shape: Textured, photo: Camera) -> Draw:
    """How a scene draws: with more samples a pixel where the picture is coarser than the photo."""

    def drawn(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        there = camera.to("cpu")
        coarser = float(photo.focal[0] / there.focal[0])
        return draw(shape, there, 2 if coarser <= 1.25 else min(4, 1 + math.ceil(coarser)))

    return drawn


def _mesh(files: SceneFiles) -> Textured:
    details: dict[str, Any] = files.details
    tensors = files.tensors
    if details["engine"] == "box":
        rotation = np.array(details["rotation"], float)
        box = Box(
            rotation, **{name: float(details["box"][name]) for name in ("focal", "left", "right", "top", "bottom")}
        )
        textures = {name: tensors[f"plane.{name}"] for name in boxes.PLANES}
        return boxes.as_mesh(textures, box, float(details["eye"]), room_pose(float(details["eye"])))
    made = []
    for name in ("front", "hidden", "backdrop"):
        about = details["sheets"][name]
        color, nearness, there = (tensors[f"{name}.{part}"] for part in ("color", "nearness", "there"))
        if color.shape[:2] != nearness.shape or there.shape != nearness.shape:
            raise ValueError(f"the sheet {name} has parts of different sizes")
        x, y = (float(value) for value in about["corner"])
        made.append(Sheet(color, nearness, there, (x, y), float(about["scale"])))
    return sheets.as_mesh(Layers(*made), files.start)


def _named(layers: Layers) -> list[tuple[str, Sheet]]:
    return [("front", layers.front), ("hidden", layers.hidden), ("backdrop", layers.backdrop)]
