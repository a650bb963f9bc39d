"""The sRGB curve, between the numbers that files hold and amounts of light (IEC 61966-2-1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def to_srgb(linear: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Linear light 0..1 to sRGB 0..1.

    >>> [round(x, 4) for x in to_srgb(torch.tensor([0.0, 0.002, 1.0])).tolist()]
    [0.0, 0.0258, 1.0]
    """
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curve).clamp(0, 1)


def to_linear(shown: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """sRGB 0..1 to linear light 0..1.

    >>> [round(x, 4) for x in to_linear(torch.tensor([0.0, 0.0258, 0.5, 1.0])).tolist()]
    [0.0, 0.002, 0.214, 1.0]
    """
    return torch.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
