"""Regions of a picture from cuts between neighbouring pixels, such that a hole in a line of cuts does not join two.

Pixels with no cut near them are cores; cores that touch are one region, and regions then grow over the pixels beside
cuts, nearest first. Which regions are the same thing after all is decided by the whole of their common border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fieldscape.kernels.compiling import compiled, inlined


@inlined
def _step(right, below, y, x, side):
    """Whether the way to the neighbour on a side (right, below, left, above) is open; its row and its column."""
    if side == 0:
        return right[y, x] == 0, y, x + 1
    if side == 1:
        return below[y, x] == 0, y + 1, x
    if side == 2:
        return x > 0 and right[y, x - 1] == 0, y, x - 1
    return y > 0 and below[y - 1, x] == 0, y - 1, x


@compiled
def _label(right, below, core, queue, labels):
    """Numbers the regions 1, 2, ...: first those of cores, then what no core reaches. Returns how many there are."""
    height, width = core.shape
    count = 0
    grown = 0
    for turn in range(2):
        # Turn 0: the cores, which then grow together, step by step; turn 1: each remainder on its own.
        for i in range(height):
            for j in range(width):
                if labels[i, j] != 0 or core[i, j] < 1 or (turn == 0 and core[i, j] < 2):
                    continue
                count += 1
                labels[i, j] = count
                first = grown
                queue[grown] = i * width + j
                grown += 1
                while first < grown:
                    y, x = queue[first] // width, queue[first] % width
                    first += 1
                    for side in range(4):
                        open_, b, a = _step(right, below, y, x, side)
                        if open_ and labels[b, a] == 0 and core[b, a] >= 2 - turn:
                            labels[b, a] = count
                            queue[grown] = b * width + a
                            grown += 1
        if turn == 1:
            break
        first = 0
        while first < grown:
            y, x = queue[first] // width, queue[first] % width
            first += 1
            for side in range(4):
                open_, b, a = _step(right, below, y, x, side)
                if open_ and labels[b, a] == 0:
                    labels[b, a] = labels[y, x]
                    queue[grown] = b * width + a
                    grown += 1
    return count


def label_regions(
    right: NDArray[np.uint8], below: NDArray[np.uint8], inside: NDArray[np.bool_], margin: int
) -> tuple[NDArray[np.int64], int]:
    """Regions [h, w] (0 outside, then 1, 2, ...) and their number.

    right, below: cuts as ``patches.judge_pairs`` gives them.  margin: how far a core keeps from cuts, in pixels; with 0
    regions are what uncut pairs connect.
    """
    core = inside.astype(np.uint8)
    clear = inside.copy()
    if margin:
        for cuts, axis in ((right, 1), (below, 0)):
            cut = (cuts == 1) | (cuts == 2)
            clear &= ~(cut | np.roll(cut, 1, axis))
        for _ in range(margin - 1):
            edge = inside & ~clear
            for axis in (0, 1):
                for step in (-1, 1):
                    clear &= ~np.roll(edge, step, axis)
    core[clear] = 2
    labels = np.zeros(inside.shape, np.int64)
    count = _label(right, below, core, np.zeros(inside.size, np.int64), labels)
    return labels, int(count)
