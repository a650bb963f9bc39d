"""Learning ray by ray: the gradient against autograd's, the step against RMSprop written out, and what training needs.

A vertex whose memory is full (trust 1, mean squares 1, and rates that keep all of it) moves by rate times gradient and
nothing else: so a table before and after ``learn`` tells the gradient that the kernel worked with.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from fieldscape import cameras, volume
from fieldscape.framing import Framing
from fieldscape.kernels.grid import COLOR_SQUARE, DENSITY_SQUARE, RAW, TRUST, read_lanes
from fieldscape.kernels.learn import CAMERA_NUMBERS, Photos, Rates, learn
from fieldscape.kernels.lenses import lens_table, pose_table
from fieldscape.rotations import from_vector
from fieldscape.types import Camera, Rays
from fieldscape.voxels.bricks import Bricks, Workers, from_dense
from fieldscape.voxels.field import VISIBLE, VoxelField, march

f32 = np.float32

WORKERS = Workers(1)

BEHIND = torch.tensor([0.9, 0.6, 0.2])

STILL = Rates(f32(0), f32(0), f32(0), f32(0), f32(1), f32(0), False, False)
"""Nothing moves; what was remembered is kept."""

LEARNING = STILL._replace(density=f32(0.2), color=f32(0.08), smooth=f32(1e-6), opacity=f32(0.05), memory=f32(0.99))


def framing(unbounded: bool) -> Framing:
    low, high = -torch.ones(3), torch.ones(3)
    return Framing(torch.zeros(3), low, high, 0.05, 500.0, torch.tensor([0.0, 0.0, 1.0]), unbounded)


def smooth(channels: int, coarse: int, shape: tuple[int, int, int], seed: int) -> torch.Tensor:
    values = torch.randn(1, channels, coarse, coarse, coarse, generator=torch.Generator().manual_seed(seed))
    dense = interpolate(values, shape, mode="trilinear", align_corners=True)
    return dense[0].permute(1, 2, 3, 0).reshape(-1, channels)


def blobs(unbounded: bool, coarse: int = 6) -> VoxelField:
    """Matter in thick haze, of colours that change with place and direction."""
    place, shape = framing(unbounded), (25, 25, 25)
    field = VoxelField(place.low, place.high, shape, unbounded)
    field.density.data.copy_(2.5 * smooth(1, coarse, shape, 0) + 2)
    field.color.data.copy_(2 * smooth(12, coarse, shape, 1))
    return field


def photos_from(away: float, count: int = 3, size: int = 12, seed: int = 0) -> tuple[Camera, Photos]:
    """Cameras at ``away`` from the origin that look at it, and photos of noise. The pool is every pixel."""
    g = torch.Generator().manual_seed(seed)
    eye = torch.randn(count, 3, generator=g)
    eye = away * eye / eye.norm(dim=-1, keepdim=True)
    pose = cameras.look_at(eye, torch.zeros(count, 3), torch.tensor([0.1, 0.2, 1.0]))
    camera = Camera(pose, torch.full((count, 2), 1.5 * size), torch.full((count, 2), size / 2), size, size)
    pixels = torch.randint(0, 256, (count, size, size, 3), generator=g, dtype=torch.uint8).numpy()
    return camera, photos_of(camera, pixels)


def photos_of(camera: Camera, pixels: np.ndarray) -> Photos:
    pool = np.arange(pixels.shape[0] * pixels.shape[1] * pixels.shape[2], dtype=np.uint32)
    nothing, gains = np.zeros((0, 0, 0), np.uint8), np.ones((len(camera), 4), f32)
    return Photos(pixels, nothing, pool, pose_table(camera), lens_table(camera), gains, 0)


def run(
    bricks: Bricks, photos: Photos, rates: Rates, first: int = 0, last: int = 1, seed: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Learns from some rays. Returns what is told, and how the cameras are pulled."""
    told, turned = np.zeros(3), np.zeros((len(photos.poses), CAMERA_NUMBERS), f32)
    samples, behind = WORKERS.samples[0], BEHIND.numpy()
    learn(bricks.grid, bricks.place, photos, rates, behind, seed, first, last, samples, told, turned)
    return told, turned


def table(bricks: Bricks) -> np.ndarray:
    out = np.empty((*bricks.shape, 16), f32)
    read_lanes(bricks.grid, 0, out)
    return out.reshape(-1, 16)


