"""Clips with exact tracks, as ``make clip`` writes them, read as if they had been followed; and true new views of them.

What is shown with these measures the meshes and the fetching of colours alone: cameras and places are true.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.cameras import planar_depth, project
from fieldscape.errors import BadInput
from fieldscape.files import read_json
from fieldscape.images import read_image
from fieldscape.systems.tracks.nouns import Clip, Points, Tracked, apart
from fieldscape.types import Camera
from fieldscape.worlds.clips.clip import STILL, ClipSettings, clip_of, world_at
from fieldscape.worlds.clips.tracks import read_tracks
from fieldscape.worlds.shading import one_thread, render

TOLERANCE = 1.02
"""A place is hidden if it lies farther than this factor of what the source sees there."""


def tracked_of_world(folder: Path, every: int) -> Tracked:
    """The clip in ``folder`` with its true cameras and points, every ``every``-th frame held out.

    Points on what moves are in the layer of their object; what they are at infinity (the sky) belongs to the
    background. Raises BadInput where the folder holds no such clip.
    """
    tracks, camera = read_tracks(folder / "tracks.npz")
    names = sorted((folder / "images").glob("*.png"))
    if len(names) != len(tracks.pixels):
        raise BadInput(f"{folder} holds {len(names)} images and tracks through {len(tracks.pixels)} frames.")
    frames = torch.stack([read_image(path)[..., :3] for path in names])
    layers = torch.stack([read_image(folder / "objects" / path.name)[..., 0] for path in names])
    fps = float(world_settings(folder).fps)
    clip = Clip(frames, torch.arange(len(names)) / fps, layers, tuple(range(len(names))), folder.name)
    kept, held = apart(clip, every)
    rows = list(kept.numbers)
    owner = torch.where(tracks.object >= 0, tracks.object + 1, 0)
    points = Points(
        tracks.pixels[rows].float(), tracks.visible[rows], tracks.visible[rows].float(), owner
    )  # fmt: skip
    return Tracked(
        kept,
        held,
        points,
        camera[torch.tensor(rows)],
        "given",
        tracks.points[rows],
        torch.ones(len(points), dtype=torch.bool),
    )


def world_settings(folder: Path) -> ClipSettings:
    """The settings that a clip was made from. Raises BadInput where there are none."""
    settings = read_json(folder / "world.json")["settings"]
    fields = ("frames", "width", "height", "objects", "camera", "scene", "seed", "fps")
    try:
        return ClipSettings(**{name: settings[name] for name in fields})
    except KeyError as error:
        raise BadInput(f"{folder / 'world.json'} lacks {error}: it is not the record of a clip.") from error


@one_thread()
def true_view(
    folder: Path, camera: Camera, frame: int
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """What ``camera`` truly sees of the scene as it stands in ``frame``: colour, planar depth (0 where nothing is met),
    and where that does not move."""
    clip = clip_of(world_settings(folder))
    single = camera.map(lambda tensor: tensor.float())
    photo = render(world_at(clip, frame), single)
    still = (photo.part < 0) | (clip.part_object[photo.part.clamp(min=0)] == STILL)
    return photo.color, planar_depth(single, photo.depth), still


def co_visible(
    points: Float[Tensor, "h w 3"], camera: Camera, depths: Float[Tensor, "s y x"], still: Bool[Tensor, "s y x"]
) -> Bool[Tensor, "h w"]:
    """Which true places are seen by at least one of the source cameras [s], and do not lie behind what moves.

    points: where each pixel of the new view truly looks.  depths: planar, of the sources, infinite or 0 where nothing
    is met.  still: where the sources show what does not move.
    """
    seen = torch.zeros(points.shape[:2], dtype=torch.bool)
    for source, (depth, rests) in enumerate(zip(depths, still)):
        uv, z = project(camera[source], points.to(camera.pose))
        size = uv.new_tensor([camera.width, camera.height])
        inside = (z > 0) & ((uv >= 0) & (uv < size)).all(-1)
        column, row = uv.nan_to_num(0.0).clamp(min=0).minimum(size - 1).long().unbind(-1)
        there = torch.where(depth > 0, depth, torch.inf)[row, column]
        seen |= inside & (z < TOLERANCE * there) & rests[row, column]
    return seen
