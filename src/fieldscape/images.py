"""Still images: read them safely, write them atomically, colour a depth map, lay out a contact sheet.

An image in a file is uint8, channels last: [H, W, 1] grey, [H, W, 3] RGB or [H, W, 4] RGBA with straight alpha.
Files are not trusted: sizes are bounded by the header before any pixel is decoded, and only plain raster formats are
opened (Pillow would otherwise hand an EPS file to Ghostscript). Moving pictures are in ``fieldscape.video``.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import radians
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fieldscape.colors import to_srgb
from fieldscape.errors import BadInput
from fieldscape.files import reason, write_atomic

MAX_PIXELS = 100_000_000
"""More pixels than any camera makes; an image that claims more is refused unless the caller allows it."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
WRITES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

# What Pillow's decoders raise on damaged files (found by flipping bytes; see tests/test_images.py).
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
_bomb_lock = threading.Lock()


def read_size(path: Path | str) -> tuple[int, int]:
    """(width, height) of an image file, from its header alone; the pixels as stored, EXIF orientation not applied.

    Raises BadInput if there is no such file or it is not an image.
    """
    with _opened(Path(path), None) as image:
        return image.size


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS, upright: bool = False) -> UInt8[Tensor, "h w c"]:
    """The pixels of an image file, uint8 [H, W, 1 | 3 | 4].

    Grey stays one channel, transparency of any kind gives RGBA, 16 bits are scaled to 8, CMYK becomes RGB; of an
    animation or a multi-page file the first picture is read. Camera poses and intrinsics refer to pixels as stored,
    so EXIF orientation is applied only with ``upright``.

    Raises BadInput if the file is missing, empty, damaged, larger than ``max_pixels`` or of a kind without a defined
    brightness range (32-bit integers, floats).
    """
    path = Path(path)
    with _opened(path, max_pixels) as image:
        return _pixels(image, path, upright)


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS, upright: bool = False) -> UInt8[Tensor, "h w c"]:
    """``read_image`` for a file that is in memory already, such as an entry of an archive; ``name`` is for messages."""
    with _opened(Path(name), max_pixels, data) as image:
        return _pixels(image, Path(name), upright)


def _pixels(image: Image.Image, path: Path, upright: bool) -> UInt8[Tensor, "h w c"]:
    image.load()
    pixels = torch.from_numpy(_eight_bits(image, path))
    orientation = image.getexif().get(0x0112, 1) if upright else 1
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return _turned(pixels, orientation).contiguous()


def to_uint8(image: Float[Tensor, "*b"] | UInt8[Tensor, "*b"]) -> UInt8[Tensor, "*b"]:
    """Values 0..1 as bytes: clipped, scaled by 255 and rounded; NaN becomes 0. Bytes pass through.

    >>> to_uint8(torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist()
    [0, 0, 128, 255, 255]
    """
    if image.dtype == torch.uint8:
        return image
    return (image.detach().float().nan_to_num(0.0, 1.0, 0.0).clamp(0, 1) * 255).round().to(torch.uint8)


def write_image(path: Path | str, image: Float[Tensor, "h w *c"] | UInt8[Tensor, "h w *c"]) -> None:
    """Write [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (float 0..1 or uint8) as .png or .jpg.

    The file appears whole or not at all. Raises BadInput for another file type, for a JPEG with transparency,
    and if the file cannot be written.
    """
    path = Path(path)
    kind = WRITES.get(path.suffix.lower())
    if kind is None:
        raise BadInput(f"cannot write an image as {path}: choose a name that ends in .png or .jpg")
    pixels = to_uint8(image).cpu()
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in (3, 4))) or pixels.numel() == 0:
        raise ValueError(f"an image is [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], not {list(image.shape)}")
    if kind == "JPEG" and pixels.shape[-1] == 4 and pixels.ndim == 3:
        raise BadInput(f"cannot write {path}: JPEG has no transparency; choose .png or composite the image first")
    picture = Image.fromarray(pixels.numpy())
    if kind == "PNG":  # level 4 takes half the time of Pillow's default 6 for a few percent of size
        write_atomic(path, lambda file: picture.save(file, kind, compress_level=4))
    else:
        write_atomic(path, lambda file: picture.save(file, kind, quality=95, subsampling=0))


