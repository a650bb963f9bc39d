"""Several processes: real ones, started as torchrun starts them, over gloo on the CPU."""

import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.ranks import Ranks, joined, require_alone

TOGETHER = """
import sys
from pathlib import Path
import torch
from torch import nn
from fieldscape.errors import BadInput
from fieldscape.ranks import joined

with joined("cpu") as ranks:
    # Gradients of shares, averaged, are those of the whole.
    torch.manual_seed(0)
    judge = nn.Sequential(nn.Linear(5, 4), nn.Softplus(), nn.Linear(4, 1))
    points = torch.rand(16, 5)
    judge(points.chunk(ranks.count)[ranks.rank]).square().mean().backward()
    ranks.average_gradients(judge.parameters())
    averaged = [p.grad.clone() for p in judge.parameters()]
    judge.zero_grad()
    judge(points).square().mean().backward()
    for one, other in zip(averaged, [p.grad for p in judge.parameters()], strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)

    assert ranks.agreed(None, False, 5.0 + ranks.rank) == (None, False, 5.0)
    assert ranks.asked(None) is None
    assert ranks.asked(None if ranks.first else "Ctrl-C") == ("another process was asked to stop", "Ctrl-C")[ranks.rank]
    assert ranks.mean(torch.tensor([float(ranks.rank)])).item() == 0.5
    assert ranks.any(not ranks.first)
    first = torch.rand(4, generator=ranks.chance(3))
    assert ranks.first == torch.equal(first, torch.rand(4, generator=torch.Generator().manual_seed(3)))

    # A table whose rows are shared out comes together in order, for an even and an odd number of rows.
    for count in (4, 5):
        table = torch.arange(3 * count).reshape(count, 3)
        own = table[list(ranks.own(count))]
        assert torch.equal(ranks.gathered(own, count), table if ranks.first else own)

    # What process 0 holds, all hold.
    held = nn.Linear(2, 2)
    with torch.no_grad():
        held.bias.fill_(float(ranks.rank))
    ranks.follow(held.state_dict().values())
    assert held.bias.tolist() == [0.0, 0.0]

    # The first process acts before the others, and none goes on where one cannot.
    place = Path(sys.argv[1]) / "made"
    assert ranks.in_turn(lambda: place.write_text("once") if ranks.first else len(place.read_text())) == 4
    for faulty in (True, False):
        def act():
            if ranks.first is faulty:
                raise BadInput("no")
        try:
            ranks.in_turn(act)
        except BadInput as error:
            assert (str(error) == "no") == (ranks.first is faulty), error
        else:
            raise AssertionError("went on")
"""


def test_two_processes_act_as_one(tmp_path, torchrun):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    torchrun(script, tmp_path)


def test_alone_nothing_is_started(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as ranks:
        assert (ranks.rank, ranks.count, ranks.first) == (0, 1, True)
        assert ranks.chances(torch.Generator()) == {}
        table = torch.rand(3, 2)
        assert ranks.gathered(table, 3) is table
        assert ranks.in_turn(lambda: 7) == 7
    assert not torch.distributed.is_initialized()
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(BadInput, match="WORLD_SIZE"), joined("cpu"):
        pass


def test_a_checkpoint_is_of_as_many_processes_as_it_was_made_by():
    saved = {"chance": torch.zeros(1), "chance.1": torch.ones(1)}
    assert Ranks(1, 2).own_chance(saved)["chance"].item() == 1
    for count in (1, 3):
        with pytest.raises(BadInput, match="made by 2 processes"):
            Ranks(0, count).own_chance(saved)


def test_work_of_one_process_is_refused_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    require_alone("this")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadInput, match="leave torchrun away"):
        require_alone("this")
