"""Real or generated? A residual network that also guesses the pose, and may be told it.

It knows where in a picture it looks (coordinate channels: Liu et al., "An intriguing failing of convolutional neural
networks", 2018), sees how much the pictures of a batch differ (minibatch statistics: Karras et al., "Progressive
growing of GANs", 2018), and scores a pose by projection (Miyato and Koyama, "cGANs with projection discriminator",
2018).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu

from fieldscape.systems.gan.equalized import Convolution, Linear

WIDTHS = {4: 160, 8: 128, 16: 64, 32: 48, 64: 32, 128: 16}
GROUP = 4


class Discriminator(nn.Module):
    """Scores pictures of ``size`` or less a side: 4 times a power of two.

    channels: 3, or 4 with depth.  labels: how many numbers the pose head guesses.  told: whether those are given.
    extra: further numbers given with each picture (where a patch lies).
    """

    def __init__(self, size: int, channels: int = 3, labels: int = 2, told: bool = False, extra: int = 0):
        super().__init__()
        self.told, self.extra = told, extra
        sides = [side for side in WIDTHS if 4 < side <= size]
        self.first = nn.ModuleDict({str(s): Convolution(channels + 2, WIDTHS[s], 1) for s in sides})
        self.blocks = nn.ModuleDict({str(s): Residual(WIDTHS[s], WIDTHS[s // 2]) for s in sides})
        wide = WIDTHS[4]
        self.last = Convolution(wide + 1, wide)
        self.dense = Linear(16 * wide, wide)
        self.score = Linear(wide, 1, 1.0)
        self.pose = Linear(wide, labels, 1.0)
        given = (labels if told else 0) + extra
        self.condition = (
            nn.Sequential(Linear(given, wide), nn.LeakyReLU(0.2), Linear(wide, wide, 1.0)) if given else None
        )

    def forward(
        self,
        pictures: Float[Tensor, "b c s s"],
        given: Float[Tensor, "b g"] | None = None,
        fade: float = 1.0,
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b l"]]:
        """Scores (higher: more real) and guessed labels. fade: the share of the finest block, which grows in."""
        side = pictures.shape[-1]
        x = leaky_relu(self.first[str(side)](with_places(pictures)), 0.2)
        x = self.blocks[str(side)](x)
        if fade < 1 and side > 8:
            coarse = leaky_relu(self.first[str(side // 2)](with_places(avg_pool2d(pictures, 2))), 0.2)
            x = torch.lerp(coarse, x, fade)
        side //= 2
        while side > 4:
            x = self.blocks[str(side)](x)
            side //= 2
        x = leaky_relu(self.last(torch.cat([x, differences(x)], 1)), 0.2)
        x = leaky_relu(self.dense(x.flatten(1)), 0.2)
        score = self.score(x)[:, 0]
        if self.condition is not None and given is not None:
            score = score + (self.condition(given) * x).sum(1) / x.shape[1] ** 0.5
        return score, self.pose(x)


class Residual(nn.Module):
    """Two convolutions beside a shortcut, then half the size."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.one = Convolution(before, before)
        self.two = Convolution(before, after)
        self.short = Convolution(before, after, 1, 1.0, bias=False)

    def forward(self, x: Float[Tensor, "b c s s"]) -> Float[Tensor, "b d t t"]:
        main = leaky_relu(self.one(x), 0.2)
        main = leaky_relu(self.two(avg_pool2d(main, 2)), 0.2)
        return (main + self.short(avg_pool2d(x, 2))) * 0.5**0.5


def with_places(pictures: Float[Tensor, "b c s s"]) -> Float[Tensor, "b d s s"]:
    """Two more channels: how far right and how far down, from -1 to 1."""
    side = pictures.shape[-1]
    along = (torch.arange(side, device=pictures.device) + 0.5) / side * 2 - 1
    right, down = along.expand(side, side), along[:, None].expand(side, side)
    places = torch.stack([right, down]).to(pictures).expand(len(pictures), 2, side, side)
    return torch.cat([pictures, places], 1)


def differences(x: Float[Tensor, "b c s s"]) -> Float[Tensor, "b 1 s s"]:
    """A channel with the mean standard deviation among each ``GROUP`` pictures of the batch (all, if it has fewer)."""
    size = GROUP if len(x) % GROUP == 0 else len(x)
    groups = x.float().unflatten(0, (-1, size))  # variances need their digits, whatever x is given in
    spread = (groups.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return spread.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
