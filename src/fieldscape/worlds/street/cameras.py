"""The camera of a street video: at a person's height, looking down the street, still, moving or turning."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

HEIGHT = (1.2, 2.0)
"""Above the ground, in metres."""
PITCH = (5.0, 20.0)
"""Downwards, in degrees."""
FIELD_OF_VIEW = (60.0, 90.0)
"""Of the longer side of the picture, in degrees."""
KINDS = ("still", "dolly", "turn")

Array = np.ndarray


@dataclass(frozen=True)
class Viewpoint:
    """A pinhole camera that starts at ``eye``, moves with ``velocity`` and turns left by ``yaw_rate`` (radians, s).

    yaw: heading at time 0.  pitch: downwards.  focal: in pixels; the principal point is the middle of the picture.
    """

    kind: str
    eye: tuple[float, float, float]
    yaw: float
    pitch: float
    velocity: tuple[float, float, float]
    yaw_rate: float
    focal: float
    width: int
    height: int

    def poses(self, times: Float[Array, "f"]) -> Float[Array, "f 4 4"]:
        """Camera to world, OpenCV axes (x right, y down, z forward)."""
        yaw = self.yaw + self.yaw_rate * times
        c, s, cp, sp = np.cos(yaw), np.sin(yaw), math.cos(self.pitch), math.sin(self.pitch)
        zero = np.zeros_like(c)
        right, down = np.stack([s, -c, zero], -1), np.stack([-sp * c, -sp * s, zero - cp], -1)
        forward = np.stack([cp * c, cp * s, zero - sp], -1)
        eye = np.array(self.eye) + times[:, None] * np.array(self.velocity)
        pose = np.zeros((len(times), 4, 4))
        pose[:, :3] = np.stack([right, down, forward, eye], -1)
        pose[:, 3, 3] = 1
        return pose

    def shown(self, points: Float[Array, "f 3"], times: Float[Array, "f"], margin: float = 0.0) -> Array:
        """Whether each point, one a time, is in the picture (widened by ``margin`` of its size) and in front."""
        pose = self.poses(times)
        local = np.einsum("fji,fj->fi", pose[:, :3, :3], points - pose[:, :3, 3])
        x, y, z = local.T
        wide, high = (0.5 + margin) * self.width / self.focal, (0.5 + margin) * self.height / self.focal
        return (z > 0.5) & (np.abs(x) < wide * z) & (np.abs(y) < high * z)


def draw_viewpoint(
    rng: random.Random, kind: str, width: int, height: int, seconds: float, focal: float | None = None
) -> Viewpoint:
    """A camera near the origin looking down the street, which runs along y. ``focal`` is drawn where it is None."""
    if kind == "mixed":
        kind = rng.choice(KINDS)
    fov = math.radians(rng.uniform(*FIELD_OF_VIEW))
    eye = (rng.uniform(-0.8, 0.8), 0.0, rng.uniform(*HEIGHT))
    yaw, pitch = math.pi / 2 + rng.uniform(-0.3, 0.3), math.radians(rng.uniform(*PITCH))
    speed, aside, turn = rng.uniform(0.2, 0.7), rng.uniform(-0.9, 0.9), rng.choice((-1, 1)) * rng.uniform(3, 12)
    # However long the video, the camera stays where the things are: 1.5 m and 30 degrees at most.
    speed, turn = min(speed, 1.5 / seconds), math.copysign(min(abs(turn), 30 / seconds), turn)
    velocity = (speed * math.cos(yaw + aside), speed * math.sin(yaw + aside), 0.0) if kind == "dolly" else (0.0,) * 3
    rate = math.radians(turn) if kind == "turn" else 0.0
    size = max(width, height) / 2 / math.tan(fov / 2) if focal is None else focal
    return Viewpoint(kind, eye, yaw, pitch, velocity, rate, size, width, height)
