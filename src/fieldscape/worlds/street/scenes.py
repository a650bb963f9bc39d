"""One video's content, drawn from a seed: things with motions, a camera, times, walls, by the rules of a split.

A scene is drawn so that things are seen for most of its time, keep clear of the camera, and do not run into each other
(discs on the ground that hold them stay apart, except where two are meant to touch or are coupled); what does not fit
is drawn again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from fieldscape.errors import BadInput
from fieldscape.worlds.street import chances
from fieldscape.worlds.street.cameras import Viewpoint, draw_viewpoint
from fieldscape.worlds.street.motions import Coupling, Motion, Rest, Travel, follow, travel
from fieldscape.worlds.street.objects import (
    COLORS,
    COMPOSITE,
    CYCLING,
    PARTS,
    SIMPLE,
    UNSEEN,
    Piece,
    Thing,
    build,
    matrix,
)
from fieldscape.worlds.street.placing import touching_distance
from fieldscape.worlds.street.posing import piece_matrices
from fieldscape.worlds.street.render import Solids, draw

Array = np.ndarray

NEAR, FAR = 3.0, 10.5
"""Where things start, in metres before the camera."""
AIR = 1.2
"""Between the camera and any thing's disc."""
TRIES = 60
WALLS = 7.5
"""Where building fronts stand, to the left and right of the middle of the street."""
STREET_END = 26.0
PAIRS = 0.15
"""The share of scenes of mixed motions with a coupled pair."""
PROBES = 25
"""Times at which things are held apart."""
MOVES = 0.75
"""The share of things that move, of those that can."""


@dataclass(frozen=True)
class SceneSettings:
    """What scenes are drawn from. ``rate``: frames per second of a layout that has one, else None; ``field``: the focal
    length as a share of the width, None where it is drawn."""

    frames: int
    width: int
    height: int
    split: str
    motion: str
    camera: str
    shapes: str
    seconds: float
    times: str
    objects_min: int
    objects_max: int
    walls: bool
    seed: int
    rate: float | None = None
    field: float | None = None


@dataclass(frozen=True, eq=False)
class Actor:
    """A thing and how it moves. kind: the name of the motion.  motion: of its own, or where it stands if coupled."""

    thing: Thing
    kind: str
    motion: Motion
    coupling: Coupling | None = None
    beat: float | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """All there is in a video. Actor k is thing number k + 1 in instance maps."""

    index: int
    split: str
    actors: tuple[Actor, ...]
    view: Viewpoint
    times: Float[Array, "f"]
    walls: tuple[Piece, ...]

    def travels(self, times: Float[Array, "f"] | None = None) -> list[Travel]:
        """Where each actor is at ``times`` (None: those of the frames)."""
        when = self.times if times is None else times
        return [where(self.actors, k, when) for k in range(len(self.actors))]

    def solids(self) -> Solids:
        """Walls first, then the pieces of all things."""
        rows = [(0, piece) for piece in self.walls]
        rows += [(k + 1, piece) for k, actor in enumerate(self.actors) for piece in actor.thing.pieces]
        return Solids(
            tuple(piece.kind for _, piece in rows),
            tuple(piece.ratio for _, piece in rows),
            tuple(owner for owner, _ in rows),
            tuple(PARTS.index(piece.part) for _, piece in rows),
        )

    def matrices(self, times: Float[Array, "f"], travels: list[Travel]) -> Float[Array, "f p 4 4"]:
        """From each solid's frame to the world, in the order of ``solids``."""
        fixed = np.array([piece.rest for piece in self.walls]).reshape(-1, 4, 4)
        rows = [np.broadcast_to(fixed, (len(times), *fixed.shape))]
        rows += [piece_matrices(actor.thing, go, times) for actor, go in zip(self.actors, travels)]
        return np.concatenate(rows, 1)


def where(actors: tuple[Actor, ...] | list[Actor], k: int, times: Float[Array, "f"]) -> Travel:
    """Where actor ``k`` is: on its own way, or on that of the actor it is coupled to."""
    actor = actors[k]
    if actor.coupling is None:
        return travel(actor.motion, times)
    rest = Rest(actor.motion.start, actor.motion.heading)
    return follow(actor.coupling, actors[actor.coupling.carrier].motion, rest, times)


