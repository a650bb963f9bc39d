"""Pieces of furniture are closed, as large as they say, and keep their normals when they are moved."""

import random

import pytest
import torch

from fieldscape.meshes import box, face_normals, merge, volume
from fieldscape.types import Mesh
from fieldscape.worlds.parts import gathered, moved, part, place
from fieldscape.worlds.raycast import caster
from fieldscape.worlds.rooms import decor, lamps, seating, shapes, tables
from fieldscape.worlds.rooms.palettes import palette
from fieldscape.worlds.rooms.plans import STYLES
from fieldscape.worlds.textures import bare, plain, wood

GREY = (0.5, 0.5, 0.5)


def welded(mesh):
    """Faces by places instead of vertices: those doubled at creases become one again."""
    rounded = (mesh.vertices.double() * 1e5).round()
    _, index = torch.unique(rounded, dim=0, return_inverse=True)
    return index[mesh.faces]


def closed(mesh):
    """Whether each edge is run through as often one way as the other."""
    faces = welded(mesh)
    start, end = faces.flatten(), faces.roll(-1, 1).flatten()
    many = int(faces.max()) + 1
    proper = start != end
    there, back = (start * many + end)[proper].sort()[0], (end * many + start)[proper].sort()[0]
    return bool((there == back).all())


# ------------------------------------------------------------------------------------------------ pieces


@pytest.mark.parametrize("kind", seating.ARMCHAIRS)
@pytest.mark.parametrize("style", STYLES)
def test_armchairs_fit_their_footprints(kind, style):
    look = seating.upholstery(style, GREY, GREY, GREY, GREY, random.Random(1))
    for p in seating.armchair(kind, look):
        assert closed(p.mesh)
        assert float(p.mesh.vertices[:, :2].abs().max()) < 0.5


@pytest.mark.parametrize("arms", seating.ARMS)
@pytest.mark.parametrize("back", seating.BACKS)
def test_sofas_of_every_make(arms, back):
    for feet in seating.FEET:
        look = seating.Upholstery(arms, back, feet, GREY, GREY, GREY)
        for chaise, open_side in ((0, 0), (1, 0), (0, -1)):
            (sofa,) = seating.sofa(2.2, 3, look, chaise, open_side)
            assert closed(sofa.mesh)
            low, high = sofa.mesh.vertices.amin(0), sofa.mesh.vertices.amax(0)
            assert float(high[0] - low[0]) == pytest.approx(2.2, abs=0.12)
            assert abs(float(low[2])) < 0.03
            assert float(high[1]) == pytest.approx(0.46 + 0.65 * chaise, abs=0.06)


@pytest.mark.parametrize("kind", tables.COFFEE_TABLES)
def test_coffee_tables_are_as_high_as_they_say(kind):
    piece, top = tables.coffee_table(kind, 1.1, 0.6, GREY, GREY)
    assert max(float(p.mesh.vertices[:, 2].max()) for p in piece) == pytest.approx(top, abs=0.015)
    assert all(closed(p.mesh) for p in piece)


@pytest.mark.parametrize("kind", tables.BENCHES)
def test_benches_are_as_high_as_they_say(kind):
    piece, top = tables.bench(kind, 1.6, GREY, GREY, GREY)
    assert max(float(p.mesh.vertices[:, 2].max()) for p in piece) == pytest.approx(top, abs=1e-5)


@pytest.mark.parametrize("kind", tables.SHELVES)
def test_books_stand_within_their_shelves(kind):
    piece = {p.name: p for p in tables.shelf(kind, 1.0, 1.9, GREY, GREY, (GREY,), random.Random(2))}
    low, high = piece["shelf"].mesh.vertices.amin(0), piece["shelf"].mesh.vertices.amax(0)
    books = piece["books"].mesh.vertices
    assert bool((books[:, :2] >= low[:2]).all() and (books[:, :2] <= high[:2]).all())
    assert float(books[:, 2].max()) < float(high[2]) + 0.01


@pytest.mark.parametrize("kind", lamps.FLOOR_LAMPS)
def test_floor_lamps_have_their_bulb_free(kind):
    """Light must find a way out: from the bulb some rays leave the lamp."""
    lamp = lamps.floor_lamp(kind, GREY, GREY, 1.0)
    around = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(2)), dim=-1)
    mesh = merge([p.mesh for p in lamp.piece])
    bulb = torch.tensor(lamp.bulbs[0]).expand(200, 3).contiguous()
    blocked = caster(mesh).blocked(bulb, around, torch.full((200,), 5.0))
    assert 0.1 < float(blocked.float().mean()) < 0.9


@pytest.mark.parametrize("kind", lamps.CEILING_LAMPS)
def test_ceiling_lamps_hang_as_low_as_asked(kind):
    lamp = lamps.ceiling_lamp(kind, 0.6, GREY, GREY, 1.0)
    low = min(float(p.mesh.vertices[:, 2].min()) for p in lamp.piece)
    assert low >= -0.6 - 1e-6
    assert all(closed(p.mesh) for p in lamp.piece)


