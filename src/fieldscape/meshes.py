"""Triangle meshes built from a few numbers: primitives, moving, merging, refining, and normals with kept creases.

Legend: v vertices [v,3], f faces [f,3] (counter-clockwise seen from outside), z is a primitive's own axis.
Every solid made here is watertight (each edge has exactly two faces, run through in opposite directions) and faces
outward (its signed volume is positive); ``quad`` alone is a sheet, seen from the side its normal points to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from fieldscape.types import Mesh

Vector = tuple[float, float, float]

BOX_FACES = [
    [0, 2, 3], [0, 3, 1], [4, 5, 7], [4, 7, 6], [0, 1, 5], [0, 5, 4],
    [2, 6, 7], [2, 7, 3], [0, 4, 6], [0, 6, 2], [1, 3, 7], [1, 7, 5],
]  # fmt: skip


def box(size: Vector, center: Vector = (0.0, 0.0, 0.0)) -> Mesh:
    """An axis-aligned box.

    >>> round(float(volume(box((1.0, 2.0, 3.0)))), 6)
    6.0
    """
    corner = torch.tensor([[x, y, z] for z in (-0.5, 0.5) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    return Mesh(corner * torch.tensor(size) + torch.tensor(center), torch.tensor(BOX_FACES))


def rounded_box(size: Vector, radius: float, center: Vector = (0.0, 0.0, 0.0), segments: int = 2) -> Mesh:
    """A box whose edges and corners are rounded by ``radius``, with ``segments`` faces across a quarter of a round.

    It is a gridded box surface pushed out: each point moves to ``radius`` from its nearest point in the inner box.
    """
    half = torch.tensor(size) / 2
    if not 0 < radius < float(half.min()):
        raise ValueError(f"a rounding of {radius} does not fit a box of {size}")
    # Tangent spacing makes the faces across a round equally wide once they are pushed out.
    across = torch.tan(torch.linspace(0, math.pi / 4, segments + 1))
    steps = [torch.cat([-(h - radius) - radius * across.flip(0), h - radius + radius * across]) for h in half]
    n = 2 * (segments + 1)
    one, two = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    corners: list[Tensor] = []
    quads: list[Tensor] = []
    for axis in range(3):
        for side in (0, n - 1):
            index = torch.zeros(n, n, 3, dtype=torch.long)
            index[..., axis], index[..., (axis + 1) % 3], index[..., (axis + 2) % 3] = side, one, two
            quads.append(_grid_faces(n, n, closed=False, flip=side == 0) + len(corners) * n * n)
            corners.append(index.reshape(-1, 3))
    # Neighbouring sides share their border points: weld them by their place in the grid.
    place, weld = torch.unique(torch.cat(corners), dim=0, return_inverse=True)
    surface = torch.stack([steps[axis][place[:, axis]] for axis in range(3)], -1)
    inner = torch.clamp(surface, -(half - radius), half - radius)
    vertices = inner + radius * torch.nn.functional.normalize(surface - inner, dim=-1)
    return Mesh(vertices + torch.tensor(center), weld[torch.cat(quads)])


def quad(origin: Vector, edge_u: Vector, edge_v: Vector) -> Mesh:
    """The parallelogram ``origin + s u + t v`` for s, t in 0..1, as two triangles with the normal along u x v."""
    o, u, v = torch.tensor(origin), torch.tensor(edge_u), torch.tensor(edge_v)
    return Mesh(torch.stack([o, o + u, o + u + v, o + v]), torch.tensor([[0, 1, 2], [0, 2, 3]]))


def lathe(profile: Sequence[tuple[float, float]], segments: int = 24, closed: bool = False) -> Mesh:
    """The solid that a profile of (radius, z) sweeps when it turns about the z axis.

    An open profile runs from bottom to top and is closed to the axis at both ends; a ``closed`` one is a loop beside
    the axis, counter-clockwise in the (radius, z) plane, and sweeps a ring.
    """
    angle = torch.arange(segments) * (2 * math.pi / segments)
    ring = torch.stack([angle.cos(), angle.sin()], -1)
    rows = [(r, z) for r, z in profile if r > 0]
    vertices = torch.cat([torch.cat([r * ring, torch.full((segments, 1), z)], -1) for r, z in rows])
    faces = [_grid_faces(len(rows) + closed, segments, closed=True) % len(vertices)]
    if not closed:
        bottom, top = len(vertices), len(vertices) + 1
        vertices = torch.cat([vertices, torch.tensor([[0.0, 0.0, profile[0][1]], [0.0, 0.0, profile[-1][1]]])])
        here = torch.arange(segments)
        after, last = (here + 1) % segments, (len(rows) - 1) * segments
        faces.append(torch.stack([torch.full_like(here, bottom), after, here], -1))
        faces.append(torch.stack([torch.full_like(here, top), last + here, last + after], -1))
    return Mesh(vertices, torch.cat(faces))


def cylinder(radius: float, height: float, segments: int = 24) -> Mesh:
    """A cylinder on the z axis from z = 0 to ``height``."""
    return lathe([(radius, 0.0), (radius, height)], segments)


def sphere(radius: float, segments: int = 24) -> Mesh:
    """A sphere about the origin, in ``segments`` meridians and half as many bands."""
    bands = max(segments // 2, 2)
    turn = [math.pi * (i / bands - 0.5) for i in range(bands + 1)]
    inside = [(radius * math.cos(a), radius * math.sin(a)) for a in turn[1:-1]]
    return lathe([(0.0, -radius), *inside, (0.0, radius)], segments)


def extrude(polygon: Float[Tensor, "n 2"], height: float) -> Mesh:
    """The prism over a simple polygon in the xy plane, from z = 0 to ``height``; either sense of winding will do."""
    following = polygon.roll(-1, 0)
    area = float((polygon[:, 0] * following[:, 1] - polygon[:, 1] * following[:, 0]).sum())
    outline = polygon if area > 0 else polygon.flip(0)
    n = len(outline)
    cap = torch.tensor(_ear_clip([(float(x), float(y)) for x, y in outline]))
    here = torch.arange(n)
    after = (here + 1) % n
    side = torch.cat([torch.stack([here, after, after + n], -1), torch.stack([here, after + n, here + n], -1)])
    bottom = torch.cat([outline, torch.zeros(n, 1)], -1)
    top = torch.cat([outline, torch.full((n, 1), height)], -1)
    return Mesh(torch.cat([bottom, top]), torch.cat([cap.flip(-1), cap + n, side]))


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """All meshes in one; colours are kept if every mesh has them."""
    start, faces = 0, []
    for mesh in meshes:
        faces.append(mesh.faces + start)
        start += len(mesh.vertices)
    colors = [mesh.colors for mesh in meshes if mesh.colors is not None]
    joined = torch.cat(colors) if len(colors) == len(meshes) else None
    return Mesh(torch.cat([mesh.vertices for mesh in meshes]), torch.cat(faces), joined)


def transform(mesh: Mesh, matrix: Float[Tensor, "4 4"]) -> Mesh:
    """The mesh moved by an affine matrix; a mirroring matrix also turns the faces, so they keep facing outward."""
    vertices = mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    faces = mesh.faces.flip(-1) if float(torch.linalg.det(matrix[:3, :3])) < 0 else mesh.faces
    return Mesh(vertices, faces, mesh.colors)


def painted(mesh: Mesh, color: Vector) -> Mesh:
    """The mesh with one colour at all its vertices."""
    return Mesh(mesh.vertices, mesh.faces, torch.tensor(color).expand(len(mesh.vertices), 3))


def face_normals(mesh: Mesh) -> Float[Tensor, "f 3"]:
    """The vector area of each face: along its normal, as long as its area."""
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return torch.linalg.cross(b - a, c - a) / 2


def volume(mesh: Mesh) -> Float[Tensor, ""]:
    """The signed volume (divergence theorem): positive for a watertight mesh that faces outward."""
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def is_watertight(mesh: Mesh) -> bool:
    """Whether each edge is run through exactly once in each direction."""
    start, end = mesh.faces.flatten(), mesh.faces.roll(-1, 1).flatten()
    there, back = (start * len(mesh.vertices) + end).sort()[0], (end * len(mesh.vertices) + start).sort()[0]
    return bool((there == back).all()) and bool((there.diff() > 0).all())


def refine(mesh: Mesh, longest: float) -> Mesh:
    """The same surface with no edge over ``longest``: long edges are halved until none is left.

    Whether an edge is cut depends on that edge alone, so both faces beside it agree and the mesh stays watertight.
    """
    vertices, faces, colors = mesh.vertices, mesh.faces, mesh.colors
    while True:
        ends = torch.stack([faces, faces.roll(-1, 1)], -1)  # [f, 3 edges, 2 ends]
        ends = ends.sort(-1)[0]
        cut = (vertices[ends[..., 0]] - vertices[ends[..., 1]]).norm(dim=-1) > longest
        if not bool(cut.any()):
            return Mesh(vertices, faces, colors)
        pairs, which = torch.unique(ends[cut], dim=0, return_inverse=True)
        middle = torch.full(cut.shape, -1)
        middle[cut] = which + len(vertices)
        vertices = torch.cat([vertices, vertices[pairs].mean(1)])
        colors = None if colors is None else torch.cat([colors, colors[pairs].mean(1)])
        faces = _split_faces(vertices, faces, middle)


def split_creases(mesh: Mesh, degrees: float = 40.0) -> tuple[Mesh, Float[Tensor, "w 3"]]:
    """Vertices doubled along edges sharper than ``degrees``, so that each has one normal; and these unit normals.

    Corners of faces that meet over a flat enough edge share a vertex (connected components of such meetings).
    """
    count = len(mesh.faces)
    vector_area = face_normals(mesh)
    unit = torch.nn.functional.normalize(vector_area, dim=-1)
    corner = torch.arange(3 * count).reshape(count, 3)
    start, end = mesh.faces.flatten(), mesh.faces.roll(-1, 1).flatten()
    key = torch.minimum(start, end) * len(mesh.vertices) + torch.maximum(start, end)
    order = key.argsort(stable=True)
    same = key[order][1:] == key[order][:-1]
    first, second = order[:-1][same], order[1:][same]
    flat = (unit[first // 3] * unit[second // 3]).sum(-1) > math.cos(math.radians(degrees))
    first, second = first[flat], second[flat]
    # The edge that starts at corner k ends at corner k+1; in the face across, the same vertices come in turn.
    after = corner.roll(-1, 1).flatten()
    turned = start[first] == end[second]
    links = torch.cat([
        torch.stack([first, torch.where(turned, after[second], second)], -1),
        torch.stack([after[first], torch.where(turned, second, after[second])], -1),
    ])  # fmt: skip
    graph = coo_matrix((torch.ones(len(links)).numpy(), links.T.numpy()), shape=(3 * count, 3 * count))
    total, label = connected_components(graph, directed=False)
    group = torch.from_numpy(label).long()
    source = torch.empty(total, dtype=torch.long)
    source[group] = mesh.faces.flatten()
    normals = torch.zeros(total, 3).index_add_(0, group, vector_area.repeat_interleave(3, 0))
    colors = None if mesh.colors is None else mesh.colors[source]
    split = Mesh(mesh.vertices[source], group.reshape(count, 3), colors)
    return split, torch.nn.functional.normalize(normals, dim=-1)


def _grid_faces(rows: int, columns: int, closed: bool, flip: bool = False) -> Tensor:
    """The triangles of a grid of points numbered row by row; ``closed`` joins the last column to the first."""
    row = torch.arange(rows - 1)[:, None] * columns
    column = torch.arange(columns if closed else columns - 1)[None]
    here, beside = row + column, row + (column + 1) % columns
    above, across = here + columns, beside + columns
    if closed:  # columns turn about the axis and rows rise: this order faces outward
        faces = torch.stack([here, beside, across, here, across, above], -1)
    else:
        faces = torch.stack([here, above, across, here, across, beside], -1)
    faces = faces.reshape(-1, 3)
    return faces.flip(-1) if flip else faces


def _split_faces(vertices: Tensor, faces: Tensor, middle: Tensor) -> Tensor:
    """Faces cut at ``middle`` [f,3] (the vertex in the middle of each edge, -1 where the edge stays whole)."""
    count = (middle >= 0).sum(1)
    pieces = [faces[count == 0]]
    whole, m = faces[count == 3], middle[count == 3]
    (a, b, c), (ab, bc, ca) = whole.unbind(1), m.unbind(1)
    pieces += [torch.stack(t, -1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    # Turn the others so that one cut lies on the first edge, or two on the first and second.
    chosen, m = faces[count == 1], middle[count == 1]
    turn = (m >= 0).int().argmax(1)
    (a, b, c), (ab, _, _) = _turned(chosen, turn).unbind(1), _turned(m, turn).unbind(1)
    pieces += [torch.stack(t, -1) for t in ((a, ab, c), (ab, b, c))]
    chosen, m = faces[count == 2], middle[count == 2]
    turn = ((m < 0).int().argmax(1) + 1) % 3
    (a, b, c), (ab, bc, _) = _turned(chosen, turn).unbind(1), _turned(m, turn).unbind(1)
    shorter = ((vertices[a] - vertices[bc]).norm(dim=-1) < (vertices[ab] - vertices[c]).norm(dim=-1))[:, None]
    pieces.append(torch.stack([ab, b, bc], -1))
    pieces.append(torch.where(shorter, torch.stack([a, ab, bc], -1), torch.stack([a, ab, c], -1)))
    pieces.append(torch.where(shorter, torch.stack([a, bc, c], -1), torch.stack([ab, bc, c], -1)))
    return torch.cat(pieces)


def _turned(faces: Tensor, turn: Tensor) -> Tensor:
    return faces.gather(1, (torch.arange(3)[None] + turn[:, None]) % 3)


def _ear_clip(points: list[tuple[float, float]]) -> list[list[int]]:
    """Triangles of a simple counter-clockwise polygon: cut off one empty convex corner after another."""
    left, triangles = list(range(len(points))), []

    def turn(i: int, j: int, k: int) -> float:
        (ax, ay), (bx, by), (cx, cy) = points[i], points[j], points[k]
        return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)

    while len(left) > 3:
        for at in range(len(left)):
            i, j, k = left[at - 1], left[at], left[(at + 1) % len(left)]
            if turn(i, j, k) <= 0:
                continue
            others = [p for p in left if p not in (i, j, k)]
            if not any(turn(i, j, p) >= 0 and turn(j, k, p) >= 0 and turn(k, i, p) >= 0 for p in others):
                triangles.append([i, j, k])
                del left[at]
                break
        else:
            raise ValueError("the polygon is not simple: it crosses itself or has a corner twice")
    return [*triangles, left]
