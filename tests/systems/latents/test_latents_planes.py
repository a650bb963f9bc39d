"""Tri-planes: what a point's features are, what rays see of them, and the box of a class."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import grid_sample

from fieldscape import volume
from fieldscape.cameras import look_at, project
from fieldscape.systems.latents.planes import place as places
from fieldscape.systems.latents.planes.config import PlanesConfig
from fieldscape.systems.latents.planes.field import STEEPNESS, FieldNetwork, field_of
from fieldscape.systems.latents.planes.lookup import AXES, lookup, weighted_rows
from fieldscape.systems.latents.planes.losses import roughness
from fieldscape.systems.latents.planes.photos import Cells, coarse, rays_of, shifted, shifts, window
from fieldscape.systems.latents.planes.render import Place, Sampling, render
from fieldscape.systems.latents.planes.squash import scale_of, squash, unsquash
from fieldscape.types import Camera, Rays

BOX = Place(torch.tensor([-0.5, -0.3, -0.2]), torch.tensor([0.5, 0.3, 0.2]))


def random_rays(count: int, chance: torch.Generator) -> Rays:
    """From a sphere of radius 1.3 toward somewhere in the box."""
    eyes = torch.randn(count, 3, generator=chance)
    eyes = 1.3 * eyes / eyes.norm(dim=-1, keepdim=True)
    aims = 0.5 * (torch.rand(count, 3, generator=chance) - 0.5)
    return Rays(eyes, (aims - eyes) / (aims - eyes).norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("layout", ["fixed", "legacy"])
def test_a_lookup_is_that_of_grid_sample(layout):
    chance = torch.Generator().manual_seed(0)
    planes = torch.randn(2, 3, 5, 5, 4, generator=chance)
    place = 2.2 * torch.rand(12, 3, generator=chance) - 1.1
    scene = torch.randint(2, (12,), generator=chance)
    found = lookup(planes, scene, place, layout)
    for i in range(12):
        expected = torch.zeros(4)
        for plane, (a, b) in zip(planes[scene[i]], AXES[layout]):
            where = place[i, [b, a]].reshape(1, 1, 1, 2)  # torch counts columns first
            picture = plane.movedim(-1, 0)[None]
            expected += grid_sample(picture, where, align_corners=False, padding_mode="border").flatten()
        torch.testing.assert_close(found[i], expected, rtol=1e-5, atol=1e-5)


def test_swapping_two_axes_of_the_scene_permutes_the_planes():
    chance = torch.Generator().manual_seed(1)
    planes, place = torch.randn(1, 3, 6, 6, 2, generator=chance), 2 * torch.rand(50, 3, generator=chance) - 1
    scene = torch.zeros(50, dtype=torch.long)
    xy, xz, yz = planes[0]
    # With y and z swapped, xy and xz change places, and yz is turned over.
    swapped = torch.stack([xz, xy, yz.transpose(0, 1)])[None]
    torch.testing.assert_close(lookup(planes, scene, place), lookup(swapped, scene, place[:, [0, 2, 1]]))


@pytest.mark.parametrize(("layout", "pairs"), [("fixed", 3), ("legacy", 2)])
def test_gradients_reach_three_distinct_planes_but_in_the_legacy_layout(layout, pairs):
    """Each axis is read by two planes; in the legacy layout two planes hold the same, turned over."""
    planes = torch.zeros(1, 3, 4, 4, 1, requires_grad=True)
    lookup(planes, torch.zeros(1, dtype=torch.long), torch.tensor([[0.1, 0.3, -0.6]]), layout).sum().backward()
    assert all(float(plane.abs().sum()) > 0 for plane in planes.grad[0])
    assert len({frozenset(axes) for axes in AXES[layout]}) == pairs
    texels = [tuple(sorted((plane[..., 0] > 0.2).nonzero()[0].tolist())) for plane in planes.grad[0]]
    assert len(set(texels)) == pairs


def test_gradients_of_the_lookup_and_of_the_integral_are_right_in_double():
    chance = torch.Generator().manual_seed(2)
    table = torch.randn(7, 2, generator=chance, dtype=torch.double, requires_grad=True)
    rows, share = torch.randint(7, (5, 3), generator=chance), torch.rand(5, 3, generator=chance, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda t: weighted_rows(t, rows, share), table)

    density = torch.rand(2, 4, generator=chance, dtype=torch.double, requires_grad=True)
    color = torch.rand(2, 4, 2, generator=chance, dtype=torch.double, requires_grad=True)
    t = torch.rand(2, 4, generator=chance, dtype=torch.double).cumsum(-1)

    def seen(density, color):
        w = volume.weights(density, volume.intervals(t, 0.3))
        return volume.composite(w, color, t, torch.ones(2, dtype=torch.double)).color

    assert torch.autograd.gradcheck(seen, (density, color))


def test_rays_see_what_a_loop_over_samples_in_double_sees():
    chance = torch.Generator().manual_seed(3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FieldNetwork(4, 8, 3, -1.0)
    planes = torch.randn(2, 3, 6, 6, 4, generator=chance)
    rays, scene = random_rays(10, chance), torch.arange(10) % 2
    occupied = torch.rand(4, 4, 4, generator=chance) > 0.4
    place = replace(BOX, occupied=occupied)
    white = torch.tensor([1.0, 0.9, 0.8])
    seen = render(planes, network, rays, scene, place, Sampling(16), white)

    exact = network.double()
    for i in range(10):
        field = field_of(planes[scene[i]].double(), exact, BOX.low.double(), BOX.high.double())
        origin, direction = rays.origins[i].double(), rays.directions[i].double()
        one, two = (BOX.low.double() - origin) / direction, (BOX.high.double() - origin) / direction
        near, far = float(torch.minimum(one, two).max()), float(torch.maximum(one, two).min())
        color, light, step = torch.zeros(3, dtype=torch.double), 1.0, (far - near) / 16
        for k in range(16 if far > near else 0):
            point = origin + (near + (k + 0.5) * step) * direction
            cell = ((point - BOX.low.double()) / (BOX.high - BOX.low).double() * 4).long().clamp(0, 3).tolist()
            if not bool(occupied[cell[0], cell[1], cell[2]]):
                continue
            (shade,), (density,) = field(point[None], direction[None])
            alpha = 1 - math.exp(-float(density.detach()) * step)
            color, light = color + light * alpha * shade, light * (1 - alpha)
        torch.testing.assert_close(seen.color[i].double(), color + light * white.double(), rtol=0, atol=1e-5)
        assert abs(float(seen.alpha[i]) - (1 - light)) < 1e-5


def test_a_slab_of_constant_density_stops_the_light_that_the_law_says():
    network = FieldNetwork(1, 4, 1, 0.0)
    with torch.no_grad():
        network.out.weight.zero_()
        network.out.bias.copy_(torch.tensor([-3.0, 0.0]))
    density = STEEPNESS * math.log1p(math.exp(-3.0))
    rays = Rays(torch.tensor([[-1.3, 0.0, 0.0], [0.0, 0.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]))
    seen = render(
        torch.zeros(1, 3, 2, 2, 1), network, rays, torch.zeros(2, dtype=torch.long), BOX, Sampling(48), torch.ones(1)
    )
    for alpha, length in zip(seen.alpha, (1.0, 0.4)):
        assert abs(float(alpha) - (1 - math.exp(-density * length))) < 1e-3


def test_a_ray_beside_the_box_sees_the_background_and_nothing_else():
    network = FieldNetwork(1, 4, 3, 9.0)
    rays = Rays(torch.tensor([[-1.3, 0.0, 0.6]]), torch.tensor([[1.0, 0.0, 0.0]]))
    seen = render(
        torch.ones(1, 3, 2, 2, 1), network, rays, torch.zeros(1, dtype=torch.long), BOX, Sampling(8, 8), torch.rand(3)
    )
    assert float(seen.alpha) == 0
    assert float(seen.depth) == 0


def test_importance_samples_lie_where_the_coarse_ones_found_something():
    """A thin wall that few coarse samples meet is located better with fine ones."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = FieldNetwork(1, 1, 1, 0.0)
    with torch.no_grad():
        network.hidden.weight.fill_(1)
        network.out.weight[0], network.out.bias[0] = 1.0, -20.0
    planes = torch.zeros(1, 3, 32, 32, 1)
    planes[0, :2, 20] = 15.0  # a wall across x
    rays, where = Rays(torch.tensor([[-1.3, 0.05, 0.03]]), torch.tensor([[1.0, 0.0, 0.0]])), torch.zeros(1).long()
    truth = 1.3 - 0.5 + (20 + 0.5) / 32
    errors = []
    for fine in (0, 24):
        seen = render(planes, network, rays, where, BOX, Sampling(12, fine), torch.ones(1))
        errors.append(abs(float(seen.depth) - truth))
    assert errors[1] < 0.02
    assert errors[1] < errors[0]


