"""Latents between 0 and 1, as a volume's colours are: n(z) = tanh(s z), moved from -1..1.

3Da-AE takes s = 0.02 for the latents of the Stable Diffusion autoencoder. For another autoencoder s follows from its
latents: one number for all channels, so that an error counts as much as it does in the picture.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

EDGE = 1e-4
"""How near to -1 and 1 the inverse is still taken: beyond, it would run away."""


def squash(z: Float[Tensor, "*b"], s: float) -> Float[Tensor, "*b"]:
    """(tanh(s z) + 1) / 2.

    >>> squash(torch.tensor([0.0, 50.0]), 0.02)
    tensor([0.5000, 0.8808])
    """
    return (torch.tanh(s * z) + 1) / 2


def unsquash(x: Float[Tensor, "*b"], s: float) -> Float[Tensor, "*b"]:
    """The inverse of ``squash``.

    >>> unsquash(squash(torch.tensor([-3.0, 7.0]), 0.02), 0.02)
    tensor([-3.0000,  7.0000])
    """
    return torch.atanh((2 * x - 1).clamp(-1 + EDGE, 1 - EDGE)) / s


def scale_of(z: Float[Tensor, "*b"]) -> float:
    """The s with which the greatest latent becomes tanh(1): far from where the inverse runs away."""
    return 1 / max(float(z.abs().max()), 1e-6)
