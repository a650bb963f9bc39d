"""Pictures of triangle meshes on the CPU: which face a pixel sees, where on it, and how deep; with gradients.

Legend: v vertices [v, 3] in camera axes (x right, y down, z forward), f faces [f, 3] (counter-clockwise seen from
outside), b any leading dimensions. Depth is planar, the z of the camera.

A pixel sees what its centre sees. Faces that share an edge cover each pixel along it exactly once (left and top edges
belong to a face); of several faces at the same depth the first is seen. Nothing is clipped: a triangle may cross the
plane of the camera (see ``kernels.raster``, also for the source of the equations). All is computed in float64 and
rounded to float32, the same whatever the number of threads; ``rasterize_plain`` is the specification.

Depth and weights are differentiable in the vertices: each pixel stays on its face, whose plane and corners move. What
moving the outline would uncover is not in that gradient; ``coverage`` gives a mask with soft edges, whose gradient it
is (Liu et al., "Soft Rasterizer", 2019, restricted to pixels near the outline).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from fieldscape.errors import BadInput
from fieldscape.types import Camera

NEAR = 0.01
"""Nothing nearer to the plane of the camera than this is drawn, unless said otherwise."""

BANDS = 8
"""Single images are drawn, and their gradients summed, in so many bands of rows."""


@dataclass(frozen=True)
class Raster:
    """What each pixel sees. face: its number, -1 for none.  weights: of the face's corners, barycentric and right in
    perspective; 0 where there is no face.  depth: planar, infinite where there is no face."""

    face: Int[Tensor, "*b h w"]
    weights: Float[Tensor, "*b h w 3"]
    depth: Float[Tensor, "*b h w"]

    @property
    def hit(self) -> Bool[Tensor, "*b h w"]:
        """Where there is a face."""
        return self.face >= 0

    def __getitem__(self, index: int | slice | tuple) -> Raster:
        """Images ``index`` of the leading dimensions."""
        return Raster(self.face[index], self.weights[index], self.depth[index])


def rasterize(
    vertices: Float[Tensor, "*b v 3"],
    faces: Int[Tensor, "f 3"],
    camera: Camera,
    near: float = NEAR,
    culled: bool = False,
) -> Raster:
    """Draws a mesh, or a batch of meshes with the same faces, each into an image of its own.

    camera: a pinhole, single or with the leading dimensions of the vertices; its pose is not used.  near: what lies
    nearer, in the unit of the vertices, is not drawn.  culled: faces seen from behind are not drawn.

    Works on the CPU; tensors on another device are fetched, and the answer is sent back there.
    Raises ``BadInput`` for a camera with another lens, ValueError for vertices that are not finite and faces that name
    vertices that do not exist.
    """
    _require_drawable(vertices, faces, camera, near)
    flat = vertices.reshape(math.prod(vertices.shape[:-2]), *vertices.shape[-2:])
    face, weights, depth, _ = _Draw.apply(flat, faces, _lenses(vertices, camera), _size(camera), near, culled, None)
    return _shaped(vertices, camera, face, weights, depth)


def peel(
    vertices: Float[Tensor, "*b v 3"],
    faces: Int[Tensor, "f 3"],
    camera: Camera,
    layers: int,
    near: float = NEAR,
    culled: bool = False,
) -> tuple[Raster, ...]:
    """The nearest face of each pixel, the next one behind it, and so on: ``layers`` rasters (depth peeling).

    Arguments and what it raises as for ``rasterize``. Faces at the same depth come in the order of their numbers.
    """
    _require_drawable(vertices, faces, camera, near)
    flat, lenses = vertices.reshape(math.prod(vertices.shape[:-2]), *vertices.shape[-2:]), _lenses(vertices, camera)
    rasters: list[Raster] = []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for _ in range(layers):
        face, weights, depth, inverses = _Draw.apply(flat, faces, lenses, _size(camera), near, culled, before)
        before = inverses.numpy(), face.cpu().numpy()
        rasters.append(_shaped(vertices, camera, face, weights, depth))
    return tuple(rasters)


def interpolate(
    raster: Raster, faces: Int[Tensor, "f 3"], attributes: Float[Tensor, "v c"]
) -> Float[Tensor, "*b h w c"]:
    """Attributes of vertices (colours, normals, places in a texture ...) at each pixel; 0 where there is no face.

    Differentiable in the attributes and, through the weights, in the vertices; computed in float32.
    """
    return _Fill.apply(raster.weights, attributes, raster.face, faces)


def composite(rasters: Sequence[Raster]) -> tuple[Int[Tensor, "*b h w"], Raster]:
    """Of several rasters of the same size the nearest at each pixel: which one it is (-1: none), and what it sees.

    At the same depth the first is seen.
    """
    depths = torch.stack([raster.depth for raster in rasters])
    depth, which = depths.min(0)
    face = torch.stack([raster.face for raster in rasters]).gather(0, which[None])[0]
    weights = torch.stack([raster.weights for raster in rasters])
    chosen = weights.gather(0, which[None, ..., None].expand(1, *which.shape, 3))[0]
    return torch.where(face >= 0, which, -1), Raster(face, chosen, depth)


def coverage(
    raster: Raster,
    vertices: Float[Tensor, "*b v 3"],
    faces: Int[Tensor, "f 3"],
    camera: Camera,
    sigma: float = 0.5,
    reach: float = 3.0,
    near: float = NEAR,
) -> Float[Tensor, "*b h w"]:
    """How much of each pixel is covered, 0..1, with soft edges: sigmoid(d / sigma), d the distance of its centre to the
    outline of the mesh in pixels, positive inside. Differentiable in the vertices.

    raster: what ``rasterize`` made of the same mesh, nothing culled.  sigma: pixels.  reach: pixels farther than this
    from the outline are 0 or 1. An edge with an end nearer than ``near`` is hard, and so is the border of the picture;
    gaps and parts thinner than a pixel may be missed, as they are by the raster.
    """
    _require_drawable(vertices, faces, camera, near)
    from fieldscape.kernels import raster as kernel
    from fieldscape.kernels.exact import share

    flat = vertices.reshape(math.prod(vertices.shape[:-2]), *vertices.shape[-2:])
    lenses = torch.from_numpy(_lenses(vertices, camera)).to(flat)
    hit = raster.hit.reshape(-1, camera.height, camera.width)
    depth = torch.where(flat[..., 2] >= near, flat[..., 2], 1.0)  # those behind are not used, but must be finite
    outline = _outline(flat.detach(), faces.long(), near)
    projected = flat[..., :2] / depth[..., None] * lenses[:, None, :2] + lenses[:, None, 2:]

    wide = 2 * math.ceil(reach) + 1
    mask = hit[:, None].float()
    border = (_widest(mask, wide) + _widest(-mask, wide) > 0)[:, 0]
    arrays = [x.to(torch.uint8).cpu().numpy() for x in (outline, hit, border)]
    points, triangles = projected.detach().cpu().double().numpy(), faces.cpu().long().contiguous().numpy()
    distances, edges = np.empty(hit.shape), np.empty(hit.shape, np.int64)
    bands = _bands(*hit.shape[:2])

    def work(part: int) -> None:
        image, top, bottom = bands[part]
        kernel.border_edges(points, arrays[0], triangles, *arrays[1:], reach, distances, edges, image, top, bottom)

    share(work, len(bands))
    edge = torch.from_numpy(edges).to(flat.device)
    where = (edge >= 0).nonzero(as_tuple=True)
    face, corner = edge[where] // 3, edge[where] % 3
    one, other = (projected[where[0], faces[face, (corner + k) % 3].long()] for k in (0, 1))
    center = torch.stack(where[:0:-1], -1).to(flat) + 0.5  # column, row
    along = other - one
    t = (((center - one) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-12)).clamp(0, 1)
    distance = ((center - one - t[:, None] * along).square().sum(-1) + 1e-12).sqrt()
    inside = hit[where]
    values = torch.sigmoid(torch.where(inside, distance, -distance) / sigma)
    return hit.to(flat).index_put(where, values).reshape(raster.face.shape)


def rasterize_plain(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], camera: Camera, near: float = NEAR, culled: bool = False
) -> Raster:
    """``rasterize`` of one mesh as a page of tensors: every pixel looks at every face. Its specification, and slow."""
    _require_drawable(vertices, faces, camera, near)
    height, width = camera.height, camera.width
    scale, shift = camera.focal.double(), camera.center.double()
    points = vertices.double()
    points = torch.cat([scale * points[:, :2] + shift * points[:, 2:], points[:, 2:]], -1)
    corners = points[faces.long()]  # [f, 3 corners, 3]
    with torch.no_grad():
        edges, volume = _edges(corners)
        sign = torch.where(volume > 0, 1.0, -1.0)
        edges = edges * sign[:, None, None]
        inverse_plane = ((edges[:, 0] + edges[:, 1]) + edges[:, 2]) * (1 / (sign * volume))[:, None]
        drawn = (volume != 0) & inverse_plane.isfinite().all(-1) & ~(culled & (sign > 0))
        a, b = edges[..., 0], edges[..., 1]
        first = (a > 0) | ((a == 0) & (b > 0))
        face = torch.full((height, width), -1, dtype=torch.long, device=vertices.device)
        x = (torch.arange(width, device=vertices.device) + 0.5).double()
        for row in range(height):
            value = _plane(edges, x[:, None, None], row + 0.5)  # [w, f, 3]
            inside = ((value > 0) | ((value == 0) & first)).all(-1) & drawn
            inverse = _plane(inverse_plane, x[:, None], row + 0.5)
            inverse = torch.where(inside & (inverse > 0) & (inverse <= 1 / near), inverse, 0.0)
            if len(faces):
                largest, seen = inverse.max(-1)  # of equal ones the first
                face[row] = torch.where(largest > 0, seen, -1)
    where = (face >= 0).nonzero(as_tuple=True)
    y, x = (index[:, None] + 0.5 for index in where)
    edges, volume = _edges(corners[face[where]])
    over_depth = _plane(edges, x, y) / volume[:, None]
    z = 1 / over_depth.sum(-1)
    weights = torch.zeros(height, width, 3, dtype=vertices.dtype, device=vertices.device)
    depth = torch.full((height, width), torch.inf, dtype=vertices.dtype, device=vertices.device)
    weights = weights.index_put(where, (over_depth * z[:, None]).to(vertices.dtype))
    return Raster(face, weights, depth.index_put(where, z.to(vertices.dtype)))


def _edges(corners: Tensor) -> tuple[Tensor, Tensor]:
    """The three edge functions [f, 3, 3] and the volume [f] of triangles with homogeneous corners [f, 3, 3]."""
    following, last = corners.roll(-1, 1), corners.roll(-2, 1)
    (a, b, c), (x, y, z) = following.unbind(-1), last.unbind(-1)
    edges = torch.stack([b * z - c * y, c * x - a * z, a * y - b * x], -1)  # sums in the order of the kernel's
    product = corners[:, 0] * edges[:, 0]
    return edges, (product[:, 0] + product[:, 1]) + product[:, 2]


def _plane(plane: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    return plane[..., 0] * x + (plane[..., 1] * y + plane[..., 2])


class _Draw(torch.autograd.Function):
    """The kernel's picture of a batch: face, weights, depth, and 1 / depth in float64."""

    @staticmethod
    def forward(ctx, vertices, faces, lenses, size, near, culled, before):
        from fieldscape.kernels import raster as kernel
        from fieldscape.kernels.exact import share

        points = vertices.detach().cpu().double().contiguous().numpy()
        triangles = faces.cpu().long().contiguous().numpy()
        count, (height, width) = len(points), size
        planes = np.empty((count, len(triangles), kernel.PLANES))
        boxes = np.empty((count, len(triangles), 4), np.int32)
        inverses, found = np.empty((count, height, width)), np.empty((count, height, width), np.int64)
        weights, depth = (np.empty((count, height, width, *more), np.float32) for more in ((3,), ()))
        passed, ahead = (np.empty((0, 0, 0)), np.empty((0, 0, 0), np.int64)) if before is None else before
        bands = _bands(count, height)

        def set_up(image: int) -> None:
            kernel.prepare(points, triangles, lenses, float(near), culled, height, width, planes, boxes, image)

        def draw(part: int) -> None:
            image, top, bottom = bands[part]
            arguments = planes, boxes, 1 / near, passed, ahead, inverses, found, weights, depth, image, top, bottom
            kernel.draw(*arguments)

        share(set_up, count)
        share(draw, len(bands))
        ctx.kept = planes, triangles, lenses, found, points.shape
        results = tuple(torch.from_numpy(x) for x in (found, weights, depth))
        face, soft, z = (x.to(vertices.device) for x in results)
        soft, z = soft.to(vertices.dtype), z.to(vertices.dtype)
        exact = torch.from_numpy(inverses)
        ctx.mark_non_differentiable(face, exact)
        return face, soft, z, exact

    @staticmethod
    @once_differentiable
    def backward(ctx, _, of_weights, of_depth, __):
        from fieldscape.kernels import raster as kernel
        from fieldscape.kernels.exact import share

        planes, triangles, lenses, found, shape = ctx.kept
        gradients = [x.detach().cpu().float().contiguous().numpy() for x in (of_weights, of_depth)]
        bands = _bands(*found.shape[:2])
        parts = len(bands) // len(found)
        # A sum for each band, added in order: the same whatever thread made which.
        of_vertices = np.zeros((shape[0], parts, *shape[1:]))

        def work(part: int) -> None:
            image, top, bottom = bands[part]
            arguments = planes, triangles, lenses, found, *gradients, of_vertices, image, part % parts, top, bottom
            kernel.pull(*arguments)

        share(work, len(bands))
        total = torch.from_numpy(of_vertices.sum(1)).to(of_weights)
        return total, None, None, None, None, None, None


