"""A batch of depth maps as the encoder meets them: pictures, points, and where slots begin.

A picture has eight channels: log(1 + depth) / 4, whether depth is known, the point seen in the model frame, and its
normal there. Points and pictures are in the model frame, whose origin is below the camera, so that the same thing at
the same place looks the same whatever the camera's tilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.systems.slots.points import Observed, padded, ray_grid

CHANNELS = 8
"""Of a picture."""
REACH = 14.0
"""Metres by which places are divided before the network sees them; those beyond twice that are cut."""
TURNS = 16
"""The turns of slots are counted in this part of 1."""
NO_SEGMENT = -1
"""The owner of points that belong to no segment."""


@dataclass(frozen=True)
class Views:
    """b depth maps of one size: n points each, s slots.

    image: see the head of the module.  points, normals: model frame, metres.  weights: of the points, 1 in all; 0:
    padding.  places: of the points in the picture, row * width + column.  eye: the camera, model frame.
    seeds: where slots begin: a point, how far its segment reaches (0: no segment), metres, and its turn: 0 for the
    first, 1/16 for the second, ... Of slots that begin on the same thing the first should stay.  present: which slots
    there are.  owner: the slot whose segment a point belongs to, ``NO_SEGMENT`` for none.
    """

    image: Float[Tensor, "b 8 h w"]
    points: Float[Tensor, "b n 3"]
    normals: Float[Tensor, "b n 3"]
    weights: Float[Tensor, "b n"]
    places: Int[Tensor, "b n"]
    eye: Float[Tensor, "b 3"]
    seeds: Float[Tensor, "b s 5"]
    present: Bool[Tensor, "b s"]
    owner: Int[Tensor, "b n"]

    def __len__(self) -> int:
        return len(self.points)


def views_of(
    observed: Sequence[Observed], labels: Sequence[Int[Tensor, "h w"]] | None, slots: int, count: int
) -> Views:
    """Depth maps of one size, each with ``count`` points and so many slots.

    labels: their segments, 0 for none, which slots begin at, the largest first; None: slots begin at points that lie
    far from one another. Raises ValueError for a depth map without points, or with more than ``count``.
    """
    rows = [padded(each, count) for each in observed]
    owners = []
    for k, each in enumerate(observed):
        place = rows[k][2]
        own = torch.full((len(place),), NO_SEGMENT)
        if labels is not None:
            column, row = each.pixels.unbind(-1)
            own = ranked(labels[k][row, column], each.weights, slots)[place]
        owners.append(own)
    weights = torch.stack([row[1] for row in rows])
    bare = Views(
        image=torch.stack([picture_of(each) for each in observed]),
        points=torch.stack([row[0] for row in rows]),
        normals=torch.stack([each.normals[row[2]] for each, row in zip(observed, rows)]),
        weights=weights / weights.sum(-1, keepdim=True),
        places=torch.stack([places_of(each)[row[2]] for each, row in zip(observed, rows)]),
        eye=torch.stack([each.from_camera[:3, 3] for each in observed]),
        seeds=torch.zeros(len(rows), slots, 5),
        present=torch.zeros(len(rows), slots, dtype=torch.bool),
        owner=torch.stack(owners),
    )
    by_segment = torch.full((len(rows),), labels is not None)
    return seeded(bare, by_segment & (bare.owner >= 0).any(-1))


def picture_of(observed: Observed) -> Float[Tensor, "8 h w"]:
    """The channels of one depth map; 0 wherever nothing is known."""
    depth, moved = observed.smooth, observed.from_camera
    known = depth > 0
    ray_x, ray_y = (torch.from_numpy(ray).float() for ray in ray_grid(observed.depth_map))
    space = torch.stack([depth * ray_x, depth * ray_y[:, None], depth], -1)
    # How far the background lies says nothing, and would be very large numbers.
    space = ((space @ moved[:3, :3].T + moved[:3, 3]) / REACH).clamp(-2, 2)
    normals = observed.normal_map @ moved[:3, :3].T
    near = depth.clamp(max=2 * REACH)
    channels = torch.cat([(torch.log1p(near) / 4)[..., None], known[..., None].float(), space, normals], -1)
    return (channels * known[..., None]).permute(2, 0, 1)


def places_of(observed: Observed) -> Int[Tensor, "n"]:
    """Where the points lie in the picture, as one number."""
    return observed.pixels[:, 1] * observed.smooth.shape[1] + observed.pixels[:, 0]


def ranked(labels: Int[Tensor, "n"], weights: Float[Tensor, "n"], most: int) -> Int[Tensor, "n"]:
    """Labels 1, 2, ... as numbers 0, 1, ... of slots, those of the most weight first.

    What is beyond ``most``, and 0, belongs to none.
    """
    out = torch.full_like(labels, NO_SEGMENT)
    sums = {k: float(weights[labels == k].sum()) for k in labels.unique().tolist() if k > 0}
    for rank, k in enumerate(sorted(sums, key=lambda k: (-sums[k], k))[:most]):
        out[labels == k] = rank
    return out


def seeded(views: Views, by_segment: Bool[Tensor, "b"], first: Float[Tensor, "b"] | None = None) -> Views:
    """Views whose slots begin at middles of segments where ``by_segment``, elsewhere at points far from one another.

    first: which point comes first, 0 to 1 of all of them; None: the one nearest to the middle.
    """
    slots = views.seeds.shape[1]
    share = torch.nn.functional.one_hot(views.owner.clamp_min(0), slots) * (views.owner >= 0)[..., None]
    share = share * views.weights[..., None]
    mass = share.sum(1)
    part = (share / mass.clamp_min(1e-12)[:, None]).mT
    middle = part @ views.points
    reach = ((part @ views.points.square()) - middle.square()).sum(-1, keepdim=True).clamp_min(0).sqrt()
    turn = (torch.arange(slots) / TURNS).expand(len(views), slots)[..., None]
    segments = torch.cat([middle, reach, turn], -1)
    spread = furthest(views.points, views.weights, slots, first)
    apart = torch.cat([spread, torch.zeros_like(reach), turn], -1)
    choose = by_segment[:, None]
    return replace(
        views,
        seeds=torch.where(choose[..., None], segments, apart),
        present=torch.where(choose, mass > 0, True),
        owner=torch.where(choose, views.owner, NO_SEGMENT),
    )


def furthest(
    points: Float[Tensor, "b n 3"],
    weights: Float[Tensor, "b n"],
    count: int,
    first: Float[Tensor, "b"] | None = None,
) -> Float[Tensor, "b c 3"]:
    """Points that lie furthest from one another, in turn; the first as in ``seeded``. Padding is never chosen anew."""
    middle = (points * weights[..., None]).sum(1, keepdim=True) / weights.sum(1)[:, None, None]
    real = weights > 0
    if first is None:
        chosen = torch.where(real, (points - middle).square().sum(-1), torch.inf).argmin(-1)
    else:
        # Padding comes last, so that the first so many are real.
        chosen = (first * real.sum(-1)).long().clamp(max=points.shape[1] - 1)
    found = [chosen]
    least = torch.where(real, torch.inf, -1.0)
    for _ in range(count - 1):
        last = points.gather(1, found[-1][:, None, None].expand(-1, 1, 3))
        least = torch.minimum(least, (points - last).square().sum(-1))
        found.append(least.argmax(-1))
    return points.gather(1, torch.stack(found, -1)[..., None].expand(-1, -1, 3))


def mirrored(views: Views, which: Bool[Tensor, "b"]) -> Views:
    """Views with left and right exchanged where ``which``: scenes that might as well have been seen."""
    width = views.image.shape[-1]
    sign = torch.where(which, -1.0, 1.0)
    image = torch.where(which[:, None, None, None], views.image.flip(-1), views.image)
    channel = torch.ones(len(which), CHANNELS)
    channel[:, 2] = channel[:, 5] = sign
    flip = torch.stack([sign, torch.ones_like(sign), torch.ones_like(sign)], -1)
    row, column = views.places // width, views.places % width
    return replace(
        views,
        image=image * channel[..., None, None],
        points=views.points * flip[:, None],
        normals=views.normals * flip[:, None],
        places=torch.where(which[:, None], row * width + width - 1 - column, views.places),
        eye=views.eye * flip,
        seeds=torch.cat([views.seeds[..., :3] * flip[:, None], views.seeds[..., 3:]], -1),
    )
