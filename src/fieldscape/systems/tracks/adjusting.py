"""Bundle adjustment: cameras and points together, until the points fall where they were seen.

Triggs, McLauchlan, Hartley and Fitzgibbon, "Bundle adjustment: a modern synthesis", 1999. Legend: J the slopes of the
misses r, split into those of cameras (and focal length) and of points. The normal equations

    [ U   W ] [ dc ]     [ Jc^T r ]        U = Jc^T Jc (6 x 6 a frame), V = Jp^T Jp (3 x 3 a point),
    [ W^T V ] [ dp ] = - [ Jp^T r ]        W = Jc^T Jp (a 6 x 3 block a sighting)

are solved by the Schur complement (section 6.1): (U - W V^-1 W^T) dc = -Jc^T r + W V^-1 Jp^T r, then the points one by
one. V is made of small blocks, so only a matrix of 6 rows a frame is left to solve. Levenberg's and Marquardt's damping
adds a share of the diagonal, smaller after a step that helped. Robustness is Cauchy's loss c^2 log(1 + r^2 / c^2) by
iterated weights (section 3.3): a track that went astray pulls with 1/r instead of r.
Gauge (section 9): the first camera stays where it is, and the scale is left to the damping, but where
a calm path is asked for: there the cameras spread as widely as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.sparse
from jaxtyping import Float

from fieldscape.systems.tracks.survey import Sightings, Survey, across, misses, slopes, stepped

CHUNK = 256
"""Points whose share of the Schur complement is computed at once; neighbours in time, so that few frames see them."""

ENOUGH = 1e-4
"""A round that lowers the cost by a smaller share than this, twice running, is the last."""


@dataclass(frozen=True)
class Freedom:
    """What may change, and what is known beforehand.

    turns, places, focal, points, nearness: whether they may change.  first: whether the first camera may too.
    focal_guess, focal_doubt: the focal length in pixels that is likely, and the standard deviation of its logarithm
    (0: no guess).  limits: between which focal lengths to stay, in pixels.  calm: standard deviation, in pixels at the
    median distance, of what the path of the camera bends from frame to frame; 0 where it may bend at will.
    """

    turns: bool = True
    places: bool = True
    focal: bool = True
    points: bool = True
    nearness: bool = True
    first: bool = False
    focal_guess: float = 0.0
    focal_doubt: float = 0.0
    limits: tuple[float, float] = (1e-3, 1e9)
    calm: float = 0.0


@dataclass(frozen=True)
class Adjusted:
    """The survey after adjustment, its robust cost before and after (square pixels), and the rounds taken."""

    survey: Survey
    before: float
    after: float
    rounds: int


def adjust(survey: Survey, sightings: Sightings, freedom: Freedom, scale: float, rounds: int = 30) -> Adjusted:
    """Levenberg-Marquardt on all misses. ``scale``: c of Cauchy's loss in pixels: larger misses count ever less.

    Sightings are sorted by point. The survey must have a sighting of each point, and each camera.
    """
    system = _System(survey, sightings, freedom)
    best = cost(survey, sightings, freedom, scale)
    before, damping, idle, done = best, 1e-4, 0, 0
    while done < rounds and idle < 2:
        done += 1
        system.linearise(survey, scale)
        while True:
            trial = system.step(survey, damping)
            now = cost(trial, sightings, freedom, scale) if trial is not None else np.inf
            if now < best or damping > 1e8:
                break
            damping = max(damping, 1e-8) * 8
        if not now < best:
            break
        idle = idle + 1 if best - now < ENOUGH * best else 0
        assert trial is not None
        survey, best, damping = trial, now, damping / 5
    return Adjusted(survey, before, best, done)


def focal_doubt(survey: Survey, sightings: Sightings, freedom: Freedom, scale: float) -> float:
    """The standard deviation of the logarithm of the focal length of an adjusted survey; infinite if it is not free.

    From the inverse of the Schur complement, times the variance of the misses: turns, places, points and focal length
    are told apart together. Misses along a track are alike, as a point is followed from frame to frame: where they
    correlate by rho from one frame to the next, (1 + rho) / (1 - rho) of them say as much as one alone. What no misses
    show, as a lens that bends, is not in it.
    """
    if not freedom.focal:
        return float("inf")
    system = _System(survey, sightings, freedom)
    system.linearise(survey, scale)
    alike = likeness(misses(survey, sightings), sightings, scale)
    return system.focal_doubt() * float(np.sqrt((1 + alike) / (1 - alike)))


def likeness(miss: Float[np.ndarray, "m 2"], sightings: Sightings, scale: float) -> float:
    """The correlation between misses of a point and those at its next sighting, 0 to 0.99; sorted by point and frame.

    >>> one, frame = np.zeros(4, int), np.arange(4)
    >>> sightings = Sightings(frame, one, np.zeros((4, 2)), np.ones(4))
    >>> alike = np.array([[0.1, 0.0], [0.1, 0.0], [0.1, 0.0], [0.1, 0.0]])
    >>> likeness(alike, sightings, 1.0), likeness(alike * [[1], [-1], [1], [-1]], sightings, 1.0)
    (0.99, 0.0)
    """
    pair = np.nonzero(sightings.point[1:] == sightings.point[:-1])[0]
    calm = miss / np.sqrt(1 + (miss**2).sum(1, keepdims=True) / scale**2)
    power = float((calm[pair] ** 2).sum() + (calm[pair + 1] ** 2).sum()) / 2
    return float(np.clip((calm[pair] * calm[pair + 1]).sum() / max(power, 1e-12), 0.0, 0.99))


def cost(survey: Survey, sightings: Sightings, freedom: Freedom, scale: float) -> float:
    """Half the robust sum of squares that ``adjust`` lowers, square pixels."""
    square = (misses(survey, sightings) ** 2).sum(1)
    total = float((sightings.weight * scale**2 * np.log1p(square / scale**2)).sum()) / 2
    if freedom.focal_doubt:
        total += 0.5 * (np.log(survey.focal / freedom.focal_guess) / freedom.focal_doubt) ** 2
    if freedom.calm and freedom.places:
        total += 0.5 * (survey.focal / freedom.calm) ** 2 * float((np.diff(survey.place, 2, axis=0) ** 2).sum())
    return total


class _System:
    """The normal equations of one problem: what does not change from round to round is prepared once."""

    def __init__(self, survey: Survey, sightings: Sightings, freedom: Freedom) -> None:
        self.sightings, self.freedom = sightings, freedom
        t, n, m = survey.frames, survey.points, len(sightings)
        ones, each = np.ones(m), np.arange(m)
        self.by_frame = scipy.sparse.csr_matrix((ones, (sightings.frame, each)), (t, m))
        self.by_point = scipy.sparse.csr_matrix((ones, (sightings.point, each)), (n, m))
        free = np.zeros((t, 6), bool)
        free[:, :3], free[:, 3:] = freedom.turns, freedom.places
        if not freedom.first:
            free[0] = False
        self.camera_free = np.append(free.ravel(), freedom.focal)
        self.point_free = np.array([freedom.points, freedom.points, freedom.nearness])
        first = np.full(n, t)
        np.minimum.at(first, sightings.point, sightings.frame)
        where = np.argsort(sightings.point, kind="stable")
        starts = np.searchsorted(sightings.point[where], np.arange(n + 1))
        order = np.argsort(first, kind="stable")
        self.chunks = []
        for begin in range(0, n, CHUNK):
            points = order[begin : begin + CHUNK]
            rows = np.concatenate([where[starts[p] : starts[p + 1]] for p in points])
            column = np.repeat(np.arange(len(points)), starts[points + 1] - starts[points])
            self.chunks.append((points, rows, column))

    def linearise(self, survey: Survey, scale: float) -> None:
        """The blocks of the normal equations at ``survey``."""
        sightings, t, n = self.sightings, survey.frames, survey.points
        miss = misses(survey, sightings)
        self.basis = across(survey.direction)
        slope = slopes(survey, sightings, self.basis)
        square = (miss**2).sum(1)
        weight = sightings.weight / (1 + square / scale**2)
        root = np.sqrt(weight)[:, None]
        miss = miss * root
        camera = np.concatenate([slope.turn, slope.place], -1) * root[:, :, None]
        focal = slope.focal * root
        point = slope.point * root[:, :, None] * self.point_free
        camera_t, point_t = camera.transpose(0, 2, 1), point.transpose(0, 2, 1)
        self.cameras = np.zeros((6 * t + 1, 6 * t + 1))
        blocks = (self.by_frame @ (camera_t @ camera).reshape(-1, 36)).reshape(t, 6, 6)
        for i in range(t):
            self.cameras[6 * i : 6 * i + 6, 6 * i : 6 * i + 6] = blocks[i]
        self.cameras[-1, :-1] = self.cameras[:-1, -1] = (
            self.by_frame @ (camera_t @ focal[:, :, None])[:, :, 0]
        ).ravel()
        self.cameras[-1, -1] = (focal**2).sum()
        pull = (self.by_frame @ (camera_t @ miss[:, :, None])[:, :, 0]).ravel()
        self.camera_pull = np.append(pull, (focal * miss).sum())
        self._known_beforehand(survey)
        fixed = ~self.camera_free
        self.camera_pull[fixed] = 0
        self.cameras[fixed], self.cameras[:, fixed] = 0, 0
        self.cameras[fixed, fixed] = 1
        self.points = (self.by_point @ (point_t @ point).reshape(-1, 9)).reshape(n, 3, 3)
        self.points[:, ~self.point_free, ~self.point_free] = 1
        self.point_pull = self.by_point @ (point_t @ miss[:, :, None])[:, :, 0]
        self.links = camera_t @ point
        self.focal_links = self.by_point @ (focal[:, None, :] @ point)[:, 0]
        self.variance = float(np.median(square)) / (2 * np.log(2))

    def _known_beforehand(self, survey: Survey) -> None:
        freedom, t = self.freedom, survey.frames
        if freedom.focal_doubt:
            self.cameras[-1, -1] += freedom.focal_doubt**-2
            self.camera_pull[-1] += np.log(survey.focal / freedom.focal_guess) / freedom.focal_doubt**2
        if freedom.calm and freedom.places and t > 2:
            bend = np.diff(np.eye(t), 2, axis=0) * (survey.focal / freedom.calm)
            stiff, pull = bend.T @ bend, bend.T @ (bend @ survey.place)
            for axis in range(3, 6):
                self.cameras[axis:-1:6, axis:-1:6] += stiff
                self.camera_pull[axis:-1:6] += pull[:, axis - 3]

    def _reduced(self, damping: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The Schur complement, its right side, and the inverses of the points' blocks."""
        points = self.points.copy()
        diagonal = np.einsum("nii->ni", points)
        diagonal += damping * diagonal + 1e-12
        inverse = np.linalg.inv(points)
        matrix = self.cameras.copy()
        index = np.arange(len(matrix))
        matrix[index, index] *= 1 + damping
        matrix[index, index] += 1e-12
        right = -self.camera_pull
        if not self.camera_free.any() or not self.point_free.any():
            return matrix, right, inverse
        for chosen, rows, column in self.chunks:
            frame = self.sightings.frame[rows]
            begin, end = int(frame.min()), int(frame.max()) + 1
            width = 6 * (end - begin)
            links = np.zeros((end - begin, 6, len(chosen), 3))
            links[frame - begin, :, column] = self.links[rows]
            flat = np.concatenate([links.reshape(width, -1), self.focal_links[chosen].reshape(1, -1)])
            spread = np.einsum("rnj,njk->rnk", flat.reshape(width + 1, -1, 3), inverse[chosen]).reshape(width + 1, -1)
            at = np.append(np.arange(6 * begin, 6 * end), len(matrix) - 1)
            matrix[np.ix_(at, at)] -= spread @ flat.T
            right[at] += spread @ self.point_pull[chosen].ravel()
        fixed = ~self.camera_free
        matrix[fixed], matrix[:, fixed], right[fixed] = 0, 0, 0
        matrix[fixed, fixed] = 1
        return matrix, right, inverse

    def step(self, survey: Survey, damping: float) -> Survey | None:
        """The survey one damped step further; None where the equations cannot be solved."""
        matrix, right, inverse = self._reduced(damping)
        try:
            cameras = scipy.linalg.cho_solve(scipy.linalg.cho_factor(matrix, check_finite=False), right)
        except np.linalg.LinAlgError:
            return None
        t = survey.frames
        blocks = cameras[:-1].reshape(t, 6)
        back = self.by_point @ np.einsum("mij,mi->mj", self.links, blocks[self.sightings.frame])
        back += self.focal_links * cameras[-1]
        points = -np.einsum("nij,nj->ni", inverse, self.point_pull + back) * self.point_free
        low, high = np.log(np.array(self.freedom.limits) / survey.focal)
        focal = float(np.clip(cameras[-1], low, high)) if self.freedom.focal else 0.0
        if not (np.isfinite(cameras).all() and np.isfinite(points).all()) or np.abs(blocks[:, :3]).max() > 1:
            return None
        moved = stepped(survey, blocks, focal, points, self.basis)
        freedom = self.freedom
        scaled = freedom.calm and freedom.places and freedom.points and freedom.nearness
        return _as_wide(moved, survey) if scaled else moved

    def focal_doubt(self) -> float:
        """From the inverse of the Schur complement, as if misses were independent."""
        matrix, _, _ = self._reduced(1e-10)
        unit = np.zeros(len(matrix))
        unit[-1] = 1
        try:
            found = scipy.linalg.cho_solve(scipy.linalg.cho_factor(matrix, check_finite=False), unit)[-1]
        except np.linalg.LinAlgError:
            return float("inf")
        return float(np.sqrt(max(found, 0.0) * self.variance))


def _as_wide(survey: Survey, like: Survey) -> Survey:
    """The survey with the scale at which its cameras spread as widely as those of ``like``.

    No miss depends on the scale, but what is asked of the path does: it would become calm by shrinking to a point.
    """
    wide, now = (float(np.linalg.norm(each.place - each.place.mean(0))) for each in (like, survey))
    if wide < 1e-9 or now < 1e-9:
        return survey
    return replace(survey, place=survey.place * (wide / now), nearness=survey.nearness * (now / wide))


def reprojection(survey: Survey, sightings: Sightings) -> Float[np.ndarray, "m"]:
    """How many pixels each sighting is off."""
    return np.linalg.norm(misses(survey, sightings), axis=1)
