"""What ``fieldscape info`` says of depth data: counts, a histogram, the ground, and whether the poses fit."""

from __future__ import annotations

import math
from collections import Counter

import torch

from fieldscape.data.depth.agreement import camera_points, disagreement
from fieldscape.data.depth.frames import DepthFrames, spread
from fieldscape.data.depth.judging import histogram, judge
from fieldscape.data.depth.record import DepthMap
from fieldscape.data.findings import Finding
from fieldscape.planes import Plane, fit_plane

LOOKED_AT = 8
"""Frames, and pairs of frames."""

POINTS = 8000
"""Of a frame that the ground is fitted to."""

TILT = 45.0
"""Degrees that the ground may lean against the picture's up: a hand-held camera looks down."""

GOOD_MISS = 0.1
"""Metres, and 3 % of the depth where that is more: poses that miss by less fit."""


def describe(frames: DepthFrames) -> list[str]:
    """Lines for a person: layout, counts, size, what is known of each frame, depths, notes."""
    maps = [frames[i] for i in spread(len(frames), LOOKED_AT)]
    first, last = maps[0], maps[-1]
    names = ", ".join(sequence.name for sequence in frames.sequences[:3])
    more = ", ..." if len(frames.sequences) > 3 else ""
    sizes = Counter((one.camera.width, one.camera.height) for one in maps)
    size = " and ".join(f"{width} x {height}" for width, height in sizes)
    plural = "s" if len(frames.sequences) > 1 else ""
    lines = [
        f"layout: {frames.layout}",
        f"frames: {len(frames)} of {size} pixels, in {len(frames.sequences)} sequence{plural}: {names}{more}",
        f"camera: focal length {_numbers(first.camera.focal)}, principal point {_numbers(first.camera.center)}"
        " (corner of the picture: 0 0)",
        f"time: {first.time:g} to {last.time:g} s",
    ]
    known = {
        "poses": all(one.posed for one in maps),
        "instances": any(one.instances is not None for one in maps),
        "classes": any(one.classes is not None for one in maps),
        "colour": any(one.color is not None for one in maps),
    }
    lines.append("  ".join(f"{what}: {'yes' if there else 'no'}" for what, there in known.items()))
    valid, sky = (sum(float(mask.float().mean()) for mask in masks) / len(maps) for masks in _masks(maps))
    lines.append(
        f"pixels: {100 * valid:.1f} % measured, {100 * sky:.1f} % sky, {100 * max(0.0, 1 - valid - sky):.1f} % unknown"
    )
    lines.append(f"depth of {len(maps)} frames:")
    return [*lines, *histogram(maps), *(f"note: {note}" for note in frames.notes)]


def check(frames: DepthFrames) -> list[Finding]:
    """Units, kind, ground, poses."""
    maps = [frames[i] for i in spread(len(frames), LOOKED_AT)]
    return [*judge(maps), ground_finding(maps), pose_finding(frames)]


def ground(depth_map: DepthMap) -> Plane | None:
    """The ground below the camera, in camera axes, from the lower half of the picture; None where none can be told.

    Points up to 2 cm + 1 % of their depth away lie on it.
    """
    lower = depth_map.valid.clone()
    lower[: lower.shape[0] // 2] = False
    points = camera_points(depth_map, lower)
    points = points[:: max(1, len(points) // POINTS)]
    up = torch.tensor([0.0, -1.0, 0.0])
    return fit_plane(points, 0.02 + 0.01 * points[:, 2], torch.Generator().manual_seed(0), up, TILT)


def ground_finding(maps: list[DepthMap]) -> Finding:
    """How high above the ground, and how much downward, the camera looks."""
    planes = [plane for plane in map(ground, maps) if plane is not None and plane.inliers.float().mean() > 0.15]
    if not planes:
        return Finding("unknown", "ground", f"no plane below the camera in {len(maps)} frames")
    height = torch.tensor([-plane.offset for plane in planes])
    pitch = torch.tensor([math.degrees(math.asin(max(-1.0, min(1.0, -float(p.normal[2]))))) for p in planes])
    share = torch.stack([plane.inliers.float().mean() for plane in planes]).median()
    evidence = (
        f"in {len(planes)} of {len(maps)} frames; camera {height.median():.2f} m above it ({height.min():.2f} to"
        f" {height.max():.2f}), looking {pitch.median():.0f} degrees down; {100 * share:.0f} % of the lower half"
    )
    return Finding("ok", "ground", evidence)


def pose_finding(frames: DepthFrames) -> Finding:
    """Whether what one frame saw is where the next one sees it."""
    pairs = frames.neighbours()
    misses, bounds = [], []
    for i in spread(len(pairs), LOOKED_AT):
        one, other = (frames[k] for k in pairs[i])
        if one.posed and other.posed:
            still = None if one.instances is None else one.instances == 0
            miss = disagreement(one, other, still)
            misses.append(float("inf") if miss is None else float(miss.median()))
            bounds.append(max(GOOD_MISS, 0.03 * float(one.depth[one.valid].median()) if bool(one.valid.any()) else 0))
    if not misses:
        return Finding("unknown", "poses", "there are none of frames that follow one another")
    good = sum(miss <= bound for miss, bound in zip(misses, bounds))
    middle = sorted(misses)[len(misses) // 2]
    evidence = (
        f"from frame to frame, what stands still misses by {middle:.3g} m (median of {len(misses)} pairs; worst"
        f" {max(misses):.3g} m)"
    )
    if 2 * good < len(misses):
        return Finding("warning", "poses do not fit the depth", evidence, "check their convention and the depth scale")
    return Finding("ok", "poses fit the depth", evidence)


def _masks(maps: list[DepthMap]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return [one.valid for one in maps], [one.sky for one in maps]


def _numbers(values: torch.Tensor) -> str:
    return " ".join(f"{value:g}" for value in values.tolist())
