"""COLMAP sparse models, text and binary, written by numpy and struct alone: the twin of ``data.colmap_files``."""

from __future__ import annotations

import struct
from pathlib import Path

import layouts
import numpy as np

IDS = {
    "SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "RADIAL": 3, "OPENCV": 4, "OPENCV_FISHEYE": 5,
    "FULL_OPENCV": 6, "FOV": 7, "SIMPLE_RADIAL_FISHEYE": 8, "RADIAL_FISHEYE": 9, "SIMPLE_FISHEYE": 14, "FISHEYE": 15,
}  # fmt: skip

PINHOLE = ("PINHOLE", layouts.WIDTH, layouts.HEIGHT, (40.0, 40.0, 24.0, 18.0))


def world_to_camera(poses: np.ndarray) -> list[tuple[float, ...]]:
    """OpenGL camera-to-world matrices as COLMAP's (qw, qx, qy, qz, tx, ty, tz)."""
    rows = []
    for pose in poses * np.array([1, -1, -1, 1]):
        rotation, t = pose[:3, :3].T, -pose[:3, :3].T @ pose[:3, 3]
        # The quaternion is the eigenvector of Bar-Itzhack's matrix (2000) with the largest eigenvalue, 1.
        (a, b, c), (d, e, f), (g, h, i) = rotation
        k = np.array(
            [[a - e - i, d + b, g + c, h - f], [d + b, e - a - i, h + f, c - g],
             [g + c, h + f, i - a - e, d - b], [h - f, c - g, d - b, a + e + i]]
        ) / 3  # fmt: skip
        x, y, z, w = np.linalg.eigh(k)[1][:, -1]
        rows.append((w, x, y, z, *t))
    return rows


def scene(count: int = 9, seed: int = 0) -> dict:
    """A model of ``layouts``' arc of cameras: cameras, photos, and 60 points around the origin that all photos see."""
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (60, 3))
    photos = [(i + 1, pose, 1, f"{i:03d}.png") for i, pose in enumerate(world_to_camera(layouts.opengl_poses(count)))]
    return {
        "cameras": {1: PINHOLE},
        "photos": photos,
        "points": [(point, 0.5, [photo[0] for photo in photos]) for point in points],
    }


def write_text(folder: Path, model: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Camera list with one line of data per camera:"]
    for number, (name, width, height, params) in model["cameras"].items():
        lines.append(f"{number} {name} {width} {height} {' '.join(map(repr, map(float, params)))}")
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# Image list with two lines of data per image:"]
    for index, (number, pose, camera, name) in enumerate(model["photos"]):
        lines += [f"{number} {' '.join(map(repr, map(float, pose)))} {camera} {name}"]
        lines += ["" if index % 2 else "1.5 2.5 -1 3.5 4.5 7"]  # a photo without points has an empty line
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    lines = ["# 3D point list with one line of data per point:"]
    for number, (point, error, track) in enumerate(model["points"]):
        sightings = " ".join(f"{photo} {number}" for photo in track)
        lines.append(f"{number + 5} {' '.join(map(repr, map(float, point)))} 10 20 30 {error!r} {sightings}")
    (folder / "points3D.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_binary(folder: Path, model: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = struct.pack("<Q", len(model["cameras"]))
    for number, (name, width, height, params) in model["cameras"].items():
        data += struct.pack(f"<IiQQ{len(params)}d", number, IDS[name], width, height, *params)
    (folder / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(model["photos"]))
    for index, (number, pose, camera, name) in enumerate(model["photos"]):
        seen = index % 3
        data += struct.pack("<I7dI", number, *pose, camera) + name.encode() + b"\0"
        data += struct.pack("<Q", seen) + struct.pack("<ddq", 1.5, 2.5, -1) * seen
    (folder / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(model["points"]))
    for number, (point, error, track) in enumerate(model["points"]):
        data += struct.pack("<Q3d3BdQ", number + 5, *point, 10, 20, 30, error, len(track))
        data += b"".join(struct.pack("<II", photo, number) for photo in track)
    (folder / "points3D.bin").write_bytes(data)
    return folder


WRITERS = {"text": write_text, "binary": write_binary}


def capture(folder: Path, kind: str = "binary", model: dict | None = None, images: str = "images") -> Path:
    """A folder with photos of the bright dot and a model in sparse/0."""
    count = 9
    layouts.write_photos(
        folder, [f"{images}/{i:03d}.png" for i in range(count)], layouts.photos(layouts.opengl_poses(count))
    )
    WRITERS[kind](folder / "sparse" / "0", scene(count) if model is None else model)
    return folder
