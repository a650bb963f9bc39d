"""The photos that scenes are learned from, and which of their places a step looks at.

A *cell* is what one latent stands for: a patch of pixels of one photo, or in colours one pixel. Cells are drawn from
the part of each photo onto which the box of the class projects: outside of it all is background whatever is learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from fieldscape.cameras import pixel_rays, project
from fieldscape.errors import BadInput
from fieldscape.systems.latents.objects import Objects
from fieldscape.systems.latents.planes.render import Place
from fieldscape.types import Camera, Rays, Views


@dataclass(frozen=True)
class Cells:
    """Places of a step: cell (x, y) of photo ``view``, which shows the scene in row ``scene`` of the batch."""

    view: Int[Tensor, "n"]
    xy: Int[Tensor, "n 2"]
    scene: Int[Tensor, "n"]

    def __getitem__(self, run: slice) -> Cells:
        return Cells(self.view[run], self.xy[run], self.scene[run])


@dataclass(frozen=True)
class Photos:
    """The photos to learn from, of all objects.

    images: those of all objects, as stored.  rows: which of them are learned from.  first: scene i has the photos
    first[i]:first[i + 1] of those.  camera: of those, in cells.  window: first and last cell (x, y) that may show
    anything.  device: where pictures go to; all else, and which are drawn, stays on the CPU.
    """

    images: np.ndarray | Tensor
    rows: Int[Tensor, "v"]
    first: Int[Tensor, "f"]
    camera: Camera
    window: Int[Tensor, "v 2 2"]
    device: torch.device

    def of_scenes(self, scenes: range) -> Photos:
        """The photos of these scenes alone, which are numbered from 0 then."""
        runs = [torch.arange(int(self.first[i]), int(self.first[i + 1])) for i in scenes]
        kept: Int[Tensor, "w"] = torch.cat(runs)
        first = torch.tensor([0, *map(len, runs)]).cumsum(0)
        return replace(self, rows=self.rows[kept], first=first, camera=self.camera[kept], window=self.window[kept])

    def pictures(self, view: Int[Tensor, "n"], shift: tuple[int, int] = (0, 0)) -> Float[Tensor, "n 3 h w"]:
        """Whole photos, 0..1, moved by ``shift`` pixels (right, down), with white coming in."""
        chosen = self.rows[view]
        if isinstance(self.images, Tensor):
            taken = self.images[chosen]
        else:
            taken = torch.from_numpy(self.images[chosen.numpy()])
        taken = taken.to(self.device)
        right, down = shift
        height, width = taken.shape[1:3]
        return pad(taken.movedim(-1, 1).float() / 255, (right, 0, down, 0), value=1.0)[..., :height, :width]

    def draw_cells(self, scenes: Int[Tensor, "s"], each: int, chance: torch.Generator) -> Cells:
        """``each`` random cells of random photos of each scene."""
        view = self.draw_views(scenes.repeat_interleave(each), chance)
        low, high = self.window[view].unbind(1)
        xy = low + (torch.rand(low.shape, generator=chance) * (high - low + 1)).long().minimum(high - low)
        return Cells(view, xy, torch.arange(len(scenes)).repeat_interleave(each))

    def draw_views(self, scenes: Int[Tensor, "s"], chance: torch.Generator) -> Int[Tensor, "s"]:
        """One random photo of each scene."""
        first, count = self.first[scenes], self.first[scenes + 1] - self.first[scenes]
        return first + (torch.rand(len(scenes), generator=chance) * count).long().minimum(count - 1)

    def whole(self, view: Int[Tensor, "n"]) -> Cells:
        """All cells of photos of as many scenes, row by row."""
        width, height = self.camera.width, self.camera.height
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        xy = torch.stack([x, y], -1).reshape(-1, 2)
        count = len(xy)
        rows = torch.arange(len(view)).repeat_interleave(count)
        return Cells(view.repeat_interleave(count), xy.repeat(len(view), 1), rows)


def coarse(camera: Camera, factor: int) -> Camera:
    """The camera whose pixels are patches of ``factor`` x ``factor`` of this one's. Raises BadInput for odd sizes."""
    if camera.width % factor or camera.height % factor:
        raise BadInput(
            f"Pictures of {camera.width} x {camera.height} pixels cannot be cut into patches of {factor} x {factor}: "
            "give other sizes, or another factor."
        )
    small = (camera.width // factor, camera.height // factor)
    return Camera(camera.pose, camera.focal / factor, camera.center / factor, *small, camera.lens, camera.distortion)


def shifted(camera: Camera, shift: tuple[int, int], factor: int) -> Camera:
    """The camera, in cells, of photos that were moved by ``shift`` pixels (right, down)."""
    moved = torch.tensor(shift, dtype=torch.float32, device=camera.center.device) / factor
    return replace(camera, center=camera.center + moved)


def shifts(phases: int, factor: int) -> list[tuple[int, int]]:
    """By how many pixels (right, down) photos are moved, so that patches fall otherwise on them.

    >>> shifts(1, 4), shifts(2, 4)
    ([(0, 0)], [(0, 0), (2, 0), (0, 2), (2, 2)])
    """
    steps = [i * factor // phases for i in range(phases)]
    return [(right, down) for down in steps for right in steps]


def rays_of(camera: Camera, cells: Cells) -> Rays:
    """The rays through the middles of cells."""
    return pixel_rays(camera[cells.view], cells.xy + 0.5)


def of_objects(objects: Objects, factor: int, place: Place) -> Photos:
    """The photos of many objects that are not held out; pictures of them go to the device of ``place``."""
    rows = np.nonzero(~objects.held_out)[0]
    first = np.searchsorted(rows, objects.first)
    if (np.diff(first) < 1).any():
        raise BadInput(f"Of {objects.names[int(np.diff(first).argmin())]} no view is left to learn from.")
    camera = coarse(objects.cameras(rows), factor)
    ends = torch.from_numpy(first.astype(np.int64))
    return Photos(objects.images, torch.from_numpy(rows), ends, camera, window(camera, place), place.low.device)


def of_views(views: Views, factor: int, place: Place) -> Photos:
    """The photos of one object that are not held out, as ``of_objects`` has them. Raises BadInput for none."""
    if not views.train:
        raise BadInput("No view of the object is left to learn from: hold out fewer.")
    rows = torch.tensor(views.train)
    images = views.images if views.images.dtype == torch.uint8 else (views.color(slice(None)) * 255).round().byte()
    camera = coarse(views.camera[rows], factor)
    return Photos(images, rows, torch.tensor([0, len(rows)]), camera, window(camera, place), place.low.device)


def window(camera: Camera, place: Place) -> Int[Tensor, "v 2 2"]:
    """First and last cell (x, y) of the rectangle around the box in each photo; all, where it reaches behind one."""
    corners = torch.cartesian_prod(*torch.stack([place.low, place.high], -1).cpu())
    size = torch.tensor([camera.width, camera.height])
    pixels, z = project(camera.map(lambda tensor: tensor[:, None]), corners[None].expand(len(camera), 8, 3))
    behind = (z <= 1e-3).any(1)[:, None]
    first = pixels.amin(1).floor().clamp(min=0).minimum(size - 1.0)
    last = pixels.amax(1).ceil().sub(1).clamp(min=0).minimum(size - 1.0)
    first, last = torch.where(behind, 0.0, first), torch.where(behind, size - 1.0, last)
    return torch.stack([first, last.maximum(first)], 1).long()
