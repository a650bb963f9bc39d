"""What lies beside the photos pixel for pixel: masks, depth images, and further maps to learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from fieldscape import cameras, images
from fieldscape.data.photostack import area_mean, in_parallel, reduced_size, require_memory
from fieldscape.data.untrusted import finite, inside, read_npy
from fieldscape.errors import BadInput
from fieldscape.types import Camera

MAP_SUFFIXES = (".npy", ".png", ".tif", ".tiff")

EDGE = 0.05
"""A reduced depth pixel whose sources spread by more than this share straddles an edge: its depth is unknown."""


def read_mask(path: Path, width: int, height: int) -> Float[Tensor, "h w"]:
    """A mask in 0..1, of the photos' size. A mask with colours speaks by its first channel.

    Raises BadInput: missing, damaged, or of another size.
    """
    _require_size(path, images.read_size(path), (width, height))
    mask = images.read_image(path)[..., 0].float()
    return mask if mask.max() == 1 else mask / 255  # a mask of zeros and ones holds labels, not shades


def with_alpha(
    photos: UInt8[Tensor, "v h w c"], masks: Sequence[Path], size: tuple[int, int]
) -> UInt8[Tensor, "v h w 4"]:
    """RGB photos with the masks as alpha; ``size`` is (width, height) of the mask files, before any reduction."""
    small = (photos.shape[2], photos.shape[1])

    def one(path: Path) -> Tensor:
        return area_mean(read_mask(path, *size)[..., None], *small)

    alpha = torch.stack(in_parallel(one, masks))
    return torch.cat([photos[..., :3], (alpha * 255).round().to(torch.uint8)], -1)


def usable_pixels(masks: Sequence[Path | None], size: tuple[int, int], small: tuple[int, int]) -> Bool[Tensor, "v h w"]:
    """Pixels that may be used: where the mask is not black, in all of a reduced pixel; without mask all."""
    valid = torch.ones(len(masks), small[1], small[0], dtype=torch.bool)
    for view, path in enumerate(masks):
        if path is not None:
            usable = (read_mask(path, *size) > 0).float()[..., None]
            valid[view] = area_mean(usable, *small)[..., 0] > 0.999
    return valid


def read_depth(path: Path, unit: float, width: int, height: int) -> Float[Tensor, "h w"]:
    """Planar depth (z) in the data's unit; 0 where unknown.

    ``.npy`` holds floats in metres; a 16-bit PNG holds whole numbers of ``unit``.

    Raises BadInput: missing, damaged, of another size, or of another kind.
    """
    if path.suffix.lower() == ".npy":
        array = read_npy(path, max_bytes=8 * width * height)
        if array.dtype.kind != "f" or array.squeeze().shape != (height, width):
            raise BadInput(f"{path} holds {array.dtype} {array.shape}; floats [{height}, {width}] were expected.")
        depth = torch.from_numpy(array.squeeze().astype(np.float64)).float()
    else:
        _require_size(path, images.read_size(path), (width, height))
        array = _decoded(path)
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise BadInput(f"{path} is not a depth image; a PNG with one 16-bit channel was expected.")
        depth = torch.from_numpy(array.astype(np.float32)) * unit
    return torch.where(depth.isfinite() & (depth > 0), depth, 0.0)


def reduced_depth(depth: Float[Tensor, "h w"], width: int, height: int) -> Float[Tensor, "height width"]:
    """Planar depth on fewer pixels; unknown (0) where a source is unknown or the sources straddle an edge.

    The mean is taken of 1/z, which for a plane is linear in the pixel, so planes stay exactly where they are.
    """
    if depth.shape == (height, width):
        return depth
    known = depth > 0
    inverse = torch.where(known, 1 / depth.clamp_min(1e-12), 0.0)
    sums = area_mean(torch.stack([inverse, inverse.square(), known.float()], -1), width, height)
    mean, square, share = sums.unbind(-1)
    good = (share > 0.999) & (square - mean.square() <= (EDGE * mean).square())
    return torch.where(good, 1 / mean.clamp_min(1e-12), 0.0)


def load_depths(
    paths: Sequence[Path | None], unit: float, size: tuple[int, int], camera: Camera
) -> Float[Tensor, "v h w"]:
    """True distances along the rays of ``camera`` (already of the reduced size) from files of planar depth."""
    require_memory(len(paths), camera.width, camera.height, bytes_per_pixel=4)
    depths = torch.zeros(len(paths), camera.height, camera.width)
    for view, path in enumerate(paths):
        if path is not None:
            planar = reduced_depth(read_depth(path, unit, *size), camera.width, camera.height)
            depths[view] = cameras.ray_depth(camera[view], planar)
    return depths


def load_maps(
    folder: Path, names: Sequence[str], channels: int, size: tuple[int, int], downscale: float | int
) -> Float[Tensor, "v h w n"]:
    """The further maps of the photos ``names`` (paths relative to ``folder``), from ``folder/maps``.

    The map of ``images/0001.jpg`` is ``maps/0001.npy`` [H, W, channels] or ``maps/0001.png`` (or .tif) with as many
    channels; that of ``train/r_0.png`` is ``maps/train/r_0.npy``. Whole numbers are scaled to 0..1.

    Raises BadInput: a map is missing, damaged, or has another size or number of channels.
    """
    small = reduced_size(*size, downscale)
    require_memory(len(names), *small, bytes_per_pixel=4 * channels)

    def one(path: Path) -> Tensor:
        return area_mean(_read_map(path, channels, size), *small)

    return torch.stack(in_parallel(one, [_map_file(folder, name, channels) for name in names]))


def _map_file(folder: Path, name: str, channels: int) -> Path:
    parts = PurePosixPath(name).with_suffix("").parts
    stem = "/".join(parts[1:] if len(parts) > 1 and parts[0].startswith("images") else parts)
    for suffix in MAP_SUFFIXES:
        path = inside(folder, f"maps/{stem}{suffix}", "maps")
        if path.is_file():
            return path
    raise BadInput(
        f"There is no map of {channels} channels for {name}: looked for maps/{stem}.npy ([H, W, {channels}]) and"
        f" maps/{stem}.png or .tif ({channels} channels) in {folder}."
    )


def _read_map(path: Path, channels: int, size: tuple[int, int]) -> Float[Tensor, "h w n"]:
    width, height = size
    if path.suffix.lower() == ".npy":
        array = read_npy(path, max_bytes=8 * width * height * channels)
    else:
        _require_size(path, images.read_size(path), size)
        array = _decoded(path)
    array = array[..., None] if array.ndim == 2 else array
    if array.shape != (height, width, channels) or array.dtype.kind not in "biuf":
        raise BadInput(f"{path} holds {array.dtype} {array.shape}; numbers [{height}, {width}, {channels}] are needed.")
    return unit_floats(array, str(path))


def unit_floats(array: Shaped[np.ndarray, "*shape"], where: str) -> Float[Tensor, "*shape"]:
    """Values of a map as float32: floats as they are, whole numbers divided by the largest their type holds.

    Raises BadInput where one is not finite.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused
        values = array.astype(np.float32)
    if array.dtype.kind in "iu":
        values /= np.iinfo(array.dtype).max
    finite(values, "the map", where)
    return torch.from_numpy(values)


def _decoded(path: Path) -> np.ndarray:
    """The pixels of a still as they are stored (8 or 16 bits, or floats); its size has been judged before."""
    try:
        with Image.open(path, formats=images.FORMATS) as image:
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, UnidentifiedImageError) as error:
        raise BadInput(f"{path} is not a readable image: {error}.") from error


def _require_size(path: Path, given: tuple[int, int], expected: tuple[int, int]) -> None:
    if given != expected:
        raise BadInput(
            f"{path} is {given[0]} x {given[1]}, but the photos are {expected[0]} x {expected[1]}; they must agree."
        )
