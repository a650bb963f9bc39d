"""From a trained generator to a Scene in the run folder, and back: its number is a control."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

from fieldscape.configs import load_config
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.scenes import Control, Scene, SceneFiles, read_scene, write_scene
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.generators import Generator, generator_of
from fieldscape.systems.gan.measure import latents, sampling, view
from fieldscape.systems.gan.picture import draw
from fieldscape.systems.gan.players import prior_of
from fieldscape.systems.gan.poses import GivenPoses, Prior
from fieldscape.types import Camera, Rendered

SCENES = 9999
"""The largest number of a scene; each number is another latent."""


def write(folder: Path, generator: Generator, config: GanConfig, prior: Prior) -> None:
    """Write the scenes of ``generator`` into a run folder. Raises BadInput if it cannot be written."""
    start = view(prior, 1, config.size)
    low, high = generator.low, generator.high
    up = torch.tensor([0.0, -1.0, 0.0])
    framing = Framing((low + high) / 2, low, high, config.near, config.far, up, unbounded=False)
    cameras, _ = prior.draw(16, config.size, torch.Generator().manual_seed(0))
    details = {"kind": "generator", "config": dataclasses.asdict(config)}
    write_scene(folder, "gan", generator.state_dict(), details, cameras, start[0], framing)


def rebuild(files: SceneFiles, device: torch.device) -> Scene:
    """The Scene of what ``write`` wrote. Raises BadInput where the files do not fit each other."""
    generator, config = read_generator(files)
    where = sampling(config, config.size)

    def look(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        field = generator.field(generator.mapping(latents(round(controls["scene"]), 1, config.latent)))
        one = draw(field, camera.map(lambda tensor: tensor[None]), where)
        return one.map(lambda tensor: tensor[0].reshape(camera.height, camera.width, -1))

    control = Control("scene", 0, SCENES, 0, "which of the scenes: each number is another")
    return Scene("gan", look, files.start, files.cameras, files.framing, (control,))


def read_generator(files: SceneFiles) -> tuple[Generator, GanConfig]:
    """The generator itself. Raises BadInput where the files do not fit each other, or hold something else."""
    if files.details.get("kind") != "generator":
        raise BadInput("this run holds a scene of one photo, not a generator of scenes")
    try:
        config = load_config(GanConfig, files.details["config"], "scene.json: config")
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
