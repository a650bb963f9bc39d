"""Several processes train as one: real ones, started as torchrun starts them, over gloo on the CPU."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fieldscape.errors import BadInput
from fieldscape.runs import Run
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.fit import require_shares
from fieldscape.systems.gan.ranks import Ranks, joined

SHARES = """
import signal, sys
from pathlib import Path
import safetensors.torch, torch
from torch.nn.functional import softplus
from fieldscape.systems.gan import fit, train
from fieldscape.systems.gan.discriminator import Discriminator
from fieldscape.systems.gan.options import TrainOptions
from fieldscape.systems.gan.ranks import joined

out = Path(sys.argv[1])
with joined("cpu") as ranks:
    # Gradients of shares, averaged, are those of the whole.
    torch.manual_seed(0)
    judge = Discriminator(16)
    pictures = torch.rand(16, 3, 16, 16)
    own = pictures.chunk(ranks.count)[ranks.rank]
    softplus(judge(own)[0]).mean().backward()
    ranks.average_gradients(judge.parameters())
    averaged = [p.grad.clone() for p in judge.parameters() if p.grad is not None]
    judge.zero_grad()
    softplus(judge(pictures)[0]).mean().backward()
    whole = [p.grad for p in judge.parameters() if p.grad is not None]
    for one, other in zip(averaged, whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    assert ranks.agreed(None, False, 5.0 + ranks.rank) == (None, False, 5.0)
    assert ranks.mean(torch.tensor([float(ranks.rank)])).item() == 0.5
    assert ranks.any(not ranks.first)
    first = torch.rand(4, generator=ranks.chance(3))
    assert ranks.first == torch.equal(first, torch.rand(4, generator=torch.Generator().manual_seed(3)))

    # A training of both; then one that the second process is told to leave, and its continuation.
    kept = train.train
    def noted(*arguments):
        if sys.argv[-1] == "stop" and not ranks.first:
            arguments[5].on_signal(signal.SIGTERM, None)  # before the first step: none may wait for the other
        found = kept(*arguments)
        weights = {name: p.contiguous() for name, p in found[0].generator.state_dict().items()}
        safetensors.torch.save_file(weights, out.parent / f"{sys.argv[-1]}-{ranks.rank}.safetensors")
        return found
    fit.train = noted
    plan = dict(photos=Path(sys.argv[2]), out=out, size=16, batch=8, images=24, look_every=16, quiet=True)
    fit.work(TrainOptions(**plan, resume=sys.argv[-1] == "resume"), ranks)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    out = tmp_path_factory.mktemp("photos")
    for index in range(24):
        coarse = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16), Image.Resampling.BICUBIC).save(out / f"{index}.png")
    return out


def torchrun(script, photos, out, port, *more):
    """Two processes with the environment that torchrun gives them; their exit statuses and errors."""
    started = []
    for rank in range(2):
        told = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, str(script), str(out), str(photos), *more]
        started.append(
            subprocess.Popen(command, env=os.environ | told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    ended = [process.communicate(timeout=120) for process in started]
    return [process.returncode for process in started], [error for _, error in ended]


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_two_processes_stay_one_training_and_stop_and_go_on_together(photos, tmp_path):
    script = tmp_path / "shares.py"
    script.write_text(SHARES)
    for name, out in (("whole", "a"), ("stop", "b"), ("resume", "b")):
        statuses, errors = torchrun(script, photos, tmp_path / out, free_port(), name)
        assert statuses == [0, 0], errors
    weights = {
        path.stem: safetensors.torch.load_file(path) for path in tmp_path.glob("*.safetensors") if path.is_file()
    }
    assert len(weights) == 6
    for name, tensor in weights["whole-0"].items():
        assert torch.equal(tensor, weights["whole-1"][name]), name
        # Left before the first step and taken up again: all the same.
        assert torch.equal(tensor, weights["resume-0"][name]), name
        assert torch.equal(tensor, weights["resume-1"][name]), name
    moved = sum(float((weights["stop-0"][n] - t).abs().sum()) for n, t in weights["whole-0"].items())
    assert moved > 0
    assert json.loads((tmp_path / "a" / "report.json").read_text())["images"] == 24
    checkpoint = Run.open(tmp_path / "a").latest()
    assert checkpoint.state["players"]["step"] == 3
    assert not torch.equal(checkpoint.tensors["chance"], checkpoint.tensors["chance.1"])
    with pytest.raises(BadInput, match="made by 2 processes"):
        Ranks().own_chance(checkpoint.tensors)


def test_batches_are_shared_evenly_or_not_at_all():
    require_shares(GanConfig(batch=16), Ranks(0, 4))
    for batch, count in ((16, 3), (16, 8), (4, 2)):
        with pytest.raises(BadInput, match=f"for {count} processes"):
            require_shares(GanConfig(batch=batch), Ranks(0, count))


def test_alone_nothing_is_started(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as ranks:
        assert (ranks.rank, ranks.count, ranks.first) == (0, 1, True)
        assert ranks.chances(torch.Generator()) == {}
    assert not torch.distributed.is_initialized()
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(BadInput, match="WORLD_SIZE"), joined("cpu"):
        pass
