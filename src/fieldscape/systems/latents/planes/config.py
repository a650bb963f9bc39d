"""What decides how objects become tri-planes; saved with the run. ``PRESETS`` names the published ways and ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fieldscape.errors import BadInput


@dataclass(frozen=True)
class AutoencoderConfig:
    """The latent space."""

    factor: Literal[2, 4, 8] = 4
    """Pixels of a patch's side: one latent stands for so many squared."""

    channels: int = 16
    """Numbers of a latent."""

    hidden: int = 64
    """Channels of the convolutions beside the linear part; 0: there are none."""

    steps: int = 600
    """Batches of pictures that it learns from before any scene does."""

    source: str = "own"
    """Where it comes from: our own, or a folder that holds a ``diffusers`` autoencoder (AutoencoderKL or TAESD)."""


@dataclass(frozen=True)
class PlanesConfig:
    """Scenes as tri-planes, and how they are learned."""

    space: Literal["latent", "rgb"] = "latent"
    """What planes hold: latents of an autoencoder, or colours."""

    autoencoder: AutoencoderConfig = AutoencoderConfig()

    planes: Literal["fixed", "legacy"] = "fixed"
    """fixed: xy, xz, yz.  legacy: xy, xz, zx, as the published code has it; only to compare with."""

    sharing: Literal["micro+macro", "sum", "micro", "macro"] = "micro+macro"
    """Planes of a scene's own beside shared ones, or added to them, or only one of the two."""

    side: int = 32
    """Texels of a plane's side."""

    own: int = 8
    """Features of a scene's own planes."""

    common: int = 16
    """Features of the shared planes."""

    bases: int = 12
    """Sets of shared planes, which every scene mixes in its own way."""

    hidden: int = 64
    """Width of the network that makes colour and density of features."""

    box: Literal["tight", "unit"] = "tight"
    """The box of the planes: of the objects of the class, or -1..1 and rays from 0.5 to 2.1, as published."""

    skip: bool = True
    """Whether points outside all objects of the class are passed over."""

    samples: tuple[int, int] = (32, 0)
    """Points along a ray: evenly spaced, and as many more where those found something."""

    phases: int = 2
    """Places of the grid of patches on the pixels, along each side: one at random is learned from at a time through
    the autoencoder, and the mean over all is drawn. Where an edge falls in its patch is nothing that a scene holds;
    the mean over several places is less wrong than the answer of one."""

    rays: int = 1024
    """Rays of a step that learns from latents, or colours, of single places."""

    pictures: int = 4
    """Whole pictures of a step that learns through the autoencoder."""

    scenes: int = 8
    """Scenes of a step, while what is shared is learned."""

    shared_steps: tuple[int, int] = (1500, 2000)
    """Steps of learning what is shared: from latents (1a), then through the autoencoder (1b)."""

    added_steps: tuple[int, int] = (30, 100)
    """Steps of adding one object: from latents or colours (2a), then through the autoencoder (2b)."""

    rate: float = 2e-2
    """Step size of planes; it falls to a tenth over each stage."""

    network_rate: float = 2e-3
    """Step size of the small network and the decoder while these learn too; from latents alone the network takes half
    of ``rate``."""

    encoder_rate: float = 5e-4
    """Step size of the encoder, which says what scenes shall be, while it learns with them. At 2e-3 one of three seeds
    ran away late in its training; a decoder as slow as that costs half a decibel."""

    smooth: float = 1e-2
    """Weight of the mean squared difference between neighbouring texels."""

    optimiser: Literal["row", "dense"] = "row"
    """What steps scenes: only those of a batch, or all of them, as published."""

    start: Literal["quiet", "published"] = "quiet"
    """How loud planes are at the start; published: N(0, 1) throughout."""

    tunes: Literal["planes", "field", "decoder"] = "planes"
    """What an added object has of its own: planes, the small network too, or the autoencoder's decoder as well."""

    stored: Literal["fp32", "fp16", "int8"] = "fp16"
    """How planes are stored."""


FUSED = PlanesConfig()
RGB = PlanesConfig(
    space="rgb", sharing="micro", own=16, shared_steps=(0, 0), added_steps=(200, 0), rays=512, rate=8e-2, tunes="field"
)
PUBLISHED = PlanesConfig(
    phases=1, planes="legacy", box="unit", skip=False, samples=(48, 48), optimiser="dense", start="published",
    rate=1e-2, network_rate=1e-3, encoder_rate=1e-4, smooth=1e-4, own=10, common=22, bases=50, stored="fp32",
)  # fmt: skip

PRESETS: dict[str, PlanesConfig] = {
    "latent": FUSED,
    "3da-ae": PUBLISHED,
    "fused": replace(PUBLISHED, start="quiet"),
    "ulw": replace(FUSED, sharing="macro", common=24, bases=50),
    "micro": replace(FUSED, sharing="micro", own=24),
    "rgb": RGB,
    "rgb-legacy": replace(RGB, planes="legacy"),
    "rgb-shared": replace(FUSED, space="rgb", shared_steps=(1500, 0), added_steps=(100, 0), rate=3e-2),
}
"""By name: ours; as published (with small pictures); Fused-Planes' own start; shared planes alone ("ultra light");
a scene's own planes alone; RGB tri-planes, each object alone with a network of its own; those with the published
layout; and RGB tri-planes that share as ours do."""


def require_sound(config: PlanesConfig) -> None:
    """Raises BadInput for numbers that no scene can be made with."""
    faults = [
        (config.side < 2 or config.side > 1024, "side must lie between 2 and 1024"),
        (config.sharing != "macro" and config.own < 1, "own must be at least 1"),
        (config.sharing != "micro" and (config.common < 1 or config.bases < 1), "common and bases must be at least 1"),
        (config.sharing == "sum" and config.own != config.common, "sharing sum needs own and common to be equal"),
        (config.samples[0] < 2 or config.samples[1] < 0, "samples must be at least 2 and 0"),
        (min(config.hidden, config.phases, config.rays, config.pictures, config.scenes) < 1,
         "hidden, phases, rays, pictures and scenes must be at least 1"),
        (min(*config.shared_steps, *config.added_steps, config.autoencoder.steps) < 0, "steps cannot be negative"),
        (not (min(config.rate, config.network_rate, config.encoder_rate) > 0 and config.smooth >= 0),
         "rates must be positive"),
        (config.autoencoder.channels < 1 or config.autoencoder.hidden < 0, "an autoencoder needs channels"),
        (config.space == "rgb" and (config.shared_steps[1] or config.added_steps[1]),
         "colours are learned without an autoencoder: the second number of shared_steps and added_steps must be 0"),
        (config.space == "rgb" and config.tunes == "decoder", "colours have no decoder to tune"),
        (config.phases > config.autoencoder.factor, "phases cannot be more than the pixels of a patch's side"),
        (config.sharing != "micro" and not any(config.shared_steps), "shared planes need shared_steps to be learned"),
    ]  # fmt: skip
    for wrong, said in faults:
        if wrong:
            raise BadInput(f"The options of tri-planes do not go together: {said}.")
