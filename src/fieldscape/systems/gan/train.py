"""Training a generator of scenes, the loop on the page: two players, photos without poses, and what tells them apart.

Both are scored by the non-saturating logistic loss (Goodfellow et al. 2014); the discriminator pays for its gradient at
real pictures (R1: Mescheder et al. 2018), every eighth step (Karras et al. 2020).
"""

from __future__ import annotations

import math
import time

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from fieldscape import devices
from fieldscape.checkpoints import Checkpoint
from fieldscape.data.photo_sets import PhotoSet
from fieldscape.errors import BadInput
from fieldscape.images import write_image
from fieldscape.progress import Bar
from fieldscape.ranks import Ranks
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.gan import depths, measure
from fieldscape.systems.gan.augment import adapted, augment
from fieldscape.systems.gan.config import STAGES, GanConfig
from fieldscape.systems.gan.discriminator import Discriminator
from fieldscape.systems.gan.patches import Patches, draw_patches, least_scale, seen_in
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw
from fieldscape.systems.gan.players import Generator, Players, begin, jitter, narrow, prior_of, scenes
from fieldscape.systems.gan.poses import GivenPoses, Prior
from fieldscape.systems.gan.sources import source_of
from fieldscape.types import Field

R1_EVERY = 8
LOOKS = {16: 512, 32: 512, 64: 256, 128: 128}
"""Photos and scenes that are compared on the way, by the side of pictures."""
MOST_HALVINGS = 6
FADE = 0.1
"""Share of a stage over which its finest block grows in."""
FEWEST_PASS, PASS_DECAY = 0.6, 0.99 ** (1 / 2000)
"""With --top-k: the share of a batch that is learned from in the end, and by which it falls each step (pi-GAN's)."""
GAP_RATE = 0.02
"""How fast the figure of the scores' difference follows."""
ALONE = Ranks()


def stage(size: int, progress: float, patch: int = 0, reached: int = 0) -> tuple[int, float]:
    """The side of the pictures at a share of the training, and how far its finest block has grown in.

    patch: pixels a side of patches, which none is finer than; 0: whole pictures.  reached: a side that was learned from
    already; coarser ones are over, also where a training is made longer.

    >>> stage(32, 0.1), stage(32, 0.24), stage(32, 1.0)
    ((16, 1.0), (32, 0.5), (32, 1.0))
    """
    stages = [(start, side) for start, side in STAGES[size] if side <= (patch or size)]
    current = max(i for i, (start, _) in enumerate(stages) if start <= progress)
    start, side = stages[current]
    if side < reached:
        return reached, 1.0
    end = stages[current + 1][0] if current + 1 < len(stages) else 1.0
    return side, 1.0 if current == 0 else round(min((progress - start) / (FADE * (end - start)), 1.0), 6)


def imagine(
    generator: Generator,
    prior: Prior,
    sampling: Sampling,
    count: int,
    side: int,
    noise: float,
    chance: torch.Generator,
    patches: Patches | None = None,
    known: Bool[Tensor, "b 1 s s"] | None = None,
    bf16: bool = False,
) -> tuple[Field, Float[Tensor, "b c s s"], Float[Tensor, "b l"]]:
    """New scenes, a picture of each (or a patch of it) in -1..1, and the labels of their cameras.

    known: where to tell depth, as a fourth channel; None: there is none.
    """
    device = generator.low.device
    camera, label = prior.draw(count, side, chance)
    camera = (camera if patches is None else seen_in(camera, patches, side)).to(device)
    field = scenes(generator, count, chance, bf16)
    color, depth = as_pictures(draw(field, camera, sampling, jitter(chance, device), noise))
    if known is not None:
        depth = torch.where(depth > 0, depth, sampling.far)  # of rays that nothing stops
        color = torch.cat([color, depths.relative(depths.planar(camera, depth), known)], 1)
    return field, color, label.to(device)


def roughness(field: Field, low: Tensor, high: Tensor, count: int, chance: torch.Generator) -> Float[Tensor, ""]:
    """The mean difference of density between near places (0.4 % of the box apart), anywhere in the box."""
    place = low + (high - low) * torch.rand(count, 512, 3, generator=chance).to(low)
    beside = place + 0.004 * (high - low) * torch.randn(place.shape, generator=chance).to(low)
    both = torch.cat([place, beside], 1)
    one, other = field(both, torch.zeros_like(both))[1].chunk(2, 1)
    return (one - other).abs().mean()


def passing(caught: Float[Tensor, "b"], step: int) -> Float[Tensor, "k"]:
    """The losses of the pictures that pass best: of all at first, in time of ``FEWEST_PASS`` (Sinha et al. 2020).

    >>> passing(torch.tensor([3.0, 1.0, 2.0, 5.0, 4.0]), 10**6)
    tensor([1., 2., 3.])
    """
    return caught.topk(math.ceil(len(caught) * max(PASS_DECAY**step, FEWEST_PASS)), largest=False).values


