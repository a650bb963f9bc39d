"""A video with its truth, as the layouts take it: what is known beforehand, and the frames one after the other.

The world's z points up, the ground is z = 0; a thing's own frame has its origin in the middle of its bounding box, x
ahead, y to the left, z up. Layouts with y down use ``DOWN``: x stays, y is our -z, z is our y.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

Array = np.ndarray

SKY, GROUND, WALL = 0, 1, 2
"""The first parts of every part map; the others belong to things."""

DOWN = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From axes with z up to axes with y down and z where our y was (KITTI's)."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A video. f frames, n things, thing k is number k + 1 in instance maps.

    focal: in pixels; the principal point is the middle of the picture.  times: seconds.  poses: camera to world, OpenCV
    axes.  shapes, colors: names.  sizes: of the bounding boxes along x, y, z.  thing_poses: thing to world.
    velocities: metres per second.  points, point_parts: of each thing's surface, in its frame.
    record: all else that our own layout says, JSON values.  describe: captions of the video, from the pixels that show
    each thing in each frame.  exact: whether to keep depth unrounded.
    """

    index: int
    width: int
    height: int
    focal: float
    times: Float[Array, "f"]
    poses: Float[Array, "f 4 4"]
    shapes: tuple[str, ...]
    colors: tuple[str, ...]
    sizes: Float[Array, "n 3"]
    thing_poses: Float[Array, "f n 4 4"]
    velocities: Float[Array, "f n 3"]
    points: Float[Array, "n p 3"]
    point_parts: Shaped[Array, "n p"]
    record: Mapping[str, object] = field(default_factory=dict)
    describe: Callable[[Int[Array, "f n"]], list[dict[str, object]]] | None = None
    exact: bool = False


@dataclass(frozen=True, eq=False)
class Frame:
    """What a camera sees. depth: planar, metres, infinity: sky, not a number: unknown.  exact: without noise.

    instance: a thing's number or 0.  part: SKY, GROUND, WALL, or what a thing's part is called in the record.
    visible, total: pixels of each thing, and those it would have with nothing before it; box: around the latter (left,
    top, right, bottom, edges of pixels).  color: sRGB, if there is a colour picture.
    """

    depth: Float[Array, "h w"]
    exact: Float[Array, "h w"]
    instance: Shaped[Array, "h w"]
    part: Shaped[Array, "h w"]
    visible: Int[Array, "n"]
    total: Int[Array, "n"]
    box: Int[Array, "n 4"]
    color: UInt8[Array, "h w 3"] | None = None


def class_map(clip: Clip, frame: Frame, table: Mapping[str, int]) -> Shaped[Array, "h w"]:
    """The class of each pixel: ``table`` names those of "sky", "ground", "wall", of shapes, and of any "other"."""
    background = np.array([table["sky"], table["ground"], table["wall"]])
    of_things = np.array([0, *(table.get(shape, table["other"]) for shape in clip.shapes)])
    return np.where(frame.instance > 0, of_things[frame.instance], background[np.minimum(frame.part, WALL)])


def painted(classes: Shaped[Array, "h w"], colors: Mapping[int, tuple[int, int, int]]) -> UInt8[Array, "h w 3"]:
    """Each class in its colour (black where it has none), for people to look at."""
    palette = np.zeros((int(classes.max()) + 1, 3), np.uint8)
    for number, color in colors.items():
        if number < len(palette):
            palette[number] = color
    return palette[classes]


def in_camera(clip: Clip, k: int, n: int) -> Float[Array, "4 4"]:
    """Thing ``n`` to the camera of frame ``k`` (OpenCV axes)."""
    return np.linalg.inv(clip.poses[k]) @ clip.thing_poses[k, n]


def upright_box(pose: Float[Array, "4 4"], size: Float[Array, "3"]) -> tuple[Float[Array, "3"], Float[Array, "3 3"]]:
    """A thing's box as KITTI has it: the middle of its underside, and the turn of its axes (x ahead, y down, z left).

    ``pose``: from the thing's own frame (z up) to any frame.
    """
    return pose[:3, 3] - pose[:3, 2] * size[2] / 2, pose[:3, :3] @ DOWN.T


def angles(turn: Float[Array, "3 3"]) -> tuple[float, float, float]:
    """The angles (y, x, z) with turn = R_y R_x R_z."""
    y = np.arctan2(turn[0, 2], turn[2, 2])
    x = np.arcsin(np.clip(-turn[1, 2], -1, 1))
    z = np.arctan2(turn[1, 0], turn[1, 1])
    return float(y), float(x), float(z)


def cut_off(clip: Clip, frame_pose: Float[Array, "4 4"], size: Float[Array, "3"]) -> float:
    """The share of the picture of a thing's box that lies outside of the image (1 where it reaches behind us)."""
    corner = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * size
    x, y, z = (corner @ frame_pose[:3, :3].T + frame_pose[:3, 3]).T
    if z.min() < 0.01:
        return 1.0
    u, v = clip.focal * x / z + clip.width / 2, clip.focal * y / z + clip.height / 2
    inside = max(0.0, min(u.max(), clip.width) - max(u.min(), 0)) * max(
        0.0, min(v.max(), clip.height) - max(v.min(), 0)
    )
    return float(1 - inside / ((u.max() - u.min()) * (v.max() - v.min())))
