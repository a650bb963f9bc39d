"""Solids put together from many simple ones at once, with their normals: what furniture is made of.

A shape knows for each vertex which of a few paints it gets (its slot), so one shape serves in many colours. Boxes and
cushions come from closed forms, a whole list of them in a few operations; turned pieces are kept and used again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.meshes import Vector, lathe, rounded_box, split_creases
from fieldscape.types import Mesh
from fieldscape.worlds.shading import Part
from fieldscape.worlds.textures import RGB, Texture, bare

Box: TypeAlias = tuple[Vector, Vector]
"""Size and middle."""
UPRIGHT = torch.eye(4)


@dataclass(frozen=True)
class Shape:
    """A closed surface: vertices doubled at creases, their normals, and the slot of each vertex's paint."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    normals: Float[Tensor, "v 3"]
    slot: Int[Tensor, "v"]


def boxes(specs: Sequence[Box], slots: int | Sequence[int] = 0) -> Shape:
    """Sharp boxes, all in one slot or each in its own."""
    size, middle = torch.tensor(specs)[:, :, None].unbind(1)
    return _repeated(0, _cube()[0] * size + middle, slots)


def cushions(
    specs: Sequence[Box], radius: float, slots: int | Sequence[int] = 0, soft: float = 0.0, segments: int = 1
) -> Shape:
    """Boxes with rounded edges. ``soft`` bends their normals outward at the edges, so flat sides look filled."""
    sign, outward, _ = _rounded(segments)
    size, middle = torch.tensor(specs).unbind(1)
    # A rounding of nearly half the thinnest side still leaves a side.
    r = torch.minimum(size.amin(1) * 0.49, torch.tensor(radius))[:, None, None]
    vertices = sign * ((size / 2)[:, None] - r) + r * outward + middle[:, None]
    plain = _repeated(segments, vertices, slots)
    if not soft:
        return plain
    bent = torch.nn.functional.normalize(outward + soft * sign, dim=-1)
    return replace(plain, normals=bent.repeat(len(specs), 1))


def lathed(profile: Sequence[tuple[float, float]], segments: int = 14, closed: bool = False, slot: int = 0) -> Shape:
    """What a profile of (radius, z) sweeps about the z axis (see ``meshes.lathe``), to the millimetre."""
    kept = _lathed(tuple((round(r, 3), round(z, 3)) for r, z in profile), segments, closed)
    return kept if slot == 0 else replace(kept, slot=torch.full_like(kept.slot, slot))


def post(bottom: float, top: float, height: float, segments: int = 9, slot: int = 0) -> Shape:
    """A round leg from z = 0 to ``height``, its radius going from ``bottom`` to ``top``."""
    return lathed([(bottom, 0.0), (top, height)], segments, slot=slot)


def solid(mesh: Mesh, slot: int = 0) -> Shape:
    """Any closed mesh as a shape."""
    split, normals = split_creases(mesh)
    return Shape(split.vertices, split.faces, normals, torch.full((len(split.vertices),), slot))


def joined(shapes: Sequence[Shape]) -> Shape:
    """All shapes in one."""
    if len(shapes) == 1:
        return shapes[0]
    faces, start = [], 0
    for shape in shapes:
        faces.append(shape.faces + start)
        start += len(shape.vertices)
    vertices, normals = torch.cat([s.vertices for s in shapes]), torch.cat([s.normals for s in shapes])
    return Shape(vertices, torch.cat(faces), normals, torch.cat([s.slot for s in shapes]))


def put(
    shape: Shape,
    x: float = 0.0,
    y: float = 0.0,
    z: float = 0.0,
    yaw: float = 0.0,
    tilt: float = 0.0,
    scale: float = 1.0,
) -> Shape:
    """The shape sized, leant by ``tilt`` radians about x, turned by ``yaw`` about z, then shifted."""
    vertices, normals = shape.vertices, shape.normals
    if yaw or tilt:
        c, s, ct, st = math.cos(yaw), math.sin(yaw), math.cos(tilt), math.sin(tilt)
        turn = torch.tensor([[c, s, 0.0], [-s * ct, c * ct, st], [s * st, -c * st, ct]])
        vertices, normals = vertices @ turn, normals @ turn
    if scale != 1:
        vertices = vertices * scale
    return Shape(vertices + torch.tensor((x, y, z)), shape.faces, normals, shape.slot)


