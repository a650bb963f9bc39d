"""A photo and its depth as layers: what it shows, what lies behind each edge of depth, and a backdrop.

A layered depth image (Shade et al. 1998; Shih et al., "3D photography", 2020) in three sheets. The **front** is the
photo itself, with a margin around it, cut where depth jumps. The **hidden** sheet continues what is far under what is
near, as wide as the flight will uncover. The **backdrop** is coarse, uncut and behind both, so that no view has a hole.

Legend: q = 1/z, the nearness. It is what is blended and extended, since it is linear in the picture along any plane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage
from torch import Tensor

from fieldscape.systems.gan.photo.draw import Textured
from fieldscape.systems.gan.photo.fill import fill_patches, fill_smooth
from fieldscape.types import Camera

JUMP = 0.06
"""Neighbours whose nearness differs by this share may be two things; by ``TORN``, they are."""
TORN = 0.3
MARGIN = 0.22
"""Of the photo's width and height, added on each side."""
COARSE = 8
"""Pixels of the front to a pixel of the backdrop, each way."""
BESIDE = 12
"""Pixels of the backdrop added on each side, beyond the margin, for each 16 of its longer side."""
GUIDE = 0.4
"""How much a difference of log nearness counts against one of colour (0..1), where patches are compared."""


@dataclass(frozen=True)
class Sheet:
    """A grid of pixels with colour and nearness, of which those ``there`` are drawn.

    scale: how many pixels of the photo each is wide.  corner: where the top left one begins, in pixels of the photo.
    """

    color: UInt8[Tensor, "h w 3"]
    nearness: Float[Tensor, "h w"]
    there: Bool[Tensor, "h w"]
    corner: tuple[float, float]
    scale: float = 1.0


@dataclass(frozen=True)
class Layers:
    """The three sheets of a photo."""

    front: Sheet
    hidden: Sheet
    backdrop: Sheet


def layered(color: UInt8[np.ndarray, "h w 3"], depth: Float[np.ndarray, "h w"], focal: float, reach: float) -> Layers:
    """The layers of a photo with planar ``depth`` (metres, all positive), for cameras up to ``reach`` metres aside."""
    height, width = depth.shape
    across, down = round(MARGIN * width), round(MARGIN * height)
    nearness = sharpened((1 / depth).astype(np.float32))
    q = extended(nearness, across, down)
    beside = ((down, down), (across, across))
    outside = np.pad(np.zeros((height, width), bool), beside, constant_values=True)
    thick = 1 if max(height, width) <= 640 else 2
    q = thickened(q, thick)
    picture = np.pad(color.astype(np.float32) / 255, (*beside, (0, 0)))
    picture = fill_patches(picture, outside, guide=GUIDE * np.log(q))
    corner = (float(-across), float(-down))
    front = Sheet(_bytes(picture), torch.from_numpy(q), torch.ones(q.shape, dtype=torch.bool), corner)

    behind, covered = background(q, focal * reach)
    copied = ndimage.binary_dilation(covered, iterations=2) & ~covered
    under = fill_patches(picture, covered, guide=GUIDE * np.log(behind))
    # A little farther than the front where both show the same, so that the front is what is seen there.
    lower = np.where(copied, behind * 0.998, behind).astype(np.float32)
    hidden = Sheet(_bytes(under), torch.from_numpy(lower), torch.from_numpy(covered | copied), corner)
    return Layers(front, hidden, backdrop(under, behind, corner))


