"""Training a generator of scenes, the loop on the page: two players, photos without poses, and what tells them apart.

Both are scored by the non-saturating logistic loss (Goodfellow et al. 2014); the discriminator pays for its gradient at
real pictures (R1: Mescheder et al. 2018), every eighth step (Karras et al. 2020).
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, softplus

from fieldscape import resuming
from fieldscape.checkpoints import Checkpoint
from fieldscape.data.photo_sets import PhotoSet
from fieldscape.errors import BadInput
from fieldscape.images import write_image
from fieldscape.progress import Bar
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.gan import measure
from fieldscape.systems.gan.augment import adapted, augment
from fieldscape.systems.gan.config import PLANE_SIDES, SAMPLES, STAGES, GanConfig
from fieldscape.systems.gan.discriminator import Discriminator
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw
from fieldscape.systems.gan.poses import GivenPoses, OrbitPrior, Prior, RoomPrior, scene_box
from fieldscape.systems.gan.siren import SirenGenerator
from fieldscape.systems.gan.triplane import TriplaneGenerator
from fieldscape.types import Field

R1_EVERY = 8
LOOKS = 512
"""Photos and scenes that are compared on the way."""
MOST_HALVINGS = 6
FADE = 0.1
"""Share of a stage over which its finest block grows in."""

Generator: TypeAlias = TriplaneGenerator | SirenGenerator


@dataclass
class Players:
    """Who plays, and what a checkpoint needs: networks, optimisers, randomness, and how far they are.

    kept: the running mean of the generator, which is what training is for.  share: of pictures that are augmented.
    rate: by which both step sizes are multiplied; it is halved where training had to go back.
    """

    generator: Generator
    discriminator: Discriminator
    kept: Generator
    adams: tuple[torch.optim.Adam, torch.optim.Adam]
    chance: torch.Generator
    seen: int = 0
    step: int = 0
    share: float = 0.0
    rate: float = 1.0

    def tensors(self) -> dict[str, Tensor]:
        """With ``state``, all there is to go on from."""
        held = resuming.prefixed("generator", self.generator.state_dict())
        held |= resuming.prefixed("discriminator", self.discriminator.state_dict())
        held |= resuming.prefixed("kept", self.kept.state_dict())
        for name, adam in zip(("adam_g", "adam_d"), self.adams):
            held |= resuming.prefixed(name, resuming.optimizer_state(adam)[0])
        return held | {"chance": resuming.rng_state(self.chance)}

    def state(self) -> dict[str, object]:
        groups = [resuming.optimizer_state(adam)[1] for adam in self.adams]
        return {"groups": groups, "seen": self.seen, "step": self.step, "share": self.share, "rate": self.rate}

    def copied(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """``tensors`` and ``state`` as they are now, whatever becomes of the players."""
        return {name: tensor.clone() for name, tensor in self.tensors().items()}, deepcopy(self.state())

    def restore(self, tensors: dict[str, Tensor], state: dict) -> None:
        """Goes back to what ``tensors`` and ``state`` gave. Raises BadInput if they are of other networks."""
        try:
            for name, network in (
                ("generator", self.generator), ("discriminator", self.discriminator), ("kept", self.kept),
            ):  # fmt: skip
                network.load_state_dict(resuming.under(name, tensors))
        except RuntimeError as error:
            said = "The checkpoint is of other networks: resume with the options it was made with."
            raise BadInput(said) from error
        for name, adam, group in zip(("adam_g", "adam_d"), self.adams, state["groups"]):
            resuming.set_optimizer_state(adam, resuming.under(name, tensors), group)
        resuming.set_rng_state(self.chance, tensors["chance"])
        self.seen, self.step = int(state["seen"]), int(state["step"])
        self.share, self.rate = float(state["share"]), float(state["rate"])


def begin(config: GanConfig, prior: Prior, seed: int) -> Players:
    """Both players at the start; a seed means the same weights on every device."""
    low, high = scene_box(prior, config.near, config.far)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator: Generator
        if config.generator == "siren":
            generator = SirenGenerator(low, high, config.latent, config.preset)
        else:
            generator = TriplaneGenerator(low, high, config.latent, config.features, PLANE_SIDES[config.size])
        told = isinstance(prior, GivenPoses)
        discriminator = Discriminator(config.size, 3, prior.labels, told)
    adams = (
        torch.optim.Adam(generator.parameters(), config.lr_generator, (0.0, 0.99)),
        torch.optim.Adam(discriminator.parameters(), config.lr_discriminator, (0.0, 0.99)),
    )
    kept = deepcopy(generator).requires_grad_(False)
    return Players(generator, discriminator, kept, adams, torch.Generator().manual_seed(seed))


def prior_of(config: GanConfig, given: GivenPoses | None) -> Prior:
    """Where the cameras stand. Raises BadInput where poses are to be given and are not."""
    if config.prior == "given":
        if given is None:
            raise BadInput("--prior given needs the poses of the photos: give --poses.")
        return given
    if config.prior == "object":
        return OrbitPrior(config.fov, config.yaw, config.pitch)
    return RoomPrior(config.fov, config.yaw, config.pitch, shift=config.shift)


def stage(size: int, progress: float) -> tuple[int, float]:
    """The side of the pictures at a share of the training, and how far its finest block has grown in.

    >>> stage(32, 0.1), stage(32, 0.24), stage(32, 1.0)
    ((16, 1.0), (32, 0.5), (32, 1.0))
    """
    stages = STAGES[size]
    current = max(i for i, (start, _) in enumerate(stages) if start <= progress)
    start, side = stages[current]
    end = stages[current + 1][0] if current + 1 < len(stages) else 1.0
    return side, 1.0 if current == 0 else round(min((progress - start) / (FADE * (end - start)), 1.0), 6)


def imagine(
    generator: Generator, prior: Prior, sampling: Sampling, count: int, side: int, noise: float, chance: torch.Generator
) -> tuple[Field, Float[Tensor, "b 3 s s"], Float[Tensor, "b l"]]:
    """New scenes, a picture of each in -1..1, and the labels of their cameras."""
    camera, label = prior.draw(count, side, chance)
    field = generator.field(generator.mapping(torch.randn(count, generator.latent, generator=chance)))
    color, _ = as_pictures(draw(field, camera, sampling, chance, noise))
    return field, color, label


def roughness(field: Field, low: Tensor, high: Tensor, count: int, chance: torch.Generator) -> Float[Tensor, ""]:
    """The mean difference of density between near places (0.4 % of the box apart), anywhere in the box."""
    place = low + (high - low) * torch.rand(count, 512, 3, generator=chance)
    beside = place + 0.004 * (high - low) * torch.randn(place.shape, generator=chance)
    both = torch.cat([place, beside], 1)
    one, other = field(both, torch.zeros_like(both))[1].chunk(2, 1)
    return (one - other).abs().mean()


def train(
    photos: PhotoSet,
    held: Tensor,
    config: GanConfig,
    given: GivenPoses | None,
    run: Run,
    stop: Stop,
    bar: Bar,
    seed: int,
    resume: Checkpoint | None = None,
) -> tuple[Players, str | None, float]:
    """Teaches a generator to make scenes whose pictures look like the photos.

    held: photos [n, s, s, 3] that are only compared with.  Resuming on a CPU continues bit for bit where ``images``
    sets the plan; where ``seconds`` does, the clock is part of it.

    Returns the players, why they stopped early (or None), and the seconds of training.
    """
    prior = prior_of(config, given)
    players = begin(config, prior, seed)
    if resume is not None:
        players.restore(resume.tensors, resume.state["players"])
    generator, discriminator, chance = players.generator, players.discriminator, players.chance
    adam_g, adam_d = players.adams
    images = torch.from_numpy(photos.images)
    walled, batch = config.prior != "object", config.batch
    seconds = 0.0 if resume is None else float(resume.state["seconds"])
    good, halved = players.copied(), 0
    looked, stopped, looks = time.monotonic(), stop.requested, players.seen // config.look_every
    while stopped is None:
        progress = players.seen / config.images if config.images else seconds / config.seconds
        if progress >= 1:
            break
        side, fade = stage(config.size, progress)
        sampling = Sampling(config.near, config.far, SAMPLES[side], walled=walled)
        noise = max(0.0, 1 - players.seen / config.noise_images)
        for adam, rate in ((adam_g, config.lr_generator), (adam_d, config.lr_discriminator)):
            for group in adam.param_groups:
                group["lr"] = rate * players.rate

        # The discriminator: which of these are photos, and from where were the others taken?
        chosen = torch.randint(len(images), (batch,), generator=chance)
        real = pictures(images[chosen], side, config.flips, chance)
        with torch.no_grad():
            _, fake, label = imagine(generator, prior, sampling, batch, side, noise, chance)
        told = torch.cat([label, given.label(chosen)]) if config.prior == "given" and given is not None else None
        both = augment(torch.cat([fake, real]), players.share, chance)
        score, guessed = discriminator(both, told, fade)
        fake_score, real_score = score.chunk(2)
        loss_d = softplus(fake_score).mean() + softplus(-real_score).mean()
        loss_d = loss_d + config.pose_weight * (guessed[:batch] - label).square().mean()
        if players.step % R1_EVERY == 0:
            loss_d = loss_d + config.r1 * R1_EVERY / 2 * steepness(discriminator, both[batch:], told, fade, batch)
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()
        players.share = adapted(players.share, float(real_score.detach().sign().mean()), batch)

        # The generator: pictures that pass for photos, of scenes in which density varies smoothly.
        field, fake, label = imagine(generator, prior, sampling, batch, side, noise, chance)
        told = label if config.prior == "given" else None
        score, guessed = discriminator(augment(fake, players.share, chance), told, fade)
        loss_g = softplus(-score).mean() + config.pose_weight * (guessed - label).square().mean()
        loss_g = loss_g + config.smooth * roughness(field, generator.low, generator.high, batch, chance)
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()

        players.step += 1
        players.seen += batch
        forget = 0.5 ** (batch / min(config.ema_images, 0.05 * players.seen + 1e-8))
        keep(players.kept, generator, forget)
        seconds, looked = seconds + time.monotonic() - looked, time.monotonic()
        stopped = stop.requested
        bar.update(
            players.seen if config.images else min(seconds, config.seconds),
            images=players.seen,
            d=float(loss_d.detach()),
            g=float(loss_g.detach()),
            augmented=round(players.share, 3),
        )

        # Everything below looks, saves, and goes back where there is nothing left to look at.
        if not (loss_d.isfinite() and loss_g.isfinite()):
            halved += 1
            if halved > MOST_HALVINGS:
                raise BadInput("Training diverged again and again: lower --lr-generator and --lr-discriminator.")
            bar.say(f"Training diverged at {players.seen} photos: back to the last good state, half the step sizes.")
            seen = players.seen
            players.restore(*good)
            # Other random numbers, or the same would happen again.
            players.rate, players.seen = players.rate / 2, seen
            chance.manual_seed(seed + 7919 * halved)
        if players.seen // config.look_every > looks or stopped is not None:
            looks = players.seen // config.look_every
            look(players, prior, config, side, images, held, run, bar, seconds)
            good = players.copied()
            run.save(players.step, good[0], {"players": good[1], "seconds": seconds})
        looked = time.monotonic()
    run.save(players.step, players.tensors(), {"players": players.state(), "seconds": seconds})
    return players, stopped, seconds


def look(
    players: Players,
    prior: Prior,
    config: GanConfig,
    side: int,
    images: Tensor,
    held: Tensor,
    run: Run,
    bar: Bar,
    seconds: float,
) -> None:
    """Figures into the log, a sheet into the previews, and a word where something goes wrong."""
    chance = torch.Generator().manual_seed(0)
    others, photos = (pictures(some[:LOOKS], side, False, chance) / 2 + 0.5 for some in (images, held))
    found = measure.measured(players.kept, prior, config, photos, others, min(LOOKS, len(held)))
    run.log(players.step, images=players.seen, seconds=round(seconds, 2), side=side, **found)
    write_image(run.preview_path(f"scenes-{players.seen:08d}.png"), measure.sheet(players.kept, prior, config, side))
    said = f"{players.seen} photos: SWD {found['swd']:.4f} (photos {found['swd_floor']:.4f}), "
    bar.say(said + f"relief {found['relief']:.3f}, diversity {found['diversity']:.2f}")
    if players.seen > config.noise_images:
        for complaint in measure.complaints(found):
            bar.say(f"  {complaint}")


def steepness(
    discriminator: Discriminator, real: Tensor, told: Tensor | None, fade: float, batch: int
) -> Float[Tensor, ""]:
    """The mean squared gradient of the score at real pictures."""
    real = real.detach().requires_grad_()
    score, _ = discriminator(real, None if told is None else told[batch:], fade)
    (gradient,) = torch.autograd.grad(score.sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def pictures(chosen: Tensor, side: int, flips: bool, chance: torch.Generator) -> Float[Tensor, "b 3 s s"]:
    """Photos [b, h, w, 3] in bytes as pictures in -1..1, ``side`` pixels a side, half of them mirrored if ``flips``."""
    color = chosen.movedim(-1, 1).float() / 127.5 - 1
    color = avg_pool2d(color, color.shape[-1] // side) if color.shape[-1] > side else color
    if flips:
        turned = torch.rand(len(color), generator=chance) < 0.5
        color = torch.where(turned[:, None, None, None], color.flip(-1), color)
    return color


@torch.no_grad()
def keep(kept: nn.Module, current: nn.Module, forget: float) -> None:
    """kept = forget kept + (1 - forget) current, for all weights."""
    old: list[Tensor] = list(kept.parameters())
    torch._foreach_lerp_(old, list[Tensor](current.parameters()), 1 - forget)
