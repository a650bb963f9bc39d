"""One photo each of many different rooms, as people take them: what a generator of rooms learns from.

A folder of them holds ``photos/``, the same photos as an LSUN database, and aside, in ``truth/``, what a photo does not
say: depth, and ``cameras.json``. They are not in one frame: each room stands in its own.
"""

from __future__ import annotations

import hashlib
import io
import math
import random
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import lmdb
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fieldscape.cameras import focal_from_fov, look_at, pixel_rays, planar_depth
from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.images import to_uint8, write_image
from fieldscape.meshes import Vector
from fieldscape.types import Camera
from fieldscape.worlds.batches import Batch, write_batch
from fieldscape.worlds.daylight import lit
from fieldscape.worlds.lights import sphere_points
from fieldscape.worlds.nerfstudio import write_depth
from fieldscape.worlds.rooms.plans import Plan, living_room
from fieldscape.worlds.shading import World, one_thread, render

FIELD_OF_VIEW = (45.0, 75.0)
"""Of the photo's width, in degrees."""
EYE = (1.15, 1.7)
"""Height of the camera above the floor, in metres."""
AIR = 0.45
"""Nothing is nearer to the camera than this, in metres."""
EXPOSURE, STOPS = 0.62, 0.5
"""Photos by people are darker than middle grey, and their exposure is off by so much: a standard deviation."""
TRIES = 12
LARGEST_SIDE = 1024
MOST_PHOTOS = 10_000_000
LSUN_NAME = "living_room_train_lmdb"


@dataclass(frozen=True)
class PhotoSettings:
    """How the photos are: side in pixels, the seed of all, the style of the rooms ("mixed": each another)."""

    size: int
    seed: int
    style: str = "mixed"


@one_thread()
def make_photo(settings: PhotoSettings, folder: Path, index: int) -> None:
    """Writes photo ``index`` and its truth into ``folder``."""
    plan = living_room(f"{settings.seed} {index}", settings.style)
    rng = random.Random(f"photo {settings.seed} {index}")
    world = lit(plan.parts, plan.lights)
    world = replace(world, exposure=world.exposure * EXPOSURE * 2 ** rng.gauss(0, STOPS))
    camera = snapshot(plan, world, settings.size, rng)
    photo = render(world, camera)
    name = f"{index:06d}"
    for part in ("photos", "truth/depth", "truth/cameras"):
        (folder / part).mkdir(parents=True)
    write_image(folder / "photos" / f"{name}.png", to_uint8(photo.color))
    write_depth(folder / "truth" / "depth" / f"{name}.png", planar_depth(camera, photo.depth))
    seen = {plan.parts[k].name for k in photo.part.unique().tolist() if k >= 0}
    about = {"style": plan.style, "lighting": plan.lighting, "size": list(plan.size), "shown": sorted(seen)}
    focal, center = camera.focal.tolist(), camera.center.tolist()
    record = {"pose": camera.pose.tolist(), "focal": focal, "center": center, "room": about}
    write_json(folder / "truth" / "cameras" / f"{name}.json", record)


def snapshot(plan: Plan, world: World, size: int, rng: random.Random) -> Camera:
    """A square picture of a room as a person would take it: from a side or a corner, level, with much to see.

    Of ``TRIES`` places with air around them, the one whose view is wide and shows most pieces is taken.

    Raises ValueError where no place has air around it.
    """
    degrees = rng.uniform(*FIELD_OF_VIEW)
    focal = torch.full((2,), focal_from_fov(degrees, size))
    for _ in range(4):
        eye, target = (torch.tensor(points) for points in zip(*(_stand(plan, rng) for _ in range(TRIES))))
        pose = look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]).expand_as(eye))
        worth = _worth(world, pose, degrees)
        if bool(worth.isfinite().any()):
            return Camera(pose[int(worth.argmax())], focal, torch.full((2,), size / 2), size, size)
    raise ValueError("a room leaves no place for a camera")


