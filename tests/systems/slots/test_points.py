"""From depth to points: the ground, the frame, weights and normals against scenes that are known exactly."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape import cameras
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.systems.slots import scenes
from fieldscape.systems.slots.points import (
    PointSettings,
    noise_of,
    padded,
    prepare,
    ray_grid,
    thinned,
    unproject,
)
from fieldscape.types import Camera

STREET = PointSettings(far=14.0)


def seen_planes(
    planes: list[tuple[tuple[float, float, float], float]], width: int = 96, height: int = 72, noise: float = 0.0
) -> DepthMap:
    """A depth map of planes n . x = offset (camera axes), the nearest one at each pixel; sky where there is none."""
    camera = Camera(torch.eye(4), torch.tensor([80.0, 84.0]), torch.tensor([47.0, 37.0]), width, height)
    x = (torch.arange(width) + 0.5 - 47.0) / 80.0
    y = (torch.arange(height) + 0.5 - 37.0) / 84.0
    depth = torch.full((height, width), math.inf)
    for (a, b, c), offset in planes:
        z = offset / (a * x[None] + b * y[:, None] + c)
        depth = torch.where((z > 0) & (z < depth), z, depth)
    sky = ~(depth < 50)
    generator = torch.Generator().manual_seed(0)
    depth = depth * (1 + noise * torch.randn(depth.shape, generator=generator))
    return DepthMap("planes", torch.where(sky, 0.0, depth), ~sky, sky, camera, False, 0.0)


def tilted(pitch: float, roll: float) -> tuple[float, float, float]:
    """The upward normal of level ground for a camera that looks down by ``pitch`` and leans by ``roll``, degrees."""
    p, r = math.radians(pitch), math.radians(roll)
    return (math.cos(p) * math.sin(r), -math.cos(p) * math.cos(r), -math.sin(p))


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize(("pitch", "roll", "height"), [(0, 0, 1.6), (12, 3, 1.3), (20, -5, 2.0)])
def test_ground_is_found_to_a_hundredth(pitch, roll, height, noise):
    normal = tilted(pitch, roll)
    observed = prepare(seen_planes([(normal, -height)], noise=noise), PointSettings())
    assert float(observed.normal @ torch.tensor(normal)) > math.cos(math.radians(0.02 if noise == 0 else 0.3))
    assert -observed.offset == pytest.approx(height, abs=1e-4 if noise == 0 else 0.01)
    known = observed.depth_map.valid
    assert (observed.ground & known).sum() > 0.99 * known.sum()
    assert len(observed.points) <= 0.01 * known.sum()
    assert observed.notes == ()


def test_model_frame_is_right_handed_with_y_up_and_its_origin_on_the_ground_below_the_camera():
    observed = prepare(seen_planes([(tilted(15, 4), -1.5)]), PointSettings())
    turn, shift = observed.from_camera[:3, :3], observed.from_camera[:3, 3]
    torch.testing.assert_close(turn @ turn.T, torch.eye(3), atol=1e-5, rtol=0)
    assert float(torch.linalg.det(turn)) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(turn @ observed.normal, torch.tensor([0.0, 1, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(shift, torch.tensor([0.0, 1.5, 0]), atol=1e-3, rtol=0)
    ahead = turn @ torch.tensor([0.0, 0, 1])
    assert abs(float(ahead[0])) < 1e-5
    assert float(ahead[2]) > 0.9
    assert float((turn @ torch.tensor([1.0, 0, 0]))[0]) < -0.9, "x is to the left"


def test_without_ground_the_camera_is_level_and_a_note_says_so():
    wall = seen_planes([((0.0, 0.0, -1.0), -3.0)])
    observed = prepare(wall, PointSettings())
    assert observed.offset == pytest.approx(-1.6)
    torch.testing.assert_close(observed.normal, torch.tensor([0.0, -1, 0]))
    assert len(observed.notes) == 1
    assert "No ground" in observed.notes[0]
    assert not observed.ground.any()


def test_steep_ground_is_not_believed():
    observed = prepare(seen_planes([(tilted(40, 0), -1.5)]), PointSettings(walls=0))
    assert observed.notes
    assert not observed.ground.any()


def test_walls_are_background_and_a_thing_before_them_is_not():
    room = [(tilted(0, 0), -1.5), ((0.0, 0.0, -1.0), -6.0), ((-1.0, 0.0, 0.0), -1.5)]
    depth_map = seen_planes(room)
    depth = depth_map.depth.clone()
    depth[30:50, 40:60] = 3.0
    observed = prepare(replace(depth_map, depth=depth), PointSettings())
    assert observed.background.sum() > 0.95 * ((~observed.ground).sum() - 400)
    assert not observed.background[31:49, 41:59].any()
    assert observed.things[31:49, 41:59].all()
    assert not prepare(replace(depth_map, depth=depth), PointSettings(walls=0)).background.any()


def test_a_thing_in_the_open_is_no_wall_however_large():
    """Its front is an upright plane of many points, but beside it one sees farther."""
    depth_map = seen_planes([(tilted(10, 0), -1.5)])
    depth, valid, sky = depth_map.depth.clone(), depth_map.valid.clone(), depth_map.sky.clone()
    depth[5:50, 20:70], valid[5:50, 20:70], sky[5:50, 20:70] = 4.0, True, False
    observed = prepare(replace(depth_map, depth=depth, valid=valid, sky=sky), PointSettings())
    assert not observed.background.any()
    assert observed.things[6:45, 21:69].all()


def test_normals_and_areas_of_a_slanted_plane():
    normal = torch.tensor([0.5, -0.2, -0.8])
    normal = normal / normal.norm()
    plane = seen_planes([(tuple(normal.tolist()), -3.0)])
    observed = prepare(plane, PointSettings(walls=0, points=10**6))
    inside = observed.normal_map[observed.things]
    assert float((inside @ normal).min()) > 0.9999
    moved = observed.from_camera
    on_plane = (observed.points - moved[:3, 3]) @ moved[:3, :3] @ normal
    torch.testing.assert_close(on_plane, torch.full_like(on_plane, -3.0), atol=1e-3, rtol=0)
    # The area of the plane between the lines of sight of the picture's corners, by its two triangles.
    x, y = ray_grid(plane)
    rays = [
        torch.tensor([a, b, 1.0], dtype=torch.float64)
        for a, b in (
            (x[0] - 0.5 / 80, y[0] - 0.5 / 84),
            (x[-1] + 0.5 / 80, y[0] - 0.5 / 84),
            (x[-1] + 0.5 / 80, y[-1] + 0.5 / 84),
            (x[0] - 0.5 / 80, y[-1] + 0.5 / 84),
        )
    ]
    a, b, c, d = (ray * (-3.0 / (ray @ normal.double())) for ray in rays)
    area = float(torch.linalg.cross(b - a, c - a).norm() / 2 + torch.linalg.cross(c - a, d - a).norm() / 2)
    near = bool((observed.smooth < observed.far).all())
    assert near
    assert float(observed.weights.sum()) == pytest.approx(area, rel=0.02)


def test_weights_keep_the_area_and_each_voxel_gives_one_point():
    observed = prepare(scenes.draw_example("iso", 5, 0, samples=0).depth_map, STREET)
    few = prepare(observed.depth_map, replace(STREET, points=100))
    everything = prepare(observed.depth_map, replace(STREET, points=10**6))
    assert len(few.points) == 100
    for some in (few, observed):
        assert float(some.weights.sum()) == pytest.approx(float(everything.weights.sum()), rel=1e-4)
    near = everything.points[everything.smooth[everything.pixels[:, 1], everything.pixels[:, 0]] < STREET.voxel_from]
    camera = (near - everything.from_camera[:3, 3]) @ everything.from_camera[:3, :3]
    cells = (camera / STREET.voxel).floor()
    assert len(torch.unique(cells, dim=0)) > 0.99 * len(cells)


def test_what_is_drawn_goes_with_area():
    points = np.random.default_rng(0).uniform(0, 4, (4000, 3))
    areas = np.where(points[:, 0] < 2, 3.0, 1.0)
    kept, weights = thinned(points, areas, PointSettings(points=400, voxel=1e-4))
    assert len(kept) == 400
    assert weights.sum() == pytest.approx(areas.sum())
    assert (points[kept, 0] < 2).mean() == pytest.approx(0.75, abs=0.05)


def test_points_are_those_of_their_pixels_and_the_same_every_time():
    depth_map = scenes.draw_example("contact-noise", 3, 1, samples=0).depth_map
    one, again = prepare(depth_map, STREET), prepare(depth_map, STREET)
    for name in ("points", "weights", "pixels", "normals", "smooth"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    other = prepare(depth_map, replace(STREET, seed=1, points=64))
    assert not torch.equal(other.pixels, prepare(depth_map, replace(STREET, points=64)).pixels)
    columns, rows = one.pixels.unbind(1)
    space = torch.from_numpy(unproject(one.smooth.double().numpy(), *ray_grid(depth_map))).float()
    moved = space[rows, columns] @ one.from_camera[:3, :3].T + one.from_camera[:3, 3]
    torch.testing.assert_close(moved, one.points, atol=1e-4, rtol=0)
    assert one.things[rows, columns].all()


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.01, 0.03])
def test_noise_is_told_from_the_map_alone(noise):
    depth = seen_planes([(tilted(10, 0), -1.5), ((0.0, 0.0, -1.0), -5.0)], noise=noise).depth.double().numpy()
    assert noise_of(depth) == pytest.approx(noise, rel=0.15, abs=2e-4)


def test_smoothing_takes_most_of_the_noise_away():
    clean, noisy = (seen_planes([(tilted(10, 0), -1.5), ((0.0, 0.0, -1.0), -5.0)], noise=n) for n in (0.0, 0.01))
    observed = prepare(noisy, PointSettings())
    both = clean.valid & noisy.valid & (clean.depth < 8)
    before = (noisy.depth / clean.depth - 1)[both].abs().median()
    after = (observed.smooth / clean.depth - 1)[both].abs().median()
    assert after < 0.6 * before


def test_true_camera_is_found_on_streets():
    for split in ("iso", "contact-noise"):
        example = scenes.draw_example(split, 11, 0, samples=0)
        observed = prepare(example.depth_map, STREET)
        up = cameras.Camera.to(example.depth_map.camera, "cpu").pose[2]
        assert float(up[:3] @ observed.normal) > math.cos(math.radians(0.2))
        assert -observed.offset == pytest.approx(float(up[3]), abs=0.01)
        things = example.depth_map.instances > 0
        assert (observed.things & things).sum() > 0.9 * (things & example.depth_map.valid).sum()
        assert (observed.things & ~things).sum() < 0.01 * things.sum()


def test_padding_repeats_points_that_weigh_nothing():
    observed = prepare(scenes.draw_example("iso", 5, 0, samples=0).depth_map, replace(STREET, points=50))
    points, weights, place = padded(observed, 120)
    assert len(points) == len(weights) == 120
    assert torch.equal(points, observed.points[place])
    assert torch.equal(weights[:50], observed.weights)
    assert not weights[50:].any()
    with pytest.raises(ValueError, match="cannot be padded"):
        padded(observed, 49)


def test_bad_maps_are_refused():
    good = seen_planes([(tilted(10, 0), -1.5)])
    with pytest.raises(BadInput, match="no pixel"):
        prepare(replace(good, valid=torch.zeros_like(good.valid)), PointSettings())
    broken = good.depth.clone()
    broken[-1, -1] = math.nan
    with pytest.raises(BadInput, match="not a positive number"):
        prepare(replace(good, depth=broken), PointSettings())
    camera = replace(good.camera, lens="brown", distortion=torch.zeros(5))
    with pytest.raises(BadInput, match="pinhole"):
        prepare(replace(good, camera=camera), PointSettings())


def test_sky_alone_and_nothing_near_give_no_points():
    far = seen_planes([((0.0, 0.0, -1.0), -30.0)])
    assert len(prepare(far, PointSettings(walls=0)).points) == 0
