"""7-Scenes: rooms filmed with a Kinect; a folder of frames is a sequence.

    frame-000000.depth.png   16 bits: millimetres; 65535 and 0 unknown
    frame-000000.color.png   or .jpg; the colour camera's, not moved to the depth camera's pixels
    frame-000000.pose.txt    camera to world, 4 x 4
    camera-intrinsics.txt    3 x 3, if there; else focal length 585 and principal point 320 240 of 640 x 480

Pixel centres are taken to count from whole numbers, so half a pixel is added to the principal point.
30 frames a second.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fieldscape.data.depth.frames import Sequence, absent, gaps
from fieldscape.data.depth.making import color_of, depth_map, given, matrix_of
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import measured, number_in, numbered, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput

RATE = 30.0
PER_METRE = 1000
MISSING = (0, 65535)
USUAL = (585.0, 585.0, 320.0, 240.0)
"""As published, for 640 x 480 pixels."""

DEPTH = ".depth.png"
INTRINSICS = "camera-intrinsics.txt"


def find(path: Path) -> list[Path]:
    """``path`` itself, or the folders seq-01, seq-02, ... in it or one level deeper."""
    for pattern in ("", "seq-*", "*/seq-*"):
        folders = [path] if not pattern else sorted(path.glob(pattern))
        homes = [folder for folder in folders if numbered(folder, DEPTH, "frame-")]
        if homes:
            return homes
    return []


def read(home: Path, options: DepthOptions) -> Sequence:
    """One folder of frames."""
    depths, poses = numbered(home, DEPTH, "frame-"), numbered(home, ".pose.txt", "frame-")
    colors = numbered(home, ".color.png", "frame-") or numbered(home, ".color.jpg", "frame-")
    stems, name = tuple(depths), home.resolve().name
    notes = [*gaps(name, stems), *absent(name, "poses", stems, poses), *absent(name, "colours", stems, colors)]

    @cache
    def inner() -> tuple[tuple[float, float, float, float], str]:
        if options.intrinsics is not None:
            return given(options.intrinsics), "--intrinsics"
        if not (home / INTRINSICS).is_file():
            return given(USUAL), "7-Scenes"
        matrix = matrix_of(home / INTRINSICS, 3)
        return given((matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])), str(home / INTRINSICS)

    def load(k: int) -> DepthMap:
        stem = stems[k]
        if poses and stem not in poses:
            raise BadInput(f"{home} holds no pose of frame-{stem}; remove its depth, or copy the pose.")
        depth, sky = measured(read_steps(depths[stem]), PER_METRE, missing=MISSING)
        numbers, where = inner()
        pose = matrix_of(poses[stem], 4) if poses else None
        color = color_of(colors.get(stem)) if options.color else None
        time = number_in(stem) / RATE
        return depth_map(f"{name}/{stem}", depth, sky, numbers, where, time, pose, color=color)

    return Sequence(name, stems, load, tuple(notes))
