"""The voxel field: the march against the plain volume integral, occupancy, refinement, contraction, training."""

import dataclasses
import math

import pytest
import torch

from fieldscape import cameras, rotations, volume
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.progress import Bar, progress
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.nerf import train_voxels
from fieldscape.systems.nerf.config import VoxelConfig
from fieldscape.types import Camera, Rays, Views
from fieldscape.voxels.bricks import Bricks
from fieldscape.voxels.field import SHIFT, VoxelField, distances, grid_shape, march, picture


def framing(unbounded: bool = False) -> Framing:
    low, high = -torch.ones(3), torch.ones(3)
    return Framing(
        torch.zeros(3), low, high, 0.05 if unbounded else 1.0, 500.0, torch.tensor([0.0, 0.0, 1.0]), unbounded
    )


def ball(unbounded: bool = False, resolution: int = 33) -> VoxelField:
    """A ball of radius 0.6 whose colour changes with place and direction."""
    field = VoxelField(-torch.ones(3), torch.ones(3), (resolution,) * 3, unbounded)
    axis = torch.linspace(-2, 2, resolution) if unbounded else torch.linspace(-1, 1, resolution)
    place = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    field.density.data[:, 0] = 80 * (0.6 - place.norm(dim=-1))
    field.color.data.copy_(torch.randn(len(place), 12, generator=torch.Generator().manual_seed(0)))
    field.settle()
    return field


def rays(n: int = 300, away: float = 3.0) -> Rays:
    g = torch.Generator().manual_seed(0)
    origins = torch.randn(n, 3, generator=g)
    origins = away * origins / origins.norm(dim=-1, keepdim=True)
    target = torch.rand(n, 3, generator=g) - 0.5
    directions = target - origins
    return Rays(origins, directions / directions.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_march_is_the_volume_integral(unbounded) -> None:
    """Skipping, early termination and packing leave out only what weighs less than VISIBLE."""
    field, seen_along = ball(unbounded), rays()
    near_far = framing(unbounded)
    t, delta = distances(seen_along, field, near_far, 1.0, None)
    color, sigma = field(seen_along.at(t), seen_along.directions[:, None].expand(*t.shape, 3))
    w = volume.weights(sigma, delta.expand_as(t))
    plain = volume.composite(w, color, t, torch.ones(3))
    quick = march(field, seen_along, near_far, torch.ones(3))
    assert torch.allclose(quick.color, plain.color, atol=0.02)
    assert torch.allclose(quick.alpha, plain.alpha, atol=0.02)
    hit = plain.alpha > 0.5
    assert torch.allclose(quick.depth[hit], volume.median_depth(w, t)[hit], atol=2 * field.voxel)
    assert float(hit.float().mean()) > 0.3


def test_the_gradient_of_the_march_is_that_of_the_volume_integral() -> None:
    field, seen_along = ball(), rays(100)
    t, delta = distances(seen_along, field, framing(), 1.0, None)
    color, sigma = field(seen_along.at(t), seen_along.directions[:, None].expand(*t.shape, 3))
    plain = volume.composite(volume.weights(sigma, delta), color, t, torch.ones(3)).color
    quick = march(field, seen_along, framing(), torch.ones(3)).color
    weight = torch.randn(100, 3, generator=torch.Generator().manual_seed(3))
    for table in (field.density, field.color):
        (a,) = torch.autograd.grad((plain * weight).sum(), table, retain_graph=True)
        (b,) = torch.autograd.grad((quick * weight).sum(), table, retain_graph=True)
        a, b = a.to_dense().flatten(), b.to_dense().flatten()
        assert float(a @ b / (a.norm() * b.norm())) > 0.999


def test_a_hard_ball_has_its_depth_and_its_outline() -> None:
    field = ball(resolution=65)
    aimed = Rays(torch.tensor([[0.0, 0.0, -3.0], [0.75, 0.0, -3.0]]), torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3))
    with torch.no_grad():
        seen = march(field, aimed, framing(), torch.zeros(3))
    assert float(seen.depth[0]) == pytest.approx(3 - (0.6 - SHIFT / 80), abs=0.03)
    assert float(seen.alpha[0]) == pytest.approx(1, abs=0.01)
    assert float(seen.alpha[1]) < 0.01


