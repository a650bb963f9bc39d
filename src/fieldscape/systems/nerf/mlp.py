"""TinyNeRF, top to bottom: a network that says what stands at a point, and a picture made by asking it.

Read it with ``fieldscape.volume`` beside it, which holds the volume integral, and then ``train_mlp``, which holds the
loop. The network is that of Mildenhall et al., "NeRF", 2020, figure 7:

    point -> encode -> [Linear, ReLU] x depth, the encoded point joined in again half way -> features
    features -> Linear, ReLU -> density
    features -> Linear, sigmoid -> colour (and further channels)          TinyNeRF: ``PlainColor``
    features, direction -> Linear, Linear, ReLU, Linear, sigmoid -> ...   the paper: ``DirectedColor``

The networks live in a frame of their own, in which the interesting part of the scene spans -1..1; ``NerfMlp.field``
takes points there from the world and densities back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from fieldscape import volume
from fieldscape.encodings import contract, positional
from fieldscape.systems.nerf.config import MlpConfig
from fieldscape.types import Field, Rays, Rendered


class PlainColor(nn.Module):
    """Colour from the features alone: a point looks the same from everywhere."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, channels)

    def forward(self, features: Float[Tensor, "*b w"], directions: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b c"]:
        return self.out(features)


class DirectedColor(nn.Module):
    """Colour from the features and the direction of view, as the paper has it, so that highlights may move."""

    def __init__(self, width: int, channels: int, octaves: int) -> None:
        super().__init__()
        self.octaves = octaves
        self.feature = nn.Linear(width, width)
        self.hidden = nn.Linear(width + 3 * (2 * octaves + 1), width // 2)
        self.out = nn.Linear(width // 2, channels)

    def forward(self, features: Float[Tensor, "*b w"], directions: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b c"]:
        feature = self.feature(features)
        encoded = positional(directions, self.octaves).to(feature.dtype)
        return self.out(functional.relu_(self.hidden(torch.cat([feature, encoded], -1))))


class TinyNeRF(nn.Module):
    """A field in the network's own frame: points and unit directions to colour in 0..1 and density.

    ``noise`` is added to the raw density before the ReLU (paper, appendix A): it keeps training from settling on thin
    fog. Colour has 3 + ``channels`` numbers.
    """

    def __init__(self, octaves: int, view_octaves: int, depth: int, width: int, channels: int) -> None:
        super().__init__()
        encoded = 3 * (2 * octaves + 1)
        self.octaves = octaves
        self.skip = depth // 2 + 1  # this layer sees the encoded point again: the sixth of eight
        self.layers = nn.ModuleList(
            nn.Linear(encoded if i == 0 else width + encoded if i == self.skip else width, width) for i in range(depth)
        )
        self.density = nn.Linear(width, 1)
        if view_octaves:
            self.color: nn.Module = DirectedColor(width, 3 + channels, view_octaves)
        else:
            self.color = PlainColor(width, 3 + channels)

    def forward(
        self, points: Float[Tensor, "*b 3"], directions: Float[Tensor, "*b 3"], noise: Float[Tensor, "*b"] | None = None
    ) -> tuple[Float[Tensor, "*b c"], Float[Tensor, "*b"]]:
        encoded = positional(points, self.octaves)
        hidden = encoded
        for i, layer in enumerate(self.layers):
            if i == self.skip:
                hidden = torch.cat([hidden, encoded.to(hidden.dtype)], -1)
            hidden = functional.relu_(layer(hidden))
        # Raw outputs may be bfloat16; what is integrated along the ray is float32.
        color = torch.sigmoid(self.color(hidden, directions).float())
        raw = self.density(hidden).float().squeeze(-1)
        return color, functional.relu(raw if noise is None else raw + noise)


@dataclass(frozen=True)
class Placement:
    """Where the scene lies in the world: plain numbers, so that a saved scene can hold them.

    The networks' frame has its origin at ``center`` and its unit is ``radius``; beyond it an ``unbounded`` scene is
    folded in by ``encodings.contract``. Rays are asked between the distances ``near`` and ``far``.
    """

    center: tuple[float, float, float]
    radius: float
    near: float
    far: float
    unbounded: bool


class NerfMlp(nn.Module):
    """The whole of a NeRF: a coarse network, a fine one where ``n_importance`` asks for it, and their placement."""

    def __init__(self, config: MlpConfig, placement: Placement) -> None:
        super().__init__()
        shape = (config.octaves, config.view_octaves, config.depth, config.width, config.channels)
        self.coarse = TinyNeRF(*shape)
        self.fine = TinyNeRF(*shape) if config.n_importance else None
        self.channels = config.channels
        self.n_samples = config.n_samples
        self.n_importance = config.n_importance
        self.placement = placement

    @property
    def best(self) -> TinyNeRF:
        """The network to ask when only one answer is wanted."""
        return self.coarse if self.fine is None else self.fine

    def field(
        self, network: TinyNeRF, bf16: bool = False, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> Field:
        """``network`` as a field in the world. ``bf16`` runs its matrix products in bfloat16."""

        def in_the_world(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
            local = (points - points.new_tensor(self.placement.center)) / self.placement.radius
            local = contract(local) if self.placement.unbounded else local
            shaken = None
            if generator is not None and noise > 0:
                shaken = noise * torch.randn(points.shape[:-1].numel(), generator=generator, device=points.device)
            # One flat list of points: a ReLU in place on a view of one would be copied around by autograd.
            with torch.autocast(points.device.type, torch.bfloat16, enabled=bf16):
                color, density = network(local.reshape(-1, 3), directions.reshape(-1, 3), shaken)
            grid = points.shape[:-1]
            return color.reshape(*grid, -1), density.reshape(grid) / self.placement.radius

        return in_the_world


def render_rays(
    model: NerfMlp,
    rays: Rays,
    background: Float[Tensor, "3"] | None,
    bf16: bool = False,
    generator: torch.Generator | None = None,
    noise: float = 0.0,
) -> list[Rendered]:
    """What each network of ``model`` sees along ``rays``: coarse, then fine. The last is the picture.

    Without a generator the samples stand at fixed places and there is no noise, so the picture is always the same.
    """
    near = torch.full_like(rays.origins[..., :1], model.placement.near)
    far = torch.full_like(near, model.placement.far)
    channels = 3 + model.channels
    behind, last = None, volume.OPAQUE
    if background is not None:
        # Further channels have nothing behind them. What stands at the far end must not pass for the background.
        behind = torch.cat([background, background.new_zeros(channels - 3)])
        last = (model.placement.far - model.placement.near) / model.n_samples

    spacing: Literal["linear", "disparity"] = "disparity" if model.placement.unbounded else "linear"
    t = volume.stratified(near, far, model.n_samples, generator, spacing)
    coarse, w = volume.render(model.field(model.coarse, bf16, generator, noise), rays, t, behind, last)
    seen = [replace(coarse, depth=volume.median_depth(w.detach(), t))]
    if model.fine is not None:
        # Where the coarse network stopped light, look again, closer; the fine network uses old and new samples alike.
        t = torch.cat([t, volume.importance(t, w, model.n_importance, generator)], -1).sort(-1).values
        fine, w = volume.render(model.field(model.fine, bf16, generator, noise), rays, t, behind, last)
        seen.append(replace(fine, depth=volume.median_depth(w.detach(), t)))
    return [volume.split_extra(picture) for picture in seen]


@torch.no_grad()
def render_picture(model: NerfMlp, rays: Rays, background: Float[Tensor, "3"] | None, bf16: bool = False) -> Rendered:
    """What ``model`` sees along a grid of rays [height, width], deterministic; memory stays bounded at any size."""
    flat = rays.reshape(-1)
    batch = rays_at_once(model, flat.origins.device)
    starts = range(0, len(flat.origins), batch)
    parts = [render_rays(model, flat[i : i + batch], background, bf16)[-1] for i in starts]
    return volume.join(parts, tuple(rays.origins.shape[:-1]))


def rays_at_once(model: NerfMlp, device: torch.device) -> int:
    """How many rays to put through the networks together.

    On a CPU so few that what one layer passes to the next (8192 points) stays in its cache and is not allocated
    afresh, which makes training in bfloat16 about a third faster than in one piece; a GPU wants much at once.
    """
    points = 8192 if device.type == "cpu" else 2**19
    return max(1, points // (model.n_samples + model.n_importance))


def initialize(model: NerfMlp, generator: torch.Generator, density_bias: float) -> None:
    """Draw all weights afresh: Glorot and Bengio 2010 (equation 16), biases 0, and ``density_bias`` on the density.

    PyTorch's own scheme shrinks the signal layer by layer, until the density is one number everywhere; if that happens
    to be negative the ReLU gives zero, no gradient comes back and the picture stays empty. A density bias above 0
    starts the scene as a thin fog instead.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            nn.init.zeros_(module.bias)
    for network in (model.coarse, model.fine):
        if network is not None:
            nn.init.constant_(network.density.bias, density_bias)
