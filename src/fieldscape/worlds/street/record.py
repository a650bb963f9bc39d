"""From a scene to the record of a video: what ``layouts`` take."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np

from fieldscape.worlds.layouts.clip import Clip
from fieldscape.worlds.street.captions import captions
from fieldscape.worlds.street.motions import Coupling, Straight, Travel
from fieldscape.worlds.street.objects import PARTS, POINTS, Piece
from fieldscape.worlds.street.posing import joint_phase, thing_poses
from fieldscape.worlds.street.scenes import Actor, Scene

Array = np.ndarray


def clip_of(scene: Scene, exact: bool) -> Clip:
    """All that is known of a scene before any frame is drawn."""
    travels = scene.travels()
    actors, times = scene.actors, scene.times
    surfaces = [actor.thing.surface(POINTS) for actor in actors]
    poses = [thing_poses(actor.thing, go) for actor, go in zip(actors, travels)]
    things = [_about(*each, times) for each in zip(actors, travels, (points for points, _ in surfaces))]
    walls = [
        {"center": piece.rest[:3, 3].tolist(), "size": (2 * np.diag(piece.rest)[:3]).tolist()} for piece in scene.walls
    ]
    record = {
        "split": scene.split,
        "camera": {"kind": scene.view.kind},
        "parts": list(PARTS),
        "walls": walls,
        "things": things,
    }
    return Clip(
        index=scene.index,
        width=scene.view.width,
        height=scene.view.height,
        focal=scene.view.focal,
        times=times,
        poses=scene.view.poses(times),
        shapes=tuple(actor.thing.shape for actor in actors),
        colors=tuple(actor.thing.color for actor in actors),
        sizes=np.array([actor.thing.size for actor in actors]),
        thing_poses=np.stack(poses, 1),
        velocities=np.stack([go.velocity for go in travels], 1),
        points=np.stack([points for points, _ in surfaces]),
        point_parts=np.stack([parts for _, parts in surfaces]),
        record=record,
        describe=partial(captions, scene),
        exact=exact,
    )


def _about(actor: Actor, travel: Travel, points: Array, times: Array) -> dict[str, object]:
    spread = points - points.mean(0)
    return {
        "scale": float(np.sqrt((spread**2).sum(1).mean())),
        "radius": actor.thing.radius,
        "motion": {"kind": actor.kind, "formula": type(actor.motion).__name__, **asdict(actor.motion)},
        "coupling": None if actor.coupling is None else _coupling(actor.coupling),
        "cycle": _cycle(actor),
        "pieces": [_piece(piece, travel, times) for piece in actor.thing.pieces],
        "yaw": travel.heading.tolist(),
        "yaw_rate": travel.rate.tolist(),
    }


def _coupling(coupling: Coupling) -> dict[str, object]:
    return {**asdict(coupling), "carrier": coupling.carrier + 1}


def _cycle(actor: Actor) -> dict[str, object] | None:
    """What repeats itself: a swinging limb, a pulse, a turning propeller, a rolling wheel at an even speed."""
    for piece in actor.thing.pieces:
        joint = piece.joint
        if joint is None:
            continue
        if joint.drive in ("clock", "squash"):
            return {"kind": joint.drive, "frequency": joint.frequency, "phase": joint.phase}
        steady = isinstance(actor.motion, Straight) and not actor.motion.acceleration and actor.coupling is None
        if steady and isinstance(actor.motion, Straight):
            if joint.drive == "step":
                return {"kind": "step", "frequency": actor.motion.speed / joint.stride, "phase": joint.phase}
            return {"kind": "roll", "frequency": actor.motion.speed / (2 * np.pi * joint.amount), "phase": 0.0}
    return None


def _piece(piece: Piece, travel: Travel, times: Array) -> dict[str, object]:
    joint = None
    if piece.joint is not None:
        joint = {**asdict(piece.joint), "phases": joint_phase(piece.joint, travel, times).tolist()}
    named = {"part": piece.part, "kind": piece.kind, "ratio": piece.ratio, "paint": piece.paint}
    return {**named, "rest": piece.rest.tolist(), "joint": joint}
