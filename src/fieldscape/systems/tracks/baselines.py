"""Three plain ways to show a time between frames, which a tracked mesh has to beat. They know no depth.

copy: the frame nearest in time.  homography: that frame, turned and stretched as a plane by what the background does.
mesh warp: both neighbours in time, warped piece by piece over the triangles between tracked points, blended.

A point's place at a time between two frames comes from its tracked places: by the cubic of ``timeline`` where it was
seen in the four frames around, else on the line between the two.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import Delaunay, cKDTree
from torch import Tensor

from fieldscape.raster import interpolate, rasterize
from fieldscape.systems.tracks.borders import ring
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.timeline import between
from fieldscape.types import Camera

LEAST_POINTS = 4
"""A homography has eight numbers: four points. With fewer the frame is copied."""
RING = 16
"""Vertices along the longer side of the picture's border."""
AROUND = 8
"""A border vertex moves as the affine map of so many points near it says."""


def copy(tracked: Tracked, when: float) -> Float[Tensor, "h w 3"]:
    """The frame nearest in time, the earlier of equally near ones."""
    return tracked.clip.color(_nearest(tracked, when))


def homography(tracked: Tracked, when: float) -> Float[Tensor, "h w 3"]:
    """The nearest frame, warped by the homography that most background points agree on (MAGSAC++, Barath et al., 2020).

    What lies beyond its borders repeats them.
    """
    frame = _nearest(tracked, when)
    one, other = _neighbours(tracked, when)
    chosen = tracked.points.seen[one] & tracked.points.seen[other] & (tracked.points.layer == 0)
    source, target = tracked.points.places[frame, chosen], _places_at(tracked, when, one, other)[chosen]
    picture = tracked.clip.color(frame)
    if len(source) < LEAST_POINTS:
        return picture
    found, _ = cv2.findHomography(source.double().numpy(), target.double().numpy(), cv2.USAC_MAGSAC, 1.0)
    if found is None:
        return picture
    shift = np.array(
        [[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]]
    )  # pixel centres: ours at halves, OpenCV's at whole numbers
    matrix = shift @ found @ np.linalg.inv(shift)
    warped = cv2.warpPerspective(
        picture.numpy(), matrix, tracked.clip.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return torch.from_numpy(warped).clamp(0, 1)


def mesh_warp(tracked: Tracked, when: float) -> Float[Tensor, "h w 3"]:
    """Both neighbours in time, each warped over the Delaunay triangles of the points seen in both, blended linearly.

    The border of the picture moves along with the points near it. Where one neighbour shows nothing, beyond its own
    border, the other is taken alone.
    """
    one, other = _neighbours(tracked, when)
    start, end = float(tracked.clip.seconds[one]), float(tracked.clip.seconds[other])
    share = 0.0 if one == other else min(max((when - start) / (end - start), 0.0), 1.0)
    chosen = (tracked.points.seen[one] & tracked.points.seen[other]).nonzero().flatten()
    target = _places_at(tracked, when, one, other)[chosen].double().numpy()
    width, height = tracked.clip.size
    inside = ((target > 0) & (target < [width, height])).all(1)
    target, chosen = target[inside], chosen[torch.from_numpy(inside)]
    if len(chosen) < LEAST_POINTS:
        return tracked.clip.color(_nearest(tracked, when))
    around = ring((0.0, 0.0, width, height), RING)
    places = np.concatenate([target, around])
    faces = torch.from_numpy(Delaunay(places).simplices.astype(np.int64))
    flat = Camera(torch.eye(4), torch.ones(2), torch.zeros(2), width, height)
    vertices = torch.from_numpy(np.concatenate([places, np.ones((len(places), 1))], 1))
    raster = rasterize(vertices, faces, flat)
    picture, total = torch.zeros(height, width, 3), torch.zeros(height, width, 1)
    for frame, weight in ((one, 1 - share), (other, share)):
        source = tracked.points.places[frame, chosen].double().numpy()
        there = np.concatenate([source, carried(around, target, source)])
        uv = interpolate(raster, faces, torch.from_numpy(there).float())
        size = torch.tensor([width, height])
        outside = torch.maximum(-uv, uv - size).amax(-1, keepdim=True)
        trust = max(weight, 1e-3) * (1 - outside).clamp(1e-3, 1)
        colors = torch.nn.functional.grid_sample(
            tracked.clip.color(frame).permute(2, 0, 1)[None], (2 * uv / size - 1)[None], "bicubic", "border",
            align_corners=False,
        )  # fmt: skip
        picture, total = picture + trust * colors[0].permute(1, 2, 0), total + trust
    return (picture / total).clamp(0, 1)


def carried(places: np.ndarray, known: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Where ``places`` [m, 2] go when ``known`` [n, 2] go to ``moved`` [n, 2]: each by the affine map that fits the
    nearest of them best, held towards their mean movement, for few points in a row say little."""
    count = min(AROUND, len(known))
    distance, index = cKDTree(known).query(places, k=list(range(1, count + 1)))
    near, shift = known[index], (moved - known)[index]  # [m, count, 2]
    weight = 1 / (distance**2 + 1)
    weight /= weight.sum(1, keepdims=True)
    middle, mean = ((weight[..., None] * x).sum(1, keepdims=True) for x in (near, shift))
    a, b = near - middle, shift - mean
    normal = np.einsum("mk,mki,mkj->mij", weight, a, a)
    spread = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    slope = np.linalg.solve(normal + (0.3 * spread + 1e-6) * np.eye(2), np.einsum("mk,mki,mkj->mij", weight, a, b))
    return places + mean[:, 0] + np.einsum("mi,mij->mj", places - middle[:, 0], slope)


def _nearest(tracked: Tracked, when: float) -> int:
    return int((tracked.clip.seconds - when).abs().argmin())


def _neighbours(tracked: Tracked, when: float) -> tuple[int, int]:
    """The last frame not after ``when`` and the first not before it."""
    seconds = tracked.clip.seconds
    after = min(int(torch.searchsorted(seconds, torch.tensor(when, dtype=seconds.dtype))), len(seconds) - 1)
    return (after, after) if after == 0 or float(seconds[after]) <= when else (after - 1, after)


def _places_at(tracked: Tracked, when: float, one: int, other: int) -> Float[Tensor, "n 2"]:
    """The places of all points at ``when``, between frames ``one`` and ``other``."""
    seconds, places, seen = tracked.clip.seconds, tracked.points.places, tracked.points.seen
    if one == other:
        return places[one]
    start, end = float(seconds[one]), float(seconds[other])
    share = (when - start) / (end - start)
    straight = (1 - share) * places[one] + share * places[other]
    around = seen[max(one - 1, 0) : other + 2].all(0)
    return torch.where(around[:, None], between(places, seconds, when), straight)
