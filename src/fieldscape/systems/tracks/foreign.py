"""Tracks that others made, read as ours.

What is read (t frames, n points; a batch axis of one is dropped):

* **SpatialTrackerV2 / spacelayer**, ``.pt``: ``track2d_pred`` [t, n, 3] (x, y, depth), ``track3d_pred`` [t, n, 3 or
  more] (in camera axes), ``vis_pred`` and ``conf_pred`` [t, n], ``c2w_traj`` [t, 4, 4], ``intrs`` [t, 3, 3], ``video``
  [t, 3, h, w] in 0..255. ``extrs`` (the poses before they were refined) is not needed.
* **TAPIP3D**, ``.npz``: ``coords`` [t, n, 3] in the world, ``visibs`` [t, n], ``extrinsics`` [t, 4, 4] or [t, 3, 4],
  world to camera, ``intrinsics`` [t, 3, 3], ``video``; ``depths`` is not needed.
* **CoTracker, TAPIR and other 2D trackers**, ``.npz``: ``tracks`` or ``pred_tracks`` [t, n, 2] in pixels, with
  ``visibility`` or ``pred_visibility`` [t, n]; or, as TAPIR has it, ``tracks`` [n, t, 2] with ``visibles`` [n, t].
  ``confidence`` likewise, if there. Beside them ``depths`` [t, h, w] along the optical axis (0: not known),
  ``intrinsics`` [t, 3, 3] or [3, 3], and ``camera_poses`` [t, 4, 4] camera to world or ``extrinsics`` world to camera;
  ``video``, or a clip given; ``size`` [2], where pixels are of pictures of another size than the frames'.
* **COLMAP**: a folder with a sparse model of the clip's frames; its observations are the tracks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import require_valid_poses, resize
from fieldscape.data.colmap import detect
from fieldscape.errors import BadInput
from fieldscape.systems.tracks.bundle import require_sound
from fieldscape.systems.tracks.foreign_arrays import named, numbers, pictures, read_arrays
from fieldscape.systems.tracks.foreign_colmap import read_model_tracks
from fieldscape.systems.tracks.foreign_space import on_ray, tracked_from
from fieldscape.systems.tracks.nouns import Clip, Tracked
from fieldscape.systems.tracks.options import ForeignSettings
from fieldscape.types import Camera

ASSUMED_FPS = 24.0
Arrays = dict[str, np.ndarray]


def read_any(path: Path, clip: Clip | None, settings: ForeignSettings) -> Tracked:
    """The tracks at ``path``. ``clip``: the frames, where the file has none; its masks and times where it has.

    Raises BadInput: no such file, damaged, more than plain arrays, shapes that do not fit, no frames, no usable point.
    """
    if path.is_dir():
        if not detect(path):
            raise BadInput(
                f"{path} holds no COLMAP model (cameras and images, .bin or .txt); give tracks of a known kind."
            )
        if clip is None:
            raise BadInput(f"{path} is a COLMAP model, which holds no pictures: give the clip too.")
        tracked = read_model_tracks(path, clip)
    else:
        arrays = read_arrays(path)
        if named(arrays, "track3d_pred", "track2d_pred"):
            tracked = _spatial_tracker(arrays, clip, settings, str(path))
        elif "coords" in arrays:
            tracked = _tapip3d(arrays, clip, settings, str(path))
        elif named(arrays, "tracks", "pred_tracks"):
            tracked = _flat_tracker(arrays, clip, settings, str(path))
        else:
            found = ", ".join(sorted(arrays))[:200] or "nothing"
            raise BadInput(
                f"{path} is of no known kind of tracks: it holds {found}. Known are SpatialTrackerV2 (track3d_pred), "
                "TAPIP3D (coords), CoTracker or TAPIR (tracks, with depths and poses), and COLMAP models."
            )
    require_sound(tracked, str(path))
    return tracked


def _spatial_tracker(arrays: Arrays, clip: Clip | None, settings: ForeignSettings, where: str) -> Tracked:
    clip = _clip(arrays, clip, where)
    t = len(clip)
    local = numbers(arrays, "track3d_pred", (t, None, None), where)
    n = local.shape[1]
    flat = numbers(arrays, "track2d_pred", (t, n, None), where)
    if local.shape[2] < 3 or flat.shape[2] < 2:
        raise BadInput(f"{where}: track3d_pred needs x, y, z and track2d_pred x, y of each point.")
    pose = _poses(numbers(arrays, "c2w_traj", (t, 4, 4), where), "c2w_traj", where)
    half = _half(settings, "center")
    camera = _camera(pose, numbers(arrays, "intrs", (t, 3, 3), where), half, clip.size, "intrs", where)
    world = torch.from_numpy(local[..., :3]) @ pose[:, :3, :3].mT + pose[:, None, :3, 3]
    places = torch.from_numpy(flat[..., :2]) + half
    sure = torch.from_numpy(_sure(arrays, ("vis_pred",), ("conf_pred",), (t, n), settings, where))
    return tracked_from(clip, camera, places, sure, world, 0.0, ("tracks of SpatialTrackerV2",), where)


def _tapip3d(arrays: Arrays, clip: Clip | None, settings: ForeignSettings, where: str) -> Tracked:
    clip = _clip(arrays, clip, where)
    t = len(clip)
    world = torch.from_numpy(numbers(arrays, "coords", (t, None, 3), where))
    n = world.shape[1]
    pose = _inverse(_rigid(arrays, "extrinsics", t, where), "extrinsics", where)
    size = _stated_size(arrays, clip, where)
    camera = _camera(pose, _lens(arrays, t, where), _half(settings, "center"), size, "intrinsics", where)
    camera = resize(camera, *clip.size)
    sure = torch.from_numpy(_sure(arrays, ("visibs",), ("confs", "confidence"), (t, n), settings, where))
    local = (world - pose[:, None, :3, 3]) @ pose[:, :3, :3]
    ahead = local / local[..., 2:].where(local[..., 2:] > 1e-9, torch.nan)
    places = ahead[..., :2] * camera.focal[:, None] + camera.center[:, None]
    return tracked_from(clip, camera, places, sure, world, 0.0, ("tracks of TAPIP3D",), where)


def _flat_tracker(arrays: Arrays, clip: Clip | None, settings: ForeignSettings, where: str) -> Tracked:
    clip = _clip(arrays, clip, where)
    t = len(clip)
    name = named(arrays, "tracks", "pred_tracks") or "tracks"
    tapir = "visibles" in arrays
    if tapir:
        places = numbers(arrays, name, (None, t, 2), where).transpose(1, 0, 2)
        turned = {key: np.moveaxis(arrays[key], -1, -2) for key in ("visibles", "confidence") if key in arrays
                  and arrays[key].ndim >= 2}  # fmt: skip
        arrays = arrays | turned
    else:
        places = numbers(arrays, name, (t, None, 2), where)
    n = places.shape[1]
    names = ("visibles",) if tapir else ("visibility", "pred_visibility")
    sure = torch.from_numpy(_sure(arrays, names, ("confidence", "pred_confidence"), (t, n), settings, where))
    size = _stated_size(arrays, clip, where)
    if "camera_poses" in arrays:
        pose = _poses(_rigid(arrays, "camera_poses", t, where), "camera_poses", where)
    elif "extrinsics" in arrays:
        pose = _inverse(_rigid(arrays, "extrinsics", t, where), "extrinsics", where)
    else:
        raise BadInput(f"{where} holds tracks in the picture only: add camera_poses, intrinsics and depths to it.")
    half = _half(settings, "corner" if tapir else "center")
    camera = resize(_camera(pose, _lens(arrays, t, where), half, size, "intrinsics", where), *clip.size)
    scale = torch.tensor(clip.size, dtype=torch.float64) / torch.tensor(size, dtype=torch.float64)
    flat = (torch.from_numpy(places.copy()) + half) * scale
    depths = numbers(arrays, named(arrays, "depths", "depth") or "depths", (t, None, None), where)
    # The last surface but one is not between the last two: depth is taken from the pixel, not from between pixels.
    height, width = depths.shape[1:]
    share = torch.tensor([width, height], dtype=torch.float64) / torch.tensor(clip.size, dtype=torch.float64)
    x, y = (flat.nan_to_num(-1.0) * share).floor().long().unbind(-1)
    there = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    depth = torch.from_numpy(depths)[torch.arange(t)[:, None], y.clamp(0, height - 1), x.clamp(0, width - 1)]
    depth = depth.where(there & depth.isfinite() & (depth > 0), torch.nan)
    said = (f"tracks of {'TAPIR' if tapir else 'CoTracker or its kind'}, with given depth and poses",)
    return tracked_from(clip, camera, flat, sure, on_ray(camera, flat, depth), 0.0, said, where)


# ------------------------------------------------------------------------------------------------ parts of them


def _clip(arrays: Arrays, clip: Clip | None, where: str) -> Clip:
    """The frames of the file if it has any, with the masks and times of ``clip`` if that is given; else ``clip``."""
    if "video" not in arrays:
        if clip is None:
            raise BadInput(f"{where} holds no pictures (no array video): give the clip that it was made from, too.")
        return clip
    frames = pictures(arrays, "video", where)
    t, height, width = frames.shape[:3]
    if t < 2:
        raise BadInput(f"{where}: video has {t} frame; two at least are needed.")
    if clip is None:
        note = f"{where} does not say how many frames a second it has; {ASSUMED_FPS:g} are assumed"
        return Clip(frames, torch.arange(t) / ASSUMED_FPS, None, tuple(range(t)), Path(where).stem, (note,))
    if len(clip) != t:
        raise BadInput(f"{where} has {t} frames and the clip {len(clip)}: choose the same with --start and --end.")
    layers = clip.layers
    if layers is not None and clip.size != (width, height):
        small = [cv2.resize(x.numpy(), (width, height), interpolation=cv2.INTER_NEAREST) for x in layers]
        layers = torch.from_numpy(np.stack(small))
    return replace(clip, frames=frames, layers=layers)


def _half(settings: ForeignSettings, usual: str) -> float:
    """What to add to a pixel of the file: for us the centre of the first is at 0.5."""
    return 0.5 if (usual if settings.origin == "auto" else settings.origin) == "center" else 0.0


def _stated_size(arrays: Arrays, clip: Clip, where: str) -> tuple[int, int]:
    if "size" not in arrays:
        return clip.size
    width, height = (int(side) for side in numbers(arrays, "size", (2,), where))
    if not (0 < width <= 2**15 and 0 < height <= 2**15):
        raise BadInput(f"{where}: size is {width} x {height}; the width and height of the pictures belong there.")
    return width, height


def _sure(
    arrays: Arrays,
    visible: tuple[str, ...],
    sure: tuple[str, ...],
    shape: tuple[int, int],
    settings: ForeignSettings,
    where: str,
) -> Float[np.ndarray, "t n"]:
    """How sure each sighting is; 0 where visibility or confidence is not above what is asked for."""
    name = named(arrays, *visible)
    if name is None:
        raise BadInput(f"{where} does not say where points are visible: the array {visible[0]} is missing.")
    seen = np.nan_to_num(numbers(arrays, name, shape, where))
    other = named(arrays, *sure)
    found = np.nan_to_num(numbers(arrays, other, shape, where)) if other else np.ones(shape)
    for key, values in ((name, seen), (other, found)):
        if key and values.size and not (values.min() >= 0 and values.max() <= 1):
            raise BadInput(f"{where}: {key} must lie in 0..1, not in {values.min():.3g}..{values.max():.3g}.")
    good = (seen > settings.least_sure) & (found > settings.least_sure)
    return np.where(good, np.minimum(seen, found), 0.0)


def _lens(arrays: Arrays, t: int, where: str) -> Float[np.ndarray, "t 3 3"]:
    one = "intrinsics" in arrays and arrays["intrinsics"].shape == (3, 3)
    return (
        np.repeat(arrays["intrinsics"][None].astype(np.float64), t, 0)
        if one
        else numbers(arrays, "intrinsics", (t, 3, 3), where)
    )


def _rigid(arrays: Arrays, name: str, t: int, where: str) -> Float[np.ndarray, "t 4 4"]:
    """Matrices [t, 4, 4]; [t, 3, 4] get their last row."""
    if name in arrays and arrays[name].shape[-2:] == (3, 4):
        upper = numbers(arrays, name, (t, 3, 4), where)
        return np.concatenate([upper, np.broadcast_to([[[0.0, 0, 0, 1]]], (t, 1, 4))], 1)
    return numbers(arrays, name, (t, 4, 4), where)


def _poses(matrices: np.ndarray, name: str, where: str) -> Float[Tensor, "t 4 4"]:
    pose = torch.from_numpy(np.ascontiguousarray(matrices))
    require_valid_poses(pose, [f"{name}, frame {i}" for i in range(len(pose))], where)
    # Trackers work in single precision: nearly rotations become rotations.
    u, _, v = torch.linalg.svd(pose[:, :3, :3])
    pose = pose.clone()
    pose[:, :3, :3], pose[:, 3] = u @ v, torch.tensor([0.0, 0, 0, 1], dtype=torch.float64)
    return pose


def _inverse(matrices: np.ndarray, name: str, where: str) -> Float[Tensor, "t 4 4"]:
    return torch.linalg.inv(_poses(matrices, name, where))


def _camera(
    pose: Float[Tensor, "t 4 4"], lens: np.ndarray, half: float, size: tuple[int, int], name: str, where: str
) -> Camera:
    k = torch.from_numpy(np.ascontiguousarray(lens))
    focal, center = torch.stack([k[:, 0, 0], k[:, 1, 1]], -1), k[:, :2, 2] + half
    if not (k.isfinite().all() and (focal > 1e-3).all()):
        raise BadInput(f"{where}: {name} must hold focal lengths above zero and finite numbers, in pixels.")
    return Camera(pose, focal, center, *size)
