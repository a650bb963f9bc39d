"""Cameras and depth that are known beforehand: from files, for the frames of a clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import cameras
from fieldscape.data import transforms
from fieldscape.data.assembly import scaled_camera
from fieldscape.data.colmap import detect
from fieldscape.data.depth.pixels import numbered, read_steps
from fieldscape.data.frames import camera as frame_camera
from fieldscape.data.frames import existing_frames, same_lens
from fieldscape.data.untrusted import read_json, read_npy, read_npz
from fieldscape.errors import BadInput
from fieldscape.images import read_size
from fieldscape.systems.tracks.foreign_arrays import numbers
from fieldscape.systems.tracks.foreign_colmap import largest_model, model_camera, placed_frames
from fieldscape.systems.tracks.foreign_lens import straightened
from fieldscape.systems.tracks.nouns import Clip
from fieldscape.types import Camera

MAX_BYTES = 4 * 2**30
MILLIMETRE = 0.001


def read_cameras(path: Path, clip: Clip) -> tuple[Clip, Camera]:
    """The camera of each frame of ``clip``, as pinholes of its size; the clip straightened, where the lens bends.

    path: a ``transforms.json`` or its folder, a COLMAP model, or an ``.npz`` with ``camera_poses`` [t, 4, 4] (camera to
    world, OpenCV axes), ``intrinsics`` [t, 3, 3] and ``size`` [2], such as a tracks file. The frames listed are those
    of the whole file that the clip was read from, or those of the clip.
    Raises BadInput: nothing of the kind, or not a camera for every frame.
    """
    if path.suffix == ".npz":
        return clip, _of_arrays(path, clip)
    if path.name == transforms.FILE or (path / transforms.FILE).is_file():
        camera = _of_transforms(path if path.is_file() else path / transforms.FILE, clip)
    elif path.is_dir() and detect(path):
        model = largest_model(path)
        frames, photos = placed_frames(model, clip)
        if len(frames) < len(clip):
            raise BadInput(f"{path} has cameras for {len(frames)} of {len(clip)} frames; each frame needs one.")
        camera = model_camera(model, photos, clip.size)
    else:
        raise BadInput(f"{path} is neither a transforms.json, nor a COLMAP model, nor an .npz with camera_poses.")
    return straightened(clip, camera)


def _of_arrays(path: Path, clip: Clip) -> Camera:
    arrays = read_npz(path, MAX_BYTES)
    pose, lens = (
        numbers(arrays, "camera_poses", (None, 4, 4), str(path)),
        numbers(arrays, "intrinsics", (None, 3, 3), str(path)),
    )
    if len(lens) != len(pose):
        raise BadInput(f"{path}: camera_poses has {len(pose)} frames and intrinsics {len(lens)}.")
    width, height = (int(side) for side in numbers(arrays, "size", (2,), str(path)))
    poses = torch.from_numpy(pose).float()
    cameras.require_valid_poses(poses, [f"frame {i}" for i in range(len(poses))], str(path))
    k = torch.from_numpy(lens).float()
    focal = torch.stack([k[:, 0, 0], k[:, 1, 1]], -1)
    if not (k.isfinite().all() and (focal > 1e-3).all() and width > 0 and height > 0):
        raise BadInput(f"{path}: intrinsics must hold focal lengths above zero, and size the size of the pictures.")
    given = scaled_camera(Camera(poses, focal, k[:, :2, 2].clone(), width, height), *clip.size, str(path))
    own = numbers(arrays, "numbers", (None,), str(path)).astype(int).tolist() if "numbers" in arrays else None
    return given[torch.tensor(_rows(len(poses), clip, str(path), own))]


def _of_transforms(file: Path, clip: Clip) -> Camera:
    frames, missing = existing_frames(read_json(file), file.parent, file.name)
    if missing:
        raise BadInput(f"{file} lists photos that do not exist, such as {missing[0]!r}; each frame needs its camera.")
    frames.sort(key=lambda frame: frame.name)
    sizes = {read_size(frame.photo) for frame in (frames[0], frames[-1])}
    size = sizes.pop()
    single = [scaled_camera(frame_camera(f, *size), *clip.size, f.where) for f in frames]
    return cameras.stack(same_lens(single))[torch.tensor(_rows(len(frames), clip, str(file), None))]


def _rows(count: int, clip: Clip, where: str, own: list[int] | None) -> list[int]:
    """Which of ``count`` entries belongs to each frame of the clip; ``own``: the frames' numbers, if they are told."""
    if own is not None:
        lines = {number: row for row, number in enumerate(own)}
        if all(number in lines for number in clip.numbers):
            return [lines[number] for number in clip.numbers]
    elif max(clip.numbers) < count:
        return list(clip.numbers)
    if count == len(clip):
        return list(range(count))
    raise BadInput(f"{where} has {count} entries, which are not one for each of the {len(clip)} frames of the clip.")


def read_depths(path: Path, clip: Clip) -> Float[Tensor, "t h w"]:
    """Planar depth of each frame of ``clip``, of its size; 0 where it is not known.

    path: a folder with a 16-bit PNG or an ``.npy`` [h, w] a frame, in order of the numbers in their names, or one
    ``.npy`` or ``.npz`` (``depths``) of all, [t, h, w]. PNG are in millimetres, unless a ``transforms.json`` beside the
    folder says otherwise (``depth_unit_scale_factor``). Raises BadInput: no such files, or none for a frame.
    """
    if path.is_dir():
        maps = _depth_pictures(path, clip)
    else:
        whole = read_npz(path, MAX_BYTES) if path.suffix == ".npz" else {"depths": read_npy(path, MAX_BYTES)}
        stack = numbers(whole, "depths", (None, None, None), str(path))
        maps = [stack[row] for row in _rows(len(stack), clip, str(path), None)]
    depths = torch.zeros(len(clip), *reversed(clip.size))
    for i, depth in enumerate(maps):
        clean = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
        # Between two surfaces there is none: the nearest pixel, not the mean of several.
        sized = cv2.resize(clean, clip.size, interpolation=cv2.INTER_NEAREST_EXACT)
        depths[i] = torch.from_numpy(sized)
    if not (depths > 0).any():
        raise BadInput(f"{path} holds no depth above zero.")
    return depths


def _depth_pictures(folder: Path, clip: Clip) -> list[np.ndarray]:
    files = list(numbered(folder, ".png").values())
    plain = not files
    files = files or list(numbered(folder, ".npy").values())
    if not files:
        raise BadInput(f"{folder} holds no depth: 16-bit .png or .npy files were looked for.")
    chosen = [files[row] for row in _rows(len(files), clip, str(folder), None)]
    if plain:
        maps = [read_npy(file, MAX_BYTES) for file in chosen]
        for file, depth in zip(chosen, maps):
            if depth.ndim != 2 or depth.dtype.kind not in "fiu" or 0 in depth.shape:
                raise BadInput(f"{file} is {depth.dtype} {list(depth.shape)}; depth of one frame is [h, w].")
        return maps
    unit, beside = MILLIMETRE, folder.parent / transforms.FILE
    if beside.is_file():
        listing = read_json(beside)
        stated = listing.get("depth_unit_scale_factor", MILLIMETRE) if isinstance(listing, dict) else MILLIMETRE
        if not isinstance(stated, float | int) or not 0 < stated < 1e6:
            raise BadInput(f"{beside}: depth_unit_scale_factor is {stated!r}; it must be a number above zero.")
        unit = float(stated)
    return [read_steps(file).astype(np.float32) * unit for file in chosen]
