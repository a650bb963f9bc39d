"""From a depth map to slots in one go: a convolutional network, slots that attend to points, and what they become.

The network has the layout of ResNet-18 or -34 (He et al. 2016) with group normalisation; its stages are merged from
coarse to fine through 1x1 convolutions (Lin et al., "Feature Pyramid Networks", 2017) into one map of a quarter of the
resolution, which is sampled at each point's pixel.

What a slot is, is told by offsets from what it attends to (``codec.from_raw``). They are predicted in a frame of the
slot's own, turned to where the normals of its points repeat every quarter turn: the yaw of a box is found there
without learning, and what is to be learned looks the same for a thing however it is turned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldscape.systems.slots import codec
from fieldscape.systems.slots.attention import Look, SlotAttention
from fieldscape.systems.slots.train_config import TrainConfig
from fieldscape.systems.slots.views import CHANNELS, REACH, Views

BLOCKS: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
WAVES = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25)
"""Lengths in metres of the waves that tell a place."""
AROUND = 0.15
"""Metres around the point that a slot begins at, which tell it what it begins on."""
SHAPE = 22
"""Numbers that tell the shape of what a slot attends to."""


@dataclass(frozen=True)
class Encoded:
    """Slots of b depth maps. vecta: see ``codec``.  attention: each point's share of each slot; what is missing to 1 is
    the background's.  looks: the same in each round, for teaching."""

    vecta: Float[Tensor, "b s d"]
    attention: Float[Tensor, "b s n"]
    looks: list[Look]


class Block(nn.Module):
    """Two 3x3 convolutions beside a short cut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.GroupNorm(8, outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.GroupNorm(8, outside)
        same = stride == 1 and inside == outside
        self.short = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride, bias=False)
        nn.init.constant_(self.second_norm.weight, 0.2)  # begin near the short cut

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """At a resolution lower by the stride."""
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(inner)) + self.short(x))


class Pyramid(nn.Module):
    """Features of a picture at a quarter of its resolution."""

    def __init__(self, layers: int, width: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(CHANNELS, width, 7, 2, 3, bias=False), nn.GroupNorm(8, width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.stages, self.laterals = nn.ModuleList(), nn.ModuleList()
        inside = width
        for number, count in enumerate(BLOCKS[layers]):
            outside = width * 2**number
            blocks = [Block(inside if k == 0 else outside, outside, 2 if k == 0 < number else 1) for k in range(count)]
            self.stages.append(nn.Sequential(*blocks))
            self.laterals.append(nn.Conv2d(outside, channels, 1))
            inside = outside

    def forward(self, image: Float[Tensor, "b 8 h w"]) -> Float[Tensor, "b c i j"]:
        """i = h / 4, j = w / 4, rounded up."""
        x, merged = self.stem(image), []
        for stage, lateral in zip(self.stages, self.laterals):
            x = stage(x)
            merged.append(lateral(x))
        out = merged[-1]
        for finer in merged[-2::-1]:
            out = finer + torch.nn.functional.interpolate(out, finer.shape[-2:], mode="nearest")
        return out


class Encoder(nn.Module):
    """Depth maps to slots."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        channels = config.channels
        self.prototypes = config.prototypes
        self.pyramid = Pyramid(config.layers, config.width, channels)
        waves = 6 * len(WAVES)
        self.to_known = nn.Sequential(
            nn.Linear(channels + waves + 6, channels), nn.GELU(), nn.Linear(channels, channels), nn.LayerNorm(channels)
        )
        self.to_slots = nn.Sequential(
            nn.Linear(channels + waves + 6, channels), nn.GELU(), nn.Linear(channels, channels)
        )
        self.look = SlotAttention(channels, config.rounds)
        last = nn.Linear(channels, codec.raw_length(config.prototypes))
        self.head = nn.Sequential(
            nn.Linear(channels + SHAPE, channels), nn.GELU(), nn.Linear(channels, channels), nn.GELU(), last
        )
        self.calm = nn.LayerNorm(channels)
        with torch.no_grad():
            last.weight.mul_(0.1)  # begin near what is attended to
            last.bias.zero_()

    def forward(self, views: Views, temperature: float = 1.0) -> Encoded:
        """Slots, as many as there are seeds. temperature: what logits of prototypes are divided by."""
        grid = self.pyramid(views.image)
        told = sampled_at(grid, views)
        places = torch.cat([waves_of(views.points), views.points / REACH, views.normals], -1)
        known = self.to_known(torch.cat([told, places], -1))
        middles, reach, turn = views.seeds.split([3, 1, 1], -1)
        around = nearby(known, views)
        begun = [around, waves_of(middles), middles / REACH, reach, (reach > 0).to(reach), turn]
        slots, looks = self.look(
            self.to_slots(torch.cat(begun, -1)), middles, known, views.points, views.weights, views.present, views.owner
        )
        anchor, extent, part = anchored(looks[-1].shares, middles, views)
        frame, shape = shape_of(part, anchor, extent, views)
        raw = self.head(torch.cat([self.calm(slots), shape], -1))
        size, offset, behind, yaw, tilt, logits, _, aspect = raw.split([1, 3, 1, 2, 2, self.prototypes, 1, 3], -1)
        offset = turned(offset, frame)
        yaw = turned_flat(yaw + raw.new_tensor([1.0, 0.0]), frame)
        # Things stand upright; who wants them tilted refines.
        logits = logits / temperature
        raw = torch.cat([size, offset, behind, yaw, 0 * tilt, logits, looks[-1].existence[..., None], aspect], -1)
        ray = torch.nn.functional.normalize(anchor - views.eye[:, None], dim=-1)
        return Encoded(codec.from_raw(raw, anchor, extent, ray), looks[-1].shares, looks)


