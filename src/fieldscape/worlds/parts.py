"""Pieces of a world: making a part of a mesh, and moving parts with their textures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.meshes import split_creases
from fieldscape.types import Mesh
from fieldscape.worlds.shading import Part
from fieldscape.worlds.textures import Texture, bare, book_spines, foliage, woven

Piece = list[Part]
"""What makes up one thing: it stands on z = 0 about the origin and faces +y."""

SPINES = book_spines()
ANYWHERE: tuple[Texture, ...] = (bare, woven, foliage, SPINES)
"""Textures that look the same in whichever upright frame they are evaluated."""


def moved(x: float, y: float, z: float = 0.0, yaw: float = 0.0, tilt: float = 0.0) -> Float[Tensor, "4 4"]:
    """Lean by ``tilt`` radians about x, turn by ``yaw`` about z, then shift."""
    c, s, ct, st = math.cos(yaw), math.sin(yaw), math.cos(tilt), math.sin(tilt)
    rows = [[c, -s * ct, s * st, x], [s, c * ct, -c * st, y], [0.0, st, ct, z], [0.0, 0.0, 0.0, 1.0]]
    return torch.tensor(rows)


def place(piece: Sequence[Part], matrix: Float[Tensor, "4 4"]) -> Piece:
    """The piece moved; textures and normals move with it. A mirroring matrix keeps faces facing outward."""
    back, mirrored, rigid = _inverse(matrix)
    turn, shift, unturn = matrix[:3, :3].T, matrix[:3, 3], back[:3, :3]
    placed = []
    for p in piece:
        faces = p.mesh.faces.flip(-1) if mirrored else p.mesh.faces
        mesh = Mesh(p.mesh.vertices @ turn + shift, faces, p.mesh.colors)
        normals = p.normals
        if normals is not None:  # of a surface whose points move by M, normals move by M's inverse, transposed
            normals = normals @ unturn
            normals = normals if rigid else torch.nn.functional.normalize(normals, dim=-1)
        placed.append(Part(p.name, mesh, p.texture, p.frame @ back, p.glow, p.edge, p.outside, normals, p.mirror))
    return placed


def _inverse(matrix: Float[Tensor, "4 4"]) -> tuple[Float[Tensor, "4 4"], bool, bool]:
    """The inverse of an affine matrix by cofactors (far quicker than a general solver), whether it mirrors, and
    whether it keeps lengths."""
    (a, b, c, x), (d, e, f, y), (g, h, i, z), _ = matrix.tolist()
    minors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    scale = a * minors[0][0] + b * minors[1][0] + c * minors[2][0]
    rows = [[p / scale, q / scale, r / scale, -(p * x + q * y + r * z) / scale] for p, q, r in minors]
    rigid = all(
        abs(u - v) < 1e-5 for row, column in zip(rows, ((a, d, g), (b, e, h), (c, f, i))) for u, v in zip(row, column)
    )
    return torch.tensor([*rows, [0.0, 0.0, 0.0, 1.0]]), scale < 0, rigid


def part(
    name: str,
    mesh: Mesh,
    texture: Texture,
    glow: float = 0.0,
    edge: float = 0.06,
    outside: bool = False,
    mirror: float = 0.0,
) -> Part:
    """A part whose texture lives in the frame that its mesh is given in; its vertices are doubled at creases."""
    split, normals = split_creases(mesh)
    return Part(name, split, texture, torch.eye(4), glow, edge, outside, normals, mirror)


def gathered(parts: Sequence[Part]) -> Piece:
    """The same surfaces in fewer parts: those with one name, glow and coat whose textures do not mind their frame.

    Each part costs time when a picture is made, however small it is.
    """
    kept: dict[object, list[Part]] = {}
    for index, p in enumerate(parts):
        free = any(p.texture is texture for texture in ANYWHERE) and p.mesh.colors is not None and p.normals is not None
        key: object = (p.name, p.glow, p.mirror, ANYWHERE.index(p.texture)) if free else index
        kept.setdefault(key, []).append(p)
    return [_one(group) if len(group) > 1 else group[0] for group in kept.values()]


def _one(group: list[Part]) -> Part:
    faces, start = [], 0
    for p in group:
        faces.append(p.mesh.faces + start)
        start += len(p.mesh.vertices)
    colors = torch.cat([p.mesh.colors for p in group if p.mesh.colors is not None])
    normals = torch.cat([p.normals for p in group if p.normals is not None])
    mesh = Mesh(torch.cat([p.mesh.vertices for p in group]), torch.cat(faces), colors)
    first = group[0]
    edge = max(p.edge for p in group)
    return Part(first.name, mesh, first.texture, torch.eye(4), first.glow, edge, first.outside, normals, first.mirror)
