"""From a depth map to the points that slots explain, in the model frame: unprojected, the ground and walls put aside.

The model frame is that of ``ground``. Points farther than the far cut are left out, as are the ground, walls, the sky
and unknown pixels; the rest is thinned to at most one pixel a voxel, whose size grows with distance as pixels do,
and each point stands for the surface that the pixels of its voxel show (its weight, in square metres). Where more are
left than wanted, some are drawn by weight (systematic sampling, Madow 1949), and the others' surface is passed on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.kernels.patches import fit_patches
from fieldscape.systems.slots.ground import find_ground, find_walls, ground_mask, to_model
from fieldscape.systems.slots.surfaces import find_surfaces

Array = np.ndarray

TOP = 0.02
"""Metres from the plane of a table's top within which a point belongs to it, over the noise."""
SHALLOWEST = 0.2
"""The least cosine between a surface and the ray to it that areas are reckoned with."""


@dataclass(frozen=True)
class PointSettings:
    """How a depth map becomes points."""

    points: int = 1024
    """The most points."""

    far: float = 10.0
    """Where what is charged ends, in metres: 10 indoors and for synthetic streets, 40 for driving."""

    voxel: float = 0.05
    """The side of a voxel in metres: 0.05 indoors, 0.15 for driving."""

    voxel_from: float = 5.0
    """The distance from which on voxels grow with it, in metres; 15 for driving."""

    walls: int = 4
    """The most upright background planes that are looked for; 0: none."""

    wall_share: float = 0.08
    """Of the known points, that a wall must have."""

    wall_width: float = 2.5
    """That a wall must have, in metres; and half of it as height."""

    surfaces: int = 0
    """The most large planes of any direction that are put aside too, in rooms: table tops, counters, doors; 0: none."""

    surface_share: float = 0.05
    """Of the pixels that are left, that such a plane must have."""

    surface_length: float = 0.8
    """That it must have, in metres; and half of it as width."""

    seed: int = 0
    """Of what is drawn."""


@dataclass(frozen=True)
class Observed:
    """What a depth map shows, made ready for slots.

    points: model frame, metres.  weights: square metres of surface.  pixels: column, row.  normals: model frame,
    towards the camera.  normal, offset: the ground ``normal . x = offset`` in camera axes; the normal points up, so
    -offset is the camera's height.  from_camera: camera axes to model frame.  ground, background (walls and other large
    planes), sky: pixels.
    smooth: planar depth without its noise, 0 where unknown.  normal_map: camera axes, towards the camera, 0 where
    unknown.  slopes: inverse depth and its slopes along columns and rows, see ``kernels.patches``.  noise: estimated
    standard deviation of depth, as a share of it.  notes: sentences for the user.
    """

    points: Float[Tensor, "n 3"]
    weights: Float[Tensor, "n"]
    pixels: Int[Tensor, "n 2"]
    normals: Float[Tensor, "n 3"]
    normal: Float[Tensor, "3"]
    offset: float
    from_camera: Float[Tensor, "4 4"]
    ground: Bool[Tensor, "h w"]
    background: Bool[Tensor, "h w"]
    sky: Bool[Tensor, "h w"]
    smooth: Float[Tensor, "h w"]
    normal_map: Float[Tensor, "h w 3"]
    slopes: Float[Tensor, "h w 3"]
    noise: float
    far: float
    depth_map: DepthMap
    notes: tuple[str, ...] = ()

    @property
    def things(self) -> Bool[Tensor, "h w"]:
        """The pixels that slots have to explain: known, near enough, and neither ground nor wall."""
        return (self.smooth > 0) & (self.smooth < self.far) & ~self.ground & ~self.background


