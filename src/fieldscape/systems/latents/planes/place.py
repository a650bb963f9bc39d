"""Where the objects of a class are: the box around all of them, and which of its cells any of them fills."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool3d

from fieldscape.errors import BadInput
from fieldscape.framing import carve, silhouettes
from fieldscape.systems.latents.planes.config import PlanesConfig
from fieldscape.systems.latents.planes.render import Place
from fieldscape.types import Views

REACH = 0.55
"""Objects have a bounding box of diagonal 1 around the origin: none reaches further than half of that."""
CARVED, CELLS = 48, 40
"""Points an axis of the lattices that are carved: for the box, and in the box."""
MARGIN = 0.05
"""Of the box's side, added at each end: the next object may be a little longer than all before it."""
GROWN = 1
"""Cells by which what is occupied is widened, for the same reason."""
MOST_CARVED = 64
"""Objects that are looked at: more change little."""

PUBLISHED_SPAN = (0.5, 2.1)


def unit_place() -> Place:
    """The published box: -1..1, along rays from 0.5 to 2.1, with nothing known of what it holds."""
    return Place(torch.full((3,), -1.0), torch.full((3,), 1.0), PUBLISHED_SPAN)


def training_part(views: Views) -> Views:
    """The views to learn from alone, none of them held out. Raises BadInput where there is none."""
    kept = torch.tensor(views.train, dtype=torch.long)
    if not len(kept):
        raise BadInput(f"Of {views.names[0] if views.names else 'the object'} no view is left to learn from.")
    names = tuple(views.names[i] for i in views.train)
    return Views(views.camera[kept], views.images[kept], names, (), views.split, views.background)


def class_place(objects: Iterable[Views], config: PlanesConfig) -> Place:
    """The place of the class, from the visual hulls of the training views of some of its objects.

    Raises BadInput where the silhouettes of no object meet in space.
    """
    if config.box == "unit":
        return unit_place()
    seen = [training_part(views) for views in objects]
    shapes = [silhouettes(views) for views in seen]
    low, high = torch.full((3,), -REACH), torch.full((3,), REACH)
    # Corners of the cube, which few views have in their picture, are no place for an object.
    whole = _union(seen, shapes, low, high, CARVED) & _ball(CARVED)
    if not bool(whole.any()):
        raise BadInput("The silhouettes of no object meet in space: check the poses, and that the background is white.")
    step = (high - low) / (CARVED - 1)
    filled = whole.nonzero()
    first, last = low + (filled.amin(0) - 1) * step, low + (filled.amax(0) + 1) * step
    margin = MARGIN * (last - first)
    low, high = first - margin, last + margin
    if not config.skip:
        return Place(low, high)
    held = _union(seen, shapes, low, high, CELLS)
    grown = max_pool3d(held[None, None].float(), 2 * GROWN + 1, 1, GROWN)[0, 0] > 0
    return Place(low, high, occupied=grown)


def _ball(count: int) -> Bool[Tensor, "i j k"]:
    """The points of a lattice over a cube that lie in the ball within it."""
    line = torch.linspace(-1, 1, count)
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij")).norm(dim=0) <= 1


def _union(
    seen: list[Views], shapes: list[Tensor], low: Float[Tensor, "3"], high: Float[Tensor, "3"], count: int
) -> Bool[Tensor, "i j k"]:
    """What any of the objects' visual hulls fills, on a lattice."""
    union = torch.zeros(count, count, count, dtype=torch.bool)
    for views, shape in zip(seen, shapes, strict=True):
        union |= carve(views, low, high, (count, count, count), shape)
    return union