def stretched(shape: Shape, factors: Vector) -> Shape:
    """The shape sized by another factor along each axis."""
    by = torch.tensor(factors)
    normals = torch.nn.functional.normalize(shape.normals / by, dim=-1)
    return Shape(shape.vertices * by, shape.faces, normals, shape.slot)


def around(shape: Shape, places: Sequence[tuple[float, float]], z: float = 0.0) -> Shape:
    """Copies of the shape, shifted."""
    shift = torch.tensor([(x, y, z) for x, y in places])
    vertices = shape.vertices + shift[:, None]
    count = len(places)
    faces = shape.faces + len(shape.vertices) * torch.arange(count)[:, None, None]
    return Shape(
        vertices.reshape(-1, 3), faces.reshape(-1, 3), shape.normals.repeat(count, 1), shape.slot.repeat(count)
    )


def dressed(
    name: str,
    shape: Shape,
    colors: Sequence[RGB],
    texture: Texture = bare,
    glow: float = 0.0,
    edge: float = 0.12,
    mirror: float = 0.0,
) -> Part:
    """A part of the shape, ``colors[slot]`` its paint."""
    mesh = Mesh(shape.vertices, shape.faces, torch.tensor(colors)[shape.slot])
    return Part(name, mesh, texture, UPRIGHT, glow, edge, False, shape.normals, mirror)


def legs(shape: Shape, width: float, depth: float) -> Shape:
    """A leg at each corner of a rectangle about the origin."""
    x, y = width / 2, depth / 2
    return around(shape, [(x, y), (-x, y), (-x, -y), (x, -y)])


# ------------------------------------------------------------------------------------------------ kept patterns


@lru_cache(maxsize=1)
def _cube() -> tuple[Tensor, Tensor, Tensor]:
    """Corners of a cube of side 1, four for each side, the sides' normals, and two triangles for each."""
    corners: list[list[float]] = []
    normals: list[list[float]] = []
    faces: list[list[int]] = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            start = len(corners)
            for a, b in ((-1, -1), (side, -side), (1, 1), (-side, side)):  # counter-clockwise from outside
                corner = [0.0, 0.0, 0.0]
                corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = side, float(a), float(b)
                corners.append(corner)
                normals.append([side if k == axis else 0.0 for k in range(3)])
            faces += [[start, start + 1, start + 2], [start, start + 2, start + 3]]
    return torch.tensor(corners) / 2, torch.tensor(normals), torch.tensor(faces)


@lru_cache(maxsize=4)
def _rounded(segments: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each vertex of a rounded box: the octant its inner corner is in, and the way outward from there."""
    mesh = rounded_box((4.0, 4.0, 4.0), 1.0, segments=segments)
    sign = mesh.vertices.sign()
    return sign, torch.nn.functional.normalize(mesh.vertices - sign, dim=-1), mesh.faces


@lru_cache(maxsize=1024)
def _lathed(profile: tuple[tuple[float, float], ...], segments: int, closed: bool) -> Shape:
    return solid(lathe(profile, segments, closed))


def _repeated(kind: int, vertices: Tensor, slots: int | Sequence[int]) -> Shape:
    """Copies of a kept pattern, ``vertices`` [copies, v, 3]."""
    count, each = vertices.shape[:2]
    normals, faces, number = _copies(kind, 64 if count <= 64 else count)
    if isinstance(slots, int):
        slot = torch.full((count * each,), slots)
    else:
        slot = torch.tensor(slots)[number[: count * each]]
    return Shape(vertices.reshape(-1, 3), faces[:count].reshape(-1, 3), normals[: count * each], slot)


@lru_cache(maxsize=8)
def _copies(kind: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normals and faces of ``count`` copies of a pattern (0: cube, else rounded), and each vertex's copy."""
    _, normal, face = _rounded(kind) if kind else _cube()
    each = len(normal)
    faces = face + each * torch.arange(count)[:, None, None]
    return normal.repeat(count, 1), faces, torch.arange(count).repeat_interleave(each)
