"""How good tracks are, measured against exact ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.systems.tracks.nouns import Points


@dataclass(frozen=True)
class TrackErrors:
    """median, most: pixels of error, the typical and the 90th percentile, of points that are seen and said to be.

    ghosts: share of what is said to be seen that is hidden in truth.  alive: share of the points that can be seen
    in truth all through ``span`` frames from where they started that are followed to the end.  counted: of those.
    """

    median: float
    most: float
    ghosts: float
    alive: float
    counted: int
    span: int


def births(points: Points) -> tuple[Int[Tensor, "n"], Float[Tensor, "n 2"]]:
    """For each point the frame in which it was found best, and its place there: what names it."""
    frame = points.sure.argmax(0)
    return frame, points.places[frame, torch.arange(len(points))]


def track_errors(
    points: Points,
    pixels: Float[Tensor, "t n 2"],
    visible: Bool[Tensor, "t n"],
    born: Int[Tensor, "n"],
    span: int = 24,
) -> TrackErrors:
    """Compares points with where they truly are. born: the frames by which truth knows them, which do not count."""
    frames, count = points.seen.shape
    span = min(span, frames - 1)
    index = torch.arange(frames)[:, None]
    elsewhere = index != born
    said = points.seen & elsewhere
    error = (points.places.double() - pixels.double()).norm(dim=-1)[said & visible]
    alive, counted = 0, 0
    for way in (1, -1):
        end = born + way * span
        able = (end >= 0) & (end < frames)
        low, high = torch.minimum(born, end), torch.maximum(born, end)
        through = ((index < low) | (index > high) | visible).all(0) & able
        at = end.clamp(0, frames - 1)
        alive += int((through & points.seen[at, torch.arange(count)]).sum())
        counted += int(through.sum())
    quantiles = torch.quantile(error[:: 1 + len(error) // 10_000_000], error.new_tensor([0.5, 0.9]))
    ghosts = float((said & ~visible).sum()) / max(int(said.sum()), 1)
    return TrackErrors(float(quantiles[0]), float(quantiles[1]), ghosts, alive / max(counted, 1), counted, span)
