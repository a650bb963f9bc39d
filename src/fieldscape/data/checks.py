"""Are the poses right? Evidence from the cameras alone, and from points matched between the photos.

Wrong poses raise no error: training runs, and ends in fog. So before training the photos are asked. With too few
matches the answer is "unknown", never "ok".
"""

from __future__ import annotations

from fieldscape.data.checks_cameras import convergence, impossible, spread
from fieldscape.data.checks_photos import FEWEST_MATCHES, FEWEST_PAIRS, against_photos
from fieldscape.data.findings import Finding
from fieldscape.data.matching import match_views
from fieldscape.types import Views

__all__ = ["Finding", "check_poses"]


def check_poses(views: Views) -> list[Finding]:
    """What speaks for and against the cameras of ``views``, the most telling first.

    Deterministic; some seconds of one core, whatever the number and size of the photos.
    """
    broken = impossible(views.camera, views.names)
    if broken:
        return broken
    alone = spread(views)
    matches = match_views(views)
    if len(matches) < FEWEST_MATCHES or len(matches.pairs) < FEWEST_PAIRS:
        evidence = (
            f"not enough matches to tell: {len(matches)}, in {len(matches.pairs)} pairs of {matches.compared} photos"
        )
        advice = "Look at the picture of the camera layout; photos with more overlap and texture would allow a check."
        if all(finding.level == "ok" for finding in alone):
            alone += convergence(views.camera)
        return [Finding("unknown", "poses against photos", evidence, advice), *alone]
    verdict, mended = against_photos(views, matches)
    if verdict[0].level == "warning":
        alone = [finding for finding in alone if finding.level == "warning"]
    # Where the poses mean something else, what their positions look like as given says nothing.
    return verdict + [finding for finding in alone if not mended or finding.what == "single positions"]
