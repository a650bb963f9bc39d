"""Clips are read whatever they come as, and what cannot be used is refused in one sentence."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from made_tracks_clips import sliding

from fieldscape.errors import BadInput
from fieldscape.images import write_image
from fieldscape.systems.tracks.clip_settings import ClipSettings
from fieldscape.systems.tracks.clips import read_clip
from fieldscape.systems.tracks.masks import layers_of, reduced
from fieldscape.systems.tracks.nouns import Clip
from fieldscape.video import write_video


def read(path: Path, **settings: Any) -> Clip:
    return read_clip(path, ClipSettings(**settings), True)


def written(folder: Path, frames: torch.Tensor, name: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames):
        write_image(folder / name.format(i), frame)
    return folder


def test_a_folder_of_frames_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    frames = sliding(12)[0].frames
    clip = read(written(tmp_path / "clip", frames), fps=10.0)
    assert torch.equal(clip.frames, frames)
    assert clip.seconds.tolist() == pytest.approx([i / 10 for i in range(12)])
    assert clip.numbers == tuple(range(12))
    assert clip.name == "clip"
    assert clip.layers is None


def test_a_video_is_read_reduced_and_with_its_times(tmp_path: Path) -> None:
    frames = sliding(10, size=(160, 120))[0].frames
    write_video(tmp_path / "clip.mp4", frames, 20)
    clip = read(tmp_path / "clip.mp4", size=80)
    assert clip.size == (80, 60)
    assert len(clip) == 10
    assert clip.seconds.tolist() == pytest.approx([i / 20 for i in range(10)], abs=1e-4)
    assert any("reduced" in note for note in clip.notes)
    half = torch.nn.functional.avg_pool2d(frames.movedim(-1, 1).float(), 2).movedim(1, -1)
    assert float((clip.frames.float() - half).abs().mean()) < 6


def test_part_of_a_clip_is_read(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", sliding(20)[0].frames, 10)
    assert read(tmp_path / "clip.mp4", start=0.5, end=1.2).numbers == tuple(range(5, 13))
    assert read(tmp_path / "clip.mp4", most=7).numbers == tuple(range(0, 20, 3))
    assert read(tmp_path / "clip.mp4", step=4).numbers == (0, 4, 8, 12, 16)
    with pytest.raises(BadInput, match=r"lasts 1\.90 seconds"):
        read(tmp_path / "clip.mp4", start=5.0)


def test_uneven_times_are_kept_and_said(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mkv"
    stamps = [0, 40, 80, 200, 240, 400, 440, 480]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 120, 80, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp, picture in zip(stamps, sliding(8)[0].frames.numpy(), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = read(path)
    assert clip.seconds.tolist() == pytest.approx([stamp / 1000 for stamp in stamps], abs=2e-3)
    assert any("varies" in note for note in clip.notes)


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2)])
def test_a_video_held_otherwise_is_turned_upright(tmp_path: Path, matrix: tuple[int, ...], turns: int) -> None:
    """As telephones write it: frames lie on their side, and the file's display matrix, which maps the right to (a, b)
    and down to (c, d), says how to show them (ISO 14496-12, 8.3.2)."""
    upright = sliding(4)[0].frames
    path = tmp_path / "clip.mp4"
    write_video(path, upright.rot90(-turns, (1, 2)).contiguous(), 10)
    content = bytearray(path.read_bytes())
    a, b, c, d = matrix
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    at = content.index(plain, content.index(b"tkhd"))
    content[at : at + len(plain)] = turned
    path.write_bytes(bytes(content))
    clip = read(path)
    assert clip.size == (120, 80)
    assert float((clip.frames.float() - upright.float()).abs().mean()) < 15  # turned otherwise: about 50


def test_masks_in_the_folder_become_layers(tmp_path: Path) -> None:
    made, masks = sliding(6, mover=(2.0, 0.0))
    written(tmp_path / "images", made.frames)
    written(tmp_path / "masks", torch.from_numpy(255 * masks.astype(np.uint8)))
    clip = read(tmp_path)
    assert clip.layers is not None
    assert np.array_equal(clip.layers.numpy(), masks)
    assert read(tmp_path, step=2).layers.shape[0] == 3


def test_one_mask_is_carried_through(tmp_path: Path) -> None:
    made, masks = sliding(6, mover=(2.0, 0.0))
    written(tmp_path / "clip", made.frames)
    write_image(tmp_path / "mask.png", torch.from_numpy(255 * masks[0].astype(np.uint8)))
    clip = read(tmp_path / "clip", masks=tmp_path / "mask.png")
    assert clip.layers is not None
    last = clip.layers[-1].numpy() > 0
    assert (last & masks[-1]).sum() / (last | masks[-1]).sum() > 0.7


def test_a_second_series_is_left_alone_or_refused(tmp_path: Path) -> None:
    frames = sliding(4)[0].frames
    written(tmp_path / "a", frames, "frame-{}.color.png")
    written(tmp_path / "a", 255 - frames, "frame-{}.depth.png")
    assert torch.equal(read(tmp_path / "a").frames, frames)
    written(tmp_path / "b", frames, "one{}.png")
    written(tmp_path / "b", frames, "two{}.png")
    with pytest.raises(BadInput, match="several series"):
        read(tmp_path / "b")


def test_a_cut_is_refused_with_its_time(tmp_path: Path) -> None:
    one, other = sliding(8, seed=0)[0].frames, sliding(8, seed=7)[0].frames
    other = (other.float() * torch.tensor([0.4, 0.9, 0.3])).to(torch.uint8)
    path = written(tmp_path / "clip", torch.cat([one, other]))
    with pytest.raises(BadInput, match=r"cut at 0\.80 seconds.*--start"):
        read(path, fps=10.0)
    assert len(read(path, fps=10.0, end=0.7)) == 8


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    frames, masks = sliding(4, mover=(1.0, 0.0))
    shades = torch.from_numpy(255 * masks.astype(np.uint8))
    single = written(tmp_path / "single", frames.frames[:1])
    with pytest.raises(BadInput, match="one frame only"):
        read(single)
    with pytest.raises(BadInput, match="no pictures"):
        read(written(tmp_path / "empty", frames.frames[:0]))
    with pytest.raises(BadInput):
        read(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(BadInput):
        read(tmp_path / "text.mp4")
    mixed = written(tmp_path / "mixed", frames.frames)
    write_image(mixed / "9.png", frames.frames[0, :40])
    with pytest.raises(BadInput, match="one size"):
        read(mixed)
    tiny = written(tmp_path / "tiny", frames.frames[:, :20, :20])
    with pytest.raises(BadInput, match="too small"):
        read(tiny)
    clip = written(tmp_path / "clip", frames.frames)
    with pytest.raises(BadInput, match=r"2 masks.* 4 frames"):
        read(clip, masks=written(tmp_path / "few", shades[:2], "m{}.png"))
    with pytest.raises(BadInput, match="one size"):
        read(clip, masks=written(tmp_path / "small", shades[:, ::2, ::2]))
    with pytest.raises(BadInput, match="as moving"):
        read(clip, masks=written(tmp_path / "all", torch.full_like(shades, 255)))
    with pytest.raises(BadInput, match="no masks"):
        read(clip, masks=tmp_path / "none")
    with pytest.raises(BadInput, match="--step"):
        read(clip, step=0)


def test_a_damaged_video_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", sliding(10)[0].frames, 10)
    content = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"cut short|damaged"):
        read(tmp_path / "cut.mp4")


def test_soft_masks_are_cut_at_half_and_numbers_are_kept() -> None:
    soft = np.arange(256).reshape(16, 16)
    assert np.array_equal(layers_of([soft])[0], (soft > 127.5).astype(np.uint8))
    first, second = layers_of([np.array([[0, 3], [9, 0]]), np.array([[9, 9], [0, 0]])])
    assert first.tolist() == [[0, 1], [2, 0]]
    assert second.tolist() == [[2, 2], [0, 0]]


def test_a_reduced_mask_gives_pixels_to_the_larger_share() -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[:, :3] = 2
    assert reduced(mask, (2, 2)).tolist() in ([[2, 2], [2, 2]], [[2, 0], [2, 0]])
    assert reduced(mask, (4, 4)) is mask
    assert reduced(mask, (1, 1)).tolist() == [[2]]
