"""The layout of the scene representation networks' data (SRN), in which ShapeNet cars come: reading one object.

    <root>/<object>/rgb/NAME.png        or .jpg; any number of views
    <root>/<object>/pose/NAME.txt       16 numbers: camera-to-world by rows, OpenCV axes
    <root>/<object>/intrinsics.txt      first line ``f cx cy 0``, last line ``height width`` of the photos that f is for

The objects may also lie one folder deeper (``<root>/cars_train/<object>``). Many archives hold photos of another size
than their intrinsics are for, so f, cx and cy are divided by that size before they are used. Where the last line does
not say it (the published archive of 512 pixels), it is 2 cx x 2 cy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from fieldscape.data.photostack import area_mean
from fieldscape.errors import BadInput
from fieldscape.files import read_bytes, reason
from fieldscape.images import read_image

PHOTOS = (".png", ".jpg", ".jpeg")
MOST_VIEWS = 100_000
MOST_TEXT = 64 * 1024
"""Bytes of a pose or of intrinsics."""
ROTATION_TOLERANCE = 2e-3
"""How far R R^T may be from the identity; numbers written with four decimals stay below it."""


@dataclass(frozen=True)
class Lens:
    """What ``intrinsics.txt`` says, in units of the photo: focal length and centre over its width and height."""

    focal: tuple[float, float]
    center: tuple[float, float]


@dataclass(frozen=True)
class Sources:
    """The files of one object that are to be read, in order of name; all checked but the photos' pixels.

    folder: of the object.  names: of the views.  photos: their files.  poses: camera-to-world.
    """

    folder: Path
    names: tuple[str, ...]
    photos: tuple[Path, ...]
    poses: Float32[np.ndarray, "v 4 4"]
    lens: Lens


def sources(folder: Path, above: float | None = None) -> Sources:
    """The files of the object in ``folder``, judged before a pixel is decoded. above: see ``ObjectSettings``.

    Raises BadInput: no photos, photos and poses that do not belong together, poses that no camera has, intrinsics that
    cannot be used, or no view above ``above``.
    """
    photos, poses = _by_stem(folder / "rgb", PHOTOS), _by_stem(folder / "pose", (".txt",))
    if not photos:
        raise BadInput(f"{folder / 'rgb'} holds no photos (.png or .jpg); the object has no views.")
    if len(photos) > MOST_VIEWS:
        raise BadInput(f"{folder / 'rgb'} holds over {MOST_VIEWS:,} photos; an object has fewer.")
    if photos.keys() != poses.keys():
        lonely = sorted(photos.keys() ^ poses.keys())[0]
        missing = "pose" if lonely in photos else "photo"
        raise BadInput(
            f"{folder} has {len(photos)} photos and {len(poses)} poses that do not belong together: {lonely!r} has no "
            f"{missing}; add it, or remove its counterpart."
        )
    names = sorted(photos)
    matrices = np.stack([read_pose(poses[name]) for name in names])
    lens = read_intrinsics(folder / "intrinsics.txt")
    if above is not None:
        kept = np.nonzero(matrices[:, 2, 3] > above)[0]
        if not len(kept):
            raise BadInput(
                f"{folder}: no camera is higher than {above:g} (the highest is at {matrices[:, 2, 3].max():.3g}); "
                "lower --above."
            )
        names, matrices = [names[i] for i in kept], matrices[kept]
    return Sources(folder, tuple(names), tuple(photos[n] for n in names), matrices.astype(np.float32), lens)


def read_pose(path: Path) -> Float64[np.ndarray, "4 4"]:
    """The camera-to-world matrix in a file of 16 numbers.

    Raises BadInput: not 16 numbers, NaN, a last row other than 0 0 0 1, not a rotation, or a reflection.
    """
    values = _numbers(path)
    if len(values) != 16:
        raise BadInput(f"{path} holds {len(values)} numbers; a pose has 16 (a 4x4 matrix by rows).")
    pose = np.array(values).reshape(4, 4)
    if not np.isfinite(pose).all():
        raise BadInput(f"{path} holds NaN or infinity; remove this view or write its pose again.")
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-4:
        listed = " ".join(f"{value:g}" for value in pose[3])
        raise BadInput(f"{path}: the last row of a pose is 0 0 0 1, not {listed}; the matrix must be given by rows.")
    rotation = pose[:3, :3]
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > ROTATION_TOLERANCE:
        raise BadInput(f"{path} is not a rotation (R R^T is off by {error:.2g}); remove scale and shear from it.")
    if np.linalg.det(rotation) < 0:
        raise BadInput(
            f"{path} is a reflection (determinant -1), not a rotation: the axes are left-handed; negate one column."
        )
    return pose


def read_intrinsics(path: Path) -> Lens:
    """The lens of an object, in units of the size that the file says it is for.

    Raises BadInput: unreadable, without a focal length, or with a centre outside of that size.
    """
    lines = [line.split() for line in _text(path).splitlines() if line.strip()]
    if not lines or len(lines[0]) not in (3, 4):
        raise BadInput(f"{path}: the first line must be 'f cx cy 0'.")
    focal, x, y = _floats(lines[0], path)[:3]
    width, height = 2 * x, 2 * y
    if len(lines) > 1 and len(lines[-1]) == 2:
        height, width = _floats(lines[-1], path)
    if not all(np.isfinite((focal, x, y, width, height))) or min(focal, width, height) <= 0:
        raise BadInput(
            f"{path}: focal length and size must be positive numbers, not {focal:g}, {width:g} x {height:g}."
        )
    if not (0 < x < width and 0 < y < height):
        raise BadInput(
            f"{path} contradicts itself: its centre ({x:g}, {y:g}) is not inside photos of {width:g} x {height:g}; the "
            "last line must be the 'height width' that f, cx and cy are for."
        )
    return Lens((focal / width, focal / height), (x / width, y / height))


def read_photos(
    given: Sources, size: int | None
) -> tuple[UInt8[np.ndarray, "v h w 3"], Float32[np.ndarray, "v 2"], Float32[np.ndarray, "v 2"]]:
    """The photos of an object on white, ``size`` a side (None: as they are), focal lengths and centres in pixels.

    Of photos that are not square the middle is cut out when a size is asked for.

    Raises BadInput: a photo is unreadable, photos differ in size, or are smaller than ``size``.
    """
    stack, shape = list[np.ndarray](), None
    for path in given.photos:
        photo = read_image(path)
        if shape is not None and tuple(photo.shape[:2]) != shape:
            raise BadInput(
                f"{given.folder / 'rgb'} mixes sizes: {given.photos[0].name} has {shape[1]} x {shape[0]} pixels, "
                f"{path.name} {photo.shape[1]} x {photo.shape[0]}; all views of an object must have one."
            )
        shape = (photo.shape[0], photo.shape[1])
        if size is not None and min(shape) < size:
            raise BadInput(f"{path} has {shape[1]} x {shape[0]} pixels, fewer than --size {size}; ask for less.")
        stack.append(prepared(photo, size).numpy())
    height, width = shape or (0, 0)
    focal = np.array(given.lens.focal) * (width, height)
    center = np.array(given.lens.center) * (width, height)
    if size is not None:
        side = min(height, width)
        focal, center = focal * size / side, (center - ((width - side) // 2, (height - side) // 2)) * size / side
    repeat = np.ones((len(stack), 1), np.float32)
    return np.stack(stack), repeat * focal.astype(np.float32), repeat * center.astype(np.float32)


def prepared(photo: UInt8[Tensor, "h w c"], size: int | None) -> UInt8[Tensor, "i j 3"]:
    """A photo on white, RGB, its middle square reduced to ``size`` a side by the mean of areas.

    Transparency is composited before pixels are averaged, so nothing of a transparent pixel's colour shows.

    >>> half = torch.tensor([[[0, 0, 0, 255], [9, 9, 9, 0]], [[9, 9, 9, 0], [0, 0, 0, 255]]], dtype=torch.uint8)
    >>> prepared(half, 1)
    tensor([[[128, 128, 128]]], dtype=torch.uint8)
    """
    if photo.shape[-1] == 3 and (size is None or photo.shape[:2] == (size, size)):
        return photo
    color = photo.float()
    if photo.shape[-1] == 4:
        share = color[..., 3:] / 255
        color = color[..., :3] * share + 255 * (1 - share)
    color = color.expand(*photo.shape[:2], 3)
    if size is not None:
        height, width = photo.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        color = area_mean(color[top : top + side, left : left + side].contiguous(), size, size)
    return color.round().clamp(0, 255).to(torch.uint8)


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """The files in ``folder`` by name without suffix; empty where there is no such folder."""
    try:
        with os.scandir(folder) as items:
            names = [item.name for item in items if not item.name.startswith(".")]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadInput(f"Cannot read the folder {folder}: {reason(error)}.") from error
    found = dict[str, Path]()
    for name in sorted(names):
        path = Path(name)
        if path.suffix.lower() in suffixes:
            other = found.setdefault(path.stem, folder / name)
            if other.name != name:
                raise BadInput(f"{folder} holds {other.name} and {name}, two files for one view; remove one.")
    return found


def _numbers(path: Path) -> list[float]:
    return _floats(_text(path).split(), path)


def _floats(words: Sequence[str], path: Path) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise BadInput(f"{path} holds something that is not a number: {' '.join(words)[:60]!r}.") from error


def _text(path: Path) -> str:
    try:
        return read_bytes(path, MOST_TEXT).decode("ascii")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not a text file of numbers.") from error
