"""Solids are closed and face outward, and have the volumes that geometry books give them."""

import math

import pytest
import torch
import trimesh

from fieldscape import meshes
from fieldscape.types import Mesh

STAR = torch.tensor([
    [(1.0, 0.4)[k % 2] * math.cos(k * math.pi / 5), (1.0, 0.4)[k % 2] * math.sin(k * math.pi / 5)] for k in range(10)
])  # fmt: skip
BLADE = torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]])  # an L: concave

SOLIDS = {
    "box": meshes.box((1.0, 2.0, 3.0), (4.0, 0.0, 1.0)),
    "rounded box": meshes.rounded_box((1.0, 2.0, 0.5), 0.2, segments=3),
    "ball-like box": meshes.rounded_box((1.0, 1.0, 1.0), 0.499),
    "cylinder": meshes.cylinder(0.5, 2.0, 12),
    "sphere": meshes.sphere(1.5, 16),
    "cone": meshes.lathe([(1.0, 0.0), (0.0, 2.0)], 16),
    "ring": meshes.lathe([(1.0, 0.0), (1.2, 0.0), (1.2, 1.0), (1.0, 1.0)], closed=True),
    "star": meshes.extrude(STAR, 0.3),
    "L": meshes.extrude(BLADE, 0.5),
    "L wound the other way": meshes.extrude(BLADE.flip(0), 0.5),
}


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("longest", [math.inf, 0.3])
def test_solids_are_closed_and_face_outward(name, longest):
    mesh = meshes.refine(SOLIDS[name], longest)
    judge = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert judge.is_watertight
    assert judge.is_winding_consistent
    assert meshes.is_watertight(mesh)
    assert judge.volume > 0
    assert float(meshes.volume(mesh)) == pytest.approx(judge.volume, rel=1e-4)
    assert float(meshes.face_normals(mesh).norm(dim=-1).min()) > 0


def test_volumes_are_those_of_the_closed_forms():
    ngon = 12 / 2 * 0.5**2 * math.sin(2 * math.pi / 12)  # the area of a regular 12-gon
    assert float(meshes.volume(SOLIDS["cylinder"])) == pytest.approx(2 * ngon, rel=1e-5)
    assert float(meshes.volume(SOLIDS["L"])) == pytest.approx(1.5, rel=1e-6)
    assert float(meshes.volume(meshes.sphere(1.0, 128))) == pytest.approx(4 / 3 * math.pi, rel=2e-3)
    a, b, c, r = 1.0, 2.0, 3.0, 0.25  # Steiner's formula for a box of a x b x c with a ball of r rolled over it
    steiner = a * b * c + 2 * r * (a * b + b * c + c * a) + math.pi * r**2 * (a + b + c) + 4 / 3 * math.pi * r**3
    rounded = meshes.rounded_box((a + 2 * r, b + 2 * r, c + 2 * r), r, segments=12)
    assert float(meshes.volume(rounded)) == pytest.approx(steiner, rel=1e-3)


def test_a_hole_and_a_turned_face_are_noticed():
    cube = SOLIDS["box"]
    assert not meshes.is_watertight(Mesh(cube.vertices, cube.faces[1:]))
    turned = torch.cat([cube.faces[:1].flip(-1), cube.faces[1:]])
    assert not meshes.is_watertight(Mesh(cube.vertices, turned))


def test_refining_keeps_the_surface_and_its_paint():
    mesh = meshes.painted(SOLIDS["rounded box"], (0.2, 0.4, 0.6))
    fine = meshes.refine(mesh, 0.11)
    edges = fine.vertices[fine.faces] - fine.vertices[fine.faces.roll(-1, 1)]
    assert float(edges.norm(dim=-1).max()) <= 0.11
    area, fine_area = (meshes.face_normals(m).norm(dim=-1).sum() for m in (mesh, fine))
    torch.testing.assert_close(fine_area, area, rtol=1e-4, atol=0)
    torch.testing.assert_close(fine.colors, torch.tensor([0.2, 0.4, 0.6]).expand_as(fine.vertices))


def test_a_mirrored_solid_still_faces_outward():
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 2.0, 1.0]))
    assert float(meshes.volume(meshes.transform(SOLIDS["cone"], mirror))) == pytest.approx(
        2 * float(meshes.volume(SOLIDS["cone"])), rel=1e-5
    )


def test_creases_stay_sharp_and_rounds_smooth():
    split, normals = meshes.split_creases(meshes.refine(SOLIDS["box"], 0.7))
    assert len(meshes.split_creases(SOLIDS["box"])[0].vertices) == 24
    assert bool(((normals.abs() > 0.999).sum(-1) == 1).all())  # each along one axis
    assert float(meshes.volume(split)) == pytest.approx(6.0)
    split, normals = meshes.split_creases(SOLIDS["sphere"])
    assert len(split.vertices) == len(SOLIDS["sphere"].vertices)
    assert float((normals * split.vertices / 1.5).sum(-1).min()) > 0.99
    split, normals = meshes.split_creases(meshes.cylinder(1.0, 1.0, 32))
    flat = normals[:, 2].abs() > 0.5
    assert float(normals[flat, 2].abs().min()) > 0.999  # caps are flat
    assert float(normals[~flat, 2].abs().max()) < 1e-6  # the side is upright


def test_a_quad_faces_along_u_cross_v():
    normals = meshes.face_normals(meshes.quad((0.0, 0.0, 1.0), (2.0, 0.0, 0.0), (0.0, 3.0, 0.0)))
    torch.testing.assert_close(normals.sum(0), torch.tensor([0.0, 0.0, 6.0]))


def test_merging_keeps_every_piece():
    both = meshes.merge([SOLIDS["box"], SOLIDS["sphere"]])
    assert meshes.is_watertight(both)
    expected = meshes.volume(SOLIDS["box"]) + meshes.volume(SOLIDS["sphere"])
    torch.testing.assert_close(meshes.volume(both), expected)
    red = meshes.painted(SOLIDS["box"], (1.0, 0.0, 0.0))
    assert meshes.merge([red, SOLIDS["box"]]).colors is None
    assert meshes.merge([red, red]).colors.shape == (16, 3)


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        meshes.rounded_box((1.0, 1.0, 0.1), 0.2)
    with pytest.raises(ValueError, match="not simple"):
        meshes.extrude(torch.tensor([[0.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), 1.0)
