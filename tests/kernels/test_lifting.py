"""The passes from photos to a first field, held to plain tensor computations and to closed forms."""

import numpy as np
import torch

from fieldscape import cameras
from fieldscape.encodings import spherical_harmonics
from fieldscape.framing import Framing
from fieldscape.kernels.grid import RAW, aligned
from fieldscape.kernels.learn import Photos
from fieldscape.kernels.lenses import LENS_NUMBERS, lens_table, pose_table
from fieldscape.kernels.lifting import gather, hull_depths, read_lines, solve, write_density, write_lines
from fieldscape.types import Camera
from fieldscape.voxels.bricks import Bricks, Workers

SIZE = 20


def around(count: int) -> Camera:
    turn, height = torch.arange(count) * 2.4, torch.linspace(-0.7, 0.7, count)
    ring = (1 - height**2).sqrt()
    eyes = 1.5 * torch.stack([ring * turn.cos(), ring * turn.sin(), height], -1)
    poses = cameras.look_at(eyes, torch.zeros(count, 3), torch.tensor([0.0, 0.0, 1.0]))
    return Camera(poses, torch.full((count, 2), 1.2 * SIZE), torch.full((count, 2), SIZE / 2), SIZE, SIZE)


def block(workers: Workers) -> tuple[Bricks, np.ndarray]:
    """A grid of 7 vertices an axis over -0.3..0.3, and all its vertices."""
    side = torch.full((3,), 0.3)
    framing = Framing(torch.zeros(3), -side, side, 0.0, 10.0, torch.tensor([0.0, 0.0, 1.0]), unbounded=False)
    places = np.stack(np.nonzero(np.ones((7, 7, 7), bool)), 1).astype(np.int32)
    return Bricks(framing, (7, 7, 7), np.ones((6, 6, 6), bool), 1.0, workers), places


def photos(camera: Camera, images: torch.Tensor) -> Photos:
    pool = np.arange(images[..., 0].numel()).astype(np.uint32)
    gains, empty = np.ones((len(camera), 4), np.float32), np.zeros((0, 0, 0), np.uint8)
    poses, lenses = pose_table(camera), lens_table(camera)
    return Photos(images.numpy(), empty, pool, poses, lenses, gains, LENS_NUMBERS["pinhole"])


def test_depths_are_the_least_of_the_views_distances() -> None:
    camera = around(5)
    maps = np.random.default_rng(0).normal(2, 3, (5, SIZE, SIZE)).astype(np.float32)
    axis = np.linspace(-0.8, 0.8, 6).astype(np.float32)
    wanted = np.ones((6, 6, 6), bool)
    wanted[0, 0, 0] = False
    got = np.empty((6, 6, 6), np.float32)
    floor = np.float32(-0.4)
    hull_depths(maps, pose_table(camera), lens_table(camera), 0, (axis, axis, axis), wanted, floor, got)
    points = torch.from_numpy(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)).reshape(-1, 3)
    depth = torch.full((len(points),), 1e9)
    for i in range(5):
        pixels, z = cameras.project(camera[i], points)
        grid = (2 * pixels / SIZE - 1)[None, None]
        read = torch.nn.functional.grid_sample(
            torch.from_numpy(maps[i])[None, None], grid, padding_mode="border", align_corners=False
        )[0, 0, 0]
        depth = torch.minimum(depth, read * z / camera.focal[i, 0])
    truth = depth.clamp_min(float(floor)).reshape(6, 6, 6).numpy()
    truth[0, 0, 0] = floor
    np.testing.assert_allclose(got, truth, atol=2e-3)


def test_colours_that_change_with_direction_are_found_again() -> None:
    workers = Workers(1)
    bricks, places = block(workers)
    camera = around(16)
    truth = torch.tensor([[1.0, 0.6, -0.3, 0.2], [-0.5, -0.2, 0.4, 0.5], [0.3, 0.1, 0.2, -0.6]])
    directions = torch.stack([cameras.image_rays(camera[i]).directions for i in range(len(camera))])
    logits = spherical_harmonics(directions, 1) @ truth.T
    images = (torch.sigmoid(logits) * 255).round().to(torch.uint8)
    # Thin enough that all vertices are seen.
    write_density(bricks.grid, places, np.zeros((7, 7, 7), np.float32), *(np.float32(x) for x in (2, 1, -9, 9)))
    given = photos(camera, images)
    numbers = np.full(len(bricks.grid.table), -1, np.int32)
    x, y, z = places.T.astype(np.int64)
    rows = (((x >> 2) * 2 + (y >> 2)) * 2 + (z >> 2) << 6) | ((x & 3) << 4) | ((y & 3) << 2) | (z & 3)
    numbers[rows] = np.arange(len(places))
    sums = aligned(2 * len(places))
    gather(bricks.grid, bricks.place, given, numbers, 0, len(given.pool), workers.samples[0], sums)
    solve(bricks.grid, places, sums, np.zeros(3, np.float32), np.float32(1e-5), np.float32(0))
    lines = np.empty((len(places), 16), np.float32)
    read_lines(bricks.grid, places, lines)
    light = sums.reshape(-1, 32)[:, 12] / 0.2820948
    inner = light > np.median(light)
    np.testing.assert_allclose(
        lines[inner, :12].reshape(-1, 3, 4), np.broadcast_to(truth, (inner.sum(), 3, 4)), atol=0.05
    )
    # The light that ends at vertices is that which the pictures show stopped.
    black = torch.zeros(3)
    stopped = sum(float(bricks.picture(camera[i], black).alpha.sum()) for i in range(len(camera)))
    np.testing.assert_allclose(light.sum(), stopped, rtol=1e-3)


def test_a_vertex_without_light_has_the_usual_colour() -> None:
    bricks, places = block(Workers(1))
    usual = np.array([0.5, -1.0, 2.0], np.float32)
    solve(bricks.grid, places, aligned(2 * len(places)), usual, np.float32(0.3), np.float32(0.1))
    lines = np.empty((len(places), 16), np.float32)
    read_lines(bricks.grid, places, lines)
    np.testing.assert_allclose(lines[:, [0, 4, 8]] * 0.2820948, np.broadcast_to(usual, (343, 3)), rtol=1e-4)
    assert not lines[:, [1, 2, 3, 5, 6, 7, 9, 10, 11]].any()


def test_densities_rise_with_depth_between_their_bounds() -> None:
    bricks, places = block(Workers(1))
    depths = np.linspace(-5, 5, 343, dtype=np.float32).reshape(7, 7, 7)
    write_density(bricks.grid, places, depths, *(np.float32(x) for x in (1.5, 2, -1, 6)))
    lines = np.empty((343, 16), np.float32)
    read_lines(bricks.grid, places, lines)
    np.testing.assert_allclose(lines[:, RAW], np.clip(1.5 + 2 * depths.reshape(-1), -1, 6), rtol=1e-6)


def test_lines_are_read_as_they_were_written_and_the_rest_stays() -> None:
    bricks, places = block(Workers(1))
    lines = np.random.default_rng(0).normal(size=(50, 13)).astype(np.float32)
    chosen = np.ascontiguousarray(places[::7][:50])
    bricks.grid.table[:, 15] = 7
    write_lines(bricks.grid, chosen, np.ascontiguousarray(lines[: len(chosen)]))
    got = np.empty((len(chosen), 16), np.float32)
    read_lines(bricks.grid, chosen, got)
    np.testing.assert_array_equal(got[:, :13], lines[: len(chosen)])
    assert (got[:, 15] == 7).all()
