"""Where the cameras of generated pictures stand: the priors, and the box that all they see fits into.

Photos of rooms have no common frame and no known pose. So a room is generated in the frame of its mean camera, which
stands at the origin and looks along z, and each picture is taken from a slightly different place. It must be *another
place*: a camera that only turns about its own centre sees the same whatever the depths are.

A label is what a pose is to a discriminator: a few numbers that it may be told, or asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import pixel_rays
from fieldscape.rotations import about, from_vector
from fieldscape.types import Camera, Rays

PROBES = 4096
"""Cameras from which the scene box is found."""


@dataclass(frozen=True)
class RoomPrior:
    """A camera that swings about a point in front of it, and is moved: it and the point are both inside the room.

    fov: least and most, in degrees.  yaw, pitch: standard deviations in degrees.  pivot: metres ahead.
    shift: standard deviation in metres, per axis.
    """

    fov: tuple[float, float] = (55.0, 55.0)
    yaw: float = 12.0
    pitch: float = 4.0
    pivot: float = 2.75
    shift: float = 0.2
    labels = 2

    def draw(self, count: int, size: int, generator: torch.Generator) -> tuple[Camera, Float[Tensor, "b l"]]:
        """``count`` cameras of pictures ``size`` a side, and their labels: yaw and pitch in radians."""
        normal = torch.randn(count, 5, generator=generator)
        angles = normal[:, :2] * torch.deg2rad(torch.tensor([self.yaw, self.pitch]))
        return self.at(angles, normal[:, 2:] * self.shift, _drawn_fov(self.fov, count, generator), size), angles

    def at(
        self, angles: Float[Tensor, "b 2"], shift: Float[Tensor, "b 3"], fov: Float[Tensor, "b"], size: int
    ) -> Camera:
        """The cameras at given yaws and pitches (radians), shifts (metres) and fields of view (radians)."""
        turn = _turned(angles)
        pivot = torch.tensor([0.0, 0.0, self.pivot])
        pose = torch.eye(4).repeat(len(angles), 1, 1)
        pose[:, :3, :3] = turn
        pose[:, :3, 3] = pivot - turn[:, :, 2] * self.pivot + shift
        return _square(pose, fov, size)


@dataclass(frozen=True)
class OrbitPrior:
    """A camera on a unit sphere that looks at its middle, as pi-GAN has it: for objects.

    yaw, pitch: standard deviations (gaussian) or half ranges (uniform), in degrees; the world's y points down.
    """

    fov: tuple[float, float] = (12.0, 12.0)
    yaw: float = 17.0
    pitch: float = 9.0
    uniform: bool = False
    labels = 2

    def draw(self, count: int, size: int, generator: torch.Generator) -> tuple[Camera, Float[Tensor, "b l"]]:
        """``count`` cameras of pictures ``size`` a side, and their labels: yaw and pitch in radians."""
        reach = torch.deg2rad(torch.tensor([self.yaw, self.pitch]))
        if self.uniform:
            angles = (2 * torch.rand(count, 2, generator=generator) - 1) * reach
        else:
            angles = torch.randn(count, 2, generator=generator) * reach
        return self.at(angles, torch.zeros(count, 3), _drawn_fov(self.fov, count, generator), size), angles

    def at(
        self, angles: Float[Tensor, "b 2"], shift: Float[Tensor, "b 3"], fov: Float[Tensor, "b"], size: int
    ) -> Camera:
        """The cameras at given yaws and pitches (radians), shifts and fields of view (radians)."""
        turn = _turned(angles)
        pose = torch.eye(4).repeat(len(angles), 1, 1)
        pose[:, :3, :3] = turn
        pose[:, :3, 3] = -turn[:, :, 2] + shift
        return _square(pose, fov, size)


@dataclass(frozen=True)
class GivenPoses:
    """The cameras that the data come with: scenes are generated in the data's own frame.

    Labels are the directions in which cameras look and the places where they stand, the latter over ``reach``.
    """

    poses: Float[Tensor, "n 4 4"]
    focal: Float[Tensor, "n"]
    labels = 6

    def draw(self, count: int, size: int, generator: torch.Generator) -> tuple[Camera, Float[Tensor, "b l"]]:
        chosen = torch.randint(len(self.poses), (count,), generator=generator)
        return self.cameras(chosen, size), self.label(chosen)

    def cameras(self, index: Tensor, size: int) -> Camera:
        """The cameras of photos ``index``; ``focal`` is in widths of a picture."""
        focal = (self.focal[index] * size)[:, None].expand(-1, 2)
        return Camera(self.poses[index], focal, torch.full((len(index), 2), size / 2), size, size)

    def label(self, index: Tensor) -> Float[Tensor, "b l"]:
        pose = self.poses[index]
        reach = self.poses[:, :3, 3].norm(dim=-1).amax().clamp(min=1e-6)
        return torch.cat([pose[:, :3, 2], pose[:, :3, 3] / reach], -1)


Prior: TypeAlias = RoomPrior | OrbitPrior | GivenPoses


def scene_box(prior: Prior, near: float, far: float) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The smallest box, but for a margin, that holds what ``PROBES`` cameras see between ``near`` and ``far``.

    A field that is asked outside of its box answers what it has not learned: nothing trains if the box is wrong.
    """
    points = seen_points(prior, near, far, torch.Generator().manual_seed(0))
    low, high = points.quantile(0.0005, 0), points.quantile(0.9995, 0)
    margin = 0.02 * (high - low)
    return low - margin, high + margin


