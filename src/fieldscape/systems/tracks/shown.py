"""What a run shows of itself while it learns and after: a frame drawn between two, the meshes, and the losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from fieldscape.images import contact_sheet, write_image
from fieldscape.runs import Run
from fieldscape.systems.tracks.footage import Footage
from fieldscape.systems.tracks.overlays import LEAST, layer_color, mesh_overlay, write_mesh_film
from fieldscape.systems.tracks.presets import Parts
from fieldscape.systems.tracks.timeline import camera_at

WIDE, HIGH = 640, 360
EDGE = 48
"""Pixels around the curves."""


def preview(run: Run, footage: Footage, parts: Parts) -> None:
    """The middle of the clip as it is and as drawn between frames, into ``previews/middle.png``."""
    tracked = footage.tracked
    middle = len(tracked.clip) // 2
    when = 0.5 * float(tracked.clip.seconds[middle - 1] + tracked.clip.seconds[middle])
    drawn = parts.look(camera_at(tracked.camera, tracked.clip.seconds, when), when)
    pictures = [tracked.clip.color(middle - 1), drawn.color, tracked.clip.color(middle)]
    sheet = contact_sheet([pictures], (), ("a frame", "between, as drawn", "the next frame"))
    write_image(run.preview_path("middle.png"), sheet)


def write_extras(run: Run, footage: Footage) -> None:
    """``mesh.mp4``, the meshes on the frames that they are of, and ``loss.png``, how learning went."""

    scale = max(1, -(-LEAST // footage.tracked.clip.size[0]))

    def pictures() -> Iterator[UInt8[Tensor, "h w 3"]]:
        for frame, sheets in zip(footage.tracked.clip.frames, footage.sheets):
            drawn = [sheet for sheet in sheets if len(sheet.faces)]
            large = frame.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
            places, faces = _even([scale * sheet.uv for sheet in drawn]), _even([sheet.faces for sheet in drawn])
            yield mesh_overlay(large, places, faces, [sheet.layer for sheet in drawn])

    write_mesh_film(run.path / "mesh.mp4", pictures(), footage.tracked.clip)
    write_image(run.path / "loss.png", loss_curves(run.metrics()))


def _even(tensors: list[Tensor]) -> list[Tensor]:
    """All as long as the longest, as ``mesh_overlay`` takes them: their last rows repeated."""
    longest = max((len(one) for one in tensors), default=0)
    return [torch.cat([one, one[-1:].expand(longest - len(one), -1)]) for one in tensors]


def loss_curves(lines: Sequence[dict[str, Any]]) -> UInt8[Tensor, "h w 3"]:
    """The losses of the stages over the steps, each between its own least and largest, which are written beside it."""
    picture = np.full((HIGH, WIDE, 3), 255, np.uint8)
    cv2.rectangle(picture, (EDGE, EDGE), (WIDE - EDGE, HIGH - EDGE), (200, 200, 200), 1)
    usable = [line for line in lines if {"step", "stage", "loss"} <= set(line) and math.isfinite(line["loss"])]
    steps = [line["step"] for line in usable]
    stages = list(dict.fromkeys(str(line["stage"]) for line in usable))
    for number, stage in enumerate(stages):
        mine = [(line["step"], line["loss"]) for line in usable if str(line["stage"]) == stage]
        low, high = min(loss for _, loss in mine), max(loss for _, loss in mine)
        across = [EDGE + (WIDE - 2 * EDGE) * (step - min(steps)) / max(max(steps) - min(steps), 1) for step, _ in mine]
        up = [HIGH - EDGE - (HIGH - 2 * EDGE) * (loss - low) / max(high - low, 1e-12) for _, loss in mine]
        # Darker than on photos, so that lines are seen on white.
        color = [0.7 * value for value in layer_color(number + 1)]
        line = np.stack([across, up], 1).round().astype(np.int32)
        cv2.polylines(picture, [line], False, color, 1, cv2.LINE_AA)
        cv2.circle(picture, line[-1].tolist(), 2, color, cv2.FILLED, cv2.LINE_AA)
        said = f"{stage}: {high:.4g} at most, {low:.4g} at least"
        place = (EDGE + number * (WIDE - 2 * EDGE) // max(len(stages), 1), EDGE - 12)
        cv2.putText(picture, said, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, color, 1, cv2.LINE_AA)
    if steps:
        said, place = f"steps {min(steps)} to {max(steps)}", (EDGE, HIGH - EDGE + 20)
        cv2.putText(picture, said, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
    return torch.from_numpy(picture)