def chance(seed: int, number: int) -> int:
    """64 random bits: splitmix64's state after ``number`` steps from ``seed``, scrambled."""
    x, bits = seed + number * 0x9E3779B97F4A7C15, 2**64 - 1
    x &= bits
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & bits
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & bits
    return x ^ (x >> 31)


# --- The gradient ---


def drawn_pixel(photos: Photos, seed: int, number: int) -> tuple[int, int, int, float]:
    """Photo, row and column of a ray, and the share of a step by which its samples are shifted."""
    bits = chance(seed, number)
    pixel = int(photos.pool[((bits >> 32) * len(photos.pool)) >> 32])
    _, height, width, _ = photos.pixels.shape
    return pixel // (height * width), pixel // width % height, pixel % width, (bits & 0xFFFFFF) / 2**24


def seen_by_the_twin(
    field: VoxelField, camera: Camera, pixel: tuple[int, int, int, float], unbounded: bool, monkeypatch
):
    """What the dense field sees through a drawn pixel. As in the kernels, what is too faint to show does not learn."""

    def weights(sigma: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        faint = whole_weights(sigma, delta) < VISIBLE
        return whole_weights(torch.where(faint, sigma.detach(), sigma), delta)

    whole_weights = volume.weights
    photo, row, column, shift = pixel
    ray = cameras.pixel_rays(camera[photo], torch.tensor([[column + 0.5, row + 0.5]]))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **options: torch.full(size, shift))
        patch.setattr(volume, "weights", weights)
        return march(field, ray, framing(unbounded), BEHIND, 1.0, torch.Generator())


SCALE = 1000.0
"""The step where memory is full: gradients are small beside the numbers they are taken from."""


def with_full_memory(field: VoxelField, unbounded: bool) -> Bricks:
    bricks = from_dense(field, framing(unbounded), 1.0, WORKERS)
    bricks.grid.table[:, TRUST:] = 1
    return bricks


def gradient_of(bricks: Bricks, photos: Photos, rates: Rates, number: int) -> np.ndarray:
    """The gradient [v, 13] that the kernel takes one ray to have: full memory makes the step a multiple of it."""
    before = table(bricks)
    run(bricks, photos, rates._replace(density=f32(SCALE), color=f32(SCALE)), number, number + 1)
    after = table(bricks)
    return (before - after)[:, : RAW + 1] / SCALE


def close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert np.abs(expected).max() > 1e-5
    assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("away", [0.4, 2.5])
@pytest.mark.parametrize("unbounded", [False, True])
def test_the_gradient_is_that_of_autograd(unbounded, away, number, monkeypatch) -> None:
    field = blobs(unbounded)
    camera, photos = photos_from(away)
    photos.gains[:] = [[0.9, 1.1, 1.2, 1.0], [1.0, 1.0, 1.0, 2.0], [1.3, 0.8, 1.0, 0.5]]
    pixel = drawn_pixel(photos, 5, number)
    seen = seen_by_the_twin(field, camera, pixel, unbounded, monkeypatch)
    truth = torch.from_numpy(photos.pixels[pixel[:3]]).float() / 255
    gains = torch.from_numpy(photos.gains[pixel[0]])
    loss = gains[3] * (gains[:3] * seen.color[0] - truth).square().mean()
    expected = [g.to_dense().numpy() for g in torch.autograd.grad(loss, (field.color, field.density))]
    found = gradient_of(with_full_memory(field, unbounded), photos, STILL, number)
    close(found[:, :RAW], expected[0], 1e-3)
    close(found[:, RAW:], expected[1], 1e-3)


@pytest.mark.parametrize("number", range(3))
def test_the_gradient_of_opacity_is_that_of_autograd(number, monkeypatch) -> None:
    """Photos with alpha: colours are compared before the background, and the opacity is pulled to theirs."""
    field = blobs(False)
    field.density.data -= 2
    camera, photos = photos_from(2.5)
    alpha = np.random.default_rng(0).integers(0, 256, (*photos.pixels.shape[:3], 1), np.uint8)
    photos = photos._replace(pixels=np.concatenate([photos.pixels, alpha], -1))
    pixel = drawn_pixel(photos, 5, number)
    seen = seen_by_the_twin(field, camera, pixel, False, monkeypatch)
    truth = torch.from_numpy(photos.pixels[pixel[:3]]).float() / 255
    blended = truth[:3] * truth[3] + BEHIND * (1 - truth[3])
    loss = (seen.color[0] - blended).square().mean() + 0.3 * (seen.alpha[0, 0] - truth[3]).abs()
    expected = [g.to_dense().numpy() for g in torch.autograd.grad(loss, (field.color, field.density))]
    found = gradient_of(with_full_memory(field, False), photos, STILL._replace(opacity=f32(0.3)), number)
    close(found[:, :RAW], expected[0], 1e-3)
    close(found[:, RAW:], expected[1], 1e-3)


