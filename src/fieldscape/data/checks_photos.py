"""What the photos say about the cameras.

Matched points must lie on each other's epipolar lines, in front of both cameras. Where they do not, every usual mistake
(``fieldscape.data.readings``) is undone in turn. A reading is suggested only when it explains nearly all that either
explains, and clearly better.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.cameras import project
from fieldscape.data.checks_cameras import METRES
from fieldscape.data.epipolar import Agreement, agreement, rotation_error
from fieldscape.data.findings import Finding, some
from fieldscape.data.matching import Matches
from fieldscape.data.order import find_reordering
from fieldscape.data.readings import Reading, lens_readings, order_readings, pose_readings, scaled_pose_readings
from fieldscape.types import Camera, Views

FEWEST_MATCHES, FEWEST_PAIRS = 60, 3
"""Below these the photos are not asked: chance would answer."""

CLEARLY, TWICE, THROUGHOUT = 3.0, 2.0, 0.85
"""A reading must reduce the error by the first factor to be suggested, or by the second and in this share of the pairs:
of a narrow lens, even a focal length four times too long costs little, but it costs every pair."""

STILL = 0.0025
"""Share of the image's longer side: photos whose matches move by less once the rotations are undone show no depth."""

FAIR, GOOD = 0.01, 0.005
"""Shares of the image's longer side: a pair of photos with a smaller median error agrees fairly, or well."""


def against_photos(views: Views, matches: Matches) -> tuple[list[Finding], bool]:
    """Whether the poses as given explain the matches, and if not, what would; true if another reading does."""
    camera, size = views.camera, max(views.camera.width, views.camera.height)
    what, pairs = "poses against photos", f"matches between {len(matches.pairs)} pairs of photos"
    given = agreement(camera, matches)
    on_the_spot = rotation_error(camera, matches)
    if on_the_spot < STILL * size:
        # Epipolar lines mean nothing without a step, so nothing else may be asked.
        evidence = f"{pairs} agree to {on_the_spot:.2g} px with a camera that only turns on the spot"
        advice = "Without parallax no depth can be learned: move while taking photos."
        return [Finding("warning", "parallax", evidence, advice)], False
    tried = _try([*pose_readings(camera), *lens_readings(camera), *order_readings(camera, views.names)], matches)
    better = _best(given, tried, size)
    fair = given.pair_errors < FAIR * size
    explained = bool(fair.double().mean() >= 0.6) and given.in_front >= 0.7
    if better is None and not explained:
        # Two mistakes at once: a focal length that is far off hides what else is wrong.
        better = _best(given, _try(scaled_pose_readings(camera), matches), size)
    elif better is not None:
        further = _best(better[1], _try(lens_readings(better[0].camera), matches), size)
        if further is not None:
            name = f"{better[0].name} and {further[0].name.removeprefix('with ')}"
            both = Reading(name, f"{better[0].advice} Then, {further[0].advice}", further[0].camera)
            better = both, further[1]
    if better is not None:
        reading, then = better
        evidence = f"{pairs} miss the poses by {_error(given)}{_side(given)}; {reading.name}: {_error(then)}"
        return [Finding("warning", what, evidence, f"Probably {reading.advice}")], True
    if explained:
        evidence = f"{pairs} agree with the poses to {_error(given)} ({tried[0][0].name}: {_error(tried[0][1])})"
        findings = [Finding("ok", what, evidence), *_single_views(views, matches, given), *_unseen_focal(given, tried)]
        return findings + _scale(views, matches, given), False
    return _unexplained(views, matches, given, pairs), False


def _try(readings: list[Reading], matches: Matches) -> list[tuple[Reading, Agreement]]:
    return [(reading, agreement(reading.camera, matches)) for reading in readings]


def _best(given: Agreement, tried: list[tuple[Reading, Agreement]], size: int) -> tuple[Reading, Agreement] | None:
    """The reading that explains the matches clearly better than the poses as given, if there is one."""
    passed = []
    for reading, then in tried:
        well = then.pair_errors < GOOD * size
        # A reading that gives up what the poses explain (the background of an object on a turntable) is no better.
        either = well | (given.pair_errors < GOOD * size)
        if int(well.sum()) < max(FEWEST_PAIRS, 0.25 * len(well), 0.8 * int(either.sum())) or then.in_front < 0.8:
            continue
        before, after = float(given.pair_errors[either].median()), float(then.pair_errors[either].median())
        wrong_side = given.in_front < 0.5 and before > 0.7 * after
        throughout = float((then.pair_errors < given.pair_errors)[either].double().mean()) > THROUGHOUT
        if before > CLEARLY * after or (before > TWICE * after and throughout) or wrong_side:
            passed.append((reading, then))
    if not passed:
        return None
    least = min(then.error for _, then in passed)
    return next((reading, then) for reading, then in passed if then.error <= 1.05 * least)


def _unseen_focal(given: Agreement, tried: list[tuple[Reading, Agreement]]) -> list[Finding]:
    """Says so where half and twice the focal length would agree about as well, as on a small object's orbit."""
    names = ("with 0.5 times the focal length", "with 2 times the focal length")
    others = [then.error for reading, then in tried if reading.name in names]
    if max(others) > 1.5 * given.error:
        return []
    evidence = f"with half and twice of it the matches agree as well, to {max(others):.2g} px at worst"
    return [Finding("unknown", "focal length", evidence, "These photos cannot confirm it: make sure that it is right.")]