def train(
    photos: PhotoSet,
    held: PhotoSet,
    config: GanConfig,
    given: GivenPoses | None,
    run: Run,
    stop: Stop,
    bar: Bar,
    seed: int,
    resume: Checkpoint | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Players, str | None, float]:
    """Teaches a generator to make scenes whose pictures look like the photos.

    held: photos that are only compared with.  ranks: the processes that share the work, of which each calls this.
    Resuming on a CPU continues bit for bit where ``images`` sets the plan; where ``seconds`` does, the clock is part
    of it.

    Returns the players, why they stopped early (or None), and the seconds of training.
    """
    device, batch = ranks.device, config.batch // ranks.count
    prior = prior_of(config, given)
    players = begin(config, prior, seed, device)
    players.chance = ranks.chance(seed)
    bf16 = ranks.any(device.type == "cuda" and devices.bf16_pays(device))
    seconds, gap, steep, reached = 0.0, 0.0, 0.0, 0
    if resume is not None:
        players.restore(ranks.own_chance(resume.tensors), resume.state["players"])
        seconds, gap = float(resume.state["seconds"]), float(resume.state.get("gap", 0.0))
        reached = int(resume.state.get("side", 0))
    generator, discriminator, chance = players.generator, players.discriminator, players.chance
    adam_g, adam_d = players.adams
    source = source_of(photos, config.depth_aware, config.flips, device)
    good, halved, swd = players.copied(), round(-math.log2(players.rate)), "-"
    looked, stopped, looks = time.monotonic(), ranks.agreed(stop.requested, False, 0.0)[0], players.looks(config)
    while stopped is None:
        progress = players.seen / config.images if config.images else seconds / config.seconds
        if progress >= 1:
            break
        side, fade = stage(config.size, progress, config.patch, reached)
        reached = side
        small = config.size if side == config.patch else side
        sampling = measure.sampling(config, small)
        least = least_scale(config.size, config.patch, progress) if side == config.patch else 1.0
        noise = max(0.0, 1 - players.seen / config.noise_images)
        for adam, rate in ((adam_g, config.lr_generator), (adam_d, config.lr_discriminator)):
            for group in adam.param_groups:
                group["lr"] = rate * players.rate

        # Photos, and pictures of new scenes: the same ones teach both players.
        chosen = torch.randint(len(photos), (batch,), generator=chance)
        cuts = draw_patches(2 * batch, least, chance) if config.patch else None
        real, known = source.real(chosen, side, None if cuts is None else cuts.part(batch, 2 * batch), chance)
        ours = None if cuts is None else cuts.part(0, batch)
        field, fake, label = imagine(generator, prior, sampling, batch, side, noise, chance, ours, known, bf16)
        labels = torch.cat([label, given.label(chosen).to(label)]) if is_told(config) and given is not None else None
        told = joint(labels, cuts, device)

        # The discriminator: which of these are photos, and from where were the others taken?
        both = augment(torch.cat([fake.detach(), real]), players.share, chance)
        score, guessed = judged(discriminator, both, told, fade, bf16)
        fake_score, real_score = score.chunk(2)
        loss_d = softplus(fake_score).mean() + softplus(-real_score).mean()
        loss_d = loss_d + config.pose_weight * (guessed[:batch] - label).square().mean()
        if players.step % R1_EVERY == 0:
            r1 = steepness(discriminator, both[batch:], told, fade, batch, bf16)
            loss_d, steep = loss_d + config.r1 * R1_EVERY / 2 * r1, float(r1.detach())
        adam_d.zero_grad()
        loss_d.backward()
        ranks.average_gradients(discriminator.parameters())
        adam_d.step()
        sure, apart = ranks.mean(torch.stack([real_score.sign().mean(), (real_score - fake_score).mean()])).tolist()
        players.share = adapted(players.share, sure, config.batch)
        gap += GAP_RATE * (apart - gap)

        # The generator: pictures that pass for photos, of scenes in which density varies smoothly.
        told = None if told is None else told[:batch]
        score, guessed = judged(discriminator, augment(fake, players.share, chance), told, fade, bf16)
        caught = softplus(-score)
        if config.top_k:
            caught = passing(caught, players.step)
        loss_g = caught.mean() + config.pose_weight * (guessed - label).square().mean()
        loss_g = loss_g + config.smooth * roughness(field, generator.low, generator.high, batch, chance)
        adam_g.zero_grad()
        loss_g.backward()
        ranks.average_gradients(generator.parameters())
        adam_g.step()

        players.step += 1
        players.seen += config.batch
        forget = 0.5 ** (config.batch / min(config.ema_images, 0.05 * players.seen + 1e-8))
        keep(players.kept, generator, forget)
        losses = torch.stack([loss_d.detach(), loss_g.detach()]).tolist()
        broken = not all(math.isfinite(loss) for loss in losses) or not players.sound()
        seconds += time.monotonic() - looked
        stopped, broken, seconds = ranks.agreed(stop.requested, broken, seconds)
        looked = time.monotonic()
        bar.update(
            players.seen if config.images else min(seconds, config.seconds),
            images=players.seen,
            rate=f"{players.seen / max(seconds, 1e-9):.0f}/s",
            d=losses[0],
            g=losses[1],
            r1=steep,
            augmented=round(players.share, 3),
            swd=swd,
        )

        # Everything below saves, looks, and goes back where there is nothing left to look at.
        if broken:
            halved += 1
            if halved > MOST_HALVINGS:
                raise BadInput("Training diverged again and again: lower --lr-generator and --lr-discriminator.")
            bar.say(f"Training diverged at {players.seen} photos: back to the last good state, half the step sizes.")
            seen = players.seen
            players.restore(*good)
            # Other random numbers, or the same would happen again.
            players.rate, players.seen, gap = 0.5**halved, seen, 0.0
            chance.set_state(ranks.chance(seed + 7919 * halved).get_state())
        if players.looks(config) > looks and stopped is None:
            looks, good, others = players.looks(config), players.copied(), ranks.chances(chance)
            if ranks.first:
                # Saved before it is looked at: who is asked to stop meanwhile has nothing to lose.
                state = {"players": good[1], "seconds": seconds, "gap": gap, "side": reached}
                run.save(players.step, good[0] | others, state)
                told_apart = {"gap": gap, "r1": steep, "push": measure.gradient(generator)}
                swd = look(players, prior, config, side, photos, held, run, bar, seconds, told_apart)
        looked = time.monotonic()
    others = ranks.chances(chance)
    if ranks.first:
        state = {"players": players.state(), "seconds": seconds, "gap": gap, "side": reached}
        run.save(players.step, players.tensors() | others, state)
    return players, stopped, seconds


