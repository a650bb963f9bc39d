"""Videos in the layout of SYNTHIA-SEQS: each is a sequence of its own, the left camera that looks ahead.

    SYNTHIA-SEQS-01-SPRING/             video 0; video 1 is SYNTHIA-SEQS-02-SPRING, and so on
      RGB/Stereo_Left/Omni_F/000000.png       8 bits, if there are colour pictures
      Depth/Stereo_Left/Omni_F/000000.png     16 bits, three equal channels: centimetres; 65535 sky, 0 missing
      GT/LABELS/Stereo_Left/Omni_F/000000.png 16 bits: red class, green instance (a thing's number), blue 0
      GT/COLOR/Stereo_Left/Omni_F/000000.png  8 bits: the classes in colours
      CameraParams/intrinsics.txt             focal, cx, cy, baseline, with empty lines between
      CameraParams/Stereo_Left/Omni_F/000000.txt  16 numbers M with reshape(4, 4).T = camera to world

Camera axes there are x right, y up, z backward. So are those of the world: x ours, y our z (up), z our -y. The
principal point is that of a picture whose left edge is 0 (their 640 of 1280). 5 frames a second. Things that have
no class there are void (0), and keep their instance.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fieldscape.worlds.layouts.clip import DOWN, Clip, Frame, class_map, painted
from fieldscape.worlds.layouts.packed import sixteen_bits, write_png

RATE = 5.0
FOCAL = 532.740352 / 1280
"""Focal length as a share of the width."""
BASELINE = 0.8
CLASSES = {"other": 0, "sky": 1, "wall": 2, "ground": 3, "lamp": 7, "car": 8, "person": 10, "bike": 11}
COLORS = {
    1: (128, 128, 128),
    2: (128, 0, 0),
    3: (128, 64, 128),
    7: (192, 192, 128),
    8: (64, 0, 128),
    10: (64, 64, 0),
    11: (0, 128, 192),
}
UP = np.diag([1.0, -1.0, -1.0])
"""Between axes with y down, z forward and axes with y up, z backward, either way."""


def write(folder: Path, clip: Clip, frames: Iterable[Frame]) -> None:
    """Writes one video into ``folder``, laid out as the whole data set is."""
    home = folder / f"SYNTHIA-SEQS-{clip.index + 1:02d}-SPRING"
    eye = Path("Stereo_Left/Omni_F")
    kinds = ["Depth", "GT/LABELS", "GT/COLOR", "CameraParams"]
    for kind in kinds:
        (home / kind / eye).mkdir(parents=True)
    numbers = (clip.focal, clip.width / 2, clip.height / 2, BASELINE)
    (home / "CameraParams" / "intrinsics.txt").write_text("\n\n".join(f"{value:.9g}" for value in numbers) + "\n")
    for k, frame in enumerate(frames):
        name = f"{k:06d}"
        depth = sixteen_bits(frame.depth, 100)
        write_png(home / "Depth" / eye / f"{name}.png", np.repeat(depth[..., None], 3, -1))
        classes = class_map(clip, frame, CLASSES)
        labels = np.stack([classes, frame.instance, np.zeros_like(classes)], -1).astype(np.uint16)
        write_png(home / "GT/LABELS" / eye / f"{name}.png", labels)
        write_png(home / "GT/COLOR" / eye / f"{name}.png", painted(classes, COLORS))
        if frame.color is not None:
            (home / "RGB" / eye).mkdir(parents=True, exist_ok=True)
            write_png(home / "RGB" / eye / f"{name}.png", frame.color)
        line = " ".join(f"{value:.17g}" for value in pose_there(clip.poses[k]).T.reshape(-1))
        (home / "CameraParams" / eye / f"{name}.txt").write_text(line + "\n")


def pose_there(pose: np.ndarray) -> np.ndarray:
    """Camera to world in their axes, from ours."""
    turn = UP @ DOWN
    there = np.eye(4)
    there[:3, :3] = turn @ pose[:3, :3] @ UP
    there[:3, 3] = turn @ pose[:3, 3]
    return there