def test_a_pixel_that_is_known_to_be_empty_thins_what_is_there(monkeypatch) -> None:
    field = blobs(False)
    camera, photos = photos_from(2.5)
    photos = photos._replace(empty=np.ones(photos.pixels.shape[:3], np.uint8))
    rates = STILL._replace(opacity=f32(0.3))
    pixel = drawn_pixel(photos, 5, 0)
    seen = seen_by_the_twin(field, camera, pixel, False, monkeypatch)
    truth = torch.from_numpy(photos.pixels[pixel[:3]]).float() / 255
    loss = (seen.color[0] - truth).square().mean() + 0.3 * seen.alpha[0, 0]
    (expected,) = (g.to_dense().numpy() for g in torch.autograd.grad(loss, (field.density,)))
    close(gradient_of(with_full_memory(field, False), photos, rates, 0)[:, RAW:], expected, 1e-3)
    # Where it is not known, opacity is left alone.
    photos.empty[:] = 0
    (expected,) = (
        g.to_dense().numpy()
        for g in torch.autograd.grad(
            (seen_by_the_twin(field, camera, pixel, False, monkeypatch).color[0] - truth).square().mean(),
            (field.density,),
        )
    )
    close(gradient_of(with_full_memory(field, False), photos, rates, 0)[:, RAW:], expected, 1e-3)


def test_pixels_that_disagree_beyond_the_tolerance_pull_less() -> None:
    """By Geman and McClure's weight, t^4 / (t^2 + e^2)^2 of a mean squared error e^2."""
    _, photos = photos_from(2.5)
    for number in range(3):
        told, _ = run(from_dense(blobs(False), framing(False), 1.0, WORKERS), photos, STILL, number, number + 1)
        full = gradient_of(with_full_memory(blobs(False), False), photos, STILL, number)
        rates = STILL._replace(tolerance=f32(0.2))
        less = gradient_of(with_full_memory(blobs(False), False), photos, rates, number)
        close(less, full * 0.04**2 / (0.04 + told[0]) ** 2, 1e-3)


def test_a_photo_pulls_as_much_as_it_counts() -> None:
    _, photos = photos_from(2.5)
    once = gradient_of(with_full_memory(blobs(False), False), photos, STILL, 0)
    photos.gains[:, 3] = 3
    close(gradient_of(with_full_memory(blobs(False), False), photos, STILL, 0), 3 * once, 1e-4)


# --- The step ---


def test_the_first_step_of_a_vertex_is_the_rate(monkeypatch) -> None:
    """The first gradient is taken for the mean: it moves by the whole rate, or as its colours share it."""
    field = blobs(False)
    camera, photos = photos_from(2.5)
    seen = seen_by_the_twin(field, camera, drawn_pixel(photos, 5, 0), False, monkeypatch)
    assert float(seen.alpha.detach()) > 0.9
    expected = gradient_of(with_full_memory(field, False), photos, STILL, 0)
    bricks = from_dense(field, framing(False), 1.0, WORKERS)
    before = table(bricks)
    run(bricks, photos, STILL._replace(density=f32(0.2), color=f32(0.08), memory=f32(0.99)))
    after = table(bricks)
    moved = (after - before)[:, : RAW + 1]
    once = np.abs(after[:, TRUST] - 0.2) < 1e-6  # trust grows from 0 by 0.2 + 0.8 of itself: touched one time
    assert once.sum() >= 8
    strong = once & (np.abs(expected[:, RAW]) > 1e-7)
    assert np.allclose(moved[strong, RAW], -0.2 * np.sign(expected[strong, RAW]), rtol=1e-3)
    colors = expected[:, :RAW]
    mean = (colors**2).mean(1)
    strong = once & (mean > 1e-12)
    assert np.allclose(moved[strong, :RAW], -0.08 * colors[strong] / np.sqrt(mean[strong, None]), rtol=2e-3, atol=1e-5)
    # What it remembers are the squares themselves.
    assert np.allclose(after[strong, COLOR_SQUARE], mean[strong], rtol=5e-3)
    assert np.allclose(after[once, DENSITY_SQUARE], expected[once, RAW] ** 2, rtol=5e-3, atol=1e-14)
    # What no sample touched stays as it was.
    untouched = after[:, TRUST] == 0
    assert untouched.mean() > 0.5
    assert np.array_equal(after[untouched], before[untouched])


