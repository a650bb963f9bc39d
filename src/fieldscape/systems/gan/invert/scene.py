"""The scene of an inverted photo: written into a run folder, and rebuilt from it alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import cameras
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.resuming import prefixed, under
from fieldscape.scenes import Scene, SceneFiles, write_scene
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.generators import Generator
from fieldscape.systems.gan.invert.fit import Inverted
from fieldscape.systems.gan.invert.search import single
from fieldscape.systems.gan.measure import sampling
from fieldscape.systems.gan.picture import draw, pixel_centers
from fieldscape.systems.gan.scene import read_generator
from fieldscape.types import Camera, Rendered
from fieldscape.volume import join

KIND = "inversion"
PIXELS_AT_ONCE = 16_384

Draw = Callable[[Camera, Mapping[str, float]], Rendered]


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
    """The Scene of what ``write`` wrote; it is drawn on the CPU. Raises BadInput where the files do not fit."""
    made = dataclasses.replace(
        files, tensors=under("generator", files.tensors), details={**files.details, "kind": "generator"}
    )
    generator, config = read_generator(made)
    try:
        drawn = drawing(generator, files.tensors["code"], config)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        raise BadInput(f"the scene's code does not fit its generator ({error}): invert the photo again") from error
    return Scene("gan", drawn, files.start, files.cameras, files.framing)


@torch.no_grad()
def drawing(generator: Generator, code: Float[Tensor, "1 *l w"], config: GanConfig) -> Draw:
    """How the scene draws, for any camera: its field is made once."""
    field, where = generator.field(code), sampling(config, config.size)

    @torch.no_grad()
    def drawn(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        one = single(camera.to("cpu"))
        pixels = pixel_centers(camera.width, camera.height)
        parts = [draw(field, one, where, pixels=some) for some in pixels.split(PIXELS_AT_ONCE)]
        whole = [part.map(lambda tensor: tensor[0]) for part in parts]
        return join(whole, (camera.height, camera.width))

    return drawn
