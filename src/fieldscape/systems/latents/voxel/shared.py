"""What the objects of a class share in the voxel representation, as one noun that can be written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import resuming
from fieldscape.errors import BadInput
from fieldscape.systems.latents.voxel.lift import Lift
from fieldscape.systems.latents.voxel.room import MOST_VERTICES, Room
from fieldscape.systems.latents.voxel.tables import Tables

MOST_WIDE = 1024


@dataclass(frozen=True)
class VoxelShared:
    """room: where the objects of the class lie.  lift: None before it is learned.

    prior: of each vertex, how much light it stops and how often it lies in the hull, as means over the class.
    tables: what the storage of objects has in common, once that is learned.
    """

    room: Room
    lift: Lift | None = None
    prior: Float[np.ndarray, "x y z 2"] | None = None
    tables: Tables | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All numbers, for a file: ``VoxelShared.of`` reads them again."""
        out = {"low": self.room.low, "wanted": torch.from_numpy(np.packbits(self.room.wanted))}
        if self.lift is not None and self.prior is not None:
            out |= resuming.prefixed("lift", self.lift.state_dict())
            out["prior"] = torch.from_numpy(np.round(self.prior * 255).astype(np.uint8))
        return out if self.tables is None else out | resuming.prefixed("tables", self.tables.tensors())

    def details(self) -> dict[str, Any]:
        """All else, as plain JSON."""
        width = None if self.lift is None else self.lift.layers[0].out_features
        tables = None if self.tables is None else self.tables.details()
        return {"shape": list(self.room.shape), "voxel": self.room.voxel, "width": width, "tables": tables}

    @staticmethod
    def of(tensors: Mapping[str, Tensor], details: Mapping[str, Any], where: str = "the class") -> VoxelShared:
        """What ``tensors`` and ``details`` gave. Raises BadInput where they do not belong together."""
        try:
            x, y, z = (int(n) for n in details["shape"])
            voxel, width = float(details["voxel"]), details["width"]
            low, packed = tensors["low"].float(), tensors["wanted"].numpy()
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{where}: what the class shares is incomplete: {error}") from error
        vertices = x * y * z
        if not (min(x, y, z) >= 2 and vertices <= MOST_VERTICES and 0 < voxel < float("inf")):
            raise BadInput(f"a class room of {x} x {y} x {z} vertices and cells of {voxel} cannot be")
        if packed.dtype != np.uint8 or packed.shape != (-(-vertices // 8),) or low.shape != (3,):
            raise BadInput("the class room and its table of wanted vertices do not belong together")
        wanted = np.unpackbits(packed, count=vertices).astype(bool).reshape(x, y, z)
        room = Room(low, voxel, (x, y, z), wanted)
        tables = _tables(tensors, details.get("tables"), room, where)
        if width is None:
            return VoxelShared(room, tables=tables)
        prior = tensors.get("prior")
        if prior is None or prior.dtype != torch.uint8 or prior.shape != (x, y, z, 2):
            raise BadInput("the prior of the class does not fit its room")
        if not isinstance(width, int) or not 1 <= width <= MOST_WIDE:
            raise BadInput(f"a lift of width {width!r} cannot be")
        lift = Lift(width, torch.Generator())
        try:
            lift.load_state_dict(resuming.under("lift", tensors))
        except (RuntimeError, KeyError) as error:
            raise BadInput("the lift of the class is not one of this format") from error
        return VoxelShared(room, lift, (prior.numpy() / np.float32(255)).astype(np.float32), tables)


def _tables(tensors: Mapping[str, Tensor], told: object, room: Room, where: str) -> Tables | None:
    if told is None:
        return None
    if not isinstance(told, Mapping):
        raise BadInput(f"{where}: what is told of the tables is not an object of JSON")
    tables = Tables.of(resuming.under("tables", tensors), told)
    if tables.shape != room.shape:
        raise BadInput(f"{where}: the tables are of {tables.shape} vertices, and the room of {room.shape}")
    return tables
