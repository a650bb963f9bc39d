"""What all objects of a class share, once it is learned: the box, the latent space, the small network, shared planes.

It is saved as named tensors and plain JSON, and made again of them without any of the objects that it was learned from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldscape.configs import load_config
from fieldscape.errors import BadInput
from fieldscape.files import jsonable
from fieldscape.resuming import prefixed, under
from fieldscape.systems.latents.planes.autoencoder import LatentSpace, new_autoencoder
from fieldscape.systems.latents.planes.config import PlanesConfig, require_sound
from fieldscape.systems.latents.planes.field import HAZE, FieldNetwork
from fieldscape.systems.latents.planes.foreign import open_foreign
from fieldscape.systems.latents.planes.mixing import Parts, features_of, macro_shape, shapes_of
from fieldscape.systems.latents.planes.photos import Cells, rays_of
from fieldscape.systems.latents.planes.render import Place, Sampling, render
from fieldscape.systems.latents.planes.squash import unsquash
from fieldscape.types import Camera, Rays, Rendered

FORMAT = 1


@dataclass(frozen=True)
class PlanesShared:
    """What objects of a class share.

    space: the autoencoder; None in colours.  macro: the shared planes, if there are any.  mean: the parts of the mean
    scene [1, ...], which a new object starts from.  scale: of squashed latents.  background: white, as planes hold it.
    """

    config: PlanesConfig
    place: Place
    space: LatentSpace | None
    network: FieldNetwork
    macro: Float[Tensor, "m 3 r r g"] | None
    mean: Parts
    scale: float
    background: Float[Tensor, "c"]

    @property
    def device(self) -> torch.device:
        """Where scenes that share this are learned and drawn."""
        return self.background.device

    def to(self, device: torch.device) -> PlanesShared:
        """The same on ``device``; networks are copied, so that this one stays where it is."""
        if device == self.device:
            return self
        return PlanesShared(
            self.config,
            self.place.to(device),
            None if self.space is None else deepcopy(self.space).to(device),
            deepcopy(self.network).to(device),
            None if self.macro is None else self.macro.to(device),
            {name: part.to(device) for name, part in self.mean.items()},
            self.scale,
            self.background.to(device),
        )

    @property
    def factor(self) -> int:
        """Pixels of a cell's side."""
        return 1 if self.space is None else self.space.factor

    @property
    def sampling(self) -> Sampling:
        return Sampling(*self.config.samples, self.config.planes)

    def see(
        self,
        planes: Float[Tensor, "s 3 r r f"],
        camera: Camera,
        cells: Cells,
        chance: torch.Generator | None = None,
        network: FieldNetwork | None = None,
    ) -> Rendered:
        """What is seen in each cell, on the device of what is shared. camera: one for each photo, in cells, CPU."""
        rays = rays_of(camera, cells)
        return render(
            planes,
            network or self.network,
            Rays(rays.origins.to(self.device), rays.directions.to(self.device)),
            cells.scene.to(self.device),
            self.place,
            self.sampling,
            self.background,
            chance,
        )

    def decoded(self, color: Float[Tensor, "n h2 w2 c"], space: LatentSpace | None = None) -> Float[Tensor, "n h w 3"]:
        """Pictures of what was seen: the autoencoder's, or the colours themselves; not clamped."""
        space = space or self.space
        return color if space is None else space.decode(unsquash(color, self.scale).movedim(-1, 1)).movedim(1, -1)

    def tensors(self) -> dict[str, Tensor]:
        """With ``details``, all there is."""
        held = {"low": self.place.low, "high": self.place.high, "background": self.background}
        held |= prefixed("network", self.network.state_dict()) | prefixed("mean", self.mean)
        if self.place.occupied is not None:
            held["occupied"] = self.place.occupied.to(torch.uint8)
        if isinstance(self.space, nn.Module):
            held |= prefixed("space", self.space.state_dict())
        if self.macro is not None:
            held["macro"] = self.macro
        return {name: tensor.detach().cpu().clone() for name, tensor in held.items()}

    def details(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "config": jsonable(dataclasses.asdict(self.config)),
            "scale": self.scale,
            "span": list(self.place.span),
        }

    @staticmethod
    def of(tensors: Mapping[str, Tensor], details: Mapping[str, Any], where: str = "the bundle") -> PlanesShared:
        """The inverse of ``tensors`` and ``details``. Raises BadInput where they do not fit each other."""
        if details.get("format") != FORMAT:
            raise BadInput(f"{where} is of the format {details.get('format')!r:.20}; this version reads {FORMAT}.")
        config = load_config(PlanesConfig, details.get("config"), where)
        require_sound(config)
        space, network = new_space(config, 0), new_network(config, 0)
        scale, span = details.get("scale"), details.get("span")
        if not isinstance(scale, float) or not isinstance(span, list | tuple) or len(span) != 2 or scale <= 0:
            raise BadInput(f"{where} lacks its scale or span: it was cut, or is of another version.")
        shapes: dict[str, tuple[int, ...]] = {"low": (3,), "high": (3,), "background": (channels_of(config, space),)}
        shapes |= {f"mean.{name}": (1, *shape) for name, shape in shapes_of(config).items()}
        macro = macro_shape(config)
        if macro is not None:
            shapes["macro"] = macro
        for name, shape in shapes.items():
            if name not in tensors or tuple(tensors[name].shape) != shape or not bool(tensors[name].isfinite().all()):
                raise BadInput(f"{where}: {name} is missing, not finite, or not of the shape {list(shape)}.")
        try:
            network.load_state_dict(under("network", dict(tensors)))
            if space is not None:
                space.load_state_dict(under("space", dict(tensors)))
        except RuntimeError as error:
            raise BadInput(f"{where} holds networks of other options than it says.") from error
        occupied = tensors.get("occupied")
        if occupied is not None and occupied.ndim != 3:
            raise BadInput(f"{where}: what is occupied must have three axes.")
        place = Place(
            tensors["low"],
            tensors["high"],
            (float(span[0]), float(span[1])),
            None if occupied is None else occupied > 0,
        )
        mean = under("mean", dict(tensors))
        return PlanesShared(config, place, space, network, tensors.get("macro"), mean, scale, tensors["background"])


def new_space(config: PlanesConfig, seed: int) -> LatentSpace | None:
    """The autoencoder of the config before it is trained, or another's from its folder; None in colours."""
    if config.space == "rgb":
        return None
    if config.autoencoder.source != "own":
        return open_foreign(Path(config.autoencoder.source))
    return new_autoencoder(config.autoencoder, seed)


def channels_of(config: PlanesConfig, space: LatentSpace | None) -> int:
    """Numbers that planes hold of a point."""
    return 3 if space is None else space.channels


def new_network(config: PlanesConfig, seed: int, channels: int | None = None) -> FieldNetwork:
    """The small network before training; a seed means the same weights everywhere."""
    count = channels if channels is not None else 3 if config.space == "rgb" else config.autoencoder.channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FieldNetwork(features_of(config), config.hidden, count, HAZE[config.box])


def all_cells(camera: Camera) -> Cells:
    """All cells of one camera (a batch of one), row by row."""
    y, x = torch.meshgrid(torch.arange(camera.height), torch.arange(camera.width), indexing="ij")
    xy: Int[Tensor, "n 2"] = torch.stack([x, y], -1).reshape(-1, 2)
    nothing = torch.zeros(len(xy), dtype=torch.long)
    return Cells(nothing, xy, nothing)
