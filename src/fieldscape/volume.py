"""The volume integral: where to look along a ray, and what is seen. Every renderer of a field comes through here.

    t      [*, n]   increasing distances along a ray at which the field is asked
    delta  [*, n]   lengths of the intervals that the samples stand for
    sigma  [*, n]   density, per unit length
    alpha  [*, n]   share of light stopped in an interval:      1 - exp(-sigma delta)
    T      [*, n]   share of light that reaches an interval:    exp(-sum of sigma delta before it)
    w      [*, n]   share of light stopped there:               T alpha

The colour of a ray is sum(w c) + (1 - sum(w)) background: Max, "Optical models for direct volume rendering", 1995, as
used by Mildenhall et al., "NeRF", 2020, equation 3.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.types import Field, Rays, Rendered

OPAQUE = 1e10
"""Length of the last interval where whatever stands there is taken to stop all remaining light."""


def stratified(
    near: Float[Tensor, "*b 1"],
    far: Float[Tensor, "*b 1"],
    n: int,
    generator: torch.Generator | None = None,
    spacing: Literal["linear", "disparity"] = "linear",
) -> Float[Tensor, "*b n"]:
    """One distance in each of ``n`` equal bins between ``near`` and ``far``: random with a generator, else the middle.

    ``disparity`` spaces the bins evenly in 1/t, so that far things get fewer samples; it needs near > 0.

    >>> stratified(torch.tensor([2.0]), torch.tensor([6.0]), 4)
    tensor([2.5000, 3.5000, 4.5000, 5.5000])
    """
    steps = torch.arange(n, device=near.device, dtype=near.dtype)
    if generator is None:
        inside = torch.full((), 0.5, device=near.device, dtype=near.dtype)
    else:
        inside = torch.rand((*near.shape[:-1], n), generator=generator, device=near.device, dtype=near.dtype)
    share = (steps + inside) / n
    if spacing == "disparity":
        return 1 / ((1 - share) / near + share / far)
    return near + (far - near) * share


def importance(
    t: Float[Tensor, "*b n"], w: Float[Tensor, "*b n"], m: int, generator: torch.Generator | None = None
) -> Float[Tensor, "*b m"]:
    """``m`` increasing distances distributed as the weights ``w`` found at ``t`` (NeRF, section 5.2).

    The density of the distances is constant between the midpoints of ``t`` and inverted in closed form. Without a
    generator they stand at the (i + 1/2)/m quantiles. No gradient flows through them.

    >>> importance(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, 0.0]), 4)
    tensor([1.6250, 1.8750, 2.1250, 2.3750])
    """
    t, w = t.detach(), w.detach() + 1e-5 / t.shape[-1]
    middle = (t[..., 1:] + t[..., :-1]) / 2
    edges = torch.cat([t[..., :1], middle, t[..., -1:]], -1)
    cdf = torch.cumsum(w, -1)
    cdf = torch.cat([torch.zeros_like(cdf[..., :1]), cdf], -1) / cdf[..., -1:]
    steps = torch.arange(m, device=t.device, dtype=t.dtype)
    if generator is None:
        share = ((steps + 0.5) / m).expand(*t.shape[:-1], m)
    else:
        share = (steps + torch.rand((*t.shape[:-1], m), generator=generator, device=t.device, dtype=t.dtype)) / m
    right = torch.searchsorted(cdf, share.contiguous(), right=True).clamp(1, cdf.shape[-1] - 1)
    below, above = cdf.gather(-1, right - 1), cdf.gather(-1, right)
    start, end = edges.gather(-1, right - 1), edges.gather(-1, right)
    return start + (end - start) * ((share - below) / (above - below).clamp_min(1e-12)).clamp(0, 1)


def intervals(t: Float[Tensor, "*b n"], last: float = OPAQUE) -> Float[Tensor, "*b n"]:
    """The length each sample stands for: up to the next one, and ``last`` for the last.

    >>> intervals(torch.tensor([1.0, 2.0, 4.0]), last=0.5)
    tensor([1.0000, 2.0000, 0.5000])
    """
    return torch.cat([t[..., 1:] - t[..., :-1], torch.full_like(t[..., :1], last)], -1)


def transmittance(sigma: Float[Tensor, "*b n"], delta: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
    """The share of a ray's light that reaches each interval.

    >>> transmittance(torch.tensor([0.0, 0.6931472, 1e9]), torch.ones(3))
    tensor([1.0000, 1.0000, 0.5000])
    """
    depth = sigma * delta
    # Shifted rather than subtracted: the last interval may be so long that subtracting it leaves nothing of the sum.
    return torch.exp(-torch.cat([torch.zeros_like(depth[..., :1]), torch.cumsum(depth[..., :-1], -1)], -1))


def weights(sigma: Float[Tensor, "*b n"], delta: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n"]:
    """The share of a ray's light stopped in each interval; they sum to 1 minus what passes through all.

    >>> weights(torch.tensor([0.0, 0.6931472, 1e9]), torch.ones(3))
    tensor([0.0000, 0.5000, 0.5000])
    """
    return transmittance(sigma, delta) * -torch.expm1(-sigma * delta)


def composite(
    w: Float[Tensor, "*b n"],
    color: Float[Tensor, "*b n c"],
    t: Float[Tensor, "*b n"],
    background: Float[Tensor, "*g c"] | None,
) -> Rendered:
    """Blends samples by their weights over ``background`` (None: nothing behind, which adds no light).

    >>> seen = composite(torch.tensor([0.5]), torch.tensor([[1.0, 0.0]]), torch.tensor([3.0]), torch.ones(2))
    >>> seen.color, seen.alpha, seen.depth
    (tensor([1.0000, 0.5000]), tensor([0.5000]), tensor([3.]))
    """
    alpha = w.sum(-1, keepdim=True)
    seen = (w[..., None] * color).sum(-2)
    if background is not None:
        seen = seen + (1 - alpha) * background
    depth = (w * t).sum(-1, keepdim=True) / alpha.clamp_min(1e-6)
    return Rendered(seen, depth, alpha)


def composite_packed(
    w: Float[Tensor, "m"],
    color: Float[Tensor, "m c"],
    t: Float[Tensor, "m"],
    ray: Int[Tensor, "m"],
    rays: int,
    background: Float[Tensor, "*g c"] | None,
) -> Rendered:
    """``composite`` for samples kept in one list, where few of a ray's samples matter: sample i lies on ``ray[i]``.

    >>> half, one = torch.tensor([0.5, 0.5]), torch.ones(2, 1)
    >>> composite_packed(half, one, torch.tensor([1.0, 3.0]), torch.tensor([1, 1]), 2, None).depth[:, 0]
    tensor([0., 2.])
    """
    weighted = torch.cat([w[:, None] * color, (w * t)[:, None], w[:, None]], -1)
    summed = torch.zeros(rays, weighted.shape[-1], device=w.device).index_add(0, ray, weighted)
    seen, depth, alpha = summed[:, :-2], summed[:, -2:-1], summed[:, -1:]
    if background is not None:
        seen = seen + (1 - alpha) * background
    return Rendered(seen, depth / alpha.clamp_min(1e-6), alpha)


def render(
    field: Field,
    rays: Rays,
    t: Float[Tensor, "*b n"],
    background: Float[Tensor, "*g c"] | None = None,
    last: float = OPAQUE,
) -> tuple[Rendered, Float[Tensor, "*b n"]]:
    """What ``field`` looks like along ``rays``, asked at distances ``t``; also the weights, for importance sampling."""
    points = rays.at(t)
    color, sigma = field(points, rays.directions[..., None, :].expand_as(points))
    w = weights(sigma, intervals(t, last))
    return composite(w, color, t, background), w


def median_depth(w: Float[Tensor, "*b n"], t: Float[Tensor, "*b n"]) -> Float[Tensor, "*b 1"]:
    """The distance by which a ray has lost half of the light that it loses; 0 where it loses none.

    The mean is drawn far out by the little that passes a surface and is stopped at the end of the world.

    >>> median_depth(torch.tensor([0.1, 0.8, 0.1]), torch.tensor([1.0, 2.0, 1000.0]))
    tensor([2.])
    """
    passed = w.cumsum(-1)
    index = (passed < 0.5 * passed[..., -1:]).sum(-1, keepdim=True).clamp_max(w.shape[-1] - 1)
    return torch.where(passed[..., -1:] > 0, t.gather(-1, index), 0.0)


def split_extra(seen: Rendered) -> Rendered:
    """A picture of 3 + n channels as a colour and n further channels; one of 3 channels is returned as it is."""
    if seen.color.shape[-1] == 3:
        return seen
    return Rendered(seen.color[..., :3], seen.depth, seen.alpha, seen.color[..., 3:])


def join(parts: list[Rendered], shape: tuple[int, ...]) -> Rendered:
    """Pictures of flat runs of rays, joined and given the leading dims ``shape``."""

    def whole(pieces: list[Tensor]) -> Tensor:
        return torch.cat(pieces).reshape(*shape, -1)

    extra = [part.extra for part in parts if part.extra is not None]
    return Rendered(
        whole([part.color for part in parts]),
        whole([part.depth for part in parts]),
        whole([part.alpha for part in parts]),
        whole(extra) if extra else None,
    )


def ray_box(
    rays: Rays, low: Float[Tensor, "3"], high: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "*b 1"], Float[Tensor, "*b 1"]]:
    """Distances at which rays enter and leave the box ``low``..``high``: slab method, Kay and Kajiya, 1986.

    The entry is 0 for a ray that starts inside. A ray that misses has entry >= exit.

    >>> ray = Rays(torch.tensor([[-3.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    >>> ray_box(ray, -torch.ones(3), torch.ones(3))
    (tensor([[2.]]), tensor([[4.]]))
    """
    tiny = torch.where(rays.directions < 0, -1e-12, 1e-12).to(rays.directions)
    slope = 1 / torch.where(rays.directions.abs() < 1e-12, tiny, rays.directions)
    one, two = (low - rays.origins) * slope, (high - rays.origins) * slope
    near = torch.minimum(one, two).amax(-1, keepdim=True).clamp_min(0)
    far = torch.maximum(one, two).amin(-1, keepdim=True)
    return near, far
