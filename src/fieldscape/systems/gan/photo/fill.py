"""Filling in what no photo shows: smoothly, or by copying patches from elsewhere in the picture.

Patches are chosen as in Wexler, Shechtman and Irani, "Space-time completion of video" (2007): from coarse to fine, each
patch over the hole looks for the patch of known pixels most like it, and each pixel of the hole becomes the weighted
mean of what the patches over it say. The search is PatchMatch (Barnes et al. 2009): good matches spread to neighbours,
and a few random ones are tried. A channel beyond the colours (nearness) steers the search and stays as it is.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from fieldscape.kernels.compiling import compiled

RADIUS = 3
"""A patch is 7 x 7 pixels."""

COARSEST = 24
"""The shorter side of the coarsest level, in pixels."""

THOROUGH = 400
"""Levels with a longer side than this only refine the matches that coarser ones have found."""


def fill_smooth(values: Float[np.ndarray, "h w *c"], hole: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w *c"]:
    """The values with the hole filled by a membrane: a solution of Laplace's equation, flat at the picture's border.

    From a pyramid of means (where a pixel of a coarser level averages what is known of four), then a few dozen sweeps
    of relaxation at each level, so that also a wide hole is smooth. Without any known value, all is 0.
    """
    known = (~hole).astype(np.float32)
    channels = values.astype(np.float32).reshape(*hole.shape, -1)
    filled = _membrane(np.where(hole[..., None], 0, channels), known)
    return filled.reshape(values.shape)


def _membrane(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """values: 0 where not known.  known: the share of each pixel that is."""
    height, width = known.shape
    unknown = known <= 0
    if not unknown.any() or min(height, width) == 1:
        return values if not unknown.any() else _far(values, known)
    pad = ((0, height % 2), (0, width % 2))
    weight = np.pad(known, pad).reshape((height + 1) // 2, 2, (width + 1) // 2, 2)
    total = weight.sum((1, 3))
    summed = np.pad(values * known[..., None], (*pad, (0, 0)))
    summed = summed.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, -1).sum((1, 3))
    coarse = _membrane(
        np.divide(summed, total[..., None], where=total[..., None] > 0, out=np.zeros_like(summed)), total
    )
    up = cv2.resize(coarse, (2 * coarse.shape[1], 2 * coarse.shape[0]), interpolation=cv2.INTER_LINEAR)
    up = up.reshape(2 * coarse.shape[0], 2 * coarse.shape[1], -1)[:height, :width]
    filled = np.where(unknown[..., None], up, values)
    around = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    for _ in range(24):
        mean = cv2.filter2D(filled, -1, around, borderType=cv2.BORDER_REPLICATE).reshape(filled.shape)
        filled = np.where(unknown[..., None], mean, filled)
    return filled


def _far(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """At the coarsest level: the mean of what is known, or 0."""
    total = known.sum()
    mean = (values * known[..., None]).sum((0, 1)) / total if total > 0 else np.zeros(values.shape[-1], np.float32)
    return np.where((known <= 0)[..., None], mean.astype(np.float32), values)


def fill_patches(
    color: Float[np.ndarray, "h w 3"],
    hole: Bool[np.ndarray, "h w"],
    guide: Float[np.ndarray, "h w"] | None = None,
    usable: Bool[np.ndarray, "h w"] | None = None,
) -> Float[np.ndarray, "h w 3"]:
    """Colours (0..1) with the hole filled from patches of what is known; the same input gives the same bytes.

    guide: known everywhere, and to be alike where patches are alike.  usable: where may be copied from, besides
    outside the hole. Where there is no whole patch to copy, the filling is smooth.
    """
    if not hole.any():
        return color.astype(np.float32)
    steer = np.zeros((*hole.shape, 1), np.float32) if guide is None else guide[..., None].astype(np.float32)
    picture = np.concatenate([np.where(hole[..., None], 0, color).astype(np.float32), steer], -1)
    bad = hole if usable is None else hole | ~usable
    levels = [(picture, hole, bad)]
    while min(levels[-1][1].shape) >= 2 * COARSEST:
        levels.append(_halved(*levels[-1]))
    matches, current = None, None
    for image, gap, closed in reversed(levels):
        height, width = gap.shape
        sources = _whole(closed)
        if not sources.any():
            continue
        if matches is None or current is None:
            guess = image.copy()
            guess[..., :3] = fill_smooth(image[..., :3], gap | closed)
        else:
            matches = _doubled(matches, (height, width))
            guess = image.copy()
            up = cv2.resize(current[..., :3], (width, height), interpolation=cv2.INTER_LINEAR)
            guess[gap, :3] = up[gap]
        current = np.where(gap[..., None], guess, image).astype(np.float32)
        near = ndimage.binary_dilation(gap, iterations=RADIUS)
        rows, columns = (index.astype(np.int32) for index in np.nonzero(near))
        fresh = matches is None
        matches = _legal(matches, sources, rows, columns)
        thorough = max(height, width) <= THOROUGH
        settled = ndimage.distance_transform_edt(gap).astype(np.float32)
        cost = np.empty((height, width), np.float32)
        for turn in range(6 if fresh else 4 if thorough else 1):
            search(current, sources, matches, rows, columns, cost, 2, thorough, np.uint64(turn + 1))
            vote(current, gap, settled, matches, near, cost)
    if current is None:
        return fill_smooth(color, hole)
    return np.where(hole[..., None], current[..., :3], color).astype(np.float32)


def _halved(image: np.ndarray, hole: np.ndarray, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every second pixel in both directions, as the mean of what is known of four; a hole where none is."""
    height, width = hole.shape
    even = ((0, height % 2), (0, width % 2))

    def summed(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, (*even, (0, 0)), mode="edge")
        return padded.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, -1).sum((1, 3))

    known = (~hole)[..., None].astype(np.float32)
    count = summed(known)
    colors = np.divide(
        summed(image[..., :3] * known), count, where=count > 0, out=np.zeros((*count.shape[:2], 3), "f4")
    )
    small = np.concatenate([colors, summed(image[..., 3:]) / 4], -1).astype(np.float32)
    return small, count[..., 0] < 2, summed(closed[..., None].astype(np.float32))[..., 0] > 0


