"""A training that is interrupted and resumed is the training that was not, bit for bit."""

from __future__ import annotations

import pytest
import torch

from fieldscape.checkpoints import latest_checkpoint, save_checkpoint
from fieldscape.errors import BadInput
from fieldscape.resuming import (
    global_rng_state,
    optimizer_state,
    prefixed,
    rng_state,
    set_global_rng_state,
    set_optimizer_state,
    set_rng_state,
    under,
)


class Training:
    """A small network learned with Adam, its own generator for the batches, and torch's own one for dropout."""

    def __init__(self, seed: int, kind: type[torch.optim.Optimizer] = torch.optim.Adam) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1)
        )
        slow, fast = self.model[0].parameters(), self.model[3].parameters()
        self.optimizer = kind([{"params": slow, "lr": 1e-3}, {"params": fast, "lr": 1e-2}], lr=1e-3)
        self.generator = torch.Generator().manual_seed(seed + 1)

    def step(self) -> None:
        x = torch.rand(8, 3, generator=self.generator)
        loss = (self.model(x) - x.sum(-1, keepdim=True)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.optimizer.param_groups[0]["lr"] *= 0.99

    def save(self, folder, step: int) -> None:
        tensors, groups = optimizer_state(self.optimizer)
        every = prefixed("model", self.model.state_dict()) | prefixed("optimizer", tensors) | global_rng_state()
        save_checkpoint(folder, step, every | {"batches": rng_state(self.generator)}, {"groups": groups})

    def load(self, folder) -> None:
        found = latest_checkpoint(folder)
        self.model.load_state_dict(under("model", found.tensors))
        set_optimizer_state(self.optimizer, under("optimizer", found.tensors), found.state["groups"])
        set_rng_state(self.generator, found.tensors["batches"])
        set_global_rng_state(found.tensors)

    def bits(self) -> dict[str, torch.Tensor]:
        tensors, _ = optimizer_state(self.optimizer)
        return dict(self.model.state_dict()) | tensors | {"batches": self.generator.get_state()}


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
def test_resumed_equals_uninterrupted(tmp_path, kind):
    whole = Training(7, kind)
    for _ in range(20):
        whole.step()
    expected = whole.bits()
    expected_global = torch.get_rng_state()

    first = Training(7, kind)
    for _ in range(9):
        first.step()
    first.save(tmp_path, 9)
    resumed = Training(1234, kind)  # other weights, other generators: all must come from the checkpoint
    resumed.load(tmp_path)
    for _ in range(11):
        resumed.step()
    assert resumed.bits().keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(resumed.bits()[name], tensor), name
    assert torch.equal(torch.get_rng_state(), expected_global)
    assert [g["lr"] for g in resumed.optimizer.param_groups] == [g["lr"] for g in whole.optimizer.param_groups]


def test_the_optimiser_matters():
    """The test above can fail: without Adam's memory the resumed training is another one."""
    whole, forgetful = Training(7), Training(7)
    for training in (whole, forgetful):
        for _ in range(9):
            training.step()
    forgetful.optimizer.state.clear()
    state = torch.get_rng_state()
    for training in (whole, forgetful):
        torch.set_rng_state(state)
        training.step()
    assert not torch.equal(whole.model[0].weight, forgetful.model[0].weight)


def test_groups_come_back_with_their_types(tmp_path):
    first = Training(0)
    first.step()
    first.save(tmp_path, 1)
    second = Training(0)
    second.load(tmp_path)
    for group, original in zip(second.optimizer.param_groups, first.optimizer.param_groups):
        assert {k: v for k, v in group.items() if k != "params"} == {k: v for k, v in original.items() if k != "params"}
        assert isinstance(group["betas"], tuple)


def test_the_state_of_another_optimiser_is_refused():
    training = Training(0)
    training.step()
    tensors, groups = optimizer_state(training.optimizer)
    other = torch.optim.Adam([torch.nn.Parameter(torch.zeros(3))])
    with pytest.raises(BadInput, match="does not fit"):
        set_optimizer_state(other, tensors, groups)
    with pytest.raises(BadInput, match="does not fit"):
        set_optimizer_state(other, tensors, groups[:1])
    with pytest.raises(BadInput, match="does not fit"):
        set_optimizer_state(training.optimizer, {"x.exp_avg": torch.zeros(1)}, groups)


def test_a_random_state_of_another_kind_is_refused():
    with pytest.raises(BadInput, match="not one of a cpu generator"):
        set_rng_state(torch.Generator(), torch.zeros(16, dtype=torch.uint8))
    with pytest.raises(BadInput, match="no random state"):
        set_global_rng_state({})


def test_states_of_absent_devices_are_left_out():
    state = torch.get_rng_state()
    set_global_rng_state({"rng.cpu": state, "rng.cuda.7": torch.zeros(16, dtype=torch.uint8)})
    assert torch.equal(torch.get_rng_state(), state)


def test_prefixes_do_not_run_into_each_other():
    tensors = prefixed("fine", {"a": torch.zeros(1)}) | prefixed("fine_grid", {"a": torch.ones(1)})
    assert under("fine", tensors) == {"a": torch.zeros(1)}
