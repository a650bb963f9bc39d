"""Which points of a clip are followed: chosen pixels of some frames, or a file of them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.cameras import image_rays
from fieldscape.data.untrusted import finite, read_npz
from fieldscape.errors import BadInput
from fieldscape.files import read_bytes
from fieldscape.worlds.clips.clip import SKY, STILL, Clip, world_at
from fieldscape.worlds.clips.things import generator
from fieldscape.worlds.shading import World, one_thread

MOST = 1_000_000
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Queries:
    """Points to follow: the frame in which each is chosen, and its pixel there."""

    frame: Int[Tensor, "n"]
    pixel: Float[Tensor, "n 2"]

    def __len__(self) -> int:
        return len(self.frame)


def object_map(clip: Clip, world: World, frame: int) -> Int[Tensor, "h w"]:
    """The object at the centre of each pixel: its number, STILL or SKY."""
    rays = image_rays(clip.camera[frame].map(lambda tensor: tensor.float())).reshape(-1)
    face = world.caster.first(rays.origins, rays.directions).face
    owner = torch.where(face >= 0, clip.part_object[world.part[face.clamp(min=0)]], SKY)
    return owner.reshape(clip.settings.height, clip.settings.width)


def seed_frames(frames: int) -> list[int]:
    """First, middle and last frame, each once.

    >>> seed_frames(24), seed_frames(1)
    ([0, 12, 23], [0])
    """
    return sorted({0, frames // 2, frames - 1})


@one_thread()
def default_queries(clip: Clip, count: int, evenly: bool) -> Queries:
    """``count`` pixel centres of the first, middle and last frame: half of them on what moves, where there is room.

    ``evenly``: spread over the picture in an even pattern; else at random. The sky is taken when all else is used up.

    Raises BadInput where these frames have fewer pixels than that.
    """
    chosen = seed_frames(len(clip))
    area = clip.settings.width * clip.settings.height
    if count > area * len(chosen):
        most = area * len(chosen)
        raise BadInput(
            f"{count} tracks cannot be seeded: there is one a pixel at most in the first, middle and last frame, "
            f"{most} in all. Ask for fewer, or give a file of queries."
        )
    y, x = torch.meshgrid(torch.arange(clip.settings.height), torch.arange(clip.settings.width), indexing="ij")
    x, y = x.flatten(), y.flatten()
    frame, pixel = [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, 2, dtype=torch.float64)]
    for index, t in enumerate(chosen):
        share = count * (index + 1) // len(chosen) - count * index // len(chosen)
        if evenly:
            # The first pixels by these numbers form an even lattice, however many are taken (R2, Roberts 2018).
            rank = torch.frac(x * 0.7548776662466927 + y * 0.5698402909980532 + 0.5 * index)
        else:
            draw = generator(f"queries {clip.settings.seed} {t}")
            rank = torch.rand(area, generator=draw, dtype=torch.float64)
        order = rank.double().argsort(stable=True)
        owner = object_map(clip, world_at(clip, t), t).flatten()[order]
        moving, still, sky = (order[mask] for mask in (owner >= 0, owner == STILL, owner == SKY))
        half = min(share // 2, len(moving))
        take = torch.cat([moving[:half], still, moving[half:], sky])[:share].sort()[0]
        frame.append(torch.full((share,), t))
        pixel.append(torch.stack([x[take], y[take]], -1).double() + 0.5)
    return Queries(torch.cat(frame), torch.cat(pixel))


def require_inside(queries: Queries, frames: int, width: int, height: int) -> None:
    """Raises BadInput for a query that is no place of a clip of this length and size."""
    size = torch.tensor([width, height])
    good = (queries.frame >= 0) & (queries.frame < frames)
    good &= ((queries.pixel >= 0) & (queries.pixel < size)).all(-1)
    if not bool(good.all()):
        k = int((~good).nonzero()[0])
        (x, y), t = queries.pixel[k].tolist(), int(queries.frame[k])
        raise BadInput(
            f"Query {k} (frame {t}, x {x:g}, y {y:g}) is not in the clip: frames are 0 to {frames - 1}, "
            f"pixels from (0, 0) to ({width}, {height})."
        )


def read_queries(path: Path | str) -> tuple[Queries, str]:
    """The queries in a file that may hold anything, and the SHA-256 of its bytes.

    ``.csv``: lines of frame, x, y, perhaps under a heading. ``.npz``: arrays ``query_frame`` [n] and ``query_pixel``
    [n, 2], as a track file has them. Frames count from 0; the centre of the top-left pixel is (0.5, 0.5).

    Raises BadInput: no such file, another kind, damaged, too large, or numbers that are none.
    """
    path = Path(path)
    content = read_bytes(path, MAX_BYTES)
    if path.suffix.lower() == ".csv":
        queries = _from_csv(content, path)
    elif path.suffix.lower() == ".npz":
        queries = _from_npz(path)
    else:
        raise BadInput(f"{path} is no list of queries: give a .csv or .npz file, or the word grid or random.")
    if not 0 < len(queries) <= MOST:
        raise BadInput(f"{path} holds {len(queries)} queries; 1 to {MOST} were expected.")
    return queries, hashlib.sha256(content).hexdigest()


def _from_csv(content: bytes, path: Path) -> Queries:
    frames, pixels = [], []
    for number, raw in enumerate(io.BytesIO(content), 1):
        line = raw.decode("utf-8", "replace").strip()
        if not line or (number == 1 and line.lower().replace(" ", "") == "frame,x,y"):
            continue
        try:
            frame, x, y = line.split(",")
            frames.append(int(frame))
            pixels.append((float(x), float(y)))
        except ValueError as error:
            raise BadInput(f"{path}, line {number}: {line[:60]!r} is not frame, x, y.") from error
        if not -(2**31) < frames[-1] < 2**31:
            raise BadInput(f"{path}, line {number}: there is no frame {frames[-1]}.")
    pixel = torch.tensor(pixels, dtype=torch.float64).reshape(-1, 2)
    finite(pixel, "a pixel", str(path))
    return Queries(torch.tensor(frames, dtype=torch.long), pixel)


def _from_npz(path: Path) -> Queries:
    arrays = read_npz(path, MAX_BYTES * 8)
    if not {"query_frame", "query_pixel"} <= set(arrays):
        raise BadInput(f"{path} lacks query_frame or query_pixel; it holds {', '.join(sorted(arrays))[:200]}.")
    frame, pixel = arrays["query_frame"], arrays["query_pixel"]
    whole = frame.ndim == 1 and frame.dtype.kind in "iu"
    if not whole or pixel.shape != (len(frame), 2) or pixel.dtype.kind not in "fiu":
        raise BadInput(
            f"{path}: query_frame is {frame.dtype} {frame.shape} and query_pixel {pixel.dtype} {pixel.shape}; "
            "whole numbers [n] and numbers [n, 2] were expected."
        )
    finite(pixel, "query_pixel", str(path))
    return Queries(torch.from_numpy(frame.astype("int64")), torch.from_numpy(pixel.astype("float64")))