def prepare(depth_map: DepthMap, settings: PointSettings) -> Observed:
    """The points of a depth map. The same map and settings give the same points.

    Raises BadInput where nothing is known of the depth, or it is not a number where it is said to be known.
    """
    known = (depth_map.valid & ~depth_map.sky).numpy()
    depth = np.where(known, depth_map.depth.double().numpy(), 0.0)
    if not np.isfinite(depth).all() or (depth[known] <= 0).any():
        raise BadInput(f"{depth_map.name}: the depth of pixels marked as known is not a positive number of metres.")
    if not known.any():
        raise BadInput(f"{depth_map.name}: no pixel has a known depth, so there is nothing to find things in.")
    noise = noise_of(depth)
    ray_x, ray_y = ray_grid(depth_map)
    slopes = fit_patches(depth, window_of(noise), noise)
    smooth = np.zeros(depth.shape)
    np.divide(1.0, slopes[..., 0], out=smooth, where=slopes[..., 0] > 0)
    normal_map = normals_of(slopes, ray_x, ray_y)
    space = unproject(smooth, ray_x, ray_y)
    ground = find_ground(unproject(depth, ray_x, ray_y), normal_map, known, noise, settings.seed)
    up = ground.normal.double().numpy()
    on_ground, walls = np.zeros((2, *known.shape), bool)
    if ground.seen:
        heights, upward = space @ up + ground.height, normal_map @ up
        on_ground = known & ground_mask(heights, upward, ground.height, noise)
        if ground.table:
            # What lies below a table is not rubbish of the sensor, and nothing is said of what hangs over its edge.
            walls = on_ground & (np.abs(heights) < TOP + 2.5 * noise * ground.height) & (upward > 0.8)
            on_ground = np.zeros_like(on_ground)
    if settings.walls:
        free = known & ~on_ground & ~walls
        sizes = (settings.walls, settings.wall_share, settings.wall_width)
        walls = walls | find_walls(space, free, known, ground, noise, settings.seed, *sizes)
    if settings.surfaces:
        near = known & ~on_ground & ~walls & (smooth < settings.far)
        limits = (settings.surfaces, settings.surface_share, settings.surface_length)
        walls = walls | find_surfaces(space, normal_map, near, noise, settings.seed, *limits)
    moved = to_model(ground)
    wanted = known & ~on_ground & ~walls & (smooth < settings.far)
    rows, columns = np.nonzero(wanted)
    areas = pixel_areas(smooth, normal_map, ray_x, ray_y)[wanted]
    kept, weights = thinned(space[wanted], areas, settings)
    turn = moved[:3, :3].double().numpy()
    points = space[rows[kept], columns[kept]] @ turn.T + moved[:3, 3].double().numpy()
    notes = () if ground.seen else ("No ground was found: the camera is taken to look level, 1.6 m above it.",)
    if ground.table:
        notes = ("No floor was found: heights are over the lowest level surface seen, as of a table.",)
    return Observed(
        points=torch.from_numpy(points).float(),
        weights=torch.from_numpy(weights).float(),
        pixels=torch.from_numpy(np.stack([columns[kept], rows[kept]], -1)),
        normals=torch.from_numpy(normal_map[rows[kept], columns[kept]] @ turn.T).float(),
        normal=ground.normal,
        offset=-ground.height,
        from_camera=moved,
        ground=torch.from_numpy(on_ground),
        background=torch.from_numpy(walls),
        sky=depth_map.sky,
        smooth=torch.from_numpy(smooth).float(),
        normal_map=torch.from_numpy(normal_map).float(),
        slopes=torch.from_numpy(slopes).float(),
        noise=noise,
        far=settings.far,
        depth_map=depth_map,
        notes=notes,
    )


def noise_of(depth: Float[Array, "h w"]) -> float:
    """The standard deviation of depth's error as a share of depth, from the depth [h, w] alone (0: unknown).

    On planes the inverse depth has no second differences; those that there are come from noise, and from the few edges,
    which a median passes over. A second difference of independent errors has six times their variance.
    """
    w = np.zeros(depth.shape)
    np.divide(1.0, depth, out=w, where=depth > 0)
    found = []
    for one, middle, other in ((w[:, :-2], w[:, 1:-1], w[:, 2:]), (w[:-2], w[1:-1], w[2:])):
        known = (one > 0) & (middle > 0) & (other > 0)
        found.append(np.abs(one - 2 * middle + other)[known] / middle[known])
    bends = np.concatenate(found)
    return float(np.median(bends)) / 0.6745 / 6**0.5 if len(bends) else 0.0


def window_of(noise: float) -> int:
    """The radius in pixels of the windows that planes are fitted to, for noise of this share."""
    return 1 if noise < 0.002 else 2 if noise < 0.006 else 3


def ray_grid(depth_map: DepthMap) -> tuple[Float[Array, "w"], Float[Array, "h"]]:
    """x / z of each column and y / z of each row of a pinhole camera; raises BadInput for another lens."""
    camera = depth_map.camera
    if camera.lens != "pinhole":
        raise BadInput(f"{depth_map.name}: depth maps are read through a pinhole camera, not a {camera.lens} lens.")
    focal, center = camera.focal.double().numpy(), camera.center.double().numpy()
    return (np.arange(camera.width) + 0.5 - center[0]) / focal[0], (np.arange(camera.height) + 0.5 - center[1]) / focal[
        1
    ]


def unproject(depth: Float[Array, "h w"], ray_x: Float[Array, "w"], ray_y: Float[Array, "h"]) -> Float[Array, "h w 3"]:
    """Planar depth to points in camera axes."""
    return np.stack([depth * ray_x, depth * ray_y[:, None], depth], -1)


