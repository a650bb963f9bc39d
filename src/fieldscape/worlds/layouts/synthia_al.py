"""Videos in the layout of SYNTHIA-AL: 3-D boxes as in KITTI beside depth.

    train/street/01-01-2020_00-00-00/       video 0; each further video is a minute later
      RGB/000000.png            8 bits, if there are colour pictures
      Depth/000000.png          8 bits RGBA: metres = 5000 (R + 256 G + 65536 B) / (2^24 - 1); 5000 sky, 0 missing
      SemSeg/000000.png         8 bits RGBA: red class
      InstSeg/000000.png        8 bits RGBA: red + 256 green = a thing's number
      labels_kitti/000000.txt   a line a thing in view: type truncated occluded alpha left top right bottom
                                h w l x y z rotation_y
      calib_kitti/000000.txt    P0 to P3 (alike), R0_rect, Tr_velo_to_cam, Tr_imu_to_velo

A box's x y z is the middle of its underside in camera axes; rotation_y is its heading about the camera's y axis, which
leaves out the camera's pitch, as KITTI does. Focal length: their 895.692 pixels of 640, scaled to the width.
25 frames a second. truncated: the share of the picture of the box outside of the image; occluded: 0 to 2 by thirds of
hidden pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from fieldscape.worlds.layouts.clip import Clip, Frame, class_map, cut_off, in_camera, upright_box
from fieldscape.worlds.layouts.packed import opaque, three_bytes, write_png

RATE = 25.0
FOCAL = 895.692 / 640
LARGEST = 5000.0
CLASSES = {"other": 0, "sky": 1, "wall": 2, "ground": 3, "lamp": 7, "car": 8, "person": 10, "bike": 11}
TYPES = {"car": "Car", "person": "Pedestrian", "bike": "Cyclist"}
"""KITTI's names; all else is "Misc"."""
START = datetime(2020, 1, 1)


def write(folder: Path, clip: Clip, frames: Iterable[Frame]) -> None:
    """Writes one video into ``folder``, laid out as the whole data set is."""
    when = START + timedelta(minutes=clip.index)
    home = folder / "train" / "street" / when.strftime("%d-%m-%Y_%H-%M-%S")
    for kind in ("Depth", "SemSeg", "InstSeg", "labels_kitti", "calib_kitti"):
        (home / kind).mkdir(parents=True)
    for k, frame in enumerate(frames):
        name = f"{k:06d}"
        write_png(home / "Depth" / f"{name}.png", opaque(three_bytes(frame.depth, LARGEST)))
        for kind, number in (("SemSeg", class_map(clip, frame, CLASSES)), ("InstSeg", frame.instance)):
            split = np.stack([number & 255, number >> 8, np.zeros_like(number)], -1).astype(np.uint8)
            write_png(home / kind / f"{name}.png", opaque(split))
        if frame.color is not None:
            (home / "RGB").mkdir(exist_ok=True)
            write_png(home / "RGB" / f"{name}.png", opaque(frame.color))
        rows = [label(clip, frame, k, n) for n in range(len(clip.shapes)) if frame.total[n] > 0]
        (home / "labels_kitti" / f"{name}.txt").write_text("".join(row + "\n" for row in rows))
        (home / "calib_kitti" / f"{name}.txt").write_text(calibration(clip))


def label(clip: Clip, frame: Frame, k: int, n: int) -> str:
    """Thing ``n`` in frame ``k`` as a line of KITTI's labels."""
    pose, size = in_camera(clip, k, n), clip.sizes[n]
    foot, _ = upright_box(pose, size)
    heading = math.atan2(-pose[2, 0], pose[0, 0])
    alpha = (heading - math.atan2(foot[0], foot[2]) + math.pi) % (2 * math.pi) - math.pi
    hidden = 1 - frame.visible[n] / frame.total[n]
    left, top, right, bottom = frame.box[n].tolist()
    numbers = [alpha, left, top, right, bottom, size[2], size[1], size[0], *foot, heading]
    kind = TYPES.get(clip.shapes[n], "Misc")
    head = f"{kind} {cut_off(clip, pose, size):.4f} {min(int(3 * hidden), 2)}"
    return " ".join([head, *(f"{value:.9g}" for value in numbers)])


def calibration(clip: Clip) -> str:
    """KITTI's calibration of a camera without stereo and laser: P2 is the one that counts."""
    f, x, y = clip.focal, clip.width / 2, clip.height / 2
    camera = " ".join(f"{value:.12g}" for value in (f, 0, x, 0, 0, f, y, 0, 0, 0, 1, 0))
    rows = [f"P{k}: {camera}" for k in range(4)] + ["R0_rect: 1 0 0 0 1 0 0 0 1"]
    rows += [f"{name}: 1 0 0 0 0 1 0 0 0 0 1 0" for name in ("Tr_velo_to_cam", "Tr_imu_to_velo")]
    return "\n".join(rows) + "\n"
