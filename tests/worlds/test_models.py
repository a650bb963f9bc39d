"""Meshes of people's own: every format, colours and textures, axes; damaged files, files that reach out of bounds."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from fieldscape.errors import BadInput
from fieldscape.files import read_json
from fieldscape.worlds.cars import models
from fieldscape.worlds.cars.make import MakeCarsOptions, make_cars
from fieldscape.worlds.cars.model_parts import DIAGONAL, model_parts, picture
from fieldscape.worlds.cars.models import Model, find, names, read, to_linear
from fieldscape.worlds.cars.srn import camera, poses, studio
from fieldscape.worlds.shading import render
from fieldscape.worlds.textures import Surface

TALL = trimesh.creation.box((1.0, 2.0, 3.0))
"""Of a different size along each axis, so that a turn is seen."""


def size(model: Model) -> list[float]:
    points = torch.cat([piece.vertices for piece in model.pieces])
    return (points.amax(0) - points.amin(0)).tolist()


def write_obj(folder: Path, image: str = "skin.png", library: str = "skin.mtl") -> Path:
    """A square in the xy plane with a texture whose upper half is red and whose lower half is blue."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "square.obj").write_text(
        f"mtllib {library}\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
        "usemtl skin\nf 1/1 2/2 3/3 4/4\n"
    )
    (folder / "skin.mtl").write_text(f"newmtl skin\nKd 1 1 1\nmap_Kd {image}\n")
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :, 0] = pixels[4:, :, 2] = 255
    Image.fromarray(pixels).save(folder / "skin.png")
    return folder / "square.obj"


def test_an_obj_with_its_texture(tmp_path) -> None:
    model = read(write_obj(tmp_path))
    (piece,) = model.pieces
    assert piece.image is not None
    assert piece.uv is not None
    assert model.missing == ()
    assert size(model) == [1.0, 0.0, 1.0]  # y up became z up
    parts, told = model_parts(model, random.Random(0))
    assert told == "its own colours"
    # Looked at along +y, from -y: the upper half is red, the lower half blue.
    (part,) = parts
    high = part.mesh.vertices[:, 2] > 0
    points = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    assert part.mesh.colors is not None
    paint = torch.stack([part.mesh.colors[high].mean(0), part.mesh.colors[~high].mean(0)]) * 0.8 + 0.1
    shown = part.texture(Surface(points, points, paint, torch.full((2,), 1e-3)))
    assert torch.allclose(shown, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), atol=1e-3)


def test_a_texture_repeats_and_fades_to_its_mean_from_afar() -> None:
    image = torch.zeros(4, 4, 3, dtype=torch.uint8)
    image[:, :2] = 255
    texture = picture(image, 4.0, (1.0, 0.5, 1.0))

    def at(u: float, v: float, footprint: float) -> list[float]:
        point = torch.zeros(1, 3)
        return texture(Surface(point, point, torch.tensor([[u, v, 0.0]]), torch.tensor([footprint])))[0].tolist()

    assert at(0.25, 0.5, 1e-3) == at(3.25, -7.5, 1e-3) == [1.0, 0.5, 1.0]
    assert at(0.75, 0.5, 1e-3) == [0.0, 0.0, 0.0]
    assert at(0.1, 0.1, 10.0) == [0.5, 0.25, 0.5]


def test_a_glb_with_its_colour_is_turned_upright(tmp_path) -> None:
    mesh = TALL.copy()
    mesh.apply_translation([0.0, 0.0, 5.0])
    mesh.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[0.2, 0.4, 0.6, 1.0])
    )
    scene = trimesh.Scene()
    scene.add_geometry(mesh, transform=trimesh.transformations.translation_matrix([0, 7, 0]))
    scene.export(str(tmp_path / "a.glb"))
    model = read(tmp_path / "a.glb")
    assert size(model) == pytest.approx([1.0, 3.0, 2.0])
    middle = model.pieces[0].vertices.mean(0).tolist()
    assert middle == pytest.approx([0.0, 5.0, 7.0])  # its front, +z, is +y; its up, +y, is +z; it is not mirrored
    assert model.pieces[0].color == pytest.approx((0.2, 0.4, 0.6), abs=0.003)


