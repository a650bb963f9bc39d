"""From tracks to places in the world at every frame.

Points of the background are triangulated by the cameras that are known. One whose rays are too alike gets the depth of
its neighbours in the picture; ``deep`` says which were measured. At a frame where it was seen a point is put on the ray
through its place there, at the depth of its static point: the small offset is what a camera without distortion, or a
track that drifts, leaves over. Between and beyond those frames the offset is interpolated and held.
A point that does not stay near its static place is no part of the still world and is not seen any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from fieldscape.systems.tracks.adjusting import reprojection
from fieldscape.systems.tracks.nouns import Kind, Points
from fieldscape.systems.tracks.survey import Survey, bearings, sightings_of
from fieldscape.systems.tracks.triangulating import parallax, triangulated

DOUBT = 0.15
"""Relative error of a depth that still counts as measured."""

NEIGHBOURS = 6
"""Points that a depth is taken from where it was not measured."""

FARTHEST = 50.0
"""Times the median distance; what is further is put there."""

ASTRAY = 6.0
"""A point further from its static place than this many times the usual miss (and ``ASTRAY_PIXELS``) is astray."""

ASTRAY_PIXELS = 0.004
"""As a share of the picture's width, at least 2 pixels."""


@dataclass(frozen=True)
class Still:
    """The background in the world. point: the static places.  deep: which were measured.  stays [t, n]: where the point
    was seen near enough to it.  limit: how near, in pixels."""

    point: Float[np.ndarray, "n 3"]
    deep: Bool[np.ndarray, "n"]
    stays: Bool[np.ndarray, "t n"]
    limit: float


def still_points(points: Points, survey: Survey, kind: Kind, width: int) -> Still:
    """Static places of ``points``, all of the background, by the cameras of ``survey``; its own points are not used."""
    seen = points.seen.numpy()
    n = len(points)
    flat = kind in ("tripod", "rotation")
    twice = np.nonzero(seen.sum(0) >= 2)[0]
    point, deep = np.zeros((n, 3)), np.zeros(n, bool)
    miss = np.array([0.5])
    if len(twice) and not flat:
        sightings = sightings_of(points, twice)
        scale = max(1.0, 0.001 * width)
        found = triangulated(replace(survey, direction=np.zeros((0, 3)), nearness=np.zeros(0)), sightings, scale)
        angle = np.radians(parallax(found, sightings))
        count = np.bincount(sightings.point, minlength=len(twice))
        miss = reprojection(found, sightings)
        noise = max(float(np.median(miss)), 0.1)
        error = noise / np.maximum(angle * survey.focal * np.sqrt(count / 2), 1e-9)
        usual = np.median(found.nearness[error < DOUBT]) if (error < DOUBT).any() else np.median(found.nearness)
        nearness = np.maximum(found.nearness, max(float(usual), 1e-9) / FARTHEST)
        point[twice] = found.direction / nearness[:, None]
        deep[twice] = (error < DOUBT) & (found.nearness > usual / FARTHEST) & (count >= 3)
    guessed = _on_sphere if flat else _as_neighbours
    point[~deep] = guessed(points, survey, point, deep, kind)[~deep]
    limit = max(2.0, ASTRAY_PIXELS * width, ASTRAY * float(np.median(miss)))
    return Still(point, deep, restays(points, survey, point, limit), limit)


def restays(points: Points, survey: Survey, point: Float[np.ndarray, "n 3"], limit: float) -> Bool[np.ndarray, "t n"]:
    """Where a point was seen, and its static place falls within ``limit`` pixels of where."""
    good = np.zeros(points.seen.shape, bool)
    for t in range(len(good)):
        local = (point - survey.place[t]) @ survey.turn[t]
        ahead = local[:, 2] > 1e-6
        pixel = survey.focal * local[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None] + survey.middle
        off = np.linalg.norm(pixel - points.places[t].double().numpy(), axis=1)
        good[t] = ahead & (off < limit)
    return good & points.seen.numpy()


def _on_sphere(points: Points, survey: Survey, point: np.ndarray, deep: np.ndarray, kind: Kind) -> np.ndarray:
    """At distance 1 (a tripod's: at planar depth 1) in the mean direction of where the points were seen."""
    seen = points.seen.numpy()
    total = np.zeros((len(points), 3))
    for t in range(len(seen)):
        ray = bearings(points.places[t].double().numpy(), survey.focal, survey.middle)
        total += seen[t, :, None] * (ray @ survey.turn[t].T)
    never = ~seen.any(0)
    total[never] = bearings(points.places[0].double().numpy()[never], survey.focal, survey.middle) @ survey.turn[0].T
    if kind == "tripod":
        local = total @ survey.turn[0]
        return survey.place[0] + (local / np.maximum(local[:, 2:], 1e-9)) @ survey.turn[0].T
    return survey.place[0] + total / np.linalg.norm(total, axis=1, keepdims=True)


