"""Frames of a clip: even stretches, the sharpest of each, kept between runs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from fieldscape.data.clip_frames import extract_frames, sharpest, sharpness, slots
from fieldscape.errors import BadInput
from fieldscape.images import read_image
from fieldscape.video import write_video


def noise(blur: float, seed: int = 0) -> torch.Tensor:
    picture = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return torch.from_numpy(cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture)


def test_blur_lowers_sharpness():
    values = [sharpness(noise(blur)) for blur in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)


def test_the_sharpest_of_each_stretch_is_taken():
    blurs = [2, 1, 3, 1.5, 3, 0.5, 4, 4, 1]
    chosen = [number for number, _ in sharpest(map(noise, blurs), 9, 3)]
    assert chosen == [1, 5, 8]


@pytest.mark.parametrize(("expected", "chosen"), [(9, [0, 3, 6]), (6, [0, 2, 4]), (20, [0, 7])])
def test_a_clip_of_another_length_than_expected(expected, chosen):
    """Equal frames: the first of each stretch. A longer clip ends in a long stretch, a shorter one has fewer."""
    assert [number for number, _ in sharpest(iter([noise(1)] * 9), expected, 3)] == chosen


def test_all_frames_are_used_by_short_clips_only():
    assert [slots(n) for n in (1, 29, 31, 60, 100, 180, 10_000)] == [1, 29, 30, 30, 50, 90, 90]


def test_frames_are_extracted_once_and_again_when_damaged(tmp_path):
    clip = tmp_path / "clip.mp4"
    write_video(clip, [noise(1 + i % 2, seed=i) for i in range(64)], fps=10)
    folder = extract_frames(clip, tmp_path / "frames", quiet=True)
    names = sorted(path.name for path in folder.glob("*.jpg"))
    assert len(names) == 32
    assert all(int(name[:6]) % 2 == 0 for name in names)  # every second frame is the sharper one
    assert read_image(folder / names[0]).shape == (48, 64, 3)
    stamp = (folder / names[0]).stat().st_mtime_ns
    extract_frames(clip, folder, quiet=True)
    assert (folder / names[0]).stat().st_mtime_ns == stamp
    (folder / names[3]).unlink()
    extract_frames(clip, folder, quiet=True)
    assert sorted(path.name for path in folder.glob("*.jpg")) == names


def test_what_is_no_clip_is_said(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"nothing")
    with pytest.raises(BadInput):
        extract_frames(tmp_path / "clip.mp4", tmp_path / "frames", quiet=True)
