"""What pictures are made of, from which frames colours are fetched for a camera and a time, and how far each is away.

What stands still may come from any frame, best from one that looks from the same direction; what moves only from frames
near in time. Distances are told in steps: the angle, at the place seen, between the two lines of sight, as a multiple
of that between neighbouring frames; and the frames that lie between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldscape.cameras import project
from fieldscape.systems.tracks.config import SourceSettings
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.sheets import Sheet
from fieldscape.systems.tracks.timeline import between, camera_at
from fieldscape.types import Camera

LEAST_ANGLE = 1e-3
"""Radians between neighbouring frames below which a camera is taken to stand still."""

ANCHORS = 300
"""Background points by which cameras are compared."""

LATE = 0.3
"""What a frame's delay counts for what does not move: light changes, and tracks drift."""

OWN = 0.1
"""Steps that any source is away: what keeps the frame of the very time from counting infinitely."""

ON_PATH = 0.5
"""Steps that a camera may be from where the clip's was at that time, to be taken as on its path."""

OVERLAP = 0.05
"""Share of the anchors that even a frame with none of them is taken to see: costs stay finite."""


@dataclass(frozen=True)
class Footage:
    """A clip, the meshes of each of its frames, and what a step between frames is.

    step: seconds.  angle: radians, as seen from the scene.  anchors: numbers of some background points.
    """

    tracked: Tracked
    sheets: tuple[tuple[Sheet, ...], ...]
    step: float
    angle: float
    anchors: Int[Tensor, "a"]

    @property
    def layers(self) -> list[int]:
        """The layers that have a mesh in any frame, the background (0) first."""
        return sorted({sheet.layer for sheets in self.sheets for sheet in sheets})


