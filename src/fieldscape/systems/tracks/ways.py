"""Camera paths of a clip's scene, of any number of frames, each a camera and a time.

====================  ===========================================================  ==============
clip                  the clip's own way                                           time goes on
stabilise             the same, smoothed, and zoomed in so that borders stay seen  time goes on
freeze                to and fro on an arc around the centre ("bullet time")       time stands still
orbit                 the clip's way, and to and fro on an arc with it             time goes on
spiral                the clip's way, and around it in two widening rounds         time goes on
dolly                 the clip's way, and toward the centre                        time goes on
zoom                  the clip's way, the focal length growing                     time goes on
====================  ===========================================================  ==============

Arcs are rigid turns about the centre: it stays where it is in the picture. All begin on the clip's own way, and none
goes further than ``reach`` allows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import project, stack
from fieldscape.errors import BadInput
from fieldscape.rotations import about, aligned, slerp, to_matrix, to_quaternion
from fieldscape.systems.tracks.reach import NEARER
from fieldscape.systems.tracks.timeline import camera_at
from fieldscape.types import Camera

Way: TypeAlias = Literal["clip", "stabilise", "freeze", "orbit", "spiral", "dolly", "zoom"]
WAYS: tuple[str, ...] = get_args(Way)

SWING = math.radians(10)
"""Of an arc to either side at strength 1."""
FORWARD = 0.25
"""Of the distance to the centre: how far a dolly goes at strength 1."""
SMOOTHING = 0.5
"""Seconds: the standard deviation of the window that a path is smoothed with, at strength 1."""
MOST_ZOOM = 1.35
"""A smoothed path that would need more is brought nearer to the clip's own."""


def way_of(
    name: str,
    cameras: Camera,
    seconds: list[float],
    center: Float[Tensor, "3"],
    up: Float[Tensor, "3"],
    limit: float | int,
    frames: int,
    strength: float | int,
) -> tuple[Camera, Float[Tensor, "f"], bool]:
    """The cameras of the way called ``name``, the time of each, and whether it was held back by what the clip supports.

    cameras, seconds: of the clip.  center: what it looks at.  limit: radians about the centre that a camera may leave
    the clip's way by (``reach.arc_limit``); 0: it stays on it.  strength: 1 is gentle, 2 goes twice as far.

    Raises BadInput for an unknown name, no frames, a strength that is not above 0, or an ``up`` without direction.
    """
    if name not in WAYS:
        raise BadInput(f"{name!r} is no way of a clip; there are {', '.join(WAYS)}.")
    if frames < 1:
        raise BadInput(f"a camera path of {frames} frames is no path; ask for at least 1.")
    if not (math.isfinite(strength) and strength > 0):
        raise BadInput(f"the strength of a camera path is {strength}; it must be a number above 0.")
    if not (float(up.norm()) > 1e-9 and bool(up.isfinite().all()) and bool(center.isfinite().all())):
        raise BadInput("the centre and the up direction of a camera path must be finite, and up not zero.")
    times, moments = torch.tensor(seconds, dtype=torch.float64), _moments(name, seconds, frames)
    shares = torch.linspace(0, 1, frames, dtype=torch.float64) if frames > 1 else torch.zeros(1, dtype=torch.float64)
    own = stack([camera_at(cameras, times, float(when)) for when in moments])
    if name == "clip":
        return own, moments.float(), False
    if name == "stabilise":
        steady, held = stabilised(cameras, times, own, moments, center, SMOOTHING * strength)
        return steady, moments.float(), held
    if name == "zoom":
        ratio = ((1 + strength) ** shares).to(own.focal)
        return replace(own, focal=own.focal * ratio[:, None]), moments.float(), False
    wanted, most = (FORWARD * strength, min(0.5, NEARER * limit)) if name == "dolly" else (SWING * strength, limit)
    far = min(wanted, float(most))
    if name == "dolly":
        camera = _dolly(own, center, far * shares)
    else:
        across, along = _figures(name, shares)
        camera = stack(
            [_around(own[i], center, up, far * float(across[i]), far * float(along[i])) for i in range(frames)]
        )
    return camera, moments.float(), wanted > far * (1 + 1e-6)


