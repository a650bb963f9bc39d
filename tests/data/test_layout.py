"""The picture of the cameras: true to scale, complete, and drawn for any set of views."""

from __future__ import annotations

from dataclasses import replace

import posed_world
import pytest
import torch

from fieldscape.cameras import look_at, project
from fieldscape.data import layout
from fieldscape.types import Camera


def like(picture: torch.Tensor, color: tuple[int, int, int]) -> torch.Tensor:
    return (picture.int() - torch.tensor(color)).abs().amax(-1) < 40


def panels(picture: torch.Tensor) -> torch.Tensor:
    """The two views, without the title and the thumbnails."""
    return picture[layout.HEADER + 2 : layout.HEADER + layout.PANEL - 2]


def test_both_kinds_of_camera_and_the_target_are_drawn():
    picture = layout.draw_layout(posed_world.views(posed_world.ring()))
    assert picture.shape[1:] == (layout.WIDTH, 3)
    for color in (layout.TRAIN, layout.HELD_OUT, layout.TARGET):
        left, right = panels(picture).chunk(2, 1)
        assert int(like(left, color).sum()) > 20
        assert int(like(right, color).sum()) > 20
    assert int(like(picture, (255, 255, 255)).sum()) > 0.7 * picture[..., 0].numel()


def test_the_same_views_give_the_same_picture():
    views = posed_world.views(posed_world.ring(), points=posed_world.cloud())
    assert torch.equal(layout.draw_layout(views), layout.draw_layout(views))


def test_without_held_out_views_nothing_is_orange():
    views = replace(posed_world.views(posed_world.ring()), held_out=())
    assert int(like(panels(layout.draw_layout(views)), layout.HELD_OUT).sum()) == 0


def test_points_are_drawn():
    views = posed_world.views(posed_world.ring())
    bare = panels(layout.draw_layout(views))
    dotted = panels(layout.draw_layout(replace(views, points=0.3 * posed_world.cloud(2000))))
    assert int((bare != dotted).any(-1).sum()) > 200


def test_a_panel_keeps_distances_and_handedness():
    right, up = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    panel = layout.Panel(right, torch.linalg.cross(up, right), torch.zeros(3), 10.0, (0.0, 0.0, 200.0, 100.0))
    placed = panel.place(torch.tensor([[0.0, 0.0, 5.0], [1.0, 0.0, 0.0], [0.0, 1.0, -3.0]]))
    # Seen from above with x to the right, y goes up the page.
    assert placed.tolist() == [[100.0, 50.0], [110.0, 50.0], [100.0, 40.0]]


def test_the_frame_snaps_to_a_world_axis_that_is_nearly_up():
    right, up = layout.world_frame(posed_world.ring())
    assert up.tolist() == [0.0, 0.0, 1.0]
    assert right.tolist() == [1.0, 0.0, 0.0]


def test_the_frame_of_a_tilted_world_is_the_cameras_own():
    camera = posed_world.ring()
    tilt = look_at(torch.zeros(3), torch.tensor([1.0, 1.0, 0.6]), torch.tensor([0.0, 0.0, 1.0]))
    right, up = layout.world_frame(replace(camera, pose=tilt @ camera.pose))
    assert float(right @ up) == pytest.approx(0, abs=1e-5)
    assert float(right.norm()) == pytest.approx(1, abs=1e-5)
    assert float(up @ tilt[:3, 2]) > 0.97


def test_frusta_are_what_the_camera_sees():
    camera = posed_world.ring()
    corners = layout.frustum_corners(camera, 0.5)
    for i in (0, 7):
        pixels, z = project(camera[i], corners[i])
        expected = torch.tensor([[0.0, 0.0], [200.0, 0.0], [200.0, 160.0], [0.0, 160.0]])
        assert torch.allclose(pixels, expected, atol=1e-2)
        assert torch.allclose(z, torch.full((4,), 0.5), atol=1e-5)


def test_a_stray_camera_does_not_shrink_the_rest():
    camera = posed_world.ring()
    pose = camera.pose.clone()
    pose[7, :3, 3] *= 1000
    views = posed_world.views(replace(camera, pose=pose))
    assert int(like(panels(layout.draw_layout(views)), layout.TRAIN).sum()) > 500


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_views_are_drawn(count):
    views = posed_world.views(posed_world.ring())
    few = replace(
        views, camera=views.camera[:count], images=views.images[:count], names=views.names[:count], held_out=()
    )
    assert int(like(panels(layout.draw_layout(few)), layout.TRAIN).sum()) > 20


@pytest.mark.parametrize(
    ("width", "height", "lens", "distortion"),
    [(640, 80, "pinhole", None), (40, 300, "pinhole", None), (100, 100, "fisheye", [0.1, 0.0, 0.0, 0.0])],
)
def test_odd_images_and_lenses_are_drawn(width, height, lens, distortion):
    camera = posed_world.ring()
    bent = None if distortion is None else torch.tensor([distortion] * 18)
    focal = torch.full((18, 2), 30.0)
    odd = Camera(camera.pose, focal, torch.tensor([[width / 2, height / 2]] * 18), width, height, lens, bent)
    assert int(like(panels(layout.draw_layout(posed_world.views(odd))), layout.TRAIN).sum()) > 100


def test_cameras_on_one_spot_are_drawn():
    camera = posed_world.ring()
    pose = camera.pose.clone()
    pose[:, :3, 3] = 2
    assert int(like(panels(layout.draw_layout(posed_world.views(replace(camera, pose=pose)))), layout.TRAIN).sum()) > 20
