"""Exact point tracks: where points of a clip are in every frame, in the picture and in space, and if they are seen.

A point is named by a query: a pixel of one frame. The ray through it meets a face of the scene; the place is kept in
the frame of the object the face belongs to, and the object's closed-form poses and the cameras carry it to all frames,
in double precision. A point is seen in a frame if it lies inside the picture and in front of the camera, its face turns
the same side as in the query, and the ray from the camera meets nothing before it.

What stands at infinity (the sky) is taken as ``FAR`` away. Objects are numbered from 0; STILL (-1) is what does not
move, SKY (-2) the sky.

A track file is an ``.npz`` archive of plain arrays. With t frames, n tracks and k objects:

==============  ============  ========  ==================================================================
format          []            int64     1
pixels          [t, n, 2]     float32   x, y; the centre of the top-left pixel is (0.5, 0.5)
points          [t, n, 3]     float64   world places in metres, z up
visible         [t, n]        bool      whether the point is seen
query_frame     [n]           int64     the frame in which the point was chosen
query_pixel     [n, 2]        float64   the pixel there
object          [n]           int64     the object that the point belongs to
object_names    [k]           text
object_poses    [t, k, 4, 4]  float64   object to world
camera_poses    [t, 4, 4]     float64   camera to world, OpenCV axes (x right, y down, z forward)
intrinsics      [t, 3, 3]     float64   in pixels
size            [2]           int64     width and height of the pictures in pixels
fps             []            float64   frames a second
==============  ============  ========  ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.cameras import pixel_rays, project
from fieldscape.data.untrusted import read_npz
from fieldscape.errors import BadInput
from fieldscape.files import write_atomic
from fieldscape.types import Camera
from fieldscape.worlds.clips.clip import SKY, Clip, world_at
from fieldscape.worlds.clips.queries import Queries, require_inside
from fieldscape.worlds.raycast import Hits
from fieldscape.worlds.shading import World, one_thread

FAR = 1e6
"""Metres to a point of the sky: a camera's steps do not move it by a thousandth of a pixel."""
TOLERANCE = 1e-4
"""How much nearer than a point, relative to its distance, a hit may be and still be the point."""
FORMAT = 1
MAX_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Anchors:
    """The places that queries meet. local: in the frame of the object (of the world for what is still).

    face: of the scene's mesh, -1 for the sky.  front: whether the query looks at the face's outer side.
    """

    queries: Queries
    object: Int[Tensor, "n"]
    local: Float[Tensor, "n 3"]
    face: Int[Tensor, "n"]
    front: Bool[Tensor, "n"]


@dataclass(frozen=True)
class Tracks:
    """Points through a clip of t frames; see the head of this module."""

    pixels: Float[Tensor, "t n 2"]
    points: Float[Tensor, "t n 3"]
    visible: Bool[Tensor, "t n"]
    query_frame: Int[Tensor, "n"]
    query_pixel: Float[Tensor, "n 2"]
    object: Int[Tensor, "n"]
    size: tuple[int, int]


@one_thread()
def follow(clip: Clip, queries: Queries) -> Tracks:
    """The tracks of the queries through all frames.

    Raises BadInput for a query outside the clip or its pictures.
    """
    anchors = anchored(clip, queries)
    return tracks_of(clip, anchors, [seen_at(clip, world_at(clip, t), anchors, t) for t in range(len(clip))])


def tracks_of(clip: Clip, anchors: Anchors, frames: list[tuple[Tensor, Tensor, Tensor]]) -> Tracks:
    """Tracks from what ``seen_at`` says of each frame."""
    pixels, points, visible = (torch.stack(list(values)) for values in zip(*frames))
    size = clip.settings.width, clip.settings.height
    queries = anchors.queries
    return Tracks(pixels, points, visible, queries.frame, queries.pixel, anchors.object, size)


def anchored(clip: Clip, queries: Queries) -> Anchors:
    """What each query meets. Raises BadInput for a query outside the clip or its pictures."""
    require_inside(queries, len(clip), clip.settings.width, clip.settings.height)
    n = len(queries)
    owner, face = torch.full((n,), SKY), torch.full((n,), -1)
    local, front = torch.zeros(n, 3, dtype=torch.float64), torch.ones(n, dtype=torch.bool)
    for frame in queries.frame.unique().tolist():
        mine = (queries.frame == frame).nonzero().flatten()
        world, camera = world_at(clip, frame), clip.camera[frame]
        rays = pixel_rays(camera, queries.pixel[mine].double())
        hits = world.caster.first(rays.origins, rays.directions)
        met = hits.face >= 0
        distance, facing = _exact(world, hits, rays.origins, rays.directions)
        point = rays.origins + distance[:, None] * rays.directions
        owner[mine] = torch.where(met, clip.part_object[world.part[hits.face.clamp(min=0)]], SKY)
        face[mine], front[mine], local[mine] = hits.face, facing < 0, point
        for k in range(len(clip.names)):
            its = mine[owner[mine] == k]
            pose = clip.poses[frame, k]
            local[its] = (local[its] - pose[:3, 3]) @ pose[:3, :3]
    return Anchors(queries, owner, local, face, front)


