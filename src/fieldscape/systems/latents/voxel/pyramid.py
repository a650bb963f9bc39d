"""A pyramid over the vertices of a grid that are in use: averages of pairs, of pairs of pairs, ... and what they miss.

The region-adaptive hierarchical transform (de Queiroz and Chou, "Compression of 3D point clouds using a region-adaptive
hierarchical transform", 2016), which is Haar's wavelet for points that count by weights. Two neighbours along an axis,
a and b of weights w and v, become

    low = (sqrt(w) a + sqrt(v) b) / sqrt(w + v)        high = (sqrt(w) b - sqrt(v) a) / sqrt(w + v)

of which ``low``, of weight w + v, goes on, along x, y, z and x again, until one is left. With values multiplied by the
roots of their weights before, the transform is orthonormal: an error e of any coefficient is an error e^2 of the sum of
weight times squared error of the vertices. So equal steps for all coefficients spend bits where weights say they count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from fieldscape.kernels.treecoding import LEVELS


@dataclass(frozen=True)
class Band:
    """One halving. Nodes are numbered in the order of their cells; ``alone``: nodes without a partner."""

    first: Int[np.ndarray, "p"]
    second: Int[np.ndarray, "p"]
    pairs: Int[np.ndarray, "p"]  # the parents of pairs
    alone: Int[np.ndarray, "q"]
    passed: Int[np.ndarray, "q"]  # the parents of nodes that are alone


@dataclass(frozen=True)
class Pyramid:
    """bands: from the finest.  near, above, level: what ``kernels.treecoding`` asks of the last average and the
    coefficients, coarsest first."""

    bands: tuple[Band, ...]
    near: Int[np.ndarray, "n 4"]
    above: Int[np.ndarray, "n"]
    level: Int[np.ndarray, "n"]


def pyramid(used: Bool[np.ndarray, "x y z"]) -> Pyramid:
    """The pyramid over the vertices in use, one or more: a last average, and a coefficient for every other one."""
    number = _numbered(used)
    bands, lattices, axes = [], [], []
    while number.size > 1:
        for axis in range(3):
            if number.shape[axis] == 1:
                continue
            if number.shape[axis] % 2:
                number = np.concatenate([number, np.full_like(number.take([0], axis), -1)], axis)
            odd = [slice(None)] * 3
            even = list(odd)
            even[axis], odd[axis] = slice(0, None, 2), slice(1, None, 2)
            a, b = number[tuple(even)], number[tuple(odd)]
            there = (a >= 0) | (b >= 0)
            both = (a >= 0) & (b >= 0)
            parents = _numbered(there)
            single = there & ~both
            bands.append(Band(a[both], b[both], parents[both], np.maximum(a, b)[single], parents[single]))
            lattices.append(_numbered(both))
            axes.append(axis)
            number = parents
    return Pyramid(tuple(bands), *_related(lattices, axes))


def _numbered(truth: Bool[np.ndarray, "x y z"]) -> Int[np.ndarray, "x y z"]:
    """0, 1, 2, ... where it is true, in order; -1 elsewhere."""
    return np.where(truth, np.cumsum(truth.reshape(-1)).reshape(truth.shape) - 1, -1)


def _related(
    lattices: list[np.ndarray], axes: list[int]
) -> tuple[Int[np.ndarray, "n 4"], Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """What lies before and above each coefficient, and how fine it is, coarsest first."""
    near, above, level = [np.full((1, 4), -1)], [np.full(1, -1)], [np.full(1, LEVELS - 1)]
    coarser: np.ndarray | None = None
    start = 1
    for place in range(len(lattices) - 1, -1, -1):
        own = lattices[place]
        here = own >= 0
        number = np.where(here, own + start, -1)
        ways = [_shifted(number, 0, 1), _shifted(number, 1, 1), _shifted(number, 2, 1), _shifted(number, 2, 2)]
        near.append(np.stack([way[here] for way in ways], -1))
        if coarser is None:
            over = np.zeros_like(number)
        else:
            axis = axes[place + 1]
            over = np.repeat(coarser, 2, axis)[tuple(slice(n) for n in number.shape)]
        above.append(over[here])
        level.append(np.full(int(here.sum()), min(place, LEVELS - 1)))
        coarser = np.where(here, number, over)
        start += len(above[-1])
    joined = [np.concatenate(parts).astype(np.int32) for parts in (near, above, level)]
    return joined[0], joined[1], joined[2]


def _shifted(number: Int[np.ndarray, "x y z"], axis: int, by: int) -> Int[np.ndarray, "x y z"]:
    """What stands ``by`` places before along an axis; -1 at the edge."""
    out = np.full_like(number, -1)
    if number.shape[axis] > by:
        to = [slice(None)] * 3
        come = list(to)
        to[axis], come[axis] = slice(by, None), slice(0, -by)
        out[tuple(to)] = number[tuple(come)]
    return out


@dataclass(frozen=True)
class Weighted:
    """A pyramid over vertices that count by weights.  shares: of each band, of first and second, columns."""

    shape: Pyramid
    roots: Float[np.ndarray, "n 1"]
    shares: tuple[tuple[np.ndarray, np.ndarray], ...]


def weighted(shape: Pyramid, weights: Float[np.ndarray, "n"]) -> Weighted:
    """The pyramid for positive ``weights``. Only sums, products, quotients and roots, each rounded as IEEE 754 says:
    in the same type the same to the last bit everywhere."""
    shares, now = [], weights
    for band in shape.bands:
        w, v = now[band.first], now[band.second]
        total = w + v
        shares.append((np.sqrt(w / total)[:, None], np.sqrt(v / total)[:, None]))
        above = np.empty(len(band.pairs) + len(band.alone), weights.dtype)
        above[band.pairs], above[band.passed] = total, now[band.alone]
        now = above
    return Weighted(shape, np.sqrt(weights)[:, None], tuple(shares))


def forward(tree: Weighted, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """The last average, and the coefficients, coarsest first."""
    now, parts = values * tree.roots, []
    for band, (w, v) in zip(tree.shape.bands, tree.shares, strict=True):
        a, b = now[band.first], now[band.second]
        parts.append(w * b - v * a)
        above = np.empty((len(band.pairs) + len(band.alone), values.shape[1]), values.dtype)
        above[band.pairs], above[band.passed] = w * a + v * b, now[band.alone]
        now = above
    return np.concatenate([now, *parts[::-1]])


def backward(tree: Weighted, coefficients: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """The reverse of ``forward``.

    >>> tree = weighted(pyramid(np.ones((1, 1, 2), bool)), np.array([1.0, 3.0]))
    >>> found = forward(tree, np.array([[2.0], [4.0]]))
    >>> found.round(3).tolist(), backward(tree, found).round(3).tolist()
    ([[7.0], [1.732]], [[2.0], [4.0]])
    """
    now, end = coefficients[:1], 1
    for band, (w, v) in zip(reversed(tree.shape.bands), reversed(tree.shares), strict=True):
        high = coefficients[end : end + len(band.pairs)]
        end += len(band.pairs)
        low = now[band.pairs]
        finer = np.empty((2 * len(band.pairs) + len(band.alone), now.shape[1]), now.dtype)
        finer[band.first], finer[band.second] = w * low - v * high, v * low + w * high
        finer[band.alone] = now[band.passed]
        now = finer
    return now / tree.roots
