"""Vertices between tracked points, where the surfaces around them disagree: near the borders of things.

Tracks are too sparse to tell where a thing ends, and triangles that reach from it to what is behind it smear both. So
places between are tried on the surfaces of the points around, and on the plain mesh: on each of them, where would the
pixels around the place be in the frames before and after, and are they alike (``kernels.likeness``)? The best wins.
Half of the frames count, those that agree best: something may pass in front of the place in the others.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay, cKDTree

from fieldscape.systems.tracks.borders import suggested
from fieldscape.systems.tracks.mesh_settings import MeshSettings
from fieldscape.systems.tracks.nouns import Tracked

FREE = 0.6
"""Inserted vertices keep this share of their step away from tracked ones."""


def inserted(
    tracked: Tracked,
    frame: int,
    points: Int[ndarray, "k"],
    places: Float[ndarray, "v 2"],
    inverse: Float[ndarray, "v"],
    slope: Float[ndarray, "k 2"],
    open_: Bool[ndarray, "h w"],
    settings: MeshSettings,
) -> tuple[Float[ndarray, "m 2"], Float[ndarray, "m"], Int[ndarray, "m"]]:
    """Places and inverse depths of vertices to insert, and which of the ``points`` each belongs to.

    places, inverse: of all vertices so far, ``points`` first.  slope: of those.  open_: pixels where they may be.
    """
    nothing = np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64)
    others = [frame + k for k in settings.compared if 0 <= frame + k < len(tracked.clip)]
    if settings.step <= 0 or not others or len(points) < 4:
        return nothing
    width, height = tracked.clip.size
    xs, ys = np.arange(settings.step / 2, width, settings.step), np.arange(settings.step / 2, height, settings.step)
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    grid = grid[open_[grid[:, 1].astype(int), grid[:, 0].astype(int)]]
    if len(grid) == 0:
        return nothing
    known = places[: len(points)]
    grid = grid[cKDTree(known).query(grid)[0] > FREE * settings.step]
    if len(grid) == 0:
        return nothing
    through, whose, _ = suggested(grid, known, inverse[: len(points)], slope, settings.candidates)
    plain = LinearNDInterpolator(Delaunay(places), inverse)
    middle = np.nan_to_num(plain(grid), nan=np.median(inverse))
    camera = tracked.camera.map(lambda tensor: tensor.double())
    reach = float((camera.position[others] - camera.position[frame]).norm(dim=-1).max()) * float(camera.focal.max())
    undecided = np.abs(through - middle[:, None]).max(1) * reach > settings.apart
    if not undecided.any():
        return nothing
    grid, through, whose, middle = (x[undecided] for x in (grid, through, whose, middle))
    tilt = [np.nan_to_num(plain(grid + d) - plain(grid - d)) for d in ([0.5, 0.0], [0.0, 0.5])]
    planes = np.concatenate([np.stack([middle, *tilt], 1)[:, None], np.dstack([through, slope[whose]])], 1)
    names = np.concatenate([whose[:, :1], whose], 1)
    unlike = _unlike(tracked, frame, others, points, grid, planes, names, settings)
    unlike[:, 1:] += settings.doubt
    best = np.arange(len(grid)), unlike.argmin(1)
    return grid, np.maximum(planes[..., 0][best], 1e-9 * inverse.max()), names[best]


def _unlike(
    tracked: Tracked, frame: int, others: list[int], points: ndarray, grid: ndarray, planes: ndarray, names: ndarray,
    settings: MeshSettings,
) -> Float[ndarray, "m c"]:  # fmt: skip
    """How little the pixels around each place look alike in the other frames, on each of its planes."""
    from fieldscape.kernels.likeness import differences

    camera = tracked.camera.map(lambda tensor: tensor.double())
    turn = camera.pose[others, :3, :3].transpose(-1, -2)
    own = camera.pose[frame]
    turns = (turn @ own[:3, :3]).contiguous().numpy()
    shifts = (turn @ (own[:3, 3] - camera.position[others])[..., None])[..., 0].contiguous().numpy()
    # What the camera model does not explain moves the surface of a point along with the point.
    world = tracked.world[:, torch.from_numpy(points)].double()
    extra = torch.einsum("sij,snj->sni", turn, world[others] - world[frame]).contiguous().numpy()
    lenses = torch.cat([camera.focal, camera.center], -1).numpy()
    unlike = np.empty((*planes.shape[:2], len(others)))
    differences(
        tracked.clip.frames.contiguous().numpy(), frame, np.array(others), lenses[frame], lenses[others], turns,
        shifts, grid, planes, names, extra, settings.radius, settings.sharp, unlike,
    )  # fmt: skip
    unlike.sort(2)
    return unlike[..., : (len(others) + 1) // 2].mean(2)
