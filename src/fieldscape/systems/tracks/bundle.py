"""The tracks file: a clip that was followed, its points, its cameras and where all that was in space.

A tracks file is an ``.npz`` archive of plain arrays, nothing in it is ever executed. With t frames, k frames kept
apart, n points:

================  ==========  =======  =================================================================================
format            []          int64    1
name              []          text     of the clip
size              [2]         int64    width and height of the frames in pixels
seconds           [t]         float    when each frame was taken; they increase
numbers           [t]         int64    of the frames in the file they came from; they increase
frames            [bytes]     uint8    the frames, RGB, as PNG files one behind the other
frame_ends        [t]         int64    where in ``frames`` each of them ends
layers            [bytes]     uint8    the layer of each pixel (0 does not move), as grey PNG files; [0]: not known
layer_ends        [t]         int64    where each of them ends; [0] where layers are not known
clip_notes        [any]       text     what reading the clip found out
held_...          as above    ...      the same of k frames that nothing has seen, to judge by; all of
                                       length 0 if there are none
places            [t, n, 2]   float    pixels; the centre of the top-left pixel is (0.5, 0.5); a guess where not seen
seen              [t, n]      bool     whether the point is visible and was found
sure              [t, n]      float    how well it was found, 0..1, 0 where not seen
layer             [n]         int64    the layer of each point
camera_poses      [t, 4, 4]   float    camera to world, OpenCV axes (x right, y down, z forward)
intrinsics        [t, 3, 3]   float    in pixels, without skew
kind              []          text     tripod, rotation, low, full or given: what the camera did (see ``nouns.Kind``)
world             [t, n, 3]   float    where each point is at each frame
deep              [n]         bool     whether its distance was measured
notes             [any]       text     what was found out
================  ==========  =======  =================================================================================

Numbers keep the precision they had (float32 or float64), so what is read equals what was written.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from fieldscape.data.untrusted import finite, read_npz
from fieldscape.errors import BadInput
from fieldscape.files import write_atomic
from fieldscape.images import decode_image
from fieldscape.systems.tracks.nouns import Clip, Kind, Points, Tracked
from fieldscape.types import Camera

FORMAT = 1
MAX_BYTES = 8 * 2**30
"""Of a file's arrays, and of its frames once they are decoded."""
MAX_SIDE = 16_384
MAX_TEXT = 2_000
FARTHEST = 1e9
"""Pixels or lengths beyond which a number is no place any more."""
_PNG = b"\x89PNG\r\n\x1a\n"


def write_bundle(path: Path | str, tracked: Tracked) -> None:
    """Writes the tracks file at ``path``, all of it or nothing.

    Raises BadInput if it cannot be written, and for what ``require_sound`` refuses.
    """
    require_sound(tracked, "these tracks")
    clip, held, points, camera = tracked.clip, tracked.held, tracked.points, tracked.camera
    intrinsics = torch.zeros(len(clip), 3, 3, dtype=camera.focal.dtype)
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = camera.focal.unbind(-1)
    intrinsics[:, :2, 2], intrinsics[:, 2, 2] = camera.center, 1.0
    arrays = {
        "format": np.array(FORMAT),
        "name": np.array(clip.name, dtype="U"),
        "size": np.array(clip.size),
        **_clip_arrays(clip, "", "clip_notes"),
        **_clip_arrays(held or clip.at([]), "held_", "held_notes"),
        "places": points.places.numpy(),
        "seen": points.seen.numpy(),
        "sure": points.sure.numpy(),
        "layer": points.layer.numpy().astype(np.int64),
        "camera_poses": camera.pose.numpy(),
        "intrinsics": intrinsics.numpy(),
        "kind": np.array(tracked.kind, dtype="U"),
        "world": tracked.world.numpy(),
        "deep": tracked.deep.numpy(),
        "notes": _texts(tracked.notes),
    }
    write_atomic(Path(path), lambda file: np.savez(file, allow_pickle=False, **arrays))


