"""A furnished living room seen from inside: the scene, a walk of cameras through it, photos with exact depth, files.

The world's z points up, the floor is z = 0, its centre the origin, lengths are metres.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from scipy.spatial import cKDTree

from fieldscape.cameras import flip_yz, focal_from_fov, look_at, planar_depth
from fieldscape.errors import BadInput
from fieldscape.files import reason, write_json
from fieldscape.images import to_uint8, write_image
from fieldscape.meshes import Vector
from fieldscape.types import Camera, Views
from fieldscape.worlds.furniture import moved, place
from fieldscape.worlds.interiors import PALETTES, furnish, shell, window
from fieldscape.worlds.radiosity import Lights, Opening, build
from fieldscape.worlds.raycast import THREADS
from fieldscape.worlds.shading import World, one_thread, render

CLEARANCE = 0.5
"""No camera comes nearer to a surface, in metres."""
FIELD_OF_VIEW = 68.0
LARGEST_SIDE = 4096
MOST_VIEWS = 2000


@dataclass(frozen=True)
class Room:
    """A room: its lit world, its inner size (x, y, z), and its seed."""

    world: World
    size: Vector
    seed: int


@one_thread()
def room(seed: int = 0, rays: int = 48) -> Room:
    """The living room of a seed. Another seed gives other colours, furniture and places, and another window side.

    ``rays`` directions a vertex go into what surfaces send to each other: fewer are faster and blotchier.
    """
    rng = random.Random(f"room {seed}")
    colors = rng.choice(PALETTES)
    w, d, h = rng.uniform(4.7, 5.5), rng.uniform(4.1, 4.6), rng.uniform(2.45, 2.7)
    hole = (rng.uniform(-0.35, 0.45), rng.uniform(1.9, 2.5), rng.uniform(0.6, 0.85), 2.2)  # middle, width, sill, head
    parts = shell(w, d, h, hole, colors, rng) + window(w, hole, colors, h, rng) + furnish(w, d, h, colors, rng)
    middle, wide, sill, head = hole
    corner = (w / 2 + 0.17, middle + wide / 2, sill)
    lamp = (-w / 2 + 0.45, -d / 2 + 0.42, 1.5)
    bright = rng.uniform(0.8, 1.2)
    sun = (rng.uniform(0.75, 1.0), rng.uniform(-0.5, 0.5), rng.uniform(0.5, 0.8))
    # The plan above has its window on the +x side: mirror and turn the whole for the other sides.
    turn = moved(0.0, 0.0, yaw=rng.randrange(4) * math.pi / 2)
    if rng.random() < 0.5:
        turn = turn @ torch.diag(torch.tensor([1.0, -1.0, 1.0, 1.0]))
    turn = turn.round()
    if float(torch.linalg.det(turn)) > 0:
        u, v = (0.0, -wide, 0.0), (0.0, 0.0, head - sill)
    else:
        u, v = (0.0, 0.0, head - sill), (0.0, -wide, 0.0)

    def turned(vector: Vector) -> Vector:
        x, y, z = (turn[:3, :3] @ torch.tensor(vector)).tolist()
        return x, y, z

    lights = Lights(
        openings=(Opening(turned(corner), turned(u), turned(v)),),
        sky=(9.0 * bright, 10.0 * bright, 11.5 * bright),
        ground=(3.6 * bright, 3.7 * bright, 3.0 * bright),
        sun=(10.0, 8.6, 6.4),
        sun_direction=turned(sun),
        lamps=(turned(lamp), turned((0.0, 0.0, h - 0.52))),
        lamp=(1.5, 1.15, 0.75),
    )
    size = (turn[:3, :3].abs() @ torch.tensor([w, d, h])).tolist()
    return Room(build(place(parts, turn), lights, rays), (size[0], size[1], size[2]), seed)


# ------------------------------------------------------------------------------------------------ cameras


def walk(scene: Room, count: int, width: int, height: int) -> Camera:
    """``count`` cameras on a closed walk, two rounds at different reach and height, looking across the room.

    The walk is an ellipse drawn in as far as needed to stay ``CLEARANCE`` from everything.
    """
    turn = torch.arange(count) * (4 * math.pi / count)
    half = turn / 2  # runs once through while the walk goes round twice
    x, y, _ = scene.size
    for reach in torch.linspace(1, 0.2, 17):
        a, b = reach * (x / 2 - 0.75), reach * (y / 2 - 0.75)
        near = 0.84 + 0.16 * torch.cos(half)
        eye = torch.stack([a * near * turn.cos(), b * near * turn.sin(), 1.47 + 0.15 * torch.sin(half + 0.6)], -1)
        if float(clearance(scene, eye).min()) > CLEARANCE + 0.02:
            break
    else:
        raise ValueError(f"room {scene.seed} leaves no room for a walk")
    aside = 0.75 * torch.sin(1.5 * turn + 1.0)
    across = torch.stack([-turn.cos(), -turn.sin()], -1)
    right = torch.stack([across[:, 1], -across[:, 0]], -1)
    ahead = across * 1.9 + right * aside[:, None]
    down = -0.42 + 0.3 * torch.sin(2.5 * turn)
    target = eye + torch.cat([ahead, down[:, None]], -1)
    focal = focal_from_fov(FIELD_OF_VIEW, width)
    pose = look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))
    center = torch.tensor([width / 2, height / 2]).expand(count, 2)
    return Camera(pose, torch.full((count, 2), focal), center, width, height)


def clearance(scene: Room, points: torch.Tensor) -> torch.Tensor:
    """A lower bound on the distance from each point [n,3] to the surfaces: to their vertices, less what edges allow.

    No point of a triangle is further than longest edge / sqrt(3) from its nearest corner.
    """
    world = scene.world
    near = torch.full((len(points),), math.inf)
    for index, piece in enumerate(world.parts):
        used = world.mesh.vertices[world.mesh.faces[world.part == index].unique()]
        to_vertex = torch.from_numpy(cKDTree(used.numpy()).query(points.numpy())[0]).float()
        near = torch.minimum(near, (to_vertex**2 - piece.edge**2 / 3).clamp(min=0).sqrt())
    return near


def make_room_views(
    views: int = 60,
    held_out: int = 8,
    width: int = 160,
    height: int = 120,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Views:
    """Photos of the room of ``seed``: ``views`` to learn from and ``held_out`` between them, with poses and depth.

    ``progress(done, total)`` is called after each photo.

    Raises:
        BadInput: a count or size out of range.
    """
    for value, name, least, most in (
        (views, "views", 2, MOST_VIEWS),
        (held_out, "held-out views", 0, views),
        (width, "width", 8, LARGEST_SIDE),
        (height, "height", 8, LARGEST_SIDE),
    ):
        if not least <= value <= most:
            raise BadInput(f"A room of {value} {name} cannot be made: choose {least} to {most}.")
    total = views + held_out
    images = torch.empty(total, height, width, 3, dtype=torch.uint8)
    depths = torch.empty(total, height, width)
    with one_thread(), ThreadPoolExecutor(THREADS) as pool:
        scene = room(seed)
        cameras = walk(scene, total, width, height)
        photos = pool.map(lambda index: render(scene.world, cameras[index]), range(total))
        for index, (color, depth, _) in enumerate(photos):
            images[index], depths[index] = to_uint8(color), depth
            if progress is not None:
                progress(index + 1, total)
    kept = tuple(int((k + 0.5) * total / held_out) for k in range(held_out))
    names = tuple(f"{index:04d}.png" for index in range(total))
    return Views(cameras, images, names, kept, "the data's own", depths=depths, metric=True)


@one_thread()
def require_free(out: Path | str) -> None:
    """Raises BadInput where ``out`` is there already and is not an empty folder."""
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise BadInput(f"{out} exists already and is not empty: give another --out, or remove it first.")


def write_rooms(out: Path | str, views: Views) -> Path:
    """Writes ``views`` as a folder in nerfstudio's layout, all of it or nothing.

    ``transforms.json`` (OpenGL axes), ``images/``, and ``depth/``: 16-bit PNG with z-depth in millimetres.

    Raises:
        BadInput: ``out`` exists and is not an empty folder, or cannot be written.
    """
    out = Path(out)
    require_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            _write_folder(scratch, views)
            scratch.chmod(0o755)
            os.replace(scratch, out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise BadInput(f"Cannot write {out}: {reason(error)}.") from error
    return out


def _write_folder(folder: Path, views: Views) -> None:
    (folder / "images").mkdir()
    (folder / "depth").mkdir()
    camera, frames = views.camera, []
    for index, name in enumerate(views.names):
        write_image(folder / "images" / name, views.images[index])
        frame = {"file_path": f"images/{name}", "transform_matrix": flip_yz(camera.pose[index]).tolist()}
        if views.depths is not None:
            planar = planar_depth(camera[index], views.depths[index]) * 1000
            millimetres = planar.round().clamp(0, 65535).int().numpy().astype("uint16")
            Image.fromarray(millimetres).save(folder / "depth" / name)
            frame["depth_file_path"] = f"depth/{name}"
        frames.append(frame)
    kept = set(views.held_out)
    (fx, fy), (cx, cy) = camera.focal[0].tolist(), camera.center[0].tolist()
    write_json(
        folder / "transforms.json",
        {
            "camera_model": "OPENCV",
            "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": camera.width, "h": camera.height,
            "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0,
            "metric": views.metric,
            "depth_unit_scale_factor": 0.001,
            "train_filenames": [f"images/{n}" for i, n in enumerate(views.names) if i not in kept],
            "test_filenames": [f"images/{n}" for i, n in enumerate(views.names) if i in kept],
            "frames": frames,
        },
    )  # fmt: skip
