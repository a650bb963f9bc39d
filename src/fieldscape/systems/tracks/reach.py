"""How far a new camera may leave the way that the clip's camera went, and a camera brought back to where it may be.

A depth found from two rays that meet at the angle a has a relative error of about e / (f a), where e is the error of a
place in the picture in pixels and f the focal length. Seen from a camera turned by the angle b about the point, that
misplaces it by about e b / a pixels. So b may be a few times a, until what was hidden matters more (``WIDEST``).
Where nothing told depth (tripod, rotation) there is only a hint of it, and the camera may hardly leave its place.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.cameras import field_of_view, project
from fieldscape.rotations import about
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.types import Camera

TIMES_PARALLAX = 3.0
"""A point found to half a pixel is then misplaced by one and a half."""
WIDEST = math.radians(15)
"""Beyond, a fifth of what a room's camera sees was hidden from the clip."""
LOW = math.radians(5)
GIVEN = math.radians(5)
"""At least so much where cameras were given: what the depth then comes from is not known here."""
HINT = math.radians(1.5)
NEARER = 2.0
"""How much of its distance to the centre a camera may go forth or back, to a radian of arc: what moves toward the
picture's middle is misplaced less than what moves across it."""
WIDER = 1.25
"""How much further than the clip's a picture may reach to each side: beyond is nothing that was seen."""
ASIDE = 0.25
"""Of the field of view: how far an axis may look past the clip's own axes."""
MOST_FRAMES, MOST_POINTS = 24, 400


def parallax(
    positions: Float[Tensor, "t 3"], points: Float[Tensor, "n 3"], seen: Bool[Tensor, "t n"]
) -> Float[Tensor, "n"]:
    """For each point the largest angle (radians) between the rays to any two places that it was seen from.

    >>> positions = torch.tensor([[0.0, 0, 0], [1, 0, 0], [9, 0, 0]])
    >>> seen = torch.tensor([[True], [True], [False]])
    >>> round(math.degrees(float(parallax(positions, torch.tensor([[0.0, 0, 1]]), seen))), 3)
    45.0
    """
    rays = positions.double()[:, None] - points.double()
    rays = rays / rays.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    widest = torch.zeros(len(points), dtype=torch.float64)
    for i in range(len(positions)):
        # By the sine and the cosine: near 0 the cosine alone has no digits left.
        sine, cosine = torch.linalg.cross(rays[i].expand_as(rays), rays).norm(dim=-1), (rays[i] * rays).sum(-1)
        angle = torch.atan2(sine, cosine) * (seen[i] & seen)
        widest = torch.maximum(widest, angle.amax(0))
    return widest


def arc_limit(tracked: Tracked) -> float:
    """By how many radians, about the centre of interest, a camera may leave the clip's own way."""
    if tracked.kind in ("tripod", "rotation"):
        return HINT
    t = len(tracked.clip)
    frames = torch.linspace(0, t - 1, min(t, MOST_FRAMES)).round().long()
    still = ((tracked.points.layer == 0) & tracked.deep).nonzero()[:, 0]
    if not len(still):
        return HINT
    still = still[torch.linspace(0, len(still) - 1, min(len(still), MOST_POINTS)).round().long()]
    seen = tracked.points.seen[frames][:, still]
    points = tracked.world[:, still].median(0).values
    angle = parallax(tracked.camera.position[frames], points, seen)
    often = seen.sum(0) >= 2
    allowed = TIMES_PARALLAX * float(angle[often].median()) if often.any() else HINT
    if tracked.kind == "low":
        return min(LOW, max(HINT, allowed))
    return min(WIDEST, max(GIVEN if tracked.kind == "given" else HINT, allowed))


def center_of_interest(tracked: Tracked) -> Float[Tensor, "3"]:
    """What the clip looks at: its largest mover in the middle frame, or what lies in the middle of that picture."""
    middle = len(tracked.clip) // 2
    seen, world = tracked.points.seen[middle], tracked.world[middle]
    counts = torch.bincount(tracked.points.layer[seen & (tracked.points.layer > 0)])
    if len(counts) and int(counts.max()) >= max(8, 0.02 * int(seen.sum())):
        return world[seen & (tracked.points.layer == int(counts.argmax()))].median(0).values
    camera = tracked.camera[middle]
    pixels, depth = project(camera, world)
    size = torch.tensor([camera.width, camera.height])
    ahead = seen & (depth > 0)
    central = ahead & ((pixels - size / 2).abs() < size / 4).all(-1)
    chosen = central if int(central.sum()) >= 8 else ahead
    distance = float(depth[chosen].median()) if chosen.any() else 1.0
    return camera.position + distance * camera.forward


