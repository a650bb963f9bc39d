"""SYNTHIA-SEQS: video of a simulated town with eight cameras; each camera of each sequence is a sequence here.

    SYNTHIA-SEQS-04-DAWN/Depth/Stereo_Left/Omni_F/000000.png      16 bits, three equal channels: centimetres
                         RGB/..., GT/LABELS/...                   labels: red class, green instance of what moves
                         CameraParams/intrinsics.txt              focal, cx, cy, baseline
                         CameraParams/Stereo_Left/Omni_F/000000.txt   16 numbers M, reshape(4, 4).T is the pose

The pose is camera to world with camera axes x right, y up, z backward; but it is also met the other way round, world to
camera. So both are tried on what stands still, and the one is kept by which it does. The world keeps its axes.
The principal point counts from the corner of the picture (640 of 1280), as ours does. Five frames a second. Class 1,
and what is farther than 300 m, is sky. Some labels are missing in what was published; those frames have none here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from fieldscape.data.depth.agreement import disagreement
from fieldscape.data.depth.frames import Sequence, absent, gaps, spread
from fieldscape.data.depth.making import color_of, depth_map, lines_of, numbers_of
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import SKY_METRES, measured, number_in, numbered, read_png, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput

RATE = 5.0
PER_METRE = 100
SKY = 65535
SKY_CLASS = 1
STILL = (2, 3, 4, 5, 6, 7, 9, 12, 15)
"""Building, road, sidewalk, fence, vegetation, pole, sign, lane marking, light."""

LARGEST_MISS = 0.3
"""Metres. Poses by which the median of what stands still misses by more are not understood."""

CLEAR = 0.9
"""The unpublished way is taken only where its miss is below this share of the other's."""

PAIRS = 5
_UP = np.diag([1.0, -1.0, -1.0, 1.0])


def find(path: Path) -> list[Path]:
    """The folders of depth pictures, one a camera, of the sequence at ``path`` or of those in it."""
    roots = [path] if _is_sequence(path) else sorted(entry for entry in path.glob("*") if _is_sequence(entry))
    eyes = [eye for root in roots for eye in sorted(root.glob("Depth/*/*")) if eye.is_dir()]
    return [eye for eye in eyes if numbered(eye)]


def _is_sequence(path: Path) -> bool:
    return (path / "CameraParams" / "intrinsics.txt").is_file() and (path / "Depth").is_dir()


def read(home: Path, options: DepthOptions) -> Sequence:
    """One camera of one sequence. Raises BadInput: the intrinsics are none."""
    root, eye = home.parents[2], Path(home.parent.name) / home.name
    depths, colors = numbered(home), numbered(root / "RGB" / eye)
    labels, poses = numbered(root / "GT/LABELS" / eye), numbered(root / "CameraParams" / eye, ".txt")
    stems = tuple(depths)
    name = f"{root.name}/{eye.as_posix()}"
    notes = [*gaps(name, stems), *absent(name, "labels", stems, labels), *absent(name, "colours", stems, colors)]
    params = root / "CameraParams" / "intrinsics.txt"
    focal, cx, cy = numbers_of(" ".join(lines_of(params)).split(), str(params))[:3]

    def plain(k: int, inverse: bool, color: bool) -> DepthMap:
        stem = stems[k]
        depth, sky = measured(read_steps(depths[stem]), PER_METRE, SKY)
        sky |= depth > SKY_METRES
        classes = instances = None
        if stem in labels:
            pixels = two_channels(labels[stem])
            classes, instances = pixels[..., 0], pixels[..., 1]
            if classes.shape == sky.shape:
                sky |= classes == SKY_CLASS
        if stem not in poses:
            where = root / "CameraParams" / eye
            raise BadInput(f"{where} holds no pose of frame {stem}; remove the frame's depth or copy the pose.")
        where = poses[stem]
        given = np.array(numbers_of(" ".join(lines_of(where)).split(), str(where), 16)).reshape(4, 4).T
        if inverse:
            try:
                given = np.linalg.inv(given)
            except np.linalg.LinAlgError as error:
                raise BadInput(f"{where} holds a matrix without inverse, which is no pose.") from error
        picture = color_of(colors.get(stem)) if color else None
        time = number_in(stem) / RATE
        inner = (focal, focal, cx, cy)
        return depth_map(
            f"{name}/{stem}", depth, sky, inner, str(params), time, given @ _UP, instances, classes, picture
        )

    @cache
    def judged() -> tuple[bool, str]:
        return _convention(name, len(stems), plain)

    def load(k: int) -> DepthMap:
        return plain(k, judged()[0], options.color)

    return Sequence(name, stems, load, tuple(notes), lambda: judged()[1])


def _convention(name: str, count: int, plain: Callable[[int, bool, bool], DepthMap]) -> tuple[bool, str]:
    """Whether the files hold world to camera, and a sentence that says so with the figures."""
    if count < 2:
        return False, f"{name}: one frame alone tells nothing of its pose, which is taken as camera to world."
    means: list[list[float]] = [[], []]
    medians: list[list[float]] = [[], []]
    for k in spread(count - 1, PAIRS):
        for way in (0, 1):
            one, other = plain(k, bool(way), False), plain(k + 1, bool(way), False)
            still = None if one.classes is None else torch.isin(one.classes, torch.tensor(STILL))
            misses = disagreement(one, other, still)
            means[way].append(1.0 if misses is None else float(misses.clamp(max=1.0).mean()))
            medians[way].append(float("inf") if misses is None else float(misses.median()))
    mean, median = ([float(np.median(values)) for values in pair] for pair in (means, medians))
    way = int(mean[1] < CLEAR * mean[0])
    shown = [f"{value:.3g} m" if np.isfinite(value) else "out of sight" for value in median]
    figures = f"what stands still misses by {shown[0]} (median) as camera to world, {shown[1]} as world to camera"
    if median[way] >= LARGEST_MISS:
        raise BadInput(
            f"The poses of {name} do not fit its depth: {figures}, from frame to frame. They are not usable."
        )
    if CLEAR * mean[0] <= mean[1] <= mean[0] / CLEAR:
        figures += "; the two hardly differ, so the published one stands untested"
    return bool(way), f"{name}: poses taken as {('camera to world', 'world to camera')[way]}; {figures}."


def two_channels(path: Path) -> np.ndarray:
    """Labels with the class in the first channel and the instance in the second, [h, w, 3]."""
    pixels = read_png(path)
    if pixels.ndim != 3:
        raise BadInput(f"{path} has one channel; labels have the class in red and the instance in green.")
    return pixels
