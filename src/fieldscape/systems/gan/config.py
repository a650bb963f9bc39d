"""What decides how a generator is trained; saved with the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fieldscape.errors import BadInput

STAGES = {
    16: ((0.0, 16),),
    32: ((0.0, 16), (0.2, 32)),
    64: ((0.0, 16), (0.05, 32), (0.4, 64)),
    128: ((0.0, 16), (0.05, 32), (0.2, 64), (0.5, 128)),
}
"""Sides of the pictures learned from, and from which share of the training on: layout comes before texture."""

CAMERAS: dict[str, dict[str, Any]] = {
    "room": {"fov": (60.0, 60.0), "yaw": 12.0, "pitch": 4.0, "shift": 0.2, "near": 0.8, "far": 7.0},
    "object": {"fov": (30.0, 30.0), "yaw": 180.0, "pitch": 25.0, "shift": 0.0, "near": 0.7, "far": 1.3},
    "given": {"fov": (60.0, 60.0), "yaw": 12.0, "pitch": 4.0, "shift": 0.2, "near": 0.6, "far": 7.0},
}
"""What cameras are, where nothing else is asked. Objects have about the size 0.6, and cameras the distance 1."""

RATES = {"triplane": 2e-3, "3x64": 2e-4, "4x128": 1e-4, "8x256": 6e-5}
"""Step sizes of generators, where nothing else is asked; the published one is pi-GAN's."""

PLANE_SIDES = {16: 32, 32: 32, 64: 64, 128: 128}
SAMPLES = {16: 10, 32: 16, 64: 24, 128: 32}


@dataclass(frozen=True)
class GanConfig:
    """A generator and its training. Lengths are metres, where a room of usual size is thought of."""

    size: Literal[16, 32, 64, 128] = 64
    """Side of the pictures, in pixels."""

    generator: Literal["triplane", "siren"] = "triplane"
    """triplane: fast.  siren: pi-GAN's network of sines."""

    preset: Literal["3x64", "4x128", "8x256"] = "4x128"
    """siren: layers and their width; 8x256 is the published one."""

    features: int = 12
    """triplane: channels of a plane."""

    latent: int = 64
    """Numbers that a scene is made from."""

    shape: Literal["room", "haze"] = "room"
    """What scenes are before anything is learned: an empty room, or even haze."""

    prior: Literal["room", "object", "given"] = "room"
    """Where cameras stand: inside a room, around an object, or where the data say."""

    fov: tuple[float, float] = (60.0, 60.0)
    """Field of view: least and most, in degrees."""

    yaw: float = 12.0
    """Standard deviation of the camera's yaw, in degrees; of objects half the range."""

    pitch: float = 4.0
    """Standard deviation of the camera's pitch, in degrees; of objects half the range."""

    shift: float = 0.2
    """Standard deviation of the camera's place, on each axis. Without it and the yaw, any depth would fit."""

    near: float = 0.8
    """Where rays begin."""

    far: float = 7.0
    """Where rays end."""

    spacing: Literal["linear", "disparity"] = "linear"
    """Samples on a ray: evenly, or in 1/distance, which puts most of them near the camera."""

    batch: int = 16
    """Pictures a step."""

    images: int = 0
    """Pictures to learn from in all, repeats included; 0: as ``seconds`` says."""

    seconds: float = 600.0
    """Time to train, where ``images`` does not say how long."""

    r1: float = 0.5
    """Weight of the discriminator's squared gradient at real pictures (R1)."""

    pose_weight: float = 1.0
    """Weight of the error of guessed poses, in radians squared."""

    smooth: float = 0.25
    """Weight of the variation of density between near points."""

    lr_generator: float = 2e-3
    """Step size of the generator."""

    lr_discriminator: float = 1.5e-3
    """Step size of the discriminator."""

    ema_images: float = 5000.0
    """Pictures after which the kept generator has forgotten half of what it was."""

    look_every: int = 4000
    """Photos between looks."""

    flips: bool = False
    """Mirror half of the photos."""

    patch: Literal[0, 16, 32, 64] = 0
    """Pixels a side of the squares that are compared instead of whole pictures; 0: whole pictures."""

    depth_aware: bool = False
    """The discriminator is given depth too."""

    top_k: bool = False
    """The generator learns from the pictures of a batch that pass best: in time from 60 % of them."""

    noise_images: float = 20_000.0
    """Pictures over which noise on the density fades out; without it volumes start empty or as fog."""


def require_sane(config: GanConfig) -> None:
    """Raises BadInput where a number of the config makes no sense."""
    for name, low, high in (
        ("batch", 4, 1024), ("latent", 1, 4096), ("features", 1, 256), ("yaw", 0, 180), ("pitch", 0, 60),
        ("shift", 0, 10), ("near", 1e-3, 100), ("far", 1e-3, 1000), ("r1", 0, 1000),
        ("pose_weight", 0, 1000), ("smooth", 0, 1000),
        ("seconds", 0, 1e9), ("images", 0, 1e12), ("lr_generator", 0, 1), ("lr_discriminator", 0, 1),
        ("look_every", 1, 1e12),
    ):  # fmt: skip
        value = getattr(config, name)
        if not low <= value <= high:
            raise BadInput(f"--{name.replace('_', '-')} is {value:g}; it goes from {low:g} to {high:g}.")
    if config.patch >= config.size:
        raise BadInput(
            f"--patch {config.patch} is no part of a picture of --size {config.size}; give 0 or less than it."
        )
    if config.flips and config.prior == "given":
        raise BadInput("--flips shows photos mirrored, which no given pose fits: leave it out with --prior given.")
    if not config.near < config.far:
        raise BadInput(f"--near is {config.near:g} and --far {config.far:g}: rays need near < far.")
    if not 1 <= config.fov[0] <= config.fov[1] <= 150:
        raise BadInput(
            f"--fov is {config.fov[0]:g} to {config.fov[1]:g}; it goes from 1 to 150 degrees, the least first."
        )
    if config.prior == "room" and config.yaw == 0 and config.shift == 0:
        raise BadInput("Without --yaw and --shift all pictures are taken from one place: any depth would fit.")
