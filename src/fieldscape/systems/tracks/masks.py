"""Masks of what moves, from files: which layer each pixel belongs to.

Files differ in what their values mean. A palette or a few small numbers are numbers of things; a grey picture of many
values is a soft mask, which is cut at one half.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.images import read_size
from fieldscape.systems.tracks.sources import Series, pictures_in

MOST_THINGS = 32
NEARLY_ALL = 0.95
"""Share of the pixels beyond which there is no background left to find the camera by."""


def read_values(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The values of a mask [h, w], which must be of ``size`` (width, height)."""
    from PIL import Image

    if read_size(path) != size:
        (w, h), (x, y) = read_size(path), size
        raise BadInput(f"the mask {path} is {w} x {h} pixels and the frames are {x} x {y}; they must be of one size.")
    with Image.open(path) as image:
        try:
            plain = image if image.mode in ("P", "L", "1", "I", "I;16") else image.convert("L")
            values = np.asarray(plain)
        except (OSError, ValueError, SyntaxError) as error:
            raise BadInput(f"the mask {path} is damaged; make it again.") from error
    return values.astype(np.int64)


def layers_of(values: list[np.ndarray]) -> list[UInt8[np.ndarray, "h w"]]:
    """Layer numbers from 1 on, the same thing the same number in all masks.

    >>> [m.tolist() for m in layers_of([np.array([[0, 255, 7]]), np.array([[7, 0, 0]])])]
    [[[0, 2, 1]], [[1, 0, 0]]]
    >>> layers_of([np.arange(256)[None]])[0].sum()  # soft: the brighter half
    np.uint64(128)
    """
    found = np.unique(np.concatenate([np.unique(one) for one in values]))
    if len(found) > MOST_THINGS + 1:
        half = found[-1] / 2
        return [(one > half).astype(np.uint8) for one in values]
    things = found[found != 0]
    return [np.where(one == 0, 0, 1 + np.searchsorted(things, one)).astype(np.uint8) for one in values]


def mask_files(series: Series, folder: Path) -> list[Path]:
    """The mask of each frame of a series: by name, or by order where there are as many.

    Raises BadInput where they do not fit.
    """
    masks = pictures_in(folder)
    if series.names is not None:
        named = {path.stem: path for path in masks}
        if all(path.stem in named for path in series.names):
            return [named[path.stem] for path in series.names]
    if len(masks) != len(series):
        raise BadInput(
            f"{folder} holds {len(masks)} masks and the clip {len(series)} frames; there must be one for each, "
            "or one image for the first frame."
        )
    return masks


def reduced(layers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask [h, w] at another size (width, height): each pixel goes to the thing with the largest share of it."""
    if layers.shape == (size[1], size[0]):
        return layers
    things = np.unique(layers)
    if len(things) == 1:
        return np.full((size[1], size[0]), things[0], np.uint8)
    shares = [cv2.resize((layers == k).astype(np.float32), size, interpolation=cv2.INTER_AREA) for k in things]
    return things[np.argmax(shares, axis=0)].astype(np.uint8)


def require_background(layers: UInt8[Tensor, "t h w"], where: str) -> None:
    """Raises BadInput where what moves covers nearly all of the typical frame."""
    share = (layers > 0).float().mean((1, 2))
    usual = float(torch.quantile(share, 0.5))
    if usual > NEARLY_ALL:
        raise BadInput(
            f"{where} mark {100 * usual:.0f} % of the frames as moving: the camera cannot be found from what is left. "
            "Check that 0 is the background."
        )
