"""The network that blends what several frames show of one pixel.

Legend: s sources, p pixels, c channels; channels come first, so that a layer is one matrix product.

Each source tells of a pixel what it fetched there and how much that is to be trusted. A rule says how much each counts:
the nearer in time and direction the more, what lies behind another hardly. A small network corrects the rule: the same
weights for every source, which hear of each other only by a mean, so the order of sources cannot matter (Zaheer et al.,
"Deep sets", 2017). Its last layer starts at zero, so an untrained network blends by the rule alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

INPUTS = 14
"""Channels that the network sees of each source."""

BRIGHTER = 0.15
"""The most by which a source's colours are made brighter or darker, as a share."""

SHARPER = 0.6
"""The most of the local contrast that is added or taken away."""

LEAST = 1e-4
"""Coverage below which a source shows nothing."""

PARTS = 32
"""Parts that threads share: the same result for any number of them."""

MAPS = ("color", "alpha", "depth", "far", "stretch", "apart")
"""What a stack holds of each pixel."""


@dataclass(frozen=True)
class Stack:
    """What sources show of one layer.

    color: 0..1.  alpha: how much of the pixel.  depth: planar, any where alpha is 0.  far: 1 where it is stretched over
    a gap in depth.  stretch: pixels of the picture for one of the source's, along a side.  apart: how far away the
    source is, in steps between frames, by direction and time.  late: frames between source and picture, signed, by
    time alone.  mover: whether the layer moves.
    """

    color: Float[Tensor, "3 s p"]
    alpha: Float[Tensor, "s p"]
    depth: Float[Tensor, "s p"]
    far: Float[Tensor, "s p"]
    stretch: Float[Tensor, "s p"]
    apart: Float[Tensor, "s p"]
    late: Float[Tensor, "s"]
    mover: bool

    def at(self, where: Tensor | slice) -> Stack:
        """Only the pixels ``where``."""
        parts = {name: getattr(self, name)[..., where] for name in MAPS}
        return replace(self, **parts)

    def to(self, device: torch.device | str) -> Stack:
        parts = {name: getattr(self, name).to(device) for name in (*MAPS, "late")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Blended:
    """One layer of a picture. alpha: how much of each pixel it covers, 0 where no source shows it.  contrast: how much
    of the local contrast is to be added."""

    color: Float[Tensor, "3 p"]
    alpha: Float[Tensor, "p"]
    depth: Float[Tensor, "p"]
    contrast: Float[Tensor, "p"]


class Blender(nn.Module):
    """The rule, whose few numbers are learned too, and the network."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.near = nn.Parameter(torch.tensor(1.5))  # the power of the distance by which a source counts less
        self.behind = nn.Parameter(torch.tensor(math.log(20.0)))  # log of the loss per log of depth behind the nearest
        self.gap = nn.Parameter(torch.tensor(3.0))  # what a source loses where it is stretched over a gap
        self.first = nn.Parameter(_drawn(width, INPUTS, generator))
        self.first_bias = nn.Parameter(torch.zeros(width, 1))
        self.second = nn.Parameter(_drawn(width, width, generator))
        self.shared = nn.Parameter(_drawn(width, width, generator))
        self.second_bias = nn.Parameter(torch.zeros(width, 1))
        self.last = nn.Parameter(torch.zeros(3, width))  # of each source: more of it, and brighter; of all: contrast

    def forward(self, stack: Stack) -> Blended:
        """The layer that the sources show together."""
        sources, pixels = stack.alpha.shape
        plain = self.rule(stack)
        there = (stack.alpha > LEAST).to(stack.color)
        cover = 2 * stack.alpha.clamp(min=LEAST).log()  # what is hardly covered is hardly the layer's colour
        inputs = described(stack, (plain + cover).softmax(0) * there)
        hidden = (self.first @ inputs.reshape(INPUTS, -1) + self.first_bias).relu()
        shown = hidden.reshape(-1, sources, pixels) * there
        mean = shown.sum(1) / there.sum(0).clamp(min=1)
        deep = self.second @ hidden + self.second_bias
        deep = (deep.reshape(-1, sources, pixels) + (self.shared @ mean)[:, None]).relu()
        more, brighter, contrast = (self.last @ deep.reshape(len(deep), -1)).reshape(3, sources, pixels)
        weights = (plain + more + cover).softmax(0) * there
        weights = weights / weights.sum(0).clamp(min=1e-8)
        color = stack.color * (1 + BRIGHTER * brighter.tanh())
        return Blended(
            (color * weights).sum(1),
            (stack.alpha * (plain + more).softmax(0)).sum(0) if stack.mover else stack.alpha.amax(0),
            (torch.where(there > 0, stack.depth, 0.0) * weights).sum(0),
            SHARPER * (contrast * weights).sum(0).tanh(),
        )

    def rule(self, stack: Stack) -> Float[Tensor, "s p"]:
        """The logarithm of how much each source counts, without the network.

        How much a source covers of the pixel is not in it: of a mover the cut-outs are blended as the colours are.
        """
        z = torch.where(stack.alpha > 0.5, stack.depth, torch.inf)
        nearest = z.amin(0)
        behind = (stack.depth.clamp(min=1e-9).log() - nearest.log() - 0.02).clamp(0, 3)
        behind = torch.where(nearest.isfinite() & (stack.alpha > LEAST), behind, 0.0)
        value: Tensor = -self.near * stack.apart.log() - self.behind.exp() * behind
        return value - self.gap * stack.far


def blend(blender: Blender, stack: Stack) -> Blended:
    """What ``blender`` makes of a stack on the CPU, quickly and without gradients; the same as calling it."""
    from fieldscape.kernels import blending as kernel
    from fieldscape.kernels.exact import share

    sources, pixels = stack.alpha.shape
    width = max(len(blender.first), 6)
    net = [
        _widened(getattr(blender, name), width) for name in ("first", "first_bias", "second", "shared", "second_bias")
    ]
    first, first_bias, second, shared, second_bias = net
    last = _widened(blender.last.T, width).T.copy()
    maps = [getattr(stack, name).float().contiguous().numpy() for name in MAPS]
    late = (stack.late.abs() + 1).log().float().numpy()
    rule = torch.stack([blender.near, blender.behind.exp(), blender.gap]).detach().float().cpu().numpy()
    limits = np.array([LEAST, BRIGHTER, SHARPER], np.float32)
    blended = np.empty((6, pixels), np.float32)
    parts = max(1, min(PARTS, pixels // (4 * kernel.BLOCK)))
    cuts = [round(i * pixels / parts) for i in range(parts + 1)]

    def work(part: int) -> None:
        room = [
            np.empty((*shape, kernel.BLOCK), np.float32)
            for shape in ((5, sources), (INPUTS,), (sources, width), (width,), (width,))
        ]
        kernel.blend(
            *maps, late, np.float32(stack.mover), rule, first, first_bias[:, 0], second, shared, second_bias[:, 0],
            np.zeros(width, np.float32), last, limits, blended, *room, cuts[part], cuts[part + 1],
        )  # fmt: skip

    share(work, parts)
    found = torch.from_numpy(blended)
    return Blended(found[:3], found[3], found[4], found[5])


def _widened(matrix: Tensor, width: int) -> Float[ndarray, "w k"]:
    """A matrix with rows (and columns, where it is square) of zeros added: units that do nothing."""
    rows, columns = matrix.shape
    wider = np.zeros((width, width if columns == rows else columns), np.float32)
    wider[:rows, :columns] = matrix.detach().float().cpu().numpy()
    return wider


def described(stack: Stack, weights: Float[Tensor, "s p"]) -> Float[Tensor, "14 s p"]:
    """What the network sees of each source; ``weights`` are the rule's."""
    total = weights.sum(0).clamp(min=1e-8)
    mean = (stack.color * weights).sum(1) / total
    away = stack.color - mean[:, None]
    depth = torch.where(stack.alpha > LEAST, stack.depth, torch.inf)
    relative = (depth.clamp(min=1e-9).log() - depth.amin(0).clamp(min=1e-9).log()).nan_to_num(0, 0, 0).clamp(0, 2)
    late = stack.late[:, None].expand_as(stack.alpha)
    return torch.cat(
        [
            stack.color - 0.5,
            (4 * away).clamp(-2, 2),
            (4 * away.abs().mean(0)).clamp(max=2)[None],
            stack.alpha[None],
            stack.stretch.clamp(0.05, 20).log()[None],
            relative[None],
            stack.far[None],
            stack.apart.clamp(0.01, 20).log()[None],
            (late.abs() + 1).log()[None],
            torch.full_like(stack.alpha, float(stack.mover))[None],
        ]
    )


def _drawn(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=generator) * math.sqrt(2 / columns)