def _stand(plan: Plan, rng: random.Random) -> tuple[Vector, Vector]:
    """A place in the outer part of the floor, and one to look at on the other side of the middle."""
    x, y, z = plan.size
    angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0.55, 0.97)
    height = min(rng.uniform(*EYE), z - 0.5)
    eye = reach * (x / 2 - AIR) * math.cos(angle), reach * (y / 2 - AIR) * math.sin(angle), height
    aim = angle + math.pi + rng.uniform(-0.7, 0.7)
    return eye, (0.5 * x * math.cos(aim), 0.5 * y * math.sin(aim), rng.uniform(0.75, 1.2))


def _worth(world: World, pose: Float[Tensor, "n 4 4"], degrees: float) -> Float[Tensor, "n"]:
    """How much there is to see from each pose: pieces in view and how far it goes; -inf where something is too near."""
    side, count = 12, len(pose)
    around = sphere_points(64).expand(count, 64, 3)
    focal = torch.full((count, 1, 2), focal_from_fov(degrees, side))
    cameras = Camera(pose[:, None], focal, torch.full((count, 1, 2), side / 2), side, side)
    place = torch.arange(side) + 0.5
    pixels = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1).reshape(-1, 2).expand(count, -1, 2)
    ahead = pixel_rays(cameras, pixels).directions
    directions = torch.cat([around, ahead], 1)
    origins = pose[:, None, :3, 3].expand_as(directions)
    hits = world.caster.first(origins.reshape(-1, 3), directions.reshape(-1, 3))
    distance = torch.where(hits.face >= 0, hits.distance, math.inf).reshape(count, -1)
    part = torch.where(hits.face >= 0, world.part[hits.face.clamp(min=0)], -1).reshape(count, -1)[:, 64:]
    seen = part.sort(-1).values
    pieces = (seen.diff(dim=-1) != 0).sum(-1) + 1
    near, usual = distance[:, 64:].sort(-1).values[:, [side * side // 5, side * side * 3 // 10]].unbind(-1)
    worth = pieces + 2 * usual.clamp(max=8.0) - 20 * (near < 1.2).float()
    return torch.where(distance[:, :64].amin(-1) < AIR, -math.inf, worth)


def write_photos(
    out: Path | str, count: int, settings: PhotoSettings, workers: int | None = None, quiet: bool = True
) -> bool:
    """Makes ``count`` rooms and takes a photo of each; False where it was asked to stop before the end.

    Raises BadInput: a number out of range, an unknown style, or a folder that cannot be written.
    """
    if not 1 <= count <= MOST_PHOTOS:
        raise BadInput(f"{count} photos of rooms cannot be made: choose 1 to {MOST_PHOTOS}.")
    if not 8 <= settings.size <= LARGEST_SIDE:
        raise BadInput(f"Photos of {settings.size} pixels a side cannot be made: choose 8 to {LARGEST_SIDE}.")
    living_room(f"{settings.seed} 0", settings.style)  # an unknown style is refused before any folder is made
    batch = Batch("rooms", count, "photo", asdict(settings))
    return write_batch(out, batch, partial(make_photo, settings), partial(gather, settings), workers, quiet)


def gather(settings: PhotoSettings, folder: Path) -> None:
    """Brings the cameras into one file, and the photos into an LSUN database beside them."""
    cameras = {}
    parts = folder / "truth" / "cameras"
    for path in sorted(parts.glob("*.json")):
        cameras[f"{path.stem}.png"] = read_json(path)
    write_json(folder / "truth" / "cameras.json", {"settings": asdict(settings), "photos": cameras})
    for path in sorted(parts.glob("*.json")):
        path.unlink()
    parts.rmdir()
    write_lsun(folder / LSUN_NAME, sorted((folder / "photos").glob("*.png")))


def write_lsun(folder: Path, photos: list[Path]) -> None:
    """An LMDB environment as LSUN's are: a key of 40 hexadecimal digits for each photo, WebP its value."""
    folder.mkdir()
    room = sum(path.stat().st_size for path in photos) * 2 + 2**24
    with lmdb.open(str(folder), map_size=room) as environment, environment.begin(write=True) as transaction:
        for path in photos:
            packed = io.BytesIO()
            with Image.open(path) as image:
                image.save(packed, "WEBP", quality=90)
            key = hashlib.sha1(path.name.encode(), usedforsecurity=False).hexdigest()
            transaction.put(key.encode(), packed.getvalue())
