"""From arrays and text files to a ``DepthMap``: what all readers share."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor

from fieldscape.cameras import require_valid_poses
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.files import read_bytes
from fieldscape.images import read_image
from fieldscape.types import Camera

Array = np.ndarray

MAX_TEXT = 2**26
"""Bytes of a text file of poses or of names."""

TO_CENTRES = 0.5
"""Added to a principal point that counts from the centre of the first pixel: ours counts from its corner."""

_LEAST, _MOST = 0.3, 0.7
"""A principal point nearer to the edge than this share of the picture is that of another size."""


def depth_map(
    name: str,
    depth: Float[Array, "h w"],
    sky: Bool[Array, "h w"],
    intrinsics: tuple[float, float, float, float],
    where: str,
    time: float,
    pose: Float[Array, "4 4"] | None = None,
    instances: Integer[Array, "_ _"] | None = None,
    classes: Integer[Array, "_ _"] | None = None,
    color: UInt8[Tensor, "_ _ 3"] | None = None,
) -> DepthMap:
    """The record; ``intrinsics``: fx, fy, cx, cy by OUR convention (corner of the picture is 0); ``where``: their file.

    Depth 0 is unknown. Raises BadInput: depth with NaN, infinite or negative; intrinsics that are none for this size;
    a pose that is none; labels or colour of another size.
    """
    height, width = depth.shape
    if not np.isfinite(depth).all():
        count = int((~np.isfinite(depth)).sum())
        raise BadInput(f"The depth of {name} holds NaN or infinity ({count} pixels); write 0 where it is unknown.")
    if (depth < 0).any():
        raise BadInput(
            f"The depth of {name} is negative at {int((depth < 0).sum())} pixels; depth is z before a camera."
        )
    for what, other in (("labels", instances), ("labels", classes), ("colour", color)):
        if other is not None and tuple(other.shape[:2]) != (height, width):
            size = f"{other.shape[1]} x {other.shape[0]}"
            raise BadInput(f"The {what} of {name} are {size} pixels and its depth {width} x {height}; they must agree.")
    known = torch.from_numpy(np.ascontiguousarray(depth, np.float32))
    above = torch.from_numpy(np.ascontiguousarray(sky))
    return DepthMap(
        name=name,
        depth=torch.where(above, 0, known),
        valid=(known > 0) & ~above,
        sky=above,
        camera=pinhole(intrinsics, width, height, where, pose, name),
        posed=pose is not None,
        time=float(time),
        instances=None if instances is None else torch.from_numpy(instances.astype(np.int64)),
        classes=None if classes is None else torch.from_numpy(classes.astype(np.int64)),
        color=color,
    )


def pinhole(
    intrinsics: tuple[float, float, float, float],
    width: int,
    height: int,
    where: str,
    pose: Float[Array, "4 4"] | None,
    name: str,
) -> Camera:
    """A camera from (fx, fy, cx, cy) by our convention. Raises BadInput where they cannot be those of this size."""
    fx, fy, cx, cy = intrinsics
    if not all(math.isfinite(x) for x in intrinsics) or fx <= 0 or fy <= 0:
        raise BadInput(f"The intrinsics in {where} are {fx:g} {fy:g} {cx:g} {cy:g}; focal lengths are above zero.")
    inside = _LEAST * width <= cx <= _MOST * width and _LEAST * height <= cy <= _MOST * height
    if not inside or not (0.1 * width < fx < 20 * width and 0.1 * height < fy < 20 * height):
        raise BadInput(
            f"The intrinsics in {where} (focal {fx:g} {fy:g}, principal point {cx:g} {cy:g}) do not fit the depth of"
            f" {name}, which is {width} x {height} pixels; scale them to that size."
        )
    matrix = torch.eye(4) if pose is None else torch.from_numpy(np.asarray(pose, np.float64))
    if pose is not None:
        require_valid_poses(matrix[None], [name], where)
    return Camera(matrix.float(), torch.tensor([fx, fy]).float(), torch.tensor([cx, cy]).float(), width, height)


def given(intrinsics: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Intrinsics that count from the centre of the first pixel, by our convention.

    >>> given((525.0, 525.0, 319.5, 239.5))
    (525.0, 525.0, 320.0, 240.0)
    """
    fx, fy, cx, cy = intrinsics
    return fx, fy, cx + TO_CENTRES, cy + TO_CENTRES


def color_of(path: Path | None) -> UInt8[Tensor, "h w 3"] | None:
    """The picture at ``path`` in three channels. Raises BadInput as ``images.read_image``."""
    if path is None:
        return None
    pixels = read_image(path)
    return pixels[..., :3] if pixels.shape[-1] >= 3 else pixels.expand(-1, -1, 3).contiguous()


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that are neither empty nor comments. Raises BadInput: unreadable, huge or no text."""
    try:
        text = read_bytes(path, MAX_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not a text file (byte {error.start} is not UTF-8).") from error
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def numbers_of(words: list[str], where: str, count: int | None = None) -> list[float]:
    """``words`` as ``count`` finite numbers. Raises BadInput that says ``where`` they stand."""
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise BadInput(f"{where} holds {' '.join(words)[:60]!r} where numbers are expected.") from error
    if count is not None and len(values) != count:
        raise BadInput(f"{where} holds {len(values)} numbers where {count} are expected.")
    if not all(abs(value) < 1e15 for value in values):
        raise BadInput(f"{where} holds a number that is NaN, infinite or absurdly large.")
    return values


def matrix_of(path: Path, rows: int) -> Float[Array, "r r"]:
    """A square matrix that stands in a text file of its own. Raises BadInput where there is none."""
    words = " ".join(lines_of(path)).replace(",", " ").split()
    return np.array(numbers_of(words, str(path), rows * rows)).reshape(rows, rows)
