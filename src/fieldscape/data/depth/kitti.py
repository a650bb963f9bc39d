"""KITTI's depth maps from laser scans (depth completion): sparse, one sequence a drive and camera.

    2011_09_26_drive_0001_sync/proj_depth/groundtruth/image_02/0000000005.png   16 bits: metres times 256; 0 unknown
    calib_cam_to_cam.txt    of that day, from the raw data: beside, in the drive, or up to three levels above it
    poses.txt               in the drive, if known: 12 numbers a line, camera 0 to world, line 0 is picture 0
    val_selection_cropped/{groundtruth_depth,intrinsics}/NAME.{png,txt}         single pictures, 9 numbers each

A point that is not hit by the laser is unknown, not sky. Pixel centres count from whole numbers, so half a pixel is
added to the principal point. 10 frames a second.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from fieldscape.data.depth.frames import Sequence, gaps
from fieldscape.data.depth.making import depth_map, given, lines_of, matrix_of, numbers_of
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import measured, number_in, numbered, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.data.depth.synthia_al import projection
from fieldscape.errors import BadInput

RATE = 10.0
PER_METRE = 256
CALIBRATION = "calib_cam_to_cam.txt"
_DRIVE = "proj_depth/groundtruth/image_0[0-3]"


def find(path: Path) -> list[Path]:
    """The folders of depth pictures: of the drive at ``path``, of those up to two levels below, or the selection."""
    for pattern in (_DRIVE, f"*/{_DRIVE}", f"*/*/{_DRIVE}"):
        homes = [home for home in sorted(path.glob(pattern)) if numbered(home)]
        if homes:
            return homes
    selection = path / "groundtruth_depth"
    return [selection] if numbered(selection) and (path / "intrinsics").is_dir() else []


def read(home: Path, options: DepthOptions) -> Sequence:
    """One camera of one drive, or the selection of single pictures."""
    return _selection(home, options) if home.name == "groundtruth_depth" else _drive(home, options)


def _drive(home: Path, options: DepthOptions) -> Sequence:
    depths, drive = numbered(home), home.parents[2]
    stems, name = tuple(depths), f"{drive.name}/{home.name}"
    candidates = [folder / CALIBRATION for folder in (drive, *drive.parents[:3])]
    calibration = next((candidate for candidate in candidates if candidate.is_file()), None)
    poses = drive / "poses.txt"
    notes = gaps(name, stems)
    if not poses.is_file():
        notes.append(f"{name}: no {poses.name} in {drive.name}, so its frames have no poses.")

    @cache
    def known() -> tuple[tuple[float, float, float, float], np.ndarray, list[str]]:
        aside = np.eye(4)
        if calibration is not None:
            row, inner = projection(calibration, f"P_rect_{home.name[-2:]}")
            aside[0, 3] = -row[3] / max(row[0], 1e-9)
        elif options.intrinsics is None:
            raise BadInput(
                f"There is no {CALIBRATION} at {drive} or above; copy that of the day there, or give --intrinsics."
            )
        inner = given(inner if options.intrinsics is None else options.intrinsics)
        return inner, aside, lines_of(poses) if poses.is_file() else []

    def load(k: int) -> DepthMap:
        inner, aside, rows = known()
        frame = number_in(stems[k])
        pose = None
        if rows:
            if frame >= len(rows):
                raise BadInput(f"{poses} has {len(rows)} lines and none for picture {frame}.")
            pose = np.eye(4)
            pose[:3] = np.array(numbers_of(rows[frame].split(), f"{poses}, line {frame + 1}", 12)).reshape(3, 4)
            pose = pose @ aside
        depth, sky = measured(read_steps(depths[stems[k]]), PER_METRE)
        return depth_map(f"{name}/{stems[k]}", depth, sky, inner, str(calibration), frame / RATE, pose)

    return Sequence(name, stems, load, tuple(notes))


def _selection(home: Path, options: DepthOptions) -> Sequence:
    depths, texts = numbered(home), numbered(home.parent / "intrinsics", ".txt")
    named = {stem: stem.replace("_groundtruth_depth_", "_image_") for stem in depths}
    stems = tuple(depths)

    def load(k: int) -> DepthMap:
        stem = stems[k]
        key = named[stem] if named[stem] in texts else None
        if options.intrinsics is not None:
            inner, where = options.intrinsics, "--intrinsics"
        elif key is not None:
            matrix = matrix_of(texts[key], 3)
            inner, where = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]), str(texts[key])
        else:
            raise BadInput(f"{home.parent / 'intrinsics'} holds no file for {stem}; copy it, or give --intrinsics.")
        depth, sky = measured(read_steps(depths[stem]), PER_METRE)
        return depth_map(f"{home.parent.name}/{stem}", depth, sky, given(inner), where, number_in(stem) / RATE)

    return Sequence(home.parent.name, stems, load)
