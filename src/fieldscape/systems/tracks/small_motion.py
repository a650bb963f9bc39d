"""Cameras and points of a camera that moved, from turns alone.

Where points are seen from almost one place, structure from motion has no pair of frames to start from. Bundle
adjustment does: with all cameras at one place and distances put at a guess it finds its way, as the misses are nearly
linear in what is small (Yu and Gallup, "3D reconstruction from accidental motion", 2014). Near and far can be swapped
then (the hollow of a mask looks like a face), and turns alone may say a wrong focal length, so several guesses are
tried and the best explanation wins. It often is right for larger motions too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fieldscape.systems.tracks.adjusting import Adjusted, Freedom, adjust
from fieldscape.systems.tracks.survey import Sightings, Survey, rebased, thinned
from fieldscape.systems.tracks.triangulating import triangulated
from fieldscape.systems.tracks.turning import chained

TRIAL_ROUNDS = 8
TRIAL_POINTS = 600

OTHER_FOCAL = 1.25
"""By what factor the likely focal length must differ from that of the turns to be tried as well."""


def moved_little(turned: Survey, sightings: Sightings, freedom: Freedom, scale: float, seed: int) -> Adjusted:
    """The best of a few starts: what is low in the picture is near, the reverse, and chance; with the focal length of
    the turns, and with the likely one."""
    draw = np.random.default_rng(seed)
    starts = [turned]
    ratio = turned.focal / freedom.focal_guess if freedom.focal else 1.0
    if max(ratio, 1 / ratio) > OTHER_FOCAL:
        starts.append(chained(sightings, freedom.focal_guess, turned.middle))
    tried = []
    for start in starts:
        low = start.direction[:, 1] - np.median(start.direction[:, 1])
        low = np.clip(low / max(float(np.abs(low).max()), 1e-9), -1, 1)
        for guess in (low, -low, draw.uniform(-1, 1, start.points)):
            trial, some = thinned(replace(start, nearness=1 + 0.7 * guess), sightings, TRIAL_POINTS)
            tried.append(adjust(trial, some, freedom, scale, TRIAL_ROUNDS))
    best = rebased(min(tried, key=lambda each: each.after).survey)
    if best.points < turned.points:
        best = rebased(triangulated(best, sightings, scale))
    done = adjust(best, sightings, freedom, scale, 40)
    return replace(done, survey=rebased(done.survey))
