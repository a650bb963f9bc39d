"""Drawing textured triangles: closed forms, a brute-force z-buffer, and what must not show: cracks and holes."""

import dataclasses
import math

import pytest
import torch

from fieldscape.cameras import image_rays, look_at, project
from fieldscape.errors import BadInput
from fieldscape.systems.gan.photo.draw import Textured, draw
from fieldscape.types import Camera

UP = torch.tensor([0.0, 0.0, 1.0])


def camera(size: int = 32, eye: tuple[float, float, float] = (0.0, 0.0, 0.0), focal: float = 30.0) -> Camera:
    pose = look_at(torch.tensor(eye), torch.tensor(eye) + torch.tensor([0.0, 1.0, 0.0]), UP)
    return Camera(pose, torch.full((2,), focal), torch.full((2,), size / 2), size, size)


def sheet(corners: list[list[float]], texture: torch.Tensor) -> Textured:
    height, width = texture.shape[:2]
    places = torch.tensor([[0.0, 0], [width, 0], [width, height], [0, height]])
    return Textured(torch.tensor(corners), places, torch.tensor([[0, 1, 2], [0, 2, 3]]), texture)


def ramp(size: int = 64) -> torch.Tensor:
    """Red grows to the right, green downward."""
    across = torch.arange(size, dtype=torch.uint8).expand(size, size)
    return torch.stack([across, across.T, torch.full_like(across, 7)], -1).contiguous()


def soup(count: int = 30) -> Textured:
    generator = torch.Generator().manual_seed(3)
    middle = torch.rand(count, 1, 3, generator=generator) * torch.tensor([4.0, 3.0, 4.0]) + torch.tensor(
        [-2.0, 0.3, -2]
    )
    vertices = (middle + torch.randn(count, 3, 3, generator=generator)).reshape(-1, 3)
    colors = torch.randint(0, 256, (1, count, 3), dtype=torch.uint8, generator=generator)
    texture = colors.repeat_interleave(3, 1).repeat(2, 1, 1)
    places = torch.stack([3 * torch.arange(count) + 1.5, torch.ones(count)], -1).repeat_interleave(3, 0)
    return Textured(vertices, places, torch.arange(3 * count).reshape(-1, 3), texture)


