"""Adam over a table of scenes: that of torch for rows that are used, nothing at all for the others."""

import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.systems.latents.planes.row_adam import DenseAdam, RowAdam, table_adam


def test_a_row_moves_as_if_it_were_alone_and_all_others_stay_bit_for_bit():
    """Each row is stepped at its own steps, as by torch's Adam over that row alone."""
    chance = torch.Generator().manual_seed(0)
    table = torch.randn(4, 2, 3, generator=chance)
    alone = [row.clone().requires_grad_() for row in table]
    adams = [torch.optim.Adam([row], lr=0.1) for row in alone]
    ours = RowAdam(table)
    for _ in range(6):
        rows = torch.randperm(4, generator=chance)[:2]
        gradient = torch.randn(2, 2, 3, generator=chance)
        before = table.clone()
        ours.step(table, rows, gradient, 0.1)
        others = [i for i in range(4) if i not in rows.tolist()]
        assert torch.equal(table[others], before[others])
        for row, slope in zip(rows.tolist(), gradient):
            alone[row].grad = slope.clone()
            adams[row].step()
    torch.testing.assert_close(table, torch.stack([row.detach() for row in alone]), rtol=1e-5, atol=1e-5)


def test_a_row_that_no_batch_ever_used_keeps_moments_of_zero():
    table = torch.ones(4, 3)
    adam = RowAdam(table)
    for _ in range(3):
        adam.step(table, torch.tensor([1]), torch.ones(1, 3), 0.1)
    assert adam.age.tolist() == [0, 3, 0, 0]
    assert torch.equal(adam.mean[[0, 2, 3]], torch.zeros(3, 3))


def test_the_dense_one_is_that_of_torch_and_lets_scenes_drift():
    chance = torch.Generator().manual_seed(1)
    table = torch.randn(5, 4, generator=chance)
    twin = table.clone().requires_grad_()
    torchs, ours = torch.optim.Adam([twin], lr=0.05), DenseAdam(table)
    for _ in range(8):
        rows, gradient = torch.randperm(5, generator=chance)[:2], torch.randn(2, 4, generator=chance)
        before = table.clone()
        ours.step(table, rows, gradient, 0.05)
        twin.grad = torch.zeros(5, 4).index_add(0, rows, gradient)
        torchs.step()
    torch.testing.assert_close(table, twin.detach(), rtol=1e-5, atol=1e-5)
    untouched = [i for i in range(5) if i not in rows.tolist()]
    assert not torch.equal(table[untouched], before[untouched])


def test_scalars_for_each_scene_are_stepped_too():
    table = torch.zeros(3)
    RowAdam(table).step(table, torch.tensor([2]), torch.tensor([5.0]), 0.1)
    assert table.tolist() == [0, 0, pytest.approx(-0.1, rel=1e-4)]


@pytest.mark.parametrize("kind", ["row", "dense"])
def test_a_restored_one_goes_on_bit_for_bit(kind):
    chance = torch.Generator().manual_seed(2)
    table = torch.randn(4, 3, generator=chance)
    steps = [(torch.randperm(4, generator=chance)[:2], torch.randn(2, 3, generator=chance)) for _ in range(6)]
    whole, adam = table.clone(), table_adam(kind, table)
    for rows, gradient in steps:
        adam.step(whole, rows, gradient, 0.1)
    halves, first = table.clone(), table_adam(kind, table)
    for rows, gradient in steps[:3]:
        first.step(halves, rows, gradient, 0.1)
    second = table_adam(kind, table)
    second.restore(first.tensors())
    for rows, gradient in steps[3:]:
        second.step(halves, rows, gradient, 0.1)
    assert torch.equal(whole, halves)


def test_what_a_step_touches_does_not_grow_with_the_table():
    """Counted, not timed: the operations of a step see tensors of the batch's size alone."""
    sizes = []

    class Counting(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            answer = function(*args, **(kwargs or {}))
            writes = "index_put" in str(function) or "copy" in str(function)
            if isinstance(answer, torch.Tensor) and not writes:
                sizes.append(answer.numel())
            return answer

    for scenes in (8, 512):
        table = torch.zeros(scenes, 5)
        adam = RowAdam(table)
        sizes.clear()
        with Counting():
            adam.step(table, torch.tensor([1, 4]), torch.ones(2, 5), 0.1)
        assert max(sizes) <= 10, f"at {scenes} scenes"


def test_a_checkpoint_of_another_table_is_refused():
    with pytest.raises(BadInput, match="other scenes"):
        RowAdam(torch.zeros(3, 2)).restore(RowAdam(torch.zeros(4, 2)).tensors())
