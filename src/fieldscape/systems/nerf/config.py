"""What a user may choose about a radiance field. Imports no torch, so the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fieldscape.errors import BadInput


def _require(config: object, name: str, least: float, most: float) -> None:
    """Raises BadInput where the number called ``name`` is outside ``least``..``most``, or no number."""
    value = getattr(config, name)
    if not least <= value <= most:
        raise BadInput(f"--{name.replace('_', '-')} must lie between {least:g} and {most:g}, and is {value:g}.")


@dataclass(frozen=True)
class MlpConfig:
    """A NeRF whose field is a multi-layer perceptron (Mildenhall et al. 2020). The defaults are TinyNeRF's."""

    iters: int = 8000
    """Training steps."""

    seconds: float = 0.0
    """Training ends after so many seconds if the steps are not done by then. 0: no limit."""

    n_rand: int = 2048
    """Rays in a step, drawn at random from the pixels of all training views."""

    n_samples: int = 64
    """Points on a ray, one in each of so many equal bins between near and far."""

    n_importance: int = 0
    """Further points on a ray, placed where the coarse network saw something, for a second, fine network. 0: none."""

    octaves: int = 6
    """Octaves L of the positional encoding of points."""

    view_octaves: int = 0
    """Octaves of the encoding of view directions, which lets colour change with the angle. 0: colour ignores it."""

    depth: int = 8
    """Layers of the network."""

    width: int = 256
    """Units in a layer."""

    channels: int = 0
    """Further channels to learn beside the colour, from as many-channel maps in 0..1 (affordances, features)."""

    lr: float = 5e-4
    """Learning rate of Adam."""

    lr_decay: float = 1.0
    """Share of the learning rate left at the last step; it falls exponentially. 1 keeps it."""

    density_noise: float = 0.0
    """Standard deviation of noise added to the raw density while training; the paper uses 1 on real photos."""

    near: float | None = None
    """Where rays start, in the data's unit. None: from the data."""

    far: float | None = None
    """Where rays end. None: from the data."""

    crop_iters: int = 0
    """For so many first steps, draw rays from the middle of the photos only: a start for small objects."""

    crop_share: float = 0.5
    """Width and height of that middle, as a share of the photo's."""

    eval_every: int = 200
    """Steps between measurements on held-out views."""

    eval_views: int = 8
    """Held-out views measured then, evenly chosen; the report at the end uses all of them."""

    preview_every: int = 200
    """Steps between preview pictures. 0: none."""

    checkpoint_every: int = 500
    """Steps between checkpoints."""

    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Arithmetic of the network's matrix products. auto: bfloat16 where a short trial finds it faster."""

    def __post_init__(self) -> None:
        for name in ("iters", "n_rand", "n_samples", "depth", "width", "eval_every", "eval_views", "checkpoint_every"):
            _require(self, name, 1, 10**9)
        for name in ("seconds", "n_importance", "channels", "density_noise", "crop_iters", "preview_every"):
            _require(self, name, 0, 10**9)
        for name in ("octaves", "view_octaves"):
            _require(self, name, 0, 20)
        for name in ("lr", "lr_decay", "crop_share"):
            _require(self, name, 1e-9, 1)
        near = 0.0 if self.near is None else self.near
        if not (near >= 0 and (self.far is None or near < self.far < float("inf"))):
            raise BadInput(f"--near and --far must satisfy 0 <= near < far, and are {self.near} and {self.far}.")


MLP_PRESETS: dict[str, MlpConfig] = {
    # TinyNeRF as its notebook trains it, with random rays in place of one whole image a step.
    "tiny": MlpConfig(),
    # The paper: view directions, coarse to fine, falling learning rate.
    "nerf": MlpConfig(
        iters=200_000, n_rand=1024, n_importance=128, octaves=10, view_octaves=4, lr_decay=0.1, crop_iters=500,
        eval_every=2000, preview_every=1000, checkpoint_every=1000,
    ),
    # Something to look at within minutes on a laptop without a GPU.
    "small": MlpConfig(iters=2000, n_rand=1024, n_samples=40, depth=4, width=128, lr=1e-3, lr_decay=0.1),
}  # fmt: skip
"""Named starting points; each field can still be set on its own."""


QUALITY_SECONDS = {"draft": 10.0, "good": 60.0, "best": 300.0}
"""How long a voxel field of a named quality is trained."""


@dataclass(frozen=True)
class VoxelConfig:
    """A radiance field on a grid, coarse to fine, trained within a number of seconds or of steps."""

    seconds: float = 60.0
    """Time to train; coarse to fine and the learning rate are planned for it. Not used where iters is given."""

    iters: int = 0
    """Steps to train instead of seconds, which makes a run repeatable bit for bit. 0: go by seconds."""

    resolution: int = 0
    """The finest grid holds about resolution^3 vertices. 0: from the size of the photos."""

    n_rand: int = 0
    """Rays in a step. 0: 16384 with the kernels, 4096 with torch."""

    step: float = 1.0
    """Voxels between samples on a ray."""

    channels: int = 0
    """Further channels to learn beside the colour, from as many-channel maps in 0..1."""

    lr_density: float = 0.2
    """How far the raw density moves at a ray."""

    lr_color: float = 0.08
    """How far the spherical harmonics of colour move at a ray."""

    lr_decay: float = 0.1
    """Share of both rates left at the end; they fall exponentially."""

    smoothness: float | None = None
    """How strongly vertices are pulled towards the middle of their cells. None: 1e-6 for an object before a plain
    background, 1e-5 for a scene with its surroundings, where fewer photos see each place."""

    opacity: float = 0.05
    """Weight of the error of opacity, where photos with a plain background or transparency tell it."""

    engine: Literal["auto", "torch"] = "auto"
    """auto: kernels on a CPU, torch elsewhere and for further channels. torch: always."""

    deterministic: bool = False
    """One thread, so that with iters a run repeats bit for bit."""

    refine_poses: bool = False
    """Mend slightly wrong poses while the scene is learned."""

    lr_pose: float = 4e-3
    """Step of a pose, in radians, and in radii of the scene."""

    exposure: bool = False
    """Learn a gain of each photo's colours, for photos of uneven exposure."""

    robust: float = 0.0
    """Errors of colour well beyond this count for little, as those of passers-by. 0: all count."""

    any_background: bool = False
    """Show the object before random colours while learning, where photos have transparency."""

    eval_every: int = 250
    """Steps between measurements on held-out views."""

    eval_views: int = 4
    """Held-out views measured then; the report at the end uses all of them."""

    preview_every: int = 0
    """Steps between preview pictures. 0: none."""

    checkpoint_every: int = 2000
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        for name in ("eval_every", "eval_views", "checkpoint_every"):
            _require(self, name, 1, 10**9)
        for name in ("n_rand", "iters", "seconds", "channels", "opacity", "preview_every"):
            _require(self, name, 0, 10**9)
        for name in ("lr_pose", "robust"):
            _require(self, name, 0, 1)
        _require(self, "step", 0.1, 4)
        for name in ("lr_density", "lr_color"):
            _require(self, name, 1e-9, 10)
        _require(self, "lr_decay", 1e-9, 1)
        if self.smoothness is not None:
            _require(self, "smoothness", 0, 1)
        if self.resolution:
            _require(self, "resolution", 8, 512)
        if not self.iters:
            _require(self, "seconds", 1e-3, 10**9)


def smoothness(config: VoxelConfig, unbounded: bool) -> float:
    """The pull that ``config`` asks for, or that of the kind of scene."""
    if config.smoothness is not None:
        return config.smoothness
    return 1e-5 if unbounded else 1e-6
