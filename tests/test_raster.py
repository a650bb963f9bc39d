"""The rasteriser: equal to its plain twin, to closed forms and to embree; edges shared once; any number of threads."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from fieldscape import meshes, raster
from fieldscape.cameras import image_rays, look_at, planar_depth
from fieldscape.errors import BadInput
from fieldscape.raster import Raster, composite, interpolate, peel, rasterize, rasterize_plain
from fieldscape.types import Camera, Mesh
from fieldscape.worlds.cars.car import car
from fieldscape.worlds.raycast import caster


def a_camera(width: int = 64, height: int = 48, focal: float = 40.0) -> Camera:
    lens = torch.tensor([focal, 1.05 * focal]), torch.tensor([width / 2 + 0.31, height / 2 - 0.17])
    return Camera(torch.eye(4), *lens, width, height)


def straight(width: int = 8, height: int = 8) -> Camera:
    """At depth 1, a point's x and y are its column and row."""
    return Camera(torch.eye(4), torch.ones(2), torch.zeros(2), width, height)


def a_soup(seed: int, ahead: float, count: int = 70) -> tuple[Tensor, Tensor]:
    """Random triangles around a point ``ahead`` of the camera: many of them cross its plane if that is near."""
    g = torch.Generator().manual_seed(seed)
    middles, corners = torch.randn(count, 1, 3, generator=g), torch.randn(count, 3, 3, generator=g)
    vertices = middles + 0.5 * corners + torch.tensor([0.0, 0.0, ahead])
    return vertices.reshape(-1, 3), torch.arange(3 * count).reshape(count, 3)


def same(one: Raster, other: Raster) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("face", "weights", "depth"))


@pytest.mark.parametrize("culled", [False, True])
@pytest.mark.parametrize("ahead", [0.0, 1.0, 6.0])
def test_the_kernel_is_its_plain_twin(ahead, culled) -> None:
    vertices, faces = a_soup(int(ahead), ahead)
    ours = rasterize(vertices, faces, a_camera(), 0.05, culled)
    plain = rasterize_plain(vertices, faces, a_camera(), 0.05, culled)
    assert ours.face.unique().numel() > 3
    assert same(ours, plain)


def test_every_pixel_that_looks_at_a_face_lies_on_it() -> None:
    """The weighted corners are the point at the given depth on the pixel's ray, also of faces that cross the camera."""
    vertices, faces = a_soup(3, 0.5)
    camera = a_camera()
    seen = rasterize(vertices, faces, camera)
    point = interpolate(seen, faces, vertices)[seen.hit]
    rays = image_rays(camera).directions[seen.hit]
    expected = rays / rays[:, 2:] * seen.depth[seen.hit][:, None]
    assert float(seen.hit.float().mean()) > 0.5
    assert bool((vertices[faces[seen.face[seen.hit]]][..., 2] < 0).any(-1).any())
    assert torch.allclose(point, expected, atol=2e-5)
    assert torch.allclose(seen.weights.sum(-1), seen.hit.float(), atol=1e-6)


def test_a_floor_under_the_camera_reaches_the_horizon() -> None:
    """Two triangles that pass far behind the camera: depth is h f / (row - cy) below the horizon, nothing above."""
    corners = torch.tensor([[-1e4, 1.5, -1e4], [1e4, 1.5, -1e4], [1e4, 1.5, 1e4], [-1e4, 1.5, 1e4]])
    camera = a_camera()
    seen = rasterize(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), camera)
    row = torch.arange(48) + 0.5 - camera.center[1]
    expected = torch.where(row > 0, 1.5 * camera.focal[1] / row, torch.inf)[:, None].expand(48, 64)
    assert torch.equal(seen.hit, expected.isfinite())
    assert torch.allclose(seen.depth, expected, rtol=1e-6)


def test_what_is_nearer_than_the_near_plane_is_cut_away() -> None:
    """A sheet seen almost along itself, from depth 1 at the top row to depth 9 at the bottom."""
    camera = straight(4, 32)
    rows = torch.tensor([0.0, 32.0])
    z = torch.tensor([1.0, 9.0])
    left, right = (torch.stack([x * z, rows * z, z], -1) for x in (-1.0, 5.0))
    vertices, faces = torch.cat([left, right]), torch.tensor([[0, 1, 2], [1, 3, 2]])
    whole, cut = rasterize(vertices, faces, camera), rasterize(vertices, faces, camera, near=2.0)
    assert bool(whole.hit.all())
    assert torch.equal(cut.hit, whole.depth >= 2)
    assert 0 < int(cut.hit.sum()) < cut.hit.numel()


