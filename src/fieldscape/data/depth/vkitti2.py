"""Virtual KITTI 2 (2.0.3): five simulated drives in many weathers, two cameras; each camera of each is a sequence.

    vkitti_2.0.3_depth/Scene01/clone/frames/depth/Camera_0/depth_00000.png          16 bits: centimetres; 65535 sky
    vkitti_2.0.3_rgb/.../frames/rgb/Camera_0/rgb_00000.jpg
    vkitti_2.0.3_instanceSegmentation/.../Camera_0/instancegt_00000.png             palette: track + 1, 0 none
    vkitti_2.0.3_classSegmentation/.../Camera_0/classgt_00000.png                   the colour of the class
    vkitti_2.0.3_textgt/Scene01/clone/{intrinsic,extrinsic,colors}.txt

``extrinsic`` is world to camera. Pixel centres count from whole numbers there (620.5 is the middle of 1242), so half a
pixel is added to the principal point. A class is the place of its colour in ``colors.txt``, from 0. 10 frames a second.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from fieldscape.data.depth.frames import Sequence, absent, gaps
from fieldscape.data.depth.making import color_of, depth_map, given, lines_of, numbers_of
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import measured, number_in, numbered, read_png, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput

RATE = 10.0
PER_METRE = 100
SKY = 65535
PREFIX = "vkitti_2.0.3_"


def find(path: Path) -> list[Path]:
    """The folders of depth pictures of all cameras, scenes and weathers."""
    found = sorted(path.glob(f"{PREFIX}depth/Scene*/*/frames/depth/Camera_*"))
    return [home for home in found if numbered(home, prefix="depth_")]


def read(home: Path, options: DepthOptions) -> Sequence:
    """One camera of one drive. Its text files are read with its first frame."""
    camera, (scene, weather) = home.name, home.parts[-5:-3]
    root = home.parents[5]

    def folder(kind: str) -> Path:
        return root / f"{PREFIX}{kind}" / scene / weather / "frames" / kind / camera

    depths = numbered(home, prefix="depth_")
    colors = numbered(folder("rgb"), ".jpg", "rgb_")
    instances = numbered(folder("instanceSegmentation"), prefix="instancegt_")
    classes = numbered(folder("classSegmentation"), prefix="classgt_")
    stems, name = tuple(depths), f"{scene}/{weather}/{camera}"
    notes = gaps(name, stems)
    for what, files in (("instances", instances), ("classes", classes), ("colours", colors)):
        notes += absent(name, what, stems, files)
    texts = root / f"{PREFIX}textgt" / scene / weather

    @cache
    def tables() -> tuple[dict[int, list[float]], dict[int, list[float]], dict[int, int]]:
        number = number_in(camera)
        inner, outer = (_rows(texts / f"{kind}.txt", number, n) for kind, n in (("intrinsic", 4), ("extrinsic", 16)))
        return inner, outer, _colors(texts / "colors.txt") if classes else {}

    def load(k: int) -> DepthMap:
        stem, frame = stems[k], number_in(stems[k])
        inner, outer, palette = tables()
        for kind, table in (("intrinsic", inner), ("extrinsic", outer)):
            if frame not in table:
                raise BadInput(
                    f"{texts / f'{kind}.txt'} has no row for frame {frame} of {camera}, whose depth is there."
                )
        depth, sky = measured(read_steps(depths[stem]), PER_METRE, SKY)
        try:
            pose = np.linalg.inv(np.array(outer[frame]).reshape(4, 4))
        except np.linalg.LinAlgError as error:
            raise BadInput(
                f"{texts / 'extrinsic.txt'} has no pose for frame {frame}: it cannot be inverted."
            ) from error
        fx, fy, cx, cy = inner[frame]
        return depth_map(
            f"{name}/{stem}",
            depth,
            sky,
            given((fx, fy, cx, cy)),
            str(texts / "intrinsic.txt"),
            frame / RATE,
            pose,
            instances=_tracks(instances[stem]) if stem in instances else None,
            classes=_classes(classes[stem], palette) if stem in classes else None,
            color=color_of(colors.get(stem)) if options.color else None,
        )

    return Sequence(name, stems, load, tuple(notes))


def _rows(path: Path, camera: int, count: int) -> dict[int, list[float]]:
    """The last ``count`` numbers of each row of ``camera``, by frame."""
    rows = {}
    for k, line in enumerate(lines_of(path)[1:], 2):
        values = numbers_of(line.split(), f"{path}, row {k}", count + 2)
        if int(values[1]) == camera:
            rows[int(values[0])] = values[2:]
    return rows


def _colors(path: Path) -> dict[int, int]:
    """The number of each class, by its colour as one number."""
    rows = [numbers_of(line.split()[-3:], f"{path}, row {k}", 3) for k, line in enumerate(lines_of(path)[1:], 2)]
    return {int(code): k for k, code in enumerate(_code(np.array(rows, np.int64).reshape(-1, 3)).tolist())}


def _code(colors: np.ndarray) -> np.ndarray:
    return colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]


def _tracks(path: Path) -> np.ndarray:
    pixels = read_png(path)
    if pixels.ndim != 2:
        raise BadInput(f"{path} is in colours; instances are indices into a palette.")
    return pixels


def _classes(path: Path, palette: dict[int, int]) -> np.ndarray:
    pixels = read_png(path)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise BadInput(f"{path} is not a picture of 8 bits in colours, one for each class.")
    codes, where = np.unique(_code(pixels.astype(np.int64)), return_inverse=True)
    unknown = [code for code in codes.tolist() if code not in palette]
    if unknown:
        shown = ", ".join(str((code & 255, code >> 8 & 255, code >> 16)) for code in unknown[:3])
        raise BadInput(f"{path} shows colours that colors.txt does not name: {shown}.")
    return np.array([palette[code] for code in codes.tolist()])[where].reshape(pixels.shape[:2])
