"""The room box: its planes are exact, it is found again where it was drawn, and it can be set by hand."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.systems.gan.photo import box as boxes
from fieldscape.systems.gan.photo.box import Box, from_corners
from fieldscape.systems.gan.photo.corners import SURE, drawn_over, edges_of, find_box, turned
from fieldscape.systems.gan.photo.draw import draw
from fieldscape.systems.gan.photo.scene import camera_pose, room_pose

EYE = 1.5


def a_box(yaw: float = 0.1, pitch: float = -0.05, focal: float = 220.0) -> Box:
    rotation = turned(np.array([yaw, pitch, 0.01]))
    return Box(rotation, focal, -0.5, 0.6, -0.28, 0.38)


def painted(box: Box, width: int = 256, height: int = 192) -> np.ndarray:
    """A photo of a room with panels on its walls, boards on its floor, and a plain ceiling."""
    textures = {}
    colors = {"back": (200, 180, 150), "floor": (120, 80, 50), "ceiling": (235, 235, 230)}
    colors |= {"left": (150, 170, 190), "right": (175, 190, 160)}
    for name, (_, u, v) in boxes.sides(box, EYE).items():
        size = [round(100 * float(np.linalg.norm(edge))) for edge in (u, v)]
        picture = np.full((size[1], size[0], 3), colors[name], np.uint8)
        if name == "floor":
            for k in range(0, size[0], 60):
                cv2.line(picture, (k, 0), (k, size[1]), (70, 45, 25), 3)
        elif name != "ceiling":
            for k in range(60, size[0] - 100, 150):
                cv2.rectangle(picture, (k, 60), (k + 90, size[1] - 90), (90, 60, 40), 4)
        textures[name] = torch.from_numpy(picture)
    shape = boxes.as_mesh(textures, box, EYE, room_pose(EYE))
    camera = boxes.camera_of(box, width, height, camera_pose(box.rotation, EYE))
    return (draw(shape, camera, 3).color.numpy() * 255).round().astype(np.uint8)


def test_the_box_is_found_again_in_a_picture_of_it() -> None:
    for yaw, pitch in ((0.0, 0.0), (0.12, -0.05), (-0.35, 0.06)):
        box = a_box(yaw, pitch)
        photo = painted(box)
        fov = math.degrees(2 * math.atan(128 / box.focal))
        found = find_box(photo, fov)
        apart = np.abs(found.box.corners(256, 192) - box.corners(256, 192))
        inside = (box.corners(256, 192) > 1).all(-1) & (box.corners(256, 192) < [255, 191]).all(-1)
        assert inside.sum() >= 2
        assert apart[inside].max() < 0.02 * 256, (yaw, apart)
        assert found.confidence > SURE


def test_a_picture_of_nothing_gives_a_usual_room_and_says_that_it_is_a_guess() -> None:
    noise = np.random.default_rng(0).integers(100, 130, (96, 128, 3)).astype(np.uint8)
    for photo in (np.full((96, 128, 3), 90, np.uint8), noise):
        found = find_box(photo)
        assert found.confidence < SURE
        assert found.box.left < 0 < found.box.right
        assert found.box.top < 0 < found.box.bottom
        assert not found.focal_told


def test_textures_are_rectified_exactly() -> None:
    """The colour of a smooth photo at a texel is that of the pixel where its point in space is seen."""
    box, width, height = a_box(focal=150.0), 256, 192
    rows, columns = np.indices((height, width)) + 0.5
    photo = np.stack([columns * 0.9, rows * 1.2, 60 + 0 * rows], -1).round().astype(np.uint8)
    for name, plane in boxes.sides(box, EYE).items():
        texture, shown = boxes.texture_of(photo, box, plane, EYE)
        origin, u, v = plane
        tall, wide = shown.shape
        down, across = np.nonzero(shown)
        points = origin + (across[:, None] + 0.5) / wide * u + (down[:, None] + 0.5) / tall * v
        pixels = box.pixels(points, width, height)
        assert shown.any(), name
        assert (points @ box.rotation)[:, 2].min() > 0
        safe = ((pixels > 2) & (pixels < [width - 2, height - 2])).all(-1)
        expected = pixels[safe] * [0.9, 1.2]
        assert np.abs(texture[down, across][safe][:, :2] - expected).max() < 1.6, name


def test_the_room_seen_by_its_own_camera_is_the_photo() -> None:
    box = a_box()
    photo = cv2.GaussianBlur(painted(box), (0, 0), 0.7)
    textures = boxes.planes(photo, box, EYE)
    shape = boxes.as_mesh(textures, box, EYE, room_pose(EYE))
    seen = draw(shape, boxes.camera_of(box, 256, 192, camera_pose(box.rotation, EYE)))
    middle = (slice(10, -10), slice(10, -10))
    error = (seen.color.numpy()[middle] - photo[middle] / 255.0) ** 2
    assert -10 * math.log10(error.mean()) > 35
    assert float(seen.alpha.min()) == 1


def test_corners_set_by_hand_give_the_box_back() -> None:
    box = a_box(0.2, 0.08)
    corners = box.corners(256, 192)
    point = box.pixels(np.array([0.0, 0.0, 1.0]), 256, 192)
    for vanishing in (None, (float(point[0]), float(point[1]))):
        again = from_corners(corners, 256, 192, box.focal, vanishing)
        assert np.allclose(again.corners(256, 192), corners, atol=0.05)
        for name in ("left", "right", "top", "bottom"):
            assert getattr(again, name) == pytest.approx(getattr(box, name), abs=2e-3)


def test_corners_that_are_no_wall_are_refused() -> None:
    corners = a_box().corners(256, 192)
    with pytest.raises(BadInput, match="corners"):
        from_corners(corners[::-1], 256, 192, 220.0)
    with pytest.raises(BadInput, match=r"horizon|floor"):
        from_corners(np.array([[60.0, 10], [180, 10], [180, 60], [60, 60]]), 256, 192, 220.0)
    with pytest.raises(BadInput, match="nothing"):
        from_corners(np.array([[126.0, 95], [129, 95], [129, 97], [126, 97]]), 256, 192, 220.0)


def test_the_size_of_the_room_follows_from_the_height_of_the_camera() -> None:
    box = a_box()
    for eye in (1.0, 2.0):
        floor, back = boxes.sides(box, eye)["floor"], boxes.sides(box, eye)["back"]
        assert floor[0][1] == pytest.approx(eye)
        assert back[0][2] == pytest.approx(eye / box.bottom)


def test_the_box_drawn_over_the_photo_leaves_the_rest_as_it_is() -> None:
    photo = painted(a_box())
    over = drawn_over(photo, a_box())
    share = (over[::2, ::2] != photo).any(-1).mean()
    assert 0.01 < share < 0.25
    assert len(edges_of(a_box())) == 8
    assert dataclasses.is_dataclass(a_box())
