"""What a slot is: a row of numbers, ``vecta``, with physical values in fixed places; and the raw numbers behind it.

    vecta[:1]         scale: root mean square distance of the surface from its mean point, metres
    vecta[1:4]        position x y z of that mean point in the model frame, metres
    vecta[4:7]        yaw, pitch, roll, radians: R = R_y(yaw) R_x(pitch) R_z(roll)
    vecta[7:7+K]      logits of the K prototypes
    vecta[7+K]        logit of the existence
    vecta[8+K:11+K]   log aspect: stretch along the shape's own axes, of mean zero

The model frame has y up, its origin at the foot of the camera on the ground, z ahead and x to the left. ``Slots`` is
the same by name.

A network does not make these values directly: its raw outputs are offsets from what was observed, an anchor (a point)
and an extent (a length), bounded so that no slot can leave what it explains.  Raw, in turn: scale 1, offset 3, behind 1
(how far along the viewing ray the middle lies behind the anchor, which is on the seen front), yaw as a vector 2 (cos,
sin: no jump at half a turn), pitch and roll 2, logits K, existence 1, log aspect 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SCALE_SPAN = 0.8
"""A slot's scale is within exp(+-0.8), 0.45 to 2.2, of the extent of what it explains."""
TILT = 0.1 * math.pi
"""Most of pitch and roll in raw numbers, radians."""
ASPECT_SPAN = 0.5
OFFSET_SHARE = 0.5
"""A slot's middle is within half an extent of its anchor on each axis, and up to one more behind it."""


@dataclass(frozen=True)
class Slots:
    """Slots by the names of what they hold; see the head of the module."""

    scale: Float[Tensor, "*b 1"]
    position: Float[Tensor, "*b 3"]
    angles: Float[Tensor, "*b 3"]
    logits: Float[Tensor, "*b k"]
    existence: Float[Tensor, "*b 1"]
    aspect: Float[Tensor, "*b 3"]


def length(prototypes: int) -> int:
    """How many numbers a slot has. 17 with six prototypes."""
    return 11 + prototypes


def raw_length(prototypes: int) -> int:
    """How many raw numbers stand behind a slot."""
    return 13 + prototypes


def decode(vecta: Float[Tensor, "*b d"]) -> Slots:
    """The named parts of slots. Raises ValueError where the rows are too short to hold one prototype."""
    prototypes = vecta.shape[-1] - 11
    if prototypes < 1:
        raise ValueError(f"a slot has at least {length(1)} numbers, not {vecta.shape[-1]}")
    return Slots(*vecta.split([1, 3, 3, prototypes, 1, 3], -1))


def encode(slots: Slots) -> Float[Tensor, "*b d"]:
    """The rows of named slots: the inverse of ``decode``."""
    parts = (slots.scale, slots.position, slots.angles, slots.logits, slots.existence, slots.aspect)
    return torch.cat(parts, -1)


def likely(vecta: Float[Tensor, "*b d"]) -> Bool[Tensor, "*b"]:
    """Which slots exist more likely than not.

    >>> likely(torch.tensor([[0.0] * 7 + [1.0, 2.0, 0.0, 0.0, 0.0], [0.0] * 7 + [1.0, -2.0, 0.0, 0.0, 0.0]]))
    tensor([ True, False])
    """
    return decode(vecta).existence[..., 0] > 0


