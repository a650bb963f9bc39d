"""Gradients of the rasteriser: of depth, weights and attributes inside the outline, and of the soft outline."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fieldscape import meshes
from fieldscape.raster import Raster, coverage, interpolate, rasterize, rasterize_plain
from fieldscape.types import Camera


def a_camera(width: int = 40, height: int = 32, focal: float = 30.0) -> Camera:
    lens = torch.tensor([focal, 1.1 * focal]), torch.tensor([width / 2 - 0.21, height / 2 + 0.13])
    return Camera(torch.eye(4), *lens, width, height)


def a_soup(seed: int, ahead: float, count: int = 40) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    vertices = torch.randn(count, 3, generator=g) + torch.tensor([0.0, 0.0, ahead])
    return vertices, torch.randint(0, count, (count, 3), generator=g)


def measured(seen: Raster, seed: int = 0) -> Tensor:
    """Some number that depends on every weight and depth."""
    g = torch.Generator().manual_seed(seed)
    shares, depths = torch.randn(seen.weights.shape, generator=g), torch.randn(seen.depth.shape, generator=g)
    return (seen.weights * shares.to(seen.weights)).sum() + (torch.where(seen.hit, seen.depth, 0.0) * depths).sum()


@pytest.mark.parametrize("ahead", [0.5, 2.5])
def test_the_kernel_has_the_gradient_of_its_plain_twin(ahead) -> None:
    vertices, faces = a_soup(1, ahead)
    found = []
    for draw in (rasterize, rasterize_plain):
        free = vertices.clone().double().requires_grad_()
        found.append(torch.autograd.grad(measured(draw(free, faces, a_camera(), near=0.3)), free)[0])
    assert float(found[1].abs().max()) > 1
    # The kernel is handed gradients in float32.
    assert torch.allclose(*found, rtol=1e-5, atol=1e-5 * float(found[1].abs().max()))


def test_the_gradient_is_the_slope() -> None:
    """Finite differences in float64 on the plain twin. Four large faces, none of whose edges meets a pixel centre."""
    vertices = torch.tensor(
        [
            [-0.911, -0.717, 2.013],
            [0.813, -0.909, 2.517],
            [0.919, 0.803, 3.021],
            [-0.707, 0.911, 2.311],
            [0.1, 0.2, 1.7],
        ]
    ).double()
    faces = torch.tensor([[4, 0, 1], [4, 1, 2], [4, 2, 3], [4, 3, 0]])

    def number(free: Tensor) -> Tensor:
        return measured(rasterize_plain(free, faces, a_camera(9, 7, 7.0)))

    assert torch.autograd.gradcheck(number, vertices.requires_grad_(), eps=1e-7, atol=1e-5)


def test_batches_have_gradients_of_their_own() -> None:
    _, faces = a_soup(0, 2.0)
    vertices = torch.stack([a_soup(k, 2.0)[0] for k in range(3)])
    free = vertices.clone().requires_grad_()
    seen = rasterize(free, faces, a_camera())
    (together,) = torch.autograd.grad(sum(measured(seen[k], k) for k in range(3)), free)
    for k in range(3):
        single = vertices[k].clone().requires_grad_()
        (alone,) = torch.autograd.grad(measured(rasterize(single, faces, a_camera()), k), single)
        assert torch.allclose(together[k], alone, rtol=1e-4, atol=1e-4)


def test_attributes_are_gathered_and_their_gradients_scattered() -> None:
    vertices, faces = a_soup(4, 3.0, 14)
    g = torch.Generator().manual_seed(2)
    colors = torch.randn(14, 5, generator=g)
    found = []
    for blend in (interpolate, interpolated_plainly):
        free, paint = vertices.clone().requires_grad_(), colors.clone().requires_grad_()
        picture = blend(rasterize(free, faces, a_camera()), faces, paint)
        weight = torch.randn(picture.shape, generator=torch.Generator().manual_seed(3))
        found.append((picture.detach(), *torch.autograd.grad((picture * weight).sum(), (free, paint))))
    assert float(found[0][0].abs().max()) > 0.5
    for ours, plain in zip(*found):
        assert torch.allclose(ours, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


def interpolated_plainly(seen: Raster, faces: Tensor, attributes: Tensor) -> Tensor:
    return (seen.weights[..., None] * attributes[faces[seen.face.clamp(min=0)]]).sum(-2)


def test_depth_alone_pulls_a_sphere_to_its_place() -> None:
    mesh, camera = meshes.sphere(0.7, 16), a_camera()
    target = rasterize(mesh.vertices + torch.tensor([0.12, -0.08, 3.0]), mesh.faces, camera)
    place = torch.tensor([0.0, 0.0, 3.4], requires_grad=True)
    optimizer = torch.optim.Adam([place], 0.04)
    for _ in range(80):
        seen = rasterize(mesh.vertices + place, mesh.faces, camera)
        both = seen.hit & target.hit
        loss = (seen.depth - target.depth)[both].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.allclose(place, torch.tensor([0.12, -0.08, 3.0]), atol=0.02)


def a_disc(radius: float, camera: Camera, corners: int = 400) -> tuple[Tensor, Tensor]:
    """A fan at depth 1, around the middle of the picture; ``radius`` in pixels."""
    angle = torch.arange(corners) * 2 * math.pi / corners
    rim = radius * torch.stack([angle.cos(), angle.sin()], -1) / camera.focal
    middle = (torch.tensor([camera.width, camera.height]) / 2 - camera.center) / camera.focal
    points = torch.cat([torch.zeros(1, 2), rim]) + middle
    faces = torch.stack([torch.zeros(corners).long(), torch.arange(corners), (torch.arange(corners) + 1) % corners], -1)
    return torch.cat([points, torch.ones(corners + 1, 1)], -1), faces + torch.tensor([0, 1, 1])


@pytest.mark.parametrize("sigma", [0.3, 0.5])
def test_soft_edges_fall_off_with_the_distance_to_the_outline(sigma) -> None:
    """A disc made of faces that all meet inside it: only the rim counts, not the edges between them."""
    camera, radius = a_camera(), 9.3
    vertices, faces = a_disc(radius, camera)
    soft = coverage(rasterize(vertices, faces, camera), vertices, faces, camera, sigma, reach=3.0)
    y, x = torch.meshgrid(torch.arange(32) + 0.5 - 16, torch.arange(40) + 0.5 - 20, indexing="ij")
    inside = radius - (x**2 + y**2).sqrt()
    near = inside.abs() < 2.9
    assert torch.allclose(soft[near], torch.sigmoid(inside / sigma)[near], atol=0.02)
    assert bool((soft[inside > 3.1] == 1).all())
    assert bool((soft[inside < -3.1] == 0).all())


def test_the_soft_outline_has_the_slope_of_its_area() -> None:
    """Growing a disc grows its covered area by the length of its rim."""
    camera, radius = a_camera(), 9.3
    vertices, faces = a_disc(radius, camera)
    scale = torch.tensor(1.0, requires_grad=True)
    middle = vertices[:1]
    free = middle + (vertices - middle) * scale
    soft = coverage(rasterize(free.detach(), faces, camera), free, faces, camera, sigma=0.5, reach=4.0)
    assert math.isclose(float(soft.detach().sum()), math.pi * radius**2, rel_tol=0.02)
    (slope,) = torch.autograd.grad(soft.sum(), scale)
    assert math.isclose(float(slope), 2 * math.pi * radius**2, rel_tol=0.05)


def test_a_mask_alone_pulls_a_box_to_its_place() -> None:
    mesh, camera = meshes.box((0.8, 0.6, 0.7)), a_camera()
    target = rasterize(mesh.vertices + torch.tensor([0.1, 0.06, 3.0]), mesh.faces, camera)
    wanted = coverage(target, mesh.vertices + torch.tensor([0.1, 0.06, 3.0]), mesh.faces, camera)
    place = torch.tensor([0.0, 0.0], requires_grad=True)
    optimizer = torch.optim.Adam([place], 0.01)
    for _ in range(60):
        moved = mesh.vertices + torch.cat([place, torch.tensor([3.0])])
        soft = coverage(rasterize(moved.detach(), mesh.faces, camera), moved, mesh.faces, camera)
        optimizer.zero_grad()
        (soft - wanted).square().sum().backward()
        optimizer.step()
    assert torch.allclose(place, torch.tensor([0.1, 0.06]), atol=0.01)


def test_soft_edges_end_at_the_border_of_the_picture() -> None:
    """A wall that fills the picture has no outline in it; one behind the camera has neither picture nor outline."""
    wall = meshes.box((90.0, 90.0, 0.1))
    for z, expected in ((4.0, 1.0), (-4.0, 0.0)):
        vertices = wall.vertices + torch.tensor([0.0, 0.0, z])
        soft = coverage(rasterize(vertices, wall.faces, a_camera()), vertices, wall.faces, a_camera())
        assert bool((soft == expected).all())
