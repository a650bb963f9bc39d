"""Five solids that all shapes of the street are made of, each exact: where rays meet it, its extent, its inside.

A solid lives in its own frame and is placed by an affine 4x4 matrix (so a ball may become an ellipsoid):

* box: -1 <= x, y, z <= 1
* ball: x^2 + y^2 + z^2 <= 1
* cylinder: x^2 + y^2 <= 1, -1 <= z <= 1
* cone: x^2 + y^2 <= ((1 - z) / 2)^2, -1 <= z <= 1: the tip is at z = 1
* capsule: within 1 of the segment from z = -ratio to z = ratio; its matrix scales alike in all directions

A ray is ``origin + t direction``; t is the same in every frame, so directions whose z in camera axes is 1 give planar
depth. Rays are met in closed form, in float64. ``mesh`` approximates the same solids by triangles, for light and for
points spread over the surface.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape import meshes
from fieldscape.meshes import split_creases
from fieldscape.types import Mesh

KINDS = ("box", "ball", "cylinder", "cone", "capsule")
SEGMENTS = 40
"""Around a round mesh: it stays within 0.3 % of its radius of the solid."""

Array = np.ndarray


def first_hit(
    kind: str, ratio: float, origin: Float[Array, "3 *o"], directions: Float[Array, "3 *p"]
) -> Float[Array, "*p"]:
    """The smallest t > 0 at which each ray enters the solid, infinity where it does not; rays start outside of it.

    ``origin`` is one for all rays (shape [3]) or one a ray.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "box":
            enter, leave = _slab(origin[0], directions[0])
            for axis in (1, 2):
                low, high = _slab(origin[axis], directions[axis])
                enter, leave = np.maximum(enter, low), np.minimum(leave, high)
        elif kind == "ball":
            enter, leave = _ball(origin, directions)
        elif kind == "cylinder":
            enter, leave = _tube(origin, directions)
            low, high = _slab(origin[2], directions[2])
            enter, leave = np.maximum(enter, low), np.minimum(leave, high)
        elif kind == "cone":
            return _cone(origin, directions)
        elif kind == "capsule":
            return _capsule(ratio, origin, directions)
        else:
            raise ValueError(f"there is no solid {kind!r}")
        return np.where((enter < leave) & (enter > 0), enter, np.inf)


def _slab(origin: float | Array, direction: Array) -> tuple[Array, Array]:
    """When rays enter and leave the space between -1 and 1 along one axis."""
    one, other = (-1 - origin) / direction, (1 - origin) / direction
    return np.minimum(one, other), np.maximum(one, other)


def _roots(a: Array, b: Array, c: float | Array) -> tuple[Array, Array]:
    """The roots of a t^2 + 2 b t + c with a > 0, in order; (inf, -inf) where there are none."""
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0.0))
    some = square > 0
    return np.where(some, (-b - root) / a, np.inf), np.where(some, (-b + root) / a, -np.inf)


def _ball(o: Array, d: Array, z: float = 0.0) -> tuple[Array, Array]:
    """Entry to and exit from the unit ball about (0, 0, z)."""
    height = o[2] - z
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + height * d[2]
    return _roots(a, b, o[0] ** 2 + o[1] ** 2 + height**2 - 1)


def _tube(o: Array, d: Array) -> tuple[Array, Array]:
    """Entry to and exit from the endless cylinder; a ray along it is inside all the time, or never."""
    a = d[0] * d[0] + d[1] * d[1]
    c = o[0] ** 2 + o[1] ** 2 - 1
    low, high = _roots(a, o[0] * d[0] + o[1] * d[1], c)
    along = a < 1e-24
    if along.any():
        low = np.where(along, np.where(c < 0, -np.inf, np.inf), low)
        high = np.where(along, np.where(c < 0, np.inf, -np.inf), high)
    return low, high


def _cone(o: Array, d: Array) -> Array:
    """The first of: the mantle within its height, the base within its circle."""
    w = 1 - o[2]
    a = d[0] * d[0] + d[1] * d[1] - d[2] * d[2] / 4
    b = o[0] * d[0] + o[1] * d[1] + w * d[2] / 4
    c = o[0] ** 2 + o[1] ** 2 - w * w / 4
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    best = np.full(a.shape, np.inf)
    for t in ((-b - root) / a, (-b + root) / a):
        z = o[2] + t * d[2]
        valid = (b * b > a * c) & (z <= 1) & (z >= -1) & (t > 0)
        best = np.where(valid & (t < best), t, best)
    t = (-1 - o[2]) / d[2]
    x, y = o[0] + t * d[0], o[1] + t * d[1]
    return np.where((x * x + y * y <= 1) & (t > 0) & (t < best), t, best)


def _capsule(ratio: float, o: Array, d: Array) -> Array:
    """The first of: the tube between the two balls' middles, the two balls."""
    side, _ = _tube(o, d)
    z = o[2] + side * d[2]
    best = np.where((np.abs(z) <= ratio) & (side > 0), side, np.inf)
    for end in (-ratio, ratio):
        t, _ = _ball(o, d, end)
        best = np.where((t > 0) & (t < best), t, best)
    return best


def inside(kind: str, ratio: float, points: Float[Array, "n 3"], slack: float = 1e-9) -> Bool[Array, "n"]:
    """Whether points of the solid's own frame lie in it, deeper than ``slack``."""
    x, y, z = points.T
    edge = 1 - slack
    if kind == "box":
        return np.abs(points).max(1) < edge
    if kind == "ball":
        return np.sqrt(x * x + y * y + z * z) < edge
    radius = np.hypot(x, y)
    if kind == "cylinder":
        return (radius < edge) & (np.abs(z) < edge)
    if kind == "cone":
        return (radius < (1 - z) / 2 - slack) & (z > -edge)
    return np.hypot(radius, np.maximum(np.abs(z) - ratio, 0)) < edge


