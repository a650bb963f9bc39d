"""Where cameras and points are between frames.

A cubic through the four frames around, with the tangents of the parabola through each three neighbours (Bessel's
tangents), which asks nothing of frames but that their times increase. Before the first and after the last frame all
stands still.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.rotations import aligned, to_matrix, to_quaternion
from fieldscape.types import Camera


def between(values: Float[Tensor, "t *b"], seconds: Float[Tensor, "t"], when: float) -> Float[Tensor, "*b"]:
    """``values`` of frames taken at ``seconds``, at the time ``when``; exactly those of a frame at its own time.

    >>> seconds = torch.tensor([0.0, 1.0, 2.0, 4.0])
    >>> [round(float(between(seconds**2, seconds, when)), 6) for when in (-1.0, 0.5, 1.0, 3.0, 9.0)]
    [0.0, 0.25, 1.0, 9.0, 16.0]
    """
    last = len(seconds) - 1
    when = min(max(when, float(seconds[0])), float(seconds[-1]))
    after = int(torch.searchsorted(seconds, torch.tensor(when, dtype=seconds.dtype)))
    if float(seconds[min(after, last)]) == when:
        return values[min(after, last)]
    i = after - 1
    step = float(seconds[i + 1] - seconds[i])
    slope = (values[i + 1] - values[i]) / step
    one = slope if i == 0 else _tangent(values, seconds, i)
    other = slope if i + 1 == last else _tangent(values, seconds, i + 1)
    if i == 0 and i + 1 < last:
        one = 2 * slope - other  # the parabola through the first three
    if i + 1 == last and i > 0:
        other = 2 * slope - one
    u = (when - float(seconds[i])) / step
    return (
        (1 + 2 * u) * (1 - u) ** 2 * values[i]
        + u * (1 - u) ** 2 * step * one
        + u**2 * (3 - 2 * u) * values[i + 1]
        + u**2 * (u - 1) * step * other
    )


def _tangent(values: Tensor, seconds: Tensor, i: int) -> Tensor:
    """The slope at frame i of the parabola through it and its two neighbours."""
    before, after = float(seconds[i] - seconds[i - 1]), float(seconds[i + 1] - seconds[i])
    rising, falling = (values[i] - values[i - 1]) / before, (values[i + 1] - values[i]) / after
    return (after * rising + before * falling) / (before + after)


def camera_at(camera: Camera, seconds: Float[Tensor, "t"], when: float) -> Camera:
    """The single camera at the time ``when``: place and lens by ``between``, the turn by its quaternion."""
    turn = between(aligned(to_quaternion(camera.pose[:, :3, :3].double())), seconds, when)
    pose = torch.eye(4, dtype=camera.pose.dtype)
    pose[:3, :3] = to_matrix(turn / turn.norm()).to(pose)
    pose[:3, 3] = between(camera.pose[:, :3, 3], seconds, when)
    focal, center = (between(x, seconds, when) for x in (camera.focal, camera.center))
    return replace(camera, pose=pose, focal=focal, center=center)
