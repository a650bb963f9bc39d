"""``fieldscape render``: a scene seen along a camera path, as a video or a still."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from fieldscape import cameras, devices, paths
from fieldscape.commands.options import RenderOptions
from fieldscape.errors import BadInput
from fieldscape.images import colorize_depth, write_image
from fieldscape.progress import Bar, progress
from fieldscape.scenes import Scene, Way, with_controls
from fieldscape.systems.opening import open_scene
from fieldscape.types import Camera
from fieldscape.video import write_video

MOST_FRAMES = 20_000
LARGEST_SIDE = 8192
OF_CLIPS = ("clip", "stabilise", "freeze")
"""Ways that a scene must know itself, since they take its time as well."""


def render(options: RenderOptions) -> None:
    """Render and say where the file is. Raises BadInput for a run or numbers that cannot be used."""
    if not 1 <= options.frames <= MOST_FRAMES:
        raise BadInput(f"--frames is {options.frames}: give 1 to {MOST_FRAMES}.")
    if not 0 < options.fps <= 240:
        raise BadInput(f"--fps is {options.fps:g}: give a number above 0, up to 240.")
    if not 0 < options.strength <= 10:
        raise BadInput(f"--strength is {options.strength:g}: give a number above 0, up to 10.")
    asked = controls_of(options.set)
    scene = with_controls(open_scene(options.run, devices.pick(options.device)), asked)
    name = options.path if options.path != "auto" else usual_path(scene)
    out = options.out or options.run / f"{name}.{'png' if name == 'still' else 'mp4'}"
    start, around = sized(scene.start, options.width), sized(scene.cameras, options.width)
    if name == "still":
        write_image(out, frame(scene, start, depth_span(scene, cameras.stack([start])) if options.depth else None))
    else:
        way = planned(scene, name, start, around, options)
        way = dataclasses.replace(way, controls={k: v for k, v in way.controls.items() if k not in asked})
        if way.note is not None:
            print(f"fieldscape: {way.note}", file=sys.stderr)
        with progress(options.frames, "rendering", options.quiet, unit="frame") as bar:
            write_video(out, film(scene, way, options.depth, bar), options.fps)
    print(f"{out}: {name}, {start.width} x {start.height}" + ("" if name == "still" else f", {options.frames} frames"))


def controls_of(settings: tuple[str, ...]) -> dict[str, float]:
    """``NAME=VALUE`` each. Raises BadInput for what is not of that form."""
    values = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise BadInput(f"--set {setting}: write NAME=VALUE, with a number, such as scene=7.") from error
    return values


def usual_path(scene: Scene) -> str:
    """The path that shows a scene best where none is asked for."""
    if scene.ways:
        return next(iter(scene.ways))
    if scene.framing.unbounded:
        return "walk"
    place = scene.start.position
    inside = bool(((place > scene.framing.low) & (place < scene.framing.high)).all())
    return "spiral" if inside else "orbit"


def sized(camera: Camera, width: int | None) -> Camera:
    """``camera`` without its lens distortion, which nobody wants in a film, and ``width`` pixels wide."""
    straight = dataclasses.replace(camera, lens="pinhole", distortion=None)
    if width is None:
        return straight
    height = round(camera.height * width / camera.width)
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise BadInput(
            f"--width {width} gives a picture of {width} x {height}: sides go from 1 to {LARGEST_SIDE} pixels."
        )
    return cameras.resize(straight, width, height)


def planned(scene: Scene, name: str, start: Camera, around: Camera, options: RenderOptions) -> Way:
    """The way called ``name``: the scene's own if it has one of that name. Raises BadInput if there is none."""
    if name in scene.ways:
        way = scene.ways[name](options.frames, options.strength)
        return dataclasses.replace(way, cameras=sized(way.cameras, options.width))
    if name in OF_CLIPS:
        raise BadInput(f"--path {name} is for scenes of clips, and this is one of {scene.system}.")
    return Way(camera_path(scene, name, start, around, options.frames, options.strength), {})


def camera_path(scene: Scene, name: str, start: Camera, around: Camera, frames: int, strength: float) -> Camera:
    """The cameras of the path called ``name``, fitted to the size of the scene."""
    center, up = scene.framing.center, scene.framing.up
    away = float((start.position - center).norm())
    if name == "walk":
        return paths.walk(around, up, frames)
    if name == "interpolate":
        return paths.interpolate(around, frames, loop=False, constant_speed=True)
    if name == "dolly":
        return paths.dolly(start, frames, 0.3 * strength * away)
    if name == "zoom":
        return paths.zoom(start, frames, 1 + strength)
    if name == "spiral":
        spread = float((around.position - around.position.mean(0)).norm(dim=-1).median())
        return paths.spiral(start, center, up, frames, 0.3 * strength * min(spread, away), 2)
    if name == "turntable":
        return paths.turntable(start, center, up, frames)
    return paths.orbit(start, center, up, frames)


def film(scene: Scene, way: Way, depth: bool, bar: Bar) -> Iterator[Tensor]:
    """The pictures along ``way``, one at a time; the same depth has the same colour in all of them."""
    span = depth_span(scene, way.cameras) if depth else None
    for i in range(len(way.cameras)):
        yield frame(with_controls(scene, {name: v[i] for name, v in way.controls.items()}), way.cameras[i], span)
        bar.update(i + 1)


def depth_span(scene: Scene, way: Camera) -> tuple[float, float]:
    """Near and far of what is met along ``way``: quantiles over five small pictures."""
    met = []
    for i in range(0, len(way), max(1, len(way) // 5)):
        small = cameras.resize(way[i], max(1, way.width // 8), max(1, way.height // 8))
        seen = scene.render(small)
        met.append(seen.depth[seen.alpha > 0.5])
    known = torch.cat(met)
    if known.numel() == 0:
        return scene.framing.near, scene.framing.far
    near, far = known.quantile(torch.tensor([0.01, 0.97])).tolist()
    return near, max(far, 1.01 * near)


def frame(scene: Scene, camera: Camera, span: tuple[float, float] | None) -> Tensor:
    """What ``camera`` sees, with depth between the two distances of ``span`` beside it, if they are given."""
    seen = scene.render(camera)
    color = seen.color.clamp(0, 1)
    if span is None:
        return color
    known = torch.where(seen.alpha > 0.5, seen.depth, 0)
    return torch.cat([color, colorize_depth(known, *span)], 1)