def reach(kind: str, ratio: float, matrix: Float[Array, "4 4"], toward: Float[Array, "n 3"]) -> Float[Array, "n"]:
    """How far the placed solid reaches in each direction: the maximum of toward . x over it (support function)."""
    local = toward @ matrix[:3, :3]
    flat, up = np.hypot(local[:, 0], local[:, 1]), local[:, 2]
    if kind == "box":
        far = np.abs(local).sum(1)
    elif kind == "ball":
        far = np.hypot(flat, up)
    elif kind == "cylinder":
        far = flat + np.abs(up)
    elif kind == "cone":
        far = np.maximum(up, flat - up)
    else:
        far = ratio * np.abs(up) + np.hypot(flat, up)
    return far + toward @ matrix[:3, 3]


@lru_cache(maxsize=64)
def mesh(kind: str, ratio: float = 0.0) -> tuple[Mesh, Float[Tensor, "v 3"]]:
    """The solid as a mesh in its own frame with one normal a vertex (creases kept), and these normals."""
    return split_creases(_closed(kind, ratio))


def _closed(kind: str, ratio: float) -> Mesh:
    """The solid as a watertight mesh."""
    if kind == "box":
        return meshes.box((2.0, 2.0, 2.0))
    if kind == "ball":
        return meshes.sphere(1.0, SEGMENTS)
    if kind == "cylinder":
        return meshes.lathe([(1.0, -1.0), (1.0, 1.0)], SEGMENTS)
    if kind == "cone":
        return meshes.lathe([(1.0, -1.0), *((1 - k / 8, -1 + k / 4) for k in range(1, 8)), (0.0, 1.0)], SEGMENTS)
    turn = np.linspace(0, np.pi / 2, SEGMENTS // 4 + 1)
    top = [(float(np.cos(a)), ratio + float(np.sin(a))) for a in turn[:-1]]
    below = [(r, -z) for r, z in reversed(top)]
    return meshes.lathe([(0.0, -ratio - 1), *below, *top, (0.0, ratio + 1)], SEGMENTS)


@lru_cache(maxsize=64)
def _faces(kind: str, ratio: float) -> tuple[Float[Array, "f 3 3"], Float[Array, "f 3"]]:
    """The corners of the faces of the solid's mesh, and the faces' vector areas."""
    if kind == "capsule" and ratio != 1:
        # Every capsule has a length of its own: its ends are those of another one, moved.
        corners = _faces(kind, 1.0)[0].copy()
        corners[..., 2] += np.sign(corners[..., 2]) * (ratio - 1)
    else:
        solid = _closed(kind, ratio)
        corners = solid.vertices.numpy().astype(np.float64)[solid.faces.numpy()]
    return corners, np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2


def _areas(kind: str, ratio: float, matrix: Float[Array, "4 4"]) -> Float[Array, "f"]:
    """The areas of the placed mesh's faces: vector areas transform by the matrix of cofactors."""
    turn = matrix[:3, :3]
    cofactors = np.linalg.det(turn) * np.linalg.inv(turn).T
    return np.linalg.norm(_faces(kind, ratio)[1] @ cofactors.T, axis=1)


def area(kind: str, ratio: float, matrix: Float[Array, "4 4"]) -> float:
    """Of the placed solid's surface, to 1 %."""
    return float(_areas(kind, ratio, matrix).sum())


def spread(kind: str, ratio: float, matrix: Float[Array, "4 4"], count: int) -> Float[Array, "n 3"]:
    """``count`` points on the placed solid, evenly by area, exactly on its surface."""
    corners, _ = _faces(kind, ratio)
    stops = _areas(kind, ratio, matrix).cumsum()
    place = (np.arange(count) + 0.5) / count
    face = np.minimum(np.searchsorted(stops, place * stops[-1]), len(corners) - 1)
    # R2, a sequence of points that fill the unit square evenly (Roberts 2018), folded into a triangle.
    index = np.arange(1, count + 1)
    u, v = np.sqrt((index * 0.7548776662466927) % 1), (index * 0.5698402909980532) % 1
    weights = np.stack([1 - u, u * (1 - v), u * v], -1)
    return snapped(kind, ratio, (corners[face] * weights[..., None]).sum(1)) @ matrix[:3, :3].T + matrix[:3, 3]


def snapped(kind: str, ratio: float, points: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """Points of the mesh moved (by less than 0.3 % of the radius) to the solid's own surface."""
    points = points.copy()
    radius = np.maximum(np.hypot(points[:, 0], points[:, 1]), 1e-12)
    if kind == "ball":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    elif kind == "cylinder":
        side = np.abs(points[:, 2]) < 1 - 1e-6
        points[side, :2] /= radius[side, None]
    elif kind == "cone":
        side = points[:, 2] > -1 + 1e-6
        points[side, :2] *= ((1 - points[side, 2]) / 2 / radius[side])[:, None]
    elif kind == "capsule":
        middle = np.zeros_like(points)
        middle[:, 2] = np.clip(points[:, 2], -ratio, ratio)
        away = points - middle
        points = middle + away / np.linalg.norm(away, axis=1, keepdims=True)
    return points


def bounds(ratio: float) -> Float[Array, "8 3"]:
    """Corners of a box around a solid in its own frame."""
    tall = 1 + ratio
    return np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-tall, tall)])
