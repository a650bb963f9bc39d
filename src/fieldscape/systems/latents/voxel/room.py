"""The room that all objects of a class lie in: a box, the lattice in it, and the part that any of them ever fills."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.framing import Framing

MARGIN = 2
"""Cells left free on each side of the largest object seen."""

REACH = 3
"""Cells around all hulls of a class in which further objects of it are looked for."""

MOST_VERTICES = 2**26


@dataclass(frozen=True)
class Room:
    """low: the corner of the box.  voxel: the side of its cubic cells.  shape: vertices an axis.

    wanted: the vertices where objects of the class are looked for first; those beyond only where an object goes on.
    """

    low: Float[Tensor, "3"]
    voxel: float
    shape: tuple[int, int, int]
    wanted: Bool[np.ndarray, "x y z"]

    def __post_init__(self) -> None:
        if self.wanted.shape != self.shape or min(self.shape) < 2 or not self.voxel > 0:
            raise BadInput(f"the room of {self.shape} vertices does not fit its table of {self.wanted.shape}")

    @property
    def high(self) -> Float[Tensor, "3"]:
        return self.low + self.voxel * (torch.tensor(self.shape) - 1)

    @property
    def framing(self) -> Framing:
        """The box as what bricks are framed by."""
        low, high = self.low, self.high
        return Framing((low + high) / 2, low, high, 0.0, 1e3, torch.tensor([0.0, 0.0, 1.0]), unbounded=False)

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The coordinates of the vertices along x, y and z, float32."""
        x, y, z = ((self.low[k].double() + self.voxel * torch.arange(self.shape[k])).float().numpy() for k in range(3))
        return x, y, z

    def __contains__(self, box: tuple[Tensor, Tensor]) -> bool:
        """Whether a box (low, high) lies within the room."""
        return bool((box[0] >= self.low).all() and (box[1] <= self.high).all())


def room_around(lows: Float[Tensor, "n 3"], highs: Float[Tensor, "n 3"], resolution: int) -> Room:
    """A room around all of the boxes ``lows``..``highs``, a margin left free; all of it wanted.

    The cells are cubes, of which the median box holds ``resolution``^3: a few objects that lie crosswise make the room
    larger, not coarser. Raises BadInput for boxes without volume.

    >>> room = room_around(torch.zeros(1, 3), torch.tensor([[2.0, 1.0, 1.0]]), 24)
    >>> room.shape, round(room.voxel, 3)
    ((44, 25, 25), 0.052)
    """
    sizes = (highs - lows).double()
    if not bool((sizes > 0).all() and sizes.isfinite().all()):
        raise BadInput("the box of an object has no volume: its photos show nothing, or its poses are wrong")
    voxel = float(sizes.prod(1).median()) ** (1 / 3) / resolution
    low, high = lows.amin(0), highs.amax(0)
    x, y, z = (math.ceil(float(side) / voxel) + 1 + 2 * MARGIN for side in (high - low))
    shape = (x, y, z)
    if shape[0] * shape[1] * shape[2] > MOST_VERTICES:
        raise BadInput(f"a grid of {shape} vertices is too large: the class box is far longer than it is wide")
    corner = (low.double() + high.double()) / 2 - voxel * (torch.tensor(shape) - 1) / 2
    return Room(corner.float(), voxel, shape, np.ones(shape, bool))


def filled(room: Room, hulls: Bool[np.ndarray, "x y z"]) -> Room:
    """The room, of which only what lies near ``hulls``, the vertices in the hull of any object, is wanted.

    >>> hulls = np.zeros((9, 9, 9), bool)
    >>> hulls[4, 4, 4] = True
    >>> int(filled(Room(torch.zeros(3), 1.0, (9, 9, 9), np.ones((9, 9, 9), bool)), hulls).wanted.sum()) == 7**3
    True
    """
    return replace(room, wanted=binary_dilation(hulls, np.ones((3, 3, 3), bool), iterations=REACH))
