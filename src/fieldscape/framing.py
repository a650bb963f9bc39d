"""Framing: where the scene lies, judged from the cameras and, where the photos show it, the object's silhouette.

Nobody should have to type near, far and a bounding box. Two kinds of capture are told apart by one fact, whether the
photos have a known constant background:

* an **object** on a plain background fills a bounded box, found by carving away what projects onto background;
* anything else is **unbounded**: what matters most lies around a centre within a radius, and the rest of the world,
  up to infinity, surrounds it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate, max_pool3d

from fieldscape import cameras
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Views

CARVING_RESOLUTION = 64
"""Points across the carved cube: a box tight to 2 % of the object."""

DIFFERENCE = 2.5 / 255
"""A channel further than this from the background's is the object's."""

FINE = 48
"""Lattices of so many points an axis are carved in two passes."""

TOLERANCE = 0.1
"""Share of the views that may see background where the object is: masks err, and objects have spots of its colour."""


@dataclass(frozen=True)
class Framing:
    """Where to look. ``low``..``high`` is the box of an object, or the well-resolved core of an unbounded scene.

    near and far bound the distance along a ray from any of the cameras; far is large but finite when unbounded.
    """

    center: Float[Tensor, "3"]
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    near: float
    far: float
    up: Float[Tensor, "3"]
    unbounded: bool

    def to(self, device: torch.device | str) -> Framing:
        center, low, high, up = (x.to(device) for x in (self.center, self.low, self.high, self.up))
        return replace(self, center=center, low=low, high=high, up=up)

    @property
    def radius(self) -> float:
        """Half the longest side of the box."""
        return float((self.high - self.low).max()) / 2


def frame(views: Views, shapes: Bool[Tensor, "v h w"] | None = None) -> Framing:
    """The framing of a capture; ``shapes`` are its ``silhouettes``, if known already.

    Raises BadInput where all cameras stand at one place: there is no depth to see.
    """
    position = views.camera.position
    if float((position - position.mean(0)).norm(dim=-1).max()) <= 1e-6 * (1 + float(position.abs().max())):
        raise BadInput(
            "all cameras stand at one place, so nothing tells near from far: give photos taken from several places, "
            "or mend the poses"
        )
    if views.background is not None:
        return _frame_object(views, shapes)
    return _frame_unbounded(views)


def _frame_object(views: Views, shapes: Bool[Tensor, "v h w"] | None) -> Framing:
    center = cameras.nearest_to_axes(views.camera)
    distance = (views.camera.position - center).norm(dim=-1)
    half_view = torch.deg2rad(cameras.field_of_view(views.camera).amax(-1) / 2)
    reach = float((distance * half_view.tan()).median())
    low, high = _hull_box(views, shapes, center - reach, center + reach)
    corner = float((high - low).norm()) / 2
    middle = (high + low) / 2
    away = (views.camera.position - middle).norm(dim=-1)
    near = max(float(away.min()) - corner, 0.02 * float(away.min()))
    return Framing(middle, low, high, near, float(away.max()) + corner, cameras.mean_up(views.camera), unbounded=False)


def _hull_box(
    views: Views, shapes: Bool[Tensor, "v h w"] | None, low: Float[Tensor, "3"], high: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The box around the visual hull in ``low``..``high``; those themselves if silhouettes and poses disagree."""
    n = CARVING_RESOLUTION
    kept = carve(views, low, high, (n, n, n), shapes).nonzero()
    if len(kept) < 8:
        return low, high
    step = (high - low) / (n - 1)
    return torch.maximum(low + (kept.amin(0) - 1) * step, low), torch.minimum(low + (kept.amax(0) + 1) * step, high)


def _frame_unbounded(views: Views) -> Framing:
    position, forward = views.camera.position, views.camera.forward
    center = cameras.nearest_to_axes(views.camera)
    ahead = ((center - position) * forward).sum(-1)
    spread = (position - position.mean(0)).abs().amax(0)
    inward = float((ahead > 0).float().mean()) > 0.9 and float(ahead.median()) < 20 * float(spread.max())
    if inward:
        radius = 0.5 * float((position - center).norm(dim=-1).median())
    else:
        center, radius = position.mean(0), 2 * float(spread.max())
    if views.points is not None and len(views.points) >= 100:
        extent = (views.points - center).abs().amax(-1)
        radius = float(extent.quantile(0.6 if inward else 0.9))
    near = 0.05 * radius
    if views.bounds is not None:
        near = 0.8 * float(views.bounds[:, 0].quantile(0.05))
    elif views.points is not None and len(views.points) >= 100:
        near = 0.5 * _nearest_point_distance(views)
    up = cameras.mean_up(views.camera)
    reach = radius + float((position - center).norm(dim=-1).max())
    return Framing(center, center - radius, center + radius, near, 100 * reach, up, unbounded=True)


def _nearest_point_distance(views: Views) -> float:
    """A low quantile of the distance from a camera to the sparse points in front of it."""
    if views.points is None:
        raise ValueError("the views have no points")
    nearest = []
    for i in range(len(views)):
        pixels, z = cameras.project(views.camera[i], views.points)
        size = pixels.new_tensor([views.camera.width, views.camera.height])
        seen = (z > 0) & (pixels >= 0).all(-1) & (pixels < size).all(-1)
        if int(seen.sum()) >= 10:
            nearest.append(z[seen].quantile(0.02))
    return float(torch.stack(nearest).quantile(0.1)) if nearest else 1e-3


