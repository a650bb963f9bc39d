"""Videos in the layout of Virtual KITTI 2: Scene01, Scene02, ..., variant clone, camera 0.

    vkitti_2.0.3_rgb/Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg         if there are colour pictures
    vkitti_2.0.3_depth/.../frames/depth/Camera_0/depth_00000.png             16 bits: centimetres; 65535 sky, 0 missing
    vkitti_2.0.3_instanceSegmentation/.../Camera_0/instancegt_00000.png      palette: track + 1, 0 none
    vkitti_2.0.3_classSegmentation/.../Camera_0/classgt_00000.png            8 bits: the colour of the class
    vkitti_2.0.3_textgt/Scene01/clone/{intrinsic,extrinsic,pose,bbox,info,colors}.txt

The world's axes there are x ours, y our -z (down), z our y. ``extrinsic`` is world to camera. A box's place is the
middle of its underside; its axes are x ahead, y down, z to the left, turned by R_y R_x R_z. Pixel centres are at whole
numbers, so the principal point is half a pixel less than ours (their 620.5 is the middle of 1242). Every thing has a
track, not only vehicles as in theirs; rows are written for those that would have a pixel if nothing stood before them.
10 frames a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from fieldscape.images import write_image
from fieldscape.worlds.layouts.clip import (
    DOWN,
    Clip,
    Frame,
    angles,
    class_map,
    cut_off,
    in_camera,
    painted,
    upright_box,
)
from fieldscape.worlds.layouts.packed import sixteen_bits, write_png

RATE = 10.0
FOCAL = 725.0087 / 1242
LABELS = {"car": "Car", "cart": "Van", "lamp": "Pole"}
"""All else is "Misc"."""
CLASSES = {"other": 0, "sky": 1, "wall": 2, "ground": 3, "lamp": 4, "car": 5, "cart": 6}
COLORS = {
    0: (80, 80, 80),
    1: (90, 200, 255),
    2: (140, 140, 140),
    3: (100, 60, 100),
    4: (255, 130, 0),
    5: (0, 139, 139),
    6: (255, 127, 80),
}
NAMES = ("Misc", "Sky", "Building", "Road", "Pole", "Car", "Van")
TURNS = " ".join(f"rotation_{{0}}_space_{axis}" for axis in "yxz")
POSE_HEADER = (
    "frame cameraID trackID alpha width height length world_space_X world_space_Y world_space_Z "
    + TURNS.format("world")
    + " camera_space_X camera_space_Y camera_space_Z "
    + TURNS.format("camera")
)
EXTRINSIC_HEADER = "frame cameraID r1,1 r1,2 r1,3 t1 r2,1 r2,2 r2,3 t2 r3,1 r3,2 r3,3 t3 0 0 0 1"
BOX_HEADER = "frame cameraID trackID left right top bottom number_pixels truncation_ratio occupancy_ratio isMoving"


def write(folder: Path, clip: Clip, frames: Iterable[Frame]) -> None:
    """Writes one video into ``folder``, laid out as the whole data set is."""
    variant = Path(f"Scene{clip.index + 1:02d}") / "clone"

    def home(kind: str) -> Path:
        place = folder / f"vkitti_2.0.3_{kind}" / variant / "frames" / kind / "Camera_0"
        place.mkdir(parents=True, exist_ok=True)
        return place

    poses, boxes = [POSE_HEADER], [BOX_HEADER]
    palette = _palette()
    for k, frame in enumerate(frames):
        write_png(home("depth") / f"depth_{k:05d}.png", sixteen_bits(frame.depth, 100))
        write_png(home("instanceSegmentation") / f"instancegt_{k:05d}.png", frame.instance.astype(np.uint8), palette)
        classes = painted(class_map(clip, frame, CLASSES), COLORS)
        write_png(home("classSegmentation") / f"classgt_{k:05d}.png", classes)
        if frame.color is not None:
            write_image(home("rgb") / f"rgb_{k:05d}.jpg", torch.from_numpy(frame.color))
        for n in np.flatnonzero(frame.total > 0).tolist():
            poses.append(_pose_row(clip, k, n))
            boxes.append(_box_row(clip, frame, k, n))
    focal, count = f"{clip.focal:.17g}", range(len(clip.times))
    inner = [f"{k} 0 {focal} {focal} {clip.width / 2 - 0.5} {clip.height / 2 - 0.5}" for k in count]
    outer = [f"{k} 0 " + _numbers(world_to_camera(clip.poses[k]).reshape(-1)) for k in count]
    named = [
        f"{n} {LABELS.get(clip.shapes[n], 'Misc')} {clip.shapes[n]} {clip.colors[n]}" for n in range(len(clip.shapes))
    ]
    shown = [f"{name} {' '.join(map(str, COLORS[k]))}" for k, name in enumerate(NAMES)]
    texts = {
        "pose": poses,
        "bbox": boxes,
        "intrinsic": ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]", *inner],
        "extrinsic": [EXTRINSIC_HEADER, *outer],
        "info": ["trackID label model color", *named],
        "colors": ["Category R G B", *shown],
    }
    text_home = folder / "vkitti_2.0.3_textgt" / variant
    text_home.mkdir(parents=True)
    for name, lines in texts.items():
        (text_home / f"{name}.txt").write_text("\n".join(lines) + "\n")


def world_to_camera(pose: np.ndarray) -> np.ndarray:
    """The extrinsic matrix in their axes of the world, from our pose."""
    there = np.eye(4)
    there[:3, :3] = DOWN @ pose[:3, :3]
    there[:3, 3] = DOWN @ pose[:3, 3]
    return np.linalg.inv(there)


def _pose_row(clip: Clip, k: int, n: int) -> str:
    size = clip.sizes[n]
    there = np.eye(4)
    there[:3] = DOWN @ clip.thing_poses[k, n][:3]
    world_foot, world_turn = upright_box(there, size)
    foot, turn = upright_box(in_camera(clip, k, n), size)
    ry, rx, rz = angles(turn)
    alpha = (ry - math.atan2(foot[0], foot[2]) + math.pi) % (2 * math.pi) - math.pi
    numbers = [alpha, size[1], size[2], size[0], *world_foot, *angles(world_turn), *foot, ry, rx, rz]
    return f"{k} 0 {n} " + _numbers(numbers)


def _box_row(clip: Clip, frame: Frame, k: int, n: int) -> str:
    left, top, right, bottom = frame.box[n].tolist()
    share = frame.visible[n] / frame.total[n]
    cut = cut_off(clip, in_camera(clip, k, n), clip.sizes[n])
    moving = bool(np.linalg.norm(clip.velocities[k, n]) > 1e-3)
    return f"{k} 0 {n} {left} {right - 1} {top} {bottom - 1} {frame.visible[n]} {cut:.6g} {share:.6g} {moving}"


def _numbers(values: object) -> str:
    return " ".join(f"{value:.17g}" for value in np.asarray(values, float).tolist())


def _palette() -> np.ndarray:
    """Colours for 256 tracks, no two neighbours alike; 0 is black."""
    k = np.arange(256)
    colors = np.stack([(k * 97) % 256, (k * 57 + 80) % 256, (k * 151 + 160) % 256], -1).astype(np.uint8)
    colors[0] = 0
    return colors
