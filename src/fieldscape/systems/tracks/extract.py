"""``fieldscape tracks extract``: a clip -> its points, cameras and places in space, in a tracks file.

Frames that are held out are put aside before anything looks at the clip, so what is later measured on them is honest.
Beside OUT.npz stand OUT.json (figures: seconds by stage, memory) and OUT.overlay.mp4 (the points on the clip).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import write_json
from fieldscape.images import read_size
from fieldscape.progress import progress
from fieldscape.systems.tracks.bundle import write_bundle
from fieldscape.systems.tracks.clips import read_clip
from fieldscape.systems.tracks.following import follow
from fieldscape.systems.tracks.foreground import carried, find_layers
from fieldscape.systems.tracks.foreign import read_any
from fieldscape.systems.tracks.foreign_given import read_cameras, read_depths
from fieldscape.systems.tracks.masks import layers_of, read_values, reduced, require_background
from fieldscape.systems.tracks.nouns import Clip, Tracked, apart
from fieldscape.systems.tracks.options import TracksExtractOptions
from fieldscape.systems.tracks.overlays import write_track_film
from fieldscape.systems.tracks.refollowing import refollowed
from fieldscape.systems.tracks.solving import solve
from fieldscape.systems.tracks.summary import described, figures
from fieldscape.types import Camera


@dataclass
class Stages:
    """How long each stage took: seconds on the clock, and seconds of this process's processors."""

    clock: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began, used = time.monotonic(), time.process_time()
        yield
        self.clock[name] = round(time.monotonic() - began, 3)
        self.processor[name] = round(time.process_time() - used, 3)


def extract(options: TracksExtractOptions) -> None:
    """Writes the tracks file and says what was found. Raises BadInput for a clip or options that cannot be used."""
    _require_usable(options)
    stages = Stages()
    tracked = _foreign(options, stages) if options.tracks else _own(options, stages)
    with stages.stage("writing"):
        write_bundle(options.out, tracked)
    film = options.out.with_suffix(".overlay.mp4")
    if options.overlay:
        with stages.stage("overlay"):
            write_track_film(film, tracked.clip, tracked.points)
    rate = len(tracked.clip) / stages.clock["following"] if stages.clock.get("following") else None
    record = {
        **figures(tracked),
        "seconds": stages.clock,
        "processor_seconds": stages.processor,
        "followed_frames_per_second": None if rate is None else round(rate, 2),
        "peak_megabytes": peak_megabytes(),
    }
    write_json(options.out.with_suffix(".json"), record)
    spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages.clock.items())
    for line in described(tracked):
        print(line)
    print(f"seconds: {sum(stages.clock.values()):.1f} ({spent}); {peak_megabytes()} MB at most")
    print(f"{options.out}" + (f", and the points on the clip in {film}" if options.overlay else ""))


def _require_usable(options: TracksExtractOptions) -> None:
    if options.out.suffix != ".npz":
        raise BadInput(f"--out {options.out}: a tracks file ends in .npz.")
    if not options.out.parent.is_dir():
        raise BadInput(f"--out {options.out}: there is no folder {options.out.parent}; make it first.")
    if options.hold_out < 0 or options.hold_out == 1:
        raise BadInput(
            f"--hold-out is {options.hold_out}: 8 keeps every eighth frame apart, 0 keeps none, 1 would all."
        )
    if options.tracks and (options.cameras or options.depth):
        raise BadInput("--tracks brings its own cameras and depth: leave out --cameras and --depth.")


def _foreign(options: TracksExtractOptions, stages: Stages) -> Tracked:
    """Tracks that others made, on the frames of the clip. No frame is put aside: their maker has seen them all.

    (``tracks fit`` holds frames out of them, and says that they were seen.)
    """
    assert options.tracks is not None
    with stages.stage("reading"):
        clip = read_clip(options.clip, options.clips, options.quiet)
        return read_any(options.tracks, clip, options.foreign)


def _own(options: TracksExtractOptions, stages: Stages) -> Tracked:
    """Points followed and cameras found here, on what is not held out."""
    one_mask = options.clips.masks if options.clips.masks and options.clips.masks.is_file() else None
    settings = replace(options.clips, masks=None) if one_mask else options.clips
    with stages.stage("reading"):
        whole = read_clip(options.clip, settings, options.quiet)
        given: Camera | None = None
        depths: Tensor | None = None
        if options.cameras:
            whole, given = read_cameras(options.cameras, whole)
        if options.depth:
            depths = read_depths(options.depth, whole)
    clip, held = apart(whole, options.hold_out)
    kept = [i for i, number in enumerate(whole.numbers) if number in set(clip.numbers)]
    given = None if given is None else given[torch.tensor(kept)]
    depths = None if depths is None else depths[kept]
    with stages.stage("layers"):
        if one_mask:
            clip, held = _carried(clip, one_mask), None if held is None else replace(held, layers=None)
        elif clip.layers is None:
            with progress(len(clip), "finding what moves", options.quiet, unit="frame") as bar:
                clip = find_layers(clip, options.follow, bar)
    with stages.stage("following"), progress(len(clip), "following points", options.quiet, unit="frame") as bar:
        points = follow(clip, options.follow, bar)
    if len(points) == 0:
        raise BadInput(f"{options.clip}: no point could be followed; the frames show nothing that is found again.")
    with (
        stages.stage("cameras"),
        tempfile.TemporaryDirectory(prefix="fieldscape-tracks-") as work,
        progress(None, "finding the cameras", options.quiet) as bar,
    ):
        tracked = solve(clip, points, options.solve, given, depths, Path(work), bar)
    if options.refollow:
        with (
            stages.stage("refollowing"),
            progress(len(clip), "following once more", options.quiet, unit="frame") as bar,
        ):
            tracked = refollowed(tracked, options.again, bar)
    return replace(tracked, held=held)


def _carried(clip: Clip, mask: Path) -> Clip:
    """The clip with the layers of one mask of its first frame, carried forward through the frames that may be seen."""
    size = read_size(mask)
    if abs(size[0] / size[1] - clip.size[0] / clip.size[1]) > 0.02 * size[0] / size[1]:
        found, frames = f"{size[0]} x {size[1]}", f"{clip.size[0]} x {clip.size[1]}"
        raise BadInput(f"the mask {mask} has {found} pixels, which is not the shape of the frames ({frames}).")
    first = torch.from_numpy(reduced(layers_of([read_values(mask, size)])[0], clip.size))
    clip = carried(clip, first)
    assert clip.layers is not None
    require_background(clip.layers, f"the mask {mask}")
    return clip


def peak_megabytes() -> int:
    """The most memory that this process, or one that it started, has held."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // unit
