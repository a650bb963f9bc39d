"""Which motions a shape can have, and the drawing of their numbers."""

from __future__ import annotations

import math
import random

import numpy as np

from fieldscape.worlds.street.motions import (
    HOP,
    Coupling,
    Flight,
    Junction,
    Motion,
    Place,
    Rest,
    Shuttle,
    Straight,
    Turn,
    travel,
)
from fieldscape.worlds.street.objects import COMPOSITE, CYCLING, SIMPLE, Thing, build

FIXED = ("lamp", "propeller", "blob")
"""Shapes that stay where they are."""
GROUND_MOTIONS = ("constant", "turning", "accelerating", "junction")


def can(shape: str, motion: str) -> bool:
    """Whether a thing of this shape fits into scenes of that motion (in some of them it just stands)."""
    if motion == "ballistic":
        return shape in SIMPLE
    if motion == "cycles":
        return shape in CYCLING or shape in ("person", "car", "bike", "cart")
    return motion in ("static", "mixed", "coupled") or shape not in FIXED


def kind_of(rng: random.Random, shape: str, motion: str) -> str:
    """The motion of a moving thing of this shape in scenes of that motion."""
    if shape in CYCLING:
        return "cycles"
    if shape in FIXED or motion in ("static", "coupled"):
        return "static"
    if motion == "cycles":
        return "cycles" if shape in COMPOSITE else "constant"
    if motion != "mixed":
        return motion
    kinds = [*GROUND_MOTIONS]
    if shape in SIMPLE:
        kinds.append("ballistic")
    if shape in COMPOSITE and shape != "snowman":
        kinds.append("cycles")
    return rng.choice(kinds)


def draw_motion(rng: random.Random, kind: str, start: Place, heading: float, seconds: float) -> Motion:
    """A motion of ``kind`` from ``start``. Speeds are a person's or a slow car's; a long video has slower ones."""
    speed = rng.uniform(0.6, 2.2) * min(1.0, 4.0 / seconds)
    if kind in ("constant", "cycles"):
        return Straight(start, heading, speed)
    if kind == "accelerating":
        if rng.random() < 0.5:
            return Straight(start, heading, 0.3 * speed, rng.uniform(0.6, 1.6) * min(1.0, 9.0 / seconds**2))
        stops = rng.uniform(0.4, 0.9) * seconds
        return Straight(start, heading, 1.3 * speed, -1.3 * speed / stops)
    if kind == "turning":
        return Turn(start, heading, speed, rng.choice((-1, 1)) * rng.uniform(0.4, 1.3))
    if kind == "junction":
        at = rng.uniform(0.3, 0.55) * seconds
        # The side is drawn last and by itself: nothing before the junction tells which it will be.
        radius = rng.uniform(0.5, 1.0)
        return Junction(start, heading, speed, at, 1 if rng.random() < 0.5 else -1, radius)
    if kind == "ballistic":
        along = rng.uniform(-math.pi, math.pi)
        x, y, _ = start
        velocity = (speed * math.cos(along), speed * math.sin(along), rng.uniform(0.0, 4.0))
        return Flight((x, y, rng.uniform(0.2, 1.5)), heading, velocity)
    return Rest(start, heading)


def pair_shapes(rng: random.Random, kind: str, shapes: str) -> tuple[str, str]:
    """Who carries, pushes or is ridden, and who is carried, pushed or rides."""
    if shapes == "simple":
        return rng.choice(("box", "cylinder")), rng.choice(("box", "ball", "cylinder"))
    if kind == "carry":
        return rng.choice(("cart", "car")), rng.choice(("box", "ball", "cylinder") if shapes == "all" else ("cart",))
    if kind == "push":
        return rng.choice(("person", "car")), rng.choice(("box", "cylinder", "cart") if shapes == "all" else ("cart",))
    return rng.choice(("bike", "cart", "car")), "person"


def small_enough(rng: random.Random, carrier: Thing, other: Thing, shape: str, color: str) -> Thing:
    """Of some draws of ``shape``, the narrowest: what is carried should not hide what carries it."""
    for _ in range(6):
        again = build(shape, color, rng)
        other = again if again.radius < other.radius else other
        if other.radius < 0.7 * carrier.radius:
            break
    return other


def draw_coupling(
    rng: random.Random, kind: str, carrier: Thing, other: Thing, start: Place, seconds: float
) -> tuple[Motion, Coupling]:
    """The carrier's motion, and how the other is bound to it from about a third to about two thirds of the time."""
    heading = rng.uniform(-math.pi, math.pi)
    begin = rng.uniform(0.2, 0.35) * seconds
    end = rng.uniform(0.65, 0.8) * seconds
    speed = rng.uniform(0.7, 1.5) * min(1.0, 4.0 / seconds)
    if kind == "push":
        offset = (carrier.size[0] / 2 + other.size[0] / 2 + (0.1 if carrier.shape == "person" else 0.0), 0.0, 0.0)
        return Shuttle(start, heading, speed, end), Coupling("push", 0, begin, end, offset)
    motion: Motion = Straight(start, heading, speed)
    if rng.random() < 0.4:
        motion = Turn(start, heading, speed, rng.choice((-1, 1)) * rng.uniform(0.2, 0.6))
    side = rng.choice((-1, 1))
    aside = side * (1.05 * (carrier.radius + other.radius) + 0.05)
    waits, left = (_abeam(motion, at, aside) for at in (begin - HOP / 2, end + HOP / 2))
    return motion, Coupling(kind, 0, begin, end, seat(kind, carrier, other), 0.0, waits, left)


def seat(kind: str, carrier: Thing, other: Thing) -> Place:
    """Where the underside of a carried or riding thing is, in the carrier's frame: on its top or its saddle."""
    if carrier.shape == "bike":
        return (-0.25, 0.0, 0.1)
    if carrier.shape == "cart":
        return (0.175, 0.0, carrier.size[2] - 0.33)
    return (0.0, 0.0, carrier.size[2]) if carrier.shape != "car" else (-0.05 * carrier.size[0], 0.0, carrier.size[2])


def _abeam(motion: Motion, at: float, aside: float) -> Place:
    """The place on the ground beside where a motion is at a time, ``aside`` metres to its left."""
    here = travel(motion, np.array([at]))
    heading = float(here.heading[0])
    x, y, _ = here.place[0].tolist()
    return x - aside * math.sin(heading), y + aside * math.cos(heading), 0.0
