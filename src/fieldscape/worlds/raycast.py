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

_threads = 2
"""Embree works outside the interpreter's lock, so halves of a batch run side by side; the answer stays the same."""


def use_threads(count: int) -> None:
    """From now on, ray queries of this process are shared among ``count`` threads."""
    global _threads
    _threads = count


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
    """A mesh made ready for ray queries.

    numbers: the faces that ``scene`` holds, where it does not hold all.  beyond: further faces, met only by rays that
    meet none of these.
    """

    scene: EmbreeScene
    numbers: Int[Tensor, "f"] | None = None
    beyond: Caster | None = None

    def first(self, origins: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]) -> Hits:
        """The first hit of each ray; directions are unit vectors, distances are in their unit."""
        found = _in_halves(lambda o, d: self.scene.run(o, d, output=True), origins, directions)
        face = torch.from_numpy(np.concatenate([part["primID"] for part in found])).long()
        distance, u, v = (
            torch.from_numpy(np.concatenate([part[name] for part in found])) for name in ("tfar", "u", "v")
        )
        hit = face >= 0
        weights = torch.stack([1 - u - v, u, v], -1)
        if self.numbers is not None:
            face = torch.where(hit, self.numbers[face.clamp(min=0)], -1)
        hits = Hits(face, torch.where(hit, distance, 0.0), torch.where(hit[:, None], weights, 0.0))
        if self.beyond is not None:
            free = (~hit).nonzero().flatten()
            further = self.beyond.first(origins[free], directions[free])
            hits.face[free], hits.distance[free], hits.weights[free] = further.face, further.distance, further.weights
        return hits

    def blocked(
        self, origins: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"], within: Float[Tensor, "n"]
    ) -> Bool[Tensor, "n"]:
        """Whether anything lies along each ray nearer than ``within``; what is ``beyond`` blocks nothing."""
        found = _in_halves(lambda o, d, w: self.scene.run(o, d, w, query="OCCLUDED"), origins, directions, within)
        return torch.from_numpy(np.concatenate(found)) == 0


def caster(mesh: Mesh, beyond: Bool[Tensor, "f"] | None = None) -> Caster:
    """Builds embree's tree over the mesh; the faces marked ``beyond`` are met only by rays that meet no other.

    Robust mode: without it a ray can slip between two triangles that share an edge.
    """
    if beyond is not None and bool(beyond.any()):
        near, far = (~beyond).nonzero().flatten(), beyond.nonzero().flatten()
        used, index = mesh.faces[far].unique(return_inverse=True)
        outer = Caster(_tree(mesh.vertices[used], index), far)
        return Caster(_tree(mesh.vertices, mesh.faces[near]), near, outer)
    return Caster(_tree(mesh.vertices, mesh.faces))


def _tree(vertices: Tensor, faces: Tensor) -> EmbreeScene:
    scene = EmbreeScene(robust=True)
    TriangleMesh(scene, vertices.float().contiguous().numpy(), faces.int().contiguous().numpy())
    # The first query builds the tree, and must not be made from two threads at once.
    scene.run(np.zeros((1, 3), np.float32), np.array([[0, 0, 1]], np.float32))
    return scene


def _in_halves(query: Callable, *inputs: Tensor) -> list:
    """``query`` on the parts of a batch, side by side, answers in order."""
    arrays = [tensor.float().contiguous().numpy() for tensor in inputs]
    if _threads == 1 or len(arrays[0]) < 4096:
        return [query(*arrays)]
    size = -(-len(arrays[0]) // _threads)
    parts = [[array[start : start + size] for start in range(0, len(array), size)] for array in arrays]
    with ThreadPoolExecutor(_threads) as pool:
        return list(pool.map(query, *parts))
