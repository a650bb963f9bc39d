"""Curves through points in space, how evenly they are run through, and the order to visit points in.

Notation: a curve is known at m samples with rising ``time`` 0..1; ``t`` is the share of the way between two points.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

TURNING = 0.2
"""The share of time given to turning where the pace is even, so that a turn on the spot is not a cut."""


def tour(points: Float[Tensor, "n 3"]) -> Int[Tensor, "n"]:
    """An order of the points with short steps: nearest neighbours from the outermost point on, then 2-opt.

    >>> tour(torch.tensor([[0.0, 0, 0], [3.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])).tolist()
    [0, 2, 3, 1]

    2-opt (G. Croes, 1958) turns a stretch of the tour round wherever that shortens it; nearest neighbours alone leave
    long jumps back to points passed by. It is skipped above 400 points, where there are neighbours enough.
    """
    count = len(points)
    order = [int((points - points.mean(0)).norm(dim=-1).argmax())]
    left = torch.ones(count, dtype=torch.bool)
    for _ in range(count - 1):
        left[order[-1]] = False
        distance = (points - points[order[-1]]).norm(dim=-1)
        order.append(int(distance.masked_fill(~left, math.inf).argmin()))
    found = torch.tensor(order)
    if not 3 <= count <= 400:
        return found
    points = points.double()
    apart = torch.zeros(count + 2, count + 2, dtype=torch.float64)  # the margin of zeros leaves both ends free
    for _ in range(10 * count):
        apart[1:-1, 1:-1] = torch.cdist(points[found], points[found], compute_mode="donot_use_mm_for_euclid_dist")
        step = apart.diagonal(1)
        # Turning round places i..j replaces the steps (i - 1, i) and (j, j + 1) by (i - 1, j) and (i, j + 1).
        saved = step[:-1, None] + step[1:] - apart[:-2, 1:-1] - apart[1:-1, 2:]
        best = int(saved.triu(1).argmax())
        i, j = divmod(best, count)
        if j <= i or float(saved[i, j]) <= 1e-9 * float(step.sum()):
            break
        found[i : j + 1] = found[i : j + 1].flip(0)
    return found


def catmull_rom(points: Float[Tensor, "n 3"], i: Int[Tensor, "m"], t: Float[Tensor, "m"]) -> Float[Tensor, "m 3"]:
    """The curve between points i and i + 1 at share ``t``, 1 <= i <= n - 3, with centripetal knots (root of distance).

    C. Yuksel et al., "Parameterization and applications of Catmull-Rom curves", 2011; here as a cubic Hermite curve.
    """
    chord = points.diff(dim=0)
    knot = chord.norm(dim=-1).sqrt()
    # A pair of equal points gets a short time of its own: the curve halts there instead of dividing by zero.
    knot = knot.clamp_min(max(1e-3 * float(knot.mean()), 1e-12))[:, None]
    slope = chord / knot
    wide = (chord[:-1] + chord[1:]) / (knot[:-1] + knot[1:])
    tangent = slope[:-1] - wide + slope[1:]  # of points 1, 2, ...
    t = t[:, None]
    a, b = points[i], points[i + 1]
    left, right = tangent[i - 1] * knot[i], tangent[i] * knot[i]
    return a + t * (left + t * (3 * (b - a) - 2 * left - right + t * (2 * (a - b) + left + right)))


def pace(position: Float[Tensor, "m 3"], direction: Float[Tensor, "m k"]) -> Float[Tensor, "m"]:
    """The share of time, 0..1, at which each point of a curve is passed, by distance and a little by turning."""
    moves, turns = position.diff(dim=0).norm(dim=-1), direction.diff(dim=0).norm(dim=-1)
    far, much = float(moves.sum()), float(turns.sum())
    moving, turning = far > 1e-9 * float(position.abs().max()), much > 1e-9
    weight = TURNING if moving and turning else float(turning)
    time = weight * turns / max(much, 1e-30) + (1 - weight) * moves / max(far, 1e-30)
    if not (moving or turning):
        time = torch.ones_like(moves)
    total = torch.cat([time.new_zeros(1), time.cumsum(0)])
    return total / total[-1].clamp_min(1e-30)


def resampled(
    values: Float[Tensor, "m k"], time: Float[Tensor, "m"], wanted: Float[Tensor, "f"]
) -> Float[Tensor, "f k"]:
    """``values`` known at rising times, at other times, by straight lines."""
    after = torch.searchsorted(time, wanted, right=True).clamp(1, len(time) - 1)
    span = (time[after] - time[after - 1]).clamp_min(1e-30)
    share = ((wanted - time[after - 1]) / span).clamp(0, 1)[:, None]
    return torch.lerp(values[after - 1], values[after], share)
