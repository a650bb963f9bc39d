"""Scenes as networks of sines that a latent modulates: the generator of pi-GAN.

A layer is h' = sin(gamma (W h + b) + beta), with frequencies gamma and phases beta for each channel from the latent
(Chan et al., "pi-GAN", 2021, section 3.1). Scaling the rows of W by gamma beforehand, once for a scene, gives the same
with one product and one sine a layer: gamma (W h + b) + beta = (gamma W) h + (gamma b + beta).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldscape.systems.gan.shape import density_of
from fieldscape.types import Field

PRESETS = {"3x64": (3, 64), "4x128": (4, 128), "8x256": (8, 256)}
POINTS_AT_ONCE = 8192
"""Of one scene, where no kernel does the work."""


class SirenGenerator(nn.Module):
    """``mapping(z)`` makes a code, ``field(code)`` a field [b, ...] of the scenes of a batch.

    inside: of the empty room that scenes start from (see ``shape``); None: they start from even haze.
    """

    def __init__(self, low: Tensor, high: Tensor, inside: Tensor | None, latent: int, preset: str, sheen: bool = False):
        super().__init__()
        self.depth, self.width = PRESETS[preset]
        self.latent, self.sheen = latent, sheen
        self.low, self.high = nn.Buffer(low), nn.Buffer(high)
        self.inside = None if inside is None else nn.Buffer(inside)
        self.first = nn.Linear(3, self.width)
        self.layers = nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(self.depth - 1))
        self.density = nn.Linear(self.width, 1)
        self.shade = nn.Linear(self.width + (3 if sheen else 0), self.width)
        self.color = nn.Linear(self.width, 3)
        hidden = [layer for k in range(3) for layer in (nn.Linear(256 if k else latent, 256), nn.LeakyReLU(0.2))]
        self.frequencies = nn.Linear(256, 2 * (self.depth + 1) * self.width)
        self.map = nn.Sequential(*hidden, self.frequencies)
        self._initialize()

    def _initialize(self) -> None:
        """pi-GAN's: sines of inputs whose spread stays the same from layer to layer, frequencies about 30."""
        with torch.no_grad():
            self.first.weight.uniform_(-1 / 3, 1 / 3)
            for layer in (*self.sines(), self.density, self.shade, self.color):
                bound = math.sqrt(6 / layer.weight.shape[1]) / 25
                layer.weight.uniform_(-bound, bound)
            for step in self.map:
                if isinstance(step, nn.Linear):
                    nn.init.kaiming_normal_(step.weight, a=0.2)
                    nn.init.zeros_(step.bias)
            self.frequencies.weight.mul_(0.25)

    def sines(self) -> list[nn.Linear]:
        """The layers after the first."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def mapping(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b w"]:
        """Frequencies and phases of all layers, as the network tells them: 0 is a frequency of 30 and no phase."""
        return self.map(z)

    def field(self, code: Float[Tensor, "b w"]) -> Field:
        """The scenes of the codes: points [b, ..., 3] to colour and density."""
        frequency, phase = code.unflatten(1, (2, self.depth + 1, self.width)).unbind(1)
        frequency = 15 * frequency + 30

        def ask(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
            batch = len(code)
            inside = ((points - self.low) / (self.high - self.low) * 2 - 1).reshape(batch, -1, 3)
            facing = directions.reshape(batch, -1, 3)
            if inside.device.type == "cpu" and inside.dtype == code.dtype == torch.float32:
                parts = [self._ask_kernels(*scene) for scene in zip(frequency, phase, inside, facing)]
                color, thick = (torch.stack(pieces) for pieces in zip(*parts))
            else:
                parts = [
                    self._ask(frequency, phase, part, toward)
                    for part, toward in zip(inside.split(POINTS_AT_ONCE, 1), facing.split(POINTS_AT_ONCE, 1))
                ]
                color, thick = (torch.cat(pieces, 1) for pieces in zip(*parts))
            thick = thick.reshape(points.shape[:-1])
            density = density_of(thick, points, self.inside)
            return color.reshape(*points.shape[:-1], 3), density

        return ask

    def _ask(self, frequency: Tensor, phase: Tensor, h: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
        for i, layer in enumerate((self.first, *self.sines())):
            h = modulated(layer, frequency[:, i], phase[:, i], h)
        thick = self.density(h)[..., 0] - 1
        seen = torch.cat([toward, h], -1) if self.sheen else h
        return torch.sigmoid(self.color(modulated(self.shade, frequency[:, -1], phase[:, -1], seen))), thick

    def _ask_kernels(self, frequency: Tensor, phase: Tensor, inside: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
        """``_ask`` of one scene, as ``kernels.sines`` computes it."""
        from fieldscape.kernels.sines import sine_field

        layers = (self.first, *self.sines(), self.shade)
        scaled = [(f[:, None] * layer.weight, f * layer.bias + p) for layer, f, p in zip(layers, frequency, phase)]
        toward = toward if self.sheen else toward[:, :0]
        thick, color = sine_field(inside, toward, scaled, self.density.weight, self.color.weight)
        return torch.sigmoid(color + self.color.bias), (thick + self.density.bias)[..., 0] - 1


def modulated(
    layer: nn.Linear, frequency: Float[Tensor, "b w"], phase: Float[Tensor, "b w"], h: Float[Tensor, "b n d"]
) -> Float[Tensor, "b n w"]:
    """sin(frequency (W h + b) + phase) for each scene of a batch."""
    weight = (frequency[:, :, None] * layer.weight).transpose(1, 2)
    shift = frequency * layer.bias + phase
    return torch.sin(torch.baddbmm(shift[:, None], h, weight))
