"""A table of features on the vertices of a 3D grid: trilinear reading, and an Adam that steps only what was read.

A batch of rays reads a few per cent of the vertices. Both the gradient and the optimiser therefore work on rows: the
gradient of a reading is a sparse tensor with one row for each vertex touched, summed in a fixed order (so that runs
repeat bit for bit), and ``RowAdam`` updates just those rows.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag


def corners(
    position: Float[Tensor, "m 3"], shape: tuple[int, int, int]
) -> tuple[Int[Tensor, "m 8"], Float[Tensor, "m 8"]]:
    """The rows of the eight vertices around each position (in vertex units, 0..n-1 an axis), and their shares.

    >>> rows, share = corners(torch.tensor([[0.25, 0.0, 1.0]]), (2, 2, 2))
    >>> rows[0].tolist(), share[0].tolist()
    ([0, 1, 2, 3, 4, 5, 6, 7], [0.0, 0.75, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0])
    """
    limit = torch.tensor([n - 2 for n in shape], device=position.device, dtype=position.dtype)
    cell = torch.minimum(position.floor().clamp_min(0), limit)
    upper = (position - cell).clamp(0, 1)
    lower = 1 - upper
    (lx, ly, lz), (ux, uy, uz) = lower.unbind(-1), upper.unbind(-1)
    l_l, l_u, u_l, u_u = lx * ly, lx * uy, ux * ly, ux * uy
    share = torch.stack([l_l * lz, l_l * uz, l_u * lz, l_u * uz, u_l * lz, u_l * uz, u_u * lz, u_u * uz], -1)
    stride = torch.tensor([shape[1] * shape[2], shape[2], 1], device=position.device)
    first = (cell.long() * stride).sum(-1)
    sx, sy = shape[1] * shape[2], shape[2]
    offsets = torch.tensor([0, 1, sy, sy + 1, sx, sx + 1, sx + sy, sx + sy + 1], device=position.device)
    return first[:, None] + offsets, share


def summed_rows(
    gradient: Float[Tensor, "m c"], rows: Int[Tensor, "m k"], share: Float[Tensor, "m k"]
) -> tuple[Int[Tensor, "u"], Float[Tensor, "u c"]]:
    """What a gradient of ``sum_k share_k table[rows_k]`` sends to the table: the rows that it reaches, and their sums.

    Rows increase, and what meets in one is added in the order of the samples: runs repeat bit for bit.

    >>> rows, sums = summed_rows(torch.tensor([[1.0], [2.0]]), torch.tensor([[3, 0], [3, 5]]), torch.full((2, 2), 0.5))
    >>> rows.tolist(), sums[:, 0].tolist()
    ([0, 3, 5], [0.5, 1.5, 1.0])
    """
    # 32-bit keys sort nearly twice as fast as 64-bit ones.
    ordered, order = rows.flatten().int().sort(stable=True)
    touched, counts = torch.unique_consecutive(ordered, return_counts=True)
    starts = counts.cumsum(0) - counts
    weights = share.flatten()[order]
    summed = embedding_bag(
        order // rows.shape[1], gradient.contiguous(), starts, per_sample_weights=weights, mode="sum"
    )
    return touched.long(), summed


class _Blend(torch.autograd.Function):
    """Weighted sums of eight rows; the gradient is sparse, coalesced, and summed in the order of the samples."""

    @staticmethod
    def forward(ctx, table: Tensor, rows: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(rows, share)
        ctx.shape = table.shape
        return embedding_bag(rows, table, per_sample_weights=share, mode="sum")

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        rows, share = ctx.saved_tensors
        touched, summed = summed_rows(gradients[0], rows, share)
        sparse = torch.sparse_coo_tensor(touched[None], summed, ctx.shape, is_coalesced=True, check_invariants=False)
        return sparse, None, None


def blend(table: Float[Tensor, "v c"], rows: Int[Tensor, "m 8"], share: Float[Tensor, "m 8"]) -> Float[Tensor, "m c"]:
    """``sum_k share_k table[rows_k]``: the trilinear reading of a grid whose corners ``corners`` found."""
    return _Blend.apply(table, rows, share)


class RowAdam:
    """Adam (Kingma and Ba 2015, algorithm 1) that updates only the rows with a gradient.

    A row keeps its moments while untouched, as in torch's SparseAdam; ``age`` counts the steps of the whole table.
    """

    def __init__(self, table: Tensor, rate: float, betas: tuple[float, float] = (0.9, 0.99), epsilon: float = 1e-12):
        self.rate, self.betas, self.epsilon = rate, betas, epsilon
        self.mean = torch.zeros_like(table)
        self.square = torch.zeros_like(table)
        self.age = 0

    @torch.no_grad()
    def step(
        self, table: Tensor, touched: Int[Tensor, "u"], gradient: Float[Tensor, "u c"], scale: float = 1.0
    ) -> None:
        """Moves the rows ``touched`` of ``table`` against ``gradient`` at ``scale`` times the rate."""
        self.age += 1
        b1, b2 = self.betas
        mean = self.mean.index_select(0, touched).lerp_(gradient, 1 - b1)
        square = self.square.index_select(0, touched).mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        self.mean.index_copy_(0, touched, mean)
        self.square.index_copy_(0, touched, square)
        corrected = square.div_(1 - b2**self.age).sqrt_().add_(self.epsilon)
        step = mean.div_(corrected).mul_(-self.rate * scale / (1 - b1**self.age))
        table.index_copy_(0, touched, step.add_(table.index_select(0, touched)))