def _exact(world: World, hits: Hits, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """The distances to the planes of the faces that are met, in double, and the rays' slopes against the normals.

    Embree answers in single precision. A ray so slanted that its plane is met far from its hit keeps embree's answer.
    """
    a, b, c = world.mesh.vertices[world.mesh.faces[hits.face.clamp(min=0)]].double().unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    slope = (normal * directions).sum(-1)
    plane = ((a - origins) * normal).sum(-1) / torch.where(slope == 0, 1.0, slope)
    single = hits.distance.double()
    good = (plane - single).abs() < 0.1 * TOLERANCE * single
    return torch.where(hits.face >= 0, torch.where(good, plane, single), FAR), slope


def seen_at(clip: Clip, world: World, anchors: Anchors, frame: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels [n,2], world points [n,3] and visibility [n] of the anchors in a frame whose world is ``world``."""
    camera = clip.camera[frame]
    points = anchors.local.clone()
    for k in range(len(clip.names)):
        its, pose = anchors.object == k, clip.poses[frame, k]
        points[its] = anchors.local[its] @ pose[:3, :3].T + pose[:3, 3]
    # A point of the query's own frame comes back to the query's pixel: take it as given, free of rounding.
    pixels, depth = project(camera, points)
    own = anchors.queries.frame == frame
    pixels = torch.where(own[:, None], anchors.queries.pixel.double(), pixels)
    away = points - camera.position
    distance = away.norm(dim=-1)
    hits = world.caster.first(camera.position.expand_as(points), away / distance[:, None])
    free = (hits.face < 0) | (hits.distance.double() > (1 - TOLERANCE) * distance) | (hits.face == anchors.face)
    a, b, c = world.mesh.vertices[world.mesh.faces[anchors.face.clamp(min=0)]].double().unbind(1)
    facing = (torch.linalg.cross(b - a, c - a) * away).sum(-1) < 0
    same_side = (facing == anchors.front) | (anchors.face < 0)
    size = torch.tensor([clip.settings.width, clip.settings.height])
    inside = ((pixels >= 0) & (pixels < size)).all(-1) & (depth > 0)
    # Behind the camera a pixel means nothing; keep it finite all the same.
    pixels = torch.where((depth > 1e-6)[:, None], pixels, -1.0)
    return pixels, points, inside & ((free & same_side) | own)


# ------------------------------------------------------------------------------------------------ files


def write_tracks(path: Path, clip: Clip, tracks: Tracks) -> None:
    """Writes the track file of a clip."""
    intrinsics = torch.zeros(len(clip), 3, 3, dtype=torch.float64)
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = clip.camera.focal.unbind(-1)
    intrinsics[:, :2, 2], intrinsics[:, 2, 2] = clip.camera.center, 1.0
    arrays: dict[str, np.ndarray] = {
        "format": np.array(FORMAT),
        "pixels": tracks.pixels.float().numpy(),
        "points": tracks.points.numpy(),
        "visible": tracks.visible.numpy(),
        "query_frame": tracks.query_frame.numpy(),
        "query_pixel": tracks.query_pixel.numpy(),
        "object": tracks.object.numpy(),
        "object_names": np.array(clip.names, dtype="U32"),
        "object_poses": clip.poses.numpy(),
        "camera_poses": clip.camera.pose.numpy(),
        "intrinsics": intrinsics.numpy(),
        "size": np.array(tracks.size),
        "fps": np.array(clip.settings.fps),
    }
    write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def read_tracks(path: Path | str) -> tuple[Tracks, Camera]:
    """The tracks in a file that ``write_tracks`` wrote, and the camera of each frame.

    Raises BadInput: not such a file, damaged, or arrays that do not fit together.
    """
    path = Path(path)
    arrays = read_npz(path, MAX_BYTES)
    if int(arrays.get("format", np.array(0))) != FORMAT:
        raise BadInput(f"{path} is not a track file of format {FORMAT}.")
    try:
        t, n = arrays["visible"].shape
        shapes = {
            "pixels": (t, n, 2), "points": (t, n, 3), "query_frame": (n,), "query_pixel": (n, 2), "object": (n,),
            "camera_poses": (t, 4, 4), "intrinsics": (t, 3, 3), "size": (2,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if arrays[name].shape != shape or arrays[name].dtype.kind not in "fiu":
                raise BadInput(f"{path}: {name} is {arrays[name].dtype} {arrays[name].shape}; {shape} was expected.")
            if not np.isfinite(arrays[name]).all():
                raise BadInput(f"{path}: {name} holds a number that is not finite.")
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path} is not a track file: {error} is missing or misshapen.") from error

    def double(name: str) -> Tensor:
        return torch.from_numpy(arrays[name].astype(np.float64))

    def whole(name: str) -> Tensor:
        return torch.from_numpy(arrays[name].astype(np.int64))

    width, height = (int(side) for side in arrays["size"])
    visible = torch.from_numpy(arrays["visible"].astype(bool))
    tracks = Tracks(
        double("pixels"), double("points"), visible, whole("query_frame"), double("query_pixel"), whole("object"),
        (width, height),
    )  # fmt: skip
    lens = double("intrinsics")
    focal, center = torch.stack([lens[:, 0, 0], lens[:, 1, 1]], -1), lens[:, :2, 2]
    return tracks, Camera(double("camera_poses"), focal, center, width, height)
