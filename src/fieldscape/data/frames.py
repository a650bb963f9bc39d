"""The frames of a ``transforms*.json``: which photos it lists, with which cameras.

The same file layout is written by NeRF's Blender script, instant-ngp and nerfstudio. A field of a frame goes before the
same field of the file. Poses are camera-to-world with OpenGL axes; pixels have their centres at +0.5, as here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fieldscape import cameras
from fieldscape.data import fields
from fieldscape.data.assembly import scaled_camera
from fieldscape.data.untrusted import inside
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Lens

MAX_FRAMES = 100_000

EXTENSIONS = ("", ".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG", ".webp")
"""Tried in this order after a listed name: Blender's lists leave ".png" out."""

BROWN_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL")
FISHEYE_MODELS = ("OPENCV_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")

NO_LENS = ("equirectangular", "latlong", "orthographic", "ftheta_p0")
"""Fields that announce a projection which is not supported."""


@dataclass(frozen=True)
class Frame:
    """One listed photo that exists. fields: the frame's own over the file's.  where: for messages."""

    name: str
    photo: Path
    fields: Mapping[str, Any]
    where: str


def existing_frames(listing: object, folder: Path, where: str) -> tuple[list[Frame], list[str]]:
    """The listed photos that exist, in the file's order, and the names of those that do not.

    Raises BadInput: no frames, none exists, a name leads out of ``folder``, or a photo is listed twice.
    """
    meta = fields.mapping(listing, where)
    if "frames" not in meta:
        raise BadInput(f"{where} has no list of frames, so it does not describe photos.")
    listed = fields.sequence(meta["frames"], f"{where}: frames")
    if len(listed) > MAX_FRAMES:
        raise BadInput(f"{where} lists {len(listed)} frames, more than the {MAX_FRAMES} that are read.")
    common = {key: value for key, value in meta.items() if key != "frames"}
    frames: dict[Path, Frame] = {}
    missing = []
    for index, entry in enumerate(listed):
        place = f"{where}, frame {index}"
        own = fields.mapping(entry, place)
        if "file_path" not in own:
            raise BadInput(f"{place} has no file_path.")
        given = fields.text(own["file_path"], f"{place}: file_path")
        photo = _photo(folder, given, place)
        if photo is None:
            missing.append(given)
            continue
        if photo in frames:
            raise BadInput(f"{frames[photo].where} and {place} list the same photo; remove one of the two.")
        frames[photo] = Frame(name_of(given), photo, {**common, **own}, f"{place} ({name_of(given)[:80]!r})")
    if not frames:
        reason = f"none of the {len(missing)} photos it lists exists, e.g. {missing[0]!r}" if missing else "no frames"
        raise BadInput(f"{where}: {reason}. Put the photos where the list says, relative to {folder}.")
    return list(frames.values()), missing


def name_of(listed: str) -> str:
    """A listed path in one spelling.

    >>> name_of(".\\\\train\\\\r_0"), name_of("./images//1.jpg")
    ('train/r_0', 'images/1.jpg')
    """
    return "/".join(part for part in listed.replace("\\", "/").split("/") if part not in ("", "."))


