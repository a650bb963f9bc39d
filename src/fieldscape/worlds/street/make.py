"""``fieldscape make street``: videos of things on a street, with depth and all truth, in a layout of choice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fieldscape.errors import BadInput
from fieldscape.worlds.batches import Batch, write_batch
from fieldscape.worlds.layouts import own, synthia_al, synthia_seqs, synthia_sf, vkitti2
from fieldscape.worlds.layouts.clip import Frame
from fieldscape.worlds.street.options import MakeStreetOptions
from fieldscape.worlds.street.record import clip_of
from fieldscape.worlds.street.render import draw, noisy
from fieldscape.worlds.street.scenes import Scene, SceneSettings, draw_scene, room_for_pair

MOST_VIDEOS = 1_000_000
MOST_FRAMES = 10_000
SIDES = (16, 4096)
MOST_OBJECTS = 16
MOST_EXACT = 2**28
"""Pixels of a video whose exact depth is kept: a gigabyte."""
DURATION = 3.0
LONGEST = 3600.0
TOGETHER = 64
"""Frames whose matrices are worked out at once."""

WRITERS = {
    "fieldscape": own.write,
    "synthia-seqs": synthia_seqs.write,
    "synthia-sf": synthia_sf.write,
    "synthia-al": synthia_al.write,
    "vkitti2": vkitti2.write,
}
RATES = {"synthia-seqs": synthia_seqs, "synthia-sf": synthia_sf, "synthia-al": synthia_al, "vkitti2": vkitti2}


@dataclass(frozen=True)
class StreetSettings:
    """What decides the bytes of a data set: the scenes, and how they are written."""

    scenes: SceneSettings
    layout: str
    color: bool
    exact: bool


def make_street(options: MakeStreetOptions) -> None:
    """Writes the videos that ``options`` ask for into ``options.out``.

    Raises BadInput: a number out of range, options that exclude each other, or a folder that cannot be written.
    """
    settings = settings_of(options)
    batch = Batch("street", options.videos, "video", asdict(settings))
    made = write_batch(options.out, batch, partial(make_video, settings), None, options.workers, options.quiet)
    if made:
        video, frame = ("" if count == 1 else "s" for count in (options.videos, options.frames))
        print(f"{options.videos} video{video} of {options.frames} frame{frame} in {options.out}")


def settings_of(options: MakeStreetOptions) -> StreetSettings:
    """The options that decide what is made, checked."""
    _check(options)
    theirs = RATES.get(options.layout)
    seconds = options.frames / theirs.RATE if theirs is not None else (options.seconds or DURATION)
    scenes = SceneSettings(
        frames=options.frames,
        width=options.width,
        height=options.height,
        split=options.split,
        motion=options.motion,
        camera=options.camera,
        shapes=options.shapes,
        seconds=seconds,
        times=options.times,
        objects_min=options.objects_min,
        objects_max=options.objects_max,
        walls=options.walls,
        seed=options.seed,
        rate=None if theirs is None else theirs.RATE,
        field=None if theirs is None else theirs.FOCAL,
    )
    return StreetSettings(scenes, options.layout, options.color, options.exact)


def _check(options: MakeStreetOptions) -> None:
    def between(name: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            raise BadInput(f"{name} {value} cannot be had: choose {low} to {high:g}.")

    between("--videos", options.videos, 1, MOST_VIDEOS)
    between("--frames", options.frames, 1, MOST_FRAMES)
    between("--width", options.width, *SIDES)
    between("--height", options.height, *SIDES)
    between("--objects-min", options.objects_min, 1, MOST_OBJECTS)
    between("--objects-max", options.objects_max, 1, MOST_OBJECTS)
    if options.workers is not None:
        between("--workers", options.workers, 1, 1024)
    if options.objects_min > options.objects_max:
        raise BadInput(f"--objects-min {options.objects_min} is above --objects-max {options.objects_max}.")
    if options.seconds is not None and not 0.01 <= options.seconds <= LONGEST:
        raise BadInput(f"--seconds {options.seconds} cannot be had: choose 0.01 to {LONGEST:g}.")
    # The fewest things that the split's rule and the motion need.
    least = 2 if options.split in ("contact", "clutter", "mixed") else 1
    if options.motion == "coupled":
        least = 4 if options.split == "mixed" else room_for_pair(options.split)
    if options.objects_min < least:
        raise BadInput(f"Such videos need {least} things at the least: give --objects-min {least} or more.")
    if options.exact and options.frames * options.width * options.height > MOST_EXACT:
        raise BadInput("So much --exact depth does not fit into memory: give fewer --frames, or smaller ones.")
    if options.layout != "fieldscape":
        if options.seconds is not None or options.times != "uniform":
            raise BadInput(f"--layout {options.layout} has a frame rate of its own: leave out --seconds and --times.")
        if options.exact:
            raise BadInput(f"--exact depth has no place in --layout {options.layout}: leave it out.")
    if options.shapes == "simple" and options.motion == "cycles":
        raise BadInput("Simple shapes have no cycles: choose --shapes all or composite.")
    if options.shapes == "composite" and options.motion == "ballistic":
        raise BadInput("Only simple shapes are thrown: choose --shapes all or simple.")


def make_video(settings: StreetSettings, folder: Path, index: int) -> None:
    """Writes video ``index`` into ``folder``, laid out as the whole is."""
    scene = draw_scene(settings.scenes, index)
    clip = clip_of(scene, settings.exact)
    WRITERS[settings.layout](folder, clip, frames(scene, settings))


def frames(scene: Scene, settings: StreetSettings) -> Iterator[Frame]:
    """The frames of a scene, drawn one after the other."""
    what, view, count = scene.solids(), scene.view, len(scene.actors)
    grain = np.random.Generator(
        np.random.PCG64(random.Random(f"noise {settings.scenes.seed} {scene.index}").getrandbits(64))
    )
    paint = None
    if settings.color:
        from fieldscape.worlds.street.colors import painter

        paint = painter(scene, settings.scenes.seed)
    for start in range(0, len(scene.times), TOGETHER):
        times = scene.times[start : start + TOGETHER]
        # Wheels roll on from the first frame, so every block of times begins with it.
        whole = np.concatenate([scene.times[:1], times])
        matrices = scene.matrices(whole, scene.travels(whole))[1:]
        poses = view.poses(times)
        for placed, pose in zip(matrices, poses):
            seen = draw(what, placed, pose, view.focal, view.width, view.height, count)
            depth = noisy(seen.depth, grain) if scene.split == "noise" else seen.depth
            color = None if paint is None else paint(placed, pose)
            yield Frame(depth, seen.depth, seen.instance, seen.part, seen.visible, seen.total, seen.box, color)
