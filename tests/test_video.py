"""Clips: the frames, sizes and times that went in come out, and what is no clip ends in one sentence."""

from __future__ import annotations

import re
import resource
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import pytest
import torch
from PIL import Image
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.images import write_image
from fieldscape.video import read_video, video_info, write_video


def clip(count: int, height: int = 48, width: int = 64) -> list[Tensor]:
    """A smooth picture whose blue tells the frame's number."""
    x = torch.linspace(0, 1, width).expand(height, width)
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    return [torch.stack([x, y, torch.full_like(x, i / count)], -1) for i in range(count)]


def noise(count: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield torch.rand(48, 64, 3, generator=generator)


@pytest.mark.parametrize("fps", [24, 30, 12.5, Fraction(30000, 1001)])
def test_mp4_keeps_frames_size_and_times(tmp_path: Path, fps: float | Fraction) -> None:
    path, frames = tmp_path / "a.mp4", clip(21)
    assert write_video(path, frames, fps) == 21
    info = video_info(path)
    assert (info.frames, info.width, info.height) == (21, 64, 48)
    assert info.fps == pytest.approx(float(fps))
    back = list(read_video(path))
    assert len(back) == 21
    for original, frame in zip(frames, back, strict=True):
        # Wrong colour coefficients (BT.601 for BT.709) would be off by 0.03 on average and more in the corners.
        assert (frame.float() / 255 - original).abs().mean() < 0.012
        assert (frame.float() / 255 - original).abs().max() < 0.08
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([i / float(fps) for i in range(21)], abs=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_mp4_starts_with_its_index_and_states_its_colours(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", clip(3))
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.color_range, context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1, 1)


def test_odd_sizes_are_padded_by_the_last_row_and_column(tmp_path: Path) -> None:
    frames = clip(2, height=47, width=63)
    write_video(tmp_path / "a.mp4", frames)
    back = next(read_video(tmp_path / "a.mp4")).float() / 255
    assert back.shape == (48, 64, 3)
    assert (back[47, :63] - frames[0][46]).abs().mean() < 0.03
    assert (back[:47, 63] - frames[0][:, 62]).abs().mean() < 0.03


def test_grey_bytes_and_single_frames_are_videos_too(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [torch.full((10, 12, 1), 100, dtype=torch.uint8)])
    (frame,) = read_video(tmp_path / "a.mp4")
    assert (frame.int() - 100).abs().max() <= 3


def test_gif_keeps_frames_size_and_times(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.gif", clip(20, 47, 63)
    assert write_video(path, iter(frames), 30) == 20
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (20, (63, 47), 0)
        durations = []
        for i in range(20):
            image.seek(i)
            durations.append(image.info["duration"])
    assert set(durations) <= {30, 40}
    assert sum(durations) == pytest.approx(1000 * 20 / 30, abs=6)  # the errors of 1/100 s do not add up
    back = list(read_video(path))
    assert len(back) == 20
    for shown, frame in zip(back, frames, strict=True):
        error = shown.float() / 255 - frame
        assert error.abs().mean() < 0.08
        # Seen from further away dithering averages out; 256 flat colours would leave steps of 0.036 here.
        boxes = error[:40, :56].unflatten(0, (-1, 8)).unflatten(2, (-1, 8)).mean((1, 3))
        assert boxes.abs().mean() < 0.02


def test_what_stands_still_in_a_gif_hardly_flickers(tmp_path: Path) -> None:
    still = clip(4)[2][:, :32]
    frames = [torch.cat([still, frame[:, 32:]], 1) for frame in clip(4)]
    write_video(tmp_path / "a.gif", frames, 10)
    back = list(read_video(tmp_path / "a.gif"))
    changed = (back[0][:, :32] != back[3][:, :32]).any(-1).float().mean()
    assert changed < 0.2  # with a palette for each frame nearly every pixel changes


def test_mp4_streams(tmp_path: Path) -> None:
    """When a frame is asked for, those long before it have been let go."""
    alive: list[int] = []

    class Counted(torch.Tensor):
        def __del__(self) -> None:
            alive[0] -= 1

    def frames() -> Iterator[Tensor]:
        for i in range(60):
            alive[0] += 1
            assert alive[0] < 10
            yield torch.full((16, 16, 3), i / 60).as_subclass(Counted)

    alive.append(0)
    assert write_video(tmp_path / "a.mp4", frames()) == 60


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_writing_refuses_what_is_no_clip(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="no frames"):
        write_video(tmp_path / name, iter(()))
    with pytest.raises(BadInput, match="first frame is 64 x 48 and frame 2 is 32 x 48 pixels"):
        write_video(tmp_path / name, [*clip(2), *clip(1, width=32)])
    for fps in (0, -1, float("nan"), float("inf"), 2000):
        with pytest.raises(BadInput, match="frames per second"):
            write_video(tmp_path / name, clip(2), fps)
    with pytest.raises(ValueError, match="a video frame is"):
        write_video(tmp_path / name, [torch.zeros(4, 4, 4)])
    with pytest.raises(BadInput, match="No such file"):
        write_video(tmp_path / "absent" / name, clip(2))
    with pytest.raises(BadInput, match=re.escape("ends in .mp4 or .gif")):
        write_video(tmp_path / "a.avi", clip(2))
    assert list(tmp_path.iterdir()) == []


def test_a_gif_is_not_faster_than_players_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="up to 50"):
        write_video(tmp_path / "a.gif", clip(2), 60)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_full_disk_or_an_interrupt_leaves_the_old_clip(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_video(path, clip(3))
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))  # writing more fails, as on a full disk
    try:
        with pytest.raises(BadInput, match=f"(?i)cannot write {re.escape(str(path))}"):
            write_video(path, noise(40))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def interrupted() -> Iterator[Tensor]:
        yield from noise(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, interrupted())
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_missing_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"h264"})
    with pytest.raises(BadInput, match=re.escape("without the x264 encoder")):
        write_video(tmp_path / "a.mp4", clip(2))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_tags_are_applied(tmp_path: Path, degrees: int) -> None:
    """OpenCV, which turns frames by itself, is the twin."""
    path = tmp_path / "a.mp4"
    write_video(path, clip(2))
    content = bytearray(path.read_bytes())
    # The track header's 3 x 3 matrix (ISO 14496-12, 8.3.2), big-endian 16.16: turn it from the identity.
    c, s = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    start = content.find(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", content, start) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, start, 65536 * c, 65536 * s, 0, -65536 * s, 65536 * c, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))
    frame = next(read_video(path))
    good, expected = cv2.VideoCapture(str(path)).read()
    assert good
    assert tuple(frame.shape) == expected.shape == ((64, 48, 3) if degrees % 180 else (48, 64, 3))
    assert (frame.int() - torch.from_numpy(expected[..., ::-1].copy()).int()).abs().max() <= 8
    info = video_info(path)
    assert (info.height, info.width) == frame.shape[:2]


def test_files_that_are_no_clips_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    (tmp_path / "text.txt").write_text("hello\n" * 100)  # FFmpeg would play this one as a terminal
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n")
    write_image(tmp_path / "still.png", torch.zeros(8, 8, 3))
    for name, message in {
        "absent.mp4": "there is no video file",
        "": "there is no video file",
        "empty.mp4": "0 bytes",
        "text.mp4": "not a video",
        "text.txt": "not a video",
        "list.m3u8": "not a video",
        "still.png": "not a video",
    }.items():
        with pytest.raises(BadInput, match=message):
            read_video(tmp_path / name)
        with pytest.raises(BadInput, match=message):
            video_info(tmp_path / name)


@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 0.99])
def test_truncated_clips_are_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, noise(12))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadInput, match=re.escape(str(path))):
        list(read_video(path))


def test_damage_inside_a_clip_is_not_passed_off_as_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, noise(12))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match="damaged"):
        list(read_video(path))


def test_reading_is_bounded(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", clip(5))
    assert len(list(read_video(tmp_path / "a.mp4", max_frames=5))) == 5
    frames = read_video(tmp_path / "a.mp4", max_frames=4)
    for _ in range(4):
        next(frames)
    with pytest.raises(BadInput, match="more than 4 frames"):
        next(frames)
