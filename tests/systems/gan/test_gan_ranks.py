"""Several processes train as one: real ones, started as torchrun starts them, over gloo on the CPU."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fieldscape.errors import BadInput
from fieldscape.ranks import Ranks
from fieldscape.runs import Run
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.fit import require_shares

SHARES = """
import signal, sys
from pathlib import Path
import safetensors.torch, torch
from torch.nn.functional import softplus
from fieldscape.systems.gan import fit, train
from fieldscape.systems.gan.discriminator import Discriminator
from fieldscape.systems.gan.options import TrainOptions
from fieldscape.ranks import joined

out = Path(sys.argv[1])
with joined("cpu") as ranks:
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


def test_two_processes_stay_one_training_and_stop_and_go_on_together(photos, tmp_path, torchrun):
    script = tmp_path / "shares.py"
    script.write_text(SHARES)
    for name, out in (("whole", "a"), ("stop", "b"), ("resume", "b")):
        torchrun(script, tmp_path / out, photos, name)
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
