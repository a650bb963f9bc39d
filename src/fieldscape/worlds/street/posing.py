"""From motions to matrices: the pose of each thing and of each of its pieces at each time."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from fieldscape.worlds.street.motions import Travel
from fieldscape.worlds.street.objects import Joint, Thing

Array = np.ndarray


def thing_poses(thing: Thing, travel: Travel) -> Float[Array, "f 4 4"]:
    """Thing to world: turned by its heading, the middle of its bounding box half its height above ``travel.place``."""
    c, s = np.cos(travel.heading), np.sin(travel.heading)
    pose = np.zeros((len(c), 4, 4))
    pose[:, 0, 0], pose[:, 0, 1], pose[:, 1, 0], pose[:, 1, 1] = c, -s, s, c
    pose[:, :3, 3] = travel.place + np.array([0, 0, thing.size[2] / 2])
    pose[:, 2, 2] = pose[:, 3, 3] = 1
    return pose


def joint_phase(joint: Joint, travel: Travel, times: Float[Array, "f"]) -> Float[Array, "f"]:
    """The angle of a rolling, swinging or turning piece in radians; of a squashed one, how many times as high it is."""
    if joint.drive == "roll":
        return (travel.distance - joint.pivot[1] * (travel.heading - travel.heading[:1])) / joint.amount
    if joint.drive == "step":
        return joint.amount * np.sin(2 * math.pi * travel.distance / joint.stride + joint.phase)
    turned = 2 * math.pi * joint.frequency * times + joint.phase
    return turned if joint.drive == "clock" else 1 + joint.amount * np.sin(turned)


def joint_matrices(joint: Joint, phase: Float[Array, "f"]) -> Float[Array, "f 4 4"]:
    """What a joint does to a piece, in the thing's frame."""
    moved = np.zeros((len(phase), 4, 4))
    if joint.drive == "squash":
        moved[:, 0, 0] = moved[:, 1, 1] = 1 / np.sqrt(phase)
        moved[:, 2, 2] = phase
    else:
        x, y, z = joint.axis
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        # Rodrigues' formula.
        moved[:, :3, :3] = (
            np.eye(3) + np.sin(phase)[:, None, None] * cross + (1 - np.cos(phase))[:, None, None] * (cross @ cross)
        )
    pivot = np.array(joint.pivot)
    moved[:, :3, 3] = pivot - moved[:, :3, :3] @ pivot
    moved[:, 3, 3] = 1
    return moved


def piece_matrices(thing: Thing, travel: Travel, times: Float[Array, "f"]) -> Float[Array, "f p 4 4"]:
    """From each piece's own frame (the solid's) to the world."""
    pose = thing_poses(thing, travel)
    placed = np.empty((len(times), len(thing.pieces), 4, 4))
    for k, piece in enumerate(thing.pieces):
        if piece.joint is None:
            placed[:, k] = pose @ piece.rest
        else:
            placed[:, k] = pose @ joint_matrices(piece.joint, joint_phase(piece.joint, travel, times)) @ piece.rest
    return placed
