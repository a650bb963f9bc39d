"""Where the vertices of a sheet are: in the world at any time, and how deep in their own frame."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.sheets import Sheet
from fieldscape.systems.tracks.timeline import between


def vertices_at(tracked: Tracked, sheet: Sheet, when: float) -> Float[Tensor, "v 3"]:
    """World places of the vertices of a sheet at the time ``when``, in seconds, as float64.

    Tracked points are where ``timeline.between`` puts them; an added vertex moves along with the one that it follows.
    """
    own = tracked.world[sheet.frame, sheet.points].double()
    now = between(tracked.world, tracked.clip.seconds, when)[sheet.points].double()
    still = own.new_zeros(1, 3)  # is what -1 names
    return torch.cat([now, sheet.added.double() + torch.cat([now - own, still])[sheet.follows]])


def planar_at_own(tracked: Tracked, sheet: Sheet) -> Float[Tensor, "v"]:
    """The depth of each vertex in the camera of the sheet's own frame, at its own time, as float64."""
    world = torch.cat([tracked.world[sheet.frame, sheet.points].double(), sheet.added.double()])
    camera = tracked.camera[sheet.frame]
    return (world - camera.position.double()) @ camera.forward.double()
