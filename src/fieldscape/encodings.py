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


def spherical_harmonics(directions: Float[Tensor, "*b 3"], degree: int) -> Float[Tensor, "*b n"]:
    """The n = (degree + 1)^2 real spherical harmonics of unit directions, degree 0, 1 or 2, orthonormal on the sphere.

    Order: (0,0); y, z, x; xy, yz, 3z^2-1, xz, x^2-y^2, with the constants of Ramamoorthi and Hanrahan 2001, equation 3.

    >>> spherical_harmonics(torch.tensor([0.0, 0.0, 1.0]), 1)
    tensor([0.2821, 0.0000, 0.4886, 0.0000])
    """
    if degree not in (0, 1, 2):
        raise ValueError(f"spherical harmonics are given up to degree 2, not {degree}")
    x, y, z = directions.unbind(-1)
    terms = [torch.full_like(x, 0.28209479)]
    if degree >= 1:
        terms += [0.48860251 * y, 0.48860251 * z, 0.48860251 * x]
    if degree >= 2:
        terms += [1.09254843 * x * y, 1.09254843 * y * z, 0.31539157 * (3 * z * z - 1)]
        terms += [1.09254843 * x * z, 0.54627422 * (x * x - y * y)]
    return torch.stack(terms, -1)


def contract(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """All of space into the cube [-2, 2]^d: the identity inside [-1, 1]^d, and infinity on the cube's surface.

    Mip-NeRF 360 (Barron et al. 2022, equation 10) with the maximum norm, so that the image is a cube that a grid fills:
    with m = max |x_k| > 1 the result is (2 - 1/m) x / m.

    >>> contract(torch.tensor([[0.5, 0.0, -1.0], [4.0, 2.0, 0.0]]))
    tensor([[ 0.5000,  0.0000, -1.0000], [ 1.7500,  0.8750,  0.0000]])
    """
    m = x.abs().amax(-1, keepdim=True).clamp_min(1)
    return (2 - 1 / m) / m * x


def uncontract(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """The inverse of ``contract``, for points strictly inside the cube [-2, 2]^d.

    >>> uncontract(torch.tensor([1.75, 0.875, 0.0]))
    tensor([4., 2., 0.])
    """
    m = x.abs().amax(-1, keepdim=True)
    return torch.where(m > 1, x / (m * (2 - m)).clamp_min(1e-12), x)
