"""What stands still behind all things: the ground, up to four large upright planes, and the frame that they give.

The model frame G has y up, its origin on the ground below the camera, and z ahead: the camera's forward direction laid
on the ground; x is to the left, so that the axes are right-handed. A point of the camera's axes (x right, y down, z
forward) is moved there by a turn and the camera's height.

The ground is the plane that most points of the picture's lower half lie on, among those within 25 degrees of level
(``planes.fit_plane``). Where much lies below that plane it is a table's, or there is none: then the lowest is taken of
the level planes that the whole picture shows, with the camera tilted by up to 38 degrees. Below 45 degrees an upright
plane cannot be mistaken for a level one. If much lies even below that, it gives the frame its up and is no ground.

A wall is a large upright plane with nothing behind it: the front of a thing also is an upright
plane, but past it one sees more of the scene.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.planes import fit_plane

Array = np.ndarray

STEEPEST = 25.0
"""Degrees between the ground and level, where the camera is taken to be held upright."""
TILTED = 38.0
"""The same for a camera that looks down on things, if its ground is not found otherwise."""
BELOW = 0.04
"""The most that may be seen below a ground, as a share of the points: rubbish of the sensor, the far end of a slope."""
LEAST_LEVEL = 0.03
"""The share of all known pixels that must lie on such a plane and face its way."""
ALIKE = 0.94
"""The least cosine between the normal of a plane and that of a surface that lies on it."""
LEVELS = 4
"""Level planes looked at in the whole picture: floor, table, seat, counter."""
HEIGHT = 1.6
"""Of a camera whose ground is not seen, in metres."""
LEAST_GROUND = 0.02
"""The share of all known pixels that must lie on the ground for it to be believed."""
JUDGES = 1500
"""Points that a plane is fitted to; all points then polish it."""
BEHIND = 0.05
"""The most that may be seen behind a wall, as a share of the points."""


class Ground(NamedTuple):
    """``normal . x = -height`` in camera axes: the normal points up, the camera is ``height`` metres above.

    seen: whether it was found, and not assumed.  table: much was seen to lie below it, so that it is the top of
    something, and tells which way is up.
    """

    normal: Float[Tensor, "3"]
    height: float
    seen: bool
    table: bool = False


def find_ground(
    points: Float[Array, "h w 3"], normals: Float[Array, "h w 3"], known: Bool[Array, "h w"], noise: float, seed: int
) -> Ground:
    """The ground below a camera. points: camera axes, metres; normals: of the smoothed surface, 0 where unknown;
    noise: of depth, as a share of it.

    Where none is found, level ground 1.6 m below the camera, and ``seen`` False.
    """
    lower = points[len(points) // 2 :][known[len(points) // 2 :]]
    whole = points[known]
    level = Ground(torch.tensor([0.0, -1.0, 0.0]), HEIGHT, False)
    generator = torch.Generator().manual_seed(seed)
    first = _level_plane(lower, len(whole), noise, generator, STEEPEST)
    if first is not None and _below(whole, first, noise) <= BELOW:
        return first
    # Now slanted planes through anything are allowed too, so only what faces upwards has a say.
    facing = normals[known]
    upward = facing[:, 1] < -math.cos(math.radians(TILTED))
    rest, facing = whole[upward], facing[upward]
    found = [] if first is None else [first]
    for _ in range(LEVELS):
        plane = _level_plane(rest, len(whole), noise, generator, TILTED)
        if plane is None:
            break
        normal = plane.normal.double().numpy()
        on = np.abs(rest @ normal + plane.height) < 0.03 + 3 * noise * rest[:, 2]
        alike = facing[on] @ normal > ALIKE
        if alike.mean() > 0.5 and alike.sum() > LEAST_LEVEL * len(whole):
            found.append(plane)
        rest, facing = rest[~on], facing[~on]
    if not found:
        return level
    lowest = max(found, key=lambda plane: plane.height)
    return lowest._replace(table=_below(whole, lowest, noise) > BELOW)


def _level_plane(
    points: Float[Array, "n 3"], count: int, noise: float, generator: torch.Generator, steepest: float
) -> Ground | None:
    """The plane within ``steepest`` degrees of level that most points lie on; None where it holds too few of ``count``
    to be believed."""
    if len(points) < 3:
        return None
    up = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    judges = torch.from_numpy(np.ascontiguousarray(points[:: max(1, len(points) // JUDGES)]))
    # Depth that is wrong by a share moves a point of the ground by that share of the camera's height, up or down.
    found = fit_plane(judges, 0.015 + 3 * noise * HEIGHT, generator, up, steepest)
    if found is None:
        return None
    normal, offset, held = found.normal.double().numpy(), found.offset, 0
    for _ in range(2):
        polished = _polish(points, normal, offset, 0.01 + 2.5 * noise * -offset)
        if polished is None:
            return None
        normal, offset, held = polished
    tilted = math.degrees(math.acos(min(1.0, abs(float(normal[1])))))
    if held < LEAST_GROUND * count or tilted > steepest or -offset < 0.02 or normal[1] > 0:
        return None
    return Ground(torch.from_numpy(normal).float(), -offset, True)


def _below(points: Float[Array, "n 3"], ground: Ground, noise: float) -> float:
    """The share of points that lie clearly below a plane."""
    heights = points @ ground.normal.double().numpy() + ground.height
    return float((heights < -0.1 - 3 * noise * points[:, 2]).mean())


def _polish(points: Array, normal: Array, offset: float, near: float) -> tuple[Array, float, int] | None:
    """Total least squares over the points within ``near`` of a plane."""
    inliers = points[np.abs(points @ normal - offset) < near]
    if len(inliers) < 3:
        return None
    middle = inliers.mean(0)
    spread = inliers - middle
    better = np.linalg.eigh(spread.T @ spread)[1][:, 0]
    better = better if better @ middle <= 0 else -better
    return better, float(better @ middle), len(inliers)


def to_model(ground: Ground) -> Float[Tensor, "4 4"]:
    """From camera axes to the model frame."""
    up = ground.normal.double()
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    ahead = ahead - (ahead @ up) * up
    ahead = ahead / ahead.norm()
    moved = torch.eye(4, dtype=torch.float64)
    moved[:3, :3] = torch.stack([torch.linalg.cross(up, ahead), up, ahead])
    moved[1, 3] = ground.height
    return moved.float()


def ground_mask(
    heights: Float[Array, "h w"], upward: Float[Array, "h w"], height: float, noise: float
) -> Bool[Array, "h w"]:
    """The pixels that show the ground. heights: of smoothed points above it; upward: their normals' part along it.

    Low points whose surface is upright are the feet of things; what lies below the ground is noise.
    """
    near = 0.012 + 1.5 * noise * height
    return (heights < near) | ((heights < 2.5 * near) & (upward > 0.9))


def find_walls(
    points: Float[Array, "h w 3"],
    free: Bool[Array, "h w"],
    known: Bool[Array, "h w"],
    ground: Ground,
    noise: float,
    seed: int,
    most: int,
    share: float,
    extent: float,
) -> Bool[Array, "h w"]:
    """The pixels of up to ``most`` walls: upright planes of at least ``share`` of the known points, ``extent`` metres
    wide and half as high.

    points: camera axes, smoothed.  free: known pixels off the ground.
    """
    walls = np.zeros(free.shape, bool)
    up = ground.normal.double()
    whole = points[known]
    generator = torch.Generator().manual_seed(seed + 1)
    rest = free.copy()
    for _ in range(most):
        cloud = points[rest]
        if len(cloud) < share * len(whole):
            break
        step = max(1, len(cloud) // JUDGES)
        judges = cloud[::step]
        near = 0.03 + 2 * noise * np.abs(judges[:, 2])
        # Turned to the ground's own axes, upright planes are those whose normal is level.
        found = _upright_plane(torch.from_numpy(judges), torch.from_numpy(near), up, generator)
        if found is None:
            break
        normal, offset = found
        away = points @ normal - offset
        limit = 0.04 + 2.5 * noise * points[..., 2]
        on = rest & (np.abs(away) < limit)
        if on.sum() < share * len(whole):
            break
        behind = ((whole @ normal - offset) < -3 * limit[known]).mean()
        aside = np.cross(up.numpy(), normal)
        wide = np.subtract(*np.percentile(points[on] @ aside, [95, 5]))
        high = np.subtract(*np.percentile(points[on] @ up.numpy(), [95, 5]))
        if behind <= BEHIND and wide >= extent and high >= 0.5 * extent:
            walls |= on
        rest &= ~on
    return walls


def _upright_plane(
    cloud: Float[Tensor, "n 3"], near: Float[Tensor, "n"], up: Float[Tensor, "3"], generator: torch.Generator
) -> tuple[Float[Array, "3"], float] | None:
    """The upright plane that most points lie on: normal towards the camera, offset."""
    # Laid on the ground, an upright plane is a line; two points make one, so few trials find it.
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    ahead = ahead - (ahead @ up) * up
    ahead = ahead / ahead.norm()
    right = torch.linalg.cross(ahead, up)
    flat = torch.stack([cloud @ right, cloud @ ahead], -1)
    pairs = flat[torch.randint(len(flat), (128, 2), generator=generator)]
    along = pairs[:, 1] - pairs[:, 0]
    normals = torch.stack([along[:, 1], -along[:, 0]], -1)
    lengths = normals.norm(dim=-1)
    usable = lengths > 0.3
    if not bool(usable.any()):
        return None
    normals = normals[usable] / lengths[usable, None]
    offsets = (normals * pairs[usable, 0]).sum(-1)
    misses = ((normals @ flat.T - offsets[:, None]) / near).square().clamp_max(1)
    best = int(misses.sum(1).argmin())
    normal, offset = normals[best], float(offsets[best])
    for _ in range(3):
        on = (flat @ normal - offset).abs() < near
        some = flat[on]
        if len(some) < 3:
            return None
        spread = some - some.mean(0)
        normal = torch.linalg.eigh(spread.T @ spread)[1][:, 0]
        offset = float(normal @ some.mean(0))
    whole = normal[0] * right + normal[1] * ahead
    if offset > 0:
        whole, offset = -whole, -offset
    return whole.numpy(), offset
