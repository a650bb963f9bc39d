"""Training a voxel field, the loop on the page: learn, settle, refine, look, save.

What one step learns is ``learn_bricks`` on a CPU, by the kernels, and ``learn_voxels`` elsewhere, by torch. Progress
runs from 0 to 1 over the seconds, or the steps, that the config gives; the grid's resolution and the rates follow it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import adaptive_max_pool3d, max_pool3d

from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.framing import Framing, carve, frame, silhouettes
from fieldscape.images import write_image
from fieldscape.progress import Bar
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.nerf.config import VoxelConfig
from fieldscape.systems.nerf.foresight import affordable, free_memory, require_sound
from fieldscape.systems.nerf.glimpses import held_out_psnr, preview
from fieldscape.systems.nerf.learn_bricks import RAYS_A_STEP as KERNEL_RAYS
from fieldscape.systems.nerf.learn_bricks import BrickLearner
from fieldscape.systems.nerf.learn_voxels import RAYS_A_STEP as TORCH_RAYS
from fieldscape.systems.nerf.learn_voxels import VoxelLearner
from fieldscape.systems.nerf.pixels import require_maps
from fieldscape.systems.nerf.pool import Pool, useful_pixels
from fieldscape.types import Camera, Rendered, Views
from fieldscape.voxels.bricks import Bricks
from fieldscape.voxels.field import VoxelField, grid_shape

STAGES = ((0.0, 0.25), (0.1, 0.5), (0.3, 0.78), (0.55, 1.0))
"""From which progress on the grid has which share of its final resolution: structure first, then detail."""

SETTLE_AFTER = 2**18
"""Rays between looks at which cells are empty."""

HULL_RESOLUTION = 96
"""The visual hull only has to say where to look; the field finds the surface."""


TAUGHT = 87.0
"""The grid whose every vertex a million rays teach well; it grows with their fourth root, as found by trial."""

LEAST_SHARE = 0.2
"""Share of the seconds that is left for training, however long finding the bounds took."""

ROOM_FOR_POSES = 3
"""Cells by which the hull is widened where poses are to be mended: 3 % of the object."""


class Learner(Protocol):
    """A field that learns from random pixels. Both halves of ``train_voxels`` are one."""

    rays_a_step: int

    def start(self, shape: tuple[int, int, int], allowed: Bool[Tensor, "i j k"] | bool) -> None: ...
    def refine(self, shape: tuple[int, int, int], allowed: Bool[Tensor, "i j k"] | bool) -> None: ...
    def settle(self) -> None: ...
    def learn(self, progress: float) -> float: ...
    def picture(self, camera: Camera) -> Rendered: ...
    def tensors(self) -> dict[str, Tensor]: ...
    def state(self) -> dict[str, object]: ...
    def restore(self, resume: Checkpoint, allowed: Bool[Tensor, "i j k"] | bool) -> None: ...
    def finish(self) -> None: ...
    def field(self) -> Bricks | VoxelField: ...
    def cameras(self) -> Camera: ...


@dataclass(frozen=True)
class FittedVoxels:
    """What training leaves. ``curve``: (step, seconds, held-out PSNR) on the way. ``stopped``: why it ended early.

    cameras: those of all photos, mended if that was asked for.
    """

    field: Bricks | VoxelField
    framing: Framing
    cameras: Camera
    step: int
    seconds: float
    curve: tuple[tuple[int, float, float], ...]
    stopped: str | None


def train(
    views: Views,
    config: VoxelConfig,
    run: Run,
    stop: Stop,
    bar: Bar,
    device: torch.device,
    seed: int,
    resume: Checkpoint | None = None,
) -> FittedVoxels:
    """Fit a voxel field to the views that are not held out, writing figures, previews and checkpoints into ``run``.

    Resuming continues bit for bit on one thread (``config.deterministic``) or with torch on a CPU, where
    ``config.iters`` sets the plan; where ``config.seconds`` does, the clock is part of the plan.

    Raises:
        BadInput: the views lack the maps that were asked for, or the cameras stand at one place.
    """
    require_maps(views, config.channels)
    started = time.monotonic()
    shapes = None if views.background is None else silhouettes(views)
    framing = frame(views, shapes)
    require_sound(views, framing)
    hull = None
    if shapes is not None:
        hull = carve(views, framing.low, framing.high, grid_shape(framing.low, framing.high, HULL_RESOLUTION), shapes)
        if float(hull.float().mean()) < 1e-3:
            bar.say("The silhouettes do not meet in space: the poses are probably wrong. Nothing is carved away.")
            hull = None
        elif config.refine_poses:
            # Silhouettes seen from slightly wrong places carve a little too much.
            reach = ROOM_FOR_POSES
            hull = max_pool3d(hull[None, None].float(), 2 * reach + 1, 1, reach)[0, 0] > 0
    pool = useful_pixels(views, shapes)
    kernels = uses_kernels(config, device)
    rays = expected_rays(config, kernels)
    open_share = 1.0 if hull is None or not kernels else float(hull.float().mean())
    wanted = config.resolution or auto_resolution(views, framing, rays)
    if resume is not None:
        wanted = int(resume.state.get("resolution", wanted))
    resolution = affordable(wanted, open_share, config.resolution > 0, None if resume is not None else free_memory())
    if resolution < wanted:
        bar.say(f"Memory is short: the grid is made of {resolution}^3 vertices, where {wanted}^3 would be fair.")
    if rays < len(pool.pixels) / 20:
        bar.say(
            f"Only one of {len(pool.pixels) / rays:.0f} pixels can be looked at in so short a time: give it longer."
        )
    background = None
    if views.background is not None:
        # Further channels have nothing behind them.
        background = torch.tensor([*views.background, *[0.0] * config.channels])
    prepared = time.monotonic() - started
    budget = max(config.seconds - prepared, LEAST_SHARE * config.seconds)
    learner: Learner
    if kernels:
        learner = BrickLearner(
            views, framing, pool, unseen_pixels(views, shapes, config), background, config, seed, bar
        )
    else:
        learner = VoxelLearner(views, framing, pool, background, config, seed, device)

    stage, step, seconds, settled, curve = -1, 0, prepared, 0, list[tuple[int, float, float]]()
    if resume is not None:
        step, seconds, stage = resume.step, float(resume.state["seconds"]), int(resume.state["stage"])
        settled = int(resume.state["settled"])
        curve = [(int(s), float(t), float(p)) for s, t, p in resume.state["curve"]]
        try:
            learner.restore(resume, allowed(hull, plan(framing, resolution, stage)))
        except (RuntimeError, KeyError, ValueError, TypeError) as fault:
            raise BadInput(
                "The checkpoint does not hold a voxel field of this kind: resume with its own options."
            ) from fault

    looked, stopped = time.monotonic(), stop.requested
    while stopped is None:
        progress = step / config.iters if config.iters else (seconds - prepared) / budget
        if progress >= 1:
            break

        # A finer grid, when its time has come: it starts as the coarser one, with what is empty left out.
        due = max(i for i, (start, _) in enumerate(STAGES) if start <= progress)
        if due != stage:
            shape = plan(framing, resolution, due)
            (learner.start if stage < 0 else learner.refine)(shape, allowed(hull, shape))
            stage, settled = due, step
        elif (step - settled) * learner.rays_a_step >= SETTLE_AFTER:
            learner.settle()
            settled = step
        error = learner.learn(progress)
        step += 1

        # Everything below looks and saves; none of it changes what is learned.
        seconds, looked = seconds + time.monotonic() - looked, time.monotonic()
        stopped = stop.requested
        over = (step >= config.iters) if config.iters else (seconds - prepared >= budget)
        done = step if config.iters else min(seconds, config.seconds)
        bar.update(done, loss=error)
        if step % config.eval_every == 0 or over:
            if over and stopped is None:
                learner.finish()
            looking = replace(views, camera=learner.cameras())
            quality = held_out_psnr(learner.picture, looking, config.eval_views)
            run.log(step, loss=error, psnr=quality, seconds=round(seconds, 3), rays=step * learner.rays_a_step)
            if quality is not None:
                curve.append((step, seconds, quality))
                bar.update(done, psnr=quality)
        if config.preview_every and step % config.preview_every == 0:
            write_image(run.preview_path(f"step-{step:06d}.png"), preview(learner.picture, views))
        if step % config.checkpoint_every == 0 or over or stopped is not None:
            state = {"seconds": seconds, "stage": stage, "settled": settled, "curve": curve, "resolution": resolution}
            run.save(step, learner.tensors(), {**learner.state(), **state})
        looked = time.monotonic()

    return FittedVoxels(learner.field(), framing, learner.cameras(), step, seconds, tuple(curve), stopped)


def unseen_pixels(views: Views, shapes: Bool[Tensor, "v h w"] | None, config: VoxelConfig) -> Pool | None:
    """The pixels by which the poses of held-out photos are found, where poses are mended and there are any."""
    if not config.refine_poses:
        return None
    try:
        return useful_pixels(views, shapes, views.held_out)
    except BadInput:
        return None


def uses_kernels(config: VoxelConfig, device: torch.device) -> bool:
    """Whether the kernels train this: they know CPUs and three channels."""
    return config.engine != "torch" and device.type == "cpu" and config.channels == 0


def plan(framing: Framing, resolution: int, stage: int) -> tuple[int, int, int]:
    """The grid of a stage of training."""
    return grid_shape(framing.low, framing.high, max(16, round(resolution * STAGES[stage][1])))


def auto_resolution(views: Views, framing: Framing, rays: float) -> int:
    """A voxel about half as wide as a pixel at the object, and no finer than so many ``rays`` can teach.

    An unbounded scene spreads its vertices over a core and all the rest; more than 256^3 of them are too many to visit.
    """
    side = max(views.camera.width, views.camera.height)
    learnable = TAUGHT * (rays / 1e6) ** 0.25
    if framing.unbounded:
        return round(min(max(96, 1.2 * side), max(96, learnable), 256))
    return round(min(max(64, 1.3 * side), max(64, learnable), 384))


def expected_rays(config: VoxelConfig, kernels: bool) -> float:
    """About how many rays a training meets. Only what is worth learning from them is judged by it."""
    if config.iters:
        return config.iters * (config.n_rand or (KERNEL_RAYS if kernels else TORCH_RAYS))
    return config.seconds * (1e6 if kernels else 1e5)


def allowed(hull: Bool[Tensor, "x y z"] | None, shape: tuple[int, int, int]) -> Bool[Tensor, "i j k"] | bool:
    """Which cells of a grid of ``shape`` vertices the visual hull leaves open; all of them where there is none."""
    if hull is None:
        return True
    cells = (shape[0] - 1, shape[1] - 1, shape[2] - 1)
    return adaptive_max_pool3d(hull[None, None].float(), cells)[0, 0] > 0
