"""Hits, light and textures against closed forms."""

import math

import pytest
import torch

from fieldscape.meshes import merge, quad, sphere
from fieldscape.types import Mesh
from fieldscape.worlds import radiosity, textures
from fieldscape.worlds.lights import Lights, Opening
from fieldscape.worlds.raycast import caster
from fieldscape.worlds.shading import Part

DARK = Lights((), (0.0,) * 3, (0.0,) * 3, (0.0,) * 3, (0.0, 0.0, 1.0), (), (0.0,) * 3)


def gray(value):
    return lambda surface: torch.full_like(surface.point, value)


def part(mesh, value=0.5, glow=0.0, edge=0.5, outside=False):
    return Part("part", mesh, gray(value), torch.eye(4), glow, edge, outside)


def test_hits_on_a_plane_and_a_ball_are_those_of_the_closed_forms():
    floor = quad((-5.0, -5.0, -2.0), (10.0, 0.0, 0.0), (0.0, 10.0, 0.0))
    world = caster(merge([floor, sphere(1.0, 256)]))
    direction = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    origin = torch.tensor([0.0, 0.0, 3.0]).expand(500, 3)
    b = (origin * direction).sum(-1)
    inside = b**2 - 8  # |o|^2 - 1 = 8
    ball = torch.where((inside > 0) & (b < 0), -b - inside.clamp(min=0).sqrt(), math.inf)
    down = torch.where(direction[:, 2] < 0, -5 / direction[:, 2], math.inf)
    at = origin + torch.where(down.isfinite(), down, 0.0)[:, None] * direction
    down = torch.where((at[:, :2].abs() < 5).all(-1), down, math.inf)
    clear = inside.abs() > 0.05  # the ball's facets differ from the ball at its rim
    truth = torch.minimum(ball, down)
    hits = world.first(origin.contiguous(), direction)
    assert bool(((hits.face >= 0) == truth.isfinite())[clear].all())
    met = clear & truth.isfinite()
    assert int(met.sum()) > 50
    assert float((hits.distance - truth)[met].abs().max()) < 2e-3
    plane = met & (down < ball)
    assert float((hits.distance - truth)[plane].abs().max()) < 1e-5
    assert bool((hits.distance[hits.face < 0] == 0).all())
    torch.testing.assert_close(hits.weights[met].sum(-1), torch.ones(int(met.sum())))
    near = torch.where(truth.isfinite(), truth, 100.0)
    assert not bool(world.blocked(origin.contiguous(), direction, near - 0.02)[clear].any())
    assert bool(world.blocked(origin.contiguous(), direction, near + 0.02)[met].all())


def box_from_inside(size=2.0):
    h = size / 2
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            frame = torch.eye(3)
            u, v, n = frame[(axis + 1) % 3] * size, frame[(axis + 2) % 3] * size, frame[axis]
            corner = sign * h * n - u / 2 - v / 2
            edges = (u, v) if sign < 0 else (v, u)  # facing inward
            sides.append(quad(tuple(corner.tolist()), *(tuple(e.tolist()) for e in edges)))
    return merge(sides)


def test_a_closed_glowing_box_is_the_geometric_series():
    """The furnace test: all sides glow g with albedo a, so after k bounces E = g (a + a^2 + ... + a^k) everywhere."""
    world = radiosity.build([part(box_from_inside(), 0.6, glow=2.0)], DARK, rays=16, bounces=3)
    expected = 2.0 * (0.6 + 0.36 + 0.216)
    torch.testing.assert_close(
        world.light.irradiance, torch.full_like(world.light.irradiance, expected), rtol=1e-4, atol=0
    )


def test_skylight_is_the_form_factor_of_the_pane():
    """A small plate a distance c under the centre of a parallel pane of 2a x 2b (Howell's catalogue, C-11, times 4)."""
    a, b = 0.6, 0.8
    root_a, root_b = math.sqrt(1 + a * a), math.sqrt(1 + b * b)
    factor = 4 / (2 * math.pi) * (a / root_a * math.atan(b / root_a) + b / root_b * math.atan(a / root_b))
    pane = Opening((-a, b, 1.0), (2 * a, 0.0, 0.0), (0.0, -2 * b, 0.0))  # u x v points down
    lights = Lights((pane,), (3.0,) * 3, (3.0,) * 3, (0.0,) * 3, (0.0, 0.0, 1.0), (), (0.0,) * 3)
    plate = quad((-0.01, -0.01, 0.0), (0.02, 0.0, 0.0), (0.0, 0.02, 0.0))
    world = radiosity.build([part(plate)], lights, rays=4)
    assert float(world.light.irradiance.mean()) == pytest.approx(3.0 * factor, rel=0.03)
    lid = quad((-2.0, -2.0, 0.5), (0.0, 4.0, 0.0), (4.0, 0.0, 0.0))
    world = radiosity.build([part(plate, 0.0), part(lid, 0.0)], lights, rays=4)
    assert float(world.light.irradiance[world.mesh.vertices[:, 2] == 0].max()) == 0.0


