"""From a trained generator to a Scene in the run folder, and back: its number is a control."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fieldscape.configs import load_config
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.scenes import Control, Scene, SceneFiles, read_scene, write_scene
from fieldscape.systems.gan.config import GanConfig, require_sane
from fieldscape.systems.gan.generators import Generator, generator_of
from fieldscape.systems.gan.measure import latents, sampling, view
from fieldscape.systems.gan.picture import draw, pixel_centers
from fieldscape.systems.gan.players import prior_of
from fieldscape.systems.gan.poses import GivenPoses, Prior
from fieldscape.types import Camera, Rendered
from fieldscape.volume import join

SCENES = 9999
"""The largest number of a scene; each number is another latent."""
PIXELS_AT_ONCE = 16_384
"""Of a picture of any size: what a field is asked for at a time."""

Draw = Callable[[Camera, Mapping[str, float]], Rendered]


def write(folder: Path, generator: Generator, config: GanConfig, prior: Prior) -> None:
    """Write the scenes of ``generator`` into a run folder. Raises BadInput if it cannot be written."""
    start = view(prior, 1, config.size)
    low, high = generator.low, generator.high
    cameras, _ = prior.draw(16, config.size, torch.Generator().manual_seed(0))
    # The frames of priors have y down; that of given poses is the data's own, and their cameras stand upright in it.
    up = -cameras.pose[:, :3, 1].mean(0) if isinstance(prior, GivenPoses) else torch.tensor([0.0, -1.0, 0.0])
    framing = Framing((low + high) / 2, low, high, config.near, config.far, normalize(up, dim=0), unbounded=False)
    details = {"kind": "generator", "config": dataclasses.asdict(config)}
    write_scene(folder, "gan", generator.state_dict(), details, cameras, start[0], framing)


def rebuild(files: SceneFiles, device: torch.device) -> Scene:
    """The Scene of what ``write`` wrote. Raises BadInput where the files do not fit each other."""
    generator, config = read_generator(files)
    generator.to(device)

    def look(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        z = latents(round(controls["scene"]), 1, config.latent)
        return drawing(generator, generator.mapping(z.to(device)), config)(camera, controls)

    control = Control("scene", 0, SCENES, 0, "which of the scenes: each number is another")
    return Scene("gan", look, files.start, files.cameras, files.framing, (control,))


@torch.no_grad()
def drawing(generator: Generator, code: Float[Tensor, "1 *l w"], config: GanConfig) -> Draw:
    """How the scene of a code draws, for any camera: its field is made once, where the generator is."""
    field, where, device = generator.field(code), sampling(config, config.size), generator.low.device

    @torch.no_grad()
    def drawn(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        one = camera.to(device).map(lambda tensor: tensor[None])
        pixels = pixel_centers(camera.width, camera.height).to(device)
        parts = [draw(field, one, where, pixels=some) for some in pixels.split(PIXELS_AT_ONCE)]
        whole = [part.map(lambda tensor: tensor[0].cpu()) for part in parts]
        return join(whole, (camera.height, camera.width))

    return drawn


def read_generator(files: SceneFiles) -> tuple[Generator, GanConfig]:
    """The generator itself. Raises BadInput where the files do not fit each other, or hold something else."""
    if files.details.get("kind") != "generator":
        raise BadInput("this run holds a scene of one photo, not a generator of scenes")
    try:
        config = load_config(GanConfig, files.details["config"], "scene.json: config")
        require_sane(config)
        low, high = files.tensors["low"], files.tensors["high"]
        generator = generator_of(config, low, high, files.tensors.get("inside"))
        generator.load_state_dict(files.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"the scene's description and its tensors do not fit ({error}): train again") from error
    generator.eval().requires_grad_(False)
    return generator, config


def read_run(folder: Path) -> tuple[Generator, GanConfig, Prior]:
    """The generator of a run folder, and where its cameras stand: given ones are those that its scene holds.

    Raises BadInput for a folder that holds no generator.
    """
    files = read_scene(folder)
    if files.system != "gan":
        raise BadInput(f"{folder} is a run of the system {files.system!r}: give a run of gan train.")
    if files.details.get("kind") != "generator":
        raise BadInput(f"{folder} holds a scene of one photo, not a generator: give a run of gan train.")
    generator, config = read_generator(files)
    given = None
    if config.prior == "given":
        given = GivenPoses(files.cameras.pose, files.cameras.focal[:, 0] / files.cameras.width)
    return generator, config, prior_of(config, given)
