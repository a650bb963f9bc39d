"""What a set of slots costs, given what was seen: each loss its own function, each a number per depth map.

Legend: b any leading dimensions (depth maps), n seen points, s slots, m samples of a slot's surface, k prototypes.
D[n, s] is what it costs that slot s, if it exists, explains point n; a_s is the probability that it exists.

The expected distance with existence in closed form is that of Paschalidou et al., "Superquadrics Revisited", 2019, with
a price on points that nothing explains. One-way distances alone are degenerate: surfaces that no point needs cost
nothing, so slots grow and float. The other losses see to it that space seen to be empty stays empty, and that of all
explanations the smallest with the fewest slots is found.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.nearest import nearest_distance_in_groups
from fieldscape.systems.slots.codec import Slots, rotation
from fieldscape.systems.slots.prototypes import Prototypes, face_areas

BEND = 0.1
"""Distances under this, in metres, cost their square."""
PROBES = 42
"""Points of each slot that are looked for in the others: the vertices of the sphere of level 1."""
FULL = 1.2
"""Slots that may share a place, by their probability, before that costs."""
USED = 0.3
"""Prototypes are used enough if each has this share of an equal share."""
ABSENT = 0.001
"""A slot that exists with a smaller probability than this has been given up."""
BELOW = 0.05
"""Metres that a slot may reach below the ground."""


def huber(distance: Float[Tensor, "*b"], bend: float = BEND) -> Float[Tensor, "*b"]:
    """d^2 / (2 bend) below the bend, d - bend / 2 above it: metres, for distances of 0 and more."""
    return torch.where(distance < bend, distance.square() / (2 * bend), distance - bend / 2)


def distances(points: Float[Tensor, "*b n 3"], samples: Float[Tensor, "*b s m 3"]) -> Float[Tensor, "*b n s"]:
    """D: the Huber cost of the distance from each point to the nearest sample of each slot."""
    return huber(nearest_distance_in_groups(points, samples))


def responsibilities(costs: Float[Tensor, "*b n s"], existence: Float[Tensor, "*b s"]) -> Float[Tensor, "*b n s"]:
    """The probability that each slot is the nearest of those that exist: a_s times all nearer ones not existing."""
    order = costs.detach().argsort(stable=True, dim=-1)
    alive = existence[..., None, :].expand_as(costs).gather(-1, order)
    absent = torch.cumprod(1 - alive, -1)
    before = torch.cat([torch.ones_like(absent[..., :1]), absent[..., :-1]], -1)
    return torch.zeros_like(costs).scatter(-1, order, alive * before)


def expected_chamfer(
    costs: Float[Tensor, "*b n s"],
    shares: Float[Tensor, "*b n s"],
    weights: Float[Tensor, "*b n"],
    unexplained: float,
    ground: Float[Tensor, "*b n"] | None = None,
) -> Float[Tensor, "*b"]:
    """Coverage: the expected cost of the nearest slot that exists, over all points; what none explains costs a price.

    shares: the responsibilities.  ground: what it costs that the ground explains a point, which always exists; a slot
    farther from the point than the ground then has no share in it.
    """
    price = torch.full_like(costs[..., 0], unexplained)
    if ground is not None:
        price = torch.minimum(price, ground)
        shares = torch.where(costs < price[..., None], shares, 0.0)
    left = 1 - shares.sum(-1)
    expected = (shares * costs).sum(-1) + left * price
    return (weights * expected).sum(-1) / weights.sum(-1).clamp_min(1e-12)


def belonging(
    costs: Float[Tensor, "*b n s"], owner: Int[Tensor, "*b n"], weights: Float[Tensor, "*b n"]
) -> Float[Tensor, "*b"]:
    """The mean cost of each point to the slot of its own segment; points of no segment (owner -1) cost nothing.

    Without it a slot may drift to its neighbour's points, and neither loss nor picture would tell.
    """
    own = costs.gather(-1, owner.clamp_min(0)[..., None])[..., 0]
    return (weights * own * (owner >= 0)).sum(-1) / weights.sum(-1).clamp_min(1e-12)


def free_space(
    gap: Float[Tensor, "*b s m"], areas: Float[Tensor, "*b s m"], existence: Float[Tensor, "*b s"]
) -> Float[Tensor, "*b"]:
    """The Huber cost of samples where nothing can be, averaged over each slot's area, then over slots by existence.

    gap: how far such a sample is from what it is pulled to (the nearest seen point, or the ground), 0 for samples where
    something can be. The pull is sideways, to what was seen: straight back, along the ray, it would hide the surface.
    """
    each = (huber(gap) * areas).sum(-1)
    # Slots that hardly exist are pulled too, or they would stay in the empty air for good; absent ones are not.
    counted = torch.where(existence > ABSENT, existence.clamp_min(0.1), 0.0)
    return (each * counted).sum(-1)


def share_sparsity(shares: Float[Tensor, "*b n s"], weights: Float[Tensor, "*b n"]) -> Float[Tensor, "*b"]:
    """The sum of the roots of the slots' shares in the points: one slot for all is cheapest, equal shares dearest."""
    part = (shares * weights[..., None]).sum(-2) / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    # The root is infinitely steep at 0; slots without points have no gradient from here, and no cost.
    return ((part + 1e-4).sqrt() - 0.01).sum(-1)


def parsimony(existence: Float[Tensor, "*b s"]) -> Float[Tensor, "*b"]:
    """The sum of the roots of the existences."""
    return (existence + 1e-6).sqrt().sum(-1)


def binary(existence: Float[Tensor, "*b s"]) -> Float[Tensor, "*b"]:
    """The mean of a (1 - a): nothing exists by half."""
    return (existence * (1 - existence)).mean(-1)


