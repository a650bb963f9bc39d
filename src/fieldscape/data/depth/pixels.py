"""The numbers in a PNG: 8 or 16 bits, 1, 3 or 4 channels, in the order of the file.

Pillow cuts colour of 16 bits down to 8 without a word, so such files go through OpenCV, which gives blue, green, red;
OpenCV turns a palette into colours, so those go through Pillow, which gives the indices. The blocks of the file are
walked first: sizes are bounded before any pixel is decoded, and a file that was cut short is known as such.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped
from PIL import Image

from fieldscape.errors import BadInput
from fieldscape.files import read_bytes, reason

Array = np.ndarray

MAX_PIXELS = 2**26
"""More than any depth camera has."""

MAX_BYTES = 2**28
MAX_FILES = 2_000_000
"""In one folder; more than any data set has."""

SKY_METRES = 300.0
"""Nothing that stands on the ground is seen so far away, and what is coded as farther is sky."""

_MARK = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 6: 4}


def read_png(path: Path) -> Shaped[Array, "h w *c"]:
    """uint8 or uint16 [h, w] (grey, or indices into a palette), [h, w, 3] (red, green, blue) or [h, w, 4].

    Raises BadInput: no such file, no PNG, damaged, cut short, too large, or of 1, 2 or 4 bits without a palette.
    """
    content = read_bytes(path, MAX_BYTES)
    bits, kind = _walk(content, path)
    if bits == 16 and kind != 0:
        import cv2

        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16 or pixels.shape[2:] != (_CHANNELS[kind],):
            raise BadInput(f"{path} cannot be decoded; it is damaged.")
        return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            picture.load()
            pixels = np.array(picture)
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error) as error:
        raise BadInput(f"{path} cannot be decoded ({reason(error)}); it is damaged.") from error
    return pixels.astype(np.uint16 if bits == 16 else np.uint8, copy=False)


def read_steps(path: Path) -> Shaped[Array, "h w"]:
    """The depth picture at ``path`` as uint16 numbers; of three channels, which must be equal, the first.

    Raises BadInput: as ``read_png``, or not 16 bits.
    """
    pixels = read_png(path)
    if pixels.dtype != np.uint16:
        raise BadInput(
            f"{path} has 8 bits, which is a picture of depth and not a measurement; give PNGs of 16 bits, or the layout"
            " that packs depth in three bytes."
        )
    if pixels.ndim == 3:
        if (pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 0] != pixels[..., 2]).any():
            raise BadInput(f"{path} has three channels that differ; depth of 16 bits has equal ones, or one.")
        pixels = np.ascontiguousarray(pixels[..., 0])
    return pixels


def measured(
    steps: Shaped[Array, "h w"], per_metre: float, sky: int | None = None, missing: tuple[int, ...] = (0,)
) -> tuple[Float[Array, "h w"], Bool[Array, "h w"]]:
    """Metres (0 where there is none) and the mask of the sky; ``sky``, ``missing``: codes among the ``steps``.

    >>> depth, sky = measured(np.array([[1500, 0, 65535]], np.uint16), 1000, sky=65535)
    >>> depth.tolist(), sky.tolist()
    ([[1.5, 0.0, 0.0]], [[False, False, True]])
    """
    there = steps != missing[0]
    for code in missing[1:]:
        there &= steps != code
    above = np.zeros_like(there) if sky is None else steps == sky
    return np.where(there & ~above, steps / np.float64(per_metre), 0).astype(np.float32), above


def three_bytes(path: Path, largest: float) -> tuple[Float[Array, "h w"], Bool[Array, "h w"]]:
    """Metres and sky of a picture whose red + 256 green + 65536 blue counts to 2^24 - 1, which is ``largest`` metres.

    The sky is where 99.9 % of ``largest`` is reached. Raises BadInput: as ``read_png``, or not so packed.
    """
    pixels = read_png(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise BadInput(f"{path} is not depth packed in three bytes (red, green, blue); it belongs to another layout.")
    red, green, blue = (pixels[..., k].astype(np.uint32) for k in range(3))
    depth = (red + 256 * green + 65536 * blue) * (largest / (2**24 - 1))
    sky = depth >= 0.999 * largest
    return np.where(sky, 0, depth).astype(np.float32), sky


def numbered(folder: Path, suffix: str = ".png", prefix: str = "") -> dict[str, Path]:
    """The files of ``folder`` by what stands between ``prefix`` and ``suffix``, in order; none if it is no folder.

    Raises BadInput: more than ``MAX_FILES``, or a folder that cannot be read.
    """
    found = {}
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= MAX_FILES:
                    raise BadInput(f"{folder} holds more than {MAX_FILES:,} files; give a part of them.")
                name = entry.name
                if name.startswith(prefix) and name.endswith(suffix) and not name.startswith("."):
                    found[name[len(prefix) : len(name) - len(suffix)]] = Path(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise BadInput(f"Cannot read the folder {folder}: {reason(error)}.") from error
    return dict(sorted(found.items(), key=lambda item: (number_in(item[0]), item[0])))


def number_in(stem: str) -> int:
    """The last number in a file's name; 0 if there is none.

    >>> number_in("depth_00012")
    12
    """
    digits = re.findall(r"[0-9]+", stem[-200:])
    return int(digits[-1]) if digits else 0


def _walk(content: bytes, path: Path) -> tuple[int, int]:
    """Bits a channel and colour type, when all blocks are whole and the size is one that can be."""
    if len(content) == 0:
        raise BadInput(f"{path} is empty (0 bytes); copy it again.")
    if not content.startswith(_MARK):
        raise BadInput(f"{path} is not a PNG; depth is read from PNGs.")
    place, ended, header = len(_MARK), False, None
    while place + 12 <= len(content) and not ended:
        (length,) = struct.unpack_from(">I", content, place)
        name, after = content[place + 4 : place + 8], place + 8 + length
        if after + 4 > len(content):
            break
        if zlib.crc32(content[place + 4 : after]) != struct.unpack_from(">I", content, after)[0]:
            raise BadInput(f"{path} is damaged: a checksum in it is wrong; copy it again.")
        if header is None:
            if name != b"IHDR" or length != 13:
                raise BadInput(f"{path} is not a PNG that can be read: it does not begin with its header.")
            header = struct.unpack_from(">IIBB", content, place + 8)
            width, height, bits, kind = header
            if width * height == 0 or width * height > MAX_PIXELS:
                raise BadInput(f"{path} claims {width} x {height} pixels; at most {MAX_PIXELS:,} are read.")
            if kind not in _CHANNELS or (bits not in (8, 16) and kind != 3):
                raise BadInput(
                    f"{path} is a PNG of {bits} bits and colour type {kind}, which holds no depth or labels."
                )
        ended = name == b"IEND"
        place = after + 4
    if not ended or header is None:
        raise BadInput(f"{path} is cut short; copy it again.")
    return header[2], header[3]
