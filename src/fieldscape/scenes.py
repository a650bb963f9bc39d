"""Scene: what every trained system becomes, and all that the command line, the viewer and the exporters know.

A scene renders from any camera, has a place to start looking from, and names what can be changed about it (a time, a
latent code, an object's number). It is rebuilt from its run folder alone:

    scene.safetensors   the tensors, those of the cameras among them
    scene.json          format, system, cameras' lens and size, framing, controls, and what the system adds
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import read_json, reason, write_atomic, write_json
from fieldscape.framing import Framing
from fieldscape.types import LENS_COEFFICIENTS, Camera, Rendered, Views

FORMAT = 1
"""The number of the layout of scene.json; it grows when an older fieldscape could not read it."""


@dataclass(frozen=True)
class Control:
    """A number that changes what a scene shows, between ``low`` and ``high``."""

    name: str
    low: float
    high: float
    default: float
    meaning: str


@dataclass(frozen=True)
class Way:
    """A camera's way through a scene that knows it. cameras: of each frame.  controls: their values, a list of as many.

    note: what the user should know, such as that it was kept to where the scene can be seen from.
    """

    cameras: Camera
    controls: Mapping[str, list[float]]
    note: str | None = None


@dataclass(frozen=True)
class Scene:
    """A scene to look at. cameras: those of the photos it was made from, single views to start from and return to.

    mended: the poses of all photos of its data [v, 4, 4], where training found them better than the data did.
    ways: camera paths of its own by name, the usual one first, each made for a number of frames and a strength.
    """

    system: str
    draw: Callable[[Camera, Mapping[str, float]], Rendered]
    start: Camera
    cameras: Camera
    framing: Framing
    controls: tuple[Control, ...] = ()
    mended: Tensor | None = None
    ways: Mapping[str, Callable[[int, float], Way]] = field(default_factory=dict)

    def render(self, camera: Camera, **controls: float) -> Rendered:
        """What ``camera`` (a single one) sees: colour, depth and alpha with leading dims [height, width], on the CPU.

        Raises BadInput for a control that the scene does not have, or a value outside its range.
        """
        return self.draw(camera, {control.name: control.default for control in with_controls(self, controls).controls})


def with_controls(scene: Scene, values: Mapping[str, float]) -> Scene:
    """The same scene with other defaults of its controls.

    Raises BadInput for a control that the scene does not have, or a value outside its range.
    """
    known = {control.name: control for control in scene.controls}
    for name, value in values.items():
        if name not in known:
            there = ", ".join(known) or "none"
            raise BadInput(f"this scene has no control {name!r}; it has {there}")
        if not known[name].low <= value <= known[name].high:
            span = f"{known[name].low:g} to {known[name].high:g}"
            raise BadInput(f"{name} goes from {span} in this scene, not to {value:g}")
    return replace(scene, controls=tuple(replace(c, default=values.get(c.name, c.default)) for c in scene.controls))


def with_mended_poses(views: Views, scene: Scene) -> Views:
    """The views that ``scene`` was made from, with the poses that it has found for them, if any."""
    if scene.mended is None or len(scene.mended) != len(views):
        return views
    split = f"{views.split}; poses of all photos, held-out ones too, fitted to the scene"
    return replace(views, camera=replace(views.camera, pose=scene.mended), split=split)


def write_scene(
    folder: Path,
    system: str,
    tensors: Mapping[str, Tensor],
    details: Mapping[str, Any],
    cameras: Camera,
    start: Camera,
    framing: Framing,
) -> None:
    """Write ``scene.safetensors`` and ``scene.json`` into a run folder. ``details`` is the system's own, as JSON.

    Raises BadInput if it cannot be written.
    """
    held = {f"scene.{name}": tensor for name, tensor in tensors.items()}
    held |= _camera_tensors("cameras", cameras) | _camera_tensors("start", start)
    held |= {f"framing.{name}": getattr(framing, name) for name in ("center", "low", "high", "up")}
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in held.items()}  # none may share memory
    write_atomic(folder / "scene.safetensors", lambda file: file.write(safetensors.torch.save(flat)))
    described = {
        name: {"width": c.width, "height": c.height, "lens": c.lens}
        for name, c in (("cameras", cameras), ("start", start))
    }
    bounds = {"near": framing.near, "far": framing.far, "unbounded": framing.unbounded}
    record = {"format": FORMAT, "system": system, "framing": bounds, **described, "details": dict(details)}
    write_json(folder / "scene.json", record)


@dataclass(frozen=True)
class SceneFiles:
    """What ``write_scene`` wrote, read back; the system named makes a Scene of it."""

    system: str
    tensors: dict[str, Tensor]
    details: dict[str, Any]
    cameras: Camera
    start: Camera
    framing: Framing


def read_scene(folder: Path) -> SceneFiles:
    """The scene files of a run folder.

    Raises BadInput: there are none (training has not got that far), they are damaged, or of a newer format.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no run folder {folder}.")
    if not (folder / "scene.json").exists():
        raise BadInput(f"{folder} holds no scene: it is not a run, or its training has not finished. Use --resume.")
    record = read_json(folder / "scene.json")
    version = record.get("format") if isinstance(record, dict) else None
    if type(version) is int and version > FORMAT:
        newer = f"format {version}; this one reads up to {FORMAT}"
        raise BadInput(f"{folder}: the scene was made by a newer fieldscape ({newer}): upgrade fieldscape.")
    try:
        tensors = safetensors.torch.load_file(folder / "scene.safetensors")
    except (OSError, safetensors.SafetensorError) as error:
        raise BadInput(f"Cannot read {folder / 'scene.safetensors'}: {reason(error)}. Fit again.") from error
    try:
        bounds = record["framing"]
        framing = Framing(
            tensors["framing.center"],
            tensors["framing.low"],
            tensors["framing.high"],
            near=float(bounds["near"]),
            far=float(bounds["far"]),
            up=tensors["framing.up"],
            unbounded=bool(bounds["unbounded"]),
        )
        return SceneFiles(
            str(record["system"]),
            {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("scene.")},
            dict(record["details"]),
            _read_camera("cameras", record, tensors),
            _read_camera("start", record, tensors),
            framing,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{folder / 'scene.json'} is damaged ({error}). Fit again.") from error


def _camera_tensors(name: str, camera: Camera) -> dict[str, Tensor]:
    tensors = {f"{name}.pose": camera.pose, f"{name}.focal": camera.focal, f"{name}.center": camera.center}
    if camera.distortion is not None:
        tensors[f"{name}.distortion"] = camera.distortion
    return tensors


def _read_camera(name: str, record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Camera:
    described = record[name]
    if described["lens"] not in LENS_COEFFICIENTS:
        raise ValueError(f"unknown lens {described['lens']!r}")
    return Camera(
        tensors[f"{name}.pose"],
        tensors[f"{name}.focal"],
        tensors[f"{name}.center"],
        int(described["width"]),
        int(described["height"]),
        described["lens"],
        tensors.get(f"{name}.distortion"),
    )


def typical_view(cameras: Camera, framing: Framing) -> Camera:
    """The camera of the most usual height over, and distance from, the scene's centre: a fair place to start from."""
    away = cameras.position - framing.center
    height, distance = away @ framing.up, away.norm(dim=-1)
    odd = (height - height.median()).abs() + (distance - distance.median()).abs()
    return cameras[int(torch.argmin(odd))]
