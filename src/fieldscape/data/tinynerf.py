"""Reader of TinyNeRF archives: one ``.npz`` with photos, poses and a focal length.

Layout: ``images`` [V, H, W, 3], ``poses`` [V, 4, 4] camera-to-world with OpenGL axes, ``focal`` in pixels. Optional:
``maps`` [V, H, W, N] (or channels beyond the third of ``images``), ``held_out`` or ``i_test``, ``near`` and ``far``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape import cameras
from fieldscape.data.assembly import assemble, every_nth
from fieldscape.data.layers import unit_floats
from fieldscape.data.options import ReadOptions
from fieldscape.data.photostack import USABLE_SHARE, area_mean, free_memory, reduced_size, shrink
from fieldscape.data.untrusted import finite, read_npz
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Views

PUBLIC_VIEWS = 106
"""The published file has 106 views; its page trains on the first 100 and tests on the last 6."""


def find(path: Path) -> Path | None:
    """The archive at ``path``: the file itself, or the only one in the folder."""
    if path.is_file():
        return path if path.suffix.lower() == ".npz" else None
    archives = sorted(path.glob("*.npz"))
    return archives[0] if len(archives) == 1 else None


def read(path: Path, options: ReadOptions) -> Views:
    """The views in the archive ``path`` (or in the only one in that folder).

    Raises BadInput: damaged, pickled, too large, keys missing, shapes that disagree, values out of range.
    """
    file = find(path)
    if file is None:
        raise BadInput(f"{path} is no .npz archive, nor a folder with exactly one.")
    arrays = read_npz(file, max_bytes=int(USABLE_SHARE * free_memory()))
    missing = sorted({"images", "poses", "focal"} - set(arrays))
    if missing:
        raise BadInput(f"{file} lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays))[:200]}.")
    images, maps, notes = _pictures(arrays, options, file)
    views, height, width = images.shape[:3]
    poses = arrays["poses"]
    if poses.shape != (views, 4, 4) or poses.dtype.kind != "f":
        raise BadInput(f"{file}: poses are {poses.dtype} {poses.shape}; floats [{views}, 4, 4] are needed.")
    focal = _scalar(arrays["focal"], "focal", file)
    if focal <= 0:
        raise BadInput(f"{file}: focal is {focal:g}; it must be above zero, in pixels.")
    center = torch.tensor([width / 2, height / 2])
    camera = Camera(
        cameras.flip_yz(torch.from_numpy(poses.astype(np.float64)).float()),
        torch.full((views, 2), focal),
        center.expand(views, 2).clone(),
        width,
        height,
    )
    if options.downscale > 1:
        small = reduced_size(width, height, options.downscale)
        images = torch.stack([shrink(image, *small) for image in images])
        maps = None if maps is None else torch.stack([area_mean(each, *small) for each in maps])
        camera = cameras.resize(camera, *small)
    names = tuple(f"view_{i:0{len(str(views - 1))}d}" for i in range(views))
    held_out, split = _split(arrays, names, options, file)
    made = Views(
        camera, images, names, held_out, split, maps=maps, bounds=_bounds(arrays, views, file), notes=tuple(notes)
    )
    return assemble(made, options, str(file))


def _pictures(
    arrays: dict[str, np.ndarray], options: ReadOptions, file: Path
) -> tuple[Float[Tensor, "v h w c"] | UInt8[Tensor, "v h w c"], Float[Tensor, "v h w n"] | None, list[str]]:
    """Photos, further maps, and notes."""
    stored, n = arrays["images"], options.channels
    if stored.ndim != 4 or stored.shape[-1] < 3 or min(stored.shape) < 1:
        raise BadInput(f"{file}: images have shape {stored.shape}; [views, height, width, 3] is needed.")
    if stored.dtype != np.uint8 and stored.dtype.kind != "f":
        raise BadInput(f"{file}: images are {stored.dtype}; uint8, or floats in 0..1, are needed.")
    finite(stored, "images", str(file))
    maps = next((arrays[key] for key in arrays if key == "maps" or key.endswith("_maps")), None) if n else None
    if n and maps is None and stored.shape[-1] == 3 + n:
        stored, maps = stored[..., :3], stored[..., 3:]
    if n and (maps is None or maps.shape != (*stored.shape[:3], n) or maps.dtype.kind not in "biuf"):
        found = "nothing of the kind" if maps is None else f"{maps.dtype} {maps.shape}"
        raise BadInput(
            f"{file}: {n} further channels are asked for, so it needs a key maps [V, H, W, {n}], or images with"
            f" {3 + n} channels; it has {found}, and images {stored.shape}."
        )
    if stored.shape[-1] > 4:
        raise BadInput(f"{file}: images have {stored.shape[-1]} channels; say --channels N for those beyond colour.")
    notes = []
    if stored.dtype != np.uint8:
        low, high = float(stored.min()), float(stored.max())
        if low < 0 or high > 255 or 1.001 < high <= 2:
            raise BadInput(f"{file}: images lie in {low:g}..{high:g}; 0..1 (or 0..255) is needed.")
        stored = stored.astype(np.float32)
        if high > 2:
            stored = stored / 255
            notes.append("images were floats in 0..255: divided by 255")
        stored = stored.clip(0, 1)
    return torch.from_numpy(stored), None if maps is None else unit_floats(maps, str(file)), notes


def _split(
    arrays: dict[str, np.ndarray], names: tuple[str, ...], options: ReadOptions, file: Path
) -> tuple[tuple[int, ...], str]:
    views = len(names)
    key = next((key for key in ("held_out", "i_test") if key in arrays), None)
    if key is not None:
        given = arrays[key].reshape(-1)
        if given.dtype.kind not in "iu" or (given.size and (given.min() < 0 or given.max() >= views)):
            raise BadInput(f"{file}: {key} must hold indices of the {views} views.")
        return tuple(sorted({int(i) for i in given})), f"the file's own ({key})"
    if views == PUBLIC_VIEWS:
        return tuple(range(100, views)), "the first 100 views to train, the last 6 held out"
    return every_nth(names, options)


def _bounds(arrays: dict[str, np.ndarray], views: int, file: Path) -> Float[Tensor, "v 2"] | None:
    if "near" not in arrays or "far" not in arrays:
        return None
    near, far = _scalar(arrays["near"], "near", file), _scalar(arrays["far"], "far", file)
    if not 0 <= near < far:
        raise BadInput(f"{file}: near is {near:g} and far {far:g}; 0 <= near < far is needed.")
    return torch.tensor([near, far]).expand(views, 2).clone()


def _scalar(array: np.ndarray, what: str, file: Path) -> float:
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise BadInput(f"{file}: {what} is {array.dtype} {array.shape}; one number is needed.")
    value = float(array.reshape(()))
    if not abs(value) < 1e30:  # also NaN; and float32 holds no more
        raise BadInput(f"{file}: {what} is {value:g}, which is no usable number.")
    return value
