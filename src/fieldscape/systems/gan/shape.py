"""What a room is before anything is learned: empty, with a floor, a ceiling and walls.

Photos alone hardly tell how far things are: a flat picture that keeps its distance passes for a room (Shi et al., "3D-
aware indoor scene synthesis with depth priors", 2022). So a generator of rooms does not start from even haze, but from
the box that most rooms are, and learns how each room departs from it. What it learns is bounded: there can be furniture
in the air, and walls nearer than those of the box, but these stay. Left free to go, they go: a backdrop at the far end
of all rays shows no parallax, so nothing about it can be wrong.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from fieldscape.systems.gan.poses import GivenPoses, OrbitPrior, Prior

USUAL = ((-1.9, -1.1, -1.5), (1.9, 1.15, 4.6))
"""The inside of a room: metres from the mean camera; x right, y down, z ahead."""
BEYOND = 0.9
"""How far behind the places where cameras stand the walls are, in metres."""
STEEP = 12.0
AIR, WALL = -3.0, 9.0
LEARNED = 6.0


def density_of(
    thick: Float[Tensor, "*b"], points: Float[Tensor, "*b 3"], inside: Float[Tensor, "2 3"] | None
) -> Float[Tensor, "*b"]:
    """The density where a generator has learned ``thick``: its softplus, or that of what it adds to an empty room."""
    return softplus(thick if inside is None else LEARNED * torch.tanh(thick / LEARNED) + empty_room(points, inside))


def empty_room(points: Float[Tensor, "*b 3"], inside: Float[Tensor, "2 3"]) -> Float[Tensor, "*b"]:
    """The density of an empty room before its softplus: ``AIR`` in the air, up to ``WALL`` behind the walls.

    It grows by ``STEEP`` a metre with the distance behind the nearest wall (in the air: minus that to it).
    inside: the least and the most coordinates of the air.

    >>> inside = torch.tensor([[-2.0], [2.0]]).expand(2, 3)
    >>> empty_room(torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.5, 0.0], [9.0, 0.0, 0.0]]), inside)
    tensor([-3.,  6.,  9.])
    """
    beyond = torch.maximum(inside[0] - points, points - inside[1]).amax(-1)
    return (STEEP * beyond).clamp(AIR, WALL)


def inside_of(prior: Prior) -> Float[Tensor, "2 3"] | None:
    """The inside of an empty room for cameras of ``prior``; None: there is no room."""
    if isinstance(prior, OrbitPrior):
        return None
    if isinstance(prior, GivenPoses):
        places = prior.poses[:, :3, 3]
        reach = torch.tensor([0.1, 0.9])
        return places.quantile(reach, 0) + torch.tensor([[-BEYOND], [BEYOND]])
    return torch.tensor(USUAL)