def clamped(camera: Camera, path: Camera, center: Float[Tensor, "3"], limit: float | int) -> tuple[Camera, bool]:
    """A single camera brought back to what the clip supports, and whether that changed it.

    path: the clip's cameras.  limit: radians about ``center`` (see ``arc_limit``). In turn, and each against the
    camera of the path that is nearest as seen from the centre: the place is moved back on its arc and nearer to the
    path's distances; the axis is turned back to within a quarter of the field of view; a focal length that would show
    more than a quarter more than the clip did is lengthened.
    """
    place, axis, at, changed = camera.position.double(), camera.forward.double(), center.double(), False
    near, away, theirs = _nearest(place, path, at)
    if math.isfinite(limit):
        angle = _angle(away, theirs)
        if angle > limit + 1e-9:
            away, changed = _turned(theirs, away, limit) * away.norm(), True
        allowed = min(0.5, NEARER * limit)
        around = (path.position.double() - at).norm(dim=-1)
        low, high = float(around.min()) * (1 - allowed), float(around.max()) * (1 + allowed)
        distance = float(away.norm())
        if not low * (1 - 1e-9) <= distance <= high * (1 + 1e-9):
            away, changed = away * min(max(distance, low), high) / max(distance, 1e-12), True
    pose = camera.pose.double().clone()
    pose[:3, 3] = at + away
    narrow = math.radians(float(field_of_view(path[near]).min()))
    # The path's axis, turned as its place was: an arc about the centre goes on looking at it.
    swing = _between(theirs, away)
    wanted = swing @ path.forward[near].double()
    aside = min(_angle(axis, wanted), float(_angles(path.forward.double(), axis).min()))
    if aside > ASIDE * narrow + 1e-9:
        aimed = _turned(wanted, axis, ASIDE * narrow)
        pose[:3, :3] = _between(axis, aimed) @ pose[:3, :3]
        changed = True
    least = float((path.focal / path.focal.new_tensor([path.width, path.height])).min(-1).values.min()) / WIDER
    share = float((camera.focal / camera.focal.new_tensor([camera.width, camera.height])).min())
    focal = camera.focal
    if share < least * (1 - 1e-6):
        focal, changed = focal * (least / share), True
    return (replace(camera, pose=pose.to(camera.pose), focal=focal), True) if changed else (camera, False)


def _nearest(place: Tensor, path: Camera, center: Tensor) -> tuple[int, Tensor, Tensor]:
    """The camera of the path in the most alike direction from the centre, and both ways from there."""
    away, theirs = place - center, path.position.double() - center
    if float(away.norm()) < 1e-9:
        away = theirs[0] * 1e-6
    near = int(_angles(theirs, away).argmin())
    return near, away, theirs[near]


def _angles(many: Float[Tensor, "n 3"], one: Float[Tensor, "3"]) -> Float[Tensor, "n"]:
    one = one.expand_as(many)
    return torch.atan2(torch.linalg.cross(many, one).norm(dim=-1), (many * one).sum(-1))


def _angle(one: Tensor, other: Tensor) -> float:
    return float(_angles(one[None], other))


def _between(one: Float[Tensor, "3"], other: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The shortest turn that brings the direction ``one`` to ``other``."""
    axis = torch.linalg.cross(one, other)
    if float(axis.norm()) < 1e-12 * float(one.norm() * other.norm()):
        return torch.eye(3, dtype=one.dtype)
    return about(axis / axis.norm(), torch.tensor(_angle(one, other), dtype=one.dtype))


def _turned(one: Float[Tensor, "3"], toward: Float[Tensor, "3"], angle: float) -> Float[Tensor, "3"]:
    """The direction ``one`` turned toward another by ``angle``, as a unit vector."""
    axis = torch.linalg.cross(one, toward)
    unit = one / one.norm()
    if float(axis.norm()) < 1e-12 * float(one.norm() * toward.norm()):
        return unit
    return about(axis / axis.norm(), torch.tensor(angle, dtype=one.dtype)) @ unit
