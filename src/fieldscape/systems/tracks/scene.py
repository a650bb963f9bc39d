"""A fitted clip as a Scene: everything that its pictures are made of goes into the run folder, and comes back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from fieldscape.cameras import mean_up
from fieldscape.configs import load_config
from fieldscape.errors import BadInput
from fieldscape.files import jsonable
from fieldscape.framing import Framing
from fieldscape.resuming import prefixed, under
from fieldscape.scenes import Control, Scene, SceneFiles, Way, write_scene
from fieldscape.systems.tracks.config import SYSTEM, RefineSettings, TracksConfig
from fieldscape.systems.tracks.footage import Footage, footage_of
from fieldscape.systems.tracks.nouns import Clip, Kind, Points, Tracked
from fieldscape.systems.tracks.presets import Parts, parts_of
from fieldscape.systems.tracks.reach import arc_limit, center_of_interest
from fieldscape.systems.tracks.refining import Moves
from fieldscape.systems.tracks.sheets import Sheet
from fieldscape.systems.tracks.ways import WAYS, way_of
from fieldscape.types import Camera, Rendered

SHEET = ("points", "added", "follows", "uv", "faces", "far")
"""The tensors of a sheet, in files one behind the other for all sheets."""


def write(folder: Path, footage: Footage, parts: Parts, config: TracksConfig) -> None:
    """Write the scene into a run folder. Raises BadInput if it cannot be written."""
    tracked = footage.tracked
    clip, points = tracked.clip, tracked.points
    tensors = {"frames": clip.frames, "seconds": clip.seconds, "world": tracked.world, "deep": tracked.deep}
    if clip.layers is not None:
        tensors["layers"] = clip.layers
    for name in ("places", "seen", "sure", "layer"):
        tensors[f"points.{name}"] = getattr(points, name)
    for name in ("pose", "focal", "center"):
        tensors[f"camera.{name}"] = getattr(tracked.camera, name)
    tensors |= prefixed("sheets", packed(footage.sheets))
    for name, module in parts.modules.items():
        if not isinstance(module, Moves):
            tensors |= prefixed(f"modules.{name}", module.state_dict())
    framing = framing_of(tracked)
    center = center_of_interest(tracked)
    details = {
        "kind": tracked.kind,
        "config": jsonable(dataclasses.asdict(config)),
        "name": clip.name,
        "numbers": list(clip.numbers),
        "notes": list(tracked.notes),
        "reach": math.degrees(arc_limit(tracked)),
        "center": [float(x) for x in center],
        "seconds": float(clip.seconds[-1]),
    }
    cameras = tracked.camera.map(lambda x: x.float())
    write_scene(folder, SYSTEM, tensors, details, cameras, cameras[len(clip) // 2], framing)


def framing_of(tracked: Tracked) -> Framing:
    """The core of the scene: what the clip looks at, and what lies around it within half its distance."""
    center = center_of_interest(tracked).float()
    position = tracked.camera.position.float()
    distance = float((position - center).norm(dim=-1).median())
    half = max(0.5 * distance, 1e-6)
    still = tracked.points.layer == 0
    away = (tracked.world[:, still].float() - position[:, None]).norm(dim=-1) if bool(still.any()) else None
    near, far = 0.05 * distance, 100 * distance
    if away is not None:
        near = 0.5 * float(away.min())
        far = max(2 * float(away.median(0).values.max()), 10 * near)
    up = mean_up(tracked.camera.map(lambda x: x.float()))
    return Framing(center, center - half, center + half, max(near, 1e-6), far, up, unbounded=True)


def rebuild(files: SceneFiles, device: torch.device) -> Scene:
    """The Scene of what ``write`` wrote. Raises BadInput where its parts do not fit each other."""
    try:
        footage, config = read_footage(files)
        # Points and cameras were written as refined: they are not moved again.
        parts = parts_of(footage, dataclasses.replace(config, refine=RefineSettings()), 0, device)
        for name, module in parts.modules.items():
            module.load_state_dict(under(f"modules.{name}", files.tensors))
    except (KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
        raise BadInput(f"The scene of this run of tracks is damaged ({error}). Fit again.") from error
    return scene_of(footage, parts, files)


def scene_of(footage: Footage, parts: Parts, files: SceneFiles) -> Scene:
    """The Scene that the parts draw."""
    last = float(footage.tracked.clip.seconds[-1])

    def look(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        return parts.look(camera, controls["time"])

    middle = float(footage.tracked.clip.seconds[len(footage.tracked.clip) // 2])
    controls = (Control("time", 0.0, last, middle, "seconds from the clip's first frame; fractions between frames"),)
    ways = ways_of(footage.tracked, files.framing)
    return Scene(SYSTEM, look, files.start, files.cameras, files.framing, controls, ways=ways)


def ways_of(tracked: Tracked, framing: Framing) -> dict[str, Callable[[int, float], Way]]:
    """The camera paths of a clip, by name, the clip's own way first."""
    limit, last = arc_limit(tracked), float(tracked.clip.seconds[-1])

    def made(name: str, frames: int, strength: float) -> Way:
        cameras, moments, held = way_of(
            name, tracked.camera, tracked.clip.seconds.tolist(), framing.center, framing.up, limit, frames, strength
        )
        note = f"The way {name} was kept within {_supported(name, limit)}." if held else None
        times = [min(max(float(when), 0.0), last) for when in moments]
        return Way(cameras.map(lambda x: x.float()), {"time": times}, note)

    return {name: partial(made, name) for name in WAYS}


