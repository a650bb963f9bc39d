"""Triangles drawn into a depth buffer, without clipping (Olano and Greer, "Triangle scan conversion using 2D
homogeneous coordinates", 1997). Used by ``raster.rasterize``; ``raster.rasterize_plain`` is its specification.

A corner (X, Y, Z) in camera axes is, in pixels, the homogeneous point v = (fx X + cx Z, fy Y + cy Z, Z). With
e0 = v1 x v2, e1 = v2 x v0, e2 = v0 x v1 and D = v0 . e0, the ray through pixel p = (column, row, 1) meets the
triangle's plane at depth Z = D / (E0 + E1 + E2), at the barycentric weights E_i / (E0 + E1 + E2), where E_i = e_i . p;
it meets the triangle, in front of the camera, where all E_i / D are positive. No corner is ever divided by its depth,
so a triangle may cross the camera's plane. Two triangles that share an edge find the same E with opposite signs, to
the last bit: with a rule for E = 0 their common edge is covered exactly once.

Kept of each triangle, 13 numbers (``planes``): e0, e1, e2 times the sign of D; (e0 + e1 + e2) / D, whose product with p
is 1 / Z; and 1 / abs(D).
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.exact import exact

PLANES = 13
MARGIN = 1e-3
"""Boxes are wider by so many pixels than the rounded corners say: they choose what to look at, not what is covered."""


@exact
def _cross(a, b, c, x, y, z):
    return b * z - c * y, c * x - a * z, a * y - b * x


@exact
def _dot(a, b, c, x, y, z):
    return (a * x + b * y) + c * z


@exact
def _homogeneous(vertices, lenses, image, vertex):
    x, y, z = vertices[image, vertex, 0], vertices[image, vertex, 1], vertices[image, vertex, 2]
    return lenses[image, 0] * x + lenses[image, 2] * z, lenses[image, 1] * y + lenses[image, 3] * z, z


@exact
def _row_part(b, c, row):
    """What of a plane function a x + b y + c is the same along a row."""
    return b * (row + 0.5) + c


@exact
def _along(a, rest, column):
    """A plane function at a column, from its part of the row."""
    return a * (column + 0.5) + rest


@exact
def _covers(a, b, rest, column):
    """Whether a pixel lies inside an edge; on it, inside are left edges and horizontal top edges."""
    value = _along(a, rest, column)
    return value > 0.0 or (value == 0.0 and (a > 0.0 or (a == 0.0 and b > 0.0)))


@exact
def _keep(planes, image, face, first, second, third):
    """Writes the plane functions of a triangle with the homogeneous corners given; False if it is seen edge-on."""
    x0, y0, z0 = first
    x1, y1, z1 = second
    x2, y2, z2 = third
    a0, b0, c0 = _cross(x1, y1, z1, x2, y2, z2)
    a1, b1, c1 = _cross(x2, y2, z2, x0, y0, z0)
    a2, b2, c2 = _cross(x0, y0, z0, x1, y1, z1)
    volume = _dot(x0, y0, z0, a0, b0, c0)
    sign = 1.0 if volume > 0.0 else -1.0
    inverse = 1.0 / (sign * volume)
    plane = planes[image, face]
    plane[0], plane[1], plane[2] = sign * a0, sign * b0, sign * c0
    plane[3], plane[4], plane[5] = sign * a1, sign * b1, sign * c1
    plane[6], plane[7], plane[8] = sign * a2, sign * b2, sign * c2
    plane[9] = ((plane[0] + plane[3]) + plane[6]) * inverse
    plane[10] = ((plane[1] + plane[4]) + plane[7]) * inverse
    plane[11] = ((plane[2] + plane[5]) + plane[8]) * inverse
    plane[12] = inverse
    return volume != 0.0 and np.isfinite(plane[9]) and np.isfinite(plane[10]) and np.isfinite(plane[11]), sign


@compiled
def prepare(vertices, faces, lenses, near, culled, height, width, planes, boxes, image):
    """Fills ``planes`` [b, f, 13] and ``boxes`` [b, f, 4] (first and last column and row to look at) of one image.

    vertices: float64 [b, v, 3], camera axes.  lenses: float64 [b, 4], fx fy cx cy.  culled: leave out what is seen from
    behind. An empty box says that a triangle is not seen.
    """
    for face in range(faces.shape[0]):
        boxes[image, face, 0], boxes[image, face, 1] = 0, -1
        corners = (
            _homogeneous(vertices, lenses, image, faces[face, 0]),
            _homogeneous(vertices, lenses, image, faces[face, 1]),
            _homogeneous(vertices, lenses, image, faces[face, 2]),
        )
        seen, sign = _keep(planes, image, face, corners[0], corners[1], corners[2])
        # Faces run counter-clockwise seen from outside, so a triangle seen from outside has a negative D.
        if not seen or (culled and sign > 0.0):
            continue
        left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
        for k in range(3):
            x, y, z = corners[k]
            if z >= near:
                left, right = min(left, x / z), max(right, x / z)
                top, bottom = min(top, y / z), max(bottom, y / z)
            other_x, other_y, other_z = corners[(k + 1) % 3]
            if (z >= near) != (other_z >= near):  # the edge crosses the near plane
                t = (near - z) / (other_z - z)
                x, y = (x + t * (other_x - x)) / near, (y + t * (other_y - y)) / near
                left, right = min(left, x), max(right, x)
                top, bottom = min(top, y), max(bottom, y)
        if right < left:
            continue
        boxes[image, face, 0] = np.int32(np.ceil(min(max(left - 0.5 - MARGIN, 0.0), width + 1.0)))
        boxes[image, face, 1] = np.int32(np.floor(max(min(right - 0.5 + MARGIN, width - 1.0), -1.0)))
        boxes[image, face, 2] = np.int32(np.ceil(min(max(top - 0.5 - MARGIN, 0.0), height + 1.0)))
        boxes[image, face, 3] = np.int32(np.floor(max(min(bottom - 0.5 + MARGIN, height - 1.0), -1.0)))


@compiled
def draw(planes, boxes, nearest, passed, ahead, inverses, found, weights, depth, image, top, bottom):
    """Draws rows ``top``..``bottom`` - 1 of one image.

    nearest: the largest 1 / Z that is drawn.  passed, ahead: 1 / Z and face of what to look behind [b, h, w], or
    nothing [0, 0, 0].  inverses: float64 [b, h, w], 1 / Z of what is found.  found: int64 [b, h, w], its face, or -1.
    weights [b, h, w, 3], depth [b, h, w]: as in ``raster.Raster``.
    """
    width = found.shape[2]
    for row in range(top, bottom):
        for column in range(width):
            inverses[image, row, column] = 0.0
            found[image, row, column] = -1
    for face in range(planes.shape[1]):
        low, high = int(boxes[image, face, 0]), int(boxes[image, face, 1])
        start, stop = max(int(boxes[image, face, 2]), top), min(int(boxes[image, face, 3]) + 1, bottom)
        if high < low:
            continue
        plane = planes[image, face]
        for row in range(start, stop):
            first, last = low, high
            # Rounding keeps the order of values along a row, so each edge cuts it at one place: estimated, then exact.
            for k in range(3):
                a, b = plane[3 * k], plane[3 * k + 1]
                rest = _row_part(b, plane[3 * k + 2], row)
                if a > 0.0:
                    cut = min(max(np.ceil(-rest / a - 0.5), np.float64(low)), np.float64(high) + 1.0)
                    column = int(cut)
                    while column > low and _covers(a, b, rest, column - 1):
                        column -= 1
                    while column <= high and not _covers(a, b, rest, column):
                        column += 1
                    first = max(first, column)
                elif a < 0.0:
                    cut = min(max(np.floor(-rest / a - 0.5), np.float64(low) - 1.0), np.float64(high))
                    column = int(cut)
                    while column < high and _covers(a, b, rest, column + 1):
                        column += 1
                    while column >= low and not _covers(a, b, rest, column):
                        column -= 1
                    last = min(last, column)
                elif not _covers(a, b, rest, 0):
                    last = first - 1
            slope, rest = plane[9], _row_part(plane[10], plane[11], row)
            depths, names = inverses[image, row], found[image, row]
            if passed.size == 0:
                for column in range(first, last + 1):
                    inverse = _along(slope, rest, column)
                    nearer = inverse > depths[column] and inverse <= nearest
                    depths[column] = inverse if nearer else depths[column]
                    names[column] = face if nearer else names[column]
            else:
                for column in range(first, last + 1):
                    inverse = _along(slope, rest, column)
                    before = passed[image, row, column]
                    behind = inverse < before or (inverse == before and face > ahead[image, row, column])
                    if behind and inverse > depths[column] and inverse <= nearest:
                        depths[column], names[column] = inverse, face
    for row in range(top, bottom):
        for column in range(width):
            face = found[image, row, column]
            if face < 0:
                weights[image, row, column, 0] = weights[image, row, column, 1] = weights[image, row, column, 2] = 0.0
                depth[image, row, column] = np.inf
            else:
                first, second, third = _values(planes[image, face], row, column)
                share = 1.0 / ((first + second) + third)
                weights[image, row, column, 0] = first * share
                weights[image, row, column, 1] = second * share
                weights[image, row, column, 2] = third * share
                depth[image, row, column] = 1.0 / inverses[image, row, column]


@exact
def _values(plane, row, column):
    """The three edge functions at a pixel."""
    return (
        _along(plane[0], _row_part(plane[1], plane[2], row), column),
        _along(plane[3], _row_part(plane[4], plane[5], row), column),
        _along(plane[6], _row_part(plane[7], plane[8], row), column),
    )


@compiled
def pull(planes, faces, lenses, found, of_weights, of_depth, of_vertices, image, part, top, bottom):
    """Adds to ``of_vertices`` [b, parts, v, 3] the gradient that rows ``top``..``bottom`` - 1 of one image give.

    With M = (v0 v1 v2) the edge functions over D are c = M^-1 p, so dc = -M^-1 dM c: a gradient g of c is one of
    -(M^-T g) c_i of corner i, and the rows of M^-1 are e_i / D. With S = c0 + c1 + c2, the weights are
    c / S and the depth is 1 / S.
    """
    width = found.shape[2]
    fx, fy, cx, cy = lenses[image, 0], lenses[image, 1], lenses[image, 2], lenses[image, 3]
    for row in range(top, bottom):
        for column in range(width):
            face = found[image, row, column]
            if face < 0:
                continue
            plane = planes[image, face]
            first, second, third = _values(plane, row, column)
            first, second, third = first * plane[12], second * plane[12], third * plane[12]
            z = 1.0 / (first + second + third)
            g0 = np.float64(of_weights[image, row, column, 0])
            g1 = np.float64(of_weights[image, row, column, 1])
            g2 = np.float64(of_weights[image, row, column, 2])
            common = z * (g0 * first + g1 * second + g2 * third) + z * of_depth[image, row, column]
            factor = z * plane[12]
            g0, g1, g2 = factor * (g0 - common), factor * (g1 - common), factor * (g2 - common)
            x = g0 * plane[0] + g1 * plane[3] + g2 * plane[6]
            y = g0 * plane[1] + g1 * plane[4] + g2 * plane[7]
            w = g0 * plane[2] + g1 * plane[5] + g2 * plane[8]
            x, y, w = fx * x, fy * y, cx * x + cy * y + w
            for k in range(3):
                value = first if k == 0 else (second if k == 1 else third)
                target = of_vertices[image, part, faces[face, k]]
                target[0] -= value * x
                target[1] -= value * y
                target[2] -= value * w


@compiled
def fill(found, weights, faces, attributes, picture, first, last):
    """Interpolates attributes [v, c] at the pixels ``first``..``last`` - 1 of a flat list, into ``picture`` [p, c]."""
    channels = attributes.shape[1]
    for pixel in range(first, last):
        face = found[pixel]
        if face < 0:
            for channel in range(channels):
                picture[pixel, channel] = np.float32(0)
        else:
            one, other, third = faces[face, 0], faces[face, 1], faces[face, 2]
            u, v, w = weights[pixel, 0], weights[pixel, 1], weights[pixel, 2]
            for channel in range(channels):
                value = u * attributes[one, channel] + v * attributes[other, channel] + w * attributes[third, channel]
                picture[pixel, channel] = value


@compiled
def pull_fill(found, weights, faces, attributes, of_picture, of_weights, of_attributes, part, first, last):
    """The gradient of ``fill``: writes ``of_weights`` [p, 3], adds to float64 ``of_attributes`` [parts, v, c]."""
    for pixel in range(first, last):
        face = found[pixel]
        for k in range(3):
            total = np.float32(0)
            if face >= 0:
                vertex, weight = faces[face, k], weights[pixel, k]
                for channel in range(attributes.shape[1]):
                    total += of_picture[pixel, channel] * attributes[vertex, channel]
                    of_attributes[part, vertex, channel] += weight * of_picture[pixel, channel]
            of_weights[pixel, k] = total


@compiled
def border_edges(projected, outline, faces, covered, near_border, reach, distances, edges, image, top, bottom):
    """The nearest edge of the outline for each pixel of ``near_border`` in rows ``top``..``bottom`` - 1 of one image.

    projected: float64 [b, v, 2], pixels.  outline: uint8 [b, f, 3], 1 for edges that may be outline.  covered,
    near_border: uint8 [b, h, w].  reach: pixels.  distances: float64 [b, h, w], scratch.  edges: int64 [b, h, w],
    3 face + corner, or -1.

    Outside, the nearest of these edges is certainly outline. Inside, such an edge may lie in front of another part of
    the mesh, or behind it: it counts where the picture is empty a pixel beyond it.
    """
    width = covered.shape[2]
    for row in range(top, bottom):
        for column in range(width):
            distances[image, row, column] = reach * reach
            edges[image, row, column] = -1
    for face in range(faces.shape[0]):
        for k in range(3):
            if not outline[image, face, k]:
                continue
            one, other = faces[face, k], faces[face, (k + 1) % 3]
            ax, ay = projected[image, one, 0], projected[image, one, 1]
            bx, by = projected[image, other, 0] - ax, projected[image, other, 1] - ay
            length = max(bx * bx + by * by, 1e-12)
            left, right = min(ax, ax + bx) - reach - 0.5, max(ax, ax + bx) + reach - 0.5
            up, down = min(ay, ay + by) - reach - 0.5, max(ay, ay + by) + reach - 0.5
            first, last = int(min(max(left, 0.0), width + 0.0)), int(min(max(right + 1.0, 0.0), width + 0.0))
            start, stop = int(min(max(up, top + 0.0), bottom)), int(min(max(down + 1.0, top + 0.0), bottom))
            for row in range(start, stop):
                for column in range(first, last):
                    if not near_border[image, row, column]:
                        continue
                    x, y = column + 0.5 - ax, row + 0.5 - ay
                    t = min(max((x * bx + y * by) / length, 0.0), 1.0)
                    x, y = t * bx - x, t * by - y  # from the pixel to the edge
                    distance = x * x + y * y
                    if not distance < distances[image, row, column]:
                        continue
                    if covered[image, row, column]:
                        if distance > 1e-12:
                            scale = 1.0 + 0.75 / np.sqrt(distance)
                            beyond = _is_empty(covered, image, column + 0.5 + scale * x, row + 0.5 + scale * y)
                        else:
                            x, y = -0.75 * by / np.sqrt(length), 0.75 * bx / np.sqrt(length)
                            beyond = _is_empty(covered, image, column + 0.5 + x, row + 0.5 + y)
                            beyond |= _is_empty(covered, image, column + 0.5 - x, row + 0.5 - y)
                        if not beyond:
                            continue
                    distances[image, row, column] = distance
                    edges[image, row, column] = 3 * face + k


@exact
def _is_empty(covered, image, x, y):
    """Whether a place lies in the picture, in a pixel where nothing is drawn."""
    _, height, width = covered.shape
    return 0.0 <= x < width and 0.0 <= y < height and covered[image, int(y), int(x)] == 0
