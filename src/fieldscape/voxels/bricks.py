"""The voxel field on a CPU: the same field as ``voxels.VoxelField``, in bricks that take memory only where needed.

``VoxelField`` is the specification: ``Bricks.dense`` makes one, and both draw the same picture. Here the work is done
by the kernels of ``fieldscape.kernels``, on all cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate, max_pool3d

from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.kernels import grid as grids
from fieldscape.kernels import march
from fieldscape.kernels.grid import RAW, Grid, Place
from fieldscape.kernels.lenses import LENS_NUMBERS, lens_table, pose_table
from fieldscape.kernels.look import TILE, look
from fieldscape.types import Camera, Rendered
from fieldscape.voxels.field import OCCUPIED_RAW, VoxelField

LEARNED = RAW + 1
"""Lanes of a vertex that make the picture: twelve of colour, one of density. The rest is the optimiser's memory."""


TILES_IN_TURN = 8
"""Tiles that a thread draws before it leaves as many to each of the others."""


class Workers:
    """``count`` threads, each with scratch memory of its own; the kernels let them run at once."""

    def __init__(self, count: int):
        self.count = count
        self.pool = ThreadPoolExecutor(count, "kernel")
        self.samples = [march.make_samples() for _ in range(count)]

    def share(self, work: Callable[[int, int, int], None], first: int, last: int) -> None:
        """Calls ``work(worker, first, last)`` on each thread for its part of ``first``..``last``, and waits for all."""
        cuts = [first + (last - first) * i // self.count for i in range(self.count + 1)]
        tasks = [self.pool.submit(work, i, cuts[i], cuts[i + 1]) for i in range(self.count)]
        for task in tasks:
            task.result()


class Bricks:
    """A voxel field of ``shape`` vertices over the framing's box (or around it, unbounded), to visit in ``cells`` only.

    step: voxels between samples on a ray.  ``allowed`` is what ``cells`` were: cells that may ever be visited.
    """

    channels = 3

    def __init__(
        self,
        framing: Framing,
        shape: tuple[int, int, int],
        cells: Bool[np.ndarray, "i j k"],
        step: float,
        workers: Workers,
    ):
        self.framing, self.shape, self.step, self.workers = framing, shape, step, workers
        self.grid: Grid = grids.make_grid(shape, cells)
        self.allowed = self.grid.occupied.copy()
        low, high = framing.low.double().numpy(), framing.high.double().numpy()
        per_unit = (np.array(shape) - 1) / (high - low)
        length = (high - low)[0] / (shape[0] - 1) * (2 if framing.unbounded else 1)
        origin = framing.center.numpy() if framing.unbounded else low
        clear = framing.near if framing.unbounded else 0.0
        x, y, z, per_x, per_y, per_z = (np.float32(number) for number in (*origin, *per_unit))
        voxel, stride, near, reach = (np.float32(number) for number in (length, step, clear, framing.radius))
        self.place = Place(x, y, z, per_x, per_y, per_z, voxel, stride, near, reach, framing.unbounded)

    @property
    def cells(self) -> Bool[np.ndarray, "i j k"]:
        """The cells that are visited now."""
        x, y, z = self.shape
        return grids.unpacked(self.grid.occupied, self.grid.across, (x - 1, y - 1, z - 1))

    @property
    def bytes(self) -> int:
        """Memory that the bricks take."""
        return len(grids.kept(self.grid)) * 64 * self.grid.table[0].nbytes

    def settle(self, reach: int = 1) -> None:
        """Leaves the cells that are empty, but for neighbours of others up to ``reach`` (0 or 1) cells away."""
        before = grids.kept(self.grid)
        dense = grids.dense_cells(self.grid, OCCUPIED_RAW, reach)
        if self.framing.unbounded:
            # What lies at infinity is always asked for.
            for axis in range(3):
                np.moveaxis(dense, axis, 0)[[0, -1]] = True
        np.bitwise_and(grids.packed(dense, self.grid.across), self.allowed, out=self.grid.occupied)
        # A brick that is left is as if it had never been: checkpoints do not hold it.
        left = np.setdiff1d(before, grids.kept(self.grid), assume_unique=True)
        self.grid.table.reshape(-1, 64, 16)[left] = 0

    def refined(self, shape: tuple[int, int, int], allowed: Bool[Tensor, "i j k"] | bool) -> Bricks:
        """The same field on a finer grid, in the cells that it visits, their neighbours, and ``allowed`` ones only."""
        coarse = torch.from_numpy(self.cells)[None, None].float()
        cells = (shape[0] - 1, shape[1] - 1, shape[2] - 1)
        near = (max_pool3d(interpolate(coarse, cells, mode="nearest"), 3, 1, 1)[0, 0] > 0) & allowed
        fine = Bricks(self.framing, shape, near.numpy(), self.step, self.workers)
        self.workers.share(
            lambda _, first, last: grids.refine(self.grid, fine.grid, first, last), 0, fine.grid.across[0]
        )
        return fine

    def picture(self, camera: Camera, background: Float[Tensor, "3"] | None) -> Rendered:
        """What a single camera sees, leading dims [height, width]; the same every time."""
        batch = camera.map(lambda tensor: tensor[None])
        lens, lenses, poses = LENS_NUMBERS[camera.lens], lens_table(batch), pose_table(batch)
        behind = np.zeros(3, np.float32) if background is None else background.numpy()
        seen = np.empty((camera.height, camera.width, 8), np.float32)

        tiles = -(-camera.height // TILE) * -(-camera.width // TILE)
        count = self.workers.count

        def work(worker: int, first: int, last: int) -> None:
            # Parts in turn, so that each thread has its share of what is dense.
            for part in range(worker * TILES_IN_TURN, tiles, count * TILES_IN_TURN):
                end, samples = min(part + TILES_IN_TURN, tiles), self.workers.samples[worker]
                look(self.grid, self.place, lens, lenses, poses, behind, part, end, samples, seen)

        self.workers.share(work, 0, count)
        whole = torch.from_numpy(seen)
        return Rendered(whole[..., :3], whole[..., 4:5], whole[..., 3:4], normal=whole[..., 5:])

    def tensors(self, lanes: int = LEARNED) -> dict[str, Tensor]:
        """The bricks that are visited, with the first ``lanes`` lanes of their vertices, and which cells those are."""
        numbers = grids.kept(self.grid)
        lines = self.grid.table.reshape(-1, 64, 16)[numbers, :, :lanes]
        words = {"occupied": self.grid.occupied, "allowed": self.allowed}
        arrays = {"numbers": numbers, "lines": np.ascontiguousarray(lines), **words}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes what ``tensors`` gave. Raises BadInput where it does not fit this grid."""
        numbers, lines = tensors["numbers"].numpy(), tensors["lines"].numpy()
        bricks = len(self.grid.table) // 64
        fits = numbers.ndim == 1 and lines.shape[:2] == (len(numbers), 64) and LEARNED <= lines.shape[2] <= 16
        fits &= numbers.dtype == np.int32 and lines.dtype == np.float32
        words = [tensors[name].numpy() for name in ("occupied", "allowed")]
        fits &= all(w.shape == self.grid.occupied.shape and w.dtype == np.int32 for w in words)
        if not fits or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < bricks):
            raise BadInput("the bricks do not fit the grid that they are said to be of")
        self.grid.table.reshape(-1, 64, 16)[numbers, :, : lines.shape[2]] = lines
        self.grid.occupied[:], self.allowed[:] = words

    def dense(self) -> VoxelField:
        """The same field as one dense table: what GPUs and tests work with."""
        field = VoxelField(self.framing.low, self.framing.high, self.shape, self.framing.unbounded)
        lines = np.empty((*self.shape, LEARNED), np.float32)
        grids.read_lanes(self.grid, 0, lines)
        flat = torch.from_numpy(lines).reshape(-1, LEARNED)
        with torch.no_grad():
            field.color.copy_(flat[:, :RAW])
            field.density.copy_(flat[:, RAW:])
        field.occupied = torch.from_numpy(self.cells)
        return field


def from_dense(field: VoxelField, framing: Framing, step: float, workers: Workers) -> Bricks:
    """The bricks of a dense field of three channels."""
    bricks = Bricks(framing, field.shape, field.occupied.numpy(), step, workers)
    lines = torch.cat([field.color, field.density], 1).detach().reshape(*field.shape, LEARNED)
    grids.write_lanes(bricks.grid, 0, np.ascontiguousarray(lines.numpy()))
    return bricks