def _supported(name: str, limit: float) -> str:
    """What a clip supports of a way, in words."""
    if name == "stabilise":
        return "what the clip's pictures cover: it is smoothed less than asked for"
    return (
        f"what the clip supports: {math.degrees(limit):.1f} degrees about what it looks at, forth and back in measure"
    )


def read_footage(files: SceneFiles) -> tuple[Footage, TracksConfig]:
    """What the scene's pictures are made of. Raises KeyError, ValueError or BadInput where something is missing."""
    tensors, details = files.tensors, files.details
    config = load_config(TracksConfig, details["config"], "scene.json: details: config")
    kind: Kind = details["kind"]
    if kind not in get_args(Kind):
        raise ValueError(f"unknown kind {kind!r}")
    clip = Clip(
        tensors["frames"],
        tensors["seconds"],
        tensors.get("layers"),
        tuple(int(number) for number in details["numbers"]),
        str(details["name"]),
    )
    wide, high = clip.size
    camera = Camera(tensors["camera.pose"], tensors["camera.focal"], tensors["camera.center"], wide, high)
    points = Points(*(tensors[f"points.{name}"] for name in ("places", "seen", "sure", "layer")))
    notes = tuple(str(note) for note in details["notes"])
    tracked = Tracked(clip, None, points, camera, kind, tensors["world"], tensors["deep"], notes)
    return footage_of(tracked, unpacked(under("sheets", tensors), len(clip))), config


def packed(sheets: tuple[tuple[Sheet, ...], ...]) -> dict[str, Tensor]:
    """All sheets as one tensor of each kind, and ``which`` [sheets, 2 + kinds]: frame, layer, and how long each is."""
    flat = [sheet for of_frame in sheets for sheet in of_frame]
    lengths = [[sheet.frame, sheet.layer, *(len(getattr(sheet, name)) for name in SHEET)] for sheet in flat]
    empty = Sheet(
        0, 0, torch.zeros(0, dtype=torch.long), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), torch.zeros(0, 2),
        torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, dtype=torch.bool),
    )  # fmt: skip
    held = {name: torch.cat([getattr(sheet, name) for sheet in flat or [empty]]) for name in SHEET}
    return held | {"which": torch.tensor(lengths, dtype=torch.long).reshape(-1, 2 + len(SHEET))}


def unpacked(tensors: Mapping[str, Tensor], frames: int) -> tuple[tuple[Sheet, ...], ...]:
    """The sheets of each frame from what ``packed`` made. Raises ValueError where the numbers make no sense."""
    which = tensors["which"]
    sheets: list[list[Sheet]] = [[] for _ in range(frames)]
    if bool((which < 0).any()) or (len(which) and int(which[:, 0].max()) >= frames):
        raise ValueError("sheets of frames that do not exist")
    parts = [tensors[name].split(which[:, 2 + k].tolist()) for k, name in enumerate(SHEET)]
    for row, points, added, follows, uv, faces, far in zip(which.tolist(), *parts):
        sheets[row[0]].append(Sheet(row[0], row[1], points, added, follows, uv, faces, far))
    return tuple(tuple(of_frame) for of_frame in sheets)
