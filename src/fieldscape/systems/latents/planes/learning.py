"""Everything that learns while what is shared is learned, and what a checkpoint needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldscape import resuming
from fieldscape.errors import BadInput
from fieldscape.ranks import Ranks
from fieldscape.systems.latents.planes.autoencoder import LatentSpace
from fieldscape.systems.latents.planes.config import PlanesConfig
from fieldscape.systems.latents.planes.mixing import Parts, first_macro, first_parts, mixed
from fieldscape.systems.latents.planes.render import Place
from fieldscape.systems.latents.planes.row_adam import TableAdam, table_adam
from fieldscape.systems.latents.planes.shared import PlanesShared, channels_of, new_network

ALONE = Ranks()
FALL = 0.1
"""What step sizes have fallen to at the end of a stage."""


@dataclass
class Learning:
    """What is shared, the table of scenes, and their optimisers.

    shared: as it is now, the same in all processes; its mean is that of the start.  table: the parts of the scenes that
    are this process's own.  adams: one for each part.  adam: of networks and shared planes.  scenes: how many there are
    in all processes.
    """

    shared: PlanesShared
    table: Parts
    adams: dict[str, TableAdam]
    adam: torch.optim.Adam
    chance: torch.Generator
    ranks: Ranks
    scenes: int
    step: int = 0

    def taken(self, scenes: Int[Tensor, "s"]) -> Parts:
        """The parts of a batch of scenes, as leaves whose gradients ``moved`` takes."""
        rows = scenes.to(self.shared.device)
        return {name: part[rows].requires_grad_() for name, part in self.table.items()}

    def moved(self, scenes: Int[Tensor, "s"], parts: Parts, rate: float) -> None:
        """Moves these scenes, and no other, against the gradients of ``parts``."""
        for name, part in parts.items():
            if part.grad is not None:
                self.adams[name].step(self.table[name], scenes.to(part.device), part.grad, rate)

    def planes(self, parts: Parts) -> Float[Tensor, "s 3 r r f"]:
        return mixed(parts, self.shared.macro, self.shared.config.sharing == "sum")

    def mean(self) -> Parts:
        """The parts of the mean scene. All processes ask at once."""
        ranks, scenes = self.ranks, self.scenes
        return {
            name: ranks.mean(part.mean(0, keepdim=True) * (len(part) * ranks.count / scenes))
            for name, part in self.table.items()
        }

    def gathered(self) -> Parts:
        """The parts of all scenes, on the CPU of process 0. All processes ask at once."""
        return {name: self.ranks.gathered(part, self.scenes).cpu() for name, part in self.table.items()}

    def tensors(self) -> dict[str, Tensor]:
        """With ``state``, all there is to go on from, in process 0. All processes ask at once."""
        held = resuming.prefixed("shared", self.shared.tensors()) | resuming.prefixed("table", self.gathered())
        for key, adam in self.adams.items():
            memory = {
                name: self.ranks.gathered(tensor, self.scenes) if tensor.ndim else tensor
                for name, tensor in adam.tensors().items()
            }
            held |= resuming.prefixed(f"adams.{key}", memory)
        held |= resuming.prefixed("adam", resuming.optimizer_state(self.adam)[0])
        held |= {"chance": resuming.rng_state(self.chance)} | self.ranks.chances(self.chance)
        return {name: tensor.cpu() for name, tensor in held.items()}

    def state(self) -> dict[str, Any]:
        groups = resuming.optimizer_state(self.adam)[1]
        return {"details": self.shared.details(), "groups": groups, "step": self.step}


def begin(config: PlanesConfig, shared: PlanesShared, scenes: int, seed: int, ranks: Ranks = ALONE) -> Learning:
    """All scenes at the start, of which each process has its own, on the device of ``shared``."""
    chance = ranks.chance(seed)
    first = first_parts(config, len(ranks.own(scenes)), chance)
    table = {name: part.to(shared.device) for name, part in first.items()}
    adams = {name: table_adam(config.optimiser, part) for name, part in table.items()}
    return Learning(shared, table, adams, shared_adam(shared), chance, ranks, scenes)


def new_shared(
    config: PlanesConfig, place: Place, space: LatentSpace | None, scale: float, background: Tensor, seed: int
) -> PlanesShared:
    """What is shared, before any scene has taught it, where ``background`` is."""
    chance, device = torch.Generator().manual_seed(seed + 1), background.device
    macro = first_macro(config, chance)
    network = new_network(config, seed, channels_of(config, space)).to(device)
    mean = {name: part.to(device) for name, part in first_parts(config, 1, chance).items()}
    macro = None if macro is None else macro.to(device)
    return PlanesShared(config, place, space, network, macro, mean, scale, background)


def shared_adam(shared: PlanesShared) -> torch.optim.Adam:
    """The optimiser of all that scenes share: shared planes, the small network, encoder, decoder, in this order."""
    groups: list[dict[str, Any]] = []
    if shared.macro is not None:
        groups += [{"params": [shared.macro.requires_grad_()]}]
    groups += [{"params": list(shared.network.parameters())}]
    if shared.space is not None:
        groups += [{"params": half} for half in halves(shared.space)]
    return torch.optim.Adam(groups, lr=0.0)


def halves(space: LatentSpace) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters that encoding needs, and those that only decoding uses."""
    named = list(space.named_parameters())
    return [p for name, p in named if not name.startswith(space.DECODES)], [
        p for name, p in named if name.startswith(space.DECODES)
    ]


def set_rates(
    adam: torch.optim.Adam, macro: bool, plane: float, network: float, encoder: float, decoder: float
) -> None:
    """Step sizes of the groups that ``shared_adam`` made."""
    rates = [plane] * macro + [network, encoder, decoder]
    for group, rate in zip(adam.param_groups, rates):
        group["lr"] = rate


def restored(
    config: PlanesConfig, tensors: dict[str, Tensor], state: dict[str, Any], scenes: int, ranks: Ranks = ALONE
) -> Learning:
    """The learning of so many scenes that ``tensors`` and ``state`` were taken from.

    Raises BadInput if they do not fit each other, or are of another number of processes.
    """
    tensors = ranks.own_chance(tensors)
    shared = PlanesShared.of(resuming.under("shared", tensors), state["details"], "the checkpoint")
    if shared.config != config:
        raise BadInput("The checkpoint was made with other options: resume with those.")
    whole, rows = resuming.under("table", tensors), slice(ranks.rank, None, ranks.count)
    if any(len(part) != scenes for part in whole.values()):
        raise BadInput("The checkpoint is of another number of objects: resume with the same ones.")
    shared = shared.to(ranks.device)
    table = {name: part[rows].to(ranks.device, copy=True) for name, part in whole.items()}
    adams = {name: table_adam(config.optimiser, part) for name, part in table.items()}
    for key, adam in adams.items():
        memory = resuming.under(f"adams.{key}", tensors)
        adam.restore({name: tensor[rows] if tensor.ndim else tensor for name, tensor in memory.items()})
    adam_of_shared, step = shared_adam(shared), int(state["step"])
    learning = Learning(shared, table, adams, adam_of_shared, torch.Generator(), ranks, scenes, step)
    resuming.set_optimizer_state(learning.adam, resuming.under("adam", tensors), state["groups"])
    resuming.set_rng_state(learning.chance, tensors["chance"])
    return learning


def falling(step: int, steps: int) -> float:
    """The share of a step size that is left at ``step`` of a stage.

    >>> round(falling(0, 100), 3), round(falling(50, 100), 3), round(falling(100, 100), 3)
    (1.0, 0.316, 0.1)
    """
    return FALL ** (step / max(steps, 1))
