"""What is known of one object before anything is learned: its silhouettes, its hull, the pixels worth a ray."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.framing import frame, silhouettes
from fieldscape.kernels.learn import Photos
from fieldscape.kernels.lenses import LENS_NUMBERS, lens_table, pose_table
from fieldscape.kernels.lifting import hull_depths
from fieldscape.systems.latents.voxel.room import Room
from fieldscape.types import Views

RIM = 1.0
"""Vertices so many voxels outside the hull are still learned: the surface lies between vertices."""

LATTICE = 64
"""Points an axis of the lattice on which an object's box is found."""

FLOOR = -3.0
"""Further outside than so many voxels is not told apart."""


@dataclass(frozen=True)
class Subject:
    """photos: those to learn from, with the pool of pixels worth a ray.  depths: of each vertex in the hull, in voxels.

    places: the vertices to learn.  cells: those between them.  sticks_out: the hull reaches the end of the room.
    background: the colour behind the object.
    """

    photos: Photos
    depths: Float[np.ndarray, "x y z"]
    places: Int[np.ndarray, "n 3"]
    cells: Bool[np.ndarray, "i j k"]
    sticks_out: bool
    background: np.ndarray


def training(views: Views) -> Views:
    """The views to learn from, without those held out."""
    kept = torch.tensor(views.train)
    names = tuple(views.names[i] for i in views.train)
    return replace(views, camera=views.camera[kept], images=views.images[kept], names=names, held_out=())


def subject_of(views: Views, room: Room, rim: int) -> Subject:
    """Looks at the views to learn from; ``rim``: pixels around silhouettes that are learned from as well.

    Raises BadInput where the background is not known, no photo is left, or none shows anything.
    """
    if views.background is None or views.images.shape[-1] != 3 or views.images.dtype != torch.uint8:
        raise BadInput("the voxels need RGB photos before a background of one known colour: give white ones")
    seen = training(views)
    if len(seen) < 2:
        raise BadInput(f"an object needs at least two photos to learn from, and has {len(seen)}")
    shapes = silhouettes(seen).numpy().view(np.uint8)
    poses, lenses, kind = pose_table(seen.camera), lens_table(seen.camera), LENS_NUMBERS[seen.camera.lens]
    depths = np.empty(room.shape, np.float32)
    floor = np.float32(FLOOR * room.voxel)
    maps = signed_distances(shapes)
    hull_depths(maps, poses, lenses, kind, room.axes, room.wanted, floor, depths)
    if bool((around(depths > -RIM * room.voxel) & around(~room.wanted)).any()):  # it goes on where none was before
        hull_depths(maps, poses, lenses, kind, room.axes, np.ones_like(room.wanted), floor, depths)
    depths *= np.float32(1 / room.voxel)
    near = depths > -RIM
    if not near.any():
        raise BadInput("no point lies in all silhouettes of the object: check its poses and its background")
    inside = depths > 0
    sides = (inside[[0, -1]], inside[:, [0, -1]], inside[:, :, [0, -1]])
    places = np.stack(np.nonzero(near), 1).astype(np.int32)
    photos = Photos(
        np.ascontiguousarray(seen.images.numpy()),
        np.ascontiguousarray(1 - shapes),
        pool_of(shapes, rim),
        poses,
        lenses,
        np.ones((len(seen), 4), np.float32),
        kind,
    )
    behind = np.array(views.background, np.float32)
    return Subject(photos, depths, places, around(near), any(bool(side.any()) for side in sides), behind)


def signed_distances(shapes: UInt8[np.ndarray, "v h w"]) -> Float[np.ndarray, "v h w"]:
    """The distance in pixels of each pixel's centre to the edge of the silhouette (1 inside), positive inside.

    >>> signed_distances(np.array([[[0, 0, 1, 1, 1]]], np.uint8))[0, 0].tolist()
    [-1.5, -0.5, 0.5, 1.5, 2.5]
    """
    out = np.empty(shapes.shape, np.float32)
    for shape, distance in zip(shapes, out):
        inside = cv2.distanceTransform(shape, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        outside = cv2.distanceTransform(1 - shape, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.subtract(inside, outside, out=distance)
        distance -= np.sign(distance) * np.float32(0.5)
    return np.clip(out, -1e4, 1e4)


def pool_of(shapes: UInt8[np.ndarray, "v h w"], rim: int) -> np.ndarray:
    """The pixels [p] of all v h w that lie on the object, or up to ``rim`` pixels beside it: uint32."""
    wide = shapes
    if rim:
        square = np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)
        wide = np.stack([cv2.dilate(shape, square) for shape in shapes])
    pool = np.flatnonzero(wide).astype(np.uint32)
    if len(pool) == 0:
        raise BadInput("no photo shows anything but background")
    return pool


def around(vertices: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "i j k"]:
    """The cells that have one of the ``vertices`` as a corner."""
    cells = vertices
    for axis in range(3):
        turned = np.moveaxis(cells, axis, 0)
        cells = np.moveaxis(turned[1:] | turned[:-1], 0, axis)
    return np.ascontiguousarray(cells)


def hull_box(views: Views) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The box around the visual hull of the views to learn from, to about a fiftieth of its size.

    Raises BadInput where no point lies in all silhouettes.
    """
    seen = training(views)
    shapes = silhouettes(seen)
    box = frame(seen, shapes)
    maps = signed_distances(shapes.numpy().view(np.uint8))
    poses, lenses, kind = pose_table(seen.camera), lens_table(seen.camera), LENS_NUMBERS[seen.camera.lens]
    axes = [np.linspace(float(a), float(b), LATTICE, dtype=np.float32) for a, b in zip(box.low, box.high)]
    depths = np.empty((LATTICE,) * 3, np.float32)
    everywhere = np.ones(depths.shape, bool)
    step = float((box.high - box.low).max()) / (LATTICE - 1)
    hull_depths(maps, poses, lenses, kind, (axes[0], axes[1], axes[2]), everywhere, np.float32(-step), depths)
    found = np.nonzero(depths > -0.5 * step)
    if len(found[0]) == 0:
        raise BadInput("no point lies in all silhouettes of the object: check its poses and its background")
    low = torch.tensor([float(axis[n.min()]) for axis, n in zip(axes, found)])
    high = torch.tensor([float(axis[n.max()]) for axis, n in zip(axes, found)])
    return low - 0.5 * step, high + 0.5 * step
