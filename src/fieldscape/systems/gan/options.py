"""The options of the gan commands. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class TrainOptions:
    """Learn to make 3D scenes from photos without poses: a folder, zip, tar or LSUN database of them."""

    photos: tyro.conf.Positional[Path]
    """The photos. For synthetic ones: fieldscape make rooms --photos 2000 --out rooms, then rooms/photos."""

    out: Path | None = None
    """The run folder. Default: runs/NAME-gan."""

    size: Literal[16, 32, 64] = 64
    """Side of the pictures, in pixels."""

    generator: Literal["triplane", "siren"] = "triplane"
    """triplane is fast; siren is pi-GAN's network of sines."""

    preset: Literal["3x64", "4x128", "8x256"] = "4x128"
    """siren: layers and their width."""

    prior: Literal["room", "object", "given"] = "room"
    """Where cameras stand: inside a room, around an object, or where --poses says."""

    poses: Path | None = None
    """The cameras of the photos, as `fieldscape make rooms --photos` writes them (truth/cameras.json)."""

    fov: tuple[float, float] = (55.0, 55.0)
    """Field of view: least and most, in degrees."""

    yaw: float = 12.0
    """Standard deviation of the camera's yaw, in degrees."""

    pitch: float = 4.0
    """Standard deviation of the camera's pitch, in degrees."""

    shift: float = 0.2
    """Standard deviation of the camera's place on each axis, in metres."""

    most: int | None = None
    """Learn from so many of the photos only; always the same ones."""

    flips: bool = False
    """Mirror half of the photos."""

    seconds: float = 600.0
    """Time to train."""

    images: int = 0
    """Photos to look at in all, instead of --seconds."""

    batch: int = 16
    """Photos a step."""

    r1: float = 0.5
    """Weight of the discriminator's squared gradient: higher is steadier and slower."""

    lr_generator: float = 2e-3
    """Step size of the generator."""

    lr_discriminator: float = 1.5e-3
    """Step size of the discriminator."""

    look_every: int = 4000
    """Photos between looks: figures, and a sheet of scenes in previews/."""

    seed: int = 0
    """Of everything random."""

    minutes: float | None = None
    """Stop after so many minutes, saved and ready to --resume."""

    resume: bool = False
    """Go on with the run in --out, with the options it was made with; only --seconds and --images may be changed."""

    quiet: bool = False
    """Say nothing but the result."""


@dataclass(frozen=True)
class SampleOptions:
    """Scenes of a trained generator from the left, ahead and right, with depth, on one sheet."""

    run: tyro.conf.Positional[Path]
    """The run folder."""

    out: Path | None = None
    """The picture. Default: RUN/samples.png."""

    count: int = 8
    """Scenes."""

    first: int = 0
    """Number of the first."""

    quiet: bool = False
    """Say nothing but where the picture is."""
