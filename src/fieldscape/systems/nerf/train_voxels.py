"""Training a voxel field, the loop on the page: pixels -> rays -> march -> error -> step, on ever finer grids.

The picture along a ray is ``voxels.march``, and what that integrates is ``volume``. Progress runs from 0 to 1 over the
seconds, or the steps, that the config gives; the grid's resolution and the learning rates follow it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import adaptive_max_pool3d, embedding_bag, max_pool2d

from fieldscape import resuming
from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.framing import Framing, carve, frame, silhouettes
from fieldscape.images import write_image
from fieldscape.progress import Bar
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.nerf.config import VoxelConfig
from fieldscape.systems.nerf.glimpses import held_out_psnr, preview
from fieldscape.systems.nerf.grid import RowAdam
from fieldscape.systems.nerf.pixels import look_up, require_maps, squared_error, to_device
from fieldscape.systems.nerf.voxels import VoxelField, grid_shape, march, picture
from fieldscape.types import Rays, Rendered, Views

STAGES = ((0.0, 0.25), (0.1, 0.5), (0.3, 0.78), (0.55, 1.0))
"""From which progress on the grid has which share of its final resolution: structure first, then detail."""

SETTLE_EVERY = 64
"""Steps between looks at which cells are empty."""

HULL_RESOLUTION = 96
"""The visual hull only has to say where to look; the field finds the surface."""


@dataclass(frozen=True)
class FittedVoxels:
    """What training leaves. ``curve``: (step, seconds, held-out PSNR) on the way. ``stopped``: why it ended early."""

    field: VoxelField
    framing: Framing
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

    Resuming on a CPU continues bit for bit where ``config.iters`` sets the plan; where ``config.seconds`` does, the
    clock is part of the plan.

    Raises:
        BadInput: the views lack the maps that were asked for, or the cameras stand at one place.
    """
    require_maps(views, config.channels)
    framing = frame(views)
    hull = None
    if not framing.unbounded:
        shape = grid_shape(framing.low, framing.high, HULL_RESOLUTION)
        hull = carve(views, framing.low, framing.high, shape).to(device)
        if float(hull.float().mean()) < 1e-3:
            bar.say("The silhouettes do not meet in space: the poses are probably wrong. Nothing is carved away.")
            hull = None
    pool, opacity = useful_pixels(views)
    framing, views = framing.to(device), to_device(views, device)
    pool, opacity = pool.to(device), None if opacity is None else opacity.to(device)
    resolution = config.resolution or auto_resolution(views, framing)
    channels = 3 + config.channels
    background = None
    if views.background is not None:
        # Further channels have nothing behind them.
        background = torch.tensor([*views.background, *[0.0] * config.channels], device=device)

    generator = torch.Generator(device).manual_seed(seed)
    stage, step, seconds, curve = -1, 0, 0.0, list[tuple[int, float, float]]()
    field = VoxelField(framing.low, framing.high, (2, 2, 2), framing.unbounded, channels)
    optimizers = dict[str, RowAdam]()
    if resume is not None:
        step, seconds, stage = resume.step, float(resume.state["seconds"]), int(resume.state["stage"])
        curve = [(int(s), float(t), float(p)) for s, t, p in resume.state["curve"]]
        field, optimizers = restore(resume, field, config)
        resuming.set_rng_state(generator, resume.tensors["generator"])

    def look(rays: Rays) -> Rendered:
        return picture(field, rays, framing, background, config.step)

    looked, stopped = time.monotonic(), stop.requested
    while stopped is None:
        progress = step / config.iters if config.iters else seconds / config.seconds
        if progress >= 1:
            break

        # A finer grid, when its time has come: it starts as the coarser one, with what is empty left out.
        due = max(i for i, (start, _) in enumerate(STAGES) if start <= progress)
        if due != stage:
            shape = grid_shape(framing.low, framing.high, max(16, round(resolution * STAGES[due][1])))
            if stage >= 0:
                field = field.refined(shape)
            else:
                field = VoxelField(framing.low, framing.high, shape, framing.unbounded, channels)
            field.occupied &= allowed(hull, field)
            optimizers = {
                "density": RowAdam(field.density, config.lr_density),
                "color": RowAdam(field.color, config.lr_color),
            }
            stage = due
        if step % SETTLE_EVERY == SETTLE_EVERY - 1:
            field.settle()
            field.occupied &= allowed(hull, field)

        # Random pixels, without those so far from the object that their rays meet nothing.
        index = pool[torch.randint(len(pool), (config.n_rand,), generator=generator, device=device)]
        batch = look_up(views, *unravel(index, views))
        seen = march(field, batch.rays, framing, background, config.step, generator)
        count = batch.weight.sum().clamp_min(1)
        error = squared_error(seen, batch) / count
        loss = error
        if opacity is not None:
            known, target = opacity[:, index]
            loss = loss + config.opacity * (known * (seen.alpha[:, 0] - target).abs()).mean()
        gradients = torch.autograd.grad(loss, (field.density, field.color))

        # Only the vertices that this batch read are moved, and only their neighbourhoods smoothed.
        for (name, optimizer), gradient in zip(optimizers.items(), gradients):
            table, touched, values = getattr(field, name), gradient.indices()[0], gradient.values()
            values = values + config.smoothness * roughness(table.detach(), touched, field.shape)
            optimizer.step(table, touched, values, config.lr_decay**progress)
        step += 1

        # Everything below looks and saves; none of it changes what is learned.
        seconds, looked = seconds + time.monotonic() - looked, time.monotonic()
        stopped = stop.requested
        over = (step >= config.iters) if config.iters else (seconds >= config.seconds)
        bar.update(step if config.iters else min(seconds, config.seconds), loss=error.item())
        if step % config.eval_every == 0 or over:
            quality = held_out_psnr(look, views, config.eval_views)
            run.log(step, loss=error.item(), psnr=quality, seconds=round(seconds, 3), vertices=len(field.density))
            if quality is not None:
                curve.append((step, seconds, quality))
                bar.update(step if config.iters else min(seconds, config.seconds), psnr=quality)
        if config.preview_every and step % config.preview_every == 0:
            write_image(run.preview_path(f"step-{step:06d}.png"), preview(look, views))
        if step % config.checkpoint_every == 0 or over or stopped is not None:
            save(run, step, field, optimizers, generator, {"seconds": seconds, "stage": stage, "curve": curve})
        looked = time.monotonic()

    return FittedVoxels(field, framing, step, seconds, tuple(curve), stopped)


