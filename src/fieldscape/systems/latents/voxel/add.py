"""One object into bytes: fitted from the class's start, looked at for what matters, and coded by the class's tables."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from jaxtyping import Float32

from fieldscape.errors import BadInput
from fieldscape.systems.latents.nouns import Added
from fieldscape.systems.latents.voxel.coding import Steps, encode, steps_for
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.fitting import Fitted, fit_object
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.systems.latents.voxel.weighing import seen_by
from fieldscape.types import Views
from fieldscape.voxels.bricks import Workers

FINENESS = 3.5
"""How finely objects are stored: so that what storing costs, 0.1 to 0.2 dB, is less than what tells two fits apart."""


def add_object(shared: VoxelShared, views: Views, settings: VoxelSettings, seed: int) -> Added:
    """The object of ``views``, learned from those that are not held out; one thread, so bit for bit the same each time.

    Its figures: seconds (of fitting and coding), the mean squared error of its last rays, and whether it sticks out of
    the class's box (1) or not (0). Raises BadInput for photos that no object can be learned from, and where the class
    has no tables yet.
    """
    if shared.tables is None:
        raise BadInput("the class has no tables to store objects by: learn what it shares to the end")
    began = time.process_time()
    fitted = fit_object(shared, views, settings, seed, Workers(1))
    payload = encode(fitted.bricks, weights(fitted, views), shared.tables, steps(fitted))
    spent = time.process_time() - began
    return Added(payload, {"seconds": spent, "error": fitted.error, "sticks_out": float(fitted.sticks_out)})


def weights(fitted: Fitted, views: Views) -> Float32[np.ndarray, "x y z 2"]:
    """How much each vertex matters to the photos that the object was learned from."""
    return seen_by(fitted.bricks, views.camera[torch.tensor(views.train)], fitted.subject.background)


def steps(fitted: Fitted) -> Steps:
    """How finely an object is stored: as finely as it was fitted."""
    return steps_for(math.sqrt(max(fitted.error, 0.0)), FINENESS)
