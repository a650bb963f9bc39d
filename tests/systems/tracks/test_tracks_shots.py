"""Cuts are found, and what is like a cut but is none is let pass."""

import cv2
import numpy as np
import torch
from made_tracks_clips import sliding, texture

from fieldscape.systems.tracks.shots import blurred, cuts


def test_a_cut_is_found_where_it_is() -> None:
    one, other = sliding(6, seed=0)[0].frames, sliding(6, seed=5)[0].frames
    other = (other.float() * torch.tensor([0.5, 0.9, 0.3])).to(torch.uint8)
    assert cuts(torch.cat([one, other])) == [6]
    assert cuts(torch.cat([one, other, one])) == [6, 12]


def test_motion_is_no_cut() -> None:
    assert cuts(sliding(8, step=(1.0, 0.5))[0].frames) == []
    assert cuts(sliding(5, size=(160, 100), step=(14.0, 4.0))[0].frames) == []
    assert cuts(sliding(8, mover=(5.0, 1.0))[0].frames) == []


def test_a_flash_is_no_cut() -> None:
    frames = sliding(10)[0].frames.clone()
    frames[4] = 250 + frames[4] // 64
    frames[5] = 200 + frames[5] // 5
    assert cuts(frames) == []


def test_a_whip_pan_is_no_cut() -> None:
    """So fast and so blurred that nothing is found again: but so is what comes before and after."""
    ground = texture(100, 900, 3)
    kernel = np.full((1, 61), 1 / 61, np.float32)
    frames = []
    for i in range(12):
        x = 10 + (0 if i < 3 else 70 * (min(i, 9) - 3))
        window = ground[:, x : x + 160]
        frames.append(cv2.filter2D(window, -1, kernel) if 3 <= i <= 9 else window)
    assert cuts(torch.from_numpy(np.stack(frames))) == []


def test_black_frames_are_no_cut() -> None:
    frames = sliding(6)[0].frames.clone()
    frames[:2] = 0
    assert cuts(frames) == []


def test_a_blurred_frame_is_noted() -> None:
    frames = sliding(12)[0].frames.numpy().copy()
    assert blurred(torch.from_numpy(frames)) == []
    frames[5] = cv2.blur(frames[5], (11, 1))
    frames[5] = cv2.blur(frames[5], (1, 5))
    assert blurred(torch.from_numpy(frames)) == [5]
