"""Shapes: the sphere below them, what a blend may not change, and that they neither become alike nor collapse."""

from __future__ import annotations

import math

import pytest
import torch

from fieldscape import meshes
from fieldscape.systems.slots import losses
from fieldscape.systems.slots.icosphere import icosphere, refined
from fieldscape.systems.slots.prototypes import (
    ALIKE,
    Prototypes,
    distances,
    effective_count,
    exported,
    normalized,
    sampled,
    scattered,
)
from fieldscape.types import Mesh


def some(count: int = 6, start: str = "primitives", level: int = 2) -> Prototypes:
    return Prototypes(count, level, torch.Generator().manual_seed(0), start)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", range(4))
def test_the_sphere_is_one(level: int) -> None:
    sphere = icosphere(level)
    assert len(sphere.vertices) == 10 * 4**level + 2
    assert len(sphere.faces) == 20 * 4**level
    assert len(sphere.vertices) - len(sphere.edges) + len(sphere.faces) == 2
    assert torch.allclose(sphere.vertices.norm(dim=-1), torch.ones(len(sphere.vertices)), atol=1e-6)
    mesh = Mesh(sphere.vertices, sphere.faces)
    assert meshes.is_watertight(mesh)
    assert 2.5 < float(meshes.volume(mesh)) <= 4 * math.pi / 3
    assert len(torch.unique(sphere.vertices.round(decimals=4), dim=0)) == len(sphere.vertices)


def test_finer_spheres_begin_with_the_coarser_one() -> None:
    coarse, fine = icosphere(1), icosphere(3)
    assert torch.equal(fine.vertices[: len(coarse.vertices)], coarse.vertices)
    up = refined(coarse.vertices, 1, 3)
    assert up.shape == fine.vertices.shape
    # Halved edges lie inside the sphere, in the direction of the vertex that stands for them.
    cosine = (torch.nn.functional.normalize(up, dim=-1) * fine.vertices).sum(-1)
    assert float(cosine.min()) > 0.999
    with pytest.raises(ValueError, match="0 to 6"):
        icosphere(7)


@pytest.mark.parametrize("start", ["primitives", "random"])
def test_prototypes_differ_at_the_start(start: str) -> None:
    distance = distances(some(8, start).shapes())
    apart = distance[~torch.eye(8, dtype=torch.bool)]
    assert float(apart.min()) > 2 * ALIKE


def test_equal_prototypes_would_give_their_weights_no_gradient() -> None:
    # Why they must differ: the reason is in the equations, and the distinct ones do have a gradient.
    goal = torch.randn(162, 3, generator=torch.Generator().manual_seed(1))
    for same, expected in ((True, False), (False, True)):
        prototypes = some(4)
        if same:
            prototypes.log_radius.data[:] = prototypes.log_radius.data[0]
        logits = torch.zeros(4, requires_grad=True)
        (prototypes.blend(logits.softmax(-1)) - goal).square().sum().backward()
        assert logits.grad is not None
        assert (float(logits.grad.abs().max()) > 1e-2) == expected


def test_a_blend_is_centred_and_of_unit_size_whatever_it_is_made_of() -> None:
    prototypes = some()
    prototypes.log_radius.data += 0.7  # of another size: a slot's business alone
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand(10, 6, generator=generator).softmax(-1)
    aspect = 0.3 * torch.randn(10, 3, generator=generator)
    blend = prototypes.blend(weights, aspect).detach()
    # Points drawn evenly from the triangles: mean and mean square by brute force.
    corners = blend[3][prototypes.faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1)
    face = torch.multinomial(area, 200_000, replacement=True, generator=generator)
    u, v = torch.rand(2, 200_000, 1, generator=generator)
    flip = u + v > 1
    u, v = torch.where(flip, 1 - u, u), torch.where(flip, 1 - v, v)
    a, b, c = corners[face].unbind(1)
    points = a + u * (b - a) + v * (c - a)
    assert float(points.mean(0).abs().max()) < 0.01
    assert abs(float(points.square().sum(-1).mean()) - 1) < 0.01
    assert torch.allclose(prototypes.blend(weights, aspect), normalized(5 * blend + 3, prototypes.faces), atol=1e-4)