def seen_points(prior: Prior, near: float, far: float, generator: torch.Generator) -> Float[Tensor, "p 3"]:
    """Points along the corner rays and the middle rays of drawn cameras."""
    camera, _ = prior.draw(PROBES, 64, generator)
    corners = torch.tensor([[0.5, 0.5], [63.5, 0.5], [0.5, 63.5], [63.5, 63.5], [32.0, 32.0]])
    rays = batch_rays(camera, corners)
    return rays.at(torch.tensor([near, (near + far) / 2, far]).expand(PROBES, 5, 3)).reshape(-1, 3)


def batch_rays(camera: Camera, pixels: Float[Tensor, "p 2"]) -> Rays:
    """The rays of the same pixels of each of a batch of cameras: [b, p]."""
    return pixel_rays(camera.map(lambda tensor: tensor[:, None]), pixels.expand(len(camera), *pixels.shape))


def swung(camera: Camera, down: Float[Tensor, "3"], pivot: float, yaw: float, pitch: float = 0.0) -> Camera:
    """Cameras turned about the point ``pivot`` ahead of each, by degrees of yaw (looks right) and pitch (looks up).

    down: the axis of yaw.
    """
    center = camera.position + pivot * camera.forward
    tilt = from_vector(math.radians(pitch) * camera.pose[..., :3, 0])
    turn = about(down, torch.tensor(math.radians(yaw))) @ tilt
    pose = camera.pose.clone()
    pose[..., :3, :3] = turn @ pose[..., :3, :3]
    pose[..., :3, 3] = center + (turn @ (camera.position - center)[..., None])[..., 0]
    return replace(camera, pose=pose)


def _turned(angles: Float[Tensor, "b 2"]) -> Float[Tensor, "b 3 3"]:
    """Rotations by yaw about y (down), after pitch about x: positive yaw looks right, positive pitch looks up."""
    (sy, sp), (cy, cp) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    zero, one = torch.zeros_like(sy), torch.ones_like(sy)
    yaw = torch.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], -1).reshape(-1, 3, 3)
    pitch = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], -1).reshape(-1, 3, 3)
    return yaw @ pitch


def _drawn_fov(fov: tuple[float, float], count: int, generator: torch.Generator) -> Float[Tensor, "b"]:
    share = torch.rand(count, generator=generator)
    return torch.deg2rad(fov[0] + (fov[1] - fov[0]) * share)


def _square(pose: Tensor, fov: Tensor, size: int) -> Camera:
    focal = size / (2 * torch.tan(fov / 2))
    return Camera(pose, focal[:, None].expand(-1, 2), torch.full((len(pose), 2), size / 2), size, size)