def brute(shape: Textured, view: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """One ray through each pixel against each triangle (Cramer's rule): distance of the nearest, and its place."""
    rays = image_rays(view)
    direction = rays.directions.reshape(-1, 3).double()
    nearest = torch.full((len(direction),), math.inf, dtype=torch.float64)
    place = torch.zeros(len(direction), 2, dtype=torch.float64)
    for face in shape.faces:
        a, b, c = (shape.vertices[i].double() - view.position.double() for i in face)
        system = torch.stack([a, b, c], -1)
        weights = torch.linalg.solve(system, direction.T).T
        t = 1 / weights.sum(-1)
        hit = (weights >= 0).all(-1) & (t > 0) & (t < nearest)
        nearest[hit] = t[hit]
        share = weights * t[:, None]
        place[hit] = (share @ shape.places[face].double())[hit]
    size = (view.height, view.width)
    return nearest.reshape(size), place.reshape(*size, 2)


def test_triangles_are_as_rays_see_them_even_those_that_reach_behind_the_camera() -> None:
    shape, view = soup(), camera()
    seen, (distance, place) = draw(shape, view, 1), brute(shape, view)
    assert float((shape.vertices[:, 1] < 0).float().mean()) > 0.02  # else nothing was clipped
    met = distance.isfinite()
    agree = (seen.alpha[..., 0] > 0) == met
    close = ((seen.depth[..., 0] - distance).abs() < 1e-4 * distance) & met
    color = shape.texture[place[..., 1].long(), place[..., 0].long()].float() / 255
    same = (seen.color - color).abs().amax(-1) < 1e-5
    # A ray within rounding of an edge may go either way; there are a few of 1,024.
    assert int((~agree).sum()) <= 2
    assert int((met & ~close).sum()) <= 2
    assert int((met & ~same).sum()) <= 2


def test_a_slanted_texture_is_perspective_correct() -> None:
    floor = sheet([[-2.0, 1.0, -1.0], [2.0, 1.0, -1.0], [2.0, 9.0, -1.0], [-2.0, 9.0, -1.0]], ramp())
    view = camera(focal=20.0)
    seen = draw(floor, view, 1)
    rays = image_rays(view).directions
    ground = rays / -rays[..., 2:]  # where z = -1
    inside = (seen.alpha[..., 0] == 1) & (ground[..., 1] < 5)
    expected = (ground[..., 1] - 1) / 8 * 64 - 0.5
    # Nearest texel with one sample a pixel, but for a blend of as much as half a texel.
    assert float((seen.color[..., 1] * 255 - expected)[inside].abs().max()) < 0.51
    assert float((seen.depth[..., 0] - (-1 / rays[..., 2]))[inside].abs().max()) < 1e-4


def test_a_camera_that_sees_one_texel_in_each_pixel_gets_the_texture_back() -> None:
    texture = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wall = sheet([[-1.6, 3.0, 1.6], [1.6, 3.0, 1.6], [1.6, 3.0, -1.6], [-1.6, 3.0, -1.6]], texture)
    for fine in (1, 2, 3):
        seen = draw(wall, camera(32, focal=30.0), fine)
        assert torch.allclose(seen.color, texture.float() / 255, atol=2e-3), fine
        assert float(seen.alpha.min()) == 1


def test_no_crack_shows_between_triangles_that_share_edges() -> None:
    generator = torch.Generator().manual_seed(1)
    n = 12
    grid = torch.stack(torch.meshgrid(torch.linspace(-3, 3, n), torch.linspace(3, -3, n), indexing="xy"), -1)
    depth = 2 + torch.rand(n, n, generator=generator)
    vertices = torch.stack([grid[..., 0], depth, grid[..., 1]], -1).reshape(-1, 3)
    index = torch.arange(n * n).reshape(n, n)
    a, b, c, d = (index[r, s].flatten() for r in (slice(-1), slice(1, None)) for s in (slice(-1), slice(1, None)))
    faces = torch.cat([torch.stack([a, c, d], -1), torch.stack([a, d, b], -1)])
    shape = Textured(vertices, torch.ones(n * n, 2), faces, torch.full((2, 2, 3), 200, dtype=torch.uint8))
    for k in range(6):
        view = camera(96, (0.1 * k, 0.0, 0.05 * k), focal=90.0)
        assert float(draw(shape, view, 1).alpha.min()) == 1


def test_samples_share_a_pixel_at_an_edge_and_threads_change_nothing() -> None:
    # The edge x = 0.25 / 30 is 0.25 pixels right of the middle of pixel 16's left border.
    half = sheet([[-9.0, 1.0, 9.0], [0.5 / 30, 1.0, 9.0], [0.5 / 30, 1.0, -9.0], [-9.0, 1.0, -9.0]], ramp())
    view = camera()
    seen = draw(half, view, 2)
    assert torch.allclose(seen.alpha[:, 16, 0], torch.tensor(0.5))
    assert torch.equal(seen.alpha[:, 15, 0], torch.ones(32))
    assert torch.equal(seen.alpha[:, 17, 0], torch.zeros(32))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = draw(soup(), view, 2)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(again.color, draw(soup(), view, 2).color)


def test_the_distance_is_along_the_ray_and_nothing_is_zero() -> None:
    wall = sheet([[-1.0, 2.0, 1.0], [1.0, 2.0, 1.0], [1.0, 2.0, -1.0], [-1.0, 2.0, -1.0]], ramp())
    view = camera(64, focal=30.0)
    seen = draw(wall, view, 2, behind=0.25)
    pixels, _ = project(view, torch.tensor([[0.9, 2.0, 0.9]]))
    column, row = (int(v) for v in pixels[0])
    ray = image_rays(view).directions[row, column]
    assert float(seen.depth[row, column, 0]) == pytest.approx(2 / float(ray[1]), rel=1e-3)
    assert float(seen.depth[0, 0, 0]) == 0
    assert float(seen.color[0, 0, 0]) == pytest.approx(0.25)


def test_a_lens_with_distortion_is_refused() -> None:
    bent = dataclasses.replace(camera(), lens="brown", distortion=torch.zeros(5))
    with pytest.raises(BadInput, match="pinhole"):
        draw(soup(), bent)
