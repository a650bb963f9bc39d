"""``fieldscape make cars``: many cars, or a person's own meshes, each from many sides, in the SRN layout.

A folder holds one folder for each object (see ``srn``), ``objects.json`` with what is true of each, and ``world.json``.
Nothing heavy is imported before there is work, so that ``--help`` comes at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fieldscape.errors import BadInput


@dataclass(frozen=True)
class MakeCarsOptions:
    """Make cars, each another, photographed on white from all around, in the SRN layout of ShapeNet cars."""

    out: Path
    """The folder to write: a folder in it for each object."""

    objects: int | None = None
    """How many. Default: 100 cars, or all meshes."""

    views: int = 50
    """Photos of each object."""

    size: int = 128
    """Side of a photo, in pixels."""

    seed: int = 0
    """Of the cars, their colours and the places of the cameras."""

    poses: Literal["auto", "random", "spiral"] = "auto"
    """Where the cameras stand around it. random: anywhere; spiral: evenly spread; auto: random up to 100 views."""

    meshes: Path | None = None
    """Photograph the meshes in this folder and below instead: OBJ, GLB, glTF, STL, PLY, or JSON."""

    workers: int | None = None
    """Processes that share the work. Default: one a core."""

    quiet: bool = False
    """Say nothing but where the objects are."""


MOST = {"objects": 100_000, "views": 1000}
SIZES = (16, 2048)


def make_cars(options: MakeCarsOptions) -> None:
    """Makes the objects and says in one line what is where.

    Raises:
        BadInput: a number out of its range, OUT not free, a folder without meshes, or none of them readable.
    """
    for name, value in (("objects", options.objects), ("views", options.views)):
        if value is not None and not 1 <= value <= MOST[name]:
            raise BadInput(f"--{name} is {value}; it has to be from 1 to {MOST[name]}.")
    if not SIZES[0] <= options.size <= SIZES[1]:
        raise BadInput(f"--size is {options.size}; a photo's side has to be from {SIZES[0]} to {SIZES[1]} pixels.")
    if options.workers is not None and options.workers < 1:
        raise BadInput(f"--workers is {options.workers}; at least one process has to do the work.")

    from fieldscape.worlds.cars.objects import ObjectSettings, write_objects

    settings = ObjectSettings(options.views, options.size, options.seed, options.poses, options.meshes)
    told = write_objects(options.out, options.objects, settings, options.workers, options.quiet)
    if told is not None:
        print(told)
