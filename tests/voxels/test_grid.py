"""The grid table: trilinear reading against a twin, sparse gradients against autograd's, Adam against torch's."""

import pytest
import torch

from fieldscape.voxels.grid import RowAdam, blend, corners


def dense_twin(table: torch.Tensor, position: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """torch's own trilinear interpolation, which wants (z, y, x) in -1..1."""
    volume = table.view(*shape, -1).permute(3, 0, 1, 2)[None]
    place = 2 * position / (torch.tensor(shape) - 1) - 1
    out = torch.nn.functional.grid_sample(volume, place.flip(-1)[None, :, None, None], align_corners=True)
    return out[0, :, :, 0, 0].T


def positions(shape: tuple[int, int, int], n: int = 200) -> torch.Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(0)) * (torch.tensor(shape) - 1)


SHAPE = (5, 4, 7)


def test_reading_is_trilinear() -> None:
    table = torch.randn(140, 3, generator=torch.Generator().manual_seed(1))
    place = positions(SHAPE)
    assert torch.allclose(blend(table, *corners(place, SHAPE)), dense_twin(table, place, SHAPE), atol=1e-5)


def test_a_linear_function_is_read_exactly_up_to_the_last_vertex() -> None:
    grid = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij"), -1).reshape(-1, 3)
    place = torch.cat([positions(SHAPE), torch.tensor([[0.0, 0, 0], [4.0, 3.0, 6.0]])])
    assert torch.allclose(blend(grid, *corners(place, SHAPE)), place, atol=1e-5)


def test_the_gradient_is_sparse_and_that_of_autograd() -> None:
    table = torch.randn(140, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    rows, share = corners(positions(SHAPE, 40), SHAPE)
    weight = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))
    (sparse,) = torch.autograd.grad((blend(table, rows, share) * weight).sum(), table)
    (plain,) = torch.autograd.grad(((table[rows] * share[..., None]).sum(1) * weight).sum(), table)
    assert sparse.is_coalesced()
    assert torch.allclose(sparse.to_dense(), plain, atol=1e-5)
    assert set(sparse.indices()[0].tolist()) == set(rows.flatten().tolist())


def test_the_gradient_is_the_same_bit_for_bit_every_time() -> None:
    table = torch.randn(140, 3, requires_grad=True)
    rows, share = corners(positions(SHAPE, 4000), SHAPE)
    weight = torch.randn(4000, 3)
    first, second = (
        torch.autograd.grad((blend(table, rows, share) * weight).sum(), table)[0].values() for _ in range(2)
    )
    assert torch.equal(first, second)


def test_rows_step_as_torch_adam_steps_them_when_all_are_touched() -> None:
    ours, theirs = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.nn.Parameter(torch.empty(6, 2))
    theirs.data.copy_(ours)
    own, reference = RowAdam(ours, 0.1), torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.99), eps=1e-12)
    for step in range(5):
        gradient = torch.randn(6, 2, generator=torch.Generator().manual_seed(step))
        own.step(ours, torch.arange(6), gradient.clone())
        theirs.grad = gradient
        reference.step()
    assert torch.allclose(ours, theirs.data, atol=1e-5)


def test_untouched_rows_stay_as_they_are() -> None:
    table = torch.randn(6, 2)
    before, optimizer = table.clone(), RowAdam(table, 0.1)
    optimizer.step(table, torch.tensor([1, 4]), torch.ones(2, 2))
    assert torch.equal(table[[0, 2, 3, 5]], before[[0, 2, 3, 5]])
    assert not torch.equal(table[[1, 4]], before[[1, 4]])
    assert float(optimizer.mean[[0, 2, 3, 5]].abs().sum()) == 0


@pytest.mark.parametrize("place", [[-0.1, 0, 0], [4.5, 3, 6], [100, 100, 100]])
def test_a_position_outside_reads_the_border(place) -> None:
    table = torch.randn(140, 1)
    rows, share = corners(torch.tensor([place], dtype=torch.float32), SHAPE)
    assert bool(((rows >= 0) & (rows < 140)).all())
    assert float(share.sum()) == pytest.approx(1)
    assert bool((share >= 0).all())
    assert blend(table, rows, share).isfinite().all()
