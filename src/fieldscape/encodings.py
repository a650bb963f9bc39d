"""Encodings: what a network is given instead of raw coordinates, so that it can draw fine detail.

A multi-layer perceptron fed with (x, y, z) learns smooth functions first and sharp ones hardly at all. Each encoding
here spreads a coordinate over many numbers that vary at different rates.

Legend: x a coordinate, L the number of octaves, ``*b`` any leading dimensions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def positional(x: Float[Tensor, "*b d"], octaves: int, include_input: bool = True) -> Float[Tensor, "*b e"]:
    """x, then sin(2^k x) and cos(2^k x) for k = 0 .. L-1: e = d (2 L + 1) numbers, or d 2 L without x itself.

    The positional encoding of Mildenhall et al. 2020 (equation 4) with the frequencies of their code, which leave out
    the paper's factor of pi: the finest wave is 2 pi / 2^(L-1) units of length long. The order is x, then all sines
    from coarse to fine, then all cosines.

    >>> positional(torch.tensor([0.0, 1.0]), octaves=1)
    tensor([0.0000, 1.0000, 0.0000, 0.8415, 1.0000, 0.5403])
    >>> positional(torch.zeros(5, 3), octaves=10).shape
    torch.Size([5, 63])
    """
    # Powers of two scale exactly, so the fine octaves are as accurate as the input itself.
    frequencies = 2.0 ** torch.arange(octaves, dtype=x.dtype, device=x.device)
    angles = (x[..., None, :] * frequencies[:, None]).flatten(-2)
    waves = [torch.sin(angles), torch.cos(angles)]
    return torch.cat([x, *waves] if include_input else waves, dim=-1)
