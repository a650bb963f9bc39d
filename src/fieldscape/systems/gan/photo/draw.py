"""Drawing of textured triangles: a z-buffer, perspective-correct, with several samples a pixel.

A triangle is met where a ray is met, in homogeneous coordinates (Olano and Greer, "Triangle scan conversion using 2D
homogeneous coordinates", 1997), so nothing is clipped. With its corners as the columns of Q, each of them
(fx x + cx z, fy y + cy z, z) in camera axes, the pixel p sees the triangle where all of b = Q^-1 (px, py, 1) are
positive; there, 1/z = sum(b), and b z are the weights of the corners.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.kernels.compiling import compiled
from fieldscape.types import Camera, Rendered

NEAR = 0.01
"""Nothing nearer than this (metres along the optical axis) is drawn."""


@dataclass(frozen=True)
class Textured:
    """Triangles with a texture. places: where in it each vertex lies, x and y in texels (first centre at 0.5, 0.5)."""

    vertices: Float[Tensor, "v 3"]
    places: Float[Tensor, "v 2"]
    faces: Int[Tensor, "f 3"]
    texture: UInt8[Tensor, "h w 3"]


def draw(shape: Textured, camera: Camera, supersample: int = 2, behind: float = 0.0) -> Rendered:
    """What ``camera`` sees of the triangles, from either side, by ``supersample`` squared samples a pixel.

    The texture is read between texels only near their borders, so that a camera which sees one texel in each pixel
    gets it back exactly. ``behind``: the gray where nothing is. Raises BadInput for a lens with distortion.
    """
    if camera.lens != "pinhole":
        raise BadInput(f"a scene of one photo is drawn through a pinhole, not a {camera.lens} lens")
    width, height, fine = camera.width, camera.height, supersample
    points = screen_points(shape.vertices, camera, fine)
    faces, places = shape.faces.numpy().astype(np.int32), shape.places.numpy()
    nearness = np.zeros((height * fine, width * fine), np.float32)
    where = np.zeros((height * fine, width * fine, 2), np.float32)
    color = np.zeros((height, width, 3), np.float32)
    depth, alpha = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    texture = shape.texture.contiguous().numpy()
    lens = np.concatenate([camera.focal.numpy(), camera.center.numpy()]).astype(np.float64)

    def band(first: int, last: int) -> None:
        """Rows do not know of each other, so any number of threads gives the same picture."""
        rasterize(points, faces, places, first * fine, last * fine, nearness, where)
        shade(texture, lens, first, last, fine, behind, nearness, where, color, depth, alpha)

    threads = max(1, min(torch.get_num_threads(), height))
    rows = [round(height * k / threads) for k in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(band, rows[:-1], rows[1:]))
    return Rendered(torch.from_numpy(color), torch.from_numpy(depth)[..., None], torch.from_numpy(alpha)[..., None])


def screen_points(vertices: Float[Tensor, "v 3"], camera: Camera, fine: int) -> Float[np.ndarray, "v 3"]:
    """Vertices as (sx z, sy z, z), where (sx, sy) is their place on a screen ``fine`` times as fine as the picture."""
    pose = camera.pose.double().numpy()
    (fx, fy), (cx, cy) = camera.focal.tolist(), camera.center.tolist()
    lens = np.array([[fine * fx, 0, fine * cx], [0, fine * fy, fine * cy], [0, 0, 1.0]])
    points = np.empty((len(vertices), 3), np.float32)
    carry(vertices.contiguous().numpy(), lens @ pose[:3, :3].T, pose[:3, 3].copy(), points)
    return points


@compiled
def carry(vertices, turn, eye, points):
    """points = turn (vertices - eye)."""
    for n in range(vertices.shape[0]):
        x, y, z = vertices[n, 0] - eye[0], vertices[n, 1] - eye[1], vertices[n, 2] - eye[2]
        for k in range(3):
            points[n, k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2] * z


@compiled
def rasterize(points, faces, places, first, last, nearness, where):
    """Into rows ``first``..``last`` of ``nearness`` (1/z, 0 where nothing is) and ``where`` (places in the texture)."""
    width = nearness.shape[1]
    farthest = 1.0 / NEAR
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        az, bz, cz = np.float64(points[i, 2]), np.float64(points[j, 2]), np.float64(points[k, 2])
        if az <= 0 and bz <= 0 and cz <= 0:
            continue
        ax, ay = np.float64(points[i, 0]), np.float64(points[i, 1])
        bx, by = np.float64(points[j, 0]), np.float64(points[j, 1])
        cx, cy = np.float64(points[k, 0]), np.float64(points[k, 1])
        left, right, top, bottom = 0, width - 1, first, last - 1
        if az > NEAR and bz > NEAR and cz > NEAR:
            y0, y1, y2 = ay / az, by / bz, cy / cz
            low, high = min(y0, y1, y2), max(y0, y1, y2)
            if high < first or low > last:
                continue
            top, bottom = max(top, int(np.ceil(low - 0.5 - 1e-6))), min(bottom, int(np.floor(high - 0.5 + 1e-6)))
            if top > bottom:
                continue
            x0, x1, x2 = ax / az, bx / bz, cx / cz
            low, high = min(x0, x1, x2), max(x0, x1, x2)
            if high < 0 or low > width:
                continue
            left, right = max(left, int(np.ceil(low - 0.5 - 1e-6))), min(right, int(np.floor(high - 0.5 + 1e-6)))
            if left > right:
                continue
        # The rows of Q^-1 are the cross products of two corners each, over the determinant.
        r0x, r0y, r0z = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        det = ax * r0x + ay * r0y + az * r0z
        if abs(det) < 1e-18:
            continue
        scale = 1.0 / det
        r0x, r0y, r0z = r0x * scale, r0y * scale, r0z * scale
        r1x, r1y, r1z = (cy * az - cz * ay) * scale, (cz * ax - cx * az) * scale, (cx * ay - cy * ax) * scale
        r2x, r2y, r2z = (ay * bz - az * by) * scale, (az * bx - ax * bz) * scale, (ax * by - ay * bx) * scale
        u0, u1, u2 = places[i, 0], places[j, 0], places[k, 0]
        v0, v1, v2 = places[i, 1], places[j, 1], places[k, 1]
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                b0 = r0x * x + r0y * y + r0z
                b1 = r1x * x + r1y * y + r1z
                b2 = r2x * x + r2y * y + r2z
                near = b0 + b1 + b2
                # Two triangles that share an edge may both claim it, never neither: hence a little more than inside.
                slack = -1e-5 * near
                if near <= 0 or near > farthest or b0 < slack or b1 < slack or b2 < slack:
                    continue
                if near > nearness[row, column]:
                    nearness[row, column] = near
                    where[row, column, 0] = (b0 * u0 + b1 * u1 + b2 * u2) / near
                    where[row, column, 1] = (b0 * v0 + b1 * v1 + b2 * v2) / near


@compiled
def shade(texture, lens, first, last, fine, behind, nearness, where, color, depth, alpha):
    """The mean over each pixel's samples: colour 0..1, distance of those that met something, and their share."""
    height, width = texture.shape[0], texture.shape[1]
    share = 1.0 / (fine * fine)
    for row in range(first, last):
        for column in range(color.shape[1]):
            red, green, blue, far, met = 0.0, 0.0, 0.0, 0.0, 0
            for sample in range(fine * fine):
                y, x = row * fine + sample // fine, column * fine + sample % fine
                near = nearness[y, x]
                if near <= 0:
                    continue
                met += 1
                far += 1.0 / near
                u = min(max(where[y, x, 0] - 0.5, 0.0), width - 1.0)
                v = min(max(where[y, x, 1] - 0.5, 0.0), height - 1.0)
                left, top = min(int(u), width - 2), min(int(v), height - 2)
                s = min(max((u - left - 0.5) * fine + 0.5, 0.0), 1.0)
                t = min(max((v - top - 0.5) * fine + 0.5, 0.0), 1.0)
                w00, w01, w10, w11 = (1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t
                red += w00 * texture[top, left, 0] + w01 * texture[top, left + 1, 0]
                red += w10 * texture[top + 1, left, 0] + w11 * texture[top + 1, left + 1, 0]
                green += w00 * texture[top, left, 1] + w01 * texture[top, left + 1, 1]
                green += w10 * texture[top + 1, left, 1] + w11 * texture[top + 1, left + 1, 1]
                blue += w00 * texture[top, left, 2] + w01 * texture[top, left + 1, 2]
                blue += w10 * texture[top + 1, left, 2] + w11 * texture[top + 1, left + 1, 2]
            rest = behind * (1 - met * share)
            color[row, column, 0] = red * share / 255 + rest
            color[row, column, 1] = green * share / 255 + rest
            color[row, column, 2] = blue * share / 255 + rest
            alpha[row, column] = met * share
            if met > 0:
                x, y = (column + 0.5 - lens[2]) / lens[0], (row + 0.5 - lens[3]) / lens[1]
                depth[row, column] = far / met * np.sqrt(x * x + y * y + 1)