def footage_of(tracked: Tracked, sheets: tuple[tuple[Sheet, ...], ...]) -> Footage:
    """The footage of a clip whose meshes are made."""
    seconds = tracked.clip.seconds
    still = (tracked.points.layer == 0).nonzero().flatten()
    often = tracked.points.seen[:, still].sum(0).argsort(descending=True, stable=True)
    anchors = still[often[:: max(1, len(still) // ANCHORS)]][:ANCHORS]
    angles = []
    for i in range(len(tracked.clip) - 1):
        seen = anchors[tracked.points.seen[i, anchors]]
        if len(seen):
            places = tracked.world[i, seen].double()
            angles.append(angle_between(places, tracked.camera[i], tracked.camera[i + 1]).median())
    angle = max(LEAST_ANGLE, float(torch.stack(angles).median()) if angles else 0.0)
    step = float(seconds.diff().median()) if len(seconds) > 1 else 1.0
    return Footage(tracked, sheets, step, angle, anchors)


def at_frames(tracked: Tracked, kept: list[int]) -> Tracked:
    """What was tracked, of the frames ``kept`` alone."""
    points = tracked.points
    points = replace(points, places=points.places[kept], seen=points.seen[kept], sure=points.sure[kept])
    camera = tracked.camera[torch.tensor(kept)]
    return replace(tracked, clip=tracked.clip.at(kept), points=points, camera=camera, world=tracked.world[kept])


def without(footage: Footage, frame: int) -> Footage:
    """The footage as if ``frame`` had never been taken."""
    kept = [i for i in range(len(footage.tracked.clip)) if i != frame]
    sheets = tuple(tuple(replace(sheet, frame=new) for sheet in footage.sheets[old]) for new, old in enumerate(kept))
    return replace(footage, tracked=at_frames(footage.tracked, kept), sheets=sheets)


def angle_between(places: Float[Tensor, "*p 3"], one: Camera, other: Camera) -> Float[Tensor, "*p"]:
    """The angle, in radians, between the lines from each place to two cameras.

    >>> def at(x: float) -> Camera:
    ...     pose = torch.eye(4)
    ...     pose[0, 3] = x
    ...     return Camera(pose, torch.ones(2), torch.ones(2), 2, 2)
    >>> round(float(angle_between(torch.tensor([0.0, 0.0, 1.0]), at(0.0), at(1.0))) * 4 / torch.pi, 4)
    1.0
    """
    a, b = places - one.position.to(places), places - other.position.to(places)
    across = torch.linalg.cross(a, b).norm(dim=-1)
    return torch.atan2(across, (a * b).sum(-1))


def steps_apart(
    footage: Footage, frame: int, camera: Camera, when: float, places: Float[Tensor, "*p 3"], mover: bool
) -> Float[Tensor, "*p"]:
    """How many steps a frame is away from ``camera`` at the time ``when``, for what is seen at ``places``."""
    late = lateness(footage, frame, when)
    if mover:
        return torch.full_like(places[..., 0], (late**2 + OWN**2) ** 0.5)
    turned = angle_between(places, camera, footage.tracked.camera[frame]) / footage.angle
    return (turned**2 + (LATE * late) ** 2 + OWN**2).sqrt()


def lateness(footage: Footage, frame: int, when: float) -> float:
    """Frames between a source and a time, negative for sources before."""
    return (float(footage.tracked.clip.seconds[frame]) - when) / footage.step


def nearest_in_time(footage: Footage, when: float, around: int, usable: list[int]) -> list[int]:
    """The ``around`` usable frames before ``when`` (or just then) and as many after it, nearest first."""
    before = [i for i in usable if lateness(footage, i, when) <= 0][-around:]
    after = [i for i in usable if lateness(footage, i, when) > 0][:around]
    return sorted(before + after, key=lambda i: (abs(lateness(footage, i, when)), i))


def chosen(footage: Footage, camera: Camera, when: float, settings: SourceSettings, leave: int | None) -> list[int]:
    """The frames that the background is fetched from, nearest first. leave: a frame not to be used.

    On the clip's own path those nearest in time; off it, those that see the same points from alike directions.
    """
    usable = [i for i in range(len(footage.tracked.clip)) if i != leave]
    timely = nearest_in_time(footage, when, settings.around, usable)
    tracked = footage.tracked
    seconds = tracked.clip.seconds
    places = between(tracked.world, seconds, when)[footage.anchors].double()
    there = inside(camera, places)
    if not bool(there.any()):
        return timely
    places = places[there]
    usual = camera_at(tracked.camera, seconds, when)
    if float(angle_between(places, camera, usual).median()) < ON_PATH * footage.angle:
        return timely
    costs = {}
    for i in usable:
        away = steps_apart(footage, i, camera, when, places, mover=False).median()
        costs[i] = float(away) / (OVERLAP + float(inside(tracked.camera[i], places).float().mean()))
    return sorted(usable, key=lambda i: (costs[i], i))[: settings.turned]


def showing(footage: Footage, camera: Camera, when: float, hole: Bool[Tensor, "h w"], used: list[int]) -> int | None:
    """The frame, none of ``used``, that saw most tracked points of the background in a part of the picture that is not
    shown yet; the nearest in time of equally good ones; None where no frame saw any.
    """
    tracked = footage.tracked
    still = tracked.points.layer == 0
    places = between(tracked.world, tracked.clip.seconds, when)[still].double()
    there = inside(camera, places)
    pixels = project(camera.map(lambda x: x.double()), places[there])[0].long()
    high, wide = hole.shape
    within = hole[pixels[:, 1].clamp(0, high - 1), pixels[:, 0].clamp(0, wide - 1)]
    counts = tracked.points.seen[:, still][:, there][:, within].sum(1)
    best = [i for i in range(len(counts)) if i not in used and int(counts[i]) > 0]
    return min(best, key=lambda i: (-int(counts[i]), abs(lateness(footage, i, when)), i), default=None)


def inside(camera: Camera, places: Float[Tensor, "n 3"]) -> Bool[Tensor, "n"]:
    """Which places a camera has in its picture."""
    pixels, z = project(camera.map(lambda x: x.to(places)), places)
    size = pixels.new_tensor([camera.width, camera.height])
    return (z > 0) & (pixels >= 0).all(-1) & (pixels < size).all(-1)
