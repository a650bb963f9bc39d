"""Our own depth videos, as ``fieldscape make street`` writes them; the layout is told at ``worlds.layouts.own``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from fieldscape.data import fields
from fieldscape.data.depth.frames import Sequence, absent
from fieldscape.data.depth.making import color_of, depth_map
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import measured, numbered, read_png, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.files import read_json

FILE = "video.json"
SKY = 65535
PER_METRE = 1000


def find(path: Path) -> list[Path]:
    """The folders of videos: ``path`` itself, or those in it, or in its ``videos``."""
    for folder in (path / "videos", path):
        homes = sorted(entry.parent for entry in folder.glob(f"*/{FILE}") if (entry.parent / "depth").is_dir())
        if homes:
            return homes
    return [path] if (path / FILE).is_file() and (path / "depth").is_dir() else []


def read(home: Path, options: DepthOptions) -> Sequence:
    """One video. Its description is read with its first frame. Raises BadInput: no depth pictures."""
    depths = numbered(home / "depth")
    stems = tuple(depths)
    others = {what: numbered(home / what) for what in ("instance", "part", "rgb")}
    notes = [note for what, files in others.items() for note in absent(f"{home.name}, {what}", what, stems, files)]

    @cache
    def about() -> tuple[tuple[float, float, float, float], int, int, torch.Tensor, list[float]]:
        return _described(home / FILE, len(stems))

    def load(k: int) -> DepthMap:
        intrinsics, width, height, poses, times = about()
        stem = stems[k]
        steps = read_steps(depths[stem])
        if steps.shape != (height, width):
            raise BadInput(
                f"{depths[stem]} is {steps.shape[1]} x {steps.shape[0]} pixels, but {home / FILE} tells of {width} x"
                f" {height}; its intrinsics do not fit."
            )
        depth, sky = measured(steps, PER_METRE, SKY)
        part, instance = (others[what].get(stem) for what in ("part", "instance"))
        return depth_map(
            f"{home.name}/{stem}",
            depth,
            sky,
            intrinsics,
            str(home / FILE),
            times[k],
            poses[k].numpy(),
            instances=None if instance is None else _flat(instance),
            classes=None if part is None else _flat(part),
            color=color_of(others["rgb"].get(stem)) if options.color else None,
        )

    return Sequence(home.name, stems, load, tuple(notes))


def _flat(path: Path) -> np.ndarray:
    pixels = read_png(path)
    if pixels.ndim != 2:
        raise BadInput(f"{path} has {pixels.shape[2]} channels; one of numbers is expected.")
    return pixels


def _described(path: Path, count: int) -> tuple[tuple[float, float, float, float], int, int, torch.Tensor, list[float]]:
    record = fields.mapping(read_json(path), str(path))
    camera = fields.mapping(record.get("camera"), f"{path}: camera")
    numbers = []
    for name in ("focal", "center"):
        pair = fields.sequence(camera.get(name), f"{path}: camera.{name}")
        if len(pair) != 2:
            raise BadInput(f"{path}: camera.{name} holds {len(pair)} numbers where 2 are expected.")
        numbers += [fields.positive(value, f"{path}: camera.{name}") for value in pair]
    width, height = (fields.size(camera.get(name), f"{path}: camera.{name}") for name in ("width", "height"))
    poses = [fields.pose(pose, f"{path}: a pose") for pose in fields.sequence(camera.get("poses"), f"{path}: poses")]
    times = [fields.number(time, f"{path}: a time") for time in fields.sequence(record.get("times"), f"{path}: times")]
    if not len(poses) == len(times) == count:
        raise BadInput(
            f"{path} tells of {len(poses)} poses and {len(times)} times, but {path.parent / 'depth'} holds {count}"
            " pictures; the video is not whole."
        )
    fx, fy, cx, cy = numbers
    return (fx, fy, cx, cy), width, height, torch.stack(poses), times
