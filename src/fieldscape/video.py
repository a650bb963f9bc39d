"""Moving pictures: frames of a clip as tensors, and tensors as an MP4 that plays everywhere or a GIF.

MP4 is H.264, yuv420p, BT.709, with its index in front (it starts to play before it is downloaded). Frames stream
through; only a GIF needs them all at once, for one palette. A file is opened only as one of the usual video
containers: FFmpeg would otherwise "play" a text file, or follow a playlist to other files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import torch
from av.error import FFmpegError
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import reason, write_atomic
from fieldscape.images import MAX_PIXELS, to_uint8

MAX_FRAMES = 100_000
"""An hour of clip at 25 frames a second; whoever reads more says so."""

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,ogg,flv,asf"

# ITU-T H.273 code points: BT.709 primaries, transfer and matrix are all 1; range 1 is 16..235.
_BT709, _LIMITED = 1, 1


@dataclass(frozen=True)
class VideoInfo:
    """A clip before it is read. frames: as the container states or its duration implies; the truth may differ a little.

    width, height: of the frames as ``read_video`` yields them, upright.
    """

    frames: int
    fps: float
    width: int
    height: int


def video_info(path: Path | str) -> VideoInfo:
    """Frame count (an estimate), frames per second and size of a clip; decodes one frame to be sure that it can.

    Raises BadInput if the file is missing, empty, not a video, or damaged before its first frame ends.
    """
    path = Path(path)
    with _opened(path) as container:
        stream = _video_stream(container, path)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        frames = stream.frames
        if not frames and stream.duration and stream.time_base:
            frames = round(stream.duration * stream.time_base * rate)
        elif not frames and container.duration:
            frames = round(container.duration / 1_000_000 * rate)
        first = next(_frames(container, stream, path), None)
        if first is None:
            raise BadInput(f"the video {path} holds no frame")
    return VideoInfo(max(1, frames), float(rate), first.shape[1], first.shape[0])


def read_video(path: Path | str, max_frames: int = MAX_FRAMES) -> Iterator[UInt8[Tensor, "h w 3"]]:
    """The frames of a clip in order, uint8 RGB, one at a time, turned upright as the file's rotation tag says.

    Raises BadInput at the call if the file cannot be read as a video, and on the way if it turns out to be cut short,
    damaged, or to hold more than ``max_frames``.
    """
    path = Path(path)
    video_info(path)

    def frames() -> Iterator[Tensor]:
        with _opened(path) as container:
            for count, frame in enumerate(_frames(container, _video_stream(container, path), path)):
                if count >= max_frames:
                    raise BadInput(f"the video {path} holds more than {max_frames} frames; cut it, or allow more")
                yield frame

    return frames()


def write_video(path: Path | str, frames: Iterable[Tensor], fps: float | int | Fraction = 24, crf: int = 18) -> int:
    """Write frames [h, w, 1 | 3] (float 0..1 or uint8, all of one size) as .mp4 or .gif; returns their number.

    crf: H.264's constant rate factor, 0 lossless to 51; 18 is visually lossless. Odd sizes are padded to even ones by
    repeating the last row or column, which yuv420p requires. The file appears whole or not at all.

    Raises BadInput for another file type, no frames, frames of different sizes, a frame rate the format cannot hold,
    a PyAV without the x264 encoder, and if the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".mp4", ".gif"):
        raise BadInput(f"cannot write a video as {path}: choose a name that ends in .mp4 or .gif")
    # A GIF counts in hundredths of a second, and players slow down below two of them.
    fastest = 50 if kind == ".gif" else 1000
    if not (math.isfinite(fps) and 0 < fps <= fastest):
        raise BadInput(f"cannot write {path} at {float(fps):g} frames per second: a {kind} has up to {fastest}")
    rate = Fraction(fps).limit_denominator(1001)
    pictures = _pictures(frames, path)
    first = next(pictures, None)
    if first is None:
        raise BadInput(f"cannot write {path}: there are no frames")
    written = 0

    def write(file: BinaryIO) -> None:
        nonlocal written
        encode = _write_gif if kind == ".gif" else _write_mp4
        written = encode(file, first, pictures, rate, crf)

    try:
        write_atomic(path, write)
    except FFmpegError as error:
        raise BadInput(f"cannot write {path}: {reason(error)}") from error
    return written


