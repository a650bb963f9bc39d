"""What slots are measured against: k-means that is told how many things there are, Euclidean clustering, ellipsoids.

All work on the same points as slots do, with the same ground taken away, and give pixels their labels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans2
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from fieldscape.systems.slots.points import Observed, ray_grid, unproject

Array = np.ndarray

RADII = (0.1, 0.15, 0.2, 0.3, 0.45)
"""Of Euclidean clustering, in metres; the best is chosen for it."""
RESTARTS = 5
THINNEST = 0.02
"""The least half axis of an ellipsoid, in metres."""


def kmeans_labels(observed: Observed, count: int, seed: int = 0) -> Int[Tensor, "h w"]:
    """Pixels by the nearest of ``count`` means (Lloyd 1957; begun as k-means++; the best of five runs)."""
    labels = torch.zeros(observed.things.shape, dtype=torch.int64)
    cloud = observed.points.double().numpy()
    if not len(cloud) or count < 1:
        return labels
    count = min(count, len(cloud))
    best, means = math.inf, cloud[:count]
    for run in range(RESTARTS):
        random = np.random.Generator(np.random.PCG64([seed, run]))
        found, _ = (
            kmeans2(cloud, count, minit="++", rng=random, missing="warn") if count > 1 else (cloud.mean(0)[None], 0)
        )
        cost = float((cKDTree(found).query(cloud)[0] ** 2).sum())
        if cost < best:
            best, means = cost, found
    labels[observed.things] = torch.from_numpy(cKDTree(means).query(_cloud(observed))[1]).long() + 1
    return labels


def euclidean_labels(observed: Observed, radius: float) -> Int[Tensor, "h w"]:
    """Pixels by chains of points with steps of at most ``radius`` metres (Rusu 2009)."""
    labels = torch.zeros(observed.things.shape, dtype=torch.int64)
    cloud = observed.points.double().numpy()
    if not len(cloud):
        return labels
    tree = cKDTree(cloud)
    pairs = tree.query_pairs(radius, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cloud), len(cloud)))
    member = connected_components(links, directed=False)[1]
    labels[observed.things] = torch.from_numpy(member[tree.query(_cloud(observed))[1]]).long() + 1
    return labels


def _cloud(observed: Observed) -> Float[Array, "m 3"]:
    """The points of all pixels that show things, in the model frame."""
    space = unproject(observed.smooth.double().numpy(), *ray_grid(observed.depth_map))[observed.things.numpy()]
    moved = observed.from_camera.double().numpy()
    return space @ moved[:3, :3].T + moved[:3, 3]


class Ellipsoid(NamedTuple):
    """Model frame, metres. axes: half axes as columns, the longest last."""

    center: Float[Tensor, "3"]
    axes: Float[Tensor, "3 3"]

    @property
    def scale(self) -> float:
        """The root mean square distance of its surface's points from its centre."""
        return float(self.axes.square().sum().div(3).sqrt())

    @property
    def yaw(self) -> float:
        """The heading of the axis that reaches farthest along the ground, in radians about y; modulo half a turn."""
        flat = self.axes[[0, 2]]
        longest = int(flat.norm(dim=0).argmax())
        return math.atan2(float(flat[0, longest]), float(flat[1, longest]))


def ellipsoids(observed: Observed, labels: Int[Tensor, "h w"], least: int = 20) -> list[Ellipsoid]:
    """The ellipsoid with each label's mean and covariance, its points taken to lie on its surface; labels of fewer than
    ``least`` pixels have none. Points on the surface of an ellipsoid have a third of its half axis squared as variance.
    """
    columns, rows = observed.pixels.unbind(1)
    of = labels[rows, columns]
    sizes = torch.bincount(labels.reshape(-1))
    found = []
    for number in range(1, len(sizes)):
        mine = of == number
        if sizes[number] < least or not bool(mine.any()):
            continue
        points, weights = observed.points[mine].double(), observed.weights[mine].double()
        weights = weights / weights.sum()
        center = (weights[:, None] * points).sum(0)
        spread = points - center
        values, vectors = torch.linalg.eigh((weights[:, None] * spread).T @ spread)
        half = (3 * values.clamp_min(0)).sqrt().clamp_min(THINNEST)
        found.append(Ellipsoid(center.float(), (vectors * half).float()))
    return found


def ellipsoid_points(ellipsoid: Ellipsoid, count: int = 2048) -> Float[Tensor, "n 3"]:
    """Points on the surface, even on the ball that it is stretched from (a golden spiral)."""
    k = torch.arange(count, dtype=torch.float64) + 0.5
    height = 1 - 2 * k / count
    angle = k * math.pi * (3 - math.sqrt(5))
    ring = (1 - height.square()).sqrt()
    ball = torch.stack([ring * angle.cos(), ring * angle.sin(), height], -1).float()
    return ellipsoid.center + ball @ ellipsoid.axes.T
