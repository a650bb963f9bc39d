"""Cameras and exposures that learn along with the scene: slightly wrong poses mended, photos of uneven light evened.

A pose is corrected by a turn about the camera's centre and a move, both in world axes and both small; a photo's
exposure is a gain on each colour that the scene is multiplied with before it is compared. What only shifts all photos
alike (all cameras turned together, all photos brighter) is taken out again, since the scene could do the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import rotations
from fieldscape.framing import Framing
from fieldscape.kernels.learn import CAMERA_NUMBERS, Photos
from fieldscape.systems.nerf.config import VoxelConfig
from fieldscape.types import Views

BETAS = (0.9, 0.99)

GAIN_RATE = 2e-3
"""Step of an exposure, relative to 1."""

HOME = 1e-4
"""Share of a correction that is taken back at a step: what no photo asks for does not drift."""


class Adjustment:
    """What is learned of each photo, [v, 9]: its turn (3, radians), its move (3), the logarithm of its gains (3).

    pulls: where each thread of the kernels adds the gradient.  gains: [v, 4], exposures and how much a photo counts.
    """

    def __init__(self, views: Views, framing: Framing, config: VoxelConfig):
        self.poses_move, self.exposures_move = config.refine_poses, config.exposure
        self.active = self.poses_move or self.exposures_move
        count = len(views)
        self.poses = views.camera.pose.double().cpu()
        self.gains = np.ones((count, 4), np.float32)
        if views.weights is not None:
            self.gains[:, 3] = views.weights.numpy()
        self.values = np.zeros((count, CAMERA_NUMBERS))
        self.mean, self.square = np.zeros_like(self.values), np.zeros_like(self.values)
        self.age = np.zeros((count, 1))
        shape = (count, CAMERA_NUMBERS) if self.active else (0, CAMERA_NUMBERS)
        self.pulls = [np.zeros(shape, np.float32) for _ in range(torch.get_num_threads())]
        turn, move = config.lr_pose, config.lr_pose * framing.radius
        rates = [turn] * 3 + [move] * 3 if self.poses_move else [0.0] * 6
        self.rates = np.array(rates + [GAIN_RATE if self.exposures_move else 0.0] * 3)

    def move(self, photos: Photos, scale: float, centered: bool = True) -> None:
        """One step of Adam (Kingma and Ba 2015) for the photos that were pulled at, at ``scale`` times the rates.

        centered: what these photos have in common is taken out.
        """
        pull = np.stack(self.pulls).astype(np.float64).sum(0)
        for pulls in self.pulls:
            pulls[:] = 0
        # A gain is the exponential of its number.
        pull[:, 6:] *= self.gains[:, :3]
        met = (pull != 0).any(1)
        if not met.any():
            return
        b1, b2 = BETAS
        self.age[met] += 1
        self.mean[met] += (1 - b1) * (pull[met] - self.mean[met])
        self.square[met] += (1 - b2) * (pull[met] ** 2 - self.square[met])
        mean = self.mean[met] / (1 - b1 ** self.age[met])
        square = self.square[met] / (1 - b2 ** self.age[met])
        step = mean / (np.sqrt(square) + 1e-20) + HOME * self.values[met] / np.maximum(self.rates, 1e-12)
        values = self.values[met] - scale * self.rates * step
        self.values[met] = values - values.mean(0) if centered else values
        self.apply(photos)

    def apply(self, photos: Photos) -> None:
        """Puts the corrections into what the kernels read."""
        photos.poses[:] = self.corrected()[:, :3].reshape(len(self.values), 12).float().numpy()
        self.gains[:, :3] = np.exp(self.values[:, 6:])

    def corrected(self) -> Float[Tensor, "v 4 4"]:
        """The poses with their corrections, float64."""
        poses = self.poses.clone()
        turn = rotations.from_vector(torch.from_numpy(self.values[:, :3].copy()))
        poses[:, :3, :3] = turn @ poses[:, :3, :3]
        poses[:, :3, 3] += torch.from_numpy(self.values[:, 3:6])
        return poses

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs."""
        arrays = {"values": self.values, "mean": self.mean, "square": self.square, "age": self.age}
        return {f"adjustment.{name}": torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def restore(self, tensors: Mapping[str, Tensor], photos: Photos) -> None:
        """Goes on from what ``tensors`` gave."""
        for name in ("values", "mean", "square", "age"):
            getattr(self, name)[:] = tensors[f"adjustment.{name}"].numpy()
        self.apply(photos)