def test_sun_and_lamp_follow_cosine_and_inverse_square():
    plate = quad((-0.01, -0.01, 0.0), (0.02, 0.0, 0.0), (0.0, 0.02, 0.0))
    tilt = math.radians(60)
    sun = (math.sin(tilt), 0.0, math.cos(tilt))
    lights = Lights((), (0.0,) * 3, (0.0,) * 3, (4.0, 2.0, 1.0), sun, ((0.0, 0.0, 2.0),), (8.0, 8.0, 8.0))
    world = radiosity.build([part(plate)], lights, rays=4)
    expected = torch.tensor([4.0, 2.0, 1.0]) * 0.5 + 8.0 / 4
    torch.testing.assert_close(world.light.irradiance.mean(0), expected, rtol=5e-3, atol=0)


def test_light_passes_through_what_is_outside():
    plate = quad((-0.01, -0.01, 0.0), (0.02, 0.0, 0.0), (0.0, 0.02, 0.0))
    sky = quad((-9.0, -9.0, 3.0), (0.0, 18.0, 0.0), (18.0, 0.0, 0.0))
    lights = Lights((), (0.0,) * 3, (0.0,) * 3, (4.0,) * 3, (0.0, 0.0, 1.0), (), (0.0,) * 3)
    for outside, expected in ((True, 4.0), (False, 0.0)):
        world = radiosity.build([part(plate, 0.5), part(sky, 0.0, edge=9.0, outside=outside)], lights, rays=4)
        under = world.mesh.vertices[:, 2] == 0
        assert float(world.light.irradiance[under].mean()) == pytest.approx(expected, rel=5e-3)


def surface(point, footprint):
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(point)
    return textures.Surface(point, up, torch.full_like(point, 0.5), torch.full((len(point),), footprint))


MATERIALS = {
    "plain": textures.plain((0.5, 0.4, 0.3)),
    "wood": textures.wood((0.5, 0.3, 0.2), (0.2, 0.1, 0.05)),
    "planks": textures.planks((0.5, 0.3, 0.2), (0.2, 0.1, 0.05)),
    "tiles": textures.tiles((0.6, 0.6, 0.5), (0.2, 0.2, 0.3)),
    "fabric": textures.fabric((0.5, 0.1, 0.1), (0.8, 0.8, 0.7), 0.1),
    "diamonds": textures.wallpaper((0.7, 0.7, 0.6), (0.4, 0.5, 0.4), "diamonds"),
    "sprigs": textures.wallpaper((0.7, 0.7, 0.6), (0.4, 0.5, 0.4), "sprigs"),
    "plaster": textures.wallpaper((0.7, 0.7, 0.6), (0.4, 0.5, 0.4), "plaster"),
    "landscape": textures.landscape((1.2, 0.7), 3),
    "abstract": textures.abstract((1.2, 0.7), [(0.8, 0.1, 0.1), (0.1, 0.2, 0.6)], 4),
    "rug": textures.rug([(0.7, 0.6, 0.5), (0.5, 0.1, 0.1), (0.1, 0.1, 0.2), (0.8, 0.5, 0.1)], (2.4, 1.6), "medallion"),
}


@pytest.mark.parametrize("name", MATERIALS)
def test_materials_are_colours_and_fade_instead_of_flickering(name):
    """Seen from afar, neighbouring pixels differ less than they would if each showed one point of the surface."""
    point = torch.rand(4000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    near, far = (MATERIALS[name](surface(point, footprint)) for footprint in (1e-4, 0.6))
    assert near.shape == (4000, 3)
    assert float(near.min()) >= 0
    assert float(near.max()) <= 1.2
    assert float(near.std(0).max()) > 0.002  # something to see
    assert float(far.std(0).mean()) < float(near.std(0).mean())


def test_a_band_is_the_share_of_the_pixel_it_covers():
    place = torch.linspace(-0.2, 0.2, 9)
    fine = torch.linspace(-0.5, 0.5, 2001)
    share = textures.band(place, 0.05, torch.full_like(place, 0.1))
    brute = ((place[:, None] + 0.1 * fine).abs() <= 0.05).float().mean(-1)
    torch.testing.assert_close(share, brute, atol=2e-3, rtol=0)


def test_noise_is_smooth_periodic_and_repeatable():
    point = torch.rand(1000, 3, generator=torch.Generator().manual_seed(2)) * 16
    value = textures.noise(point, 5)
    torch.testing.assert_close(textures.noise(point + 16, 5), value, atol=1e-4, rtol=0)
    assert float((textures.noise(point + 1e-3, 5) - value).abs().max()) < 0.02
    assert float(value.abs().max()) <= 1
    assert float(value.std()) > 0.2
    assert not torch.equal(textures.noise(point, 6), value)


def test_a_caster_takes_a_batch_of_one_and_of_none():
    world = caster(Mesh(sphere(1.0).vertices, sphere(1.0).faces))
    for count in (0, 1):
        hits = world.first(torch.zeros(count, 3), torch.tensor([[1.0, 0.0, 0.0]])[:count])
        assert len(hits.face) == count