class _Fill(torch.autograd.Function):
    """Attributes of vertices at the pixels of a raster."""

    @staticmethod
    def forward(ctx, weights, attributes, face, faces):
        from fieldscape.kernels import raster as kernel
        from fieldscape.kernels.exact import share

        shares, values = (x.detach().cpu().float().contiguous().numpy() for x in (weights, attributes))
        found, triangles = (x.cpu().long().contiguous().numpy() for x in (face, faces))
        found, shares = found.reshape(-1), shares.reshape(-1, 3)
        picture, cuts = np.empty((len(found), values.shape[1]), np.float32), _cuts(len(found), BANDS)

        def work(part: int) -> None:
            kernel.fill(found, shares, triangles, values, picture, *cuts[part])

        share(work, len(cuts))
        ctx.kept = found, shares, triangles, values
        return torch.from_numpy(picture).reshape(*face.shape, -1).to(attributes)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_picture):
        from fieldscape.kernels import raster as kernel
        from fieldscape.kernels.exact import share

        found, shares, triangles, values = ctx.kept
        gradient = of_picture.cpu().float().contiguous().numpy().reshape(-1, values.shape[1])
        cuts = _cuts(len(found), BANDS)
        of_weights, of_attributes = np.empty_like(shares), np.zeros((len(cuts), *values.shape))

        def work(part: int) -> None:
            arguments = found, shares, triangles, values, gradient, of_weights, of_attributes, part, *cuts[part]
            kernel.pull_fill(*arguments)

        share(work, len(cuts))
        weights = torch.from_numpy(of_weights).reshape(*of_picture.shape[:-1], 3)
        return weights.to(of_picture), torch.from_numpy(of_attributes.sum(0)).to(of_picture), None, None