def useful_pixels(views: Views) -> tuple[Int[Tensor, "p"], Float[Tensor, "2 q"] | None]:
    """The pixels worth training on, as indices into all [v, h, w]; and what is known of the opacity of all.

    Every pixel of the training views, but where the background is known only those near the object: a ray far outside
    its silhouette meets no occupied cell. The opacity is two rows, whether it is known and what it is: alpha where
    there is transparency; else 0 outside the silhouette, and unknown on it.
    """
    _, height, width, _ = views.images.shape
    train = torch.tensor(views.train)
    if views.background is None:
        return (train[:, None] * height * width + torch.arange(height * width)).flatten(), None
    shapes = silhouettes(views)
    reach = max(2, round(0.03 * max(height, width)))
    near = torch.zeros_like(shapes)
    near[train] = max_pool2d(shapes[train, None].float(), 2 * reach + 1, 1, reach)[:, 0] > 0
    pool = near.flatten().nonzero()[:, 0]
    if len(pool) == 0:
        raise BadInput("no training view shows anything but background: check the photos, or the --background given")
    if views.images.shape[-1] == 4:
        alpha = views.images[..., 3].flatten()
        target = alpha.float() / 255 if alpha.dtype == torch.uint8 else alpha
        return pool, torch.stack([torch.ones_like(target), target])
    outside = (~shapes).flatten().float()
    return pool, torch.stack([outside, torch.zeros_like(outside)])


def unravel(index: Int[Tensor, "n"], views: Views) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"], Int[Tensor, "n"]]:
    """Indices into all pixels as view, row and column."""
    _, height, width, _ = views.images.shape
    return index // (height * width), index // width % height, index % width


def auto_resolution(views: Views, framing: Framing) -> int:
    """A voxel about half as wide as a pixel at the object, within what a dense grid can hold.

    An unbounded scene spreads the same vertices over a core and all the rest, so it starts from more.
    """
    if framing.unbounded:
        return min(192, max(96, round(0.8 * max(views.camera.width, views.camera.height))))
    return min(192, max(64, round(1.3 * max(views.camera.width, views.camera.height))))


def allowed(hull: Bool[Tensor, "x y z"] | None, field: VoxelField) -> Bool[Tensor, "i j k"] | bool:
    """Which cells of ``field`` the visual hull leaves open; all of them where there is none."""
    if hull is None:
        return True
    return adaptive_max_pool3d(hull[None, None].float(), tuple(field.occupied.shape))[0, 0] > 0


def roughness(
    table: Float[Tensor, "v c"], touched: Int[Tensor, "u"], shape: tuple[int, int, int]
) -> Float[Tensor, "u c"]:
    """How far each row lies above the mean of its six neighbours: the gradient of their squared differences / 12."""
    sx, sy = shape[1] * shape[2], shape[2]
    offsets = torch.tensor([1, -1, sy, -sy, sx, -sx], device=table.device)
    around = (touched[:, None] + offsets).clamp(0, len(table) - 1)
    return table.index_select(0, touched) - embedding_bag(around, table, mode="mean")


def save(
    run: Run,
    step: int,
    field: VoxelField,
    optimizers: dict[str, RowAdam],
    generator: torch.Generator,
    state: dict[str, object],
) -> None:
    """Write the checkpoint of ``step``."""
    tensors = resuming.prefixed("field", field.state_dict()) | {"generator": resuming.rng_state(generator)}
    for name, optimizer in optimizers.items():
        tensors |= {f"{name}.mean": optimizer.mean, f"{name}.square": optimizer.square}
    ages = {name: optimizer.age for name, optimizer in optimizers.items()}
    run.save(step, tensors, {**state, "shape": list(field.shape), "ages": ages})


def restore(resume: Checkpoint, like: VoxelField, config: VoxelConfig) -> tuple[VoxelField, dict[str, RowAdam]]:
    """The field and optimisers that ``resume`` holds. Raises BadInput if it is not a checkpoint of such a field."""
    try:
        x, y, z = (int(n) for n in resume.state["shape"])
        field = VoxelField(like.low, like.high, (x, y, z), like.unbounded, like.channels)
        field.load_state_dict(resuming.under("field", resume.tensors))
        optimizers = {
            "density": RowAdam(field.density, config.lr_density),
            "color": RowAdam(field.color, config.lr_color),
        }
        for name, optimizer in optimizers.items():
            optimizer.mean.copy_(resume.tensors[f"{name}.mean"])
            optimizer.square.copy_(resume.tensors[f"{name}.square"])
            optimizer.age = int(resume.state["ages"][name])
    except (RuntimeError, KeyError, ValueError) as error:
        raise BadInput(
            "The checkpoint does not hold a voxel field of this shape: resume with its own options."
        ) from error
    return field, optimizers