def _clip_arrays(clip: Clip, before: str, notes: str) -> dict[str, np.ndarray]:
    frames, frame_ends = _packed(clip.frames)
    layers, layer_ends = _packed(clip.frames[:0] if clip.layers is None else clip.layers)
    return {
        f"{before}seconds": clip.seconds.numpy(),
        f"{before}numbers": np.array(clip.numbers, dtype=np.int64),
        f"{before}frames": frames,
        f"{before}frame_ends": frame_ends,
        f"{before}layers": layers,
        f"{before}layer_ends": layer_ends,
        notes: _texts(clip.notes),
    }


def _texts(texts: tuple[str, ...]) -> np.ndarray:
    return np.array(texts, dtype="U") if texts else np.zeros(0, dtype="U1")


def _packed(pictures: UInt8[Tensor, "t h w *c"]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as PNG files one behind the other, and where each ends."""
    files = []
    for picture in pictures:
        file = io.BytesIO()
        # Level 1 takes a third of the time of Pillow's default for a tenth more bytes.
        Image.fromarray(picture.contiguous().numpy()).save(file, "PNG", compress_level=1)
        files.append(file.getvalue())
    ends = np.cumsum([len(content) for content in files], dtype=np.int64)
    return np.frombuffer(b"".join(files), dtype=np.uint8), ends


# ------------------------------------------------------------------------------------------------ reading


def is_bundle(path: Path) -> bool:
    """Whether the file holds the arrays that only a tracks file has; what they hold is not looked at."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"frame_ends.npy", "places.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_bundle(path: Path | str) -> Tracked:
    """The tracks in a file that ``write_bundle`` wrote, or anything that says it is one.

    Raises BadInput: not such a file, of a newer format, damaged, arrays that do not fit together, numbers that are not
    finite or mean nothing; the message names the array.
    """
    path = Path(path)
    arrays = read_npz(path, MAX_BYTES)
    version = arrays.get("format")
    if version is None or version.shape != () or version.dtype.kind not in "iu":
        raise BadInput(
            f"{path} is not a tracks file of fieldscape (it has no format number). Make one: tracks extract."
        )
    if int(version) > FORMAT:
        newer = f"format {int(version)}; this one reads up to {FORMAT}"
        raise BadInput(f"{path} was made by a newer fieldscape ({newer}): upgrade fieldscape.")
    if int(version) < 1:
        raise BadInput(f"{path} has the format number {int(version)}, which never was: it is damaged.")
    bare = _Arrays(path, arrays)
    width, height = (int(side) for side in bare.take("size", "iu", (2,)))
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadInput(f"{path}: size says {width} x {height} pixels; each side must be 1 to {MAX_SIDE}.")
    clip = _clip(bare, "", "clip_notes", (width, height))
    held = _clip(bare, "held_", "held_notes", (width, height))
    t, n = len(clip), len(bare.take("layer", "iu", (None,)))
    lens, poses = bare.tensor("intrinsics", "f", (t, 3, 3)), bare.tensor("camera_poses", "f", (t, 4, 4))
    if ((lens - torch.eye(3).to(lens)) * torch.tensor([[0.0, 1, 0], [1, 0, 0], [1, 1, 1]])).any():
        raise BadInput(f"{path}: intrinsics are not of the form [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].")
    said = bare.text("kind")
    kind = next((kind for kind in get_args(Kind) if kind == said), None)
    if kind is None:
        raise BadInput(f"{path}: kind is {said[:40]!r}; it must be one of {', '.join(get_args(Kind))}.")
    tracked = Tracked(
        clip,
        held if len(held) else None,
        Points(
            bare.tensor("places", "f", (t, n, 2)),
            bare.tensor("seen", "b", (t, n)),
            bare.tensor("sure", "f", (t, n)),
            bare.tensor("layer", "iu", (n,)).long(),
        ),
        Camera(poses, torch.stack([lens[:, 0, 0], lens[:, 1, 1]], -1), lens[:, :2, 2].clone(), width, height),
        kind,
        bare.tensor("world", "f", (t, n, 3)),
        bare.tensor("deep", "b", (n,)),
        bare.texts("notes"),
    )
    require_sound(tracked, str(path))
    return tracked


class _Arrays:
    """The arrays of a file, each taken with the kind of numbers and the shape that it must have."""

    def __init__(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        self.path, self.arrays = path, arrays

    def take(self, name: str, kinds: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """The array ``name``; None in ``shape`` is any length."""
        array = self.arrays.get(name)
        if array is None:
            raise BadInput(f"{self.path} is not a whole tracks file: the array {name} is missing.")
        fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape))
        if array.dtype.kind not in kinds or not fits:
            wanted = "[" + ", ".join("any" if side is None else str(side) for side in shape) + "]"
            found = f"{array.dtype} {list(array.shape)}"
            raise BadInput(f"{self.path}: the array {name} is {found}, where {_named(kinds)} {wanted} belong.")
        return array

    def tensor(self, name: str, kinds: str, shape: tuple[int | None, ...]) -> Tensor:
        array = self.take(name, kinds, shape)
        if kinds == "f":
            array = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
            finite(array, name, str(self.path))
        elif kinds == "iu":
            array = array.astype(np.int64)
        return torch.from_numpy(np.ascontiguousarray(array))

    def text(self, name: str) -> str:
        return self._text(self.take(name, "U", ()), name)[0]

    def texts(self, name: str) -> tuple[str, ...]:
        return self._text(self.take(name, "U", (None,)), name)

    def _text(self, array: np.ndarray, name: str) -> tuple[str, ...]:
        try:
            return tuple(str(text)[:MAX_TEXT] for text in array.ravel().tolist())
        except ValueError as error:  # code points that do not exist
            raise BadInput(f"{self.path}: the array {name} does not hold text.") from error


def _named(kinds: str) -> str:
    return {"f": "floating-point numbers", "iu": "whole numbers", "b": "truth values", "U": "texts"}[kinds]


def _clip(bare: _Arrays, before: str, notes: str, size: tuple[int, int]) -> Clip:
    numbers = bare.tensor(f"{before}numbers", "iu", (None,))
    t = len(numbers)
    frames = _unpacked(bare, f"{before}frames", f"{before}frame_ends", t, size, 3)
    known = len(bare.take(f"{before}layer_ends", "iu", (None,))) > 0
    layers = _unpacked(bare, f"{before}layers", f"{before}layer_ends", t, size, 1)[..., 0] if known else None
    seconds = bare.tensor(f"{before}seconds", "f", (t,))
    return Clip(frames, seconds, layers, tuple(numbers.tolist()), bare.text("name"), bare.texts(notes))


def _unpacked(
    bare: _Arrays, name: str, ends_name: str, count: int, size: tuple[int, int], channels: int
) -> UInt8[Tensor, "t h w c"]:
    """The pictures in the array ``name``, decoded one by one."""
    content, ends = bare.take(name, "u", (None,)), bare.tensor(ends_name, "iu", (count,)).tolist()
    width, height = size
    if content.dtype != np.uint8 or [0, *ends] != sorted([0, *ends]) or (ends[-1] if ends else 0) != len(content):
        raise BadInput(f"{bare.path}: {ends_name} does not say where the pictures in {name} end; the file is damaged.")
    if count * width * height * channels > MAX_BYTES:
        raise BadInput(f"{bare.path}: {count} frames of {width} x {height} pixels are too many to read.")
    pictures = torch.zeros(count, height, width, channels, dtype=torch.uint8)
    for i, (start, end) in enumerate(zip([0, *ends], ends)):
        file, where = content[start:end].tobytes(), f"{bare.path}: {name}, picture {i}"
        if not file.startswith(_PNG):
            raise BadInput(f"{where} is not a PNG file; the tracks file is damaged.")
        picture = decode_image(file, where, max_pixels=width * height)
        if picture.shape != pictures.shape[1:]:
            found = f"{picture.shape[1]} x {picture.shape[0]} pixels with {picture.shape[2]} channels"
            raise BadInput(f"{where} has {found}, not {width} x {height} with {channels}; the tracks file is damaged.")
        pictures[i] = picture
    return pictures


# ------------------------------------------------------------------------------------------------ what must hold


def require_sound(tracked: Tracked, where: str) -> None:
    """Raises BadInput, naming the array and ``where`` it is, unless all of ``tracked`` fits together and has a meaning.

    Checked are what a wrong file could break: shapes, finite numbers of a bounded size, times that increase, frames
    kept apart that are none of the others, rotations, focal lengths above zero, certainties in 0..1.
    """
    clip, held, points, camera = tracked.clip, tracked.held, tracked.points, tracked.camera
    t, n = len(clip), len(points)
    if t < 2:
        raise BadInput(f"{where}: a clip of {t} frames cannot be followed; it takes two at least.")
    pairs = {"clip": clip, "held": held} if held is not None else {"clip": clip}
    for name, part in pairs.items():
        _require_clip(part, clip.size, f"{where}: {name}")
    if held is not None and set(held.numbers) & set(clip.numbers):
        both = min(set(held.numbers) & set(clip.numbers))
        raise BadInput(
            f"{where}: frame {both} is kept apart (held_numbers) and used (numbers); it must be one of them."
        )
    shapes = {
        "places": (points.places, (t, n, 2)), "seen": (points.seen, (t, n)), "sure": (points.sure, (t, n)),
        "layer": (points.layer, (n,)), "camera_poses": (camera.pose, (t, 4, 4)), "world": (tracked.world, (t, n, 3)),
        "deep": (tracked.deep, (n,)), "focal": (camera.focal, (t, 2)), "center": (camera.center, (t, 2)),
    }  # fmt: skip
    for name, (tensor, shape) in shapes.items():
        if tensor.shape != shape:
            raise BadInput(f"{where}: {name} is {list(tensor.shape)}, where {list(shape)} belongs.")
        if tensor.is_floating_point():
            finite(tensor, name, where)
            if tensor.numel() and float(tensor.abs().max()) > FARTHEST:
                raise BadInput(f"{where}: {name} holds numbers as large as {float(tensor.abs().max()):.3g}.")
    if (camera.width, camera.height) != clip.size or camera.lens != "pinhole":
        raise BadInput(f"{where}: the cameras are not pinholes of the frames' size.")
    if n == 0:
        raise BadInput(f"{where}: there are no points.")
    if not ((points.layer >= 0) & (points.layer <= 255)).all():
        raise BadInput(f"{where}: layer holds numbers outside 0..255.")
    if not ((points.sure >= 0) & (points.sure <= 1)).all() or (points.sure[~points.seen] != 0).any():
        raise BadInput(f"{where}: sure must be in 0..1, and 0 where seen is false.")
    if not (camera.focal > 1e-3).all():
        raise BadInput(f"{where}: intrinsics hold a focal length that is not above zero.")
    _require_poses(camera.pose, where)


def _require_clip(clip: Clip, size: tuple[int, int], where: str) -> None:
    if clip.size != size or clip.seconds.shape != (len(clip),) or len(clip.numbers) != len(clip):
        raise BadInput(f"{where}: frames, seconds and numbers are not of one length and size.")
    if clip.layers is not None and clip.layers.shape != clip.frames.shape[:3]:
        raise BadInput(f"{where}: layers are {list(clip.layers.shape)}, not {list(clip.frames.shape[:3])}.")
    finite(clip.seconds, "seconds", where)
    if not (clip.seconds.diff() > 0).all():
        raise BadInput(f"{where}: seconds do not increase from frame to frame.")
    if any(number < 0 for number in clip.numbers) or list(clip.numbers) != sorted(set(clip.numbers)):
        raise BadInput(f"{where}: numbers of frames do not increase, or are below zero.")


def _require_poses(pose: Tensor, where: str) -> None:
    turn = pose[:, :3, :3].double()
    off = (turn @ turn.mT - torch.eye(3, dtype=torch.float64)).abs().amax((-1, -2))
    bad = (off > 1e-3) | (torch.linalg.det(turn) < 0)
    bad |= (pose[:, 3] != torch.tensor([0, 0, 0, 1]).to(pose)).any(-1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise BadInput(f"{where}: camera_poses, frame {first}, is not a rotation and a position.")
