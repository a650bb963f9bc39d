"""A furnished living room seen from inside: a walk of cameras through it, photos with exact depth, files.

The world's z points up, the floor is z = 0, its centre the origin, lengths are metres. The folder is in nerfstudio's
layout: ``transforms.json`` (OpenGL axes), ``images/``, and ``depth/``: 16-bit PNG with planar depth in millimetres.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from fieldscape.cameras import focal_from_fov, look_at, planar_depth
from fieldscape.errors import BadInput
from fieldscape.files import write_json
from fieldscape.images import to_uint8, write_image
from fieldscape.meshes import Vector
from fieldscape.types import Camera
from fieldscape.worlds.batches import Batch, write_batch
from fieldscape.worlds.nerfstudio import transforms, write_depth
from fieldscape.worlds.radiosity import build
from fieldscape.worlds.rooms.plans import living_room
from fieldscape.worlds.shading import World, one_thread, render

CLEARANCE = 0.5
"""No camera comes nearer to a surface, in metres."""
FIELD_OF_VIEW = 68.0
EYE, SWAY = 1.47, 0.15
"""Height of the camera above the floor, and how far it goes up and down, in metres."""
WAYS, SMOOTH = 48, 4
"""Directions in which the walk looks for free floor, and over how many to each side it is evened out."""
LARGEST_SIDE = 4096
MOST_VIEWS = 2000


@dataclass(frozen=True)
class Room:
    """A room: its lit world, its inner size (x, y, z), and its seed."""

    world: World
    size: Vector
    seed: int


@dataclass(frozen=True)
class RoomSettings:
    """Photos of one room: ``views`` to learn from and ``held_out`` between them, their size in pixels, which room."""

    views: int = 60
    held_out: int = 8
    width: int = 160
    height: int = 120
    seed: int = 0
    style: str = "mixed"


@one_thread()
def room(seed: int = 0, style: str = "mixed", rays: int = 48) -> Room:
    """The living room of a seed, lit once for all views.

    ``rays`` directions a vertex go into what surfaces send to each other: fewer are faster and blotchier.
    """
    plan = living_room(seed, style)
    return Room(build(plan.parts, plan.lights, rays), plan.size, seed)


def walk(scene: Room, count: int, width: int, height: int) -> Camera:
    """``count`` cameras on a closed walk, two rounds at different reach and height, looking across the room.

    The walk goes around the place from which most of the floor can be reached in a straight line, ``CLEARANCE`` from
    everything. Raises ValueError where there is no such place.
    """
    turn = torch.arange(count) * (4 * math.pi / count)
    half = turn / 2  # runs once through while the walk goes round twice
    center, reach = _free_star(scene)
    angle = torch.remainder(turn, 2 * math.pi) / (2 * math.pi) * len(reach)
    before = angle.floor().long() % len(reach)
    far = torch.lerp(reach[before], reach[(before + 1) % len(reach)], angle - angle.floor())
    far = far * (0.84 + 0.16 * torch.cos(half))
    heights = EYE + SWAY * torch.sin(half + 0.6)
    eye = torch.stack([center[0] + far * turn.cos(), center[1] + far * turn.sin(), heights], -1)
    aside = 0.75 * torch.sin(1.5 * turn + 1.0)
    across = torch.nn.functional.normalize(-0.7 * eye[:, :2] - 0.3 * torch.stack([turn.cos(), turn.sin()], -1), dim=-1)
    right = torch.stack([across[:, 1], -across[:, 0]], -1)
    ahead = across * 1.9 + right * aside[:, None]
    down = -0.42 + 0.3 * torch.sin(2.5 * turn)
    target = eye + torch.cat([ahead, down[:, None]], -1)
    focal = focal_from_fov(FIELD_OF_VIEW, width)
    pose = look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))
    middle = torch.tensor([width / 2, height / 2]).expand(count, 2)
    return Camera(pose, torch.full((count, 2), focal), middle, width, height)


def _free_star(scene: Room) -> tuple[Float[Tensor, "2"], Float[Tensor, "a"]]:
    """A place on the floor, and how far one can walk from it in each of ``WAYS`` directions, evened out."""
    x, y, _ = scene.size
    step = 0.1
    xs, ys = (torch.arange(-side / 2 + 0.5, side / 2 - 0.5, step) for side in (x, y))
    place = torch.stack(torch.meshgrid(xs, ys, torch.tensor([EYE - SWAY, EYE, EYE + SWAY]), indexing="ij"), -1)
    free = (clearance(scene, place.reshape(-1, 3)).reshape(place.shape[:3]) > CLEARANCE + 0.07).all(-1)
    angle = torch.arange(WAYS) * (2 * math.pi / WAYS)
    radius = torch.arange(1, int(max(x, y) / step)) * step
    offset = radius[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)  # [r, a, 2]
    low, size = torch.tensor([float(xs[0]), float(ys[0])]), torch.tensor(free.shape)
    best: tuple[float, Tensor, Tensor] | None = None
    for i, k in free.nonzero()[::3].tolist():
        center = torch.tensor([float(xs[i]), float(ys[k])])
        index = ((center + offset - low) / step).round().long()
        inside = ((index >= 0) & (index < size)).all(-1)
        index = torch.minimum(index.clamp(min=0), size - 1)
        passable = (inside & free[index[..., 0], index[..., 1]]).cumprod(0).bool()
        reach = passable.sum(0) * step
        # The least within a window, then the mean over it: smooth, and nowhere more than what is free.
        near = torch.stack([reach.roll(n) for n in range(-SMOOTH, SMOOTH + 1)])
        least = near.amin(0)
        even = torch.stack([least.roll(n) for n in range(-SMOOTH, SMOOTH + 1)]).mean(0)
        worth = float(even.square().mean())
        if float(even.min()) >= 0.1 and (best is None or worth > best[0]):
            best = worth, center, even
    if best is None:
        raise ValueError(f"room {scene.seed} leaves no room for a walk")
    return best[1], best[2]


def clearance(scene: Room, points: Tensor) -> Tensor:
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


def write_room(out: Path | str, settings: RoomSettings, workers: int | None = None, quiet: bool = True) -> bool:
    """Photographs a room into the folder ``out``; False where it was asked to stop before the end.

    Raises BadInput: a count or size out of range, an unknown style, or a folder that cannot be written.
    """
    require_sane(settings)
    living_room(settings.seed, settings.style)  # an unknown style is refused before any folder is made
    total = settings.views + settings.held_out
    batch = Batch("a room", total, "photo", asdict(settings))
    return write_batch(out, batch, partial(write_view, settings), partial(write_transforms, settings), workers, quiet)


def require_sane(settings: RoomSettings) -> None:
    """Raises BadInput where a count or size is out of range."""
    for value, name, least, most in (
        (settings.views, "views", 2, MOST_VIEWS),
        (settings.held_out, "held-out views", 0, settings.views),
        (settings.width, "width", 8, LARGEST_SIDE),
        (settings.height, "height", 8, LARGEST_SIDE),
    ):
        if not least <= value <= most:
            raise BadInput(f"A room of {value} {name} cannot be made: choose {least} to {most}.")


@lru_cache(maxsize=1)
def photographed(settings: RoomSettings) -> tuple[Room, Camera]:
    """The room and all its cameras; kept, because every photo asks for them."""
    scene = room(settings.seed, settings.style)
    return scene, walk(scene, settings.views + settings.held_out, settings.width, settings.height)


def write_view(settings: RoomSettings, folder: Path, index: int) -> None:
    """Writes photo ``index`` and its depth into ``folder``."""
    scene, cameras = photographed(settings)
    photo = render(scene.world, cameras[index])
    (folder / "images").mkdir()
    (folder / "depth").mkdir()
    write_image(folder / "images" / f"{index:04d}.png", to_uint8(photo.color))
    write_depth(folder / "depth" / f"{index:04d}.png", planar_depth(cameras[index], photo.depth))


def held_out(settings: RoomSettings) -> tuple[int, ...]:
    """The photos to measure on, spread evenly over the walk."""
    total = settings.views + settings.held_out
    return tuple(int((k + 0.5) * total / settings.held_out) for k in range(settings.held_out))


def write_transforms(settings: RoomSettings, folder: Path) -> None:
    """Writes ``transforms.json``: the cameras, and which photos are held out."""
    _, camera = photographed(settings)
    names = [f"{index:04d}.png" for index in range(len(camera))]
    write_json(folder / "transforms.json", transforms(camera, names, held_out(settings)))
