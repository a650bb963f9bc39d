"""How things and cameras move through a clip: closed forms, so that a pose is known at every time, not only at frames.

A motion takes phases (1 is one round, or one to and fro) to poses, object to world, in double precision: a track is as
exact as these numbers. Camera paths take the share of the clip that is over, 0 at its first frame and 1 at its last.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import look_at
from fieldscape.meshes import Vector
from fieldscape.rotations import about, from_vector
from fieldscape.worlds.clips.options import ClipCamera

Motion: TypeAlias = Callable[[Tensor], Tensor]
CameraPath: TypeAlias = ClipCamera


def double(values: Vector) -> Float[Tensor, "3"]:
    return torch.tensor(values, dtype=torch.float64)


def rigid(turn: Float[Tensor, "*b 3 3"], place: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4 4"]:
    """Poses made of rotations and places."""
    pose = torch.eye(4, dtype=torch.float64).expand(*place.shape[:-1], 4, 4).clone()
    pose[..., :3, :3], pose[..., :3, 3] = turn, place
    return pose


@dataclass(frozen=True)
class Drive:
    """Round an ellipse about ``center``, counter-clockwise from above, the thing's x axis ahead."""

    center: Vector
    radii: tuple[float, float]

    def __call__(self, phase: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4 4"]:
        angle = 2 * math.pi * phase
        (a, b), zero = self.radii, torch.zeros_like(angle)
        place = double(self.center) + torch.stack([a * angle.cos(), b * angle.sin(), zero], -1)
        heading = torch.atan2(b * angle.cos(), -a * angle.sin())
        return rigid(about(double((0.0, 0.0, 1.0)), heading), place)


@dataclass(frozen=True)
class Roll:
    """A ball of ``radius`` rolls without slipping from ``start`` to ``end`` and back, slower at the ends."""

    start: Vector
    end: Vector
    radius: float

    def __call__(self, phase: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4 4"]:
        way = double(self.end) - double(self.start)
        share = 0.5 - 0.5 * torch.cos(2 * math.pi * phase)
        axis = torch.linalg.cross(double((0.0, 0.0, 1.0)), way / way.norm())
        return rigid(about(axis, share * way.norm() / self.radius), double(self.start) + share[..., None] * way)


@dataclass(frozen=True)
class Hop:
    """``hops`` leaps of ``height`` from ``start`` to ``end``, as many back, tumbling about ``axis`` by half turns.

    A half turn in each leap, so a ball or a die lands as flat as it left.
    """

    start: Vector
    end: Vector
    height: float
    hops: int
    axis: Vector

    def __call__(self, phase: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4 4"]:
        way = double(self.end) - double(self.start)
        share = 1 - (1 - 2 * torch.remainder(phase, 1.0)).abs()
        leap = torch.remainder(share * self.hops, 1.0)
        place = double(self.start) + share[..., None] * way
        place = place + (4 * self.height * leap * (1 - leap))[..., None] * double((0.0, 0.0, 1.0))
        axis = torch.nn.functional.normalize(double(self.axis), dim=0)
        return rigid(about(axis, math.pi * share * self.hops), place)


@dataclass(frozen=True)
class Swing:
    """A pendulum about ``pivot``, through ``degrees`` to either side, about the horizontal ``axis``."""

    pivot: Vector
    axis: Vector
    degrees: float

    def __call__(self, phase: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4 4"]:
        angle = math.radians(self.degrees) * torch.cos(2 * math.pi * phase)
        return rigid(about(double(self.axis), angle), double(self.pivot).expand(*phase.shape, 3))


@dataclass(frozen=True)
class Hover:
    """Hovers about ``center``, drifting by ``reach`` and turning once a round."""

    center: Vector
    reach: float

    def __call__(self, phase: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4 4"]:
        a = 2 * math.pi * phase
        drift = torch.stack([a.cos(), 0.6 * torch.sin(2 * a), 0.8 * a.sin()], -1)
        return rigid(about(double((0.0, 0.0, 1.0)), a), double(self.center) + self.reach * drift)


# ------------------------------------------------------------------------------------------------ cameras


@dataclass(frozen=True)
class Stand:
    """Where a scene is filmed from: the camera's place in the middle of the clip, and what it looks at.

    degrees: across the picture.  arc: how far it goes round to either side, in degrees.  reach: how far a dolly goes
    aside, and, twice that, ahead; in metres.
    """

    eye: Vector
    target: Vector
    degrees: float
    arc: float
    reach: float


def camera_poses(
    path: CameraPath, stand: Stand, share: Float[Tensor, "t"], seconds: Float[Tensor, "t"], seed: int
) -> Float[Tensor, "t 4 4"]:
    """Camera-to-world poses (OpenCV axes, double) at each ``share`` 0..1 of the clip and time in ``seconds``.

    arc: round the target.  dolly: ahead and aside, the direction kept.  handheld: a step aside with the sway and shake
    of a hand, another for each seed.  pan: turns on the spot.  still: does not move.
    """
    eye, target, up = double(stand.eye), double(stand.target), double((0.0, 0.0, 1.0))
    way = (2 * share - 1)[:, None]
    count = len(share)
    forward = torch.nn.functional.normalize(target - eye, dim=0)
    right = torch.linalg.cross(forward, up)
    right = right / right.norm()
    if path == "arc":
        turn = about(up, math.radians(stand.arc) * way[:, 0])
        return look_at(target + (turn @ (eye - target)[:, None])[..., 0], target, up)
    if path == "dolly":
        level = torch.nn.functional.normalize(forward * double((1.0, 1.0, 0.0)), dim=0)
        place = eye + stand.reach * way * (level + right)
        return look_at(place, place + forward, up)
    if path == "pan":
        turn = about(up, -math.radians(0.2 * stand.degrees) * way[:, 0])
        place = eye.expand(count, 3)
        return look_at(place, place + (turn @ forward[:, None])[..., 0], up)
    if path == "handheld":
        away = float((target - eye).norm())
        place = eye + 0.8 * stand.reach * way * right + 0.012 * away * _shake(seconds, f"place {seed}")
        pose = look_at(place, target + 0.4 * stand.reach * way * right, up)
        turned = pose[:, :3, :3] @ from_vector(math.radians(0.8) * _shake(seconds, f"turn {seed}"))
        return rigid(turned, place)
    return look_at(eye.expand(count, 3), target, up)


def _shake(seconds: Float[Tensor, "t"], key: str) -> Float[Tensor, "t 3"]:
    """Smooth unrest of about unit size on three axes: waves of a few frequencies (in 1/s), the faster the weaker."""
    rng = random.Random(f"shake {key}")
    axes = []
    for _ in range(3):
        waves = [(hertz * rng.uniform(0.8, 1.25), rng.uniform(0, 2 * math.pi)) for hertz in (0.35, 0.9, 2.1, 4.3)]
        axes.append(sum(torch.sin(2 * math.pi * h * seconds + p) * 0.6 * (0.35 / h) ** 0.6 for h, p in waves))
    return torch.stack([torch.as_tensor(axis) for axis in axes], -1)
