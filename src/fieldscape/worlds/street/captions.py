"""True sentences about a video, from a small grammar: "a red box moves left behind a green cylinder".

    caption   = subject verb [direction] [manner] [relation]
    subject   = a [small | big] COLOR SHAPE
    verb      = stands still | moves | drives | walks | flies | bounces | spins | pulses | speeds up | slows down
              | turns left | turns right | goes straight and then turns left (right)
              | carries | pushes OBJECT | rides on OBJECT | is pushed by, is carried by OBJECT | touches OBJECT
    direction = left | right | away | towards the camera
    manner    = slowly | fast
    relation  = behind | in front of | left of | right of  OBJECT

Directions and relations are the viewer's: left is the left of the picture, towards is nearer. A direction is told where
one outweighs the other, in the axes of the first camera; a relation where it holds in every frame, in the axes of that
frame's camera. "turns left" alone is in the sense of the one who turns. Each comes with what it says in fields.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int

from fieldscape.worlds.street.motions import Flight, Junction, Straight, Travel, Turn, bounces
from fieldscape.worlds.street.objects import COLORS, CYCLING, SHAPES, SIMPLE
from fieldscape.worlds.street.scenes import Actor, Scene

Array = np.ndarray

SEEN = 20
"""Pixels that show a thing, in half of the frames at least, for it to be talked about."""
SLOW, FAST = 0.8, 1.7
"""Mean speeds, in metres per second."""
SMALL, BIG = 0.9, 1.5
"""Longest sides of simple shapes, in metres."""
CLEAR = 1.6
"""How many times further along one axis than along the other a thing goes whose direction is told."""
IN_LINE = 0.12
"""One thing is behind another if tangents of their bearings differ by less."""
ASIDE = 0.2
"""One thing is left of another if tangents of their bearings differ by more."""
DEEPER = 0.4
"""One thing is behind another if it is further by more, in metres along the optical axis."""

RELATIONS = ("behind", "in front of", "left of", "right of")
DIRECTIONS = ("left", "right", "away", "towards the camera")
_WORDS = (
    "a an small big stands still moves drives walks flies bounces spins pulses speeds up slows down turns goes "
    "straight and then carries pushes rides on is pushed carried by touches left right away towards the camera slowly "
    "fast behind in front of"
)
VOCABULARY = tuple(dict.fromkeys([*_WORDS.split(), *COLORS, *SHAPES]))


@dataclass(frozen=True)
class Caption:
    """A sentence and what it says: of which thing (a number), and of which others; None where it does not say."""

    text: str
    thing: int
    verb: str
    partner: int | None = None
    direction: str | None = None
    manner: str | None = None
    size: str | None = None
    relation: str | None = None
    other: int | None = None


def captions(scene: Scene, visible: Int[Array, "f n"]) -> list[dict[str, object]]:
    """A sentence about each thing that is seen well enough, as JSON objects. ``visible``: pixels that show it."""
    travels = scene.travels()
    poses = scene.view.poses(scene.times)
    told = [k for k in range(len(scene.actors)) if (visible[:, k] >= SEEN).mean() >= 0.5]
    return [asdict(_caption(scene, travels, poses, k, told)) for k in told]


def _caption(scene: Scene, travels: list[Travel], poses: Float[Array, "f 4 4"], k: int, told: list[int]) -> Caption:
    actor = scene.actors[k]
    size = _size(actor)
    verb, partner = _verb(scene, k, told)
    moving = verb in ("moves", "drives", "walks", "flies", "bounces", "speeds up", "slows down")
    direction = _direction(travels[k].place, poses[0]) if moving else None
    manner = _manner(travels[k], scene.times) if moving and "s up" not in verb and "down" not in verb else None
    # "moves left left of" is hard to read: one sideways word is enough.
    sideways = direction in ("left", "right") or "turns" in verb
    usable = RELATIONS[:2] if sideways else RELATIONS
    relation, other = (None, None) if partner is not None else _relation(scene, travels, poses, k, told, usable)
    words = [_named(actor, size), verb]
    if partner is not None:
        words.append(_named(scene.actors[partner]))
    words += [word for word in (direction, manner) if word]
    if relation is not None and other is not None:
        words += [relation, _named(scene.actors[other])]
    numbers = [None if one is None else one + 1 for one in (partner, other)]
    return Caption(" ".join(words), k + 1, verb, numbers[0], direction, manner, size, relation, numbers[1])


def _named(actor: Actor, size: str | None = None) -> str:
    words = [word for word in (size, actor.thing.color, actor.thing.shape) if word]
    return ("an " if words[0][0] in "aeiou" else "a ") + " ".join(words)


def _size(actor: Actor) -> str | None:
    longest = max(actor.thing.size)
    if actor.thing.shape not in SIMPLE or SMALL <= longest <= BIG:
        return None
    return "small" if longest < SMALL else "big"


def _verb(scene: Scene, k: int, told: list[int]) -> tuple[str, int | None]:
    """What thing ``k`` does, and with whom (only with things that are told of)."""
    actor, times = scene.actors[k], scene.times
    for j, rider in enumerate(scene.actors):
        bound = rider.coupling
        if bound is None or bound.kind == "touch" or not ((times >= bound.begin) & (times <= bound.end)).any():
            continue
        if bound.carrier == k and j in told and bound.kind in ("carry", "push"):
            return {"carry": "carries", "push": "pushes"}[bound.kind], j
        if j == k and bound.carrier in told:
            return {"carry": "is carried by", "push": "is pushed by", "ride": "rides on"}[bound.kind], bound.carrier
    if actor.coupling is not None and actor.coupling.kind == "touch" and actor.coupling.carrier in told:
        return "touches", actor.coupling.carrier
    if actor.thing.shape in CYCLING:
        return {"blob": "pulses", "propeller": "spins"}[actor.thing.shape], None
    plain = {"car": "drives", "person": "walks"}.get(actor.thing.shape, "moves")
    if actor.coupling is not None:
        # Bound to one that is hardly seen: whether it moves is all that can be told.
        gone = float(np.linalg.norm(np.ptp(scene.travels()[k].place, axis=0)))
        return (plain if gone > 0.05 else "stands still"), None
    last = float(times[-1])
    match actor.motion:
        case Flight():
            met = [at for at in bounces(actor.motion, last) if at >= times[0]]
            return ("bounces" if met else "flies"), None
        case Turn():
            return ("turns left" if actor.motion.rate > 0 else "turns right"), None
        case Junction() if actor.motion.at < last:
            side = "left" if actor.motion.side > 0 else "right"
            return f"goes straight and then turns {side}", None
        case Junction():
            return plain, None
        case Straight():
            if actor.motion.acceleration:
                return ("speeds up" if actor.motion.acceleration > 0 else "slows down"), None
            return plain, None
    gone = float(np.linalg.norm(np.ptp(scene.travels()[k].place, axis=0)))
    return (plain if gone > 0.05 else "stands still"), None


def _direction(place: Float[Array, "f 3"], pose: Float[Array, "4 4"]) -> str | None:
    """Where it goes from the first frame to the last, seen from the first camera."""
    gone = (place[-1] - place[0])[:2]
    right = pose[:2, 0] / np.linalg.norm(pose[:2, 0])
    ahead = np.array([-right[1], right[0]])
    x, y = float(gone @ right), float(gone @ ahead)
    if max(abs(x), abs(y)) < 0.1:
        return None
    if abs(x) > CLEAR * abs(y):
        return "right" if x > 0 else "left"
    if abs(y) > CLEAR * abs(x):
        return "away" if y > 0 else "towards the camera"
    return None


def _manner(travel: Travel, times: Float[Array, "f"]) -> str | None:
    if len(times) < 2:
        return None
    # Along the ground: what falls is not told to be fast.
    way = float(np.linalg.norm(np.diff(travel.place[:, :2], axis=0), axis=1).sum())
    speed = way / float(times[-1] - times[0])
    return "slowly" if speed < SLOW else "fast" if speed > FAST else None


def bearings(
    place: Float[Array, "f 3"], tall: float, poses: Float[Array, "f 4 4"]
) -> tuple[Float[Array, "f"], Float[Array, "f"]]:
    """The middle of a thing in each frame's camera: the tangent of its bearing (right is positive), and its depth."""
    middle = place + np.array([0, 0, tall / 2]) - poses[:, :3, 3]
    local = np.einsum("fji,fj->fi", poses[:, :3, :3], middle)
    return local[:, 0] / np.maximum(local[:, 2], 1e-6), local[:, 2]


def _relation(
    scene: Scene, travels: list[Travel], poses: Float[Array, "f 4 4"], k: int, told: list[int], usable: tuple[str, ...]
) -> tuple[str | None, int | None]:
    """Of the ``usable`` relations that hold in every frame, that to the nearest thing."""
    x, z = bearings(travels[k].place, scene.actors[k].thing.size[2], poses)
    best: tuple[float, str, int] | None = None
    for j in told:
        if j == k:
            continue
        x2, z2 = bearings(travels[j].place, scene.actors[j].thing.size[2], poses)
        if min(z.min(), z2.min()) < 0.5:
            continue
        holds = (
            ((z > z2 + DEEPER) & (np.abs(x - x2) < IN_LINE)).all(),
            ((z < z2 - DEEPER) & (np.abs(x - x2) < IN_LINE)).all(),
            (x < x2 - ASIDE).all(),
            (x > x2 + ASIDE).all(),
        )
        apart = float(np.linalg.norm(travels[k].place - travels[j].place, axis=1).mean())
        for name, true in zip(RELATIONS, holds):
            if true and name in usable and (best is None or apart < best[0]):
                best = apart, name, j
    return (None, None) if best is None else (best[1], best[2])