def from_raw(
    raw: Float[Tensor, "*b r"],
    anchor: Float[Tensor, "*b 3"],
    extent: Float[Tensor, "*b 1"],
    ray: Float[Tensor, "*b 3"],
    limits: tuple[float, float] = (0.05, 4.0),
) -> Float[Tensor, "*b d"]:
    """The slots that raw numbers mean. ray: unit, from the camera to the anchors.  limits: of the scale, metres."""
    prototypes = raw.shape[-1] - raw_length(0)
    size, offset, behind, turn, tilt, logits, existence, aspect = raw.split([1, 3, 1, 2, 2, prototypes, 1, 3], -1)
    low, high = limits
    scale = (extent.clamp(low, high) * torch.exp(SCALE_SPAN * torch.tanh(size))).clamp(low, high)
    moved = OFFSET_SHARE * torch.tanh(offset) + torch.sigmoid(behind) * ray
    yaw = torch.atan2(turn[..., 1:], turn[..., :1])
    angles = torch.cat([yaw, TILT * torch.tanh(tilt)], -1)
    stretch = ASPECT_SPAN * torch.tanh(aspect)
    stretch = stretch - stretch.mean(-1, keepdim=True)
    return torch.cat([scale, anchor + extent * moved, angles, logits, existence, stretch], -1)


def to_raw(
    vecta: Float[Tensor, "*b d"],
    anchor: Float[Tensor, "*b 3"],
    extent: Float[Tensor, "*b 1"],
    ray: Float[Tensor, "*b 3"],
    limits: tuple[float, float] = (0.05, 4.0),
) -> Float[Tensor, "*b r"]:
    """Raw numbers that mean these slots, or the nearest that raw numbers can mean: what a network is taught.

    The part of the way from anchor to position that lies along the ray is given to "behind", as far as that goes.
    """
    slots = decode(vecta)
    size = _inverse_tanh((slots.scale / extent.clamp(*limits)).log() / SCALE_SPAN)
    moved = (slots.position - anchor) / extent
    share = (moved * ray).sum(-1, keepdim=True).clamp(0.02, 0.98)
    offset = _inverse_tanh((moved - share * ray) / OFFSET_SHARE)
    yaw, tilt = slots.angles[..., :1], slots.angles[..., 1:]
    turn = torch.cat([yaw.cos(), yaw.sin()], -1)
    stretch = _inverse_tanh((slots.aspect - slots.aspect.mean(-1, keepdim=True)) / ASPECT_SPAN)
    parts = (size, offset, torch.logit(share), turn, _inverse_tanh(tilt / TILT), slots.logits, slots.existence, stretch)
    return torch.cat(parts, -1)


def rotation(angles: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """R = R_y(yaw) R_x(pitch) R_z(roll), from a shape's own axes to the model frame's."""
    (cy, cx, cz), (sy, sx, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        cy * cz + sy * sx * sz, sy * sx * cz - cy * sz, sy * cx,
        cx * sz, cx * cz, -sx,
        cy * sx * sz - sy * cz, cy * sx * cz + sy * sz, cy * cx,
    )  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def angles_of(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Yaw, pitch and roll of a rotation, pitch within a quarter turn: the inverse of ``rotation``.

    Where the pitch is a quarter turn, yaw and roll are about the same axis: all of it is given to the yaw.
    """
    pitch = torch.asin((-matrix[..., 1, 2]).clamp(-1, 1))
    yaw = torch.atan2(matrix[..., 0, 2], matrix[..., 2, 2])
    roll = torch.atan2(matrix[..., 1, 0], matrix[..., 1, 1])
    locked = matrix[..., 1, 2].abs() > 1 - 1e-6
    yaw = torch.where(locked, torch.atan2(-matrix[..., 2, 0], matrix[..., 0, 0]), yaw)
    roll = torch.where(locked, torch.zeros_like(roll), roll)
    return torch.stack([yaw, pitch, roll], -1)


def transformed(shape: Float[Tensor, "*b v 3"], slots: Slots) -> Float[Tensor, "*b v 3"]:
    """Shapes (in their own axes, of unit size) where their slots put them, in the model frame: s X R^T + p."""
    turned = shape @ rotation(slots.angles).mT
    return slots.scale[..., None, :] * turned + slots.position[..., None, :]


def _inverse_tanh(value: Tensor) -> Tensor:
    return torch.atanh(value.clamp(-0.98, 0.98))
