"""Small data sets in every layout that is read, written by formulas independent of the readers.

One bright dot at a known place in the world is seen by all cameras. Its pixel is computed here in OpenGL axes with
plain numpy, so a reader that turns an axis, a column or a pixel centre the wrong way puts the dot elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

DOT = np.array([0.3, -0.2, 0.4])
WIDTH, HEIGHT, FOCAL = 48, 36, 40.0


def opengl_poses(count: int) -> np.ndarray:
    """Camera-to-world matrices on an arc around the origin, z up: x right, y up, z backward."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    for i, angle in enumerate(np.linspace(0.2, 4.0, count)):
        eye = np.array([3 * np.cos(angle), 3 * np.sin(angle), 1 + 0.2 * np.sin(3 * angle)])
        backward = eye / np.linalg.norm(eye)
        right = np.cross([0, 0, 1], backward)
        right /= np.linalg.norm(right)
        poses[i, :3] = np.stack([right, np.cross(backward, right), backward, eye], -1)
    return poses


def dot_pixels(poses: np.ndarray, focal: float = FOCAL, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(x, y) of the dot in each image, in pixels whose first centre is (0.5, 0.5)."""
    local = np.einsum("vji,vj->vi", poses[:, :3, :3], DOT - poses[:, :3, 3])
    x, y, z = local.T
    return np.stack([width / 2 + focal * x / -z, height / 2 - focal * y / -z], -1)


def photos(poses: np.ndarray, channels: int = 3) -> np.ndarray:
    """Grey uint8 images with a soft bright dot; its centre of brightness is its pixel to about 0.05."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    dots = dot_pixels(poses)
    bump = np.exp(-((x - dots[:, 0, None, None]) ** 2 + (y - dots[:, 1, None, None]) ** 2) / (2 * 2.0**2))
    made = np.repeat((60 + 180 * bump).round().astype(np.uint8)[..., None], channels, -1)
    if channels == 4:
        made[..., 3] = (255 * bump).round()
    return made


def write_photos(folder: Path, names: list[str], pictures: np.ndarray) -> None:
    for name, picture in zip(names, pictures, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)


def write_tinynerf(folder: Path, count: int = 9, **changed: np.ndarray) -> Path:
    poses = opengl_poses(count)
    arrays = {"images": photos(poses) / np.float32(255), "poses": poses.astype(np.float32), "focal": np.array(FOCAL)}
    np.savez(folder / "tiny.npz", **{**arrays, **changed})
    return folder / "tiny.npz"


def transforms(count: int = 9) -> dict:
    frames = [
        {"file_path": f"images/{i:04d}.png", "transform_matrix": pose.tolist()}
        for i, pose in enumerate(opengl_poses(count))
    ]
    return {"fl_x": FOCAL, "fl_y": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT, "frames": frames}


def write_transforms(folder: Path, count: int = 9, meta: dict | None = None) -> Path:
    write_photos(folder, [f"images/{i:04d}.png" for i in range(count)], photos(opengl_poses(count)))
    (folder / "transforms.json").write_text(json.dumps(transforms(count) if meta is None else meta))
    return folder


def write_blender(folder: Path, train: int = 4, test: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    poses = opengl_poses(train + test)
    angle = 2 * np.arctan(0.5 * WIDTH / FOCAL)
    for split, first, count in (("train", 0, train), ("test", train, test)):
        names = [f"{split}/r_{i}" for i in range(count)]
        frames = [
            {"file_path": f"./{name}", "rotation": 0.01, "transform_matrix": poses[first + i].tolist()}
            for i, name in enumerate(names)
        ]
        listing = {"camera_angle_x": angle, "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(listing))
        write_photos(folder, [f"{name}.png" for name in names], photos(poses, 4)[first : first + count])
    return folder


def write_llff(folder: Path, count: int = 9, shrink: float = 1.0, images: str = "images") -> Path:
    """``shrink``: the array states images so many times larger than the photos are."""
    folder.mkdir(exist_ok=True)
    poses = opengl_poses(count)
    right, up, backward, position = (poses[:, :3, i] for i in range(4))
    sizes = np.tile([HEIGHT * shrink, WIDTH * shrink, FOCAL * shrink], (count, 1))
    matrix = np.stack([-up, right, backward, position, sizes], -1)
    bounds = np.tile([1.0, 9.0], (count, 1))
    np.save(folder / "poses_bounds.npy", np.concatenate([matrix.reshape(count, 15), bounds], 1))
    write_photos(folder, [f"{images}/{i:03d}.png" for i in range(count)], photos(poses))
    return folder