def sharpened(q: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Nearness with blurred edges made steps: each pixel of a ramp joins the nearer of its two ends.

    A ramp is steep over 5 pixels and flat within 4 on both sides; a slanted plane is steep all over, and stays.
    """
    small, large = np.ones((3, 3), np.uint8), np.ones((9, 9), np.uint8)
    for _ in range(2):
        low, high = cv2.erode(q, np.ones((5, 5), np.uint8)), cv2.dilate(q, np.ones((5, 5), np.uint8))
        slope = cv2.dilate(q, small) - cv2.erode(q, small)
        ramp = (high - low > 2.5 * JUMP * high) & (cv2.erode(slope, large) < 0.3 * slope)
        q = np.where(ramp, np.where(q - low < high - q, low, high), q)
    return q


def extended(q: Float[np.ndarray, "h w"], across: int, down: int) -> Float[np.ndarray, "hh ww"]:
    """Nearness with a margin: planes go on, as far as the slope near the border tells, but within 0.5 to 1.8 times."""

    def sides(values: np.ndarray, count: int) -> np.ndarray:
        reach = max(2, min(values.shape[1] // 8, 48))
        out = [values]
        for flip in (False, True):
            inner = values[:, ::-1] if flip else values
            edge = inner[:, 0]
            step = np.median(np.diff(inner[:, : reach + 1], axis=1), axis=1)
            step = ndimage.gaussian_filter1d(ndimage.median_filter(step, max(3, len(step) // 20)), len(step) / 40)
            away = np.arange(1, count + 1)[::-1]
            more = np.clip(edge[:, None] - step[:, None] * away, 0.5 * edge[:, None], 1.8 * edge[:, None])
            out = [*out, more[:, ::-1]] if flip else [more, *out]
        return np.concatenate(out, 1).astype(np.float32)

    return sides(sides(q, across).T, down).T.copy()


def thickened(q: Float[np.ndarray, "h w"], pixels: int) -> Float[np.ndarray, "h w"]:
    """What is near, grown over its edges by so many pixels: there the photo mixes the colours of both sides."""
    grown = q
    for _ in range(pixels):
        right, down = links(grown)
        most = grown.copy()
        for cut, a, b in _pairs(right, down):
            far_a, far_b = cut & (grown[a] < grown[b]), cut & (grown[b] < grown[a])
            most[a] = np.where(far_a, np.maximum(most[a], grown[b]), most[a])
            most[b] = np.where(far_b, np.maximum(most[b], grown[a]), most[b])
        grown = most
    return grown


def links(q: Float[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h v"], Bool[np.ndarray, "g w"]]:
    """Whether each pixel is of one surface with its right, and with its lower neighbour.

    It is not where nearness jumps by ``JUMP``, and more than on at least one side of the jump, or by ``TORN``.
    """

    def along(values: np.ndarray) -> np.ndarray:
        step = np.abs(np.diff(values, axis=1))
        jump = step / np.maximum(values[:, 1:], values[:, :-1])
        beside = np.pad(step, ((0, 0), (1, 1)), mode="reflect" if step.shape[1] > 1 else "edge")
        calm = np.minimum(beside[:, :-2], beside[:, 2:])
        return ~((jump > JUMP) & (step > 2.5 * calm) | (jump > TORN))

    return along(q), along(q.T).T


def _pairs(right: np.ndarray, down: np.ndarray) -> list[tuple[np.ndarray, tuple[slice, slice], tuple[slice, slice]]]:
    """Where neighbours are cut, and the slices of the first and the second of them."""
    every, first, second = slice(None), slice(None, -1), slice(1, None)
    return [(~right, (every, first), (every, second)), (~down, (first, every), (second, every))]


def background(q: Float[np.ndarray, "h w"], shift: float) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Nearness of what is behind, and where something is in front of it that may move away.

    shift: focal length times the way a camera goes aside: an edge uncovers ``shift`` (q near - q far) pixels.
    """
    height, width = q.shape
    far, depth_of_edge = np.zeros(q.shape, bool), np.zeros(q.shape, np.float32)
    for cut, a, b in _pairs(*links(q)):
        for here, there in ((a, b), (b, a)):
            edge = cut & (q[here] < q[there])
            far[here] |= edge
            depth_of_edge[here] = np.maximum(depth_of_edge[here], np.where(edge, q[there] - q[here], 0))
    if not far.any():
        return q, far
    # The widest uncovering along a stretch of an edge serves all of it.
    widest = np.minimum(shift * cv2.dilate(depth_of_edge, np.ones((7, 7), np.uint8)) + 3, 0.2 * max(height, width))
    away, (row, column) = ndimage.distance_transform_edt(~far, return_indices=True)
    covered = (away <= widest[row, column]) & (q > q[row, column] * (1 + JUMP)) & ~far
    behind = fill_smooth(np.where(covered, 0, q), covered & ~far)
    # From the far side of edges only: the near sides are covered, or where they are not, are kept out here.
    kept = far | (ndimage.binary_dilation(far, iterations=3) & (q <= q[row, column] * (1 + JUMP)))
    inner = fill_smooth(np.where(kept, q, 0), ~kept)
    behind = np.where(covered, np.minimum(inner, q / (1 + JUMP / 2)), q)
    return behind.astype(np.float32), covered


def backdrop(color: Float[np.ndarray, "h w 3"], q: Float[np.ndarray, "h w"], corner: tuple[float, float]) -> Sheet:
    """The coarse sheet behind all: the least nearness around, and the colours of what is that far."""
    height, width = (-(-side // COARSE) for side in q.shape)
    more = ((0, height * COARSE - q.shape[0]), (0, width * COARSE - q.shape[1]))
    blocks = np.pad(q, more, mode="edge").reshape(height, COARSE, width, COARSE)
    least = ndimage.minimum_filter(blocks.min((1, 3)), 5)
    far = cv2.GaussianBlur(least, (0, 0), 1.5) * 0.97
    far = np.minimum(far, least * 0.99).astype(np.float32)
    near = blocks > 1.25 * np.repeat(np.repeat(far, COARSE, 0), COARSE, 1).reshape(blocks.shape)
    paint = np.pad(color, (*more, (0, 0)), mode="edge").reshape(height, COARSE, width, COARSE, 3)
    count = (~near).sum((1, 3))[..., None]
    mean = np.where(near[..., None], 0, paint).sum((1, 3)) / np.maximum(count, 1)
    side = max(height, width) * BESIDE // 16
    beside = ((side, side), (side, side))
    mean = np.pad(mean, (*beside, (0, 0)))
    hole = np.pad(count[..., 0] == 0, beside, constant_values=True)
    painted = fill_smooth(mean.astype(np.float32), hole)
    start = (corner[0] - side * COARSE, corner[1] - side * COARSE)
    nearness = np.pad(far, beside, mode="edge")
    there = torch.ones(nearness.shape, dtype=torch.bool)
    return Sheet(_bytes(painted), torch.from_numpy(nearness), there, start, float(COARSE))


def _bytes(color: np.ndarray) -> Tensor:
    return torch.from_numpy((color.clip(0, 1) * 255).round().astype(np.uint8))


def as_mesh(layers: Layers, camera: Camera) -> Textured:
    """The sheets as triangles in the world; ``camera`` is the photo's."""
    sheets = (layers.front, layers.hidden, layers.backdrop)
    wide = max(sheet.color.shape[1] for sheet in sheets)
    vertices, places, faces, textures = [], [], [], []
    count, row = 0, 0
    for sheet in sheets:
        corners, place, triangles = _quads(sheet, camera)
        textures.append(np.pad(sheet.color.numpy(), ((0, 0), (0, wide - sheet.color.shape[1]), (0, 0)), mode="edge"))
        vertices.append(corners)
        places.append(place + np.array([0, row], np.float32))
        faces.append(triangles + count)
        count, row = count + len(corners), row + sheet.color.shape[0]
    points = torch.from_numpy(np.concatenate(vertices)).float()
    world = points @ camera.pose[:3, :3].T + camera.pose[:3, 3]
    texture = torch.from_numpy(np.concatenate(textures))
    every = torch.from_numpy(np.concatenate(faces)).long()
    return Textured(world, torch.from_numpy(np.concatenate(places)), every, texture)


def _quads(
    sheet: Sheet, camera: Camera
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v 2"], Int[np.ndarray, "f 3"]]:
    """Vertices in camera axes, places in the sheet, and two triangles for each pixel that is there.

    Pixels meet at their corners, at the mean nearness of those around a corner that are of one surface; where a cut
    ends at or passes a corner, each pixel has a vertex of its own there, so nothing stretches across the cut.
    """
    q, there = sheet.nearness.numpy(), sheet.there.numpy()
    height, width = q.shape
    right, down = links(q)
    right, down = right & there[:, 1:] & there[:, :-1], down & there[1:] & there[:-1]
    around = np.pad(q, 1, mode="edge")
    right = np.pad(right, ((1, 1), (1, 1)), constant_values=False)
    down = np.pad(down, ((1, 1), (1, 1)), constant_values=False)
    # Blocks of four pixels a b / c d, one at each corner of the grid [h + 1, w + 1].
    a, b, c, d = around[:-1, :-1], around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    top, bottom, left, beside = right[:-1], right[1:], down[:, :-1], down[:, 1:]
    block = np.stack([a, b, c, d], -1)
    joined = np.zeros((height + 1, width + 1, 4, 4), bool)
    ways = {(0, 1): top | (left & bottom & beside), (0, 2): left | (top & beside & bottom)}
    ways |= {(1, 3): beside | (top & left & bottom), (2, 3): bottom | (left & top & beside)}
    ways |= {(0, 3): (top & beside) | (left & bottom), (1, 2): (top & left) | (beside & bottom)}
    for (i, j), one in ways.items():
        joined[..., i, j] = joined[..., j, i] = one
    joined |= np.eye(4, dtype=bool)
    mean = (joined * block[..., None, :]).sum(-1) / joined.sum(-1)
    whole: np.ndarray = np.all(joined, axis=(-1, -2))
    # One vertex where all four are joined, else four.
    each = np.where(whole, 1, 4).ravel()
    start = np.concatenate([[0], np.cumsum(each)])[:-1].reshape(height + 1, width + 1)
    number = start[..., None] + np.where(whole[..., None], 0, np.arange(4))
    rows, columns = np.repeat(np.indices((height + 1, width + 1)).reshape(2, -1), each, 1).astype(np.float32)
    nearness = np.empty(each.sum(), np.float32)
    nearness[number] = mean
    z = 1 / nearness
    (fx, fy), (cx, cy) = camera.focal.tolist(), camera.center.tolist()
    x = (columns * sheet.scale + sheet.corner[0] - cx) / fx * z
    y = (rows * sheet.scale + sheet.corner[1] - cy) / fy * z
    # Seen from a pixel, the corner at its top left has the pixel as its d, and so on.
    tl, tr = number[:-1, :-1, 3][there], number[:-1, 1:, 2][there]
    bl, br = number[1:, :-1, 1][there], number[1:, 1:, 0][there]
    faces = np.stack([np.stack([tl, bl, br], -1), np.stack([tl, br, tr], -1)], 1).reshape(-1, 3)
    return np.stack([x, y, z], -1), np.stack([columns, rows], -1), faces


def masked(layers: Layers, width: int, height: int) -> Layers:
    """The layers in white where colours are from the photo (of the given size), and black where they are filled."""
    front, hidden, backdrop = layers.front, layers.hidden, layers.backdrop
    left, top = (-round(side) for side in front.corner)
    seen = torch.zeros_like(front.color)
    seen[top : top + height, left : left + width] = 255
    dark, black = torch.zeros_like(hidden.color), torch.zeros_like(backdrop.color)
    return Layers(replace(front, color=seen), replace(hidden, color=dark), replace(backdrop, color=black))
