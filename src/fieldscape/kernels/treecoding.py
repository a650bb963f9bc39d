"""The coefficients of a pyramid to bytes and back, each told by those known before it. Used by ``latents.voxel``.

A node of the pyramid has one whole number a channel. Where there are several channels, a bit says first whether all of
them are 0, which most are. What is likely for a number is judged in five ways: by its level; by its neighbours in the
same band; by the other channels of its node; by the node above; by all channels of its neighbours.
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.rangecoding import NODES, code_number, mixed_bit
from fieldscape.kernels.vectors import at, put

CONTEXTS = 5
LEVELS = 9
"""Bands told apart, from the finest; those coarser still are as one."""

SIZES = 7


BLANK = LEVELS + LEVELS * SIZES + SIZES**3 + 2 * SIZES**2
"""Contexts of the bit that says whether a node is not blank."""


def slots_of(channels: int) -> int:
    """The number of slots that a model for so many channels has."""
    blank = BLANK if channels > 1 else 0
    return NODES * (channels * (LEVELS + 3 * SIZES + 3 * SIZES**2) + blank)


def mixers_of(channels: int) -> int:
    """The number of mixers that it has."""
    return channels + (channels > 1)


@inlined
def _class(size):
    """One of ``SIZES`` classes of a sum of sizes: 0, 1, 2, 3..4, 5..7, 8..13, 14 and more."""
    if size < 3:
        return size
    if size < 5:
        return np.int64(3)
    if size < 8:
        return np.int64(4)
    return np.int64(5) if size < 14 else np.int64(6)


@inlined
def _size(numbers, node, channel, channels):
    """The size of a number; 0 where there is no such node."""
    return abs(np.int64(at(numbers, node * channels + channel))) if node >= 0 else np.int64(0)


@inlined
def _sum(sums, node):
    return np.int64(at(sums, node)) if node >= 0 else np.int64(0)


@compiled
def code_tree(coder, model, numbers, near, above, level, sums):
    """Codes ``numbers`` int32 [nodes, channels], or finds them.

    near: int32 [nodes, 4], the nodes before it along x, y, z, and the second along z; -1: none.  above: int32 [nodes],
    the node of a coarser band around it, or -1.  All of them come earlier.  level: int32 [nodes], 0..``LEVELS`` - 1
    from the finest.  sums: int32 [nodes], scratch.
    """
    channels = numbers.shape[1]
    for node in range(numbers.shape[0]):
        x, y = np.int64(at(near, 4 * node)), np.int64(at(near, 4 * node + 1))
        z, second = np.int64(at(near, 4 * node + 2)), np.int64(at(near, 4 * node + 3))
        up, fine = np.int64(at(above, node)), np.int64(at(level, node))
        at_x, at_y, at_z = _sum(sums, x), _sum(sums, y), _sum(sums, z)
        around = at_x + at_y + at_z
        if channels > 1:
            over = _class(_sum(sums, up))
            first = channels * (LEVELS + 3 * SIZES + 3 * SIZES * SIZES)
            put(model.work, 0, (first + fine) * NODES)
            first += LEVELS
            put(model.work, 1, (first + fine * SIZES + _class(around >> 1)) * NODES)
            first += LEVELS * SIZES
            put(model.work, 2, (first + (_class(at_x) * SIZES + _class(at_y)) * SIZES + _class(at_z)) * NODES)
            first += SIZES * SIZES * SIZES
            put(model.work, 3, (first + over * SIZES + _class(_sum(sums, second))) * NODES)
            first += SIZES * SIZES
            put(model.work, 4, (first + over * SIZES + _class(around)) * NODES)
            marked = 0
            for channel in range(channels):
                marked |= at(numbers, node * channels + channel) != 0
            if not mixed_bit(coder, model, 0, channels, 1 if marked else 0):
                put(sums, node, np.int32(0))
                continue
            around >>= 2
        around = _class(around)
        done, last = np.int64(0), np.int64(0)
        for channel in range(channels):
            close = _size(numbers, x, channel, channels) + _size(numbers, y, channel, channels)
            close += _size(numbers, z, channel, channels) + _size(numbers, second, channel, channels)
            same = _size(numbers, node, channel - 4, channels) if channel >= 4 else np.int64(0)
            before = _class(done)
            first = np.int64(0)
            put(model.work, 0, ((first + fine) * channels + channel) * NODES)
            first += LEVELS
            put(model.work, 1, ((first + _class(close) * 3 + min(fine // 3, 2)) * channels + channel) * NODES)
            first += 3 * SIZES
            put(model.work, 2, ((first + before * SIZES + _class(same)) * channels + channel) * NODES)
            first += SIZES * SIZES
            over = _class(_size(numbers, up, channel, channels))
            put(model.work, 3, ((first + over * SIZES + _class(last)) * channels + channel) * NODES)
            first += SIZES * SIZES
            put(model.work, 4, ((first + around * SIZES + before) * channels + channel) * NODES)
            value = code_number(coder, model, channel, np.int64(at(numbers, node * channels + channel)))
            put(numbers, node * channels + channel, np.int32(value))
            last = abs(value)
            done += last
        put(sums, node, np.int32(min(done, np.int64(1 << 20))))