def test_memory_fades_as_its_trust_says() -> None:
    """A second gradient, with trust T so far, is averaged as T of the old and 1 - T of the new."""
    field = blobs(False)
    _, photos = photos_from(2.5)
    photos = photos._replace(pool=photos.pool[70:71])
    gradient = gradient_of(with_full_memory(field, False), photos, STILL, 0)
    bricks = from_dense(field, framing(False), 1.0, WORKERS)
    bricks.grid.table[:, TRUST], bricks.grid.table[:, DENSITY_SQUARE] = 0.75, 1e-4
    before = table(bricks)
    run(bricks, photos, STILL._replace(density=f32(0.2), memory=f32(0.99)))
    after = table(bricks)
    once = np.abs(after[:, TRUST] - (0.2 + 0.8 * 0.75)) < 1e-6
    assert once.sum() >= 8
    mean = 0.75 * 1e-4 + 0.25 * gradient[once, RAW] ** 2
    assert np.allclose(after[once, DENSITY_SQUARE], mean, rtol=1e-4)
    step = -0.2 * gradient[once, RAW] / np.sqrt(mean)
    assert np.allclose((after - before)[once, RAW], step, rtol=5e-3, atol=2e-6)


def test_trust_grows_to_its_limit_and_no_further() -> None:
    _, photos = photos_from(2.5)
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    run(bricks, photos, LEARNING._replace(memory=f32(0.9)), 0, 3000)
    trust = table(bricks)[:, TRUST]
    assert trust.max() == f32(0.9)
    assert (trust == f32(0.9)).mean() > 0.2


def test_smoothing_evens_out_what_the_photos_do_not_say() -> None:
    """Only vertices that are learned from are pulled, towards the middle of their cells."""
    _, photos = photos_from(2.5)
    rough = []
    for pull in (0.0, 1e-3):
        bricks = from_dense(blobs(False, 25), framing(False), 1.0, WORKERS)
        run(bricks, photos, LEARNING._replace(smooth=f32(pull), density=f32(1e-3), color=f32(1e-3)), 0, 2000)
        lines = table(bricks).reshape(*bricks.shape, 16)
        touched = (lines[1:, ..., TRUST] > 0) & (lines[:-1, ..., TRUST] > 0)
        rough.append([np.abs(np.diff(lines[..., n], axis=0))[touched].mean() for n in (0, RAW)])
    assert rough[1][0] < 0.9 * rough[0][0]
    assert rough[1][1] < 0.9 * rough[0][1]


# --- What is drawn ---


def test_all_pixels_of_the_pool_are_drawn_and_no_others() -> None:
    """With cameras far apart each photo's rays can be told from the others' by which camera is pulled."""
    camera, photos = photos_from(2.5, 4)
    size = photos.pixels.shape[1] * photos.pixels.shape[2]
    photos = photos._replace(pool=np.arange(size, 3 * size, dtype=np.uint32))
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    _, turned = run(bricks, photos, STILL._replace(cameras=True), 0, 500)
    assert turned[1:3].any(1).all()
    assert not turned[[0, 3]].any()
    drawn = {drawn_pixel(photos, 5, n)[:3] for n in range(3000)}
    assert len(drawn) > 0.99 * len(photos.pool)
    shifts = np.array([drawn_pixel(photos, 5, n)[3] for n in range(3000)])
    assert abs(shifts.mean() - 0.5) < 0.03
    assert shifts.std() == pytest.approx(12**-0.5, rel=0.05)
    assert len(camera) == 4


def test_another_seed_draws_other_rays() -> None:
    _, photos = photos_from(2.5)
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    one, other = (run(bricks, photos, STILL, 0, 20, seed)[0] for seed in (5, 6))
    assert one[0] != other[0]
    assert one[1] == other[1] == 20