@pytest.mark.parametrize("kind", decor.PLANTS)
def test_plants_stay_within_their_spread(kind):
    piece = decor.plant(kind, 1.2, GREY, GREY, 0.3, random.Random(3))
    leaves = next(p for p in piece if p.name == "leaves")
    assert float(leaves.mesh.vertices[:, :2].norm(dim=-1).max()) < 0.31
    assert closed(leaves.mesh)
    assert all(p.normals is not None and bool((p.normals.norm(dim=-1) > 0.99).all()) for p in piece)


def test_palettes_follow_their_seed_and_stay_colours():
    for style in STYLES:
        one, other = palette(style, random.Random(1)), palette(style, random.Random(1))
        assert one == other
        assert one != palette(style, random.Random(2))
        for color in (one.wall, one.sofa, one.chair, *one.accents, *one.rug, *one.floor, one.carpet):
            assert all(0 < value < 0.95 for value in color)


# ------------------------------------------------------------------------------------------------ shapes, parts


def test_boxes_are_boxes():
    many = shapes.boxes([((1.0, 2.0, 3.0), (0.5, 0.0, 0.0)), ((0.1, 0.1, 0.1), (9.0, 0.0, 0.0))], [0, 1])
    assert float(volume(Mesh(many.vertices, many.faces))) == pytest.approx(6.001, rel=1e-4)
    assert many.slot.tolist() == [0] * 24 + [1] * 24
    facing = torch.nn.functional.normalize(face_normals(Mesh(many.vertices, many.faces)), dim=-1)
    torch.testing.assert_close(facing, many.normals[many.faces[:, 0]])


def test_cushions_lie_between_a_box_and_their_inner_box():
    one = shapes.cushions([((0.6, 0.8, 0.2), (0.0, 0.0, 0.0))], 0.05)
    size = float(volume(Mesh(one.vertices, one.faces)))
    assert 0.5 * 0.7 * 0.1 < size < 0.6 * 0.8 * 0.2
    assert closed(Mesh(one.vertices, one.faces))
    assert one.vertices.amax(0).tolist() == pytest.approx([0.3, 0.4, 0.1])


def test_put_moves_as_matrices_do():
    shape = shapes.boxes([((0.3, 0.5, 0.7), (0.1, 0.2, 0.3))])
    there = shapes.put(shape, 1.0, 2.0, 3.0, 0.6, -0.3)
    matrix = moved(1.0, 2.0, 3.0, 0.6, -0.3)
    torch.testing.assert_close(there.vertices, shape.vertices @ matrix[:3, :3].T + matrix[:3, 3])
    torch.testing.assert_close(there.normals, shape.normals @ matrix[:3, :3].T)


@pytest.mark.parametrize("mirrored", [False, True])
def test_place_carries_normals_textures_and_coats(mirrored):
    piece = [part("thing", box((0.4, 0.6, 0.8)), wood(GREY, GREY), glow=0.2, mirror=0.3)]
    matrix = moved(0.4, -1.0, 2.0, 0.7, 0.2)
    if mirrored:
        matrix = matrix @ torch.diag(torch.tensor([1.0, -1.0, 1.0, 1.0]))
    (there,) = place(piece, matrix)
    assert (there.glow, there.mirror, there.name) == (0.2, 0.3, "thing")
    torch.testing.assert_close(there.frame @ matrix, torch.eye(4), atol=1e-5, rtol=0)
    facing = torch.nn.functional.normalize(face_normals(there.mesh), dim=-1)
    assert there.normals is not None
    torch.testing.assert_close(facing, there.normals[there.mesh.faces[:, 0]], atol=1e-5, rtol=0)
    assert float(volume(Mesh(there.mesh.vertices - matrix[:3, 3], there.mesh.faces))) == pytest.approx(0.192, rel=1e-4)


def test_place_keeps_normals_upright_under_scaling():
    piece = [part("thing", box((1.0, 1.0, 1.0)), plain(GREY))]
    slant = moved(0.0, 0.0, tilt=0.5) @ torch.diag(torch.tensor([2.0, 1.0, 0.5, 1.0])) @ moved(0.0, 0.0, tilt=0.4)
    (there,) = place(piece, slant)
    facing = torch.nn.functional.normalize(face_normals(there.mesh), dim=-1)
    assert there.normals is not None
    torch.testing.assert_close(facing, there.normals[there.mesh.faces[:, 0]], atol=1e-5, rtol=0)


def test_gathering_keeps_every_surface():
    cube = shapes.boxes([((0.2, 0.2, 0.2), (0.0, 0.0, 0.0))])
    parts = [p for k in range(3) for p in place([shapes.dressed("leg", cube, (GREY,))], moved(float(k), 0.0))]
    parts.append(shapes.dressed("leg", cube, (GREY,), glow=1.0))
    parts.append(shapes.dressed("leg", cube, (GREY,), wood(GREY, GREY)))
    fewer = gathered(parts)
    assert len(fewer) == 3
    assert sum(len(p.mesh.faces) for p in fewer) == sum(len(p.mesh.faces) for p in parts)
    assert fewer[0].texture is bare
    assert float(volume(Mesh(fewer[0].mesh.vertices, fewer[0].mesh.faces))) == pytest.approx(3 * 0.008, rel=1e-4)