def test_vertex_and_face_colours_of_ply(tmp_path) -> None:
    mesh = TALL.copy()
    mesh.visual.vertex_colors = np.tile([255, 188, 0, 255], (8, 1)).astype(np.uint8)
    mesh.export(str(tmp_path / "a.ply"))
    model = read(tmp_path / "a.ply")
    assert size(model) == pytest.approx([1.0, 2.0, 3.0])
    assert model.pieces[0].colors is not None
    assert model.pieces[0].colors[0].tolist() == pytest.approx([1.0, 0.5, 0.0], abs=0.01)
    parts, told = model_parts(model, random.Random(0))
    assert told == "its own colours"
    assert len(parts) == 1


def test_stl_and_its_seeded_paint(tmp_path) -> None:
    TALL.export(str(tmp_path / "a.stl"))
    model = read(tmp_path / "a.stl")
    assert size(model) == pytest.approx([1.0, 2.0, 3.0])
    (one,), told = model_parts(model, random.Random(3))
    (same,), _ = model_parts(model, random.Random(3))
    assert told != "its own colours"
    assert one.mesh.colors is not None
    assert same.mesh.colors is not None
    assert torch.equal(one.mesh.colors, same.mesh.colors)
    assert len(one.mesh.colors.unique(dim=0)) == 1
    extent = one.mesh.vertices.amax(0) - one.mesh.vertices.amin(0)
    assert float(extent.norm()) == pytest.approx(DIAGONAL)


def test_json_counts_from_one_has_y_down_and_faces_z(tmp_path) -> None:
    value = {"car_type": "x", "vertices": np.add(TALL.vertices, [0, 4, 9]).tolist(), "faces": (TALL.faces + 1).tolist()}
    (tmp_path / "a.json").write_text(json.dumps(value))
    model = read(tmp_path / "a.json")
    assert size(model) == pytest.approx([1.0, 3.0, 2.0])
    assert model.pieces[0].vertices.mean(0).tolist() == pytest.approx([0.0, 9.0, -4.0])
    value["faces"] = TALL.faces.tolist()
    (tmp_path / "b.json").write_text(json.dumps(value))
    assert torch.equal(read(tmp_path / "b.json").pieces[0].faces, model.pieces[0].faces)


def test_a_mesh_far_from_its_origin_keeps_its_shape(tmp_path) -> None:
    value = {"vertices": (TALL.vertices + 4e6).tolist(), "faces": TALL.faces.tolist()}
    (tmp_path / "a.json").write_text(json.dumps(value))
    parts, _ = model_parts(read(tmp_path / "a.json"), random.Random(0))
    extent = parts[0].mesh.vertices.amax(0) - parts[0].mesh.vertices.amin(0)
    assert extent.tolist() == pytest.approx([DIAGONAL * side / 14**0.5 for side in (1, 3, 2)], rel=1e-4)


def test_winding_does_not_decide_what_is_bright(tmp_path) -> None:
    mesh = trimesh.creation.icosphere(3)
    views = poses(1, "spiral", random.Random(0))
    shown = []
    for turned in (False, True):
        faces = mesh.faces.copy()
        faces[::2] = faces[::2, ::-1] if turned else faces[::2]
        value = {"vertices": mesh.vertices.tolist(), "faces": (faces + 1).tolist()}
        (tmp_path / "a.json").write_text(json.dumps(value))
        parts, _ = model_parts(read(tmp_path / "a.json"), random.Random(0))
        photo = render(studio(parts), camera(views[0], 32, DIAGONAL), behind=(1.0, 1.0, 1.0))
        shown.append(photo.color[photo.alpha == 1])
    assert float((shown[0] - shown[1]).abs().mean()) < 0.03
    assert float(shown[1].min()) > 0.5 * float(shown[0].min())


