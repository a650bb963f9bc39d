"""What decides a run of ``latents train``; saved in ``run.json``."""

from __future__ import annotations

from dataclasses import dataclass

from fieldscape.systems.latents.objects import ObjectSettings
from fieldscape.systems.latents.options import Method
from fieldscape.systems.latents.planes.config import PlanesConfig
from fieldscape.systems.latents.voxel.config import VoxelSettings

SYSTEM = "latents"


@dataclass(frozen=True)
class LatentsConfig:
    """method: how objects are held.  read: how their photos are read.  how: what the method is told."""

    method: Method
    read: ObjectSettings
    how: VoxelSettings | PlanesConfig
