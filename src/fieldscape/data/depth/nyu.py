"""NYU Depth V2, the labelled part: 1449 single pictures of rooms in one MATLAB file, which is HDF5.

    depths, rawDepths [n, 640, 480] metres (filled in, and as measured: 0 unknown); images [n, 3, 640, 480];
    labels, instances [n, 640, 480]: classes, and numbers of things within a class (arrays are MATLAB's, turned over)

Depth is that of ``depths``, valid where ``rawDepths`` measured something. The publishers' toolbox counts pixels from 1,
so half a pixel is taken off its principal point (325.58, 253.74). Reading HDF5 needs the extra package h5py.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fieldscape.data.depth.frames import Sequence
from fieldscape.data.depth.making import depth_map, given
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import MAX_PIXELS
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.files import reason

USUAL = (518.8579, 519.46961, 325.58245 - 0.5, 253.73617 - 0.5)
FIRST = b"MATLAB 7.3 MAT-file"
PER_CLASS = 1000
"""Of a class, things are numbered by class * PER_CLASS + number."""


def find(path: Path) -> list[Path]:
    """``path`` itself, or the one .mat file in it, if it is an HDF5 one."""
    files = [path] if path.is_file() and path.suffix == ".mat" else sorted(path.glob("*.mat"))[:2]
    return [file for file in files if _begins(file)] if len(files) == 1 else []


def read(home: Path, options: DepthOptions) -> Sequence:
    """All pictures of the file, which stays open. Raises BadInput: no h5py, or a file that is not as told above."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise BadInput(
            f"{home} is an HDF5 file, which needs the package h5py: pip install 'fieldscape[nyu]'."
        ) from error
    try:
        arrays = h5py.File(home, "r")
    except OSError as error:
        raise BadInput(f"{home} cannot be opened as HDF5 ({reason(error)}); copy it again.") from error
    count, width, height = _checked(arrays, home)
    name = home.stem
    inner = USUAL if options.intrinsics is None else given(options.intrinsics)

    def picture(kind: str, k: int) -> np.ndarray | None:
        if kind not in arrays:
            return None
        try:
            return np.asarray(arrays[kind][k]).swapaxes(-1, -2)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BadInput(f"{home}: {kind} of picture {k} cannot be read ({reason(error)}); copy it again.") from error

    def load(k: int) -> DepthMap:
        depth, raw = picture("depths", k), picture("rawDepths", k)
        assert depth is not None
        if raw is not None:
            depth = np.where(raw > 0, depth, 0)
        labels, numbers, image = picture("labels", k), picture("instances", k), picture("images", k)
        things = None
        if labels is not None and numbers is not None:
            both = (labels > 0) & (numbers > 0)
            things = np.where(both, labels.astype(np.int64) * PER_CLASS + numbers, 0)
        color = None
        if image is not None and options.color:
            color = torch.from_numpy(np.ascontiguousarray(image.transpose(1, 2, 0).astype(np.uint8)))
        nothing = np.zeros((height, width), bool)
        depth = depth.astype(np.float32)
        return depth_map(f"{name}/{k:04d}", depth, nothing, inner, "--intrinsics", 0.0, None, things, labels, color)

    return Sequence(name, tuple(f"{k:04d}" for k in range(count)), load)


def _begins(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(len(FIRST)) == FIRST
    except OSError:
        return False


def _checked(arrays: Any, home: Path) -> tuple[int, int, int]:
    """Count, width and height, when all arrays have them."""
    if "depths" not in arrays or len(getattr(arrays["depths"], "shape", ())) != 3:
        raise BadInput(f"{home} holds no array depths of pictures; it is not NYU Depth V2's labelled file.")
    count, width, height = arrays["depths"].shape
    if count == 0 or width * height == 0 or width * height > MAX_PIXELS:
        raise BadInput(f"{home} claims {count} pictures of {width} x {height} pixels; at most {MAX_PIXELS:,} are read.")
    shapes = dict.fromkeys(("rawDepths", "labels", "instances"), (count, width, height))
    for kind, shape in [*shapes.items(), ("images", (count, 3, width, height))]:
        if kind in arrays and getattr(arrays[kind], "shape", None) != shape:
            raise BadInput(f"{home}: {kind} is not {' x '.join(map(str, shape))}, as depths would have it.")
    return count, width, height
