"""What rays meet: first hits and blocked sights on triangle meshes, by embree (its hits are the truth of a world)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.types import Mesh

THREADS = 2
"""Embree works outside the interpreter's lock, so halves of a batch run side by side; the answer stays the same."""


@dataclass(frozen=True)
class Hits:
    """The first face along each ray (-1: none), the distance to it, and the weights of its corners there (barycentric).

    Distance and weights are 0 where nothing is met.
    """

    face: Int[Tensor, "n"]
    distance: Float[Tensor, "n"]
    weights: Float[Tensor, "n 3"]


@dataclass(frozen=True)
class Caster:
    """A mesh made ready for ray queries."""

    scene: EmbreeScene

    def first(self, origins: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]) -> Hits:
        """The first hit of each ray; directions are unit vectors, distances are in their unit."""
        found = _in_halves(lambda o, d: self.scene.run(o, d, output=True), origins, directions)
        face = torch.from_numpy(np.concatenate([part["primID"] for part in found])).long()
        distance, u, v = (
            torch.from_numpy(np.concatenate([part[name] for part in found])) for name in ("tfar", "u", "v")
        )
        hit = face >= 0
        weights = torch.stack([1 - u - v, u, v], -1)
        return Hits(face, torch.where(hit, distance, 0.0), torch.where(hit[:, None], weights, 0.0))

    def blocked(
        self, origins: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"], within: Float[Tensor, "n"]
    ) -> Bool[Tensor, "n"]:
        """Whether anything lies along each ray nearer than ``within``."""
        found = _in_halves(lambda o, d, w: self.scene.run(o, d, w, query="OCCLUDED"), origins, directions, within)
        return torch.from_numpy(np.concatenate(found)) == 0


def caster(mesh: Mesh) -> Caster:
    """Builds embree's tree over the mesh.

    Robust mode: without it a ray can slip between two triangles that share an edge.
    """
    scene = EmbreeScene(robust=True)
    TriangleMesh(scene, mesh.vertices.float().contiguous().numpy(), mesh.faces.int().contiguous().numpy())
    # The first query builds the tree, and must not be made from two threads at once.
    scene.run(np.zeros((1, 3), np.float32), np.array([[0, 0, 1]], np.float32))
    return Caster(scene)


def _in_halves(query: Callable, *inputs: Tensor) -> list:
    """``query`` on the parts of a batch, side by side, answers in order."""
    size = max(1, -(-len(inputs[0]) // THREADS))
    parts = [[part.float().contiguous().numpy() for part in tensor.split(size)] for tensor in inputs]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(query, *parts))
