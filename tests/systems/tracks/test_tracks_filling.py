"""The field that paints what no frame shows."""

import torch
from made_footage import made_footage

from fieldscape.systems.tracks.config import FillSettings
from fieldscape.systems.tracks.filling import Filling, Planes, placed
from fieldscape.systems.tracks.lessons import fill_loss


def test_planes_sum_what_the_three_hold():
    planes = Planes(1, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, (first, second) in enumerate(((1.0, 10.0), (100.0, 0.0), (0.0, 1000.0))):
            # Along the first axis of a pair, then along the second, each from 0 to its number.
            planes.texels[i, 0] = torch.tensor([[0.0, first], [second, first + second]])
    place = torch.tensor([[0.5, -0.5, 0.0]])
    x, y, z = ((place + 1) / 2)[0].tolist()
    assert float(planes(place).detach()) == (1 * x + 10 * y) + 100 * x + 1000 * z


def test_only_the_direction_counts_where_the_sphere_is_far():
    filling = Filling(FillSettings(), torch.Generator().manual_seed(0))
    filling.reach.fill_(1e6)
    direction = torch.nn.functional.normalize(torch.tensor([[0.3, -0.2, 1.0]]), dim=-1)
    here, there = filling(torch.zeros(3), direction), filling(torch.tensor([1.0, 2.0, 0.0]), direction)
    assert torch.allclose(here, there, atol=1e-4)


def test_two_rays_to_one_place_of_the_sphere_see_one_color():
    filling = Filling(FillSettings(), torch.Generator().manual_seed(0))
    filling.center.copy_(torch.tensor([1.0, 0.0, 0.0]))
    filling.reach.fill_(3.0)
    place = filling.center + 3 * torch.nn.functional.normalize(torch.tensor([0.2, 0.5, 0.8]), dim=-1)
    colors = []
    for origin in (torch.zeros(3), torch.tensor([1.5, 0.5, -0.3])):
        colors.append(filling(origin, torch.nn.functional.normalize(place - origin, dim=-1)[None]))
    assert torch.allclose(colors[0], colors[1], atol=1e-4)


def test_it_learns_the_background():
    tracked = made_footage(5, mover=True).tracked
    settings = FillSettings(side=16, steps=0, batch=512)
    filling = Filling(settings, torch.Generator().manual_seed(0))
    placed(filling, tracked)
    loss, chance = fill_loss(filling, tracked, settings), torch.Generator().manual_seed(1)
    adam = torch.optim.Adam(filling.parameters(), lr=1e-2)
    first = float(loss(chance).detach())
    for _ in range(60):
        adam.zero_grad()
        value = loss(chance)
        value.backward()
        adam.step()
    assert float(value.detach()) < 0.5 * first


def test_the_sphere_lies_around_the_cameras_and_beyond_the_points():
    tracked = made_footage(5).tracked
    filling = Filling(FillSettings(), torch.Generator().manual_seed(0))
    placed(filling, tracked)
    assert torch.allclose(filling.center, tracked.camera.position.mean(0), atol=1e-5)
    assert 2 < float(filling.reach) < 4
