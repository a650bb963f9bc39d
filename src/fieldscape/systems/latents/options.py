"""The options of ``latents train`` and ``latents exploit``. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fieldscape.mirrors import Mirror

Method = Literal["voxel", "latent", "micro", "ulw", "3da-ae", "fused", "rgb", "rgb-legacy", "rgb-shared"]
"""How objects are held. voxel: small voxel fields from a learned start, coded with tables of the class (ours, and the
quickest). latent: tri-planes in the latent space of an autoencoder, some of an object's own and some shared; micro: own
ones only; ulw: shared ones only; 3da-ae and fused: as published. rgb: tri-planes of colours, each object alone;
rgb-legacy: with the published layout of planes; rgb-shared: sharing as latent does."""


@dataclass(frozen=True)
class LatentsTrainOptions:
    """Learn what many objects of a kind have in common, and hold each of them in few KiB."""

    data: tyro.conf.Positional[Path]
    """Folders of objects in the SRN layout (rgb/, pose/, intrinsics.txt). For synthetic ones: fieldscape make cars."""

    out: Path | None = None
    """The run folder. Default: runs/NAME-latents."""

    method: Method = "voxel"
    """How objects are held: voxel is ours; latent, and its published relatives, are tri-planes of latents."""

    objects: str | None = None
    """Which objects, in order of name: 500 (the first 500), or 100:600. Default: all."""

    size: int | None = None
    """Side to which photos are reduced, in pixels. Default: as they are, at most 128."""

    above: float | None = None
    """Only views whose camera is higher than this; the published filter is -0.5."""

    held_out: Literal["first10", "tenth", "fifth", "every5", "none"] = "first10"
    """Views of each object kept from training: the first 10, the first tenth, the first fifth, every fifth, or none."""

    skip_bad: bool = False
    """Leave objects out that cannot be read, and say how many, instead of stopping at them."""

    rays: int | None = None
    """Rays that an object is learned from (voxel). More take longer and give a better object."""

    steps: tuple[int, int] | None = None
    """Steps of learning what is shared: from latents or colours, then through the autoencoder (all but voxel)."""

    added_steps: tuple[int, int] | None = None
    """Steps of adding an object: from latents or colours, then through the autoencoder (all but voxel)."""

    side: int | None = None
    """Texels of a plane's side (all but voxel)."""

    autoencoder: Path | None = None
    """A folder with a diffusers autoencoder (Stable Diffusion's or TAESD) to use instead of our own."""

    cache: Path | None = None
    """Where the photos are packed once, to be mapped from then on. Default: beside the run."""

    device: str = "auto"
    """Where tri-planes learn: auto (the first that is there of CUDA, MPS, CPU), cpu, cuda, cuda:1 or mps. Voxels learn
    on the CPU."""

    minutes: float | None = None
    """Stop after so long, saving; --resume goes on."""

    resume: bool = False
    """Go on with the run in --out."""

    seed: int = 0
    """Of everything random."""

    also: Mirror = "none"
    """Show the figures of training in TensorBoard, or on Weights & Biases, too."""

    quiet: bool = False
    """Say nothing but the result."""


@dataclass(frozen=True)
class LatentsExploitOptions:
    """Add new objects to what was learned; what is shared, and every object from before, stays as it is."""

    run: tyro.conf.Positional[Path]
    """A run of latents train."""

    data: tyro.conf.Positional[Path]
    """Folders of objects in the SRN layout, none of which the run has learned from."""

    out: Path | None = None
    """A run folder for the new objects alone. Default: they are added to RUN itself."""

    objects: str | None = None
    """Which objects, in order of name: 40 (the first 40), or 500:540. Default: all."""

    rays: int | None = None
    """Rays that an object is learned from (voxel). Default: as in training."""

    added_steps: tuple[int, int] | None = None
    """Steps of adding an object (all but voxel). Default: as in training."""

    tune: Literal["planes", "field", "decoder"] | None = None
    """What an object gets of its own (all but voxel): planes; a small network too; or a decoder as well."""

    replace: bool = False
    """Add objects anew that are there already, instead of passing them over."""

    skip_bad: bool = False
    """Leave objects out that cannot be read, and say how many, instead of stopping at them."""

    cache: Path | None = None
    """Where the photos are packed once, to be mapped from then on. Default: beside the run."""

    device: str = "auto"
    """Where tri-planes learn: auto, cpu, cuda, cuda:1 or mps. Voxels learn on the CPU."""

    minutes: float | None = None
    """Stop after so long; the same command goes on."""

    quiet: bool = False
    """Say nothing but the result."""
