"""Points from their sightings by cameras that are known, many at once.

Linear first: each sighting says that the direction d - w C is along its bearing b, so [b]x (d - w C) = 0; the smallest
eigenvector of the sum of all these, four numbers (d, w), is the point up to its length (Hartley and Zisserman,
"Multiple View Geometry", section 12.2, in a form that includes points at infinity). Then a few rounds of
Levenberg-Marquardt.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from fieldscape.systems.tracks.adjusting import Freedom, adjust
from fieldscape.systems.tracks.survey import Sightings, Survey, bearings, misses

ROUNDS = 4
"""Of the linear solution, each with less weight for the sightings that the one before missed."""


def triangulated(survey: Survey, sightings: Sightings, scale: float, rounds: int = 12) -> Survey:
    """The survey with all its points found anew from where the cameras saw them.

    Sightings are sorted by point and each point has one. scale: of Cauchy's loss, in pixels.
    """
    rays = _rays(survey, sightings)
    weight = sightings.weight.copy()
    for _ in range(ROUNDS):
        survey = _linear(survey, sightings, rays, weight)
        square = (misses(survey, sightings) ** 2).sum(1)
        weight = sightings.weight / (1 + square / scale**2)
    freedom = Freedom(turns=False, places=False, focal=False)
    return adjust(survey, sightings, freedom, scale, rounds).survey


def _rays(survey: Survey, sightings: Sightings) -> Float[np.ndarray, "m 3"]:
    """The directions in the world in which the points were seen."""
    local = bearings(sightings.pixel, survey.focal, survey.middle)
    return np.einsum("mij,mj->mi", survey.turn[sightings.frame], local)


def _linear(survey: Survey, sightings: Sightings, rays: np.ndarray, weight: np.ndarray) -> Survey:
    """Minimises sum of weight |(I - b b^T)(d - w C)|^2 over (d, w) of length one."""
    n = int(sightings.point.max()) + 1
    place = survey.place[sightings.frame]
    # Lengths of about 1, so that the four numbers count alike.
    unit = float(np.linalg.norm(survey.place - survey.place.mean(0), axis=1).max()) or 1.0
    flat = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    across = np.concatenate([flat, -(flat @ (place / unit)[:, :, None])], -1)
    starts = np.searchsorted(sightings.point, np.arange(n))
    normal = np.add.reduceat(weight[:, None, None] * (across.transpose(0, 2, 1) @ across), starts)
    mean = np.add.reduceat(weight[:, None] * rays, starts)
    found = np.linalg.eigh(normal)[1][:, :, 0]
    found *= np.where((found[:, :3] * mean).sum(1) < 0, -1.0, 1.0)[:, None]
    length = np.linalg.norm(found[:, :3], axis=1)
    good = (found[:, 3] > 0) & (length > 1e-9)
    direction = np.where(good[:, None], found[:, :3] / np.maximum(length, 1e-12)[:, None], mean)
    direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    nearness = np.where(good, found[:, 3] / np.maximum(length, 1e-12) / unit, 0.0)
    return replace(survey, direction=direction, nearness=nearness)


def parallax(survey: Survey, sightings: Sightings) -> Float[np.ndarray, "n"]:
    """The angle in degrees between the rays to each point from the two frames that are furthest apart along the
    direction in which its cameras spread most; sightings are sorted by point."""
    frame, point = sightings.frame, sightings.point
    starts = np.searchsorted(point, np.arange(survey.points))
    count = np.diff(np.append(starts, len(point)))
    place = survey.place[frame]
    mean = np.add.reduceat(place, starts) / count[:, None]
    # How the directions from the point to its cameras spread, across the line of sight; a point at infinity has none.
    away = survey.direction[point] - survey.nearness[point, None] * place
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    middle = survey.direction - survey.nearness[:, None] * mean
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    offset = away - middle[point]
    spread = np.add.reduceat(offset[:, :, None] * offset[:, None, :], starts)
    main = np.linalg.eigh(spread)[1][:, :, 2]
    along = (offset * main[point]).sum(1)
    wide = np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts)
    return np.degrees(2 * np.arcsin(np.clip(wide / 2, 0, 1)))
