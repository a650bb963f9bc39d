"""A sky with clouds, for what is seen of it; as a light it stays the plain gradient of ``Lights``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fieldscape.worlds.lights import Lights
from fieldscape.worlds.textures import blend, fractal


@dataclass(frozen=True)
class Clouds:
    """The radiance from directions in which nothing stands."""

    lights: Lights
    seed: int

    def __call__(self, directions: Tensor) -> Tensor:
        clear = self.lights.above(directions)
        # Clouds drift in a layer at height 1; towards the horizon they draw together and fade in haze.
        rise = directions[..., 2:].clamp(min=0.02)
        layer = torch.cat([directions[..., :2] / (rise + 0.12), torch.full_like(rise, 0.37)], -1)
        thick = fractal(layer.reshape(-1, 3), torch.full((rise.numel(),), 0.02), 1.1, 4, self.seed % 97)
        share = ((1.6 * thick + 0.15).clamp(0, 1) * (6 * directions[..., 2].reshape(-1)).clamp(0, 1)) * 0.85
        white = 1.25 * max(self.lights.sky)
        return blend(clear.reshape(-1, 3), (white, white, 0.98 * white), share).reshape(clear.shape)