def _as_neighbours(points: Points, survey: Survey, point: np.ndarray, deep: np.ndarray, kind: Kind) -> np.ndarray:
    """In the middle one of the frames that saw it, a point gets the planar depth of those around it in the picture."""
    seen, places = points.seen.numpy(), points.places.double().numpy()
    guessed = point.copy()
    order = np.cumsum(seen, 0)
    at = np.argmax(order >= np.maximum((order[-1] + 1) // 2, 1), axis=0)
    for t in np.unique(at[~deep]):
        mine = np.nonzero(~deep & (at == t))[0]
        near = deep & seen[t]
        if near.sum() < NEIGHBOURS:
            near = deep
        local = (point[near] - survey.place[t]) @ survey.turn[t]
        ahead = local[:, 2] > 1e-6
        depth = np.full(len(mine), 1.0)
        if ahead.any():
            pixel = survey.focal * local[ahead, :2] / local[ahead, 2:] + survey.middle
            _, found = cKDTree(pixel).query(places[t, mine], k=min(NEIGHBOURS, int(ahead.sum())))
            depth = 1 / np.median(1 / local[ahead, 2][found.reshape(len(mine), -1)], axis=1)
        ray = bearings(places[t, mine], survey.focal, survey.middle)
        guessed[mine] = survey.place[t] + (ray / ray[:, 2:] * depth[:, None]) @ survey.turn[t].T
    return guessed


def on_rays(
    places: Float[np.ndarray, "t n 2"], depth: Float[np.ndarray, "t n"], survey: Survey
) -> Float[np.ndarray, "t n 3"]:
    """The points at planar depths ``depth`` on the rays through ``places``."""
    local = np.concatenate([(places - survey.middle) / survey.focal, np.ones((*depth.shape, 1))], -1) * depth[..., None]
    return np.einsum("tij,tnj->tni", survey.turn, local) + survey.place[:, None]


def planar_depths(point: Float[np.ndarray, "n 3"], survey: Survey) -> Float[np.ndarray, "t n"]:
    """How far along each frame's optical axis the points are."""
    return np.einsum("tni,ti->tn", point[None] - survey.place[:, None], survey.turn[:, :, 2])


def followed(
    places: Float[np.ndarray, "t n 2"],
    stays: Bool[np.ndarray, "t n"],
    point: np.ndarray,
    survey: Survey,
    seconds: np.ndarray,
) -> Float[np.ndarray, "t n 3"]:
    """The static points plus, where they were seen, what puts them on the rays through their places; between those
    frames that offset is interpolated over time, before and after it is held."""
    depth = planar_depths(point, survey)
    offset = on_rays(places, np.where(stays, depth, 1.0), survey) - point
    return point + filled(np.where(stays[..., None], offset, 0.0), stays, seconds)


def filled(
    values: Float[np.ndarray, "t n k"], known: Bool[np.ndarray, "t n"], seconds: Float[np.ndarray, "t"]
) -> Float[np.ndarray, "t n k"]:
    """Values at all frames from those where they are known: linear in time between, held beyond, 0 where never known.

    >>> known = np.array([[False], [True], [False], [True]])
    >>> filled(np.array([0, 2.0, 0, 6.0]).reshape(4, 1, 1), known, np.arange(4.0)).ravel().tolist()
    [2.0, 2.0, 4.0, 6.0]
    """
    t = len(values)
    number = np.where(known, np.arange(t)[:, None], -1)
    before = np.maximum.accumulate(number, 0)
    number = np.where(known, np.arange(t)[:, None], t)
    after = np.minimum.accumulate(number[::-1], 0)[::-1]
    none = before[-1] < 0
    before = np.where(before < 0, after, before)
    after = np.where(after >= t, before, after)
    before, after = np.where(none, 0, before), np.where(none, 0, after)
    span = seconds[after] - seconds[before]
    share = np.where(span > 0, (seconds[:, None] - seconds[before]) / np.where(span > 0, span, 1.0), 0.0)[..., None]
    column = np.arange(values.shape[1])
    result = (1 - share) * values[before, column] + share * values[after, column]
    return np.where(none[:, None], 0.0, result)
