"""The right way up: photos that the camera stored sideways, and a world that structure from motion left anyhow.

Phones store every photo the way the sensor lies and note in EXIF how it was held. Structure from motion needs them as
stored (one camera, one size); people want them as they were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import reason
from fieldscape.types import Camera, Views

UP = {1: (0, -1), 2: (0, -1), 3: (0, 1), 4: (0, 1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}
"""Where the top of the picture is, in (x, y) of the pixels as stored, by EXIF orientation."""

QUARTER_TURNS = {3: 2, 6: 1, 8: 3}
"""Clockwise quarter turns that make a picture upright, by EXIF orientation; 1 needs none."""

_ORIENTATION, _MAKE, _MODEL, _DETAILS = 0x0112, 0x010F, 0x0110, 0x8769
_FOCAL, _FOCAL_35MM, _ZOOM = 0x920A, 0xA405, 0xA404


def exif(photo: Path) -> tuple[int, str]:
    """EXIF orientation (1 to 8, 1 where nothing is said), and camera and focal length as one text, to be compared."""
    try:
        with Image.open(photo) as image:
            tags = image.getexif()
            details = tags.get_ifd(_DETAILS)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"The header of {photo} cannot be read: {reason(error)}.") from error
    orientation = tags.get(_ORIENTATION, 1)
    setting = [tags.get(_MAKE), tags.get(_MODEL), details.get(_FOCAL), details.get(_FOCAL_35MM), details.get(_ZOOM)]
    return (orientation if orientation in UP else 1), repr(setting)


def turned_upright(views: Views, orientations: list[int]) -> tuple[Views, list[int]]:
    """Views whose photos were all held the same way, turned so that they stand upright; others as they are.

    Returns the views and the orientations that are left.
    """
    if len(set(orientations)) != 1 or orientations[0] not in QUARTER_TURNS:
        return views, orientations
    turns = QUARTER_TURNS[orientations[0]]
    camera = views.camera
    for _ in range(turns):
        camera = quarter_turn(camera)
    views = replace(
        views,
        camera=camera,
        images=torch.rot90(views.images, -turns, (1, 2)).contiguous(),
        maps=None if views.maps is None else torch.rot90(views.maps, -turns, (1, 2)).contiguous(),
        notes=(*views.notes, "photos were stored sideways and are turned upright, as their EXIF says"),
    )
    return views, [1] * len(orientations)


def quarter_turn(camera: Camera) -> Camera:
    """The camera of the same photos turned clockwise by 90 degrees: pixel (x, y) goes to (height - y, x).

    With that x' = -y and y' = x in camera axes, and Brown's tangential terms go along: p1' = p2, p2' = -p1.
    """
    pose = camera.pose.clone()
    pose[..., :3, 0], pose[..., :3, 1] = -camera.pose[..., :3, 1], camera.pose[..., :3, 0]
    distortion = camera.distortion
    if camera.lens == "brown" and distortion is not None:
        k1, k2, p1, p2, k3 = distortion.unbind(-1)
        distortion = torch.stack([k1, k2, p2, -p1, k3], -1)
    center = torch.stack([camera.height - camera.center[..., 1], camera.center[..., 0]], -1)
    return Camera(pose, camera.focal.flip(-1), center, camera.height, camera.width, camera.lens, distortion)


def settled(views: Views, orientations: Sequence[int]) -> Views:
    """Views in a world where up is +z, the median surface point is 0 and the cameras' mean distance from it is 1.

    ``orientations``: EXIF's, for photos that are not upright.
    """
    axes = torch.tensor([UP[orientation] for orientation in orientations], dtype=torch.float32)
    pose = views.camera.pose
    up = (pose[:, :3, 0] * axes[:, :1] + pose[:, :3, 1] * axes[:, 1:]).mean(0)
    if up.norm() < 1e-3:  # held in every direction: there is no up
        up = torch.tensor([0.0, 0.0, 1.0])
    rotation = rotation_between(up / up.norm(), torch.tensor([0.0, 0.0, 1.0]))
    position = views.camera.position @ rotation.T
    points = None if views.points is None else views.points @ rotation.T
    origin = position.mean(0) if points is None else points.median(0).values
    distance = float((position - origin).norm(dim=-1).mean())
    scale = 1 / distance if distance > 0 else 1.0
    turned = pose.clone()
    turned[:, :3, :3] = rotation @ pose[:, :3, :3]
    turned[:, :3, 3] = scale * (position - origin)
    return replace(
        views,
        camera=replace(views.camera, pose=turned),
        points=None if points is None else scale * (points - origin),
        bounds=None if views.bounds is None else scale * views.bounds,
    )


def rotation_between(a: Float[Tensor, "3"], b: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that takes the unit vector ``a`` to ``b``: Rodrigues' formula with the angle between them.

    >>> rotation_between(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])) @ torch.tensor([1.0, 0.0, 0.0])
    tensor([0., 0., 1.])
    """
    cross, cosine = torch.linalg.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-6:  # opposite: half a turn about any axis across
        axis = torch.linalg.cross(a, torch.eye(3)[int(a.abs().argmin())])
        axis = axis / axis.norm()
        return 2 * axis[:, None] * axis - torch.eye(3)
    skew = torch.linalg.cross(cross.expand(3, 3), torch.eye(3)).T
    return torch.eye(3) + skew + skew @ skew / (1 + cosine)