def test_seams_of_a_texture_do_not_show_as_creases(tmp_path) -> None:
    ball = trimesh.creation.icosphere(2)
    loose = trimesh.Trimesh(
        ball.vertices[ball.faces].reshape(-1, 3), np.arange(3 * len(ball.faces)).reshape(-1, 3), process=False
    )
    loose.export(str(tmp_path / "a.stl"))
    parts, _ = model_parts(read(tmp_path / "a.stl"), random.Random(0))
    assert parts[0].normals is not None
    unit = torch.nn.functional.normalize(parts[0].mesh.vertices, dim=-1)
    assert float((unit * parts[0].normals).sum(-1).min()) > 0.99


# ------------------------------------------------------------------------------------------------ untrusted files


@pytest.mark.parametrize(
    "image", ["../secret.png", "/etc/hostname", "..\\secret.png", "http://localhost/a.png", "x\0y"]
)
def test_a_texture_outside_the_folder_is_not_read(tmp_path, image) -> None:
    path = write_obj(tmp_path / "in", image)
    Image.fromarray(np.full((4, 4, 3), 200, np.uint8)).save(tmp_path / "secret.png")
    model = read(path, tmp_path / "in")
    assert model.pieces[0].image is None
    assert len(model.missing) == 1
    # The same file is read where the person's own folder holds it.
    if image == "../secret.png":
        assert read(path, tmp_path).pieces[0].image is not None


def test_a_texture_is_a_plain_picture_or_none(tmp_path) -> None:
    """Pillow would hand an EPS file to Ghostscript."""
    path = write_obj(tmp_path, "skin.eps")
    (tmp_path / "skin.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    assert read(path).pieces[0].image is None
    (tmp_path / "skin.eps").write_bytes((tmp_path / "skin.png").read_bytes()[:60])
    assert read(path).pieces[0].image is None


def test_a_link_that_leads_outside_is_not_followed(tmp_path) -> None:
    path = write_obj(tmp_path / "in")
    (tmp_path / "in" / "skin.png").rename(tmp_path / "skin.png")
    (tmp_path / "in" / "skin.png").symlink_to(tmp_path / "skin.png")
    assert read(path, tmp_path / "in").pieces[0].image is None
    (tmp_path / "in" / "linked.obj").symlink_to(tmp_path / "outside.obj")
    (tmp_path / "outside.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert [p.name for p in find(tmp_path / "in")] == ["square.obj"]


def test_a_material_file_outside_the_folder_is_not_read(tmp_path) -> None:
    (tmp_path / "skin.mtl").write_text("newmtl skin\nKd 1 0 0\n")
    model = read(write_obj(tmp_path / "in", library="../skin.mtl"), tmp_path / "in")
    assert model.missing == ("../skin.mtl",)
    assert model.pieces[0].color is None


def gltf(uri: str, count: int = 3) -> str:
    views = [{"buffer": 0, "byteOffset": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 12}]
    return json.dumps({
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"uri": uri, "byteLength": 48}], "bufferViews": views,
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
                      {"bufferView": 1, "componentType": 5125, "count": count, "type": "SCALAR"}],
    })  # fmt: skip


def test_a_gltf_reads_its_buffer_beside_it_and_nowhere_else(tmp_path) -> None:
    data = struct.pack("<9f3I", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2)
    (tmp_path / "in").mkdir()
    for place in (tmp_path, tmp_path / "in"):
        (place / "data.bin").write_bytes(data)
    for name, uri in (("good", "data.bin"), ("bad", "../data.bin")):
        (tmp_path / "in" / f"{name}.gltf").write_text(gltf(uri))
    assert len(read(tmp_path / "in" / "good.gltf").pieces[0].faces) == 1
    with pytest.raises(BadInput, match="outside the folder"):
        read(tmp_path / "in" / "bad.gltf", tmp_path / "in")
    (tmp_path / "in" / "huge.gltf").write_text(gltf("data.bin", 2**40))
    with pytest.raises(BadInput, match="faces"):
        read(tmp_path / "in" / "huge.gltf")


def test_a_gltf_whose_nodes_go_in_circles_ends(tmp_path) -> None:
    data = struct.pack("<9f3I", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2)
    (tmp_path / "data.bin").write_bytes(data)
    value = json.loads(gltf("data.bin"))
    value["nodes"] = [{"mesh": 0, "children": [1]}, {"children": [0]}]
    (tmp_path / "a.gltf").write_text(json.dumps(value))
    assert len(read(tmp_path / "a.gltf").pieces) == 1


