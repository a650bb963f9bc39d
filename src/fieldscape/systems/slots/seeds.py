"""First guesses of slots: from the points of a segment, where a thing stands, how big it is and how it is turned.

A depth camera sees a thing's near sides, so the middle of the points is in front of the thing's, and the far side has
to be guessed. Yaw is that of the upright box whose sides the points lie closest to (the "closeness" of Zhang et al.,
"Efficient L-Shape Fitting for Vehicle Detection Using Laser Scanners", 2017): two visible sides of a box give it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.systems.slots.codec import Slots, encode

TURNS = 30
"""Yaws tried over a quarter turn: every three degrees."""
SURE = 3.0
"""The logit of the existence of a slot that was begun from points: 95 %."""
ABSENT = -12.0
"""The logit of one that is not there."""
THINNEST = 0.6
"""The least depth of a thing, as a share of its width, as far as a guess goes."""
FEWEST = 4
"""Points that a slot can be begun from."""
TAIL = 0.02
"""The share of points beyond a side of the box, for the noise among them."""


@dataclass(frozen=True)
class Guess:
    """First guesses of slots. owner: the slot that each point belongs to, -1 for none.  left_out: how many labels have
    no slot, for want of slots."""

    vecta: Float[Tensor, "s d"]
    owner: Int[Tensor, "n"]
    left_out: int


def from_labels(
    points: Float[Tensor, "n 3"],
    weights: Float[Tensor, "n"],
    labels: Int[Tensor, "n"],
    slots: int,
    prototypes: int,
    eye: Float[Tensor, "3"],
) -> Guess:
    """A slot for each label but 0, those of the most surface first; rows without one are absent.

    eye: the camera, in the frame of the points.
    """
    found = [(float(weights[labels == k].sum()), k) for k in labels.unique().tolist() if k > 0]
    usable = sorted((w, k) for w, k in found if int(((labels == k) & (weights > 0)).sum()) >= FEWEST)[::-1]
    rows = [from_points(points[(labels == k) & (weights > 0)], prototypes, eye) for _, k in usable[:slots]]
    rows += [absent(prototypes, eye)] * (slots - len(rows))
    owner = torch.full_like(labels, -1)
    for number, (_, k) in enumerate(usable[:slots]):
        owner[labels == k] = number
    return Guess(torch.stack(rows), owner, max(len(usable) - slots, 0))


def from_points(points: Float[Tensor, "n 3"], prototypes: int, eye: Float[Tensor, "3"]) -> Float[Tensor, "d"]:
    """A slot around points, an even blend of all prototypes."""
    yaw = box_yaw(points[:, [0, 2]])
    cos, sin = math.cos(yaw), math.sin(yaw)
    # The thing's own x and z axes on the ground, for a turn about y.
    axes = points.new_tensor([[cos, -sin], [sin, cos]])
    flat = points[:, [0, 2]] @ axes.T
    low, high = torch.quantile(flat, TAIL, 0), torch.quantile(flat, 1 - TAIL, 0)
    half = ((high - low) / 2).clamp_min(0.02)
    middle = (low + high) / 2
    least = THINNEST * half.max()
    # What is thinner than a thing should be was seen from the front: it goes on behind.
    away = torch.sign(middle - axes @ eye[[0, 2]])
    middle = middle + away * (least - half).clamp_min(0)
    half = half.clamp_min(float(least))
    bottom, top = (float(torch.quantile(points[:, 1], q)) for q in (0.01, 0.99))
    bottom = 0.0 if bottom < 0.15 else bottom
    tall = max((top - bottom) / 2, 0.03)
    place = axes.T @ middle
    extents = torch.stack([half[0], half.new_tensor(tall), half[1]])
    aspect = extents.log() - extents.log().mean()
    return encode(
        Slots(
            scale=1.05 * extents.square().mean().sqrt()[None],
            position=torch.stack([place[0], place.new_tensor(bottom + tall), place[1]]),
            angles=points.new_tensor([yaw, 0.0, 0.0]),
            logits=points.new_zeros(prototypes),
            existence=points.new_tensor([SURE]),
            aspect=aspect.clamp(-1.0, 1.0),
        )
    )


def absent(prototypes: int, eye: Float[Tensor, "3"]) -> Float[Tensor, "d"]:
    """A slot that does not exist, before the camera where it harms nothing."""
    blank = Slots(
        scale=eye.new_tensor([0.1]),
        position=eye + eye.new_tensor([0.0, 0.0, 1.0]),
        angles=eye.new_zeros(3),
        logits=eye.new_zeros(prototypes),
        existence=eye.new_tensor([ABSENT]),
        aspect=eye.new_zeros(3),
    )
    return encode(blank)


def box_yaw(flat: Float[Tensor, "n 2"]) -> float:
    """The yaw, under a quarter turn, of the rectangle in the (x, z) plane whose sides are nearest to the points."""
    angles = torch.arange(TURNS) * (math.pi / 2 / TURNS)
    cos, sin = angles.cos(), angles.sin()
    one = cos[:, None] * flat[:, 0] - sin[:, None] * flat[:, 1]
    two = sin[:, None] * flat[:, 0] + cos[:, None] * flat[:, 1]
    sides = []
    for along in (one, two):
        low, high = along.amin(1, keepdim=True), along.amax(1, keepdim=True)
        sides.append(torch.minimum(along - low, high - along))
    return float(angles[torch.minimum(*sides).mean(1).argmin()])


def furthest(points: Float[Tensor, "n 3"], count: int) -> Int[Tensor, "n"]:
    """Labels 1 to count: each point's nearest of ``count`` points that lie furthest from one another, from the one
    nearest to the mean of all on. What stands in for segments where there are none."""
    first = int((points - points.mean(0)).square().sum(-1).argmin())
    least = torch.full((len(points),), torch.inf)
    labels = torch.zeros(len(points), dtype=torch.long)
    chosen = first
    for number in range(1, count + 1):
        apart = (points - points[chosen]).square().sum(-1)
        labels = torch.where(apart < least, number, labels)
        least = torch.minimum(least, apart)
        chosen = int(least.argmax())
    return labels