def _whole(closed: np.ndarray) -> np.ndarray:
    """The centres of patches that lie in the picture and touch nothing closed."""
    side = 2 * RADIUS + 1
    open_ = ~ndimage.binary_dilation(closed, np.ones((side, side), bool))
    open_[:RADIUS], open_[-RADIUS:], open_[:, :RADIUS], open_[:, -RADIUS:] = False, False, False, False
    return open_


def _doubled(matches: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    up = 2 * matches[np.minimum(rows // 2, len(matches) - 1)][:, np.minimum(columns // 2, matches.shape[1] - 1)]
    up[..., 0] += (rows % 2)[:, None]
    up[..., 1] += (columns % 2)[None]
    return up


def _legal(matches: np.ndarray | None, sources: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Matches at (rows, columns), each the nearest legal one to what it was, or to the place itself at first."""
    nearest = ndimage.distance_transform_edt(~sources, return_distances=False, return_indices=True).astype(np.int32)
    height, width = sources.shape
    if matches is None:
        return np.ascontiguousarray(np.moveaxis(nearest, 0, -1))
    y, x = matches[..., 0].clip(0, height - 1), matches[..., 1].clip(0, width - 1)
    return np.ascontiguousarray(np.stack([nearest[0][y, x], nearest[1][y, x]], -1).astype(np.int32))


@compiled
def search(image, sources, matches, rows, columns, cost, sweeps, thorough, seed):
    """Improves ``matches`` [h, w, 2] at the targets (rows, columns); ``cost`` is the mean squared difference."""
    height, width = sources.shape
    count = rows.shape[0]
    state = seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    reach = max(height, width)
    for sweep in range(-1, sweeps):
        forward = sweep % 2 == 0
        for n in range(count):
            place = n if forward else count - 1 - n
            y, x = rows[place], columns[place]
            if sweep < 0:
                cost[y, x] = 1e9
            best = cost[y, x]
            step = -1 if forward else 1
            tries = 1 if sweep < 0 else 2 if not thorough else 30
            radius = reach
            for attempt in range(tries):
                sy, sx = matches[y, x, 0], matches[y, x, 1]
                if sweep >= 0 and attempt < 2:  # what the neighbour found, moved along
                    ny, nx = (y, x + step) if attempt == 0 else (y + step, x)
                    if ny < 0 or nx < 0 or ny >= height or nx >= width:
                        continue
                    if cost[ny, nx] >= 1e8:
                        continue
                    sy, sx = matches[ny, nx, 0] + y - ny, matches[ny, nx, 1] + x - nx
                elif sweep >= 0:  # a random place, nearer and nearer to the best
                    if radius < 1:
                        break
                    state ^= state << np.uint64(13)
                    state ^= state >> np.uint64(7)
                    state ^= state << np.uint64(17)
                    sy += int((state >> np.uint64(8)) % np.uint64(2 * radius + 1)) - radius
                    sx += int((state >> np.uint64(36)) % np.uint64(2 * radius + 1)) - radius
                    radius = radius // 2
                if sy < 0 or sx < 0 or sy >= height or sx >= width or not sources[sy, sx]:
                    continue
                total, used = 0.0, 0
                for dy in range(max(-RADIUS, -y), min(RADIUS, height - 1 - y) + 1):
                    for dx in range(max(-RADIUS, -x), min(RADIUS, width - 1 - x) + 1):
                        used += 1
                        for c in range(4):
                            apart = image[y + dy, x + dx, c] - image[sy + dy, sx + dx, c]
                            total += apart * apart
                    if total > best * 49:
                        break
                mean = total / used
                if total <= best * 49 and mean < best:
                    best = mean
                    matches[y, x, 0], matches[y, x, 1] = sy, sx
            cost[y, x] = best


@compiled
def vote(image, hole, inside, matches, targets, cost):
    """Each pixel of the hole: the mean of what the patches over it copy there, the better and less deep ones more."""
    height, width = hole.shape
    for y in range(height):
        for x in range(width):
            if not hole[y, x]:
                continue
            red, green, blue, weight = 0.0, 0.0, 0.0, 1e-12
            for dy in range(max(-RADIUS, -y), min(RADIUS, height - 1 - y) + 1):
                for dx in range(max(-RADIUS, -x), min(RADIUS, width - 1 - x) + 1):
                    ty, tx = y + dy, x + dx
                    if not targets[ty, tx]:
                        continue
                    sy, sx = matches[ty, tx, 0] - dy, matches[ty, tx, 1] - dx
                    if sy < 0 or sx < 0 or sy >= height or sx >= width or hole[sy, sx]:
                        continue
                    share = np.exp(-cost[ty, tx] * 400.0) * 1.3 ** -min(inside[ty, tx], 40.0) + 1e-9
                    red += share * image[sy, sx, 0]
                    green += share * image[sy, sx, 1]
                    blue += share * image[sy, sx, 2]
                    weight += share
            if weight > 1e-11:
                image[y, x, 0], image[y, x, 1], image[y, x, 2] = red / weight, green / weight, blue / weight
