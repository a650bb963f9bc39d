"""The codes that a generator maps latents to: where they lie, and how far apart is far.

A photo is looked for in codes, not latents, because those bend less (Abdal et al., "Image2StyleGAN", 2019), and in
one code for each layer of a tri-plane generator, because that reaches far more pictures. Offsets count in the codes'
own principal directions and standard deviations, so that one number says how unusual a code is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.systems.gan.generators import Generator
from fieldscape.systems.gan.triplane import TriplaneGenerator

CODES = 10_000
FAINT = 1e-3
"""Directions in which codes vary less than by this share of the most are left out."""


@dataclass(frozen=True)
class CodeSpace:
    """code = mean + offset @ spread, with offsets of mean 0 and standard deviation 1.

    layers: how many codes a scene has, one for each layer; 1 where a code holds the layers' parts already.
    """

    mean: Float[Tensor, "w"]
    spread: Float[Tensor, "r w"]
    layers: int

    def codes(self, offsets: Float[Tensor, "b l r"]) -> Float[Tensor, "b *l w"]:
        """What a generator's ``field`` takes: of one offset for all layers, or of one for each."""
        found = self.mean + offsets @ self.spread
        return found[:, 0] if found.shape[1] == 1 else found

    def layered(self, offsets: Float[Tensor, "b 1 r"]) -> Float[Tensor, "b l r"]:
        """The same offset for each of the layers."""
        return offsets.repeat(1, self.layers, 1)

    def offsets(self, codes: Float[Tensor, "b w"]) -> Float[Tensor, "b 1 r"]:
        """Of codes, one for all layers."""
        return ((codes - self.mean) @ self.spread.T / self.spread.square().sum(1))[:, None]


@torch.no_grad()
def code_space(generator: Generator, chance: torch.Generator) -> CodeSpace:
    """Mean and principal directions of ``CODES`` codes."""
    codes = generator.mapping(torch.randn(CODES, generator.latent, generator=chance))
    mean = codes.mean(0)
    values, vectors = torch.linalg.eigh((codes - mean).T @ (codes - mean) / (CODES - 1))
    deviation = values.clamp(min=0).sqrt()
    told = deviation > FAINT * deviation.max()
    layers = len(generator.blocks) if isinstance(generator, TriplaneGenerator) else 1
    return CodeSpace(mean, (vectors * deviation)[:, told].T.contiguous(), layers)