def draw_scene(settings: SceneSettings, index: int) -> Scene:
    """Scene ``index`` of a seed. Raises BadInput where so many things find no room, however often they are drawn."""
    rng = random.Random(f"street {settings.seed} {index}")
    split = settings.split
    if split == "mixed":
        split = ("iso", "contact", "clutter", "noise")[index % 4]
    times = draw_times(rng, settings)
    focal = None if settings.field is None else settings.field * settings.width
    for attempt in range(40):
        view = draw_viewpoint(rng, settings.camera, settings.width, settings.height, settings.seconds, focal)
        wanted = max(settings.objects_min, rng.randint(settings.objects_min, settings.objects_max) - attempt // 4)
        stage = Stage(settings, split, view, times[:1], np.linspace(0, settings.seconds, PROBES))
        actors = _cast(rng, stage, wanted)
        if actors is not None:
            return Scene(index, split, tuple(actors), view, times, _walls(rng) if settings.walls else ())
    few = "give a smaller --objects-min or --seconds, or a wider picture"
    raise BadInput(f"Video {index} has no room for {settings.objects_min} things that move so: {few}.")


def draw_times(rng: random.Random, settings: SceneSettings) -> Float[Array, "f"]:
    """When frames are taken, seconds from the start, strictly increasing."""
    count = settings.frames
    if settings.rate is not None:
        return np.arange(count) / settings.rate
    step = settings.seconds / count
    if settings.times == "uniform":
        return np.arange(count) * step
    if settings.times == "jittered":
        return np.array([(k + 0.5 + rng.uniform(-0.45, 0.45)) * step for k in range(count)])
    least = 0.02 * step
    free = sorted(rng.uniform(0, settings.seconds - count * least) for _ in range(count))
    return np.array(free) + least * np.arange(count)


@dataclass(frozen=True, eq=False)
class Stage:
    """What things are fitted into: the settings, the scene's own split, its camera, the times at which that is tried.

    start: the time of the first frame.
    """

    settings: SceneSettings
    split: str
    view: Viewpoint
    start: Float[Array, "1"]
    probe: Float[Array, "t"]


def room_for_pair(split: str) -> int:
    """The fewest things in a scene of this split with a coupled pair: the split's own rule needs others."""
    return {"contact": 4, "clutter": 3, "unseen-shape": 3}.get(split, 2)


def _cast(rng: random.Random, stage: Stage, wanted: int) -> list[Actor] | None:
    """The actors of a scene; None where they do not fit."""
    actors: list[Actor] = []
    motion, able = stage.settings.motion, wanted >= room_for_pair(stage.split)
    if motion == "coupled" or (motion == "mixed" and able and rng.random() < PAIRS):
        pair = _attempt(lambda: _pair(rng, stage), actors, stage)
        if pair is None:
            return None
        actors += pair
    while len(actors) < wanted:
        new = _following(rng, stage, actors, len(actors) == wanted - 1)
        if new is None:
            return None
        actors += new
    return actors


def _following(rng: random.Random, stage: Stage, actors: list[Actor], last: bool) -> list[Actor] | None:
    """The next thing, by the rules of the split; None where it does not fit."""
    number = len(actors)
    if stage.split == "contact" and number % 2 == 1 and actors[-1].coupling is None:
        return _attempt(lambda: _neighbour(rng, stage.settings, actors), actors, stage, beside=number - 1)
    if stage.split == "clutter" and last:
        return _attempt(lambda: _hidden(rng, stage, actors), actors, stage)
    return _attempt(lambda: [_single(rng, stage, actors)], actors, stage)


def _attempt(
    propose: Callable[[], list[Actor] | None], actors: list[Actor], stage: Stage, beside: int = -1
) -> list[Actor] | None:
    """The first proposal that fits among ``actors``; it may touch the one at ``beside``."""
    before = [where(actors, k, stage.probe) for k in range(len(actors))]
    for _ in range(TRIES):
        new = propose()
        if new is not None and _fits(actors, before, new, stage, beside):
            return new
    return None


def _fits(actors: list[Actor], before: list[Travel], new: list[Actor], stage: Stage, beside: int) -> bool:
    """Whether the new ones are seen, keep off the camera, any walls, and the others at all times."""
    view, probe = stage.view, stage.probe
    wide = WALLS if stage.settings.walls else math.inf
    together = [*actors, *new]
    eye = view.poses(probe)[:, :2, 3]
    for k in range(len(actors), len(together)):
        thing, go = together[k].thing, where(together, k, probe)
        middle = go.place + np.array([0, 0, thing.size[2] / 2])
        shown = view.shown(middle, probe, -0.02)
        if not shown[0] or shown.mean() < 0.6:
            return False
        if np.linalg.norm(go.place[:, :2] - eye, axis=1).min() < AIR + thing.radius:
            return False
        if np.abs(go.place[:, 0]).max() + thing.radius > wide:
            return False
        for j, other in enumerate(before):
            apart = np.linalg.norm(go.place[:, :2] - other.place[:, :2], axis=1)
            if j != beside and (apart < 1.01 * (thing.radius + actors[j].thing.radius)).any():
                return False
    return True


def _shape(rng: random.Random, settings: SceneSettings) -> str:
    """Which shape a thing has: one that can move so, and never the one kept for unseen-shape."""
    unseen = UNSEEN[settings.shapes]
    groups = {"all": (*SIMPLE, *COMPOSITE), "simple": SIMPLE, "composite": COMPOSITE}[settings.shapes]
    if (
        settings.motion in ("cycles", "mixed")
        and settings.shapes != "simple"
        and (settings.motion == "cycles" or rng.random() < 0.12)
    ):
        groups = (*CYCLING, "person", "car", "bike", "cart") if settings.motion == "cycles" else CYCLING
    able = [shape for shape in groups if shape != unseen and chances.can(shape, settings.motion)]
    return rng.choice(able)


def _spot(rng: random.Random, view: Viewpoint, radius: float) -> tuple[float, float]:
    """A place on the ground in view: as many per metre of depth everywhere."""
    deep = rng.uniform(NEAR + radius, FAR)
    half = 0.88 * deep * min(view.width / 2 / view.focal, 1.2)
    aside = rng.uniform(-half, half)
    c, s = math.cos(view.yaw), math.sin(view.yaw)
    return view.eye[0] + deep * c + aside * s, view.eye[1] + deep * s - aside * c


def _single(rng: random.Random, stage: Stage, actors: list[Actor]) -> Actor:
    """A thing on its own."""
    settings, view = stage.settings, stage.view
    unseen = UNSEEN[settings.shapes]
    steady, first = stage.split == "contact", not actors
    if stage.split == "unseen-shape" and all(actor.thing.shape != unseen for actor in actors):
        shape = unseen
    else:
        # Another will touch it, which nothing can that flies, swings or pulsates.
        shape = _steady_shape(rng, settings) if steady else _shape(rng, settings)
    beat = rng.uniform(0.5, 1.8)
    thing = build(shape, rng.choice(list(COLORS)), rng, beat)
    x, y = _spot(rng, view, thing.radius)
    moves = first or rng.random() < MOVES
    kind = chances.kind_of(rng, shape, settings.motion) if moves else "static"
    kind = "constant" if steady and kind == "ballistic" else "cycles" if shape in CYCLING else kind
    heading = rng.uniform(-math.pi, math.pi)
    motion = chances.draw_motion(rng, kind, (x, y, 0.0), heading, settings.seconds)
    return Actor(thing, kind, motion, None, beat if shape in CYCLING else None)


def _neighbour(rng: random.Random, settings: SceneSettings, actors: list[Actor]) -> list[Actor] | None:
    """A thing that touches the last one, and goes with it as if they were one body."""
    carrier = actors[-1]
    thing = build(_steady_shape(rng, settings), rng.choice(list(COLORS)), rng)
    toward, yaw = rng.uniform(-math.pi, math.pi), rng.uniform(-math.pi, math.pi)
    gap = touching_distance(carrier.thing, thing, toward, yaw)
    if gap is None:
        return None
    offset = (gap * math.cos(toward), gap * math.sin(toward), 0.0)
    coupling = Coupling("touch", len(actors) - 1, 0.0, settings.seconds, offset, yaw)
    return [Actor(thing, carrier.kind, Rest(carrier.motion.start, 0.0), coupling)]


def _steady_shape(rng: random.Random, settings: SceneSettings) -> str:
    """A shape that others can touch all the time."""
    composite = ("cart", "car", "lamp")
    groups = {"all": (*SIMPLE, *composite), "simple": SIMPLE, "composite": composite}
    return rng.choice([shape for shape in groups[settings.shapes] if shape != UNSEEN[settings.shapes]])


def _hidden(rng: random.Random, stage: Stage, actors: list[Actor]) -> list[Actor] | None:
    """A thing behind another one, at least half hidden in the first frame."""
    view, times = stage.view, stage.start
    before = rng.choice(actors)
    thing = build(_shape(rng, stage.settings), rng.choice(list(COLORS)), rng, 1.0)
    at = where(actors, actors.index(before), times).place[0]
    pose = view.poses(times)[0]
    away = at[:2] - pose[:2, 3]
    distance = float(np.linalg.norm(away))
    behind = before.thing.radius + thing.radius
    deep = distance + 1.02 * behind + rng.uniform(0.0, 1.0)
    aside = rng.uniform(-0.5, 0.5) * before.thing.radius
    ahead = away / distance
    x, y = (pose[:2, 3] + deep * ahead + aside * np.array([ahead[1], -ahead[0]])).tolist()
    heading = rng.uniform(-math.pi, math.pi)
    cycling = thing.shape in CYCLING
    kind, beat = ("cycles", 1.0) if cycling else ("static", None)
    actor = Actor(thing, kind, Rest((x, y, 0.0), heading), None, beat)
    share, pixels = covered([*actors, actor], len(actors), times, view)
    return [actor] if 0.5 <= share <= 0.95 and pixels >= 0.002 * view.width * view.height else None


def covered(actors: Sequence[Actor], which: int, times: Float[Array, "1"], view: Viewpoint) -> tuple[float, int]:
    """The share of an actor's pixels that others hide at a time, and how many pixels it would have."""
    scene = Scene(0, "", tuple(actors), view, times, ())
    matrices, pose = scene.matrices(times, scene.travels())[0], view.poses(times)[0]
    drawn = draw(scene.solids(), matrices, pose, view.focal, view.width, view.height, len(actors))
    total = int(drawn.total[which])
    return (1 - int(drawn.visible[which]) / total if total else 0.0), total


def _pair(rng: random.Random, stage: Stage) -> list[Actor] | None:
    """Two things of which one carries, pushes or is ridden by the other for a while."""
    settings, view, probe = stage.settings, stage.view, stage.probe
    kind = rng.choice(("carry", "push", "ride"))
    colors = rng.sample(list(COLORS), 2)
    bearer, borne = chances.pair_shapes(rng, kind, settings.shapes)
    carrier, other = build(bearer, colors[0], rng), build(borne, colors[1], rng)
    if kind != "push":
        other = chances.small_enough(rng, carrier, other, borne, colors[1])
    x, y = _spot(rng, view, carrier.radius)
    motion, coupling = chances.draw_coupling(rng, kind, carrier, other, (x, y, 0.0), settings.seconds)
    pair = [Actor(carrier, "coupled", motion), Actor(other, "coupled", Rest((x, y, 0.0), 0.0), coupling)]
    # Their numbers are 0 and 1: a pair is drawn before all others.
    gap = np.linalg.norm(where(pair, 1, probe).place[:, :2] - where(pair, 0, probe).place[:, :2], axis=1)
    bound = (probe >= coupling.begin - 0.5) & (probe <= coupling.end + 0.5)
    if (gap[~bound] < 0.95 * (carrier.radius + other.radius)).any() and kind != "push":
        return None
    return [pair[0], replace(pair[1], motion=Rest(coupling.before or (x, y, 0.0), motion.heading))]


def _walls(rng: random.Random) -> tuple[Piece, ...]:
    """Building fronts on both sides and across the end of the street."""
    walls = []
    for side in (-1, 1):
        y = -6.0
        while y < STREET_END:
            length, tall = rng.uniform(4.0, 8.0), rng.uniform(5.0, 9.0)
            set_back = rng.uniform(0.0, 0.3)
            place = (side * (WALLS + set_back + 2.0), y + length / 2, tall / 2)
            walls.append(
                Piece("wall", "box", matrix((2.0, length / 2, tall / 2), place), paint=f"front {rng.randrange(6)}")
            )
            y += length
    wide = WALLS + 4.0
    place = (0.0, STREET_END + 2.0, 3.5)
    walls.append(Piece("wall", "box", matrix((wide, 2.0, 3.5), place), paint=f"front {rng.randrange(6)}"))
    return tuple(walls)
