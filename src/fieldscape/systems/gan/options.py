"""The options of the gan commands. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class TrainOptions:
    """Learn to make 3D scenes from photos without poses: a folder, zip, tar or LSUN database of them."""

    photos: tyro.conf.Positional[Path]
    """The photos. For synthetic ones: fieldscape make rooms --photos 2000 --out rooms, then rooms/photos."""

    out: Path | None = None
    """The run folder. Default: runs/NAME-gan."""

    size: Literal[16, 32, 64, 128] = 64
    """Side of the pictures, in pixels."""

    patch: Literal[0, 16, 32, 64] | None = None
    """Compare squares of so many pixels a side, coarse ones first, instead of whole pictures (0). A step costs the same
    for any --size. Default: 32 for --size 128, else 0."""

    generator: Literal["triplane", "siren"] = "triplane"
    """triplane is fast; siren is pi-GAN's network of sines."""

    preset: Literal["3x64", "4x128", "8x256"] = "4x128"
    """siren: layers and their width."""

    shape: Literal["room", "haze"] = "room"
    """What scenes are before anything is learned: an empty room, or even haze."""

    prior: Literal["room", "object", "given"] = "room"
    """Where cameras stand: inside a room, around an object, or where --poses says."""

    poses: Path | None = None
    """The cameras of the photos, as `fieldscape make rooms --photos` writes them (truth/cameras.json)."""

    depths: Path | None = None
    """A folder with a depth map for each photo, NAME.png (16 bits) or NAME.npy: to measure with, and for --depth-aware.
    Any network's of depth (larger is farther) will do: scale does not count."""

    depth_unit: float = 0.001
    """What 1 means in a depth map that is a PNG, in metres. A .npy holds metres."""

    depth_aware: bool = False
    """Learn from the depth maps too: the discriminator sees them, and generated depth beside. Needs --depths."""

    fov: tuple[float, float] | None = None
    """Field of view: least and most, in degrees. Default: 60 60, of objects 30 30."""

    yaw: float | None = None
    """Standard deviation of the camera's yaw in degrees (default 12); of objects half the range (180)."""

    pitch: float | None = None
    """Standard deviation of the camera's pitch in degrees (default 4); of objects half the range (25)."""

    shift: float | None = None
    """Standard deviation of the camera's place on each axis, in metres. Default: 0.2; of objects 0.

    Without it and the yaw, any depth would fit."""

    near: float | None = None
    """Where rays begin, in metres. Default: 0.8; of objects, which cameras look at from 1, 0.7."""

    far: float | None = None
    """Where rays end. Default: 7; of objects 1.3."""

    spacing: Literal["linear", "disparity"] = "linear"
    """Samples on a ray: evenly, or in 1/distance, which puts most of them near the camera."""

    most: int | None = None
    """Learn from so many of the photos only; always the same ones."""

    held: int | None = None
    """Photos kept back to compare with: the last by name. Default: a tenth of all, at most 512."""

    flips: bool = False
    """Mirror half of the photos."""

    seconds: float = 600.0
    """Time to train."""

    images: int = 0
    """Photos to look at in all, instead of --seconds."""

    batch: int = 16
    """Photos a step."""

    top_k: bool = False
    """The generator learns from the pictures of a batch that pass best only: in time from 60 % of them."""

    r1: float = 0.5
    """Weight of the discriminator's squared gradient: higher is steadier and slower."""

    pose_weight: float = 1.0
    """Weight of the error of poses guessed from pictures, in radians squared: where a camera stands must be seen."""

    smooth: float = 0.25
    """Weight of the variation of density between near points."""

    lr_generator: float | None = None
    """Step size of the generator. Default: 0.002; of sirens 0.0002 to 0.00006, less for larger ones."""

    lr_discriminator: float = 1.5e-3
    """Step size of the discriminator."""

    look_every: int = 4000
    """Photos between looks: figures, and a sheet of scenes in previews/."""

    features: Path | None = None
    """A network as a TorchScript file, for FID and KID at the end: from pictures [n, 3, 299, 299] in -1..1 to features
    [n, d]. Such a file is a program and runs with your rights: name none that you do not trust."""

    device: str = "auto"
    """auto, cpu, cuda or mps. For several GPUs: torchrun --nproc-per-node N -m fieldscape gan train ..."""

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


@dataclass(frozen=True)
class InvertOptions:
    """Turn one photo into a scene and a fly-through: through a trained generator, or without training."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN] PHOTO")]
    """The photo, and before it the run folder of a generator of the same kind of rooms, if there is one."""

    engine: Literal["generator", "box", "depth"] | None = None
    """generator: what the RUN makes that looks like the photo. box: a room of five painted planes, found by the lines
    of the photo. depth: layers cut from a depth map. Default: generator where a RUN is given, else box."""

    out: Path | None = None
    """The run folder. Default: runs/PHOTO-ENGINE."""

    tune: bool = True
    """For generator: tune its weights to the photo in the end."""

    seed: int = 0
    """For generator: of everything random."""

    corners: Path | None = None
    """For box: a JSON file with the back wall's corners, as corners.json of an earlier run, to adjust by hand."""

    depth: str | None = None
    """For depth: the depth map, .png of 16 bits or .npy in metres; or auto, to have a model estimate it."""

    depth_kind: Literal["metric", "inverse"] = "metric"
    """metric: depth along the optical axis. inverse: larger is nearer and the scale is unknown, as models predict."""

    depth_unit: float | None = None
    """Metres of one step of a metric depth map. Default: 0.001 for a PNG, 1 for .npy."""

    depth_model: str = "depth-anything/Depth-Anything-V2-Small-hf"
    """With --depth auto: a folder with a model of transformers, or its name on the Hugging Face hub."""

    fov: float | None = None
    """For box and depth: the photo's horizontal field of view, in degrees. Default: what its lines tell, else 60."""

    camera_height: float = 1.5
    """For box and depth: of the camera over the floor in metres; for box, it gives the room its size."""

    width: int | None = None
    """Of the video's pictures. Default: the photo's, with a long side of at most 1280; for generator, 128."""

    frames: int = 60
    """Pictures in the video, once around."""

    fps: float = 24.0
    """Pictures a second."""

    quiet: bool = False
    """Say nothing but the result."""
