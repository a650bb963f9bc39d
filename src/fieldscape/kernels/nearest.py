"""The nearest of many points, exactly: sixteen at a time against all, or one by one down a tree. Used by ``nearest``.

Distances are squared in float32 and rounded in one fixed order, so that both ways, and a plain tensor computation, find
the same point to the last bit; of equally near ones the first.

The tree is a list of boxes: the targets in an order that keeps neighbours together (Morton, "A computer oriented
geodetic data base", 1966), cut into leaves of ``LEAF``, and above each pair of boxes the box of both. Box n has the
children 2 n and 2 n + 1; box 1 holds all.
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.exact import exact, squared_length
from fieldscape.kernels.vectors import at, load, splat, store, where, whole

LEAF = 8


@compiled
def search_all(points, targets, found, rows, count, cloud, group, first, last):
    """Rows ``first``..``last`` - 1 of sixteen points of one cloud against all targets of one group, first to last.

    points: float32 [3 clouds rows, 16], aligned.  targets: float32 [groups, count, 3].  found: int32 [groups rows, 16],
    aligned.  rows: of each cloud.
    """
    one = whole(splat(np.float32(1)))
    for row in range(first, last):
        x, y, z = (
            load(points, (3 * cloud) * rows + row),
            load(points, (3 * cloud + 1) * rows + row),
            load(points, (3 * cloud + 2) * rows + row),
        )
        least, index, number = splat(np.float32(np.inf)), one - one, one - one
        for target in range(group * count, (group + 1) * count):
            here = 3 * target
            square = squared_length(x - at(targets, here), y - at(targets, here + 1), z - at(targets, here + 2))
            nearer = square < least
            least, index = where(nearer, square, least), where(nearer, number, index)
            number = number + one
        store(found, group * rows + row, index)


@exact
def _square(x, y, z):
    return (x * x + y * y) + z * z


@exact
def _outside(low, high, value):
    """How far a coordinate lies outside an interval."""
    return max(max(low - value, value - high), np.float32(0))


@exact
def _box_square(boxes, box, x, y, z):
    """The squared distance to a box: never more than that to any point in it, since rounding keeps order."""
    return _square(
        _outside(boxes[box, 0], boxes[box, 3], x),
        _outside(boxes[box, 1], boxes[box, 4], y),
        _outside(boxes[box, 2], boxes[box, 5], z),
    )


@compiled
def number_cells(points, low, per_length, codes):
    """The number of the cell of each point [n], in a cube of 2^20 cells a side: the bits of x, y and z in turn."""
    for point in range(points.shape[0]):
        code = np.int64(0)
        for axis in range(3):
            cell = np.int64((np.float64(points[point, axis]) - low[axis]) * per_length)
            # Spreads the bits of a number, so that two free places follow each.
            cell = (cell | cell << 32) & 0x1F00000000FFFF
            cell = (cell | cell << 16) & 0x1F0000FF0000FF
            cell = (cell | cell << 8) & 0x100F00F00F00F00F
            cell = (cell | cell << 4) & 0x10C30C30C30C30C3
            cell = (cell | cell << 2) & 0x1249249249249249
            code |= cell << axis
        codes[point] = code


@compiled
def build_boxes(targets, boxes):
    """Fills ``boxes`` [2 leaves, 6] (lowest and highest x y z; turned inside out if empty) over targets in order."""
    leaves = boxes.shape[0] // 2
    for box in range(2 * leaves - 1, 0, -1):
        start = (box - leaves) * LEAF
        for axis in range(3):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            if box < leaves:
                low = min(boxes[2 * box, axis], boxes[2 * box + 1, axis])
                high = max(boxes[2 * box, axis + 3], boxes[2 * box + 1, axis + 3])
            else:
                for place in range(start, min(start + LEAF, targets.shape[0])):
                    low, high = min(low, targets[place, axis]), max(high, targets[place, axis])
            boxes[box, axis], boxes[box, axis + 3] = low, high


@compiled
def search_tree(points, targets, names, boxes, stack, keys, found, first, last):
    """Points ``first``..``last`` - 1, each down the tree, the nearer box first.

    names: int64 [m], the numbers of the targets, which are in the tree's order.  stack, keys: int64 and float32 [64],
    scratch of this thread.  found: int64 [n].
    """
    leaves = boxes.shape[0] // 2
    at_place = 0
    for point in range(first, last):
        x, y, z = points[point, 0], points[point, 1], points[point, 2]
        # Neighbours in the list are neighbours in space: what the last one found bounds the search.
        best = names[at_place]
        least = _square(x - targets[at_place, 0], y - targets[at_place, 1], z - targets[at_place, 2])
        stack[0], keys[0] = 1, np.float32(0)
        height = 1
        while height > 0:
            height -= 1
            if keys[height] > least:
                continue
            box = stack[height]
            while 0 < box < leaves:
                one = _box_square(boxes, 2 * box, x, y, z)
                other = _box_square(boxes, 2 * box + 1, x, y, z)
                near, far = (2 * box, 2 * box + 1) if one <= other else (2 * box + 1, 2 * box)
                if max(one, other) <= least:
                    stack[height], keys[height] = far, max(one, other)
                    height += 1
                box = near if min(one, other) <= least else 0
            if box == 0:
                continue
            start = (box - leaves) * LEAF
            for place in range(start, min(start + LEAF, targets.shape[0])):
                square = _square(x - targets[place, 0], y - targets[place, 1], z - targets[place, 2])
                if square < least or (square == least and names[place] < best):
                    least, best, at_place = square, names[place], place
        found[point] = best
