"""One way in to both representations: what each learns, adds and opens. Everything else here asks these functions.

A ``Shared`` is what the objects of a class have in common; an object itself is a payload, bytes that mean something
beside it only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.files import jsonable
from fieldscape.progress import Bar
from fieldscape.ranks import Ranks
from fieldscape.stopping import Stop
from fieldscape.systems.latents.config import LatentsConfig
from fieldscape.systems.latents.nouns import Draw, Save
from fieldscape.systems.latents.objects import Objects
from fieldscape.systems.latents.planes import add as planes_add
from fieldscape.systems.latents.planes import opening as planes_opening
from fieldscape.systems.latents.planes import stages as planes_stages
from fieldscape.systems.latents.planes.config import PRESETS, PlanesConfig
from fieldscape.systems.latents.planes.shared import PlanesShared
from fieldscape.systems.latents.voxel import add as voxel_add
from fieldscape.systems.latents.voxel import opening as voxel_opening
from fieldscape.systems.latents.voxel import stage as voxel_stage
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.types import Views

Shared: TypeAlias = VoxelShared | PlanesShared


def defaults(method: str) -> VoxelSettings | PlanesConfig:
    """What a method is told where nothing else is asked for."""
    return VoxelSettings() if method == "voxel" else PRESETS[method]


def work(count: int, config: LatentsConfig) -> int:
    """Steps of ``learn`` with so many objects."""
    if isinstance(config.how, VoxelSettings):
        return voxel_stage.work(count, config.how)
    return sum(config.how.shared_steps)


def device_named(how: VoxelSettings | PlanesConfig, name: str) -> str:
    """What ``--device`` means for this method. Raises BadInput where it has no choice."""
    if not isinstance(how, VoxelSettings):
        return name
    if name not in ("auto", "cpu"):
        raise BadInput(f"--device {name} is for tri-planes: voxels are learned on the CPU; leave it out.")
    return "cpu"


def require_shared_work(how: VoxelSettings | PlanesConfig, ranks: Ranks) -> None:
    """Raises BadInput where several processes were started for a method that is one process's work."""
    if ranks.count > 1 and isinstance(how, VoxelSettings):
        raise BadInput("Several processes are for tri-planes only: leave torchrun away, or give --method latent.")


def placed(shared: Shared, device: torch.device) -> Shared:
    """``shared`` where objects are to be learned and drawn; voxels stay on the CPU."""
    return shared.to(device) if isinstance(shared, PlanesShared) else shared


def learn(
    objects: Objects, config: LatentsConfig, seed: int, stop: Stop, bar: Bar, save: Save, resume: Checkpoint | None,
    keep: Callable[[int, bytes], None], ranks: Ranks,
) -> Shared | None:  # fmt: skip
    """What the objects share, learned from their training views; None where it was asked to stop before the end.

    save: called with step, tensors and state of a checkpoint.  keep: called with the number and the payload of each
    object that was learned on the way, which only tri-planes do.  ranks: the processes that share the work, of which
    each calls this; the first saves and keeps.
    """
    if isinstance(config.how, VoxelSettings):
        return voxel_stage.learn_shared(objects, config.how, seed, stop, bar, save, resume)
    # Where nothing is shared, no object has been learned on the way either: each is added on its own.
    held = keep if any(config.how.shared_steps) else None
    shared = planes_stages.learn_shared(objects, config.how, seed, stop, bar, save, resume, held, ranks)
    return shared if ranks.asked(stop.requested) is None else None


def add(shared: Shared, views: Views, how: VoxelSettings | PlanesConfig, seed: int) -> tuple[bytes, dict[str, float]]:
    """The payload of an object, learned from its training views, and what that took; ``shared`` stays as it is.

    Raises BadInput for photos that it cannot be learned from.
    """
    if isinstance(shared, VoxelShared) and isinstance(how, VoxelSettings):
        held = voxel_add.add_object(shared, views, how, seed)
        return held.payload, held.figures
    if isinstance(shared, PlanesShared) and isinstance(how, PlanesConfig):
        added = planes_add.add_object(shared, views, how, seed)
        return added.payload, added.figures
    raise TypeError(f"{type(how).__name__} does not say how {type(shared).__name__} adds an object")


def opened(shared: Shared, payload: bytes, where: str) -> Draw:
    """The object in ``payload``, to be drawn for any camera. Raises BadInput where the bytes are not one of these."""
    if isinstance(shared, VoxelShared):
        return voxel_opening.open_object(shared, payload, where)
    return planes_opening.open_object(shared, payload, where)


def between(shared: Shared, first: bytes, second: bytes, share: float) -> Draw:
    """The object ``share`` of the way from one to another. Raises BadInput where these cannot be blended."""
    if isinstance(shared, VoxelShared):
        return voxel_opening.interpolate(shared, first, second, share)
    return planes_opening.interpolate(shared, first, second, share)


def fingerprint(shared: Shared) -> str:
    """32 hexadecimal digits that tell shared parts from any others."""
    whole = hashlib.blake2b(json.dumps(jsonable(shared.details()), sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(shared.tensors().items()):
        whole.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        whole.update(tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()


def size(shared: Shared) -> int:
    """Bytes of what is shared."""
    return sum(tensor.numel() * tensor.element_size() for tensor in shared.tensors().values())


def shared_of(tensors: Mapping[str, Tensor], details: Mapping[str, Any], where: str) -> Shared:
    """The inverse of ``tensors()`` and ``details()``. Raises BadInput where they do not fit each other."""
    kind = details.get("kind")
    if kind == "voxel":
        return VoxelShared.of(tensors, details["shared"], where)
    if kind == "planes":
        return PlanesShared.of(tensors, details["shared"], where)
    raise BadInput(f"{where} holds shared parts of the kind {kind!r:.20}, which this version does not know: upgrade.")


def described(shared: Shared) -> dict[str, Any]:
    """What ``shared_of`` needs beside the tensors, as JSON."""
    return {"kind": "voxel" if isinstance(shared, VoxelShared) else "planes", "shared": shared.details()}


def box(shared: Shared) -> tuple[Tensor, Tensor]:
    """The corners of the box that all objects of the class lie in."""
    if isinstance(shared, VoxelShared):
        return shared.room.low, shared.room.high
    return shared.place.low.cpu(), shared.place.high.cpu()
