"""SYNTHIA-AL: short videos of a simulated town with boxes of all things; each folder of a day and time is a sequence.

    train/<setting>/<DD-MM-YYYY_HH-MM-SS>/Depth/000000.png   8 bits RGBA: metres = 5000 (R + 256 G + 65536 B) / (2^24-1)
                                          RGB/..., SemSeg/..., InstSeg/...   numbers: red + 256 green
                                          calib_kitti/000000.txt             P2: the camera
                                          labels_kitti/000000.txt            boxes; not read here

P2's principal point is taken to count from the corner of the picture (320 of 640 is its middle). No poses. 25 frames a
second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fieldscape.data.depth.frames import Sequence, absent, gaps
from fieldscape.data.depth.making import color_of, depth_map, lines_of, numbers_of
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import number_in, numbered, read_png, three_bytes
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput

RATE = 25.0
LARGEST = 5000.0
CALIBRATION = "calib_kitti"


def find(path: Path) -> list[Path]:
    """The folders of the videos: ``path`` itself, or up to three levels below it."""
    for pattern in ("", "*", "*/*", "*/*/*"):
        folders = [path] if not pattern else sorted(path.glob(pattern))
        homes = [folder for folder in folders if (folder / CALIBRATION).is_dir() and (folder / "Depth").is_dir()]
        if homes:
            return homes
    return []


def read(home: Path, options: DepthOptions) -> Sequence:
    """One video."""
    depths, colors, semantic, instance = (numbered(home / kind) for kind in ("Depth", "RGB", "SemSeg", "InstSeg"))
    calibrations = numbered(home / CALIBRATION, ".txt")
    stems, name = tuple(depths), home.name
    notes = gaps(name, stems)
    for what, files in (("classes", semantic), ("instances", instance), ("colours", colors)):
        notes += absent(name, what, stems, files)

    def load(k: int) -> DepthMap:
        stem = stems[k]
        depth, sky = three_bytes(depths[stem], LARGEST)
        if stem not in calibrations:
            raise BadInput(f"{home / CALIBRATION} holds no calibration of frame {stem}; copy it, or remove its depth.")
        inner = projection(calibrations[stem], "P2")[1]
        classes, instances = (_numbers(files[stem]) if stem in files else None for files in (semantic, instance))
        color = color_of(colors.get(stem)) if options.color else None
        where, time = str(calibrations[stem]), number_in(stem) / RATE
        return depth_map(f"{name}/{stem}", depth, sky, inner, where, time, None, instances, classes, color)

    return Sequence(name, stems, load, tuple(notes))


def projection(path: Path, name: str) -> tuple[list[float], tuple[float, float, float, float]]:
    """The 12 numbers of the row ``name`` of a calibration in KITTI's form, and (fx, fy, cx, cy) as they stand there."""
    for line in lines_of(path):
        key, _, rest = line.partition(":")
        if key.strip() == name:
            row = numbers_of(rest.split(), f"{path}, {name}", 12)
            return row, (row[0], row[5], row[2], row[6])
    raise BadInput(f"{path} holds no row {name}:, the camera's projection.")


def _numbers(path: Path) -> np.ndarray:
    pixels = read_png(path)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise BadInput(f"{path} is not a picture of 8 bits whose red and green make a number.")
    return pixels[..., 0] + 256 * pixels[..., 1].astype(np.int64)