def test_a_background_of_its_own_at_each_ray_needs_no_known_one() -> None:
    """Empty photos: any background shows through them, so only the truth has no error whatever lies behind."""
    _, photos = photos_from(2.5)
    clear = np.zeros((*photos.pixels.shape[:3], 4), np.uint8)
    photos = photos._replace(pixels=clear)
    field = blobs(False)
    field.occupied = torch.zeros_like(field.occupied)
    empty = from_dense(field, framing(False), 1.0, WORKERS)
    rates = STILL._replace(any_background=True)
    assert run(empty, photos, rates, 0, 300)[0][0] == 0
    # A fog of the one background's colour is told from emptiness by the others.
    field = blobs(False)
    field.color.data.zero_()
    field.color.data[:, ::4] = torch.logit(BEHIND) / 0.28209479
    fog = from_dense(field, framing(False), 1.0, WORKERS)
    assert run(fog, photos, STILL, 0, 300)[0][0] / 300 < 1e-5
    assert run(fog, photos, rates, 0, 300)[0][0] / 300 > 0.02


def test_what_is_told_is_the_squared_error_of_what_the_twin_sees(monkeypatch) -> None:
    field = blobs(False)
    camera, photos = photos_from(2.5)
    told, _ = run(from_dense(field, framing(False), 1.0, WORKERS), photos, STILL, 0, 10)
    errors = []
    for number in range(10):
        pixel = drawn_pixel(photos, 5, number)
        seen = seen_by_the_twin(field, camera, pixel, False, monkeypatch).color[0].detach()
        errors.append(float((seen - torch.from_numpy(photos.pixels[pixel[:3]]).float() / 255).square().mean()))
    assert told[0] == pytest.approx(sum(errors), rel=1e-4)
    assert told[1] == 10
    assert told[2] > 20


# --- Learning a scene ---


