"""Looking at stored objects: one of them, or what is between two."""

from __future__ import annotations

import torch

from fieldscape.errors import BadInput
from fieldscape.systems.latents.nouns import Draw
from fieldscape.systems.latents.voxel.blending import blended
from fieldscape.systems.latents.voxel.coding import decode
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.voxels.bricks import Bricks, Workers

WHITE = (1.0, 1.0, 1.0)


def open_object(shared: VoxelShared, payload: bytes, where: str = "the object") -> Draw:
    """The object in ``payload``, to be drawn for any camera. Raises BadInput for bytes that are none of this class."""
    return _drawn(_decoded(shared, payload, where))


def interpolate(shared: VoxelShared, first: bytes, second: bytes, share: float) -> Draw:
    """The object ``share`` of the way from the first to the second: its surface lies between theirs (``blending``)."""
    return _drawn(blended(_decoded(shared, first, "the first"), _decoded(shared, second, "the second"), share))


def _decoded(shared: VoxelShared, payload: bytes, where: str) -> Bricks:
    if shared.tables is None:
        raise BadInput("the class has no tables to read objects by: learn what it shares to the end")
    try:
        return decode(payload, shared.tables, shared.room.framing, Workers(torch.get_num_threads()))
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error


def _drawn(bricks: Bricks) -> Draw:
    white = torch.tensor(WHITE)
    return lambda camera: bricks.picture(camera, white)
