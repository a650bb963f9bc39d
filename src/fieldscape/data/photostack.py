"""Many photos of one size as one tensor: sizes are compared and memory is reckoned before a pixel is decoded."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from fieldscape import images
from fieldscape.errors import BadInput

Progress: TypeAlias = Callable[[int, int], object]
"""Called with (photos done, photos in all) while a reader works."""

T = TypeVar("T")

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

USABLE_SHARE = 0.6
"""Of the memory that is free; training needs the rest."""


def photo_files(folder: Path) -> list[Path]:
    """The photos in ``folder`` in order of name, by suffix; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def common_size(paths: Sequence[Path]) -> tuple[int, int]:
    """(width, height) of all photos, read from their headers.

    Raises BadInput: a photo is missing or unreadable, too large, or two differ in size (both are named).
    """
    first = images.read_size(paths[0])
    for path in paths:
        width, height = images.read_size(path)
        if width * height > images.MAX_PIXELS:
            raise BadInput(f"{path} claims {width} x {height} pixels, more than the {images.MAX_PIXELS:,} allowed.")
        if (width, height) != first:
            raise BadInput(
                f"All photos must have one size, but {paths[0]} is {first[0]} x {first[1]} and {path} is"
                f" {width} x {height}. Resize or remove the odd ones."
            )
    return first


def reduced_size(width: int, height: int, downscale: float | int) -> tuple[int, int]:
    """The size after ``--downscale``.

    >>> reduced_size(1080, 1920, 4), reduced_size(100, 75, 1.5)
    ((270, 480), (67, 50))
    """
    return max(1, round(width / downscale)), max(1, round(height / downscale))


def require_memory(count: int, width: int, height: int, bytes_per_pixel: int) -> None:
    """Raises BadInput where ``count`` images do not fit into memory, with the ``--downscale`` that would do."""
    need, room = count * width * height * bytes_per_pixel, USABLE_SHARE * free_memory()
    if need > room:
        factor = math.ceil(math.sqrt(need / room) * 10) / 10
        raise BadInput(
            f"{count} images of {width} x {height} need {need / 2**30:.1f} GiB, but only {room / 2**30:.1f} GiB can be"
            f" used for them. Make them {factor:g} times smaller than that with --downscale."
        )


def free_memory() -> int:
    """Bytes that this process can still take: of the machine, and of its container where that is stricter."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        kilobytes = {line.split(":")[0]: line.split()[1] for line in meminfo.read_text().splitlines() if ":" in line}
        room = int(kilobytes.get("MemAvailable", kilobytes["MemTotal"])) * 1024
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    else:
        room = 4 * 2**30  # nothing can be asked: a modest machine
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and limit.read_text().strip().isdigit():
        room = min(room, max(0, int(limit.read_text()) - int(used.read_text())))
    return room


def load(
    paths: Sequence[Path], downscale: float | int = 1, progress: Progress | None = None
) -> UInt8[Tensor, "v h w c"]:
    """All photos as uint8, RGB, or RGBA where one of them is transparent anywhere; grey ones become RGB.

    Raises BadInput: see ``common_size`` and ``require_memory``; or a photo is damaged.
    """
    width, height = common_size(paths)
    small = reduced_size(width, height, downscale)
    require_memory(len(paths), *small, bytes_per_pixel=4)

    def one(path: Path) -> Tensor:
        image = images.read_image(path)
        if image.shape[-1] == 4 and bool((image[..., 3] == 255).all()):
            image = image[..., :3]
        return shrink(image, *small)

    loaded = in_parallel(one, paths, progress)
    stack = torch.empty(
        len(paths), small[1], small[0], max(3, *(image.shape[-1] for image in loaded)), dtype=torch.uint8
    )
    for view in range(len(paths)):  # one after the other, freeing each: the peak stays near one stack
        image, loaded[view] = loaded[view], torch.empty(0, dtype=torch.uint8)
        stack[view, ..., :3] = image[..., :3]
        if stack.shape[-1] == 4:
            stack[view, ..., 3] = image[..., 3] if image.shape[-1] == 4 else 255
    return stack


def in_parallel(function: Callable[[Path], T], paths: Sequence[Path], progress: Progress | None = None) -> list[T]:
    """``function`` of every path, in order; decoding releases Python's lock, so threads help."""
    results = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(function, path) for path in paths]
        try:
            for future in futures:
                results.append(future.result())
                if progress is not None:
                    progress(len(results), len(paths))
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return results


def shrink(image: Shaped[Tensor, "h w c"], width: int, height: int) -> Shaped[Tensor, "height width c"]:
    """A smaller image by area average: each new pixel is the mean of the area it covers, fractions included.

    With four channels the last is alpha, and colours are weighted with it, so transparent pixels lend none of theirs.

    >>> shrink(torch.tensor([[[255, 0, 0, 255], [0, 255, 0, 0]]], dtype=torch.uint8), 1, 1)
    tensor([[[255,   0,   0, 128]]], dtype=torch.uint8)
    """
    if (image.shape[1], image.shape[0]) == (width, height):
        return image
    if image.shape[-1] != 4:
        return _rounded(area_mean(image.float(), width, height), image.dtype)
    full = 255.0 if image.dtype == torch.uint8 else 1.0
    alpha = image[..., 3:].float() / full
    mean = area_mean(torch.cat([image[..., :3].float() * alpha, alpha], -1), width, height)
    color = mean[..., :3] / mean[..., 3:].clamp_min(1e-6)
    return _rounded(torch.cat([color, mean[..., 3:] * full], -1), image.dtype)


def area_mean(image: Float[Tensor, "h w c"], width: int, height: int) -> Float[Tensor, "height width c"]:
    """The mean of ``image`` over the area of each new pixel.

    >>> area_mean(torch.tensor([[[0.0], [3.0], [6.0]]]), 2, 1).flatten()
    tensor([1., 5.])
    """
    # OpenCV takes the fractions of border pixels into account, which torch's area mode does not; at most 4 channels.
    small = [
        cv2.resize(np.ascontiguousarray(part.numpy()), (width, height), interpolation=cv2.INTER_AREA)
        for part in image.split(4, -1)
    ]
    return torch.cat([torch.from_numpy(part).reshape(height, width, -1) for part in small], -1)


def _rounded(image: Float[Tensor, "h w c"], dtype: torch.dtype) -> Shaped[Tensor, "h w c"]:
    return image.round().clamp(0, 255).to(dtype) if dtype == torch.uint8 else image.to(dtype)
