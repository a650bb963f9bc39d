"""Reader of the LLFF layout: ``poses_bounds.npy`` beside ``images/`` (or ``images_4/``), and perhaps ``masks/``.

Each row of the array holds a 3x5 matrix, row by row, then the near and far z-depth of the view. The columns of the
matrix are the camera's down, right and backward axes, its position, and (height, width, focal length).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import cameras
from fieldscape.data.assembly import assemble, every_nth, scaled_camera
from fieldscape.data.layers import load_maps, with_alpha
from fieldscape.data.options import ReadOptions
from fieldscape.data.photostack import Progress, common_size, load, photo_files, reduced_size
from fieldscape.data.untrusted import finite, read_npy
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Views

FILE = "poses_bounds.npy"

MAX_BYTES = 17 * 8 * 1_000_000
"""A million views."""


def read(path: Path, options: ReadOptions, progress: Progress | None = None) -> Views:
    """The views of the folder in order of name; with ``masks/`` the photos get the masks as alpha.

    Raises BadInput: the array and the photos do not agree in number or aspect ratio, a mask is missing, values out of
    range, or see ``photostack`` and ``assembly``.
    """
    rows = read_npy(path / FILE, MAX_BYTES)
    where = str(path / FILE)
    if rows.ndim != 2 or rows.shape[1] != 17 or rows.dtype.kind != "f":
        raise BadInput(f"{where} holds {rows.dtype} {rows.shape}; floats [views, 17] are needed.")
    photos = _photos(path)
    if len(photos) != len(rows):
        raise BadInput(
            f"{where} has {len(rows)} poses, but {photos[0].parent} has {len(photos)} photos; poses carry no names, so"
            " there must be one for each photo, in order of name."
        )
    size = common_size(photos)
    small = reduced_size(*size, options.downscale)
    names = tuple(photo.name for photo in photos)
    camera = cameras.resize(_camera(rows, names, size, where), *small)
    images = load(photos, options.downscale, progress)
    notes = []
    if (path / "masks").is_dir():
        images = with_alpha(images, _masks(path / "masks", photos), size)
        notes.append("masks/ cuts the object out: what it blackens is transparent")
    held_out, split = every_nth(names, options)
    relative = [photo.relative_to(path).as_posix() for photo in photos]
    views = Views(
        camera,
        images,
        names,
        held_out,
        split,
        maps=load_maps(path, relative, options.channels, size, options.downscale) if options.channels else None,
        bounds=_bounds(rows, names, where),
        notes=tuple(notes),
    )
    return assemble(views, options, where)


def _camera(rows: np.ndarray, names: tuple[str, ...], size: tuple[int, int], where: str) -> Camera:
    """The cameras of all views, scaled from the size the array states to that of the photos."""
    table = torch.from_numpy(rows[:, :15].astype(np.float64)).reshape(-1, 3, 5)
    finite(table[:, :, 4], "height, width or focal length", where)
    down, right, backward, position, (height, width, focal) = (
        table[:, :, 0], table[:, :, 1], table[:, :, 2], table[:, :, 3], table[:, :, 4].T,
    )  # fmt: skip
    if bool((height != height[0]).any() or (width != width[0]).any()):
        raise BadInput(f"{where} states several image sizes; all views must share one.")
    if not (1 <= float(height[0]) < 1e6 and 1 <= float(width[0]) < 1e6):
        raise BadInput(f"{where} states images of {float(width[0]):g} x {float(height[0]):g} pixels.")
    if bool((focal <= 0).any()):
        name = names[int((focal <= 0).nonzero()[0])]
        raise BadInput(f"{where}: the focal length of {name} is {float(focal.min()):g}; it must be above zero.")
    pose = torch.eye(4, dtype=torch.float64).repeat(len(rows), 1, 1)
    pose[:, :3] = torch.stack([right, down, -backward, position], -1)
    full = (round(float(width[0])), round(float(height[0])))
    center = torch.tensor([full[0] / 2, full[1] / 2])
    camera = Camera(
        pose.float(),
        focal[:, None].expand(-1, 2).float().clone(),
        center.expand(len(rows), 2).clone(),
        *full,
    )
    return scaled_camera(camera, *size, where)


def _bounds(rows: np.ndarray, names: tuple[str, ...], where: str) -> Float[Tensor, "v 2"]:
    bounds = torch.from_numpy(rows[:, 15:].astype(np.float64)).float()
    finite(bounds, "near or far bound", where)
    wrong = ~((bounds[:, 0] > 0) & (bounds[:, 0] < bounds[:, 1]))
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        near, far = bounds[first].tolist()
        raise BadInput(f"{where}: the bounds of {names[first]} are {near:g} to {far:g}; 0 < near < far is needed.")
    return bounds


def _photos(path: Path) -> list[Path]:
    """The photos of ``images/``, else of the largest reduced copy, e.g. ``images_4/``."""
    reduced = [(int(found[1]), p) for p in path.iterdir() if (found := re.fullmatch(r"images_(\d{1,4})", p.name))]
    for folder in [path / "images", *(p for _, p in sorted(reduced))]:
        photos = photo_files(folder)
        if photos:
            return photos
    raise BadInput(f"{path} has {FILE} but no photos: images/ (or images_4/, images_8/) is needed beside it.")


def _masks(folder: Path, photos: list[Path]) -> list[Path]:
    """The mask of each photo, by stem."""
    by_stem = {mask.stem: mask for mask in photo_files(folder)}
    lacking = [photo.name for photo in photos if photo.stem not in by_stem]
    if lacking:
        raise BadInput(f"{folder} lacks the masks of {len(lacking)} photos, e.g. {lacking[0]}; give all or none.")
    return [by_stem[photo.stem] for photo in photos]
