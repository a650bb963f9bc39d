"""Looking at a stored object: its planes are mixed once, and then drawn for any camera."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.resuming import under
from fieldscape.systems.latents.nouns import Draw
from fieldscape.systems.latents.planes.autoencoder import LatentSpace
from fieldscape.systems.latents.planes.field import FieldNetwork
from fieldscape.systems.latents.planes.mixing import Parts, mixed
from fieldscape.systems.latents.planes.payload import unpack
from fieldscape.systems.latents.planes.photos import coarse, shifted, shifts
from fieldscape.systems.latents.planes.shared import PlanesShared, all_cells
from fieldscape.types import Camera, Rendered
from fieldscape.volume import join

CHUNK = 4096
"""Cells that are looked at together."""


def open_object(shared: PlanesShared, payload: bytes, where: str = "the object") -> Draw:
    """The object in ``payload``, to be drawn for any camera, on the device of what is shared.

    Raises BadInput for bytes of another class.
    """
    parts, own = unpack(shared, payload, where)
    return drawn(shared, parts, *own_networks(shared, own))


def interpolate(shared: PlanesShared, first: bytes, second: bytes, share: float) -> Draw:
    """The object ``share`` of the way from the first to the second: what is their own is blended.

    Raises BadInput where each has a network of its own: those do not mean the same by the same numbers.
    """
    (one, first_own), (other, second_own) = unpack(shared, first, "the first"), unpack(shared, second, "the second")
    if first_own or second_own:
        raise BadInput("Objects that have networks of their own cannot be blended: use a variant that shares them.")
    return drawn(shared, {name: torch.lerp(one[name], other[name], share) for name in one})


def own_networks(shared: PlanesShared, own: dict[str, Tensor]) -> tuple[FieldNetwork | None, LatentSpace | None]:
    """The object's networks where it has some of its own."""
    network, space = None, None
    if held := under("field", own):
        network = deepcopy(shared.network)
        network.load_state_dict(held)
    if (held := under("space", own)) and shared.space is not None:
        space = deepcopy(shared.space)
        space.load_state_dict(held, strict=False)
    return network, space


def drawn(
    shared: PlanesShared, parts: Parts, network: FieldNetwork | None = None, space: LatentSpace | None = None
) -> Draw:
    """How the object with these parts is drawn."""
    with torch.no_grad():
        parts = {name: part.to(shared.device) for name, part in parts.items()}
        planes = mixed(parts, shared.macro, shared.config.sharing == "sum")

    @torch.no_grad()
    def draw(camera: Camera) -> Rendered:
        places = shifts(shared.config.phases, shared.factor) if shared.space is not None else [(0, 0)]
        here = camera.to("cpu")  # rays are made on the CPU, and pictures go to where the camera was
        seen = [picture(shared, planes, here, place, network, space) for place in places]
        color, depth, alpha = (torch.stack(images) for images in zip(*seen))
        # A place of the grid where light passes knows no depth.
        mean_depth = (alpha * depth).sum(0) / alpha.sum(0).clamp_min(1e-6)
        found = Rendered(color.mean(0).clamp(0, 1), mean_depth, alpha.mean(0))
        return found.map(lambda image: image.to(camera.pose.device))

    return draw


def picture(
    shared: PlanesShared,
    planes: Tensor,
    camera: Camera,
    shift: tuple[int, int],
    network: FieldNetwork | None,
    space: LatentSpace | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour, depth and alpha [h, w, ...] of one camera, with the grid of patches moved by ``shift`` pixels."""
    one, factor, (right, down) = camera.map(lambda tensor: tensor[None]), shared.factor, shift
    # The sides grow by the shift, and to multiples of a patch; what is too much is cut.
    wide, high = (-(-side // factor) * factor for side in (camera.width + right, camera.height + down))
    small = shifted(coarse(replace(one, width=wide, height=high), factor), shift, factor)
    cells = all_cells(small)
    runs = [slice(i, i + CHUNK) for i in range(0, len(cells.xy), CHUNK)]
    seen = join([shared.see(planes, small, cells[run], None, network) for run in runs], (small.height, small.width))
    color = shared.decoded(seen.color[None], space)[0]
    rows, columns = slice(down, down + camera.height), slice(right, right + camera.width)
    depth, alpha = finer(seen.depth, factor), finer(seen.alpha, factor)
    return color[rows, columns], depth[rows, columns], alpha[rows, columns]


def finer(image: Tensor, factor: int) -> Tensor:
    """Every cell's number for all its pixels."""
    return image.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
