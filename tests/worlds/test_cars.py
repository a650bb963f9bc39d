"""Cars: every family has its own sane measures, the sheet metal is whole, and seeds give different cars."""

from __future__ import annotations

import random

import pytest
import torch

from fieldscape.cameras import look_at
from fieldscape.meshes import face_normals
from fieldscape.worlds.cars import srn
from fieldscape.worlds.cars.bodies import body, bottom_line, cabin, curve, exponent, outline, underside
from fieldscape.worlds.cars.car import about, car
from fieldscape.worlds.cars.plans import FAMILIES, PAINTS, draw_look, draw_shape
from fieldscape.worlds.cars.wheels import RIMS, rim, rim_texture, tyre
from fieldscape.worlds.raycast import caster
from fieldscape.worlds.shading import Photo, render
from fieldscape.worlds.textures import Surface


def test_every_family_and_every_paint_is_drawn() -> None:
    shapes = [draw_shape(random.Random(f"x {k}")) for k in range(600)]
    assert {shape.family for shape in shapes} == set(FAMILIES)
    looks = [draw_look(random.Random(f"y {k}"), shapes[k % 600]) for k in range(3000)]
    assert {look.paint for look in looks} == {name for name, _, _ in PAINTS}
    assert {look.scheme for look in looks} == {"plain", "roof", "lower", "stripes", "sides", "taxi", "police"}
    assert {look.rim for look in looks} == set(RIMS)
    assert sum(look.paint in ("white", "black", "grey", "silver", "graphite") for look in looks) > 0.5 * len(looks)


@pytest.mark.parametrize("family", FAMILIES)
def test_bodies_have_sane_measures(family) -> None:
    for k in range(12):
        shape = draw_shape(random.Random(f"z {k}"), family)
        assert shape.family == family
        for value, (low, high) in (
            (shape.length, FAMILIES[family].length),
            (shape.width, FAMILIES[family].width),
            (shape.height, FAMILIES[family].height),
            (shape.wheel, FAMILIES[family].wheel),
        ):
            assert low <= value <= high
        half = shape.length / 2
        # From the nose to the tail things follow each other.
        assert half > shape.cowl > shape.screen > shape.roof > shape.back > -half
        assert half > shape.front_axle + shape.arch
        assert shape.rear_axle - shape.arch > -half
        assert 0.5 * shape.length < shape.front_axle - shape.rear_axle < 0.72 * shape.length
        assert shape.clearance < shape.wheel < shape.nose_height < shape.cowl_height < shape.height
        assert shape.wheel + shape.arch < shape.tail_height + 0.05
        metal = body(shape).vertices
        size = metal.amax(0) - metal.amin(0)
        assert abs(float(size[0]) - shape.length) < 0.02 * shape.length
        assert 0.93 * shape.width < float(size[1]) < shape.width + 0.1
        dome, _ = cabin(shape)
        assert abs(float(dome.vertices[:, 2].max()) - shape.height) < 0.08
        assert torch.equal(metal.amin(0)[1].round(decimals=5), -metal.amax(0)[1].round(decimals=5))


@pytest.mark.parametrize("family", FAMILIES)
def test_sheet_metal_faces_outward(family) -> None:
    shape = draw_shape(random.Random("w"), family)
    middle = torch.tensor([0.0, 0.0, 0.5 * shape.cowl_height])
    for mesh in (body(shape), cabin(shape)[0]):
        center = mesh.vertices[mesh.faces].mean(1) - middle
        area = face_normals(mesh)
        outward = (area * center).sum(-1) > 0
        # Most of the area: hollows such as a load bed face inward.
        assert float((outward * area.norm(dim=-1)).sum() / area.norm(dim=-1).sum()) > 0.75
    floor = face_normals(underside(shape))
    assert float(floor[:, 2].sum()) < -0.8 * shape.length


def test_nothing_shines_through_a_car() -> None:
    for k in range(6):
        made = car(2, k)
        if made.shape.family == "convertible":
            continue
        meshes = [part.mesh for part in made.parts if part.name in ("body", "cabin", "underside")]
        vertices, faces, start = [], [], 0
        for mesh in meshes:
            vertices.append(mesh.vertices)
            faces.append(mesh.faces + start)
            start += len(mesh.vertices)
        whole = caster(type(meshes[0])(torch.cat(vertices), torch.cat(faces)))
        # Straight down onto the length and width that a car covers everywhere, and across at the height of the doors.
        low, high = -0.42, 0.42
        grid = torch.linspace(low, high, 15)
        x, y = torch.meshgrid(grid * made.shape.width * 0.9, grid * made.shape.length, indexing="ij")
        above = torch.stack([x.flatten(), y.flatten(), torch.full((225,), 9.0)], -1)
        down = torch.tensor([0.0, 0.0, -1.0]).expand(225, 3)
        assert bool((whole.first(above, down).face >= 0).all())


