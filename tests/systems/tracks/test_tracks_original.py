"""The published pipeline: its sizes, its lookup, its triangles."""

import time

import numpy as np
import pytest
import torch
from made_footage import made_footage

from fieldscape.cameras import project
from fieldscape.systems.tracks.original import Original, corners_of, vertices_of


def test_it_has_the_published_size():
    model = Original(10, torch.Generator().manual_seed(0))
    assert model.grid.numel() == 4_194_304
    assert sum(x.numel() for x in (*model.weights, *model.biases)) == 3_010_307


def test_one_lookup_is_the_same_as_one_for_each_vertex_and_cheap():
    model = Original(3000, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.vertices.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    features = model.looked_up()
    for i in (0, 17, 2999):
        place = model.vertices[i].reshape(1, 1, 1, 1, 3)
        alone = torch.nn.functional.grid_sample(model.grid, place, "bilinear", "zeros", align_corners=True)
        assert torch.allclose(features[i], alone.flatten(), atol=1e-6)
    features.sum().backward()
    # A gradient of the grid's own size: what a grid for each vertex would need is 3,000 times that.
    assert model.grid.grad is not None
    assert model.grid.grad.shape == model.grid.shape
    one: list[float] = []
    many: list[float] = []
    for count, took in ((60, one), (3000, many)):
        model.vertices = torch.rand(count, 3, generator=torch.Generator().manual_seed(2)) * 2 - 1
        for _ in range(3):
            began = time.process_time()
            model.looked_up().sum().backward()
            took.append(time.process_time() - began)
    assert min(many) < 30 * min(one)


def test_shares_reproduce_the_pixel_even_outside_all_triangles():
    tracked = made_footage(4).tracked
    pixels = np.array([[10.2, 12.7], [40.0, 30.5], [-60.0, 20.0], [300.0, -80.0]])
    corners, shares = corners_of(tracked, tracked.camera[1], 0.1, pixels)
    places, _ = project(tracked.camera[1], tracked.world[1])
    found = (places[corners] * shares[..., None]).sum(1)
    assert torch.allclose(found.double(), torch.from_numpy(pixels), atol=1e-2)
    assert torch.allclose(shares.sum(-1), torch.ones(4), atol=1e-4)
    assert bool((shares[:2] >= -1e-5).all())
    assert bool((shares[2:] < 0).any())


def test_vertices_fill_the_cube():
    vertices = vertices_of(made_footage(4, mover=True).tracked)
    assert float(vertices.abs().max()) == pytest.approx(1, abs=1e-5)
