"""How the bricks learn on a CPU: the kernels' half of ``train_voxels``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from fieldscape import resuming
from fieldscape.checkpoints import Checkpoint
from fieldscape.framing import Framing
from fieldscape.kernels.compiling import is_kept
from fieldscape.kernels.learn import Photos, Rates, learn
from fieldscape.kernels.lenses import LENS_NUMBERS, lens_table, pose_table
from fieldscape.progress import Bar
from fieldscape.systems.nerf.adjusting import Adjustment
from fieldscape.systems.nerf.config import VoxelConfig, smoothness
from fieldscape.systems.nerf.pool import Pool
from fieldscape.types import Camera, Rendered, Views
from fieldscape.voxels.bricks import Bricks, Workers

RAYS_A_STEP = 2**14
"""Enough to keep every thread busy for some milliseconds between two looks at the clock."""

MEMORY = 0.99
"""Share of the mean squared gradient kept at each move of a vertex."""


LOOKS = 200
"""Steps in which the pose of a photo that was not learned from is found."""


class BrickLearner:
    """Bricks and all that moves them. ``rays_a_step`` random pixels make one call of ``learn``."""

    def __init__(
        self,
        views: Views,
        framing: Framing,
        pool: Pool,
        unseen: Pool | None,
        background: Tensor | None,
        config: VoxelConfig,
        seed: int,
        bar: Bar,
    ):
        if not is_kept("learn"):
            bar.say("Compiling the kernels for this processor: about ten seconds, the first time only.")
        self.framing, self.config, self.background, self.camera = framing, config, background, views.camera
        self.unseen = unseen
        self.rays_a_step = config.n_rand or RAYS_A_STEP
        self.workers = Workers(1 if config.deterministic else torch.get_num_threads())
        self.seed = seed * 0x5851F42D + 0x14057B7E
        self.drawn = 0
        self.adjustment = Adjustment(views, framing, config)
        self.photos = Photos(
            bytes_of(views),
            pool.empty if pool.empty is not None else np.zeros((0, 0, 0), np.uint8),
            pool.pixels,
            pose_table(views.camera),
            lens_table(views.camera),
            self.adjustment.gains,
            LENS_NUMBERS[views.camera.lens],
        )
        self.told = np.zeros((self.workers.count, 3))
        # Every kernel is called once on next to nothing: the first call compiles it, and the clock is not running yet.
        self.start((8, 8, 8), True)
        self._call(self.rates(0.0), 0, 0)
        self.refine((9, 9, 9), True)
        self.settle()
        self.picture(replace(views.camera[0], width=1, height=1))

    def rates(self, progress: float) -> Rates:
        """How far things move at a share ``progress`` of the training."""
        config, fall = self.config, self.config.lr_decay**progress
        return Rates(
            density=np.float32(config.lr_density * fall),
            color=np.float32(config.lr_color * fall),
            smooth=np.float32(smoothness(config, self.framing.unbounded)),
            opacity=np.float32(config.opacity),
            memory=np.float32(MEMORY),
            tolerance=np.float32(config.robust if progress > 0.1 else 0),
            any_background=config.any_background,
            cameras=self.adjustment.active,
        )

    def start(self, shape: tuple[int, int, int], allowed: Bool[Tensor, "i j k"] | bool) -> None:
        """Begins with an empty grid."""
        cells = np.ones((shape[0] - 1, shape[1] - 1, shape[2] - 1), bool)
        if not isinstance(allowed, bool):
            cells &= allowed.numpy()
        self.bricks = Bricks(self.framing, shape, cells, self.config.step, self.workers)

    def refine(self, shape: tuple[int, int, int], allowed: Bool[Tensor, "i j k"] | bool) -> None:
        """Goes on with a finer grid that starts as the coarser one."""
        self.bricks = self.bricks.refined(shape, allowed)

    def settle(self) -> None:
        """Stops visiting what is empty."""
        self.bricks.settle()

    def finish(self) -> None:
        """Leaves only what is seen, and finds, where poses are mended, those of photos that were not learned from."""
        self.bricks.settle(reach=0)
        if self.unseen is None:
            return
        photos = self.photos._replace(pool=self.unseen.pixels)
        still = self.rates(1.0)._replace(density=np.float32(0), color=np.float32(0))
        for n in range(LOOKS):
            self._call(still, n * self.rays_a_step, (n + 1) * self.rays_a_step, photos)
            self.adjustment.move(photos, self.config.lr_decay ** (n / LOOKS), centered=False)

    def field(self) -> Bricks:
        return self.bricks

    def cameras(self) -> Camera:
        """The cameras of all photos, as far as they are mended."""
        if not self.adjustment.poses_move:
            return self.camera
        return replace(self.camera, pose=self.adjustment.corrected().float())

    def learn(self, progress: float) -> float:
        """Learns from the next rays; returns their mean squared error."""
        rates = self.rates(progress)
        self.told[:] = 0
        self._call(rates, self.drawn, self.drawn + self.rays_a_step)
        self.drawn += self.rays_a_step
        if rates.cameras:
            self.adjustment.move(self.photos, self.config.lr_decay**progress)
        return float(self.told[:, 0].sum() / self.told[:, 1].sum())

    def _call(self, rates: Rates, first: int, last: int, photos: Photos | None = None) -> None:
        grid, place = self.bricks.grid, self.bricks.place
        behind = np.zeros(3, np.float32) if self.background is None else self.background.numpy()

        def work(worker: int, first: int, last: int) -> None:
            samples, told = self.workers.samples[worker], self.told[worker]
            pulls = self.adjustment.pulls[worker % len(self.adjustment.pulls)]
            learn(grid, place, photos or self.photos, rates, behind, self.seed, first, last, samples, told, pulls)

        self.workers.share(work, first, last)

    def picture(self, camera: Camera) -> Rendered:
        return self.bricks.picture(camera, self.background)

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint needs, with ``state``."""
        return resuming.prefixed("bricks", self.bricks.tensors(16)) | self.adjustment.tensors()

    def state(self) -> dict[str, object]:
        return {"shape": list(self.bricks.shape), "drawn": self.drawn}

    def restore(self, resume: Checkpoint, allowed: Bool[Tensor, "i j k"] | bool = True) -> None:
        """Goes on where a checkpoint was written. Raises BadInput if it is not one of such a field."""
        x, y, z = (int(n) for n in resume.state["shape"])
        self.start((x, y, z), allowed)
        self.bricks.load(resuming.under("bricks", resume.tensors))
        self.drawn = int(resume.state["drawn"])
        self.adjustment.restore(resume.tensors, self.photos)


def bytes_of(views: Views) -> np.ndarray:
    """The photos as uint8 [v, h, w, c], shared where they are so already."""
    images = views.images
    if images.dtype != torch.uint8:
        images = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    return images.contiguous().numpy()