def test_squashed_latents_come_back():
    z = torch.linspace(-30, 30, 50)
    torch.testing.assert_close(unsquash(squash(z, 0.02), 0.02), z, rtol=1e-3, atol=1e-3)
    assert float(squash(z, scale_of(z)).max()) == pytest.approx((math.tanh(1) + 1) / 2)
    assert bool(unsquash(torch.tensor([0.0, 1.0]), 0.02).isfinite().all())


def test_roughness_does_not_grow_with_the_batch():
    planes = torch.randn(1, 3, 8, 8, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(roughness(planes), roughness(planes.repeat(5, 1, 1, 1, 2)))
    assert float(roughness(torch.ones(1, 3, 4, 4, 1))) == 0


def camera_at(eye: tuple[float, float, float], size: int = 32) -> Camera:
    pose = look_at(torch.tensor(eye), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    return Camera(pose, torch.full((2,), size * 1.025), torch.full((2,), size / 2), size, size)


def test_a_cells_ray_runs_through_the_middle_of_its_patch_wherever_the_grid_lies():
    camera = camera_at((1.0, 0.5, 0.6)).map(lambda tensor: tensor[None])
    cells = Cells(torch.tensor([0]), torch.tensor([[3, 5]]), torch.tensor([0]))
    for shift in shifts(2, 4):
        ray = rays_of(shifted(coarse(camera, 4), shift, 4), cells)
        pixel, _ = project(camera[0], ray.at(torch.ones(1, 1))[:, 0])
        torch.testing.assert_close(pixel[0], torch.tensor([14.0 - shift[0], 22.0 - shift[1]]), rtol=1e-4, atol=1e-3)


def test_outside_the_window_of_the_box_no_ray_meets_it():
    cameras = [camera_at(eye) for eye in ((1.2, 0.3, 0.4), (-0.2, 1.2, -0.4), (0.01, 0.0, 1.3))]
    for camera in cameras:
        batch = camera.map(lambda tensor: tensor[None])
        (x0, y0), (x1, y1) = window(batch, BOX)[0].tolist()
        y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
        cells = Cells(torch.zeros(1024).long(), torch.stack([x, y], -1).reshape(-1, 2), torch.zeros(1024).long())
        rays = rays_of(batch, cells)
        near, far = volume.ray_box(rays, BOX.low, BOX.high)
        meets = cells.xy[(near < far)[:, 0]]
        # Rays run through middles: up to one cell at each side is only touched.
        (left, top), (right, bottom) = meets.amin(0).tolist(), meets.amax(0).tolist()
        assert max(left - x0, top - y0, x1 - right, y1 - bottom) <= 1
        assert min(left - x0, top - y0, x1 - right, y1 - bottom) >= 0
        assert (x1 - x0 + 1) * (y1 - y0 + 1) < 900


def test_the_published_box_is_the_unit_one_and_its_span_is_kept():
    place = places.class_place([], PlanesConfig(box="unit"))
    assert place.low.tolist() == [-1, -1, -1]
    assert place.span == (0.5, 2.1)