def test_the_sphere_is_never_trained() -> None:
    assert {name for name, _ in some().named_parameters()} == {"log_radius", "shift"}


def test_samples_stand_for_the_whole_area() -> None:
    prototypes = some()
    points, share = sampled(prototypes.shapes().detach(), prototypes.faces)
    assert points.shape == (6, 162 + 320, 3)
    assert torch.allclose(share.sum(-1), torch.ones(6), atol=1e-5)
    # A cube of area-weighted samples: by symmetry each side has a sixth.
    box = points[1]
    top = share[1][(box[:, 1] > 0.9 * float(box[:, 1].max()))].sum()
    assert 0.11 < float(top) < 0.2


def test_scattered_points_lie_on_the_surface_evenly() -> None:
    sphere = icosphere(3)
    points = scattered(sphere.vertices[None], sphere.faces, 20_000, torch.Generator().manual_seed(7))[0]
    assert float(points.norm(dim=-1).min()) > 0.98
    assert float(points.norm(dim=-1).max()) < 1 + 1e-6
    # By Archimedes, the heights of points on a sphere are even.
    assert abs(float((points[:, 1] > 0.5).float().mean()) - 0.25) < 0.015


def test_unused_prototypes_are_drawn_anew_and_are_like_none() -> None:
    prototypes = some()
    prototypes.log_radius.data[3] = prototypes.log_radius.data[1]
    before = prototypes.log_radius.detach().clone()
    usage = torch.tensor([0.3, 0.4, 0.199, 0.1, 0.001, 0.0])
    fresh = prototypes.reseed(usage, torch.Generator().manual_seed(3))
    assert fresh.tolist() == [3, 4, 5]  # the less used of two alike, and two unused ones
    assert torch.equal(prototypes.log_radius[:3], before[:3])
    distance = distances(prototypes.shapes()) + torch.eye(6)
    assert float(distance.min()) > ALIKE


def test_learning_one_shape_leaves_no_two_alike_and_none_flat() -> None:
    # All slots are asked for the same ball: what pulls prototypes together the most.
    prototypes = some(4, "random", 1)
    goal = torch.nn.functional.normalize(torch.randn(150, 3, generator=torch.Generator().manual_seed(4)), dim=-1)
    logits = torch.zeros(3, 4, requires_grad=True)
    optimizer = torch.optim.Adam([logits, *prototypes.parameters()], 0.02)
    generator = torch.Generator().manual_seed(5)
    for step in range(30):
        samples, _ = sampled(prototypes.blend(logits.softmax(-1)), prototypes.faces)
        loss = losses.distances(goal, samples).mean() + 0.1 * losses.smoothness(prototypes)
        loss = loss + 0.05 * losses.prototype_use(logits.softmax(-1), torch.ones(3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            prototypes.reseed(logits.detach().softmax(-1).mean(0), generator)
    shapes = prototypes.shapes().detach()
    assert float((distances(shapes) + torch.eye(4)).min()) > ALIKE
    assert all(float(meshes.volume(Mesh(shape, prototypes.faces))) > 0.8 for shape in shapes)
    assert torch.equal(prototypes.vertices, icosphere(1).vertices)


def test_roughness_costs_and_a_sphere_costs_nearly_nothing() -> None:
    smooth, rough = some(2), some(2)
    smooth.log_radius.data[:] = 0
    rough.log_radius.data[:] = 0.3 * torch.randn(2, 162, generator=torch.Generator().manual_seed(6))
    assert float(losses.smoothness(smooth)) < 0.02
    assert float(losses.smoothness(rough)) > 5 * float(losses.smoothness(smooth))


def test_files_get_a_finer_mesh() -> None:
    prototypes = some()
    vertices, faces = exported(prototypes.shapes().detach(), 2, 3)
    assert vertices.shape == (6, 642, 3)
    assert len(faces) == 1280
    assert meshes.is_watertight(Mesh(vertices[0], faces))


def test_how_many_are_in_use() -> None:
    assert math.isclose(effective_count(torch.tensor([2.0, 2.0, 0.0])), 2, rel_tol=1e-5)
