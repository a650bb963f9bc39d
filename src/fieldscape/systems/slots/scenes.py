"""Scenes of ``fieldscape make street`` as depth maps with their truth: for training on the fly, and for evaluation.

``draw_example`` makes one still in memory, to the bit what ``fieldscape make street --frames 1 --motion static --camera
still --split SPLIT --seed SEED`` writes as video INDEX: depth in whole millimetres, noise and gaps where the split has
them. Two splits have no command of their own: ``contact-noise`` is ``contact`` seen by the sensor of ``noise``, and the
same goes for ``clutter-noise``.

Truth lies in the axes of the camera, which every estimate can be moved to. A thing's own frame is turned to the axes of
the model frame: y up, z ahead, x to its left; its yaw is about y, and means nothing beyond the symmetry of its shape.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.types import Camera
from fieldscape.worlds.street.make import StreetSettings, frames, settings_of
from fieldscape.worlds.street.objects import Piece, surface_points
from fieldscape.worlds.street.options import MakeStreetOptions
from fieldscape.worlds.street.posing import joint_matrices, joint_phase, thing_poses
from fieldscape.worlds.street.render import noisy
from fieldscape.worlds.street.scenes import draw_scene

Array = np.ndarray

SPLITS = ("iso", "contact", "clutter", "unseen-shape", "noise", "contact-noise", "clutter-noise")
SURFACE = 2048
"""Points of each thing's surface: the spacing of fewer would show in distances to them."""
MODEL_AXES = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
"""From axes x left, y up, z ahead to a thing's own x ahead, y left, z up."""
SQUARE = 0.05
"""A box whose sides differ by less than this share looks the same after a quarter turn."""


@dataclass(frozen=True)
class Truth:
    """What stands in a scene; k things, in camera axes, metres.

    numbers: in instance maps.  shapes: names.  symmetry: how many turns about its own y let a thing look the same: 1, 2
    or 4, and 0 where any turn does.  poses: thing (y up, z ahead) to camera.  centers: the mean of the surface.
    scales: root mean square distance of the surface from its mean.  surfaces: points on the whole outer surface, evenly
    by area (none if none were asked for).  visible: pixels that show it.
    """

    numbers: Int[Tensor, "k"]
    shapes: tuple[str, ...]
    symmetry: Int[Tensor, "k"]
    poses: Float[Tensor, "k 4 4"]
    centers: Float[Tensor, "k 3"]
    scales: Float[Tensor, "k"]
    surfaces: Float[Tensor, "k s 3"]
    visible: Int[Tensor, "k"]


@dataclass(frozen=True)
class Example:
    """A depth map and what stands in it."""

    depth_map: DepthMap
    truth: Truth


def draw_example(
    split: str, seed: int, index: int, width: int = 128, height: int = 96, samples: int = SURFACE
) -> Example:
    """Scene ``index`` of a split and seed. ``samples``: points of each surface; 0 makes it faster.

    Raises BadInput: no such split, a size that cannot be had, or a scene in which nothing finds room.
    """
    if split not in SPLITS:
        raise BadInput(f"There is no split {split!r}: choose one of {', '.join(SPLITS)}.")
    street = _settings(split.removesuffix("-noise"), seed, width, height)
    scene = draw_scene(street.scenes, index)
    frame = next(iter(frames(scene, street)))
    depth = frame.depth
    if split.endswith("-noise"):
        depth = noisy(
            depth, np.random.Generator(np.random.PCG64(random.Random(f"{split} {seed} {index}").getrandbits(64)))
        )
    pose, focal = scene.view.poses(scene.times)[0], scene.view.focal
    travels = scene.travels()
    pieces, placed = [], []
    for actor, go in zip(scene.actors, travels):
        phases = [None if p.joint is None else joint_phase(p.joint, go, scene.times)[:1] for p in actor.thing.pieces]
        pieces.append(_posed(actor.thing.pieces, phases))
        placed.append(thing_poses(actor.thing, go)[0])
    shapes = [actor.thing.shape for actor in scene.actors]
    depth_map = _depth_map(f"{split} {seed} {index}", depth, frame.instance, pose, focal)
    return Example(depth_map, _truth(shapes, pieces, np.array(placed), pose, frame.visible, samples))


