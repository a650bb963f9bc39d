"""What can be known before training to go wrong: said at once, rather than after a night."""

from __future__ import annotations

import os

import torch

from fieldscape.cameras import project
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.types import Views

OUTLIER = 50.0
"""A camera so many times further from the middle one than is usual did not take part in the capture."""

PROBES = 7
"""Points on a camera's axis, and as many along other rays, that another camera may see."""

LINE_BYTES = 64
"""Memory of a vertex of the grid."""

SLACK = 0.85
"""Share of the free memory that training may count on."""


def require_sound(views: Views, framing: Framing) -> None:
    """Raises BadInput where no scene can be learned from ``views``, whatever is done with them."""
    _require_something(views)
    _require_one_capture(views)
    _require_overlap(views, framing)


def _require_something(views: Views) -> None:
    chosen = views.train[:: max(1, len(views.train) // 20)]
    colors = views.images[chosen].float()
    if float((colors.amax((0, 1, 2)) - colors.amin((0, 1, 2))).max()) == 0:
        raise BadInput("the photos show one and the same colour everywhere: there is nothing to learn from them")


def _require_one_capture(views: Views) -> None:
    position = views.camera.position
    away = (position - position.median(0).values).norm(dim=-1)
    usual = float(away.median())
    furthest = int(away.argmax())
    if len(views) >= 4 and usual > 0 and float(away[furthest]) > OUTLIER * usual:
        raise BadInput(
            f"the camera of {views.names[furthest]} stands {float(away[furthest]) / usual:.0f} times further away than "
            "is usual among the others: mend its pose, or take the photo out"
        )


def _require_overlap(views: Views, framing: Framing) -> None:
    """Something must be seen from two places. Asked of points on five rays of some cameras, near to far."""
    train = torch.tensor(views.train)
    camera = views.camera[train]
    asked = camera[:: max(1, len(camera) // 8)]
    reach = torch.logspace(-1, 1, PROBES) * max(framing.radius, 1e-6)
    ahead = asked.forward[:, None]
    right, down = asked.pose[:, None, :3, 0], asked.pose[:, None, :3, 1]
    half = asked.focal.new_tensor([asked.width, asked.height]) / asked.focal / 4
    tilts = [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]
    rays = torch.cat([ahead + x * half[:, None, :1] * right + y * half[:, None, 1:] * down for x, y in tilts], 1)
    points = asked.position[:, None, None] + rays[:, :, None] * reach[:, None]
    alone = 0
    for i, seen_from in enumerate(asked.position):
        others = [k for k in range(len(camera)) if float((camera.position[k] - seen_from).norm()) > 0]
        met = False
        for k in others:
            pixels, z = project(camera[k], points[i].reshape(-1, 3))
            inside = (z > 0) & (pixels >= 0).all(-1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
            if bool(inside.any()):
                met = True
                break
        alone += not met
    if alone > len(asked) / 2:
        raise BadInput(
            f"{alone} of {len(asked)} cameras look where no other camera looks: photos must overlap for a scene to be "
            "found, so check the poses (fieldscape info says more)"
        )


def free_memory() -> int | None:
    """Bytes that can still be had, or None where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return None


def grid_bytes(resolution: float, open_share: float) -> int:
    """Memory of a grid of about ``resolution``^3 vertices of which ``open_share`` may be visited.

    The coarser grid that it starts from, and the lists of cells, come on top: together about as much as half of it.
    """
    return round(1.5 * resolution**3 * open_share * LINE_BYTES + 12 * resolution**3)


def affordable(resolution: float, open_share: float, asked: bool, free: int | None) -> int:
    """The resolution, or the largest one that fits into memory. Raises BadInput where it was ``asked`` for outright."""
    if free is None or grid_bytes(resolution, open_share) <= SLACK * free:
        return round(resolution)
    fitting = resolution
    while fitting > 16 and grid_bytes(fitting, open_share) > SLACK * free:
        fitting *= 0.95
    if asked:
        raise BadInput(
            f"--resolution {resolution:g} would take about {grid_bytes(resolution, open_share) / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free: give at most {int(fitting)}"
        )
    return int(fitting)
