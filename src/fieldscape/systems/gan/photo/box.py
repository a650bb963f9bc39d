"""A room as a box of five painted planes, after Horry, Anjyo and Arai, "Tour into the picture" (1997).

The room's axes are x to the right, y down and z towards the back wall, with the camera at the origin. The back wall is
the rectangle left..right, top..bottom of the plane z = 1; the receding planes go through its edges, parallel to z. How
large the room is no picture tells: the height of the camera over the floor, ``bottom``, gives the scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.systems.gan.photo.draw import Textured
from fieldscape.systems.gan.photo.fill import fill_patches
from fieldscape.types import Camera

PLANES = ("back", "floor", "ceiling", "left", "right")
BEHIND = 1.0
"""Floor, ceiling and side walls go on so far behind the camera, in metres."""
LARGEST = 2048
"""Of a texture's sides, in texels."""
FILLING = 256
"""Of a texture's longer side, where what the photo does not show is made up."""
FINENESS = 2.0
"""Texels to a pixel of the photo at the back wall."""


@dataclass(frozen=True)
class Box:
    """rotation: the camera's axes in those of the room, as columns [3, 3].  The rest: see the head of this file."""

    rotation: Float[np.ndarray, "3 3"]
    focal: float
    left: float
    right: float
    top: float
    bottom: float

    def corners(self, width: int, height: int) -> Float[np.ndarray, "4 2"]:
        """The back wall's corners in pixels: top left, top right, bottom right, bottom left."""
        low_x, high_x, low_y, high_y = self.left, self.right, self.top, self.bottom
        corners = [[low_x, low_y, 1], [high_x, low_y, 1], [high_x, high_y, 1], [low_x, high_y, 1]]
        return self.pixels(np.array(corners, float), width, height)

    def pixels(self, points: Float[np.ndarray, "*p 3"], width: int, height: int) -> Float[np.ndarray, "*p 2"]:
        """Where points, or directions, of the room's axes are in the photo."""
        seen = points @ self.rotation
        return self.focal * seen[..., :2] / seen[..., 2:] + np.array([width / 2, height / 2])


def sides(box: Box, eye: float) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Origin, first edge and second edge of each plane, in metres, in the room's axes; ``eye``: camera over floor."""
    scale = eye / box.bottom
    left, right, top, bottom, back = (scale * v for v in (box.left, box.right, box.top, box.bottom, 1.0))
    x, y, z = np.array([right - left, 0, 0]), np.array([0, bottom - top, 0]), np.array([0, 0, back + BEHIND])
    far_top_left, far_bottom_left = np.array([left, top, back]), np.array([left, bottom, back])
    far_top_right = np.array([right, top, back])
    return {
        "back": (far_top_left, x, y),
        "floor": (far_bottom_left, x, -z),
        "ceiling": (far_top_left, x, -z),
        "left": (far_top_left, -z, y),
        "right": (far_top_right, -z, y),
    }