def normals_of(
    slopes: Float[Array, "h w 3"], ray_x: Float[Array, "w"], ray_y: Float[Array, "h"]
) -> Float[Array, "h w 3"]:
    """Unit normals towards the camera from inverse depth w and its slopes: w = n . (x, y, 1) / d on n . X = d."""
    a, b = slopes[..., 1] / (ray_x[1] - ray_x[0]), slopes[..., 2] / (ray_y[1] - ray_y[0])
    c = slopes[..., 0] - a * ray_x - b * ray_y[:, None]
    away = np.stack([a, b, c], -1)
    lengths = np.linalg.norm(away, axis=-1, keepdims=True)
    return -np.divide(away, lengths, out=np.zeros_like(away), where=lengths > 0)


def pixel_areas(
    depth: Float[Array, "h w"], normals: Float[Array, "h w 3"], ray_x: Float[Array, "w"], ray_y: Float[Array, "h"]
) -> Float[Array, "h w"]:
    """Square metres of surface that each pixel shows, slanted ones no more than five times those that face it."""
    rays = np.stack(np.broadcast_arrays(ray_x, ray_y[:, None], 1.0), -1)
    cosine = -(normals * rays).sum(-1)
    across = depth**2 * abs((ray_x[1] - ray_x[0]) * (ray_y[1] - ray_y[0]))
    return across / np.maximum(cosine, SHALLOWEST * np.linalg.norm(rays, axis=-1))


def thinned(
    points: Float[Array, "m 3"], areas: Float[Array, "m"], settings: PointSettings
) -> tuple[Int[Array, "n"], Float[Array, "n"]]:
    """Which points are kept, in ascending order, and the area that each stands for; their sum is that of ``areas``."""
    if not len(points):
        return np.zeros(0, np.int64), np.zeros(0)
    random = np.random.Generator(np.random.PCG64(settings.seed))
    # Half octaves of distance, so that a voxel's size does not change within it.
    level = np.floor(2 * np.log2(np.maximum(points[:, 2] / settings.voxel_from, 1.0)))
    cells = np.floor(points / (settings.voxel * 2 ** (level / 2))[:, None]).astype(np.int64)
    order = random.permutation(len(points))
    key = _numbers(np.column_stack([cells, level.astype(np.int64)]))[order]
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    weights = np.bincount(which.reshape(-1), areas[order])
    kept = order[first]
    if len(kept) > settings.points:
        chosen, weights = _drawn(weights, settings.points, random)
        kept = kept[chosen]
    back = np.argsort(kept)
    return kept[back], weights[back]


def _numbers(cells: Int[Array, "m 4"]) -> Int[Array, "m"]:
    """One number for each different row."""
    cells = cells - cells.min(0)
    sizes = cells.max(0) + 1
    number = cells[:, 0]
    for axis in range(1, cells.shape[1]):
        number = number * sizes[axis] + cells[:, axis]
    return number


def _drawn(weights: Array, count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """``count`` of the points, each with a chance that goes with its weight, and their new weights.

    A point that is due more than once is taken for certain, with its own weight; the others share what is left.
    """
    certain = np.zeros(len(weights), bool)
    while True:
        left = count - int(certain.sum())
        step = weights[~certain].sum() / left
        more = ~certain & (weights >= step)
        if not more.any():
            break
        certain |= more
        if certain.sum() >= count:
            break
    loose = np.flatnonzero(~certain)
    left = count - int(certain.sum())
    shuffled = loose[random.permutation(len(loose))]
    stops = weights[shuffled].cumsum()
    at = (np.arange(left) + random.random()) * (stops[-1] / left)
    taken = shuffled[np.minimum(np.searchsorted(stops, at), len(shuffled) - 1)]
    chosen = np.concatenate([np.flatnonzero(certain), taken])
    return chosen, np.concatenate([weights[certain], np.full(left, stops[-1] / left)])


def padded(observed: Observed, count: int) -> tuple[Float[Tensor, "c 3"], Float[Tensor, "c"], Int[Tensor, "c"]]:
    """Points, weights and places in ``observed`` of exactly ``count``: repeated ones weigh nothing.

    Raises ValueError where there are more than ``count`` points, or none.
    """
    n = len(observed.points)
    if not 0 < n <= count:
        raise ValueError(f"{n} points cannot be padded to {count}")
    place = torch.arange(count, device=observed.points.device) % n
    weights = observed.weights[place].clone()
    weights[n:] = 0
    return observed.points[place], weights, place
