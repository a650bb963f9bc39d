"""The preset ``neural``: no colour is fetched; a field of features at the place on the mesh paints each pixel.

The background's place in the world looks up three planes of features, a mover's place relative to its layer's centre
three of its own, with the time. It shows what fetching is worth: the meshes are the same.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldscape.cameras import image_rays
from fieldscape.encodings import contract, positional
from fieldscape.systems.tracks.blending import LEAST, Blended
from fieldscape.systems.tracks.config import FieldSettings
from fieldscape.systems.tracks.fetching import fetch
from fieldscape.systems.tracks.filling import Filling, Planes
from fieldscape.systems.tracks.footage import Footage, nearest_in_time
from fieldscape.systems.tracks.picture import composed
from fieldscape.systems.tracks.stages import Loss
from fieldscape.systems.tracks.timeline import between
from fieldscape.types import Camera, Rendered

CHANNELS, SIDE, WIDTH = 12, 192, 64
OCTAVES = 4
"""Of the encoding of time, for movers."""
KEPT = 20_000
"""Pixels of each frame that are learned from, at most."""


class Field(nn.Module):
    """Colours of places. center, size: what of each layer is put into the cube -1..1; beyond it, contracted."""

    center: Tensor
    size: Tensor

    def __init__(self, movers: int, generator: torch.Generator) -> None:
        super().__init__()
        self.planes = nn.ModuleList([Planes(CHANNELS, SIDE, generator) for _ in range(1 + movers)])
        inputs = CHANNELS + 2 * OCTAVES + 1
        widths = (inputs, WIDTH, WIDTH, 3)
        self.weights = nn.ParameterList(
            [torch.randn(b, a, generator=generator) * (2 / a) ** 0.5 for a, b in pairwise(widths)]
        )
        self.biases = nn.ParameterList([torch.zeros(b) for b in widths[1:]])
        self.register_buffer("center", torch.zeros(1 + movers, 3))
        self.register_buffer("size", torch.ones(1 + movers))

    def forward(self, places: Float[Tensor, "p 3"], shares: Float[Tensor, "p 1"], which: int) -> Float[Tensor, "p 3"]:
        """places: of the layer number ``which``, movers relative to their centre.  shares: of the clip's time."""
        inside = contract((places - self.center[which]) / self.size[which]) / 2
        time = positional(shares if which else torch.zeros_like(shares), OCTAVES)
        x = torch.cat([self.planes[which](inside), time], -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = x @ weight.T + bias
            x = x.relu() if i + 1 < len(self.weights) else x.sigmoid()
        return x


def centers(footage: Footage, layer: int, when: float) -> Float[Tensor, "3"]:
    """Where the middle of a layer is; of the background, which does not move, the origin."""
    if not layer:
        return torch.zeros(3)
    tracked = footage.tracked
    own = tracked.world[:, tracked.points.layer == layer]
    return between(own.mean(1), tracked.clip.seconds, when).float()


def placed_field(field: Field, footage: Footage) -> None:
    """Tells the field where each layer lies: its middle, and the distance within which four fifths of it are."""
    tracked = footage.tracked
    middle = len(tracked.clip) // 2
    when = float(tracked.clip.seconds[middle])
    for which, layer in enumerate(footage.layers):
        places = tracked.world[middle, tracked.points.layer == layer].float() - centers(footage, layer, when)
        center = places.median(0).values
        away = (places - center).abs().amax(-1)
        field.center[which] = center
        field.size[which] = float(away.kthvalue(max(1, int(0.8 * len(away)))).values.clamp(min=1e-6))


def draw_neural(footage: Footage, field: Field, filling: Filling, camera: Camera, when: float) -> Rendered:
    """What ``camera`` sees at ``when`` seconds, through the meshes of the frame nearest in time."""
    camera, device = camera.map(lambda x: x.float()), field.center.device
    high, wide = camera.height, camera.width
    seconds = footage.tracked.clip.seconds
    frame = nearest_in_time(footage, when, 1, list(range(len(seconds))))[0]
    share = when / max(float(seconds[-1]), 1e-9)
    with torch.no_grad():
        directions = image_rays(camera).directions
        cosine = (directions * camera.forward).sum(-1)
        layers = []
        for which, layer in enumerate(footage.layers):
            for sheet in footage.sheets[frame]:
                if sheet.layer == layer:
                    found = fetch(footage.tracked, sheet, camera, when)
                    there = found.alpha > LEAST
                    depth = torch.where(there, found.depth, 0.0)
                    places = camera.position + directions * (depth / cosine)[..., None] - centers(footage, layer, when)
                    color = torch.zeros(high, wide, 3)
                    inside = places[there].to(device)
                    color[there] = field(inside, torch.full_like(inside[:, :1], share), which).cpu()
                    layers.append(
                        Blended(
                            color.reshape(-1, 3).T, found.alpha.flatten(), depth.flatten(), torch.zeros(high * wide)
                        )
                    )
        behind = filling(camera.position.to(device), directions.reshape(-1, 3).to(device)).cpu()
        color, alpha, depth = composed(layers, behind, high, wide)
    return Rendered(color.movedim(0, -1).clamp(0, 1).contiguous(), (depth / cosine)[..., None], alpha[..., None])


def neural_loss(footage: Footage, field: Field, settings: FieldSettings, chance: torch.Generator) -> Loss:
    """The loss on pixels of all frames, each at the place where its frame's own mesh has it."""
    which, places, shares, colors = (torch.cat(x) for x in zip(*_pixels(footage, chance)))
    device = field.center.device

    def loss(chance: torch.Generator) -> Tensor:
        chosen = torch.randint(len(places), (settings.batch,), generator=chance)
        total = torch.zeros((), device=device)
        for layer in range(len(footage.layers)):
            mine = chosen[which[chosen] == layer]
            if len(mine):
                found = field(places[mine].to(device), shares[mine].to(device), layer)
                total = total + (found - colors[mine].to(device)).abs().mean() * (len(mine) / len(chosen))
        return total

    return loss


def _pixels(
    footage: Footage, chance: torch.Generator
) -> list[tuple[Int[Tensor, "p"], Float[Tensor, "p 3"], Float[Tensor, "p 1"], Float[Tensor, "p 3"]]]:
    """Layer, place, share of time and colour of some pixels of each frame and layer."""
    tracked, found = footage.tracked, []
    last = max(float(tracked.clip.seconds[-1]), 1e-9)
    for frame, sheets in enumerate(footage.sheets):
        when = float(tracked.clip.seconds[frame])
        camera = tracked.camera[frame].map(lambda x: x.float())
        directions = image_rays(camera).directions
        cosine = (directions * camera.forward).sum(-1)
        for sheet in sheets:
            seen = fetch(tracked, sheet, camera, when)
            rows, columns = (seen.alpha > 0.5).nonzero(as_tuple=True)
            some = torch.randint(max(1, len(rows)), (min(KEPT, len(rows)),), generator=chance)
            rows, columns = rows[some], columns[some]
            along = (seen.depth / cosine)[rows, columns, None]
            places = camera.position + directions[rows, columns] * along - centers(footage, sheet.layer, when)
            which = torch.full_like(rows, footage.layers.index(sheet.layer))
            shares = torch.full_like(along, when / last)
            found.append((which, places, shares, tracked.clip.frames[frame, rows, columns].float() / 255))
    return found
