"""The two players of a training: how they begin, and what a checkpoint needs of them."""

from __future__ import annotations

import contextlib
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from fieldscape import resuming
from fieldscape.errors import BadInput
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.discriminator import Discriminator
from fieldscape.systems.gan.generators import Generator, generator_of
from fieldscape.systems.gan.patches import TOLD
from fieldscape.systems.gan.poses import GivenPoses, OrbitPrior, Prior, RoomPrior, scene_box
from fieldscape.systems.gan.shape import inside_of
from fieldscape.systems.gan.triplane import TriplaneGenerator
from fieldscape.types import Field

CPU = torch.device("cpu")


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

    def looks(self, config: GanConfig) -> int:
        """How often they should have been looked at until now."""
        return self.seen // config.look_every

    def sound(self) -> bool:
        """Whether all that was learned is numbers. The losses tell of a step that broke it only one step later."""
        learned = (*self.generator.parameters(), *self.discriminator.parameters())
        return bool(torch.stack([tensor.detach().sum() for tensor in learned]).isfinite().all())

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


def begin(config: GanConfig, prior: Prior, seed: int, device: torch.device = CPU) -> Players:
    """Both players at the start, on ``device``; a seed means the same weights on every device."""
    low, high = scene_box(prior, config.near, config.far)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = generator_of(config, low, high, inside_of(prior) if config.shape == "room" else None)
        told = isinstance(prior, GivenPoses)
        side, extra = (config.patch, TOLD) if config.patch else (config.size, 0)
        discriminator = Discriminator(side, 4 if config.depth_aware else 3, prior.labels, told, extra)
    generator, discriminator = generator.to(device), discriminator.to(device)
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
        return OrbitPrior(config.fov, config.yaw, config.pitch, uniform=True)
    return RoomPrior(config.fov, config.yaw, config.pitch, shift=config.shift)


def jitter(chance: torch.Generator, device: torch.device) -> torch.Generator:
    """The randomness of what is drawn in bulk (where along rays a field is asked, noise) where ``device`` computes.

    On a CPU that is ``chance`` itself. Elsewhere millions of numbers a step would have to be carried over, so a
    generator of the device is seeded from ``chance``: scenes, cameras and photos remain those of the seed.
    """
    if device.type == "cpu":
        return chance
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=chance)))


def narrow(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[None]:
    """Where ``bf16``, products and convolutions inside run in bfloat16; sums and what is returned may not."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()


def scenes(generator: Generator, count: int, chance: torch.Generator, bf16: bool = False) -> Field:
    """The field of ``count`` new scenes. Sines and all that is asked of the field stay in float32."""
    device = generator.low.device
    z = torch.randn(count, generator.latent, generator=chance).to(device)
    with narrow(device, bf16 and isinstance(generator, TriplaneGenerator)):
        return generator.field(generator.mapping(z))
