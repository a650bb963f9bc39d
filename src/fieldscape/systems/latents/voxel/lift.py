"""The learned lift: from what a few rays have taught a field, to what many more would.

After a first pass over its pixels a field knows roughly where things are and what colour they have. What comes then is
alike in all objects of a class: surfaces sharpen, what floats before them vanishes, colours settle. A small network
that was shown many fields early and late moves every vertex there in one step; it reads the vertex and its neighbours,
how deep it lies in the hull, and where it is in the class's box (``kernels.lifting.describe``).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldscape.kernels.grid import TRUST
from fieldscape.kernels.lifting import FEATURES, describe, read_lines, write_lines
from fieldscape.systems.latents.voxel.subject import Subject
from fieldscape.voxels.bricks import LEARNED, Bricks

SHOWS = 0.2
"""Light of rays that must end at a vertex of the hull for it to be moved: deep inside, nothing is seen."""

TRUST_KEPT = 0.5
"""Share of the trust in its memory that the optimiser keeps at the lift: it is of another field."""


class Lift(nn.Module):
    """``forward(features [n, f]) -> [n, 13]``: how far each lane of a vertex is to move. Nothing, before training.

    mean, spread: of the features, and ``unit``: of the moves, in training.
    """

    mean: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, width: int, generator: torch.Generator):
        super().__init__()
        sizes = [(FEATURES, width), (width, width), (width, LEARNED)]
        layers = [nn.utils.skip_init(nn.Linear, n, m) for n, m in sizes]
        for layer, (n, _) in zip(layers, sizes):
            nn.init.normal_(layer.weight, 0.0, (2 / n) ** 0.5, generator=generator)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(layers[-1].weight)
        self.layers = nn.ModuleList(layers)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("spread", torch.ones(FEATURES))
        self.register_buffer("unit", torch.ones(LEARNED))

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n 13"]:
        x = ((features - self.mean) / self.spread).clamp(-6, 6)
        x = torch.relu(self.layers[0](x))
        x = torch.relu(self.layers[1](x))
        return self.layers[2](x) * self.unit


def seen_places(bricks: Bricks, subject: Subject, light: Float[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """The subject's vertices [m, 3] that show and that a ray has moved, and their lines [m, 16].

    light: how much light of rays ended at each vertex of the hull.
    """
    shown = np.ascontiguousarray(subject.places[light > SHOWS])
    lines = np.empty((len(shown), 16), np.float32)
    read_lines(bricks.grid, shown, lines)
    moved = lines[:, TRUST] > 0
    return shown[moved], lines[moved]


def features_of(
    bricks: Bricks, subject: Subject, places: np.ndarray, prior: Float[np.ndarray, "x y z 2"]
) -> Float[Tensor, "n f"]:
    """What the network reads of each of ``places``."""
    out = np.empty((len(places), FEATURES), np.float32)
    describe(bricks.grid, places, subject.depths, prior, np.float32(1), out)
    return torch.from_numpy(out)


@torch.no_grad()
def lift(
    bricks: Bricks, subject: Subject, light: Float[np.ndarray, "n"], network: Lift, prior: Float[np.ndarray, "x y z 2"]
) -> None:
    """Moves every vertex that shows to where the network expects it in the end."""
    places, lines = seen_places(bricks, subject, light)
    moves = network(features_of(bricks, subject, places, prior)).numpy()
    lines[:, :LEARNED] += moves
    lines[:, TRUST] *= TRUST_KEPT
    write_lines(bricks.grid, places, np.ascontiguousarray(lines[:, : LEARNED + 1]))
