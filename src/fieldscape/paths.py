"""Camera paths: a few camera poses to a smooth flight of many.

Each function returns a batch of ``frames`` cameras. Those that start from one camera keep its intrinsics;
``interpolate`` goes through many, ``walk`` past them. Poses are computed in float64 from orthonormal rotations.
Closed paths leave out the last frame, which would repeat the first. Every function raises BadInput for values that
give no path: no frames, a zero ``up``, a number that is not finite.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import look_at
from fieldscape.curves import catmull_rom, pace, resampled, tour
from fieldscape.errors import BadInput
from fieldscape.rotations import about, aligned, nearest, squad, squad_controls, to_matrix, to_quaternion
from fieldscape.types import Camera

GRID = 64
"""Points a segment on which the length of a curve is measured: good to about 0.1 %."""


def orbit(
    start: Camera, target: Float[Tensor, "3"], up: Float[Tensor, "3"], frames: int, degrees: float | int = 360.0
) -> Camera:
    """The start camera turned rigidly about the axis through ``target`` along ``up``; the first frame is the start.

    Positive degrees go counter-clockwise seen from above. Whole turns make a closed path; other angles end on it.
    """
    pose, target, axis = _start(start, frames), _vector(target, "target"), _direction(up)
    _finite(degrees, "the angle of the orbit")
    closed = degrees != 0 and math.remainder(degrees, 360.0) == 0
    turn = about(axis, math.radians(degrees) * _steps(frames, closed))
    position = target + (turn @ (pose[:3, 3] - target)[:, None])[..., 0]
    return _flight(start, turn @ pose[:3, :3], position)


def turntable(
    start: Camera,
    target: Float[Tensor, "3"],
    up: Float[Tensor, "3"],
    frames: int,
    elevation: float | int | None = None,
) -> Camera:
    """One level round about ``target``, looking at it, at the start camera's distance and beginning on its side.

    elevation: degrees above the horizontal plane through the target, -90 < e < 90; by default the start camera's.
    Raises BadInput also if the start camera is at the target, or straight above it and no elevation is given.
    """
    pose, target, axis = _start(start, frames), _vector(target, "target"), _direction(up)
    away = pose[:3, 3] - target
    distance, height = float(away.norm()), float(away @ axis)
    if distance < 1e-9:
        raise BadInput("the start camera is at the target, so there is no circle around it; choose another target")
    level = away - height * axis
    if float(level.norm()) < 1e-6 * distance:
        if elevation is None:
            raise BadInput("the start camera is straight above or below the target; give the turntable an elevation")
        level = pose[:3, 1] - (pose[:3, 1] @ axis) * axis  # the side at the bottom of the image
        if float(level.norm()) < 1e-6:
            level = pose[:3, 0] - (pose[:3, 0] @ axis) * axis
    angle = math.asin(max(-1.0, min(1.0, height / distance))) if elevation is None else math.radians(elevation)
    if not abs(angle) < math.radians(89.99):
        raise BadInput(f"an elevation of {math.degrees(angle):g} degrees is no turntable; it must be within -90..90")
    turn = about(axis, 2 * math.pi * _steps(frames, True))
    radius = distance * math.cos(angle) * (turn @ (level / level.norm()))
    return _aimed(start, target + distance * math.sin(angle) * axis + radius, target, axis)


def spiral(
    start: Camera,
    target: Float[Tensor, "3"],
    up: Float[Tensor, "3"],
    frames: int,
    radius: float | int,
    turns: float | int = 2,
) -> Camera:
    """A small circle across the start camera's view with a sway to and fro, looking at ``target``.

    The path for captures that face one way: ``turns`` rounds of ``radius``, while the camera goes forward and back
    once by half as much (B. Mildenhall et al., "Local light field fusion", 2019, render such). Whole turns close it.
    """
    pose, target, axis = _start(start, frames), _vector(target, "target"), _direction(up)
    _finite(radius, "the radius of the spiral")
    _finite(turns, "the turns of the spiral")
    steps = _steps(frames, turns != 0 and float(turns).is_integer())
    angle, sway = 2 * math.pi * turns * steps, 0.5 * torch.sin(2 * math.pi * steps)
    offsets = radius * torch.stack([angle.cos(), angle.sin(), sway], -1)
    return _aimed(start, pose[:3, 3] + offsets @ pose[:3, :3].T, target, axis)


def dolly(start: Camera, frames: int, distance: float | int) -> Camera:
    """The start camera moved along its optical axis by ``distance`` (negative: backward), at constant speed."""
    pose = _start(start, frames)
    _finite(distance, "the distance of the dolly")
    position = pose[:3, 3] + distance * _steps(frames, False)[:, None] * pose[:3, 2]
    return _flight(start, pose[:3, :3].expand(frames, 3, 3), position)


def zoom(start: Camera, frames: int, factor: float | int) -> Camera:
    """The start camera with its focal length growing to ``factor`` times, by the same ratio every frame."""
    pose = _start(start, frames)
    if not (math.isfinite(factor) and factor > 0):
        raise BadInput(f"the zoom factor is {factor}; it must be a positive number")
    still = _flight(start, pose[:3, :3].expand(frames, 3, 3), pose[:3, 3].expand(frames, 3))
    ratio = (factor ** _steps(frames, False)).to(start.focal)
    return replace(still, focal=start.focal * ratio[:, None])


def interpolate(cameras: Camera, frames: int, loop: bool = False, constant_speed: bool = False) -> Camera:
    """A smooth flight through given cameras, in their order and exactly through each.

    Positions follow a centripetal Catmull-Rom curve, which has no cusps or loops between cameras (C. Yuksel et al.,
    "Parameterization and applications of Catmull-Rom curves", 2011), rotations a spherical quadrangle along the
    shorter way, intrinsics straight lines. Each stretch between two cameras takes the same time; with
    ``constant_speed`` time goes with distance, and a little with turning. ``loop`` returns to the first camera.
    """
    poses = _many(cameras, frames)
    count, knots = len(poses), torch.arange(len(poses))
    if count == 1:
        return cameras[torch.zeros(frames, dtype=torch.long)]
    segments = count if loop else count - 1
    # One neighbour more at either end: the next cameras round the loop, or the first and last mirrored.
    around = torch.cat([knots[-1:], knots, knots[:2]])
    points = poses[:, :3, 3]
    q = to_quaternion(poses[:, :3, :3])
    if loop:
        points, q = points[around], aligned(q[around])
        inner = squad_controls(q)
    else:
        points = torch.cat([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        inner = squad_controls(aligned(q))
        q, inner = (torch.cat([x[:1], x, x[-1:]]) for x in (aligned(q), inner))

    def at(u: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and quaternions at ``u``: segment number plus the share of it."""
        segment = u.floor().long().clamp(0, segments - 1)
        return catmull_rom(points, segment + 1, u - segment), squad(q, inner, segment + 1, u - segment)

    u = segments * _steps(frames, loop)
    if constant_speed:
        fine = torch.linspace(0, segments, segments * GRID + 1, dtype=torch.float64)
        u = resampled(fine[:, None], pace(*at(fine)), _steps(frames, loop))[:, 0]
    segment = u.floor().long().clamp(0, segments - 1)
    following, share = (segment + 1) % count, (u - segment)[:, None].to(cameras.focal)

    def blend(x: Tensor) -> Tensor:
        return torch.lerp(x[segment], x[following], share)

    position, turned = at(u)
    return replace(
        cameras,
        pose=_poses(to_matrix(turned), position).to(cameras.pose),
        focal=blend(cameras.focal),
        center=blend(cameras.center),
        distortion=None if cameras.distortion is None else blend(cameras.distortion),
    )