def _cuts(length: int, parts: int) -> list[tuple[int, int]]:
    """A length in equal parts: where each begins and ends."""
    places = [round(i * length / parts) for i in range(parts + 1)]
    return list(pairwise(places))


def _outline(vertices: Tensor, faces: Tensor, near: float) -> Tensor:
    """Which edges [b, f, 3] (from corner k to the next) may be outline: all their faces lie on one side of them, as
    seen, and both ends are in front of the near plane."""
    corners = vertices[:, faces].double()
    side = (corners[:, :, 0] * torch.linalg.cross(corners[:, :, 1], corners[:, :, 2])).sum(-1).sign()
    one, other = faces, faces.roll(-1, 1)
    side = torch.where(one < other, side[..., None], -side[..., None]).flatten(1)
    names = torch.minimum(one, other) * vertices.shape[1] + torch.maximum(one, other)
    edges, edge = names.flatten().unique(return_inverse=True)
    edge = edge.expand_as(side)
    empty = side.new_zeros(len(vertices), len(edges))
    left, right = (empty.scatter_reduce(1, edge, side, reduce) for reduce in ("amin", "amax"))
    between = ((left < 0) & (right > 0)).gather(1, edge).reshape(-1, *faces.shape)
    ahead = vertices[..., 2] >= near
    return ~between & ahead[:, one] & ahead[:, other]