@pytest.mark.parametrize("turned", [False, True])
def test_pixels_on_shared_edges_belong_to_one_face(turned) -> None:
    """A fan whose edges pass through pixel centres, with the same and with opposite orientations."""
    hub, z = 4.5, 1.0
    rim = [(1.5, 1.5), (4.5, 1.5), (7.5, 1.5), (7.5, 4.5), (7.5, 7.5), (4.5, 7.5), (1.5, 7.5), (1.5, 4.5)]
    vertices = torch.tensor([(x, y, z) for x, y in [(hub, hub), *rim]])
    faces = torch.tensor([[0, 1 + k, 1 + (k + 1) % 8] for k in range(8)])
    if turned:
        faces[::2] = faces[::2].flip(-1)
    camera = straight(9, 9)
    count = sum(rasterize(vertices, faces[k : k + 1], camera).hit.int() for k in range(8))
    expected = torch.zeros(9, 9, dtype=torch.int32)
    expected[1:7, 1:7] = 1  # centres on the left and top borders are in, those on the right and bottom are not
    assert torch.equal(count, expected)
    assert torch.equal(rasterize(vertices, faces, camera).hit, expected > 0)


def test_closed_meshes_cover_their_outline_an_even_number_of_times() -> None:
    """Every ray enters a sphere as often as it leaves it; a crack between two faces would break that."""
    mesh = meshes.sphere(1.0, 20)
    g = torch.Generator().manual_seed(0)
    for _ in range(3):
        vertices = mesh.vertices + torch.randn(3, generator=g) * 0.3 + torch.tensor([0.0, 0.0, 3.0])
        front, back, third = peel(vertices, mesh.faces, a_camera(), 3)
        assert torch.equal(front.hit, back.hit)
        assert not bool(third.hit.any())
        culled = rasterize(vertices, mesh.faces, a_camera(), culled=True)
        assert same(culled, front)


def test_of_faces_at_the_same_depth_the_first_is_seen_and_peeled() -> None:
    triangle = torch.tensor([[0.0, 0.0, 1.0], [20.0, 0.0, 1.0], [0.0, 20.0, 1.0]])
    faces = torch.tensor([[0, 1, 2]] * 4)
    layers = peel(triangle, faces, straight(), 5)
    for k in range(4):
        assert bool((layers[k].face == k).all())
    assert not bool(layers[4].hit.any())
    assert bool((rasterize(triangle, faces, straight()).face == 0).all())


def test_layers_are_all_fragments_in_order_of_depth() -> None:
    vertices, faces = a_soup(5, 3.0, 60)
    camera = a_camera(16, 12, 20.0)
    alone = torch.stack([rasterize_plain(vertices, faces[k : k + 1], camera).depth for k in range(len(faces))])
    expected, order = alone.sort(dim=0, stable=True)
    layers = peel(vertices, faces, camera, 4)
    assert bool(layers[3].hit.any())
    for k in range(4):
        assert torch.equal(layers[k].depth, expected[k])
        assert torch.equal(layers[k].face, torch.where(expected[k].isfinite(), order[k], -1))


def test_threads_change_nothing() -> None:
    vertices, faces = a_soup(2, 1.0, 200)
    camera = a_camera(300, 200, 200.0)
    g = torch.Generator().manual_seed(1)
    weight, colors = torch.randn(200, 300, 3, generator=g), torch.rand(600, 3, generator=g)

    def everything() -> list[Tensor]:
        free, paint = vertices.clone().requires_grad_(), colors.clone().requires_grad_()
        seen = rasterize(free, faces, camera)
        picture = interpolate(seen, faces, paint)
        soft = raster.coverage(seen, free, faces, camera)
        loss = (picture * weight).sum() + (torch.where(seen.hit, seen.depth, 0.0) * weight[..., 0]).sum() + soft.sum()
        return [seen.face, seen.weights.detach(), seen.depth.detach(), *torch.autograd.grad(loss, (free, paint))]

    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(everything())
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results))


def test_batches_are_drawn_image_by_image() -> None:
    _, faces = a_soup(0, 2.0, 30)
    vertices = torch.stack([torch.stack([a_soup(3 * i + j, 2.0, 30)[0] for j in range(3)]) for i in range(2)])
    focal = torch.tensor([[30.0, 31.0], [40.0, 41.0]])[:, None].expand(2, 3, 2)
    one = a_camera()
    cameras = Camera(torch.eye(4).expand(2, 3, 4, 4), focal, one.center.expand(2, 3, 2), one.width, one.height)
    together = rasterize(vertices, faces, cameras)
    assert together.face.shape == (2, 3, 48, 64)
    for i in range(2):
        for j in range(3):
            single = dataclasses.replace(one, focal=focal[i, j])
            assert same(together[i, j], rasterize(vertices[i, j], faces, single))
    assert same(rasterize(vertices, faces, one)[1, 2], rasterize(vertices[1, 2], faces, one))