def test_settling_keeps_what_is_dense_and_drops_what_is_empty() -> None:
    field = ball()
    middle = [n // 2 for n in field.occupied.shape]
    assert bool(field.occupied[middle[0], middle[1], middle[2]])
    assert not bool(field.occupied[0, 0, 0])
    assert 0.05 < float(field.occupied.float().mean()) < 0.4


def test_an_unbounded_field_always_asks_its_outermost_cells() -> None:
    field = ball(unbounded=True)
    assert bool(field.occupied[0].all())
    assert bool(field.occupied[:, :, -1].all())


def test_every_ray_of_an_unbounded_scene_ends_somewhere() -> None:
    with torch.no_grad():
        seen = march(ball(unbounded=True), rays(), framing(unbounded=True), None)
    assert float(seen.alpha.min()) > 0.99


def test_a_refined_field_looks_the_same() -> None:
    field = ball()
    fine = field.refined((65, 65, 65))
    with torch.no_grad():
        a = march(field, rays(), framing(), torch.ones(3), step=0.5)
        b = march(fine, rays(), framing(), torch.ones(3), step=1.0)
    assert float((a.color - b.color).abs().mean()) < 0.03


def test_no_occupied_cell_is_lost_by_refining() -> None:
    fine = ball().refined((50, 65, 41))
    per_voxel = torch.nn.functional.softplus(fine.density.view(1, 1, *fine.shape) - SHIFT)
    dense = torch.nn.functional.max_pool3d(per_voxel, 2, 1)[0, 0] > 0.5
    assert not bool((dense & ~fine.occupied).any())


def test_samples_cover_the_box_and_nothing_else() -> None:
    field = ball()
    t, delta = distances(rays(), field, framing(), 1.0, None)
    near, far = volume.ray_box(rays(), field.low, field.high)
    length = delta.sum(-1, keepdim=True)
    assert torch.allclose(length, (far - near).clamp_min(0), atol=2 * field.voxel)
    assert bool((t[delta > 0] >= near.expand_as(t)[delta > 0]).all())


def test_steps_of_an_unbounded_scene_grow_with_distance() -> None:
    field, near_far = ball(unbounded=True), framing(unbounded=True)
    t, delta = distances(rays(1), field, near_far, 1.0, None)
    inside = (t > 2.2) & (t < 3.8)
    assert torch.allclose(delta[inside][1:-1], delta[inside][1:2].expand(int(inside.sum()) - 2), rtol=1e-3)
    outside = (t > 4) & (delta > 0)  # beyond the core, seen from a distance of 3
    assert bool((delta[outside][1:-1] > delta[outside][:-2]).all())
    # Each step crosses about one voxel of contracted space.
    place = field.position(rays(1).at(t))[0]
    steps = (place[1:] - place[:-1]).abs().amax(-1)
    assert float(steps.max()) < 1.8


def test_a_grid_has_cubes_for_cells_and_the_size_asked_for() -> None:
    shape = grid_shape(torch.zeros(3), torch.tensor([1.0, 2.0, 4.0]), 64)
    assert shape[2] == pytest.approx(4 * shape[0], rel=0.05)
    assert math.prod(shape) == pytest.approx(64**3, rel=0.15)


# --- Training, on a world whose truth is a field ---


def textured_ball(points, directions):
    """A ball of radius 0.7 with stripes: a field written down by hand."""
    stripes = (points * 6).sin() * 0.4 + 0.5
    return stripes, 200.0 * (points.norm(dim=-1) < 0.7).float()


def ball_views(n: int = 24, size: int = 40, all_round: bool = True) -> Views:
    """Photos of the ball on white, from all round, or from one side, where they overlap as a phone capture's do."""
    angle = torch.arange(n) * 2.4 if all_round else 0.6 * (torch.arange(n) * 2.4).sin()
    height = torch.linspace(-0.7, 0.7, n) * (1 if all_round else 0.6)
    eye = 3 * torch.stack([angle.cos() * (1 - height**2).sqrt(), angle.sin() * (1 - height**2).sqrt(), height], -1)
    pose = cameras.look_at(eye, torch.zeros(n, 3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(pose, torch.full((n, 2), 1.6 * size), torch.full((n, 2), size / 2), size, size)
    images = []
    for i in range(n):
        seen_along = cameras.image_rays(camera[i])
        t = volume.stratified(torch.full((size, size, 1), 1.5), torch.full((size, size, 1), 4.5), 300)
        images.append(volume.render(textured_ball, seen_along, t, torch.ones(3))[0].color)
    names = tuple(f"{i:03d}.png" for i in range(n))
    return Views(camera, torch.stack(images), names, tuple(range(3, n, 8)), "every 8th", background=(1.0, 1.0, 1.0))


def fit(views: Views, config: VoxelConfig, folder, resume=None, stop_at: int | None = None):
    run = Run.open(folder) if resume else Run.create(folder, "nerf", config, 0, {}, "cpu")
    stop = Stop(None)
    with progress(None, "", quiet=True) as bar:
        if stop_at is not None:
            bar = _StopsAt(stop, stop_at)
        return train_voxels.train(views, config, run, stop, bar, torch.device("cpu"), 0, resume), run


class _StopsAt(Bar):
    """A bar that asks for a stop at a step, as SIGTERM would."""

    def __init__(self, stop: Stop, step: int) -> None:
        self.stop, self.step = stop, step

    def update(self, step, **figures) -> None:
        if step >= self.step:
            self.stop.on_signal(15, None)

    def say(self, text) -> None:
        pass


QUICK = VoxelConfig(iters=150, n_rand=1024, resolution=40, eval_every=150, checkpoint_every=50, deterministic=True)

ENGINES = {"kernels": QUICK, "torch": dataclasses.replace(QUICK, engine="torch")}
"""The two halves of training: each has to do all that follows."""

FLOOR = {"kernels": 27, "torch": 26}


@pytest.mark.parametrize("engine", ENGINES)
def test_training_reaches_a_quality_floor(engine, tmp_path) -> None:
    fitted, run = fit(ball_views(), ENGINES[engine], tmp_path / "run")
    assert run.metrics()[-1]["psnr"] > FLOOR[engine]
    assert fitted.step == 150
    assert fitted.stopped is None


def test_the_kernels_train_what_they_know_and_torch_the_rest() -> None:
    cpu = torch.device("cpu")
    assert train_voxels.uses_kernels(VoxelConfig(), cpu)
    assert not train_voxels.uses_kernels(VoxelConfig(engine="torch"), cpu)
    assert not train_voxels.uses_kernels(VoxelConfig(channels=1), cpu)
    assert not train_voxels.uses_kernels(VoxelConfig(), torch.device("cuda"))


def learned(field: Bricks | VoxelField) -> dict[str, torch.Tensor]:
    """All that training made of a field."""
    return field.tensors(16) if isinstance(field, Bricks) else dict(field.state_dict())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stopped_run_goes_on_bit_for_bit(engine, tmp_path, monkeypatch) -> None:
    # Cells are left in each stage, before the stop too: what they held may not matter afterwards.
    monkeypatch.setattr(train_voxels, "SETTLE_AFTER", 6 * QUICK.n_rand)
    views = ball_views(12, 24)
    config = dataclasses.replace(ENGINES[engine], iters=60, eval_every=20, checkpoint_every=25)
    whole, _ = fit(views, config, tmp_path / "whole")
    part, run = fit(views, config, tmp_path / "part", stop_at=31)
    assert part.stopped == "SIGTERM"
    assert part.step in (31, 32)  # the request is seen at the end of a step
    rest, _ = fit(views, config, tmp_path / "part", resume=run.latest())
    expected = learned(whole.field)
    for name, found in learned(rest.field).items():
        assert torch.equal(found, expected[name]), name
    assert rest.curve[-1][2] == whole.curve[-1][2]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_repeats_bit_for_bit(engine, tmp_path) -> None:
    views, config = ball_views(8, 20), dataclasses.replace(ENGINES[engine], iters=25)
    one, other = (learned(fit(views, config, tmp_path / name)[0].field) for name in ("one", "other"))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize(("engine", "other"), [("kernels", "torch"), ("torch", "kernels")])
def test_a_checkpoint_of_the_other_engine_is_refused(engine, other, tmp_path) -> None:
    views = ball_views(8, 16)
    _, run = fit(views, dataclasses.replace(ENGINES[engine], iters=20), tmp_path / "run", stop_at=5)
    with pytest.raises(BadInput, match="resume with its own options"):
        fit(views, dataclasses.replace(ENGINES[other], iters=20), tmp_path / "run", resume=run.latest())


def test_transparent_photos_are_learned_before_any_background(tmp_path) -> None:
    """The ball cut out of its photos: what is seen before white afterwards was never shown before white alone."""
    views = ball_views()
    on_ball = (views.images < 1).any(-1, keepdim=True).float()
    views = dataclasses.replace(views, images=torch.cat([views.images * on_ball, on_ball], -1))
    fitted, run = fit(views, dataclasses.replace(QUICK, any_background=True), tmp_path / "run")
    assert run.metrics()[-1]["psnr"] > 26
    i = views.held_out[0]
    assert isinstance(fitted.field, Bricks)
    seen = fitted.field.picture(views.camera[i], torch.ones(3))
    assert float((seen.alpha - on_ball[i]).abs().mean()) < 0.05


def shaken(views: Views, turn: float) -> Views:
    """The cameras turned about their centres by about ``turn`` radians, each its own way."""
    turns = turn * torch.randn(len(views), 3, generator=torch.Generator().manual_seed(1))
    pose = views.camera.pose.clone()
    pose[:, :3, :3] = rotations.from_vector(turns - turns.mean(0)) @ pose[:, :3, :3]
    return dataclasses.replace(views, camera=dataclasses.replace(views.camera, pose=pose))


def test_poses_are_mended_while_the_scene_is_learned(tmp_path) -> None:
    views = ball_views(24, 40)
    wrong = shaken(views, 0.01)
    config = dataclasses.replace(QUICK, n_rand=4096, iters=200, eval_every=200)
    left, run_left = fit(wrong, config, tmp_path / "left")
    mended, run = fit(wrong, dataclasses.replace(config, refine_poses=True, lr_pose=1e-3), tmp_path / "mended")
    assert torch.equal(left.cameras.pose, wrong.camera.pose)

    def off(pose: torch.Tensor) -> float:
        """How far points of the ball land from where they should, on average, up to what all cameras share."""
        turn = pose[views.train, :3, :3] @ views.camera.pose[views.train, :3, :3].mT
        axes = torch.stack([turn[:, 2, 1], turn[:, 0, 2], turn[:, 1, 0]], -1)
        move = (pose - views.camera.pose)[views.train, :3, 3]
        eye = views.camera.position[views.train]
        flow = torch.linalg.cross(axes, -eye) + move
        return float((flow - flow.mean(0)).norm(dim=-1).mean())

    assert off(mended.cameras.pose) < 0.5 * off(wrong.camera.pose)
    assert run.metrics()[-1]["psnr"] > run_left.metrics()[-1]["psnr"] + 1


def test_exposures_are_evened_out(tmp_path) -> None:
    """Every second photo is darker: the gains learned tell which, and what is drawn lies between."""
    views = ball_views()
    dark = torch.ones(len(views), 1, 1, 1)
    dark[::2] = 0.8
    views = dataclasses.replace(views, images=views.images * dark, background=None)
    fitted, run = fit(views, dataclasses.replace(QUICK, iters=400, exposure=True), tmp_path / "run")
    latest = run.latest()
    assert latest is not None
    gains = latest.tensors["adjustment.values"][views.train, 6:].exp()
    ratio = gains[dark[views.train, 0, 0, 0] < 1].mean() / gains[dark[views.train, 0, 0, 0] == 1].mean()
    assert 0.75 < float(ratio) < 0.9
    assert torch.equal(fitted.cameras.pose, views.camera.pose)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unbounded_scene_trains(engine, tmp_path) -> None:
    """The ball before a sky that depends on the direction alone: it has to be learned as something far away."""
    views = ball_views(all_round=False)
    with_sky = []
    for i in range(len(views)):
        direction = cameras.image_rays(views.camera[i]).directions
        sky = 0.5 + 0.4 * (3 * direction + torch.tensor([0.0, 1.0, 2.0])).sin()
        hit = (views.images[i] < 1).any(-1, keepdim=True)
        with_sky.append(torch.where(hit, views.images[i], sky))
    views = dataclasses.replace(views, images=torch.stack(with_sky), background=None)
    _, run = fit(views, dataclasses.replace(ENGINES[engine], iters=200, resolution=48), tmp_path / "run")
    assert run.metrics()[-1]["psnr"] > 21


def test_further_channels_are_learned(tmp_path) -> None:
    views = ball_views(20, 32)
    views = dataclasses.replace(views, maps=views.images[..., :1] * 0.5)
    fitted, _ = fit(views, dataclasses.replace(QUICK, channels=1, iters=120), tmp_path / "run")
    i = views.held_out[0]
    behind = torch.tensor([1.0, 1.0, 1.0, 0.0])
    seen = picture(fitted.field, cameras.image_rays(views.camera[i]), fitted.framing, behind)
    on_ball = seen.alpha[..., 0] > 0.9
    error = (seen.extra[..., 0] - views.maps[i, ..., 0])[on_ball]
    assert float(error.square().mean().sqrt()) < 0.13


def test_channels_without_maps_are_refused(tmp_path) -> None:
    with pytest.raises(BadInput, match="--channels 2"):
        fit(ball_views(8, 16), dataclasses.replace(QUICK, channels=2), tmp_path / "run")


def test_silhouettes_that_do_not_meet_are_said_and_carve_nothing(tmp_path, capsys) -> None:
    """Each photo shows the ball in a corner of its own: no point of space is on the object in all of them."""
    views = ball_views(12, 24)
    spots = torch.ones_like(views.images)
    for i in range(12):
        spots[i, 6 * (i % 4) : 6 * (i % 4) + 4, 6 * (i // 4) : 6 * (i // 4) + 4] = 0.2
    views = dataclasses.replace(views, images=spots)
    config = dataclasses.replace(QUICK, iters=5)
    run = Run.create(tmp_path / "run", "nerf", config, 0, {}, "cpu")
    with progress(None, "") as bar:
        train_voxels.train(views, config, run, Stop(None), bar, torch.device("cpu"), 0)
    assert "poses are probably wrong" in capsys.readouterr().err


@pytest.mark.parametrize(("noise", "complaint"), [(0.0, "nothing to learn from"), (0.005, "background")])
def test_photos_of_nothing_but_background_are_refused(noise, complaint, tmp_path) -> None:
    views = ball_views(8, 16)
    grain = noise * torch.rand(views.images.shape, generator=torch.Generator().manual_seed(0))
    views = dataclasses.replace(views, images=1 - grain)
    with pytest.raises(BadInput, match=complaint):
        fit(views, QUICK, tmp_path / "run")


def test_slightly_wrong_poses_are_mended(tmp_path) -> None:
    views = ball_views(30, 48)
    generator = torch.Generator().manual_seed(1)
    pose = views.camera.pose.clone()
    axis = torch.nn.functional.normalize(torch.randn(30, 3, generator=generator), dim=-1)
    pose[:, :3, :3] = rotations.from_vector(0.01 * axis) @ pose[:, :3, :3]
    pose[:, :3, 3] += 0.03 * torch.nn.functional.normalize(torch.randn(30, 3, generator=generator), dim=-1)
    wrong = dataclasses.replace(views, camera=dataclasses.replace(views.camera, pose=pose))
    plain = VoxelConfig(iters=150, resolution=48, deterministic=True, eval_every=10**6, n_rand=4096)

    def quality(config: VoxelConfig, name: str) -> tuple[float, Camera]:
        fitted, _ = fit(wrong, config, tmp_path / name)
        background = torch.ones(3)
        seen = [fitted.field.picture(fitted.cameras[i], background).color for i in wrong.held_out]
        truth = [wrong.color(i) for i in wrong.held_out]
        errors = torch.stack([((a - b) ** 2).mean() for a, b in zip(seen, truth)])
        return float(-10 * errors.log10().mean()), fitted.cameras

    before, _ = quality(plain, "plain")
    after, mended = quality(dataclasses.replace(plain, refine_poses=True), "mended")
    assert after > before + 3
    away = (mended.position - views.camera.position).norm(dim=-1)[torch.tensor(views.train)].mean()
    assert float(away) < 0.02  # of 0.03