def silhouettes(views: Views) -> Bool[Tensor, "v h w"]:
    """Where each view shows the object: alpha above 0, else a colour that differs from the known background.

    Colour silhouettes have their holes filled, so that a background-coloured patch on the object does not carve it.
    """
    if views.images.shape[-1] == 4:
        return views.images[..., 3] > 0
    if views.background is None:
        raise ValueError("silhouettes need alpha or a known background")
    shapes = np.empty(views.images.shape[:3], bool)
    for image, shape in zip(views.images.numpy(), shapes):
        shape[:] = _without_holes(_differs(image, views.background))
    return torch.from_numpy(shapes)


def _differs(image: np.ndarray, background: tuple[float, float, float]) -> np.ndarray:
    """Where any channel of an RGB image [h, w, 3] is away from the background's. Returns uint8 [h, w], 0 or 255."""
    behind = np.array(background, np.float32)
    if image.dtype == np.uint8:
        # The levels of a channel that count as background follow one another, so two bounds say which they are.
        levels = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
        same = np.abs(levels - behind) <= np.float32(DIFFERENCE)
        lowest, highest = same.argmax(0), np.where(same.any(0), 255 - same[::-1].argmax(0), -1)
        return cv2.bitwise_not(cv2.inRange(image, lowest.astype(np.float64), highest.astype(np.float64)))
    far = np.abs(image - behind) > np.float32(DIFFERENCE)
    return np.where(far[..., 0] | far[..., 1] | far[..., 2], np.uint8(255), np.uint8(0))


def _without_holes(shape: np.ndarray) -> np.ndarray:
    """All of a shape [h, w] (0 or 255) that the background does not reach from beyond the borders, edge by edge."""
    framed = cv2.copyMakeBorder(shape, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(framed, None, (0, 0), 1, flags=4)
    return framed[1:-1, 1:-1] != 1


def carve(
    views: Views,
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    shape: tuple[int, int, int],
    shapes: Bool[Tensor, "v h w"] | None = None,
) -> Bool[Tensor, "x y z"]:
    """The visual hull on a lattice of ``shape`` points over ``low``..``high``: what views see as object, or not at all.

    Laurentini, "The visual hull concept for silhouette-based image understanding", 1994. A point counts as hull when
    all but ``TOLERANCE`` of the views that have it in their picture see the object there, or fewer than two have.
    ``shapes`` are the ``silhouettes`` of the views, if known already.
    """
    shapes = silhouettes(views) if shapes is None else shapes
    # Forty views spread over a dense capture carve as well as all of them.
    chosen = slice(0, None, max(1, len(views) // 40))
    camera, seen = views.camera[chosen], shapes[chosen].to(torch.uint8).numpy()
    if min(shape) < FINE:
        return torch.from_numpy(_carved(camera, seen, low, high, shape, None))
    # Most of a fine lattice is known from one twice as coarse: only what lies between its kept and its dropped points
    # is looked at.
    coarse = tuple((n + 1) // 2 for n in shape)
    hull = torch.from_numpy(_carved(camera, seen, low, high, coarse, None)).float()
    around = [interpolate(sign * _grown(sign * hull), shape, mode="nearest")[0, 0] > 0 for sign in (-1, 1)]
    inside, near = (part.numpy() for part in around)
    return torch.from_numpy(_carved(camera, seen, low, high, shape, (inside, near & ~inside)))


def _carved(
    camera: Camera,
    shapes: UInt8[np.ndarray, "v h w"],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    size: tuple[int, ...],
    known: tuple[np.ndarray, np.ndarray] | None,
) -> Bool[np.ndarray, "x y z"]:
    """The hull on one lattice; ``known``: points to keep, and points to decide, where not all are to be."""
    # Compiled kernels are loaded where they are used: much that imports this module never carves.
    from fieldscape.kernels import carving, lenses

    spacing = float(((high - low) / (torch.tensor(size) - 1)).max())
    away = (camera.position - (low + high) / 2).norm(dim=-1)
    wide = np.empty(shapes.shape, np.uint8)
    for i, silhouette in enumerate(shapes):
        # The silhouette is widened by half the lattice spacing as seen there, so that thin parts between points stay.
        reach = math.ceil(0.5 * spacing * float(camera.focal[i].max()) / float(away[i]))
        _widen(silhouette, reach, wide[i])
    poses, table = lenses.pose_table(camera), lenses.lens_table(camera)
    number, threads = lenses.LENS_NUMBERS[camera.lens], torch.get_num_threads()
    lattice = low.numpy(), high.numpy(), (size[0], size[1], size[2])
    return carving.carve(wide, poses, table, number, *lattice, TOLERANCE, threads, known)


def _grown(truth: Float[Tensor, "x y z"]) -> Float[Tensor, "1 1 x y z"]:
    """The greatest of each point and its 26 neighbours."""
    return max_pool3d(truth[None, None], 3, 1, 1)


def _widen(shape: np.ndarray, reach: int, out: np.ndarray) -> None:
    """The greatest of all pixels within a square of ``reach`` pixels to each side, of uint8 [h, w], into ``out``."""
    height, width = shape.shape
    along = cv2.dilate(shape, np.ones((1, 2 * min(reach, width) + 1), np.uint8))
    cv2.dilate(along, np.ones((2 * min(reach, height) + 1, 1), np.uint8), dst=out)
