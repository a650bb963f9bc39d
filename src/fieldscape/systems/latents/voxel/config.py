"""Settings of the voxel representation: how an object is fitted, and how what a class shares is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fieldscape.errors import BadInput

Start: TypeAlias = Literal["none", "hull", "lift"]


@dataclass(frozen=True)
class VoxelSettings:
    """How objects are fitted. Rates were tuned for some hundred thousand rays an object, at 64 x 64 pixels."""

    start: Start = "lift"
    """What an object starts from. none: an empty grid. hull: its visual hull, painted with the colours that the photos
    show there. lift: that, and a network that knows the class and sets every vertex after the first ``warm`` rays."""

    rays: int = 120_000
    """Rays that an object is learned from: more give a better object and take longer."""

    resolution: int = 32
    """The box of an object holds about the cube of so many cells: half as many as a photo has pixels across."""

    step: float = 1.0
    """Voxels between samples on a ray."""

    lr_density: float = 0.4
    """How far the raw density moves at a ray, at first."""

    lr_color: float = 0.16
    """How far the spherical harmonics of colour move at a ray, at first."""

    lr_decay: float = 0.1
    """Share of both left at the end; they fall exponentially."""

    angular: float = 0.5
    """How far what changes with direction moves, as a share of ``lr_color``: with few photos it learns their noise."""

    smoothness: float = 1e-5
    """How strongly vertices are pulled towards the middle of their cells."""

    opacity: float = 0.05
    """Weight of the error of opacity where a photo shows nothing but background."""

    rim: int = 1
    """Pixels around a silhouette that are learned from as well: they say where the object ends."""

    lr_lifted: float = 0.5
    """Share of both left after the lift, which leaves less to be done."""

    coarse: float = 0.35
    """Share of the rays that are learned on a grid of half the resolution, where the start is none."""

    warm: int = 30_000
    """Rays before the lift, where the start is that."""

    def __post_init__(self) -> None:
        for name, low, high in BOUNDS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadInput(f"{name} is {value}; it has to be from {low} to {high}.")
        if self.start not in ("none", "hull", "lift"):
            raise BadInput(f"start is {self.start!r}; it has to be none, hull or lift.")


BOUNDS = (
    ("rays", 0, 10**10),
    ("resolution", 8, 256),
    ("step", 0.1, 4),
    ("lr_density", 1e-9, 10),
    ("lr_color", 1e-9, 10),
    ("angular", 0, 1),
    ("lr_decay", 1e-9, 1),
    ("lr_lifted", 1e-9, 1),
    ("smoothness", 0, 1),
    ("opacity", 0, 10),
    ("rim", 0, 64),
    ("coarse", 0, 1),
    ("warm", 0, 10**10),
)


def usual(start: Start) -> VoxelSettings:
    """The settings that serve a start best: an empty grid needs more rays, and to see more of what is beside an object.

    >>> usual("none").rim, usual("hull").rim
    (6, 1)
    """
    if start == "none":
        return VoxelSettings(start=start, rays=250_000, rim=6, coarse=0.5)
    return VoxelSettings(start=start)
