"""Layers of a photo: cut where depth jumps, nowhere stretched, continued behind what is near, and without holes."""

import numpy as np
import pytest
import torch

from fieldscape.metrics import psnr
from fieldscape.systems.gan.photo.draw import Textured, draw
from fieldscape.systems.gan.photo.fill import fill_patches, fill_smooth
from fieldscape.systems.gan.photo.layers import as_mesh, background, extended, layered, links, masked, sharpened
from fieldscape.systems.gan.photo.scene import camera_pose, flight, reach
from fieldscape.types import Camera

SIZE = 96
NEAR, FAR = 1.5, 4.0


def camera(size: int = SIZE) -> Camera:
    pose = camera_pose(np.eye(3), 1.5)
    return Camera(pose, torch.full((2,), 80.0), torch.full((2,), size / 2), size, size)


def post() -> tuple[np.ndarray, np.ndarray]:
    """A red post, 20 pixels wide, in front of a wall with green stripes."""
    color = np.zeros((SIZE, SIZE, 3), np.uint8)
    color[..., 1] = np.where(np.arange(SIZE) // 6 % 2, 90, 200)[:, None]
    depth = np.full((SIZE, SIZE), FAR, np.float32)
    color[20:, 40:60], depth[20:, 40:60] = (220, 30, 30), NEAR
    return color, depth


def test_the_photo_comes_back_at_its_own_camera() -> None:
    color = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    _, depth = post()
    shape = as_mesh(layered(color, depth, 80.0, reach(2.0)), camera())
    seen = draw(shape, camera())
    assert float(psnr(seen.color, torch.from_numpy(color).float() / 255)) > 45
    distance = torch.from_numpy(depth) / torch.nn.functional.normalize(directions(), dim=-1)[..., 2]
    inside = (slice(4, -4), slice(4, 36))
    assert float((seen.depth[..., 0] / distance - 1)[inside].abs().max()) < 1e-3


def directions() -> torch.Tensor:
    place = (torch.arange(SIZE) + 0.5 - SIZE / 2) / 80
    across, down = torch.meshgrid(place, place, indexing="xy")
    return torch.stack([across, down, torch.ones_like(down)], -1)


def test_no_triangle_stretches_across_an_edge_of_depth() -> None:
    color, depth = post()
    layers = layered(color, depth, 80.0, reach(2.0))
    shape = as_mesh(layers, camera())
    z = (shape.vertices - camera().position) @ camera().forward
    nearness = 1 / z[shape.faces]
    front = nearness[: 2 * layers.front.there.numel()]
    assert float((front.amax(-1) / front.amin(-1)).max()) < 1.1  # the edge itself is 4.0 / 1.5 = 2.7


def test_behind_the_post_the_wall_goes_on_and_views_have_no_holes() -> None:
    color, depth = post()
    shape = as_mesh(layered(color, depth, 80.0, reach(2.0)), camera())
    assert float((draw(shape, camera()).color[:, 41:59, 0][22:] > 0.5).float().mean()) == 1
    for side in flight(camera(), 2.0, NEAR, 8).pose[[2, 6]]:
        seen = draw(shape, Camera(side, camera().focal, camera().center, SIZE, SIZE))
        assert float(seen.alpha.min()) == 1
        red = (seen.color[30:80, :, 0] > 0.5) & (seen.color[30:80, :, 1] < 0.3)
        assert 16 <= float(red.sum(1).float().mean()) <= 24  # the post is as wide as before: neither torn nor smeared
        wall = seen.color[30:80][~red & (seen.color[30:80, :, 0] < 0.15)]
        assert len(wall) > 0.6 * 50 * SIZE


def test_a_slanted_plane_is_not_cut_and_a_step_is() -> None:
    rows = np.arange(96, dtype=np.float32)[:, None]
    floor = np.broadcast_to(0.02 * (rows + 25), (96, 40)).copy()  # nearness of a floor, by 4 % a row at first
    right, down = links(floor)
    assert right.all()
    assert down.all()
    step = np.where(np.arange(40) < 20, 0.2, 0.3).astype(np.float32)[None].repeat(30, 0)
    right, down = links(step)
    assert (~right).sum() == 30
    assert not right[:, 19].any()
    assert down.all()


def test_a_blurred_edge_becomes_a_step_and_a_plane_stays() -> None:
    ramp = np.interp(np.arange(60), [0, 28, 32, 60], [0.2, 0.2, 0.6, 0.6]).astype(np.float32)
    sharp = sharpened(np.tile(ramp, (40, 1)))
    assert set(np.unique(sharp.round(4)).tolist()) == {np.float32(0.2).round(4).item(), np.float32(0.6).round(4).item()}
    plane = np.tile(np.linspace(0.1, 0.9, 60, dtype=np.float32), (40, 1))
    assert np.abs(sharpened(plane) - plane).max() == 0


def test_planes_go_on_beyond_the_photo() -> None:
    rows, columns = np.indices((60, 80)).astype(np.float32)
    plane = 0.3 + 0.001 * columns + 0.0015 * rows
    wide = extended(plane, 16, 12)
    rows, columns = np.indices(wide.shape)
    assert np.abs(wide - (0.3 + 0.001 * (columns - 16) + 0.0015 * (rows - 12))).max() < 1e-4


def test_what_is_behind_is_no_nearer_than_what_is_before_it() -> None:
    q = (1 / post()[1]).astype(np.float32)
    behind, covered = background(q, 80 * reach(2.0))
    assert covered[30:, 42:58].any()
    assert not covered[:, :38].any()
    assert (behind[covered] < q[covered]).all()
    assert np.abs(behind[covered] - 1 / FAR).max() < 0.02


def test_the_mask_says_what_the_photo_shows() -> None:
    color, depth = post()
    layers = layered(color, depth, 80.0, reach(2.0))
    shown: Textured = as_mesh(masked(layers, SIZE, SIZE), camera())
    assert float(draw(shown, camera()).color.min()) > 0.99
    aside = flight(camera(), 2.0, NEAR, 8)[2]
    assert 0.02 < float(1 - draw(shown, aside).color.mean()) < 0.4


def test_a_membrane_is_linear_between_two_straight_sides() -> None:
    values = np.zeros((12, 33), np.float32)
    values[:, -1] = 1
    hole = np.ones(values.shape, bool)
    hole[:, [0, -1]] = False
    assert np.abs(fill_smooth(values, hole) - np.linspace(0, 1, 33)).max() < 0.1
    assert np.array_equal(fill_smooth(values, np.zeros_like(hole)), values)
    assert (fill_smooth(values, np.ones_like(hole)) == 0).all()


def test_a_pattern_is_continued_through_a_hole() -> None:
    rows, columns = np.indices((64, 64))
    stripes = np.where((rows + columns) // 4 % 2, 0.9, 0.1).astype(np.float32)[..., None].repeat(3, -1)
    hole = np.zeros((64, 64), bool)
    hole[24:40, 24:40] = True
    broken = np.where(hole[..., None], 0, stripes)
    mended = fill_patches(broken, hole)
    assert np.abs(mended - stripes)[hole].mean() < 0.1
    assert np.abs(fill_smooth(broken, hole) - stripes)[hole].mean() > 0.25  # which a smooth filling cannot
    assert np.array_equal(mended[~hole], stripes[~hole])
    assert np.array_equal(mended, fill_patches(broken, hole))


@pytest.mark.parametrize("guided", [False, True])
def test_the_guide_says_where_to_copy_from(guided: bool) -> None:
    """The hole touches only what is red, but its guide is that of what is blue, far away."""
    color = np.zeros((64, 64, 3), np.float32)
    color[:, :32, 0], color[:, 32:, 2] = 0.8, 0.8
    hole = np.zeros((64, 64), bool)
    hole[26:38, 4:16] = True
    guide = np.where(hole | (np.arange(64) >= 32), 2.0, 0.0).astype(np.float32)
    filled = fill_patches(color, hole, guide if guided else None)
    assert float(filled[hole][:, 2 if guided else 0].mean()) > 0.6
