"""The room's depth is exact, its views agree, its cameras have air around them, and its files say the same."""

import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from fieldscape import data
from fieldscape.cameras import image_rays, planar_depth, project, require_valid_poses
from fieldscape.errors import BadInput
from fieldscape.meshes import face_normals
from fieldscape.worlds.rooms import room as rooms
from fieldscape.worlds.rooms.room import RoomSettings
from fieldscape.worlds.shading import render

SHEETS = {"floor", "ceiling", "walls", "reveal", "outside"}


@pytest.fixture(scope="module")
def scene():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    room = rooms.room(0)
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)
    return room


SETTINGS = RoomSettings(views=10, held_out=2, width=96, height=72, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("worlds") / "deep" / "room"
    assert rooms.write_room(out, SETTINGS, workers=2)
    return out


@pytest.fixture(scope="module")
def views(folder):
    return data.read(folder)


@pytest.fixture(scope="module")
def other():
    return rooms.room(5, rays=2)


def test_same_seed_same_bytes(scene, folder, views):
    """The photos come from other makings of the room, one in each worker, with another number of threads."""
    cameras = rooms.walk(scene, 12, 96, 72)
    torch.testing.assert_close(cameras.pose, views.camera.pose, atol=1e-6, rtol=0)
    for index in (0, 7):
        photo = render(scene.world, cameras[index])
        assert torch.equal((photo.color * 255).round().to(torch.uint8), views.images[index])
        stored = np.array(Image.open(folder / "depth" / f"{index:04d}.png"))
        truth = planar_depth(cameras[index], photo.depth)
        assert torch.equal(torch.from_numpy(stored.astype(np.int32)), (truth / 0.001).round().int())


def test_another_seed_is_another_room(scene, other, views):
    assert other.size != scene.size
    color = render(other.world, rooms.walk(other, 12, 96, 72)[0]).color
    assert float((color - views.color(0)).abs().mean()) > 0.05


def test_views_say_what_they_are(views):
    assert len(views) == 12
    assert views.held_out == (3, 9)
    assert views.split.startswith("the file's own")
    assert views.metric
    assert views.images.dtype == torch.uint8
    require_valid_poses(views.camera.pose, views.names, "the room")
    assert all((i - 1) % 12 not in views.held_out and (i + 1) % 12 not in views.held_out for i in views.held_out)
    assert float(views.color(slice(None)).std()) > 0.15  # neither black nor white nor flat
    assert 0.3 < float(views.color(slice(None)).mean()) < 0.75


@pytest.mark.parametrize("which", ["scene", "other"])
def test_walls_floor_and_ceiling_are_where_the_closed_form_says(which, request):
    room = request.getfixturevalue(which)
    cameras = rooms.walk(room, 8, 96, 72)
    half = torch.tensor(room.size) / 2
    low, high = torch.cat([-half[:2], torch.zeros(1)]), torch.cat([half[:2], torch.tensor([room.size[2]])])
    names = [part.name for part in room.world.parts]
    plain = torch.tensor([name in ("walls", "floor", "ceiling") for name in names])
    for index in range(8):
        photo = render(room.world, cameras[index], supersample=1)
        depth, part = photo.depth, photo.part
        assert bool((depth > 0).all())  # no way out of the room
        rays = image_rays(cameras[index])
        ahead = torch.where(rays.directions > 0, high, low)
        leave = ((ahead - rays.origins) / rays.directions).min(-1)[0]
        shell = plain[part]
        assert int(shell.sum()) > 500
        assert float((depth - leave)[shell].abs().max()) < 2e-5
        inside = ~torch.tensor([name in ("reveal", "outside", "window") for name in names])[part]
        assert bool((depth <= leave + 1e-3)[inside].all())


def test_views_agree_on_the_surface(scene):
    """Points of one view, seen from another: inverse z is linear on a plane's image, so it is looked up bilinearly."""
    cameras = rooms.walk(scene, 60, 160, 120)
    depths = {i: render(scene.world, cameras[i], supersample=1).depth for i in (0, 1, 30, 31, 3)}
    for first, second in ((0, 1), (30, 31), (0, 3)):
        rays = image_rays(cameras[first])
        points = rays.origins + depths[first][..., None] * rays.directions
        pixels, z = project(cameras[second], points.reshape(-1, 3))
        seen = (z > 0.1) & (pixels > 1).all(-1) & (pixels < torch.tensor([159.0, 119.0])).all(-1)
        inverse = 1 / planar_depth(cameras[second], depths[second])
        grid = (pixels[seen] / torch.tensor([160.0, 120.0]) * 2 - 1)[None, None]
        there = 1 / torch.nn.functional.grid_sample(inverse[None, None], grid, align_corners=False).flatten()
        error = (there - z[seen]).abs()
        together = error < 0.1  # else something stands between
        assert float(together.float().mean()) > 0.3
        reach = float(z[seen].max() - z[seen].min())
        assert float(error[together].median()) < 1e-4 * reach


@pytest.mark.parametrize("which", ["scene", "other"])
def test_cameras_are_inside_and_clear_of_everything(which, request):
    room = request.getfixturevalue(which)
    eyes = rooms.walk(room, 24, 32, 24).position
    assert bool((eyes[:, :2].abs() < torch.tensor(room.size[:2]) / 2 - 0.5).all())
    assert bool(((eyes[:, 2] > 1.2) & (eyes[:, 2] < 1.7)).all())
    for part in room.world.parts:  # by triangles here, by vertices there
        mesh = trimesh.Trimesh(part.mesh.vertices.numpy(), part.mesh.faces.numpy(), process=False)
        reach = np.linalg.norm(np.clip(eyes.numpy(), *mesh.bounds) - eyes.numpy(), axis=-1)
        close = eyes.numpy()[reach < rooms.CLEARANCE]
        if len(close):
            assert trimesh.proximity.closest_point_naive(mesh, close)[1].min() > rooms.CLEARANCE, part.name


def test_clearance_is_never_more_than_the_distance(scene):
    eyes = rooms.walk(scene, 6, 32, 24).position
    directions = torch.nn.functional.normalize(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    bound = rooms.clearance(scene, eyes)
    for eye, least in zip(eyes, bound.tolist()):
        nearest = float(scene.world.caster.first(eye.expand(4000, 3).contiguous(), directions).distance.min())
        assert least <= nearest + 1e-4
        assert nearest < least + 0.2  # and not much less either


@pytest.mark.parametrize("which", ["scene", "other"])
def test_surfaces_face_the_cameras(which, request):
    room = request.getfixturevalue(which)
    normals = torch.nn.functional.normalize(face_normals(room.world.mesh), dim=-1)
    for index in range(0, 12, 3):
        rays = image_rays(rooms.walk(room, 12, 96, 72)[index]).reshape(-1)
        face = room.world.caster.first(rays.origins, rays.directions).face
        cosine = (normals[face] * rays.directions).sum(-1)
        assert float((cosine < 1e-4).float().mean()) == 1.0


def test_furniture_is_watertight_and_outward(scene, other):
    for part in [*scene.world.parts, *other.world.parts]:
        mesh = trimesh.Trimesh(part.mesh.vertices.numpy(), part.mesh.faces.numpy(), process=False)
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        if part.name not in SHEETS:
            assert mesh.is_watertight, part.name
            assert all(piece.volume > 0 for piece in mesh.split()[:40]), part.name


def test_a_living_room_has_its_furniture(scene):
    names = {part.name for part in scene.world.parts}
    assert names >= {"floor", "walls", "ceiling", "skirting", "window", "outside", "door", "sofa"}
    assert len(names) > 15


def test_light_does_not_depend_on_who_looks(scene):
    """The same wall point from two cameras has the same colour, up to what pixels blur."""
    cameras = rooms.walk(scene, 60, 160, 120)
    first, second = render(scene.world, cameras[0], 1), render(scene.world, cameras[1], 1)
    rays = image_rays(cameras[0])
    points = (rays.origins + first.depth[..., None] * rays.directions).reshape(-1, 3)
    pixels, z = project(cameras[1], points)
    column, row = pixels.floor().long().unbind(-1)
    inside = (z > 0) & (column >= 0) & (column < 160) & (row >= 0) & (row < 120)
    color, part = first.color.reshape(-1, 3)[inside], first.part.flatten()[inside]
    there, part_there = second.color[row[inside], column[inside]], second.part[row[inside], column[inside]]
    same = part == part_there
    assert float((color - there)[same].abs().median()) < 0.01


def test_the_folder_says_what_the_room_is(scene, folder):
    text = json.loads((folder / "transforms.json").read_text())
    cameras = rooms.walk(scene, 12, 96, 72)
    assert text["metric"] is True
    assert (text["w"], text["h"]) == (96, 72)
    assert text["fl_x"] == pytest.approx(float(cameras.focal[0, 0]))
    assert len(text["frames"]) == 12
    assert text["test_filenames"] == ["images/0003.png", "images/0009.png"]
    assert len(text["train_filenames"]) == 10
    for index in (0, 11):
        frame = text["frames"][index]
        pose = torch.tensor(frame["transform_matrix"]) @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
        torch.testing.assert_close(pose, cameras.pose[index])
        stored = np.array(Image.open(folder / frame["depth_file_path"]))
        planar = torch.from_numpy(stored.astype(np.float32)) * text["depth_unit_scale_factor"]
        truth = planar_depth(cameras[index], render(scene.world, cameras[index], 1).depth)
        torch.testing.assert_close(planar, truth, atol=5.1e-4, rtol=0)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["room"]


def test_a_full_disk_leaves_nothing_of_that_name(tmp_path, monkeypatch):
    def full_disk(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rooms, "write_depth", full_disk)
    with pytest.raises(BadInput, match="No space"):
        rooms.write_room(tmp_path / "room", RoomSettings(2, 0, 16, 12), workers=1)
    assert not (tmp_path / "room").exists()
    monkeypatch.undo()
    assert rooms.write_room(tmp_path / "room", RoomSettings(2, 0, 16, 12), workers=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["room"]


@pytest.mark.parametrize("bad", [{"views": 1}, {"held_out": -1}, {"width": 0}, {"height": 10**6}, {"views": 10**7}])
def test_counts_out_of_range_are_refused(bad, tmp_path):
    with pytest.raises(BadInput, match="choose"):
        rooms.write_room(tmp_path / "room", RoomSettings(**bad))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_style_is_refused(tmp_path):
    with pytest.raises(BadInput, match="nordic"):
        rooms.write_room(tmp_path / "room", RoomSettings(style="gothic"))
    assert list(tmp_path.iterdir()) == []