def size(scale: Float[Tensor, "*b s 1"], existence: Float[Tensor, "*b s"]) -> Float[Tensor, "*b"]:
    """The sum of the squared sizes of what exists, square metres."""
    return (existence * scale[..., 0].square()).sum(-1)


def support(surface: Float[Tensor, "*b s v 3"], existence: Float[Tensor, "*b s"]) -> Float[Tensor, "*b"]:
    """How far from the ground the lowest point of each slot is; no more is asked of what is over half a metre up."""
    lowest = surface[..., 1].amin(-1).abs()
    return (existence * huber(lowest.clamp(max=0.5))).sum(-1)


def overlap(slots: Slots, shapes: Float[Tensor, "*b s v 3"], surface: Float[Tensor, "*b s v 3"]) -> Float[Tensor, "*b"]:
    """How much of the slots lies inside others, over what probability allows.

    shapes: the blends in their own axes, surface: the same in the model frame. Probes lie between the middle of each
    slot and its first vertices (those of the coarser spheres, which lie evenly). Shapes are nearly radial, so a probe
    is inside another slot where it is nearer to its middle than the surface is in that direction.
    """
    middle = slots.position[..., None, :]
    probes = middle + 0.8 * (surface[..., :PROBES, :] - middle)
    inside = occupancy(probes.flatten(-3, -2), slots, shapes[..., :PROBES, :])
    existence = torch.sigmoid(slots.existence[..., 0])
    crowd = (inside * existence[..., None, :]).sum(-1)
    own = existence.repeat_interleave(probes.shape[-2], -1)
    return (own * (crowd - FULL).clamp_min(0)).sum(-1) / probes.shape[-2]


def occupancy(
    points: Float[Tensor, "*b p 3"], slots: Slots, shapes: Float[Tensor, "*b s v 3"]
) -> Float[Tensor, "*b p s"]:
    """Whether points lie inside slots, 0 to 1, soft over a twentieth of a slot's size.

    The radius in a direction is that of the vertices around it, weighed by how near their directions are.
    """
    turned = torch.einsum(
        "...spc,...scd->...spd", points[..., None, :, :] - slots.position[..., None, :], rotation(slots.angles)
    )
    local = turned / slots.scale[..., None, :]
    distance = (local.square().sum(-1) + 1e-8).sqrt()
    radius = (shapes.square().sum(-1) + 1e-8).sqrt()
    cosine = (local / distance[..., None]) @ (shapes / radius[..., None]).mT
    near = torch.softmax(20 * cosine, -1)
    reach = (near * radius[..., None, :]).sum(-1)
    return torch.sigmoid((reach - distance) / 0.05).mT


def prototype_use(weights: Float[Tensor, "*b s k"], existence: Float[Tensor, "*b s"]) -> Float[Tensor, ""]:
    """1 less the share of prototypes in use, over all depth maps: rises where one is hardly used by any slot."""
    total = (weights * existence[..., None]).flatten(0, -2).sum(0)
    usage = total / total.sum().clamp_min(1e-12)
    least = USED / len(usage)
    return 1 - usage.clamp(max=least).sum() / USED


def blend_entropy(weights: Float[Tensor, "*b s k"], existence: Float[Tensor, "*b s"]) -> Float[Tensor, "*b"]:
    """The mean entropy of the blends of what exists, in nats."""
    entropy = -(weights * weights.clamp_min(1e-9).log()).sum(-1)
    return (entropy * existence).sum(-1) / existence.sum(-1).clamp_min(1e-6)


def smoothness(prototypes: Prototypes) -> Float[Tensor, ""]:
    """How rough the prototypes are: Laplacian of the log radius, bends between faces, uneven edges, shifts."""
    first, second = prototypes.edges.unbind(-1)
    radius = prototypes.log_radius
    count = (
        torch.zeros(radius.shape[-1])
        .to(radius)
        .index_add_(0, prototypes.edges.flatten(), torch.ones(1).to(radius).expand(prototypes.edges.numel()))
    )
    around = torch.zeros_like(radius).index_add(1, first, radius[:, second]).index_add(1, second, radius[:, first])
    laplacian = (around / count - radius).square().mean()
    shapes = prototypes.shapes()
    length = (shapes[:, first] - shapes[:, second]).norm(dim=-1)
    uneven = (length / length.mean(-1, keepdim=True) - 1).square().mean()
    return laplacian + 0.1 * _bends(shapes, prototypes) + uneven + prototypes.tangential().square().sum(-1).mean()


def _bends(shapes: Float[Tensor, "k v 3"], prototypes: Prototypes) -> Float[Tensor, ""]:
    """The mean of 1 - cosine between the normals of a face and of all faces around its corners."""
    corners = shapes[:, prototypes.faces]
    a, b, c = corners.unbind(-2)
    normal = torch.linalg.cross(b - a, c - a) / (2 * face_areas(corners))[..., None].clamp_min(1e-8)
    flat = prototypes.faces.flatten()
    around = torch.zeros_like(shapes).index_add(1, flat, normal.repeat_interleave(3, 1))
    mean = torch.nn.functional.normalize(around, dim=-1)[:, prototypes.faces].mean(-2)
    return (1 - (mean * normal).sum(-1)).mean()


def literal_seed(points: Float[Tensor, "*b n 3"], surface: Float[Tensor, "*b s v 3"]) -> Float[Tensor, "*b"]:
    """The loss this began with, as a baseline: the mean squared distance from all points, the ground's too, to the
    nearest vertex of any slot. Nothing pays for surface that no point needs."""
    return nearest_distance_in_groups(points, surface).square().amin(-1).mean(-1)
