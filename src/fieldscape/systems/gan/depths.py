"""Depth as a discriminator is given it, and as it is compared: of real photos and of generated pictures alike.

Depth maps often come from a network that knows no scale. So a picture's depth is told relative to itself: minus the
logarithm of z over its geometric mean in that picture, squashed by tanh to -1..1. Near is high, as with disparity, and
a factor on all depths of a picture changes nothing. Where a photo's depth is unknown the channel is 0, and the same
holes are cut into a generated picture, or holes would tell the two apart.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fieldscape.types import Camera


def planar(camera: Camera, along_ray: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """Distances along the rays of each camera of a batch as z, the distance along its optical axis."""
    return along_ray / _lengths(camera)


def along_rays(camera: Camera, z: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The inverse of ``planar``."""
    return z * _lengths(camera)


def _lengths(camera: Camera) -> Float[Tensor, "b 1 s s"]:
    """Of the rays of each pixel up to z = 1."""
    along = torch.arange(camera.width, device=camera.focal.device) + 0.5
    x = ((along - camera.center[:, :1]) / camera.focal[:, :1])[:, None, :]
    y = ((along - camera.center[:, 1:]) / camera.focal[:, 1:])[:, :, None]
    return (1 + x.square() + y.square()).sqrt()[:, None]


def relative(z: Float[Tensor, "b 1 s s"], known: Bool[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The channel of the module's description, from planar depths.

    >>> z = torch.tensor([1.0, 4.0, 0.0, 2.0]).reshape(1, 1, 2, 2)
    >>> relative(z, z > 0).atanh().exp().flatten()  # the geometric mean is 2
    tensor([2.0000, 0.5000, 1.0000, 1.0000])
    """
    log = torch.where(known, z, 1.0).log()
    middle = log.sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(known, torch.tanh(middle - log), 0.0)


def coarser(z: Float[Tensor, "b 1 s s"], side: int) -> Float[Tensor, "b 1 t t"]:
    """Depth maps ``side`` a side: the geometric mean of what is known; 0 where less than half is."""
    return merged(avg_pool2d(as_sums(z), z.shape[-1] // side)) if z.shape[-1] > side else z


def as_sums(z: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 2 s s"]:
    """Depth maps in a form whose means mean something: logarithms where known, and whether it is known."""
    known = z > 0
    return torch.cat([torch.where(known, z, 1.0).log(), known.to(z)], 1)


def merged(sums: Float[Tensor, "b 2 s s"]) -> Float[Tensor, "b 1 s s"]:
    """Depth maps of means of ``as_sums``."""
    log, share = sums[:, :1], sums[:, 1:]
    return torch.where(share >= 0.5, (log / share.clamp(min=1e-6)).exp(), 0.0)


def mean_map(z: Float[Tensor, "n 1 s s"]) -> Float[Tensor, "s s"]:
    """The mean depth of each pixel over the pictures in which it is known; the mean of all where it never is.

    Each picture's depths count as shares of their own mean, so that pictures of unknown scale weigh alike.
    """
    known = z > 0
    shares = z / (z.sum((1, 2, 3), keepdim=True) / known.sum((1, 2, 3), keepdim=True).clamp(min=1)).clamp(min=1e-12)
    times = known.sum(0)[0]
    mean = shares.sum(0)[0] / times.clamp(min=1)
    return torch.where(times > 0, mean, mean[times > 0].mean() if bool((times > 0).any()) else 1.0)


def about_unit(z: Float[Tensor, "n s s"], near: float, far: float) -> str | None:
    """A sentence where depths cannot be in the unit of ``near`` and ``far``, else None.

    Such depths are used all the same: what is compared does not depend on a factor.
    """
    known = z[:: max(1, len(z) // 256)]
    known = known[known > 0]
    middle = float(known.median()) if len(known) else 0.0
    if near <= middle <= far or not middle:
        return None
    return (
        f"depths are about {middle:.4g}, yet rays go from {near:g} to {far:g}: taken to be of unknown scale; "
        "were they to be metres, see --depth-unit"
    )
