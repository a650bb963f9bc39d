"""FID and KID through a feature network that the user has: the distances that papers quote, and no others of that name.

    FID = |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))                    Heusel et al. 2017, of means and covariances
    KID = the unbiased MMD^2 with kernel (x.y / d + 1)^3, the mean over subsets      Binkowski et al. 2018

A TorchScript file is a program that runs with the user's rights: it is loaded only where ``--features`` names it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from fieldscape.errors import BadInput

SIDE = 299
"""Pixels a side of what the network is given."""
AT_ONCE = 32
SUBSETS, SUBSET = 100, 1000
"""Of KID, as its authors have it."""

Network: TypeAlias = Callable[[Float[Tensor, "n 3 s s"]], Float[Tensor, "n d"]]


def read_features(path: Path, device: torch.device) -> Network:
    """The network in a TorchScript file: pictures [n, 3, 299, 299] in -1..1 to features [n, d].

    Raises BadInput: there is no such file, it is none, or it gives something else on a trial.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path} for --features.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            loaded = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise BadInput(f"{path} is no TorchScript file, as torch.jit.save writes them.") from error

    @torch.no_grad()
    def network(pictures: Tensor) -> Tensor:
        return loaded(pictures.to(device)).cpu()

    try:
        tried = network(torch.zeros(2, 3, SIDE, SIDE))
    except Exception as error:  # what a foreign program raises cannot be known
        said = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise BadInput(f"The network in {path} fails on pictures [2, 3, {SIDE}, {SIDE}]: {said[0]:.200}") from error
    if not isinstance(tried, Tensor) or tried.ndim != 2 or len(tried) != 2 or not tried.is_floating_point():
        raise BadInput(f"The network in {path} does not give features [n, d] for pictures [n, 3, {SIDE}, {SIDE}].")
    return network


def features_of(network: Network, pictures: Iterable[Tensor]) -> Float[Tensor, "n d"]:
    """The features, in double precision, of batches of pictures [b, 3, s, s] in 0..1, enlarged bilinearly."""
    found = []
    for batch in pictures:
        for some in batch.split(AT_ONCE):
            large = interpolate(some, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
            found.append(network(large * 2 - 1).double())
    return torch.cat(found)


def fid(one: Float[Tensor, "n d"], other: Float[Tensor, "m d"]) -> float:
    """The Frechet distance of two sets of features, each taken for a Gaussian of full covariance.

    The trace of (C C')^(1/2) is that of (R C' R)^(1/2) with R = C^(1/2): symmetric, so its eigenvalues are real.
    """
    one, other = one.double(), other.double()
    first, second = one.T.cov(), other.T.cov()
    first, second = torch.atleast_2d(first), torch.atleast_2d(second)
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    apart = (one.mean(0) - other.mean(0)).square().sum()
    return float(apart + first.trace() + second.trace() - 2 * shared)


def kid(one: Float[Tensor, "n d"], other: Float[Tensor, "m d"], generator: torch.Generator) -> float:
    """The mean squared distance in the kernel's space of random subsets of 1,000 (all, where there are fewer).

    It is an unbiased estimate: of two sets of one kind it is 0 in the mean, and negative as often as not.
    """
    one, other = one.double(), other.double()
    size = min(SUBSET, len(one), len(other))
    rounds = 1 if size == len(one) == len(other) else SUBSETS
    total = 0.0
    for _ in range(rounds):
        x = one[torch.randperm(len(one), generator=generator)[:size]]
        y = other[torch.randperm(len(other), generator=generator)[:size]]
        inside = sum(kernel(some, some).fill_diagonal_(0).sum() / (size * (size - 1)) for some in (x, y))
        total += float(inside - 2 * kernel(x, y).mean())
    return total / rounds


def kernel(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """(x.y / d + 1)^3 of all pairs."""
    return (x @ y.T / x.shape[1] + 1) ** 3