def walk(cameras: Camera, up: Float[Tensor, "3"], frames: int) -> Camera:
    """A calm walk past given cameras, for scenes that surround them: level horizon, even pace, gentle turns.

    The cameras are put in the order of a short tour; position, heading and pitch are then averaged along it with a
    Gaussian window, so the path stays among places where photos were taken. The window of the heading widens until
    the walk turns by one full circle or 2 degrees a frame in all, whichever is more. Intrinsics are the first
    camera's, so that every frame sees alike.
    """
    poses, up = _many(cameras, frames), _direction(up)
    poses = poses[tour(poses[:, :3, 3])]
    position, forward, count = poses[:, :3, 3], poses[:, :3, 2], len(poses)
    level = torch.eye(3, dtype=torch.float64)[up.abs().argmin()]
    east = torch.linalg.cross(up, level)
    east = east / east.norm()
    north = torch.linalg.cross(up, east)
    pitch = torch.asin((forward @ up).clamp(-1, 1)).clamp(-math.radians(75), math.radians(75))
    yaw = torch.atan2(forward @ north, forward @ east)
    # Angles without jumps of a full circle can be averaged, and unlike averaged vectors never cancel out.
    steps = (yaw.diff() + math.pi).remainder(2 * math.pi) - math.pi
    yaw = yaw[0] + torch.cat([steps.new_zeros(1), steps.cumsum(0)])

    # Where along the tour each camera is, 0..1: by distance, and a little by number for cameras at one place.
    along = 0.8 * pace(position, position) + 0.2 * torch.linspace(0, 1, count, dtype=torch.float64)
    fine = torch.linspace(0, 1, max(8 * GRID, 2 * frames), dtype=torch.float64)

    def averaged(values: Tensor, window: float) -> Tensor:
        return torch.softmax(-0.5 * ((fine[:, None] - along) / window) ** 2, -1) @ values

    window = max(0.04, 1.5 / count)
    smooth, heading_window = averaged(position, window), window
    heading = averaged(yaw, window)
    while heading.diff().abs().sum() > max(2 * math.pi, math.radians(2) * frames):
        heading_window *= 1.25
        heading = averaged(yaw, heading_window)
    pitch = averaged(pitch, heading_window)
    curve = torch.cat([smooth, heading[:, None], pitch[:, None]], -1)
    curve = resampled(curve, pace(smooth, curve[:, 3:]), _steps(frames, False))
    eye, heading, pitch = curve[:, :3], curve[:, 3:4], curve[:, 4:]
    ahead = pitch.cos() * (heading.cos() * east + heading.sin() * north) + pitch.sin() * up
    return _flight(cameras[0], look_at(torch.zeros_like(eye), ahead, up)[:, :3, :3], eye)