def _moments(name: str, seconds: list[float], frames: int) -> Float[Tensor, "f"]:
    """The time of each picture: all of the clip, or its middle frame's."""
    if name == "freeze":
        return torch.full((frames,), seconds[len(seconds) // 2], dtype=torch.float64)
    return torch.linspace(seconds[0], seconds[-1], frames, dtype=torch.float64)


def _figures(name: str, shares: Float[Tensor, "f"]) -> tuple[Float[Tensor, "f"], Float[Tensor, "f"]]:
    """How far across and along up the camera is at each share of the way, in units of the largest angle."""
    if name == "spiral":
        widening = torch.sin(math.pi * shares)  # out from the clip's way and back to it
        return widening * torch.sin(4 * math.pi * shares), 0.5 * widening * torch.cos(4 * math.pi * shares)
    return torch.sin(2 * math.pi * shares), torch.zeros_like(shares)


def _around(camera: Camera, center: Tensor, up: Tensor, across: float, along: float) -> Camera:
    """The camera turned rigidly about the centre: ``across`` radians about up, ``along`` about its own right."""
    pose = camera.pose.double()
    level, side = up.double() / up.double().norm(), pose[:3, 0]
    turn = about(level, torch.tensor(across, dtype=torch.float64)) @ about(
        side, torch.tensor(along, dtype=torch.float64)
    )
    moved = pose.clone()
    moved[:3, :3] = turn @ pose[:3, :3]
    moved[:3, 3] = center.double() + turn @ (pose[:3, 3] - center.double())
    return replace(camera, pose=moved.to(camera.pose))


def _dolly(own: Camera, center: Float[Tensor, "3"], shares: Float[Tensor, "f"]) -> Camera:
    """Each camera moved by its share of the way to the centre."""
    pose = own.pose.clone()
    pose[:, :3, 3] += (center.to(pose) - own.position) * shares.to(pose)[:, None]
    return replace(own, pose=pose)


# ------------------------------------------------------------------------------------------------ steadying


def smoothed(
    values: Float[Tensor, "t c"], seconds: Float[Tensor, "t"], moments: Float[Tensor, "f"], window: float
) -> Float[Tensor, "f c"]:
    """``values`` at other times, each from the line that fits best around it under a Gaussian window of that width.

    Local linear regression (W. S. Cleveland, 1979): unlike a mean it leaves steady motion as it is, up to both ends,
    however unevenly the frames were taken.

    >>> line = torch.arange(6.0, dtype=torch.float64)[:, None]
    >>> at = smoothed(line, line[:, 0], torch.tensor([0.0, 2.5], dtype=torch.float64), 1.0)
    >>> [abs(round(float(value), 9)) for value in at]
    [0.0, 2.5]
    """
    gap = seconds[None] - moments[:, None]
    weight = torch.softmax(-0.5 * (gap / window) ** 2, -1)
    mean, spread = (weight * gap).sum(-1, keepdim=True), (weight * gap**2).sum(-1, keepdim=True)
    width = spread - mean**2
    tilt = torch.where(width > 1e-12 * window**2, (gap - mean) * mean / width.clamp_min(1e-30), 0.0)
    return (weight * (1 - tilt)) @ values


def stabilised(
    cameras: Camera,
    seconds: Float[Tensor, "t"],
    own: Camera,
    moments: Float[Tensor, "f"],
    center: Float[Tensor, "3"],
    window: float,
) -> tuple[Camera, bool]:
    """The clip's way without its unrest, and whether less of it was taken away than was asked for.

    Places and turns (as quaternions) are smoothed under a window of ``window`` seconds. All pictures are enlarged by
    one factor, the least for which each shows only what the clip shows at that time, at the centre's distance.
    """
    turns = aligned(to_quaternion(cameras.pose[:, :3, :3].double()))
    place = smoothed(cameras.position.double(), seconds.double(), moments, window)
    turn = smoothed(turns, seconds.double(), moments, window)
    before = to_quaternion(own.pose[:, :3, :3].double())
    turn = turn / turn.norm(dim=-1, keepdim=True)
    turn = turn * torch.where((turn * before).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    share, zoom, steady = 1.0, math.inf, own
    while share > 1e-3:
        steady = _mixed(own, place, before, turn, share)
        zoom = _needed_zoom(steady, own, center)
        if zoom <= MOST_ZOOM:
            break
        share *= 0.8
    if share <= 1e-3:
        return own, True
    return replace(steady, focal=steady.focal * zoom), share < 1


def _mixed(own: Camera, place: Tensor, before: Tensor, turn: Tensor, share: float) -> Camera:
    pose = own.pose.double().clone()
    pose[:, :3, 3] += share * (place - pose[:, :3, 3])
    pose[:, :3, :3] = to_matrix(slerp(before, turn, torch.full((len(own),), share, dtype=torch.float64)))
    return replace(own, pose=pose.to(own.pose))


def _needed_zoom(steady: Camera, own: Camera, center: Tensor) -> float:
    """By how much all of ``steady`` must be enlarged so that none sees more than its camera of ``own``; at least 1.

    Seen is the plane of the centre. Between two pictures of a plane lies a homography: where the four corners are
    inside, all is.
    """
    steady, own = (camera.map(lambda x: x.double()) for camera in (steady, own))
    onto, center = own.forward[:, None], center.double()
    distance = ((center - own.position) * own.forward).sum(-1)[:, None]
    distance = torch.where(distance > 1e-6, distance, 1.0)
    size = torch.tensor([own.width, own.height], dtype=torch.float64)
    corners = size * torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    middle, focal = steady.center[:, None], steady.focal[:, None]
    before = ((steady.position - own.position)[:, None] * onto).sum(-1)

    def covered(zoom: float) -> bool:
        flat = (corners - middle) / (focal * zoom)
        rays = torch.cat([flat, torch.ones_like(flat[..., :1])], -1) @ steady.pose[:, :3, :3].mT
        reach = (distance - before) / (rays * onto).sum(-1).clamp_min(1e-9)
        points = steady.position[:, None] + reach[..., None] * rays
        pixels, depth = project(own.map(lambda x: x[:, None]), points)
        return bool(((pixels > -0.01) & (pixels < size + 0.01)).all() and (depth > 0).all())

    if covered(1.0):
        return 1.0
    low, high = 1.0, 2 * MOST_ZOOM
    if not covered(high):
        return math.inf
    for _ in range(24):
        half = (low + high) / 2
        low, high = (low, half) if covered(half) else (half, high)
    return high
