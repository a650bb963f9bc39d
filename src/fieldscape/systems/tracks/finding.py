"""The cameras of a clip from its tracks: what kind of motion it is, then the best explanation of all tracks.

Two ways lead to cameras that moved, and each fails where the other does not: bundle adjustment from turns alone
(``small_motion``), and, where that leaves something to explain, structure from motion (``mapping``). The same tracks
judge both. At the end all is adjusted with a loss as narrow as the misses are: many points slide a little, not at
random, and pull the focal length along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from fieldscape.systems.tracks.adjusting import Adjusted, Freedom, adjust, focal_doubt, reprojection
from fieldscape.systems.tracks.camera_kind import LOW_ANGLE, Signs, in_words, kind_of, only_turned, stands_still
from fieldscape.systems.tracks.choosing import longest
from fieldscape.systems.tracks.mapping import mapped
from fieldscape.systems.tracks.nouns import Clip, Kind, Points
from fieldscape.systems.tracks.small_motion import moved_little
from fieldscape.systems.tracks.solve_settings import SolveSettings
from fieldscape.systems.tracks.survey import Sightings, Survey, rebased, sightings_of
from fieldscape.systems.tracks.triangulating import parallax, triangulated
from fieldscape.systems.tracks.turning import FOCAL_DOUBT, FOCALS, TYPICAL_FOCAL, turning

FEWEST_POINTS = 30
"""Points of the background below which nothing can be said about the camera."""

FEWEST_OF_FRAME = 8
"""Sightings that place a camera; one with fewer is put between its neighbours."""

CALM = 3.0
"""Pixels by which the path of a camera that moved little may bend from frame to frame without much evidence."""

FEATURE_WEIGHT = 0.3
"""Of a matched feature against a tracked point: it is found less exactly."""

NOISE = 0.3
"""Of the scale of misses: a median miss below it is what tracking leaves, and there is nothing left to explain."""

FINEST = 0.1
"""Of the scale of misses. At the end the loss has the scale of the median miss, or this: a point that slid a little
from where it began, as followed ones do, then hardly pulls."""

AGREES = 1.02
"""Two explanations whose costs differ by less than this factor are the same."""

LOW_FOCAL_DOUBT = 0.25
"""Of the focal length where it hardly shows: the typical one then counts more."""


@dataclass(frozen=True)
class Found:
    """The cameras of all frames, what they were judged to be, and why, in words."""

    survey: Survey
    kind: Kind
    notes: tuple[str, ...]


def cameras(clip: Clip, points: Points, settings: SolveSettings, work: Path) -> Found:
    """The cameras of all frames of ``clip``."""
    width = clip.size[0]
    frames = sorted({round(i) for i in np.linspace(0, len(clip) - 1, min(settings.most_frames, len(clip)))})
    chosen = longest(points, frames, clip.size, settings.most_tracks)
    still, shift = stands_still(points, width)
    if settings.camera == "tripod" or len(chosen) < FEWEST_POINTS or (settings.camera == "auto" and still):
        return _tripod(clip, settings, shift, len(chosen))
    scale = max(1.0, 0.001 * width)
    given = settings.focal * width
    fewer = longest(points, frames, clip.size, settings.most_tracks // 2)
    part = _among(points, fewer, frames)
    turned = turning(part.sightings, clip.size, scale, given)
    freedom = Freedom(
        focal=not given, focal_guess=TYPICAL_FOCAL * width, focal_doubt=0.0 if given else FOCAL_DOUBT,
        limits=(FOCALS[0] * width, FOCALS[1] * width),
    )  # fmt: skip
    turns_only = replace(freedom, places=False, nearness=False)
    if settings.camera == "rotation":
        signs = Signs(turned.error, turned.error, 0.0, 0.0, _doubt(turned.survey, part.sightings, turns_only, scale))
        return _rotation(clip, points, settings, turned.survey, frames, signs, scale)
    best = moved_little(turned.survey, part.sightings, freedom, scale, settings.seed)
    signs = _signs(turned.error, best, part.sightings)
    if settings.camera == "auto" and only_turned(signs):
        signs = replace(signs, focal_doubt=_doubt(turned.survey, part.sightings, turns_only, scale))
        return _rotation(clip, points, settings, turned.survey, frames, signs, scale)
    notes: list[str] = []
    features = None
    if not _explained(best, signs, part.sightings, scale):
        model = mapped(clip, points, chosen, frames, best.survey.focal, settings, work)
        if model is None:
            notes.append("Structure from motion found no model; the cameras come from bundle adjustment alone.")
        else:
            start = _spread(model.turn, model.place, model.placed, clip.seconds.double().numpy()[frames])
            survey = replace(best.survey, turn=start[0], place=start[1], focal=given or model.focal)
            other = _from_cameras(survey, part.sightings, freedom, scale, model.placed)
            if other.after < AGREES * best.after:  # features far apart then fit the same path
                features = model.features
            if other.after < best.after:
                best = other
                if not model.placed.all():
                    missing = int((~model.placed).sum())
                    notes.append(f"{missing} of {len(frames)} frames were placed between others first.")
    fine = max(FINEST * scale, float(np.median(reprojection(best.survey, part.sightings))))
    best = adjust(best.survey, part.sightings, freedom, fine, 25)
    doubt = _doubt(best.survey, part.sightings, freedom, fine)
    signs = replace(_signs(turned.error, best, part.sightings), focal_doubt=doubt)
    kind = kind_of(signs) if not only_turned(signs) else "low"
    if signs.angle < LOW_ANGLE:
        freedom = replace(freedom, calm=CALM, focal_doubt=min(freedom.focal_doubt, LOW_FOCAL_DOUBT))
    survey, lost = _everywhere(clip, points, settings, best.survey, frames, features, freedom, (scale, fine))
    if lost:
        notes.append(f"{lost} frames show too little of the background; their cameras lie between their neighbours'.")
    return Found(survey, kind, (in_words(kind, signs, survey.focal, width), *notes))


@dataclass(frozen=True)
class _Part:
    """Sightings in some frames, which are numbered from 0, of the points that are seen in two of them at least."""

    sightings: Sightings
    points: np.ndarray


def _among(points: Points, chosen: np.ndarray, frames: list[int]) -> _Part:
    seen = points.seen[frames].numpy()
    chosen = chosen[seen[:, chosen].sum(0) >= 2]
    some = Points(points.places[frames], points.seen[frames], points.sure[frames], points.layer)
    return _Part(sightings_of(some, chosen), chosen)


def _explained(best: Adjusted, signs: Signs, sightings: Sightings, scale: float) -> bool:
    """Whether structure from motion could do nothing better: misses are no more than noise, and either points seen in
    the first and the last frame hold the path together, or there is too little parallax for it."""
    ends = [sightings.point[sightings.frame == frame] for frame in (0, best.survey.frames - 1)]
    joined = len(np.intersect1d(*ends)) >= FEWEST_POINTS
    return signs.moving < NOISE * scale and (joined or signs.angle < LOW_ANGLE)


def _signs(turning_error: float, best: Adjusted, sightings: Sightings) -> Signs:
    """All but whether the focal length shows, which takes longer to find out."""
    angle = parallax(best.survey, sightings)
    moving = float(np.median(reprojection(best.survey, sightings)))
    shift = float(np.median(np.radians(angle))) * best.survey.focal
    return Signs(turning_error, moving, shift, float(np.median(angle)), 0.0)


def _doubt(survey: Survey, sightings: Sightings, freedom: Freedom, scale: float) -> float:
    """Of the focal length; 0 where it is given."""
    return focal_doubt(survey, sightings, freedom, scale) if freedom.focal else 0.0


def _from_cameras(survey: Survey, sightings: Sightings, freedom: Freedom, scale: float, placed: np.ndarray) -> Adjusted:
    """From cameras alone: points, then the cameras that were not placed, then all."""
    survey = _resected(survey, sightings, scale, placed)
    survey = rebased(triangulated(survey, sightings, scale))
    done = adjust(survey, sightings, freedom, scale, 30)
    return replace(done, survey=rebased(done.survey))


def _resected(survey: Survey, sightings: Sightings, scale: float, placed: np.ndarray) -> Survey:
    """The cameras that were not placed, from points that those that were have seen."""
    if placed.all():
        return survey
    known = placed[sightings.frame]
    count = np.bincount(sightings.point[known], minlength=int(sightings.point.max()) + 1)
    good = count >= 2
    numbers = np.cumsum(good) - 1
    usable = good[sightings.point]
    mine = sightings.of(usable & known)
    base = triangulated(survey, replace(mine, point=numbers[mine.point]), scale)
    every = sightings.of(usable & ~known)
    every = replace(every, point=numbers[every.point])
    freedom = Freedom(focal=False, points=False, nearness=False, first=True)
    # Wide tolerance first: cameras put between others may be far off.
    for wide in (20 * scale, 4 * scale, scale):
        base = adjust(base, every, freedom, wide, 8).survey
    return base


def _spread(
    turn: np.ndarray, place: np.ndarray, known: np.ndarray, seconds: np.ndarray, at: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cameras at all ``seconds`` (or ``at``) from those that are known, between them by time, beyond as the nearest."""
    at = seconds if at is None else at
    index = np.nonzero(known)[0]
    if len(index) == 1:
        return np.repeat(turn[index], len(at), 0), np.repeat(place[index], len(at), 0)
    inside = np.clip(at, seconds[index[0]], seconds[index[-1]])
    turns = Slerp(seconds[index], Rotation.from_matrix(turn[index]))(inside).as_matrix()
    places = np.stack([np.interp(inside, seconds[index], place[index, axis]) for axis in range(3)], -1)
    return turns, places