def _widest(mask: Tensor, wide: int) -> Tensor:
    """The largest value in a square around each pixel [n, 1, h, w]: along rows, then along columns."""
    pool = torch.nn.functional.max_pool2d
    return pool(pool(mask, (1, wide), 1, (0, wide // 2)), (wide, 1), 1, (wide // 2, 0))


def _bands(count: int, height: int) -> list[tuple[int, int, int]]:
    """Image, first and last row of each part of the work: bands of equal number an image, whatever the threads."""
    bands = BANDS if count < BANDS and height >= 16 * BANDS else 1
    return [(image, top, bottom) for image in range(count) for top, bottom in _cuts(height, bands)]


def _lenses(vertices: Tensor, camera: Camera) -> np.ndarray:
    """fx, fy, cx, cy of each image [b, 4]."""
    lens = torch.cat([camera.focal, camera.center], -1).double()
    return lens.expand(*vertices.shape[:-2], 4).reshape(-1, 4).cpu().contiguous().numpy()


def _size(camera: Camera) -> tuple[int, int]:
    return camera.height, camera.width


def _shaped(vertices: Tensor, camera: Camera, face: Tensor, weights: Tensor, depth: Tensor) -> Raster:
    shape = (*vertices.shape[:-2], *_size(camera))
    return Raster(face.reshape(shape), weights.reshape(*shape, 3), depth.reshape(shape))


def _require_drawable(vertices: Tensor, faces: Tensor, camera: Camera, near: float) -> None:
    if camera.lens != "pinhole":
        raise BadInput(
            f"Meshes are drawn through pinhole cameras, not {camera.lens} lenses. Undistort the images first."
        )
    if not near > 0:
        raise ValueError(f"the near plane must lie in front of the camera, not at {near}")
    if not bool(vertices.isfinite().all()):
        raise ValueError("some vertices are not finite")
    if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[-2]:
        raise ValueError(f"some faces name vertices beyond the {vertices.shape[-2]} there are")