def test_wheel_arches_are_cut_around_the_wheels() -> None:
    shape = draw_shape(random.Random("v"), "saloon")
    x = torch.tensor([shape.front_axle, shape.front_axle + 0.99 * shape.arch, 0.0])
    top, edge, sill = bottom_line(shape, x).tolist()
    assert top == pytest.approx(shape.wheel + shape.arch)
    assert shape.wheel < edge < top
    assert sill == pytest.approx(shape.clearance)
    # No sheet metal in front of the wheel.
    metal = body(shape).vertices
    inside = (metal[:, 0] - shape.front_axle) ** 2 + (metal[:, 2] - shape.wheel) ** 2 < (0.98 * shape.arch) ** 2
    assert not bool(inside.any())


def test_outlines_are_superellipses() -> None:
    n = exponent(0.3, 2.0)
    c, s = outline(n, 4.0, [0.5, 0.0, -0.5])
    power = torch.where(c >= 0, n, 4.0)
    assert torch.allclose(c.abs() ** power + s.abs() ** power, torch.ones(len(c)), atol=1e-5)
    assert bool((c.diff() < 0).all())
    assert float(c[0]) == 1
    assert float(c[-1]) == -1
    corner = (0.5 ** (1 / n)) * 2.0
    assert 2.0 - corner == pytest.approx(0.3)
    line = curve([(1.0, 3.0), (0.0, 1.0)])
    assert line(torch.tensor([-5.0, 0.0, 1.0, 5.0])).tolist() == [1.0, 1.0, 3.0, 3.0]


def test_wheels_and_rims_have_their_size() -> None:
    rubber = tyre(0.3, 0.2).vertices
    assert float(rubber[:, :2].norm(dim=-1).max()) == pytest.approx(0.3)
    assert float(rubber[:, 2].min()) == pytest.approx(-0.2)
    face = rim(0.3, 0.2)
    for design in RIMS:
        texture = rim_texture(design, (0.6, 0.6, 0.6))
        turn = torch.linspace(0, 6.28, 400)
        around = torch.stack([0.16 * turn.cos(), 0.16 * turn.sin(), torch.full_like(turn, 1.21)], -1)
        color = texture(Surface(around, around, around, torch.full((400,), 0.001)))
        bright = float((color[:, 0] > 0.3).float().mean())
        assert 0.2 < bright < 0.98, design
    assert face.colors is not None
    assert float(face.colors[:, 2].min()) > 1


def seen(made, size: int = 48) -> Photo:
    eye = torch.tensor([1.1, 0.5, 0.48])
    pose = look_at(1.3 * eye / eye.norm(), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    return render(srn.studio(made.parts), srn.camera(pose, size, made.diagonal), behind=srn.WHITE)


def test_seeds_give_different_cars() -> None:
    pictures = torch.stack([seen(car(0, k), 24).color.flatten() for k in range(6)])
    distance = torch.cdist(pictures, pictures) + 9 * torch.eye(6)
    assert float(distance.min()) > 0.5
    told = [str(about(car(0, k))) for k in range(40)]
    assert len(set(told)) == 40


def test_paints_keep_their_tone() -> None:
    tone = {}
    for k in range(400):
        rng = random.Random(f"car 0 {k}")
        look = draw_look(rng, draw_shape(rng))
        if look.scheme == "plain" and look.paint in ("white", "black") and look.paint not in tone:
            photo = seen(car(0, k))
            body_only = (photo.part == 0) & (photo.alpha == 1)
            tone[look.paint] = photo.color[body_only].mean(-1).quantile(torch.tensor([0.1, 0.5, 0.9]))
    # On the screen, 0..1: black stays dark, white is lighter than all greys and still not the background.
    assert float(tone["black"][1]) < 0.25
    assert 0.75 < float(tone["white"][1]) < 0.97


def test_a_car_is_centred_and_faces_along_y() -> None:
    made = car(1, 2)
    points = torch.cat([part.mesh.vertices[part.mesh.faces.unique()] for part in made.parts])
    low, high = points.amin(0), points.amax(0)
    assert torch.allclose(low, -high, atol=1e-3)
    assert float((high - low).norm()) == pytest.approx(made.diagonal, rel=1e-5)
    assert float(high[1] - low[1]) > float(high[0] - low[0]) > float(high[2] - low[2]) * 0.8
    # Textures move with the car: its own frame has the front at +x and the ground at 0.
    frame = made.parts[0].frame
    front = torch.tensor([0.0, float(high[1]), 0.0])
    assert float((frame[:3, :3] @ front + frame[:3, 3])[0]) > 0.4 * made.shape.length
