"""TUM RGB-D: a hand-held Kinect with poses from motion capture; streams that are put together by their times.

    depth.txt         lines of "time file": depth/1305031102.160407.png, 16 bits: metres times 5000; 0 unknown
    rgb.txt           lines of "time file"
    groundtruth.txt   lines of "time tx ty tz qx qy qz qw": camera to world

Depth was moved to the colour camera's pixels by the camera itself; the publishers give focal length 525 and principal
point 319.5 239.5 for all of it, counted from the centre of the first pixel. A pose is interpolated between the two
around a frame's time (slerp); a frame whose time lies in a hole of the poses has none. File names are not trusted.
"""

from __future__ import annotations

import bisect
from functools import cache
from pathlib import Path

import numpy as np
import torch

from fieldscape import rotations
from fieldscape.data.depth.frames import Sequence
from fieldscape.data.depth.making import color_of, depth_map, given, lines_of, numbers_of
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import measured, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.data.untrusted import inside
from fieldscape.errors import BadInput

PER_METRE = 5000
USUAL = (525.0, 525.0, 319.5, 239.5)
HOLE = 0.1
"""Seconds between two poses at most for a frame between them to have one."""

APART = 0.02
"""Seconds between depth and colour at most to be one frame; as the publishers take it."""


def find(path: Path) -> list[Path]:
    """``path`` itself, or the folders in it that are such."""
    if (path / "depth.txt").is_file():
        return [path]
    return sorted(entry.parent for entry in path.glob("*/depth.txt") if (entry.parent / "groundtruth.txt").is_file())


def read(home: Path, options: DepthOptions) -> Sequence:
    """One recording. Raises BadInput: lists that are none, or that name files outside of the folder."""
    frames = _listed(home, "depth.txt")
    colors = _listed(home, "rgb.txt") if (home / "rgb.txt").is_file() else []
    moments, poses = _poses(home / "groundtruth.txt")
    times, color_times = [time for time, _ in frames], [time for time, _ in colors]
    name = home.resolve().name
    notes = []
    placed = [_bracket(moments, time) is not None for time in times]
    if not all(placed):
        notes.append(f"{name}: {placed.count(False)} of {len(placed)} frames have no pose within {HOLE:g} s of them.")
    lost = [path for _, path in frames if not path.is_file()]
    if lost:
        raise BadInput(f"{home / 'depth.txt'} names {len(lost)} files that are not there; the first: {lost[0]}.")
    origin = times[0]
    inner = given(USUAL if options.intrinsics is None else options.intrinsics)

    @cache
    def color_at(k: int) -> Path | None:
        near = _nearest(color_times, times[k])
        return None if near is None else colors[near][1]

    def load(k: int) -> DepthMap:
        time, path = frames[k]
        depth, sky = measured(read_steps(path), PER_METRE)
        pose = _pose_at(moments, poses, time)
        color = color_of(color_at(k)) if options.color else None
        return depth_map(f"{name}/{path.stem}", depth, sky, inner, "--intrinsics", time - origin, pose, color=color)

    return Sequence(name, tuple(path.stem for _, path in frames), load, tuple(notes))


def _listed(home: Path, file: str) -> list[tuple[float, Path]]:
    found = []
    for k, line in enumerate(lines_of(home / file), 1):
        where = f"{home / file}, line {k}"
        words = line.split(maxsplit=1)
        if len(words) != 2:
            raise BadInput(f"{where} is not a time and a file name.")
        found.append((numbers_of(words[:1], where)[0], inside(home, words[1], where)))
    if not found:
        raise BadInput(f"{home / file} names no files.")
    return sorted(found)


def _poses(path: Path) -> tuple[list[float], np.ndarray]:
    """Times in order, and tx ty tz qx qy qz qw at each."""
    if not path.is_file():
        return [], np.zeros((0, 7))
    rows = sorted(numbers_of(line.split(), f"{path}, line {k}", 8) for k, line in enumerate(lines_of(path), 1))
    values = np.array(rows).reshape(-1, 8)
    lengths = np.linalg.norm(values[:, 4:], axis=1)
    if (np.abs(lengths - 1) > 0.01).any():
        raise BadInput(
            f"{path} holds a quaternion of length {lengths[np.abs(lengths - 1).argmax()]:.3g}; it must be 1."
        )
    return values[:, 0].tolist(), values[:, 1:]


def _bracket(moments: list[float], time: float) -> tuple[int, int, float] | None:
    """The moments around ``time`` and its share of the way between them."""
    after = bisect.bisect_left(moments, time)
    if after < len(moments) and moments[after] == time:
        return after, after, 0.0
    if after in (0, len(moments)) or moments[after] - moments[after - 1] > HOLE:
        return None
    return after - 1, after, (time - moments[after - 1]) / (moments[after] - moments[after - 1])


def _pose_at(moments: list[float], poses: np.ndarray, time: float) -> np.ndarray | None:
    around = _bracket(moments, time)
    if around is None:
        return None
    before, after, share = around
    two = torch.from_numpy(poses[[before, after]])
    turns = rotations.aligned(two[:, [6, 3, 4, 5]])
    pose = np.eye(4)
    pose[:3, :3] = rotations.to_matrix(rotations.slerp(turns[0], turns[1], torch.tensor(share).double())).numpy()
    pose[:3, 3] = ((1 - share) * two[0, :3] + share * two[1, :3]).numpy()
    return pose


def _nearest(times: list[float], time: float) -> int | None:
    """Which of ``times``, in order, is nearest to ``time`` and at most ``APART`` from it."""
    after = bisect.bisect_left(times, time)
    close = [k for k in (after - 1, after) if 0 <= k < len(times) and abs(times[k] - time) <= APART]
    return min(close, key=lambda k: abs(times[k] - time)) if close else None
