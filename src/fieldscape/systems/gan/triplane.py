"""Scenes as three feature planes, xy, xz and yz, made from a latent by a small convolutional network.

A point's feature is the sum of what the three planes hold where it is projected to (Chan et al., "Efficient Geometry-
aware 3D Generative Adversarial Networks", 2022, section 3.2); a small network turns it into colour and density. It
asks about ten times fewer operations a point than a SIREN of the same quality.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate, leaky_relu, softplus

from fieldscape.systems.gan.equalized import Convolution, Linear
from fieldscape.systems.gan.shape import density_of
from fieldscape.types import Field

PLANES = ((0, 1), (0, 2), (1, 2))
"""The two axes of each plane. All three pairs: with one of them twice, two axes never meet."""

WIDEST = 128


class TriplaneGenerator(nn.Module):
    """``mapping(z)`` makes a code, ``field(code)`` a field [b, ...] of the scenes of a batch.

    inside: of the empty room that scenes start from (see ``shape``); None: they start from even haze.
    """

    def __init__(
        self, low: Tensor, high: Tensor, inside: Tensor | None, latent: int, features: int, side: int, hidden: int = 32
    ):
        super().__init__()
        self.latent, self.features, self.side = latent, features, side
        self.low, self.high = nn.Buffer(low), nn.Buffer(high)
        self.inside = None if inside is None else nn.Buffer(inside)
        self.map = nn.Sequential(Linear(latent, 128), nn.LeakyReLU(0.2), Linear(128, 128), nn.LeakyReLU(0.2))
        widths = [WIDEST]
        while 4 * 2 ** len(widths) <= side:
            widths.append(max(32, WIDEST * 3 // (3 + len(widths))))
        # The code makes what the first convolution sees: from a start that all scenes share, they stay all alike.
        self.start = Linear(128, WIDEST * 16, 1.0)
        self.blocks = nn.ModuleList(
            Block(before, after, 128) for before, after in zip([WIDEST, *widths[:-1]], widths, strict=True)
        )
        self.planes = Convolution(widths[-1], 3 * features, 1, 1.0)
        self.hidden = Linear(features, hidden)
        self.out = Linear(hidden, 4, 1.0)
        with torch.no_grad():
            # A thin haze at the start: neither empty nor a wall before the camera.
            self.out.bias[3] = -1.0 if inside is None else 0.0

    def mapping(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b w"]:
        """Codes of latents, which count by their direction alone."""
        return self.map(z * (z.square().mean(-1, keepdim=True) + 1e-8).rsqrt())

    def field(self, code: Float[Tensor, "b *l w"]) -> Field:
        """The scenes of the codes: points [b, ..., 3] to colour and density. What is looked at has no sheen."""
        planes = self.tensors(code).float()  # of a trunk in bfloat16 too: what asks is float32
        batch = len(code)

        def ask(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
            inside = ((points - self.low) / (self.high - self.low) * 2 - 1).reshape(batch, -1, 3)
            # All planes in one call: as so many pictures of a batch.
            where = torch.stack([inside[..., axes] for axes in PLANES], 1).flatten(0, 1)[:, None]
            held = grid_sample(planes.flatten(0, 1), where, align_corners=False, padding_mode="border")
            feature = held.reshape(batch, 3, self.features, -1).sum(1).movedim(1, -1)
            color, thick = self.decode(feature)
            thick = thick.reshape(points.shape[:-1])
            density = density_of(thick, points, self.inside)
            return color.reshape(*points.shape[:-1], 3), density

        return ask

    def tensors(self, code: Float[Tensor, "b *l w"]) -> Float[Tensor, "b 3 f s s"]:
        """The three planes of each code: one for all blocks, or one for each of them."""
        codes = [code] * len(self.blocks) if code.ndim == 2 else code.unbind(1)
        x = self.start(codes[0]).unflatten(1, (WIDEST, 4, 4))
        for index, block in enumerate(self.blocks):
            x = block(x if index == 0 else interpolate(x, scale_factor=2, mode="nearest"), codes[index])
        return self.planes(x).unflatten(1, (3, self.features))

    def decode(self, feature: Float[Tensor, "b n f"]) -> tuple[Tensor, Tensor]:
        out = self.out(softplus(self.hidden(feature)))
        return torch.sigmoid(out[..., :3]), out[..., 3] - 1


class Block(nn.Module):
    """A convolution whose channels the code scales and shifts (FiLM)."""

    def __init__(self, before: int, after: int, code: int):
        super().__init__()
        self.convolution = Convolution(before, after)
        self.style = Linear(code, 2 * after, 0.5)

    def forward(self, x: Float[Tensor, "b c s s"], code: Float[Tensor, "b w"]) -> Float[Tensor, "b d s s"]:
        scale, shift = self.style(code)[..., None, None].chunk(2, 1)
        x = self.convolution(x)
        x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        return leaky_relu(x * (1 + scale) + shift, 0.2)