def draw_examples(split: str, seed: int, count: int, samples: int = SURFACE) -> list[Example]:
    """The first ``count`` scenes of a split and seed."""
    return [draw_example(split, seed, index, samples=samples) for index in range(count)]


@cache
def _settings(split: str, seed: int, width: int, height: int) -> StreetSettings:
    options = MakeStreetOptions(
        Path("unused"),
        1,
        1,
        width,
        height,
        split=split,  # type: ignore[arg-type]
        motion="static",
        camera="still",
        color=False,
        seed=seed,
    )
    return settings_of(options)


def _depth_map(name: str, depth: Array, instance: Array, pose: Array, focal: float) -> DepthMap:
    """The record of a frame, its depth in the whole millimetres of the files."""
    known = np.isfinite(depth) & (depth > 0)
    height, width = depth.shape
    rounded = np.where(known, np.clip(np.round(np.where(known, depth, 0.0) * 1000), 1, 65534), 0) / 1000
    camera = Camera(
        torch.from_numpy(pose).float(),
        torch.full((2,), focal, dtype=torch.float32),
        torch.tensor([width / 2, height / 2]),
        width,
        height,
    )
    return DepthMap(
        name=name,
        depth=torch.from_numpy(rounded).float(),
        valid=torch.from_numpy(known),
        sky=torch.from_numpy(np.isposinf(depth)),
        camera=camera,
        posed=True,
        time=0.0,
        instances=torch.from_numpy(instance.astype(np.int64)),
    )


def _posed(pieces: Sequence[Piece], phases: Sequence[Array | None]) -> list[Piece]:
    """The pieces as their joints hold them."""
    return [
        piece
        if piece.joint is None or phase is None
        else replace(piece, rest=joint_matrices(piece.joint, phase)[0] @ piece.rest)
        for piece, phase in zip(pieces, phases)
    ]


def _truth(
    shapes: Sequence[str],
    pieces: Sequence[Sequence[Piece]],
    placed: Float[Array, "k 4 4"],
    pose: Float[Array, "4 4"],
    visible: Array,
    samples: int,
) -> Truth:
    """placed: things (x ahead, y left, z up) to world.  pose: camera to world."""
    count = len(shapes)
    to_camera = np.linalg.inv(pose) @ placed.reshape(-1, 4, 4)
    surfaces = np.zeros((count, samples, 3))
    centers, scales = np.zeros((count, 3)), np.zeros(count)
    for k in range(count):
        points, _ = surface_points(pieces[k], samples or 256)
        spread = points - points.mean(0)
        scales[k] = math.sqrt((spread**2).sum(1).mean())
        points = points @ to_camera[k, :3, :3].T + to_camera[k, :3, 3]
        centers[k] = points.mean(0)
        if samples:
            surfaces[k] = points
    turned = to_camera.copy()
    turned[:, :3, :3] = to_camera[:, :3, :3] @ MODEL_AXES
    return Truth(
        numbers=torch.arange(1, count + 1),
        shapes=tuple(shapes),
        symmetry=torch.tensor([_symmetry(*each) for each in zip(shapes, pieces)], dtype=torch.int64),
        poses=torch.from_numpy(turned).float(),
        centers=torch.from_numpy(centers).float(),
        scales=torch.from_numpy(scales).float(),
        surfaces=torch.from_numpy(surfaces).float(),
        visible=torch.from_numpy(np.asarray(visible)).long(),
    )


def _symmetry(shape: str, pieces: Sequence[Piece]) -> int:
    """Turns about the upright axis that leave a shape as it is; 0: all."""
    if shape in ("cylinder", "cone", "capsule", "lamp", "snowman", "blob"):
        return 0
    if shape in ("box", "ball"):
        along, across = float(pieces[0].rest[0, 0]), float(pieces[0].rest[1, 1])
        alike = abs(along - across) < SQUARE * max(along, across)
        return (4 if alike else 2) if shape == "box" else (0 if alike else 2)
    return 1
