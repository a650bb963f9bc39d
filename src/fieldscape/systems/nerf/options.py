"""What ``fieldscape nerf fit`` can be told. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fieldscape.data.options import ReadOptions
from fieldscape.errors import BadInput
from fieldscape.systems.nerf.config import MLP_PRESETS, QUALITY_SECONDS, MlpConfig, VoxelConfig


@dataclass(frozen=True)
class NerfConfig:
    """All that a run is made with: how the photos are read, and one of the two fields."""

    read: ReadOptions
    mlp: MlpConfig | None
    voxels: VoxelConfig | None


@dataclass(frozen=True)
class FitOptions:
    """Fit a radiance field to photos.

    DATA is a folder of posed photos (Blender, nerfstudio or instant-ngp, LLFF, COLMAP, TinyNeRF .npz), or of bare
    photos, or a video, whose poses are then found by structure from motion.
    """

    data: tyro.conf.Positional[Path]
    """The photos."""

    out: Path | None = None
    """The run folder. Default: runs/NAME-FIELD."""

    field: Literal["voxels", "mlp"] = "voxels"
    """voxels: a grid, seconds to minutes. mlp: a network, the NeRF of the papers."""

    preset: Literal["tiny", "nerf", "small"] | None = None
    """A named mlp: tiny (TinyNeRF), nerf (the paper), small (a laptop without a GPU)."""

    seconds: float | None = None
    """Time to train. voxels: the whole schedule is planned for it (default 60). mlp: a limit beside --iters."""

    quality: Literal["draft", "good", "best"] | None = None
    """voxels: instead of --seconds: draft (10), good (60), best (300)."""

    iters: Annotated[int | None, tyro.conf.arg(aliases=["--steps"])] = None
    """Steps to train. For voxels it replaces --seconds; with --deterministic the run repeats bit for bit."""

    n_rand: int | None = None
    """Rays in a step."""

    n_samples: int | None = None
    """mlp: points on a ray."""

    n_importance: int | None = None
    """mlp: further points on a ray where the coarse network saw something, for a second network. 0: none."""

    octaves: int | None = None
    """mlp: octaves L of the positional encoding."""

    view_octaves: int | None = None
    """mlp: octaves of the encoding of view directions. 0: colour ignores them."""

    depth: int | None = None
    """mlp: layers."""

    width: int | None = None
    """mlp: units in a layer."""

    lr: float | None = None
    """mlp: learning rate."""

    near: float | None = None
    """mlp: where rays start. Default: from the data."""

    far: float | None = None
    """mlp: where rays end. Default: from the data."""

    precision: Literal["auto", "float32", "bf16"] | None = None
    """mlp: arithmetic of the network. auto: bfloat16 where a trial finds it faster."""

    resolution: int | None = None
    """voxels: the finest grid holds about resolution^3 vertices. Default: from the photos."""

    smoothness: float | None = None
    """voxels: how strongly neighbouring vertices are evened out."""

    deterministic: bool = False
    """voxels: one thread and no chance in the order of things, for runs that repeat bit for bit."""

    refine_poses: bool = False
    """voxels: mend slightly wrong poses while learning."""

    exposure: bool = False
    """voxels: learn each photo's exposure, where it was not fixed."""

    robust: float | None = None
    """voxels: errors of colour (0..1) well beyond this count for little, as of passers-by. 0.1 is a fair start."""

    any_background: bool = False
    """voxels: learn before random colours, where photos have transparency."""

    engine: Literal["auto", "torch"] | None = None
    """voxels: torch trains without the kernels."""

    channels: int | None = None
    """Learn so many further channels beside the colour, from maps/NAME.npy (or .png, .tif) beside the photos."""

    preview_every: int | None = None
    """Steps between preview pictures. 0: none."""

    eval_every: int | None = None
    """Steps between measurements on held-out views."""

    checkpoint_every: int | None = None
    """Steps between checkpoints."""

    background: Literal["auto", "white", "black"] = "auto"
    """Colour behind photos with transparency. auto: white there; for opaque photos, what their borders show."""

    downscale: float = 1.0
    """Make the photos this many times smaller."""

    holdout: int = 8
    """Hold every n-th view back for measuring, where the data do not say which. 0: none."""

    weights: Path | None = None
    """A JSON file that says how much each photo counts: {"0001.png": 0.5}. Photos it does not name count 1."""

    seed: int = 0
    """Of everything random."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    minutes: float | None = None
    """Stop after so many minutes, saved and ready to --resume."""

    resume: bool = False
    """Go on with the run in --out, with the options it was made with; only --iters and --seconds may be changed."""

    quiet: bool = False
    """Say nothing but the result."""


_MLP_ONLY = (
    "preset", "n_samples", "n_importance", "octaves", "view_octaves", "depth", "width", "lr", "near", "far",
    "precision",
)  # fmt: skip
_VOXELS_ONLY = (
    "resolution", "smoothness", "quality", "deterministic", "refine_poses", "exposure", "robust", "any_background",
    "engine",
)  # fmt: skip


def resolve(options: FitOptions) -> NerfConfig:
    """The config that the options ask for: a preset, with whatever was given set on top.

    Raises BadInput: an option belongs to the other field, or a number is out of range.
    """
    stray = [
        n
        for n in (_MLP_ONLY if options.field == "voxels" else _VOXELS_ONLY)
        if getattr(options, n) not in (None, False)
    ]
    if stray:
        other = "mlp" if options.field == "voxels" else "voxels"
        raise BadInput(f"--{stray[0].replace('_', '-')} belongs to --field {other}, not to {options.field}.")
    start = VoxelConfig() if options.field == "voxels" else MLP_PRESETS[options.preset or "tiny"]
    names = {f.name for f in dataclasses.fields(start)} & {f.name for f in dataclasses.fields(FitOptions)}
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.quality is not None:
        if options.seconds is not None or options.iters is not None:
            raise BadInput("--quality sets how long to train: give either it, or --seconds or --iters.")
        given["seconds"] = QUALITY_SECONDS[options.quality]
    config = dataclasses.replace(start, **given)
    read = ReadOptions(options.background, options.downscale, options.holdout, config.channels, options.weights)
    if isinstance(config, VoxelConfig):
        return NerfConfig(read, None, config)
    return NerfConfig(read, config, None)


def resumed(options: FitOptions, saved: NerfConfig, seed: int) -> NerfConfig:
    """The config of a run to go on with: its own, with a new end if --iters or --seconds is given.

    Raises BadInput where another option asks for something else than the run was made with.
    """
    config = saved.mlp or saved.voxels
    if config is None:
        raise BadInput("run.json names neither an mlp nor voxels: the run cannot be resumed.")
    defaults = FitOptions(options.data)
    made = {**dataclasses.asdict(saved.read), **dataclasses.asdict(config), "seed": seed}
    made |= {"field": "mlp" if saved.mlp else "voxels"}
    for field in dataclasses.fields(FitOptions):
        given = getattr(options, field.name)
        if field.name in ("iters", "seconds") or field.name not in made or given == getattr(defaults, field.name):
            continue
        if given != made[field.name]:
            raise BadInput(
                f"The run was made with --{field.name.replace('_', '-')} {made[field.name]}, not {given}: only --iters "
                "and --seconds can change when resuming."
            )
    changed = {name: getattr(options, name) for name in ("iters", "seconds") if getattr(options, name) is not None}
    config = dataclasses.replace(config, **changed)
    if isinstance(config, VoxelConfig):
        return dataclasses.replace(saved, voxels=config)
    return dataclasses.replace(saved, mlp=config)