def test_separate_meshes_composite_to_what_the_merged_mesh_shows() -> None:
    parts = [meshes.sphere(0.8, 12), meshes.box((1.0, 1.0, 1.0), (0.5, 0.2, 0.3)), meshes.box((9.0, 9.0, 0.1))]
    moved = [Mesh(part.vertices + torch.tensor([0.0, 0.0, z]), part.faces) for part, z in zip(parts, (3.0, 3.2, 5.0))]
    which, nearest = composite([rasterize(part.vertices, part.faces, a_camera()) for part in moved])
    merged = meshes.merge(moved)
    expected = rasterize(merged.vertices, merged.faces, a_camera())
    owner = torch.cat([torch.full((len(part.faces),), k) for k, part in enumerate(moved)])
    assert which.unique().tolist() == [0, 1, 2]
    assert torch.equal(which, owner[expected.face])
    assert torch.equal(nearest.depth, expected.depth)
    assert torch.equal(nearest.weights, expected.weights)


def test_nothing_is_drawn_of_nothing() -> None:
    none = torch.zeros(0, 3, dtype=torch.long)
    for draw in (rasterize, rasterize_plain):
        for vertices in (torch.zeros(4, 3), torch.zeros(0, 3)):
            seen = draw(vertices, none, a_camera())
            assert not bool(seen.hit.any())
            assert bool(seen.depth.isinf().all())
    point = rasterize(torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.long), a_camera())
    assert not bool(point.hit.any())
    assert not bool(composite([point, point])[1].hit.any())
    assert float(composite([point])[0].max()) == -1


@pytest.mark.parametrize(("seed", "distance"), [(0, 1.6), (3, 0.55)])
def test_cars_are_seen_as_embree_sees_them(seed, distance) -> None:
    """At the second distance the camera stands inside the car's box, and faces pass behind it."""
    made = car(7, seed)
    mesh = meshes.merge([part.mesh for part in made.parts])
    mesh = Mesh(mesh.vertices, mesh.faces)
    reach = float(mesh.vertices.norm(dim=-1).max())
    pose = look_at(torch.tensor([0.6, 0.7, 0.35]) * distance * reach, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    camera = dataclasses.replace(a_camera(160, 120, 120.0), pose=pose)
    local = (mesh.vertices - pose[:3, 3]) @ pose[:3, :3]
    ours = rasterize(local, mesh.faces, camera, near=1e-4)
    rays = image_rays(camera).reshape(-1)
    hits = caster(mesh).first(rays.origins, rays.directions)
    theirs = planar_depth(camera, hits.distance.reshape(120, 160))
    hit = (hits.face >= 0).reshape(120, 160)
    agree = (ours.hit == hit) & (~hit | ((ours.depth - theirs).abs() <= 1e-4 * theirs))
    assert float(hit.float().mean()) > 0.1
    assert float(agree.float().mean()) >= 0.999
    # Where depths agree, faces do too, but where two of them touch there.
    other = agree & hit & (ours.face != hits.face.reshape(120, 160))
    assert float(other.float().mean()) < 0.02


def test_interpolation_is_linear_on_the_surface_not_on_the_picture() -> None:
    """A strip from depth 1 to depth 3: half-way across the picture is a quarter of the way along it."""
    vertices = torch.tensor([[0.0, 0.0, 1.0], [0.0, 9.0, 1.0], [27.0, 0.0, 3.0], [27.0, 27.0, 3.0]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    along = interpolate(rasterize(vertices, faces, straight(9, 8)), faces, torch.tensor([[0.0], [0.0], [1.0], [1.0]]))
    assert math.isclose(float(along[4, 4, 0]), 0.25, abs_tol=1e-6)


def test_what_cannot_be_drawn_is_refused() -> None:
    vertices, faces = a_soup(0, 2.0)
    brown = Camera(torch.eye(4), torch.ones(2), torch.ones(2), 4, 4, "brown", torch.zeros(5))
    with pytest.raises(BadInput, match="pinhole"):
        rasterize(vertices, faces, brown)
    with pytest.raises(ValueError, match="finite"):
        rasterize(vertices / torch.tensor(0.0), faces, a_camera())
    with pytest.raises(ValueError, match="beyond"):
        rasterize(vertices, faces + 1, a_camera())
    with pytest.raises(ValueError, match="beyond"):
        rasterize_plain(vertices, faces - 1, a_camera())
    with pytest.raises(ValueError, match="near plane"):
        rasterize(vertices, faces, a_camera(), near=0.0)
