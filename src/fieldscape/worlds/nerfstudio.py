"""Posed photos with depth in nerfstudio's layout: ``images/``, ``depth/``, and ``transforms.json`` (OpenGL axes)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fieldscape.cameras import flip_yz
from fieldscape.types import Camera

MILLIMETRE = 0.001


def write_depth(path: Path, planar: Float[Tensor, "h w"], unit: float = MILLIMETRE) -> None:
    """Planar depth in metres as a PNG of 16 bits, in whole ``unit`` metres; 0 where nothing is known (0)."""
    steps = torch.where(planar > 0, (planar / unit).round().clamp(1, 65535), 0)
    Image.fromarray(steps.int().numpy().astype("uint16")).save(path)


def transforms(
    camera: Camera,
    names: Sequence[str],
    held_out: Collection[int] | None,
    unit: float = MILLIMETRE,
    times: Sequence[float] | None = None,
) -> dict[str, object]:
    """What ``transforms.json`` says of the photos ``names``, which share a lens; lengths are metres.

    held_out: which are kept from training; None: not said.  unit: of the depth images, in metres.
    times: of the photos, in seconds.
    """
    poses = flip_yz(camera.pose)
    frames: list[dict[str, object]] = [
        {
            "file_path": f"images/{name}",
            "depth_file_path": f"depth/{name}",
            "transform_matrix": poses[index].tolist(),
        }
        for index, name in enumerate(names)
    ]
    if times is not None:
        frames = [{**frame, "time": time} for frame, time in zip(frames, times, strict=True)]
    (fx, fy), (cx, cy) = camera.focal[0].tolist(), camera.center[0].tolist()
    about: dict[str, object] = {
        "camera_model": "OPENCV",
        "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": camera.width, "h": camera.height,
        "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0,
        "metric": True,
        "depth_unit_scale_factor": unit,
    }  # fmt: skip
    if held_out is not None:
        about["train_filenames"] = [f"images/{name}" for i, name in enumerate(names) if i not in held_out]
        about["test_filenames"] = [f"images/{name}" for i, name in enumerate(names) if i in held_out]
    return {**about, "frames": frames}
