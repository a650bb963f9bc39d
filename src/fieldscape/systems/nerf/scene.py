"""From a fitted radiance field to a Scene in the run folder, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from fieldscape.cameras import image_rays
from fieldscape.configs import load_config
from fieldscape.errors import BadInput
from fieldscape.framing import frame
from fieldscape.scenes import Scene, SceneFiles, typical_view, write_scene
from fieldscape.systems.nerf.config import MlpConfig, VoxelConfig
from fieldscape.systems.nerf.mlp import NerfMlp, Placement, render_picture
from fieldscape.systems.nerf.train_mlp import FittedMlp
from fieldscape.systems.nerf.train_voxels import FittedVoxels
from fieldscape.types import Camera, Rendered, Views
from fieldscape.voxels.bricks import Bricks, Workers, from_dense
from fieldscape.voxels.field import VoxelField, picture

Draw = Callable[[Camera, Mapping[str, float]], Rendered]


def write(folder: Path, fitted: FittedMlp | FittedVoxels, config: MlpConfig | VoxelConfig, views: Views) -> None:
    """Write the scene of ``fitted``, with the cameras of ``views`` to return to. Raises BadInput if it cannot."""
    details: dict[str, object] = {"background": views.background}
    camera = views.camera
    if isinstance(fitted, FittedVoxels) and isinstance(config, VoxelConfig):
        field, framing, camera = fitted.field, fitted.framing, fitted.cameras
        kind = "bricks" if isinstance(field, Bricks) else "voxels"
        details |= {"field": kind, "shape": field.shape, "channels": field.channels, "step": config.step}
        tensors = field.tensors() if isinstance(field, Bricks) else field.state_dict()
        if config.refine_poses:
            tensors["mended"] = camera.pose
    elif isinstance(fitted, FittedMlp):
        framing = frame(views)
        details |= {
            "field": "mlp",
            "config": dataclasses.asdict(config),
            "placement": dataclasses.asdict(fitted.model.placement),
        }
        tensors = fitted.model.state_dict()
    else:
        raise TypeError("a voxel field goes with a VoxelConfig")
    cameras = camera[torch.tensor(views.train)]
    write_scene(folder, "nerf", tensors, details, cameras, typical_view(cameras, framing), framing)


def rebuild(files: SceneFiles, device: torch.device) -> Scene:
    """The Scene of what ``write`` wrote. Raises BadInput where the files do not fit each other."""
    behind, mended = files.details.get("background"), files.tensors.pop("mended", None)
    try:
        if files.details["field"] in ("bricks", "voxels"):
            draw = _voxels(files, device, behind)
        else:
            draw = _mlp(files, device, behind)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"the scene's description and its tensors do not fit each other ({error}): fit again") from error
    return Scene("nerf", draw, files.start, files.cameras, files.framing, mended=mended)


def _voxels(files: SceneFiles, device: torch.device, behind: list[float] | None) -> Draw:
    """Kernels draw fields of three channels on a CPU, torch all others; either kind is read from either file."""
    x, y, z = (int(n) for n in files.details["shape"])
    channels, step = int(files.details["channels"]), float(files.details["step"])
    framing = files.framing
    background = None if behind is None else torch.tensor([*behind, *[0.0] * (channels - 3)])
    workers = Workers(torch.get_num_threads())
    if files.details["field"] == "bricks":
        bricks = Bricks(framing, (x, y, z), np.zeros((x - 1, y - 1, z - 1), bool), step, workers)
        bricks.load(files.tensors)
        field = None if device.type == "cpu" else bricks.dense()
    else:
        field = VoxelField(framing.low, framing.high, (x, y, z), framing.unbounded, channels)
        field.load_state_dict(files.tensors)
        if device.type == "cpu" and channels == 3:
            bricks, field = from_dense(field, framing, step, workers), None

    if field is None:

        def draw(camera: Camera, controls: Mapping[str, float]) -> Rendered:
            return bricks.picture(camera, background)

        return draw

    there, before = field.to(device), None if background is None else background.to(device)
    around = framing.to(device)

    def draw_there(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        return picture(there, image_rays(camera.to(device)), around, before, step).map(torch.Tensor.cpu)

    return draw_there


def _mlp(files: SceneFiles, device: torch.device, behind: list[float] | None) -> Draw:
    config = load_config(MlpConfig, files.details["config"], "scene.json: config")
    placement = load_config(Placement, files.details["placement"], "scene.json: placement")
    model = NerfMlp(config, placement)
    model.load_state_dict(files.tensors)
    model = model.to(device).eval()
    background = None if behind is None else torch.tensor(behind, device=device)

    def draw(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        return render_picture(model, image_rays(camera.to(device)), background).map(torch.Tensor.cpu)

    return draw