def _everywhere(
    clip: Clip, points: Points, settings: SolveSettings, survey: Survey, frames: list[int], features: Sightings | None,
    freedom: Freedom, scales: tuple[float, float],
) -> tuple[Survey, int]:  # fmt: skip
    """Cameras of all frames from those of ``frames``, adjusted together; and how many could only be interpolated.

    scales: of the loss, in pixels, until all is in place, and at the end.
    """
    scale, fine = scales
    seconds = clip.seconds.double().numpy()
    every = longest(points, list(range(len(clip))), clip.size, settings.most_tracks // 2)
    sightings = sightings_of(points, every)
    turn, place = _spread(survey.turn, survey.place, np.ones(len(frames), bool), seconds[frames], seconds)
    known = np.isin(np.arange(len(clip)), frames)
    survey = _resected(replace(survey, turn=turn, place=place), sightings, scale, known)
    seen = np.bincount(sightings.frame, minlength=len(clip))
    survey, lost = _between(survey, seen >= FEWEST_OF_FRAME, seconds)
    if features is not None and len(features):
        extra = replace(features, point=features.point + len(every), weight=FEATURE_WEIGHT * features.weight)
        sightings = Sightings(
            np.concatenate([sightings.frame, extra.frame]), np.concatenate([sightings.point, extra.point]),
            np.concatenate([sightings.pixel, extra.pixel]), np.concatenate([sightings.weight, extra.weight]),
        )  # fmt: skip
    survey = rebased(triangulated(survey, sightings, scale))
    survey = adjust(survey, sightings, freedom, fine, 25).survey
    survey, lost = _between(survey, seen >= FEWEST_OF_FRAME, seconds)
    return rebased(survey), lost


def _between(survey: Survey, known: np.ndarray, seconds: np.ndarray) -> tuple[Survey, int]:
    """The survey with cameras that are not ``known`` put between those that are."""
    if known.all() or not known.any():
        return survey, 0
    turn, place = _spread(survey.turn, survey.place, known, seconds)
    turn[known], place[known] = survey.turn[known], survey.place[known]
    return replace(survey, turn=turn, place=place), int((~known).sum())


def _tripod(clip: Clip, settings: SolveSettings, shift: float, seen: int) -> Found:
    width, height = clip.size
    t, focal = len(clip), (settings.focal or TYPICAL_FOCAL) * width
    survey = Survey(
        np.tile(np.eye(3), (t, 1, 1)),
        np.zeros((t, 3)),
        focal,
        np.array([width / 2, height / 2]),
        np.zeros((0, 3)),
        np.zeros(0),
    )
    why = f"points of the background move by no more than {shift:.2f} px"
    if seen < FEWEST_POINTS:
        why = f"with {seen} points of the background its motion cannot be told, so none is assumed"
    elif settings.camera == "tripod":
        why = "as was said"
    lens = "as given" if settings.focal else "assumed, it cannot be known"
    return Found(
        survey,
        "tripod",
        (f"The camera stood still: {why}. Depth cannot be known; focal length {focal:.0f} px is {lens}.",),
    )


def _rotation(
    clip: Clip, points: Points, settings: SolveSettings, survey: Survey, frames: list[int], signs: Signs, scale: float
) -> Found:
    """All frames of a camera that only turned."""
    width = clip.size[0]
    every = longest(points, list(range(len(clip))), clip.size, settings.most_tracks // 2)
    sightings = sightings_of(points, every)
    turned = turning(sightings, clip.size, scale, settings.focal * width or survey.focal)
    seen = np.bincount(sightings.frame, minlength=len(clip))
    survey, lost = _between(turned.survey, seen >= FEWEST_OF_FRAME, clip.seconds.double().numpy())
    notes = [in_words("rotation", signs, survey.focal, width)]
    if lost:
        notes.append(f"{lost} frames show too little of the background; their cameras lie between their neighbours'.")
    return Found(survey, "rotation", tuple(notes))
