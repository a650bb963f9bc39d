"""The best linear autoencoder of patches: their principal components (Pearson 1901; Eckart and Young 1936).

At small sizes it is a hard start to beat: of 64-pixel pictures of cars, 16 components of 4 x 4 patches keep 33 dB,
where a convolutional network of half a million weights, started at random, has reached 25 dB after the same time.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


def to_patches(images: Float[Tensor, "n 3 h w"], factor: int) -> Float[Tensor, "n p h2 w2"]:
    """Pictures cut into patches of factor x factor pixels, each a vector of p = 3 factor^2 numbers."""
    return pixel_unshuffle(images, factor)


def from_patches(patches: Float[Tensor, "n p h2 w2"], factor: int) -> Float[Tensor, "n 3 h w"]:
    """The inverse of ``to_patches``."""
    return pixel_shuffle(patches, factor)


def components(vectors: Float[Tensor, "n p"], count: int) -> tuple[Float[Tensor, "p"], Float[Tensor, "k p"]]:
    """The mean and the ``count`` orthonormal directions that keep most of the variance; with zeros below for count > p.

    >>> mean, rows = components(torch.tensor([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]), 1)
    >>> mean.tolist(), [round(x, 3) for x in rows.abs()[0].tolist()]
    ([2.0, 2.0], [0.707, 0.707])
    """
    exact = vectors.cpu().double()  # an Apple GPU knows no doubles
    mean = exact.mean(0)
    _, directions = torch.linalg.eigh((exact - mean).T @ (exact - mean))
    rows = directions.T.flip(0)[:count]
    # The sign of a direction is nobody's choice: the greatest entry is made positive, so that runs repeat.
    signs = rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    rows = torch.cat([rows * signs, rows.new_zeros(max(0, count - len(rows)), rows.shape[1])])
    return mean.to(vectors), rows.to(vectors)


def drawn_patches(
    images: Float[Tensor, "n 3 h w"], factor: int, most: int, chance: torch.Generator
) -> Float[Tensor, "m p"]:
    """All patches of the pictures, or ``most`` of them drawn at random."""
    vectors = to_patches(images, factor).movedim(1, -1).flatten(0, 2)
    if len(vectors) <= most:
        return vectors
    chosen: Int[Tensor, "m"] = torch.randperm(len(vectors), generator=chance)[:most]
    return vectors[chosen]
