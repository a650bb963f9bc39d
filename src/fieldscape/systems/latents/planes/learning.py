"""Everything that learns while what is shared is learned, and what a checkpoint needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape import resuming
from fieldscape.errors import BadInput
from fieldscape.systems.latents.planes.autoencoder import LatentSpace
from fieldscape.systems.latents.planes.config import PlanesConfig
from fieldscape.systems.latents.planes.mixing import Parts, first_macro, first_parts, mixed
from fieldscape.systems.latents.planes.render import Place
from fieldscape.systems.latents.planes.row_adam import TableAdam, table_adam
from fieldscape.systems.latents.planes.shared import PlanesShared, channels_of, new_network

FALL = 0.1
"""What step sizes have fallen to at the end of a stage."""


@dataclass
class Learning:
    """What is shared, the table of scenes, and their optimisers.

    shared: as it is now; its mean is that of the start.  table: the parts of all scenes.  adams: one for each part.
    adam: of networks and shared planes.
    """

    shared: PlanesShared
    table: Parts
    adams: dict[str, TableAdam]
    adam: torch.optim.Adam
    chance: torch.Generator
    step: int = 0

    def taken(self, scenes: Int[Tensor, "s"]) -> Parts:
        """The parts of a batch of scenes, as leaves whose gradients ``moved`` takes."""
        return {name: part[scenes].requires_grad_() for name, part in self.table.items()}

    def moved(self, scenes: Int[Tensor, "s"], parts: Parts, rate: float) -> None:
        """Moves these scenes, and no other, against the gradients of ``parts``."""
        for name, part in parts.items():
            if part.grad is not None:
                self.adams[name].step(self.table[name], scenes, part.grad, rate)

    def planes(self, parts: Parts) -> Float[Tensor, "s 3 r r f"]:
        return mixed(parts, self.shared.macro, self.shared.config.sharing == "sum")

    def mean(self) -> Parts:
        """The parts of the mean scene."""
        return {name: part.mean(0, keepdim=True) for name, part in self.table.items()}

    def tensors(self) -> dict[str, Tensor]:
        """With ``state``, all there is to go on from."""
        held = resuming.prefixed("shared", self.shared.tensors()) | resuming.prefixed("table", self.table)
        for name, adam in self.adams.items():
            held |= resuming.prefixed(f"adams.{name}", adam.tensors())
        held |= resuming.prefixed("adam", resuming.optimizer_state(self.adam)[0])
        return held | {"chance": resuming.rng_state(self.chance)}

    def state(self) -> dict[str, Any]:
        groups = resuming.optimizer_state(self.adam)[1]
        return {"details": self.shared.details(), "groups": groups, "step": self.step}


def begin(config: PlanesConfig, shared: PlanesShared, scenes: int, seed: int) -> Learning:
    """All scenes at the start."""
    chance = torch.Generator().manual_seed(seed)
    table = first_parts(config, scenes, chance)
    adams = {name: table_adam(config.optimiser, part) for name, part in table.items()}
    return Learning(shared, table, adams, shared_adam(shared), chance)


def new_shared(
    config: PlanesConfig, place: Place, space: LatentSpace | None, scale: float, background: Tensor, seed: int
) -> PlanesShared:
    """What is shared, before any scene has taught it."""
    chance = torch.Generator().manual_seed(seed + 1)
    macro = first_macro(config, chance)
    network = new_network(config, seed, channels_of(config, space))
    mean = first_parts(config, 1, chance)
    return PlanesShared(config, place, space, network, macro, mean, scale, background)


def shared_adam(shared: PlanesShared) -> torch.optim.Adam:
    """The optimiser of all that scenes share: shared planes, the small network, the autoencoder, in this order."""
    groups: list[dict[str, Any]] = []
    if shared.macro is not None:
        groups += [{"params": [shared.macro.requires_grad_()]}]
    groups += [{"params": list(shared.network.parameters())}]
    if shared.space is not None:
        groups += [{"params": list(shared.space.parameters())}]
    return torch.optim.Adam(groups, lr=0.0)


def set_rates(adam: torch.optim.Adam, macro: bool, plane: float, network: float, space: float) -> None:
    """Step sizes of the groups that ``shared_adam`` made."""
    rates = [plane] * macro + [network, space]
    for group, rate in zip(adam.param_groups, rates):
        group["lr"] = rate


def restored(config: PlanesConfig, tensors: dict[str, Tensor], state: dict[str, Any]) -> Learning:
    """The learning that ``tensors`` and ``state`` were taken from. Raises BadInput if they do not fit each other."""
    shared = PlanesShared.of(resuming.under("shared", tensors), state["details"], "the checkpoint")
    if shared.config != config:
        raise BadInput("The checkpoint was made with other options: resume with those.")
    table = {name: part.clone() for name, part in resuming.under("table", tensors).items()}
    adams = {name: table_adam(config.optimiser, part) for name, part in table.items()}
    for name, adam in adams.items():
        adam.restore(resuming.under(f"adams.{name}", tensors))
    learning = Learning(shared, table, adams, shared_adam(shared), torch.Generator(), int(state["step"]))
    resuming.set_optimizer_state(learning.adam, resuming.under("adam", tensors), state["groups"])
    resuming.set_rng_state(learning.chance, tensors["chance"])
    return learning


def falling(step: int, steps: int) -> float:
    """The share of a step size that is left at ``step`` of a stage.

    >>> round(falling(0, 100), 3), round(falling(50, 100), 3), round(falling(100, 100), 3)
    (1.0, 0.316, 0.1)
    """
    return FALL ** (step / max(steps, 1))