def _single_views(views: Views, matches: Matches, given: Agreement) -> list[Finding]:
    """Views whose matches all contradict their pose, among views whose matches do not."""
    fair = given.pair_errors < FAIR * max(views.camera.width, views.camera.height)
    ends = torch.tensor(matches.pairs)
    agreed, asked = torch.zeros(len(views)), torch.zeros(len(views))
    for side in range(2):
        asked.index_add_(0, ends[:, side], torch.ones(len(ends)))
        agreed.index_add_(0, ends[:, side], fair.float())
    # The other end must be sound, or one bad view would condemn its neighbours.
    sound = agreed > 0
    witnesses = torch.zeros(len(views))
    for side in range(2):
        witnesses.index_add_(0, ends[:, side], sound[ends[:, 1 - side]].float())
    bad = (agreed == 0) & (witnesses >= 2)
    if not bool(bad.any()):
        return []
    evidence = (
        f"of {matches.compared} photos compared, these contradict their pose in all matches: {some(bad, views.names)}"
    )
    return [Finding("warning", "single poses", evidence, "Remove these views, or correct their poses.")]


def _unexplained(views: Views, matches: Matches, given: Agreement, pairs: str) -> list[Finding]:
    """Poses that disagree with the photos, and no reading that mends it: what can still be said."""
    camera, what, size = views.camera, "poses against photos", max(views.camera.width, views.camera.height)
    if given.error == float("inf"):
        left = rotation_error(camera, matches)
        evidence = f"{pairs} show that the camera moved (turning alone leaves {left:.0f} px), the poses do not"
        advice = "The positions are missing: check how the translations were written or read."
        return [Finding("warning", what, evidence, advice)]
    missed = f"{pairs} miss the poses by {_error(given)}{_side(given)}"
    other = find_reordering(camera, matches)
    if other.moved >= 5 and other.moved >= 0.4 * other.asked:
        photo, pose = (views.names[i] for i in other.example)
        evidence = f"{missed}; {other.moved} of {other.asked} photos suit the pose of another ({photo} that of {pose})"
        advice = "The poses are listed in another order than the photos: match them by name."
        return [Finding("warning", what, evidence, advice)]
    precise = int((given.pair_errors < GOOD / 2 * size).sum())
    if precise >= max(5, 0.15 * len(matches.pairs)) and given.in_front > 0.9:
        evidence = f"{pairs}: {precise} agree with the poses to better than {GOOD / 2 * size:.2g} px, the others do not"
        advice = (
            "Either some poses are wrong, or part of the photos does not move with the rest (an object on a turntable "
            "before a still background, moving people): mask that part."
        )
        return [Finding("warning", what, evidence, advice), *_single_views(views, matches, given)]
    advice = (
        "No usual mistake explains it. The poses may be too imprecise, of another scene, or in another order than the "
        "photos; let structure from motion find them anew."
    )
    return [Finding("warning", what, missed, advice)]


def _scale(views: Views, matches: Matches, given: Agreement) -> list[Finding]:
    """Distances of the matched points, which only the positions fix, against what else the data say of distances."""
    depth = given.depths
    known = depth.isfinite() & (depth > 0)
    if given.parallax < 0.3 or int(known.sum()) < FEWEST_MATCHES:
        evidence = f"the rays to matched points differ by {given.parallax:.2g} degrees only"
        return [Finding("warning", "parallax", evidence, "Depth will be vague: move further between photos.")]
    depth, view = depth[known], matches.first[known]
    typical = float(depth.median())
    findings = []
    if views.bounds is not None:
        near, far = views.bounds[view, 0].double(), views.bounds[view, 1].double()
        inside = float(((depth > 0.8 * near) & (depth < 1.25 * far)).double().mean())
        if inside < 0.5:
            stated = f"{float(near.median()):.3g} to {float(far.median()):.3g}"
            evidence = f"matched points lie at {typical:.3g}, but near and far are {stated}"
            advice = "Near, far and the positions have different units or scales: give all in one."
            findings.append(Finding("warning", "near and far", evidence, advice))
    if views.depths is not None:
        at = matches.first_pixels[known].long()
        row, column = at[:, 1].clamp(0, views.camera.height - 1), at[:, 0].clamp(0, views.camera.width - 1)
        mapped = views.depths[view, row, column].double()
        findings += _ratio("depth maps", (mapped / depth)[mapped > 0])
    if views.points is not None and len(views.points) > 10:
        middle = [float(z.median()) for z in _seen_depths(views.camera, views.points, view.unique())]
        findings += _ratio("sparse points", torch.tensor(middle) / typical)
    if views.metric and not 0.05 < typical < 500:
        evidence = f"matched points lie at {typical:.3g} m"
        findings.append(Finding("warning", "scale", evidence, METRES))
    return findings


def _seen_depths(camera: Camera, points: Float[Tensor, "p 3"], which: Int[Tensor, "n"]) -> list[Tensor]:
    """z of the sparse points in each of the cameras ``which`` that sees any."""
    seen = []
    for index in which.tolist():
        pixels, z = project(camera[index], points)
        inside = (z > 0) & (pixels >= 0).all(-1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
        if bool(inside.any()):
            seen.append(z[inside])
    return seen


def _ratio(what: str, ratio: Tensor) -> list[Finding]:
    """A warning if distances that should agree differ by half or more."""
    if len(ratio) < 5 or 0.67 < float(ratio.median()) < 1.5:
        return []
    evidence = f"{what} are {float(ratio.median()):.3g} times as far as the positions make matched points"
    advice = "The positions have another unit than the depths: scale them to agree."
    return [Finding("warning", "scale", evidence, advice)]


def _side(of: Agreement) -> str:
    """Says so where most points are behind the cameras."""
    return "" if of.in_front >= 0.5 else f", with {of.in_front:.0%} of the points in front of the cameras"


def _error(of: Agreement) -> str:
    return f"{of.error:.2g} px" if of.error < 10 else f"{of.error:.0f} px"
