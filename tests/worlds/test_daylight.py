"""Light worked out at what is seen: closed forms, the slower radiosity as twin, and no grain."""

import math

import pytest
import torch

from fieldscape.cameras import focal_from_fov, look_at
from fieldscape.meshes import box, quad, sphere
from fieldscape.types import Camera
from fieldscape.worlds import radiosity
from fieldscape.worlds.daylight import PATTERN, lit
from fieldscape.worlds.lights import Lights, Opening
from fieldscape.worlds.shading import Part, render, tone


def gray(value):
    return lambda surface: torch.full_like(surface.point, value)


def part(mesh, value=0.5, **more):
    return Part("part", mesh, gray(value), torch.eye(4), **more)


def camera(eye, target, size=24, degrees=40.0):
    pose = look_at(torch.tensor(eye), torch.tensor(target), torch.tensor([0.0, 0.3, 1.0]))
    return Camera(pose, torch.full((2,), focal_from_fov(degrees, size)), torch.full((2,), size / 2), size, size)


def at(world, points, normal=(0.0, 0.0, 1.0), times=PATTERN**2):
    """The irradiance at points, each asked with all shares of the samples."""
    point = torch.tensor(points).repeat_interleave(times, 0)
    turn = torch.arange(len(point)) % PATTERN**2
    light = world.light.at(point, torch.tensor(normal).expand_as(point), turn, torch.full((len(point), 2), 0.5))
    return light.reshape(-1, times, 3).mean(1)


FLOOR = quad((-3.0, -3.0, 0.0), (6.0, 0.0, 0.0), (0.0, 6.0, 0.0))


def test_an_even_sky_gives_a_free_floor_its_radiance():
    world = lit([part(FLOOR)], Lights(sky=(2.0, 2.0, 2.0), ground=(2.0, 2.0, 2.0), open_air=True))
    torch.testing.assert_close(at(world, [[0.0, 0.0, 0.0]]), torch.full((1, 3), 2.0), rtol=1e-4, atol=0)


def test_a_wall_hides_half_of_the_sky_at_its_foot():
    wall = quad((0.0, -500.0, 0.0), (0.0, 0.0, 500.0), (0.0, 1000.0, 0.0))
    lights = Lights(sky=(2.0, 2.0, 2.0), ground=(2.0, 2.0, 2.0), open_air=True)
    world = lit([part(FLOOR), part(wall, 0.0)], lights, samples=8)
    assert float(at(world, [[0.01, 0.0, 0.0]]).mean()) == pytest.approx(1.0, rel=0.05)


def test_sun_and_lamp_follow_cosine_inverse_square_and_shadow():
    tilt = math.radians(60)
    sun = (math.sin(tilt), 0.0, math.cos(tilt))
    lights = Lights(sun=(4.0, 2.0, 1.0), sun_direction=sun, lamps=((0.0, 0.0, 2.0),), lamp=(8.0, 8.0, 8.0))
    world = lit([part(FLOOR, 0.0)], lights)
    expected = torch.tensor([[4.0, 2.0, 1.0]]) * 0.5 + 8.0 / 4
    torch.testing.assert_close(at(world, [[0.0, 0.0, 0.0]]), expected, rtol=5e-3, atol=0)
    lid = quad((-1.0, -1.0, 1.0), (0.0, 2.0, 0.0), (2.0, 0.0, 0.0))
    world = lit([part(FLOOR, 0.0), part(lid, 0.0)], lights)
    shadow = at(world, [[-2.5, 0.0, 0.0]])  # the lid stands between it and the sun, not between it and the lamp
    far = 2.5**2 + 4
    assert float(shadow.mean()) == pytest.approx(8.0 * 2 / far**1.5, rel=0.02)


def test_skylight_through_a_pane_agrees_with_the_radiosity():
    pane = Opening((-0.6, 0.8, 1.0), (1.2, 0.0, 0.0), (0.0, -1.6, 0.0))
    lights = Lights((pane,), (3.0,) * 3, (3.0,) * 3)
    plate = quad((-0.01, -0.01, 0.0), (0.02, 0.0, 0.0), (0.0, 0.02, 0.0))
    slow = radiosity.build([part(plate, 0.0)], lights, rays=4).light.irradiance.mean()
    quick = at(lit([part(plate, 0.0)], lights), [[0.0, 0.0, 0.0]]).mean()
    assert float(quick) == pytest.approx(float(slow), rel=0.03)


def test_a_smooth_wall_shows_no_grain_and_shadows_keep_their_place():
    lights = Lights(
        sky=(1.0, 1.0, 1.2), ground=(0.5, 0.5, 0.5), sun=(3.0, 3.0, 3.0), sun_direction=(0.0, 0.0, 1.0), open_air=True
    )
    lifted = Part("ball", box((1.0, 1.0, 0.2), (0.0, 0.0, 1.5)), gray(0.5), torch.eye(4))
    world = lit([part(FLOOR), lifted], lights)
    picture = render(world, camera((0.0, -0.01, 9.0), (0.0, 0.0, 0.0), 48)).color[..., 1]
    assert float(picture[2:6, 2:6].std()) < 0.01  # far from the box the floor is even


def test_the_background_is_what_was_asked_for():
    world = lit([part(sphere(0.5))], Lights(sky=(1.0,) * 3, ground=(1.0,) * 3, open_air=True))
    eye = camera((0.0, -3.0, 0.0), (0.0, 0.0, 0.0))
    white = render(world, eye, behind=(1.0, 1.0, 1.0))
    torch.testing.assert_close(white.color[0, 0], torch.ones(3))
    assert float(white.alpha[0, 0]) == 0
    assert float(white.alpha[12, 12]) == 1
    assert bool(((white.depth == 0) == (white.part < 0)).all())
    sky = render(world, eye)
    corner = tone(torch.full((3,), world.exposure))
    assert float(sky.color[0, 0].mean()) > 0
    assert float(corner.mean()) < 1


def test_a_mirror_shows_what_stands_before_it():

    def red(surface):
        return torch.tensor([0.8, 0.0, 0.0]).expand_as(surface.point)

    wall = Part("red", quad((-2.0, -4.0, -2.0), (0.0, 0.0, 4.0), (4.0, 0.0, 0.0)), red, torch.eye(4), glow=1.0)
    glass = part(quad((-1.0, 0.0, -1.0), (2.0, 0.0, 0.0), (0.0, 0.0, 2.0)), 0.0, mirror=1.0)
    lights = Lights(sky=(0.5,) * 3, ground=(0.5,) * 3, open_air=True)
    picture = render(lit([glass, wall], lights), camera((0.0, -2.0, 0.0), (0.0, 0.0, 0.0)), 1).color[12, 12]
    assert float(picture[0]) > 0.5
    assert float(picture[1:].max()) < 0.1


def test_neighbours_on_other_surfaces_do_not_lend_their_light():
    """Two steps of a stair: the light of the lit one stops at its edge."""
    stair = [part(FLOOR), Part("step", box((2.0, 6.0, 1.0), (2.0, 0.0, 0.5)), gray(0.5), torch.eye(4))]
    lights = Lights(lamps=((2.0, 0.0, 1.5),), lamp=(1.0, 1.0, 1.0))
    world = lit(stair, lights)
    seen = render(world, camera((0.0, -0.01, 9.0), (0.0, 0.0, 0.0), 64, 30.0))
    names = [p.name for p in world.parts]
    step, floor = seen.part == names.index("step"), seen.part == 0
    assert float(seen.color[step].mean()) > 2 * float(seen.color[floor].mean())
