"""Training in several processes at once, as ``torchrun`` starts them: each has its share of every batch.

    torchrun --nproc-per-node 4 -m fieldscape gan train PHOTOS --out RUN

All processes hold the same weights: they begin with the same ones, and each step moves them by the mean of all
gradients. What depends on the clock or on a signal is agreed upon once a step, so that none waits for one that left.
Where a table has a row for each of many things, each process keeps the rows that are its own (``own``, ``gathered``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as distributed
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fieldscape import devices, resuming
from fieldscape.errors import BadInput

CPU = torch.device("cpu")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ranks:
    """Which process of how many this is, and where it computes. Process 0 writes; alone, every method does nothing."""

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        return self.rank == 0

    def chance(self, seed: int) -> torch.Generator:
        """This process's own randomness: numbers are drawn on the CPU, so that a seed means the same everywhere."""
        chance = torch.Generator().manual_seed(seed)
        if self.rank:
            # Not seed + rank, the seed of somebody's next run. Of a seed, the generator takes 32 bits.
            chance.manual_seed(int(torch.randint(2**31, (self.rank,), generator=chance)[-1]))
        return chance

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """The gradients of all processes give way to their mean. Call it in all processes after ``backward``."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(part.view_as(gradient))

    def mean(self, value: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The mean over the processes."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.count

    def agreed(self, stopped: str | None, broken: bool, seconds: float) -> tuple[str | None, bool, float]:
        """What all hold from here on: whether (and why) to stop, whether training broke, and the first's clock."""
        if self.count == 1:
            return stopped, broken, seconds
        said = torch.tensor([stopped is not None, broken, seconds if self.first else 0.0], dtype=torch.float64)
        said = said.to(self.device)
        distributed.all_reduce(said, distributed.ReduceOp.MAX)
        stop, broke, clock = said.tolist()
        return (stopped or "another process was asked to stop") if stop else None, bool(broke), clock

    def any(self, one: bool) -> bool:
        """Whether it is so in any of the processes."""
        return self.agreed(None, one, 0.0)[1]

    def asked(self, stopped: str | None) -> str | None:
        """Why to stop, where any of the processes was asked to."""
        return self.agreed(stopped, False, 0.0)[0]

    def own(self, count: int) -> range:
        """Which of ``count`` things are this process's: every so manieth, from its own number on.

        >>> list(Ranks(1, 3).own(8))
        [1, 4, 7]
        """
        return range(self.rank, count, self.count)

    def gathered(self, own: Shaped[Tensor, "n *shape"], count: int) -> Shaped[Tensor, "m *shape"]:
        """One table of ``count`` rows in process 0, of the rows that all ``own``; the others get theirs back."""
        if self.count == 1:
            return own
        padded = own.new_zeros((-(-count // self.count), *own.shape[1:]))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(self.count)] if self.first else None
        distributed.gather(padded, parts)
        return own if parts is None else torch.stack(parts, 1).flatten(0, 1)[:count]

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """Each of the tensors becomes, in place, what it is in process 0."""
        for tensor in tensors if self.count > 1 else ():
            distributed.broadcast(tensor.detach(), 0)

    def in_turn(self, act: Callable[[], Result]) -> Result:
        """What ``act`` gives, process 0 acting first: what it leaves in files is there for the others.

        Raises BadInput in all processes where ``act`` does in one.
        """
        found, fault = list[Result](), None
        for turn in (True, False):
            if self.first is turn:
                try:
                    found.append(act())
                except BadInput as error:
                    fault = error
            if self.any(fault is not None):
                raise fault or BadInput(f"Process {self.rank} gives up with another one, which says why.")
        return found[0]

    def chances(self, chance: torch.Generator) -> dict[str, Tensor]:
        """The random states of all processes but the first, named ``chance.1`` and so on, for a checkpoint."""
        if self.count == 1:
            return {}
        own = resuming.rng_state(chance).to(self.device)
        states = [torch.empty_like(own) for _ in range(self.count)]
        distributed.all_gather(states, own)
        return {f"chance.{rank}": state.cpu() for rank, state in enumerate(states) if rank}

    def own_chance(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a checkpoint with this process's random state as ``chance``.

        Raises BadInput where the checkpoint is of another number of processes.
        """
        made = 1 + sum(name.startswith("chance.") for name in tensors)
        if made != self.count:
            raise BadInput(
                f"The run was made by {made} processes and {self.count} are to go on with it: "
                f"start as many with torchrun --nproc-per-node {made}."
            )
        return tensors if self.first else tensors | {"chance": tensors[f"chance.{self.rank}"]}


def require_alone(what: str) -> None:
    """Raises BadInput if this is one of several processes that ``torchrun`` started. ``what``: the command."""
    if _told("WORLD_SIZE", 1) > 1:
        raise BadInput(f"{what} is the work of one process: leave torchrun away.")


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes that ``torchrun`` started, or this one alone. ``device``: as ``--device`` names it.

    Raises BadInput for a device that is not there, or where the processes do not find each other.
    """
    count = _told("WORLD_SIZE", 1)
    if count == 1:
        yield Ranks(device=devices.pick(device))
        return
    rank, local = _told("RANK", 0), _told("LOCAL_RANK", 0)
    place = devices.pick(device)
    if place.type == "mps":
        raise BadInput("Several processes cannot share an Apple GPU: give --device cpu, or leave torchrun away.")
    if place.type == "cuda":
        place = devices.pick(f"cuda:{local}")
        torch.cuda.set_device(place)
    try:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            f"Process {rank} of {count} does not find the others ({error}): start all with torchrun."
        ) from error
    try:
        yield Ranks(rank, count, place)
    finally:
        distributed.destroy_process_group()


def _told(name: str, default: int) -> int:
    """A number that torchrun sets in the environment."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise BadInput(f"{name} is {value!r} in the environment; torchrun sets it to a number.")
    return int(value)
