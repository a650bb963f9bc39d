"""Adam over a table of scenes, a step of which costs what its batch costs, and not what the table costs.

Published code steps all scenes at every batch: a step then costs as much as there are scenes, and those that no batch
has touched drift on with the momentum they have left. ``RowAdam`` moves the rows that were used. Each keeps its own
moments and its own age, so that a scene first met late starts as one first met early. (``voxels.grid.RowAdam`` has one
age for the whole table: its rows are all met at once.) Kingma and Ba, "Adam", 2015, algorithm 1.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.errors import BadInput

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class RowAdam:
    """Adam that moves only the rows that a batch used; all others stay bit for bit."""

    def __init__(self, table: Float[Tensor, "n *shape"]):
        self.mean, self.square = torch.zeros_like(table), torch.zeros_like(table)
        self.age = torch.zeros(len(table), dtype=torch.long, device=table.device)

    @torch.no_grad()
    def step(
        self,
        table: Float[Tensor, "n *shape"],
        rows: Int[Tensor, "u"],
        gradient: Float[Tensor, "u *shape"],
        rate: float,
    ) -> None:
        """Moves ``rows`` (no two the same) of ``table`` against ``gradient``."""
        b1, b2 = BETAS
        age = self.age[rows] + 1
        mean = self.mean[rows].lerp_(gradient, 1 - b1)
        square = self.square[rows].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        self.age[rows], self.mean[rows], self.square[rows] = age, mean, square
        wide = age.to(table).reshape(-1, *[1] * (table.ndim - 1))
        corrected = square.div_(1 - b2**wide).sqrt_().add_(EPSILON)
        table[rows] -= mean.div_(corrected).mul_(rate / (1 - b1**wide))

    def tensors(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "square": self.square, "age": self.age}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Goes back to what ``tensors`` gave. Raises BadInput if they are of another table."""
        _require_fit(self.tensors(), tensors)
        self.mean, self.square, self.age = _copied(tensors, self.age.device)


class DenseAdam:
    """Adam over all rows at every step, those without a gradient too: as published, to compare with."""

    def __init__(self, table: Float[Tensor, "n *shape"]):
        self.mean, self.square = torch.zeros_like(table), torch.zeros_like(table)
        self.age = torch.zeros((), dtype=torch.long, device=table.device)

    @torch.no_grad()
    def step(
        self,
        table: Float[Tensor, "n *shape"],
        rows: Int[Tensor, "u"],
        gradient: Float[Tensor, "u *shape"],
        rate: float,
    ) -> None:
        """Moves all of ``table`` against a gradient that is 0 but in ``rows``."""
        b1, b2 = BETAS
        self.age += 1
        age = int(self.age)
        wide = torch.zeros_like(table).index_add_(0, rows, gradient)
        self.mean.lerp_(wide, 1 - b1)
        self.square.mul_(b2).addcmul_(wide, wide, value=1 - b2)
        corrected = (self.square / (1 - b2**age)).sqrt_().add_(EPSILON)
        table.addcdiv_(self.mean, corrected, value=-rate / (1 - b1**age))

    def tensors(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "square": self.square, "age": self.age}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Goes back to what ``tensors`` gave. Raises BadInput if they are of another table."""
        _require_fit(self.tensors(), tensors)
        self.mean, self.square, self.age = _copied(tensors, self.age.device)


TableAdam: TypeAlias = RowAdam | DenseAdam
"""What steps a table: by rows, or as published."""


def table_adam(kind: Literal["row", "dense"], table: Float[Tensor, "n *shape"]) -> TableAdam:
    """The Adam that the config names, for ``table``."""
    return RowAdam(table) if kind == "row" else DenseAdam(table)


def _copied(tensors: dict[str, Tensor], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    mean, square, age = (tensors[name].to(device, copy=True) for name in ("mean", "square", "age"))
    return mean, square, age


def _require_fit(here: dict[str, Tensor], given: dict[str, Tensor]) -> None:
    if {n: t.shape for n, t in here.items()} != {n: t.shape for n, t in given.items()}:
        raise BadInput("The checkpoint is of other scenes or other planes: resume with what it was made with.")