BROKEN = {
    "empty.obj": b"", "words.obj": b"hello\n", "far.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
    "flat.obj": b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "nan.obj": b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "points.ply": b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
                  b"end_header\n0 0 0\n",
    "cut.ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 900000000\nproperty float x\nend_header\nabc",
    "a.glb": b"garbage", "cut.glb": b"glTF" + b"\0" * 30, "a.gltf": b"{", "list.gltf": b"[]", "a.stl": b"\0" * 200,
    "a.json": b'{"vertices": []}', "rows.json": b'{"vertices": [[1, 2]], "faces": [[1, 2, 3]]}',
    "text.json": b'{"vertices": "abc", "faces": [[1]]}', "deep.json": b"[" * 100_000,
    "zero.json": b'{"vertices": [[0,0,0],[1,0,0],[0,1,0]], "faces": [[-5,1,2]]}',
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_says_so_in_a_few_words(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(BadInput) as told:
        read(tmp_path / name)
    assert 5 < len(str(told.value)) < 120


def test_sizes_are_bounded(tmp_path, monkeypatch) -> None:
    TALL.export(str(tmp_path / "a.stl"))
    monkeypatch.setattr(models, "MAX_FACES", 11)
    with pytest.raises(BadInput, match="more than 11 faces"):
        read(tmp_path / "a.stl")
    monkeypatch.setattr(models, "MAX_BYTES", 600)
    with pytest.raises(BadInput, match="larger than 0 MiB"):
        read(tmp_path / "a.stl")


# ------------------------------------------------------------------------------------------------ the command


def test_files_are_found_in_order_and_named_apart(tmp_path) -> None:
    for name in ("b/car.obj", "a/car.obj", "a/notes.txt", "z.GLB", "b/ä b.ply"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = find(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/car.obj", "b/car.obj", "b/ä b.ply", "z.GLB"]
    assert names(found) == ["car", "car-2", "ä_b", "z"]
    assert names([Path("..obj"), Path("a/objects.obj"), Path("CAR.obj"), Path("car.obj")])[2:] == ["CAR", "car-2"]


def test_meshes_are_photographed_and_broken_ones_counted(tmp_path, capsys) -> None:
    write_obj(tmp_path / "in")
    TALL.export(str(tmp_path / "in" / "tall.stl"))
    (tmp_path / "in" / "bad.glb").write_bytes(b"garbage")
    make_cars(MakeCarsOptions(tmp_path / "out", views=2, size=16, meshes=tmp_path / "in", workers=1, quiet=True))
    said = capsys.readouterr().out.strip()
    assert said == (
        f"2 objects with 2 views each in {tmp_path / 'out'}; 1 of 3 files could not be read: bad.glb (not a GLB file)"
    )
    assert (tmp_path / "out" / "square" / "rgb" / "000001.png").is_file()
    told = read_json(tmp_path / "out" / "objects.json")
    assert list(told["objects"]) == ["square", "tall"]
    assert list(told["skipped"]) == ["bad.glb"]
    assert not (tmp_path / "out" / ".about").exists()


def test_a_folder_of_nothing_but_broken_files_is_refused(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    options = MakeCarsOptions(tmp_path / "out", views=1, size=16, meshes=tmp_path / "in", workers=1, quiet=True)
    with pytest.raises(BadInput, match="holds no mesh"):
        make_cars(options)
    (tmp_path / "in" / "bad.glb").write_bytes(b"garbage")
    with pytest.raises(BadInput, match=r"None of the 1 mesh files could be read \(bad.glb: not a GLB file\)"):
        make_cars(options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    with pytest.raises(BadInput, match="There is no folder"):
        make_cars(MakeCarsOptions(tmp_path / "out", meshes=tmp_path / "none"))


def test_linear_light_and_back() -> None:
    assert to_linear(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx([0.0, 0.2140, 1.0], abs=1e-4)
