"""Videos in the layout of SYNTHIA-SF: sequences SEQ1, SEQ2, ..., the left camera, no poses.

    SEQ1/RGBLeft/0000000.png        8 bits, if there are colour pictures
    SEQ1/DepthLeft/0000000.png      8 bits: metres = 1000 (R + 256 G + 65536 B) / (2^24 - 1); 1000 sky, 0 missing
    SEQ1/GTLeft/0000000.png         8 bits: red class (Cityscapes-like, 22), green instance (a thing's number), blue 0
    SEQ1/GTLeftDebug/0000000.png    the classes in colours

Their focal length is a constant, 847.63 pixels of 1920; ours is the same share of the width, the principal point is the
middle. Poses are not part of this layout, as they are not of theirs. 5 frames a second (theirs is not stated).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fieldscape.worlds.layouts.clip import Clip, Frame, class_map, painted
from fieldscape.worlds.layouts.packed import three_bytes, write_png

RATE = 5.0
FOCAL = 847.630211643 / 1920
LARGEST = 1000.0
CLASSES = {"other": 21, "sky": 11, "wall": 3, "ground": 1, "lamp": 6, "car": 14, "person": 12, "bike": 19}
COLORS = {
    1: (128, 64, 128),
    3: (70, 70, 70),
    6: (153, 153, 153),
    11: (70, 130, 180),
    12: (220, 20, 60),
    14: (0, 0, 142),
    19: (119, 11, 32),
    21: (111, 74, 0),
}


def write(folder: Path, clip: Clip, frames: Iterable[Frame]) -> None:
    """Writes one video into ``folder``, laid out as the whole data set is."""
    home = folder / f"SEQ{clip.index + 1}"
    for kind in ("DepthLeft", "GTLeft", "GTLeftDebug"):
        (home / kind).mkdir(parents=True)
    for k, frame in enumerate(frames):
        name = f"{k:07d}.png"
        write_png(home / "DepthLeft" / name, three_bytes(frame.depth, LARGEST))
        classes = class_map(clip, frame, CLASSES)
        labels = np.stack([classes, frame.instance, np.zeros_like(classes)], -1).astype(np.uint8)
        write_png(home / "GTLeft" / name, labels)
        write_png(home / "GTLeftDebug" / name, painted(classes, COLORS))
        if frame.color is not None:
            (home / "RGBLeft").mkdir(exist_ok=True)
            write_png(home / "RGBLeft" / name, frame.color)