def sampled_at(grid: Float[Tensor, "b c i j"], views: Views) -> Float[Tensor, "b n c"]:
    """Features at the points' pixels, between those of the four nearest cells."""
    height, width = views.image.shape[-2:]
    row, column = views.places // width, views.places % width
    at = torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], -1).to(grid)
    found = torch.nn.functional.grid_sample(grid, at[:, :, None], align_corners=False, padding_mode="border")
    return found[..., 0].mT


def nearby(known: Float[Tensor, "b n c"], views: Views) -> Float[Tensor, "b s c"]:
    """The mean of what is known of the points of each slot's segment, or of those around the point it begins at."""
    own = views.owner[:, None] == torch.arange(views.seeds.shape[1])[None, :, None]
    apart = (views.points[:, None] - views.seeds[:, :, None, :3]).square().sum(-1)
    begun = torch.where(own.any(-1, keepdim=True), own.to(known), torch.exp(-apart / (2 * AROUND**2)))
    part = begun * views.weights[:, None]
    return (part @ known) / part.sum(-1, keepdim=True).clamp_min(1e-9)


def waves_of(places: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b f"]:
    """Sines and cosines of places."""
    turns = places[..., None, :] * (2 * math.pi / torch.tensor(WAVES).to(places))[:, None]
    return torch.cat([turns.sin(), turns.cos()], -1).flatten(-2)


def anchored(
    shares: Float[Tensor, "b s n"], seeds: Float[Tensor, "b s 3"], views: Views
) -> tuple[Float[Tensor, "b s 3"], Float[Tensor, "b s 1"], Float[Tensor, "b s n"]]:
    """The middle of what each slot attends to, how far it reaches, and what each point counts in that (1 in all).

    Shares are squared: a slot has a little of every point, and many far ones would carry its middle away.
    """
    mass = shares.square() * views.weights[:, None]
    total = mass.sum(-1, keepdim=True) + 1e-5
    anchor = (mass @ views.points + 1e-5 * seeds) / total
    part = mass / total
    apart = (views.points[:, None] - anchor[:, :, None]).square().sum(-1)
    # 3 cm at least, where the root is not steep.
    extent = ((part * apart).sum(-1, keepdim=True) + 1e-3).sqrt()
    return anchor, extent, part


@torch.no_grad()
def shape_of(
    part: Float[Tensor, "b s n"], anchor: Float[Tensor, "b s 3"], extent: Float[Tensor, "b s 1"], views: Views
) -> tuple[Float[Tensor, "b s 2"], Float[Tensor, "b s 22"]]:
    """The turn of each slot's own frame (cosine, sine), and the shape of its points in it.

    The turn is a quarter of the phase of the normals' fourth harmonic about the upright axis: all sides of an upright
    box agree on it. The shape: second moments of points (6) and of normals (6), mean normal (3), how clear the turn is
    (1), log extent (1), height of the anchor (1), the ray to it (3), and how sparse the points are (1).
    """
    x, _, z = views.normals.unbind(-1)
    flat = (x * x + z * z).clamp_min(1e-6).sqrt()
    c, s = z / flat, x / flat
    c2, s2 = c * c - s * s, 2 * s * c
    fourth = torch.stack([c2 * c2 - s2 * s2, 2 * s2 * c2], -1) * flat[..., None]
    phase = part @ fourth
    clear = phase.norm(dim=-1, keepdim=True)
    angle = torch.atan2(phase[..., 1], phase[..., 0]) / 4
    turn = torch.stack([angle.cos(), angle.sin()], -1)
    matrix = codec.rotation(torch.stack([angle, 0 * angle, 0 * angle], -1))
    away = (views.points[:, None] - anchor[:, :, None]) / extent[..., None]
    spread = matrix.mT @ torch.einsum("bsn,bsnc,bsnd->bscd", part, away, away) @ matrix
    facing = matrix.mT @ torch.einsum("bsn,bnc,bnd->bscd", part, views.normals, views.normals) @ matrix
    mean = ((part @ views.normals)[..., None, :] @ matrix)[..., 0, :]
    ray = torch.nn.functional.normalize(anchor - views.eye[:, None], dim=-1)
    ray = (ray[..., None, :] @ matrix)[..., 0, :]
    upper = torch.triu_indices(3, 3)
    told = [spread[..., upper[0], upper[1]], facing[..., upper[0], upper[1]], mean, clear, extent.log()]
    told += [anchor[..., 1:2], ray, part.square().sum(-1, keepdim=True).sqrt()]
    return turn, torch.cat(told, -1)


def turned(offset: Float[Tensor, "*b 3"], turn: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3"]:
    """Vectors of a frame turned about the upright axis, in the model frame."""
    x, y, z = offset.unbind(-1)
    c, s = turn.unbind(-1)
    return torch.stack([c * x + s * z, y, c * z - s * x], -1)


def turned_flat(direction: Float[Tensor, "*b 2"], turn: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """Directions (cosine, sine) turned on: angles are added."""
    c, s = direction.unbind(-1)
    d, t = turn.unbind(-1)
    return torch.stack([c * d - s * t, s * d + c * t], -1)