def _steps(frames: int, closed: bool) -> Float[Tensor, "f"]:
    """0..1 in equal steps; a closed path stops one step short of 1, where it would repeat itself."""
    return torch.arange(frames, dtype=torch.float64) / max(1, frames if closed else frames - 1)


def _start(start: Camera, frames: int) -> Float[Tensor, "4 4"]:
    """The pose of the single camera a path starts from."""
    if start.pose.ndim != 2:
        raise ValueError("a path starts from a single camera, not from a batch")
    return _many(start.map(lambda tensor: tensor[None]), frames)[0]


def _many(cameras: Camera, frames: int) -> Float[Tensor, "n 4 4"]:
    """The poses, float64 on the CPU, finite and with the nearest true rotations."""
    if frames < 1:
        raise BadInput(f"a camera path of {frames} frames is no path; ask for at least 1")
    if cameras.pose.ndim != 3:
        raise ValueError("this path goes along a batch of cameras, not a single one")
    poses = cameras.pose.detach().double().cpu()
    if len(poses) == 0:
        raise BadInput("there are no cameras to make a path of")
    if not bool(poses.isfinite().all()):
        raise BadInput("a camera of the path has a pose with NaN or infinity; remove it")
    if not bool((torch.linalg.det(poses[:, :3, :3]) > 0).all()):
        raise BadInput("a camera of the path has a rotation that mirrors or collapses space; mend its pose")
    return _poses(nearest(poses[:, :3, :3]), poses[:, :3, 3])


def _vector(value: Float[Tensor, "3"], what: str) -> Float[Tensor, "3"]:
    value = value.detach().double().cpu()
    if not bool(value.isfinite().all()):
        raise BadInput(f"the {what} of the camera path is {value.tolist()}; it must be finite")
    return value


def _direction(up: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    up = _vector(up, "up direction")
    if float(up.norm()) < 1e-12:
        raise BadInput("the up direction of the camera path is zero; give a vector that points up, such as 0 0 1")
    return up / up.norm()


def _finite(value: float | int, what: str) -> None:
    if not math.isfinite(value):
        raise BadInput(f"{what} is {value}; it must be a finite number")


def _aimed(start: Camera, position: Tensor, target: Tensor, up: Tensor) -> Camera:
    """The start camera at each position, looking at the target."""
    try:
        pose = look_at(position, target, up)
    except ValueError as error:
        raise BadInput(
            "a camera of the path stands on its target or looks straight along up; choose another target or up"
        ) from error
    return _flight(start, pose[:, :3, :3], position)


def _flight(start: Camera, rotation: Float[Tensor, "f 3 3"], position: Float[Tensor, "f 3"]) -> Camera:
    """The start camera's intrinsics at every pose, on its device and in its precision."""
    repeated = start.map(lambda tensor: tensor.expand(len(position), *tensor.shape).clone())
    return replace(repeated, pose=_poses(rotation, position).to(start.pose))


def _poses(rotation: Float[Tensor, "f 3 3"], position: Float[Tensor, "f 3"]) -> Float[Tensor, "f 4 4"]:
    pose = torch.eye(4, dtype=rotation.dtype).repeat(len(position), 1, 1)
    pose[:, :3, :3], pose[:, :3, 3] = rotation, position
    return pose
