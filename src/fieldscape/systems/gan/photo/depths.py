"""The depth of a photo: from a file that anybody may have written, or from a model; checked, sized and without gaps."""

from __future__ import annotations

import io
import math
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fieldscape.errors import BadInput
from fieldscape.files import read_bytes
from fieldscape.images import MAX_PIXELS, read_size
from fieldscape.systems.gan.options import InvertOptions
from fieldscape.systems.gan.photo.fill import fill_smooth
from fieldscape.systems.gan.photo.monocular import estimate

USUAL_MEDIAN = 3.0
"""Median depth in metres that a map without a scale is given."""
FARTHEST = 0.12
"""The least nearness in a map without a scale, as a share of the greatest: rooms are eight times as deep as near."""
MOST_BYTES = 512 * 2**20
PLAUSIBLE = (0.1, 100.0)
"""Median depths in metres that a photo of a room, or of a garden, may have."""
ASPECT = 0.02


def depth_of(photo: UInt8[np.ndarray, "h w 3"], options: InvertOptions) -> tuple[Float[np.ndarray, "h w"], str]:
    """Planar depth in metres at each pixel of the photo, and where it is from, in words.

    Raises BadInput: no map, a damaged one, one of another aspect than the photo, or values that are no depth of it.
    """
    if options.depth is None:
        raise BadInput("the engine depth needs --depth FILE, or --depth auto to have a model estimate it")
    if options.depth == "auto":
        values, metric = estimate(photo, options.depth_model)
        source, unit = f"estimated by {options.depth_model}", 1.0
    else:
        path = Path(options.depth)
        values, unit = read_map(path, options)
        metric, source = options.depth_kind == "metric", str(path)
    height, width = photo.shape[:2]
    tall, wide = values.shape
    if options.depth != "auto" and abs(wide / tall * height / width - 1) > ASPECT:
        raise BadInput(
            f"the depth map {options.depth} is {wide} x {tall} and the photo {width} x {height}: give one of its shape"
        )
    nearness = metres(values, unit, source) if metric else scaled(values, source)
    if (tall, wide) != (height, width) and options.depth != "auto":
        source += f", resampled from {wide} x {tall}"
    if not metric:
        source += f", scaled to a median of {USUAL_MEDIAN:g} m"
    smaller = width < wide
    sized = cv2.resize(nearness, (width, height), interpolation=cv2.INTER_NEAREST if smaller else cv2.INTER_LINEAR)
    return (1 / sized).astype(np.float32), source


def read_map(path: Path, options: InvertOptions) -> tuple[Float[np.ndarray, "a b"], float]:
    """The values of a depth map as stored, and the metres of one step."""
    if path.suffix.lower() == ".npy":
        values = _array(read_bytes(path, MOST_BYTES), path)
    else:
        wide, tall = read_size(path)
        if wide * tall > MAX_PIXELS:
            raise BadInput(f"the depth map {path} is {wide} x {tall} pixels, more than any camera makes")
        packed = read_bytes(path, MOST_BYTES)
        whole = not packed.startswith(b"\x89PNG") or b"IEND" in packed[-64:]
        decoded = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
        if decoded is None:
            raise BadInput(f"the depth map {path} is damaged, or of a kind that is not read; save it as a PNG")
        values = np.asarray(decoded)
        if values.dtype == np.uint8 and options.depth_kind == "metric" and options.depth_unit is None:
            raise BadInput(
                f"the depth map {path} has 8 bits, too few for millimetres: say --depth-kind inverse if larger is "
                "nearer, or what a step is in metres by --depth-unit"
            )
    # An image of floating-point numbers is in metres, as an array is.
    usual = 0.001 if path.suffix.lower() != ".npy" and values.dtype.kind != "f" else 1.0
    if values.ndim == 3 and (values.shape[-1] == 1 or (values[..., :3] == values[..., :1]).all()):
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "uif" or min(values.shape) < 2:
        shape = " x ".join(str(side) for side in values.shape) or "one value"
        raise BadInput(
            f"the depth map {path} is an array of {shape} ({values.dtype}): it must have one number a pixel, in rows "
            "and columns"
        )
    unit = usual if options.depth_unit is None else options.depth_unit
    if not (np.isfinite(unit) and unit > 0):
        raise BadInput(f"--depth-unit is {unit:g}: give the metres of one step, such as 0.001")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is no depth
        return values.astype(np.float32), unit


def _array(packed: bytes, path: Path) -> np.ndarray:
    """The array of an .npy file, never unpickled, its stated size checked before any memory is taken for it."""
    try:
        stream = io.BytesIO(packed)
        version = np.lib.format.read_magic(stream)
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, kind = headers[version](stream)
        if kind.hasobject or any(side < 0 for side in shape) or math.prod(shape) * kind.itemsize > len(packed):
            raise ValueError("more than the file holds")
        return np.load(io.BytesIO(packed), allow_pickle=False)
    except (ValueError, KeyError, TypeError, EOFError, OSError, OverflowError, SyntaxError) as error:
        raise BadInput(f"the depth map {path} is not a NumPy array of numbers, or damaged") from error


def metres(values: Float[np.ndarray, "a b"], unit: float, source: str) -> Float[np.ndarray, "a b"]:
    """Nearness of depths in steps of ``unit`` metres; zeros and what is not a number are filled from around."""
    known = np.isfinite(values) & (values > 0)
    if known.mean() < 0.1:
        raise BadInput(f"the depth map {source} is empty, zero or not a number at nine of ten pixels or more")
    depth = np.where(known, values, 1) * np.float32(unit)
    low, high = float(depth[known].min()), float(depth[known].max())
    middle = float(np.median(depth[known]))
    if not PLAUSIBLE[0] <= middle <= PLAUSIBLE[1]:
        # Of the units in use, the one that brings the median nearest to that of a usual room.
        units = (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-6)
        fitting = min(units, key=lambda one: abs(math.log(middle / unit * one / USUAL_MEDIAN)))
        raise BadInput(
            f"the depth map {source} in steps of {unit:g} m has a median depth of {middle:.3g} m, which is no room: "
            f"try --depth-unit {fitting:g}"
        )
    if high - low < 1e-3 * high:
        raise BadInput(f"the depth map {source} is {high:.3g} m at every pixel: there is nothing to look around")
    nearness = np.where(known, 1 / depth.clip(0.05, 1000), 0).astype(np.float32)
    return fill_smooth(nearness, ~known)


def scaled(values: Float[np.ndarray, "a b"], source: str) -> Float[np.ndarray, "a b"]:
    """Nearness from a map in which larger is nearer, of unknown scale and offset."""
    known = np.isfinite(values)
    if known.mean() < 0.1:
        raise BadInput(f"the depth map {source} is not a number at nine of ten pixels or more")
    # A few stray values set no scale.
    low, high = (float(v) for v in np.quantile(values[known], [0.002, 0.998]))
    if not high - low > 1e-6 * max(abs(high), abs(low)):
        raise BadInput(f"the depth map {source} is the same at every pixel: there is nothing to look around")
    share = ((np.where(known, values, low) - low) / (high - low)).clip(0, 1)
    nearness = fill_smooth((FARTHEST + (1 - FARTHEST) * share).astype(np.float32), ~known)
    return (nearness / (np.median(nearness) * USUAL_MEDIAN)).astype(np.float32)
