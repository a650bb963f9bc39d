"""Meshes that were read, as parts ready to be lit: normals, paint, textures, and a common size."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape.colors import to_linear
from fieldscape.meshes import face_normals, split_creases
from fieldscape.types import Mesh
from fieldscape.worlds.cars.models import Model, Piece
from fieldscape.worlds.cars.plans import PAINTS
from fieldscape.worlds.shading import Part
from fieldscape.worlds.textures import RGB, Surface, Texture

DIAGONAL = 4.8
"""Models have any unit: they are brought to the size of a car, in metres, for which the light is set up."""
CREASE = 38.0
"""Edges sharper than this are seen as edges, in degrees."""
NO_COLOR: RGB = (0.8, 0.8, 0.8)
"""Of pieces that state no colour beside others that do: white, as glTF has it."""


def model_parts(model: Model, rng: random.Random) -> tuple[list[Part], str]:
    """One part for all that is painted and one for each texture, about the origin; and what was done for colour.

    A mesh without any colour of its own gets one paint, drawn from ``rng``.
    """
    points = torch.cat([piece.vertices for piece in model.pieces])
    low, high = points.amin(0), points.amax(0)
    middle, scale = (low + high) / 2, DIAGONAL / float((high - low).norm())
    paint, _, color = rng.choices(PAINTS, [weight for _, weight, _ in PAINTS])[0]
    own = any(piece.colors is not None or piece.image is not None or piece.color is not None for piece in model.pieces)
    color, told = (NO_COLOR, "its own colours") if own else (color, paint)
    normals = _normals([_placed(piece, middle, scale) for piece in model.pieces])
    parts, plain = [], []
    for piece, (mesh, normal) in zip(model.pieces, normals):
        if piece.image is None or piece.uv is None or mesh.colors is None:
            plain.append((mesh, normal, color if piece.color is None else piece.color))
            continue
        tint = (1.0, 1.0, 1.0) if piece.color is None else piece.color
        texture = picture(piece.image, _texels(mesh, piece.image), tint)
        parts.append(Part("textured", mesh, texture, torch.eye(4), normals=normal, mirror=0.03))
    if plain:
        joined, start = [], 0
        for mesh, _, fill in plain:
            colors = torch.tensor(fill).expand(len(mesh.vertices), 3) if mesh.colors is None else mesh.colors
            joined.append((mesh.vertices, mesh.faces + start, colors))
            start += len(mesh.vertices)
        vertices, faces, colors = (torch.cat(each) for each in zip(*joined))
        # A file without any colour is taken as coated metal; colours of its own are left matte.
        coat = 0.0 if own else 0.05
        normal = torch.cat([normal for _, normal, _ in plain])
        parts.append(
            Part("painted", Mesh(vertices, faces, colors), own_paint, torch.eye(4), normals=normal, mirror=coat)
        )
    return parts, told


def own_paint(s: Surface) -> Tensor:
    """A texture that is the paint of the vertices."""
    return s.paint


def picture(image: UInt8[Tensor, "h w 3"], texels: float, tint: RGB) -> Texture:
    """A texture of pixels. The paint of the mesh holds (u, v, 0); ``texels``: how many there are to a metre.

    Where a pixel of the photo is wider than a texel, it is looked up in a smaller copy of the image (a mip map).
    """
    levels = [to_linear(image.float() / 255) * torch.tensor(tint)]
    while min(levels[-1].shape[:2]) > 1 and len(levels) < 12:
        pixels = levels[-1].movedim(-1, 0)[None]
        levels.append(
            torch.nn.functional.avg_pool2d(pixels, 2, ceil_mode=True, count_include_pad=False)[0].movedim(0, -1)
        )

    def texture(s: Surface) -> Tensor:
        level = (s.footprint * texels).clamp(min=1).log2().round().long().clamp(max=len(levels) - 1)
        color = torch.empty_like(s.point)
        for k in level.unique().tolist():
            chosen = (level == k).nonzero().flatten()
            color[chosen] = _bilinear(levels[k], s.paint[chosen, 0], s.paint[chosen, 1])
        return color

    return texture


def _bilinear(image: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The image at (u, v), v upwards, repeating."""
    height, width, _ = image.shape
    x, y = u.double() * width - 0.5, (1 - v.double()) * height - 0.5
    left, top = x.floor(), y.floor()
    right_share, low_share = (x - left).float()[:, None], (y - top).float()[:, None]
    x0, y0 = torch.remainder(left, width).long(), torch.remainder(top, height).long()
    x1, y1 = torch.remainder(x0 + 1, width), torch.remainder(y0 + 1, height)
    upper = torch.lerp(image[y0, x0], image[y0, x1], right_share)
    lower = torch.lerp(image[y1, x0], image[y1, x1], right_share)
    return torch.lerp(upper, lower, low_share)


