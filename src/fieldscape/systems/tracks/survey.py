"""Cameras and points as they are adjusted together, and how a sighting of a point changes with each of them.

Legend: t frames, n points, m sightings. A point is a unit direction d from the world's origin and its *nearness* w, one
over its distance (Montiel, Civera and Davison, "Unified inverse depth parametrization for monocular SLAM", 2006): a
point far away, or one that no parallax tells apart from infinity, is an ordinary number here. From a camera with
rotation R (camera to world) at C it lies in the direction q = R^T (d - w C), and is seen at f (x/z, y/z) + middle.
All is in numpy and in double precision: the systems are small, and their normal equations square the condition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from fieldscape.systems.tracks.nouns import Points

LEAST_Z = 0.02
"""A point further to the side of the camera than this, or behind it, is projected as if it were just there: far outside
of the picture, which no sighting agrees with."""


@dataclass(frozen=True)
class Sightings:
    """That a point was seen at a pixel of a frame, and how much that counts."""

    frame: Int[np.ndarray, "m"]
    point: Int[np.ndarray, "m"]
    pixel: Float[np.ndarray, "m 2"]
    weight: Float[np.ndarray, "m"]

    def __len__(self) -> int:
        return len(self.frame)

    def of(self, chosen: np.ndarray) -> Sightings:
        return Sightings(self.frame[chosen], self.point[chosen], self.pixel[chosen], self.weight[chosen])


@dataclass(frozen=True)
class Survey:
    """Cameras (camera-to-world rotations, places, one focal length in pixels, the image's middle) and points."""

    turn: Float[np.ndarray, "t 3 3"]
    place: Float[np.ndarray, "t 3"]
    focal: float
    middle: Float[np.ndarray, "2"]
    direction: Float[np.ndarray, "n 3"]
    nearness: Float[np.ndarray, "n"]

    @property
    def frames(self) -> int:
        return len(self.turn)

    @property
    def points(self) -> int:
        return len(self.direction)


@dataclass(frozen=True)
class Slopes:
    """How the pixels of sightings change with the turn (in camera axes) and place of their camera, the logarithm of the
    focal length, and their point (two steps across its direction, and its nearness)."""

    turn: Float[np.ndarray, "m 2 3"]
    place: Float[np.ndarray, "m 2 3"]
    focal: Float[np.ndarray, "m 2"]
    point: Float[np.ndarray, "m 2 3"]


def sightings_of(points: Points, chosen: Int[np.ndarray, "k"]) -> Sightings:
    """All sightings of the points ``chosen``, which are numbered from 0 in that order, sorted by point and frame."""
    seen = points.seen[:, chosen].numpy()
    point, frame = np.nonzero(seen.T)
    pixel = points.places[:, chosen].double().numpy()[frame, point]
    sure = points.sure[:, chosen].double().numpy()[frame, point]
    return Sightings(frame, point, pixel, np.clip(sure, 0.25, 1.0))


def local(survey: Survey, sightings: Sightings) -> Float[np.ndarray, "m 3"]:
    """The direction q in which each point lies from the camera that saw it, in that camera's axes."""
    frame, point = sightings.frame, sightings.point
    away = survey.direction[point] - survey.nearness[point, None] * survey.place[frame]
    return np.einsum("mji,mj->mi", survey.turn[frame], away)


def misses(survey: Survey, sightings: Sightings) -> Float[np.ndarray, "m 2"]:
    """By how many pixels the survey's points fall beside where they were seen.

    >>> one = np.zeros(1, int)
    >>> seen = Sightings(one, one, np.array([[7.0, 5.0]]), np.ones(1))
    >>> ahead = np.array([[0, 0, 1.0]])
    >>> ahead = Survey(np.eye(3)[None], np.zeros((1, 3)), 10.0, np.array([6.0, 4.0]), ahead, np.ones(1))
    >>> misses(ahead, seen).tolist()
    [[-1.0, -1.0]]
    """
    q = local(survey, sightings)
    return survey.focal * q[:, :2] / _forward(q)[:, None] + survey.middle - sightings.pixel


def _forward(q: np.ndarray) -> np.ndarray:
    return np.maximum(q[:, 2], LEAST_Z * np.linalg.norm(q, axis=1) + 1e-12)


def across(direction: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 2"]:
    """Two unit vectors at right angles to each direction and to each other."""
    aside = np.where(np.abs(direction[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(direction, aside)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(direction, first)], -1)


def slopes(survey: Survey, sightings: Sightings, basis: Float[np.ndarray, "n 3 2"]) -> Slopes:
    """The derivatives of ``misses``; ``basis`` is ``across(survey.direction)``.

    With R <- R exp[v]x the direction changes by dq = q x v; dq/dC = -w R^T, dq/dd = R^T, dq/dw = -R^T C.
    """
    frame, point = sightings.frame, sightings.point
    q = local(survey, sightings)
    z = _forward(q)
    x, y = q[:, 0] / z, q[:, 1] / z
    lens = np.zeros((len(q), 2, 3))
    lens[:, 0, 0] = lens[:, 1, 1] = survey.focal / z
    lens[:, 0, 2], lens[:, 1, 2] = -survey.focal * x / z, -survey.focal * y / z
    cross = np.zeros((len(q), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -q[:, 2], q[:, 1], -q[:, 0]
    cross -= cross.transpose(0, 2, 1)
    to_camera = lens @ survey.turn[frame].transpose(0, 2, 1)
    nearness = -(to_camera @ survey.place[frame, :, None])
    return Slopes(
        lens @ cross,
        -survey.nearness[point, None, None] * to_camera,
        survey.focal * np.stack([x, y], -1),
        np.concatenate([to_camera @ basis[point], nearness], -1),
    )


def stepped(
    survey: Survey, cameras: Float[np.ndarray, "t 6"], focal: float, points: Float[np.ndarray, "n 3"], basis: np.ndarray
) -> Survey:
    """The survey after a step: of each camera (turn in its axes, place), the logarithm of the focal length, and each
    point (as in ``Slopes``). A point never gets beyond infinity."""
    direction = survey.direction + np.einsum("nij,nj->ni", basis, points[:, :2])
    return replace(
        survey,
        turn=survey.turn @ turned(cameras[:, :3]),
        place=survey.place + cameras[:, 3:],
        focal=survey.focal * float(np.exp(focal)),
        direction=direction / np.linalg.norm(direction, axis=1, keepdims=True),
        nearness=np.maximum(survey.nearness + points[:, 2], 0.0),
    )


def turned(vector: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotation matrices about ``vector`` by its length in radians (Rodrigues' formula).

    >>> turned(np.array([[0, 0, np.pi / 2]])).round().tolist()
    [[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]
    """
    angle = np.linalg.norm(vector, axis=1)[:, None, None]
    cross = np.zeros((len(vector), 3, 3))
    cross[:, 2, 1], cross[:, 0, 2], cross[:, 1, 0] = vector.T
    cross -= cross.transpose(0, 2, 1)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)


def rebased(survey: Survey, first: int = 0) -> Survey:
    """The same with camera ``first`` at the origin, looking along z, and lengths such that the median distance of the
    points (of those not at infinity) from it is 1."""
    turn, origin = survey.turn[first], survey.place[first]
    point = survey.direction - survey.nearness[:, None] * origin
    length = np.linalg.norm(point, axis=1)
    nearness = survey.nearness / length
    near = nearness[nearness > 1e-9]
    scale = float(np.median(near)) if len(near) else 1.0
    return replace(
        survey,
        turn=turn.T @ survey.turn,
        place=(survey.place - origin) @ turn * scale,
        direction=point / length[:, None] @ turn,
        nearness=nearness / scale,
    )


def fewer(sightings: Sightings, most: int) -> Sightings:
    """Those of every so many-th point only, about ``most`` points in all, which are numbered anew."""
    step = -(-(int(sightings.point.max()) + 1) // most)
    some = sightings.of(sightings.point % step == 0)
    return replace(some, point=some.point // step)


def thinned(survey: Survey, sightings: Sightings, most: int) -> tuple[Survey, Sightings]:
    """Every so many-th point only, about ``most`` in all, and their sightings."""
    step = -(-survey.points // most)
    some = replace(survey, direction=survey.direction[::step], nearness=survey.nearness[::step])
    return some, fewer(sightings, most)


def bearings(pixel: Float[np.ndarray, "*m 2"], focal: float, middle: Float[np.ndarray, "2"]) -> np.ndarray:
    """Unit directions of pixels in camera axes, [*m, 3]."""
    ray = np.concatenate([(pixel - middle) / focal, np.ones((*pixel.shape[:-1], 1))], -1)
    return ray / np.linalg.norm(ray, axis=-1, keepdims=True)