def colorize_depth(
    depth: Float[Tensor, "h w"] | Float[Tensor, "h w 1"],
    near: float | int | None = None,
    far: float | int | None = None,
) -> Float[Tensor, "h w 3"]:
    """A depth map as a picture: near is bright and warm, far is dark and blue, unknown (0 or not finite) dark grey.

    ``near`` and ``far`` default to the 2nd and 98th percentile of the known depths, so that a few stray values do not
    wash out the picture. Raises BadInput if near is not below far.
    """
    depth = (depth[..., 0] if depth.ndim == 3 else depth).detach().float()
    known = depth.isfinite() & (depth > 0)
    if near is not None and far is not None and not near < far:
        raise BadInput(f"near ({near:g}) must be below far ({far:g}) to colour a depth map")
    values = depth[known]
    if values.numel():
        # torch.quantile refuses more than 16 million values, and a million serve as well.
        low, high = torch.quantile(values[:: 1 + values.numel() // 1_000_000], values.new_tensor([0.02, 0.98])).tolist()
        near, far = low if near is None else near, high if far is None else far
        t = (values - near) / max(far - near, 1e-6 * max(abs(far), 1e-30))
        values = t.clamp(0, 1)
    colors = _depth_colors().to(depth.device)
    picture = torch.full((*depth.shape, 3), 0.2, device=depth.device)
    picture[known] = colors[(values * (len(colors) - 1)).round().long()]
    return picture


def contact_sheet(
    rows: Sequence[Sequence[Tensor]],
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    dark: bool = False,
    least: int = 160,
) -> UInt8[Tensor, "h w 3"]:
    """Images [h, w, 1 | 3 | 4] (float 0..1 or uint8) in a labelled grid, uint8 [H, W, 3].

    Row titles stand on the left, column titles above; both may be left out, rows may be of different lengths, and a
    title may have several lines. Images smaller than ``least`` pixels are enlarged by a whole factor, pixels showing.
    Raises BadInput if there is no image.
    """
    cells = [[_cell(image, dark) for image in row] for row in rows]
    flat = [cell for row in cells for cell in row]
    if not flat:
        raise BadInput("a contact sheet needs at least one image")
    factor = max(1, -(-least // max(max(cell.size) for cell in flat)))
    width, height = factor * max(cell.width for cell in flat), factor * max(cell.height for cell in flat)
    size = min(28, max(12, height // 12))
    font, gutter = ImageFont.load_default(size), max(4, size // 3)
    ink, paper = ((235, 235, 235), (20, 20, 20)) if dark else ((30, 30, 30), (255, 255, 255))
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    column_fonts = [_fitting(ruler, title, width, size) for title in column_titles]
    boxes = [ruler.multiline_textbbox((0, 0), title, font=font) for title in row_titles]
    left = gutter + (int(max(box[2] for box in boxes)) + 2 * gutter if any(row_titles) else 0)
    lines = 1 + max(title.count("\n") for title in column_titles) if any(column_titles) else 0
    top = gutter + (int(1.4 * size * lines) + gutter if lines else 0)
    columns = max(len(row) for row in cells)
    sheet = Image.new("RGB", (left + columns * (width + gutter), top + len(cells) * (height + gutter)), paper)
    draw = ImageDraw.Draw(sheet)
    for j, title in enumerate(column_titles[:columns]):
        middle = left + j * (width + gutter) + width / 2
        draw.multiline_text((middle, top / 2), title, ink, column_fonts[j], anchor="mm", align="center")
    for i, row in enumerate(cells):
        y = top + i * (height + gutter)
        if i < len(row_titles):
            place = (left - 2 * gutter, y + height / 2)
            draw.multiline_text(place, row_titles[i], ink, font, anchor="rm", align="right")
        for j, cell in enumerate(row):
            big = cell.resize((cell.width * factor, cell.height * factor), Image.Resampling.NEAREST)
            x = left + j * (width + gutter)
            sheet.paste(big, (x + (width - big.width) // 2, y + (height - big.height) // 2))
    return torch.from_numpy(np.array(sheet))


@contextmanager
def _opened(path: Path, max_pixels: int | None, data: bytes | None = None) -> Iterator[Image.Image]:
    """The file (or ``data``) as a Pillow image, pixels not decoded yet; every failure inside the block is BadInput."""
    try:
        if data is None and not path.is_file():
            raise BadInput(f"there is no image file {path}; check the name")
        if (path.stat().st_size if data is None else len(data)) == 0:
            raise BadInput(f"the image {path} is empty (0 bytes); copy it again")
        with _open_any_size(path if data is None else io.BytesIO(data)) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise BadInput(
                    f"the image {path} claims {image.width} x {image.height} pixels, more than the {max_pixels:,} "
                    "allowed; shrink it first"
                )
            yield image
    except Image.UnidentifiedImageError as error:
        kinds = "PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or JPEG 2000"
        raise BadInput(f"{path} is not an image that can be read; convert it to {kinds}") from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise BadInput(f"cannot read the image {path}: {reason(error)}") from error
        raise BadInput(f"the image {path} cannot be decoded ({reason(error)}); it is damaged or cut short") from error


def _open_any_size(source: Path | io.BytesIO) -> Image.Image:
    """``Image.open`` without Pillow's own pixel limit, which is a global and speaks in warnings; ours follows."""
    with _bomb_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(source, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _eight_bits(image: Image.Image, path: Path) -> np.ndarray:
    """The decoded pixels as uint8 [H, W] or [H, W, 3 | 4]."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # 65535 / 255 = 257: this is v / 257 rounded. Pillow's own conversion clips at 255 instead.
        return ((np.array(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise BadInput(f"the image {path} holds 32-bit values of unknown range; save it with 8 or 16 bits per channel")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return np.array(image.convert("RGBA"))
    return np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def _turned(pixels: UInt8[Tensor, "h w c"], orientation: int) -> UInt8[Tensor, "i j c"]:
    """The pixels turned the way EXIF tag 0x0112 says: 1 as is; 2 to 4 flips; 5 to 8 with rows and columns swapped."""
    flips = {2: [1], 3: [0, 1], 4: [0], 6: [1], 7: [0, 1], 8: [0]}.get(orientation, [])
    return (pixels.transpose(0, 1) if orientation in (5, 6, 7, 8) else pixels).flip(flips)


@cache
def _depth_colors() -> Float[Tensor, "256 3"]:
    """256 colours from near to far: equal steps in OKLab from light yellow by red and purple to dark blue.

    Lightness falls steadily, so the picture also reads in grey and to colour-blind eyes.
    OKLab to linear sRGB: B. Ottosson, "A perceptual color space for image processing" (2020); then the sRGB curve.
    """
    t = torch.linspace(0, 1, 256)
    hue = radians(95) - radians(185) * t
    chroma = 0.15 + 0.05 * torch.sin(torch.pi * t)
    lightness, a, b = 0.90 - 0.55 * t, chroma * torch.cos(hue), chroma * torch.sin(hue)
    to_cones = torch.tensor(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear = torch.tensor(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = ((torch.stack([lightness, a, b], -1) @ to_cones.T) ** 3 @ to_linear.T).clamp(0, 1)
    return to_srgb(linear)


def _cell(image: Tensor, dark: bool) -> Image.Image:
    """One image of a sheet as RGB; transparency shows the paper."""
    pixels = to_uint8(image).cpu()
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or pixels.numel() == 0:
        raise ValueError(f"an image of a contact sheet is [h, w, 1 | 3 | 4], not {list(image.shape)}")
    if pixels.shape[-1] == 4:
        paper = Image.new("RGBA", (pixels.shape[1], pixels.shape[0]), (20, 20, 20) if dark else (255, 255, 255))
        return Image.alpha_composite(paper, Image.fromarray(pixels.numpy())).convert("RGB")
    return Image.fromarray(pixels.expand(-1, -1, 3).contiguous().numpy())


def _fitting(
    ruler: ImageDraw.ImageDraw, title: str, width: int, size: int
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font up to ``size`` in which ``title`` is at most ``width`` wide; 8 at the least."""
    for points in range(size, 8, -1):
        font = ImageFont.load_default(points)
        if ruler.multiline_textbbox((0, 0), title, font=font)[2] <= width:
            return font
    return ImageFont.load_default(8)
