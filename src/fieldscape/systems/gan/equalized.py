"""Layers that all learn at the same pace, whatever their width.

Weights are kept at unit spread and scaled by the root of their inputs' number when they are used (Karras et al.,
"Progressive growing of GANs", 2018, section 4.1): a step of Adam then changes wide and narrow layers by the same share.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear


class Linear(nn.Module):
    """y = x W' + b, W of spread ``gain`` over the root of the inputs' number."""

    def __init__(self, before: int, after: int, gain: float = math.sqrt(2), bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before))
        self.bias = nn.Parameter(torch.full((after,), bias))
        self.scale = gain / math.sqrt(before)

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        return linear(x, self.weight * self.scale, self.bias)


class Convolution(nn.Module):
    """A convolution that keeps the size, W of spread ``gain`` over the root of the inputs' number."""

    def __init__(self, before: int, after: int, side: int = 3, gain: float = math.sqrt(2), bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, side, side))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.scale = gain / math.sqrt(before * side * side)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        return conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)
