"""Points in space from depth maps that are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.systems.tracks.lifting import Still, on_rays, planar_depths, restays
from fieldscape.systems.tracks.nouns import Points
from fieldscape.systems.tracks.survey import Survey

EDGE = 1.1
"""Where the depths around a place differ by more than this factor it lies on an edge, and its depth is not taken."""


def depths_at(
    depths: Float[Tensor, "t h w"], places: Float[Tensor, "t n 2"], size: tuple[int, int]
) -> Float[Tensor, "t n"]:
    """Depth at places given in pixels of a picture of ``size``; 0 where unknown, outside, or on an edge of depth."""
    t, high, wide = depths.shape
    column = torch.floor(places[..., 0] / size[0] * wide).long()
    row = torch.floor(places[..., 1] / size[1] * high).long()
    frame = torch.arange(t)[:, None]
    around = []
    for down in (-1, 0, 1):
        for aside in (-1, 0, 1):
            around.append(depths[frame, (row + down).clamp(0, high - 1), (column + aside).clamp(0, wide - 1)])
    stacked = torch.stack(around)
    inside = (row >= 0) & (row < high) & (column >= 0) & (column < wide)
    good = inside & (stacked.amin(0) > 0) & (stacked.amax(0) < EDGE * stacked.amin(0))
    return torch.where(good, stacked.median(0).values, 0.0)


def scale_to(survey: Survey, points: Points, depths: Float[Tensor, "t h w"], size: tuple[int, int]) -> Survey:
    """The cameras with lengths such that triangulated points have the given depths, in the median."""
    from fieldscape.systems.tracks.lifting import still_points

    background = points.of(torch.nonzero(points.layer == 0)[:, 0])
    still = still_points(background, survey, "full", size[0])
    own = planar_depths(still.point, survey)
    true = depths_at(depths, background.places, size).double().numpy()
    use = still.deep & still.stays & (own > 0) & (true > 0)
    if not use.any():
        return survey
    scale = float(np.median(true[use] / own[use]))
    return replace(survey, place=survey.place * scale, nearness=survey.nearness / scale)


def with_depths(still: Still, points: Points, survey: Survey, known: Float[np.ndarray, "t n"], width: int) -> Still:
    """The static places as the median over the frames of where the depth maps put the points; where no frame has a
    depth, as triangulated."""
    has = points.seen.numpy() & (known > 0)
    put = on_rays(points.places.double().numpy(), np.where(has, known, 1.0), survey)
    put = np.where(has[..., None], put, np.nan)
    any_known = has.any(0)
    point = still.point.copy()
    point[any_known] = np.nanmedian(put[:, any_known], axis=0)
    return replace(still, point=point, deep=still.deep | any_known, stays=restays(points, survey, point, still.limit))