def _pictures(frames: Iterable[Tensor], path: Path) -> Iterator[np.ndarray]:
    """The frames as uint8 [h, w, 3] arrays, all of the size of the first."""
    size = None
    for index, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[-1] not in (1, 3) or frame.numel() == 0:
            raise ValueError(f"a video frame is [h, w, 1 | 3], not {list(frame.shape)}")
        size = size or frame.shape[:2]
        if frame.shape[:2] != size:
            shapes = f"{size[1]} x {size[0]} and frame {index} is {frame.shape[1]} x {frame.shape[0]}"
            raise BadInput(f"cannot write {path}: the first frame is {shapes} pixels; frames must be of one size")
        yield to_uint8(frame).cpu().expand(-1, -1, 3).contiguous().numpy()


def _write_mp4(file: BinaryIO, first: np.ndarray, rest: Iterator[np.ndarray], rate: Fraction, crf: int) -> int:
    if "libx264" not in av.codecs_available:
        raise BadInput("this PyAV was built without the x264 encoder; install PyAV from PyPI, or write a .gif")
    height, width = first.shape[:2]
    # By name, not through the open file: to move the index to the front FFmpeg opens the file a second time.
    with av.open(f"file:{file.name}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        count = 0
        for picture in _chained(first, rest):
            padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
            frame.pts, frame.time_base = count, 1 / rate
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
    return count


def _write_gif(file: BinaryIO, first: np.ndarray, rest: Iterator[np.ndarray], rate: Fraction, _crf: int) -> int:
    """One palette for all frames, so that what does not move hardly flickers."""
    images = [Image.fromarray(picture) for picture in _chained(first, rest)]
    # The palette is chosen from up to 16 frames of about 16,000 pixels each: it needs shares, not detail. Maximum
    # coverage reaches the extreme colours, so that dithering can mix all others.
    shrink = max(1, math.isqrt(first.shape[0] * first.shape[1] // 16_000))
    samples = [np.asarray(image)[::shrink, ::shrink] for image in images[:: -(-len(images) // 16)]]
    palette = Image.fromarray(np.concatenate(samples)).quantize(256, Image.Quantize.MAXCOVERAGE)
    indexed = [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
    # Each frame ends at the hundredth of a second nearest to its true end, so that errors do not add up.
    ends = [10 * round(100 * (i + 1) / rate) for i in range(len(images))]
    durations = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    indexed[0].save(file, "GIF", save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False)
    return len(images)


def _chained(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _opened(path: Path) -> av.container.InputContainer:
    """The container, open; its name is a file's and its kind one of the usual."""
    try:
        if not path.is_file():
            raise BadInput(f"there is no video file {path}; check the name")
        if path.stat().st_size == 0:
            raise BadInput(f"the video {path} is empty (0 bytes); copy it again")
        # "file:" keeps a name with a colon from being taken for a network address.
        return av.open(f"file:{os.fspath(path)}", options={"format_whitelist": CONTAINERS})
    except (FFmpegError, OSError) as error:
        raise BadInput(f"{path} is not a video that can be read ({_why(error)}); convert it to MP4") from error


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    if not container.streams.video:
        raise BadInput(f"{path} holds no moving picture, only other streams")
    stream = container.streams.video[0]
    if stream.codec_context is None or stream.width * stream.height == 0:
        raise BadInput(f"the video {path} is of a kind that cannot be decoded; convert it to H.264 MP4")
    if stream.width * stream.height > MAX_PIXELS:
        raise BadInput(f"the video {path} claims frames of {stream.width} x {stream.height} pixels; shrink it first")
    stream.thread_type = "AUTO"
    return stream


def _frames(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path
) -> Iterator[UInt8[Tensor, "h w 3"]]:
    """Decoded frames, upright. A sample table that points beyond the end of the file tells that the file was cut."""
    last = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    if last > path.stat().st_size:
        raise BadInput(f"the video {path} is cut short: it needs {last} bytes and has {path.stat().st_size}")
    try:
        for frame in container.decode(stream):
            pixels = torch.from_numpy(frame.to_ndarray(format="rgb24"))
            # The tag is the counter-clockwise turn that makes the picture upright, in degrees.
            yield pixels.rot90(round(frame.rotation / 90) % 4).contiguous()
    except FFmpegError as error:
        raise BadInput(f"the video {path} is damaged or cut short ({_why(error)}); copy or convert it again") from error


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, FFmpegError) and error.strerror else reason(error)
