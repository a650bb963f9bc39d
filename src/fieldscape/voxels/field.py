"""The voxel field: density and colour on the vertices of a grid, and a march that visits only occupied space.

A vertex holds one raw density and, for each colour channel, the four coefficients of degree-1 spherical harmonics, so
that a colour can change with the viewing direction. Between vertices both are interpolated, then activated:

    sigma = softplus(raw - shift) / voxel        color = sigmoid(sum_k c_k Y_k(direction))

Activating *after* interpolation lets a cell hold a sharp surface (Sun et al., "Direct voxel grid optimization", 2022).
Density is measured per voxel, so that fog of a given raw density is as thick to the grid wherever, and however fine,
it is.

**Unbounded scenes** use the same grid on contracted space (``encodings.contract``): the core cube keeps its shape in
the middle half of the grid, and the world beyond it, to infinity, is squeezed into the rest. One field then serves an
object, a room seen from inside and a street alike: there is no seam between a near and a far model to blend, the far
resolution falls off as perspective lets it, and everything that works on a grid (occupancy, coarse to fine, export)
works on it unchanged. Steps along a ray grow in the same proportion, so that each crosses about one voxel.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool3d, softplus

from fieldscape import encodings, volume
from fieldscape.framing import Framing
from fieldscape.types import Rays, Rendered
from fieldscape.voxels.grid import blend, corners

DEGREE = 1
COEFFICIENTS = (DEGREE + 1) ** 2

SHIFT = 4.0
"""A raw density of 0 is then 0.018 a voxel: thin enough to see through a whole grid, thick enough to learn from."""

VISIBLE = 1e-3
"""Samples that weigh less than this neither show nor learn: their colour is not read."""

OCCUPIED = 0.02
"""Density a voxel below which a cell counts as empty and is skipped."""

OCCUPIED_RAW = SHIFT + math.log(math.expm1(OCCUPIED))
"""The raw density that stands for it."""


class VoxelField(nn.Module):
    """A field on a grid of ``shape`` vertices over the box ``low``..``high`` (contracted beyond it if ``unbounded``).

    channels: colour channels, 3 and any extra ones.  It is a ``Field``: ``forward(points, directions)``.
    """

    low: Tensor
    high: Tensor
    occupied: Tensor

    def __init__(
        self,
        low: Float[Tensor, "3"],
        high: Float[Tensor, "3"],
        shape: tuple[int, int, int],
        unbounded: bool,
        channels: int = 3,
    ):
        super().__init__()
        self.shape, self.unbounded, self.channels = shape, unbounded, channels
        vertices = shape[0] * shape[1] * shape[2]
        self.density = nn.Parameter(torch.zeros(vertices, 1, device=low.device))
        self.color = nn.Parameter(torch.zeros(vertices, channels * COEFFICIENTS, device=low.device))
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.register_buffer("occupied", torch.ones(shape[0] - 1, shape[1] - 1, shape[2] - 1, dtype=torch.bool))
        self.to(low.device)

    @property
    def voxel(self) -> float:
        """The side of a cell, in world units, in the box."""
        span = 4.0 if self.unbounded else 2.0
        return float((self.high - self.low)[0]) / 2 * span / (self.shape[0] - 1)

    def position(self, points: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 3"]:
        """World points in vertex units, 0..n-1 an axis; outside that range outside the grid."""
        x = (2 * points - (self.low + self.high)) / (self.high - self.low)
        if self.unbounded:
            x = encodings.contract(x) / 2
        return (x + 1) * (torch.tensor(self.shape, device=points.device) - 1) / 2

    def forward(
        self, points: Float[Tensor, "*p 3"], directions: Float[Tensor, "*p 3"]
    ) -> tuple[Float[Tensor, "*p c"], Float[Tensor, "*p"]]:
        """Colour and density anywhere; density is 0 outside the grid and in cells found empty."""
        position = self.position(points.reshape(-1, 3))
        inside = self.occupied_at(position)
        rows, share = corners(position, self.shape)
        sigma = self.sigma(position, rows, share) * inside
        color = self.shade(blend(self.color, rows, share), directions.reshape(-1, 3))
        return color.reshape(*points.shape[:-1], self.channels), sigma.reshape(points.shape[:-1])

    def sigma(
        self, position: Float[Tensor, "m 3"], rows: Int[Tensor, "m 8"], share: Float[Tensor, "m 8"]
    ) -> Float[Tensor, "m"]:
        """Density per unit length at positions whose corners are known.

        The vertices hold density per voxel, and voxels grow with distance in an unbounded scene, by 1 / (2 - |x|)^2 for
        contracted x. Its outermost cells reach to infinity and are opaque, so that every ray ends somewhere.
        """
        dense = softplus(blend(self.density, rows, share)[:, 0] - SHIFT)
        if self.unbounded:
            cells = torch.tensor(self.shape, device=position.device) - 1
            from_edge = 4 * torch.minimum(position, cells - position) / cells
            dense = dense * from_edge.amin(-1).clamp(0, 1) ** 2
            dense = torch.where((from_edge < 4 / cells).any(-1), 1.0, dense)
        return dense / self.voxel

    def shade(self, coefficients: Float[Tensor, "m k"], directions: Float[Tensor, "m 3"]) -> Float[Tensor, "m c"]:
        """Colours seen from unit ``directions``."""
        basis = encodings.spherical_harmonics(directions, DEGREE)
        return torch.sigmoid((coefficients.unflatten(-1, (self.channels, COEFFICIENTS)) * basis[:, None]).sum(-1))

    def occupied_at(self, position: Float[Tensor, "*m 3"]) -> Bool[Tensor, "*m"]:
        """Whether each position (vertex units) lies in a cell that may hold something."""
        inside = torch.ones(position.shape[:-1], dtype=torch.bool, device=position.device)
        index = torch.zeros(position.shape[:-1], dtype=torch.int32, device=position.device)
        # An axis at a time: this runs over every sample of every ray, and narrow passes are the fast ones.
        for axis, vertices in enumerate(self.shape):
            cell = position[..., axis].floor()
            inside &= (cell >= 0) & (cell < vertices - 1)
            index = index.mul_(vertices - 1).add_(cell.clamp_(0, vertices - 2).int())
        return self.occupied.view(-1)[index] & inside

    @torch.no_grad()
    def settle(self) -> None:
        """Marks the cells worth visiting: dense ones and their neighbours."""
        per_voxel = softplus(self.density.view(1, 1, *self.shape) - SHIFT)
        dense = max_pool3d(per_voxel, 2, 1) > OCCUPIED
        self.occupied = max_pool3d(dense.float(), 3, 1, 1)[0, 0] > 0
        if self.unbounded:
            # What lies at infinity is always asked for.
            for axis in range(3):
                self.occupied.select(axis, 0).fill_(True)
                self.occupied.select(axis, -1).fill_(True)

    @torch.no_grad()
    def refined(self, shape: tuple[int, int, int]) -> VoxelField:
        """The same field on a finer grid."""
        fine = VoxelField(self.low, self.high, shape, self.unbounded, self.channels)
        for name in ("density", "color"):
            table = getattr(self, name).view(*self.shape, -1).permute(3, 0, 1, 2)[None]
            dense = interpolate(table, shape, mode="trilinear", align_corners=True)
            getattr(fine, name).copy_(dense[0].permute(1, 2, 3, 0).reshape(fine.density.shape[0], -1))
        coarse = self.occupied[None, None].float()
        cells = (shape[0] - 1, shape[1] - 1, shape[2] - 1)
        fine.occupied = max_pool3d(interpolate(coarse, cells, mode="nearest"), 3, 1, 1)[0, 0] > 0
        return fine


def grid_shape(low: Float[Tensor, "3"], high: Float[Tensor, "3"], resolution: int) -> tuple[int, int, int]:
    """Vertices along each axis so that cells are cubes and the grid holds about ``resolution``^3 of them."""
    size = (high - low).double()
    cell = float(size.prod()) ** (1 / 3) / resolution
    x, y, z = (max(8, round(float(side) / cell)) + 1 for side in size)
    return x, y, z


def distances(
    rays: Rays, field: VoxelField, framing: Framing, step: float, generator: torch.Generator | None
) -> tuple[Float[Tensor, "r s"], Float[Tensor, "r s"]]:
    """Sample distances that cross about ``step`` voxels each, and the lengths they stand for; length 0 outside.

    With a generator each ray's samples are shifted together by a random share of a step.
    """
    device = rays.origins.device
    shift: Tensor | float = 0.5
    if generator is not None:
        shift = torch.rand(len(rays.origins), 1, generator=generator, device=device)
    if not field.unbounded:
        near, far = volume.ray_box(rays, field.low, field.high)
        length = step * field.voxel
        count = int(torch.clamp((far - near).max() / length, min=1)) + 1
        t = near + (torch.arange(count, device=device) + shift) * length
        return t, torch.where(t < far, length, 0.0)
    # A ray is contracted as space is, about its point nearest to the centre; steps are even on the contracted ray.
    middle = ((framing.center - rays.origins) * rays.directions).sum(-1, keepdim=True)
    offset = (rays.origins + middle * rays.directions - framing.center).norm(dim=-1, keepdim=True)
    unit = offset.clamp_min(framing.radius)
    first = encodings.contract((framing.near - middle) / unit)
    length = step * field.voxel / framing.radius
    count = int((2 - float(first.min())) / length) + 1
    edges = (first + (torch.arange(count + 1, device=device) + shift - 0.5) * length).clamp(max=2 - 1e-3)
    t = middle + unit * encodings.uncontract(torch.maximum(edges, first)[..., None])[..., 0]
    return (t[:, 1:] + t[:, :-1]) / 2, t[:, 1:] - t[:, :-1]


def march(
    field: VoxelField,
    rays: Rays,
    framing: Framing,
    background: Float[Tensor, "*g c"] | None,
    step: float = 1.0,
    generator: torch.Generator | None = None,
) -> Rendered:
    """The volume integral of ``field`` along flat ``rays`` [r], reading only what can be seen.

    Density is read in occupied cells, and again, for the gradient, only in front of what stops the light (early ray
    termination); colour is read where a sample weighs more than ``VISIBLE``. Everything else is the integral of
    ``volume.py``: what is left out has weight 0.
    """
    with torch.no_grad():
        t, delta = distances(rays, field, framing, step, generator)
        position = field.position(rays.at(t))
        ray, sample = (field.occupied_at(position) & (delta > 0)).nonzero(as_tuple=True)
        t, delta = t[ray, sample], delta.expand_as(t)[ray, sample]
        # Each ray's samples, moved up to the front of a row: most rays meet few occupied cells.
        counts = torch.bincount(ray, minlength=len(rays.origins))
        slot = torch.arange(len(ray), device=ray.device) - (counts.cumsum(0) - counts)[ray]
        position = position[ray, sample]
        rows, share = corners(position, field.shape)
        empty = t.new_zeros(len(rays.origins), max(1, int(counts.max())))
        delta = empty.index_put((ray, slot), delta)
        sigma = empty.index_put((ray, slot), field.sigma(position, rows, share))
        reached = volume.transmittance(sigma, delta)[ray, slot] > VISIBLE
        ray, slot, t, rows, share = ray[reached], slot[reached], t[reached], rows[reached], share[reached]
        position = position[reached]
    share_of_step = (t / framing.radius).square().clamp_max(1) if field.unbounded else None
    sigma = empty.index_put((ray, slot), scaled(field.sigma(position, rows, share), share_of_step))
    in_rows = volume.weights(sigma, delta)
    depth = volume.median_depth(in_rows.detach(), empty.index_put((ray, slot), t))
    w = in_rows[ray, slot]
    shown = w.detach() > VISIBLE
    color = field.shade(blend(field.color, rows[shown], share[shown]), rays.directions[ray[shown]])
    seen = volume.composite_packed(w[shown], color, t[shown], ray[shown], len(rays.origins), background)
    return volume.split_extra(replace(seen, depth=depth))


def scaled(values: Float[Tensor, "m"], share: Float[Tensor, "m"] | None) -> Float[Tensor, "m"]:
    """``values``, of whose gradient only ``share`` is passed back (None: all of it)."""
    return values if share is None else values * share + (values * (1 - share)).detach()


@torch.no_grad()
def picture(
    field: VoxelField,
    rays: Rays,
    framing: Framing,
    background: Float[Tensor, "c"] | None,
    step: float = 1.0,
) -> Rendered:
    """What ``field`` looks like along a grid of rays [h, w], deterministic; memory stays bounded at any size."""
    flat, grid = rays.reshape(-1), tuple(rays.origins.shape[:-1])
    at_once = 8192 if rays.origins.device.type == "cpu" else 2**17
    parts = [
        march(field, flat[i : i + at_once], framing, background, step) for i in range(0, len(flat.origins), at_once)
    ]
    return volume.join(parts, grid)