def camera(frame: Frame, width: int, height: int) -> Camera:
    """The camera of a frame whose photo has ``width`` x ``height`` pixels.

    Where the file states another size (w, h) of the same aspect ratio, the intrinsics are scaled to the photo's.

    Raises BadInput: no focal length or field of view, values out of range, or an unsupported lens.
    """
    given = frame.fields
    stated_w = fields.size(given["w"], f"{frame.where}: w") if "w" in given else width
    stated_h = fields.size(given["h"], f"{frame.where}: h") if "h" in given else height
    focal_x, focal_y = _focal(frame, "x", stated_w), _focal(frame, "y", stated_h)
    if focal_x is None and focal_y is None:
        raise BadInput(f"{frame.where} has neither a focal length (fl_x) nor a field of view (camera_angle_x).")
    x = focal_x if focal_x is not None else focal_y
    y = focal_y if focal_y is not None else focal_x
    center = [
        fields.number(given["cx"], f"{frame.where}: cx") if "cx" in given else stated_w / 2,
        fields.number(given["cy"], f"{frame.where}: cy") if "cy" in given else stated_h / 2,
    ]
    if "transform_matrix" not in given:
        raise BadInput(f"{frame.where} has no transform_matrix, the pose of its camera.")
    pose = cameras.flip_yz(fields.pose(given["transform_matrix"], f"{frame.where}: transform_matrix")).float()
    lens, coefficients = _lens(frame)
    made = Camera(
        pose,
        torch.tensor([x, y], dtype=torch.float32),
        torch.tensor(center, dtype=torch.float32),
        stated_w,
        stated_h,
        lens,
        torch.tensor(coefficients, dtype=torch.float32) if coefficients else None,
    )
    if (stated_w, stated_h) != (width, height):
        made = scaled_camera(made, width, height, frame.where)
    return made


def same_lens(given: list[Camera]) -> list[Camera]:
    """The cameras with one lens model: a pinhole beside Brown-Conrady lenses is one without distortion.

    Raises BadInput where fisheye and other lenses are mixed.
    """
    kinds = {each.lens for each in given}
    if len(kinds) == 1:
        return given
    if "fisheye" in kinds:
        raise BadInput("Some frames have a fisheye lens and some do not; read them as two folders.")
    zeros = torch.zeros(5)
    return [
        each if each.lens == "brown"
        else Camera(each.pose, each.focal, each.center, each.width, each.height, "brown", zeros)
        for each in given
    ]  # fmt: skip


def _photo(folder: Path, listed: str, where: str) -> Path | None:
    """The photo of a listed name, which may lack its extension; None where there is none."""
    for extension in EXTENSIONS:
        path = inside(folder, listed + extension, where)
        if os.path.isfile(path):  # unlike Path.is_file this is False, not an error, for impossible names
            return path
    return None


def _focal(frame: Frame, axis: str, size: int) -> float | None:
    """The focal length along ``axis`` in pixels: fl_x, or camera_angle_x (radians), or x_fov (degrees)."""
    given = frame.fields
    if f"fl_{axis}" in given:
        return fields.positive(given[f"fl_{axis}"], f"{frame.where}: fl_{axis}")
    for key, unit in ((f"camera_angle_{axis}", 1.0), (f"{axis}_fov", math.pi / 180)):
        if key in given:
            angle = fields.positive(given[key], f"{frame.where}: {key}") * unit
            if angle >= math.pi:
                raise BadInput(f"{frame.where}: {key} is {given[key]:g}, more than half a turn; a pinhole sees less.")
            return 0.5 * size / math.tan(angle / 2)
    return None


def _lens(frame: Frame) -> tuple[Lens, list[float]]:
    """The lens model and its coefficients in our order."""
    given = frame.fields
    for key in NO_LENS:
        if given.get(key):
            raise BadInput(f"{frame.where}: {key} images are not supported; pinhole, Brown-Conrady and fisheye are.")
    k1, k2, k3, k4, p1, p2 = (
        fields.number(given.get(key, 0), f"{frame.where}: {key}") for key in ("k1", "k2", "k3", "k4", "p1", "p2")
    )
    model = fields.text(given.get("camera_model", "OPENCV"), f"{frame.where}: camera_model").upper()
    if model in FISHEYE_MODELS or given.get("is_fisheye") is True:
        return "fisheye", [k1, k2, k3, k4]
    if model not in BROWN_MODELS:
        known = ", ".join(BROWN_MODELS + FISHEYE_MODELS)
        raise BadInput(f"{frame.where}: camera_model {model[:40]!r} is not supported; these are: {known}.")
    if any(given.get(key) for key in ("k4", "k5", "k6")):
        raise BadInput(f"{frame.where}: k4 and beyond are known for fisheye lenses only (camera_model OPENCV_FISHEYE).")
    brown = [k1, k2, p1, p2, k3]
    return ("brown", brown) if any(brown) else ("pinhole", [])
