"""Training a NeRF, the loop on the page: random pixels -> rays -> colours -> error -> step.

``train`` is all there is to it; the functions below it draw the batch, measure on held-out views and save. The picture
along a ray is ``mlp.render_rays``, and what that integrates is ``volume.render``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from fieldscape import devices, resuming
from fieldscape.cameras import image_rays
from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.framing import frame
from fieldscape.images import write_image
from fieldscape.progress import Bar
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.nerf import guard
from fieldscape.systems.nerf.config import MlpConfig
from fieldscape.systems.nerf.glimpses import held_out_psnr, preview
from fieldscape.systems.nerf.mlp import NerfMlp, Placement, initialize, rays_at_once, render_picture, render_rays
from fieldscape.systems.nerf.pixels import draw, require_maps, squared_error, to_device
from fieldscape.types import Camera, Rendered, Views

DENSITY_BIASES = (0.1, 0.5, 1.0)
"""Fog at the start of the first attempt and of the restarts after a collapse; there are no more attempts than these."""

RESTART_BEFORE = 1000
"""A collapse up to this step costs little and is started over; a later one is reported."""

CHECK_EVERY = 10
"""Steps between looks at the error: a look waits for a GPU to finish."""


@dataclass(frozen=True)
class FittedMlp:
    """What training leaves. ``curve``: (step, held-out PSNR) on the way. ``stopped``: why it ended early, or None."""

    model: NerfMlp
    background: tuple[float, float, float] | None
    bf16: bool
    step: int
    seconds: float
    restarts: int
    curve: tuple[tuple[int, float], ...]
    stopped: str | None


def train(
    views: Views,
    config: MlpConfig,
    run: Run,
    stop: Stop,
    bar: Bar,
    device: torch.device,
    seed: int,
    resume: Checkpoint | None = None,
) -> FittedMlp:
    """Fit a NeRF to the views that are not held out, writing figures, previews and checkpoints into ``run``.

    Resuming on a CPU with the same number of threads continues bit for bit.

    Raises:
        BadInput: the views lack the maps that were asked for, or training collapsed and restarting did not help.
    """
    require_maps(views, config.channels)
    placement = place(views, config)
    bf16 = devices.bf16_pays(device) if config.precision == "auto" else config.precision == "bf16"
    background = None if views.background is None else torch.tensor(views.background, device=device)
    views = to_device(views, device)
    learn_from = torch.tensor(views.train, device=device)
    generator = torch.Generator(device).manual_seed(seed)
    one_color = guard.one_color_error(draw(views, learn_from, config, 0, generator).color)

    attempt = 0
    model, optimizer, generator = begin(config, placement, device, seed, attempt)
    step, seconds, trace, curve = 0, 0.0, torch.zeros(0, 2), list[tuple[int, float]]()
    if resume is not None:
        step, seconds, attempt = resume.step, float(resume.state["seconds"]), int(resume.state["attempt"])
        trace, curve = resume.tensors["trace"], [(int(s), float(p)) for s, p in resume.state["curve"]]
        restore(resume, model, optimizer, generator)
        bf16 = bool(resume.state["bf16"])  # measured anew it might come out differently, and so would the weights
    at_once = rays_at_once(model, device)

    def look(camera: Camera) -> Rendered:
        return render_picture(model, image_rays(camera), background, bf16)

    looked, recent, stopped = time.monotonic(), list[Tensor](), stop.requested

    over = step >= config.iters
    while not over and stopped is None:
        # The learning rate falls exponentially to its final share.
        for group in optimizer.param_groups:
            group["lr"] = config.lr * config.lr_decay ** (step / config.iters)

        # The error of random pixels of all training views is a fair sample of the error of all photos.
        batch = draw(views, learn_from, config, step, generator)
        count = batch.weight.sum().clamp_min(1)

        # Gradients of parts add up to the gradient of the whole, and a part's activations stay in the CPU's cache.
        error, alpha = torch.zeros((), device=device), torch.zeros((), device=device)
        for start in range(0, config.n_rand, at_once):
            part = batch.part(start, start + at_once)
            seen = render_rays(model, part.rays, background, bf16, generator, config.density_noise)
            losses = [squared_error(picture, part) / count for picture in seen]
            torch.stack(losses).sum().backward()
            error += losses[-1].detach()
            alpha = torch.maximum(alpha, torch.stack([picture.alpha.detach().amax() for picture in seen]).amin())
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        recent.append(torch.stack([error, alpha]))

        # Is it still learning? If not, another start may fare better.
        stopped = stop.requested
        over = step >= config.iters or 0 < config.seconds <= seconds + time.monotonic() - looked
        saving = step % config.checkpoint_every == 0 or over or stopped is not None
        if step % CHECK_EVERY == 0 or saving:
            trace = torch.cat([trace, torch.stack(recent).cpu()])[-3 * guard.WINDOW :]
            recent.clear()
            reason = guard.verdict(step - len(trace), trace[:, 0], trace[:, 1], one_color)
            if reason is not None:
                attempt += 1
                refuse_if_hopeless(reason, step, attempt)
                bar.say(f"Training collapsed: {reason}. Starting again with seed {seed + attempt}.")
                run.log(step, restarted=reason, seed=seed + attempt)
                model, optimizer, generator = begin(config, placement, device, seed, attempt)
                step, over, trace = 0, False, torch.zeros(0, 2)
                curve.clear()
                continue
            bar.update(step, loss=float(trace[-1, 0]))

        # Everything below looks and saves; none of it changes what is learned.
        seconds, looked = seconds + time.monotonic() - looked, time.monotonic()
        if step % config.eval_every == 0 or over:
            quality = held_out_psnr(look, views, config.eval_views)
            run.log(step, loss=float(error), psnr=quality, seconds=round(seconds, 3))
            if quality is not None:
                curve.append((step, quality))
                bar.update(step, psnr=quality)
        if config.preview_every and step % config.preview_every == 0:
            write_image(run.preview_path(f"step-{step:06d}.png"), preview(look, views))
        if saving:
            tensors, groups = resuming.optimizer_state(optimizer)
            run.save(
                step,
                resuming.prefixed("model", model.state_dict())
                | resuming.prefixed("adam", tensors)
                | {"generator": resuming.rng_state(generator), "trace": trace},
                {"seconds": seconds, "attempt": attempt, "curve": curve, "adam": groups, "bf16": bf16},
            )
        looked = time.monotonic()

    model.eval()
    return FittedMlp(model, views.background, bf16, step, seconds, attempt, tuple(curve), stopped)


def place(views: Views, config: MlpConfig) -> Placement:
    """Where the scene lies, judged from the views where ``config`` does not say. Raises BadInput if that is nowhere."""
    framing = frame(views)
    near = framing.near if config.near is None else config.near
    far = framing.far if config.far is None else config.far
    if framing.unbounded:
        near = max(near, 1e-3 * framing.radius)  # samples are spaced in 1 / distance there
    if not near < far:
        raise BadInput(f"near is {near:g} and far {far:g}: rays need near < far. Give both --near and --far.")
    x, y, z = framing.center.tolist()
    return Placement((x, y, z), framing.radius, near, far, framing.unbounded)


def begin(
    config: MlpConfig, placement: Placement, device: torch.device, seed: int, attempt: int
) -> tuple[NerfMlp, torch.optim.Adam, torch.Generator]:
    """Networks, optimiser and randomness at step 0 of an attempt; each attempt has its own seed and density bias."""
    # Weights are drawn on the CPU, so that a seed means the same networks on every device.
    model = NerfMlp(config, placement)
    initialize(model, torch.Generator().manual_seed(seed + attempt), DENSITY_BIASES[attempt])
    model = model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    return model, optimizer, torch.Generator(device).manual_seed(seed + attempt)


def restore(resume: Checkpoint, model: NerfMlp, optimizer: torch.optim.Adam, generator: torch.Generator) -> None:
    """Put everything where ``resume`` has it. Raises BadInput if the checkpoint is of another network."""
    try:
        model.load_state_dict(resuming.under("model", resume.tensors))
    except RuntimeError as error:
        said = "The checkpoint is of a network of another shape: resume with the options it was made with."
        raise BadInput(said) from error
    resuming.set_optimizer_state(optimizer, resuming.under("adam", resume.tensors), resume.state["adam"])
    resuming.set_rng_state(generator, resume.tensors["generator"])


def refuse_if_hopeless(reason: str, step: int, attempt: int) -> None:
    """Raise BadInput where starting again would waste long work, or has been tried often enough."""
    if step > RESTART_BEFORE:
        raise BadInput(
            f"Training collapsed: {reason}. The checkpoints from before are kept. Start again with a smaller --lr, "
            "or with --precision float32."
        )
    if attempt >= len(DENSITY_BIASES):
        raise BadInput(
            f"Training collapsed {attempt} times, at last because {reason}. The poses or the distances --near and "
            "--far are probably wrong (`fieldscape info` draws the cameras); if not, try a smaller --lr."
        )
