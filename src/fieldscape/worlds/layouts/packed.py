"""PNG files of any depth and number of channels, written by hand, and the packings of depth in them.

Pillow cannot write 16 bits a channel in colour, and OpenCV takes its channels in the order blue, green, red; here the
channels of an array are those of the file, in the same order. Rows are filtered by "up" (each byte less the one above
it), which suits maps of depth and of numbers, and packed with zlib's fastest setting.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped, UInt8

Array = np.ndarray

_COLOR_TYPE = {1: 0, 3: 2, 4: 6}
_UP = 2
WHOLE = 2**24 - 1
"""The largest number in three bytes."""


def write_png(path: Path, pixels: Shaped[Array, "h w *c"], palette: UInt8[Array, "k 3"] | None = None) -> None:
    """Writes uint8 or uint16 [h, w], [h, w, 3] (red, green, blue) or [h, w, 4]; a ``palette`` goes with [h, w]."""
    path.write_bytes(png(pixels, palette))


def png(pixels: Shaped[Array, "h w *c"], palette: UInt8[Array, "k 3"] | None = None) -> bytes:
    """The bytes of a PNG file, see ``write_png``."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype not in (np.uint8, np.uint16) or channels not in _COLOR_TYPE or pixels.size == 0:
        raise ValueError(f"no PNG holds {pixels.dtype} {pixels.shape}")
    if palette is not None and (channels != 1 or pixels.dtype != np.uint8):
        raise ValueError("a palette goes with one channel of 8 bits")
    bits = 8 * pixels.dtype.itemsize
    rows = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">"), copy=False))
    rows = rows.view(np.uint8).reshape(len(pixels), -1)
    filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    kind = 3 if palette is not None else _COLOR_TYPE[channels]
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    blocks = [_block(b"IHDR", head)]
    if palette is not None:
        blocks.append(_block(b"PLTE", palette.tobytes()))
    blocks += [_block(b"IDAT", zlib.compress(filtered.tobytes(), 1)), _block(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(blocks)


def _block(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def sixteen_bits(
    depth: Float[Array, "h w"], per_metre: float, sky: int = 65535, missing: int = 0
) -> Shaped[Array, "h w"]:
    """Depth times ``per_metre`` as uint16: ``sky`` where it is infinite, ``missing`` where it is not a number.

    Depths keep off both codes: they become 1 at least and 65534 at most.

    >>> sixteen_bits(np.array([[1.234, 1e9, np.inf, np.nan]]), 1000).tolist()
    [[1234, 65534, 65535, 0]]
    """
    steps = np.clip(np.round(np.nan_to_num(depth, nan=0.0, posinf=0.0) * per_metre), 1, 65534)
    steps = np.where(np.isnan(depth), missing, np.where(np.isposinf(depth), sky, steps))
    return steps.astype(np.uint16)


def three_bytes(depth: Float[Array, "h w"], largest: float) -> UInt8[Array, "h w 3"]:
    """Depth as red + 256 green + 65536 blue, of which 2^24 - 1 is ``largest`` metres: the sky. Not a number is 0.

    >>> three_bytes(np.array([[1000.0 * (3 + 256 * 2 + 65536) / (2**24 - 1)]]), 1000.0).tolist()
    [[[3, 2, 1]]]
    """
    share = np.nan_to_num(depth, nan=0.0, posinf=largest) / largest
    steps = np.clip(np.round(share * WHOLE), 0, WHOLE).astype(np.uint32)
    steps = np.where(np.isnan(depth), 0, steps)
    return np.stack([steps & 255, steps >> 8 & 255, steps >> 16], -1).astype(np.uint8)


def opaque(pixels: UInt8[Array, "h w 3"]) -> UInt8[Array, "h w 4"]:
    """With a fourth channel of 255."""
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], -1)
