"""``read``: any supported data to ``Views``, by looking at what is there."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from fieldscape.data import blender, llff, tinynerf, transforms
from fieldscape.data.options import ReadOptions
from fieldscape.data.photostack import Progress, photo_files
from fieldscape.data.weights import read_weights
from fieldscape.errors import BadInput
from fieldscape.types import Views

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")

DEFAULTS = ReadOptions()


def read(
    path: Path | str, options: ReadOptions = DEFAULTS, progress: Progress | None = None, quiet: bool = False
) -> Views:
    """The posed photos at ``path``: a folder or file of any format below.

    The first that fits is taken: ``transforms_train.json`` (Blender), ``transforms.json`` (nerfstudio, instant-ngp),
    ``poses_bounds.npy`` (LLFF), one ``.npz`` (TinyNeRF), a COLMAP model, and at last photos or a video without poses,
    which are then found by structure from motion.

    ``quiet``: structure from motion, which takes long, does not say how far it is.

    Raises BadInput: nothing fits (the message lists what was looked for), or what fits cannot be used.
    """
    _require_sane(options)
    path = Path(path)
    if path.is_file():
        views = _read_file(path, options, progress, quiet)
    elif path.is_dir():
        fitting = _fitting(path)
        views = _read_as(fitting[0], path, options, progress, quiet)
        if len(fitting) > 1:
            note = f"read as {fitting[0]}; what is there of {', '.join(fitting[1:])} is not used"
            views = replace(views, notes=(*views.notes, note))
    else:
        raise BadInput(f"There is no folder or file {path}.")
    if options.weights is not None:
        views = replace(views, weights=read_weights(options.weights, views.names))
    return views


def _fitting(path: Path) -> list[str]:
    """The formats that the folder seems to hold, in order of precedence; without poses it is "photos".

    Raises BadInput where there is none.
    """
    photos = bool(photo_files(path) or photo_files(path / "images"))
    lists = {
        "Blender": (path / blender.TRAIN).is_file(),
        "transforms.json": (path / transforms.FILE).is_file(),
        "LLFF": (path / llff.FILE).is_file(),
        "TinyNeRF": not photos and tinynerf.find(path) is not None,  # beside photos an .npz is something else
    }
    if fitting := [name for name, there in lists.items() if there]:
        return fitting
    from fieldscape.data import colmap

    if colmap.detect(path):
        return ["COLMAP"]
    if photos:
        return ["photos"]
    raise BadInput(
        f"{path} holds no data that can be read. Looked for: {blender.TRAIN}, {transforms.FILE}, {llff.FILE}, one .npz,"
        " a COLMAP model (cameras, images and points3D, .bin or .txt, e.g. in sparse/0), and photos (also in images/)."
    )


def _read_as(kind: str, path: Path, options: ReadOptions, progress: Progress | None, quiet: bool) -> Views:
    if kind == "Blender":
        return blender.read(path, options, progress)
    if kind == "transforms.json":
        return transforms.read(path, options, progress)
    if kind == "LLFF":
        return llff.read(path, options, progress)
    if kind == "TinyNeRF":
        return tinynerf.read(path, options)
    if kind == "COLMAP":
        from fieldscape.data import colmap

        return colmap.read(path, options, progress)
    from fieldscape.data import photos

    return photos.read(path, options, progress, quiet)


def _read_file(path: Path, options: ReadOptions, progress: Progress | None, quiet: bool) -> Views:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return tinynerf.read(path, options)
    if suffix == ".json":
        if path.name in (blender.TRAIN, blender.TEST):
            return blender.read(path.parent, options, progress)
        return transforms.read(path, options, progress)
    if path.name == llff.FILE:
        return llff.read(path.parent, options, progress)
    if suffix in VIDEOS:
        return _read_as("photos", path, options, progress, quiet)
    raise BadInput(f"{path} is no .npz, transforms.json or video; give one of these, or the folder of the photos.")


def _require_sane(options: ReadOptions) -> None:
    if not (options.downscale >= 1 and math.isfinite(options.downscale)):
        raise BadInput(f"--downscale is {options.downscale:g}; it must be at least 1 (2 halves the sides).")
    if options.holdout < 0 or options.holdout == 1:
        raise BadInput(f"--holdout is {options.holdout}; 0 holds no view out, n >= 2 every n-th.")
    if not 0 <= options.channels <= 1024:
        raise BadInput(f"--channels is {options.channels}; 0 to 1024 further maps can be learned.")