def _texels(mesh: Mesh, image: Tensor) -> float:
    """How many texels there are to a metre, on the mean over the surface."""
    assert mesh.colors is not None
    area = float(face_normals(mesh).norm(dim=-1).sum())
    flat = mesh.colors * torch.tensor([float(image.shape[1]), float(image.shape[0]), 0.0])
    covered = float(face_normals(Mesh(flat, mesh.faces)).norm(dim=-1).sum())
    return (covered / max(area, 1e-12)) ** 0.5


def _placed(piece: Piece, middle: Tensor, scale: float) -> Mesh:
    """The piece about the origin at the common size; the place in its texture, if it has one, as its paint."""
    vertices = ((piece.vertices - middle) * scale).float()
    colors = piece.colors
    if piece.uv is not None and piece.image is not None:
        colors = torch.cat([piece.uv, torch.zeros(len(piece.uv), 1)], -1)
    return Mesh(vertices, piece.faces, colors)


def _normals(meshes: Sequence[Mesh]) -> list[tuple[Mesh, Float[Tensor, "w 3"]]]:
    """Each mesh with one normal a vertex, smooth over vertices that lie at the same place, split at creases.

    Files often hold a vertex once for each face, or once for each place in a texture: these are one place.
    """
    result = []
    for mesh in meshes:
        grid = (mesh.vertices * (1e5 / DIAGONAL)).round().long()
        # One number a place: faster to sort than three. 2^20 steps along each axis are more than there are.
        key = ((grid[:, 0] + 2**19) << 40) + ((grid[:, 1] + 2**19) << 20) + (grid[:, 2] + 2**19)
        _, place = torch.unique(key, return_inverse=True)
        one = torch.zeros(int(place.max()) + 1, dtype=torch.long)
        one[place] = torch.arange(len(place))
        welded = Mesh(mesh.vertices[one], place[mesh.faces])
        mesh = welded if mesh.colors is None else mesh
        smooth, normals = split_creases(welded, CREASE)
        # A corner of the result is a pair: its old vertex (paint), its smooth vertex (normal).
        pair = mesh.faces.flatten() * len(smooth.vertices) + smooth.faces.flatten()
        pairs, corner = torch.unique(pair, return_inverse=True)
        old, new = pairs // len(smooth.vertices), pairs % len(smooth.vertices)
        colors = None if mesh.colors is None else mesh.colors[old]
        faces = corner.reshape(-1, 3)
        normal = normals[new]
        lost = normal.norm(dim=-1) < 0.5
        if bool(lost.any()):  # faces that fold back on each other leave no normal: take that of any face there
            unit = torch.nn.functional.normalize(face_normals(Mesh(mesh.vertices[old], faces)), dim=-1)
            of_face = torch.zeros_like(normal)
            of_face[faces.flatten()] = unit.repeat_interleave(3, 0)
            normal = torch.where(lost[:, None], of_face, normal)
        result.append((Mesh(mesh.vertices[old], faces, colors), normal))
    return result