def ball_photos(count: int = 16, size: int = 32, alpha: bool = False) -> tuple[Camera, np.ndarray]:
    """Photos of a striped ball of radius 0.7 before ``BEHIND``."""
    turn, height = np.arange(count) * 2.4, np.linspace(-0.7, 0.7, count)
    wide = np.sqrt(1 - height**2)
    eye = 3 * np.stack([np.cos(turn) * wide, np.sin(turn) * wide, height], -1)
    pose = cameras.look_at(torch.from_numpy(eye).float(), torch.zeros(count, 3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(pose, torch.full((count, 2), 1.6 * size), torch.full((count, 2), size / 2), size, size)
    return camera, np.stack([ball_picture(cameras.image_rays(camera[i])) for i in range(count)])


def ball_picture(rays: Rays) -> np.ndarray:
    origins, directions = rays.origins.double().numpy(), rays.directions.double().numpy()
    middle = -(origins * directions).sum(-1)
    under = 0.49 - ((origins**2).sum(-1) - middle**2)
    t = middle - np.sqrt(np.maximum(under, 0))
    points = origins + t[..., None] * directions
    color = np.where(under[..., None] > 0, np.sin(points * 6) * 0.4 + 0.5, BEHIND.numpy())
    return (color * 255).round().astype(np.uint8)


def empty_bricks(workers: Workers = WORKERS, resolution: int = 25) -> Bricks:
    cells = np.ones((resolution - 1,) * 3, bool)
    return Bricks(framing(False), (resolution,) * 3, cells, 1.0, workers)


def test_the_loss_falls_and_all_numbers_stay_finite() -> None:
    bricks, photos = empty_bricks(), photos_of(*ball_photos())
    first, _ = run(bricks, photos, LEARNING, 0, 200)
    run(bricks, photos, LEARNING, 200, 20_000)
    last, _ = run(bricks, photos, STILL, 20_000, 21_000)
    assert last[0] / last[1] < 0.1 * first[0] / first[1]
    assert np.isfinite(bricks.grid.table).all()
    assert bricks.grid.table[:, DENSITY_SQUARE:].min() >= 0


@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_one_thread_learns_the_same_every_time_however_it_is_called(tolerance) -> None:
    photos = photos_of(*ball_photos(8, 24))
    rates = LEARNING._replace(tolerance=f32(tolerance))
    one, other, parts = empty_bricks(), empty_bricks(), empty_bricks()
    run(one, photos, rates, 0, 3000)
    run(other, photos, rates, 0, 3000)
    run(parts, photos, rates, 0, 1234)
    run(parts, photos, rates, 1234, 3000)
    assert one.grid.table.any()
    assert np.array_equal(one.grid.table, other.grid.table)
    assert np.array_equal(one.grid.table, parts.grid.table)


def test_two_threads_learn_as_well_as_one() -> None:
    photos, losses = photos_of(*ball_photos()), []
    for workers in (WORKERS, Workers(2)):
        bricks = empty_bricks(workers)

        def work(worker: int, first: int, last: int, bricks: Bricks = bricks, workers: Workers = workers) -> None:
            told, turned = np.zeros(3), np.zeros((0, CAMERA_NUMBERS), f32)
            samples, behind = workers.samples[worker], BEHIND.numpy()
            learn(bricks.grid, bricks.place, photos, LEARNING, behind, 5, first, last, samples, told, turned)

        workers.share(work, 0, 20_000)
        told, _ = run(bricks, photos, STILL, 20_000, 22_000)
        losses.append(told[0] / told[1])
    assert losses[1] == pytest.approx(losses[0], rel=0.3)


# --- Cameras ---


def test_cameras_are_pulled_at_though_the_field_stands_still() -> None:
    _, photos = photos_from(2.5)
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    before = bricks.grid.table.copy()
    _, turned = run(bricks, photos, STILL._replace(cameras=True), 0, 300)
    assert np.array_equal(bricks.grid.table, before)
    assert turned.all()
    _, left = run(bricks, photos, STILL, 0, 300)
    assert not left.any()


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_pull_at_a_camera_is_the_slope_of_the_error(unbounded) -> None:
    """Against central differences of the squared error of all pixels of a photo, seen from a camera a little off."""
    field = blobs(unbounded, 5)
    if not unbounded:
        # Matter cut off by a face of the box would show there: the kernel knows no slope of that.
        axis = torch.linspace(-1, 1, 25).abs()
        outwards = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).amax(0).reshape(-1, 1)
        field.density.data -= 30 * (outwards - 0.5).clamp_min(0)
    # Colours of this field do not change with the direction: the kernel takes them not to, along a small turn.
    field.color.data.view(-1, 3, 4)[..., 1:] = 0
    bricks = from_dense(field, framing(unbounded), 0.5, WORKERS)
    camera, _ = photos_from(2.5, 1, 20)
    truth = bricks.picture(camera[0], BEHIND).color.numpy()
    off = camera.pose.clone()
    off[0, :3, :3] = from_vector(torch.tensor([0.02, -0.03, 0.025])) @ off[0, :3, :3]
    off[0, :3, 3] += torch.tensor([0.03, 0.04, -0.03])
    moved = replace(camera, pose=off)
    photos = photos_of(moved, (truth[None] * 255).round().astype(np.uint8))
    pulls = np.zeros(CAMERA_NUMBERS)
    for pixel in range(400):
        single = photos._replace(pool=np.array([pixel], np.uint32))
        pulls += run(bricks, single, STILL._replace(cameras=True), 8 * pixel, 8 * pixel + 8)[1][0] / 8

    def error(turn: np.ndarray, move: np.ndarray) -> float:
        pose = off[0].clone()
        pose[:3, :3] = from_vector(torch.from_numpy(turn).float()) @ pose[:3, :3]
        pose[:3, 3] += torch.from_numpy(move).float()
        seen = bricks.picture(replace(camera[0], pose=pose), BEHIND).color.numpy()
        return float(((seen - truth) ** 2).mean(-1).sum())

    zero, size = np.zeros(3), 0.01
    for first, build in ((0, lambda x: (x, zero)), (3, lambda x: (zero, x))):
        slope = np.zeros(3)
        for axis in range(3):
            x = np.eye(3)[axis] * size
            slope[axis] = (error(*build(x)) - error(*build(-x))) / (2 * size)
        pull = pulls[first : first + 3]
        assert slope @ pull > 0.95 * np.linalg.norm(slope) * np.linalg.norm(pull)
        assert np.linalg.norm(pull) == pytest.approx(np.linalg.norm(slope), rel=0.1)


def test_the_pull_at_an_exposure_is_the_slope_of_the_error() -> None:
    bricks = from_dense(blobs(False), framing(False), 1.0, WORKERS)
    _, photos = photos_from(2.5, 1)
    photos.gains[0, :3] = [0.8, 1.0, 1.3]
    _, turned = run(bricks, photos, STILL._replace(cameras=True), 0, 200)
    for channel in range(3):
        errors = []
        for sign in (1, -1):
            gains = photos.gains.copy()
            gains[0, channel] += sign * 0.01
            errors.append(run(bricks, photos._replace(gains=gains), STILL, 0, 200)[0][0])
        assert turned[0, 6 + channel] == pytest.approx((errors[0] - errors[1]) / 0.02, rel=0.01)
