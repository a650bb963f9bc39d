"""Where frames come from: a video with its time stamps, or a folder of pictures. Both give (number, seconds, pixels).

A folder of pictures may hold a second series, of depths say: the series of colours is taken by its name, and a folder
whose names do not tell is refused.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from av.error import FFmpegError
from jaxtyping import UInt8
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import read_json, reason
from fieldscape.images import read_image
from fieldscape.video import CONTAINERS, video_info

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
MOST_LISTED = 200_000
MOST_SCANNED = 2_000_000
"""Packets of a video that are counted: a day of film."""
UNEVEN = 0.2
"""Intervals that differ from the usual one by more than this share make the frame rate a variable one."""


@dataclass(frozen=True)
class Frame:
    """number: in the file or folder, from 0.  seconds: from the beginning of the clip."""

    number: int
    seconds: float
    pixels: UInt8[Tensor, "h w 3"]


@dataclass(frozen=True)
class Series:
    """Frames that can be read. stamps: seconds of each, increasing, the first 0."""

    path: Path
    stamps: tuple[float, ...]
    names: tuple[Path, ...] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.stamps)


def series_of(path: Path, fps: float | None) -> Series:
    """What there is to read at ``path``; no picture is decoded yet but one of a video.

    Raises BadInput: nothing there, a folder without pictures or with several series, not a video.
    """
    if path.is_dir():
        names = tuple(pictures_in(path / "images" if (path / "images").is_dir() else path))
        fps = fps or _written_rate(path)
        notes = () if fps else ("a folder of frames tells no time: 24 frames a second are assumed (--fps)",)
        return Series(path, tuple(i / (fps or 24.0) for i in range(len(names))), names, notes)
    info = video_info(path)
    stamps = _stamps(path)
    if len(stamps) < 2 or any(b <= a for a, b in itertools.pairwise(stamps)):
        stamps = [i / info.fps for i in range(max(len(stamps), 1))]
    if fps:
        return Series(path, tuple(i / fps for i in range(len(stamps))), None)
    gaps = sorted(b - a for a, b in itertools.pairwise(stamps))
    usual = gaps[len(gaps) // 2] if gaps else 1.0
    notes = ()
    if gaps and sum(abs(gap - usual) > UNEVEN * usual for gap in gaps) > max(1, 0.01 * len(gaps)):
        notes = (
            f"the frame rate varies ({1 / gaps[-1]:.3g} to {1 / max(gaps[0], 1e-6):.3g} a second): "
            "times are those of the stamps",
        )
    return Series(path, tuple(stamps), None, notes)


def _written_rate(folder: Path) -> float | None:
    """Frames a second of a clip that ``make clip`` wrote."""
    if not (folder / "truth.json").is_file():
        return None
    content = read_json(folder / "truth.json")
    rate = content.get("fps") if isinstance(content, dict) else None
    return float(rate) if isinstance(rate, int | float) and 0 < rate <= 10_000 else None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of the one series in a folder, in the order of the numbers in their names."""
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
    except OSError as error:
        raise BadInput(f"Cannot list {folder}: {reason(error)}.") from error
    if not found:
        raise BadInput(
            f"{folder} holds no pictures ({', '.join(PICTURES[:3])} ...); give a video or a folder of frames."
        )
    if len(found) > MOST_LISTED:
        raise BadInput(f"{folder} holds {len(found)} pictures, more than {MOST_LISTED}; put fewer there.")
    kinds: dict[str, list[Path]] = {}
    for path in found:
        kinds.setdefault(re.sub(r"\d+", "#", path.name.lower()), []).append(path)
    several = {kind: paths for kind, paths in kinds.items() if len(paths) > 1} or kinds
    if len(several) > 1:
        colored = [
            kind for kind in several if re.search(r"col(o|ou)r|rgb|image|frame_?#", kind) and "depth" not in kind
        ]
        if len(colored) != 1:
            shown = ", ".join(sorted(several)[:4])
            raise BadInput(f"{folder} holds several series of pictures ({shown}); leave only the frames of the clip.")
        return sorted(several[colored[0]], key=natural)
    return sorted(next(iter(several.values())), key=natural)


def natural(path: Path) -> tuple[tuple[int, int | str], ...]:
    """A sorting key that counts: 2.png before 10.png."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


def read(series: Series, chosen: list[int]) -> Iterator[Frame]:
    """The frames ``chosen`` (increasing numbers). A video may end before the last, if it holds fewer than it says.

    Raises BadInput on the way: damaged, or pictures of different sizes in a folder.
    """
    if series.names is None:
        yield from _from_video(series, chosen)
        return
    first = None
    for number in chosen:
        path = series.names[number]
        pixels = read_image(path, upright=True)
        first = first or (path.name, pixels.shape[:2])
        if pixels.shape[:2] != first[1]:
            (h, w), (y, x) = pixels.shape[:2], first[1]
            raise BadInput(f"{path} is {w} x {h} pixels and {first[0]} is {x} x {y}; frames must be of one size.")
        colored = pixels.expand(-1, -1, 3) if pixels.shape[-1] == 1 else pixels[..., :3]
        yield Frame(number, series.stamps[number], colored.contiguous())


def _stamps(path: Path) -> list[float]:
    """Seconds of the frames, from the packets alone: nothing is decoded."""
    with _open(path) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base or 0) or 1 / 90_000
        stamps = []
        try:
            for packet in container.demux(stream):
                if packet.pts is not None and packet.size and not packet.is_discard:
                    stamps.append(packet.pts * base)
                if len(stamps) > MOST_SCANNED:
                    raise BadInput(f"the video {path} holds more than {MOST_SCANNED} frames; cut it")
        except FFmpegError as error:
            raise BadInput(f"the video {path} is damaged or cut short ({reason(error)}); copy it again") from error
    stamps.sort()
    return [stamp - stamps[0] for stamp in stamps]


def _from_video(series: Series, chosen: list[int]) -> Iterator[Frame]:
    wanted, last = set(chosen), chosen[-1]
    path = series.path
    with _open(path) as container:
        stream = container.streams.video[0]
        end = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
        if end > path.stat().st_size:
            raise BadInput(f"the video {path} is cut short: it needs {end} bytes and has {path.stat().st_size}")
        stream.thread_type = "AUTO"
        size = None
        try:
            for number, frame in enumerate(container.decode(stream)):
                if number in wanted:
                    pixels = torch.from_numpy(frame.to_ndarray(format="rgb24"))
                    # The tag is the counter-clockwise turn that makes the picture upright, in degrees.
                    pixels = pixels.rot90(round(frame.rotation / 90) % 4).contiguous()
                    size = size or pixels.shape
                    if pixels.shape != size:
                        raise BadInput(f"frames of the video {path} change their size at frame {number}; convert it")
                    yield Frame(number, series.stamps[min(number, len(series.stamps) - 1)], pixels)
                if number >= last:
                    return
        except FFmpegError as error:
            raise BadInput(f"the video {path} is damaged or cut short ({reason(error)}); copy or convert it") from error


def _open(path: Path) -> av.container.InputContainer:
    try:
        return av.open(f"file:{os.fspath(path)}", options={"format_whitelist": CONTAINERS})
    except (FFmpegError, OSError) as error:
        raise BadInput(f"{path} is not a video that can be read ({reason(error)}); convert it to MP4") from error