def look(
    players: Players,
    prior: Prior,
    config: GanConfig,
    side: int,
    photos: PhotoSet,
    held: PhotoSet,
    run: Run,
    bar: Bar,
    seconds: float,
    told_apart: dict[str, float],
) -> str:
    """Figures into the log, a sheet into the previews, and a word where something goes wrong. Returns the SWD.

    told_apart: how well the discriminator does.
    """
    shown = measure.shown_side(config, side)
    count = min(LOOKS[shown], len(held))
    known = measure.true_depths(held, shown, count)
    others, compared = (measure.first(some, shown, LOOKS[shown]) for some in (photos, held))
    found = measure.measured(players.kept, prior, config, compared, others, count, known) | told_apart
    run.log(players.step, images=players.seen, seconds=round(seconds, 2), side=shown, **found)
    sheet = measure.sheet(players.kept, prior, config, shown)
    write_image(run.preview_path(f"scenes-{players.seen:08d}.png"), sheet)
    said = f"{players.seen} photos: SWD {found['swd']:.4f} (photos {found['swd_floor']:.4f}), "
    said += f"relief {found['relief']:.3f}, diversity {found['diversity']:.2f}"
    bar.say(said + (f", depth correlation {found['depth_correlation']:.2f}" if known is not None else ""))
    if players.seen > config.noise_images:
        for complaint in measure.complaints(found):
            bar.say(f"  {complaint}")
    return f"{found['swd']:.3f}"


def is_told(config: GanConfig) -> bool:
    """Whether the discriminator is told poses."""
    return config.prior == "given"


def joint(
    labels: Float[Tensor, "b l"] | None, cuts: Patches | None, device: torch.device
) -> Float[Tensor, "b g"] | None:
    """All that the discriminator is told of pictures beside them: their poses, and where patches lie."""
    parts = ([] if labels is None else [labels]) + ([] if cuts is None else [cuts.told().to(device)])
    return torch.cat(parts, 1) if parts else None


def judged(
    discriminator: Discriminator, seen: Tensor, told: Tensor | None, fade: float, bf16: bool
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b l"]]:
    """Scores and guessed labels, in float32 whatever the network computes in."""
    with narrow(seen.device, bf16):
        score, guessed = discriminator(seen, told, fade)
    return score.float(), guessed.float()


def steepness(
    discriminator: Discriminator, real: Tensor, told: Tensor | None, fade: float, batch: int, bf16: bool = False
) -> Float[Tensor, ""]:
    """The mean squared gradient of the score at real pictures."""
    real = real.detach().requires_grad_()
    score, _ = judged(discriminator, real, None if told is None else told[batch:], fade, bf16)
    (gradient,) = torch.autograd.grad(score.sum(), real, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


@torch.no_grad()
def keep(kept: nn.Module, current: nn.Module, forget: float) -> None:
    """kept = forget kept + (1 - forget) current, for all weights."""
    old: list[Tensor] = list(kept.parameters())
    torch._foreach_lerp_(old, list[Tensor](current.parameters()), 1 - forget)
