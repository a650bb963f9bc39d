"""Where a thing is at any time: motions as exact functions of real time, none of them stepped.

``travel(motion, times)`` gives the place of the middle of a thing's underside, its heading, its velocity and how far it
has gone along its heading (wheels and legs turn by that). Times are seconds from the start of a video; z is up, and a
heading is an angle from the x axis to the y axis. A thing that is coupled to another is placed by ``follow``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

Array = np.ndarray
Place: TypeAlias = tuple[float, float, float]

GRAVITY = 9.81
RESTITUTION = 0.7
"""The share of its speed with which a thing leaves the ground again."""
HOP = 0.4
"""Seconds that a thing needs to get on another, or off."""


@dataclass(frozen=True)
class Rest:
    """Stands still."""

    start: Place
    heading: float


@dataclass(frozen=True)
class Straight:
    """Goes along its heading with ``speed`` + ``acceleration`` t; one that brakes comes to a stop and stays there."""

    start: Place
    heading: float
    speed: float
    acceleration: float = 0.0


@dataclass(frozen=True)
class Shuttle:
    """Goes along its heading with ``speed`` until ``turns``, then back with 0.6 of it, looking ahead as before."""

    start: Place
    heading: float
    speed: float
    turns: float


@dataclass(frozen=True)
class Turn:
    """Goes on a circle: ``speed`` along the heading, which changes by ``rate`` radians a second (left: positive)."""

    start: Place
    heading: float
    speed: float
    rate: float


@dataclass(frozen=True)
class Junction:
    """Straight until ``at``, then a quarter of a circle to the left (``side`` 1) or right (-1), then straight again."""

    start: Place
    heading: float
    speed: float
    at: float
    side: int
    radius: float


@dataclass(frozen=True)
class Flight:
    """Thrown with a velocity, falls and bounces off the ground: it keeps ``RESTITUTION`` of its vertical speed.

    What it does along the ground no bounce changes. After the last bounce (they follow each other ever faster, and end
    at a finite time) it slides on.
    """

    start: Place
    heading: float
    velocity: Place


Motion: TypeAlias = Rest | Straight | Shuttle | Turn | Junction | Flight


@dataclass(frozen=True)
class Coupling:
    """Bound to thing ``carrier`` from ``begin`` to ``end``: then it keeps the place ``offset`` and the turn ``yaw`` in
    the carrier's frame (origin in the middle of the carrier's underside, x ahead).

    kind: "carry", "push", "ride" or "touch".  before, after: where it stands before and after (None: where the
    carrier finds it and leaves it). Between standing and being bound lies a hop of ``HOP`` seconds if they are given.
    """

    kind: str
    carrier: int
    begin: float
    end: float
    offset: Place
    yaw: float = 0.0
    before: Place | None = None
    after: Place | None = None


@dataclass(frozen=True)
class Travel:
    """At each time: place of the middle of the underside, velocity [m/s], heading, its rate, distance gone, speed."""

    place: Float[Array, "f 3"]
    velocity: Float[Array, "f 3"]
    heading: Float[Array, "f"]
    rate: Float[Array, "f"]
    distance: Float[Array, "f"]


def travel(motion: Motion, times: Float[Array, "f"]) -> Travel:
    """Where a thing that moves on its own is at ``times``.

    >>> travel(Straight((0.0, 0.0, 0.0), 0.0, 2.0, -1.0), np.array([1.0, 5.0])).place[:, 0].tolist()
    [1.5, 2.0]
    """
    match motion:
        case Rest():
            zero = np.zeros_like(times)
            return _along(motion.start, np.full_like(times, motion.heading), zero, zero, zero, zero)
        case Straight():
            return _straight(motion, times)
        case Shuttle():
            speed = np.where(times < motion.turns, motion.speed, -0.6 * motion.speed)
            gone = motion.speed * (np.minimum(times, motion.turns) - 0.6 * np.maximum(times - motion.turns, 0))
            heading = np.full_like(times, motion.heading)
            return _along(
                motion.start, heading, speed, gone, gone * math.cos(motion.heading), gone * math.sin(motion.heading)
            )
        case Turn():
            x, y, heading = _arc(motion.heading, motion.speed, motion.rate, times)
            speed = np.full_like(times, motion.speed)
            return _along(motion.start, heading, speed, motion.speed * times, x, y, np.full_like(times, motion.rate))
        case Junction():
            return _junction(motion, times)
        case Flight():
            return _flight(motion, times)


def _along(
    start: Place, heading: Array, speed: Array, distance: Array, x: Array, y: Array, rate: Array | None = None
) -> Travel:
    """A travel on the ground, from how far it has come from its start along x and y."""
    place = np.stack([start[0] + x, start[1] + y, np.full_like(x, start[2])], -1)
    velocity = np.stack([speed * np.cos(heading), speed * np.sin(heading), np.zeros_like(x)], -1)
    return Travel(place, velocity, heading, np.zeros_like(x) if rate is None else rate, distance)


def _straight(motion: Straight, times: Array) -> Travel:
    ends = -motion.speed / motion.acceleration if motion.acceleration < 0 else math.inf
    t = np.minimum(times, ends)
    gone = motion.speed * t + 0.5 * motion.acceleration * t * t
    speed = np.where(times < ends, motion.speed + motion.acceleration * t, 0.0)
    x, y = gone * math.cos(motion.heading), gone * math.sin(motion.heading)
    return _along(motion.start, np.full_like(times, motion.heading), speed, gone, x, y)


def _arc(heading: float, speed: float, rate: float, times: Array) -> tuple[Array, Array, Array]:
    """How far x and y have come on a circle, and the heading there: the integral of speed (cos, sin)(heading)."""
    now = heading + rate * times
    # sin a - sin b = 2 cos((a+b)/2) sin((a-b)/2): accurate for any rate, 0 too.
    chord = speed * times * np.sinc(rate * times / (2 * math.pi))
    middle = heading + rate * times / 2
    return chord * np.cos(middle), chord * np.sin(middle), now


def _junction(motion: Junction, times: Array) -> Travel:
    rate = motion.side * motion.speed / motion.radius
    quarter = math.pi / 2 / abs(rate)
    first = np.minimum(times, motion.at)
    second = np.clip(times - motion.at, 0, quarter)
    third = np.maximum(times - motion.at - quarter, 0)
    x, y, heading = _arc(motion.heading, motion.speed, rate, second)
    after = motion.heading + motion.side * math.pi / 2
    x += motion.speed * (first * math.cos(motion.heading) + third * math.cos(after))
    y += motion.speed * (first * math.sin(motion.heading) + third * math.sin(after))
    turning = np.where((times > motion.at) & (times < motion.at + quarter), rate, 0.0)
    return _along(motion.start, heading, np.full_like(times, motion.speed), motion.speed * times, x, y, turning)


def _flight(motion: Flight, times: Array) -> Travel:
    (x0, y0, z0), (vx, vy, vz) = motion.start, motion.velocity
    meets = (vz + math.sqrt(vz * vz + 2 * GRAVITY * z0)) / GRAVITY
    up = RESTITUTION * (GRAVITY * meets - vz)
    """Vertical speed after the first bounce; the k-th flight after it starts with up e^k and lasts 2 up e^k / g."""
    since = np.maximum(times - meets, 0.0)
    whole = 2 * up / (GRAVITY * (1 - RESTITUTION))  # all flights after the first bounce together
    left = 1 - since / whole
    bouncing = left > 1e-9
    k = np.floor(np.log(np.where(bouncing, left, 1.0)) / math.log(RESTITUTION) + 1e-12)
    into = since - whole * (1 - RESTITUTION**k)
    lift = up * RESTITUTION**k
    z = np.where(bouncing, np.maximum(lift * into - 0.5 * GRAVITY * into * into, 0.0), 0.0)
    v = np.where(bouncing, lift - GRAVITY * into, 0.0)
    z = np.where(times < meets, z0 + vz * times - 0.5 * GRAVITY * times * times, z)
    v = np.where(times < meets, vz - GRAVITY * times, v)
    place = np.stack([x0 + vx * times, y0 + vy * times, z], -1)
    velocity = np.stack([np.full_like(times, vx), np.full_like(times, vy), v], -1)
    zero = np.zeros_like(times)
    return Travel(place, velocity, np.full_like(times, motion.heading), zero, zero)


def bounces(motion: Flight, until: float) -> list[float]:
    """The times at which a flight meets the ground, up to ``until`` (at most 64 of them)."""
    z0, vz = motion.start[2], motion.velocity[2]
    at = (vz + math.sqrt(vz * vz + 2 * GRAVITY * z0)) / GRAVITY
    lasts = 2 * RESTITUTION * (GRAVITY * at - vz) / GRAVITY
    found: list[float] = []
    while at <= until and len(found) < 64:
        found.append(at)
        at += lasts
        lasts *= RESTITUTION
    return found


def follow(coupling: Coupling, carrier: Motion, own: Rest, times: Float[Array, "f"]) -> Travel:
    """Where a thing coupled to a ``carrier`` is; ``own``: where it stands if the coupling does not say."""
    bound = _bound(coupling, travel(carrier, times))
    if coupling.kind == "touch":
        return bound
    first, last = (_bound(coupling, travel(carrier, np.array([at]))) for at in (coupling.begin, coupling.end))
    place, velocity, heading = bound.place.copy(), bound.velocity.copy(), bound.heading.copy()
    rate, distance = bound.rate.copy(), bound.distance - first.distance[0]
    early, late = times < coupling.begin, times > coupling.end
    for some, there, edge in ((early, coupling.before, first), (late, coupling.after, last)):
        if not some.any():
            continue
        since = coupling.begin - times[some] if edge is first else times[some] - coupling.end
        stand = edge.place[0] if there is None else np.array(there)
        share = np.ones_like(since) if there is None else np.clip(since / HOP, 0, 1)
        smooth = share * share * (3 - 2 * share)
        slope = 6 * share * (1 - share) / HOP * (-1 if edge is first else 1)
        # Bound at one end of the hop, standing at the other; in between a blend of both, in an arc.
        high = np.array([0.0, 0.0, 0.25]) if there is not None else np.zeros(3)
        arc, arc_slope = 4 * share * (1 - share), 4 * (1 - 2 * share) / HOP * (-1 if edge is first else 1)
        arc_slope = np.where((share > 0) & (share < 1), arc_slope, 0.0)
        free, speed = bound.place[some], bound.velocity[some]
        place[some] = free + (stand - free) * smooth[:, None] + arc[:, None] * high
        velocity[some] = speed * (1 - smooth[:, None]) + (stand - free) * slope[:, None] + arc_slope[:, None] * high
        heading[some] = edge.heading[0]
        rate[some] = 0.0
        distance[some] = edge.distance[0] - first.distance[0]
    return Travel(place, velocity, heading, rate, distance if coupling.kind == "push" else np.zeros_like(distance))


def _bound(coupling: Coupling, carrier: Travel) -> Travel:
    """Rigidly with the carrier: its place plus the turned offset; velocity by the rule of rigid bodies v + w x r."""
    x, y, z = coupling.offset
    c, s = np.cos(carrier.heading), np.sin(carrier.heading)
    arm = np.stack([c * x - s * y, s * x + c * y, np.full_like(c, z)], -1)
    swing = np.stack([-carrier.rate * arm[:, 1], carrier.rate * arm[:, 0], np.zeros_like(c)], -1)
    return Travel(
        carrier.place + arm, carrier.velocity + swing, carrier.heading + coupling.yaw, carrier.rate, carrier.distance
    )
