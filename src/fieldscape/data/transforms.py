"""Reader of nerfstudio's and instant-ngp's ``transforms.json``, with their masks, depth images and splits.

Not read, because nothing here uses it: sharpness, aabb_scale, and the transform that was applied to the poses
(``applied_transform``: the photos do not care which world their poses are told in).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldscape import cameras
from fieldscape.data import fields
from fieldscape.data.assembly import assemble, every_nth
from fieldscape.data.frames import Frame, camera, existing_frames, name_of, same_lens
from fieldscape.data.layers import load_depths, load_maps, usable_pixels
from fieldscape.data.options import ReadOptions
from fieldscape.data.photostack import Progress, common_size, load, reduced_size
from fieldscape.data.untrusted import inside, read_json
from fieldscape.errors import BadInput
from fieldscape.types import Views

FILE = "transforms.json"

DEPTH_UNIT = 0.001
"""Metres to a whole number of a depth PNG, where the file does not say: millimetres, as depth cameras write."""


def read(path: Path, options: ReadOptions, progress: Progress | None = None) -> Views:
    """The views that a ``transforms.json`` (``path``, or in that folder) lists and whose photos exist, by name.

    Raises BadInput: see ``frames``, ``photostack``, ``layers`` and ``assembly``.
    """
    file = path if path.is_file() else path / FILE
    listing = read_json(file)
    frames, missing = existing_frames(listing, file.parent, file.name)
    frames.sort(key=lambda frame: frame.name)
    meta = fields.mapping(listing, file.name)
    used, held_out, split, notes = _split(meta, frames, missing, options, file.name)
    views = views_of(used, file.parent, held_out, split, missing, options, file.name, progress)
    return replace(views, notes=(*views.notes, *notes))


def views_of(
    frames: list[Frame],
    folder: Path,
    held_out: tuple[int, ...],
    split: str,
    missing: list[str],
    options: ReadOptions,
    where: str,
    progress: Progress | None = None,
) -> Views:
    """The views of ``frames``: photos, cameras of the photos' size, and what lies beside them."""
    photos = [frame.photo for frame in frames]
    size = common_size(photos)
    camera_list = same_lens([camera(frame, *size) for frame in frames])
    small = reduced_size(*size, options.downscale)
    batch = cameras.resize(cameras.stack(camera_list), *small)
    masks = [_beside(frame, "mask_path", folder) for frame in frames]
    depths = [_beside(frame, "depth_file_path", folder) for frame in frames]
    notes = _notes(frames, missing)
    common = frames[0].fields
    names = tuple(frame.name for frame in frames)
    relative = [frame.photo.relative_to(folder).as_posix() for frame in frames]
    metric = common.get("metric") is True
    unit = fields.positive(common.get("depth_unit_scale_factor", DEPTH_UNIT), f"{where}: depth_unit_scale_factor")
    scale = fields.positive(common.get("applied_scale", 1), f"{where}: applied_scale")
    views = Views(
        batch,
        load(photos, options.downscale, progress),
        names,
        held_out,
        split,
        maps=load_maps(folder, relative, options.channels, size, options.downscale) if options.channels else None,
        valid=usable_pixels(masks, size, small) if any(masks) else None,
        depths=load_depths(depths, unit, size, batch) * scale if any(depths) else None,
        metric=metric,
        notes=tuple(notes),
    )
    return assemble(views, options, where)


def _split(
    listing: Mapping[str, Any], frames: list[Frame], missing: list[str], options: ReadOptions, where: str
) -> tuple[list[Frame], tuple[int, ...], str, list[str]]:
    """The frames to use, the indices to hold out, the split in words, and notes.

    The file's own split is ``train_filenames`` and ``test_filenames`` (or ``val_filenames``); a frame in neither is not
    used. Without it every n-th view is held out.
    """
    held_key = next((key for key in ("test_filenames", "val_filenames") if key in listing), None)
    if held_key is None:
        held_out, split = every_nth([frame.name for frame in frames], options)
        return frames, held_out, split, []
    test = _names(listing, held_key, where)
    known = {frame.name for frame in frames} | {name_of(name) for name in missing}
    train = _names(listing, "train_filenames", where) if "train_filenames" in listing else None
    if strangers := sorted((test | (train or set())) - known):
        raise BadInput(f"{where}: its split names {strangers[0]!r}, which is no frame of it.")
    if both := sorted(test & (train or set())):
        raise BadInput(f"{where}: {both[0]!r} is in both train_filenames and {held_key}.")
    used = [frame for frame in frames if train is None or frame.name in test | train]
    held_out = tuple(i for i, frame in enumerate(used) if frame.name in test)
    notes = [f"{len(frames) - len(used)} photos are in no split and were left out"] if len(used) < len(frames) else []
    return used, held_out, f"the file's own (train_filenames, {held_key})", notes


def _names(listing: Mapping[str, Any], key: str, where: str) -> set[str]:
    what = f"{where}: {key}"
    return {name_of(fields.text(name, what)) for name in fields.sequence(listing[key], what)}


def _beside(frame: Frame, key: str, folder: Path) -> Path | None:
    """The file that belongs to a frame's photo, e.g. its mask; None where the frame names none."""
    if frame.fields.get(key) is None:
        return None
    listed = fields.text(frame.fields[key], f"{frame.where}: {key}")
    path = inside(folder, listed, f"{frame.where}: {key}")
    if not os.path.isfile(path):
        raise BadInput(f"{frame.where}: {key} is {listed!r}, but there is no such file.")
    return path


def _notes(frames: list[Frame], missing: list[str]) -> list[str]:
    notes = []
    if missing:
        listed = len(frames) + len(missing)
        notes.append(f"{len(missing)} of the {listed} listed photos do not exist and were left out (e.g. {missing[0]})")
    if any(frame.fields.get("rolling_shutter") for frame in frames):
        notes.append("rolling shutter is ignored: every photo is taken as one instant")
    if frames[0].fields.get("ply_file_path"):
        notes.append("the points of ply_file_path are not read")
    return notes