def texture_of(
    photo: UInt8[np.ndarray, "h w 3"], box: Box, plane: tuple[np.ndarray, np.ndarray, np.ndarray], eye: float
) -> tuple[UInt8[np.ndarray, "t s 3"], Bool[np.ndarray, "t s"]]:
    """The plane as the photo shows it, seen from straight ahead and filled where it shows nothing; and where it does.

    The map from the plane to the photo is a homography, so the texture is exact up to its resampling.
    """
    origin, u, v = plane
    height, width = photo.shape[:2]
    # As fine as the photo is at the back wall: farther than that nothing is, and nearer parts are large in the photo.
    fine = FINENESS * box.focal * box.bottom / eye
    nearer = 1.5 if abs(u[2]) + abs(v[2]) > 0 else 1.0
    size = [int(np.clip(round(np.linalg.norm(edge) * fine * nearer), 16, LARGEST)) for edge in (u, v)]
    lens = np.array([[box.focal, 0, width / 2], [0, box.focal, height / 2], [0, 0, 1.0]])
    # Texel centres are at +0.5 and so are pixel centres; OpenCV counts both from 0.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    onto = np.stack([u / size[0], v / size[1], origin], -1)
    to_photo = np.linalg.inv(half) @ lens @ box.rotation.T @ onto @ half
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    ahead = np.stack([columns, rows, np.ones_like(rows)], -1) @ to_photo.T
    x = np.divide(ahead[..., 0], ahead[..., 2], where=ahead[..., 2] > 1e-6, out=np.full(rows.shape, -1e4))
    y = np.divide(ahead[..., 1], ahead[..., 2], where=ahead[..., 2] > 1e-6, out=np.full(rows.shape, -1e4))
    x, y = x.clip(-1e4, 1e5).astype(np.float32), y.clip(-1e4, 1e5).astype(np.float32)
    shown = (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)
    texture = cv2.remap(photo, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return texture, shown


def planes(photo: UInt8[np.ndarray, "h w 3"], box: Box, eye: float) -> dict[str, Tensor]:
    """The textures of all planes, filled where the photo shows nothing of them."""
    filled = {}
    for name, plane in sides(box, eye).items():
        texture, shown = texture_of(photo, box, plane, eye)
        if not shown.any():  # the plane is out of view: it gets the colour of what is seen next to it
            texture[:] = np.median(photo.reshape(-1, 3), 0).astype(np.uint8)
            shown[:] = True
        filled[name] = torch.from_numpy(completed(texture, shown))
    return filled


def completed(texture: UInt8[np.ndarray, "t s 3"], shown: Bool[np.ndarray, "t s"]) -> UInt8[np.ndarray, "t s 3"]:
    """The texture with what is not shown made up, at ``FILLING`` texels at most: it is only seen in passing."""
    height, width = shown.shape
    shrink = min(1.0, FILLING / max(height, width))
    size = (max(2, round(width * shrink)), max(2, round(height * shrink)))
    share = cv2.resize(shown.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(np.where(shown[..., None], texture, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    whole = share > 0.5
    color = np.where(whole[..., None], small / np.maximum(share, 0.5)[..., None], 0) / 255
    filled = cv2.resize(fill_patches(color, ~whole), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(shown[..., None], texture, (filled.clip(0, 1) * 255).round().astype(np.uint8))


def as_mesh(textures: dict[str, Tensor], box: Box, eye: float, place: Float[Tensor, "4 4"]) -> Textured:
    """The planes as two triangles each, with one texture; ``place`` takes the room's axes to the world."""
    wide = max(texture.shape[1] for texture in textures.values()) + 2
    vertices: list[np.ndarray] = []
    places, faces, painted = [], [], []
    row = 0
    for name, (origin, u, v) in sides(box, eye).items():
        texture = textures[name].numpy()
        height, width = texture.shape[:2]
        # A border of one texel, so that what is read across the edge of a plane is its own colour.
        painted.append(np.pad(texture, ((1, 1), (1, wide - width - 1), (0, 0)), mode="edge"))
        faces.append(np.array([[0, 1, 2], [0, 2, 3]]) + 4 * len(vertices))
        vertices.append(np.stack([origin, origin + u, origin + u + v, origin + v]))
        places.append(np.array([[1, 1], [width + 1, 1], [width + 1, height + 1], [1, height + 1]]) + np.array([0, row]))
        row += height + 2
    corners = torch.from_numpy(np.concatenate(vertices)).float()
    return Textured(
        corners @ place[:3, :3].T + place[:3, 3],
        torch.from_numpy(np.concatenate(places)).float(),
        torch.from_numpy(np.concatenate(faces)).long(),
        torch.from_numpy(np.concatenate(painted)),
    )


def from_corners(
    corners: Float[np.ndarray, "4 2"],
    width: int,
    height: int,
    focal: float,
    vanishing: tuple[float, float] | None = None,
) -> Box:
    """The box whose back wall has these corners in the photo (top left, top right, bottom right, bottom left).

    ``vanishing``: where the receding edges meet; by default the wall's own edges tell, with ``focal`` in pixels.
    Raises BadInput for corners that are no rectangle's, in this order.
    """
    center = np.array([width / 2, height / 2])
    rays = np.concatenate([(corners - center) / focal, np.ones((4, 1))], -1)
    # The direction of two parallel edges is where the planes through them and the eye meet.
    across = np.cross(np.cross(rays[0], rays[1]), np.cross(rays[3], rays[2]))
    down = np.cross(np.cross(rays[0], rays[3]), np.cross(rays[1], rays[2]))
    across, down = across / max(np.linalg.norm(across), 1e-12), down / max(np.linalg.norm(down), 1e-12)
    across, down = across * (1 if across[0] > 0 else -1), down * (1 if down[1] > 0 else -1)
    if vanishing is None:
        ahead = np.cross(across, down)
    else:
        ahead = np.append((np.array(vanishing) - center) / focal, 1.0)
        ahead /= np.linalg.norm(ahead)
    # The nearest rotation; the direction ahead is the surest where it is given, and else equally sure.
    guess = np.stack([across, down, ahead * (10 if vanishing is not None else 1)], -1)
    left, _, right = np.linalg.svd(guess)
    axes = left @ right
    if np.linalg.det(axes) < 0 or axes[2, 2] < math.cos(math.radians(75)):
        raise BadInput("the back wall's corners are no wall seen from inside a room: give them from the top left on")
    points = rays @ axes
    if (points[:, 2] <= 1e-6).any():
        raise BadInput("a corner of the back wall lies behind the camera; move the corners, or give another --fov")
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    box = Box(axes.T, focal, (x[0] + x[3]) / 2, (x[1] + x[2]) / 2, (y[0] + y[1]) / 2, (y[2] + y[3]) / 2)
    if box.right - box.left < 0.02 or box.bottom - box.top < 0.02:
        raise BadInput("the back wall's corners enclose almost nothing; move them apart")
    if box.bottom < 0.02:
        raise BadInput("the camera would stand below the floor: the back wall must reach below the horizon")
    if box.top > -0.02 or box.left > -0.02 or box.right < 0.02:
        raise BadInput(
            "the camera would stand outside of the room: the point that receding edges run to must lie on the back wall"
        )
    return box


def camera_of(box: Box, width: int, height: int, pose: Float[Tensor, "4 4"]) -> Camera:
    """The photo's camera."""
    return Camera(pose, torch.full((2,), box.focal), torch.tensor([width / 2, height / 2]), width, height)
