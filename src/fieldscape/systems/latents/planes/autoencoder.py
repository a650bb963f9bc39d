"""The latent space: pictures to latents and back, one latent for each patch of pixels.

Both ways are linear, started from the principal components of patches, plus a small convolutional part whose last
layer starts at zero: at the start it adds nothing, and yet every weight of that layer has a gradient. A network
without the linear part tends to answer white at first, which most pixels are, and stays there.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from fieldscape.progress import Bar
from fieldscape.stopping import Stop
from fieldscape.systems.latents.planes.config import AutoencoderConfig
from fieldscape.systems.latents.planes.foreign import ForeignAutoencoder
from fieldscape.systems.latents.planes.patches import components, drawn_patches, from_patches, to_patches

RATE = 2e-3
BATCH = 16
WARMING = 20
"""Steps over which the step size rises to its greatest, from which it falls as a cosine does."""
MOST_PATCHES = 2**17
"""Patches whose principal components are found: more do not change them."""


class Autoencoder(nn.Module):
    """A latent of ``channels`` numbers for each patch of ``factor`` x ``factor`` pixels."""

    DECODES = ("synthesis", "offset", "restorer")
    """How the names of the parameters begin that only decoding uses."""

    def __init__(self, factor: int, channels: int, hidden: int):
        super().__init__()
        self.factor, self.channels = factor, channels
        size = 3 * factor**2
        self.mean = nn.Parameter(torch.zeros(size))
        self.analysis = nn.Parameter(torch.zeros(channels, size))
        self.synthesis = nn.Parameter(torch.zeros(channels, size))
        self.offset = nn.Parameter(torch.zeros(size))
        self.finer = _beside(size, hidden, channels, 2) if hidden else None
        self.restorer = _beside(channels, hidden, size, 3) if hidden else None

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c h2 w2"]:
        """Latents of pictures whose sides are multiples of the factor."""
        patches = to_patches(images, self.factor) - self.mean[:, None, None]
        linear = torch.einsum("cp,nphw->nchw", self.analysis, patches)
        return linear if self.finer is None else linear + self.finer(patches)

    def decode(self, latents: Float[Tensor, "n c h2 w2"]) -> Float[Tensor, "n 3 h w"]:
        """Pictures of latents, not clamped to 0..1."""
        patches = torch.einsum("cp,nchw->nphw", self.synthesis, latents) + self.offset[:, None, None]
        if self.restorer is not None:
            patches = patches + self.restorer(latents)
        return from_patches(patches, self.factor)

    @torch.no_grad()
    def start(self, images: Float[Tensor, "n 3 h w"], chance: torch.Generator) -> None:
        """The linear part becomes the principal components of the pictures' patches."""
        mean, rows = components(drawn_patches(images, self.factor, MOST_PATCHES, chance), self.channels)
        self.mean.copy_(mean)
        self.offset.copy_(mean)
        self.analysis.copy_(rows)
        self.synthesis.copy_(rows)


LatentSpace: TypeAlias = Autoencoder | ForeignAutoencoder
"""What makes latents of pictures in 0..1, and pictures of latents."""


def _beside(inputs: int, hidden: int, outputs: int, layers: int) -> nn.Sequential:
    """Convolutions that add nothing at first. The border repeats itself: white goes on as white."""
    parts: list[nn.Module] = []
    for index in range(layers - 1):
        parts += [_convolution(inputs if index == 0 else hidden, hidden), nn.SiLU()]
    last = _convolution(hidden, outputs)
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.zero_()
    return nn.Sequential(*parts, last)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")


def background(space: LatentSpace, like: Tensor) -> Float[Tensor, "c"]:
    """The latent of white, as the encoder is now; ``like``: a tensor of the wanted device."""
    white = torch.ones(1, 3, 5 * space.factor, 5 * space.factor, device=like.device)
    return space.encode(white)[0, :, 2, 2]


def new_autoencoder(config: AutoencoderConfig, seed: int) -> Autoencoder:
    """An autoencoder before training; a seed means the same weights everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Autoencoder(config.factor, config.channels, config.hidden)


def train_autoencoder(
    images: Float[Tensor, "n 3 h w"],
    config: AutoencoderConfig,
    seed: int,
    stop: Stop | None = None,
    bar: Bar | None = None,
) -> Autoencoder:
    """An autoencoder of pictures in 0..1, the loop on the page: windows of pictures, L_ae, a step.

    It is as good as principal components from the first step on; ``stop`` ends it early.
    """
    autoencoder, chance = new_autoencoder(config, seed), torch.Generator().manual_seed(seed)
    autoencoder.to(images.device).start(images, chance)
    adam = torch.optim.Adam(autoencoder.parameters(), RATE, betas=(0.9, 0.99))
    for step in range(config.steps if config.hidden else 0):
        if stop is not None and stop.requested is not None:
            break
        adam.param_groups[0]["lr"] = (
            RATE * min(1.0, (step + 1) / 20) * (1 + math.cos(math.pi * step / config.steps)) / 2
        )
        x = windows(images, config.factor, BATCH, chance)
        loss = mse_loss(autoencoder.decode(autoencoder.encode(x)), x)
        adam.zero_grad()
        loss.backward()
        adam.step()
        if bar is not None:
            bar.update(step + 1, autoencoder=float(loss.detach()))
    return autoencoder


def windows(
    images: Float[Tensor, "n 3 h w"], factor: int, count: int, chance: torch.Generator
) -> Float[Tensor, "b 3 h2 w2"]:
    """Windows of three quarters of a side, anywhere in pictures drawn at random: patches fall differently each time."""
    height, width = ((side * 3 // 4) // factor * factor or side for side in images.shape[-2:])
    chosen = torch.randint(len(images), (count,), generator=chance)
    top = int(torch.randint(images.shape[-2] - height + 1, (), generator=chance))
    left = int(torch.randint(images.shape[-1] - width + 1, (), generator=chance))
    return images[chosen.to(images.device), :, top : top + height, left : left + width]
