"""The scene of an inverted photo: written into a run folder, and rebuilt from it alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from fieldscape import cameras
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.resuming import prefixed, under
from fieldscape.scenes import Scene, SceneFiles, write_scene
from fieldscape.systems.gan.invert.fit import Inverted
from fieldscape.systems.gan.scene import drawing, read_generator
from fieldscape.types import Camera

KIND = "inversion"


def write(folder: Path, inverted: Inverted, around: Camera, width: int) -> None:
    """Write the scene into a run folder; it starts where the photo was taken. Raises BadInput if it cannot.

    around: cameras to look about from.  width: of the pictures that it starts with.
    """
    generator, config = inverted.generator, inverted.config
    start = cameras.resize(inverted.camera, width, width)
    center = start.position + inverted.pivot * start.forward
    low, high = generator.low, generator.high
    framing = Framing(center, low, high, config.near, config.far, -inverted.down, unbounded=True)
    tensors = prefixed("generator", generator.state_dict()) | {"code": inverted.code}
    details = {"kind": KIND, "config": dataclasses.asdict(config)}
    write_scene(folder, "gan", tensors, details, cameras.resize(around, width, width), start, framing)


def rebuild(files: SceneFiles, device: torch.device) -> Scene:
    """The Scene of what ``write`` wrote. Raises BadInput where the files do not fit."""
    made = dataclasses.replace(
        files, tensors=under("generator", files.tensors), details={**files.details, "kind": "generator"}
    )
    generator, config = read_generator(made)
    generator.to(device)
    try:
        drawn = drawing(generator, files.tensors["code"].to(device), config)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        raise BadInput(f"the scene's code does not fit its generator ({error}): invert the photo again") from error
    return Scene("gan", drawn, files.start, files.cameras, files.framing)
