"""Frames of a clip as photos: evenly spaced, and of each stretch the sharpest.

Neighbouring frames of a video show nearly the same from nearly the same place: they cost time and tell nothing. A
blurred one tells less than its neighbour.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
from jaxtyping import UInt8
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.images import write_image
from fieldscape.progress import progress as progress_bar
from fieldscape.video import read_video, video_info

MOST = 90
"""Stretches of a clip; every pair of their frames is still compared."""

FEWEST = 30
"""A short clip is not thinned below that."""

SHARPNESS_SIZE = 480
"""Pixels along the longer side where sharpness is judged: noise, which lives in single pixels, must not count."""


def extract_frames(clip: Path, folder: Path, quiet: bool = False) -> Path:
    """Writes the chosen frames of ``clip`` into ``folder`` as ``000042.jpg`` (number in the clip), and returns it.

    Frames that an earlier call extracted from the same clip are kept.

    Raises BadInput: the clip cannot be read, or the frames not be written.
    """
    key = _key(clip)
    done = folder / "frames.json"
    if done.is_file():
        try:
            kept = read_json(done)
            if kept["key"] == key and all((folder / name).is_file() for name in kept["names"]):
                return folder
        except (BadInput, LookupError, TypeError):
            pass  # extracted anew below
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    info = video_info(clip)
    names = []
    with progress_bar(info.frames, "choosing frames", quiet, unit="frame") as bar:
        for number, frame in sharpest(read_video(clip), info.frames, slots(info.frames)):
            names.append(f"{number:06d}.jpg")
            write_image(folder / names[-1], frame)
            bar.update(number)
    write_json(done, {"key": key, "names": names})
    return folder


def slots(frames: int) -> int:
    """Into how many stretches a clip is cut.

    >>> [slots(n) for n in (10, 50, 142, 3000)]
    [10, 30, 71, 90]
    """
    return min(frames, MOST, max(FEWEST, frames // 2))


def sharpest(
    frames: Iterator[UInt8[Tensor, "h w 3"]], expected: int, count: int
) -> Iterator[tuple[int, UInt8[Tensor, "h w 3"]]]:
    """(number, frame) of the sharpest frame of each of ``count`` stretches of a clip of ``expected`` frames.

    Where the clip is longer than expected (containers err), its end belongs to the last stretch.
    """
    best: tuple[float, int, Tensor] | None = None
    stretch = 0
    for number, frame in enumerate(frames):
        current = min(count - 1, number * count // max(1, expected))
        if current != stretch and best is not None:
            yield best[1], best[2]
            best = None
        stretch = current
        value = sharpness(frame)
        if best is None or value > best[0]:
            best = (value, number, frame)
    if best is not None:
        yield best[1], best[2]


def sharpness(frame: UInt8[Tensor, "h w 3"]) -> float:
    """The variance of the Laplacian of the grey picture, which blur lowers (Pech-Pacheco et al., 2000)."""
    grey = cv2.cvtColor(frame.numpy(), cv2.COLOR_RGB2GRAY)
    scale = SHARPNESS_SIZE / max(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _key(clip: Path) -> str:
    stat = clip.stat()
    return hashlib.sha256(
        json.dumps([str(clip.resolve()), stat.st_size, stat.st_mtime_ns, MOST, FEWEST]).encode()
    ).hexdigest()
