"""Small depth data in layouts that ``fieldscape make street`` does not write, from one formula: a tilted wall.

Everything is written with Python's own means or with the worlds' PNG writer, by formulas that the readers do not share:
the wall n . x = d in world axes is seen by a camera that moves; z of the pixel (u, v) whose centre is at
(u + HALF, v + HALF) follows from its ray.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fieldscape.worlds.layouts.packed import write_png

WIDTH, HEIGHT, FOCAL = 64, 48, 50.0
NORMAL = np.array([0.3, -0.4, -math.sqrt(1 - 0.25)])
DISTANCE = -3.0


def pose(k: float) -> np.ndarray:
    """Camera to world of frame k: it moves aside and turns about y and about z."""
    yaw, roll = 0.05 * k, 0.03 * k
    about_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    made = np.eye(4)
    made[:3, :3] = about_y @ about_z
    made[:3, 3] = [0.1 * k, -0.05 * k, 0.2 * k]
    return made


def wall(
    k: float,
    cx: float = WIDTH / 2,
    cy: float = HEIGHT / 2,
    width: int = WIDTH,
    height: int = HEIGHT,
    focal: float = FOCAL,
) -> np.ndarray:
    """z of the wall at all pixels; (cx, cy) counts from the corner of the picture."""
    v, u = np.mgrid[:height, :width] + 0.5
    ray = np.stack([(u - cx) / focal, (v - cy) / focal, np.ones_like(u)], -1)
    to_world = pose(k)
    along = (ray @ to_world[:3, :3].T) @ NORMAL
    return (DISTANCE - to_world[:3, 3] @ NORMAL) / along


def steps(depth: np.ndarray, per_metre: float) -> np.ndarray:
    return np.round(depth * per_metre).astype(np.uint16)


def quaternion(turn: np.ndarray) -> list[float]:
    """x, y, z, w of a rotation by less than half a turn."""
    w = math.sqrt(1 + np.trace(turn)) / 2
    xyz = [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
    return [*(value / (4 * w) for value in xyz), w]


def write_seven_scenes(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    matrix = [[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]]
    np.savetxt(folder / "camera-intrinsics.txt", matrix)
    for k in range(count):
        depth = steps(wall(k), 1000)
        depth[0, :3] = [65535, 0, depth[0, 2]]
        write_png(folder / f"frame-{k:06d}.depth.png", depth)
        write_png(folder / f"frame-{k:06d}.color.png", np.full((HEIGHT, WIDTH, 3), [10, 20, 30], np.uint8))
        np.savetxt(folder / f"frame-{k:06d}.pose.txt", pose(k))
    return folder


def write_tum(folder: Path, count: int = 4) -> Path:
    """A quarter of their size, see ``TUM``. Poses stand every 0.01 s, depth 0.004 s after one of them."""
    (folder / "depth").mkdir(parents=True)
    (folder / "rgb").mkdir()
    lines, colors = ["# depth maps", "# timestamp filename"], []
    for k in range(count):
        time = 1000.004 + k
        name = f"depth/{time:.6f}.png"
        write_png(folder / name, steps(wall(k + 0.004, 80, 60, 160, 120, 131.25), 5000))
        lines.append(f"{time:.6f} {name}")
        write_png(folder / f"rgb/{k}.png", np.full((120, 160, 3), k, np.uint8))
        colors.append(f"{time + (0.01 if k != 1 else 0.5):.6f} rgb/{k}.png")
    truth = ["# timestamp tx ty tz qx qy qz qw"]
    for step in range(-5, 100 * (count - 1) - 20):
        made = pose(step / 100)
        values = [*made[:3, 3], *quaternion(made[:3, :3])]
        truth.append(f"{1000 + step / 100:.4f} " + " ".join(f"{value:.9f}" for value in values))
    for name, text in (("depth", lines), ("rgb", colors), ("groundtruth", truth)):
        (folder / f"{name}.txt").write_text("\n".join(text) + "\n")
    return folder


def write_kitti(folder: Path, count: int = 3) -> Path:
    """A drive as in depth completion, camera 2 being 0.06 m to the left of camera 0, and every third pixel known."""
    home = folder / "2011_09_26_drive_0001_sync" / "proj_depth" / "groundtruth" / "image_02"
    home.mkdir(parents=True)
    aside = 0.06
    row = [FOCAL, 0, WIDTH / 2 - 0.5, FOCAL * aside, 0, FOCAL, HEIGHT / 2 - 0.5, 0, 0, 0, 1, 0]
    text = "calib_time: 09-Jan-2012 13:57:47\nP_rect_02: " + " ".join(map(str, row)) + "\n"
    (folder / "calib_cam_to_cam.txt").write_text(text)
    lines = []
    for k in range(5 + count):
        first = pose(k) @ np.array([[1, 0, 0, aside], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        lines.append(" ".join(f"{value:.12g}" for value in first[:3].reshape(-1)))
        if k >= 5:
            depth = steps(wall(k), 256)
            depth[np.indices(depth.shape).sum(0) % 3 != 0] = 0
            write_png(home / f"{k:010d}.png", depth)
    (home.parents[2] / "poses.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_synthia_rand(folder: Path, count: int = 2) -> Path:
    for kind in ("Depth", "RGB", "GT/LABELS"):
        (folder / kind).mkdir(parents=True)
    for k in range(count):
        depth = steps(wall(k, focal=532.740352 / 1280 * WIDTH), 100)
        labels = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
        labels[..., 0], labels[..., 1] = 2, 300 + k
        labels[:4, :, 0] = 1
        depth[:4] = 65535
        write_png(folder / f"Depth/{k:07d}.png", np.repeat(depth[..., None], 3, -1))
        write_png(folder / f"GT/LABELS/{k:07d}.png", labels)
        write_png(folder / f"RGB/{k:07d}.png", np.full((HEIGHT, WIDTH, 3), [1, 2, 3], np.uint8))
    return folder


def write_plain(folder: Path, count: int = 3, per_metre: float = 1000) -> Path:
    folder.mkdir(parents=True)
    for k in range(count):
        write_png(folder / f"{k:04d}.png", steps(wall(k), per_metre))
    return folder


TUM = (131.25, 131.25, 79.5, 59.5)
PLAIN = (FOCAL, FOCAL, WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5)
"""Intrinsics as calibration tools would tell them."""
