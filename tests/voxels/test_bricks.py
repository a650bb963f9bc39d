"""Bricks against their specification: ``VoxelField`` draws the same pictures, settles and refines alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from fieldscape import cameras
from fieldscape.cameras import image_rays
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.kernels.grid import kept
from fieldscape.kernels.vectors import LANES
from fieldscape.types import Camera, Lens, Rendered
from fieldscape.volume import join
from fieldscape.voxels.bricks import LEARNED, Bricks, Workers, from_dense
from fieldscape.voxels.field import VoxelField, picture

WORKERS = Workers(1)

BEHIND = torch.tensor([0.9, 0.5, 0.1])


def framing(unbounded: bool) -> Framing:
    """A box that is no cube and not at the origin, or the core of an unbounded scene."""
    center = torch.tensor([0.3, -0.2, 0.5])
    half = torch.full((3,), 1.1) if unbounded else torch.tensor([1.1, 0.7, 0.9])
    near = 0.05 if unbounded else 1.0
    return Framing(center, center - half, center + half, near, 500.0, torch.tensor([0.0, 0.0, 1.0]), unbounded)


def shape_of(unbounded: bool) -> tuple[int, int, int]:
    return (41, 41, 41) if unbounded else (34, 23, 29)


def smooth(channels: int, coarse: int, shape: tuple[int, int, int], seed: int) -> torch.Tensor:
    """Random numbers that change slowly from vertex to vertex, [x y z, channels]."""
    values = torch.randn(1, channels, coarse, coarse, coarse, generator=torch.Generator().manual_seed(seed))
    dense = interpolate(values, shape, mode="trilinear", align_corners=True)
    return dense[0].permute(1, 2, 3, 0).reshape(-1, channels)


def blobs(unbounded: bool) -> VoxelField:
    """Blobs from thin haze to thick matter, of smooth colours that change with the direction."""
    place, shape = framing(unbounded), shape_of(unbounded)
    field = VoxelField(place.low, place.high, shape, unbounded)
    field.density.data.copy_(5 * smooth(1, 6, shape, 0) - 1)
    field.color.data.copy_(3 * smooth(12, 5, shape, 1))
    field.settle()
    return field


def ball(unbounded: bool = False) -> VoxelField:
    """A ball of radius 0.5 about the centre of the framing."""
    place, shape = framing(unbounded), shape_of(unbounded)
    field = VoxelField(place.low, place.high, shape, unbounded)
    axes = [torch.linspace(float(a), float(b), n) for a, b, n in zip(place.low, place.high, shape)]
    if unbounded:
        axes = [torch.linspace(-2, 2, n) * place.radius + float(c) for n, c in zip(shape, place.center)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    field.density.data[:, 0] = 60 * (0.5 - (points - place.center).norm(dim=-1))
    field.settle()
    return field


LENSES: dict[Lens, list[float] | None] = {
    "pinhole": None,
    "brown": [0.05, -0.02, 0.001, -0.002, 0.003],
    "fisheye": [0.02, -0.01, 0.003, 0.0002],
}


def camera(unbounded: bool, away: float, lens: Lens = "pinhole", seed: int = 0) -> Camera:
    """A camera ``away`` half-widths off the centre that looks at it. Its picture is no whole number of tiles."""
    place = framing(unbounded)
    eye = torch.randn(3, generator=torch.Generator().manual_seed(seed))
    eye = place.center + away * eye / eye.norm() * (place.high - place.low) / 2
    given = LENSES[lens]
    bent = None if given is None else torch.tensor(given)
    pose = cameras.look_at(eye, place.center, torch.tensor([0.0, 0.3, 1.0]))
    focal = torch.tensor([60.0, 57.0])
    return Camera(pose, focal, torch.tensor([24.0, 18.5]), 45, 37, lens, bent)


def along_axes(unbounded: bool) -> list[Camera]:
    """Cameras that look straight along each axis, both ways: one or two parts of a direction are 0 in their middle."""
    place, found = framing(unbounded), []
    for axis in range(3):
        for sign in (1.0, -1.0):
            for beside in (0.0, 0.611, 1.3):
                pose = torch.eye(4)
                pose[:3, :3] = torch.eye(3).roll(axis, 0) * torch.tensor([sign, 1.0, sign])
                pose[:3, 3] = place.center - 3 * pose[:3, 2] + beside * pose[:3, 0] - beside * pose[:3, 1]
                found.append(Camera(pose, torch.tensor([30.0, 30.0]), torch.tensor([6.5, 6.5]), 13, 13))
    return found


def agree(found: Rendered, expected: Rendered) -> None:
    """Samples on the edge of what is visible fall on either side of it: each of them weighs 0.001."""
    for name in ("color", "alpha"):
        off = (getattr(found, name) - getattr(expected, name)).abs()
        assert float(off.mean()) < 1e-5, name
        assert float(off.max()) < 2.2e-3, name
    # Half of the light counts here without what is too faint to show, so it may be lost a sample earlier.
    sure = expected.alpha > 0.5
    off = (found.depth - expected.depth).abs()[sure] / expected.depth[sure].clamp_min(1)
    assert float((off > 1e-3).float().mean()) < 0.05
    assert float(off.median()) < 1e-5


@pytest.mark.parametrize("away", [0.3, 3.0])
@pytest.mark.parametrize("step", [0.5, 1.0])
@pytest.mark.parametrize("unbounded", [False, True])
def test_bricks_draw_the_picture_of_the_dense_field(unbounded, step, away) -> None:
    field, place = blobs(unbounded), framing(unbounded)
    bricks = from_dense(field, place, step, WORKERS)
    for lens in LENSES:
        seer = camera(unbounded, away, lens)
        expected = picture(field, image_rays(seer), place, BEHIND, step)
        assert float(expected.alpha.mean()) > 0.1
        assert float(expected.color.std()) > 0.05
        agree(bricks.picture(seer, BEHIND), expected)


@pytest.mark.parametrize("unbounded", [False, True])
def test_rays_along_the_axes_are_no_exception(unbounded) -> None:
    field, place = blobs(unbounded), framing(unbounded)
    bricks = from_dense(field, place, 1.0, WORKERS)
    found, expected, zeros = [], [], 0
    for seer in along_axes(unbounded):
        rays = image_rays(seer)
        zeros += int((rays.directions == 0).sum())
        found.append(bricks.picture(seer, BEHIND))
        expected.append(picture(field, rays, place, BEHIND))
    assert zeros > 18 * 26 - 1
    if not unbounded:
        assert 0.05 < float(torch.cat([seen.alpha == 0 for seen in expected]).float().mean()) < 0.95
    agree(join(found, (18, 13, 13)), join(expected, (18, 13, 13)))


def test_no_background_adds_no_light() -> None:
    bricks, seer = from_dense(blobs(False), framing(False), 1.0, WORKERS), camera(False, 3.0)
    assert torch.equal(bricks.picture(seer, None).color, bricks.picture(seer, torch.zeros(3)).color)


def test_rays_that_miss_see_the_background_alone() -> None:
    bricks, seer = from_dense(blobs(False), framing(False), 1.0, WORKERS), camera(False, 3.0)
    turned = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))  # the box is behind it
    beside = torch.eye(4)
    beside[0, 3] = 20.0
    for pose in (seer.pose @ turned, seer.pose @ beside):
        seen = bricks.picture(replace(seer, pose=pose), BEHIND)
        assert torch.equal(seen.color, BEHIND.expand_as(seen.color))
        assert not seen.alpha.any()
        assert not seen.depth.any()
        assert seen.normal is not None
        assert not seen.normal.any()


@pytest.mark.parametrize("unbounded", [False, True])
def test_a_field_without_an_occupied_cell_is_not_there(unbounded) -> None:
    field = blobs(unbounded)
    field.occupied = torch.zeros_like(field.occupied)
    bricks = from_dense(field, framing(unbounded), 1.0, WORKERS)
    seen = bricks.picture(camera(unbounded, 2.0), BEHIND)
    assert torch.equal(seen.color, BEHIND.expand_as(seen.color))
    assert not seen.alpha.any()
    assert bricks.bytes == 0
    other = Bricks(framing(unbounded), field.shape, np.zeros(field.occupied.shape, bool), 1.0, WORKERS)
    other.load(bricks.tensors())
    assert not other.cells.any()


@pytest.mark.parametrize("unbounded", [False, True])
def test_normals_point_out_of_a_ball(unbounded) -> None:
    place, seer = framing(unbounded), camera(unbounded, 2.5)
    seen = from_dense(ball(unbounded), place, 0.5, WORKERS).picture(seer, BEHIND)
    rays = image_rays(seer)
    outwards = rays.origins + seen.depth * rays.directions - place.center
    on_ball = (outwards.norm(dim=-1) - 0.45).abs() < 0.1
    assert float(on_ball.float().mean()) > 0.05
    outwards = (outwards / outwards.norm(dim=-1, keepdim=True))[on_ball]
    assert seen.normal is not None
    normal = seen.normal[on_ball]
    assert torch.allclose(normal.norm(dim=-1), torch.ones(len(normal)), atol=1e-4)
    angle = torch.rad2deg(torch.arccos((normal * outwards).sum(-1).clamp(-1, 1)))
    assert float(angle.mean()) < 10


def test_two_threads_draw_the_picture_of_one() -> None:
    """Each pixel is drawn once and by itself, however the work is cut."""
    field, place, seer = blobs(False), framing(False), camera(False, 3.0)
    one = from_dense(field, place, 1.0, WORKERS).picture(seer, BEHIND)
    three = from_dense(field, place, 1.0, Workers(3)).picture(seer, BEHIND)
    assert torch.equal(one.color, three.color)
    assert torch.equal(one.depth, three.depth)


def test_workers_share_all_the_work_and_say_what_went_wrong() -> None:
    workers, done = Workers(3), np.zeros(20, int)

    def work(worker: int, first: int, last: int) -> None:
        assert 0 <= worker < 3
        done[first:last] += 1

    workers.share(work, 3, 20)
    workers.share(work, 5, 5)
    assert done.tolist() == [0] * 3 + [1] * 17

    def fail(worker: int, first: int, last: int) -> None:
        raise RuntimeError("a broken worker")

    with pytest.raises(RuntimeError, match="broken"):
        workers.share(fail, 0, 9)


# --- Settling and refining ---


@pytest.mark.parametrize("unbounded", [False, True])
def test_settling_leaves_the_cells_that_the_dense_field_leaves(unbounded) -> None:
    field = blobs(unbounded)
    field.occupied = torch.ones_like(field.occupied)
    bricks = from_dense(field, framing(unbounded), 1.0, WORKERS)
    field.settle()
    bricks.settle()
    assert 0.05 < bricks.cells.mean() < 0.95
    assert np.array_equal(bricks.cells, field.occupied.numpy())
    wide = bricks.cells.sum()
    bricks.settle(reach=0)
    assert bricks.cells.sum() < wide


def test_settling_never_allows_what_was_not_allowed() -> None:
    field = ball()
    field.occupied[: len(field.occupied) // 2] = False
    bricks = from_dense(field, framing(False), 1.0, WORKERS)
    bricks.settle()
    assert bricks.cells.any()
    assert not bricks.cells[: len(field.occupied) // 2].any()


def test_what_is_allowed_comes_back_when_it_grows_dense() -> None:
    """A cell that was left may be visited again as long as its neighbour is dense."""
    field = ball()
    field.occupied = torch.ones_like(field.occupied)
    bricks = from_dense(field, framing(False), 1.0, WORKERS)
    bricks.settle(reach=0)
    few = bricks.cells.sum()
    bricks.settle(reach=1)
    assert bricks.cells.sum() > few


@pytest.mark.parametrize("unbounded", [False, True])
def test_refined_bricks_are_the_refined_field(unbounded) -> None:
    field, place, seer = blobs(unbounded), framing(unbounded), camera(unbounded, 3.0)
    shape = (60, 60, 60) if unbounded else (51, 37, 45)
    fine, bricks = field.refined(shape), from_dense(field, place, 1.0, WORKERS).refined(shape, True)
    assert np.array_equal(bricks.cells, fine.occupied.numpy())
    agree(bricks.picture(seer, BEHIND), picture(fine, image_rays(seer), place, BEHIND))


def test_refined_bricks_keep_to_what_is_allowed() -> None:
    allowed = torch.zeros(50, 36, 44, dtype=torch.bool)
    allowed[:25] = True
    fine = from_dense(ball(), framing(False), 1.0, WORKERS).refined((51, 37, 45), allowed)
    assert fine.cells[:25].any()
    assert not fine.cells[25:].any()


# --- Out and in ---


def test_dense_gives_the_field_back() -> None:
    field, place = blobs(False), framing(False)
    bricks = from_dense(field, place, 1.0, WORKERS)
    back = bricks.dense()
    assert back.shape == field.shape
    assert torch.equal(back.occupied, field.occupied)
    assert torch.equal(back.density, field.density)
    assert torch.equal(back.color, field.color)
    # What it gives is a copy.
    back.density.data.zero_()
    assert torch.equal(bricks.dense().density, field.density)


@pytest.mark.parametrize("unbounded", [False, True])
def test_bricks_come_back_from_their_tensors_bit_for_bit(unbounded) -> None:
    field, place, seer = blobs(unbounded), framing(unbounded), camera(unbounded, 3.0)
    bricks = from_dense(field, place, 1.0, WORKERS)
    expected, tensors = bricks.picture(seer, BEHIND), bricks.tensors()
    assert len(tensors["numbers"]) == len(kept(bricks.grid))
    assert tensors["lines"].shape == (len(tensors["numbers"]), 64, LEARNED)
    other = Bricks(place, field.shape, np.ones(field.occupied.shape, bool), 1.0, WORKERS)
    other.load(tensors)
    seen = other.picture(seer, BEHIND)
    assert torch.equal(seen.color, expected.color)
    assert torch.equal(seen.depth, expected.depth)
    assert np.array_equal(other.cells, bricks.cells)
    assert np.array_equal(other.allowed, bricks.allowed)
    assert other.bytes == bricks.bytes == len(tensors["numbers"]) * 4096
    # Moving what was loaded does not move what it was loaded from, and the other way round.
    tensors["occupied"].zero_()
    assert other.cells.any()


def test_tensors_hold_what_the_optimiser_remembers_if_asked() -> None:
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    bricks.grid.table[:, LEARNED:] = 0.25
    tensors = bricks.tensors(LANES)
    assert tensors["lines"].shape[-1] == LANES
    other = Bricks(framing(False), bricks.shape, bricks.cells, 1.0, WORKERS)
    other.load(tensors)
    rows = (kept(bricks.grid)[:, None] * 64 + np.arange(64)).reshape(-1)
    assert np.array_equal(other.grid.table[rows], bricks.grid.table[rows])


MISFITS = {
    "a number too large": lambda t: {"numbers": t["numbers"] + 10**6},
    "a negative number": lambda t: {"numbers": t["numbers"] - 10**6},
    "numbers of another kind": lambda t: {"numbers": t["numbers"].long()},
    "numbers in a table": lambda t: {"numbers": t["numbers"][:, None]},
    "a line too few": lambda t: {"lines": t["lines"][:-1]},
    "half a brick": lambda t: {"lines": t["lines"][:, :32]},
    "lines without density": lambda t: {"lines": t["lines"][..., :12]},
    "lines too long": lambda t: {"lines": torch.cat([t["lines"], t["lines"]], -1)},
    "lines of another kind": lambda t: {"lines": t["lines"].double()},
    "words of another grid": lambda t: {"occupied": t["occupied"][:-2]},
    "words of another kind": lambda t: {"allowed": t["allowed"].long()},
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_tensors_that_do_not_fit_are_refused(misfit) -> None:
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    before, tensors = bricks.grid.table.copy(), bricks.tensors()
    with pytest.raises(BadInput, match="do not fit"):
        bricks.load(tensors | MISFITS[misfit](tensors))
    assert np.array_equal(bricks.grid.table, before)


def test_tensors_of_a_grid_of_another_shape_are_refused() -> None:
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    other = Bricks(framing(False), (12, 12, 12), np.ones((11, 11, 11), bool), 1.0, WORKERS)
    with pytest.raises(BadInput, match="do not fit"):
        other.load(bricks.tensors())
