"""``fieldscape make clip``: a video of a scene in which things move, and all that is true of it.

OUT holds, for frames 00000, 00001, ...:

* ``images/``, and ``clip.mp4`` made of them;
* ``masks/``: 255 where something that moves is at the pixel's centre, else 0 (one foreground, as in DAVIS 2016);
  ``objects/``: the number there of the thing that moves, from 1, or 0 (as in DAVIS 2017);
* ``depth/``: 16-bit PNG, planar depth at the pixel's centre in units of ``depth_unit_scale_factor`` metres, 0 where
  nothing is met. The unit is chosen so that the farthest place just fits;
* ``transforms.json``: the cameras in nerfstudio's layout, every eighth frame held out;
* ``tracks.npz``: points followed through the clip (``tracks`` in the code tells the layout);
* ``truth.json``: the things that move: names, sizes, and their poses (object to world, z up, metres) at each frame;
* ``world.json``: the settings it was made from.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fieldscape.cameras import planar_depth
from fieldscape.data.untrusted import read_npz
from fieldscape.errors import BadInput
from fieldscape.files import write_json
from fieldscape.images import read_image, to_uint8, write_image
from fieldscape.video import write_video
from fieldscape.worlds.batches import Batch, require_free, write_batch
from fieldscape.worlds.clips.clip import Clip, ClipSettings, clip_of, farthest, world_at
from fieldscape.worlds.clips.options import MakeClipOptions
from fieldscape.worlds.clips.queries import Queries, default_queries, read_queries, require_inside
from fieldscape.worlds.clips.tracks import Anchors, anchored, seen_at, tracks_of, write_tracks
from fieldscape.worlds.nerfstudio import transforms, write_depth
from fieldscape.worlds.shading import one_thread, render

MOST_FRAMES = 10_000
MOST_OBJECTS = 20
MOST_TRACKS = 1_000_000
MOST_PLACES = 20_000_000
"""Frames times tracks: half a gigabyte of places."""
SIDES = (16, 4096)
HELD_OUT = 8
"""Every so manieth frame is kept from training, the first of them amid the first eight."""
SCRATCH = "tracks-by-frame"


@dataclass(frozen=True)
class ClipJob:
    """What is made: the clip, and the points to follow: so many by a pattern, or those of a file with this SHA-256."""

    settings: ClipSettings
    tracks: int
    queries: str
    digest: str = ""

    def about(self) -> dict[str, object]:
        """All that decides what is made; the name of a file does not, its content does."""
        return {**asdict(self.settings), "tracks": self.tracks, "queries": self.digest or self.queries}


def make_clip(options: MakeClipOptions) -> None:
    """Writes the clip.

    Raises BadInput for numbers that make no clip, a bad file of queries, or a folder that cannot be written.
    """
    require_free(options.out)
    job = clip_job(options)
    batch = Batch("clip", options.frames, "frame", job.about())
    made = write_batch(
        options.out, batch, partial(make_frame, job), partial(finish, job), options.workers, options.quiet
    )
    if made:
        tracked = f" and {job.tracks} tracks" if job.tracks else ""
        print(f"{options.frames} frames{tracked} of a {options.scene} in {options.out}; see {options.out / 'clip.mp4'}")


def clip_job(options: MakeClipOptions) -> ClipJob:
    """What the options ask for. Raises BadInput where they ask for what cannot be made."""
    for value, name, least, most in (
        (options.frames, "frames", 1, MOST_FRAMES),
        (options.width, "pixels across", *SIDES),
        (options.height, "pixels down", *SIDES),
        (options.objects, "moving objects", 0, MOST_OBJECTS),
        (options.tracks, "tracks", 0, MOST_TRACKS),
        (1 if options.workers is None else options.workers, "workers", 1, 1024),
    ):
        if not least <= value <= most:
            raise BadInput(f"A clip with {value} {name} cannot be made: choose {least} to {most}.")
    if not (math.isfinite(options.fps) and 0 < options.fps <= 1000):
        raise BadInput(f"A clip of {options.fps} frames a second cannot be made: choose above 0, to 1000.")
    settings = ClipSettings(
        options.frames, options.width, options.height, options.objects, options.camera, options.scene, options.seed,
        float(options.fps),
    )  # fmt: skip
    count, source, digest = options.tracks, options.queries, ""
    if source not in ("grid", "random"):
        queries, digest = read_queries(source)
        require_inside(queries, options.frames, options.width, options.height)
        count, source = len(queries), str(Path(source).resolve())
    if options.frames * count > MOST_PLACES:
        most = MOST_PLACES // options.frames
        raise BadInput(f"{count} tracks through {options.frames} frames are too many: choose {most} tracks at most.")
    job = ClipJob(settings, count, source, digest)
    if not digest:
        _queries(job)  # says at once where a frame has too few pixels
    return job


# ------------------------------------------------------------------------------------------------ frames


@one_thread()
def make_frame(job: ClipJob, folder: Path, index: int) -> None:
    """Writes what belongs to frame ``index`` into ``folder``."""
    clip = clip_of(job.settings)
    world = world_at(clip, index)
    camera = clip.camera[index].map(lambda tensor: tensor.float())
    photo = render(world, camera)
    number = torch.where(photo.part >= 0, clip.part_object[photo.part.clamp(min=0)] + 1, 0)
    for part in ("images", "masks", "objects", "depth", SCRATCH):
        (folder / part).mkdir(parents=True, exist_ok=True)
    name = f"{index:05d}"
    write_image(folder / "images" / f"{name}.png", to_uint8(photo.color))
    write_image(folder / "masks" / f"{name}.png", (255 * (number > 0)).to(torch.uint8))
    write_image(folder / "objects" / f"{name}.png", number.to(torch.uint8))
    write_depth(folder / "depth" / f"{name}.png", planar_depth(camera, photo.depth).double(), depth_unit(clip))
    pixels, points, visible = seen_at(clip, world, _anchors(job), index)
    with (folder / SCRATCH / f"{name}.npz").open("wb") as file:
        np.savez(file, pixels=pixels.numpy(), points=points.numpy(), visible=visible.numpy())


def depth_unit(clip: Clip) -> float:
    """Metres a step of the depth images: the farthest place is 65,535 steps away; tenths of micrometres, rounded up."""
    return math.ceil(farthest(clip) / 65535 * 1e7) / 1e7


@lru_cache(maxsize=2)
def _queries(job: ClipJob) -> Queries:
    if not job.digest:
        return default_queries(clip_of(job.settings), job.tracks, job.queries == "grid")
    queries, digest = read_queries(job.queries)
    if digest != job.digest:
        raise BadInput(f"{job.queries} was changed while the clip was being made: begin again.")
    return queries


@lru_cache(maxsize=2)
def _anchors(job: ClipJob) -> Anchors:
    return anchored(clip_of(job.settings), _queries(job))


# ------------------------------------------------------------------------------------------------ the whole


def finish(job: ClipJob, folder: Path) -> None:
    """Writes what needs all frames: the video, the cameras, the tracks, the truth about the objects."""
    clip = clip_of(job.settings)
    names = [f"{index:05d}.png" for index in range(len(clip))]
    write_video(folder / "clip.mp4", _pictures(folder, names), clip.settings.fps)
    held = [index for index in range(len(names)) if index % HELD_OUT == HELD_OUT // 2]
    times = [index / clip.settings.fps for index in range(len(names))]
    write_json(folder / "transforms.json", transforms(clip.camera, names, held or None, depth_unit(clip), times))
    write_json(folder / "truth.json", _truth(clip))
    with one_thread():
        seen = []
        for index in range(len(clip)):
            arrays = read_npz(folder / SCRATCH / f"{index:05d}.npz")
            seen.append(tuple(torch.from_numpy(arrays[key]) for key in ("pixels", "points", "visible")))
        write_tracks(folder / "tracks.npz", clip, tracks_of(clip, _anchors(job), seen))  # type: ignore[arg-type]
    shutil.rmtree(folder / SCRATCH)


def _pictures(folder: Path, names: list[str]) -> Iterator[Tensor]:
    for name in names:
        yield read_image(folder / "images" / name)


def _truth(clip: Clip) -> dict[str, object]:
    objects = [
        {
            "number": k + 1,
            "name": name,
            "size": [round(side, 6) for side in clip.sizes[k].tolist()],
            "poses": clip.poses[:, k].tolist(),
        }
        for k, name in enumerate(clip.names)
    ]
    return {
        "format": 1,
        "fps": clip.settings.fps,
        "axes": "world: z up, metres; poses: object to world; size: of the box around the object, in its own frame",
        "objects": objects,
    }
